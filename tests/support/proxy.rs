//! A proxy between an app and a storage emulator that fails as services do: throttled, busy, too slow, cut off before and
//! after the work was done, and in the middle of an answer.
//!
//! Its address stays when the service behind it starts again on other ports. What it does wrong is chance, and repeatable
//! for the same requests.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// What may go wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// 429, with the time to wait.
    Throttled,
    /// 429, without it.
    ThrottledSilently,
    /// 503 `ServerBusy`, with the time to wait.
    Busy,
    /// 503 `ServerBusy`, without it.
    BusySilently,
    /// 500 `InternalError`.
    Failing,
    /// The connection ends before the request is passed on.
    CutBefore,
    /// The connection ends after the request was carried out, and its answer with it.
    CutAfter,
    /// Half of the answer's body comes.
    CutBody,
    /// No answer comes for long, then the connection ends.
    Stalled,
}

impl Fault {
    /// Each of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Throttled,
        Self::ThrottledSilently,
        Self::Busy,
        Self::BusySilently,
        Self::Failing,
        Self::CutBefore,
        Self::CutAfter,
        Self::CutBody,
        Self::Stalled,
    ];
}

/// A proxy at work.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
    _runtime: tokio::runtime::Runtime,
}

struct State {
    service: AtomicU16,
    client: reqwest::Client,
    chance: Mutex<fastrand::Rng>,
    per_mille: AtomicU32,
    kinds: Mutex<Vec<Fault>>,
    stall: Duration,
    made: Mutex<BTreeMap<Fault, u32>>,
    traffic: Mutex<Traffic>,
}

/// What has gone through a proxy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic {
    /// Requests by method and status, such as `GET 206`.
    pub(crate) answered: BTreeMap<String, u32>,
    /// Most requests of GET at one time.
    pub(crate) most_reads: u32,
    reads: u32,
}

type Body = BoxBody<Bytes, io::Error>;

impl Proxy {
    /// In front of a service on a port of loopback that has the certificates of a folder, as the proxy has.
    pub(crate) fn before(service: u16, certificates: &Path, seed: u64, stall: Duration) -> Self {
        let trust = std::fs::read(certificates.join("ca.pem")).unwrap();
        let trust = reqwest::Certificate::from_pem(&trust).unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([trust])
            .timeout(Duration::from_secs(60));
        let state = Arc::new(State {
            service: AtomicU16::new(service),
            client: client.build().unwrap(),
            chance: Mutex::new(fastrand::Rng::with_seed(seed)),
            per_mille: AtomicU32::new(0),
            kinds: Mutex::new(Fault::ALL.into()),
            stall,
            made: Mutex::default(),
            traffic: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepting = accept(listener, acceptor(certificates), Arc::clone(&state));
        runtime.spawn(accepting);
        Self {
            port,
            state,
            _runtime: runtime,
        }
    }

    /// Its port of loopback.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// How many of a thousand requests meet a fault from now on.
    pub(crate) fn set_faults(&self, per_mille: u32) {
        self.state.per_mille.store(per_mille, Ordering::Relaxed);
    }

    /// Makes faults of one kind only.
    pub(crate) fn set_kind(&self, kind: Fault) {
        *self.state.kinds.lock().unwrap() = vec![kind];
    }

    /// What has gone through since this was last asked.
    pub(crate) fn take_traffic(&self) -> Traffic {
        std::mem::take(&mut *self.state.traffic.lock().unwrap())
    }

    /// Passes requests on to another port from now on.
    pub(crate) fn set_service(&self, port: u16) {
        self.state.service.store(port, Ordering::Relaxed);
    }

    /// The faults so far.
    pub(crate) fn faults(&self) -> BTreeMap<Fault, u32> {
        self.state.made.lock().unwrap().clone()
    }
}

fn acceptor(certificates: &Path) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificates.join("leaf.pem")).unwrap();
    let chain = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(certificates.join("leaf.key")).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request| Arc::clone(&state).answer(request));
            // An error is a connection that one of the two has cut.
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

fn cut() -> io::Error {
    io::Error::other("cut off")
}

fn refusal(status: u16, code: &'static str, wait: bool) -> Response<Body> {
    let mut response = Response::builder().status(status);
    if !code.is_empty() {
        response = response.header("x-ms-error-code", code);
    }
    if wait {
        response = response.header(RETRY_AFTER, "1");
    }
    response.body(whole(Bytes::new())).unwrap()
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// The first half of some bytes, then the end of the connection.
fn half(bytes: &Bytes) -> Body {
    let first = bytes.slice(..bytes.len() / 2);
    let parts = [Ok(Frame::data(first)), Err(cut())];
    StreamBody::new(futures_util::stream::iter(parts)).boxed()
}

impl State {
    /// What goes wrong with the next request, if anything does.
    fn fault(&self) -> Option<Fault> {
        let mut chance = self.chance.lock().unwrap();
        if chance.u32(0..1000) >= self.per_mille.load(Ordering::Relaxed) {
            return None;
        }
        let kinds = self.kinds.lock().unwrap();
        let fault = kinds[chance.usize(..kinds.len())];
        *self.made.lock().unwrap().entry(fault).or_default() += 1;
        Some(fault)
    }

    /// An error cuts the connection.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, io::Error> {
        let fault = self.fault();
        match fault {
            Some(Fault::Throttled) => return Ok(refusal(429, "", true)),
            Some(Fault::ThrottledSilently) => return Ok(refusal(429, "", false)),
            Some(Fault::Busy) => return Ok(refusal(503, "ServerBusy", true)),
            Some(Fault::BusySilently) => return Ok(refusal(503, "ServerBusy", false)),
            Some(Fault::Failing) => return Ok(refusal(500, "InternalError", false)),
            Some(Fault::CutBefore) => return Err(cut()),
            Some(Fault::Stalled) => {
                tokio::time::sleep(self.stall).await;
                return Err(cut());
            }
            Some(Fault::CutAfter | Fault::CutBody) | None => {}
        }
        let (status, headers, body, length) = self.pass_on(request).await?;
        if fault == Some(Fault::CutAfter) {
            return Err(cut());
        }
        let body = match fault {
            Some(Fault::CutBody) if body.len() > 1 => half(&body),
            _ => whole(body),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response.headers_mut().remove(CONNECTION);
        response.headers_mut().remove(TRANSFER_ENCODING);
        if let Some(length) = length {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        Ok(response)
    }

    /// The service's answer, and its length where the answer is not to a HEAD, which keeps what it says.
    async fn pass_on(
        &self,
        request: Request<Incoming>,
    ) -> Result<(StatusCode, hyper::HeaderMap, Bytes, Option<u64>), io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let port = self.service.load(Ordering::Relaxed);
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = format!("https://127.0.0.1:{port}{path}");
        let mut headers = head.headers;
        for name in [HOST, CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH] {
            headers.remove(name);
        }
        if !matches!(head.method, Method::GET | Method::HEAD) {
            headers.insert(CONTENT_LENGTH, body.len().into());
        }
        let (method, is_head) = (head.method.clone(), head.method == Method::HEAD);
        let _under_way = UnderWay::begin(&self.traffic, &method);
        let sent = self.client.request(head.method, url).headers(headers);
        let answer = sent.body(body).send().await.map_err(io::Error::other)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.map_err(io::Error::other)?;
        let mut traffic = self.traffic.lock().unwrap();
        let kind = format!("{method} {}", status.as_u16());
        *traffic.answered.entry(kind).or_default() += 1;
        let length = (!is_head).then(|| u64::try_from(body.len()).unwrap());
        Ok((status, headers, body, length))
    }
}

/// A read that is under way.
struct UnderWay<'a>(Option<&'a Mutex<Traffic>>);

impl<'a> UnderWay<'a> {
    fn begin(traffic: &'a Mutex<Traffic>, method: &Method) -> Self {
        if method != Method::GET {
            return Self(None);
        }
        let mut now = traffic.lock().unwrap();
        now.reads += 1;
        now.most_reads = now.most_reads.max(now.reads);
        Self(Some(traffic))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(traffic) = self.0 {
            let mut now = traffic.lock().unwrap();
            now.reads = now.reads.saturating_sub(1);
        }
    }
}
