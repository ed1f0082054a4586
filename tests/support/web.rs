//! A web server that counts what it is asked for, and misbehaves on request.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use warp::Filter as _;
use warp::http::{HeaderMap, Response, StatusCode, header};
use warp::hyper::body::Bytes;

/// What is wrong with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: strong `ETag`s, ranges, conditions.
    None,
    /// No `ETag`, but `Last-Modified`.
    NoEtag,
    /// A weak `ETag`, which `If-Match` never matches.
    WeakEtag,
    /// Neither `ETag` nor `Last-Modified`.
    NoVersion,
    /// Whole files, whatever range is asked for.
    NoRanges,
    /// Whole files where the range counts from the end, as Azure does.
    NoSuffixRanges,
    /// The first three requests are told to come again.
    Busy(u16),
    /// It stays busy.
    AlwaysBusy,
    /// Another version from the third request on.
    Changes,
    /// The same, but conditions are ignored.
    ChangesAndIgnoresConditions,
    /// The first four bodies end before their length.
    CutBodies,
    /// Every file has moved.
    Moved,
    /// And moved, and moved.
    MovesForEver,
    /// Files are sent compressed.
    Encoded,
    /// No one may read.
    Forbidden,
}

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The path asked for.
    pub(crate) path: String,
    /// The headers that matter here, by name.
    pub(crate) headers: HeaderMap,
    /// Bytes of the body that was sent.
    pub(crate) bytes: usize,
    from: Instant,
    until: Instant,
}

/// A folder behind a web server.
pub(crate) struct Web {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct State {
    folder: PathBuf,
    fault: Fault,
    latency: Duration,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Web {
    /// Serves a folder on a port of its own; every answer waits for `latency`.
    pub(crate) fn serve(folder: impl Into<PathBuf>, fault: Fault, latency: Duration) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let state = State {
            folder: folder.into(),
            fault,
            latency,
            requests: Arc::clone(&requests),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let routes = warp::path::full().and(warp::header::headers_cloned()).then(
            move |path: warp::path::FullPath, headers| {
                answer(state.clone(), path.as_str().to_owned(), headers)
            },
        );
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            warp::serve(routes).incoming(listener).run().await;
        });
        Self {
            address,
            requests,
            _runtime: runtime,
        }
    }

    /// The address of a file.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The longest chain of requests of which each began after the one before had been answered.
    pub(crate) fn longest_chain(&self) -> usize {
        let mut requests = self.requests();
        requests.sort_by_key(|request| request.until);
        let mut last: Option<Instant> = None;
        let mut length = 0;
        for request in requests {
            if last.is_none_or(|last| request.from >= last) {
                last = Some(request.until);
                length += 1;
            }
        }
        length
    }
}

async fn answer(state: State, path: String, headers: HeaderMap) -> Response<Bytes> {
    let from = Instant::now();
    let number = {
        let mut requests = state.requests.lock().unwrap();
        requests.push(Request {
            path: path.clone(),
            headers: headers.clone(),
            bytes: 0,
            from,
            until: from,
        });
        requests.len()
    };
    tokio::time::sleep(state.latency).await;
    let response = respond(&state, number, &path, &headers);
    let mut requests = state.requests.lock().unwrap();
    let request = &mut requests[number - 1];
    request.bytes = response.body().len();
    request.until = Instant::now();
    response
}

fn respond(state: &State, number: usize, path: &str, headers: &HeaderMap) -> Response<Bytes> {
    let name = path.trim_start_matches('/');
    let refused = |status: u16| Response::builder().status(status);
    let (name, moved) = match name.strip_prefix("moved/") {
        Some(name) => (name, true),
        None => (name, false),
    };
    match state.fault {
        Fault::Busy(status) if number <= 3 => {
            let busy = refused(status).header(header::RETRY_AFTER, "0");
            return busy.body(Bytes::new()).unwrap();
        }
        Fault::AlwaysBusy => {
            let busy = refused(503).header(header::RETRY_AFTER, "0");
            return busy.body(Bytes::new()).unwrap();
        }
        Fault::Forbidden => return refused(403).body(Bytes::new()).unwrap(),
        Fault::MovesForEver => {
            let to = refused(302).header(header::LOCATION, format!("/{number}/{name}"));
            return to.body(Bytes::new()).unwrap();
        }
        Fault::Moved if !moved => {
            let to = refused(302).header(header::LOCATION, format!("/moved/{name}"));
            return to.body(Bytes::new()).unwrap();
        }
        _ => {}
    }
    match fs::read(state.folder.join(name)) {
        Ok(file) => part(state.fault, number, &file, headers),
        Err(_) => refused(404).body(Bytes::new()).unwrap(),
    }
}

/// The time at which every file was last changed.
pub(crate) const MODIFIED: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

fn part(fault: Fault, number: usize, file: &[u8], headers: &HeaderMap) -> Response<Bytes> {
    let changed =
        number > 2 && matches!(fault, Fault::Changes | Fault::ChangesAndIgnoresConditions);
    let etag = match fault {
        Fault::NoEtag | Fault::NoVersion => None,
        Fault::WeakEtag => Some("W/\"v1\""),
        _ if changed => Some("\"v2\""),
        _ => Some("\"v1\""),
    };
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap());
    let wanted = text(header::IF_MATCH).filter(|_| fault != Fault::ChangesAndIgnoresConditions);
    let strong = etag.filter(|etag| etag.starts_with('"'));
    if wanted.is_some() && wanted != strong {
        let failed = Response::builder().status(StatusCode::PRECONDITION_FAILED);
        return failed.body(Bytes::new()).unwrap();
    }
    let mut response = Response::builder();
    if let Some(etag) = etag {
        response = response.header(header::ETAG, etag);
    }
    if fault != Fault::NoVersion {
        response = response.header(header::LAST_MODIFIED, MODIFIED);
    }
    if fault == Fault::Encoded {
        response = response.header(header::CONTENT_ENCODING, "gzip");
    }
    let range = text(header::RANGE).and_then(|value| range(fault, value, file.len()));
    let Some((start, end)) = range else {
        return response.body(Bytes::copy_from_slice(file)).unwrap();
    };
    if start >= end {
        let total = format!("bytes */{}", file.len());
        let none = response.status(416).header(header::CONTENT_RANGE, total);
        return none.body(Bytes::new()).unwrap();
    }
    let content = format!("bytes {start}-{}/{}", end - 1, file.len());
    response = response.status(206).header(header::CONTENT_RANGE, content);
    let mut body = Bytes::copy_from_slice(&file[start..end]);
    if fault == Fault::CutBodies && number <= 4 {
        response = response.header(header::CONTENT_LENGTH, body.len());
        body.truncate(body.len() / 2);
    }
    response.body(body).unwrap()
}

/// First byte and end of `bytes=…`; none where the server does not do ranges.
fn range(fault: Fault, value: &str, len: usize) -> Option<(usize, usize)> {
    let (start, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    match (fault, start) {
        (Fault::NoRanges, _) | (Fault::NoSuffixRanges, "") => None,
        (_, "") => Some((len.saturating_sub(last.parse().ok()?), len)),
        _ => {
            let last: usize = last.parse().ok()?;
            Some((start.parse().ok()?, len.min(last + 1)))
        }
    }
}
