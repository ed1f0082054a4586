//! The contract on PostgreSQL, and what only PostgreSQL can do: lose connections, prove who it is, attach.

mod attaching;
#[path = "../../../../tests/support/postgres.rs"]
#[expect(dead_code, reason = "the behaviour tests use the rest of it")]
mod cluster;
mod connections;
mod faults;
#[path = "../../../../tests/support/pgstac.rs"]
#[expect(dead_code, reason = "the behaviour tests use the rest of it")]
mod pgstac;
mod publishing;
mod stac;
#[path = "../../../../tests/support/wire.rs"]
#[expect(dead_code, reason = "the behaviour tests use the rest of it")]
mod wire;

use std::sync::OnceLock;

use cluster::cluster;

use super::*;
use crate::stores::ledger::Ledger;
use crate::stores::ledger::contract::{Subject, run_contract};

/// A ledger in a database of its own.
struct InDatabase {
    ledger: PostgresLedger,
    name: String,
}

fn ledger_in(name: &str) -> PostgresLedger {
    PostgresLedger::new(&cluster().url(name), 4, None).unwrap()
}

/// A database that is up to date, to be copied: faster than to migrate each.
fn template() -> &'static str {
    static TEMPLATE: OnceLock<String> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let name = cluster().create(None);
        let ledger = ledger_in(&name);
        // A runtime of its own: when it ends, so do its connections, and the database can be copied.
        let migrate = move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime
                .block_on(ledger.migrate(&MigrationOptions::default()))
                .unwrap();
        };
        std::thread::spawn(migrate).join().unwrap();
        name
    })
}

impl InDatabase {
    fn new() -> Self {
        let name = cluster().create(Some(template()));
        Self {
            ledger: ledger_in(&name),
            name,
        }
    }

    fn sql(&self, sql: &str) -> String {
        cluster().sql(&self.name, sql)
    }
}

/// A ledger beside pgSTAC, for tests of what stands on both.
pub(crate) struct BesideCatalogue(InDatabase);

impl BesideCatalogue {
    pub(crate) async fn new() -> Self {
        Self(publishing::catalogue().await)
    }

    pub(crate) fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(ledger_in(&self.0.name))
    }

    /// A ledger whose server does not answer.
    pub(crate) fn unreachable() -> Arc<dyn Ledger> {
        let nobody = "postgresql://landfall@127.0.0.1:9/landfall";
        Arc::new(PostgresLedger::new(nobody, 1, None).unwrap())
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.0.sql(sql)
    }

    /// Makes a function of pgSTAC fail, or work again.
    pub(crate) fn break_function(&self, function: &str, arguments: &str) {
        self.0.break_function(function, arguments);
    }

    pub(crate) fn mend_function(&self, function: &str, arguments: &str) {
        self.0.mend_function(function, arguments);
    }
}

#[async_trait]
impl Subject for InDatabase {
    fn ledger(&self) -> &dyn Ledger {
        &self.ledger
    }

    fn another(&self) -> Arc<dyn Ledger> {
        Arc::new(ledger_in(&self.name))
    }

    async fn set_approval(&self, release_id: &str, state: &str) {
        let sql = format!(
            "UPDATE app.asset_releases SET approval_state = '{state}' WHERE release_id = '{release_id}' RETURNING 1"
        );
        assert_eq!(self.sql(&sql), "1");
    }

    async fn audit(&self, release_id: &str) -> Vec<String> {
        let sql = format!(
            "SELECT event_type FROM app.release_audit WHERE release_id = '{release_id}' ORDER BY audit_id"
        );
        self.sql(&sql).lines().map(str::to_owned).collect()
    }

    async fn audit_rows(&self, release_id: &str) -> Vec<serde_json::Value> {
        let sql = format!(
            "SELECT json_build_object('event_type', event_type, 'actor', actor, 'reason', reason,
                 'metadata', metadata, 'before', snapshot ->> 'approval_state')
             FROM app.release_audit WHERE release_id = '{release_id}' ORDER BY audit_id"
        );
        let rows = self.sql(&sql);
        rows.lines()
            .map(|row| serde_json::from_str(row).unwrap())
            .collect()
    }

    async fn job_status(&self, job_id: &str) -> String {
        self.sql(&format!(
            "SELECT status FROM app.jobs WHERE job_id = '{job_id}'"
        ))
    }
}

run_contract!(super::InDatabase::new());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorders_on_shared_groups_never_meet_in_a_deadlock() {
    let subject = InDatabase::new();
    crate::stores::ledger::contract::concurrent::recorders_on_shared_groups_do_not_lock_each_other_up(&subject).await;
    // Counts are reported with a delay, unless asked for by a session that forces them.
    let counted = "SELECT pg_stat_force_next_flush(); SELECT deadlocks FROM pg_stat_database
                   WHERE datname = current_database()";
    drop(subject.ledger.clone());
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(subject.sql(counted).lines().last(), Some("0"));
}
