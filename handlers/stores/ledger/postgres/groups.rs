//! Groups: rows, members, and what starts their next generation.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::database::{Parameters, Session, execute, one, row, rows};
use super::values::{
    At, Text, document, flag, int, json, optional_json, optional_time, text, time, variant, word,
};
use super::{files, platform};
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::audit::{Event, LEFT};
use crate::stores::ledger::place::{is_covered, is_named, lies_below};
use crate::stores::ledger::{
    Declaration, Fault, FileId, FileState, GroupId, GroupState, LedgerError, SourceFile,
    SourceGroup,
};

const COLUMNS: &str = "g.id, g.asset_id, g.release_id, g.job_id, g.declaration, g.state, g.is_refused, g.generation, \
     g.quiet_until, g.fault, g.findings, g.updated_at";

/// A group with what only the store needs to know of it.
#[derive(Debug)]
pub(super) struct GroupRow {
    pub(super) group: SourceGroup,
    pub(super) asset_id: String,
    /// Blocked by a combine that refused its input.
    pub(super) is_refused: bool,
}

/// Groups `g` that satisfy a condition, oldest first.
async fn select(
    client: &impl Session,
    condition: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<SourceGroup>, LedgerError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM landfall.source_group g WHERE {condition} ORDER BY g.created_at, g.id"
    );
    let found = rows(client, &sql, parameters).await?;
    found.iter().map(|row| Ok(from_row(row)?.group)).collect()
}

fn from_row(row: &Row) -> Result<GroupRow, LedgerError> {
    let group = SourceGroup {
        id: GroupId(text(row, "id")?),
        declaration: json(row, "declaration")?,
        release_id: text(row, "release_id")?,
        job_id: text(row, "job_id")?,
        state: variant(row, "state")?,
        generation: int(row, "generation")?,
        quiet_until: optional_time(row, "quiet_until")?,
        fault: optional_json(row, "fault")?,
        findings: json(row, "findings")?,
        updated_at: time(row, "updated_at")?,
    };
    Ok(GroupRow {
        group,
        asset_id: text(row, "asset_id")?,
        is_refused: flag(row, "is_refused")?,
    })
}

pub(super) async fn find(
    client: &impl Session,
    group: &GroupId,
) -> Result<Option<SourceGroup>, LedgerError> {
    Ok(select(client, "g.id = $1", &[&group.0]).await?.pop())
}

/// The group with an id, which nobody else changes until the transaction ends. Foreign keys may still refer to it.
pub(super) async fn lock(
    tx: &Transaction<'_>,
    group: &GroupId,
) -> Result<Option<GroupRow>, LedgerError> {
    let sql =
        format!("SELECT {COLUMNS} FROM landfall.source_group g WHERE g.id = $1 FOR NO KEY UPDATE");
    let found = row(tx, &sql, &[&group.0]).await?;
    found.as_ref().map(from_row).transpose()
}

/// The group with an id, as the transaction has left it; it is locked again, which costs nothing.
pub(super) async fn load(tx: &Transaction<'_>, group: &GroupId) -> Result<GroupRow, LedgerError> {
    let found = lock(tx, group).await?;
    found.ok_or_else(|| LedgerError::UnknownGroup(group.clone()))
}

/// Locks the groups that satisfy a condition, in the order of their ids, as everybody does.
async fn lock_all(
    tx: &Transaction<'_>,
    condition: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<SourceGroup>, LedgerError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM landfall.source_group g WHERE {condition} ORDER BY g.id FOR NO KEY UPDATE"
    );
    let found = rows(tx, &sql, parameters).await?;
    found.iter().map(|row| Ok(from_row(row)?.group)).collect()
}

pub(super) async fn of_release(
    client: &impl Session,
    release_id: &str,
) -> Result<Option<SourceGroup>, LedgerError> {
    let condition =
        "g.asset_id = (SELECT r.asset_id FROM app.asset_releases r WHERE r.release_id = $1)";
    Ok(select(client, condition, &[&Text(release_id)]).await?.pop())
}

pub(super) async fn of_file(
    client: &impl Session,
    file: FileId,
) -> Result<Vec<GroupId>, LedgerError> {
    let sql = "SELECT group_id FROM landfall.group_member WHERE file_id = $1 ORDER BY group_id";
    let found = rows(client, sql, &[&file.0]).await?;
    found
        .iter()
        .map(|row| text(row, "group_id").map(GroupId))
        .collect()
}

pub(super) async fn shared_members(
    client: &impl Session,
    group: &GroupId,
) -> Result<BTreeMap<GroupId, Vec<FileId>>, LedgerError> {
    let sql = "SELECT o.group_id, o.file_id
               FROM landfall.group_member m JOIN landfall.group_member o ON o.file_id = m.file_id
               WHERE m.group_id = $1 AND o.group_id <> $1 ORDER BY o.group_id, o.file_id";
    let mut shared: BTreeMap<GroupId, Vec<FileId>> = BTreeMap::new();
    for row in rows(client, sql, &[&Text(&group.0)]).await? {
        let other = GroupId(text(&row, "group_id")?);
        let files = shared.entry(other).or_default();
        files.push(FileId(int(&row, "file_id")?));
    }
    Ok(shared)
}

pub(super) async fn overdue(
    client: &impl Session,
    now: Timestamp,
) -> Result<Vec<SourceGroup>, LedgerError> {
    // The last line: members whose outcome was recorded by a process that ended before it settled their groups.
    let condition = "g.state IN ('due', 'failed') OR (g.state = 'collecting' AND g.quiet_until <= $1)
                     OR (g.state = 'combining' AND NOT EXISTS (
                         SELECT 1 FROM landfall.combine_run c
                         WHERE c.group_id = g.id AND c.state = 'running' AND c.lease_until > $1))
                     OR EXISTS (
                         SELECT 1 FROM landfall.group_member m JOIN landfall.source_file f ON f.id = m.file_id
                         WHERE m.group_id = g.id
                             AND (m.etag IS DISTINCT FROM CASE WHEN f.state = 'referenced' THEN f.etag END
                                  OR (f.state = 'rejected' AND g.state <> 'blocked')))";
    select(client, condition, &[&At(now)]).await
}

/// Declared groups whose place and named files fit a blob.
pub(super) async fn declared_for(
    client: &impl Session,
    path: &BlobPath,
) -> Result<Vec<SourceGroup>, LedgerError> {
    // What lies elsewhere may be thousands of names in each of a thousand groups: it is not even read.
    let condition = "g.account = $1 AND g.container = $2 AND g.origin <> 'auto'
                     AND (g.prefix = $3 OR rtrim(g.prefix, '/') = '' OR starts_with($3, rtrim(g.prefix, '/') || '/'))";
    let parameters: Parameters<'_> = &[&path.account, &path.container, &path.blob];
    let mut found = select(client, condition, parameters).await?;
    found.retain(|group| {
        lies_below(&path.blob, &group.declaration.prefix.blob) && is_named(group, path)
    });
    Ok(found)
}

pub(super) async fn members(
    client: &impl Session,
    group: &GroupId,
) -> Result<Vec<SourceFile>, LedgerError> {
    let condition = "id IN (SELECT m.file_id FROM landfall.group_member m WHERE m.group_id = $1)";
    files::select(client, condition, &[&group.0]).await
}

/// Makes a file a member. Its row is locked first: a landing of a newer version either sees the membership, or is
/// seen here.
pub(super) async fn add_member(
    tx: &Transaction<'_>,
    group: &GroupId,
    file: FileId,
    leave_auto: bool,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "SELECT id FROM landfall.source_file WHERE id = $1 FOR SHARE";
    row(tx, sql, &[&file.0]).await?;
    let sql = "INSERT INTO landfall.group_member (group_id, file_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    execute(tx, sql, &[&group.0, &file.0]).await?;
    if !leave_auto {
        return Ok(());
    }
    let condition = "g.origin = 'auto' AND g.id <> $1
                     AND g.id IN (SELECT m.group_id FROM landfall.group_member m WHERE m.file_id = $2)
                     AND NOT EXISTS (SELECT 1 FROM landfall.combine_run c
                                     WHERE c.group_id = g.id AND c.state = 'published')";
    for left in lock_all(tx, condition, &[&group.0, &file.0]).await? {
        let sql = "DELETE FROM landfall.group_member WHERE group_id = $1 AND file_id = $2";
        execute(tx, sql, &[&left.id.0, &file.0]).await?;
        match has_files(tx, &left.id).await? {
            true => next_generation(tx, &left, GroupState::Collecting, now).await?,
            false => dissolve(tx, &left, now).await?,
        }
    }
    Ok(())
}

/// Whether a group holds a file that is there.
async fn has_files(tx: &Transaction<'_>, group: &GroupId) -> Result<bool, LedgerError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM landfall.group_member m
                              JOIN landfall.source_file f ON f.id = m.file_id AND f.state <> 'gone'
                              WHERE m.group_id = $1) AS found";
    flag(&one(tx, sql, &[&group.0]).await?, "found")
}

/// Takes back a locked group that nobody asked for, that was never combined and that holds no file any more.
async fn dissolve(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    now: Timestamp,
) -> Result<(), LedgerError> {
    platform::lock(tx, &group.release_id).await?;
    let release = platform::load(tx, &group.release_id).await?;
    let event = Event::of("overwritten").because(Some(LEFT));
    platform::audit(tx, &group.release_id, &event, now).await?;
    let sql = "DELETE FROM landfall.source_group WHERE id = $1";
    execute(tx, sql, &[&group.id.0]).await?;
    platform::withdraw_release(tx, &release).await
}

/// Starts the next generation of every group that holds a file which landed anew or is gone.
pub(super) async fn start_next_generation(
    tx: &Transaction<'_>,
    file: FileId,
    now: Timestamp,
    cause: FileState,
) -> Result<(), LedgerError> {
    let condition = "g.id IN (SELECT m.group_id FROM landfall.group_member m WHERE m.file_id = $1)";
    for group in lock_all(tx, condition, &[&file.0]).await? {
        let is_stale = cause == FileState::Gone && was_combined(tx, &group.id).await?;
        let state = if is_stale {
            GroupState::Stale
        } else {
            GroupState::Collecting
        };
        next_generation(tx, &group, state, now).await?;
    }
    Ok(())
}

/// Starts the next generation of a locked group; a run of an older one is discarded from now on.
pub(super) async fn next_generation(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    state: GroupState,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "UPDATE landfall.source_group SET generation = generation + 1, state = $2, quiet_until = NULL,
                   fault = NULL, is_refused = false, updated_at = $3 WHERE id = $1";
    let (state, at) = (Text(word("state", &state)?), At(now));
    let key: Parameters<'_> = &[&group.id.0, &state, &at];
    // None waits for another's answer: one round trip.
    tokio::try_join!(
        execute(tx, sql, key),
        end_run(tx, &group.id, "discarded", now),
        platform::requeue(tx, &group.release_id, &group.job_id, now),
    )?;
    Ok(())
}

/// Whether a combine of the group was ever published.
pub(super) async fn was_combined(
    tx: &Transaction<'_>,
    group: &GroupId,
) -> Result<bool, LedgerError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM landfall.combine_run
                              WHERE group_id = $1 AND state = 'published') AS found";
    flag(&one(tx, sql, &[&group.0]).await?, "found")
}

/// Sets the state with all that depends on it.
pub(super) async fn set_state(
    tx: &Transaction<'_>,
    group: &GroupId,
    state: GroupState,
    quiet_until: Option<Timestamp>,
    fault: Option<&Fault>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "UPDATE landfall.source_group
               SET state = $2, quiet_until = $3, fault = $4, is_refused = false, updated_at = $5 WHERE id = $1";
    let fault = fault.map(|fault| document("fault", fault)).transpose()?;
    let (state, quiet_until) = (Text(word("state", &state)?), quiet_until.map(At));
    let key: Parameters<'_> = &[&group.0, &state, &quiet_until, &fault, &At(now)];
    execute(tx, sql, key).await?;
    Ok(())
}

/// Until when the running combine of a group holds its claim.
pub(super) async fn lease(
    tx: &Transaction<'_>,
    group: &GroupId,
) -> Result<Option<Timestamp>, LedgerError> {
    let sql =
        "SELECT lease_until FROM landfall.combine_run WHERE group_id = $1 AND state = 'running'";
    let found = row(tx, sql, &[&group.0]).await?;
    found
        .as_ref()
        .map(|row| time(row, "lease_until"))
        .transpose()
}

/// Ends the running combine of a group because its lease ran out.
pub(super) async fn lose_run(
    tx: &Transaction<'_>,
    group: &GroupId,
    now: Timestamp,
) -> Result<(), LedgerError> {
    end_run(tx, group, "lost", now).await
}

async fn end_run(
    tx: &Transaction<'_>,
    group: &GroupId,
    end: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "UPDATE landfall.combine_run SET state = $3, finished_at = $2
               WHERE group_id = $1 AND state = 'running'";
    execute(tx, sql, &[&group.0, &At(now), &end]).await?;
    Ok(())
}

/// Records a declaration that replaces the one before, and leaves out members that it does not cover.
pub(super) async fn redeclare(
    tx: &Transaction<'_>,
    row: &GroupRow,
    release: &platform::NewRelease,
    declaration: &Declaration,
) -> Result<(), LedgerError> {
    let group = &row.group;
    let has_pattern = declaration.options.file_pattern == group.declaration.options.file_pattern;
    let members = members(tx, &group.id).await?;
    let left: Vec<i64> = members
        .iter()
        .filter(|file| !(has_pattern && is_covered(&file.path, &declaration.prefix)))
        .map(|file| file.id.0)
        .collect();
    let sql = "DELETE FROM landfall.group_member WHERE group_id = $1 AND file_id = ANY ($2)";
    execute(tx, sql, &[&group.id.0, &left]).await?;
    write(tx, &group.id, &row.asset_id, release, declaration).await?;
    let group = load(tx, &group.id).await?.group;
    next_generation(tx, &group, GroupState::Collecting, declaration.at).await
}

/// Writes the row of a group; one that is there keeps its generation.
pub(super) async fn write(
    tx: &Transaction<'_>,
    id: &GroupId,
    asset_id: &str,
    release: &platform::NewRelease,
    declaration: &Declaration,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO landfall.source_group (id, asset_id, release_id, job_id, origin, account, container, prefix,
                   declaration, state, generation, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'collecting', 1, $10, $10)
               ON CONFLICT (id) DO UPDATE SET release_id = excluded.release_id, job_id = excluded.job_id,
                   origin = excluded.origin, account = excluded.account, container = excluded.container,
                   prefix = excluded.prefix, declaration = excluded.declaration, updated_at = excluded.updated_at";
    let prefix = &declaration.prefix;
    let parameters: Parameters<'_> = &[
        &id.0,
        &asset_id,
        &release.release_id,
        &release.job_id,
        &Text(word("origin", &declaration.origin)?),
        &prefix.account,
        &prefix.container,
        &prefix.blob,
        &document("declaration", declaration)?,
        &At(declaration.at),
    ];
    execute(tx, sql, parameters).await?;
    Ok(())
}
