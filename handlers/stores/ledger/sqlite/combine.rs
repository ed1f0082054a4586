//! Runs: who may combine a generation of a group, and how the run ends.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction};

use super::values::{json_text, time_text};
use super::{approval, groups, platform, settle, tasks};
use crate::stores::ledger::audit::Event;
use crate::stores::ledger::{
    Claim, Claimed, CombineEnd, Fault, GroupId, GroupState, Lease, LedgerError, PublishedCombine,
    Release, SourceGroup,
};

pub(super) fn claim(
    tx: &Transaction<'_>,
    id: &GroupId,
    generation: i64,
    lease: &Lease,
) -> Result<Claimed, LedgerError> {
    let Some(row) = groups::find(tx, id)? else {
        return Ok(Claimed::Nothing);
    };
    if row.group.generation != generation {
        return Ok(Claimed::Nothing);
    }
    match row.group.state {
        GroupState::Due | GroupState::Failed => {}
        GroupState::Combining => match groups::lease(tx, id)? {
            Some(until) if until > lease.now => return Ok(Claimed::Held(until)),
            Some(_) | None => groups::lose_run(tx, id, lease.now)?,
        },
        GroupState::Collecting | GroupState::Combined | GroupState::Blocked | GroupState::Stale => {
            return Ok(Claimed::Nothing);
        }
    }
    let Some(members) = settle::settled_members(tx, id)? else {
        return Ok(Claimed::Nothing);
    };
    let release = open_release(tx, &row, lease.now)?;
    let revision = next_revision(tx, &release)?;
    let run_id = start_run(tx, &row.group, &release, revision, lease)?;
    groups::set_state(tx, id, GroupState::Combining, None, None, lease.now)?;
    tasks::begin(tx, &release.job_id, &members, lease.now)?;
    let group = groups::find(tx, id)?
        .ok_or_else(|| LedgerError::UnknownGroup(id.clone()))?
        .group;
    let release =
        platform::release(tx, &release.release_id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let runner = lease.runner.clone();
    Ok(Claimed::Ours(Box::new(Claim {
        run_id,
        group,
        generation,
        runner,
        release,
        revision,
        members,
    })))
}

/// The Release that a run works for: the group's own, or the next one where that is approved and so frozen.
fn open_release(
    tx: &Transaction<'_>,
    row: &groups::GroupRow,
    now: Timestamp,
) -> Result<Release, LedgerError> {
    let group = &row.group;
    let release =
        platform::release(tx, &group.release_id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    if release.approval_state != "approved" {
        return Ok(release);
    }
    let next = platform::create_release(tx, &row.asset_id, &group.declaration, now)?;
    let sql = "UPDATE landfall_source_group SET release_id = ?2, job_id = ?3 WHERE id = ?1";
    tx.execute(sql, (&group.id.0, &next.release_id, &next.job_id))?;
    Ok(platform::release(tx, &next.release_id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?)
}

/// The first revision that was not published. A run that lost its claim may still be writing under the same
/// number; its write is conditional on what it saw there while the claim was its own, so it loses to the next run.
fn next_revision(tx: &Transaction<'_>, release: &Release) -> Result<i64, LedgerError> {
    let sql = "SELECT max(revision) FROM landfall_combine_run
               WHERE release_id = ?1 AND state = 'published'";
    let published: Option<i64> = tx.query_row(sql, [&release.release_id], |row| row.get(0))?;
    Ok(published.map_or(release.revision, |published| {
        published.max(release.revision) + 1
    }))
}

fn start_run(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    release: &Release,
    revision: i64,
    lease: &Lease,
) -> Result<i64, LedgerError> {
    let now = time_text(lease.now);
    tx.execute(
        "INSERT INTO landfall_combine_run (group_id, release_id, generation, runner, state, revision, lease_until,
             started_at)
         VALUES (?1, ?2, ?3, ?4, 'running', ?5, ?6, ?7)",
        (
            &group.id.0,
            &release.release_id,
            group.generation,
            &lease.runner,
            revision,
            time_text(lease.until),
            &now,
        ),
    )?;
    let run_id = tx.last_insert_rowid();
    let sql = "UPDATE app_asset_releases SET processing_status = 'processing', processing_started_at = ?2,
                   last_error = NULL, updated_at = ?2 WHERE release_id = ?1";
    tx.execute(sql, (&release.release_id, &now))?;
    let sql = "UPDATE app_jobs SET status = 'processing', stage = 4, error_details = NULL, updated_at = ?2
               WHERE job_id = ?1";
    tx.execute(sql, (&release.job_id, &now))?;
    let event = Event::of("processing_started").by(Some(&lease.runner));
    platform::audit(tx, &release.release_id, &event, lease.now)?;
    Ok(run_id)
}

pub(super) fn renew(
    tx: &Transaction<'_>,
    claim: &Claim,
    until: Timestamp,
) -> Result<bool, LedgerError> {
    if !is_ours(tx, claim)? {
        return Ok(false);
    }
    let sql = "UPDATE landfall_combine_run SET lease_until = ?2 WHERE id = ?1";
    Ok(tx.execute(sql, (claim.run_id, time_text(until)))? == 1)
}

/// Whether the claim still holds: same run, runner and generation, nothing published in between.
fn is_ours(tx: &Transaction<'_>, claim: &Claim) -> Result<bool, LedgerError> {
    let sql = "SELECT EXISTS (
                   SELECT 1 FROM landfall_combine_run c
                   JOIN landfall_source_group g ON g.id = c.group_id
                   JOIN app_asset_releases r ON r.release_id = c.release_id
                   WHERE c.id = ?1 AND c.state = 'running' AND c.runner = ?2 AND c.generation = ?3
                     AND g.state = 'combining' AND g.generation = ?3 AND r.revision = ?4)";
    let key = (
        claim.run_id,
        &claim.runner,
        claim.generation,
        claim.release.revision,
    );
    Ok(tx.query_row(sql, key, |row| row.get(0))?)
}

pub(super) fn publish(
    tx: &Transaction<'_>,
    claim: &Claim,
    result: &PublishedCombine,
) -> Result<bool, LedgerError> {
    if !is_ours(tx, claim)? || is_frozen(tx, claim, result.at)? {
        return Ok(false);
    }
    let Release {
        release_id, job_id, ..
    } = &claim.release;
    approval::reopen(tx, release_id, result.at)?;
    let (at, summary) = (time_text(result.at), result.result.to_string());
    let sql = "UPDATE landfall_combine_run SET state = 'published', blob_path = ?2, finished_at = ?3, result = ?4
               WHERE id = ?1";
    tx.execute(sql, (claim.run_id, &result.blob_path, &at, &summary))?;
    tx.execute(
        "UPDATE app_asset_releases SET blob_path = ?2, stac_item_id = ?3, stac_collection_id = ?4,
             stac_item_json = ?5, output_mode = 'zarr_reference', revision = ?6, processing_status = 'completed',
             processing_completed_at = ?7, last_error = NULL, updated_at = ?7
         WHERE release_id = ?1",
        (
            release_id,
            &result.blob_path,
            &result.stac_item_id,
            &result.stac_collection_id,
            result.stac_item.to_string(),
            claim.revision,
            &at,
        ),
    )?;
    let sql = "UPDATE app_jobs SET status = 'completed', stage = 5, result_data = ?2, error_details = NULL,
                   updated_at = ?3 WHERE job_id = ?1";
    tx.execute(sql, (job_id, &summary, &at))?;
    tasks::complete(tx, job_id, &result.result, &result.stac_item_id, result.at)?;
    let event = Event::of("processing_completed").by(Some(&claim.runner));
    platform::audit(tx, release_id, &event, result.at)?;
    approval::record_sources(tx, release_id, &claim.members)?;
    groups::set_state(
        tx,
        &claim.group.id,
        GroupState::Combined,
        None,
        None,
        result.at,
    )?;
    let findings = json_text("findings", &result.findings)?;
    let sql = "UPDATE landfall_source_group SET findings = ?2 WHERE id = ?1";
    tx.execute(sql, (&claim.group.id.0, findings))?;
    Ok(true)
}

/// Whether the Release was approved while the run was under way; the group is then due again, for the next one.
fn is_frozen(tx: &Transaction<'_>, claim: &Claim, now: Timestamp) -> Result<bool, LedgerError> {
    let sql = "SELECT approval_state FROM app_asset_releases WHERE release_id = ?1";
    let state: Option<String> = tx
        .query_row(sql, [&claim.release.release_id], |row| row.get(0))
        .optional()?;
    if state.as_deref() != Some("approved") {
        return Ok(false);
    }
    let sql = "UPDATE landfall_combine_run SET state = 'discarded', finished_at = ?2 WHERE id = ?1";
    tx.execute(sql, (claim.run_id, time_text(now)))?;
    groups::set_state(tx, &claim.group.id, GroupState::Due, None, None, now)?;
    Ok(true)
}

pub(super) fn abandon(
    tx: &Transaction<'_>,
    claim: &Claim,
    end: &CombineEnd,
) -> Result<bool, LedgerError> {
    if !is_ours(tx, claim)? {
        return Ok(false);
    }
    let (state, word, fault, now) = match end {
        CombineEnd::Blocked(fault, at) => (GroupState::Blocked, "blocked", fault, *at),
        CombineEnd::Failed(fault, at) => (GroupState::Failed, "failed", fault, *at),
    };
    let Release {
        release_id, job_id, ..
    } = &claim.release;
    let sql =
        "UPDATE landfall_combine_run SET state = ?2, fault = ?3, finished_at = ?4 WHERE id = ?1";
    tx.execute(
        sql,
        (
            claim.run_id,
            word,
            json_text("fault", fault)?,
            time_text(now),
        ),
    )?;
    groups::set_state(tx, &claim.group.id, state, None, Some(fault), now)?;
    let sql = "UPDATE landfall_source_group SET is_refused = (state = 'blocked') WHERE id = ?1";
    tx.execute(sql, [&claim.group.id.0])?;
    tasks::fail(tx, job_id, fault, now)?;
    fail_release(tx, release_id, job_id, fault, now)?;
    Ok(true)
}

pub(super) fn give_up(
    tx: &Transaction<'_>,
    id: &GroupId,
    generation: i64,
    fault: &Fault,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let Some(row) = groups::find(tx, id)? else {
        return Ok(false);
    };
    let group = &row.group;
    let is_waiting = match group.state {
        GroupState::Due => true,
        GroupState::Combining => groups::lease(tx, id)?.is_none_or(|until| until <= now),
        _ => false,
    };
    if group.generation != generation || !is_waiting {
        return Ok(false);
    }
    groups::lose_run(tx, id, now)?;
    groups::set_state(tx, id, GroupState::Failed, None, Some(fault), now)?;
    tasks::fail(tx, &group.job_id, fault, now)?;
    fail_release(tx, &group.release_id, &group.job_id, fault, now)?;
    Ok(true)
}

/// Fails the job of a run. A Release of which a revision is published stays completed: that one is as good as before.
fn fail_release(
    tx: &Transaction<'_>,
    release_id: &str,
    job_id: &str,
    fault: &Fault,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = format!(
        "UPDATE app_asset_releases SET processing_status = {}, last_error = {},
             processing_completed_at = ?3, updated_at = ?3 WHERE release_id = ?1",
        platform::if_published("'completed'", "'failed'"),
        platform::if_published("NULL", "?2")
    );
    tx.execute(&sql, (release_id, &fault.message, time_text(now)))?;
    let sql = "UPDATE app_jobs SET status = 'failed', error_details = ?2, updated_at = ?3 WHERE job_id = ?1";
    tx.execute(sql, (job_id, &fault.message, time_text(now)))?;
    let event = Event::of("processing_failed").because(Some(&fault.message));
    platform::audit(tx, release_id, &event, now)
}
