//! Approve, reject, revoke; the item again.

use jiff::Timestamp;
use serde_json::{Value, json};
use warp::http::HeaderMap;

use super::body::Body;
use super::{refusal, success, word};
use crate::http::App;
use crate::http::error::{Answer, ApiError};
use crate::pipeline::PipelineError;
use crate::stores::ledger::{Action, Catalogue, Decided, Decision, Refusal, Release};

const APPROVE: &[&str] = &[
    "reviewer",
    "clearance_state",
    "clearance_level",
    "access_level",
    "version_id",
    "notes",
    "dry_run",
    "rematerialize",
];
const REJECT: &[&str] = &["reviewer", "reason", "dry_run"];
const REVOKE: &[&str] = &["reviewer", "revoker", "reason", "dry_run"];

pub(super) async fn approve(
    app: &App,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Answer, ApiError> {
    let body = Body::read(bytes, APPROVE)?;
    if body.rematerialize {
        return rematerialize(app, &body).await;
    }
    let endorsement = body.endorsement(app, headers)?;
    let release = body.release(app, "pending_review").await?;
    let seen = release.clone();
    let checked = app.pipeline.check_approval(release, endorsement).await;
    let checked = checked.map_err(|error| refusal(Action::Approve, error));
    if body.dry_run == Some(true) {
        let version = checked.as_ref().ok();
        let version = version.map(|approval| approval.version_id.clone());
        let mut answer = trial("approve", "approved", &seen, checked.map(drop))?;
        answer["version_id"] = json!(version);
        return Ok(success(answer));
    }
    let approval = checked?;
    let decided = app.pipeline.approve_release(&approval).await;
    let Decided { release, catalogue } =
        decided.map_err(|error| refusal(Action::Approve, error))?;
    Ok(success(json!({
        "release_id": release.release_id,
        "asset_id": release.asset_id,
        "approval_state": release.approval_state,
        "clearance_state": release.clearance_state,
        "version_id": release.version_id,
        "version_ordinal": release.version_ordinal,
        "revision": release.revision,
        "reviewer": release.review.reviewer,
        "action": format!("approved_{}", release.clearance_state),
        "stac_updated": catalogue == Catalogue::Updated,
        "catalogue": word(catalogue),
        "adf_run_id": null,
        "stac_item_id": release.stac_item_id,
        "stac_collection_id": release.stac_collection_id,
        "message": match catalogue {
            Catalogue::Absent => "approved; there is no pgSTAC catalogue in this database, rematerialize when there is one",
            Catalogue::Unchanged | Catalogue::Updated => "approved, and written to the catalogue",
        },
    })))
}

/// Writes what is approved to the catalogue once more: the Release that is named, or all.
async fn rematerialize(app: &App, body: &Body) -> Result<Answer, ApiError> {
    let only = match body.names_release() {
        true => Some(body.release(app, "approved").await?),
        false => None,
    };
    let done = app.pipeline.rematerialize(only).await;
    let done = done.map_err(|error| refusal(Action::Materialize, error))?;
    let named = |release: &Release| {
        json!({"release_id": release.release_id, "stac_item_id": release.stac_item_id,
               "stac_collection_id": release.stac_collection_id, "version_id": release.version_id})
    };
    let written: Vec<Value> = done.written.iter().map(named).collect();
    if let Some((release, error)) = done.failed.into_iter().next() {
        let error = refusal(Action::Materialize, error);
        return Err(error
            .with("release_id", json!(release.release_id))
            .with("rematerialized", json!(written)));
    }
    Ok(success(json!({
        "rematerialized": written,
        "count": written.len(),
        "catalogue": word(if done.is_absent { Catalogue::Absent } else { Catalogue::Updated }),
        "message": match done.is_absent {
            true => "there is no pgSTAC catalogue in this database",
            false => "every approved Release that was asked for is in the catalogue",
        },
    })))
}

pub(super) async fn reject(
    app: &App,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Answer, ApiError> {
    let body = Body::read(bytes, REJECT)?;
    let decision = decision(app, headers, &body, "pending_review").await?;
    let (release, decision) = decision;
    if body.dry_run == Some(true) {
        let checked = Action::Reject.check(&release).map_err(ApiError::from);
        return Ok(success(trial("reject", "rejected", &release, checked)?));
    }
    let decided = app.pipeline.reject_release(&decision).await;
    let Decided { release, .. } = decided.map_err(|error| refusal(Action::Reject, error))?;
    Ok(success(json!({
        "release_id": release.release_id,
        "asset_id": release.asset_id,
        "approval_state": release.approval_state,
        "reviewer": release.review.reviewer,
        "message": "rejected; nothing of it is served any more",
    })))
}

pub(super) async fn revoke(
    app: &App,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Answer, ApiError> {
    let body = Body::read(bytes, REVOKE)?;
    let (release, decision) = decision(app, headers, &body, "approved").await?;
    if body.dry_run == Some(true) {
        let checked = Action::Revoke.check(&release).map_err(ApiError::from);
        return Ok(success(trial("revoke", "revoked", &release, checked)?));
    }
    let decided = app.pipeline.revoke_release(&decision).await;
    let Decided { release, catalogue } = decided.map_err(|error| refusal(Action::Revoke, error))?;
    Ok(success(json!({
        "release_id": release.release_id,
        "asset_id": release.asset_id,
        "approval_state": release.approval_state,
        "version_id": release.version_id,
        "reviewer": release.review.revoked_by,
        "stac_updated": catalogue == Catalogue::Updated,
        "catalogue": word(catalogue),
        "warning": match catalogue {
            Catalogue::Updated => Value::Null,
            Catalogue::Unchanged => json!("the catalogue has no item of this Release"),
            Catalogue::Absent => json!("there is no pgSTAC catalogue in this database"),
        },
        "message": "revoked; nothing of it is served any more",
    })))
}

async fn decision(
    app: &App,
    headers: &HeaderMap,
    body: &Body,
    state: &str,
) -> Result<(Release, Decision), ApiError> {
    let actor = body.reviewer(app, headers)?;
    let reason = body.required_reason()?;
    let release = body.release(app, state).await?;
    let decision = Decision {
        release_id: release.release_id.clone(),
        actor: Some(actor),
        reason: Some(reason),
        at: Timestamp::now(),
    };
    Ok((release, decision))
}

/// The answer of a dry run. What stands in the way of the action itself is part of it; a service that fails is not.
pub(super) fn trial(
    action: &str,
    state: &str,
    release: &Release,
    checked: Result<(), ApiError>,
) -> Result<Value, ApiError> {
    let reason = match checked {
        Ok(()) => None,
        Err(error) => Some(error.into_refusal()?),
    };
    Ok(json!({
        "dry_run": true,
        "action": action,
        "release_id": release.release_id,
        "asset_id": release.asset_id,
        "current_state": release.approval_state,
        "would_transition_to": state,
        "blocked": reason.is_some(),
        "blocked_reason": reason,
        "message": "nothing was changed",
    }))
}

/// Builds and caches the item of a Release once more.
pub(super) async fn cache_item(app: &App, release_id: &str) -> Result<Answer, ApiError> {
    let release = app.ledger.release(release_id).await?;
    let release = release.ok_or(Refusal::Unknown)?;
    let rebuilt = Box::pin(app.pipeline.rebuild_item(release)).await;
    let release = rebuilt.map_err(|error: PipelineError| refusal(Action::CacheItem, error))?;
    Ok(success(json!({
        "release_id": release.release_id,
        "stac_item_cached": true,
        "release_updated": true,
        "blob_path": release.blob_path,
        "stac_item_id": release.stac_item_id,
        "stac_collection_id": release.stac_collection_id,
    })))
}
