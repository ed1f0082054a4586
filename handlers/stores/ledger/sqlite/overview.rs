//! Everything at a glance, for the status page.

mod details;

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{Params, Row, Transaction};

use super::SqliteLedger;
use super::values::{json, optional_json, optional_time, time, time_text, unsigned, variant};
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::overview::{
    Expects, FileAtFault, FilesOfState, Minute, Overview, OverviewLedger, OverviewQuery,
    ReleaseAtAGlance, Section, Series, findings_of_group,
};
use crate::stores::ledger::{GroupId, LedgerError};
use details::details;

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

fn file_at_fault(row: &Row<'_>) -> Result<FileAtFault, LedgerError> {
    Ok(FileAtFault {
        path: path(row, "blob")?,
        state: variant("state of a file", row.get("state")?)?,
        fault: optional_json("fault", row.get("fault")?)?,
        updated_at: time("updated_at", &row.get::<_, String>("updated_at")?)?,
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
