//! `POST /api/platform/submit`: a declaration of a series by hand.

use jiff::Timestamp;
use serde_json::{Value, json};
use warp::http::StatusCode;

use super::App;
use super::error::{Answer, ApiError, json_answer};
use crate::group::{SUBMISSION_FIELDS, Submission, option_fields};
use crate::pipeline::{Foreseen, PipelineError};
use crate::stores::blobs::{BlobError, BlobPath};
use crate::stores::ledger::{
    Declaration, Declared, Expected, LedgerError, Operation, Origin, Release, ids,
};

/// Declares the series of a request body, or says what it would declare.
///
/// # Errors
///
/// 400 for a body that is no submission, 409 where it contradicts what is recorded.
pub(super) async fn submit(app: &App, body: &[u8], dry_run: bool) -> Result<Answer, ApiError> {
    let declaration = declaration(app, body)?;
    check_source(app, &declaration.prefix).await?;
    let asset = ids::asset_id(
        &declaration.platform_id,
        &declaration.dataset_id,
        &declaration.resource_id,
    );
    let answered = match dry_run {
        true => app.pipeline.foresee(declaration).await.map(would_declare),
        false => match app.pipeline.submit(declaration).await {
            Ok(declared) => return reply(app, &declared).await,
            Err(error) => Err(error),
        },
    };
    match answered {
        Ok(answer) => Ok(answer),
        Err(error) => Err(refusal(app, &asset, error).await),
    }
}

fn declaration(app: &App, body: &[u8]) -> Result<Declaration, ApiError> {
    let document: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::validation(format!("the body is not JSON: {error}")))?;
    check_fields(&document, "", &SUBMISSION_FIELDS.map(String::from))?;
    if let Some(options) = document.get("processing_options")
        && !options.is_null()
    {
        let mut known = option_fields();
        known.push(String::from("expected_data_type"));
        check_fields(options, "processing_options.", &known)?;
    }
    let submission = Submission::parse(document)?;
    let home = BlobPath::new(app.blobs.account(), "", "");
    Ok(submission.into_declaration(Origin::Submit, &home, Timestamp::now())?)
}

/// A contradiction names the Release that is there.
async fn refusal(app: &App, asset_id: &str, error: PipelineError) -> ApiError {
    let is_conflict = matches!(error, PipelineError::Ledger(LedgerError::Conflict(_)));
    let error = ApiError::from(error);
    if !is_conflict {
        return error;
    }
    match app.ledger.resolve(asset_id).await {
        Ok(Some(release)) => error.with("existing_release", existing(app, &release)),
        _ => error,
    }
}

fn existing(app: &App, release: &Release) -> Value {
    json!({
        "release_id": release.release_id,
        "approval_state": release.approval_state,
        "processing_status": release.processing_status,
        "version_id": release.version_id,
        "version_ordinal": release.version_ordinal,
        "revision": release.revision,
        "monitor_url": monitor_url(app, &release.release_id),
    })
}

fn monitor_url(app: &App, id: &str) -> String {
    format!("{}/api/platform/status/{id}", app.config.http.public_url)
}

/// Refuses a field that is none, and names those that are.
pub(super) fn check_fields(
    document: &Value,
    prefix: &str,
    known: &[String],
) -> Result<(), ApiError> {
    let name = if prefix.is_empty() {
        "the body"
    } else {
        prefix.trim_end_matches('.')
    };
    let object = document
        .as_object()
        .ok_or_else(|| ApiError::validation(format!("{name} is not a JSON object")))?;
    match object.keys().find(|key| !known.contains(key)) {
        Some(key) => {
            let error = ApiError::validation(format!("unknown field `{prefix}{key}`"));
            Err(error.with("valid_parameters", json!(known)))
        }
        None => Ok(()),
    }
}

/// Sources come from the accounts and containers that are ours to read.
pub(super) async fn check_source(app: &App, prefix: &BlobPath) -> Result<(), ApiError> {
    let BlobPath {
        account, container, ..
    } = prefix;
    let is_ours = app.blobs.is_source(prefix);
    // Of other people's containers nothing is told, not even whether they are there.
    if !is_ours && account != app.blobs.account() {
        let message = format!("source_url: account `{account}` is not allowed");
        return Err(ApiError::validation(message));
    }
    if let Err(error @ (BlobError::NoContainer(_) | BlobError::Unavailable { .. })) =
        app.blobs.head(prefix).await
    {
        return Err(error.into());
    }
    if !is_ours {
        let message = format!("source_url: container `{container}` is not allowed");
        return Err(ApiError::validation(message));
    }
    Ok(())
}

fn would_declare(foreseen: Foreseen) -> Answer {
    let Foreseen { declared, files } = foreseen;
    let sizes = files.iter().map(|info| info.length);
    let document = json!({
        "success": true,
        "valid": true,
        "dry_run": true,
        "operation": declared.operation,
        "request_id": declared.request_id,
        "asset_id": declared.asset_id,
        "release_id": declared.group.release_id,
        "job_id": declared.group.job_id,
        "would_create_job_type": ids::JOB_TYPE,
        "data_type": "zarr",
        "expected": declared.group.declaration.options.expected,
        "file_count": files.len(),
        "total_size_bytes": sizes.fold(0, u64::saturating_add),
        "warnings": warnings(&declared),
    });
    json_answer(StatusCode::OK, &document)
}

async fn reply(app: &App, declared: &Declared) -> Result<Answer, ApiError> {
    let group = &declared.group;
    let job = app.ledger.job(&group.job_id).await?;
    let release = app.ledger.release(&group.release_id).await?;
    let (code, message) = match declared.operation {
        Operation::Created => (StatusCode::ACCEPTED, "accepted; follow monitor_url"),
        Operation::Overwritten => (
            StatusCode::ACCEPTED,
            "accepted; the next revision of this Release is made",
        ),
        Operation::NewVersion => (
            StatusCode::ACCEPTED,
            "accepted; the next Release of this Asset is made",
        ),
        Operation::Requeued => (
            StatusCode::ACCEPTED,
            "the job had failed and is queued again",
        ),
        Operation::Repeated => (StatusCode::OK, "declared before; this is the same job"),
    };
    let document = json!({
        "success": true,
        "operation": declared.operation,
        "job_id": group.job_id,
        "release_id": group.release_id,
        "asset_id": declared.asset_id,
        "request_id": declared.request_id,
        "job_type": ids::JOB_TYPE,
        "status": job.as_ref().map_or("queued", |job| job.status.as_str()),
        "attempt": job.as_ref().map_or(1, |job| job.attempt),
        "version_ordinal": release.as_ref().map(|release| release.version_ordinal),
        "monitor_url": monitor_url(app, &declared.request_id),
        "message": message,
        "warnings": warnings(declared),
    });
    Ok(json_answer(code, &document))
}

/// What the person who submitted may not expect.
fn warnings(declared: &Declared) -> Vec<String> {
    let declaration = &declared.group.declaration;
    let waits = match &declaration.options.expected {
        Some(Expected::QuietPeriod(period)) if declaration.extras.is_scanned => Some(format!(
            "no file is there yet: the series is complete when none has landed for {period} after the first"
        )),
        _ => None,
    };
    waits.into_iter().collect()
}
