//! Rules on source files.

use super::*;

pub(crate) async fn a_file_is_new_once_and_known_after(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = ledger
        .record_landed(&landing("era5/a.nc", "v1", Some("5")))
        .await
        .unwrap();
    assert!(
        matches!(&first, Recorded::New(file) if file.state == FileState::Landed && file.size == 100)
    );
    let again = ledger
        .record_landed(&landing("era5/a.nc", "v1", Some("5")))
        .await
        .unwrap();
    let Recorded::Known(known) = again else {
        panic!("a repetition is {again:?}")
    };
    assert_eq!(first, Recorded::New(known.clone()));
    assert_eq!(
        ledger.file(&path("era5/a.nc")).await.unwrap(),
        Some(known.clone())
    );
    assert_eq!(ledger.file_by_id(known.id).await.unwrap(), Some(known));
    assert_eq!(ledger.file(&path("era5/b.nc")).await.unwrap(), None);
}

pub(crate) async fn equal_names_in_other_containers_are_other_files(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let mut elsewhere = landing("a.nc", "v1", None);
    elsewhere.path.container = String::from("other");
    let (here, there) = (landing("a.nc", "v1", None), elsewhere);
    assert!(matches!(
        ledger.record_landed(&here).await.unwrap(),
        Recorded::New(_)
    ));
    assert!(matches!(
        ledger.record_landed(&there).await.unwrap(),
        Recorded::New(_)
    ));
}

pub(crate) async fn an_older_sequencer_changes_nothing(subject: &dyn Subject) {
    let ledger = subject.ledger();
    ledger
        .record_landed(&landing("a.nc", "v2", Some("10")))
        .await
        .unwrap();
    let late = ledger
        .record_landed(&landing("a.nc", "v1", Some("9")))
        .await
        .unwrap();
    assert!(matches!(late, Recorded::Older(file) if file.etag == "v2"));
    assert_eq!(
        ledger.file(&path("a.nc")).await.unwrap().unwrap().etag,
        "v2"
    );
}

pub(crate) async fn a_head_without_sequencer_keeps_the_guard_against_late_events(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    ledger
        .record_landed(&landing("a.nc", "v2", Some("10")))
        .await
        .unwrap();
    assert!(matches!(
        ledger
            .record_landed(&landing("a.nc", "v3", None))
            .await
            .unwrap(),
        Recorded::New(_)
    ));
    let late = ledger
        .record_landed(&landing("a.nc", "v1", Some("9")))
        .await
        .unwrap();
    assert!(matches!(late, Recorded::Older(file) if file.etag == "v3"));
}

pub(crate) async fn a_new_version_forgets_what_was_read_of_the_old_one(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let file = land_and_reference(ledger, "a.nc", "v1").await;
    let newer = Landing {
        size: 7,
        at: at(5),
        ..landing("a.nc", "v2", None)
    };
    let Recorded::New(newer) = ledger.record_landed(&newer).await.unwrap() else {
        panic!("not new")
    };
    assert_eq!(
        (newer.id, newer.state, newer.size, newer.landed_at),
        (file.id, FileState::Landed, 7, at(5))
    );
    assert_eq!(
        (newer.reference_path, newer.fault, newer.span),
        (None, None, None)
    );
}

pub(crate) async fn the_outcome_of_a_superseded_version_is_refused(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let file = land(ledger, "a.nc", "v1").await;
    land(ledger, "a.nc", "v2").await;
    assert!(
        !ledger
            .record_outcome(file.id, "v1", &referenced("a"))
            .await
            .unwrap()
    );
    assert_eq!(
        ledger.file_by_id(file.id).await.unwrap().unwrap().state,
        FileState::Landed
    );
    ledger.record_gone(&file.path, None).await.unwrap();
    assert!(
        !ledger
            .record_outcome(file.id, "v2", &referenced("a"))
            .await
            .unwrap()
    );
}

pub(crate) async fn outcomes_set_state_and_fault(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let file = land(ledger, "a.nc", "v1").await;
    let rejected = FileOutcome::Rejected {
        fault: fault("not_netcdf"),
        findings: Vec::new(),
    };
    let steps = [
        (
            FileOutcome::Unfinished(fault("short")),
            FileState::Landed,
            Some("short"),
        ),
        (
            FileOutcome::Failed(fault("throttled")),
            FileState::Failed,
            Some("throttled"),
        ),
        (referenced("a"), FileState::Referenced, None),
        (
            FileOutcome::Failed(fault("throttled")),
            FileState::Referenced,
            None,
        ),
        (rejected, FileState::Rejected, Some("not_netcdf")),
    ];
    for (outcome, state, code) in steps {
        assert!(
            ledger
                .record_outcome(file.id, "v1", &outcome)
                .await
                .unwrap()
        );
        let now = ledger.file_by_id(file.id).await.unwrap().unwrap();
        assert_eq!(
            (
                now.state,
                now.fault.as_ref().map(|fault| fault.code.as_str())
            ),
            (state, code)
        );
    }
}

pub(crate) async fn a_file_that_came_back_is_new_again(subject: &dyn Subject) {
    let ledger = subject.ledger();
    ledger
        .record_landed(&landing("a.nc", "v1", Some("5")))
        .await
        .unwrap();
    ledger.record_gone(&path("a.nc"), Some("7")).await.unwrap();
    assert!(matches!(
        ledger
            .record_landed(&landing("a.nc", "v1", Some("5")))
            .await
            .unwrap(),
        Recorded::Older(_)
    ));
    assert!(matches!(
        ledger
            .record_landed(&landing("a.nc", "v1", Some("8")))
            .await
            .unwrap(),
        Recorded::New(_)
    ));
    assert_eq!(
        ledger
            .file(&path("a.nc"))
            .await
            .unwrap()
            .unwrap()
            .sequencer
            .as_deref(),
        Some("8")
    );
}

pub(crate) async fn a_deletion_older_than_the_file_changes_nothing(subject: &dyn Subject) {
    let ledger = subject.ledger();
    assert!(
        ledger
            .record_gone(&path("never.nc"), None)
            .await
            .unwrap()
            .is_empty()
    );
    ledger
        .record_landed(&landing("a.nc", "v1", Some("10")))
        .await
        .unwrap();
    ledger.record_gone(&path("a.nc"), Some("9")).await.unwrap();
    assert_eq!(
        ledger.file(&path("a.nc")).await.unwrap().unwrap().state,
        FileState::Landed
    );
}

pub(crate) async fn files_below_a_folder_are_listed_by_name_without_gone_ones(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    for blob in [
        "cmip6/b.nc",
        "cmip6/x/a.nc",
        "cmip62/a.nc",
        "cmip6/a.nc",
        "cmip6/c.nc",
        "cmip6",
    ] {
        land(ledger, blob, "v1").await;
    }
    ledger.record_gone(&path("cmip6/c.nc"), None).await.unwrap();
    let below = |blob: &'static str| async move {
        let files = ledger.files_below(&path(blob)).await.unwrap();
        files
            .into_iter()
            .map(|file| file.path.blob)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        below("cmip6/").await,
        ["cmip6/a.nc", "cmip6/b.nc", "cmip6/x/a.nc"]
    );
    assert_eq!(
        below("cmip6").await,
        ["cmip6", "cmip6/a.nc", "cmip6/b.nc", "cmip6/x/a.nc"]
    );
    assert_eq!(below("cmip6/a.nc").await, ["cmip6/a.nc"]);
    assert_eq!(below("").await.len(), 5);
}

pub(crate) async fn files_that_nobody_finished_are_stuck(subject: &dyn Subject) {
    let ledger = subject.ledger();
    land(ledger, "landed.nc", "v1").await;
    let reading = land(ledger, "reading.nc", "v1").await;
    ledger.record_reading(reading.id, "v1").await.unwrap();
    ledger.record_reading(reading.id, "v0").await.unwrap();
    let done = land_and_reference(ledger, "done.nc", "v1").await;
    ledger.record_reading(done.id, "v1").await.unwrap();
    let names = |files: Vec<SourceFile>| {
        files
            .into_iter()
            .map(|file| file.path.blob)
            .collect::<Vec<_>>()
    };
    assert!(ledger.stuck_files(at(0)).await.unwrap().is_empty());
    assert_eq!(
        names(ledger.stuck_files(at(1)).await.unwrap()),
        ["landed.nc"]
    );
    let later = Timestamp::now() + SignedDuration::from_secs(1);
    assert_eq!(
        names(ledger.stuck_files(later).await.unwrap()),
        ["landed.nc", "reading.nc"]
    );
}

pub(crate) async fn concurrent_writers_of_one_blob_end_in_the_newest(subject: &dyn Subject) {
    let ledger = subject.ledger();
    // 37 is prime to 100: every sequencer once, in no order.
    let order = (0_u64..100).map(|step| step * 37 % 100);
    let landings: Vec<_> = order
        .map(|number| landing("a.nc", &format!("v{number}"), Some(&format!("{number:x}"))))
        .collect();
    let done = futures_util::future::join_all(
        landings.iter().map(|landing| ledger.record_landed(landing)),
    )
    .await;
    assert!(done.into_iter().all(|recorded| recorded.is_ok()));
    assert_eq!(
        ledger.file(&path("a.nc")).await.unwrap().unwrap().etag,
        "v99"
    );
}

pub(crate) async fn a_file_is_sent_back_to_be_read_once_more(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let file = land(ledger, "era5/a.nc", "v1").await;
    assert!(
        !ledger.record_unread(file.id, "v1").await.unwrap(),
        "it was not read yet"
    );
    land_and_reference(ledger, "era5/a.nc", "v1").await;
    assert!(!ledger.record_unread(file.id, "v0").await.unwrap());
    assert!(ledger.record_unread(file.id, "v1").await.unwrap());
    let now = ledger.file_by_id(file.id).await.unwrap().unwrap();
    assert_eq!(now.state, FileState::Landed);
}
