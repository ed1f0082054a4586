//! What belongs to the series that are told.

use tokio_postgres::Row;

use super::file_at_fault;
use crate::stores::ledger::overview::{
    ChangedRelease, Details, FileAtFault, Findings, MOST_AT_FAULT, MOST_PARTS, Members, Part,
    Series, findings_of_files,
};
use crate::stores::ledger::postgres::database::{Session, rows};
use crate::stores::ledger::postgres::values::{Int, int, optional_text, text, unsigned, variant};
use crate::stores::ledger::{GroupId, LedgerError};

/// What belongs to these series.
pub(super) async fn details(
    client: &impl Session,
    series: &[Series],
) -> Result<Details, LedgerError> {
    let ids: Vec<&str> = series.iter().map(|one| one.id.0.as_str()).collect();
    Ok(Details {
        members: members(client, &ids).await?,
        at_fault: members_at_fault(client, &ids).await?,
        findings: findings(client, &ids).await?,
        parts: parts(client, &ids).await?,
        changed: changed(client, &ids).await?,
    })
}

async fn members(
    client: &impl Session,
    ids: &[&str],
) -> Result<Vec<(GroupId, Members)>, LedgerError> {
    let sql = "SELECT m.group_id, f.state, count(*) AS count, sum(f.size)::bigint AS bytes
               FROM landfall.group_member m JOIN landfall.source_file f ON f.id = m.file_id
               WHERE m.group_id = ANY ($1) GROUP BY m.group_id, f.state ORDER BY m.group_id, f.state";
    let found = rows(client, sql, &[&ids]).await?;
    let members = |row| {
        let members = Members {
            state: variant(row, "state")?,
            count: unsigned(row, "count")?,
            bytes: unsigned(row, "bytes")?,
        };
        Ok((group(row)?, members))
    };
    found.iter().map(members).collect()
}

async fn members_at_fault(
    client: &impl Session,
    ids: &[&str],
) -> Result<Vec<(GroupId, FileAtFault)>, LedgerError> {
    let sql = "SELECT * FROM (
                   SELECT m.group_id, f.account, f.container, f.blob, f.state, f.fault, f.updated_at,
                       row_number() OVER (PARTITION BY m.group_id ORDER BY f.state DESC, f.blob) AS place
                   FROM landfall.group_member m
                   JOIN landfall.source_group g ON g.id = m.group_id
                   JOIN landfall.source_file f ON f.id = m.file_id
                   LEFT JOIN landfall.release_source s ON s.release_id = g.release_id AND s.file_id = f.id
                   WHERE m.group_id = ANY ($1)
                       AND (f.state IN ('rejected', 'failed') OR (f.state = 'landed' AND f.fault IS NOT NULL)
                            OR (f.state = 'gone' AND s.file_id IS NOT NULL))) f
               WHERE place <= $2 ORDER BY group_id, place";
    let found = rows(client, sql, &[&ids, &Int(MOST_AT_FAULT.into())]).await?;
    let at_fault = |row| Ok((group(row)?, file_at_fault(row)?));
    found.iter().map(at_fault).collect()
}

async fn findings(
    client: &impl Session,
    ids: &[&str],
) -> Result<Vec<(GroupId, Findings)>, LedgerError> {
    let sql = "SELECT m.group_id, j.value ->> 'code' AS code, j.value ->> 'grade' AS grade,
                   min(j.value ->> 'variable' COLLATE \"C\") AS variable,
                   min(j.value ->> 'message' COLLATE \"C\") AS message, count(DISTINCT f.id) AS files
               FROM landfall.group_member m JOIN landfall.source_file f ON f.id = m.file_id
               CROSS JOIN LATERAL jsonb_array_elements(f.findings) j
               WHERE m.group_id = ANY ($1) AND f.state <> 'gone'
               GROUP BY m.group_id, j.value ->> 'code', j.value ->> 'grade' ORDER BY m.group_id, files DESC, code";
    let found = rows(client, sql, &[&ids]).await?;
    let findings = |row| {
        let kind = (text(row, "code")?, variant(row, "grade")?);
        let variable = optional_text(row, "variable")?;
        let files = unsigned(row, "files")?;
        let found = findings_of_files(kind, variable, text(row, "message")?, files);
        Ok((group(row)?, found))
    };
    found.iter().map(findings).collect()
}

/// Spans of members, joined where no more than a step and a tenth lies between them, as completeness is judged.
async fn parts(client: &impl Session, ids: &[&str]) -> Result<Vec<(GroupId, Part)>, LedgerError> {
    let sql = "WITH span AS (
                   SELECT m.group_id AS id, (f.span ->> 'first')::bigint AS first, (f.span ->> 'last')::bigint AS last,
                       (f.span ->> 'largest_step')::bigint AS step, f.span ->> 'calendar' AS calendar
                   FROM landfall.group_member m JOIN landfall.source_file f ON f.id = m.file_id
                   WHERE m.group_id = ANY ($1) AND f.state = 'referenced' AND f.span IS NOT NULL),
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
               SELECT id AS group_id, min(first) AS first, max(last) AS last, max(step) AS step,
                   min(calendar) AS calendar
               FROM numbered GROUP BY id, least(number, $2) ORDER BY id, min(first)";
    let found = rows(client, sql, &[&ids, &Int((MOST_PARTS - 1).into())]).await?;
    let part = |row| {
        let part = Part {
            first: int(row, "first")?,
            last: int(row, "last")?,
            step: int(row, "step")?,
            calendar: text(row, "calendar")?,
        };
        Ok((group(row)?, part))
    };
    found.iter().map(part).collect()
}

async fn changed(
    client: &impl Session,
    ids: &[&str],
) -> Result<Vec<(GroupId, ChangedRelease)>, LedgerError> {
    let sql = "SELECT g.id AS group_id, r.release_id, r.version_id, count(*) AS count, min(f.blob) AS example
               FROM landfall.source_group g
               JOIN app.asset_releases r ON r.asset_id = g.asset_id AND r.approval_state = 'approved'
               JOIN landfall.release_source s ON s.release_id = r.release_id
               JOIN landfall.source_file f ON f.id = s.file_id AND (f.etag <> s.etag OR f.state = 'gone')
               WHERE g.id = ANY ($1)
               GROUP BY g.id, r.release_id, r.version_id, r.version_ordinal ORDER BY g.id, r.version_ordinal DESC";
    let found = rows(client, sql, &[&ids]).await?;
    let changed = |row| {
        let changed = ChangedRelease {
            release_id: text(row, "release_id")?,
            version_id: optional_text(row, "version_id")?,
            files: unsigned(row, "count")?,
            example: text(row, "example")?,
        };
        Ok((group(row)?, changed))
    };
    found.iter().map(changed).collect()
}

fn group(row: &Row) -> Result<GroupId, LedgerError> {
    text(row, "group_id").map(GroupId)
}
