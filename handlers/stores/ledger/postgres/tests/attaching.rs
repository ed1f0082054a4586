//! Migrations: from nothing, again, at the same time, and beside a platform that is there already.

use super::*;
use crate::stores::ledger::contract::{combine, declare};

/// A database without any schema of ours.
fn empty() -> InDatabase {
    let name = cluster().create(None);
    InDatabase {
        ledger: ledger_in(&name),
        name,
    }
}

async fn migrate(subject: &InDatabase) -> Result<Migration, MigrationError> {
    subject.ledger.migrate(&MigrationOptions::default()).await
}

fn assert_has(steps: &[String], step: &str) {
    assert!(
        steps.iter().any(|done| done == step),
        "{step} is not in {steps:?}"
    );
}

const SCHEMAS: &str = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('app', 'landfall')";

#[tokio::test]
async fn a_database_without_our_schema_is_too_old() {
    let refused = empty().ledger.check_schema().await.unwrap_err();
    assert!(
        matches!(
            refused,
            LedgerError::SchemaTooOld {
                found: 0,
                needed: 4
            }
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_check_says_what_is_to_be_done_and_does_nothing() {
    let subject = empty();
    let check = MigrationOptions {
        check: true,
        ..MigrationOptions::default()
    };
    let wanted = subject.ledger.migrate(&check).await.unwrap();
    assert_eq!(subject.sql(SCHEMAS), "0");
    let done = migrate(&subject).await.unwrap();
    assert_eq!(done, wanted);
    assert_eq!((done.from, done.to), (0, 4));
    assert_has(&done.steps, "made the schema app");
    assert_has(&done.steps, "made the table app.asset_releases");
    assert_has(&done.steps, "applied 0002-ledger");
    let again = migrate(&subject).await.unwrap();
    assert_eq!((again.steps, again.from, again.to), (Vec::new(), 4, 4));
    assert_eq!(subject.ledger.check_schema().await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_at_the_same_time_follow_one_another() {
    let subject = empty();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let ledger = ledger_in(&subject.name);
        tasks.spawn(async move { ledger.migrate(&MigrationOptions::default()).await.unwrap() });
    }
    let done = tasks.join_all().await;
    let busy = done.iter().filter(|done| !done.steps.is_empty());
    assert_eq!(busy.count(), 1);
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_left_alone() {
    let subject = InDatabase::new();
    subject.sql("INSERT INTO landfall.schema_version VALUES (9, 'later')");
    assert_eq!(
        subject.ledger.check_schema().await.unwrap(),
        9,
        "additive only"
    );
    let refused = migrate(&subject).await.unwrap_err();
    assert!(
        matches!(refused, MigrationError::Newer { found: 9, known: 4 }),
        "{refused:?}"
    );
}

/// The app's own role may read and write rows and change nothing else.
#[tokio::test]
async fn the_role_of_the_app_is_given_the_rows_alone() {
    let subject = empty();
    subject.sql("CREATE SCHEMA app; CREATE TABLE app.others ()");
    let role = format!("app_{}", subject.name);
    subject.sql(&format!("CREATE ROLE {role} LOGIN"));
    let options = MigrationOptions {
        grant_to: Some(role.clone()),
        ..MigrationOptions::default()
    };
    let done = subject.ledger.migrate(&options).await.unwrap();
    assert_has(
        &done.steps,
        &format!("granted {role} the rows of both schemas"),
    );
    let again = subject.ledger.migrate(&options).await.unwrap();
    assert_eq!(again.steps, Vec::<String>::new());
    let url = cluster().url(&subject.name);
    let url = url.replace("landfall@", &format!("{role}@"));
    let app = InDatabase {
        ledger: PostgresLedger::new(&url, 2, None).unwrap(),
        name: subject.name.clone(),
    };
    combine::an_approved_release_is_frozen_and_the_next_one_begins(&app).await;
    let client = app.ledger.database.client().await.unwrap();
    for forbidden in ["DROP TABLE app.assets CASCADE", "SELECT FROM app.others"] {
        let refused = client.batch_execute(forbidden).await;
        assert!(refused.is_err(), "it may not {forbidden}");
    }
}

/// The platform's tables as its own generator makes them: without defaults in SQL, names of 200 characters, an older
/// enum, a trigger, a column that we do not know; and without some that we need.
const PLATFORM: &str = "
    CREATE SCHEMA app;
    CREATE TYPE app.job_status AS ENUM ('queued', 'processing', 'completed', 'failed', 'completed_with_errors');
    CREATE TYPE app.task_status AS ENUM ('queued', 'processing', 'completed', 'failed', 'retrying');
    CREATE TYPE app.approval_state AS ENUM ('pending_review', 'approved', 'rejected', 'revoked');
    CREATE TABLE app.assets (
        asset_id VARCHAR(64) PRIMARY KEY, platform_id VARCHAR(50) NOT NULL, dataset_id VARCHAR(200) NOT NULL,
        resource_id VARCHAR(200) NOT NULL, platform_refs JSONB NOT NULL, data_type VARCHAR(20) NOT NULL,
        release_count BIGINT NOT NULL, created_at TIMESTAMPTZ NOT NULL, updated_at TIMESTAMP NOT NULL,
        steward VARCHAR(100));
    INSERT INTO app.assets VALUES
        ('other', 'ddh', 'other', 'other', '{}', 'raster', 1, now(), now(), 'somebody');
    CREATE TABLE app.jobs (
        job_id VARCHAR(64) PRIMARY KEY, job_type VARCHAR(100) NOT NULL, parameters JSONB NOT NULL,
        status app.job_status NOT NULL, stage INTEGER NOT NULL, total_stages INTEGER NOT NULL,
        stage_results JSONB NOT NULL, metadata JSON NOT NULL, result_data JSONB, error_details VARCHAR,
        created_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL);
    CREATE TABLE app.tasks (
        task_id VARCHAR(100) PRIMARY KEY, parent_job_id VARCHAR(64) NOT NULL REFERENCES app.jobs ON DELETE CASCADE,
        job_type VARCHAR(100) NOT NULL, task_type VARCHAR(100) NOT NULL, stage INTEGER NOT NULL,
        task_index VARCHAR(50) NOT NULL, parameters JSONB NOT NULL, status app.task_status NOT NULL,
        metadata JSONB NOT NULL, retry_count INTEGER NOT NULL, created_at TIMESTAMP NOT NULL,
        updated_at TIMESTAMP NOT NULL);
    CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.updated_at = now(); RETURN NEW; END';
    CREATE TRIGGER touch BEFORE UPDATE ON app.jobs FOR EACH ROW EXECUTE FUNCTION app.touch();
    CREATE TABLE app.asset_releases (
        release_id VARCHAR(64) PRIMARY KEY, asset_id VARCHAR(64) NOT NULL REFERENCES app.assets ON DELETE CASCADE,
        version_ordinal INTEGER NOT NULL, revision INTEGER NOT NULL, is_served BOOLEAN NOT NULL,
        request_id VARCHAR(64), job_id VARCHAR(64) REFERENCES app.jobs ON DELETE CASCADE,
        approval_state app.approval_state NOT NULL, priority INTEGER NOT NULL,
        created_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_that_is_there_is_completed_and_worked_with() {
    let subject = empty();
    subject.sql(PLATFORM);
    let done = migrate(&subject).await.unwrap();
    for step in [
        "added app.assets.deleted_by character varying(200)",
        "added app.asset_releases.processing_status processing_status",
        "added 'pending' to the enum task_status",
        "made the enum clearance_state",
        "made the table app.release_audit",
    ] {
        assert_has(&done.steps, step);
    }
    let kept = "SELECT steward, data_type FROM app.assets WHERE asset_id = 'other'";
    assert_eq!(subject.sql(kept), "somebody|raster");
    assert_eq!(migrate(&subject).await.unwrap().steps, Vec::<String>::new());

    combine::a_refused_input_stays_blocked_until_it_changes(&subject).await;
    let forget = "DELETE FROM app.assets; DELETE FROM app.jobs; DELETE FROM landfall.source_group;
                  DELETE FROM landfall.source_file; DELETE FROM app.release_audit";
    subject.sql(forget);
    declare::repeating_a_submit_that_failed_queues_it_again(&subject).await;
    subject.sql(forget);
    combine::an_approved_release_is_frozen_and_the_next_one_begins(&subject).await;
}

/// A platform's names have 200 characters at most: longer ones are the sender's fault, and no reason to try again.
#[tokio::test]
async fn a_name_that_does_not_fit_a_column_is_refused() {
    let subject = InDatabase::new();
    subject.sql("ALTER TABLE app.assets ALTER COLUMN resource_id TYPE VARCHAR(4)");
    let refused = crate::stores::ledger::contract::declare_named(&subject.ledger, "fives").await;
    assert!(
        matches!(refused, Err(LedgerError::Refused(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn tables_that_do_not_fit_are_named_and_nothing_is_changed() {
    let subject = empty();
    subject.sql(
        "CREATE SCHEMA app;
         CREATE TABLE app.assets (asset_id VARCHAR(64) PRIMARY KEY, release_count VARCHAR, owner TEXT NOT NULL);
         CREATE TABLE app.jobs (parameters BYTEA)",
    );
    let Err(MigrationError::Incompatible(named)) = migrate(&subject).await else {
        panic!("it was not refused")
    };
    let expected = [
        "app.assets.release_count is character varying, not integer",
        "app.assets.owner has to have a value and no default, and Landfall knows none",
        "app.jobs has no column job_id, its key",
        "app.jobs.parameters is bytea, not jsonb",
    ];
    assert_eq!(named, expected);
    assert_eq!(subject.sql(SCHEMAS), "1", "landfall was not made");
    let columns =
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'app.assets'::regclass AND attnum > 0";
    assert_eq!(subject.sql(columns), "3");
}

/// What one dialect has the other has: tables and columns by name, prefixes for schemas.
#[tokio::test]
async fn both_dialects_have_the_same_columns() {
    let postgres = InDatabase::new().sql(
        "SELECT name FROM (
             SELECT table_schema || '_' || table_name || '.' || column_name AS name FROM information_schema.columns
             WHERE table_schema IN ('app', 'landfall')) c ORDER BY name COLLATE \"C\"",
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    drop(crate::stores::ledger::SqliteLedger::open(&path).unwrap());
    let sqlite = rusqlite::Connection::open(&path).unwrap();
    // The queue is a table in SQLite alone.
    let sql = "SELECT t.name || '.' || c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
               WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> 'landfall_queue_message'
               ORDER BY 1";
    let mut statement = sqlite.prepare(sql).unwrap();
    let columns = statement.query_map([], |row| row.get(0)).unwrap();
    let columns: Vec<String> = columns.map(Result::unwrap).collect();
    assert_eq!(postgres.lines().collect::<Vec<_>>(), columns);
}
