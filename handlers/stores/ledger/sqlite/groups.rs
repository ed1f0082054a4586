//! Groups: rows, members, and when one is complete.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Params, Row, Transaction, named_params};

use super::values::{
    json, json_text, optional_json, optional_time, time, time_text, variant, word,
};
use super::{files, platform};
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::audit::{Event, LEFT};
use crate::stores::ledger::place::{is_covered, is_named, lies_below};
use crate::stores::ledger::{
    Declaration, Fault, FileId, FileState, GroupId, GroupState, LedgerError, SourceFile,
    SourceGroup,
};

/// A group with what only the store needs to know of it.
#[derive(Debug)]
pub(super) struct GroupRow {
    pub(super) group: SourceGroup,
    pub(super) asset_id: String,
    /// Blocked by a combine that refused its input.
    pub(super) is_refused: bool,
}

/// Groups that satisfy a condition, oldest first.
fn select(
    tx: &Transaction<'_>,
    condition: &str,
    params: impl Params,
) -> Result<Vec<GroupRow>, LedgerError> {
    let sql =
        format!("SELECT * FROM landfall_source_group WHERE {condition} ORDER BY created_at, id");
    let mut statement = tx.prepare_cached(&sql)?;
    statement.query_and_then(params, from_row)?.collect()
}

fn from_row(row: &Row<'_>) -> Result<GroupRow, LedgerError> {
    let group = SourceGroup {
        id: GroupId(row.get("id")?),
        declaration: json("declaration", &row.get::<_, String>("declaration")?)?,
        release_id: row.get("release_id")?,
        job_id: row.get("job_id")?,
        state: variant("state of a group", row.get("state")?)?,
        generation: row.get("generation")?,
        quiet_until: optional_time("quiet_until", row.get("quiet_until")?)?,
        fault: optional_json("fault", row.get("fault")?)?,
        findings: json("findings", &row.get::<_, String>("findings")?)?,
        updated_at: time("updated_at", &row.get::<_, String>("updated_at")?)?,
    };
    Ok(GroupRow {
        group,
        asset_id: row.get("asset_id")?,
        is_refused: row.get("is_refused")?,
    })
}

fn groups(rows: Vec<GroupRow>) -> Vec<SourceGroup> {
    rows.into_iter().map(|row| row.group).collect()
}

pub(super) fn find(tx: &Transaction<'_>, group: &GroupId) -> Result<Option<GroupRow>, LedgerError> {
    Ok(select(tx, "id = ?1", [&group.0])?.pop())
}

pub(super) fn load(tx: &Transaction<'_>, group: &GroupId) -> Result<GroupRow, LedgerError> {
    find(tx, group)?.ok_or_else(|| LedgerError::UnknownGroup(group.clone()))
}

pub(super) fn of_release(
    tx: &Transaction<'_>,
    release_id: &str,
) -> Result<Option<SourceGroup>, LedgerError> {
    let condition = "asset_id = (SELECT asset_id FROM app_asset_releases WHERE release_id = ?1)";
    Ok(groups(select(tx, condition, [release_id])?).pop())
}

pub(super) fn of_file(tx: &Transaction<'_>, file: FileId) -> Result<Vec<GroupId>, LedgerError> {
    let sql = "SELECT group_id FROM landfall_group_member WHERE file_id = ?1 ORDER BY group_id";
    let mut statement = tx.prepare_cached(sql)?;
    statement
        .query_and_then([file.0], |row| Ok(GroupId(row.get(0)?)))?
        .collect()
}

pub(super) fn shared_members(
    tx: &Transaction<'_>,
    group: &GroupId,
) -> Result<BTreeMap<GroupId, Vec<FileId>>, LedgerError> {
    let sql = "SELECT o.group_id, o.file_id
               FROM landfall_group_member m JOIN landfall_group_member o ON o.file_id = m.file_id
               WHERE m.group_id = ?1 AND o.group_id <> ?1 ORDER BY o.group_id, o.file_id";
    let mut statement = tx.prepare_cached(sql)?;
    let mut shared: BTreeMap<GroupId, Vec<FileId>> = BTreeMap::new();
    let mut rows = statement.query([&group.0])?;
    while let Some(row) = rows.next()? {
        let other = GroupId(row.get(0)?);
        shared.entry(other).or_default().push(FileId(row.get(1)?));
    }
    Ok(shared)
}

pub(super) fn overdue(
    tx: &Transaction<'_>,
    now: Timestamp,
) -> Result<Vec<SourceGroup>, LedgerError> {
    // The last line: members whose outcome was recorded by a process that ended before it settled their groups.
    let condition = "state IN ('due', 'failed') OR (state = 'collecting' AND quiet_until <= ?1)
                     OR (state = 'combining' AND NOT EXISTS (
                         SELECT 1 FROM landfall_combine_run c
                         WHERE c.group_id = landfall_source_group.id AND c.state = 'running' AND c.lease_until > ?1))
                     OR EXISTS (
                         SELECT 1 FROM landfall_group_member m JOIN landfall_source_file f ON f.id = m.file_id
                         WHERE m.group_id = landfall_source_group.id
                             AND (m.etag IS NOT CASE WHEN f.state = 'referenced' THEN f.etag END
                                  OR (f.state = 'rejected' AND landfall_source_group.state <> 'blocked')))";
    Ok(groups(select(tx, condition, [time_text(now)])?))
}

/// Declared groups whose place and named files fit a blob.
pub(super) fn declared_for(
    tx: &Transaction<'_>,
    path: &BlobPath,
) -> Result<Vec<SourceGroup>, LedgerError> {
    // What lies elsewhere may be thousands of names in each of a thousand groups: it is not even read.
    let condition = "account = ?1 AND container = ?2 AND origin <> 'auto'
                     AND (prefix = ?3 OR rtrim(prefix, '/') = ''
                          OR substr(?3, 1, length(rtrim(prefix, '/')) + 1) = rtrim(prefix, '/') || '/')";
    let parameters = (&path.account, &path.container, &path.blob);
    let mut found = groups(select(tx, condition, parameters)?);
    found.retain(|group| {
        lies_below(&path.blob, &group.declaration.prefix.blob) && is_named(group, path)
    });
    Ok(found)
}

pub(super) fn members(
    tx: &Transaction<'_>,
    group: &GroupId,
) -> Result<Vec<SourceFile>, LedgerError> {
    files::select(
        tx,
        "id IN (SELECT file_id FROM landfall_group_member WHERE group_id = ?1)",
        [&group.0],
    )
}

pub(super) fn add_member(
    tx: &Transaction<'_>,
    group: &GroupId,
    file: FileId,
    leave_auto: bool,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO landfall_group_member (group_id, file_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    tx.prepare_cached(sql)?.execute((&group.0, file.0))?;
    if !leave_auto {
        return Ok(());
    }
    let condition = "origin = 'auto' AND id <> ?1
                     AND id IN (SELECT group_id FROM landfall_group_member WHERE file_id = ?2)
                     AND NOT EXISTS (SELECT 1 FROM landfall_combine_run c
                                     WHERE c.group_id = landfall_source_group.id AND c.state = 'published')";
    for row in select(tx, condition, (&group.0, file.0))? {
        let sql = "DELETE FROM landfall_group_member WHERE group_id = ?1 AND file_id = ?2";
        tx.execute(sql, (&row.group.id.0, file.0))?;
        match has_files(tx, &row.group.id)? {
            true => next_generation(tx, &row.group, GroupState::Collecting, now)?,
            false => dissolve(tx, &row.group, now)?,
        }
    }
    Ok(())
}

/// Whether a group holds a file that is there.
fn has_files(tx: &Transaction<'_>, group: &GroupId) -> Result<bool, LedgerError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM landfall_group_member m
                              JOIN landfall_source_file f ON f.id = m.file_id AND f.state <> 'gone'
                              WHERE m.group_id = ?1)";
    Ok(tx.query_row(sql, [&group.0], |row| row.get(0))?)
}

/// Takes back a group that nobody asked for, that was never combined and that holds no file any more.
fn dissolve(tx: &Transaction<'_>, group: &SourceGroup, now: Timestamp) -> Result<(), LedgerError> {
    let release = platform::release(tx, &group.release_id)?;
    let release = release.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let event = Event::of("overwritten").because(Some(LEFT));
    platform::audit(tx, &group.release_id, &event, now)?;
    let sql = "DELETE FROM landfall_source_group WHERE id = ?1";
    tx.execute(sql, [&group.id.0])?;
    platform::withdraw_release(tx, &release)
}

/// Starts the next generation of every group that holds a file which landed anew or is gone.
pub(super) fn start_next_generation(
    tx: &Transaction<'_>,
    file: FileId,
    now: Timestamp,
    cause: FileState,
) -> Result<(), LedgerError> {
    let condition = "id IN (SELECT group_id FROM landfall_group_member WHERE file_id = ?1)";
    for GroupRow { group, .. } in select(tx, condition, [file.0])? {
        let is_stale = cause == FileState::Gone && was_combined(tx, &group.id)?;
        let state = if is_stale {
            GroupState::Stale
        } else {
            GroupState::Collecting
        };
        next_generation(tx, &group, state, now)?;
    }
    Ok(())
}

/// Starts the next generation of a group; a run of an older one is discarded from now on.
pub(super) fn next_generation(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    state: GroupState,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "UPDATE landfall_source_group SET generation = generation + 1 WHERE id = ?1";
    tx.execute(sql, [&group.id.0])?;
    let sql = "UPDATE landfall_combine_run SET state = 'discarded', finished_at = ?2
               WHERE group_id = ?1 AND state = 'running'";
    tx.execute(sql, (&group.id.0, time_text(now)))?;
    set_state(tx, &group.id, state, None, None, now)?;
    platform::requeue(tx, &group.release_id, &group.job_id, now)
}

/// Whether a combine of the group was ever published.
pub(super) fn was_combined(tx: &Transaction<'_>, group: &GroupId) -> Result<bool, LedgerError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM landfall_combine_run WHERE group_id = ?1 AND state = 'published')";
    Ok(tx.query_row(sql, [&group.0], |row| row.get(0))?)
}

/// Sets the state with all that depends on it.
pub(super) fn set_state(
    tx: &Transaction<'_>,
    group: &GroupId,
    state: GroupState,
    quiet_until: Option<Timestamp>,
    fault: Option<&Fault>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let fault = fault.map(|fault| json_text("fault", fault)).transpose()?;
    let sql = "UPDATE landfall_source_group
               SET state = ?2, quiet_until = ?3, fault = ?4, is_refused = 0, updated_at = ?5 WHERE id = ?1";
    let row = (
        &group.0,
        word("state", &state)?,
        quiet_until.map(time_text),
        fault,
        time_text(now),
    );
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Until when the running combine of a group holds its claim.
pub(super) fn lease(
    tx: &Transaction<'_>,
    group: &GroupId,
) -> Result<Option<Timestamp>, LedgerError> {
    let sql =
        "SELECT lease_until FROM landfall_combine_run WHERE group_id = ?1 AND state = 'running'";
    optional_time(
        "lease_until",
        tx.query_row(sql, [&group.0], |row| row.get(0)).optional()?,
    )
}

/// Ends the running combine of a group because its lease ran out.
pub(super) fn lose_run(
    tx: &Transaction<'_>,
    group: &GroupId,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "UPDATE landfall_combine_run SET state = 'lost', finished_at = ?2
               WHERE group_id = ?1 AND state = 'running'";
    tx.execute(sql, (&group.0, time_text(now)))?;
    Ok(())
}

/// Records a declaration that replaces the one before, and leaves out members that it does not cover.
pub(super) fn redeclare(
    tx: &Transaction<'_>,
    row: &GroupRow,
    release: &platform::NewRelease,
    declaration: &Declaration,
) -> Result<(), LedgerError> {
    let group = &row.group;
    for file in members(tx, &group.id)? {
        let is_kept = is_covered(&file.path, &declaration.prefix)
            && declaration.options.file_pattern == group.declaration.options.file_pattern;
        if !is_kept {
            let sql = "DELETE FROM landfall_group_member WHERE group_id = ?1 AND file_id = ?2";
            tx.execute(sql, (&group.id.0, file.id.0))?;
        }
    }
    write(tx, &group.id, &row.asset_id, release, declaration)?;
    let group = load(tx, &group.id)?.group;
    next_generation(tx, &group, GroupState::Collecting, declaration.at)
}

/// Writes the row of a group; one that is there keeps its generation.
pub(super) fn write(
    tx: &Transaction<'_>,
    id: &GroupId,
    asset_id: &str,
    release: &platform::NewRelease,
    declaration: &Declaration,
) -> Result<(), LedgerError> {
    let prefix = &declaration.prefix;
    let params = named_params! {
        ":id": id.0, ":asset": asset_id, ":release": release.release_id, ":job": release.job_id,
        ":origin": word("origin", &declaration.origin)?, ":account": prefix.account, ":container": prefix.container,
        ":prefix": prefix.blob, ":declaration": json_text("declaration", declaration)?,
        ":at": time_text(declaration.at),
    };
    tx.execute(
        "INSERT INTO landfall_source_group (id, asset_id, release_id, job_id, origin, account, container, prefix,
             declaration, state, generation, created_at, updated_at)
         VALUES (:id, :asset, :release, :job, :origin, :account, :container, :prefix, :declaration, 'collecting', 1,
             :at, :at)
         ON CONFLICT (id) DO UPDATE SET release_id = excluded.release_id, job_id = excluded.job_id,
             origin = excluded.origin, account = excluded.account, container = excluded.container,
             prefix = excluded.prefix, declaration = excluded.declaration, updated_at = excluded.updated_at",
        params,
    )?;
    Ok(())
}
