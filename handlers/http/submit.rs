//! `POST /api/platform/submit`: a declaration of a series by hand.

use jiff::Timestamp;
use serde_json::{Value, json};
use warp::http::StatusCode;

use super::App;
use super::error::{Answer, ApiError, json_answer};
use crate::group::{SUBMISSION_FIELDS, Submission};
use crate::stores::blobs::{BlobError, BlobPath};
use crate::stores::ledger::{
    Declaration, Declared, Origin, ProcessingOptions, ProcessingStatus, ids,
};

/// Declares the series of a request body, or says what it would declare.
///
/// # Errors
///
/// 400 for a body that is no submission, 409 where it contradicts what is recorded.
pub(super) async fn submit(app: &App, body: &[u8], dry_run: bool) -> Result<Answer, ApiError> {
    let declaration = declaration(app, body)?;
    check_source(app, &declaration.prefix).await?;
    if dry_run {
        return Ok(would_declare(&declaration));
    }
    let declared = app.pipeline.submit(declaration).await?;
    reply(app, &declared).await
}

fn declaration(app: &App, body: &[u8]) -> Result<Declaration, ApiError> {
    let document: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::validation(format!("the body is not JSON: {error}")))?;
    check_fields(&document, "", &SUBMISSION_FIELDS.map(String::from))?;
    if let Some(options) = document.get("processing_options") {
        check_fields(options, "processing_options.", &option_fields())?;
    }
    let submission: Submission = serde_json::from_value(document)
        .map_err(|error| ApiError::validation(error.to_string()))?;
    let home = BlobPath::new(app.blobs.account(), "", "");
    Ok(submission.into_declaration(Origin::Submit, &home, Timestamp::now())?)
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

fn option_fields() -> Vec<String> {
    let options = serde_json::to_value(ProcessingOptions::default()).unwrap_or_default();
    options
        .as_object()
        .map(|options| options.keys().cloned().collect())
        .unwrap_or_default()
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

fn would_declare(declaration: &Declaration) -> Answer {
    let Declaration {
        platform_id,
        dataset_id,
        resource_id,
        version_id,
        ..
    } = declaration;
    let document = json!({
        "success": true,
        "valid": true,
        "dry_run": true,
        "request_id": ids::request_id(dataset_id, resource_id, version_id.as_deref()),
        "asset_id": ids::asset_id(platform_id, dataset_id, resource_id),
        "would_create_job_type": ids::JOB_TYPE,
        "data_type": "zarr",
    });
    json_answer(StatusCode::OK, &document)
}

async fn reply(app: &App, declared: &Declared) -> Result<Answer, ApiError> {
    let group = &declared.group;
    let release = app.ledger.release(&group.release_id).await?;
    let processing = release.map_or(ProcessingStatus::Pending, |release| {
        release.processing_status
    });
    let (code, message) = match declared.is_new {
        true => (StatusCode::ACCEPTED, "accepted; follow monitor_url"),
        false => (StatusCode::OK, "declared before; this is the same job"),
    };
    let document = json!({
        "success": true,
        "job_id": group.job_id,
        "release_id": group.release_id,
        "asset_id": declared.asset_id,
        "request_id": declared.request_id,
        "job_type": ids::JOB_TYPE,
        "status": super::status::job_status(processing),
        "monitor_url": format!("{}/api/platform/status/{}", app.config.http.public_url, declared.request_id),
        "message": message,
        "warnings": [],
    });
    Ok(json_answer(code, &document))
}
