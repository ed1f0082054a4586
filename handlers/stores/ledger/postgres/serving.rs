//! Secrets, and files by the id of their store.

use async_trait::async_trait;
use jiff::Timestamp;

use super::database::{Parameters, execute, one};
use super::values::At;
use super::{PostgresLedger, files};
use crate::stores::ledger::{LedgerError, ServingLedger, SourceFile};

#[async_trait]
impl ServingLedger for PostgresLedger {
    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, LedgerError> {
        let client = self.database.client().await?;
        // Waits for another's insertion to end; the next statement then sees its row.
        let sql = "INSERT INTO landfall.secret (name, value, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let row: Parameters<'_> = &[&name, &fresh, &At(Timestamp::now())];
        execute(&client, sql, row).await?;
        let sql = "SELECT value FROM landfall.secret WHERE name = $1";
        Ok(one(&client, sql, &[&name]).await?.try_get("value")?)
    }

    async fn file_by_store_id(&self, store_id: &str) -> Result<Option<SourceFile>, LedgerError> {
        let client = self.database.client().await?;
        let condition = "left(encode(sha256(convert_to(account || '|' || container || '|' || blob, 'UTF8')), 'hex'), 32)
                         = $1";
        Ok(files::select(&client, condition, &[&store_id]).await?.pop())
    }
}
