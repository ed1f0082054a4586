//! What keeps an installation from working: every account, container, role, queue, database and setting is tried, and
//! what is missing is named with its remedy. SPEC §12.
//!
//! The first failure of every deployment in Azure is a role assignment, so a refusal comes with the command that makes
//! it. Nothing is left behind: what is written is deleted, what is sent is never visible.
//!
//! | module | what it tries |
//! | --- | --- |
//! | `settings` | whether settings can be read and go together |
//! | `app` | `host.json` and the functions, against what this program was built with |
//! | `identity` | which identity answers; the commands that give it roles |
//! | `blobs`, `queues` | containers and queues, with each right that the app needs |
//! | `database` | PostgreSQL, its schema, rights and room; pgSTAC; or the SQLite file |

mod app;
mod blobs;
mod database;
mod identity;
mod queues;
mod settings;

use std::path::PathBuf;

use futures_util::future::join_all;
use futures_util::{FutureExt as _, future::BoxFuture};
use serde::{Deserialize, Serialize};

use crate::config::{BlobsConfig, Concerns, QueuesConfig};
use identity::Who;

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works.
    Ok,
    /// It works, but somebody should know.
    Warning,
    /// It does not.
    Failed,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What it belongs to: `settings`, `app`, `identity`, `bronze`, `silver`, `dead letters`, `queue`, `database`,
    /// `pgstac`, `decoder`.
    pub part: String,
    /// Which one.
    pub name: String,
    /// How it is.
    pub state: State,
    /// What was found.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    fn new(part: &str, name: impl Into<String>, state: State, message: impl Into<String>) -> Self {
        Self {
            part: part.to_owned(),
            name: name.into(),
            state,
            message: message.into(),
            remedy: None,
        }
    }

    fn ok(part: &str, name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(part, name, State::Ok, message)
    }

    fn warning(part: &str, name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(part, name, State::Warning, message)
    }

    fn failed(part: &str, name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(part, name, State::Failed, message)
    }

    fn cured_by(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }
}

/// How the whole is: as its worst part.
pub fn worst(checks: &[Check]) -> State {
    let states = checks.iter().map(|check| check.state);
    states.max().unwrap_or(State::Ok)
}

/// Tries everything that these settings describe. `app` is the folder of the function app, if somebody knows it.
pub async fn examine(concerns: &Concerns, app: Option<PathBuf>) -> Vec<Check> {
    let mut checks = settings::check(concerns);
    checks.push(decoder());
    checks.extend(app::check(app.or_else(|| concerns.app.clone()).as_deref()));
    let who = match needs_identity(concerns) {
        true => {
            let (who, check) = identity::check(concerns).await;
            checks.push(check);
            who
        }
        false => Who::Nobody,
    };
    for found in join_all(trials(concerns, &who)).await {
        checks.extend(found);
    }
    checks
}

fn needs_identity(concerns: &Concerns) -> bool {
    let in_azure = concerns
        .storage
        .as_ref()
        .is_ok_and(|storage| matches!(storage.blobs, BlobsConfig::Azure(_)));
    let by_identity = concerns
        .database
        .as_ref()
        .is_ok_and(|database| database.by_identity && database.url.is_some());
    in_azure || by_identity
}

/// All that takes a while, at once.
fn trials<'a>(concerns: &'a Concerns, who: &'a Who) -> Vec<BoxFuture<'a, Vec<Check>>> {
    let mut trials: Vec<BoxFuture<'a, Vec<Check>>> = Vec::new();
    let Ok(storage) = &concerns.storage else {
        return trials_of_database(concerns, who);
    };
    match &storage.blobs {
        BlobsConfig::Folders { bronze, silver } => {
            trials.push(blobs::folders(bronze, silver, storage.dead_letters.as_ref()).boxed());
        }
        BlobsConfig::Azure(azure) => {
            trials.push(blobs::containers(azure, storage.dead_letters.as_ref(), who).boxed());
        }
    }
    if let QueuesConfig::Azure(azure) = &storage.queues {
        trials.push(queues::check(azure, who).boxed());
    }
    trials.extend(trials_of_database(concerns, who));
    trials
}

fn trials_of_database<'a>(concerns: &'a Concerns, who: &'a Who) -> Vec<BoxFuture<'a, Vec<Check>>> {
    let Ok(database) = &concerns.database else {
        return Vec::new();
    };
    let file = concerns.storage.as_ref().ok();
    let file = file.and_then(|storage| storage.database.as_deref());
    vec![database::check(database, file, who).boxed()]
}

fn decoder() -> Check {
    match crate::self_test::decoder_works() {
        Ok(()) => Check::ok("decoder", "self-test", "reads the file that is built in"),
        Err(what) => Check::failed("decoder", "self-test", what)
            .cured_by("the program is damaged, or built for another machine: deploy it again"),
    }
}
