//! What every ledger promises, as tests over `&dyn Ledger`; every store runs them all with [`run_contract!`].

pub(super) mod approval;
pub(super) mod catalog;
pub(super) mod combine;
pub(super) mod concurrent;
pub(super) mod declare;
pub(super) mod files;
pub(super) mod groups;
pub(super) mod overview;
pub(super) mod serving;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Claim, Claimed, Counts, Declaration, Declared, Expected, Extras, Fault, FileOutcome, FileState,
    GroupId, GroupState, Judge, Landing, Lease, Ledger, LedgerError, Origin, ProcessingOptions,
    PublishedCombine, Recorded, Settled, Snapshot, SourceFile, SourceGroup, Verdict,
};
use crate::stores::blobs::BlobPath;

/// A ledger under test, with what its traits do not show.
#[async_trait]
pub(super) trait Subject: Send + Sync {
    /// The ledger, empty at first.
    fn ledger(&self) -> &dyn Ledger;

    /// The ledger of another handler: connections of its own to the same database.
    fn another(&self) -> Arc<dyn Ledger>;

    /// Puts a Release into an approval state.
    async fn set_approval(&self, release_id: &str, state: &str);

    /// Kinds of the audit rows of a Release, oldest first.
    async fn audit(&self, release_id: &str) -> Vec<String>;

    /// The audit of a Release with what it tells, oldest first: `event_type`, `actor`, `reason`, `metadata`, and as
    /// `before` the approval state of its snapshot.
    async fn audit_rows(&self, release_id: &str) -> Vec<Value>;

    /// State of a job.
    async fn job_status(&self, job_id: &str) -> String;
}

/// Runs every rule of the contract against fresh subjects.
macro_rules! run_contract {
    ($subject:expr) => {
        $crate::stores::ledger::contract::run_contract! { $subject;
            files: [
                a_file_is_new_once_and_known_after,
                equal_names_in_other_containers_are_other_files,
                an_older_sequencer_changes_nothing,
                a_head_without_sequencer_keeps_the_guard_against_late_events,
                a_new_version_forgets_what_was_read_of_the_old_one,
                the_outcome_of_a_superseded_version_is_refused,
                outcomes_set_state_and_fault,
                a_file_that_came_back_is_new_again,
                a_deletion_older_than_the_file_changes_nothing,
                files_below_a_folder_are_listed_by_name_without_gone_ones,
                files_that_nobody_finished_are_stuck,
                concurrent_writers_of_one_blob_end_in_the_newest,
                a_file_is_sent_back_to_be_read_once_more,
            ],
            groups: [
                the_last_file_makes_a_group_due,
                a_due_group_is_due_again_when_settled_again,
                a_changed_member_set_is_another_generation,
                a_new_version_sends_the_group_back_to_collecting,
                a_duplicate_landing_leaves_groups_alone,
                a_file_of_two_groups_moves_both,
                groups_know_which_members_they_share,
                a_source_gone_after_combining_makes_the_group_stale,
                a_rejected_member_blocks_and_a_good_copy_unblocks,
                a_quiet_period_runs_from_landing_to_landing,
                groups_that_wait_for_a_sweep_are_overdue,
                a_rejected_newcomer_blocks_a_combined_group,
                groups_that_nobody_settled_are_overdue,
                declared_groups_are_found_by_folder_and_named_file,
                a_file_leaves_the_auto_group_that_was_never_combined,
                the_last_file_takes_the_auto_group_with_it,
                an_auto_group_that_was_combined_stays_without_its_files,
                an_unknown_group_is_said_to_be_unknown,
                a_blocked_group_tells_the_task_of_each_file,
            ],
            declare: [
                a_declaration_makes_asset_release_job_and_group,
                the_same_declaration_again_changes_nothing,
                a_submit_with_another_option_names_it,
                a_declaration_takes_over_the_auto_group_that_was_never_combined,
                an_auto_group_takes_nothing_that_another_owns,
                a_combined_auto_group_keeps_its_asset,
                a_landfall_file_takes_nothing_from_submit_or_another_folder,
                a_landfall_file_may_change_until_the_first_combine,
                overwriting_keeps_the_release_and_makes_its_next_revision,
                an_approved_release_is_not_overwritten,
                a_new_version_of_an_approved_release_is_the_next_release,
                repeating_a_submit_that_failed_queues_it_again,
                overwriting_before_the_first_combine_is_the_next_revision,
                what_is_foreseen_is_not_done,
                a_version_follows_the_newest_approved_one,
                the_versions_of_an_asset_are_listed_newest_first,
            ],
            combine: [
                a_claim_holds_the_members_by_name_and_starts_the_job,
                only_a_due_group_of_this_generation_is_claimed,
                a_claim_is_held_until_its_lease_runs_out,
                a_combine_that_comes_to_no_end_is_given_up,
                a_group_whose_claim_ran_out_is_due_again,
                publishing_completes_release_job_tasks_and_group_at_once,
                a_run_of_an_older_generation_is_thrown_away,
                a_change_after_combining_is_the_next_revision,
                an_approved_release_is_frozen_and_the_next_one_begins,
                a_rejected_file_leaves_an_approved_release_and_its_job_alone,
                a_release_approved_during_a_run_is_not_touched_by_it,
                a_refused_input_stays_blocked_until_it_changes,
                a_refused_revision_leaves_the_published_one_completed,
                a_failed_run_is_due_again_and_may_be_claimed_at_once,
                two_last_files_give_one_claim,
                many_messages_of_one_generation_give_one_claim,
            ],
            catalog: [
                every_id_means_its_release,
                a_revision_is_there_once_published_and_live_unless_withdrawn,
                the_schema_is_current_once_opened,
            ],
            approval: [
                approving_sets_everything_and_says_so_in_the_audit,
                only_a_completed_release_that_is_pending_review_is_approved,
                what_is_being_combined_again_is_not_approved,
                a_version_is_that_of_one_approved_release,
                a_rejected_release_is_not_served_until_its_next_revision,
                only_an_approved_release_is_revoked,
                a_rejected_release_that_is_overwritten_stays_withdrawn,
                unpublishing_names_every_revision_and_ends_them,
                an_approved_release_is_unpublished_only_if_that_is_said,
                another_item_is_cached_on_what_is_published,
                without_a_catalogue_nothing_is_materialized,
                approvals_are_listed_by_state_and_counted,
                a_file_that_changes_under_an_approved_release_is_told,
                fifty_approvals_at_once_are_one,
                of_two_releases_one_gets_the_version,
            ],
            serving: [
                a_secret_is_what_was_kept_first,
                handlers_that_first_ask_for_a_secret_at_once_get_the_same,
                a_file_is_found_by_the_id_of_its_store,
            ],
            overview: [
                there_is_nothing_to_see_at_first,
                a_series_moves_from_section_to_section,
                what_a_series_expects_is_told_without_the_names,
                members_are_counted_by_state_and_those_at_fault_named,
                findings_are_told_by_kind_the_gravest_first,
                what_files_cover_is_joined_where_no_step_is_missing,
                files_of_one_step_are_a_step_apart,
                a_torn_time_line_is_told_in_so_many_parts,
                of_many_series_the_newest_are_told_and_all_counted,
                files_are_counted_and_those_that_nobody_else_tells_of_named,
                what_was_referenced_is_counted_by_the_minute,
                a_source_that_changed_under_an_approved_release_is_flagged,
                a_source_that_is_gone_from_what_was_combined_is_named,
            ],
            concurrent: [
                two_handlers_that_read_the_last_files_combine_once,
                of_a_hundred_parallel_events_the_newest_wins,
                fifty_groups_fed_out_of_order_are_each_combined_once,
                recorders_on_shared_groups_do_not_lock_each_other_up,
                parallel_declarations_of_one_asset_make_one_release,
                a_run_whose_generation_moves_on_meanwhile_is_published_or_thrown_away_whole,
            ],
        }
    };
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
        extras: Extras::default(),
        options: ProcessingOptions {
            expected,
            ..ProcessingOptions::default()
        },
        at: START,
    }
}

/// Declares a group of one file under a resource's name.
pub(super) async fn declare_named(
    ledger: &dyn Ledger,
    resource: &str,
) -> Result<Declared, LedgerError> {
    let named = Declaration {
        resource_id: resource.to_owned(),
        ..declaration(Origin::Submit, "era5/", 1)
    };
    ledger.declare_group(&named).await
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

/// The same where numbers alone tell it.
fn by_numbers(group: &SourceGroup, counts: &Counts, _: Timestamp) -> Option<Verdict> {
    match group.declaration.options.expected {
        Some(Expected::Count(expected)) if counts.rejected == 0 => {
            let is_due = counts.referenced >= expected;
            Some(if is_due {
                Verdict::Due
            } else {
                Verdict::Collecting
            })
        }
        _ => None,
    }
}

const JUDGE: Judge = Judge {
    by_counts: by_numbers,
    by_members: by_count,
};

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
