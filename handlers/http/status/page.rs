//! `GET /api/status`: the status page. SPEC §11.
//!
//! | route | answer |
//! | --- | --- |
//! | `GET /api/status` | the page: one document, its style and script in it |
//! | `GET /api/status/overview` | what it shows, see [`overview`] |
//! | `GET /api/status/picture/{release_id}/r{revision}` | the picture of a revision, for whoever has the key |
//!
//! The page holds no data and no secret. It asks for what it shows with the `code` that it was opened with, as
//! `x-functions-key`. It may run the one script whose digest its headers name, and reach nothing but this app: text
//! from a file name that turns out to be HTML would do nothing, and is never written as HTML in the first place.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use warp::http::header::{self, HeaderName, HeaderValue};
use warp::http::{HeaderMap, Response, StatusCode};
use warp::{Filter, Rejection, Reply};

use super::overview;
use crate::http::App;
use crate::http::error::{Answer, ApiError, answer};
use crate::http::zarr::{etag_of, is_known, serve_picture};

/// Where the page is.
pub(in crate::http) const PATH: &str = "/api/status";

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// The page, put together once.
static PAGE: LazyLock<Page> = LazyLock::new(Page::assemble);

struct Page {
    body: Bytes,
    etag: String,
    /// What the page may do, as `Content-Security-Policy`.
    policy: String,
}

impl Page {
    fn assemble() -> Self {
        let body = include_str!("page/page.html")
            .replace("/* style */", STYLE)
            .replace("/* script */", SCRIPT);
        let body = Bytes::from(body);
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; img-src blob: data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            digest(SCRIPT),
            digest(STYLE)
        );
        Self {
            etag: etag_of(&body),
            body,
            policy,
        }
    }
}

/// A text as a policy names it.
fn digest(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// The routes.
pub(in crate::http) fn routes(
    app: Arc<App>,
) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let page = warp::path!("api" / "status")
        .and(warp::get())
        .and(warp::header::headers_cloned())
        .map(|headers: HeaderMap| page(&headers));
    let overview = warp::path!("api" / "status" / "overview")
        .and(warp::get())
        .and(warp::query::<HashMap<String, String>>())
        .and(warp::header::headers_cloned())
        .and(crate::http::with(Arc::clone(&app)))
        .then(
            |query: HashMap<String, String>, headers: HeaderMap, app: Arc<App>| async move {
                answer(show(&app, &query, &headers).await)
            },
        );
    let picture = warp::path!("api" / "status" / "picture" / String / String)
        .and(warp::get())
        .and(warp::header::headers_cloned())
        .and(crate::http::with(app))
        .then(
            |release: String, revision: String, headers: HeaderMap, app: Arc<App>| async move {
                let served = serve_picture(&app, &format!("{release}/{revision}"), &headers).await;
                served.unwrap_or_else(|error| error.into_answer().into_response())
            },
        );
    page.or(overview).unify().or(picture)
}

fn page(headers: &HeaderMap) -> Answer {
    let body = (PAGE.body.clone(), "text/html; charset=utf-8");
    let mut answer = fresh(headers, &PAGE.etag, body);
    put(&mut answer, header::CONTENT_SECURITY_POLICY, &PAGE.policy);
    // The address of the page may hold the key.
    put(&mut answer, header::REFERRER_POLICY, "no-referrer");
    answer
}

async fn show(
    app: &Arc<App>,
    query: &HashMap<String, String>,
    headers: &HeaderMap,
) -> Result<Answer, ApiError> {
    let document = overview::answer(app, query).await?;
    let body = (document.body, "application/json");
    Ok(fresh(headers, &document.etag, body))
}

/// 200 with a body of some type, or 304 if the client has it.
fn fresh(headers: &HeaderMap, etag: &str, (body, media_type): (Bytes, &str)) -> Answer {
    let mut answer = match is_known(headers, etag) {
        true => {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer
        }
        false => {
            let mut answer = Response::new(body);
            put(&mut answer, header::CONTENT_TYPE, media_type);
            answer
        }
    };
    put(&mut answer, header::ETAG, etag);
    put(&mut answer, header::CACHE_CONTROL, "private, no-cache");
    put(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

fn put(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_whole() {
        let text = std::str::from_utf8(&PAGE.body).unwrap();
        assert!(text.len() < 40_000, "{} bytes", text.len());
        assert!(text.contains(&format!("<style>{STYLE}</style>")));
        assert!(text.contains(&format!("<script>{SCRIPT}</script>")));
        assert_eq!(text.matches("</script>").count(), 1, "the script ends once");
    }

    // printf '' | openssl dgst -sha256 -binary | base64
    #[test]
    fn a_policy_names_a_text_by_its_digest() {
        assert_eq!(
            digest(""),
            "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        );
    }

    #[test]
    fn nothing_in_the_page_is_written_as_html() {
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
