//! What a decision says: which Release, who, why.

use serde::Deserialize;
use serde_json::{Value, json};
use warp::http::HeaderMap;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::inventory::read;
use crate::http::principal::principal;
use crate::pipeline::Endorsement;
use crate::stores::ledger::{ApprovalFilter, Clearance, Release};

/// Longest name of a person.
const LONGEST_NAME: usize = 200;

/// Longest reason or note.
const LONGEST_TEXT: usize = 2000;

/// Longest version, as a request keeps it.
const LONGEST_VERSION: usize = 50;

/// Releases of one state that are searched for those of an Asset.
const SEARCHED: u32 = 1000;

/// Fields that say which Release is meant.
const IDS: [&str; 7] = [
    "release_id",
    "job_id",
    "request_id",
    "asset_id",
    "approval_id",
    "dataset_id",
    "resource_id",
];

/// The body of every decision.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Body {
    release_id: Option<String>,
    job_id: Option<String>,
    request_id: Option<String>,
    asset_id: Option<String>,
    approval_id: Option<String>,
    dataset_id: Option<String>,
    resource_id: Option<String>,
    reviewer: Option<String>,
    revoker: Option<String>,
    reason: Option<String>,
    notes: Option<String>,
    version_id: Option<String>,
    #[serde(alias = "clearance_level", alias = "access_level")]
    clearance_state: Option<String>,
    pub(super) dry_run: Option<bool>,
    pub(super) rematerialize: bool,
    pub(super) force_approved: bool,
}

impl Body {
    /// Reads a body that may have these fields beside those that name a Release.
    pub(super) fn read(bytes: &[u8], further: &[&str]) -> Result<Self, ApiError> {
        let known: Vec<&str> = IDS.iter().chain(further).copied().collect();
        read(bytes, &known)
    }

    /// Whether the body says which Release it means.
    pub(super) fn names_release(&self) -> bool {
        self.id().is_some() || self.dataset_id.is_some()
    }

    fn id(&self) -> Option<&str> {
        let ids = [
            &self.release_id,
            &self.job_id,
            &self.request_id,
            &self.asset_id,
            &self.approval_id,
        ];
        ids.into_iter().find_map(Option::as_deref)
    }

    /// The Release that is meant. An Asset or a request has several: of these it is the newest in the state that is
    /// looked for, else the newest.
    pub(super) async fn release(&self, app: &App, state: &str) -> Result<Release, ApiError> {
        let names = self.dataset_id.as_ref().zip(self.resource_id.as_ref());
        let found = match (self.id(), names) {
            (Some(id), _) => app.ledger.resolve(id).await?,
            (None, Some((dataset, resource))) => {
                app.ledger.resolve_names(dataset, resource).await?
            }
            (None, None) => {
                let message = "say which Release: release_id, or dataset_id and resource_id";
                return Err(ApiError::validation(message).with("valid_parameters", json!(IDS)));
            }
        };
        let found = found.ok_or_else(|| ApiError::not_found("there is no such Release"))?;
        let of_one = [found.release_id.as_str(), found.job_id.as_str()];
        let is_this_one = self.id().is_some_and(|id| of_one.contains(&id));
        if is_this_one || found.approval_state == state {
            return Ok(found);
        }
        let filter = ApprovalFilter {
            approval_state: Some(state.to_owned()),
            limit: SEARCHED,
            ..ApprovalFilter::default()
        };
        let others = app.ledger.approvals(&filter).await?.releases;
        let others = others
            .into_iter()
            .filter(|other| other.asset_id == found.asset_id);
        Ok(others
            .max_by_key(|other| other.version_ordinal)
            .unwrap_or(found))
    }

    /// Who decides: whoever is signed in through Easy Auth, else whom the body names. A program that calls with the
    /// function key alone is nobody's session, and says for whom it does so.
    pub(super) fn actor(&self, app: &App, headers: &HeaderMap) -> Result<Option<String>, ApiError> {
        let named = self.reviewer.as_ref().or(self.revoker.as_ref());
        let named = short("reviewer", named, LONGEST_NAME)?;
        Ok(principal(app, headers).or(named))
    }

    /// Who decides; somebody has to.
    pub(super) fn reviewer(&self, app: &App, headers: &HeaderMap) -> Result<String, ApiError> {
        let actor = self.actor(app, headers)?;
        actor.ok_or_else(|| ApiError::validation("reviewer is required"))
    }

    /// Why, if that is said.
    pub(super) fn reason(&self) -> Result<Option<String>, ApiError> {
        short("reason", self.reason.as_ref(), LONGEST_TEXT)
    }

    /// Why; there has to be a reason.
    pub(super) fn required_reason(&self) -> Result<String, ApiError> {
        let reason = self.reason()?;
        reason.ok_or_else(|| ApiError::validation("reason is required"))
    }

    /// What a reviewer says who approves.
    pub(super) fn endorsement(
        &self,
        app: &App,
        headers: &HeaderMap,
    ) -> Result<Endorsement, ApiError> {
        Ok(Endorsement {
            reviewer: self.reviewer(app, headers)?,
            clearance: self.clearance()?,
            version_id: self.version()?,
            notes: short("notes", self.notes.as_ref(), LONGEST_TEXT)?,
        })
    }

    fn clearance(&self) -> Result<Clearance, ApiError> {
        let word = self.clearance_state.as_deref();
        let word = word.ok_or_else(|| ApiError::validation("clearance_state is required"))?;
        let parsed = serde_json::from_value(Value::String(word.to_lowercase()));
        parsed.map_err(|_| {
            ApiError::validation(format!("clearance_state is `{word}`, not ouo or public"))
        })
    }

    /// A version is part of the item's id.
    fn version(&self) -> Result<Option<String>, ApiError> {
        let version = short("version_id", self.version_id.as_ref(), LONGEST_VERSION)?;
        let is_name = |text: &String| {
            text.starts_with(|first: char| first.is_ascii_alphanumeric())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        };
        match version {
            Some(version) if !is_name(&version) => Err(ApiError::validation(format!(
                "version_id is `{version}`; it has letters, digits, `.`, `_` and `-`, and begins with one of the first two"
            ))),
            version => Ok(version),
        }
    }
}

/// A text without white space around it, if there is any; it may have so many characters.
fn short(field: &str, text: Option<&String>, longest: usize) -> Result<Option<String>, ApiError> {
    let text = text.map(|text| text.trim()).filter(|text| !text.is_empty());
    match text {
        Some(text) if text.chars().count() > longest => Err(ApiError::validation(format!(
            "{field} has more than {longest} characters"
        ))),
        text => Ok(text.map(str::to_owned)),
    }
}
