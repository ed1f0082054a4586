//! What a person decides about a Release, and when that may be decided: the rules are the same for every store. SPEC §8.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{FileId, LedgerError, ProcessingStatus, Release, SourceFile};

/// What people have decided about Releases. SPEC §8.
///
/// Each decision is one transaction with its audit row and with what it means for the STAC catalogue, where one stands
/// in the same database: if the catalogue fails, nothing was decided.
#[async_trait]
pub trait ApprovalLedger: Send + Sync {
    /// Approves a Release that is pending review and completed, and writes its item to the catalogue.
    async fn approve(&self, approval: &Approval) -> Result<Decided, LedgerError>;

    /// Rejects a Release that is pending review; its revisions are not served any more.
    async fn reject(&self, decision: &Decision) -> Result<Decided, LedgerError>;

    /// Takes an approval back: the item leaves the catalogue, with its collection if that is empty then.
    async fn revoke(&self, decision: &Decision) -> Result<Decided, LedgerError>;

    /// Records that the references of a Release are to be deleted; from then on nothing of it is served.
    async fn unpublish(&self, order: &Unpublication) -> Result<Decided, LedgerError>;

    /// Writes the item of an approved Release to the catalogue once more.
    async fn materialize(
        &self,
        seen: &Release,
        documents: &StacDocuments,
    ) -> Result<Catalogue, LedgerError>;

    /// Caches another item on a Release.
    async fn cache_item(&self, cached: &CachedItem) -> Result<Release, LedgerError>;

    /// What keeps a Release from having a version: that another approved one has it or the item of its ids, or that
    /// somebody else has written that item.
    async fn version_conflict(
        &self,
        release: &Release,
        version_id: &str,
        documents: &StacDocuments,
    ) -> Result<Option<Refusal>, LedgerError>;

    /// Releases by how far they are reviewed.
    async fn approvals(&self, filter: &ApprovalFilter) -> Result<Approvals, LedgerError>;

    /// Every published revision of a Release, withdrawn ones included, in order.
    async fn published_revisions(
        &self,
        release_id: &str,
    ) -> Result<Vec<PublishedRevision>, LedgerError>;

    /// The files of the published revision of a Release, by name; or those of them that are not what was combined.
    async fn release_sources(
        &self,
        release_id: &str,
        which: Which,
    ) -> Result<Vec<ReleaseSource>, LedgerError>;

    /// Approved Releases that were combined from another version of a file than it has now, or that it is gone from;
    /// without a file, from any.
    async fn releases_changed_by(&self, file: Option<FileId>) -> Result<Vec<Release>, LedgerError>;
}

/// Columns of a Release as they are before anybody has reviewed it, for an UPDATE. The text is the same in every
/// dialect.
pub(super) const UNREVIEWED: &str = "version_id = NULL, is_served = false, approval_state = 'pending_review', \
     reviewer = NULL, reviewed_at = NULL, rejection_reason = NULL, approval_notes = NULL, \
     clearance_state = 'uncleared', cleared_at = NULL, cleared_by = NULL, made_public_at = NULL, \
     made_public_by = NULL, revoked_at = NULL, revoked_by = NULL, revocation_reason = NULL";

/// Who may see an approved Release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clearance {
    /// Official use only.
    Ouo,
    /// Everybody.
    Public,
}

impl Clearance {
    /// The platform's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ouo => "ouo",
            Self::Public => "public",
        }
    }
}

/// What can be done to a Release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Approve it.
    Approve,
    /// Reject it.
    Reject,
    /// Revoke its approval.
    Revoke,
    /// Delete its references.
    Unpublish,
    /// Cache its item.
    CacheItem,
    /// Write it to the catalogue.
    Materialize,
}

impl Action {
    /// What the Release is afterwards.
    const fn done(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Reject => "rejected",
            Self::Revoke => "revoked",
            Self::Unpublish => "unpublished",
            Self::CacheItem => "catalogued",
            Self::Materialize => "written to the catalogue",
        }
    }

    /// The approval state that it starts from; `None` if any will do.
    const fn from(self) -> Option<&'static str> {
        match self {
            Self::Approve | Self::Reject => Some("pending_review"),
            Self::Revoke | Self::Materialize => Some("approved"),
            Self::Unpublish | Self::CacheItem => None,
        }
    }

    /// Whether a Release may be this now.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] that says why not.
    pub fn check(self, release: &Release) -> Result<(), Refusal> {
        let refuse = |reason| {
            Err(Refusal::State {
                action: self,
                reason,
            })
        };
        if let Some(needed) = self.from()
            && release.approval_state != needed
        {
            let state = release.approval_state.clone();
            return refuse(Reason::Approval { state, needed });
        }
        let needs_result = matches!(self, Self::Approve | Self::CacheItem | Self::Materialize);
        if needs_result && release.blob_path.is_none() {
            return refuse(Reason::NothingPublished);
        }
        let is_done = release.processing_status == ProcessingStatus::Completed;
        if matches!(self, Self::Approve | Self::CacheItem) && !is_done {
            return refuse(Reason::Processing(release.processing_status));
        }
        if self == Self::Unpublish && release.processing_status == ProcessingStatus::Processing {
            return refuse(Reason::Processing(release.processing_status));
        }
        Ok(())
    }
}

/// Why the state of a Release does not allow an action.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Its approval state is another.
    Approval {
        /// What it is.
        state: String,
        /// What it would have to be.
        needed: &'static str,
    },
    /// It is not processed, or not yet.
    Processing(ProcessingStatus),
    /// No revision of it is published.
    NothingPublished,
    /// It is approved, and nobody said that this is to end.
    StillApproved,
    /// It is not any more what was looked at.
    Moved,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval { state, needed } => {
                write!(out, "its approval_state is {state}, not {needed}")
            }
            Self::Processing(status) => {
                let status = json!(status);
                let status = status.as_str().unwrap_or_default();
                write!(out, "its processing_status is {status}, not completed")
            }
            Self::NothingPublished => out.write_str("no revision of it is published"),
            Self::StillApproved => out.write_str("it is approved; revoke it first"),
            Self::Moved => out.write_str("it has changed since it was looked at"),
        }
    }
}

/// Why something is not done to a Release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such Release.
    #[error("there is no such Release")]
    Unknown,
    /// Its state does not allow it.
    #[error("the Release cannot be {}: {reason}", .action.done())]
    State {
        /// What was to be done.
        action: Action,
        /// Why it cannot be done.
        reason: Reason,
    },
    /// Another approved Release has the version, or the item that goes with it.
    #[error("version {version_id} is that of another approved Release")]
    Version {
        /// The version.
        version_id: String,
        /// The other Release.
        conflicting_release_id: String,
    },
    /// The catalogue has an item of these ids that no Release of ours is the origin of.
    #[error(
        "the catalogue has an item {item_id} in {collection_id} that somebody else has written"
    )]
    Occupied {
        /// Id of the item.
        item_id: String,
        /// Id of its collection.
        collection_id: String,
    },
}

/// What the catalogue is to hold of a Release.
#[derive(Debug, Clone, PartialEq)]
pub struct StacDocuments {
    /// Id of the item.
    pub item_id: String,
    /// Id of its collection.
    pub collection_id: String,
    /// The item.
    pub item: Value,
    /// The collection, should there be none yet.
    pub collection: Value,
}

/// Whether a catalogue stands beside the ledger, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catalogue {
    /// There is none in this database.
    Absent,
    /// There is one, and there was nothing to change.
    Unchanged,
    /// It was changed.
    Updated,
}

/// That a person approves a Release.
#[derive(Debug, Clone)]
pub struct Approval {
    /// The Release as it was looked at: this is approved, and nothing newer.
    pub seen: Release,
    /// Its version from now on.
    pub version_id: String,
    /// Who may see it.
    pub clearance: Clearance,
    /// Who approves it.
    pub reviewer: String,
    /// What they say about it.
    pub notes: Option<String>,
    /// What the catalogue is to hold of it.
    pub documents: StacDocuments,
    /// When.
    pub at: Timestamp,
}

impl Approval {
    /// Whether the Release as it is now may be approved.
    pub(super) fn check(&self, now: &Release) -> Result<(), Refusal> {
        Action::Approve.check(now)?;
        check_same(Action::Approve, &self.seen, now)
    }

    /// What the audit tells of it.
    pub(super) fn metadata(&self) -> Value {
        json!({
            "version_id": self.version_id,
            "clearance_state": self.clearance,
            "stac_item_id": self.documents.item_id,
            "stac_collection_id": self.documents.collection_id,
        })
    }

    /// The cached item under the id that it has from now on.
    pub(super) fn cached_item(&self) -> Value {
        let mut item = self.seen.stac_item_json.clone().unwrap_or_default();
        if let Some(fields) = item.as_object_mut() {
            fields.insert(String::from("id"), json!(self.documents.item_id));
        }
        item
    }
}

/// Refuses a Release that is another than the one that was looked at.
pub(super) fn check_same(action: Action, seen: &Release, now: &Release) -> Result<(), Refusal> {
    let is_same = (seen.revision, &seen.blob_path, &seen.stac_item_json)
        == (now.revision, &now.blob_path, &now.stac_item_json);
    match is_same {
        true => Ok(()),
        false => Err(Refusal::State {
            action,
            reason: Reason::Moved,
        }),
    }
}

/// That a person rejects a Release, or takes it back.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The Release.
    pub release_id: String,
    /// Who decides, if that is known.
    pub actor: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// That the references of a Release are to go.
#[derive(Debug, Clone)]
pub struct Unpublication {
    /// Who wants which Release unpublished, and why.
    pub decision: Decision,
    /// Whether an approved one is revoked first.
    pub force_approved: bool,
}

impl Unpublication {
    /// What the audit tells of it. The platform has no word of its own for it.
    pub(super) fn metadata() -> Value {
        json!({"action": "unpublished"})
    }

    /// Whether the Release as it is now may be unpublished.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] that says why not.
    pub fn check(&self, now: &Release) -> Result<(), Refusal> {
        Action::Unpublish.check(now)?;
        match now.approval_state == "approved" && !self.force_approved {
            true => Err(Refusal::State {
                action: Action::Unpublish,
                reason: Reason::StillApproved,
            }),
            false => Ok(()),
        }
    }
}

/// A Release as a decision has left it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The Release.
    pub release: Release,
    /// What became of the catalogue.
    pub catalogue: Catalogue,
}

/// Another item for a Release.
#[derive(Debug, Clone)]
pub struct CachedItem {
    /// The Release that it was built from.
    pub seen: Release,
    /// The item.
    pub item: Value,
    /// Its id.
    pub item_id: String,
    /// Id of its collection.
    pub collection_id: String,
    /// When it was built.
    pub at: Timestamp,
}

impl CachedItem {
    /// What the audit tells of it.
    pub(super) fn metadata(&self) -> Value {
        json!({"action": "stac_item_cached", "stac_item_id": self.item_id})
    }
}

/// What of a Release was published under a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedRevision {
    /// The revision.
    pub revision: i64,
    /// Path of its combined reference inside silver.
    pub blob_path: String,
    /// Whether another Release that may be read has the same path.
    pub is_shared: bool,
}

/// A file of a Release, as it was when its revision was combined.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseSource {
    /// The file as it is now.
    pub file: SourceFile,
    /// The version that was combined.
    pub etag: String,
    /// Its length.
    pub size: u64,
}

/// Which files of a Release are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that were overwritten or deleted since, as far as that was announced.
    Changed,
}

/// Which Releases a list of approvals shows.
#[derive(Debug, Clone, Default)]
pub struct ApprovalFilter {
    /// Those in this approval state.
    pub approval_state: Option<String>,
    /// Those with this clearance.
    pub clearance_state: Option<String>,
    /// So many at most.
    pub limit: u32,
    /// After so many.
    pub offset: u32,
}

/// A list of approvals.
#[derive(Debug, Clone, PartialEq)]
pub struct Approvals {
    /// The Releases, newest first.
    pub releases: Vec<Release>,
    /// How many Releases there are in each approval state.
    pub status_counts: BTreeMap<String, u64>,
}
