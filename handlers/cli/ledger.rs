//! Which ledger a command works with.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::config::{AzureAccess, DatabaseConfig};
use crate::stores::azure::AzureConnection;
use crate::stores::identity::{DatabaseLogin, POSTGRES_SCOPE};
use crate::stores::ledger::{Ledger, PostgresLedger, SqliteLedger, TokenSource};

/// The ledger in the PostgreSQL that is configured, else in the SQLite file at `path`.
pub(super) fn open(
    config: &DatabaseConfig,
    path: Option<&Path>,
) -> anyhow::Result<Arc<dyn Ledger>> {
    if let Some(ledger) = postgres(config)? {
        return Ok(Arc::new(ledger));
    }
    let path = path.context("LANDFALL_DATABASE is not set")?;
    Ok(Arc::new(SqliteLedger::open(path).context("ledger")?))
}

/// The ledger in PostgreSQL, if one is configured.
pub(super) fn postgres(config: &DatabaseConfig) -> anyhow::Result<Option<PostgresLedger>> {
    let Some(url) = &config.url else {
        return Ok(None);
    };
    let tokens = config.by_identity.then(identity).transpose()?;
    let ledger = PostgresLedger::new(url, config.connections, tokens);
    Ok(Some(ledger.context("ledger")?))
}

/// What issues the tokens with which connections log in: the app's identity, asked from now on.
fn identity() -> anyhow::Result<Arc<dyn TokenSource>> {
    let access = AzureAccess::from_env().context("identity")?;
    let connection = AzureConnection::try_new(&access).context("identity")?;
    let Some(identity) = connection.identity() else {
        anyhow::bail!("LANDFALL_DATABASE_AUTH is `identity`, LANDFALL_CREDENTIAL is `anonymous`");
    };
    identity.keep_fresh(&[POSTGRES_SCOPE]);
    Ok(Arc::new(DatabaseLogin(Arc::clone(identity))))
}
