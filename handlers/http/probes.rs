//! `/api/livez`, `/api/readyz`, `/api/health`: for the platform that runs the app, and for people on call.

use std::sync::Arc;

use serde_json::json;
use virtualize::{ByteRange, DecodeOptions, Decoded, MetadataDecoder};
use warp::http::StatusCode;
use warp::{Filter, Rejection, Reply};

use super::App;
use super::error::{Answer, json_answer};
use crate::stores::blobs::BlobError;
use crate::stores::ledger::LedgerError;

/// A classic file with the dimension `x = 2` and the variable `int v(x) = 7, 11`, by the format's grammar.
const SMALL_FILE: [u8; 88] = [
    b'C', b'D', b'F', 1, 0, 0, 0, 0, // magic, no records
    0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 1, b'x', 0, 0, 0, 0, 0, 0, 2, // one dimension: x, of 2
    0, 0, 0, 0, 0, 0, 0, 0, // no attributes
    0, 0, 0, 11, 0, 0, 0, 1, 0, 0, 0, 1, b'v', 0, 0, 0, // one variable: v
    0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // over x, no attributes
    0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 80, // int, 8 bytes, from byte 80 on
    0, 0, 0, 7, 0, 0, 0, 11, // its values
];

/// The routes; none of them needs a key.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let alive = warp::path!("api" / "livez").and(warp::get()).map(|| {
        let document = json!({"status": "alive", "app": "landfall", "probe": "livez", "message": "the process answers"});
        json_answer(StatusCode::OK, &document)
    });
    let ready = warp::path!("api" / "readyz")
        .and(warp::get())
        .and(super::with(Arc::clone(&app)))
        .then(|app: Arc<App>| async move { ready(&check(&app).await) });
    let health = warp::path!("api" / "health")
        .and(warp::get())
        .and(super::with(app))
        .then(|app: Arc<App>| async move { health(&check(&app).await) });
    alive.or(ready).or(health)
}

/// A part of the app, and why it does not work.
struct Component {
    name: &'static str,
    fault: Option<&'static str>,
}

async fn check(app: &App) -> [Component; 3] {
    let ledger = app.ledger.check_schema().await.err().map(|error| {
        let (reason, message) = match &error {
            LedgerError::SchemaTooOld { .. } => ("database_version_too_old", "migrate the database"),
            _ => ("database_not_ready", "the ledger does not answer"),
        };
        tracing::warn!(error = %crate::pipeline::chain(&error), "STARTUP_FAILED: ledger: {message}");
        reason
    });
    let storage = match app.blobs.head(&app.blobs.silver("landfall")).await {
        Ok(_) | Err(BlobError::NotFound(_)) => None,
        Err(error) => {
            tracing::warn!(error = %crate::pipeline::chain(&error), "STARTUP_FAILED: storage");
            Some("storage_not_ready")
        }
    };
    let decoder = (!decodes(&SMALL_FILE)).then_some("decoder_self_test_failed");
    [
        Component {
            name: "database",
            fault: ledger,
        },
        Component {
            name: "storage",
            fault: storage,
        },
        Component {
            name: "decoder",
            fault: decoder,
        },
    ]
}

/// Whether the decoder finds in a file what stands there.
fn decodes(file: &'static [u8]) -> bool {
    let length = u64::try_from(file.len()).unwrap_or(u64::MAX);
    let mut decoder = MetadataDecoder::new(length, DecodeOptions::default());
    decoder.push(ByteRange::new(0, length), bytes::Bytes::from_static(file));
    match decoder.decode() {
        Ok(Decoded::Done(dataset)) => dataset
            .root
            .arrays
            .get("v")
            .is_some_and(|array| array.shape == [2]),
        _ => false,
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
    let state = |component: &Component| {
        if component.fault.is_none() {
            "healthy"
        } else {
            "unhealthy"
        }
    };
    let states: serde_json::Map<String, serde_json::Value> = components
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
    use rstest::rstest;

    use super::*;

    const OTHER_MAGIC: [u8; 88] = {
        let mut file = SMALL_FILE;
        file[3] = 9;
        file
    };

    #[rstest]
    #[case::good(&SMALL_FILE, true)]
    #[case::other_magic(&OTHER_MAGIC, false)]
    fn the_self_test_can_fail(#[case] file: &'static [u8], #[case] fine: bool) {
        assert_eq!(decodes(file), fine);
    }
}
