//! Rules on several handlers at work on one database at the same time, in tasks that really run in parallel.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::super::CombineEnd;
use super::*;

/// The ledgers of two handlers.
fn two(subject: &dyn Subject) -> [Arc<dyn Ledger>; 2] {
    [subject.another(), subject.another()]
}

async fn declare_named(ledger: &dyn Ledger, resource: &str, count: u64) -> GroupId {
    let named = Declaration {
        resource_id: resource.to_owned(),
        ..declaration(Origin::Submit, "era5/", count)
    };
    ledger.declare_group(&named).await.unwrap().group.id
}

/// What a handler does for one file: land, join, read, settle, and combine what is due.
async fn take_in(ledger: &dyn Ledger, group: &GroupId, blob: &str, runner: &str) -> bool {
    let file = land(ledger, blob, "v1").await;
    ledger.add_member(group, file.id, true).await.unwrap();
    let outcome = referenced(blob);
    assert!(
        ledger
            .record_outcome(file.id, "v1", &outcome)
            .await
            .unwrap()
    );
    let settled = settle(ledger, group).await;
    if !settled.is_due {
        return false;
    }
    let claimed = ledger
        .claim(group, settled.group.generation, &lease(runner, 20))
        .await
        .unwrap();
    let Claimed::Ours(claim) = claimed else {
        return false;
    };
    let result = result(claim.revision);
    assert!(ledger.publish(&claim, &result).await.unwrap());
    true
}

pub(crate) async fn two_handlers_that_read_the_last_files_combine_once(subject: &dyn Subject) {
    let handlers = two(subject);
    for round in 0..20 {
        let group = declare_named(subject.ledger(), &format!("round-{round}"), 2).await;
        let start = Arc::new(Barrier::new(2));
        let mut tasks = JoinSet::new();
        for (number, handler) in handlers.iter().enumerate() {
            let (handler, group, start) = (Arc::clone(handler), group.clone(), Arc::clone(&start));
            let blob = format!("era5/{round}-{number}.nc");
            tasks.spawn(async move {
                start.wait().await;
                take_in(handler.as_ref(), &group, &blob, &number.to_string()).await
            });
        }
        let combines = tasks.join_all().await.into_iter().filter(|done| *done);
        assert_eq!(combines.count(), 1, "round {round}");
        assert_eq!(state(subject.ledger(), &group).await, GroupState::Combined);
    }
}

pub(crate) async fn of_a_hundred_parallel_events_the_newest_wins(subject: &dyn Subject) {
    let handlers = two(subject);
    let start = Arc::new(Barrier::new(100));
    let mut tasks = JoinSet::new();
    for number in 0..100_usize {
        let (handler, start) = (Arc::clone(&handlers[number % 2]), Arc::clone(&start));
        tasks.spawn(async move {
            let event = landing("a.nc", &format!("v{number}"), Some(&format!("{number:x}")));
            start.wait().await;
            handler.record_landed(&event).await.unwrap();
        });
    }
    tasks.join_all().await;
    let file = subject.ledger().file(&path("a.nc")).await.unwrap().unwrap();
    assert_eq!(
        (file.etag.as_str(), file.sequencer.as_deref()),
        ("v99", Some("63"))
    );
}

pub(crate) async fn fifty_groups_fed_out_of_order_are_each_combined_once(subject: &dyn Subject) {
    const FILES: u64 = 3;
    let handlers = two(subject);
    let mut work = Vec::new();
    for number in 0..50 {
        let group = declare_named(subject.ledger(), &format!("series-{number}"), FILES).await;
        work.extend((0..FILES).map(|file| (group.clone(), format!("era5/{number}-{file}.nc"))));
    }
    let groups: Vec<GroupId> = work
        .iter()
        .step_by(3)
        .map(|(group, _)| group.clone())
        .collect();
    fastrand::Rng::with_seed(5).shuffle(&mut work);
    let mut tasks = JoinSet::new();
    for (worker, share) in work.chunks(work.len().div_ceil(8)).enumerate() {
        let (handler, share) = (Arc::clone(&handlers[worker % 2]), share.to_vec());
        tasks.spawn(async move {
            let mut combined = Vec::new();
            for (group, blob) in share {
                if take_in(handler.as_ref(), &group, &blob, &worker.to_string()).await {
                    combined.push(group);
                }
            }
            combined
        });
    }
    let mut combined: Vec<GroupId> = tasks.join_all().await.into_iter().flatten().collect();
    combined.sort();
    let mut expected = groups;
    expected.sort();
    assert_eq!(combined, expected, "each group once");
    for group in &expected {
        assert_eq!(subject.ledger().members(group).await.unwrap().len(), 3);
        assert_eq!(state(subject.ledger(), group).await, GroupState::Combined);
    }
}

pub(crate) async fn recorders_on_shared_groups_do_not_lock_each_other_up(subject: &dyn Subject) {
    const RECORDERS: usize = 32;
    let handlers = two(subject);
    let mut groups = Vec::new();
    for number in 0..6 {
        let resource = format!("shared-{number}");
        groups.push(declare_named(subject.ledger(), &resource, RECORDERS as u64).await);
    }
    let mut tasks = JoinSet::new();
    for recorder in 0..RECORDERS {
        let (handler, groups) = (Arc::clone(&handlers[recorder % 2]), groups.clone());
        tasks.spawn(async move {
            let ledger = handler.as_ref();
            let blob = format!("era5/{recorder}.nc");
            for version in ["v1", "v2", "v3"] {
                let file = land(ledger, &blob, version).await;
                for step in 0..groups.len() {
                    // Everybody begins elsewhere.
                    let group = &groups[(recorder + step) % groups.len()];
                    ledger.add_member(group, file.id, true).await.unwrap();
                }
                let outcome = referenced(&blob);
                assert!(
                    ledger
                        .record_outcome(file.id, version, &outcome)
                        .await
                        .unwrap()
                );
                settle(ledger, &groups[recorder % groups.len()]).await;
            }
        });
    }
    tasks.join_all().await;
    for group in &groups {
        assert!(settle(subject.ledger(), group).await.is_due);
        let members = subject.ledger().members(group).await.unwrap();
        assert_eq!(members.len(), RECORDERS);
        assert!(members.iter().all(|file| file.etag == "v3"));
    }
}

pub(crate) async fn parallel_declarations_of_one_asset_make_one_release(subject: &dyn Subject) {
    let handlers = two(subject);
    let start = Arc::new(Barrier::new(50));
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let (handler, start) = (Arc::clone(&handlers[number % 2]), Arc::clone(&start));
        tasks.spawn(async move {
            start.wait().await;
            declare(handler.as_ref(), 2).await
        });
    }
    let declared = tasks.join_all().await;
    assert_eq!(
        declared.iter().filter(|declared| declared.is_new).count(),
        1
    );
    assert_eq!(subject.ledger().releases(10).await.unwrap().len(), 1);
    let Declared { group, .. } = &declared[0];
    assert!(
        declared
            .iter()
            .all(|other| other.group.job_id == group.job_id)
    );
    assert_eq!(subject.audit(&group.release_id).await, ["created"]);
    let job = subject.ledger().job(&group.job_id).await.unwrap().unwrap();
    assert_eq!((job.status.as_str(), job.attempt), ("queued", 1));
    assert_eq!(
        subject.ledger().tasks(&group.job_id).await.unwrap().len(),
        3
    );
}

/// A landing, a claim's end and a take-over meet: whoever comes first, one of them publishes or nobody does.
pub(crate) async fn a_run_whose_generation_moves_on_meanwhile_is_published_or_thrown_away_whole(
    subject: &dyn Subject,
) {
    let handlers = two(subject);
    for round in 0..10 {
        let group = declare_named(subject.ledger(), &format!("moving-{round}"), 1).await;
        let blob = format!("era5/moving-{round}.nc");
        let settled = fill(subject.ledger(), &group, &[&blob]).await;
        let claim = claim(subject.ledger(), &settled, "one").await;
        let (lander, runner) = (Arc::clone(&handlers[0]), Arc::clone(&handlers[1]));
        let landed = tokio::spawn(async move { land(lander.as_ref(), &blob, "v2").await });
        let release_id = claim.release.release_id.clone();
        let published = tokio::spawn(async move {
            let published = runner.publish(&claim, &result(1)).await.unwrap();
            let end = CombineEnd::Failed(fault("late"), at(31));
            assert!(!runner.abandon(&claim, &end).await.unwrap());
            published
        });
        landed.await.unwrap();
        let published = published.await.unwrap();
        let now = subject.ledger().group(&group).await.unwrap().unwrap();
        assert_eq!(
            now.state,
            GroupState::Collecting,
            "the landing is the last word"
        );
        let revision = subject.ledger().revision(&release_id, 1).await.unwrap();
        assert_eq!(revision.is_some(), published);
        let audit = subject.audit(&release_id).await;
        let completed = audit.iter().filter(|kind| *kind == "processing_completed");
        assert_eq!(completed.count(), usize::from(published));
    }
}
