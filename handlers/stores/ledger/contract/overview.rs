//! Rules on everything at a glance.

use virtualize::rules::{Finding, Grade};

use super::*;
use crate::stores::ledger::TimeSpan;
use crate::stores::ledger::overview::{
    ChangedRelease, Expects, Findings, Minute, Overview, OverviewQuery, Part, Section, Series,
};

const DAY: i64 = 86_400_000_000;

fn everything() -> OverviewQuery {
    OverviewQuery {
        search: String::new(),
        section: None,
        limit: 10,
        since: at(0),
    }
}

fn search(text: &str) -> OverviewQuery {
    OverviewQuery {
        search: text.to_owned(),
        ..everything()
    }
}

async fn look(ledger: &dyn Ledger) -> Overview {
    ledger.overview(&everything()).await.unwrap()
}

async fn only_series(ledger: &dyn Ledger) -> Series {
    let series = look(ledger).await.series;
    let [series] = <[Series; 1]>::try_from(series).unwrap();
    series
}

/// A declared group of a resource with files of its own folder, settled.
async fn group_of(
    ledger: &dyn Ledger,
    resource: &str,
    expected: Expected,
    blobs: &[&str],
) -> Settled {
    let mut wanted = declaration(Origin::Submit, &format!("{resource}/"), 1);
    wanted.resource_id = resource.to_owned();
    wanted.options.expected = Some(expected);
    let group = ledger.declare_group(&wanted).await.unwrap().group.id;
    fill(ledger, &group, blobs).await
}

async fn member(
    ledger: &dyn Ledger,
    group: &GroupId,
    blob: &str,
    outcome: &FileOutcome,
) -> SourceFile {
    let file = land(ledger, blob, "v1").await;
    ledger.add_member(group, file.id, false).await.unwrap();
    assert!(ledger.record_outcome(file.id, "v1", outcome).await.unwrap());
    file
}

pub(crate) async fn there_is_nothing_to_see_at_first(subject: &dyn Subject) {
    let overview = look(subject.ledger()).await;
    let nothing = Overview {
        sections: [].into(),
        series: Vec::new(),
        files: Vec::new(),
        at_fault: Vec::new(),
        throughput: Vec::new(),
    };
    assert_eq!(overview, nothing);
}

pub(crate) async fn a_series_moves_from_section_to_section(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let group = declare(ledger, 2).await.group.id;
    let section = || async { only_series(ledger).await.section };
    fill(ledger, &group, &["era5/a.nc"]).await;
    assert_eq!(section().await, Section::Collecting);
    let settled = fill(ledger, &group, &["era5/b.nc"]).await;
    assert_eq!(section().await, Section::Combining);
    let claim = claim(ledger, &settled, "one").await;
    let running = only_series(ledger).await;
    assert_eq!(
        (running.section, running.combining_since),
        (Section::Combining, Some(at(20)))
    );
    let release = running.release.unwrap();
    assert!(!release.is_published && release.properties.is_none());
    let published = PublishedCombine {
        stac_item: json!({"id": "era5", "properties": {"landfall:calendar": "noleap"}}),
        ..result(claim.revision)
    };
    assert!(ledger.publish(&claim, &published).await.unwrap());
    let combined = only_series(ledger).await;
    assert_eq!(
        (combined.section, combined.combining_since),
        (Section::Review, None)
    );
    let release = combined.release.unwrap();
    assert!(release.is_published);
    assert_eq!(
        release.properties,
        Some(json!({"landfall:calendar": "noleap"}))
    );
    for (approval, expected) in [
        ("approved", Section::Published),
        ("rejected", Section::Withdrawn),
        ("revoked", Section::Withdrawn),
    ] {
        subject.set_approval(&release.release_id, approval).await;
        assert_eq!(section().await, expected);
    }
    ledger.record_gone(&path("era5/a.nc"), None).await.unwrap();
    assert_eq!(section().await, Section::Attention, "a source is gone");
}

pub(crate) async fn what_a_series_expects_is_told_without_the_names(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let text = String::from;
    let cases = [
        (
            Expected::Count(7),
            Expects {
                count: Some(7),
                ..Expects::default()
            },
        ),
        (
            Expected::Files(vec![text("a.nc"), text("b.nc")]),
            Expects {
                count: Some(2),
                ..Expects::default()
            },
        ),
        (
            Expected::TimeRange(text("2000-01-01"), text("2000-12-31")),
            Expects {
                time_range: Some((text("2000-01-01"), text("2000-12-31"))),
                ..Expects::default()
            },
        ),
        (
            Expected::QuietPeriod(text("PT5M")),
            Expects {
                quiet_period: Some(text("PT5M")),
                ..Expects::default()
            },
        ),
    ];
    for (number, (expected, _)) in cases.iter().enumerate() {
        group_of(ledger, &format!("r{number}"), expected.clone(), &[]).await;
    }
    let mut series = look(ledger).await.series;
    series.sort_by(|one, other| one.resource_id.cmp(&other.resource_id));
    let told: Vec<Expects> = series.into_iter().map(|one| one.expects).collect();
    assert_eq!(told, cases.map(|(_, told)| told));
}

pub(crate) async fn members_are_counted_by_state_and_those_at_fault_named(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let settled = group_of(
        ledger,
        "mixed",
        Expected::Count(9),
        &["mixed/a.nc", "mixed/b.nc"],
    )
    .await;
    let group = settled.group.id;
    let rejected = FileOutcome::Rejected {
        fault: fault("not_netcdf"),
        findings: Vec::new(),
    };
    for number in 0..6 {
        member(ledger, &group, &format!("mixed/bad{number}.nc"), &rejected).await;
    }
    member(
        ledger,
        &group,
        "mixed/down.nc",
        &FileOutcome::Failed(fault("timeout")),
    )
    .await;
    settle(ledger, &group).await;
    let series = only_series(ledger).await;
    assert_eq!(series.section, Section::Attention);
    assert_eq!(series.fault.as_ref().unwrap().code, "bad0.nc");
    let mut counts: Vec<(FileState, u64, u64)> = series
        .members
        .iter()
        .map(|one| (one.state, one.count, one.bytes))
        .collect();
    counts.sort_by_key(|(_, count, _)| *count);
    let expected = [
        (FileState::Failed, 1, 100),
        (FileState::Referenced, 2, 200),
        (FileState::Rejected, 6, 600),
    ];
    assert_eq!(counts, expected);
    let names: Vec<&str> = series
        .at_fault
        .iter()
        .map(|file| file.path.file_name())
        .collect();
    assert_eq!(
        names,
        ["bad0.nc", "bad1.nc", "bad2.nc", "bad3.nc", "bad4.nc"],
        "no more than a few"
    );
    assert_eq!(series.at_fault[0].fault, Some(fault("not_netcdf")));
}

pub(crate) async fn findings_are_told_by_kind_the_gravest_first(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let group = group_of(ledger, "found", Expected::Count(9), &[])
        .await
        .group
        .id;
    let finding = |grade, code: &str, variable: &str| {
        Finding::graded(grade, code, Some(variable), format!("{code} of {variable}"))
    };
    let of = |findings: Vec<Finding>| FileOutcome::Referenced {
        reference_path: String::from("refs/x.json"),
        findings,
        span: None,
    };
    let tiny = |variable| finding(Grade::Warning, "tiny-chunks", variable);
    let refused = finding(Grade::Critical, "unsupported", "mask");
    member(
        ledger,
        &group,
        "found/a.nc",
        &of(vec![tiny("tas"), tiny("pr")]),
    )
    .await;
    member(
        ledger,
        &group,
        "found/b.nc",
        &of(vec![tiny("tas"), refused.clone()]),
    )
    .await;
    let series = only_series(ledger).await;
    let expected = [
        Findings {
            example: refused,
            files: Some(1),
        },
        Findings {
            example: tiny("pr"),
            files: Some(2),
        },
    ];
    assert_eq!(series.findings, expected);
}

/// Days of a calendar without leap years, as a file covers them.
fn days(first: i64, last: i64, step: i64) -> FileOutcome {
    FileOutcome::Referenced {
        reference_path: String::from("refs/x.json"),
        findings: Vec::new(),
        span: Some(TimeSpan {
            first: first * DAY,
            last: last * DAY,
            largest_step: step * DAY,
            calendar: String::from("noleap"),
            start: String::from("0001"),
            end: String::from("0002"),
        }),
    }
}

fn part(first: i64, last: i64, step: i64) -> Part {
    Part {
        first: first * DAY,
        last: last * DAY,
        step: step * DAY,
        calendar: String::from("noleap"),
    }
}

pub(crate) async fn what_files_cover_is_joined_where_no_step_is_missing(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let group = group_of(ledger, "days", Expected::Count(9), &[])
        .await
        .group
        .id;
    // In no order; the second follows on the first, the third lies inside it, one day is missing before the last.
    for (name, first, last) in [("d", 22, 30), ("a", 0, 9), ("c", 3, 5), ("b", 10, 20)] {
        member(
            ledger,
            &group,
            &format!("days/{name}.nc"),
            &days(first, last, 1),
        )
        .await;
    }
    assert_eq!(
        only_series(ledger).await.parts,
        [part(0, 20, 1), part(22, 30, 1)]
    );
}

pub(crate) async fn files_of_one_step_are_a_step_apart(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let group = group_of(ledger, "hours", Expected::Count(9), &[])
        .await
        .group
        .id;
    for day in [0, 2, 4, 10] {
        member(
            ledger,
            &group,
            &format!("hours/{day}.nc"),
            &days(day, day, 0),
        )
        .await;
    }
    assert_eq!(
        only_series(ledger).await.parts,
        [part(0, 4, 2), part(10, 10, 2)]
    );
}

pub(crate) async fn a_torn_time_line_is_told_in_so_many_parts(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let group = group_of(ledger, "torn", Expected::Count(999), &[])
        .await
        .group
        .id;
    for number in 0..100 {
        let outcome = days(number * 10, number * 10 + 1, 1);
        member(ledger, &group, &format!("torn/{number}.nc"), &outcome).await;
    }
    let parts = only_series(ledger).await.parts;
    assert_eq!(parts.len(), 80);
    assert_eq!(
        (parts.first(), parts.last()),
        (Some(&part(0, 1, 1)), Some(&part(790, 991, 1)))
    );
}

pub(crate) async fn of_many_series_the_newest_are_told_and_all_counted(subject: &dyn Subject) {
    let ledger = subject.ledger();
    for resource in ["one", "three", "Four_of%"] {
        group_of(ledger, resource, Expected::Count(2), &[]).await;
    }
    let two = group_of(ledger, "two", Expected::Count(2), &[])
        .await
        .group
        .id;
    let names = |overview: &Overview| -> Vec<String> {
        let series = overview.series.iter();
        series.map(|one| one.resource_id.clone()).collect()
    };
    let few = OverviewQuery {
        limit: 2,
        ..everything()
    };
    let overview = ledger.overview(&few).await.unwrap();
    assert_eq!(overview.sections, [(Section::Collecting, 4)].into());
    assert_eq!(overview.series.len(), 2);
    fill(ledger, &two, &["two/a.nc", "two/b.nc", "two/c.nc"]).await;
    let overview = ledger.overview(&few).await.unwrap();
    assert_eq!(
        overview.sections,
        [(Section::Combining, 1), (Section::Collecting, 3)].into()
    );
    assert_eq!(names(&overview)[0], "two");
    let section = OverviewQuery {
        section: Some(Section::Combining),
        ..everything()
    };
    let overview = ledger.overview(&section).await.unwrap();
    assert_eq!(
        (names(&overview), overview.sections.len()),
        (vec![String::from("two")], 2)
    );
    for (text, expected) in [
        ("FOUR_", vec!["Four_of%"]),
        ("_of%", vec!["Four_of%"]),
        ("o_", vec![]),
        ("temperature/three", vec!["three"]),
    ] {
        let overview = ledger.overview(&search(text)).await.unwrap();
        assert_eq!(names(&overview), expected, "{text}");
        assert_eq!(
            overview.sections.values().sum::<u64>(),
            expected.len() as u64
        );
    }
}

pub(crate) async fn files_are_counted_and_those_that_nobody_else_tells_of_named(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    let group = group_of(
        ledger,
        "told",
        Expected::Count(9),
        &["told/a.nc", "told/b.nc"],
    )
    .await
    .group
    .id;
    let rejected = FileOutcome::Rejected {
        fault: fault("not_netcdf"),
        findings: Vec::new(),
    };
    member(ledger, &group, "told/bad.nc", &rejected).await;
    member(
        ledger,
        &group,
        "told/down.nc",
        &FileOutcome::Failed(fault("timeout")),
    )
    .await;
    for (blob, outcome) in [
        ("alone/bad.nc", rejected),
        (
            "alone/half.nc",
            FileOutcome::Unfinished(fault("unfinished")),
        ),
    ] {
        let file = land(ledger, blob, "v1").await;
        ledger
            .record_outcome(file.id, "v1", &outcome)
            .await
            .unwrap();
    }
    land(ledger, "alone/new.nc", "v1").await;
    let overview = look(ledger).await;
    let mut named: Vec<&str> = overview
        .at_fault
        .iter()
        .map(|file| file.path.blob.as_str())
        .collect();
    named.sort_unstable();
    assert_eq!(named, ["alone/bad.nc", "alone/half.nc", "told/down.nc"]);
    let mut counts: Vec<_> = overview
        .files
        .iter()
        .map(|files| (files.count, files.bytes))
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [(1, 100), (2, 200), (2, 200), (2, 200)]);
    let found = ledger.overview(&search("HALF")).await.unwrap();
    assert_eq!(found.at_fault.len(), 1);
    assert_eq!(found.at_fault[0].state, FileState::Landed);
}

pub(crate) async fn what_was_referenced_is_counted_by_the_minute(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let before = Timestamp::now();
    for name in ["a.nc", "b.nc", "c.nc"] {
        land_and_reference(ledger, name, "v1").await;
    }
    land(ledger, "d.nc", "v1").await;
    let query = |since| OverviewQuery {
        since,
        ..everything()
    };
    let minutes = ledger.overview(&query(before)).await.unwrap().throughput;
    let sum = |of: fn(&Minute) -> u64| minutes.iter().map(of).sum::<u64>();
    assert_eq!(
        (sum(|minute| minute.files), sum(|minute| minute.bytes)),
        (3, 300)
    );
    let span = (Timestamp::now().as_second() - before.as_second()) / 60 + 2;
    assert!(minutes.len() as i64 <= span, "{minutes:?}");
    assert!(minutes.iter().all(|minute| minute.at.as_second() % 60 == 0));
    let later = Timestamp::now() + SignedDuration::from_secs(1);
    assert_eq!(ledger.overview(&query(later)).await.unwrap().throughput, []);
}

pub(crate) async fn a_source_that_changed_under_an_approved_release_is_flagged(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    let claim = combined_group(ledger).await;
    let release_id = claim.release.release_id;
    subject.set_approval(&release_id, "approved").await;
    assert_eq!(only_series(ledger).await.changed, []);
    land(ledger, "era5/a.nc", "v2").await;
    let changed = only_series(ledger).await.changed;
    let expected = ChangedRelease {
        release_id,
        version_id: None,
        files: 1,
        example: String::from("era5/a.nc"),
    };
    assert_eq!(changed, [expected]);
}

pub(crate) async fn a_source_that_is_gone_from_what_was_combined_is_named(subject: &dyn Subject) {
    let ledger = subject.ledger();
    combined_group(ledger).await;
    let series = only_series(ledger).await;
    assert_eq!(series.at_fault, []);
    ledger.record_gone(&path("era5/b.nc"), None).await.unwrap();
    let series = only_series(ledger).await;
    let named = series.at_fault.iter();
    let named: Vec<_> = named
        .map(|file| (file.path.file_name(), file.state))
        .collect();
    assert_eq!(named, [("b.nc", FileState::Gone)]);
    assert_eq!(series.changed, [], "its Release is not approved");
}
