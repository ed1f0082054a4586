//! An app that cannot be set up. Under the Functions host it stays to say so: a handler that ends is started again
//! and again, and nobody learns why.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use crate::http;
use crate::http::connections::{self, Protocol};

/// Answers the host that the app is not ready, until it is told to stop.
pub(super) async fn answer(error: &anyhow::Error, port: u16) -> std::io::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await?;
    let routes = http::broken_routes(part(error));
    connections::serve(listener, Protocol::Host, routes, super::told_to_stop()).await;
    Ok(())
}

/// The part that a start failed at: what its error says first.
fn part(error: &anyhow::Error) -> &'static str {
    let first = error.to_string();
    let parts = [
        "configuration",
        "blobs",
        "dead letters",
        "queue",
        "ledger",
        "identity",
    ];
    parts
        .into_iter()
        .find(|part| first.starts_with(part))
        .unwrap_or("start")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(anyhow!("LANDFALL_DATABASE is not set").context("configuration"), "configuration")]
    #[case(anyhow!("no token").context("ledger"), "ledger")]
    #[case(anyhow!("listening on 127.0.0.1:1"), "start")]
    fn the_part_is_what_the_error_begins_with(#[case] error: anyhow::Error, #[case] name: &str) {
        assert_eq!(part(&error), name);
    }
}
