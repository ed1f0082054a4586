//! What every ledger promises, as tests over `&dyn Ledger`; a store runs them all with [`run_contract!`].

pub(super) mod catalog;
pub(super) mod combine;
pub(super) mod declare;
pub(super) mod files;
pub(super) mod groups;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    Claim, Claimed, Declaration, Declared, Expected, Fault, FileOutcome, FileState, GroupId,
    GroupState, Judge, Landing, Lease, Ledger, Origin, ProcessingOptions, PublishedCombine,
    Recorded, Settled, Snapshot, SourceFile, Verdict,
};
use crate::stores::blobs::BlobPath;

/// A ledger under test, with what its traits do not show.
#[async_trait]
pub(super) trait Subject: Send + Sync {
    /// The ledger, empty at first.
    fn ledger(&self) -> &dyn Ledger;

    /// Puts a Release into an approval state.
    async fn set_approval(&self, release_id: &str, state: &str);

    /// Kinds of the audit rows of a Release, oldest first.
    async fn audit(&self, release_id: &str) -> Vec<String>;

    /// State of a job.
    async fn job_status(&self, job_id: &str) -> String;
}

/// Runs every rule of the contract against fresh subjects.
macro_rules! run_contract {
    ($subject:expr; $($module:ident: [$($rule:ident),* $(,)?]),* $(,)?) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let subject = $subject;
                crate::stores::ledger::contract::$module::$rule(&subject).await;
            })*
        })*
    };
}
pub(super) use run_contract;

const START: Timestamp = Timestamp::constant(1_700_000_000, 0);

/// A time some seconds into the test.
fn at(seconds: i64) -> Timestamp {
    START + SignedDuration::from_secs(seconds)
}

fn path(blob: &str) -> BlobPath {
    BlobPath::new("local", "bronze", blob)
}

fn landing(blob: &str, etag: &str, sequencer: Option<&str>) -> Landing {
    let sequencer = sequencer.map(str::to_owned);
    Landing {
        path: path(blob),
        etag: etag.to_owned(),
        size: 100,
        sequencer,
        at: START,
    }
}

fn fault(code: &str) -> Fault {
    Fault {
        code: code.to_owned(),
        message: format!("{code} in a test"),
        remediation: None,
    }
}

fn referenced(name: &str) -> FileOutcome {
    FileOutcome::Referenced {
        reference_path: format!("refs/{name}.json"),
        findings: Vec::new(),
        span: None,
    }
}

async fn land(ledger: &dyn Ledger, blob: &str, etag: &str) -> SourceFile {
    match ledger
        .record_landed(&landing(blob, etag, None))
        .await
        .unwrap()
    {
        Recorded::New(file) | Recorded::Known(file) | Recorded::Older(file) => file,
    }
}

async fn land_and_reference(ledger: &dyn Ledger, blob: &str, etag: &str) -> SourceFile {
    let file = land(ledger, blob, etag).await;
    assert!(
        ledger
            .record_outcome(file.id, etag, &referenced(blob))
            .await
            .unwrap()
    );
    file
}

fn declaration(origin: Origin, blob: &str, count: u64) -> Declaration {
    let expected = Some(Expected::Count(count));
    Declaration {
        origin,
        platform_id: String::from("ddh"),
        dataset_id: String::from("era5-temperature"),
        resource_id: String::from("global-daily-2020"),
        version_id: None,
        title: None,
        description: None,
        prefix: path(blob),
        stem: if origin == Origin::Auto {
            String::from("tas_day")
        } else {
            String::new()
        },
        options: ProcessingOptions {
            expected,
            ..ProcessingOptions::default()
        },
        at: START,
    }
}

async fn declare(ledger: &dyn Ledger, count: u64) -> Declared {
    ledger
        .declare_group(&declaration(Origin::Submit, "era5/", count))
        .await
        .unwrap()
}

/// A judge for counts: blocked by a rejected member, due with all, quiet until 600 s with all but one.
fn by_count(snapshot: &Snapshot<'_>) -> Verdict {
    if let Some(rejected) = snapshot
        .members
        .iter()
        .find(|file| file.state == FileState::Rejected)
    {
        return Verdict::Blocked(fault(rejected.path.file_name()));
    }
    let count = snapshot
        .members
        .iter()
        .filter(|file| file.state == FileState::Referenced)
        .count() as u64;
    match snapshot.group.declaration.options.expected {
        Some(Expected::Count(expected)) if count >= expected => Verdict::Due,
        Some(Expected::QuietPeriod(_)) if snapshot.now >= at(600) => Verdict::Due,
        Some(Expected::QuietPeriod(_)) => Verdict::QuietUntil(at(600)),
        _ => Verdict::Collecting,
    }
}

const JUDGE: Judge = by_count;

async fn settle(ledger: &dyn Ledger, group: &GroupId) -> Settled {
    ledger.settle(group, JUDGE, at(10)).await.unwrap()
}

async fn state(ledger: &dyn Ledger, group: &GroupId) -> GroupState {
    ledger.group(group).await.unwrap().unwrap().state
}

/// Lands, references and adds files, then settles.
async fn fill(ledger: &dyn Ledger, group: &GroupId, blobs: &[&str]) -> Settled {
    for blob in blobs {
        let file = land_and_reference(ledger, blob, "v1").await;
        ledger.add_member(group, file.id, true).await.unwrap();
    }
    settle(ledger, group).await
}

/// A declared group of two files that is due.
async fn due_group(ledger: &dyn Ledger) -> Settled {
    let group = declare(ledger, 2).await.group.id;
    let settled = fill(ledger, &group, &["era5/b.nc", "era5/a.nc"]).await;
    assert!(settled.is_due);
    settled
}

/// A claim from `seconds` on, for a minute.
fn lease(runner: &str, seconds: i64) -> Lease {
    Lease {
        runner: runner.to_owned(),
        now: at(seconds),
        until: at(seconds + 60),
    }
}

async fn claim(ledger: &dyn Ledger, settled: &Settled, runner: &str) -> Claim {
    let claimed = ledger
        .claim(
            &settled.group.id,
            settled.group.generation,
            &lease(runner, 20),
        )
        .await
        .unwrap();
    match claimed {
        Claimed::Ours(claim) => *claim,
        other => panic!("the claim is not ours: {other:?}"),
    }
}

fn result(revision: i64) -> PublishedCombine {
    PublishedCombine {
        blob_path: format!("refs/combined/r{revision}/combined.json"),
        stac_item: json!({"id": "era5", "revision": revision}),
        stac_item_id: String::from("era5"),
        stac_collection_id: String::from("era5-temperature"),
        result: json!({"source_files": 2, "revision": revision}),
        findings: Vec::new(),
        at: at(30),
    }
}

/// A group of two files that is combined and published once.
async fn combined_group(ledger: &dyn Ledger) -> Claim {
    let settled = due_group(ledger).await;
    let claim = claim(ledger, &settled, "one").await;
    assert!(
        ledger
            .publish(&claim, &result(claim.revision))
            .await
            .unwrap()
    );
    claim
}
