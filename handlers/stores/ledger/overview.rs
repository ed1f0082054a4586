//! What the status page asks of the ledger: everything at a glance, however much there is. SPEC §11.
//!
//! The answer is bounded: of each section the series that changed last, of each series what can be told in a few lines,
//! and the numbers of the rest.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use virtualize::rules::{Finding, Grade};

use super::{Fault, FileState, GroupId, GroupState, LedgerError};
use crate::stores::blobs::BlobPath;

/// Files at fault that are told of one series, and of what belongs to none.
pub const MOST_AT_FAULT: u32 = 5;
/// Kinds of findings that are told of one series.
pub const MOST_FINDINGS: u32 = 8;
/// Parts of a time line that are told one by one; what follows is told as one.
pub const MOST_PARTS: u32 = 80;

/// Everything at a glance.
#[async_trait]
pub trait OverviewLedger: Send + Sync {
    /// What there is to see now.
    async fn overview(&self, wanted: &OverviewQuery) -> Result<Overview, LedgerError>;
}

/// What is to be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverviewQuery {
    /// Series whose name or folder has this in it, and files whose name has; all, if it is empty.
    pub search: String,
    /// The only section whose series are told; of the others, numbers.
    pub section: Option<Section>,
    /// Most series that are told of a section.
    pub limit: u32,
    /// Since when files that were referenced are counted by the minute.
    pub since: Timestamp,
}

/// Where a series stands, as somebody looks at it; the most urgent comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// Blocked, failed, or a source is gone.
    Attention,
    /// Combined; a person has to approve it.
    Review,
    /// Complete: being combined, or about to be.
    Combining,
    /// Waiting for files.
    Collecting,
    /// Combined and approved.
    Published,
    /// Combined once; rejected, revoked or unpublished since.
    Withdrawn,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Attention,
        Self::Review,
        Self::Combining,
        Self::Collecting,
        Self::Published,
        Self::Withdrawn,
    ];
}

/// What there is to see.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// Series of each section that has any.
    pub sections: BTreeMap<Section, u64>,
    /// Series, by section; of each those first that changed last.
    pub series: Vec<Series>,
    /// Files of each state that there are any of.
    pub files: Vec<FilesOfState>,
    /// Files that failed, and those at fault that belong to no series; the newest.
    pub at_fault: Vec<FileAtFault>,
    /// Files that were referenced, by the minute; minutes without any are left out.
    pub throughput: Vec<Minute>,
}

/// Files of one state.
#[derive(Debug, Clone, PartialEq)]
pub struct FilesOfState {
    /// The state.
    pub state: FileState,
    /// How many.
    pub count: u64,
    /// Their length.
    pub bytes: u64,
    /// When the one that has been in it for the longest got there.
    pub oldest: Timestamp,
}

/// What was referenced in a minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Minute {
    /// Its start.
    pub at: Timestamp,
    /// How many files.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
}

/// A file that cannot go on.
#[derive(Debug, Clone, PartialEq)]
pub struct FileAtFault {
    /// Where it is.
    pub path: BlobPath,
    /// Rejected, failed, landed and not whole yet, or gone from what it was combined into.
    pub state: FileState,
    /// Why.
    pub fault: Option<Fault>,
    /// Since when.
    pub updated_at: Timestamp,
}

/// A series at a glance.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its group.
    pub id: GroupId,
    /// Where it stands.
    pub section: Section,
    /// Dataset of its Asset.
    pub dataset_id: String,
    /// Resource of its Asset.
    pub resource_id: String,
    /// Title for people.
    pub title: Option<String>,
    /// Folder of its sources.
    pub prefix: BlobPath,
    /// When it is complete.
    pub expects: Expects,
    /// State of its group.
    pub state: GroupState,
    /// Number of its member set.
    pub generation: i64,
    /// When its quiet period runs out.
    pub quiet_until: Option<Timestamp>,
    /// Why it is blocked or failed.
    pub fault: Option<Fault>,
    /// Last change.
    pub updated_at: Timestamp,
    /// Since when it is being combined.
    pub combining_since: Option<Timestamp>,
    /// The Release that it feeds.
    pub release: Option<ReleaseAtAGlance>,
    /// Its files by state.
    pub members: Vec<Members>,
    /// Some of those at fault.
    pub at_fault: Vec<FileAtFault>,
    /// What was found in them and in joining them, the gravest first.
    pub findings: Vec<Findings>,
    /// What its files cover of time, in order; nothing where they have no times.
    pub parts: Vec<Part>,
    /// Approved Releases of it whose sources are not what they were.
    pub changed: Vec<ChangedRelease>,
}

/// When a series is complete, without the names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expects {
    /// So many files.
    pub count: Option<u64>,
    /// Files that cover this.
    pub time_range: Option<(String, String)>,
    /// Nothing landed for so long.
    pub quiet_period: Option<String>,
}

/// A Release at a glance.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseAtAGlance {
    /// Its id.
    pub release_id: String,
    /// Its version, once approved.
    pub version_id: Option<String>,
    /// 1, 2, … within the Asset.
    pub version_ordinal: i64,
    /// What was published last under it.
    pub revision: i64,
    /// Whether anything was.
    pub is_published: bool,
    /// `pending_review`, `approved`, `rejected` or `revoked`.
    pub approval_state: String,
    /// `uncleared`, `ouo` or `public`.
    pub clearance_state: String,
    /// Properties of its cached item.
    pub properties: Option<Value>,
}

/// Members of a series in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Members {
    /// The state.
    pub state: FileState,
    /// How many.
    pub count: u64,
    /// Their length.
    pub bytes: u64,
}

/// Findings of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// One of them.
    pub example: Finding,
    /// In how many files; `None` for what was found in joining them.
    pub files: Option<u64>,
}

/// A part of a time line without a gap of more than a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// First instant, in microseconds of the calendar's own count.
    pub first: i64,
    /// Last instant, likewise.
    pub last: i64,
    /// The step of the series, likewise; 0 if nobody knows.
    pub step: i64,
    /// Canonical name of the calendar.
    pub calendar: String,
}

/// An approved Release with sources that were overwritten or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedRelease {
    /// Its id.
    pub release_id: String,
    /// Its version.
    pub version_id: Option<String>,
    /// How many of its files.
    pub files: u64,
    /// Name of one of them.
    pub example: String,
}

/// What belongs to the series that are told, each with the group it belongs to.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) members: Vec<(GroupId, Members)>,
    pub(super) at_fault: Vec<(GroupId, FileAtFault)>,
    pub(super) findings: Vec<(GroupId, Findings)>,
    pub(super) parts: Vec<(GroupId, Part)>,
    pub(super) changed: Vec<(GroupId, ChangedRelease)>,
}

impl Details {
    /// Gives each series what is its own.
    pub(super) fn add_to(self, series: &mut [Series]) {
        series.sort_by_key(|one| one.section);
        let mut by_id: BTreeMap<GroupId, &mut Series> =
            series.iter_mut().map(|one| (one.id.clone(), one)).collect();
        put(&mut by_id, self.members, |one| &mut one.members);
        put(&mut by_id, self.at_fault, |one| &mut one.at_fault);
        put(&mut by_id, self.findings, |one| &mut one.findings);
        put(&mut by_id, self.parts, |one| &mut one.parts);
        put(&mut by_id, self.changed, |one| &mut one.changed);
        for one in by_id.into_values() {
            one.findings
                .sort_by_key(|found| std::cmp::Reverse(found.example.grade));
            one.findings.truncate(MOST_FINDINGS as usize);
        }
    }
}

fn put<T>(
    series: &mut BTreeMap<GroupId, &mut Series>,
    parts: Vec<(GroupId, T)>,
    place: fn(&mut Series) -> &mut Vec<T>,
) {
    for (id, part) in parts {
        if let Some(one) = series.get_mut(&id) {
            place(one).push(part);
        }
    }
}

/// What was found in joining a series, as the group keeps it.
pub(super) fn findings_of_group(findings: Vec<Finding>) -> Vec<Findings> {
    let found = findings.into_iter().take(MOST_FINDINGS as usize);
    found
        .map(|example| Findings {
            example,
            files: None,
        })
        .collect()
}

/// Findings of one kind in the files of a series.
pub(super) fn findings_of_files(
    (code, grade): (String, Grade),
    variable: Option<String>,
    message: String,
    files: u64,
) -> Findings {
    Findings {
        example: Finding {
            code,
            grade,
            variable,
            message,
        },
        files: Some(files),
    }
}
