//! `GET /api/platform/status/…`: the story of a series, from its first file to its Release. SPEC §8.
//!
//! 200, or 202 with `Retry-After` while it runs:
//! `{success, request_id, job_id, asset, release, job_status, progress, files, error, job, warnings, outputs, services,
//! approval, source_changed, versions}`; `?detail=full` adds `detail`, the job with its tasks. `error` and `job` are there when the job
//! failed, `outputs` once something is published, `services` when the Release is approved, `approval` while it waits for
//! somebody to approve it; `source_changed` lists the approved Releases of the Asset whose sources are not what they
//! were, which `warnings` tell too.
//!
//! The status page (SPEC §11) is in [`page`], the document behind it in [`overview`].

mod changed;
mod coverage;
mod outcome;
mod overview;
mod page;
mod series;

use jiff::Timestamp;
use serde_json::{Value, json};
use warp::http::{HeaderValue, StatusCode, header};

use super::App;
use super::error::{Answer, ApiError, json_answer};
use crate::stores::ledger::{
    Expected, Fault, FileState, GroupState, Job, ProcessingStatus, Release, SourceFile, SourceGroup,
};
use changed::Changed;

pub(super) use overview::Overviews;
pub(super) use page::{PATH, routes};

/// Files that are listed one by one; of longer series only those that are not referenced are.
const MOST_FILES: usize = 1000;

/// The status of what an id means; with `is_full` its job and tasks as well.
pub(super) async fn by_id(app: &App, id: &str, is_full: bool) -> Result<Answer, ApiError> {
    tell(app, app.ledger.resolve(id).await?, is_full).await
}

/// The status of an Asset.
pub(super) async fn by_names(
    app: &App,
    dataset_id: &str,
    resource_id: &str,
    is_full: bool,
) -> Result<Answer, ApiError> {
    let found = app.ledger.resolve_names(dataset_id, resource_id).await?;
    tell(app, found, is_full).await
}

/// The platform's word for a state of processing.
const fn job_status(status: ProcessingStatus) -> &'static str {
    match status {
        ProcessingStatus::Pending => "queued",
        ProcessingStatus::Processing => "processing",
        ProcessingStatus::Completed => "completed",
        ProcessingStatus::Failed => "failed",
    }
}

/// The platform's word for the state of a job. A run that failed or was refused shows here while its Release stays
/// completed by what it published before.
fn job_status_of(release: &Release, group: Option<&SourceGroup>) -> &'static str {
    let has_failed = group.is_some_and(|group| {
        group.job_id == release.job_id
            && matches!(group.state, GroupState::Failed | GroupState::Blocked)
    });
    match has_failed && release.approval_state != "approved" {
        true => "failed",
        false => job_status(release.processing_status),
    }
}

async fn tell(app: &App, release: Option<Release>, is_full: bool) -> Result<Answer, ApiError> {
    let release = release.ok_or_else(|| {
        let hint = json!("ids are those of a request, job, Release or Asset");
        ApiError::not_found("nothing is known under this id").with("hint", hint)
    })?;
    let group = app.ledger.group_of_release(&release.release_id).await?;
    let files = match &group {
        Some(group) => app.ledger.members(&group.id).await?,
        None => Vec::new(),
    };
    let detail = match is_full {
        true => Some(super::job::detail(app, &release.job_id).await?),
        false => None,
    };
    let versions = app.ledger.versions(&release.asset_id).await?;
    let story = Story {
        app,
        job: app.ledger.job(&release.job_id).await?,
        changed: changed::changed(app, &versions).await?,
        versions,
        release: &release,
        group: group.as_ref(),
        files: &files,
    };
    Ok(story.answer(detail, Timestamp::now()))
}

/// What is known of a series.
struct Story<'a> {
    app: &'a App,
    release: &'a Release,
    job: Option<Job>,
    group: Option<&'a SourceGroup>,
    files: &'a [SourceFile],
    versions: Vec<Release>,
    changed: Vec<Changed>,
}

impl Story<'_> {
    fn answer(&self, detail: Option<Value>, now: Timestamp) -> Answer {
        let release = self.release;
        let status = job_status_of(release, self.group);
        let mut document = json!({
            "success": true,
            "request_id": release.request_id,
            "job_id": release.job_id,
            "asset": self.asset(),
            "release": summary(release),
            "job_status": status,
            "progress": self.progress(now),
            "files": self.listing(),
            "error": self.error(),
            "job": (status == "failed").then(|| self.failed_job()),
            "warnings": self.warnings(),
            "outputs": self.outputs(),
            "services": self.services(),
            "approval": self.approval(),
            "source_changed": self.changed.iter().map(Changed::listed).collect::<Vec<_>>(),
            "versions": self.versions.iter().map(summary).collect::<Vec<_>>(),
        });
        if let Some(detail) = detail {
            document["detail"] = detail;
        }
        if !self.is_running() {
            return json_answer(StatusCode::OK, &document);
        }
        let mut answer = json_answer(StatusCode::ACCEPTED, &document);
        let headers = answer.headers_mut();
        let seconds = HeaderValue::from_static(look_again(self.elapsed(now)));
        headers.insert(header::RETRY_AFTER, seconds);
        answer
    }

    fn asset(&self) -> Value {
        let release = self.release;
        json!({
            "asset_id": release.asset_id,
            "platform_id": release.platform_id,
            "dataset_id": release.dataset_id,
            "resource_id": release.resource_id,
            "data_type": "zarr",
            "release_count": self.versions.len(),
        })
    }

    /// A blocked series waits for a person, whatever its job says.
    fn is_running(&self) -> bool {
        let is_over = matches!(
            self.release.processing_status,
            ProcessingStatus::Completed | ProcessingStatus::Failed
        );
        !is_over
            && self
                .group
                .is_none_or(|group| group.state != GroupState::Blocked)
    }

    fn elapsed(&self, now: Timestamp) -> i64 {
        let end = self.release.processing_completed_at.unwrap_or(now);
        end.duration_since(self.release.created_at).as_secs().max(0)
    }

    fn count(&self, state: FileState) -> usize {
        self.files.iter().filter(|file| file.state == state).count()
    }

    fn expected(&self) -> Option<&Expected> {
        let options = self.group.map(|group| &group.declaration.options);
        options.and_then(|options| options.expected.as_ref())
    }

    fn progress(&self, now: Timestamp) -> Value {
        let gone = self.count(FileState::Gone);
        let expected = match self.expected() {
            Some(Expected::Files(names)) => json!(names.len()),
            Some(Expected::Count(count)) => json!(count),
            _ => Value::Null,
        };
        let result = self.release.result.as_ref();
        json!({
            "stage": self.group.map(|group| stage(group.state)),
            "state": self.group.map(|group| group.state),
            "generation": self.group.map(|group| group.generation),
            "attempt": self.job.as_ref().map(|job| job.attempt),
            "quiet_until": self.group.and_then(|group| group.quiet_until),
            "started_at": self.release.created_at,
            "updated_at": self.group.map_or(self.release.updated_at, |group| group.updated_at),
            "elapsed_seconds": self.elapsed(now),
            "files": {
                "expected": expected,
                "expects": self.expected(),
                "arrived": self.files.len() - gone,
                "referenced": self.count(FileState::Referenced),
                "rejected": self.count(FileState::Rejected),
                "failed": self.count(FileState::Failed),
                "gone": gone,
                "combined": result.and_then(|result| result.get("source_files")),
            },
        })
    }

    fn listing(&self) -> Vec<Value> {
        let all = self.files.len() <= MOST_FILES;
        let shown = self
            .files
            .iter()
            .filter(|file| all || file.state != FileState::Referenced);
        shown.take(MOST_FILES).map(listed).collect()
    }
}

/// Seconds after which to ask again: the longer it takes, the fewer the questions.
const fn look_again(elapsed: i64) -> &'static str {
    match elapsed {
        ..60 => "5",
        60..300 => "10",
        300..900 => "15",
        _ => "30",
    }
}

/// What happens now, in a word for people.
const fn stage(state: GroupState) -> &'static str {
    match state {
        GroupState::Collecting => "collecting files",
        GroupState::Due => "waiting to be combined",
        GroupState::Combining => "combining",
        GroupState::Combined => "combined",
        GroupState::Blocked => "blocked",
        GroupState::Stale => "a source is gone since it was combined",
        GroupState::Failed => "failed; it is tried again",
    }
}

fn listed(file: &SourceFile) -> Value {
    let mut out = json!({"url": file.path.short(), "state": file.state, "size": file.size, "etag": file.etag});
    if let Some(fault) = &file.fault {
        out["reason"] = reason(fault);
    }
    out
}

fn reason(fault: &Fault) -> Value {
    json!({"code": fault.code, "message": fault.message, "remediation": fault.remediation})
}

fn summary(release: &Release) -> Value {
    json!({
        "release_id": release.release_id,
        "version_id": release.version_id,
        "version_ordinal": release.version_ordinal,
        "revision": release.revision,
        "previous_release_id": release.previous_release_id,
        "processing_status": release.processing_status,
        "approval_state": release.approval_state,
        "clearance_state": release.clearance_state,
    })
}
