//! Whether settings can be read, and go together.

use super::{Check, State};
use crate::config::Concerns;

const PART: &str = "settings";

pub(super) fn check(concerns: &Concerns) -> Vec<Check> {
    let results = [
        ("storage", concerns.storage.as_ref().err()),
        ("database", concerns.database.as_ref().err()),
        ("pipeline", concerns.pipeline.as_ref().err()),
        ("http", concerns.http.as_ref().err()),
        ("identity", concerns.access.as_ref().err()),
    ];
    let mut checks: Vec<Check> = Vec::new();
    for (name, error) in results {
        let Some(error) = error else { continue };
        let message = format!("{error:#}");
        // What storage cannot do without, the identity lacks as well.
        if checks.iter().all(|check| check.message != message) {
            let check = Check::failed(PART, name, message);
            checks.push(check.cured_by("local.settings.example.json explains every setting"));
        }
    }
    checks.extend(lacks_a_ledger(concerns));
    checks.extend(concerns.contradictions.iter().map(|found| {
        let state = match found.is_fatal {
            true => State::Failed,
            false => State::Warning,
        };
        let check = Check::new(PART, found.setting.clone(), state, found.message.clone());
        check.cured_by(found.remedy.clone())
    }));
    if checks.is_empty() {
        checks.push(Check::ok(PART, "all", "can be read and go together"));
    }
    checks
}

/// Where blobs and queues are in Azure nothing else asks for a database.
fn lacks_a_ledger(concerns: &Concerns) -> Option<Check> {
    let (storage, database) = (
        concerns.storage.as_ref().ok()?,
        concerns.database.as_ref().ok()?,
    );
    let is_nowhere = storage.database.is_none() && database.url.is_none();
    is_nowhere.then(|| {
        let check = Check::failed(PART, "database", "nothing says where the ledger is");
        check.cured_by("set LANDFALL_DATABASE_URL or LANDFALL_DATABASE_HOST")
    })
}
