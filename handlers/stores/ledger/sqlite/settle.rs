//! Settling a group: which versions of which files count, and whether that is all of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Transaction;

use super::groups::{lease, load, lose_run, members, next_generation, set_state};
use super::platform;
use super::values::{optional_time, unsigned};
use crate::stores::ledger::rest::{Outcome, is_at_rest, outcome, waiting};
use crate::stores::ledger::{
    Counts, FileId, FileState, GroupId, GroupState, Judge, LedgerError, Settled, Snapshot,
    SourceFile, SourceGroup, Verdict,
};

/// The member set of the current generation: each file with the version that counts.
fn counted(tx: &Transaction<'_>, group: &GroupId) -> Result<BTreeMap<FileId, String>, LedgerError> {
    let sql =
        "SELECT file_id, etag FROM landfall_group_member WHERE group_id = ?1 AND etag IS NOT NULL";
    let mut statement = tx.prepare_cached(sql)?;
    statement
        .query_and_then([&group.0], |row| Ok((FileId(row.get(0)?), row.get(1)?)))?
        .collect()
}

fn referenced(members: &[SourceFile]) -> BTreeMap<FileId, String> {
    let with_reference = members
        .iter()
        .filter(|file| file.state == FileState::Referenced);
    with_reference
        .map(|file| (file.id, file.etag.clone()))
        .collect()
}

/// The members that a run of this generation combines; `None` if they are not what was settled on.
pub(super) fn settled_members(
    tx: &Transaction<'_>,
    group: &GroupId,
) -> Result<Option<Vec<SourceFile>>, LedgerError> {
    let members = members(tx, group)?;
    let is_settled = referenced(&members) == counted(tx, group)?;
    Ok(is_settled.then(|| {
        members
            .into_iter()
            .filter(|file| file.state == FileState::Referenced)
            .collect()
    }))
}

pub(super) fn settle(
    tx: &Transaction<'_>,
    id: &GroupId,
    judge: Judge,
    now: Timestamp,
) -> Result<Settled, LedgerError> {
    let mut row = load(tx, id)?;
    let (counts, has_changed) = count(tx, id)?;
    if has_changed {
        count_current(tx, &row.group, now)?;
        row = load(tx, id)?;
    } else if is_at_rest(
        row.group.state,
        row.is_refused,
        lease(tx, id)?,
        &counts,
        now,
    ) {
        return Ok(Settled {
            group: row.group,
            is_due: false,
            look_again_at: None,
            referenced: counts.referenced,
        });
    }
    let verdict = match (judge.by_counts)(&row.group, &counts, now) {
        Some(verdict) => verdict,
        None => judge_members(tx, &row.group, judge, now)?,
    };
    apply(tx, &row.group, verdict, now)?;
    let group = load(tx, id)?.group;
    Ok(Settled {
        is_due: group.state == GroupState::Due,
        look_again_at: group.quiet_until,
        referenced: counts.referenced,
        group,
    })
}

fn judge_members(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    judge: Judge,
    now: Timestamp,
) -> Result<Verdict, LedgerError> {
    let members = present(tx, group)?;
    Ok((judge.by_members)(&Snapshot {
        group,
        members: &members,
        now,
    }))
}

/// The members that are not gone.
fn present(tx: &Transaction<'_>, group: &SourceGroup) -> Result<Vec<SourceFile>, LedgerError> {
    let mut members = members(tx, &group.id)?;
    members.retain(|file| file.state != FileState::Gone);
    Ok(members)
}

/// How many members there are, and whether others than in the current generation.
fn count(tx: &Transaction<'_>, group: &GroupId) -> Result<(Counts, bool), LedgerError> {
    let sql = "SELECT count(*) FILTER (WHERE f.state <> 'gone') AS members,
                      count(*) FILTER (WHERE f.state = 'referenced') AS referenced,
                      count(*) FILTER (WHERE f.state = 'rejected') AS rejected,
                      max(f.landed_at) FILTER (WHERE f.state <> 'gone') AS last_landed,
                      count(*) FILTER (WHERE m.etag IS NOT CASE WHEN f.state = 'referenced' THEN f.etag END) AS changed
               FROM landfall_group_member m JOIN landfall_source_file f ON f.id = m.file_id WHERE m.group_id = ?1";
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query_and_then([&group.0], |row| {
        let number = |name: &'static str| unsigned(name, row.get(name)?);
        let counts = Counts {
            members: number("members")?,
            referenced: number("referenced")?,
            rejected: number("rejected")?,
            last_landed: optional_time("landed_at", row.get("last_landed")?)?,
        };
        Ok((counts, number("changed")? > 0))
    })?;
    rows.next()
        .unwrap_or_else(|| Err(LedgerError::UnknownGroup(group.clone())))
}

/// Records the member set as it is now, and starts the next generation.
fn count_current(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "UPDATE landfall_group_member AS m
               SET etag = (SELECT CASE WHEN f.state = 'referenced' THEN f.etag END
                           FROM landfall_source_file f WHERE f.id = m.file_id)
               WHERE m.group_id = ?1
                   AND m.etag IS NOT (SELECT CASE WHEN f.state = 'referenced' THEN f.etag END
                                      FROM landfall_source_file f WHERE f.id = m.file_id)";
    tx.prepare_cached(sql)?.execute([&group.id.0])?;
    let state = waiting(group.state);
    next_generation(tx, group, state, now)
}

fn apply(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    verdict: Verdict,
    now: Timestamp,
) -> Result<(), LedgerError> {
    lose_run(tx, &group.id, now)?;
    let Some(Outcome {
        state,
        quiet_until,
        fault,
    }) = outcome(group, verdict)
    else {
        return Ok(());
    };
    set_state(tx, &group.id, state, quiet_until, fault.as_ref(), now)?;
    match fault {
        Some(fault) => platform::block(tx, group, &present(tx, group)?, &fault, now),
        None => platform::requeue(tx, &group.release_id, &group.job_id, now),
    }
}
