//! Secrets, and files by the id of their store.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Transaction;

use super::values::time_text;
use super::{SqliteLedger, files};
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::{FileId, LedgerError, ServingLedger, SourceFile, ids};

#[async_trait]
impl ServingLedger for SqliteLedger {
    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, LedgerError> {
        let (name, fresh) = (name.to_owned(), fresh.to_vec());
        let now = time_text(Timestamp::now());
        self.database
            .write(move |tx| secret(tx, &name, &fresh, &now))
            .await
    }

    async fn file_by_store_id(&self, store_id: &str) -> Result<Option<SourceFile>, LedgerError> {
        let store_id = store_id.to_owned();
        self.database
            .read(move |tx| file_by_store_id(tx, &store_id))
            .await
    }
}

fn secret(
    tx: &Transaction<'_>,
    name: &str,
    fresh: &[u8],
    now: &str,
) -> Result<Vec<u8>, LedgerError> {
    let sql = "INSERT INTO landfall_secret (name, value, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    tx.execute(sql, (name, fresh, now))?;
    let sql = "SELECT value FROM landfall_secret WHERE name = ?1";
    Ok(tx.query_row(sql, [name], |row| row.get(0))?)
}

/// `SQLite` has no SHA-256: the names are hashed here.
fn file_by_store_id(
    tx: &Transaction<'_>,
    store_id: &str,
) -> Result<Option<SourceFile>, LedgerError> {
    let sql = "SELECT id, account, container, blob FROM landfall_source_file";
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (account, container, blob): (String, String, String) =
            (row.get(1)?, row.get(2)?, row.get(3)?);
        if ids::file_store_id(&BlobPath::new(account, container, blob)) == store_id {
            return files::by_id(tx, FileId(row.get(0)?));
        }
    }
    Ok(None)
}
