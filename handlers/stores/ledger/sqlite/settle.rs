//! Settling a group: which versions of which files count, and whether that is all of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Transaction;

use super::groups::{lease, load, lose_run, members, next_generation, set_state};
use super::platform;
use crate::stores::ledger::rest::{Outcome, is_at_rest, outcome, waiting};
use crate::stores::ledger::{
    FileId, FileState, GroupId, GroupState, Judge, LedgerError, Settled, Snapshot, SourceFile,
    SourceGroup, Verdict,
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
    let mut members = members(tx, id)?;
    members.retain(|file| file.state != FileState::Gone);
    if count_members(tx, &row.group, &members, now)? {
        row = load(tx, id)?;
    } else if is_at_rest(
        row.group.state,
        row.is_refused,
        lease(tx, id)?,
        &members,
        now,
    ) {
        return Ok(Settled {
            group: row.group,
            is_due: false,
            look_again_at: None,
        });
    }
    let verdict = judge(&Snapshot {
        group: &row.group,
        members: &members,
        now,
    });
    apply(tx, &row.group, &members, verdict, now)?;
    let group = load(tx, id)?.group;
    Ok(Settled {
        is_due: group.state == GroupState::Due,
        look_again_at: group.quiet_until,
        group,
    })
}

/// Records the member set; `true`, and the next generation, if it is another one than before.
fn count_members(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    members: &[SourceFile],
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let (before, current) = (counted(tx, &group.id)?, referenced(members));
    if before == current {
        return Ok(false);
    }
    let mut statement = tx.prepare_cached(
        "UPDATE landfall_group_member SET etag = ?3 WHERE group_id = ?1 AND file_id = ?2",
    )?;
    for file in before.keys().filter(|file| !current.contains_key(file)) {
        statement.execute((&group.id.0, file.0, None::<&str>))?;
    }
    for (file, etag) in current
        .iter()
        .filter(|(file, etag)| before.get(file) != Some(etag))
    {
        statement.execute((&group.id.0, file.0, Some(etag)))?;
    }
    let state = waiting(group.state);
    next_generation(tx, group, state, now)?;
    Ok(true)
}

fn apply(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    members: &[SourceFile],
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
        Some(fault) => platform::block(tx, group, members, &fault, now),
        None => platform::requeue(tx, &group.release_id, &group.job_id, now),
    }
}
