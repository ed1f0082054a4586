//! `GET /api/platform/status/…`: the story of a series, from its first file to its Release.

use jiff::Timestamp;
use serde_json::{Value, json};
use warp::http::{HeaderValue, StatusCode, header};

use super::App;
use super::error::{Answer, ApiError, json_answer};
use crate::catalog::item::zarr_url;
use crate::stores::ledger::{
    Expected, Fault, FileState, GroupState, ProcessingStatus, Release, SourceFile, SourceGroup,
};

/// Files that are listed one by one; of longer series only those that are not referenced are.
const MOST_FILES: usize = 1000;

/// Releases that are searched for other versions of the Asset.
const RECENT: u32 = 1000;

/// The status of what an id means.
pub(super) async fn by_id(app: &App, id: &str) -> Result<Answer, ApiError> {
    tell(app, app.ledger.resolve(id).await?).await
}

/// The status of an Asset.
pub(super) async fn by_names(
    app: &App,
    dataset_id: &str,
    resource_id: &str,
) -> Result<Answer, ApiError> {
    tell(
        app,
        app.ledger.resolve_names(dataset_id, resource_id).await?,
    )
    .await
}

/// The platform's word for a state of processing.
pub(super) const fn job_status(status: ProcessingStatus) -> &'static str {
    match status {
        ProcessingStatus::Pending => "queued",
        ProcessingStatus::Processing => "processing",
        ProcessingStatus::Completed => "completed",
        ProcessingStatus::Failed => "failed",
    }
}

async fn tell(app: &App, release: Option<Release>) -> Result<Answer, ApiError> {
    let release = release.ok_or_else(|| {
        let hint = json!("ids are those of a request, job, Release or Asset");
        ApiError::not_found("nothing is known under this id").with("hint", hint)
    })?;
    let group = app.ledger.group_of_release(&release.release_id).await?;
    let files = match &group {
        Some(group) => app.ledger.members(&group.id).await?,
        None => Vec::new(),
    };
    let mut versions = app.ledger.releases(RECENT).await?;
    versions.retain(|other| other.asset_id == release.asset_id);
    let story = Story {
        app,
        release: &release,
        group: group.as_ref(),
        files: &files,
        versions: &versions,
    };
    Ok(story.answer(Timestamp::now()))
}

/// What is known of a series.
struct Story<'a> {
    app: &'a App,
    release: &'a Release,
    group: Option<&'a SourceGroup>,
    files: &'a [SourceFile],
    versions: &'a [Release],
}

impl Story<'_> {
    fn answer(&self, now: Timestamp) -> Answer {
        let release = self.release;
        let mut asset = json!({"data_type": "zarr", "release_count": self.versions.len()});
        asset["asset_id"] = json!(release.asset_id);
        asset["dataset_id"] = json!(release.dataset_id);
        asset["resource_id"] = json!(release.resource_id);
        let document = json!({
            "success": true,
            "request_id": release.request_id,
            "job_id": release.job_id,
            "asset": asset,
            "release": summary(release),
            "job_status": job_status(release.processing_status),
            "progress": self.progress(now),
            "files": self.listing(),
            "error": self.error(),
            "warnings": self.warnings(),
            "outputs": self.outputs(),
            "versions": self.versions.iter().map(summary).collect::<Vec<_>>(),
        });
        if !self.is_running() {
            return json_answer(StatusCode::OK, &document);
        }
        let mut answer = json_answer(StatusCode::ACCEPTED, &document);
        let seconds = match self.elapsed(now) {
            ..60 => "5",
            60..300 => "10",
            300..900 => "15",
            _ => "30",
        };
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        answer
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
        end.duration_since(self.release.created_at).as_secs()
    }

    fn count(&self, state: FileState) -> usize {
        self.files.iter().filter(|file| file.state == state).count()
    }

    fn progress(&self, now: Timestamp) -> Value {
        let gone = self.count(FileState::Gone);
        let expected = match self
            .group
            .and_then(|group| group.declaration.options.expected.as_ref())
        {
            Some(Expected::Files(names)) => json!(names.len()),
            Some(Expected::Count(count)) => json!(count),
            _ => Value::Null,
        };
        json!({
            "stage": self.group.map(stage),
            "state": self.group.map(|group| group.state),
            "generation": self.group.map(|group| group.generation),
            "quiet_until": self.group.and_then(|group| group.quiet_until),
            "started_at": self.release.created_at,
            "updated_at": self.group.map_or(self.release.updated_at, |group| group.updated_at),
            "elapsed_seconds": self.elapsed(now),
            "files": {
                "expected": expected,
                "expects": self.group.and_then(|group| group.declaration.options.expected.as_ref()),
                "arrived": self.files.len() - gone,
                "referenced": self.count(FileState::Referenced),
                "rejected": self.count(FileState::Rejected),
                "failed": self.count(FileState::Failed),
                "gone": gone,
                "combined": self.release.result.as_ref().and_then(|result| result.get("source_files")),
            },
        })
    }

    fn listing(&self) -> Vec<Value> {
        let all = self.files.len() <= MOST_FILES;
        let shown = self
            .files
            .iter()
            .filter(|file| all || file.state != FileState::Referenced);
        shown.map(listed).collect()
    }

    fn error(&self) -> Value {
        let Some(fault) = self.group.and_then(|group| group.fault.as_ref()) else {
            return self
                .release
                .last_error
                .as_ref()
                .map_or(Value::Null, |message| json!({"message": message}));
        };
        let is_input = self
            .group
            .is_some_and(|group| group.state == GroupState::Blocked);
        json!({
            "message": fault.message,
            "code": fault.code,
            "remediation": fault.remediation,
            "user_fixable": is_input,
        })
    }

    fn warnings(&self) -> Vec<Value> {
        let of_group = self
            .group
            .map(|group| group.findings.as_slice())
            .unwrap_or_default();
        let of_files = self.files.iter().flat_map(|file| {
            file.findings
                .iter()
                .map(|finding| json!({"file": file.path.file_name(), "finding": finding}))
        });
        of_group
            .iter()
            .map(|finding| json!({"finding": finding}))
            .chain(of_files)
            .take(MOST_FILES)
            .collect()
    }

    fn outputs(&self) -> Value {
        let release = self.release;
        let Some(blob_path) = &release.blob_path else {
            return Value::Null;
        };
        let zarr = zarr_url(
            &self.app.config.http.public_url,
            &release.release_id,
            release.revision,
        );
        json!({
            "stac_item_id": release.stac_item_id,
            "stac_collection_id": release.stac_collection_id,
            "blob_path": blob_path,
            "container": self.app.blobs.silver("").container,
            "zarr_url": zarr,
            "reference_url": format!("{zarr}/combined.json"),
            "result": release.result,
        })
    }
}

/// What happens now, in a word for people.
fn stage(group: &SourceGroup) -> &'static str {
    match group.state {
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
    if let Some(Fault {
        code,
        message,
        remediation,
    }) = &file.fault
    {
        out["reason"] = json!({"code": code, "message": message, "remediation": remediation});
    }
    out
}

fn summary(release: &Release) -> Value {
    json!({
        "release_id": release.release_id,
        "version_id": release.version_id,
        "version_ordinal": release.version_ordinal,
        "revision": release.revision,
        "processing_status": release.processing_status,
        "approval_state": release.approval_state,
        "clearance_state": release.clearance_state,
    })
}
