//! The HTTP side: requests in, answers out; the work is done by the pipeline and the stores. SPEC §8, §9.
//!
//! | module | routes |
//! | --- | --- |
//! | [`triggers`] | what the Functions host sends: `POST /BlobEvent`, `/CombineDue`, … |
//! | [`platform`], [`job`] | `/api/platform/…`, `/api/releases…`; `/api/jobs/status/…`, `/api/dbadmin/tasks/…` |
//! | [`inventory`] | `/api/inventory`, `/api/replay` |
//! | [`stac`] | `/api/stac…`, what is published in the STAC catalogue |
//! | [`zarr`] | `/api/zarr/…`, the served stores |
//! | [`file`] | `/api/validate`, `/api/reference` |
//! | [`openapi`] | `/api/openapi.json` |
//! | [`probes`] | `/api/livez`, `/api/readyz`, `/api/health` |
//! | [`error`] | errors as answers |

pub mod error;
pub mod file;
pub mod inventory;
pub mod job;
pub mod openapi;
pub mod platform;
pub mod probes;
pub mod stac;
mod status;
mod submit;
pub mod triggers;
pub mod zarr;

use std::sync::Arc;

use serde_json::json;
use warp::http::StatusCode;
use warp::{Filter, Rejection, Reply};

use crate::config::Config;
use crate::pipeline::Pipeline;
use crate::stores::blobs::{Blobs, PublicWeb};
use crate::stores::ledger::Ledger;

/// What every handler has at hand.
#[derive(Debug)]
pub struct App {
    /// The settings.
    pub config: Config,
    /// Sources and references.
    pub blobs: Arc<dyn Blobs>,
    /// What has landed and what was published.
    pub ledger: Arc<dyn Ledger>,
    /// Does the work.
    pub pipeline: Arc<Pipeline>,
    /// The hosts on the web whose files may be asked about.
    pub web: PublicWeb,
    stores: zarr::Stores,
}

impl App {
    /// The app over its stores.
    pub fn new(
        config: Config,
        blobs: Arc<dyn Blobs>,
        ledger: Arc<dyn Ledger>,
        pipeline: Arc<Pipeline>,
    ) -> Self {
        Self {
            web: PublicWeb::new(&config.http.https_hosts),
            config,
            blobs,
            ledger,
            pipeline,
            stores: zarr::Stores::default(),
        }
    }
}

/// Every route. Nothing is rejected: what no route takes gets its answer too.
pub fn routes(
    app: Arc<App>,
) -> impl Filter<Extract = (impl Reply,), Error = std::convert::Infallible> + Clone {
    root()
        .or(zarr::routes(Arc::clone(&app)))
        .or(platform::routes(Arc::clone(&app)))
        .or(job::routes(Arc::clone(&app)))
        .or(inventory::routes(Arc::clone(&app)))
        .or(file::routes(Arc::clone(&app)))
        .or(openapi::routes())
        .or(stac::routes(Arc::clone(&app)))
        .or(probes::routes(Arc::clone(&app)))
        .or(triggers::routes(app))
        .recover(error::recover)
}

/// `GET /`: any answer tells the Functions host that the handler is ready.
fn root() -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    warp::path::end().and(warp::get()).map(|| {
        let about = json!({"name": "landfall", "version": env!("CARGO_PKG_VERSION")});
        error::json_answer(StatusCode::OK, &about)
    })
}

/// Hands the app to a handler.
fn with(
    app: Arc<App>,
) -> impl Filter<Extract = (Arc<App>,), Error = std::convert::Infallible> + Clone {
    warp::any().map(move || Arc::clone(&app))
}

#[cfg(test)]
mod tests;
