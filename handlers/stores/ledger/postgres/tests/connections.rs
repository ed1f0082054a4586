//! Connections that are lost, proven, or made with tokens.

use std::sync::Mutex;
use std::time::Duration;

use jiff::SignedDuration;
use rstest::rstest;

use super::*;
use crate::stores::ledger::{
    Expected, Extras, GroupState, Origin, ProcessingOptions, ProcessingStatus, Verdict,
};

pub(super) const START: Timestamp = Timestamp::constant(1_700_000_000, 0);

pub(super) fn declaration(resource: &str) -> Declaration {
    Declaration {
        origin: Origin::Submit,
        platform_id: String::from("ddh"),
        dataset_id: String::from("era5"),
        resource_id: resource.to_owned(),
        version_id: None,
        title: None,
        description: None,
        prefix: BlobPath::new("local", "bronze", "era5/"),
        stem: String::new(),
        extras: Extras::default(),
        options: ProcessingOptions {
            expected: Some(Expected::Count(1)),
            ..ProcessingOptions::default()
        },
        at: START,
    }
}

pub(super) fn landing(blob: &str, etag: &str) -> Landing {
    Landing {
        path: BlobPath::new("local", "bronze", blob),
        etag: etag.to_owned(),
        size: 1,
        sequencer: None,
        at: START,
    }
}

pub(super) fn outcome() -> FileOutcome {
    FileOutcome::Referenced {
        reference_path: String::from("refs/a.json"),
        findings: Vec::new(),
        span: None,
    }
}

/// A claim on a group of one file.
async fn claim(ledger: &PostgresLedger, resource: &str) -> Claim {
    let group = ledger.declare_group(&declaration(resource)).await.unwrap();
    let group = group.group.id;
    let event = landing(&format!("era5/{resource}.nc"), "v1");
    let Recorded::New(file) = ledger.record_landed(&event).await.unwrap() else {
        panic!("a new file")
    };
    ledger.add_member(&group, file.id, true).await.unwrap();
    ledger
        .record_outcome(file.id, "v1", &outcome())
        .await
        .unwrap();
    let settled = ledger.settle(&group, DUE, START).await.unwrap();
    let lease = Lease {
        runner: String::from("one"),
        now: START,
        until: START + SignedDuration::from_secs(60),
    };
    let generation = settled.group.generation;
    match ledger.claim(&group, generation, &lease).await.unwrap() {
        Claimed::Ours(claim) => *claim,
        other => panic!("the claim is not ours: {other:?}"),
    }
}

pub(super) fn result() -> PublishedCombine {
    PublishedCombine {
        blob_path: String::from("refs/combined/r1/combined.json"),
        stac_item: serde_json::json!({"id": "era5"}),
        stac_item_id: String::from("era5"),
        stac_collection_id: String::from("era5"),
        result: serde_json::json!({"source_files": 1}),
        findings: Vec::new(),
        at: START,
    }
}

const OURS: &str = "application_name = 'landfall' AND datname = current_database()";

/// A judge of whom everything is due.
pub(super) const DUE: Judge = Judge {
    by_counts: |_, _, _| Some(Verdict::Due),
    by_members: |_| Verdict::Due,
};

/// Cut off between its first change and its commit, because a row that it needs is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_that_is_cut_off_leaves_nothing_and_can_be_repeated() {
    let subject = InDatabase::new();
    let claim = claim(&subject.ledger, "cut").await;
    let holder = ledger_in(&subject.name);
    let mut client = holder.database.client().await.unwrap();
    let held = client.transaction().await.unwrap();
    let job = "SELECT 1 FROM app.jobs WHERE job_id = $1 FOR UPDATE";
    held.query(job, &[&claim.release.job_id]).await.unwrap();
    let (ledger, published) = (subject.ledger.clone(), claim.clone());
    let publication = tokio::spawn(async move { ledger.publish(&published, &result()).await });
    let kill = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {OURS} AND wait_event_type = 'Lock'"
    );
    while subject.sql(&kill) == "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lost = publication.await.unwrap();
    assert!(matches!(lost, Err(LedgerError::Unavailable(_))), "{lost:?}");
    held.rollback().await.unwrap();
    let release_id = &claim.release.release_id;
    let release = subject.ledger.release(release_id).await.unwrap().unwrap();
    assert_eq!(release.processing_status, ProcessingStatus::Processing);
    assert_eq!((release.blob_path, release.stac_item_json), (None, None));
    assert_eq!(subject.ledger.revision(release_id, 1).await.unwrap(), None);
    assert!(subject.ledger.publish(&claim, &result()).await.unwrap());
    assert!(!subject.ledger.publish(&claim, &result()).await.unwrap());
}

/// Connections are ended at random moments: whatever a call answers, what is stored is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_whose_connections_are_ended_say_unavailable_and_leave_nothing_half() {
    let subject = InDatabase::new();
    let claims = [
        claim(&subject.ledger, "a").await,
        claim(&subject.ledger, "b").await,
    ];
    let mut lost = 0;
    for round in 0..40 {
        let calls = claims.iter().enumerate().map(|(number, claim)| {
            let (ledger, claim) = (subject.ledger.clone(), claim.clone());
            let event = landing(["era5/a.nc", "era5/b.nc"][number], &format!("w{round}"));
            tokio::spawn(async move {
                let landed = ledger.record_landed(&event).await;
                let published = ledger.publish(&claim, &result()).await;
                [landed.map(drop), published.map(drop)]
            })
        });
        let calls: Vec<_> = calls.collect();
        tokio::time::sleep(Duration::from_micros(fastrand::u64(0..4000))).await;
        let name = subject.name.clone();
        let kill = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}");
        let killed = tokio::task::spawn_blocking(move || cluster().sql(&name, &kill));
        for call in calls {
            for answer in call.await.unwrap() {
                match answer {
                    Ok(()) => {}
                    Err(LedgerError::Unavailable(_)) => lost += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
        killed.await.unwrap();
    }
    println!("{lost} calls were cut off");
    // The pool notices what was ended last.
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Group, run, Release and job tell one story.
    let stories = "SELECT count(*) FROM landfall.source_group g
        JOIN app.asset_releases r ON r.release_id = g.release_id JOIN app.jobs j ON j.job_id = g.job_id
        LEFT JOIN landfall.combine_run c ON c.group_id = g.id AND c.state = 'running'
        WHERE c.id IS NULL AND g.state = 'collecting'
          AND ((r.processing_status = 'pending' AND j.status = 'queued')
               OR (r.processing_status = 'completed' AND j.status = 'completed'))";
    for claim in &claims {
        // The last landing may have been cut off as well.
        let blob = format!("era5/{}.nc", claim.release.resource_id);
        let event = landing(&blob, "last");
        subject.ledger.record_landed(&event).await.unwrap();
        let group = subject.ledger.group(&claim.group.id).await.unwrap();
        assert_eq!(group.unwrap().state, GroupState::Collecting);
    }
    assert_eq!(subject.sql(stories), "2");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_unavailable() {
    let nowhere = PostgresLedger::new("postgresql://u@127.0.0.1:9/none", 1, None).unwrap();
    let error = nowhere.check_schema().await.unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable(_)), "{error:?}");
}

#[rstest]
#[case::proven("localhost", true, true)]
#[case::another_name("elsewhere.example", true, false)]
#[case::unknown_root("localhost", false, false)]
#[tokio::test]
async fn tls_proves_certificate_and_name(
    #[case] host: &str,
    #[case] knows_root: bool,
    #[case] connects: bool,
) {
    let subject = InDatabase::new();
    let roots = if knows_root {
        format!("&sslrootcert={}", cluster().root_certificate().display())
    } else {
        String::new()
    };
    let (port, name) = (cluster().port(), &subject.name);
    let url = format!(
        "postgresql://landfall@{host}:{port}/{name}?hostaddr=127.0.0.1&sslmode=require{roots}"
    );
    let ledger = PostgresLedger::new(&url, 1, None).unwrap();
    let checked = ledger.check_schema().await;
    assert_eq!(checked.is_ok(), connects, "{checked:?}");
    if connects {
        let client = ledger.database.client().await.unwrap();
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        assert!(client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
    }
}

/// What an identity provider would issue.
#[derive(Debug)]
struct Issued(Mutex<Option<String>>);

#[async_trait]
impl TokenSource for Issued {
    async fn token(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        self.0.lock().unwrap().clone().ok_or("no identity".into())
    }
}

/// The token is the password of the login alone: open connections outlive it, new ones ask for another.
#[tokio::test]
async fn each_connection_logs_in_with_the_token_of_its_time() {
    let subject = InDatabase::new();
    let set = |password: &str| {
        subject.sql(&format!("ALTER ROLE token PASSWORD '{password}'"));
    };
    subject.sql("CREATE ROLE token LOGIN SUPERUSER");
    set("first");
    let issued = Arc::new(Issued(Mutex::new(Some(String::from("first")))));
    let url = cluster().url(&subject.name).replace("landfall@", "token@");
    let tokens: Arc<dyn TokenSource> = Arc::<Issued>::clone(&issued);
    let ledger = PostgresLedger::new(&url, 1, Some(tokens)).unwrap();
    ledger.check_schema().await.unwrap();
    set("second");
    ledger.check_schema().await.unwrap();
    subject.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'token'");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let refused = ledger.check_schema().await.unwrap_err();
    assert!(
        matches!(refused, LedgerError::Unavailable(_)),
        "{refused:?}"
    );
    *issued.0.lock().unwrap() = None;
    let refused = ledger.check_schema().await.unwrap_err();
    let chain = crate::pipeline::chain(&refused);
    assert!(chain.contains("no identity"), "{chain}");
    *issued.0.lock().unwrap() = Some(String::from("second"));
    ledger.check_schema().await.unwrap();
}
