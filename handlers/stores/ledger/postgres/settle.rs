//! Settling a group: which versions of which files count, and whether that is all of them.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use jiff::Timestamp;

use super::database::{Parameters, execute, rows};
use super::groups::{self, GroupRow};
use super::values::optional_text;
use super::{files, platform};
use crate::stores::ledger::rest::{Outcome, is_at_rest, outcome, waiting};
use crate::stores::ledger::{
    FileId, FileState, GroupId, GroupState, Judge, LedgerError, Settled, Snapshot, SourceFile,
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
    let members = members(tx, id).await?;
    let has_changed = count_members(tx, &row.group, &members, now).await?;
    let mut files: Vec<SourceFile> = members.into_iter().map(|(file, _)| file).collect();
    files.retain(|file| file.state != FileState::Gone);
    if has_changed {
        row = groups::load(tx, id).await?;
    } else if is_at_rest(
        row.group.state,
        row.is_refused,
        lease_of(tx, &row).await?,
        &files,
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
        members: &files,
        now,
    });
    let group = if apply(tx, &row.group, &files, verdict, now).await? {
        groups::load(tx, id).await?.group
    } else {
        row.group
    };
    Ok(Settled {
        is_due: group.state == GroupState::Due,
        look_again_at: group.quiet_until,
        group,
    })
}

/// Records the member set; `true`, and the next generation, if it is another one than before.
async fn count_members(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    members: &[(SourceFile, Option<String>)],
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let changed: BTreeMap<FileId, Option<&str>> = members
        .iter()
        .filter(|(file, counted)| current(file) != counted.as_deref())
        .map(|(file, _)| (file.id, current(file)))
        .collect();
    if changed.is_empty() {
        return Ok(false);
    }
    let ids: Vec<i64> = changed.keys().map(|file| file.0).collect();
    let etags: Vec<Option<&str>> = changed.into_values().collect();
    let sql = "UPDATE landfall.group_member m SET etag = n.etag
               FROM unnest($2::bigint[], $3::text[]) AS n (file_id, etag)
               WHERE m.group_id = $1 AND m.file_id = n.file_id";
    let parameters: Parameters<'_> = &[&group.id.0, &ids, &etags];
    let state = waiting(group.state);
    tokio::try_join!(
        execute(tx, sql, parameters),
        groups::next_generation(tx, group, state, now),
    )?;
    Ok(true)
}

/// Until when somebody combines the group. Most groups are asked for nothing.
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
    members: &[SourceFile],
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
            platform::block(tx, group, members, fault, now).await?;
        }
        None => {
            tokio::try_join!(set, platform::requeue(tx, release_id, job_id, now))?;
        }
    }
    Ok(true)
}
