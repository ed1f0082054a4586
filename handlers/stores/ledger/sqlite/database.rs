//! One SQLite file: its settings, its migrations, and transactions off the async threads.
//!
//! Handler and local host open the same file, each with one connection. WAL lets them read beside a writer;
//! `synchronous=FULL` makes "persist first" hold when the power fails, not only when the process does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::Mutex;

use super::values::time_text;
use crate::stores::ledger::LedgerError;

/// Every migration: version, name, SQL. Additive only, never edited once released.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (
        1,
        "ledger",
        include_str!("../../../../infra/migrations/sqlite/0001-ledger.sql"),
    ),
    (
        2,
        "approval",
        include_str!("../../../../infra/migrations/sqlite/0002-approval.sql"),
    ),
    (
        3,
        "overview",
        include_str!("../../../../infra/migrations/sqlite/0003-overview.sql"),
    ),
];

/// Version of the schema that this program needs.
const NEEDED: i64 = MIGRATIONS.len() as i64;

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const STATEMENTS: usize = 128;

/// A connection to the file; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    connection: Arc<Mutex<Connection>>,
}

impl Database {
    /// Opens or creates the file and brings its schema up to date.
    pub(crate) fn open(path: &Path) -> Result<Self, LedgerError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        use_wal(&connection)?;
        migrate(&mut connection)?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// The version of the schema in the file, which is left as it is but has to let itself be written; `None` if there
    /// is no file.
    pub(super) fn look(path: &Path) -> Result<Option<i64>, LedgerError> {
        if !path.exists() {
            return Ok(None);
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
        schema_version(&connection).map(Some)
    }

    /// Runs `work` in a transaction that may write: it waits for other writers first, so nothing that it reads
    /// can change before it commits.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        self.run(TransactionBehavior::Immediate, work).await
    }

    /// Runs `work` on one snapshot of the database, beside any writer.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        self.run(TransactionBehavior::Deferred, work).await
    }

    async fn run<T, F>(&self, behavior: TransactionBehavior, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        let mut connection = Arc::clone(&self.connection).lock_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let transaction = connection.transaction_with_behavior(behavior)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        done.await
            .map_err(|error| LedgerError::Unavailable(Box::new(error)))?
    }
}

/// The version of the schema, if it is recent enough.
pub(super) fn check_schema(tx: &Connection) -> Result<i64, LedgerError> {
    let found = schema_version(tx)?;
    if found < NEEDED {
        Err(LedgerError::SchemaTooOld {
            found,
            needed: NEEDED,
        })
    } else {
        Ok(found)
    }
}

fn schema_version(connection: &Connection) -> Result<i64, LedgerError> {
    let sql = "SELECT coalesce(max(version), 0) FROM landfall_schema_version";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Switches the file to WAL. The switch does not wait for other connections as statements do, so it is
/// repeated for as long.
fn use_wal(connection: &Connection) -> Result<(), LedgerError> {
    let pause = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    loop {
        match connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))
        {
            Ok(_) => return Ok(()),
            Err(error) if is_busy(&error) && waited < BUSY_TIMEOUT => std::thread::sleep(pause),
            Err(error) => return Err(error.into()),
        }
        waited += pause;
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseBusy | DatabaseLocked)
    )
}

fn migrate(connection: &mut Connection) -> Result<(), LedgerError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS landfall_schema_version (
             version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)",
    )?;
    let found = schema_version(&tx)?;
    for (version, name, sql) in MIGRATIONS.iter().filter(|(version, ..)| *version > found) {
        tx.execute_batch(sql)?;
        let row = (version, name, time_text(jiff::Timestamp::now()));
        tx.execute(
            "INSERT INTO landfall_schema_version (version, name, applied_at) VALUES (?1, ?2, ?3)",
            row,
        )?;
    }
    Ok(tx.commit()?)
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType,
            QueryReturnedNoRows,
        };
        let what = match error {
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) => {
                "a column"
            }
            QueryReturnedNoRows => "a row that another one names",
            _ => return Self::Unavailable(Box::new(error)),
        };
        Self::Corrupt {
            what,
            source: Box::new(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_open_a_new_file_at_once_agree_on_its_schema() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let open = |path: std::path::PathBuf| std::thread::spawn(move || Database::open(&path));
        let openers: Vec<_> = (0..8).map(|_| open(path.clone())).collect();
        for opener in openers {
            let database = opener.join().unwrap().unwrap();
            assert_eq!(
                check_schema(&database.connection.blocking_lock()).unwrap(),
                NEEDED
            );
        }
        let rows = Connection::open(&path).unwrap();
        let applied: i64 = rows
            .query_row("SELECT count(*) FROM landfall_schema_version", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(applied, NEEDED);
    }

    #[test]
    fn a_schema_from_before_is_refused_by_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("ledger.db")).unwrap();
        let connection = database.connection.blocking_lock();
        connection
            .execute("DELETE FROM landfall_schema_version", [])
            .unwrap();
        let refused = check_schema(&connection).unwrap_err();
        assert!(matches!(
            refused,
            LedgerError::SchemaTooOld {
                found: 0,
                needed: NEEDED
            }
        ));
    }

    #[tokio::test]
    async fn a_transaction_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("ledger.db")).unwrap();
        let failed: Result<(), _> = database
            .write(|tx| {
                tx.execute("UPDATE app_platforms SET display_name = 'changed'", [])?;
                Err(LedgerError::SchemaTooOld {
                    found: 0,
                    needed: 0,
                })
            })
            .await;
        assert!(failed.is_err());
        let sql = "SELECT count(*) FROM app_platforms WHERE platform_id = 'ddh' AND display_name <> 'changed'";
        let seeded: i64 = database
            .read(|tx| Ok(tx.query_row(sql, [], |row| row.get(0))?))
            .await
            .unwrap();
        assert_eq!(seeded, 1);
    }
}
