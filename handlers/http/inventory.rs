//! `/api/inventory` and `/api/replay`: what lies in a container, and its events once more. SPEC §8.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use warp::http::{HeaderValue, StatusCode, header};
use warp::{Filter, Rejection, Reply};

use super::App;
use super::error::{Answer, ApiError, answer, json_answer};
use super::platform::collect;
use super::submit::{check_fields, check_source};
use crate::event;
use crate::inventory::Wanted;
use crate::pipeline::InventoryRequest;
use crate::stores::blobs::BlobPath;

/// The routes.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let begin = warp::path!("api" / "inventory")
        .and(warp::post())
        .and(warp::body::stream())
        .and(super::with(Arc::clone(&app)))
        .then(|body, app: Arc<App>| async move {
            let begun = async { begin(&app, &collect(body).await?).await };
            answer(begun.await)
        });
    let look = warp::path!("api" / "inventory" / String)
        .and(warp::get())
        .and(super::with(Arc::clone(&app)))
        .then(|id: String, app: Arc<App>| async move { answer(look(&app, &id).await) });
    let replay = warp::path!("api" / "replay")
        .and(warp::post())
        .and(warp::body::stream())
        .and(super::with(app))
        .then(|body, app: Arc<App>| async move {
            let replayed = async { replay(&app, &collect(body).await?).await };
            answer(replayed.await)
        });
    begin.or(look).or(replay)
}

/// The body of `POST /api/inventory`.
#[derive(Debug, Deserialize)]
struct InventoryBody {
    source_url: String,
    #[serde(default = "yes")]
    recursive: bool,
    #[serde(default = "every_name")]
    file_pattern: String,
    #[serde(default)]
    submit: bool,
}

const fn yes() -> bool {
    true
}

fn every_name() -> String {
    String::from("*")
}

async fn begin(app: &App, body: &[u8]) -> Result<Answer, ApiError> {
    let fields = ["source_url", "recursive", "file_pattern", "submit"];
    let body: InventoryBody = read(body, &fields)?;
    let prefix = source(app, &body.source_url).await?;
    let file_pattern = glob::Pattern::new(&body.file_pattern)
        .map_err(|error| ApiError::validation(format!("file_pattern: {error}")))?;
    let wanted = Wanted {
        prefix,
        recursive: body.recursive,
        file_pattern,
    };
    let request = InventoryRequest {
        wanted,
        submit: body.submit,
    };
    let mut document = app.pipeline.begin_inventory(request).await?;
    let id = document["inventory_id"].as_str().unwrap_or_default();
    let url = format!("{}/api/inventory/{id}", app.config.http.public_url);
    document["success"] = json!(true);
    document["monitor_url"] = json!(url);
    Ok(json_answer(StatusCode::ACCEPTED, &document))
}

async fn look(app: &App, id: &str) -> Result<Answer, ApiError> {
    let found = app.pipeline.inventory(id).await?;
    let mut document = found.ok_or_else(|| ApiError::not_found("there is no such inventory"))?;
    document["success"] = json!(true);
    let goes_on = matches!(document["state"].as_str(), Some("running" | "submitting"));
    if !goes_on {
        return Ok(json_answer(StatusCode::OK, &document));
    }
    let mut answer = json_answer(StatusCode::ACCEPTED, &document);
    let headers = answer.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    Ok(answer)
}

/// The body of `POST /api/replay`.
#[derive(Debug, Deserialize)]
struct ReplayBody {
    source_url: Option<String>,
    #[serde(default)]
    dead_letters: bool,
    events: Option<Value>,
    since: Option<String>,
}

async fn replay(app: &App, body: &[u8]) -> Result<Answer, ApiError> {
    let body: ReplayBody = read(body, &["source_url", "dead_letters", "events", "since"])?;
    let since = body.since.as_deref().map(instant).transpose()?;
    let replayed = match (&body.source_url, body.dead_letters, &body.events) {
        (Some(url), false, None) => {
            let prefix = source(app, url).await?;
            app.pipeline.replay_below(&prefix, since).await?
        }
        (None, true, None) => app.pipeline.redrive_dead_letters(since).await?,
        (None, false, Some(events)) if since.is_none() => {
            let events = event::stored_events(events.to_string().as_bytes())
                .map_err(|error| ApiError::validation(format!("events: {error}")))?;
            app.pipeline.replay_events(&events).await?
        }
        (None, false, Some(_)) => {
            let message = "since: goes with source_url and dead_letters; events are what they are";
            return Err(ApiError::validation(message));
        }
        _ => {
            let message = "give one of source_url, dead_letters: true and events";
            return Err(ApiError::validation(message));
        }
    };
    let mut document = json!(replayed);
    document["success"] = json!(true);
    Ok(json_answer(StatusCode::OK, &document))
}

/// `2026-11-20T10:00:00Z`, or the day alone.
fn instant(text: &str) -> Result<Timestamp, ApiError> {
    let day = || format!("{text}T00:00:00Z").parse();
    text.parse().or_else(|_: jiff::Error| day()).map_err(|_| {
        ApiError::validation(format!(
            "since: `{text}` is no time such as 2026-11-20T10:00:00Z"
        ))
    })
}

/// A folder or container that sources are taken from.
async fn source(app: &App, url: &str) -> Result<BlobPath, ApiError> {
    let path = BlobPath::parse(url, app.blobs.account())
        .map_err(|error| ApiError::validation(format!("source_url: {error}")))?;
    check_source(app, &path).await?;
    Ok(path)
}

/// A body that is a JSON object with none but these fields.
pub(super) fn read<T: for<'a> Deserialize<'a>>(
    body: &[u8],
    fields: &[&str],
) -> Result<T, ApiError> {
    let document: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::validation(format!("the body is not JSON: {error}")))?;
    let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
    check_fields(&document, "", &fields)?;
    serde_json::from_value(document).map_err(|error| ApiError::validation(error.to_string()))
}
