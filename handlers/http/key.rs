//! The key of a server without a Functions host, which would ask for one of its own.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use warp::http::HeaderMap;
use warp::path::FullPath;
use warp::{Filter, Rejection};

use super::App;
use super::error::{self, Answer, ApiError};

/// The key of the request is missing or wrong.
#[derive(Debug)]
struct Refused;

impl warp::reject::Reject for Refused {}

/// Lets requests to `/api/…` pass that have the key of `LANDFALL_API_KEY` in `x-functions-key`; without such a setting,
/// and elsewhere, there is nothing.
pub(super) fn needed(app: &App) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    let key = app.config.http.api_key.as_deref().map(Sha256::digest);
    let key = Arc::new(key);
    warp::path::full()
        .and(warp::header::headers_cloned())
        .and_then(move |path: FullPath, headers: HeaderMap| {
            let key = Arc::clone(&key);
            async move {
                let key = (*key).filter(|_| path.as_str().starts_with("/api/"));
                let key = key.ok_or_else(warp::reject::not_found)?;
                let given = headers.get("x-functions-key");
                // Digests are compared, so that the time says nothing about the key.
                match given.map(|given| Sha256::digest(given.as_bytes())) {
                    Some(given) if given == key => Ok(()),
                    _ => Err(warp::reject::custom(Refused)),
                }
            }
        })
        .untuple_one()
}

/// Answers requests that were not let pass, or that no route took.
pub(super) async fn recover(rejection: Rejection) -> Result<Answer, std::convert::Infallible> {
    if rejection.find::<Refused>().is_some() {
        let reason = "this needs the key of the server in x-functions-key";
        return Ok(ApiError::unauthorized(reason).into_answer());
    }
    error::recover(rejection).await
}
