//! Answers that carry a key: entity tags, conditional and ranged requests, headers.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use warp::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::http::error::Answer;

/// Media type of chunks.
pub(super) const BINARY: &str = "application/octet-stream";

/// Media type of metadata.
pub(super) const JSON: &str = "application/json";

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// The bytes of a key, or just how many they are.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Bytes,
    length: u64,
    media_type: &'static str,
}

impl Body {
    pub(super) fn new(bytes: Bytes, media_type: &'static str) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self {
            bytes,
            length,
            media_type,
        }
    }

    /// For HEAD, where the bytes need not be fetched.
    pub(super) const fn length_only(length: u64, media_type: &'static str) -> Self {
        Self {
            bytes: Bytes::new(),
            length,
            media_type,
        }
    }

    /// The answer to HEAD.
    pub(super) fn into_head(self, etag: &str) -> Answer {
        let mut answer = self.start(StatusCode::OK, Bytes::new(), etag);
        put(
            answer.headers_mut(),
            header::CONTENT_LENGTH,
            &self.length.to_string(),
        );
        answer
    }

    /// 200 with everything, 206 with the range asked for, 416 for one that is not there.
    pub(super) fn into_answer(self, headers: &HeaderMap, etag: &str) -> Answer {
        let (status, bytes, range) = match asked(headers, etag, self.length) {
            Asked::Everything => return self.start(StatusCode::OK, self.bytes.clone(), etag),
            Asked::Part(start, end) => (
                StatusCode::PARTIAL_CONTENT,
                part(&self.bytes, start, end),
                format!("bytes {start}-{end}/{}", self.length),
            ),
            Asked::Outside => (
                StatusCode::RANGE_NOT_SATISFIABLE,
                Bytes::new(),
                format!("bytes */{}", self.length),
            ),
        };
        let mut answer = self.start(status, bytes, etag);
        put(answer.headers_mut(), header::CONTENT_RANGE, &range);
        answer
    }

    fn start(&self, status: StatusCode, bytes: Bytes, etag: &str) -> Answer {
        let mut answer = Response::new(bytes);
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(self.media_type),
        );
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        put_caching(headers, etag);
        answer
    }
}

fn put(headers: &mut HeaderMap, name: header::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

fn put_caching(headers: &mut HeaderMap, etag: &str) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    put(headers, header::ETAG, etag);
}

/// A strong entity tag for what follows from `version`.
pub(super) fn etag_of(version: &str) -> String {
    let digest = Sha256::digest(version.as_bytes());
    let digits: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{digits}\"")
}

/// Whether the client has this version already (RFC 9110 §13.1.2: compared weakly).
pub(super) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers
        .get_all(header::IF_NONE_MATCH)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// 304.
pub(super) fn not_modified(etag: &str) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    put_caching(answer.headers_mut(), etag);
    answer
}

/// The answer with the headers that let browsers of another origin read it.
pub(super) fn with_cors(mut answer: Answer, origin: Option<&str>) -> Answer {
    if let Some(origin) = origin {
        let headers = answer.headers_mut();
        put(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        put(
            headers,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "ETag, Content-Range, Content-Length",
        );
    }
    answer
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Everything,
    /// First and last byte.
    Part(u64, u64),
    Outside,
}

/// The one range that a request asks for; several, other units and other versions get everything
/// (RFC 9110 §13.1.5, §14.2).
fn asked(headers: &HeaderMap, etag: &str, length: u64) -> Asked {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|version| version != etag) {
        return Asked::Everything;
    }
    let range = text(header::RANGE).and_then(|range| range.strip_prefix("bytes="));
    let Some((start, end)) = range.and_then(|range| range.split_once('-')) else {
        return Asked::Everything;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let last = length.saturating_sub(1);
    match (number(start), number(end)) {
        (None, Some(count)) if start.is_empty() && (count == 0 || length == 0) => Asked::Outside,
        (None, Some(count)) if start.is_empty() => Asked::Part(length.saturating_sub(count), last),
        (Some(start), Some(end)) if start > end => Asked::Everything,
        (Some(start), None) if end.is_empty() && start < length => Asked::Part(start, last),
        (Some(start), Some(end)) if start < length => Asked::Part(start, end.min(last)),
        (Some(_), Some(_)) => Asked::Outside,
        (Some(_), None) if end.is_empty() => Asked::Outside,
        _ => Asked::Everything,
    }
}

fn part(bytes: &Bytes, start: u64, end: u64) -> Bytes {
    let start = usize::try_from(start)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let end = usize::try_from(end)
        .map_or(bytes.len(), |end| end.saturating_add(1))
        .clamp(start, bytes.len());
    bytes.slice(start..end)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // RFC 9110 §14.1.2 and §14.2.
    #[rstest]
    #[case::none(None, Asked::Everything)]
    #[case::first_bytes(Some("bytes=0-3"), Asked::Part(0, 3))]
    #[case::open(Some("bytes=4-"), Asked::Part(4, 9))]
    #[case::suffix(Some("bytes=-3"), Asked::Part(7, 9))]
    #[case::long_suffix(Some("bytes=-30"), Asked::Part(0, 9))]
    #[case::beyond_the_end(Some("bytes=8-30"), Asked::Part(8, 9))]
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
        assert_eq!(asked(&headers, "\"a\"", 10), expected);
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
