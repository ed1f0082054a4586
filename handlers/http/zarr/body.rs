//! Answers that carry a key: entity tags, conditional and ranged requests, headers.

use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use warp::Reply as _;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use warp::reply::Response;

use crate::http::error::ApiError;
use crate::stores::blobs::BlobError;

/// Media type of chunks.
pub(super) const BINARY: &str = "application/octet-stream";

/// Media type of metadata.
pub(super) const JSON: &str = "application/json";

/// Media type of pictures.
pub(super) const PNG: &str = "image/png";

/// Who may keep an answer, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caching {
    /// Everybody for a year, as what lies under an address never changes.
    ForAll,
    /// The same, but not in caches that others read from.
    ForOne,
    /// Nobody without asking whether it is the same.
    Never,
}

impl Caching {
    const fn directives(self) -> &'static str {
        match self {
            Self::ForAll => "public, max-age=31536000, immutable",
            Self::ForOne => "private, max-age=31536000, immutable",
            Self::Never => "no-cache",
        }
    }
}

/// Pieces that wait for a slow client.
const WAITING: usize = 2;

/// The bytes of an answer.
pub(super) enum Content {
    Whole(Bytes),
    /// Piece by piece; so many bytes in all.
    Stream(BoxStream<'static, Result<Bytes, BlobError>>, u64),
}

/// What the headers say of a key.
#[derive(Debug)]
pub(super) struct About {
    pub(super) etag: String,
    pub(super) media_type: &'static str,
    /// Length of all of it.
    pub(super) length: u64,
    pub(super) caching: Caching,
}

impl About {
    /// What a request is answered: the headers alone once `check` has found the bytes there, or what `read` brings of them.
    ///
    /// # Errors
    ///
    /// What these fail with.
    pub(super) async fn answer_to<R>(
        &self,
        method: &Method,
        headers: &HeaderMap,
        check: impl Future<Output = Result<(), ApiError>>,
        read: impl FnOnce(Range<u64>) -> R,
    ) -> Result<Response, ApiError>
    where
        R: Future<Output = Result<Content, ApiError>>,
    {
        if is_known(headers, &self.etag) {
            return Ok(self.not_modified());
        }
        if method == Method::HEAD {
            check.await?;
            return Ok(self.head());
        }
        match asked(headers, self) {
            Asked::Everything => Ok(self.answer(read(0..self.length).await?, None)),
            Asked::Part(part) => Ok(self.answer(read(part.clone()).await?, Some(part))),
            Asked::Outside => Ok(self.outside()),
        }
    }

    /// 200 with everything, or 206 with `part`.
    fn answer(&self, content: Content, part: Option<Range<u64>>) -> Response {
        let (body, length) = match content {
            Content::Whole(bytes) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                (bytes_of(bytes), length)
            }
            Content::Stream(pieces, length) => (
                warp::reply::stream(detached(pieces)).into_response(),
                length,
            ),
        };
        let mut answer = self.with_headers(body);
        put(&mut answer, header::CONTENT_LENGTH, &length.to_string());
        if let Some(part) = part {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let last = part.end.saturating_sub(1);
            let range = format!("bytes {}-{last}/{}", part.start, self.length);
            put(&mut answer, header::CONTENT_RANGE, &range);
        }
        answer
    }

    /// The answer to HEAD.
    fn head(&self) -> Response {
        let mut answer = self.with_headers(bytes_of(Bytes::new()));
        put(
            &mut answer,
            header::CONTENT_LENGTH,
            &self.length.to_string(),
        );
        answer
    }

    /// 304.
    fn not_modified(&self) -> Response {
        let mut answer = bytes_of(Bytes::new());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        self.put_caching(&mut answer);
        answer
    }

    /// 416.
    fn outside(&self) -> Response {
        let mut answer = bytes_of(Bytes::new());
        *answer.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        let range = format!("bytes */{}", self.length);
        put(&mut answer, header::CONTENT_RANGE, &range);
        answer
    }

    fn with_headers(&self, mut answer: Response) -> Response {
        put(&mut answer, header::CONTENT_TYPE, self.media_type);
        put(&mut answer, header::ACCEPT_RANGES, "bytes");
        self.put_caching(&mut answer);
        answer
    }

    fn put_caching(&self, answer: &mut Response) {
        put(answer, header::CACHE_CONTROL, self.caching.directives());
        put(answer, header::ETAG, &self.etag);
    }
}

fn bytes_of(bytes: Bytes) -> Response {
    warp::http::Response::new(bytes).into_response()
}

/// Pieces that a task of its own fetches, a few ahead of the client and no further. An error ends the connection, so
/// that nobody takes a part for the whole.
fn detached(
    mut pieces: BoxStream<'static, Result<Bytes, BlobError>>,
) -> impl futures_util::Stream<Item = Result<Bytes, BlobError>> + Send + Sync + 'static {
    let (sender, receiver) = tokio::sync::mpsc::channel(WAITING);
    tokio::spawn(async move {
        while let Some(piece) = pieces.next().await {
            if let Err(error) = &piece {
                tracing::warn!(%error, "A chunk broke off");
            }
            if sender.send(piece).await.is_err() {
                break;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    })
}

fn put(answer: &mut Response, name: header::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        answer.headers_mut().insert(name, value);
    }
}

/// A part of bytes that are held.
pub(super) fn part_of(bytes: &Bytes, part: &Range<u64>) -> Bytes {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(index(part.start)..index(part.end))
}

/// A strong entity tag for what follows from `version`.
pub(in crate::http) fn etag_of(version: &[u8]) -> String {
    let digest = Sha256::digest(version);
    let digits: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{digits}\"")
}

/// Whether the client has this version already (RFC 9110 §13.1.2: compared weakly).
pub(in crate::http) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers
        .get_all(header::IF_NONE_MATCH)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// The answer with the headers that let browsers of another origin read it.
pub(super) fn with_cors(mut answer: Response, origin: Option<&str>) -> Response {
    if let Some(origin) = origin {
        put(&mut answer, header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = "ETag, Content-Range, Content-Length, Accept-Ranges, Retry-After";
        put(&mut answer, header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        if origin != "*" {
            put(&mut answer, header::VARY, "Origin");
        }
    }
    answer
}

/// What a browser asks before a request with headers of its own.
pub(super) fn preflight() -> Response {
    let mut answer = bytes_of(Bytes::new());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    put(&mut answer, header::ALLOW, "GET, HEAD, OPTIONS");
    put(
        &mut answer,
        header::ACCESS_CONTROL_ALLOW_METHODS,
        "GET, HEAD",
    );
    let headers = "Range, If-None-Match, If-Range, Cache-Control";
    put(&mut answer, header::ACCESS_CONTROL_ALLOW_HEADERS, headers);
    put(&mut answer, header::ACCESS_CONTROL_MAX_AGE, "86400");
    answer
}

/// Which bytes a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Everything,
    Part(Range<u64>),
    Outside,
}

/// The one range that a request asks for; several, other units and other versions get everything
/// (RFC 9110 §13.1.5, §14.2).
fn asked(headers: &HeaderMap, about: &About) -> Asked {
    let length = about.length;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|version| version != about.etag) {
        return Asked::Everything;
    }
    let range = text(header::RANGE).and_then(|range| range.strip_prefix("bytes="));
    let Some((start, end)) = range.and_then(|range| range.split_once('-')) else {
        return Asked::Everything;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let part = |start, end: u64| Asked::Part(start..end.min(length));
    match (number(start), number(end)) {
        (None, Some(count)) if start.is_empty() && (count == 0 || length == 0) => Asked::Outside,
        (None, Some(count)) if start.is_empty() => part(length.saturating_sub(count), length),
        (Some(start), Some(end)) if start > end => Asked::Everything,
        (Some(start), None) if end.is_empty() && start < length => part(start, length),
        (Some(start), Some(end)) if start < length => part(start, end.saturating_add(1)),
        (Some(_), Some(_)) => Asked::Outside,
        (Some(_), None) if end.is_empty() => Asked::Outside,
        _ => Asked::Everything,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // RFC 9110 §14.1.2 and §14.2.
    #[rstest]
    #[case::none(None, Asked::Everything)]
    #[case::first_bytes(Some("bytes=0-3"), Asked::Part(0..4))]
    #[case::open(Some("bytes=4-"), Asked::Part(4..10))]
    #[case::suffix(Some("bytes=-3"), Asked::Part(7..10))]
    #[case::long_suffix(Some("bytes=-30"), Asked::Part(0..10))]
    #[case::beyond_the_end(Some("bytes=8-30"), Asked::Part(8..10))]
    #[case::outside(Some("bytes=10-"), Asked::Outside)]
    #[case::nothing(Some("bytes=-0"), Asked::Outside)]
    #[case::backwards(Some("bytes=5-2"), Asked::Everything)]
    #[case::several(Some("bytes=0-1,4-5"), Asked::Everything)]
    #[case::other_unit(Some("chunks=0-1"), Asked::Everything)]
    fn a_range_is_read(#[case] range: Option<&'static str>, #[case] expected: Asked) {
        let mut headers = HeaderMap::new();
        if let Some(range) = range {
            headers.insert(header::RANGE, HeaderValue::from_static(range));
        }
        let about = About {
            etag: String::from("\"a\""),
            media_type: BINARY,
            length: 10,
            caching: Caching::ForAll,
        };
        assert_eq!(asked(&headers, &about), expected);
    }

    #[rstest]
    #[case("\"a\"", true)]
    #[case("\"b\", W/\"a\"", true)]
    #[case("*", true)]
    #[case("\"b\"", false)]
    fn a_known_version_is_not_sent_again(#[case] list: &'static str, #[case] known: bool) {
        let headers =
            HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(list))]);
        assert_eq!(is_known(&headers, "\"a\""), known);
    }
}
