//! The ledger in one SQLite file, the embedded default.
//!
//! Methods delegate to functions over a transaction: writing ones take the write lock first, so what they read is
//! what they change; reading ones see one snapshot.

mod approval;
mod combine;
mod database;
mod declare;
mod files;
mod groups;
mod overview;
mod platform;
mod serving;
mod settle;
mod tasks;
mod values;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use jiff::Timestamp;

pub(crate) use database::Database;
pub(crate) use values::{time, time_text};

use super::{
    Claim, Claimed, CombineEnd, Declaration, Declared, Fault, FileId, FileLedger, FileOutcome,
    GroupId, GroupLedger, Job, Judge, Landing, Lease, LedgerError, PublishedCombine, Recorded,
    Release, ReleaseCatalog, Revision, Settled, SourceFile, SourceGroup, StacCatalog, StacFilter,
    StacPage, StacWindow, Task,
};
use crate::stores::blobs::BlobPath;

/// The ledger in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteLedger {
    database: Database,
}

impl SqliteLedger {
    /// Opens or creates the file at `path` and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] if the file cannot be opened or stays locked.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Ok(Self {
            database: Database::open(path)?,
        })
    }

    /// The version of the schema in a file, which is not changed; `None` if there is no file.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] if the file cannot be opened or written, or is none of ours.
    pub fn look(path: &Path) -> Result<Option<i64>, LedgerError> {
        Database::look(path)
    }
}

#[async_trait]
impl FileLedger for SqliteLedger {
    async fn record_landed(&self, landing: &Landing) -> Result<Recorded, LedgerError> {
        let landing = landing.clone();
        self.database
            .write(move |tx| files::record_landed(tx, &landing))
            .await
    }

    async fn record_gone(
        &self,
        path: &BlobPath,
        sequencer: Option<&str>,
    ) -> Result<Vec<GroupId>, LedgerError> {
        let (path, sequencer) = (path.clone(), sequencer.map(str::to_owned));
        let now = Timestamp::now();
        self.database
            .write(move |tx| files::record_gone(tx, &path, sequencer.as_deref(), now))
            .await
    }

    async fn record_reading(&self, file: FileId, etag: &str) -> Result<(), LedgerError> {
        let etag = etag.to_owned();
        self.database
            .write(move |tx| files::record_reading(tx, file, &etag, Timestamp::now()))
            .await
    }

    async fn record_unread(&self, file: FileId, etag: &str) -> Result<bool, LedgerError> {
        let etag = etag.to_owned();
        self.database
            .write(move |tx| files::record_unread(tx, file, &etag, Timestamp::now()))
            .await
    }

    async fn record_outcome(
        &self,
        file: FileId,
        etag: &str,
        outcome: &FileOutcome,
    ) -> Result<bool, LedgerError> {
        let (etag, outcome) = (etag.to_owned(), outcome.clone());
        self.database
            .write(move |tx| files::record_outcome(tx, file, &etag, &outcome, Timestamp::now()))
            .await
    }

    async fn file(&self, path: &BlobPath) -> Result<Option<SourceFile>, LedgerError> {
        let path = path.clone();
        self.database
            .read(move |tx| files::at_path(tx, &path))
            .await
    }

    async fn file_by_id(&self, file: FileId) -> Result<Option<SourceFile>, LedgerError> {
        self.database.read(move |tx| files::by_id(tx, file)).await
    }

    async fn files_below(&self, prefix: &BlobPath) -> Result<Vec<SourceFile>, LedgerError> {
        let prefix = prefix.clone();
        self.database
            .read(move |tx| files::below(tx, &prefix))
            .await
    }

    async fn stuck_files(&self, before: Timestamp) -> Result<Vec<SourceFile>, LedgerError> {
        self.database.read(move |tx| files::stuck(tx, before)).await
    }
}

#[async_trait]
impl GroupLedger for SqliteLedger {
    async fn declare_group(&self, declaration: &Declaration) -> Result<Declared, LedgerError> {
        let declaration = declaration.clone();
        self.database
            .write(move |tx| declare::declare(tx, &declaration))
            .await
    }

    async fn foresee_group(&self, declaration: &Declaration) -> Result<Declared, LedgerError> {
        let declaration = declaration.clone();
        self.database
            .write(move |tx| declare::foresee(tx, &declaration))
            .await
    }

    async fn declared_groups_for(&self, path: &BlobPath) -> Result<Vec<SourceGroup>, LedgerError> {
        let path = path.clone();
        self.database
            .read(move |tx| groups::declared_for(tx, &path))
            .await
    }

    async fn add_member(
        &self,
        group: &GroupId,
        file: FileId,
        leave_auto: bool,
    ) -> Result<(), LedgerError> {
        let group = group.clone();
        self.database
            .write(move |tx| groups::add_member(tx, &group, file, leave_auto, Timestamp::now()))
            .await
    }

    async fn groups_of(&self, file: FileId) -> Result<Vec<GroupId>, LedgerError> {
        self.database
            .read(move |tx| groups::of_file(tx, file))
            .await
    }

    async fn shared_members(
        &self,
        group: &GroupId,
    ) -> Result<BTreeMap<GroupId, Vec<FileId>>, LedgerError> {
        let group = group.clone();
        self.database
            .read(move |tx| groups::shared_members(tx, &group))
            .await
    }

    async fn settle(
        &self,
        group: &GroupId,
        judge: Judge,
        now: Timestamp,
    ) -> Result<Settled, LedgerError> {
        let group = group.clone();
        self.database
            .write(move |tx| settle::settle(tx, &group, judge, now))
            .await
    }

    async fn claim(
        &self,
        group: &GroupId,
        generation: i64,
        lease: &Lease,
    ) -> Result<Claimed, LedgerError> {
        let (group, lease) = (group.clone(), lease.clone());
        self.database
            .write(move |tx| combine::claim(tx, &group, generation, &lease))
            .await
    }

    async fn renew(&self, claim: &Claim, until: Timestamp) -> Result<bool, LedgerError> {
        let claim = claim.clone();
        self.database
            .write(move |tx| combine::renew(tx, &claim, until))
            .await
    }

    async fn publish(&self, claim: &Claim, result: &PublishedCombine) -> Result<bool, LedgerError> {
        let (claim, result) = (claim.clone(), result.clone());
        self.database
            .write(move |tx| combine::publish(tx, &claim, &result))
            .await
    }

    async fn abandon(&self, claim: &Claim, end: &CombineEnd) -> Result<bool, LedgerError> {
        let (claim, end) = (claim.clone(), end.clone());
        self.database
            .write(move |tx| combine::abandon(tx, &claim, &end))
            .await
    }

    async fn give_up(
        &self,
        group: &GroupId,
        generation: i64,
        fault: &Fault,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let (group, fault) = (group.clone(), fault.clone());
        self.database
            .write(move |tx| combine::give_up(tx, &group, generation, &fault, now))
            .await
    }

    async fn group(&self, group: &GroupId) -> Result<Option<SourceGroup>, LedgerError> {
        let group = group.clone();
        self.database
            .read(move |tx| Ok(groups::find(tx, &group)?.map(|row| row.group)))
            .await
    }

    async fn group_of_release(&self, release_id: &str) -> Result<Option<SourceGroup>, LedgerError> {
        let release_id = release_id.to_owned();
        self.database
            .read(move |tx| groups::of_release(tx, &release_id))
            .await
    }

    async fn members(&self, group: &GroupId) -> Result<Vec<SourceFile>, LedgerError> {
        let group = group.clone();
        self.database
            .read(move |tx| groups::members(tx, &group))
            .await
    }

    async fn overdue_groups(&self, now: Timestamp) -> Result<Vec<SourceGroup>, LedgerError> {
        self.database.read(move |tx| groups::overdue(tx, now)).await
    }
}

#[async_trait]
impl ReleaseCatalog for SqliteLedger {
    async fn release(&self, release_id: &str) -> Result<Option<Release>, LedgerError> {
        let release_id = release_id.to_owned();
        self.database
            .read(move |tx| platform::release(tx, &release_id))
            .await
    }

    async fn resolve(&self, id: &str) -> Result<Option<Release>, LedgerError> {
        let id = id.to_owned();
        self.database
            .read(move |tx| platform::resolve(tx, &id))
            .await
    }

    async fn resolve_names(
        &self,
        dataset_id: &str,
        resource_id: &str,
    ) -> Result<Option<Release>, LedgerError> {
        let names = (dataset_id.to_owned(), resource_id.to_owned());
        let rest = "WHERE a.dataset_id = ?1 AND a.resource_id = ?2
                    ORDER BY r.created_at DESC, r.version_ordinal DESC LIMIT 1";
        self.database
            .read(move |tx| Ok(platform::releases(tx, rest, names)?.pop()))
            .await
    }

    async fn releases(&self, limit: u32) -> Result<Vec<Release>, LedgerError> {
        let rest = "ORDER BY r.created_at DESC, r.rowid DESC LIMIT ?1";
        self.database
            .read(move |tx| platform::releases(tx, rest, [limit]))
            .await
    }

    async fn revision(
        &self,
        release_id: &str,
        revision: i64,
    ) -> Result<Option<Revision>, LedgerError> {
        let release_id = release_id.to_owned();
        self.database
            .read(move |tx| platform::revision(tx, &release_id, revision))
            .await
    }

    async fn versions(&self, asset_id: &str) -> Result<Vec<Release>, LedgerError> {
        let asset_id = asset_id.to_owned();
        let rest = "WHERE r.asset_id = ?1 ORDER BY r.version_ordinal DESC";
        let found = self
            .database
            .read(move |tx| platform::releases(tx, rest, [asset_id]));
        Ok(found
            .await?
            .into_iter()
            .map(Release::without_item)
            .collect())
    }

    async fn job(&self, job_id: &str) -> Result<Option<Job>, LedgerError> {
        let job_id = job_id.to_owned();
        self.database
            .read(move |tx| platform::job(tx, &job_id))
            .await
    }

    async fn tasks(&self, job_id: &str) -> Result<Vec<Task>, LedgerError> {
        let job_id = job_id.to_owned();
        self.database
            .read(move |tx| platform::tasks(tx, &job_id))
            .await
    }

    async fn check_schema(&self) -> Result<i64, LedgerError> {
        self.database.read(|tx| database::check_schema(tx)).await
    }
}

/// There is no STAC catalogue in SQLite.
#[async_trait]
impl StacCatalog for SqliteLedger {
    async fn has_catalogue(&self) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn stac_collections(&self, _: &StacWindow) -> Result<Option<StacPage>, LedgerError> {
        Ok(None)
    }

    async fn stac_collection(&self, _: &str) -> Result<Option<StacPage>, LedgerError> {
        Ok(None)
    }

    async fn stac_items(
        &self,
        _: &str,
        _: &StacFilter,
        _: &StacWindow,
    ) -> Result<Option<StacPage>, LedgerError> {
        Ok(None)
    }

    async fn stac_item(&self, _: &str, _: &str) -> Result<Option<StacPage>, LedgerError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::stores::ledger::Ledger;
    use crate::stores::ledger::contract::{Subject, run_contract};

    struct InFolder {
        ledger: SqliteLedger,
        folder: tempfile::TempDir,
    }

    impl InFolder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
            Self { ledger, folder }
        }
    }

    #[async_trait]
    impl Subject for InFolder {
        fn ledger(&self) -> &dyn Ledger {
            &self.ledger
        }

        fn another(&self) -> Arc<dyn Ledger> {
            Arc::new(SqliteLedger::open(&self.folder.path().join("ledger.db")).unwrap())
        }

        async fn set_approval(&self, release_id: &str, state: &str) {
            let row = (release_id.to_owned(), state.to_owned());
            let sql = "UPDATE app_asset_releases SET approval_state = ?2 WHERE release_id = ?1";
            let changed = self
                .ledger
                .database
                .write(move |tx| Ok(tx.execute(sql, row)?))
                .await;
            assert_eq!(changed.unwrap(), 1);
        }

        async fn audit(&self, release_id: &str) -> Vec<String> {
            let release_id = release_id.to_owned();
            let sql =
                "SELECT event_type FROM app_release_audit WHERE release_id = ?1 ORDER BY audit_id";
            let read = self.ledger.database.read(move |tx| {
                tx.prepare(sql)?
                    .query_and_then([release_id], |row| Ok(row.get(0)?))?
                    .collect()
            });
            read.await.unwrap()
        }

        async fn audit_rows(&self, release_id: &str) -> Vec<serde_json::Value> {
            let release_id = release_id.to_owned();
            let sql = "SELECT json_object('event_type', event_type, 'actor', actor, 'reason', reason,
                           'metadata', json(metadata), 'before', json_extract(snapshot, '$.approval_state'))
                       FROM app_release_audit WHERE release_id = ?1 ORDER BY audit_id";
            let read = self.ledger.database.read(move |tx| {
                tx.prepare(sql)?
                    .query_and_then([release_id], |row| Ok(row.get(0)?))?
                    .collect::<Result<Vec<String>, LedgerError>>()
            });
            let rows = read.await.unwrap();
            rows.iter()
                .map(|row| serde_json::from_str(row).unwrap())
                .collect()
        }

        async fn job_status(&self, job_id: &str) -> String {
            let job_id = job_id.to_owned();
            let sql = "SELECT status FROM app_jobs WHERE job_id = ?1";
            let read = self
                .ledger
                .database
                .read(move |tx| Ok(tx.query_row(sql, [job_id], |row| row.get(0))?));
            read.await.unwrap()
        }
    }

    // A handler and the local host, or two handlers, share the file: each waits for the other's transaction.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_processes_write_one_blob_and_the_newest_wins() {
        let one = InFolder::new();
        let two = SqliteLedger::open(&one.folder.path().join("ledger.db")).unwrap();
        let landing = |number: u64| Landing {
            path: BlobPath::new("local", "bronze", "a.nc"),
            etag: format!("v{number}"),
            size: 1,
            sequencer: Some(format!("{number:x}")),
            at: Timestamp::UNIX_EPOCH,
        };
        // 37 is prime to 100: every sequencer once, in no order.
        let write = |ledger: SqliteLedger, half: u64| async move {
            for step in (0..100).filter(|step| step % 2 == half) {
                ledger
                    .record_landed(&landing(step * 37 % 100))
                    .await
                    .unwrap();
            }
        };
        let writers = (
            tokio::spawn(write(one.ledger.clone(), 0)),
            tokio::spawn(write(two.clone(), 1)),
        );
        writers.0.await.unwrap();
        writers.1.await.unwrap();
        let path = BlobPath::new("local", "bronze", "a.nc");
        assert_eq!(two.file(&path).await.unwrap().unwrap().etag, "v99");
    }

    run_contract!(super::InFolder::new());
}
