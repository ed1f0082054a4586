//! Everything at a glance, for the status page.

mod details;

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::PostgresLedger;
use super::database::{Parameters, Session, rows, transact};
use super::values::{
    At, Int, flag, int, json, optional_json, optional_text, optional_time, text, time, unsigned,
    variant, word,
};
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::overview::{
    Expects, FileAtFault, FilesOfState, Minute, Overview, OverviewLedger, OverviewQuery,
    ReleaseAtAGlance, Section, Series, findings_of_group,
};
use crate::stores::ledger::{GroupId, LedgerError};
use details::details;

#[async_trait]
impl OverviewLedger for PostgresLedger {
    async fn overview(&self, wanted: &OverviewQuery) -> Result<Overview, LedgerError> {
        transact!(self.database, tx => overview(tx, wanted))
    }
}

async fn overview(client: &impl Session, wanted: &OverviewQuery) -> Result<Overview, LedgerError> {
    let mut series = series(client, wanted).await?;
    details(client, &series).await?.add_to(&mut series);
    Ok(Overview {
        sections: sections(client, wanted).await?,
        series,
        files: files(client).await?,
        at_fault: at_fault(client, wanted).await?,
        throughput: throughput(client, wanted).await?,
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
        FROM landfall.source_group g
        LEFT JOIN app.asset_releases r ON r.release_id = g.release_id
        LEFT JOIN app.assets a ON a.asset_id = g.asset_id
        WHERE strpos(lower(coalesce(a.dataset_id || '/' || a.resource_id, '') || ' ' || g.prefix), lower($1)) > 0)";

async fn sections(
    client: &impl Session,
    wanted: &OverviewQuery,
) -> Result<BTreeMap<Section, u64>, LedgerError> {
    let sql = format!("{TOLD} SELECT section, count(*) AS count FROM told GROUP BY section");
    let counted = rows(client, &sql, &[&wanted.search]).await?;
    let counted = counted
        .iter()
        .map(|row| Ok((variant(row, "section")?, unsigned(row, "count")?)));
    counted.collect()
}

async fn series(client: &impl Session, wanted: &OverviewQuery) -> Result<Vec<Series>, LedgerError> {
    let sql = format!(
        "{TOLD}, placed AS (
             SELECT *, row_number() OVER (PARTITION BY section ORDER BY updated_at DESC, id) AS place FROM told)
         SELECT g.id, p.section, coalesce(a.dataset_id, g.id) AS dataset_id, coalesce(a.resource_id, '') AS resource_id,
             g.declaration ->> 'title' AS title, g.account, g.container, g.prefix,
             coalesce(jsonb_array_length(g.declaration #> '{{options,expected,files}}'),
                      (g.declaration #>> '{{options,expected,count}}')::bigint) AS count,
             g.declaration #> '{{options,expected,time_range}}' AS time_range,
             g.declaration #>> '{{options,expected,quiet_period}}' AS quiet_period,
             g.state, g.generation, g.quiet_until, g.fault, g.findings, g.updated_at, c.started_at,
             r.release_id, r.version_id, r.version_ordinal, r.revision, r.blob_path IS NOT NULL AS is_published,
             r.approval_state, r.clearance_state, r.stac_item_json -> 'properties' AS properties
         FROM placed p
         JOIN landfall.source_group g ON g.id = p.id
         LEFT JOIN app.assets a ON a.asset_id = g.asset_id
         LEFT JOIN app.asset_releases r ON r.release_id = g.release_id
         LEFT JOIN landfall.combine_run c ON c.group_id = g.id AND c.state = 'running'
         WHERE p.place <= $2 AND ($3::text IS NULL OR p.section = $3)
         ORDER BY p.place"
    );
    let section = wanted
        .section
        .map(|section| word("section", &section))
        .transpose()?;
    let parameters: Parameters<'_> = &[&wanted.search, &Int(wanted.limit.into()), &section];
    let found = rows(client, &sql, parameters).await?;
    found.iter().map(one_series).collect()
}

fn one_series(row: &Row) -> Result<Series, LedgerError> {
    let count = row.try_get::<_, Option<Int>>("count")?;
    Ok(Series {
        id: GroupId(text(row, "id")?),
        section: variant(row, "section")?,
        dataset_id: text(row, "dataset_id")?,
        resource_id: text(row, "resource_id")?,
        title: optional_text(row, "title")?,
        prefix: path(row, "prefix")?,
        expects: Expects {
            count: count.map(|_| unsigned(row, "count")).transpose()?,
            time_range: optional_json(row, "time_range")?,
            quiet_period: optional_text(row, "quiet_period")?,
        },
        state: variant(row, "state")?,
        generation: int(row, "generation")?,
        quiet_until: optional_time(row, "quiet_until")?,
        fault: optional_json(row, "fault")?,
        updated_at: time(row, "updated_at")?,
        combining_since: optional_time(row, "started_at")?,
        release: release(row)?,
        members: Vec::new(),
        at_fault: Vec::new(),
        findings: findings_of_group(json(row, "findings")?),
        parts: Vec::new(),
        changed: Vec::new(),
    })
}

fn release(row: &Row) -> Result<Option<ReleaseAtAGlance>, LedgerError> {
    let Some(release_id) = optional_text(row, "release_id")? else {
        return Ok(None);
    };
    Ok(Some(ReleaseAtAGlance {
        release_id,
        version_id: optional_text(row, "version_id")?,
        version_ordinal: int(row, "version_ordinal")?,
        revision: int(row, "revision")?,
        is_published: flag(row, "is_published")?,
        approval_state: text(row, "approval_state")?,
        clearance_state: text(row, "clearance_state")?,
        properties: optional_json(row, "properties")?,
    }))
}

fn file_at_fault(row: &Row) -> Result<FileAtFault, LedgerError> {
    Ok(FileAtFault {
        path: path(row, "blob")?,
        state: variant(row, "state")?,
        fault: optional_json(row, "fault")?,
        updated_at: time(row, "updated_at")?,
    })
}

async fn files(client: &impl Session) -> Result<Vec<FilesOfState>, LedgerError> {
    let sql =
        "SELECT state, count(*) AS count, sum(size)::bigint AS bytes, min(updated_at) AS oldest
               FROM landfall.source_file GROUP BY state ORDER BY state";
    let found = rows(client, sql, &[]).await?;
    let files = |row| {
        Ok(FilesOfState {
            state: variant(row, "state")?,
            count: unsigned(row, "count")?,
            bytes: unsigned(row, "bytes")?,
            oldest: time(row, "oldest")?,
        })
    };
    found.iter().map(files).collect()
}

async fn at_fault(
    client: &impl Session,
    wanted: &OverviewQuery,
) -> Result<Vec<FileAtFault>, LedgerError> {
    let sql = "SELECT f.account, f.container, f.blob, f.state, f.fault, f.updated_at FROM landfall.source_file f
               WHERE f.state IN ('landed', 'rejected', 'failed') AND (f.state <> 'landed' OR f.fault IS NOT NULL)
                   AND (f.state = 'failed' OR NOT EXISTS (
                        SELECT FROM landfall.group_member m WHERE m.file_id = f.id))
                   AND strpos(lower(f.blob), lower($1)) > 0
               ORDER BY f.updated_at DESC, f.id LIMIT $2";
    let found = rows(client, sql, &[&wanted.search, &Int(wanted.limit.into())]).await?;
    found.iter().map(file_at_fault).collect()
}

async fn throughput(
    client: &impl Session,
    wanted: &OverviewQuery,
) -> Result<Vec<Minute>, LedgerError> {
    let sql = "SELECT date_trunc('minute', updated_at, 'UTC') AS minute, count(*) AS count, sum(size)::bigint AS bytes
               FROM landfall.source_file WHERE state = 'referenced' AND updated_at >= $1
               GROUP BY minute ORDER BY minute";
    let found = rows(client, sql, &[&At(wanted.since)]).await?;
    let minute = |row| {
        Ok(Minute {
            at: time(row, "minute")?,
            files: unsigned(row, "count")?,
            bytes: unsigned(row, "bytes")?,
        })
    };
    found.iter().map(minute).collect()
}

fn path(row: &Row, blob: &'static str) -> Result<BlobPath, LedgerError> {
    let (account, container) = (text(row, "account")?, text(row, "container")?);
    Ok(BlobPath::new(account, container, text(row, blob)?))
}
