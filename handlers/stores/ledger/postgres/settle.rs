//! Settling a group: which versions of which files count, and whether that is all of them.

use deadpool_postgres::Transaction;
use jiff::Timestamp;

use super::database::{Parameters, execute, row, rows};
use super::groups::{self, GroupRow};
use super::values::{optional_text, optional_time, unsigned};
use super::{files, platform};
use crate::stores::ledger::rest::{Outcome, is_at_rest, outcome, waiting};
use crate::stores::ledger::{
    Counts, FileState, GroupId, GroupState, Judge, LedgerError, Settled, Snapshot, SourceFile,
    SourceGroup, Verdict,
};

/// The members of a group at one moment, each with the version that counts in the current generation.
async fn members(
    tx: &Transaction<'_>,
    group: &GroupId,
) -> Result<Vec<(SourceFile, Option<String>)>, LedgerError> {
    let sql = format!(
        "SELECT {}, counted FROM landfall.source_file
         JOIN (SELECT m.file_id, m.etag AS counted FROM landfall.group_member m WHERE m.group_id = $1) m
             ON m.file_id = id
         ORDER BY blob, id",
        files::COLUMNS
    );
    let found = rows(tx, &sql, &[&group.0]).await?;
    found
        .iter()
        .map(|row| Ok((files::from_row(row)?, optional_text(row, "counted")?)))
        .collect()
}

/// The version of a file that counts now.
fn current(file: &SourceFile) -> Option<&str> {
    (file.state == FileState::Referenced).then_some(file.etag.as_str())
}

/// The members that a run of this generation combines; `None` if they are not what was settled on.
pub(super) async fn settled_members(
    tx: &Transaction<'_>,
    group: &GroupId,
) -> Result<Option<Vec<SourceFile>>, LedgerError> {
    let members = members(tx, group).await?;
    let is_settled = members
        .iter()
        .all(|(file, counted)| current(file) == counted.as_deref());
    let referenced = members
        .into_iter()
        .filter(|(file, _)| file.state == FileState::Referenced)
        .map(|(file, _)| file);
    Ok(is_settled.then(|| referenced.collect()))
}

pub(super) async fn settle(
    tx: &Transaction<'_>,
    id: &GroupId,
    judge: Judge,
    now: Timestamp,
) -> Result<Settled, LedgerError> {
    let mut row = groups::load(tx, id).await?;
    let (counts, has_changed) = count(tx, id).await?;
    if has_changed {
        count_current(tx, &row.group, now).await?;
        row = groups::load(tx, id).await?;
    } else if is_at_rest(
        row.group.state,
        row.is_refused,
        lease_of(tx, &row).await?,
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
        None => judge_members(tx, &row.group, judge, now).await?,
    };
    let group = if apply(tx, &row.group, verdict, now).await? {
        groups::load(tx, id).await?.group
    } else {
        row.group
    };
    Ok(Settled {
        is_due: group.state == GroupState::Due,
        look_again_at: group.quiet_until,
        referenced: counts.referenced,
        group,
    })
}

async fn judge_members(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    judge: Judge,
    now: Timestamp,
) -> Result<Verdict, LedgerError> {
    let members = present(tx, group).await?;
    Ok((judge.by_members)(&Snapshot {
        group,
        members: &members,
        now,
    }))
}

/// The members that are not gone.
async fn present(
    tx: &Transaction<'_>,
    group: &SourceGroup,
) -> Result<Vec<SourceFile>, LedgerError> {
    let mut members = groups::members(tx, &group.id).await?;
    members.retain(|file| file.state != FileState::Gone);
    Ok(members)
}

/// How many members there are, and whether others than in the current generation.
async fn count(tx: &Transaction<'_>, group: &GroupId) -> Result<(Counts, bool), LedgerError> {
    let sql = "SELECT count(*) FILTER (WHERE f.state <> 'gone') AS members,
                      count(*) FILTER (WHERE f.state = 'referenced') AS referenced,
                      count(*) FILTER (WHERE f.state = 'rejected') AS rejected,
                      max(f.landed_at) FILTER (WHERE f.state <> 'gone') AS last_landed,
                      count(*) FILTER (WHERE m.etag IS DISTINCT FROM
                                           CASE WHEN f.state = 'referenced' THEN f.etag END) AS changed
               FROM landfall.group_member m JOIN landfall.source_file f ON f.id = m.file_id WHERE m.group_id = $1";
    let found = row(tx, sql, &[&group.0]).await?;
    let row = found.ok_or_else(|| LedgerError::UnknownGroup(group.clone()))?;
    let counts = Counts {
        members: unsigned(&row, "members")?,
        referenced: unsigned(&row, "referenced")?,
        rejected: unsigned(&row, "rejected")?,
        last_landed: optional_time(&row, "last_landed")?,
    };
    Ok((counts, unsigned(&row, "changed")? > 0))
}

/// Records the member set as it is now, and starts the next generation.
async fn count_current(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql =
        "UPDATE landfall.group_member m SET etag = CASE WHEN f.state = 'referenced' THEN f.etag END
               FROM landfall.source_file f
               WHERE m.group_id = $1 AND f.id = m.file_id
                   AND m.etag IS DISTINCT FROM CASE WHEN f.state = 'referenced' THEN f.etag END";
    let parameters: Parameters<'_> = &[&group.id.0];
    let state = waiting(group.state);
    tokio::try_join!(
        execute(tx, sql, parameters),
        groups::next_generation(tx, group, state, now),
    )?;
    Ok(())
}

/// Until when somebody combines the group. Most groups need not be asked for.
async fn lease_of(tx: &Transaction<'_>, row: &GroupRow) -> Result<Option<Timestamp>, LedgerError> {
    match row.group.state {
        GroupState::Combining => groups::lease(tx, &row.group.id).await,
        _ => Ok(None),
    }
}

/// Records what the group is now; `false` if it is that already.
async fn apply(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    verdict: Verdict,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    if group.state == GroupState::Combining {
        groups::lose_run(tx, &group.id, now).await?;
    }
    let Some(Outcome {
        state,
        quiet_until,
        fault,
    }) = outcome(group, verdict)
    else {
        return Ok(false);
    };
    let (release_id, job_id) = (&group.release_id, &group.job_id);
    let set = groups::set_state(tx, &group.id, state, quiet_until, fault.as_ref(), now);
    match &fault {
        Some(fault) => {
            set.await?;
            platform::block(tx, group, &present(tx, group).await?, fault, now).await?;
        }
        None => {
            tokio::try_join!(set, platform::requeue(tx, release_id, job_id, now))?;
        }
    }
    Ok(true)
}
