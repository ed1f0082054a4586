//! The ledger: what has landed, which series it belongs to, what has been published.
//!
//! Every method is one transaction. The database decides who may do what (sequencers, `ETag`s, generations,
//! leases); queues only carry. SQLite is the embedded default, PostgreSQL what a deployment uses; both pass the tests in `contract`.

mod approval;
mod audit;
#[cfg(test)]
mod contract;
pub mod ids;
mod model;
mod order;
pub mod overview;
mod place;
mod postgres;
mod rest;
mod serving;
pub(crate) mod sqlite;
mod stac;
mod takeover;
mod work;

pub use approval::{
    Action, Approval, ApprovalFilter, ApprovalLedger, Approvals, CachedItem, Catalogue, Clearance,
    Decided, Decision, PublishedRevision, Reason, Refusal, ReleaseSource, StacDocuments,
    Unpublication, Which,
};
pub use model::*;
pub use overview::OverviewLedger;
#[cfg(test)]
pub(crate) use postgres::tests::BesideCatalogue;
pub use postgres::{
    ConnectError, ConnectTrouble, Examined, FoundPgstac, Migration, MigrationError,
    MigrationOptions, PostgresLedger, Room, Schema, TokenSource,
};
pub use serving::ServingLedger;
pub use sqlite::SqliteLedger;
pub use stac::{Extent, MANAGED_BY, MANAGER, StacCatalog, StacFilter, StacPage, StacWindow};
pub use work::tasks_of_files;

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::blobs::BlobPath;

/// Why the ledger failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The database is unreachable, locked or failing; worth another try.
    #[error("the ledger is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database does not take a value, such as a name that is longer than a platform's column.
    #[error("the ledger does not take a value")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is stored cannot be read back.
    #[error("{what} in the ledger cannot be read")]
    Corrupt {
        /// The value.
        what: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The schema is older than this program.
    #[error("the ledger's schema is version {found}, this program needs {needed}")]
    SchemaTooOld {
        /// Version found.
        found: i64,
        /// Version needed.
        needed: i64,
    },
    /// There is no such group.
    #[error("there is no group {0}")]
    UnknownGroup(GroupId),
    /// The request contradicts what is recorded.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The state of a Release does not allow what is asked for.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The catalogue beside the ledger does not take what is written to it; nothing was changed.
    #[error("the STAC catalogue failed at {step}")]
    Catalogue {
        /// What was being done.
        step: &'static str,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A request that contradicts what is recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// The Asset has a Release already, declared with other options.
    #[error("{asset} is declared already with other options: {difference}")]
    OtherOptions {
        /// `dataset_id/resource_id`.
        asset: String,
        /// What differs.
        difference: String,
    },
    /// Another source of declarations owns the Asset.
    #[error("{asset} belongs to {owner}")]
    OwnedByOther {
        /// `dataset_id/resource_id`.
        asset: String,
        /// Who declared it.
        owner: String,
    },
    /// A new version is asked for while the Release before it is still open.
    #[error("the Release of {asset} is still {state}; have it approved, or overwrite it")]
    StillOpen {
        /// `dataset_id/resource_id`.
        asset: String,
        /// Its approval state.
        state: String,
    },
    /// The versions do not follow each other.
    #[error("{asset}: {problem}")]
    Version {
        /// `dataset_id/resource_id`.
        asset: String,
        /// What is wrong with them.
        problem: String,
    },
    /// The Release that would be overwritten is approved.
    #[error("the Release of {asset} is approved; revoke it before it is overwritten")]
    Approved {
        /// `dataset_id/resource_id`.
        asset: String,
    },
}

/// What has landed.
#[async_trait]
pub trait FileLedger: Send + Sync {
    /// Records that a version of a file is there.
    ///
    /// Newer versions (by sequencer, else by a differing `ETag` that a HEAD just confirmed) replace the record,
    /// set its state to *landed*, and start the next generation of every group that holds the file.
    async fn record_landed(&self, landing: &Landing) -> Result<Recorded, LedgerError>;

    /// Records that a file is gone; groups that hold it start their next generation (state *stale*, or
    /// *collecting* before the first combine). An event older than the recorded version changes nothing.
    async fn record_gone(
        &self,
        path: &BlobPath,
        sequencer: Option<&str>,
    ) -> Result<Vec<GroupId>, LedgerError>;

    /// Moves a landed file to *reading*, so that a crash is seen.
    async fn record_reading(&self, file: FileId, etag: &str) -> Result<(), LedgerError>;

    /// Sends a version that was read back to *landed*, so that it is read once more; `false` if it is no longer
    /// current, or was not read yet.
    async fn record_unread(&self, file: FileId, etag: &str) -> Result<bool, LedgerError>;

    /// Records the outcome of reading a version; `false` if that version is no longer current (then nothing
    /// was changed).
    async fn record_outcome(
        &self,
        file: FileId,
        etag: &str,
        outcome: &FileOutcome,
    ) -> Result<bool, LedgerError>;

    /// The file at a path.
    async fn file(&self, path: &BlobPath) -> Result<Option<SourceFile>, LedgerError>;

    /// The file with an id.
    async fn file_by_id(&self, file: FileId) -> Result<Option<SourceFile>, LedgerError>;

    /// Files below a prefix that are not gone, by name.
    async fn files_below(&self, prefix: &BlobPath) -> Result<Vec<SourceFile>, LedgerError>;

    /// Files that have been *landed* or *reading* since before `before`: a message got lost, or a handler died.
    async fn stuck_files(&self, before: Timestamp) -> Result<Vec<SourceFile>, LedgerError>;
}

/// Which series are complete.
#[async_trait]
pub trait GroupLedger: Send + Sync {
    /// Declares a group with its Asset, Release and job, or finds the one declared before.
    ///
    /// The same declaration again changes nothing, but that a submit queues a failed or refused group again (settle
    /// it). A declaration by `landfall.json` or submit takes over the auto-grouped one of the same Asset while that
    /// has not been combined. Members outside a new prefix leave, all of them where the file pattern changes: the
    /// caller adds what it finds.
    async fn declare_group(&self, declaration: &Declaration) -> Result<Declared, LedgerError>;

    /// What [`declare_group`](Self::declare_group) would come to; nothing is changed.
    async fn foresee_group(&self, declaration: &Declaration) -> Result<Declared, LedgerError>;

    /// Declared groups (not auto-grouped ones) that could hold the blob: same account and container, prefix and
    /// named files fit. The caller checks the pattern.
    async fn declared_groups_for(&self, path: &BlobPath) -> Result<Vec<SourceGroup>, LedgerError>;

    /// Makes a file a member; a file that was in an auto-grouped, never combined group leaves it when
    /// `leave_auto` is set, and the last one takes that group and its Release with it. Idempotent.
    async fn add_member(
        &self,
        group: &GroupId,
        file: FileId,
        leave_auto: bool,
    ) -> Result<(), LedgerError>;

    /// Groups that hold the file.
    async fn groups_of(&self, file: FileId) -> Result<Vec<GroupId>, LedgerError>;

    /// Members of a group that others have as well, by the other group.
    async fn shared_members(
        &self,
        group: &GroupId,
    ) -> Result<BTreeMap<GroupId, Vec<FileId>>, LedgerError>;

    /// Judges a group on what its members are now and records the verdict, in one transaction. A change of the
    /// member set (file, `ETag`) since the last generation starts the next one.
    async fn settle(
        &self,
        group: &GroupId,
        judge: Judge,
        now: Timestamp,
    ) -> Result<Settled, LedgerError>;

    /// Claims a due group for `runner`. A claim whose lease ran out is taken over.
    async fn claim(
        &self,
        group: &GroupId,
        generation: i64,
        lease: &Lease,
    ) -> Result<Claimed, LedgerError>;

    /// Extends the lease of a claim; `false` if it is no longer ours or the generation has moved on.
    async fn renew(&self, claim: &Claim, until: Timestamp) -> Result<bool, LedgerError>;

    /// Publishes a finished combine: Release (item, `blob_path`, revision, *completed*), job, tasks, audit and
    /// group (*combined*), guarded by generation, runner and revision. `false`: the result is to be thrown away.
    async fn publish(&self, claim: &Claim, result: &PublishedCombine) -> Result<bool, LedgerError>;

    /// Ends a claim without a result: *blocked* (the input is at fault) or *failed* (retry). Guarded like
    /// [`publish`](Self::publish).
    async fn abandon(&self, claim: &Claim, end: &CombineEnd) -> Result<bool, LedgerError>;

    /// Records that a generation could not be combined however often it was tried: a group that is still *due*, or
    /// *combining* in the hands of nobody, becomes *failed*. `false` if it is neither, or has moved on.
    async fn give_up(
        &self,
        group: &GroupId,
        generation: i64,
        fault: &Fault,
        now: Timestamp,
    ) -> Result<bool, LedgerError>;

    /// The group with an id.
    async fn group(&self, group: &GroupId) -> Result<Option<SourceGroup>, LedgerError>;

    /// The group that feeds a Release.
    async fn group_of_release(&self, release_id: &str) -> Result<Option<SourceGroup>, LedgerError>;

    /// Members of a group with their files, by name.
    async fn members(&self, group: &GroupId) -> Result<Vec<SourceFile>, LedgerError>;

    /// Groups that Sweep has to look at: *due*, *collecting* with a quiet period that ran out by `now`,
    /// *combining* with a lease that ran out, *failed*, and those with members that were never settled on.
    async fn overdue_groups(&self, now: Timestamp) -> Result<Vec<SourceGroup>, LedgerError>;
}

/// What has been published.
#[async_trait]
pub trait ReleaseCatalog: Send + Sync {
    /// A Release with its cached item.
    async fn release(&self, release_id: &str) -> Result<Option<Release>, LedgerError>;

    /// The newest Release that a release, job, request or asset id means.
    async fn resolve(&self, id: &str) -> Result<Option<Release>, LedgerError>;

    /// The newest Release of an Asset by its names.
    async fn resolve_names(
        &self,
        dataset_id: &str,
        resource_id: &str,
    ) -> Result<Option<Release>, LedgerError>;

    /// Releases, newest first.
    async fn releases(&self, limit: u32) -> Result<Vec<Release>, LedgerError>;

    /// One published revision of a Release; `None` if it was never published.
    async fn revision(
        &self,
        release_id: &str,
        revision: i64,
    ) -> Result<Option<Revision>, LedgerError>;

    /// The Releases of an Asset, newest first, without their items.
    async fn versions(&self, asset_id: &str) -> Result<Vec<Release>, LedgerError>;

    /// A job.
    async fn job(&self, job_id: &str) -> Result<Option<Job>, LedgerError>;

    /// The tasks of a job, in order.
    async fn tasks(&self, job_id: &str) -> Result<Vec<Task>, LedgerError>;

    /// Version of the schema, once it is known to be current.
    async fn check_schema(&self) -> Result<i64, LedgerError>;
}

/// The whole ledger.
pub trait Ledger:
    FileLedger
    + GroupLedger
    + ReleaseCatalog
    + ApprovalLedger
    + ServingLedger
    + OverviewLedger
    + StacCatalog
    + std::fmt::Debug
{
}

impl<T> Ledger for T where
    T: FileLedger
        + GroupLedger
        + ReleaseCatalog
        + ApprovalLedger
        + ServingLedger
        + OverviewLedger
        + StacCatalog
        + std::fmt::Debug
{
}
