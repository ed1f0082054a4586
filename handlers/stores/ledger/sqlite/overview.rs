//! Everything at a glance, for the status page.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{Params, Row, Transaction};

use super::SqliteLedger;
use super::values::{json, optional_json, optional_time, time, time_text, unsigned, variant};
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::overview::{
    ChangedRelease, Details, Expects, FileAtFault, FilesOfState, Findings, MOST_AT_FAULT,
    MOST_PARTS, Members, Minute, Overview, OverviewLedger, OverviewQuery, Part, ReleaseAtAGlance,
    Section, Series, findings_of_files, findings_of_group,
};
use crate::stores::ledger::{GroupId, LedgerError};

#[async_trait]
impl OverviewLedger for SqliteLedger {
    async fn overview(&self, wanted: &OverviewQuery) -> Result<Overview, LedgerError> {
        let wanted = wanted.clone();
        self.database.read(move |tx| overview(tx, &wanted)).await
    }
}

fn overview(tx: &Transaction<'_>, wanted: &OverviewQuery) -> Result<Overview, LedgerError> {
    let mut series = series(tx, wanted)?;
    details(tx, &series)?.add_to(&mut series);
    Ok(Overview {
        sections: sections(tx, wanted)?,
        series,
        files: files(tx)?,
        at_fault: at_fault(tx, wanted)?,
        throughput: throughput(tx, wanted)?,
    })
}

/// Groups `told` with their section, those that are looked for.
const TOLD: &str = "
    WITH told AS (
        SELECT g.id, g.updated_at, CASE
                   WHEN g.state IN ('blocked', 'failed', 'stale') THEN 'attention'
                   WHEN g.state IN ('due', 'combining') THEN 'combining'
                   WHEN g.state = 'collecting' THEN 'collecting'
                   WHEN r.approval_state = 'pending_review' AND r.processing_status = 'completed' THEN 'review'
                   WHEN r.approval_state = 'approved' THEN 'published'
                   ELSE 'withdrawn'
               END AS section
        FROM landfall_source_group g
        LEFT JOIN app_asset_releases r ON r.release_id = g.release_id
        LEFT JOIN app_assets a ON a.asset_id = g.asset_id
        WHERE instr(lower(coalesce(a.dataset_id || '/' || a.resource_id, '') || ' ' || g.prefix), lower(?1)) > 0)";

fn sections(
    tx: &Transaction<'_>,
    wanted: &OverviewQuery,
) -> Result<BTreeMap<Section, u64>, LedgerError> {
    let sql = format!("{TOLD} SELECT section, count(*) FROM told GROUP BY section");
    let counted = list(tx, &sql, [&wanted.search], |row| {
        Ok((
            variant("section", row.get(0)?)?,
            unsigned("count", row.get(1)?)?,
        ))
    });
    Ok(counted?.into_iter().collect())
}

fn series(tx: &Transaction<'_>, wanted: &OverviewQuery) -> Result<Vec<Series>, LedgerError> {
    let sql = format!(
        "{TOLD}, placed AS (
             SELECT *, row_number() OVER (PARTITION BY section ORDER BY updated_at DESC, id) AS place FROM told)
         SELECT g.id, p.section, coalesce(a.dataset_id, g.id) AS dataset_id, coalesce(a.resource_id, '') AS resource_id,
             g.declaration ->> 'title' AS title, g.account, g.container, g.prefix,
             coalesce(json_array_length(g.declaration, '$.options.expected.files'),
                      g.declaration ->> '$.options.expected.count') AS count,
             g.declaration -> '$.options.expected.time_range' AS time_range,
             g.declaration ->> '$.options.expected.quiet_period' AS quiet_period,
             g.state, g.generation, g.quiet_until, g.fault, g.findings, g.updated_at, c.started_at,
             r.release_id, r.version_id, r.version_ordinal, r.revision, r.blob_path IS NOT NULL AS is_published,
             r.approval_state, r.clearance_state, r.stac_item_json -> 'properties' AS properties
         FROM placed p
         JOIN landfall_source_group g ON g.id = p.id
         LEFT JOIN app_assets a ON a.asset_id = g.asset_id
         LEFT JOIN app_asset_releases r ON r.release_id = g.release_id
         LEFT JOIN landfall_combine_run c ON c.group_id = g.id AND c.state = 'running'
         WHERE p.place <= ?2 AND (?3 IS NULL OR p.section = ?3)
         ORDER BY p.place"
    );
    let section = wanted
        .section
        .map(|section| super::values::word("section", &section))
        .transpose()?;
    list(
        tx,
        &sql,
        (&wanted.search, wanted.limit, section),
        one_series,
    )
}

fn one_series(row: &Row<'_>) -> Result<Series, LedgerError> {
    let count: Option<i64> = row.get("count")?;
    Ok(Series {
        id: GroupId(row.get("id")?),
        section: variant("section", row.get("section")?)?,
        dataset_id: row.get("dataset_id")?,
        resource_id: row.get("resource_id")?,
        title: row.get("title")?,
        prefix: path(row, "prefix")?,
        expects: Expects {
            count: count.map(|count| unsigned("count", count)).transpose()?,
            time_range: optional_json("time_range", row.get("time_range")?)?,
            quiet_period: row.get("quiet_period")?,
        },
        state: variant("state of a group", row.get("state")?)?,
        generation: row.get("generation")?,
        quiet_until: optional_time("quiet_until", row.get("quiet_until")?)?,
        fault: optional_json("fault", row.get("fault")?)?,
        updated_at: time("updated_at", &row.get::<_, String>("updated_at")?)?,
        combining_since: optional_time("started_at", row.get("started_at")?)?,
        release: release(row)?,
        members: Vec::new(),
        at_fault: Vec::new(),
        findings: findings_of_group(json("findings", &row.get::<_, String>("findings")?)?),
        parts: Vec::new(),
        changed: Vec::new(),
    })
}

fn release(row: &Row<'_>) -> Result<Option<ReleaseAtAGlance>, LedgerError> {
    let Some(release_id) = row.get("release_id")? else {
        return Ok(None);
    };
    Ok(Some(ReleaseAtAGlance {
        release_id,
        version_id: row.get("version_id")?,
        version_ordinal: row.get("version_ordinal")?,
        revision: row.get("revision")?,
        is_published: row.get("is_published")?,
        approval_state: row.get("approval_state")?,
        clearance_state: row.get("clearance_state")?,
        properties: optional_json("properties", row.get("properties")?)?,
    }))
}

/// What belongs to these series.
fn details(tx: &Transaction<'_>, series: &[Series]) -> Result<Details, LedgerError> {
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

fn file_at_fault(row: &Row<'_>) -> Result<FileAtFault, LedgerError> {
    Ok(FileAtFault {
        path: path(row, "blob")?,
        state: variant("state of a file", row.get("state")?)?,
        fault: optional_json("fault", row.get("fault")?)?,
        updated_at: time("updated_at", &row.get::<_, String>("updated_at")?)?,
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

fn files(tx: &Transaction<'_>) -> Result<Vec<FilesOfState>, LedgerError> {
    let sql = "SELECT state, count(*), sum(size), min(updated_at) FROM landfall_source_file GROUP BY state";
    list(tx, sql, [], |row| {
        Ok(FilesOfState {
            state: variant("state of a file", row.get(0)?)?,
            count: unsigned("count", row.get(1)?)?,
            bytes: unsigned("size", row.get(2)?)?,
            oldest: time("updated_at", &row.get::<_, String>(3)?)?,
        })
    })
}

fn at_fault(tx: &Transaction<'_>, wanted: &OverviewQuery) -> Result<Vec<FileAtFault>, LedgerError> {
    let sql = "SELECT f.account, f.container, f.blob, f.state, f.fault, f.updated_at FROM landfall_source_file f
               WHERE f.state IN ('landed', 'rejected', 'failed') AND (f.state <> 'landed' OR f.fault IS NOT NULL)
                   AND (f.state = 'failed' OR NOT EXISTS (
                        SELECT 1 FROM landfall_group_member m WHERE m.file_id = f.id))
                   AND instr(lower(f.blob), lower(?1)) > 0
               ORDER BY f.updated_at DESC, f.id LIMIT ?2";
    list(tx, sql, (&wanted.search, wanted.limit), file_at_fault)
}

fn throughput(tx: &Transaction<'_>, wanted: &OverviewQuery) -> Result<Vec<Minute>, LedgerError> {
    let sql = "SELECT substr(updated_at, 1, 16) || ':00Z' AS minute, count(*), sum(size) FROM landfall_source_file
               WHERE state = 'referenced' AND updated_at >= ?1 GROUP BY minute ORDER BY minute";
    list(tx, sql, [time_text(wanted.since)], |row| {
        Ok(Minute {
            at: time("minute", &row.get::<_, String>(0)?)?,
            files: unsigned("count", row.get(1)?)?,
            bytes: unsigned("size", row.get(2)?)?,
        })
    })
}

fn path(row: &Row<'_>, blob: &str) -> Result<BlobPath, LedgerError> {
    let (account, container): (String, String) = (row.get("account")?, row.get("container")?);
    Ok(BlobPath::new(
        account,
        container,
        row.get::<_, String>(blob)?,
    ))
}

fn list<T>(
    tx: &Transaction<'_>,
    sql: &str,
    parameters: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    let mut statement = tx.prepare_cached(sql)?;
    statement.query_and_then(parameters, read)?.collect()
}
