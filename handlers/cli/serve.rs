//! `landfall serve`: the custom handler that the Functions host starts.

mod broken;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;

use super::failure::Failure;
use super::{ledger, stores};
use crate::config::{Config, HttpConfig};
use crate::http::{self, App};
use crate::pipeline::Pipeline;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

/// Answers the host until it is told to stop.
pub(super) async fn run(_: Arguments) -> Result<(), Failure> {
    crate::telemetry::init_json();
    let Err(error) = serve().await else {
        return Ok(());
    };
    tracing::error!(error = format!("{error:#}"), "STARTUP_FAILED: {error:#}");
    if let Some(port) = HttpConfig::port_of_host()
        && broken::answer(&error, port).await.is_ok()
    {
        return Ok(());
    }
    Err(Failure::failed("startup_failed", error.as_ref()))
}

async fn serve() -> anyhow::Result<()> {
    let config = Config::from_env().context("configuration")?;
    let port = config.http.port;
    let watches_stdin = config.http.stop_with_stdin;
    let app = Arc::new(app(config)?);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))?;
    tracing::info!(port, "Ready");
    let seen = Arc::clone(&app);
    tokio::spawn(async move { http::probes::report(&seen).await });
    warp::serve(http::routes(app))
        .incoming(listener)
        .graceful(async move {
            tokio::select! {
                () = told_to_stop() => {}
                () = end_of_stdin(), if watches_stdin => {}
            }
        })
        .run()
        .await;
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
async fn told_to_stop() {
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
