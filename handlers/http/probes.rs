//! `/api/livez`, `/api/readyz`, `/api/health`: for the platform that runs the app, and for people on call. SPEC §8.
//!
//! Who asks without a key learns names and states. `GET /api/health/details` lies behind the function key and tries
//! everything, as `landfall doctor` does, with the app's own identity:
//!
//! ```json
//! {"status": "unhealthy", "version": "0.1.0", "checks": [
//!   {"part": "silver", "name": "acct/silver", "state": "failed", "message": "…", "remedy": "az role assignment …"}]}
//! ```

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use warp::http::StatusCode;
use warp::{Filter, Rejection, Reply};

use super::App;
use super::error::{Answer, json_answer};
use crate::config::Concerns;
use crate::doctor::{self, State};
use crate::pipeline::chain;
use crate::self_test;
use crate::stores::blobs::BlobError;
use crate::stores::ledger::LedgerError;
use crate::stores::retry;

/// The routes.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let ready = warp::path!("api" / "readyz")
        .and(warp::get())
        .and(super::with(Arc::clone(&app)))
        .then(|app: Arc<App>| async move { ready(&check(&app).await) });
    let health = warp::path!("api" / "health")
        .and(warp::get())
        .and(super::with(app))
        .then(|app: Arc<App>| async move { health(&check(&app).await) });
    livez().or(ready).or(health)
}

/// The routes of an app that could not be set up: alive, not ready, and the reason for who has the key.
pub(super) fn broken_routes(
    part: &'static str,
) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let ready = warp::path!("api" / "readyz")
        .and(warp::get())
        .map(move || ready(&broken(part)));
    let health = warp::path!("api" / "health")
        .and(warp::get())
        .map(move || health(&broken(part)));
    livez().or(ready).or(health).or(details())
}

fn livez() -> impl Filter<Extract = (Answer,), Error = Rejection> + Clone {
    warp::path!("api" / "livez").and(warp::get()).map(|| {
        let document = json!({"status": "alive", "app": "landfall", "probe": "livez", "message": "the process answers"});
        json_answer(StatusCode::OK, &document)
    })
}

/// Everything, with the reasons. The host lets nobody in without a function key; a server without one has to.
pub(super) fn details() -> impl Filter<Extract = (Answer,), Error = Rejection> + Clone {
    warp::path!("api" / "health" / "details")
        .and(warp::get())
        .then(|| async {
            let checks = doctor::examine(&Concerns::from_env(), None).await;
            let status = match doctor::worst(&checks) {
                State::Ok => "healthy",
                State::Warning => "degraded",
                State::Failed => "unhealthy",
            };
            let document =
                json!({"status": status, "version": env!("CARGO_PKG_VERSION"), "checks": checks});
            json_answer(StatusCode::OK, &document)
        })
}

/// A part of the app, and why it does not work.
struct Component {
    name: &'static str,
    fault: Option<&'static str>,
}

/// What an app without its settings consists of.
fn broken(part: &'static str) -> Vec<Component> {
    let fault = match part {
        "configuration" => "configuration_invalid",
        _ => "startup_failed",
    };
    vec![
        Component {
            name: part,
            fault: Some(fault),
        },
        decoder(),
    ]
}

/// Looks at every part at start, so that the log says what is wrong before anybody asks.
pub async fn report(app: &App) {
    for component in check(app).await {
        if let Some(fault) = component.fault {
            tracing::error!(
                component = component.name,
                reason = fault,
                "STARTUP_FAILED: {}",
                component.name
            );
        }
    }
}

/// How long a probe waits for what the app stands on: whoever asks does not wait for much longer.
const PATIENCE: Duration = Duration::from_secs(10);

async fn check(app: &App) -> Vec<Component> {
    let asked = async { tokio::join!(database(app), storage(app)) };
    let (database, storage) = retry::within(PATIENCE, asked).await;
    let configuration = Component {
        name: "configuration",
        fault: None,
    };
    vec![configuration, database, storage, decoder()]
}

async fn database(app: &App) -> Component {
    let fault = app.ledger.check_schema().await.err().map(|error| {
        let (reason, message) = match &error {
            LedgerError::SchemaTooOld { .. } => {
                ("database_version_too_old", "run `landfall migrate`")
            }
            _ => ("database_not_ready", "the ledger does not answer"),
        };
        tracing::warn!(error = %chain(&error), "STARTUP_FAILED: database: {message}");
        reason
    });
    Component {
        name: "database",
        fault,
    }
}

async fn storage(app: &App) -> Component {
    let fault = match app.blobs.head(&app.blobs.silver("landfall")).await {
        Ok(_) | Err(BlobError::NotFound(_)) => None,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "STARTUP_FAILED: storage");
            Some("storage_not_ready")
        }
    };
    Component {
        name: "storage",
        fault,
    }
}

fn decoder() -> Component {
    judged(self_test::decoder_works())
}

fn judged(result: Result<(), String>) -> Component {
    let fault = result.err().map(|error| {
        tracing::error!(error, "STARTUP_FAILED: decoder");
        "decoder_self_test_failed"
    });
    Component {
        name: "decoder",
        fault,
    }
}

fn ready(components: &[Component]) -> Answer {
    match components.iter().find_map(|component| component.fault) {
        None => {
            let document =
                json!({"status": "ready", "probe": "readyz", "version": env!("CARGO_PKG_VERSION")});
            json_answer(StatusCode::OK, &document)
        }
        Some(reason) => {
            let document = json!({"status": "not_ready", "probe": "readyz", "reason": reason, "error": reason});
            json_answer(StatusCode::SERVICE_UNAVAILABLE, &document)
        }
    }
}

fn health(components: &[Component]) -> Answer {
    let state = |component: &Component| match component.fault {
        None => "healthy",
        Some(_) => "unhealthy",
    };
    let states: serde_json::Map<String, Value> = components
        .iter()
        .map(|component| (component.name.to_owned(), json!(state(component))))
        .collect();
    let is_well = components.iter().all(|component| component.fault.is_none());
    let (code, status) = match is_well {
        true => (StatusCode::OK, "healthy"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
    };
    json_answer(code, &json!({"status": status, "components": states}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(answer: &Answer) -> Value {
        serde_json::from_slice(answer.body()).unwrap()
    }

    #[test]
    fn a_decoder_that_does_not_work_is_a_reason_not_to_be_ready() {
        let components = [judged(Err(String::from("chunk 3 decodes to other values")))];
        let answer = ready(&components);
        assert_eq!(answer.status(), 503);
        assert_eq!(body(&answer)["reason"], "decoder_self_test_failed");
        let answer = health(&components);
        assert_eq!(answer.status(), 503);
        let expected = json!({"status": "unhealthy", "components": {"decoder": "unhealthy"}});
        assert_eq!(body(&answer), expected, "names and states, nothing else");
        assert_eq!(ready(&[judged(Ok(()))]).status(), 200);
    }

    #[tokio::test]
    async fn an_app_without_its_settings_is_alive_and_not_ready() {
        let routes = broken_routes("configuration");
        let ask = |path: &'static str| {
            let routes = routes.clone();
            async move { warp::test::request().path(path).reply(&routes).await }
        };
        assert_eq!(ask("/api/livez").await.status(), 200);
        let ready = ask("/api/readyz").await;
        assert_eq!(ready.status(), 503);
        assert!(String::from_utf8_lossy(ready.body()).contains("configuration_invalid"));
        assert_eq!(ask("/api/health").await.status(), 503);
    }
}
