//! Unpublish: our references of a Release go, its sources stay.

use jiff::Timestamp;
use serde_json::{Value, json};
use warp::http::HeaderMap;

use super::body::Body;
use super::review::trial;
use super::{refusal, success, word};
use crate::http::App;
use crate::http::error::{Answer, ApiError};
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::{Action, Catalogue, Decision, Unpublication};

const FIELDS: &[&str] = &["reviewer", "reason", "force_approved", "dry_run"];

pub(super) async fn unpublish(
    app: &App,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Answer, ApiError> {
    let body = Body::read(bytes, FIELDS)?;
    let is_trial = body.dry_run.unwrap_or(true);
    let actor = match is_trial {
        true => None,
        false => body.actor(app, headers)?,
    };
    let reason = body.reason()?;
    let release = body.release(app, "pending_review").await?;
    let order = Unpublication {
        decision: Decision {
            release_id: release.release_id.clone(),
            actor,
            reason,
            at: Timestamp::now(),
        },
        force_approved: body.force_approved,
    };
    if is_trial {
        let checked = order.check(&release).map_err(ApiError::from);
        let references = app.pipeline.references_of(&release).await;
        let references = references.map_err(|error| refusal(Action::Unpublish, error))?;
        let is_listed = release.approval_state == "approved";
        let mut answer = trial("unpublish", "unpublished", &release, checked)?;
        answer["data_type"] = json!("zarr");
        answer["would_delete"] = deleted(&references);
        answer["would_delete"]["stac_item_id"] = json!(release.stac_item_id.filter(|_| is_listed));
        return Ok(success(answer));
    }
    let done = app.pipeline.unpublish_release(&order).await;
    let done = done.map_err(|error| refusal(Action::Unpublish, error))?;
    Ok(success(json!({
        "dry_run": false,
        "release_id": release.release_id,
        "asset_id": release.asset_id,
        "data_type": "zarr",
        "deleted": deleted(&done.references),
        "stac_updated": done.catalogue == Catalogue::Updated,
        "catalogue": word(done.catalogue),
        "message": "unpublished; the source files are as they were",
    })))
}

fn deleted(references: &[BlobPath]) -> Value {
    let urls: Vec<String> = references.iter().map(BlobPath::short).collect();
    json!({"references": urls, "count": urls.len(), "sources": []})
}
