//! Which ledger a command works with.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::config::DatabaseConfig;
use crate::stores::ledger::{Ledger, PostgresLedger, SqliteLedger, TokenSource};

/// The ledger in the PostgreSQL that is configured, else in the SQLite file at `path`.
pub(super) fn open(config: &DatabaseConfig, path: &Path) -> anyhow::Result<Arc<dyn Ledger>> {
    Ok(match postgres(config)? {
        Some(ledger) => Arc::new(ledger),
        None => Arc::new(SqliteLedger::open(path).context("ledger")?),
    })
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

/// What issues the tokens with which connections log in.
fn identity() -> anyhow::Result<Arc<dyn TokenSource>> {
    anyhow::bail!("LANDFALL_DATABASE_AUTH is `identity`, which this build does not support")
}
