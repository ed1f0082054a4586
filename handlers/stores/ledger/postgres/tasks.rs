//! The tasks of a job: scan, validate, `generate_ref`, combine, `register_stac`.
//!
//! Files are read when they land, before there is a job to do it for; their tasks are written, done, when a claim
//! says which versions count. All of them in one statement: a series may have thousands.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use serde_json::{Value, json as object};

use super::database::{Parameters, execute};
use super::values::{At, Text, document};
use crate::stores::ledger::{LedgerError, SourceFile, ids};

const SCAN: (&str, i32) = ("scan", 1);
const VALIDATE: (&str, i32) = ("validate", 2);
const GENERATE_REF: (&str, i32) = ("generate_ref", 3);
const COMBINE: (&str, i32) = ("combine", 4);
const REGISTER_STAC: (&str, i32) = ("register_stac", 5);

/// Tasks to insert, by column.
#[derive(Debug, Default)]
struct Rows {
    ids: Vec<String>,
    kinds: Vec<&'static str>,
    stages: Vec<i32>,
    indexes: Vec<String>,
    statuses: Vec<&'static str>,
    results: Vec<Option<Value>>,
}

impl Rows {
    fn add(
        &mut self,
        job_id: &str,
        (kind, stage): (&'static str, i32),
        index: usize,
        status: &'static str,
        result: Option<Value>,
    ) {
        self.ids.push(format!("{job_id}-s{stage}-{kind}-{index}"));
        self.kinds.push(kind);
        self.stages.push(stage);
        self.indexes.push(index.to_string());
        self.statuses.push(status);
        self.results.push(result);
    }

    async fn insert(
        self,
        tx: &Transaction<'_>,
        job_id: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let sql = "INSERT INTO app.tasks (task_id, parent_job_id, job_type, task_type, stage, task_index, parameters,
                       status, result_data, metadata, retry_count, created_at, updated_at)
                   SELECT n.id, $1, $2, n.kind, n.stage, n.index, '{}', n.status::app.task_status, n.result, '{}', 0,
                       $9::timestamp, $9::timestamp
                   FROM unnest($3::text[], $4::text[], $5::integer[], $6::text[], $7::text[], $8::jsonb[])
                       AS n (id, kind, stage, index, status, result)";
        let results = self.results.iter().map(|result| {
            let document = result.as_ref().map(|value| document("result_data", value));
            document.transpose()
        });
        let results = results.collect::<Result<Vec<_>, _>>()?;
        let parameters: Parameters<'_> = &[
            &Text(job_id),
            &Text(ids::JOB_TYPE),
            &self.ids,
            &self.kinds,
            &self.stages,
            &self.indexes,
            &self.statuses,
            &results,
            &At(now),
        ];
        execute(tx, sql, parameters).await?;
        Ok(())
    }
}

/// Plans the tasks that every job has, and forgets those of earlier runs.
pub(super) async fn plan(
    tx: &Transaction<'_>,
    job_id: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let mut rows = Rows::default();
    for kind in [SCAN, COMBINE, REGISTER_STAC] {
        rows.add(job_id, kind, 0, "pending", None);
    }
    replace(tx, job_id, rows, now).await
}

async fn replace(
    tx: &Transaction<'_>,
    job_id: &str,
    rows: Rows,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "DELETE FROM app.tasks WHERE parent_job_id = $1";
    execute(tx, sql, &[&Text(job_id)]).await?;
    rows.insert(tx, job_id, now).await
}

/// Begins a run over these members: what was read of them is done, the combine is under way.
pub(super) async fn begin(
    tx: &Transaction<'_>,
    job_id: &str,
    members: &[SourceFile],
    now: Timestamp,
) -> Result<(), LedgerError> {
    let urls: Vec<String> = members.iter().map(|file| file.path.short()).collect();
    let total = members
        .iter()
        .map(|file| file.size)
        .fold(0, u64::saturating_add);
    let scan = object!({"nc_files": urls, "file_count": urls.len(), "total_size_bytes": total});
    let mut rows = Rows::default();
    rows.add(job_id, SCAN, 0, "completed", Some(scan));
    for (index, file) in members.iter().enumerate() {
        let url = file.path.short();
        let validated = object!({"nc_url": url, "findings": file.findings});
        rows.add(job_id, VALIDATE, index, "completed", Some(validated));
        let generated = object!({"nc_url": url, "reference_path": file.reference_path});
        rows.add(job_id, GENERATE_REF, index, "completed", Some(generated));
    }
    rows.add(job_id, COMBINE, 0, "processing", None);
    rows.add(job_id, REGISTER_STAC, 0, "pending", None);
    replace(tx, job_id, rows, now).await
}

/// Records that the combine is published and its item cached.
pub(super) async fn complete(
    tx: &Transaction<'_>,
    job_id: &str,
    result: &Value,
    item_id: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    finish(tx, job_id, COMBINE, "completed", (Some(result), None), now).await?;
    let cached = object!({"stac_item_id": item_id, "stac_item_cached": true});
    finish(
        tx,
        job_id,
        REGISTER_STAC,
        "completed",
        (Some(&cached), None),
        now,
    )
    .await
}

/// Records that the combine failed.
pub(super) async fn fail(
    tx: &Transaction<'_>,
    job_id: &str,
    error: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    finish(tx, job_id, COMBINE, "failed", (None, Some(error)), now).await
}

async fn finish(
    tx: &Transaction<'_>,
    job_id: &str,
    (kind, _): (&str, i32),
    status: &str,
    (result, error): (Option<&Value>, Option<&str>),
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql =
        "UPDATE app.tasks SET status = $3, result_data = $4, error_details = $5, updated_at = $6::timestamp
               WHERE parent_job_id = $1 AND task_type = $2";
    let result = result.map(|value| document("result_data", value));
    let row: Parameters<'_> = &[
        &Text(job_id),
        &Text(kind),
        &Text(status),
        &result.transpose()?,
        &error.map(Text),
        &At(now),
    ];
    execute(tx, sql, row).await?;
    Ok(())
}
