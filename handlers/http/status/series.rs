//! A series as the status page tells of it.

use serde_json::{Value, json};

use super::coverage::coverage;
use super::outcome::how_to_go_on;
use super::stage;
use crate::catalog::item::zarr_url;
use crate::catalog::quicklook::Quicklook;
use crate::http::App;
use crate::stores::ledger::overview::{FileAtFault, Findings, ReleaseAtAGlance, Series};
use crate::stores::ledger::{Fault, FileState, GroupState};

/// Characters that are told of a message. One that lists every disagreement of a thousand files is told in full by the
/// status of its job.
const MOST_CHARACTERS: usize = 1200;

/// What there is to tell of a series.
pub(super) fn told(app: &App, series: &Series) -> Value {
    json!({
        "id": series.id.0,
        "dataset_id": series.dataset_id,
        "resource_id": series.resource_id,
        "title": series.title,
        "source": series.prefix.short(),
        "state": series.state,
        "stage": stage(series.state),
        "generation": series.generation,
        "updated_at": series.updated_at,
        "quiet_until": series.quiet_until,
        "quiet_period": series.expects.quiet_period,
        "time_range": series.expects.time_range,
        "progress": progress(series),
        "fault": fault(series),
        "files_at_fault": series.at_fault.iter().map(file).collect::<Vec<_>>(),
        "findings": series.findings.iter().map(finding).collect::<Vec<_>>(),
        "combining_since": series.combining_since,
        "release": series.release.as_ref().map(|release| summary(release, series.state)),
        "dataset": series.release.as_ref().and_then(|release| dataset(app, release)),
        "coverage": coverage(series),
        "source_changed": series.changed,
    })
}

/// Why a series does not go on.
fn fault(series: &Series) -> Option<Value> {
    let is_input = matches!(series.state, GroupState::Blocked | GroupState::Stale);
    let gone = || Fault {
        code: String::from("source_gone"),
        message: stage(series.state).to_owned(),
        remediation: Some(String::from(
            "upload the file again, or submit the series again without it",
        )),
    };
    let fault = series.fault.clone();
    let fault = fault.or_else(|| (series.state == GroupState::Stale).then(gone));
    fault.map(|fault| reason(&fault, is_input))
}

/// Why something does not go on, and what to do about it.
fn reason(fault: &Fault, is_input: bool) -> Value {
    let remediation = fault.remediation.as_deref();
    json!({
        "code": fault.code,
        "message": shortened(&fault.message),
        "remediation": remediation.map_or(how_to_go_on(is_input).into(), shortened),
        "category": if is_input { "input" } else { "system" },
    })
}

/// A file that cannot go on.
pub(super) fn file(file: &FileAtFault) -> Value {
    let is_input = file.state != FileState::Failed;
    json!({
        "url": file.path.short(),
        "state": file.state,
        "since": file.updated_at,
        "fault": file.fault.as_ref().map(|fault| reason(fault, is_input)),
    })
}

fn finding(found: &Findings) -> Value {
    let example = &found.example;
    json!({
        "code": example.code,
        "grade": example.grade,
        "variable": example.variable,
        "message": shortened(&example.message),
        "files": found.files,
    })
}

fn progress(series: &Series) -> Value {
    let of = |states: &[FileState]| -> u64 {
        let members = series.members.iter();
        let members = members.filter(|members| states.contains(&members.state));
        members.map(|members| members.count).sum()
    };
    let there = series
        .members
        .iter()
        .filter(|members| members.state != FileState::Gone);
    let bytes: u64 = there.map(|members| members.bytes).sum();
    let gone = of(&[FileState::Gone]);
    let all: u64 = series.members.iter().map(|members| members.count).sum();
    json!({
        "expected": series.expects.count,
        "arrived": all.saturating_sub(gone),
        "referenced": of(&[FileState::Referenced]),
        "waiting": of(&[FileState::Landed, FileState::Reading]),
        "rejected": of(&[FileState::Rejected]),
        "failed": of(&[FileState::Failed]),
        "gone": gone,
        "bytes": bytes,
    })
}

fn summary(release: &ReleaseAtAGlance, state: GroupState) -> Value {
    let is_pending = release.is_published && release.approval_state == "pending_review";
    json!({
        "release_id": release.release_id,
        "version_id": release.version_id,
        "version_ordinal": release.version_ordinal,
        "revision": release.revision,
        "approval_state": release.approval_state,
        "clearance_state": release.clearance_state,
        "can_review": is_pending && state != GroupState::Combining,
    })
}

/// What is published of a Release: where it is read, and how it looks.
fn dataset(app: &App, release: &ReleaseAtAGlance) -> Option<Value> {
    let is_live = matches!(
        release.approval_state.as_str(),
        "pending_review" | "approved"
    );
    let (release_id, revision) = (&release.release_id, release.revision);
    let config = &app.config.http;
    let is_public = release.approval_state == "approved" && release.clearance_state == "public";
    (release.is_published && is_live).then(|| {
        json!({
            "zarr_url": zarr_url(&config.public_url, release_id, revision),
            "is_open": config.open_access || is_public,
            "variables": variables(release),
            "quicklook": quicklook(release),
        })
    })
}

/// Names of the data variables.
fn variables(release: &ReleaseAtAGlance) -> Vec<&String> {
    let properties = release.properties.as_ref();
    let variables = properties.and_then(|properties| properties.get("cube:variables")?.as_object());
    let variables = variables.into_iter().flatten();
    let is_data = |variable: &Value| variable.get("type").is_some_and(|kind| kind == "data");
    variables
        .filter(|(_, variable)| is_data(variable))
        .map(|(name, _)| name)
        .take(50)
        .collect()
}

/// The picture, and what its colours mean.
fn quicklook(release: &ReleaseAtAGlance) -> Option<Value> {
    let properties = release.properties.as_ref()?;
    let found = properties.get(Quicklook::PROPERTY)?;
    let name = found.get("variable")?.as_str()?;
    let variable = properties
        .get("cube:variables")
        .and_then(|all| all.get(name));
    let text = |field: &str| variable.and_then(|variable| variable.get(field));
    Some(json!({
        "picture": format!("picture/{}/r{}", release.release_id, release.revision),
        "variable": name,
        "description": text("description"),
        "unit": text("unit"),
        "range": found.get("range"),
        "at": properties.get("landfall:time_range").and_then(|range| range.get(0)),
    }))
}

fn shortened(text: &str) -> Value {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::stores::blobs::BlobPath;
    use crate::stores::ledger::GroupId;
    use crate::stores::ledger::overview::{Expects, Members, Section};

    /// A series of which nothing is known yet.
    pub(in crate::http::status) fn series() -> Series {
        Series {
            id: GroupId(String::from("g")),
            section: Section::Collecting,
            dataset_id: String::from("tas"),
            resource_id: String::from("all"),
            title: None,
            prefix: BlobPath::new("local", "bronze", "tas/"),
            expects: Expects::default(),
            state: GroupState::Collecting,
            generation: 1,
            quiet_until: None,
            fault: None,
            updated_at: Timestamp::UNIX_EPOCH,
            combining_since: None,
            release: None,
            members: Vec::new(),
            at_fault: Vec::new(),
            findings: Vec::new(),
            parts: Vec::new(),
            changed: Vec::new(),
        }
    }

    #[test]
    fn arrived_is_what_is_there_in_whatever_state() {
        let states = [
            (FileState::Landed, 1),
            (FileState::Reading, 2),
            (FileState::Referenced, 4),
            (FileState::Rejected, 8),
            (FileState::Failed, 16),
            (FileState::Gone, 32),
        ];
        let series = Series {
            members: states
                .map(|(state, count)| Members {
                    state,
                    count,
                    bytes: count,
                })
                .to_vec(),
            ..series()
        };
        let progress = progress(&series);
        let counts: BTreeMap<&str, u64> = progress
            .as_object()
            .unwrap()
            .iter()
            .filter_map(|(name, count)| Some((name.as_str(), count.as_u64()?)))
            .collect();
        let expected = [
            ("arrived", 31),
            ("bytes", 31),
            ("failed", 16),
            ("gone", 32),
            ("referenced", 4),
            ("rejected", 8),
            ("waiting", 3),
        ];
        assert_eq!(counts, expected.into());
    }

    #[test]
    fn a_series_that_lost_a_source_says_what_to_do() {
        let state = GroupState::Stale;
        let told = fault(&Series { state, ..series() }).unwrap();
        assert_eq!(
            (&told["code"], &told["category"]),
            (&json!("source_gone"), &json!("input"))
        );
        assert_eq!(fault(&series()), None);
    }

    #[test]
    fn a_fault_that_says_nothing_of_what_to_do_gets_a_word_on_it() {
        let fault = Fault {
            code: String::from("timeout"),
            message: "é".repeat(MOST_CHARACTERS + 1),
            remediation: None,
        };
        let told = reason(&fault, false);
        assert_eq!(told["remediation"], how_to_go_on(false));
        let message = told["message"].as_str().unwrap();
        assert_eq!(message.chars().count(), MOST_CHARACTERS + 1);
        assert!(message.ends_with("é…"), "cut between characters");
    }

    #[test]
    fn the_colours_of_a_picture_are_those_of_its_variable() {
        let properties = json!({
            "landfall:quicklook": {"variable": "tas", "range": [250.5, 300.0]},
            "landfall:time_range": ["2000-01-16T12:00:00Z", "2001-12-16T12:00:00Z"],
            "cube:variables": {
                "tas": {"type": "data", "unit": "K", "description": "Near-Surface Air Temperature"},
                "lat": {"type": "auxiliary"},
            },
        });
        let release = ReleaseAtAGlance {
            release_id: String::from("r"),
            version_id: None,
            version_ordinal: 1,
            revision: 2,
            is_published: true,
            approval_state: String::from("pending_review"),
            clearance_state: String::from("uncleared"),
            properties: Some(properties),
        };
        let expected = json!({
            "picture": "picture/r/r2", "variable": "tas", "unit": "K", "range": [250.5, 300.0],
            "description": "Near-Surface Air Temperature", "at": "2000-01-16T12:00:00Z",
        });
        assert_eq!(quicklook(&release), Some(expected));
        assert_eq!(variables(&release), ["tas"]);
        assert_eq!(summary(&release, GroupState::Combined)["can_review"], true);
        assert_eq!(
            summary(&release, GroupState::Combining)["can_review"],
            false
        );
    }
}
