//! What Sweep finds, what poison records, and what becomes of series when their members go.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::flow::Flow;
use crate::stores::ledger::{Claimed, CombineEnd, Fault, Lease};

const YEARS: [(&str, u32); 3] = [
    ("cmip6/2000.nc", 2000),
    ("cmip6/2001.nc", 2001),
    ("cmip6/2002.nc", 2002),
];

#[tokio::test]
async fn blobs_that_nobody_announced_are_found_and_those_that_went() {
    let flow = Flow::with(|config| config.pipeline.reconcile_every = Duration::ZERO);
    let files = YEARS.map(|(name, year)| flow.land(name, year));
    flow.submit(&json!({"count": 3})).await;
    // The messages of the submission are lost, and so are all events.
    let lost = flow.drain_away().await;
    assert_eq!(lost, 3);
    flow.sweep().await;
    flow.drain().await;
    assert_eq!(
        flow.status().await["release"]["processing_status"],
        "completed"
    );
    std::fs::remove_file(&files[1]).unwrap();
    flow.land(YEARS[2].0, 2000);
    flow.sweep().await;
    flow.drain().await;
    assert_eq!(flow.state(YEARS[1].0).await, "gone");
    let etag = flow.file(YEARS[2].0).await.unwrap().etag;
    let now = crate::stores::blobs::LocalBlobs::etag(&std::fs::metadata(&files[2]).unwrap());
    assert_eq!(etag, now);
}

#[tokio::test]
async fn a_container_is_listed_once_in_its_period() {
    let flow = Flow::new();
    flow.sweep().await;
    flow.land(YEARS[0].0, 2000);
    flow.sweep().await;
    assert_eq!(flow.drain().await, 0);
}

#[tokio::test]
async fn dead_letters_are_driven_again_once() {
    let flow = Flow::with(|config| config.pipeline.reconcile_every = Duration::MAX);
    flow.sweep().await;
    flow.land(YEARS[0].0, 2000);
    let mut letter = Flow::event("BlobCreated", YEARS[0].0, &json!({}));
    letter["deadLetterReason"] = json!("MaxDeliveryAttemptsExceeded");
    let folder = flow.path("letters/topic/sub/2026/11/20/10");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a.json"), json!([letter]).to_string()).unwrap();
    std::fs::write(folder.join("b.json"), "nonsense").unwrap();
    flow.sweep().await;
    assert_eq!(flow.drain().await, 1);
    assert_eq!(flow.state(YEARS[0].0).await, "referenced");
    assert!(
        flow.path("letters/redriven/topic/sub/2026/11/20/10/a.json")
            .exists()
    );
    assert!(
        flow.path("letters/refused/topic/sub/2026/11/20/10/b.json")
            .exists()
    );
    assert!(!folder.join("a.json").exists());
    flow.sweep().await;
    assert_eq!(flow.drain().await, 0);
}

#[tokio::test]
async fn a_file_that_failed_too_often_says_so() {
    let flow = Flow::new();
    flow.submit(&json!({"count": 1})).await;
    flow.land(YEARS[0].0, 2000);
    flow.announce(YEARS[0].0).await;
    flow.drain().await;
    flow.land_bytes("cmip6/late.nc", b"");
    let path = crate::stores::blobs::BlobPath::new("local", "bronze", "cmip6/late.nc");
    let landing = crate::stores::ledger::Landing {
        path,
        etag: String::from("e"),
        size: 0,
        sequencer: None,
        at: Timestamp::now(),
    };
    flow.app.ledger.record_landed(&landing).await.unwrap();
    let message = json!({"Data": {"msg": {"blob_url": "abfs://bronze/cmip6/late.nc"}}});
    assert_eq!(flow.post("/ReferencePoison", &message).await.status(), 200);
    assert_eq!(flow.state("cmip6/late.nc").await, "failed");
    let status = flow.status().await;
    assert_eq!(status["progress"]["files"]["failed"], 1, "{status}");
}

/// What is published stays completed when the next revision is refused; the refusal shows on the job.
#[tokio::test]
async fn a_refused_overlap_leaves_what_is_published_as_it_is() {
    let flow = Flow::new();
    flow.submit(&json!({"quiet_period": "PT0S"})).await;
    for (name, year) in &YEARS[..2] {
        flow.land(name, *year);
        flow.announce(name).await;
    }
    flow.drain().await;
    let before = flow.status().await;
    assert_eq!(
        before["release"]["processing_status"], "completed",
        "{before}"
    );
    // The year 2001 once more, under another name.
    flow.land("cmip6/again.nc", 2001);
    flow.announce("cmip6/again.nc").await;
    flow.drain().await;
    let status = flow.status().await;
    assert_eq!(status["progress"]["state"], "blocked", "{status}");
    assert_eq!(status["job_status"], "failed");
    assert_eq!(status["release"]["processing_status"], "completed");
    assert_eq!(status["outputs"], before["outputs"]);
    assert!(!status["error"]["message"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn a_quiet_series_whose_member_went_is_combined_without_it() {
    let flow = Flow::new();
    flow.submit(&json!({"quiet_period": "PT0S"})).await;
    let files = YEARS.map(|(name, year)| flow.land(name, year));
    for (name, _) in YEARS {
        flow.announce(name).await;
    }
    flow.drain().await;
    let before = flow.status().await["release"]["revision"].as_i64().unwrap();
    std::fs::remove_file(&files[2]).unwrap();
    let gone = Flow::event(
        "BlobDeleted",
        YEARS[2].0,
        &json!({"api": "DeleteBlob", "sequencer": "FF"}),
    );
    assert_eq!(flow.deliver(&gone).await.status(), 200);
    flow.drain().await;
    let status = flow.status().await;
    assert_eq!(status["release"]["revision"], before + 1, "{status}");
    assert_eq!(status["outputs"]["result"]["source_files"], 2);
    assert_eq!(status["progress"]["state"], "combined");
}

/// A series that keeps failing is not combined again by every tick of Sweep.
#[tokio::test]
async fn a_failed_series_is_tried_again_ever_more_rarely() {
    let flow = Flow::with(|config| config.pipeline.stuck_after = Duration::from_secs(300));
    flow.submit(&json!({"count": 1})).await;
    flow.land(YEARS[0].0, 2000);
    flow.announce(YEARS[0].0).await;
    flow.drain_away().await;
    let ledger = &flow.app.ledger;
    let group = ledger
        .overdue_groups(Timestamp::now())
        .await
        .unwrap()
        .remove(0);
    let lease = Lease {
        runner: String::from("test"),
        now: Timestamp::now(),
        until: Timestamp::MAX,
    };
    let Claimed::Ours(claim) = ledger
        .claim(&group.id, group.generation, &lease)
        .await
        .unwrap()
    else {
        panic!("the group is due")
    };
    let fault = Fault {
        code: String::from("failed"),
        message: String::from("the disk is full"),
        remediation: None,
    };
    let long_ago = Timestamp::now() - Duration::from_secs(400);
    let end = CombineEnd::Failed(fault, long_ago);
    assert!(ledger.abandon(&claim, &end).await.unwrap());
    flow.sweep().await;
    assert_eq!(flow.drain_away().await, 1, "it has waited long enough");
    let claimed = ledger
        .claim(&group.id, group.generation, &lease)
        .await
        .unwrap();
    let Claimed::Ours(claim) = claimed else {
        panic!("the group is due")
    };
    assert!(ledger.abandon(&claim, &end).await.unwrap());
    flow.sweep().await;
    assert_eq!(flow.drain_away().await, 0, "the next time waits longer");
}
