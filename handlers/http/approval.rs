//! What people decide about Releases. SPEC §8.
//!
//! | route | body | answer |
//! | --- | --- | --- |
//! | `POST /api/platform/approve` | id, `reviewer`, `clearance_state` (`ouo`, `public`), `version_id?`, `notes?`, `dry_run?`; or `rematerialize` | `release_id, asset_id, approval_state, clearance_state, version_id, action, stac_updated, catalogue, stac_item_id, stac_collection_id, reviewer, message` |
//! | `POST /api/platform/reject` | id, `reviewer`, `reason`, `dry_run?` | `release_id, asset_id, approval_state, reviewer, message` |
//! | `POST /api/platform/revoke` | id, `reviewer` or `revoker`, `reason`, `dry_run?` | the same with `stac_updated, catalogue, warning` |
//! | `POST /api/platform/unpublish` | id, `reviewer?`, `reason?`, `force_approved?`, `dry_run?` (true unless said) | `would_delete` or `deleted` |
//! | `GET /api/platform/approvals?status=&clearance=&limit=&offset=` | | `releases, count, limit, offset, status_counts` |
//! | `PUT /api/releases/{release_id}/stac` | | `stac_item_cached, release_updated, blob_path, stac_item_id, stac_collection_id` |
//!
//! An id is one of `release_id`, `job_id`, `request_id`, `asset_id`, `approval_id`, or `dataset_id` with `resource_id`;
//! one of an Asset means its newest Release in the state that the action starts from. A dry run answers 200 with
//! `current_state, would_transition_to, blocked, blocked_reason`.

mod body;
mod list;
mod review;
mod unpublish;

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use futures_util::Stream;
use futures_util::future::BoxFuture;
use warp::http::{HeaderMap, StatusCode};
use warp::{Filter, Rejection, Reply};

use super::App;
use super::error::{Answer, ApiError, answer, json_answer};
use super::platform::collect;
use crate::combine::JoinError;
use crate::pipeline::PipelineError;
use crate::stores::blobs::BlobError;
use crate::stores::ledger::{Action, Catalogue};

/// The routes.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let decide = warp::path!("api" / "platform" / "approve")
        .map(|| Action::Approve)
        .or(warp::path!("api" / "platform" / "reject").map(|| Action::Reject))
        .unify()
        .or(warp::path!("api" / "platform" / "revoke").map(|| Action::Revoke))
        .unify()
        .or(warp::path!("api" / "platform" / "unpublish").map(|| Action::Unpublish))
        .unify()
        .and(warp::post())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .and(super::with(Arc::clone(&app)))
        .then(|action, headers, body, app: Arc<App>| decide(app, action, headers, body));
    let item = warp::path!("api" / "releases" / String / "stac")
        .and(warp::put())
        .and(super::with(Arc::clone(&app)))
        .then(
            |id: String, app: Arc<App>| async move { answer(review::cache_item(&app, &id).await) },
        );
    decide.or(item).or(list::routes(app))
}

/// Boxed, so that the compiler need not look through all stages to see that it can change threads.
fn decide<B: Buf + Send>(
    app: Arc<App>,
    action: Action,
    headers: HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static,
) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let decided = async {
            let body: BytesMut = collect(body).await?;
            match action {
                Action::Approve => review::approve(&app, &headers, &body).await,
                Action::Reject => review::reject(&app, &headers, &body).await,
                Action::Revoke => review::revoke(&app, &headers, &body).await,
                _ => unpublish::unpublish(&app, &headers, &body).await,
            }
        };
        answer(decided.await)
    })
}

/// What stands in the way of an action, as an answer: what is the Release's own is told under the action's name.
fn refusal(action: Action, error: PipelineError) -> ApiError {
    match error {
        PipelineError::Join(JoinError::SourceChanged { ref files }) => {
            ApiError::not_possible(action, error.to_string())
                .with("code", "source_changed".into())
                .with("files", files.clone().into())
                .with(
                    "remediation",
                    "wait until the next revision is combined, then look at that one".into(),
                )
        }
        PipelineError::Join(JoinError::Source { source, .. }) => source.into(),
        PipelineError::Blob(BlobError::NotFound(path)) => {
            ApiError::not_possible(action, format!("the reference {} is gone", path.short()))
        }
        // Ours; what people ask about lies in others.
        PipelineError::Blob(error @ BlobError::NoContainer(_)) => ApiError::internal(error),
        PipelineError::Publication(error) => ApiError::not_possible(action, error.to_string()),
        error => error.into(),
    }
}

/// A document with `success`.
fn success(mut document: serde_json::Value) -> Answer {
    document["success"] = true.into();
    json_answer(StatusCode::OK, &document)
}

/// The word for what became of the catalogue.
const fn word(catalogue: Catalogue) -> &'static str {
    match catalogue {
        Catalogue::Absent => "absent",
        Catalogue::Unchanged => "unchanged",
        Catalogue::Updated => "updated",
    }
}
