//! A file on a web server, read by ranges and pinned to the version of the first answer. SPEC §1.
//!
//! Opening is the first round of reading: head and tail are fetched together, and the answers tell the length and
//! the version. Whether a server keeps to the condition that every later request carries is checked on each answer.

mod address;
mod error;
mod public;
mod request;

pub use address::{HttpUrl, ParseHttpUrlError};
pub use error::{HttpError, HttpProblem};
pub use public::PublicWeb;
pub(super) use request::ContentRange;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use reqwest::{RequestBuilder, Response, StatusCode, Url, header, redirect};
use tokio::sync::{OnceCell, Semaphore};
use virtualize::rules::{Finding, Grade};
use virtualize::{ByteRange, Source};

use super::pinned::Opened;
use super::{BlobError, RangeSource};
use request::{Failed, Version, body_up_to, part, send, with_retries};

/// Requests in flight for one file: so many, but more where that would make many waves of them.
const PER_FILE: usize = 16;

/// Waves of requests that a round should take no more of, as far as [`IN_ALL`] allows.
const WAVES: usize = 4;

/// Requests in flight for all files of a process.
const IN_ALL: usize = 64;

/// Largest file that is fetched whole where a server has no ranges.
const WHOLE_MAX: u64 = 8 << 20;

/// Redirects that are followed for one request.
const REDIRECTS: usize = 5;

/// What requests are sent with; connections are shared by all files.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    permits: Arc<Semaphore>,
}

impl HttpClient {
    /// A client that follows a few redirects, never from https to http.
    ///
    /// # Errors
    ///
    /// [`HttpProblem`] when the system's certificates cannot be loaded.
    pub fn try_new() -> Result<Self, HttpProblem> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("landfall/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::custom(follow))
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(30))
            .build()
            .map_err(HttpProblem::of)?;
        Ok(Self {
            client,
            permits: Arc::new(Semaphore::new(IN_ALL)),
        })
    }

    /// The answer to a request, once there is a place for it.
    async fn send(&self, request: RequestBuilder) -> Result<Response, Failed> {
        let _permit = self.permits.acquire().await;
        send(request).await
    }
}

fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let insecure = attempt.url().scheme() != "https"
        && attempt.previous().iter().any(|url| url.scheme() == "https");
    match insecure || attempt.previous().len() > REDIRECTS {
        true => attempt.error("not followed"),
        false => attempt.follow(),
    }
}

/// One version of a file on a web server.
#[derive(Debug)]
pub struct HttpFile {
    client: HttpClient,
    url: HttpUrl,
    /// Where redirects led to; asked directly, so that they cost one round trip and not one each.
    resolved: Url,
    version: Version,
    length: u64,
    opened: Opened,
    /// The whole file, where the server has no ranges.
    whole: OnceCell<Bytes>,
}

/// What the first request brought.
struct Head {
    resolved: Url,
    version: Version,
    length: u64,
    bytes: Bytes,
    is_whole: bool,
}

impl HttpFile {
    /// Opens a file by fetching up to `head` bytes of its start and `tail` of its end at once.
    ///
    /// # Errors
    ///
    /// [`HttpError`]; a server that has no suffix ranges (Azure's) just does not send the tail.
    pub async fn open(
        client: HttpClient,
        url: HttpUrl,
        head: u64,
        tail: u64,
    ) -> Result<Self, HttpError> {
        let (start, end) = join(
            with_retries(|_| first(&client, &url, head)),
            last(&client, &url, tail).map(Result::ok),
        )
        .await;
        let start = start.map_err(|problem| HttpError {
            url: Box::new(url.clone()),
            problem,
        })?;
        let end = end.filter(|(version, length, ..)| {
            !start.version.differs(version) && *length == start.length && !start.is_whole
        });
        let start_len = u64::try_from(start.bytes.len()).unwrap_or(u64::MAX);
        let mut parts = vec![(ByteRange::new(0, start_len), start.bytes.clone())];
        parts.extend(end.map(|(.., range, bytes)| (range, bytes)));
        Ok(Self {
            client,
            url,
            resolved: start.resolved,
            version: start.version,
            length: start.length,
            opened: Opened {
                parts,
                requests: 2,
                rounds: 1,
            },
            whole: OnceCell::new_with(start.is_whole.then_some(start.bytes)),
        })
    }

    /// What the server says of a file now. Asked with a range of one byte: not every server that signs addresses for
    /// reading takes a HEAD.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn current(client: HttpClient, url: HttpUrl) -> Result<Source, HttpError> {
        let head = with_retries(|_| first(&client, &url, 1)).await;
        let head = head.map_err(|problem| HttpError {
            url: Box::new(url.clone()),
            problem,
        })?;
        Ok(described(&url, &head.version, head.length))
    }

    /// The file at the version that was recorded; nothing is sent before the first read.
    pub fn pinned(client: HttpClient, url: HttpUrl, recorded: &Source) -> Self {
        let modified = recorded.last_modified.as_deref();
        let version = Version {
            etag: recorded.etag.as_ref().map(|etag| format!("\"{etag}\"")),
            modified: modified.and_then(|time| time.parse().ok()),
        };
        Self {
            client,
            resolved: url.url().clone(),
            url,
            version,
            length: recorded.length,
            opened: Opened::default(),
            whole: OnceCell::new(),
        }
    }

    async fn range(&self, range: ByteRange) -> Result<Bytes, HttpError> {
        let read = match (self.whole.get(), range.end() <= self.length) {
            (_, false) => Err(out_of_range(range)),
            (Some(whole), true) => cut(whole, range),
            (None, true) if range.len == 0 => Ok(Bytes::new()),
            (None, true) => with_retries(|tries| self.attempt(range, tries)).await,
        };
        read.map_err(|problem| HttpError {
            url: Box::new(self.url.clone()),
            problem,
        })
    }

    async fn attempt(&self, range: ByteRange, tries: u32) -> Result<Bytes, Failed> {
        // What a redirect led to may be good for a minute only; later tries ask for the way again.
        let is_direct = tries == 0 && self.resolved != *self.url.url();
        let url = match tries {
            0 => &self.resolved,
            _ => self.url.url(),
        };
        let bytes = format!("bytes={}-{}", range.start, range.end().saturating_sub(1));
        let request = self
            .client
            .client
            .get(url.clone())
            .header(header::RANGE, bytes);
        let sent = self.client.send(self.version.pin(request)).await;
        let response = sent.map_err(|mut failed| {
            let expired = matches!(
                failed.problem,
                HttpProblem::Denied(_) | HttpProblem::NotFound
            );
            failed.again = is_direct && expired;
            failed
        })?;
        self.take(response, range).await.map_err(Failed::from)
    }

    async fn take(&self, response: Response, range: ByteRange) -> Result<Bytes, HttpProblem> {
        if self.version.differs(&Version::of(response.headers())) {
            return Err(HttpProblem::Changed);
        }
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let (content, bytes) = part(response, |content| content.range == range).await?;
                match content.length.is_none_or(|length| length == self.length) {
                    true => Ok(bytes),
                    false => Err(HttpProblem::Changed),
                }
            }
            StatusCode::OK => {
                let whole = body_up_to(response, WHOLE_MAX).await?;
                if u64::try_from(whole.len()) != Ok(self.length) {
                    return Err(HttpProblem::Changed);
                }
                cut(self.whole.get_or_init(|| async { whole }).await, range)
            }
            _ => Err(out_of_range(range)),
        }
    }
}

/// The first bytes of a file, with what the answer tells of it.
async fn first(client: &HttpClient, url: &HttpUrl, head: u64) -> Result<Head, Failed> {
    let range = format!("bytes=0-{}", head.saturating_sub(1));
    let request = client.client.get(url.url().clone());
    let response = client.send(request.header(header::RANGE, range)).await?;
    let (resolved, version) = (response.url().clone(), Version::of(response.headers()));
    let status = response.status();
    let (length, bytes) = match status {
        StatusCode::PARTIAL_CONTENT => {
            let at_start = |content: &request::ContentRange| {
                content.range.start == 0 && content.range.len <= head
            };
            let (content, bytes) = part(response, at_start).await?;
            (content.length.ok_or(HttpProblem::NoLength)?, bytes)
        }
        StatusCode::OK => {
            let whole = body_up_to(response, WHOLE_MAX).await?;
            (u64::try_from(whole.len()).unwrap_or(u64::MAX), whole)
        }
        // An empty file has no range that could be satisfied.
        _ => match request::length_of_unsatisfied(response.headers()) {
            Some(0) => (0, Bytes::new()),
            _ => return Err(HttpProblem::Status(status.as_u16()).into()),
        },
    };
    Ok(Head {
        resolved,
        version,
        length,
        bytes,
        is_whole: status == StatusCode::OK,
    })
}

/// The last bytes of a file; tried once, as they are good to have and no more.
async fn last(
    client: &HttpClient,
    url: &HttpUrl,
    tail: u64,
) -> Result<(Version, u64, ByteRange, Bytes), Failed> {
    let request = client.client.get(url.url().clone());
    let request = request.header(header::RANGE, format!("bytes=-{tail}"));
    let response = client.send(request).await?;
    let version = Version::of(response.headers());
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Err(HttpProblem::Status(response.status().as_u16()).into());
    }
    let at_end = |content: &request::ContentRange| {
        content.length == Some(content.range.end()) && content.range.len <= tail
    };
    let (content, bytes) = part(response, at_end).await?;
    Ok((version, content.range.end(), content.range, bytes))
}

fn cut(whole: &Bytes, range: ByteRange) -> Result<Bytes, HttpProblem> {
    let (start, end) = (usize::try_from(range.start), usize::try_from(range.end()));
    match (start, end) {
        (Ok(start), Ok(end)) if start <= end && end <= whole.len() => Ok(whole.slice(start..end)),
        _ => Err(out_of_range(range)),
    }
}

const fn out_of_range(range: ByteRange) -> HttpProblem {
    HttpProblem::OutOfRange {
        start: range.start,
        len: range.len,
    }
}

/// A version of a file as references record it.
fn described(url: &HttpUrl, version: &Version, length: u64) -> Source {
    let strong = version.strong();
    Source {
        url: url.reference(),
        etag: strong.map(|etag| etag.trim_matches('"').to_owned()),
        length,
        last_modified: version.modified.map(|time| time.to_string()),
    }
}

#[async_trait]
impl RangeSource for HttpFile {
    fn describe(&self) -> Source {
        described(&self.url, &self.version, self.length)
    }

    fn opened(&self) -> Opened {
        self.opened.clone()
    }

    fn findings(&self) -> Vec<Finding> {
        let warn = |code, message| Finding::graded(Grade::Warning, code, None, message);
        let unpinned = self.version.strong().is_none() && self.version.modified.is_none();
        let findings = [
            (
                unpinned,
                "unpinned",
                "the server names no version of the file: a change of it goes unnoticed",
            ),
            (
                self.url.is_signed(),
                "unsigned-reference",
                "the reference names the file without the signature of its address: readers need access of their own",
            ),
            (
                self.whole.initialized(),
                "no-byte-ranges",
                "the server ignores byte ranges: readers of the reference fetch the whole file for each chunk, or fail",
            ),
        ];
        let found = findings.into_iter().filter(|(holds, ..)| *holds);
        found
            .map(|(_, code, message)| warn(code, message))
            .collect()
    }

    async fn ranges(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, BlobError> {
        let reads: Vec<_> = ranges
            .iter()
            .map(|range| self.range(*range).boxed())
            .collect();
        let in_flight = reads.len().div_ceil(WAVES).clamp(PER_FILE, IN_ALL);
        let read = stream::iter(reads).buffered(in_flight).try_collect().await;
        read.map_err(BlobError::from)
    }
}
