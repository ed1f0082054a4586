//! Rules on claims and how they end.

use super::super::{CombineEnd, ProcessingStatus};
use super::*;

pub(crate) async fn a_claim_holds_the_members_by_name_and_starts_the_job(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let settled = due_group(ledger).await;
    let claim = claim(ledger, &settled, "one").await;
    let names: Vec<_> = claim
        .members
        .iter()
        .map(|file| file.path.blob.as_str())
        .collect();
    assert_eq!(names, ["era5/a.nc", "era5/b.nc"]);
    assert_eq!(
        (claim.revision, claim.generation),
        (1, settled.group.generation)
    );
    assert_eq!(claim.group.state, GroupState::Combining);
    assert_eq!(
        claim.release.processing_status,
        ProcessingStatus::Processing
    );
    assert_eq!(claim.release.processing_started_at, Some(at(20)));
    assert_eq!(
        subject.job_status(&claim.release.job_id).await,
        "processing"
    );
    let tasks = ledger.tasks(&claim.release.job_id).await.unwrap();
    let tasks: Vec<_> = tasks
        .iter()
        .map(|task| (task.task_type.as_str(), task.status.as_str()))
        .collect();
    let expected = [
        ("scan", "completed"),
        ("validate", "completed"),
        ("validate", "completed"),
        ("generate_ref", "completed"),
        ("generate_ref", "completed"),
        ("combine", "processing"),
        ("register_stac", "pending"),
    ];
    assert_eq!(tasks, expected);
}

pub(crate) async fn only_a_due_group_of_this_generation_is_claimed(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let collecting = declare(ledger, 2).await.group;
    let claimed = ledger
        .claim(&collecting.id, collecting.generation, &lease("one", 20))
        .await
        .unwrap();
    assert_eq!(claimed, Claimed::Nothing);
    let due = fill(ledger, &collecting.id, &["era5/a.nc", "era5/b.nc"])
        .await
        .group;
    for generation in [due.generation - 1, due.generation + 1] {
        let claimed = ledger
            .claim(&due.id, generation, &lease("one", 20))
            .await
            .unwrap();
        assert_eq!(claimed, Claimed::Nothing);
    }
    let claim = claim(ledger, &settle(ledger, &due.id).await, "one").await;
    ledger.publish(&claim, &result(1)).await.unwrap();
    assert_eq!(
        ledger
            .claim(&due.id, due.generation, &lease("one", 40))
            .await
            .unwrap(),
        Claimed::Nothing
    );
}

pub(crate) async fn a_combine_that_comes_to_no_end_is_given_up(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let settled = due_group(ledger).await;
    let (group, generation) = (&settled.group.id, settled.group.generation);
    let give_up = |generation: i64, seconds: i64| async move {
        let fault = fault("retries_exhausted");
        ledger
            .give_up(group, generation, &fault, at(seconds))
            .await
            .unwrap()
    };
    assert!(!give_up(generation - 1, 20).await, "another generation");
    let lost = claim(ledger, &settled, "one").await;
    assert!(!give_up(generation, 79).await, "somebody is at it");
    assert!(give_up(generation, 80).await, "its runner is no more");
    let failed = ledger.group(group).await.unwrap().unwrap();
    assert_eq!(failed.state, GroupState::Failed);
    assert_eq!(failed.fault, Some(fault("retries_exhausted")));
    assert_eq!(subject.job_status(&settled.group.job_id).await, "failed");
    assert!(!give_up(generation, 80).await, "it has failed already");
    assert!(!ledger.publish(&lost, &result(1)).await.unwrap());
    assert!(settle(ledger, group).await.is_due, "it can be tried again");
}

pub(crate) async fn a_claim_is_held_until_its_lease_runs_out(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let settled = due_group(ledger).await;
    let (group, generation) = (&settled.group.id, settled.group.generation);
    let lost = claim(ledger, &settled, "one").await;
    for runner in ["one", "two"] {
        let held = ledger
            .claim(group, generation, &lease(runner, 79))
            .await
            .unwrap();
        assert_eq!(held, Claimed::Held(at(80)));
    }
    assert!(ledger.renew(&lost, at(100)).await.unwrap());
    assert_eq!(
        ledger
            .claim(group, generation, &lease("two", 99))
            .await
            .unwrap(),
        Claimed::Held(at(100))
    );
    let Claimed::Ours(taken) = ledger
        .claim(group, generation, &lease("two", 100))
        .await
        .unwrap()
    else {
        panic!("the lease has run out")
    };
    assert_eq!(
        taken.revision, lost.revision,
        "a killed run leaves no hole in the numbers; its late write is conditional"
    );
    assert!(!ledger.renew(&lost, at(200)).await.unwrap());
    assert!(!ledger.publish(&lost, &result(lost.revision)).await.unwrap());
    assert!(
        !ledger
            .abandon(&lost, &CombineEnd::Failed(fault("late"), at(110)))
            .await
            .unwrap()
    );
    assert!(
        ledger
            .publish(&taken, &result(taken.revision))
            .await
            .unwrap()
    );
}

pub(crate) async fn a_group_whose_claim_ran_out_is_due_again(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let settled = due_group(ledger).await;
    let claim = claim(ledger, &settled, "one").await;
    let group = &settled.group.id;
    let running = ledger.settle(group, JUDGE, at(79)).await.unwrap();
    assert_eq!(
        (running.is_due, running.group.state),
        (false, GroupState::Combining)
    );
    let lost = ledger.settle(group, JUDGE, at(80)).await.unwrap();
    assert_eq!(
        (lost.is_due, lost.group.generation),
        (true, settled.group.generation)
    );
    assert!(!ledger.publish(&claim, &result(1)).await.unwrap());
}

pub(crate) async fn publishing_completes_release_job_tasks_and_group_at_once(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    let claim = combined_group(ledger).await;
    let release = ledger
        .release(&claim.release.release_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(release.processing_status, ProcessingStatus::Completed);
    assert_eq!(release.processing_completed_at, Some(at(30)));
    assert_eq!(
        release.blob_path.as_deref(),
        Some("refs/combined/r1/combined.json")
    );
    assert_eq!(
        release.stac_item_json,
        Some(json!({"id": "era5", "revision": 1}))
    );
    assert_eq!(
        (release.revision, release.result),
        (1, Some(json!({"source_files": 2, "revision": 1})))
    );
    assert_eq!(subject.job_status(&release.job_id).await, "completed");
    let tasks = ledger.tasks(&release.job_id).await.unwrap();
    assert!(tasks.iter().all(|task| task.status == "completed"));
    assert_eq!(
        subject.audit(&release.release_id).await,
        ["created", "processing_started", "processing_completed"]
    );
    let settled = settle(ledger, &claim.group.id).await;
    assert_eq!(
        (settled.is_due, settled.group.state),
        (false, GroupState::Combined)
    );
    assert!(
        !ledger.publish(&claim, &result(1)).await.unwrap(),
        "a run is published once"
    );
}

pub(crate) async fn a_run_of_an_older_generation_is_thrown_away(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let settled = due_group(ledger).await;
    let old = claim(ledger, &settled, "one").await;
    let file = land(ledger, "era5/a.nc", "v2").await;
    assert_eq!(subject.job_status(&old.release.job_id).await, "queued");
    assert!(!ledger.renew(&old, at(200)).await.unwrap());
    assert!(!ledger.publish(&old, &result(old.revision)).await.unwrap());
    ledger
        .record_outcome(file.id, "v2", &referenced("a"))
        .await
        .unwrap();
    let again = claim(ledger, &settle(ledger, &settled.group.id).await, "two").await;
    assert_eq!(again.members[0].etag, "v2");
    assert!(!ledger.publish(&old, &result(old.revision)).await.unwrap());
    assert!(
        ledger
            .publish(&again, &result(again.revision))
            .await
            .unwrap()
    );
    let release = ledger
        .release(&again.release.release_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (release.release_id, release.revision),
        (old.release.release_id, again.revision)
    );
}

pub(crate) async fn a_change_after_combining_is_the_next_revision(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    let settled = fill(ledger, &first.group.id, &["era5/c.nc"]).await;
    let second = claim(ledger, &settled, "one").await;
    assert_eq!(second.release.release_id, first.release.release_id);
    assert_eq!((first.revision, second.revision), (1, 2));
    assert!(ledger.publish(&second, &result(2)).await.unwrap());
    let release_id = &first.release.release_id;
    for revision in [1, 2] {
        let published = ledger
            .revision(release_id, revision)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(published.blob_path, result(revision).blob_path);
    }
}

pub(crate) async fn an_approved_release_is_frozen_and_the_next_one_begins(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    subject
        .set_approval(&first.release.release_id, "approved")
        .await;
    let before = ledger.release(&first.release.release_id).await.unwrap();
    let settled = fill(ledger, &first.group.id, &["era5/c.nc"]).await;
    let second = claim(ledger, &settled, "one").await;
    let next = &second.release;
    assert_ne!(next.release_id, first.release.release_id);
    assert_eq!((next.version_ordinal, second.revision), (2, 1));
    assert_eq!(
        next.previous_release_id.as_ref(),
        Some(&first.release.release_id)
    );
    assert_eq!(next.approval_state, "pending_review");
    assert_eq!(
        (&second.group.release_id, &second.group.job_id),
        (&next.release_id, &next.job_id)
    );
    assert!(ledger.publish(&second, &result(1)).await.unwrap());
    assert_eq!(
        ledger.release(&first.release.release_id).await.unwrap(),
        before
    );
}

pub(crate) async fn a_rejected_file_leaves_an_approved_release_and_its_job_alone(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    let (group, release_id) = (&first.group.id, &first.release.release_id);
    subject.set_approval(release_id, "approved").await;
    let before = ledger.release(release_id).await.unwrap();
    let bad = land(ledger, "era5/a.nc", "v2").await;
    let rejected = FileOutcome::Rejected {
        fault: fault("not_netcdf"),
        findings: Vec::new(),
    };
    ledger
        .record_outcome(bad.id, "v2", &rejected)
        .await
        .unwrap();
    assert_eq!(settle(ledger, group).await.group.state, GroupState::Blocked);
    assert_eq!(ledger.release(release_id).await.unwrap(), before);
    assert_eq!(subject.job_status(&first.release.job_id).await, "completed");
}

pub(crate) async fn a_release_approved_during_a_run_is_not_touched_by_it(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    let settled = fill(ledger, &first.group.id, &["era5/c.nc"]).await;
    let second = claim(ledger, &settled, "one").await;
    subject
        .set_approval(&first.release.release_id, "approved")
        .await;
    assert!(!ledger.publish(&second, &result(2)).await.unwrap());
    let again = claim(ledger, &settle(ledger, &first.group.id).await, "one").await;
    assert_eq!(again.release.version_ordinal, 2);
}

pub(crate) async fn a_refused_input_stays_blocked_until_it_changes(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let settled = due_group(ledger).await;
    let claim = claim(ledger, &settled, "one").await;
    let end = CombineEnd::Blocked(fault("time_duplicate"), at(30));
    assert!(ledger.abandon(&claim, &end).await.unwrap());
    let (group, release_id) = (&settled.group.id, &claim.release.release_id);
    let blocked = settle(ledger, group).await;
    assert_eq!(
        (blocked.is_due, blocked.group.state),
        (false, GroupState::Blocked)
    );
    assert_eq!(blocked.group.fault, Some(fault("time_duplicate")));
    let release = ledger.release(release_id).await.unwrap().unwrap();
    assert_eq!(release.processing_status, ProcessingStatus::Failed);
    assert_eq!(
        release.last_error.as_deref(),
        Some("time_duplicate in a test")
    );
    assert_eq!(subject.job_status(&release.job_id).await, "failed");
    assert_eq!(
        subject.audit(release_id).await.last().unwrap(),
        "processing_failed"
    );
    let unblocked = fill(ledger, group, &["era5/c.nc"]).await;
    assert_eq!((unblocked.is_due, unblocked.group.fault), (true, None));
    assert_eq!(subject.job_status(&release.job_id).await, "queued");
}

/// An overlap that came later set a Release to failed whose first revision was served as before.
pub(crate) async fn a_refused_revision_leaves_the_published_one_completed(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    let (group, release_id) = (&first.group.id, &first.release.release_id);
    let settled = fill(ledger, group, &["era5/c.nc"]).await;
    let second = claim(ledger, &settled, "one").await;
    let end = CombineEnd::Blocked(fault("time_overlap"), at(40));
    assert!(ledger.abandon(&second, &end).await.unwrap());
    let release = ledger.release(release_id).await.unwrap().unwrap();
    assert_eq!(release.processing_status, ProcessingStatus::Completed);
    assert_eq!(release.revision, first.revision);
    assert_eq!(release.last_error, None);
    assert_eq!(subject.job_status(&release.job_id).await, "failed");
    fill(ledger, group, &["era5/d.nc"]).await;
    let release = ledger.release(release_id).await.unwrap().unwrap();
    assert_eq!(release.processing_status, ProcessingStatus::Completed);
    assert_eq!(release.last_error, None);
    assert_eq!(subject.job_status(&release.job_id).await, "queued");
}

pub(crate) async fn a_failed_run_is_due_again_and_may_be_claimed_at_once(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let settled = due_group(ledger).await;
    let first = claim(ledger, &settled, "one").await;
    assert!(
        ledger
            .abandon(&first, &CombineEnd::Failed(fault("throttled"), at(30)))
            .await
            .unwrap()
    );
    assert_eq!(state(ledger, &settled.group.id).await, GroupState::Failed);
    let second = claim(ledger, &settled, "two").await;
    assert_eq!(second.revision, first.revision);
    assert!(
        ledger
            .abandon(&second, &CombineEnd::Failed(fault("throttled"), at(30)))
            .await
            .unwrap()
    );
    let again = settle(ledger, &settled.group.id).await;
    assert_eq!(
        (again.is_due, again.group.generation),
        (true, settled.group.generation)
    );
}

pub(crate) async fn two_last_files_give_one_claim(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let group = declare(ledger, 2).await.group.id;
    let last = |blob: &'static str, runner: &'static str| {
        let group = group.clone();
        async move {
            let settled = fill(ledger, &group, &[blob]).await;
            if !settled.is_due {
                return Claimed::Nothing;
            }
            ledger
                .claim(&group, settled.group.generation, &lease(runner, 20))
                .await
                .unwrap()
        }
    };
    let (one, two) = tokio::join!(last("era5/a.nc", "one"), last("era5/b.nc", "two"));
    let ours = [one, two]
        .iter()
        .filter(|claimed| matches!(claimed, Claimed::Ours(_)))
        .count();
    assert_eq!(ours, 1);
}

pub(crate) async fn many_messages_of_one_generation_give_one_claim(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let settled = due_group(ledger).await;
    let leases: Vec<_> = (0..20)
        .map(|runner| lease(&runner.to_string(), 20))
        .collect();
    let claims = leases
        .iter()
        .map(|lease| ledger.claim(&settled.group.id, settled.group.generation, lease));
    let claims = futures_util::future::join_all(claims).await;
    let ours = claims
        .iter()
        .filter(|claimed| matches!(claimed, Ok(Claimed::Ours(_))))
        .count();
    let held = claims
        .iter()
        .filter(|claimed| matches!(claimed, Ok(Claimed::Held(_))))
        .count();
    assert_eq!((ours, held), (1, 19));
}
