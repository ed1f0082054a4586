//! `landfall combine --serve`: the joined dataset as plain Zarr on this machine, for as long as the command runs.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;
use virtualize::VirtualDataset;

use super::super::failure::Failure;
use super::super::serve::told_to_stop;
use crate::http::connections::{self, Protocol};
use crate::http::zarr::{NAME, lone_routes};
use crate::stores::blobs::NamedSources;

/// Arguments of serving.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ServeArguments {
    /// Serve the joined dataset as Zarr to programs of this machine, until ctrl-C; the reference need not be written.
    #[arg(long)]
    serve: bool,
    /// Port of 127.0.0.1 to serve on; 0 takes a free one.
    #[arg(long, default_value_t = 7073, requires = "serve")]
    port: u16,
}

/// A port that is taken, and the address of the store that will be there.
#[derive(Debug)]
pub(super) struct Server {
    listener: TcpListener,
    /// What readers open.
    pub(super) url: String,
}

impl ServeArguments {
    /// Takes the port, if serving is wanted: before the work, which would be in vain without one.
    pub(super) async fn listen(&self) -> Result<Option<Server>, Failure> {
        if !self.serve {
            return Ok(None);
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let failed = |error| {
            let message = format!("cannot listen on {address}: {error}; choose another --port");
            Failure::failed("port_taken", &std::io::Error::other(message))
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Some(Server {
            listener,
            url: format!("http://{address}/{NAME}"),
        }))
    }
}

impl Server {
    /// Serves until it is told to stop.
    pub(super) async fn run(self, dataset: VirtualDataset, sources: NamedSources) {
        let routes = lone_routes(dataset, sources);
        connections::serve(self.listener, Protocol::Plain, routes, told_to_stop()).await;
    }
}
