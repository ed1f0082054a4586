//! The HTTP side: requests in, answers out; the work is done by the pipeline and the stores. SPEC §8, §9.
//!
//! | module | routes |
//! | --- | --- |
//! | [`triggers`] | what the Functions host sends: `POST /BlobEvent`, `/CombineDue`, … |
//! | [`platform`], [`job`] | `/api/platform/…`, `/api/releases…`; `/api/jobs/status/…`, `/api/dbadmin/tasks/…` |
//! | [`approval`] | `/api/platform/approve`, `…/reject`, `…/revoke`, `…/unpublish`, `…/approvals`, `/api/releases/…/stac` |
//! | [`inventory`] | `/api/inventory`, `/api/replay` |
//! | [`zarr`] | `/api/zarr/…`, the served stores; `/api/releases/{id}/token` |
//! | [`stac`] | `/api/stac…`, what is published in the STAC catalogue |
//! | [`mod@file`] | `/api/validate`, `/api/reference` |
//! | [`openapi`] | `/api/openapi.json` |
//! | `status` | `/api/status`, the status page, and what it asks for |
//! | [`probes`] | `/api/livez`, `/api/readyz`, `/api/health` |
//! | [`error`] | errors as answers |
//! | [`connections`], [`tls`] | what all of it comes over: HTTP, https |

pub mod approval;
mod body;
pub mod connections;
pub mod error;
pub mod file;
pub mod inventory;
pub mod job;
mod key;
pub mod openapi;
pub mod platform;
pub(crate) mod principal;
pub mod probes;
pub mod stac;
mod status;
mod submit;
pub mod tls;
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
    keyring: zarr::token::Keyring,
    overviews: status::Overviews,
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
            keyring: zarr::token::Keyring::default(),
            overviews: status::Overviews::default(),
        }
    }
}

/// Every route. Nothing is rejected: what no route takes gets its answer too.
pub fn routes(
    app: Arc<App>,
) -> impl Filter<Extract = (impl Reply,), Error = std::convert::Infallible> + Clone {
    all(app).with(warp::trace(span_of))
}

/// Every route, in no span yet. Each module's are boxed: as one type they are deeper than an optimizing compiler follows.
fn all(
    app: Arc<App>,
) -> impl Filter<Extract = (impl Reply,), Error = std::convert::Infallible> + Clone {
    let every = root()
        .or(zarr::routes(Arc::clone(&app)).boxed())
        .or(zarr::grant::routes(Arc::clone(&app)).boxed())
        .or(platform::routes(Arc::clone(&app)).boxed())
        .or(approval::routes(Arc::clone(&app)).boxed())
        .or(job::routes(Arc::clone(&app)).boxed())
        .or(inventory::routes(Arc::clone(&app)).boxed())
        .or(file::routes(Arc::clone(&app)).boxed())
        .or(openapi::routes().boxed())
        .or(status::routes(Arc::clone(&app)).boxed())
        .or(stac::routes(Arc::clone(&app)).boxed())
        .or(probes::routes(Arc::clone(&app)).boxed())
        .or(probes::details().boxed())
        .or(triggers::routes(app).boxed())
        .recover(error::recover);
    telling_methods(every)
}

/// Every route of an app that could not be set up, where `part` failed.
pub fn broken_routes(
    part: &'static str,
) -> impl Filter<Extract = (impl Reply,), Error = std::convert::Infallible> + Clone {
    let others = warp::any().and_then(move || async move {
        let error = error::ApiError::unavailable(format!("the app could not be started: {part}"));
        Ok::<_, Rejection>(error.into_answer())
    });
    let every = root()
        .or(probes::broken_routes(part))
        .or(others)
        .recover(error::recover);
    telling_methods(every).with(warp::trace(span_of))
}

/// Routes whose refusal of a method says which methods there are.
fn telling_methods(
    routes: impl Filter<Extract = (impl Reply,), Error = std::convert::Infallible> + Clone + Send,
) -> impl Filter<Extract = (warp::reply::Response,), Error = std::convert::Infallible> + Clone {
    warp::path::full().and(routes).map(openapi::with_allow)
}

/// What the log lines of a request have in common: the host's invocation, and the trace that it is part of. The query
/// stays out of it: it may hold a key.
fn span_of(request: warp::trace::Info<'_>) -> tracing::Span {
    let header = |name: &str| {
        let value = request.request_headers().get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    tracing::info_span!(
        "request",
        http.method = %request.method(),
        http.path = without_token(request.path()),
        invocation.id = header("x-azure-functions-invocationid"),
        traceparent = header("traceparent"),
    )
}

/// A path with the read token in it struck out: whoever has it may read.
fn without_token(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment {
        "~v3" => segment,
        token if token.starts_with('~') => "~***",
        _ => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The routes of a server without a Functions host: Zarr and the probes for everybody whom they let in, the rest of the
/// API with a key. What only a host sends is not taken.
pub fn standalone_routes(
    app: Arc<App>,
) -> impl Filter<Extract = (impl Reply,), Error = std::convert::Infallible> + Clone {
    let every = root()
        .or(zarr::routes(Arc::clone(&app)))
        .or(probes::routes(Arc::clone(&app)))
        .or(key::needed(&app).and(all(app).boxed()))
        .recover(key::recover);
    telling_methods(every).with(warp::trace(span_of))
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
