//! The ledger and the platform's tables in PostgreSQL.
//!
//! Methods delegate to functions over a transaction, or over a connection where one statement is all. Nothing here
//! changes the schema but [`PostgresLedger::migrate`], which `landfall migrate` calls.

mod approval;
mod catalogue;
mod combine;
mod connect;
mod database;
mod declare;
mod examine;
mod files;
mod groups;
mod migrate;
mod overview;
mod platform;
mod serving;
mod settle;
mod stac;
mod tasks;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

pub use connect::{ConnectError, TokenSource};
pub use examine::{ConnectTrouble, Examined, FoundPgstac, Room, Schema};
pub use migrate::{Migration, MigrationError, MigrationOptions};

use connect::Connections;
use database::{Database, transact};
use values::{Int, Text};

use super::{
    Claim, Claimed, CombineEnd, Declaration, Declared, Fault, FileId, FileLedger, FileOutcome,
    GroupId, GroupLedger, Job, Judge, Landing, Lease, LedgerError, PublishedCombine, Recorded,
    Release, ReleaseCatalog, Revision, Settled, SourceFile, SourceGroup, StacCatalog, StacFilter,
    StacPage, StacWindow, Task,
};
use crate::stores::blobs::BlobPath;

/// The ledger in a PostgreSQL database; clones share their connections.
#[derive(Debug, Clone)]
pub struct PostgresLedger {
    database: Database,
}

impl PostgresLedger {
    /// The ledger at a `postgresql://` URL, over at most `connections` connections, which are made when they are
    /// needed. With `tokens`, each new one logs in with a token in place of a password.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] if the URL or the root certificates that it names cannot be used.
    pub fn new(
        url: &str,
        connections: usize,
        tokens: Option<Arc<dyn TokenSource>>,
    ) -> Result<Self, LedgerError> {
        let made = Connections::new(url, tokens);
        let made = made.map_err(|error| LedgerError::Unavailable(Box::new(error)))?;
        Ok(Self {
            database: Database::new(made, connections)?,
        })
    }

    /// Brings the schemas `landfall` and `app` up to date, see [`MigrationOptions`]. Several at once follow one
    /// another; nothing is ever dropped.
    ///
    /// # Errors
    ///
    /// [`MigrationError`], and then nothing was changed.
    pub async fn migrate(&self, options: &MigrationOptions) -> Result<Migration, MigrationError> {
        let mut client = self.database.client().await?;
        migrate::migrate(&mut client, options).await
    }

    /// What the database is like for the app: its version, our rights in it, its room.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when there is no connection; [`ConnectTrouble::of`] says more.
    pub async fn examine(&self) -> Result<Examined, LedgerError> {
        examine::examine(&self.database.client().await?).await
    }
}

#[async_trait]
impl FileLedger for PostgresLedger {
    async fn record_landed(&self, landing: &Landing) -> Result<Recorded, LedgerError> {
        let client = self.database.client().await?;
        if let Some(file) = files::insert(&client, landing).await? {
            return Ok(Recorded::New(file));
        }
        drop(client);
        transact!(self.database, tx => files::record_landed(tx, landing))
    }

    async fn record_gone(
        &self,
        path: &BlobPath,
        sequencer: Option<&str>,
    ) -> Result<Vec<GroupId>, LedgerError> {
        let now = Timestamp::now();
        transact!(self.database, tx => files::record_gone(tx, path, sequencer, now))
    }

    async fn record_reading(&self, file: FileId, etag: &str) -> Result<(), LedgerError> {
        let client = self.database.client().await?;
        files::record_reading(&client, file, etag, Timestamp::now()).await
    }

    async fn record_unread(&self, file: FileId, etag: &str) -> Result<bool, LedgerError> {
        let client = self.database.client().await?;
        files::record_unread(&client, file, etag, Timestamp::now()).await
    }

    async fn record_outcome(
        &self,
        file: FileId,
        etag: &str,
        outcome: &FileOutcome,
    ) -> Result<bool, LedgerError> {
        let client = self.database.client().await?;
        files::record_outcome(&client, file, etag, outcome, Timestamp::now()).await
    }

    async fn file(&self, path: &BlobPath) -> Result<Option<SourceFile>, LedgerError> {
        files::at_path(&self.database.client().await?, path).await
    }

    async fn file_by_id(&self, file: FileId) -> Result<Option<SourceFile>, LedgerError> {
        files::by_id(&self.database.client().await?, file).await
    }

    async fn files_below(&self, prefix: &BlobPath) -> Result<Vec<SourceFile>, LedgerError> {
        files::below(&self.database.client().await?, prefix).await
    }

    async fn stuck_files(&self, before: Timestamp) -> Result<Vec<SourceFile>, LedgerError> {
        files::stuck(&self.database.client().await?, before).await
    }
}

#[async_trait]
impl GroupLedger for PostgresLedger {
    async fn declare_group(&self, declaration: &Declaration) -> Result<Declared, LedgerError> {
        transact!(self.database, tx => declare::declare(tx, declaration))
    }

    async fn foresee_group(&self, declaration: &Declaration) -> Result<Declared, LedgerError> {
        transact!(self.database, tx => declare::foresee(tx, declaration))
    }

    async fn declared_groups_for(&self, path: &BlobPath) -> Result<Vec<SourceGroup>, LedgerError> {
        groups::declared_for(&self.database.client().await?, path).await
    }

    async fn add_member(
        &self,
        group: &GroupId,
        file: FileId,
        leave_auto: bool,
    ) -> Result<(), LedgerError> {
        let now = Timestamp::now();
        transact!(self.database, tx => groups::add_member(tx, group, file, leave_auto, now))
    }

    async fn groups_of(&self, file: FileId) -> Result<Vec<GroupId>, LedgerError> {
        groups::of_file(&self.database.client().await?, file).await
    }

    async fn shared_members(
        &self,
        group: &GroupId,
    ) -> Result<BTreeMap<GroupId, Vec<FileId>>, LedgerError> {
        groups::shared_members(&self.database.client().await?, group).await
    }

    async fn settle(
        &self,
        group: &GroupId,
        judge: Judge,
        now: Timestamp,
    ) -> Result<Settled, LedgerError> {
        transact!(self.database, tx => settle::settle(tx, group, judge, now))
    }

    async fn claim(
        &self,
        group: &GroupId,
        generation: i64,
        lease: &Lease,
    ) -> Result<Claimed, LedgerError> {
        transact!(self.database, tx => combine::claim(tx, group, generation, lease))
    }

    async fn renew(&self, claim: &Claim, until: Timestamp) -> Result<bool, LedgerError> {
        transact!(self.database, tx => combine::renew(tx, claim, until))
    }

    async fn publish(&self, claim: &Claim, result: &PublishedCombine) -> Result<bool, LedgerError> {
        transact!(self.database, tx => combine::publish(tx, claim, result))
    }

    async fn abandon(&self, claim: &Claim, end: &CombineEnd) -> Result<bool, LedgerError> {
        transact!(self.database, tx => combine::abandon(tx, claim, end))
    }

    async fn give_up(
        &self,
        group: &GroupId,
        generation: i64,
        fault: &Fault,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        transact!(self.database, tx => combine::give_up(tx, group, generation, fault, now))
    }

    async fn group(&self, group: &GroupId) -> Result<Option<SourceGroup>, LedgerError> {
        groups::find(&self.database.client().await?, group).await
    }

    async fn group_of_release(&self, release_id: &str) -> Result<Option<SourceGroup>, LedgerError> {
        groups::of_release(&self.database.client().await?, release_id).await
    }

    async fn members(&self, group: &GroupId) -> Result<Vec<SourceFile>, LedgerError> {
        groups::members(&self.database.client().await?, group).await
    }

    async fn overdue_groups(&self, now: Timestamp) -> Result<Vec<SourceGroup>, LedgerError> {
        groups::overdue(&self.database.client().await?, now).await
    }
}

#[async_trait]
impl ReleaseCatalog for PostgresLedger {
    async fn release(&self, release_id: &str) -> Result<Option<Release>, LedgerError> {
        platform::release(&self.database.client().await?, release_id).await
    }

    async fn resolve(&self, id: &str) -> Result<Option<Release>, LedgerError> {
        platform::resolve(&self.database.client().await?, id).await
    }

    async fn resolve_names(
        &self,
        dataset_id: &str,
        resource_id: &str,
    ) -> Result<Option<Release>, LedgerError> {
        let rest = "WHERE a.dataset_id = $1 AND a.resource_id = $2
                    ORDER BY r.created_at DESC, r.version_ordinal DESC LIMIT 1";
        let client = self.database.client().await?;
        let names: database::Parameters<'_> = &[&Text(dataset_id), &Text(resource_id)];
        Ok(platform::releases(&client, rest, names).await?.pop())
    }

    async fn releases(&self, limit: u32) -> Result<Vec<Release>, LedgerError> {
        let rest = "ORDER BY r.created_at DESC, r.version_ordinal DESC, r.release_id LIMIT $1";
        let client = self.database.client().await?;
        platform::releases(&client, rest, &[&Int(limit.into())]).await
    }

    async fn revision(
        &self,
        release_id: &str,
        revision: i64,
    ) -> Result<Option<Revision>, LedgerError> {
        platform::revision(&self.database.client().await?, release_id, revision).await
    }

    async fn versions(&self, asset_id: &str) -> Result<Vec<Release>, LedgerError> {
        let rest = "WHERE r.asset_id = $1 ORDER BY r.version_ordinal DESC";
        let client = self.database.client().await?;
        let found = platform::releases(&client, rest, &[&Text(asset_id)]).await?;
        Ok(found.into_iter().map(Release::without_item).collect())
    }

    async fn job(&self, job_id: &str) -> Result<Option<Job>, LedgerError> {
        platform::job(&self.database.client().await?, job_id).await
    }

    async fn tasks(&self, job_id: &str) -> Result<Vec<Task>, LedgerError> {
        platform::tasks(&self.database.client().await?, job_id).await
    }

    async fn check_schema(&self) -> Result<i64, LedgerError> {
        migrate::check_schema(&self.database.client().await?).await
    }
}

#[async_trait]
impl StacCatalog for PostgresLedger {
    async fn has_catalogue(&self) -> Result<bool, LedgerError> {
        stac::is_present(&self.database.client().await?).await
    }

    async fn stac_collections(&self, window: &StacWindow) -> Result<Option<StacPage>, LedgerError> {
        let client = self.database.client().await?;
        match stac::is_present(&client).await? {
            true => stac::collections(&client, window).await.map(Some),
            false => Ok(None),
        }
    }

    async fn stac_collection(&self, id: &str) -> Result<Option<StacPage>, LedgerError> {
        let client = self.database.client().await?;
        match stac::is_present(&client).await? {
            true => stac::collection(&client, id).await.map(Some),
            false => Ok(None),
        }
    }

    async fn stac_items(
        &self,
        collection: &str,
        filter: &StacFilter,
        window: &StacWindow,
    ) -> Result<Option<StacPage>, LedgerError> {
        let client = self.database.client().await?;
        match stac::is_present(&client).await? {
            true => stac::items(&client, collection, filter, window)
                .await
                .map(Some),
            false => Ok(None),
        }
    }

    async fn stac_item(&self, collection: &str, id: &str) -> Result<Option<StacPage>, LedgerError> {
        let client = self.database.client().await?;
        match stac::is_present(&client).await? {
            true => stac::item(&client, collection, id).await.map(Some),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
