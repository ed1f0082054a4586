//! Runs: who may combine a generation of a group, and how the run ends.
//!
//! Whoever decides holds the group's row, so claims, renewals and ends of one group follow one another; the Release
//! is locked after it, because an approval may be under way.

use deadpool_postgres::Transaction;
use jiff::Timestamp;

use super::database::{Parameters, execute, one, row};
use super::values::{At, Int, Text, document, flag, int, text};
use super::{approval, groups, platform, settle, tasks};
use crate::stores::ledger::audit::Event;
use crate::stores::ledger::{
    Claim, Claimed, CombineEnd, Fault, GroupId, GroupState, Lease, LedgerError, PublishedCombine,
    Release, SourceGroup,
};

pub(super) async fn claim(
    tx: &Transaction<'_>,
    id: &GroupId,
    generation: i64,
    lease: &Lease,
) -> Result<Claimed, LedgerError> {
    let Some(row) = groups::lock(tx, id).await? else {
        return Ok(Claimed::Nothing);
    };
    if row.group.generation != generation {
        return Ok(Claimed::Nothing);
    }
    match row.group.state {
        GroupState::Due | GroupState::Failed => {}
        GroupState::Combining => match groups::lease(tx, id).await? {
            Some(until) if until > lease.now => return Ok(Claimed::Held(until)),
            Some(_) | None => groups::lose_run(tx, id, lease.now).await?,
        },
        GroupState::Collecting | GroupState::Combined | GroupState::Blocked | GroupState::Stale => {
            return Ok(Claimed::Nothing);
        }
    }
    let Some(members) = settle::settled_members(tx, id).await? else {
        return Ok(Claimed::Nothing);
    };
    let release = open_release(tx, &row, lease.now).await?;
    let revision = next_revision(tx, &release).await?;
    let run_id = start_run(tx, &row.group, &release, revision, lease).await?;
    groups::set_state(tx, id, GroupState::Combining, None, None, lease.now).await?;
    tasks::begin(tx, &release.job_id, &members, lease.now).await?;
    let group = groups::load(tx, id).await?.group;
    let release = platform::load(tx, &release.release_id).await?;
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
async fn open_release(
    tx: &Transaction<'_>,
    row: &groups::GroupRow,
    now: Timestamp,
) -> Result<Release, LedgerError> {
    let group = &row.group;
    platform::lock(tx, &group.release_id).await?;
    let release = platform::load(tx, &group.release_id).await?;
    if release.approval_state != "approved" {
        return Ok(release);
    }
    let next = platform::create_release(tx, &row.asset_id, &group.declaration, now).await?;
    let sql = "UPDATE landfall.source_group SET release_id = $2, job_id = $3 WHERE id = $1";
    execute(tx, sql, &[&group.id.0, &next.release_id, &next.job_id]).await?;
    platform::load(tx, &next.release_id).await
}

/// The first revision that was not published. A run that lost its claim may still be writing under the same
/// number; its write is conditional on what it saw there while the claim was its own, so it loses to the next run.
async fn next_revision(tx: &Transaction<'_>, release: &Release) -> Result<i64, LedgerError> {
    let sql = "SELECT CASE WHEN max(revision) IS NULL THEN $2::bigint
                           ELSE greatest(max(revision), $2::bigint) + 1 END AS revision
               FROM landfall.combine_run WHERE release_id = $1 AND state = 'published'";
    let found = one(tx, sql, &[&release.release_id, &Int(release.revision)]).await?;
    int(&found, "revision")
}

async fn start_run(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    release: &Release,
    revision: i64,
    lease: &Lease,
) -> Result<i64, LedgerError> {
    let now = At(lease.now);
    let sql = "INSERT INTO landfall.combine_run (group_id, release_id, generation, runner, state, revision,
                   lease_until, started_at)
               VALUES ($1, $2, $3, $4, 'running', $5, $6, $7) RETURNING id";
    let parameters: Parameters<'_> = &[
        &group.id.0,
        &release.release_id,
        &group.generation,
        &lease.runner,
        &revision,
        &At(lease.until),
        &now,
    ];
    let run_id = int(&one(tx, sql, parameters).await?, "id")?;
    let sql = "UPDATE app.asset_releases SET processing_status = 'processing', processing_started_at = $2::timestamp,
                   last_error = NULL, updated_at = $2::timestamp WHERE release_id = $1";
    execute(tx, sql, &[&Text(&release.release_id), &now]).await?;
    let sql = "UPDATE app.jobs SET status = 'processing', stage = 4, error_details = NULL, updated_at = $2::timestamp
               WHERE job_id = $1";
    execute(tx, sql, &[&Text(&release.job_id), &now]).await?;
    let event = Event::of("processing_started").by(Some(&lease.runner));
    platform::audit(tx, &release.release_id, &event, lease.now).await?;
    Ok(run_id)
}

pub(super) async fn renew(
    tx: &Transaction<'_>,
    claim: &Claim,
    until: Timestamp,
) -> Result<bool, LedgerError> {
    if !is_ours(tx, claim).await? {
        return Ok(false);
    }
    let sql = "UPDATE landfall.combine_run SET lease_until = $2 WHERE id = $1";
    Ok(execute(tx, sql, &[&claim.run_id, &At(until)]).await? == 1)
}

/// Whether the claim still holds: same run, runner and generation, nothing published in between. Locks group and
/// Release, so that it still does when the transaction ends.
async fn is_ours(tx: &Transaction<'_>, claim: &Claim) -> Result<bool, LedgerError> {
    groups::lock(tx, &claim.group.id).await?;
    platform::lock(tx, &claim.release.release_id).await?;
    let sql = "SELECT EXISTS (
                   SELECT 1 FROM landfall.combine_run c
                   JOIN landfall.source_group g ON g.id = c.group_id
                   JOIN app.asset_releases r ON r.release_id = c.release_id
                   WHERE c.id = $1 AND c.state = 'running' AND c.runner = $2 AND c.generation = $3
                     AND g.state = 'combining' AND g.generation = $3 AND r.revision = $4) AS found";
    let key: Parameters<'_> = &[
        &claim.run_id,
        &claim.runner,
        &claim.generation,
        &Int(claim.release.revision),
    ];
    flag(&one(tx, sql, key).await?, "found")
}

pub(super) async fn publish(
    tx: &Transaction<'_>,
    claim: &Claim,
    result: &PublishedCombine,
) -> Result<bool, LedgerError> {
    if !is_ours(tx, claim).await? || is_frozen(tx, claim, result.at).await? {
        return Ok(false);
    }
    let release = &claim.release;
    let (at, summary) = (At(result.at), document("result", &result.result)?);
    let sql = "UPDATE landfall.combine_run SET state = 'published', blob_path = $2, finished_at = $3, result = $4
               WHERE id = $1";
    execute(tx, sql, &[&claim.run_id, &result.blob_path, &at, &summary]).await?;
    approval::reopen(tx, &release.release_id, result.at).await?;
    complete_release(tx, claim, result).await?;
    let sql = "UPDATE app.jobs SET status = 'completed', stage = 5, result_data = $2, error_details = NULL,
                   updated_at = $3::timestamp WHERE job_id = $1";
    execute(tx, sql, &[&Text(&release.job_id), &summary, &at]).await?;
    tasks::complete(
        tx,
        &release.job_id,
        &result.result,
        &result.stac_item_id,
        result.at,
    )
    .await?;
    let event = Event::of("processing_completed").by(Some(&claim.runner));
    platform::audit(tx, &release.release_id, &event, result.at).await?;
    approval::record_sources(tx, &release.release_id, &claim.members).await?;
    let group = &claim.group.id;
    groups::set_state(tx, group, GroupState::Combined, None, None, result.at).await?;
    let sql = "UPDATE landfall.source_group SET findings = $2 WHERE id = $1";
    let findings = document("findings", &result.findings)?;
    execute(tx, sql, &[&group.0, &findings]).await?;
    Ok(true)
}

async fn complete_release(
    tx: &Transaction<'_>,
    claim: &Claim,
    result: &PublishedCombine,
) -> Result<(), LedgerError> {
    let sql = "UPDATE app.asset_releases SET blob_path = $2, stac_item_id = $3, stac_collection_id = $4,
                   stac_item_json = $5, output_mode = 'zarr_reference', revision = $6,
                   processing_status = 'completed', processing_completed_at = $7::timestamp, last_error = NULL,
                   updated_at = $7::timestamp
               WHERE release_id = $1";
    let parameters: Parameters<'_> = &[
        &Text(&claim.release.release_id),
        &Text(&result.blob_path),
        &Text(&result.stac_item_id),
        &Text(&result.stac_collection_id),
        &document("stac_item_json", &result.stac_item)?,
        &Int(claim.revision),
        &At(result.at),
    ];
    execute(tx, sql, parameters).await?;
    Ok(())
}

/// Whether the Release was approved while the run was under way; the group is then due again, for the next one.
async fn is_frozen(
    tx: &Transaction<'_>,
    claim: &Claim,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let sql = "SELECT approval_state FROM app.asset_releases WHERE release_id = $1";
    let found = row(tx, sql, &[&Text(&claim.release.release_id)]).await?;
    let state = found.map(|row| text(&row, "approval_state")).transpose()?;
    if state.as_deref() != Some("approved") {
        return Ok(false);
    }
    let sql = "UPDATE landfall.combine_run SET state = 'discarded', finished_at = $2 WHERE id = $1";
    execute(tx, sql, &[&claim.run_id, &At(now)]).await?;
    groups::set_state(tx, &claim.group.id, GroupState::Due, None, None, now).await?;
    Ok(true)
}

pub(super) async fn abandon(
    tx: &Transaction<'_>,
    claim: &Claim,
    end: &CombineEnd,
) -> Result<bool, LedgerError> {
    if !is_ours(tx, claim).await? {
        return Ok(false);
    }
    let (state, word, fault, now) = match end {
        CombineEnd::Blocked(fault, at) => (GroupState::Blocked, "blocked", fault, *at),
        CombineEnd::Failed(fault, at) => (GroupState::Failed, "failed", fault, *at),
    };
    let sql =
        "UPDATE landfall.combine_run SET state = $2, fault = $3, finished_at = $4 WHERE id = $1";
    let ended = document("fault", fault)?;
    execute(tx, sql, &[&claim.run_id, &word, &ended, &At(now)]).await?;
    groups::set_state(tx, &claim.group.id, state, None, Some(fault), now).await?;
    let sql = "UPDATE landfall.source_group SET is_refused = (state = 'blocked') WHERE id = $1";
    execute(tx, sql, &[&claim.group.id.0]).await?;
    fail_release(
        tx,
        &claim.release.release_id,
        &claim.release.job_id,
        fault,
        now,
    )
    .await?;
    Ok(true)
}

pub(super) async fn give_up(
    tx: &Transaction<'_>,
    id: &GroupId,
    generation: i64,
    fault: &Fault,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let Some(row) = groups::lock(tx, id).await? else {
        return Ok(false);
    };
    let group = &row.group;
    let is_waiting = match group.state {
        GroupState::Due => true,
        GroupState::Combining => {
            let lease = groups::lease(tx, id).await?;
            lease.is_none_or(|until| until <= now)
        }
        _ => false,
    };
    if group.generation != generation || !is_waiting {
        return Ok(false);
    }
    groups::lose_run(tx, id, now).await?;
    groups::set_state(tx, id, GroupState::Failed, None, Some(fault), now).await?;
    fail_release(tx, &group.release_id, &group.job_id, fault, now).await?;
    Ok(true)
}

async fn fail_release(
    tx: &Transaction<'_>,
    release_id: &str,
    job_id: &str,
    fault: &Fault,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let at = At(now);
    let sql = "UPDATE app.asset_releases SET processing_status = 'failed', last_error = $2,
                   processing_completed_at = $3::timestamp, updated_at = $3::timestamp WHERE release_id = $1";
    let message = platform::last_error(&fault.message);
    execute(tx, sql, &[&Text(release_id), &Text(message), &at]).await?;
    platform::keep_completed(tx, release_id).await?;
    let sql = "UPDATE app.jobs SET status = 'failed', error_details = $2, updated_at = $3::timestamp WHERE job_id = $1";
    execute(tx, sql, &[&Text(job_id), &Text(&fault.message), &at]).await?;
    tasks::fail(tx, job_id, fault, now).await?;
    let event = Event::of("processing_failed").because(Some(&fault.message));
    platform::audit(tx, release_id, &event, now).await
}
