//! Clients of the SDK, made once each.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Clients by account and name of what they are for.
pub(in crate::stores) struct Clients<T>(Mutex<BTreeMap<(String, String), Arc<T>>>);

impl<T> Default for Clients<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> fmt::Debug for Clients<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl<T> Clients<T> {
    /// The client of a name in an account.
    pub(in crate::stores) fn get<E>(
        &self,
        account: &str,
        name: &str,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (account.to_owned(), name.to_owned());
        if let Some(client) = clients.get(&key) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(make()?);
        clients.insert(key, Arc::clone(&client));
        Ok(client)
    }
}
