//! Taking connections and ending them: warp's routes as a service of hyper. SPEC §9.

use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use warp::{Filter, Reply};

use super::body::WholeBody;
use super::tls;

/// The wait after a connection could not be taken, as when there are too many.
pub(super) const BREATHER: Duration = Duration::from_millis(100);

/// What a server speaks.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "an acceptor has none")]
pub enum Protocol {
    /// HTTP/1.1, as the Functions host does, with little memory for a connection: hundreds of events may come at once.
    Host,
    /// HTTP/1.1 or HTTP/2, whichever a connection begins with.
    Plain,
    /// The same under TLS, where it is agreed on.
    Tls(TlsAcceptor),
}

impl Protocol {
    /// What answers may still take once the server is told to stop. The host ends us when it has waited long enough.
    const fn last_answers(&self) -> Duration {
        match self {
            Self::Host => Duration::from_secs(30 * 60),
            Self::Plain | Self::Tls(_) => Duration::from_secs(20),
        }
    }
}

/// Answers until `stop` completes; answers that have begun are finished.
pub async fn serve<F>(
    listener: TcpListener,
    protocol: Protocol,
    routes: F,
    stop: impl Future<Output = ()>,
) where
    F: Filter<Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (protocol, routes) = (protocol.clone(), routes.clone());
                begin(stream, protocol, routes, connections.watcher());
            }
            Err(error) => {
                tracing::warn!(%error, "A connection could not be taken");
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
    drop(listener);
    let ended = tokio::time::timeout(protocol.last_answers(), connections.shutdown()).await;
    if ended.is_err() {
        tracing::warn!("Answers that took too long were cut off");
    }
}

fn begin<F>(stream: TcpStream, protocol: Protocol, routes: F, watcher: Watcher)
where
    F: Filter<Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    let mut server = auto::Builder::new(TokioExecutor::new());
    match protocol {
        Protocol::Host => {
            server = server.http1_only();
            // Looking out for who hangs up needs a second buffer; what was begun is finished without it.
            server.http1().half_close(true);
            tokio::spawn(answer(&server, stream, routes, watcher));
        }
        Protocol::Plain => {
            tokio::spawn(answer(&server, stream, routes, watcher));
        }
        Protocol::Tls(acceptor) => {
            tokio::spawn(async move {
                if let Some(stream) = tls::handshake(stream, &acceptor).await {
                    answer(&server, stream, routes, watcher).await;
                }
            });
        }
    }
}

/// Answers what comes on a connection until it ends.
fn answer<F, S>(
    server: &auto::Builder<TokioExecutor>,
    stream: S,
    routes: F,
    watcher: Watcher,
) -> impl Future<Output = ()> + Send + use<F, S>
where
    F: Filter<Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(warp::service(routes));
    let service =
        service_fn(move |request: Request<Incoming>| service.call(request.map(WholeBody::of)));
    let connection = server.serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection.into_owned()).map(|ended| {
        if let Err(error) = ended {
            tracing::debug!(%error, "A connection ended early");
        }
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// The body comes after the answer is made, as it may where the host sends it by itself.
    #[tokio::test]
    async fn an_answer_that_needs_no_body_leaves_the_connection_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = warp::any().map(|| "no");
        let never = std::future::pending::<()>();
        let server = tokio::spawn(serve(listener, Protocol::Host, routes, never));
        let mut host = TcpStream::connect(address).await.unwrap();
        for _ in 0..3 {
            host.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\n")
                .await
                .unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"no") {
                assert_ne!(host.read_buf(&mut answer).await.unwrap(), 0, "it is closed");
            }
            host.write_all(b"body").await.unwrap();
        }
        server.abort();
    }

    #[tokio::test]
    async fn what_the_host_has_begun_is_finished_though_it_hangs_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (begun, mut has_begun) = mpsc::channel(1);
        let (finished, mut has_finished) = mpsc::channel(1);
        let (go_on, may_go_on) = oneshot::channel::<()>();
        let may_go_on = may_go_on.shared();
        let routes = warp::any().then(move || {
            let (begun, finished) = (begun.clone(), finished.clone());
            let may_go_on = may_go_on.clone();
            async move {
                begun.send(()).await.unwrap();
                may_go_on.await.unwrap();
                finished.send(()).await.unwrap();
                "finished"
            }
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { stopped.await.unwrap() };
        let server = tokio::spawn(serve(listener, Protocol::Host, routes, stopped));
        let mut host = TcpStream::connect(address).await.unwrap();
        host.write_all(b"POST /BlobEvent HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .unwrap();
        has_begun.recv().await.unwrap();
        drop(host);
        // Long enough for the server to see that nobody waits for the answer.
        tokio::time::sleep(Duration::from_millis(100)).await;
        go_on.send(()).unwrap();
        let done = tokio::time::timeout(Duration::from_secs(10), has_finished.recv()).await;
        assert_eq!(done, Ok(Some(())));
        stop.send(()).unwrap();
        server.await.unwrap();
    }
}
