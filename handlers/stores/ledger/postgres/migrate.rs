//! Bringing the schemas up to date: a step of the deployment, with an identity that may make tables.
//!
//! All of it is one transaction under an advisory lock: it is done or it is not, and several at once follow one
//! another. The platform's tables may be there already, made by somebody else: `attach` says what they lack.

mod attach;

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;
use tokio_postgres::error::SqlState;

use super::database::{Client, Session, execute, one, row, rows};
use super::values::{flag, int, optional_text, text};
use crate::stores::ledger::LedgerError;

/// The platform's tables, in the order in which they came. Each can be run again.
const PLATFORM: &[&str] = &[include_str!(
    "../../../../infra/migrations/postgres/0001-platform.sql"
)];

/// Every migration of our own: version, name, SQL. Additive only, never edited once released. The platform's files
/// count as versions too, so that an app knows what it needs.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "platform", ""),
    (
        2,
        "ledger",
        include_str!("../../../../infra/migrations/postgres/0002-ledger.sql"),
    ),
    (
        3,
        "approval",
        include_str!("../../../../infra/migrations/postgres/0003-approval.sql"),
    ),
    (
        4,
        "overview",
        include_str!("../../../../infra/migrations/postgres/0004-overview.sql"),
    ),
];

/// Version of the schema that this program needs.
pub(super) const NEEDED: i64 = MIGRATIONS.len() as i64;

/// Names the advisory lock of migrations in the database.
const LOCK: i64 = 0x6c61_6e64_6661_6c6c;

/// How `migrate` is to go about it.
#[derive(Debug, Clone, Default)]
pub struct MigrationOptions {
    /// Only say what is to be done.
    pub check: bool,
    /// Role of the app, which is given what it needs of both schemas.
    pub grant_to: Option<String>,
}

/// What a migration came to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Migration {
    /// What was done, or is to be done; empty if all is up to date.
    pub steps: Vec<String>,
    /// Version of the schema before.
    pub from: i64,
    /// Version of the schema after.
    pub to: i64,
}

/// Why the schemas were not brought up to date.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// The database is unreachable, or refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Tables that are there cannot be used.
    #[error("the tables in the schema `app` do not fit: {}", .0.join("; "))]
    Incompatible(Vec<String>),
    /// The database is of a newer program.
    #[error("the schema is version {found}, this program knows {known}")]
    Newer {
        /// Version found.
        found: i64,
        /// Newest version that this program knows.
        known: i64,
    },
}

impl From<tokio_postgres::Error> for MigrationError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Ledger(error.into())
    }
}

/// The version of the schema, if it is recent enough.
pub(super) async fn check_schema(client: &impl Session) -> Result<i64, LedgerError> {
    let found = match schema_version(client).await {
        Err(LedgerError::Unavailable(error)) if is_missing(error.as_ref()) => 0,
        found => found?,
    };
    if found < NEEDED {
        return Err(LedgerError::SchemaTooOld {
            found,
            needed: NEEDED,
        });
    }
    Ok(found)
}

async fn schema_version(client: &impl Session) -> Result<i64, LedgerError> {
    let sql = "SELECT coalesce(max(version), 0) AS version FROM landfall.schema_version";
    int(&one(client, sql, &[]).await?, "version")
}

fn is_missing(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let code = error
        .downcast_ref::<tokio_postgres::Error>()
        .and_then(tokio_postgres::Error::code);
    matches!(
        code,
        Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME)
    )
}

pub(super) async fn migrate(
    client: &mut Client,
    options: &MigrationOptions,
) -> Result<Migration, MigrationError> {
    let mut tx = client.transaction().await?;
    // A table that somebody else is at is waited for, but not so long that all who come after wait too.
    tx.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'")
        .await?;
    execute(&tx, "SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let mut steps = Vec::new();
    let before = tables(&tx).await?;
    for schema in ["app", "landfall"] {
        ensure_schema(&tx, schema, &mut steps).await?;
    }
    let ours = attach::attach(&mut tx, PLATFORM, &mut steps).await?;
    let from = apply(&tx, &mut steps).await?;
    let after = tables(&tx).await?;
    steps.extend(made(&before, &after));
    if let Some(role) = &options.grant_to {
        let is_ours = |table: &&String| table.starts_with("landfall.") || ours.contains(*table);
        let tables: Vec<&String> = after.iter().filter(is_ours).collect();
        grant(&tx, role, &tables, &mut steps).await?;
        grant_catalogue(&tx, role, &mut steps).await?;
    }
    let to = schema_version(&tx).await?;
    if options.check {
        tx.rollback().await?;
    } else {
        tx.commit().await?;
    }
    Ok(Migration { steps, from, to })
}

async fn ensure_schema(
    tx: &Transaction<'_>,
    schema: &str,
    steps: &mut Vec<String>,
) -> Result<(), MigrationError> {
    let sql = "SELECT nspname FROM pg_namespace WHERE nspname = $1";
    if row(tx, sql, &[&schema]).await?.is_none() {
        tx.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
        steps.push(format!("made the schema {schema}"));
    }
    Ok(())
}

/// Applies the migrations that are not applied yet; the version before.
async fn apply(tx: &Transaction<'_>, steps: &mut Vec<String>) -> Result<i64, MigrationError> {
    let sql = "CREATE TABLE IF NOT EXISTS landfall.schema_version (
                   version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())";
    tx.batch_execute(sql).await?;
    let found = schema_version(tx).await?;
    if found > NEEDED {
        return Err(MigrationError::Newer {
            found,
            known: NEEDED,
        });
    }
    for (version, name, sql) in MIGRATIONS.iter().filter(|(version, ..)| *version > found) {
        tx.batch_execute(sql).await?;
        let sql = "INSERT INTO landfall.schema_version (version, name) VALUES ($1, $2)";
        execute(tx, sql, &[version, name]).await?;
        steps.push(format!("applied {version:04}-{name}"));
    }
    Ok(found)
}

async fn tables(tx: &Transaction<'_>) -> Result<BTreeSet<String>, MigrationError> {
    let sql = "SELECT n.nspname || '.' || c.relname AS name FROM pg_class c
               JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname IN ('app', 'landfall') AND c.relkind IN ('r', 'p')";
    let found = rows(tx, sql, &[]).await?;
    let names = found.iter().map(|row| text(row, "name"));
    Ok(names.collect::<Result<_, _>>()?)
}

fn made<'a>(
    before: &'a BTreeSet<String>,
    after: &'a BTreeSet<String>,
) -> impl Iterator<Item = String> + use<'a> {
    after
        .difference(before)
        .map(|table| format!("made the table {table}"))
}

/// Makes the app's role one of those who may write to pgSTAC, where that stands in the database.
async fn grant_catalogue(
    tx: &Transaction<'_>,
    role: &str,
    steps: &mut Vec<String>,
) -> Result<(), MigrationError> {
    let sql = "SELECT NOT pg_has_role($1, oid, 'USAGE') AS is_missing, quote_ident($1) AS role
               FROM pg_roles WHERE rolname = 'pgstac_ingest' AND to_regnamespace('pgstac') IS NOT NULL";
    let Some(found) = row(tx, sql, &[&role]).await? else {
        return Ok(());
    };
    if !flag(&found, "is_missing")? {
        return Ok(());
    }
    let name = text(&found, "role")?;
    // Who installs pgSTAC need not be who migrates: then its roles are not ours to give, and the tables still are.
    tx.batch_execute("SAVEPOINT grant_catalogue").await?;
    let grant = format!("GRANT pgstac_ingest TO {name}");
    match tx.batch_execute(&grant).await {
        Ok(()) => steps.push(format!("granted {role} what pgstac_ingest may")),
        Err(error) => {
            tx.batch_execute("ROLLBACK TO SAVEPOINT grant_catalogue")
                .await?;
            tracing::warn!(error = ?error, "pgstac_ingest is not granted to {role}: grant it yourself");
        }
    }
    Ok(())
}

/// Gives the app's role what it needs, if it does not have it: rows of our tables, and nothing of what a platform
/// has beside them.
async fn grant(
    tx: &Transaction<'_>,
    role: &str,
    tables: &[&String],
    steps: &mut Vec<String>,
) -> Result<(), MigrationError> {
    let sql = "SELECT bool_and(has_schema_privilege($1, n.oid, 'USAGE')
                          AND has_table_privilege($1, c.oid, 'SELECT') AND has_table_privilege($1, c.oid, 'INSERT')
                          AND has_table_privilege($1, c.oid, 'UPDATE') AND has_table_privilege($1, c.oid, 'DELETE'))
                      AS has_all, quote_ident($1) AS role,
                      pg_get_serial_sequence('app.release_audit', 'audit_id') AS sequence
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname || '.' || c.relname = ANY ($2)";
    let found = one(tx, sql, &[&role, &tables]).await?;
    if flag(&found, "has_all")? {
        return Ok(());
    }
    let name = text(&found, "role")?;
    let tables: Vec<&str> = tables.iter().map(|table| table.as_str()).collect();
    tx.batch_execute(&format!(
        "GRANT USAGE ON SCHEMA app, landfall TO {name};
         GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {name}",
        tables.join(", ")
    ))
    .await?;
    if let Some(sequence) = optional_text(&found, "sequence")? {
        tx.batch_execute(&format!("GRANT USAGE ON SEQUENCE {sequence} TO {name}"))
            .await?;
    }
    steps.push(format!("granted {role} the rows of both schemas"));
    Ok(())
}
