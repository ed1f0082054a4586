//! `GET /api/openapi.json`: this API as an `OpenAPI` 3.1 document.
//!
//! The document is `docs/openapi.json`, written by hand and compiled in. What it says is held against the code by the
//! tests: every route is in it, every address of it has a route, every answer of the test run fits what it says.

use bytes::Bytes;
use warp::http::{Response, header};
use warp::{Filter, Rejection};

use super::error::Answer;

/// The document.
pub const DOCUMENT: &str = include_str!("../../docs/openapi.json");

const MEDIA_TYPE: &str = "application/vnd.oai.openapi+json;version=3.1";

/// The route.
pub fn routes() -> impl Filter<Extract = (Answer,), Error = Rejection> + Clone {
    warp::path!("api" / "openapi.json")
        .and(warp::get())
        .map(|| {
            let mut answer = Response::new(Bytes::from_static(DOCUMENT.as_bytes()));
            let media_type = header::HeaderValue::from_static(MEDIA_TYPE);
            answer
                .headers_mut()
                .insert(header::CONTENT_TYPE, media_type);
            answer
        })
}
