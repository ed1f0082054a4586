//! Rules on groups, their members and when they are complete.

use super::*;

pub(crate) async fn the_last_file_makes_a_group_due(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let group = declare(ledger, 2).await.group.id;
    assert!(!fill(ledger, &group, &["era5/a.nc"]).await.is_due);
    let settled = fill(ledger, &group, &["era5/b.nc"]).await;
    assert!(settled.is_due);
    assert_eq!(settled.group.state, GroupState::Due);
    assert_eq!(ledger.group(&group).await.unwrap(), Some(settled.group));
}

pub(crate) async fn a_due_group_is_due_again_when_settled_again(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let settled = due_group(ledger).await;
    assert_eq!(settle(ledger, &settled.group.id).await, settled);
}

pub(crate) async fn a_changed_member_set_is_another_generation(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let due = due_group(ledger).await.group;
    let extra = land(ledger, "era5/c.nc", "v1").await;
    ledger.add_member(&due.id, extra.id, true).await.unwrap();
    assert_eq!(
        settle(ledger, &due.id).await.group.generation,
        due.generation,
        "it is not read yet"
    );
    ledger
        .record_outcome(extra.id, "v1", &referenced("c"))
        .await
        .unwrap();
    assert_eq!(
        settle(ledger, &due.id).await.group.generation,
        due.generation + 1
    );
}

pub(crate) async fn a_new_version_sends_the_group_back_to_collecting(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let due = due_group(ledger).await.group;
    let file = land(ledger, "era5/a.nc", "v2").await;
    let group = ledger.group(&due.id).await.unwrap().unwrap();
    assert_eq!(
        (group.state, group.generation),
        (GroupState::Collecting, due.generation + 1)
    );
    assert!(!settle(ledger, &due.id).await.is_due);
    ledger
        .record_outcome(file.id, "v2", &referenced("a"))
        .await
        .unwrap();
    assert!(settle(ledger, &due.id).await.is_due);
}

pub(crate) async fn a_duplicate_landing_leaves_groups_alone(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let due = due_group(ledger).await.group;
    land(ledger, "era5/a.nc", "v1").await;
    assert_eq!(ledger.group(&due.id).await.unwrap(), Some(due));
}

pub(crate) async fn a_file_of_two_groups_moves_both(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = declare(ledger, 1).await.group.id;
    let other = Declaration {
        resource_id: String::from("other"),
        ..declaration(Origin::Submit, "era5/", 1)
    };
    let second = ledger.declare_group(&other).await.unwrap().group.id;
    let file = land_and_reference(ledger, "era5/a.nc", "v1").await;
    for group in [&first, &second] {
        ledger.add_member(group, file.id, true).await.unwrap();
        ledger.add_member(group, file.id, true).await.unwrap();
        assert!(settle(ledger, group).await.is_due);
        assert_eq!(ledger.members(group).await.unwrap().len(), 1);
    }
    let mut both = ledger.groups_of(file.id).await.unwrap();
    both.sort();
    let mut expected = vec![first, second];
    expected.sort();
    assert_eq!(both, expected);
    assert_eq!(
        ledger.record_gone(&file.path, None).await.unwrap(),
        expected
    );
    for group in &expected {
        assert_eq!(state(ledger, group).await, GroupState::Collecting);
    }
    assert_eq!(
        ledger.record_gone(&file.path, None).await.unwrap(),
        expected,
        "a redelivery may settle them"
    );
}

pub(crate) async fn groups_know_which_members_they_share(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = declare(ledger, 2).await.group.id;
    let other = Declaration {
        resource_id: String::from("other"),
        ..declaration(Origin::Submit, "era5/", 1)
    };
    let second = ledger.declare_group(&other).await.unwrap().group.id;
    let shared = land_and_reference(ledger, "era5/a.nc", "v1").await.id;
    let own = land_and_reference(ledger, "era5/b.nc", "v1").await.id;
    for (group, file) in [(&first, shared), (&first, own), (&second, shared)] {
        ledger.add_member(group, file, true).await.unwrap();
    }
    let of_first = ledger.shared_members(&first).await.unwrap();
    assert_eq!(of_first, [(second.clone(), vec![shared])].into());
    let of_second = ledger.shared_members(&second).await.unwrap();
    assert_eq!(of_second, [(first, vec![shared])].into());
}

pub(crate) async fn a_source_gone_after_combining_makes_the_group_stale(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let claim = combined_group(ledger).await;
    let group = claim.group.id;
    ledger.record_gone(&path("era5/a.nc"), None).await.unwrap();
    assert_eq!(state(ledger, &group).await, GroupState::Stale);
    let settled = settle(ledger, &group).await;
    assert_eq!(
        (settled.group.state, settled.is_due),
        (GroupState::Stale, false)
    );
    assert!(settled.group.generation > claim.generation);
    assert!(
        fill(ledger, &group, &["era5/c.nc"]).await.is_due,
        "another file takes its place"
    );
}

pub(crate) async fn a_rejected_member_blocks_and_a_good_copy_unblocks(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let declared = declare(ledger, 2).await.group;
    let bad = land(ledger, "era5/bad.nc", "v1").await;
    ledger.add_member(&declared.id, bad.id, true).await.unwrap();
    let rejected = FileOutcome::Rejected {
        fault: fault("not_netcdf"),
        findings: Vec::new(),
    };
    ledger
        .record_outcome(bad.id, "v1", &rejected)
        .await
        .unwrap();
    let blocked = fill(ledger, &declared.id, &["era5/a.nc"]).await;
    assert_eq!(
        (blocked.group.state, blocked.is_due),
        (GroupState::Blocked, false)
    );
    assert_eq!(blocked.group.fault.unwrap().code, "bad.nc");
    assert_eq!(subject.job_status(&declared.job_id).await, "failed");
    land(ledger, "era5/bad.nc", "v2").await;
    assert_eq!(subject.job_status(&declared.job_id).await, "queued");
    ledger
        .record_outcome(bad.id, "v2", &referenced("bad"))
        .await
        .unwrap();
    let settled = settle(ledger, &declared.id).await;
    assert_eq!((settled.is_due, settled.group.fault), (true, None));
}

pub(crate) async fn a_quiet_period_runs_from_landing_to_landing(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let mut quiet = declaration(Origin::Submit, "era5/", 0);
    quiet.options.expected = Some(Expected::QuietPeriod(String::from("PT10M")));
    let group = ledger.declare_group(&quiet).await.unwrap().group.id;
    let settled = fill(ledger, &group, &["era5/a.nc"]).await;
    assert_eq!(
        (settled.is_due, settled.look_again_at),
        (false, Some(at(600)))
    );
    assert_eq!(settled.group.state, GroupState::Collecting);
    assert!(ledger.overdue_groups(at(599)).await.unwrap().is_empty());
    assert_eq!(
        ledger.overdue_groups(at(600)).await.unwrap(),
        [settled.group]
    );
    land(ledger, "era5/a.nc", "v2").await;
    assert_eq!(
        ledger.group(&group).await.unwrap().unwrap().quiet_until,
        None
    );
    let late = ledger.settle(&group, JUDGE, at(600)).await.unwrap();
    assert_eq!((late.is_due, late.look_again_at), (true, None));
}

pub(crate) async fn groups_that_wait_for_a_sweep_are_overdue(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let due = due_group(ledger).await;
    let overdue = |seconds: i64| async move {
        let groups = ledger.overdue_groups(at(seconds)).await.unwrap();
        groups
            .into_iter()
            .map(|group| group.state)
            .collect::<Vec<_>>()
    };
    assert_eq!(overdue(20).await, [GroupState::Due]);
    let claim = claim(ledger, &due, "one").await;
    assert!(overdue(79).await.is_empty());
    assert_eq!(overdue(80).await, [GroupState::Combining]);
    ledger
        .abandon(
            &claim,
            &super::super::CombineEnd::Failed(fault("throttled"), at(30)),
        )
        .await
        .unwrap();
    assert_eq!(overdue(30).await, [GroupState::Failed]);
}

pub(crate) async fn a_rejected_newcomer_blocks_a_combined_group(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let combined = combined_group(ledger).await;
    let group = &combined.group.id;
    let bad = land(ledger, "era5/c.nc", "v1").await;
    ledger.add_member(group, bad.id, true).await.unwrap();
    let rejected = FileOutcome::Rejected {
        fault: fault("not_netcdf"),
        findings: Vec::new(),
    };
    ledger
        .record_outcome(bad.id, "v1", &rejected)
        .await
        .unwrap();
    let settled = settle(ledger, group).await;
    assert_eq!(settled.group.state, GroupState::Blocked);
    assert_eq!(settled.group.fault, Some(fault("c.nc")));
    let release = ledger.release(&combined.release.release_id).await.unwrap();
    let blob_path = release.unwrap().blob_path;
    assert_eq!(blob_path, Some(result(combined.revision).blob_path));
}

pub(crate) async fn groups_that_nobody_settled_are_overdue(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let is_overdue = || async { !ledger.overdue_groups(at(30)).await.unwrap().is_empty() };
    let declared = declare(ledger, 3).await;
    let group = &declared.group.id;
    let file = land_and_reference(ledger, "era5/a.nc", "v1").await;
    ledger.add_member(group, file.id, true).await.unwrap();
    assert!(is_overdue().await, "a member that was never counted");
    ledger.settle(group, JUDGE, at(20)).await.unwrap();
    assert!(!is_overdue().await, "all members are counted");

    let bad = land(ledger, "era5/b.nc", "v1").await;
    ledger.add_member(group, bad.id, true).await.unwrap();
    assert!(!is_overdue().await, "a member that is not read yet");
    let rejected = FileOutcome::Rejected {
        fault: fault("not_netcdf"),
        findings: Vec::new(),
    };
    ledger
        .record_outcome(bad.id, "v1", &rejected)
        .await
        .unwrap();
    assert!(is_overdue().await, "a member that has to block the group");
    ledger.settle(group, JUDGE, at(20)).await.unwrap();
    assert!(!is_overdue().await, "the group is blocked");
}

pub(crate) async fn declared_groups_are_found_by_folder_and_named_file(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let places = [
        (Origin::Submit, "cmip6/", "folder"),
        (Origin::File, "cmip6", "bare"),
        (Origin::Submit, "cmip6/a.nc", "file"),
        (Origin::Submit, "", "all"),
        (Origin::Auto, "cmip6", "auto"),
    ];
    for (origin, blob, resource) in places {
        let declared = Declaration {
            resource_id: resource.to_owned(),
            ..declaration(origin, blob, 1)
        };
        ledger.declare_group(&declared).await.unwrap();
    }
    let mut named = Declaration {
        resource_id: String::from("named"),
        ..declaration(Origin::Submit, "cmip6/", 1)
    };
    named.options.expected = Some(Expected::Files(vec![
        String::from("abfs://bronze/cmip6/a.nc"),
        String::from("y.nc"),
        String::from("cmip6/z.nc"),
    ]));
    ledger.declare_group(&named).await.unwrap();
    let cases = [
        ("cmip6/a.nc", vec!["all", "bare", "file", "folder", "named"]),
        ("cmip6/x/b.nc", vec!["all", "bare", "folder"]),
        ("cmip6/z.nc", vec!["all", "bare", "folder", "named"]),
        ("cmip6/x/y.nc", vec!["all", "bare", "folder", "named"]),
        ("cmip62/a.nc", vec!["all"]),
        ("cmip6", vec!["all", "bare"]),
    ];
    for (blob, expected) in cases {
        let found = ledger.declared_groups_for(&path(blob)).await.unwrap();
        let mut found: Vec<_> = found
            .into_iter()
            .map(|group| group.declaration.resource_id)
            .collect();
        found.sort();
        assert_eq!(found, expected, "{blob}");
    }
    let elsewhere = BlobPath::new("local", "other", "cmip6/a.nc");
    assert!(
        ledger
            .declared_groups_for(&elsewhere)
            .await
            .unwrap()
            .is_empty()
    );
}

pub(crate) async fn a_file_leaves_the_auto_group_that_was_never_combined(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let guess = Declaration {
        resource_id: String::from("auto"),
        ..declaration(Origin::Auto, "era5", 1)
    };
    let auto = ledger.declare_group(&guess).await.unwrap().group.id;
    let before = fill(ledger, &auto, &["era5/a.nc", "era5/b.nc"]).await;
    assert!(before.is_due);
    let file = ledger.file(&path("era5/a.nc")).await.unwrap().unwrap();
    let declared = declare(ledger, 1).await.group.id;
    ledger.add_member(&declared, file.id, false).await.unwrap();
    assert_eq!(ledger.groups_of(file.id).await.unwrap().len(), 2);
    ledger.add_member(&declared, file.id, true).await.unwrap();
    assert_eq!(ledger.groups_of(file.id).await.unwrap(), [declared]);
    assert!(ledger.group(&auto).await.unwrap().unwrap().generation > before.group.generation);
}

pub(crate) async fn the_last_file_takes_the_auto_group_with_it(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let guess = Declaration {
        resource_id: String::from("auto"),
        ..declaration(Origin::Auto, "era5", 1)
    };
    let auto = ledger.declare_group(&guess).await.unwrap().group;
    let names = ["era5/a.nc", "era5/b.nc", "era5/gone.nc"];
    let settled = fill(ledger, &auto.id, &names).await;
    ledger.record_gone(&path(names[2]), None).await.unwrap();
    // Somebody combines it meanwhile.
    let due = settle(ledger, &auto.id).await;
    assert!(due.group.generation > settled.group.generation);
    let run = claim(ledger, &due, "one").await;
    let declared = declare(ledger, 2).await.group.id;
    for name in &names[..2] {
        let file = ledger.file(&path(name)).await.unwrap().unwrap();
        for _ in 0..2 {
            ledger.add_member(&declared, file.id, true).await.unwrap();
        }
    }
    assert_eq!(ledger.group(&auto.id).await.unwrap(), None);
    assert_eq!(ledger.release(&auto.release_id).await.unwrap(), None);
    assert_eq!(ledger.job(&auto.job_id).await.unwrap(), None);
    assert_eq!(
        ledger.releases(9).await.unwrap().len(),
        1,
        "the declared one"
    );
    assert!(!ledger.publish(&run, &result(run.revision)).await.unwrap());
    let told = ["created", "processing_started", "overwritten"];
    assert_eq!(subject.audit(&auto.release_id).await, told);

    // A file of that name makes it anew.
    let again = ledger.declare_group(&guess).await.unwrap().group;
    assert_eq!((&again.id, again.generation), (&auto.id, 1));
    assert_eq!(again.release_id, auto.release_id);
    assert!(fill(ledger, &again.id, &["era5/c.nc"]).await.is_due);
}

pub(crate) async fn an_auto_group_that_was_combined_stays_without_its_files(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let guess = Declaration {
        resource_id: String::from("auto"),
        ..declaration(Origin::Auto, "era5", 1)
    };
    let auto = ledger.declare_group(&guess).await.unwrap().group;
    let due = fill(ledger, &auto.id, &["era5/a.nc"]).await;
    let run = claim(ledger, &due, "one").await;
    assert!(ledger.publish(&run, &result(run.revision)).await.unwrap());
    let declared = declare(ledger, 1).await.group.id;
    let file = ledger.file(&path("era5/a.nc")).await.unwrap().unwrap();
    ledger.add_member(&declared, file.id, true).await.unwrap();
    assert_eq!(ledger.members(&auto.id).await.unwrap(), [file]);
    let release = ledger.release(&auto.release_id).await.unwrap();
    assert!(release.is_some_and(|release| release.blob_path.is_some()));
}

pub(crate) async fn an_unknown_group_is_said_to_be_unknown(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let unknown = GroupId(String::from("none"));
    let refused = ledger.settle(&unknown, JUDGE, at(0)).await.unwrap_err();
    assert!(matches!(refused, super::super::LedgerError::UnknownGroup(group) if group == unknown));
    assert_eq!(
        ledger.claim(&unknown, 1, &lease("one", 0)).await.unwrap(),
        Claimed::Nothing
    );
    assert_eq!(ledger.group(&unknown).await.unwrap(), None);
}

pub(crate) async fn a_blocked_group_tells_the_task_of_each_file(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let declared = declare(ledger, 2).await.group;
    fill(ledger, &declared.id, &["era5/a.nc"]).await;
    let bad = land(ledger, "era5/b.nc", "v1").await;
    ledger.add_member(&declared.id, bad.id, true).await.unwrap();
    let outcome = FileOutcome::Rejected {
        fault: fault("not_netcdf"),
        findings: Vec::new(),
    };
    assert!(ledger.record_outcome(bad.id, "v1", &outcome).await.unwrap());
    settle(ledger, &declared.id).await;
    let tasks = ledger.tasks(&declared.job_id).await.unwrap();
    let told: Vec<_> = tasks
        .iter()
        .map(|task| {
            (
                task.task_type.as_str(),
                task.task_index.as_str(),
                task.status.as_str(),
            )
        })
        .collect();
    let expected = [
        ("scan", "0", "completed"),
        ("validate", "0", "completed"),
        ("validate", "1", "failed"),
        ("generate_ref", "0", "completed"),
        ("generate_ref", "1", "cancelled"),
        ("combine", "0", "cancelled"),
        ("register_stac", "0", "cancelled"),
    ];
    assert_eq!(told, expected);
    let failed = &tasks[2];
    assert_eq!(
        failed.error_details.as_deref(),
        Some("not_netcdf in a test")
    );
    let result = failed.result_data.as_ref().unwrap();
    assert_eq!(
        (&result["nc_url"], &result["error_type"]),
        (&json!("abfs://bronze/era5/b.nc"), &json!("not_netcdf"))
    );
    assert_eq!(failed.execution_started_at, Some(START));
    let job = ledger.job(&declared.job_id).await.unwrap().unwrap();
    assert_eq!(job.status, "failed");
    assert!(job.error_details.unwrap().contains("b.nc"));
}
