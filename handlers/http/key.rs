//! The key of a server without a Functions host, which would ask for one of its own.

use std::convert::Infallible;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};
use warp::http::HeaderMap;
use warp::path::FullPath;
use warp::{Filter, Rejection};

use super::error::{self, Answer, ApiError};
use super::{App, status};

/// The key of the request is missing or wrong.
#[derive(Debug)]
struct Refused;

impl warp::reject::Reject for Refused {}

/// Lets requests to `/api/…` pass that have the key of `LANDFALL_API_KEY` in `x-functions-key`; without such a setting,
/// and elsewhere, there is nothing. The status page takes it as `code` in its address, as the Functions host does: a
/// browser that opens a page sends no header of ours.
pub(super) fn needed(app: &App) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    let key = app.config.http.api_key.as_deref().map(Sha256::digest);
    let key = Arc::new(key);
    warp::path::full()
        .and(warp::header::headers_cloned())
        .and(query())
        .and_then(move |path: FullPath, headers: HeaderMap, query: String| {
            let key = Arc::clone(&key);
            async move {
                let key = (*key).filter(|_| path.as_str().starts_with("/api/"));
                let key = key.ok_or_else(warp::reject::not_found)?;
                let given = headers.get("x-functions-key");
                let given = given.map(|given| given.as_bytes().to_vec());
                let given =
                    given.or_else(|| code(&query).filter(|_| path.as_str() == status::PATH));
                // Digests are compared, so that the time says nothing about the key.
                match given.map(Sha256::digest) {
                    Some(given) if given == key => Ok(()),
                    _ => Err(warp::reject::custom(Refused)),
                }
            }
        })
        .untuple_one()
}

fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

/// The `code` of a query.
fn code(query: &str) -> Option<Vec<u8>> {
    let code = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("code="))?;
    Some(percent_decode_str(code).collect())
}

/// Answers requests that were not let pass, or that no route took.
pub(super) async fn recover(rejection: Rejection) -> Result<Answer, Infallible> {
    if rejection.find::<Refused>().is_some() {
        let reason = "this needs the key of the server in x-functions-key";
        return Ok(ApiError::unauthorized(reason).into_answer());
    }
    error::recover(rejection).await
}
