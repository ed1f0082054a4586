//! `GET /api/openapi.json`: this API as an `OpenAPI` 3.1 document.
//!
//! The document is `docs/openapi.json`, written by hand and compiled in. What it says is held against the code by the
//! tests: every route is in it, every address of it has a route, every answer of the test run fits what it says.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use warp::http::{HeaderValue, Response, StatusCode, header};
use warp::path::FullPath;
use warp::{Filter, Rejection, Reply};

use super::error::Answer;

/// The document.
pub const DOCUMENT: &str = include_str!("../../docs/openapi.json");

const MEDIA_TYPE: &str = "application/vnd.oai.openapi+json;version=3.1";

/// As much of the document as tells which methods an address takes.
#[derive(Debug, Default, Deserialize)]
struct Document {
    paths: BTreeMap<String, BTreeMap<String, IgnoredAny>>,
}

static ADDRESSES: LazyLock<Document> =
    LazyLock::new(|| serde_json::from_str(DOCUMENT).unwrap_or_default());

/// Says with a 405 which methods the address takes (RFC 9110 §15.5.6).
pub(super) fn with_allow(path: FullPath, answer: impl Reply) -> warp::reply::Response {
    let mut answer = answer.into_response();
    if answer.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Ok(methods) = HeaderValue::from_str(&methods_of(path.as_str()))
    {
        answer.headers_mut().insert(header::ALLOW, methods);
    }
    answer
}

/// The methods that an address takes.
fn methods_of(path: &str) -> String {
    // Browsers ask before they read from a store.
    if path.starts_with("/api/zarr/") {
        return String::from("GET, HEAD, OPTIONS");
    }
    let fitting = ADDRESSES.paths.iter();
    let fitting = fitting.filter(|(template, _)| is_one_of(path, template));
    let words = |template: &str| {
        let parts = template.split('/');
        parts.filter(|part| !part.starts_with('{')).count()
    };
    match fitting.max_by_key(|(template, _)| words(template)) {
        Some((_, operations)) => {
            let methods = operations.keys().map(|method| method.to_uppercase());
            methods.collect::<Vec<_>>().join(", ")
        }
        None if path == "/" => String::from("GET"),
        // A function's own route.
        None => String::from("POST"),
    }
}

/// Whether a path is one of a documented address.
fn is_one_of(path: &str, template: &str) -> bool {
    let (path, template) = (path.split('/'), template.split('/'));
    path.clone().count() == template.clone().count()
        && path
            .zip(template)
            .all(|(part, wanted)| wanted.starts_with('{') || part == wanted)
}

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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one("/api/platform/submit", "POST")]
    #[case::by_id("/api/platform/status/x", "GET")]
    #[case::beside_an_id("/api/releases/x/stac", "PUT")]
    #[case::own_words_before_variables("/api/inventory/x", "GET")]
    #[case::a_store("/api/zarr/x/r1/v/0", "GET, HEAD, OPTIONS")]
    #[case::of_the_host("/BlobEvent", "POST")]
    #[case::the_root("/", "GET")]
    fn an_address_takes_what_is_documented(#[case] path: &str, #[case] methods: &str) {
        assert_eq!(methods_of(path), methods);
    }
}
