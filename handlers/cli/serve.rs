//! `landfall serve`: the custom handler that the Functions host starts, or a server of its own.

mod broken;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::failure::Failure;
use super::{ledger, stores};
use crate::config::{Config, HttpConfig};
use crate::http::connections::{self, Protocol};
use crate::http::tls::{self, TlsError};
use crate::http::{self, App};
use crate::pipeline::Pipeline;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Serve Zarr without a Functions host, as beside TiTiler. The rest of the API answers only with the key of
    /// `LANDFALL_API_KEY`, and not at all without one.
    #[arg(long)]
    standalone: bool,
    /// Address and port to listen on.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:7072",
        requires = "standalone"
    )]
    listen: SocketAddr,
    #[command(flatten)]
    tls: TlsArguments,
}

/// What makes a server one of https.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TlsArguments {
    /// Certificate with its chain, PEM; the server then speaks https, which TiTiler insists on.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Private key of the certificate, PEM, unencrypted.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
}

impl TlsArguments {
    /// The acceptor for the certificate, if one is given, which offers these protocols.
    pub(super) fn acceptor(
        &self,
        protocols: &[&[u8]],
    ) -> Result<Option<tokio_rustls::TlsAcceptor>, TlsError> {
        let files = self.tls_cert.as_deref().zip(self.tls_key.as_deref());
        files
            .map(|(cert, key)| tls::acceptor(cert, key, protocols))
            .transpose()
    }

    /// How addresses of the server begin.
    pub(super) const fn scheme(&self) -> &'static str {
        match self.tls_cert {
            Some(_) => "https",
            None => "http",
        }
    }
}

/// Answers the host, or everybody, until it is told to stop.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    crate::telemetry::init_json();
    let is_standalone = arguments.standalone;
    let Err(error) = serve(arguments).await else {
        return Ok(());
    };
    tracing::error!(error = format!("{error:#}"), "STARTUP_FAILED: {error:#}");
    if let Some(port) = HttpConfig::port_of_host().filter(|_| !is_standalone)
        && broken::answer(&error, port).await.is_ok()
    {
        return Ok(());
    }
    Err(Failure::failed("startup_failed", error.as_ref()))
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let mut config = Config::from_env().context("configuration")?;
    let acceptor = arguments
        .tls
        .acceptor(tls::BOTH)
        .context("--tls-cert, --tls-key")?;
    let watches_stdin = config.http.stop_with_stdin;
    let address = match arguments.standalone {
        true => arguments.listen,
        false => SocketAddr::from((Ipv4Addr::LOCALHOST, config.http.port)),
    };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))?;
    let address = listener.local_addr()?;
    if arguments.standalone {
        config.http.be_at(arguments.tls.scheme(), address);
    }
    let app = Arc::new(app(config)?);
    let stop = async move {
        tokio::select! {
            () = told_to_stop() => {}
            () = end_of_stdin(), if watches_stdin => {}
        }
    };
    tracing::info!(port = address.port(), "Ready");
    let seen = Arc::clone(&app);
    tokio::spawn(async move { http::probes::report(&seen).await });
    match (arguments.standalone, acceptor) {
        (false, _) => connections::serve(listener, Protocol::Host, http::routes(app), stop).await,
        (true, acceptor) => {
            let protocol = acceptor.map_or(Protocol::Plain, Protocol::Tls);
            connections::serve(listener, protocol, http::standalone_routes(app), stop).await;
        }
    }
    Ok(())
}

fn app(config: Config) -> anyhow::Result<App> {
    let storage = &config.storage;
    let (blobs, queue) = stores::open(storage)?;
    let dead_letters = stores::dead_letters(storage)?;
    let ledger = ledger::open(&config.database, storage.database.as_deref())?;
    let pipeline = Pipeline::new(
        config.clone(),
        Arc::clone(&blobs),
        Arc::clone(&ledger),
        queue,
    )
    .with_dead_letters(dead_letters);
    Ok(App::new(config, blobs, ledger, Arc::new(pipeline)))
}

/// Completes on SIGTERM, which the host sends, and on ctrl-C.
pub(super) async fn told_to_stop() {
    let mut terminate =
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(signal) => signal,
            Err(error) => {
                tracing::warn!(%error, "Cannot listen for SIGTERM");
                return std::future::pending().await;
            }
        };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Completes when whoever started the handler is gone and its end of the pipe with it. A thread of its own waits:
/// one of the runtime's would hold up the exit.
async fn end_of_stdin() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let copied = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        if let Err(error) = copied {
            tracing::warn!(%error, "Cannot watch the standard input");
        }
        ended.send(()).ok();
    });
    drop(end.await);
}
