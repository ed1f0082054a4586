//! One ranged GET: its condition, what its failure means, and the proof that the answer is the bytes that were asked for.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{RequestBuilder, Response, StatusCode};
use virtualize::ByteRange;

use super::error::HttpProblem;
use crate::stores::retry::{self, Again, RetryPolicy};

/// What a server says about the version of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Version {
    /// The `ETag`, as sent.
    pub(super) etag: Option<String>,
    /// `Last-Modified`.
    pub(super) modified: Option<Timestamp>,
}

impl Version {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self {
            etag: text(headers, header::ETAG),
            modified: text(headers, header::LAST_MODIFIED).and_then(|date| parse_date(&date)),
        }
    }

    /// The `ETag` that `If-Match` can be asked with: a weak one never matches there.
    pub(super) fn strong(&self) -> Option<&str> {
        let etag = self.etag.as_deref()?;
        etag.starts_with('"').then_some(etag)
    }

    /// Asks for this version only.
    pub(super) fn pin(&self, request: RequestBuilder) -> RequestBuilder {
        match (self.strong(), &self.modified) {
            (Some(etag), _) => request.header(header::IF_MATCH, etag),
            (None, Some(modified)) => {
                let date = modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
                request.header(header::IF_UNMODIFIED_SINCE, date)
            }
            (None, None) => request,
        }
    }

    /// Whether an answer is certainly of another version; servers that ignore conditions are found out here.
    pub(super) fn differs(&self, other: &Self) -> bool {
        match (&self.etag, &other.etag) {
            (Some(one), Some(other)) => one != other,
            _ => self
                .modified
                .zip(other.modified)
                .is_some_and(|(one, other)| one != other),
        }
    }
}

fn parse_date(date: &str) -> Option<Timestamp> {
    Some(jiff::fmt::rfc2822::parse(date).ok()?.timestamp())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.trim().to_owned())
}

/// `Content-Range: bytes 0-99/1234`: what an answer holds, and the length of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::stores) struct ContentRange {
    pub(in crate::stores) range: ByteRange,
    pub(in crate::stores) length: Option<u64>,
}

impl ContentRange {
    fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(&text(headers, header::CONTENT_RANGE)?)
    }

    /// Reads the value of the header.
    pub(in crate::stores) fn parse(value: &str) -> Option<Self> {
        let (range, length) = value.strip_prefix("bytes")?.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let len = last.checked_sub(first)?.checked_add(1)?;
        Some(Self {
            range: ByteRange::new(first, len),
            length: length.trim().parse().ok(),
        })
    }
}

/// The length in `Content-Range: bytes */1234`, with which 416 is answered.
pub(super) fn length_of_unsatisfied(headers: &HeaderMap) -> Option<u64> {
    let value = text(headers, header::CONTENT_RANGE)?;
    value
        .strip_prefix("bytes")?
        .trim()
        .strip_prefix("*/")?
        .parse()
        .ok()
}

/// Runs `attempt` until it succeeds, fails for good, or has failed too often.
pub(super) async fn with_retries<T, F>(attempt: impl Fn(u32) -> F) -> Result<T, HttpProblem>
where
    F: Future<Output = Result<T, Failed>>,
{
    let run = RetryPolicy::default().run(attempt).await;
    run.map_err(|failed| failed.problem)
}

/// One try that failed.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub(super) struct Failed {
    pub(super) problem: HttpProblem,
    /// How long the server asks to wait.
    wait: Option<Duration>,
    /// Worth another try although the problem is not a passing one.
    pub(super) again: bool,
}

impl From<HttpProblem> for Failed {
    fn from(problem: HttpProblem) -> Self {
        Self {
            problem,
            wait: None,
            again: false,
        }
    }
}

impl retry::Failed for Failed {
    fn again(&self) -> Again {
        match (self.problem.is_transient() || self.again, self.wait) {
            (false, _) => Again::Never,
            (true, None) => Again::Soon,
            (true, Some(wait)) => Again::After(wait),
        }
    }
}

/// Sends a request; the answer is 200, 206 or 416, and not encoded.
pub(super) async fn send(request: RequestBuilder) -> Result<Response, Failed> {
    // Byte ranges count the bytes of the file, not those of a compressed form of it.
    let request = request.header(header::ACCEPT_ENCODING, "identity");
    let response = request.send().await.map_err(HttpProblem::of)?;
    let status = response.status();
    let problem = match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            return match text(response.headers(), header::CONTENT_ENCODING) {
                Some(encoding) if encoding != "identity" => {
                    Err(HttpProblem::Encoded(encoding).into())
                }
                _ => Ok(response),
            };
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => HttpProblem::NotFound,
        StatusCode::PRECONDITION_FAILED => HttpProblem::Changed,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => HttpProblem::Denied(status.as_u16()),
        _ => HttpProblem::Status(status.as_u16()),
    };
    Err(Failed {
        problem,
        wait: retry_after(response.headers()),
        again: false,
    })
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, header::RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = parse_date(&value)?;
    Duration::try_from(then.duration_since(Timestamp::now())).ok()
}

/// The bytes of a 206 answer, which must be those of `wanted`; fewer only where the file ends.
pub(super) async fn part(
    response: Response,
    wanted: impl Fn(&ContentRange) -> bool,
) -> Result<(ContentRange, Bytes), HttpProblem> {
    let Some(content) = ContentRange::of(response.headers()) else {
        return Err(HttpProblem::OtherBytes(String::from(
            "206 without a Content-Range",
        )));
    };
    if !wanted(&content) {
        let ByteRange { start, len } = content.range;
        return Err(HttpProblem::OtherBytes(format!("{start}+{len}")));
    }
    let body = body_up_to(response, content.range.len).await?;
    match u64::try_from(body.len()) == Ok(content.range.len) {
        true => Ok((content, body)),
        false => Err(HttpProblem::OtherBytes(format!(
            "{} of the {} bytes that its Content-Range states",
            body.len(),
            content.range.len
        ))),
    }
}

/// The body of an answer, or an error once it is longer than `most`: no server sizes what we hold.
pub(super) async fn body_up_to(mut response: Response, most: u64) -> Result<Bytes, HttpProblem> {
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(HttpProblem::of)? {
        body.extend_from_slice(&piece);
        if u64::try_from(body.len()).is_ok_and(|len| len > most) {
            return Err(HttpProblem::NoRanges(most));
        }
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use rstest::rstest;

    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[rstest]
    #[case("bytes 0-99/1234", Some((0, 100, Some(1234))))]
    #[case("bytes 5-5/*", Some((5, 1, None)))]
    #[case("bytes 9-5/10", None)]
    #[case("bytes 0-18446744073709551615/1", None)]
    #[case("items 0-1/2", None)]
    fn a_content_range_is_read(#[case] value: &str, #[case] read: Option<(u64, u64, Option<u64>)>) {
        let read = read.map(|(start, len, length)| ContentRange {
            range: ByteRange::new(start, len),
            length,
        });
        assert_eq!(
            ContentRange::of(&headers(header::CONTENT_RANGE, value)),
            read
        );
    }

    #[rstest]
    #[case("2", Some(2))]
    #[case("Wed, 21 Oct 2015 07:28:00 GMT", None)]
    #[case("soon", None)]
    fn retry_after_is_a_number_or_a_date(#[case] value: &str, #[case] seconds: Option<u64>) {
        let wait = retry_after(&headers(header::RETRY_AFTER, value));
        assert_eq!(wait, seconds.map(Duration::from_secs));
    }

    #[rstest]
    #[case::strong(Some("\"a\""), Some("\"b\""), 0, true)]
    #[case::weak(Some("W/\"a\""), Some("W/\"b\""), 0, true)]
    #[case::etag_decides(Some("\"a\""), Some("\"a\""), 1, false)]
    #[case::date_where_there_is_no_etag(None, None, 1, true)]
    #[case::same_date(Some("\"a\""), None, 0, false)]
    fn another_version_is_noticed(
        #[case] one: Option<&str>,
        #[case] other: Option<&str>,
        #[case] later: i64,
        #[case] differs: bool,
    ) {
        let version = |etag: Option<&str>, at: i64| Version {
            etag: etag.map(str::to_owned),
            modified: Timestamp::from_second(at).ok(),
        };
        assert_eq!(version(one, 0).differs(&version(other, later)), differs);
    }

    #[rstest]
    #[case::strong(Some("\"a\""), "if-match", "\"a\"")]
    #[case::weak(
        Some("W/\"a\""),
        "if-unmodified-since",
        "Wed, 21 Oct 2015 07:28:00 GMT"
    )]
    #[case::none(None, "if-unmodified-since", "Wed, 21 Oct 2015 07:28:00 GMT")]
    fn a_version_is_pinned_by_what_identifies_it(
        #[case] etag: Option<&str>,
        #[case] name: &str,
        #[case] value: &str,
    ) {
        let version = Version {
            etag: etag.map(str::to_owned),
            modified: parse_date("Wed, 21 Oct 2015 07:28:00 GMT"),
        };
        let request = reqwest::Client::new().get("http://h.org/");
        let request = version.pin(request).build().unwrap();
        let sent: Vec<_> = request.headers().iter().collect();
        assert_eq!(sent.len(), 1);
        assert_eq!(
            (sent[0].0.as_str(), sent[0].1.to_str().unwrap()),
            (name, value)
        );
    }
}
