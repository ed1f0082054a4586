//! The tasks of a job: scan, validate, `generate_ref`, combine, `register_stac`.
//!
//! Files are read when they land, before there is a job to do it for; their tasks are written, done, when a claim
//! says which versions count.

use jiff::Timestamp;
use rusqlite::Transaction;
use serde_json::{Value, json as object};

use super::values::time_text;
use crate::stores::ledger::{LedgerError, SourceFile, ids};

const SCAN: (&str, i64) = ("scan", 1);
const VALIDATE: (&str, i64) = ("validate", 2);
const GENERATE_REF: (&str, i64) = ("generate_ref", 3);
const COMBINE: (&str, i64) = ("combine", 4);
const REGISTER_STAC: (&str, i64) = ("register_stac", 5);

/// Plans the tasks that every job has, and forgets those of earlier runs.
pub(super) fn plan(tx: &Transaction<'_>, job_id: &str, now: Timestamp) -> Result<(), LedgerError> {
    tx.execute("DELETE FROM app_tasks WHERE parent_job_id = ?1", [job_id])?;
    for kind in [SCAN, COMBINE, REGISTER_STAC] {
        insert(tx, job_id, kind, 0, "pending", &Value::Null, now)?;
    }
    Ok(())
}

/// Begins a run over these members: what was read of them is done, the combine is under way.
pub(super) fn begin(
    tx: &Transaction<'_>,
    job_id: &str,
    members: &[SourceFile],
    now: Timestamp,
) -> Result<(), LedgerError> {
    plan(tx, job_id, now)?;
    let urls: Vec<String> = members.iter().map(|file| file.path.short()).collect();
    let total = members
        .iter()
        .map(|file| file.size)
        .fold(0, u64::saturating_add);
    let scan = object!({"nc_files": urls, "file_count": urls.len(), "total_size_bytes": total});
    finish(tx, job_id, SCAN, "completed", Some(&scan), None, now)?;
    for (index, file) in members.iter().enumerate() {
        let url = file.path.short();
        let validated = object!({"nc_url": url, "findings": file.findings});
        insert(tx, job_id, VALIDATE, index, "completed", &validated, now)?;
        let generated = object!({"nc_url": url, "reference_path": file.reference_path});
        insert(
            tx,
            job_id,
            GENERATE_REF,
            index,
            "completed",
            &generated,
            now,
        )?;
    }
    finish(tx, job_id, COMBINE, "processing", None, None, now)
}

/// Records that the combine is published and its item cached.
pub(super) fn complete(
    tx: &Transaction<'_>,
    job_id: &str,
    result: &Value,
    item_id: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    finish(tx, job_id, COMBINE, "completed", Some(result), None, now)?;
    let cached = object!({"stac_item_id": item_id, "stac_item_cached": true});
    finish(
        tx,
        job_id,
        REGISTER_STAC,
        "completed",
        Some(&cached),
        None,
        now,
    )
}

/// Records that the combine failed.
pub(super) fn fail(
    tx: &Transaction<'_>,
    job_id: &str,
    error: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    finish(tx, job_id, COMBINE, "failed", None, Some(error), now)
}

fn insert(
    tx: &Transaction<'_>,
    job_id: &str,
    (kind, stage): (&str, i64),
    index: usize,
    status: &str,
    result: &Value,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let task_id = format!("{job_id}-s{stage}-{kind}-{index}");
    let result = (!result.is_null()).then(|| result.to_string());
    let sql = "INSERT INTO app_tasks (task_id, parent_job_id, job_type, task_type, stage, task_index, status,
                   result_data, created_at, updated_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)";
    let row = (
        task_id,
        job_id,
        ids::JOB_TYPE,
        kind,
        stage,
        index.to_string(),
        status,
        result,
        time_text(now),
    );
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn finish(
    tx: &Transaction<'_>,
    job_id: &str,
    (kind, _): (&str, i64),
    status: &str,
    result: Option<&Value>,
    error: Option<&str>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql =
        "UPDATE app_tasks SET status = ?3, result_data = ?4, error_details = ?5, updated_at = ?6
               WHERE parent_job_id = ?1 AND task_type = ?2";
    let result = result.map(Value::to_string);
    tx.execute(sql, (job_id, kind, status, result, error, time_text(now)))?;
    Ok(())
}
