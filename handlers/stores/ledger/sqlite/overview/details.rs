//! What belongs to the series that are told.

use rusqlite::Transaction;

use super::{file_at_fault, list};
use crate::stores::ledger::overview::{
    ChangedRelease, Details, FileAtFault, Findings, MOST_AT_FAULT, MOST_PARTS, Members, Part,
    Series, findings_of_files,
};
use crate::stores::ledger::sqlite::values::{unsigned, variant};
use crate::stores::ledger::{GroupId, LedgerError};

/// What belongs to these series.
pub(super) fn details(tx: &Transaction<'_>, series: &[Series]) -> Result<Details, LedgerError> {
    let ids: Vec<&str> = series.iter().map(|one| one.id.0.as_str()).collect();
    let ids = serde_json::Value::from(ids).to_string();
    Ok(Details {
        members: members(tx, &ids)?,
        at_fault: members_at_fault(tx, &ids)?,
        findings: findings(tx, &ids)?,
        parts: parts(tx, &ids)?,
        changed: changed(tx, &ids)?,
    })
}

fn members(tx: &Transaction<'_>, ids: &str) -> Result<Vec<(GroupId, Members)>, LedgerError> {
    let sql = "SELECT m.group_id, f.state, count(*), sum(f.size)
               FROM landfall_group_member m JOIN landfall_source_file f ON f.id = m.file_id
               WHERE m.group_id IN (SELECT value FROM json_each(?1)) GROUP BY m.group_id, f.state";
    list(tx, sql, [ids], |row| {
        let members = Members {
            state: variant("state of a file", row.get(1)?)?,
            count: unsigned("count", row.get(2)?)?,
            bytes: unsigned("size", row.get(3)?)?,
        };
        Ok((GroupId(row.get(0)?), members))
    })
}

fn members_at_fault(
    tx: &Transaction<'_>,
    ids: &str,
) -> Result<Vec<(GroupId, FileAtFault)>, LedgerError> {
    let sql = "SELECT * FROM (
                   SELECT m.group_id, f.account, f.container, f.blob, f.state, f.fault, f.updated_at,
                       row_number() OVER (PARTITION BY m.group_id ORDER BY f.state DESC, f.blob) AS place
                   FROM landfall_group_member m
                   JOIN landfall_source_group g ON g.id = m.group_id
                   JOIN landfall_source_file f ON f.id = m.file_id
                   LEFT JOIN landfall_release_source s ON s.release_id = g.release_id AND s.file_id = f.id
                   WHERE m.group_id IN (SELECT value FROM json_each(?1))
                       AND (f.state IN ('rejected', 'failed') OR (f.state = 'landed' AND f.fault IS NOT NULL)
                            OR (f.state = 'gone' AND s.file_id IS NOT NULL)))
               WHERE place <= ?2 ORDER BY group_id, place";
    list(tx, sql, (ids, MOST_AT_FAULT), |row| {
        Ok((GroupId(row.get("group_id")?), file_at_fault(row)?))
    })
}

fn findings(tx: &Transaction<'_>, ids: &str) -> Result<Vec<(GroupId, Findings)>, LedgerError> {
    let sql = "SELECT m.group_id, j.value ->> 'code' AS code, j.value ->> 'grade' AS grade,
                   min(j.value ->> 'variable') AS variable, min(j.value ->> 'message') AS message,
                   count(DISTINCT f.id) AS files
               FROM landfall_group_member m JOIN landfall_source_file f ON f.id = m.file_id, json_each(f.findings) j
               WHERE m.group_id IN (SELECT value FROM json_each(?1)) AND f.findings <> '[]' AND f.state <> 'gone'
               GROUP BY m.group_id, code, grade ORDER BY m.group_id, files DESC, code";
    list(tx, sql, [ids], |row| {
        let kind = (row.get("code")?, variant("grade", row.get("grade")?)?);
        let files = unsigned("count", row.get("files")?)?;
        let found = findings_of_files(kind, row.get("variable")?, row.get("message")?, files);
        Ok((GroupId(row.get("group_id")?), found))
    })
}

/// Spans of members, joined where no more than a step and a tenth lies between them, as completeness is judged.
fn parts(tx: &Transaction<'_>, ids: &str) -> Result<Vec<(GroupId, Part)>, LedgerError> {
    let sql = "WITH span AS (
                   SELECT m.group_id AS id, f.span ->> 'first' AS first, f.span ->> 'last' AS last,
                       f.span ->> 'largest_step' AS step, f.span ->> 'calendar' AS calendar
                   FROM landfall_group_member m JOIN landfall_source_file f ON f.id = m.file_id
                   WHERE m.group_id IN (SELECT value FROM json_each(?1)) AND f.state = 'referenced'
                       AND f.span IS NOT NULL),
               far AS (
                   SELECT *, first - max(last) OVER (PARTITION BY id ORDER BY first
                                 ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS distance FROM span),
               stepped AS (
                   SELECT id, first, last, calendar, distance,
                       coalesce(nullif(max(step) OVER (PARTITION BY id), 0),
                                min(CASE WHEN distance > 0 THEN distance END) OVER (PARTITION BY id), 0) AS step
                   FROM far),
               numbered AS (
                   SELECT *, sum(CASE WHEN distance > step + step / 10 THEN 1 ELSE 0 END)
                                 OVER (PARTITION BY id ORDER BY first ROWS UNBOUNDED PRECEDING) AS number
                   FROM stepped)
               SELECT id, min(first), max(last), max(step), min(calendar) FROM numbered
               GROUP BY id, min(number, ?2) ORDER BY id, min(first)";
    list(tx, sql, (ids, MOST_PARTS - 1), |row| {
        let part = Part {
            first: row.get(1)?,
            last: row.get(2)?,
            step: row.get(3)?,
            calendar: row.get(4)?,
        };
        Ok((GroupId(row.get(0)?), part))
    })
}

fn changed(tx: &Transaction<'_>, ids: &str) -> Result<Vec<(GroupId, ChangedRelease)>, LedgerError> {
    let sql = "SELECT g.id, r.release_id, r.version_id, count(*), min(f.blob)
               FROM landfall_source_group g
               JOIN app_asset_releases r ON r.asset_id = g.asset_id AND r.approval_state = 'approved'
               JOIN landfall_release_source s ON s.release_id = r.release_id
               JOIN landfall_source_file f ON f.id = s.file_id AND (f.etag <> s.etag OR f.state = 'gone')
               WHERE g.id IN (SELECT value FROM json_each(?1))
               GROUP BY g.id, r.release_id, r.version_id, r.version_ordinal ORDER BY g.id, r.version_ordinal DESC";
    list(tx, sql, [ids], |row| {
        let changed = ChangedRelease {
            release_id: row.get(1)?,
            version_id: row.get(2)?,
            files: unsigned("count", row.get(3)?)?,
            example: row.get(4)?,
        };
        Ok((GroupId(row.get(0)?), changed))
    })
}
