//! What the served stores ask of the ledger beside the revisions. SPEC §9.

use async_trait::async_trait;

use super::{LedgerError, SourceFile};

/// Secrets, and files by the id of their store.
#[async_trait]
pub trait ServingLedger: Send + Sync {
    /// The secret of a name: `fresh` if there was none before, which is kept from then on. Whoever asks, also at the same
    /// time, gets the same.
    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, LedgerError>;

    /// The file whose store has this id, see [`ids::file_store_id`](super::ids::file_store_id). Every file is looked at:
    /// the caller keeps what it finds.
    async fn file_by_store_id(&self, store_id: &str) -> Result<Option<SourceFile>, LedgerError>;
}
