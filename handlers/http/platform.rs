//! `/api/platform/…` and `/api/releases…`: declare a series, follow it, see its Release. SPEC §8.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use futures_util::{Stream, StreamExt as _};
use serde_json::json;
use warp::http::StatusCode;
use warp::{Filter, Rejection, Reply};

use super::error::{Answer, ApiError, answer, json_answer};
use super::triggers::pass_over;
use super::{App, status, submit};

/// Largest body.
const BODY_CAP: usize = 4 << 20;

/// Releases that a list shows.
const LISTED: u32 = 100;

/// The parameters of a request.
pub(super) type Query = HashMap<String, String>;

/// The routes.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    submit_route(Arc::clone(&app))
        .or(status_routes(Arc::clone(&app)))
        .or(release_routes(app))
}

fn submit_route(app: Arc<App>) -> impl Filter<Extract = (Answer,), Error = Rejection> + Clone {
    warp::path!("api" / "platform" / "submit")
        .and(warp::post())
        .and(warp::query::<Query>())
        .and(warp::body::stream())
        .and(super::with(app))
        .then(|query: Query, body, app: Arc<App>| async move {
            let answered = async {
                let body = collect(body).await?;
                submit::submit(&app, &body, is_set(&query, "dry_run")?).await
            };
            answer(answered.await)
        })
}

fn status_routes(app: Arc<App>) -> impl Filter<Extract = (Answer,), Error = Rejection> + Clone {
    let by_id = warp::path!("api" / "platform" / "status" / String)
        .and(warp::get())
        .and(warp::query::<Query>())
        .and(super::with(Arc::clone(&app)))
        .then(|id: String, query: Query, app: Arc<App>| async move {
            let answered = async { status::by_id(&app, &id, is_full(&query)?).await };
            answer(answered.await)
        });
    let by_names = warp::path!("api" / "platform" / "status")
        .and(warp::get())
        .and(warp::query::<Query>())
        .and(super::with(app))
        .then(|query: Query, app: Arc<App>| async move {
            let names = query.get("dataset_id").zip(query.get("resource_id"));
            let answered = async {
                let (dataset, resource) = names.ok_or_else(|| {
                    ApiError::validation("dataset_id and resource_id are required")
                })?;
                status::by_names(&app, dataset, resource, is_full(&query)?).await
            };
            answer(answered.await)
        });
    by_id.or(by_names).unify()
}

fn release_routes(app: Arc<App>) -> impl Filter<Extract = (Answer,), Error = Rejection> + Clone {
    let one = warp::path!("api" / "releases" / String)
        .and(warp::get())
        .and(super::with(Arc::clone(&app)))
        .then(|id: String, app: Arc<App>| async move { answer(release(&app, &id).await) });
    let all = warp::path!("api" / "releases")
        .and(warp::get())
        .and(super::with(app))
        .then(|app: Arc<App>| async move { answer(releases(&app).await) });
    one.or(all).unify()
}

async fn release(app: &App, id: &str) -> Result<Answer, ApiError> {
    let release = app
        .ledger
        .release(id)
        .await?
        .ok_or_else(|| ApiError::not_found("there is no such Release"))?;
    Ok(json_answer(
        StatusCode::OK,
        &json!({"success": true, "release": release}),
    ))
}

async fn releases(app: &App) -> Result<Answer, ApiError> {
    let mut releases = app.ledger.releases(LISTED).await?;
    for release in &mut releases {
        release.stac_item_json = None;
    }
    let count = releases.len();
    Ok(json_answer(
        StatusCode::OK,
        &json!({"success": true, "count": count, "releases": releases}),
    ))
}

/// Whether `detail=full` is asked for.
fn is_full(query: &Query) -> Result<bool, ApiError> {
    match query.get("detail").map(String::as_str) {
        None => Ok(false),
        Some("full") => Ok(true),
        Some(other) => {
            let message = format!("detail is `{other}`, not full");
            Err(ApiError::validation(message))
        }
    }
}

/// Whether a parameter is `true`.
pub(super) fn is_set(query: &Query, name: &str) -> Result<bool, ApiError> {
    match query.get(name).map(String::as_str) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1" | "") => Ok(true),
        Some(other) => Err(ApiError::validation(format!(
            "{name} is `{other}`, not true or false"
        ))),
    }
}

/// The whole body, up to the cap. The host sends it chunked, so its length is not known before.
pub(super) async fn collect<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<BytesMut, ApiError> {
    let mut body = std::pin::pin!(body);
    let mut whole = BytesMut::new();
    while let Some(part) = body.next().await {
        let mut part = part.map_err(|_| ApiError::validation("the body did not arrive whole"))?;
        if whole.len() + part.remaining() > BODY_CAP {
            pass_over(body).await;
            return Err(ApiError::too_large(BODY_CAP));
        }
        whole.extend_from_slice(&part.copy_to_bytes(part.remaining()));
    }
    Ok(whole)
}
