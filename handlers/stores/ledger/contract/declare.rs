//! Rules on declarations and on who may replace whose.

use super::super::{Conflict, Operation, ids};
use super::*;

fn conflict(refused: Result<Declared, LedgerError>) -> Conflict {
    match refused {
        Err(LedgerError::Conflict(conflict)) => conflict,
        other => panic!("no conflict but {other:?}"),
    }
}

pub(crate) async fn a_declaration_makes_asset_release_job_and_group(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let declared = declare(ledger, 2).await;
    assert!(declared.is_new);
    assert_eq!(declared.request_id, "5d9210e3f58e3e4b3b0b1ef0abb3e085");
    assert_eq!(declared.asset_id, "97f387f8a83ff695febfda482689cc05");
    assert_eq!(
        declared.group.release_id,
        "23b170b03cbdac658c3fbc7de0298f7f"
    );
    assert_eq!(declared.group.id, ids::group_id(&declared.asset_id));
    assert_eq!(
        (declared.group.state, declared.group.generation),
        (GroupState::Collecting, 1)
    );
    let release = ledger
        .release(&declared.group.release_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((release.version_ordinal, release.revision), (1, 1));
    assert_eq!(release.job_id, declared.group.job_id);
    assert_eq!(
        release.job_id,
        ids::job_id(&declared.group.declaration, 1, 1)
    );
    assert_eq!(subject.job_status(&release.job_id).await, "queued");
    let tasks = ledger.tasks(&release.job_id).await.unwrap();
    let kinds: Vec<_> = tasks
        .iter()
        .map(|task| (task.task_type.as_str(), task.status.as_str()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("scan", "pending"),
            ("combine", "pending"),
            ("register_stac", "pending")
        ]
    );
    assert_eq!(subject.audit(&release.release_id).await, ["created"]);
}

pub(crate) async fn the_same_declaration_again_changes_nothing(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = declare(ledger, 2).await;
    let later = Declaration {
        at: at(50),
        ..declaration(Origin::Submit, "era5", 2)
    };
    let again = ledger.declare_group(&later).await.unwrap();
    assert!(!again.is_new);
    assert_eq!(again.group, first.group);
}

pub(crate) async fn a_submit_with_another_option_names_it(subject: &dyn Subject) {
    let ledger = subject.ledger();
    declare(ledger, 2).await;
    let mut other = declaration(Origin::Submit, "era5/", 2);
    other.options.concat_dim = String::from("t");
    let refused = conflict(ledger.declare_group(&other).await);
    let expected = Conflict::OtherOptions {
        asset: String::from("era5-temperature/global-daily-2020"),
        difference: String::from("`concat_dim` is \"time\", not \"t\""),
    };
    assert_eq!(refused, expected);
    let elsewhere = declaration(Origin::Submit, "cmip6/", 2);
    let refused = conflict(ledger.declare_group(&elsewhere).await);
    assert!(
        matches!(refused, Conflict::OtherOptions { difference, .. } if difference.starts_with("`source_url`"))
    );
}

pub(crate) async fn a_declaration_takes_over_the_auto_group_that_was_never_combined(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    let auto = ledger
        .declare_group(&declaration(Origin::Auto, "era5", 1))
        .await
        .unwrap()
        .group;
    fill(ledger, &auto.id, &["era5/x/a.nc", "era5/b.nc"]).await;
    let taken = ledger
        .declare_group(&declaration(Origin::File, "era5/x/", 1))
        .await
        .unwrap();
    assert!(taken.is_new);
    assert_eq!(
        (&taken.group.id, taken.group.declaration.origin),
        (&auto.id, Origin::File)
    );
    assert_eq!(taken.group.state, GroupState::Collecting);
    assert!(taken.group.generation > auto.generation);
    assert_eq!(
        (&taken.group.release_id, taken.group.job_id != auto.job_id),
        (&auto.release_id, true)
    );
    let members = ledger.members(&auto.id).await.unwrap();
    assert_eq!(
        members
            .iter()
            .map(|file| file.path.blob.as_str())
            .collect::<Vec<_>>(),
        ["era5/x/a.nc"]
    );
    assert!(settle(ledger, &auto.id).await.is_due);
}

pub(crate) async fn an_auto_group_takes_nothing_that_another_owns(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let auto = declaration(Origin::Auto, "era5", 1);
    ledger.declare_group(&auto).await.unwrap();
    assert!(!ledger.declare_group(&auto).await.unwrap().is_new);
    let other_stem = Declaration {
        stem: String::from("pr_day"),
        ..auto.clone()
    };
    let refused = conflict(ledger.declare_group(&other_stem).await);
    assert!(matches!(refused, Conflict::OwnedByOther { owner, .. } if owner.contains("tas_day")));
    declare(ledger, 1).await;
    let refused = conflict(ledger.declare_group(&auto).await);
    assert!(
        matches!(refused, Conflict::OwnedByOther { owner, .. } if owner == "a submitted request")
    );
}

pub(crate) async fn a_combined_auto_group_keeps_its_asset(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let auto = ledger
        .declare_group(&declaration(Origin::Auto, "era5", 1))
        .await
        .unwrap()
        .group;
    let settled = fill(ledger, &auto.id, &["era5/a.nc"]).await;
    let claim = claim(ledger, &settled, "one").await;
    ledger.publish(&claim, &result(1)).await.unwrap();
    let refused = conflict(
        ledger
            .declare_group(&declaration(Origin::File, "era5/", 1))
            .await,
    );
    assert!(matches!(refused, Conflict::OwnedByOther { .. }));
}

pub(crate) async fn a_landfall_file_takes_nothing_from_submit_or_another_folder(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    declare(ledger, 1).await;
    let refused = conflict(
        ledger
            .declare_group(&declaration(Origin::File, "era5/", 1))
            .await,
    );
    assert!(matches!(refused, Conflict::OwnedByOther { .. }));
    let named = |blob| Declaration {
        resource_id: String::from("file"),
        ..declaration(Origin::File, blob, 1)
    };
    ledger.declare_group(&named("one/")).await.unwrap();
    let refused = conflict(ledger.declare_group(&named("two/")).await);
    assert!(
        matches!(refused, Conflict::OwnedByOther { owner, .. } if owner.contains("abfs://bronze/one/"))
    );
}

pub(crate) async fn a_landfall_file_may_change_until_the_first_combine(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let file = |count| declaration(Origin::File, "era5/", count);
    let first = ledger.declare_group(&file(5)).await.unwrap().group;
    assert!(!fill(ledger, &first.id, &["era5/a.nc"]).await.is_due);
    let changed = ledger.declare_group(&file(1)).await.unwrap();
    assert!(changed.is_new && changed.group.generation > first.generation);
    assert_eq!(changed.group.release_id, first.release_id);
    let settled = settle(ledger, &first.id).await;
    let claim = claim(ledger, &settled, "one").await;
    ledger.publish(&claim, &result(1)).await.unwrap();
    let refused = conflict(ledger.declare_group(&file(2)).await);
    assert!(
        matches!(refused, Conflict::OtherOptions { difference, .. } if difference.contains("expected"))
    );
}

pub(crate) async fn overwriting_keeps_the_release_and_makes_its_next_revision(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    let release_id = &first.release.release_id;
    subject.set_approval(release_id, "rejected").await;
    let mut other = declaration(Origin::Submit, "era5/", 2);
    other.options.missing = String::from("fill");
    assert!(matches!(
        conflict(ledger.declare_group(&other).await),
        Conflict::OtherOptions { .. }
    ));
    other.options.overwrite = true;
    let declared = ledger.declare_group(&other).await.unwrap();
    assert_eq!(declared.operation, Operation::Overwritten);
    assert!(declared.is_new && declared.group.job_id != first.release.job_id);
    assert_eq!(&declared.group.release_id, release_id);
    let release = ledger.release(release_id).await.unwrap().unwrap();
    assert_eq!(release.approval_state, "pending_review");
    assert_eq!(
        release.blob_path.as_deref(),
        Some("refs/combined/r1/combined.json")
    );
    assert!(
        subject
            .audit(release_id)
            .await
            .contains(&String::from("overwritten"))
    );
    let second = claim(ledger, &settle(ledger, &first.group.id).await, "one").await;
    assert_eq!(
        (second.revision, &second.release.job_id),
        (2, &declared.group.job_id)
    );
    assert!(
        !ledger.declare_group(&other).await.unwrap().is_new,
        "a repetition does not overwrite again"
    );
    other.options.overwrite = false;
    assert!(
        !ledger.declare_group(&other).await.unwrap().is_new,
        "nor does one that asks for no overwrite"
    );
}

pub(crate) async fn an_approved_release_is_not_overwritten(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    subject
        .set_approval(&first.release.release_id, "approved")
        .await;
    let mut other = declaration(Origin::Submit, "era5/", 2);
    other.options.overwrite = true;
    assert!(matches!(
        conflict(ledger.declare_group(&other).await),
        Conflict::Approved { .. }
    ));
}

pub(crate) async fn a_new_version_of_an_approved_release_is_the_next_release(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    let version = |version: &str| Declaration {
        version_id: Some(version.to_owned()),
        ..declaration(Origin::Submit, "era5/", 2)
    };
    assert!(matches!(
        conflict(ledger.declare_group(&version("v2")).await),
        Conflict::StillOpen { state, .. } if state == "pending_review"
    ));
    subject
        .set_approval(&first.release.release_id, "approved")
        .await;
    let next = ledger.declare_group(&version("v2")).await.unwrap();
    assert_eq!(next.operation, Operation::NewVersion);
    let release = ledger
        .release(&next.group.release_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(release.version_ordinal, 2);
    assert_eq!(release.previous_release_id, Some(first.release.release_id));
    assert_eq!(release.request_id, next.request_id);
}

pub(crate) async fn repeating_a_submit_that_failed_queues_it_again(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let settled = due_group(ledger).await;
    let claim = claim(ledger, &settled, "one").await;
    let end = super::super::CombineEnd::Blocked(fault("time_duplicate"), at(30));
    ledger.abandon(&claim, &end).await.unwrap();
    let again = declare(ledger, 2).await;
    assert_eq!(
        (again.is_new, again.operation),
        (false, Operation::Requeued)
    );
    let job = ledger.job(&claim.release.job_id).await.unwrap().unwrap();
    assert_eq!((job.status.as_str(), job.attempt), ("queued", 2));
    assert_eq!(declare(ledger, 2).await.operation, Operation::Repeated);
    assert!(settle(ledger, &settled.group.id).await.is_due);
}

/// Nothing is served under the first revision yet, so the number counts at once.
pub(crate) async fn overwriting_before_the_first_combine_is_the_next_revision(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    let first = declare(ledger, 2).await;
    let mut other = declaration(Origin::Submit, "era5/", 2);
    other.options.concat_dim = String::from("t");
    other.options.overwrite = true;
    let second = ledger.declare_group(&other).await.unwrap();
    assert_eq!(second.operation, Operation::Overwritten);
    assert_eq!(second.group.release_id, first.group.release_id);
    assert_ne!(second.group.job_id, first.group.job_id);
    let release = ledger
        .release(&first.group.release_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((release.version_ordinal, release.revision), (1, 2));
    assert_eq!(
        subject.audit(&release.release_id).await,
        ["created", "overwritten"]
    );
    let settled = fill(ledger, &first.group.id, &["era5/a.nc", "era5/b.nc"]).await;
    let claim = claim(ledger, &settled, "one").await;
    assert_eq!(
        (claim.revision, &claim.release.job_id),
        (2, &second.group.job_id)
    );
    assert!(ledger.publish(&claim, &result(2)).await.unwrap());
    let revision = ledger.revision(&release.release_id, 2).await.unwrap();
    assert!(revision.is_some_and(|revision| revision.is_live));
}

pub(crate) async fn what_is_foreseen_is_not_done(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let wished = declaration(Origin::Submit, "era5/", 2);
    let foreseen = ledger.foresee_group(&wished).await.unwrap();
    assert_eq!(foreseen.operation, Operation::Created);
    assert_eq!(ledger.group(&foreseen.group.id).await.unwrap(), None);
    assert_eq!(ledger.releases(10).await.unwrap().len(), 0);
    let declared = ledger.declare_group(&wished).await.unwrap();
    assert_eq!(declared.group.job_id, foreseen.group.job_id);
    let mut other = wished.clone();
    other.options.overwrite = true;
    let foreseen = ledger.foresee_group(&other).await.unwrap();
    assert_eq!(foreseen.operation, Operation::Overwritten);
    let group = ledger.group(&declared.group.id).await.unwrap().unwrap();
    assert_eq!(group, declared.group);
    other.options.overwrite = false;
    other.options.missing = String::from("fill");
    assert!(matches!(
        conflict(ledger.foresee_group(&other).await),
        Conflict::OtherOptions { .. }
    ));
}

pub(crate) async fn a_version_follows_the_newest_approved_one(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let mut wished = declaration(Origin::Submit, "era5/", 2);
    wished.version_id = Some(String::from("v2"));
    wished.extras.previous_version_id = Some(String::from("v1"));
    let refused = conflict(ledger.declare_group(&wished).await);
    let Conflict::Version { problem, .. } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        problem,
        "previous_version_id is `v1`, but no version is approved yet"
    );
    assert_eq!(ledger.releases(10).await.unwrap().len(), 0);
}

pub(crate) async fn the_versions_of_an_asset_are_listed_newest_first(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    declare_named(ledger, "another").await.unwrap();
    subject
        .set_approval(&first.release.release_id, "approved")
        .await;
    let mut second = declaration(Origin::Submit, "era5/", 2);
    second.version_id = Some(String::from("v2"));
    ledger.declare_group(&second).await.unwrap();
    let versions = ledger.versions(&first.release.asset_id).await.unwrap();
    let ordinals: Vec<_> = versions
        .iter()
        .map(|release| (release.version_ordinal, release.stac_item_json.is_none()))
        .collect();
    assert_eq!(ordinals, [(2, true), (1, true)]);
}
