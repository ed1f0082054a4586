//! Rows of the ledger and the values that its methods take and give.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stores::blobs::BlobPath;
use virtualize::rules::Finding;

/// Row id of a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileId(pub i64);

/// Id of a group: 32 hex digits, from its Asset (see [`ids::group_id`](super::ids::group_id)).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(pub String);

impl std::fmt::Display for GroupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version of a file that an event, a HEAD or a listing has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landing {
    /// Where the file is.
    pub path: BlobPath,
    /// Its version, without quotes.
    pub etag: String,
    /// Its length in bytes.
    pub size: u64,
    /// The event's sequencer, if it had one.
    pub sequencer: Option<String>,
    /// When it was seen.
    pub at: Timestamp,
}

/// What recording a landing came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// A version that was not known; it has to be read.
    New(SourceFile),
    /// This very version is known; its state says what is left to do.
    Known(SourceFile),
    /// A newer version is recorded; nothing is to be done.
    Older(SourceFile),
}

/// State of a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// Seen, not read yet.
    Landed,
    /// Being read.
    Reading,
    /// Its reference is published.
    Referenced,
    /// The file is at fault; no retry.
    Rejected,
    /// Something else is at fault; retry.
    Failed,
    /// No longer there.
    Gone,
}

/// A fault in a file or a run, for the status and for the person who reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Stable code, such as `not_netcdf` or `time_duplicate`.
    pub code: String,
    /// What is wrong and where.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<String>,
}

/// A source file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceFile {
    /// Row id.
    pub id: FileId,
    /// Where it is.
    pub path: BlobPath,
    /// Current version.
    pub etag: String,
    /// Length in bytes.
    pub size: u64,
    /// Sequencer of the event that brought the version.
    pub sequencer: Option<String>,
    /// State of the current version.
    pub state: FileState,
    /// Blob name of its reference in silver, once referenced.
    pub reference_path: Option<String>,
    /// What validation found.
    pub findings: Vec<Finding>,
    /// Why it was rejected or failed.
    pub fault: Option<Fault>,
    /// First and last value of the concat coordinate, once referenced.
    pub span: Option<TimeSpan>,
    /// When the current version landed.
    pub landed_at: Timestamp,
    /// Last change of the row.
    pub updated_at: Timestamp,
}

/// What the concat coordinate of a file covers, comparable between files of one calendar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeSpan {
    /// First instant, in microseconds of the calendar's own count.
    pub first: i64,
    /// Last instant, likewise.
    pub last: i64,
    /// Largest distance of two neighbouring steps in microseconds; 0 for a single step.
    pub largest_step: i64,
    /// Canonical name of the calendar.
    pub calendar: String,
    /// First instant as ISO 8601.
    pub start: String,
    /// Last instant as ISO 8601.
    pub end: String,
}

/// What reading a version of a file came to.
#[derive(Debug, Clone, PartialEq)]
pub enum FileOutcome {
    /// Its reference is published.
    Referenced {
        /// Blob name of the reference in silver.
        reference_path: String,
        /// What validation found.
        findings: Vec<Finding>,
        /// What its concat coordinate covers.
        span: Option<TimeSpan>,
    },
    /// The file is at fault.
    Rejected {
        /// Why.
        fault: Fault,
        /// What validation found.
        findings: Vec<Finding>,
    },
    /// Something else is at fault.
    Failed(Fault),
    /// It is still being written (shorter than its own header says); it stays *landed*.
    Unfinished(Fault),
}

/// Who declared a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// `POST /api/platform/submit`.
    Submit,
    /// A `landfall.json` beside the data.
    File,
    /// Nobody: files that belong together by name.
    Auto,
}

/// When a series is complete. SPEC §6.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// Each named file has a current reference.
    Files(Vec<String>),
    /// So many distinct files have.
    Count(u64),
    /// The time coordinates cover this range without gap or overlap.
    TimeRange(String, String),
    /// Nothing landed for that long (ISO 8601 duration).
    QuietPeriod(String),
}

/// What a person may say about how a series is to be combined. SPEC §8; unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessingOptions {
    /// `virtualzarr`, the only one.
    pub pipeline: String,
    /// Dimension to join along.
    pub concat_dim: String,
    /// Shell pattern on the file name.
    pub file_pattern: String,
    /// Whether critical findings reject a file.
    pub fail_on_chunking_warnings: bool,
    /// Whether an existing Release may be overwritten.
    pub overwrite: bool,
    /// When the series is complete.
    pub expected: Option<Expected>,
    /// STAC collection; the `dataset_id` by default.
    pub collection_id: Option<String>,
    /// Most files that a scan may find.
    pub max_files: u64,
    /// `refuse` or `fill`.
    pub missing: String,
    /// Variables to leave out.
    pub drop_variables: Vec<String>,
    /// Largest absolute difference of coordinates that still counts as equal.
    pub coord_tolerance: f64,
    /// Whether files may hold different variables.
    pub merge_variables: bool,
    /// Largest variable that is inlined, in bytes.
    pub inline_max_bytes: u64,
}

impl Default for ProcessingOptions {
    fn default() -> Self {
        Self {
            pipeline: String::from("virtualzarr"),
            concat_dim: String::from("time"),
            file_pattern: String::from("*.nc"),
            fail_on_chunking_warnings: false,
            overwrite: false,
            expected: None,
            collection_id: None,
            max_files: 10_000,
            missing: String::from("refuse"),
            drop_variables: Vec::new(),
            coord_tolerance: 0.0,
            merge_variables: false,
            inline_max_bytes: 1 << 20,
        }
    }
}

/// A group as somebody declares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Declaration {
    /// Who declares it.
    pub origin: Origin,
    /// Platform of the Asset (`ddh`).
    pub platform_id: String,
    /// Dataset of the Asset.
    pub dataset_id: String,
    /// Resource of the Asset.
    pub resource_id: String,
    /// Version wished for, if any.
    pub version_id: Option<String>,
    /// Title for people, if any.
    pub title: Option<String>,
    /// Description for people, if any.
    pub description: Option<String>,
    /// Folder (or single file) of the sources.
    pub prefix: BlobPath,
    /// For auto-grouping: stem without its date range and the variable set; empty else.
    pub stem: String,
    /// How to combine, `expected` included.
    pub options: ProcessingOptions,
    /// What else was said.
    #[serde(default)]
    pub extras: Extras,
    /// When it was declared.
    pub at: Timestamp,
}

/// What a declaration says besides what every one has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extras {
    /// Version that the wished one follows: the newest approved one, or the declaration is refused.
    pub previous_version_id: Option<String>,
    /// Clearance wished for, `public` or `ouo`; who approves decides.
    pub access_level: Option<String>,
    /// Words to find the item by.
    pub tags: Vec<String>,
    /// Whether `expected` is what a scan found, not what somebody asked for: a repetition may find other files.
    pub is_scanned: bool,
}

/// State of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupState {
    /// Waiting for files.
    Collecting,
    /// Complete; to be combined.
    Due,
    /// Being combined.
    Combining,
    /// Combined; nothing changed since.
    Combined,
    /// An input is at fault.
    Blocked,
    /// A source is gone after combining.
    Stale,
    /// Combining failed for another reason; retry.
    Failed,
}

/// A series of files that become one combined dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceGroup {
    /// Its id.
    pub id: GroupId,
    /// How it was declared.
    pub declaration: Declaration,
    /// The Release that it feeds.
    pub release_id: String,
    /// The job of that Release.
    pub job_id: String,
    /// State.
    pub state: GroupState,
    /// Number of the current member set.
    pub generation: i64,
    /// When its quiet period runs out, while that is what it waits for.
    pub quiet_until: Option<Timestamp>,
    /// Why it is blocked or failed.
    pub fault: Option<Fault>,
    /// What the last combine found.
    pub findings: Vec<Finding>,
    /// Last change of the row.
    pub updated_at: Timestamp,
}

/// What a [`Judge`] looks at.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// The group, with its state and generation as they are.
    pub group: &'a SourceGroup,
    /// Its members, gone ones left out.
    pub members: &'a [SourceFile],
    /// The time to judge by.
    pub now: Timestamp,
}

/// What a group is on what its members are now.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Not complete yet.
    Collecting,
    /// Complete if nothing lands until then.
    QuietUntil(Timestamp),
    /// Complete.
    Due,
    /// A member is at fault.
    Blocked(Fault),
}

/// How many members a group has, gone ones left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub members: u64,
    /// Those with a reference of their current version.
    pub referenced: u64,
    /// Those at fault.
    pub rejected: u64,
    /// When the last of them landed.
    pub last_landed: Option<Timestamp>,
}

/// Judges completeness; pure, so that every store can call it inside its transaction.
#[derive(Debug, Clone, Copy)]
pub struct Judge {
    /// The verdict where numbers alone tell it. A series of thousands is judged with each of its files, and its
    /// members are not read for that but once.
    pub by_counts: fn(&SourceGroup, &Counts, Timestamp) -> Option<Verdict>,
    /// The verdict on what each member is.
    pub by_members: fn(&Snapshot<'_>) -> Verdict,
}

/// What settling a group came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The group as it is now.
    pub group: SourceGroup,
    /// Whether a combine of this generation has to be sent (also when one was sent before and may be lost).
    pub is_due: bool,
    /// When to look again, if the group waits for its quiet period.
    pub look_again_at: Option<Timestamp>,
    /// Members with a reference of their current version.
    pub referenced: u64,
}

/// Result of declaring a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// The group.
    pub group: SourceGroup,
    /// Asset id.
    pub asset_id: String,
    /// Request id.
    pub request_id: String,
    /// Whether it is new; `false`: the same declaration was there already.
    pub is_new: bool,
    /// What became of it.
    pub operation: Operation,
}

/// What a declaration did. SPEC §8; the words are the platform's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Nothing was there, or nothing but files that belonged together by name.
    Created,
    /// The same declaration was there; nothing was changed.
    Repeated,
    /// The same declaration was there and its job had failed; the job is queued again.
    Requeued,
    /// The Release keeps its row; its next revision is made by this declaration.
    Overwritten,
    /// The next Release of the Asset is begun.
    NewVersion,
}

/// A claim's owner and how long it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who claims: one id per process.
    pub runner: String,
    /// Now.
    pub now: Timestamp,
    /// Until when the claim holds unless renewed.
    pub until: Timestamp,
}

/// The right to combine one generation of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Id of the run.
    pub run_id: i64,
    /// The group.
    pub group: SourceGroup,
    /// The generation.
    pub generation: i64,
    /// Who holds the claim.
    pub runner: String,
    /// The Release as it is.
    pub release: Release,
    /// The revision that this run would publish.
    pub revision: i64,
    /// The member set of this generation: files with their version, all referenced.
    pub members: Vec<SourceFile>,
}

/// What claiming a group came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// It is ours.
    Ours(Box<Claim>),
    /// Another runner holds it until then; try again later.
    Held(Timestamp),
    /// Nothing to do: combined already, another generation, not due, or no such group.
    Nothing,
}

/// A combined dataset that is written and verified.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedCombine {
    /// Path inside silver, without scheme or container.
    pub blob_path: String,
    /// The cached STAC item.
    pub stac_item: Value,
    /// Id of the item.
    pub stac_item_id: String,
    /// Id of its collection.
    pub stac_collection_id: String,
    /// The result object of SPEC §7.
    pub result: Value,
    /// Findings of the combine (gaps, dropped attributes).
    pub findings: Vec<Finding>,
    /// When it ended.
    pub at: Timestamp,
}

/// How a claim ended without a result.
#[derive(Debug, Clone, PartialEq)]
pub enum CombineEnd {
    /// The input is at fault: the group is blocked.
    Blocked(Fault, Timestamp),
    /// Something else is at fault: the group is failed, the message comes again.
    Failed(Fault, Timestamp),
}

/// State of processing of a Release, and of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessingStatus {
    /// Not begun.
    Pending,
    /// Under way.
    Processing,
    /// Done.
    Completed,
    /// Failed or blocked.
    Failed,
}

/// A Release with what belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Release {
    /// Its id.
    pub release_id: String,
    /// Its Asset.
    pub asset_id: String,
    /// Platform of the Asset.
    pub platform_id: String,
    /// Dataset of the Asset.
    pub dataset_id: String,
    /// Resource of the Asset.
    pub resource_id: String,
    /// The request it came from.
    pub request_id: String,
    /// The job that makes it.
    pub job_id: String,
    /// Version id, once approved.
    pub version_id: Option<String>,
    /// Version id that was wished for when the Release was declared.
    pub suggested_version_id: Option<String>,
    /// 1, 2, … within the Asset.
    pub version_ordinal: i64,
    /// Counts what was published under it; the next run publishes `revision` if nothing is yet, else
    /// `revision + 1`, or a later one where a run that lost its claim may still be writing under that.
    pub revision: i64,
    /// The Release before it.
    pub previous_release_id: Option<String>,
    /// Path of the combined reference inside silver, once published.
    pub blob_path: Option<String>,
    /// Id of the item, once cached.
    pub stac_item_id: Option<String>,
    /// Id of its collection.
    pub stac_collection_id: Option<String>,
    /// The cached item.
    pub stac_item_json: Option<Value>,
    /// State of processing.
    pub processing_status: ProcessingStatus,
    /// When processing began and ended.
    pub processing_started_at: Option<Timestamp>,
    /// When processing ended.
    pub processing_completed_at: Option<Timestamp>,
    /// Why processing failed.
    pub last_error: Option<String>,
    /// `pending_review`, `approved`, `rejected` or `revoked`.
    pub approval_state: String,
    /// `uncleared`, `ouo` or `public`.
    pub clearance_state: String,
    /// What people have decided about it.
    #[serde(flatten)]
    pub review: Review,
    /// Result object of the last combine.
    pub result: Option<Value>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
}

/// What people have decided about a Release.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Review {
    /// Whether it is approved and so may be served.
    pub is_served: bool,
    /// Who approved or rejected it.
    pub reviewer: Option<String>,
    /// When.
    pub reviewed_at: Option<Timestamp>,
    /// What they said on approving it.
    pub approval_notes: Option<String>,
    /// Why it was rejected.
    pub rejection_reason: Option<String>,
    /// When the approval was taken back.
    pub revoked_at: Option<Timestamp>,
    /// Who took it back.
    pub revoked_by: Option<String>,
    /// Why.
    pub revocation_reason: Option<String>,
}

impl Release {
    /// The same without its cached item, for lists.
    #[must_use]
    pub fn without_item(self) -> Self {
        Self {
            stac_item_json: None,
            ..self
        }
    }
}

/// One published revision of a Release.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Path of the combined reference inside silver.
    pub blob_path: String,
    /// Whether its Release may be read at all (not rejected, revoked or unpublished).
    pub is_live: bool,
    /// Whether its Release is approved for the public.
    pub is_public: bool,
}

/// A job: what makes a revision of a Release.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub job_id: String,
    /// Its type.
    pub job_type: String,
    /// `queued`, `processing`, `completed`, `failed` or `completed_with_errors`.
    pub status: String,
    /// Stage that it is in, from 1.
    pub stage: i64,
    /// Stages that it has.
    pub total_stages: i64,
    /// What it was asked to do.
    pub parameters: Value,
    /// How often it was queued.
    pub attempt: i64,
    /// Its result.
    pub result_data: Option<Value>,
    /// What went wrong.
    pub error_details: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
}

/// A step of a job: scan, validate, `generate_ref`, combine, `register_stac`.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its id.
    pub task_id: String,
    /// Which one of its type it is, from 0.
    pub task_index: String,
    /// What it does.
    pub task_type: String,
    /// Stage of the job, from 1.
    pub stage: i64,
    /// `pending`, `processing`, `completed`, `failed` or `cancelled`.
    pub status: String,
    /// Its result; of one that failed `error_type`, `error` and what to do about it.
    pub result_data: Option<Value>,
    /// What went wrong.
    pub error_details: Option<String>,
    /// When work on it began.
    pub execution_started_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Last change; of one that is over, its end.
    pub updated_at: Timestamp,
}
