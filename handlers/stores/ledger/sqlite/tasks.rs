//! The tasks of a job: what `work` says of them, as rows.

use jiff::Timestamp;
use rusqlite::Transaction;
use serde_json::{Value, json as object};

use super::values::time_text;
use crate::stores::ledger::work::{self, COMBINE, Kind, NewTask, REGISTER_STAC};
use crate::stores::ledger::{Fault, LedgerError, SourceFile, ids};

/// Plans the tasks that every job has, and forgets those of earlier runs.
pub(super) fn plan(tx: &Transaction<'_>, job_id: &str, now: Timestamp) -> Result<(), LedgerError> {
    replace(tx, job_id, &work::planned(now), now)
}

/// Begins a run over these members: what was read of them is done, the combine is under way.
pub(super) fn begin(
    tx: &Transaction<'_>,
    job_id: &str,
    members: &[SourceFile],
    now: Timestamp,
) -> Result<(), LedgerError> {
    replace(tx, job_id, &work::begun(members, now), now)
}

/// Records which members are at fault: nothing came after.
pub(super) fn block(
    tx: &Transaction<'_>,
    job_id: &str,
    members: &[SourceFile],
    now: Timestamp,
) -> Result<(), LedgerError> {
    replace(tx, job_id, &work::blocked(members, now), now)
}

/// Records that the combine is published and its item cached.
pub(super) fn complete(
    tx: &Transaction<'_>,
    job_id: &str,
    result: &Value,
    item_id: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    finish(tx, job_id, COMBINE, "completed", result, None, now)?;
    let cached = object!({"stac_item_id": item_id, "stac_item_cached": true});
    finish(tx, job_id, REGISTER_STAC, "completed", &cached, None, now)
}

/// Records that the combine failed.
pub(super) fn fail(
    tx: &Transaction<'_>,
    job_id: &str,
    fault: &Fault,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let (result, error) = (work::failure(fault), Some(fault.message.as_str()));
    finish(tx, job_id, COMBINE, "failed", &result, error, now)?;
    let sql = "UPDATE app_tasks SET status = 'cancelled', updated_at = ?3 WHERE parent_job_id = ?1 AND task_type = ?2";
    tx.execute(sql, (job_id, REGISTER_STAC.0, time_text(now)))?;
    Ok(())
}

fn replace(
    tx: &Transaction<'_>,
    job_id: &str,
    tasks: &[NewTask],
    now: Timestamp,
) -> Result<(), LedgerError> {
    tx.execute("DELETE FROM app_tasks WHERE parent_job_id = ?1", [job_id])?;
    tasks
        .iter()
        .try_for_each(|task| insert(tx, job_id, task, now))
}

fn insert(
    tx: &Transaction<'_>,
    job_id: &str,
    task: &NewTask,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let (kind, stage) = task.kind;
    let sql = "INSERT INTO app_tasks (task_id, parent_job_id, job_type, task_type, stage, task_index, status,
                   result_data, error_details, execution_started_at, created_at, updated_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let row = (
        task.id(job_id),
        job_id,
        ids::JOB_TYPE,
        kind,
        stage,
        task.index.to_string(),
        task.status,
        task.result.as_ref().map(Value::to_string),
        &task.error,
        task.started.map(time_text),
        time_text(now),
        time_text(task.updated),
    );
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn finish(
    tx: &Transaction<'_>,
    job_id: &str,
    (kind, _): Kind,
    status: &str,
    result: &Value,
    error: Option<&str>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql =
        "UPDATE app_tasks SET status = ?3, result_data = ?4, error_details = ?5, updated_at = ?6,
                   execution_started_at = coalesce(execution_started_at, ?6)
               WHERE parent_job_id = ?1 AND task_type = ?2";
    let result = result.to_string();
    tx.execute(sql, (job_id, kind, status, result, error, time_text(now)))?;
    Ok(())
}
