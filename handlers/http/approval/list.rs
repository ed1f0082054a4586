//! `GET /api/platform/approvals`: Releases by how far they are reviewed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};
use warp::{Filter, Rejection};

use super::success;
use crate::http::App;
use crate::http::error::{Answer, ApiError, answer};
use crate::stores::ledger::{Action, ApprovalFilter, Release};

/// Releases that are listed if nothing else is said.
const LISTED: u32 = 100;

/// Most Releases that are listed.
const MOST: u32 = 1000;

const PARAMETERS: [&str; 4] = ["status", "clearance", "limit", "offset"];
const STATES: [&str; 4] = ["pending_review", "approved", "rejected", "revoked"];
const CLEARANCES: [&str; 3] = ["uncleared", "ouo", "public"];

type Query = HashMap<String, String>;

/// The routes.
pub(super) fn routes(app: Arc<App>) -> impl Filter<Extract = (Answer,), Error = Rejection> + Clone {
    let all = warp::path!("api" / "platform" / "approvals")
        .and(warp::get())
        .and(warp::query::<Query>())
        .and(crate::http::with(Arc::clone(&app)))
        .then(|query: Query, app: Arc<App>| async move { answer(list(&app, &query).await) });
    let one = warp::path!("api" / "platform" / "approvals" / String)
        .and(warp::get())
        .and(crate::http::with(app))
        .then(|id: String, app: Arc<App>| async move { answer(show(&app, &id).await) });
    all.or(one).unify()
}

async fn list(app: &App, query: &Query) -> Result<Answer, ApiError> {
    let filter = filter(query)?;
    let found = app.ledger.approvals(&filter).await?;
    let changed = changed(app).await?;
    let releases: Vec<Value> = found
        .releases
        .iter()
        .map(|release| entry(release, &changed))
        .collect();
    let mut counts = json!({});
    for state in STATES {
        counts[state] = json!(found.status_counts.get(state).copied().unwrap_or(0));
    }
    Ok(success(json!({
        "count": releases.len(),
        "releases": releases,
        "limit": filter.limit,
        "offset": filter.offset,
        "status_counts": counts,
    })))
}

async fn show(app: &App, id: &str) -> Result<Answer, ApiError> {
    let release = app.ledger.resolve(id).await?;
    let release = release.ok_or_else(|| ApiError::not_found("there is no such Release"))?;
    let entry = entry(&release, &changed(app).await?);
    Ok(success(json!({"release": entry})))
}

/// Approved Releases with a source that is not what it was.
async fn changed(app: &App) -> Result<BTreeSet<String>, ApiError> {
    let changed = app.ledger.releases_changed_by(None).await?;
    Ok(changed
        .into_iter()
        .map(|release| release.release_id)
        .collect())
}

fn entry(release: &Release, changed: &BTreeSet<String>) -> Value {
    let mut entry = json!(release);
    if let Some(fields) = entry.as_object_mut() {
        fields.remove("stac_item_json");
    }
    entry["can_approve"] = json!(Action::Approve.check(release).is_ok());
    entry["source_changed"] = json!(changed.contains(&release.release_id));
    entry
}

fn filter(query: &Query) -> Result<ApprovalFilter, ApiError> {
    if let Some(unknown) = query.keys().find(|key| !PARAMETERS.contains(&key.as_str())) {
        let error = ApiError::validation(format!("unknown parameter `{unknown}`"));
        return Err(error.with("valid_parameters", json!(PARAMETERS)));
    }
    let limit = number(query, "limit", LISTED)?;
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::validation(format!(
            "limit is {limit}, not between 1 and {MOST}"
        )));
    }
    Ok(ApprovalFilter {
        approval_state: one_of(query, "status", &STATES)?,
        clearance_state: one_of(query, "clearance", &CLEARANCES)?,
        limit,
        offset: number(query, "offset", 0)?,
    })
}

fn number(query: &Query, name: &str, default: u32) -> Result<u32, ApiError> {
    let Some(text) = query.get(name) else {
        return Ok(default);
    };
    text.parse()
        .map_err(|_| ApiError::validation(format!("{name} is `{text}`, not a number")))
}

fn one_of(query: &Query, name: &str, words: &[&str]) -> Result<Option<String>, ApiError> {
    match query.get(name) {
        Some(word) if !words.contains(&word.as_str()) => {
            let error = ApiError::validation(format!("{name} is `{word}`"));
            Err(error.with("valid_values", json!(words)))
        }
        word => Ok(word.cloned()),
    }
}
