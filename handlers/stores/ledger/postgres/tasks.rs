//! The tasks of a job: what `work` says of them, as rows. All of them in one statement: a series may have thousands.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use serde_json::{Value, json as object};

use super::database::{Parameters, execute};
use super::values::{At, Text, document};
use crate::stores::ledger::work::{self, COMBINE, Kind, NewTask, REGISTER_STAC};
use crate::stores::ledger::{Fault, LedgerError, SourceFile, ids};

/// Plans the tasks that every job has, and forgets those of earlier runs.
pub(super) async fn plan(
    tx: &Transaction<'_>,
    job_id: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    replace(tx, job_id, &work::planned(now), now).await
}

/// Begins a run over these members: what was read of them is done, the combine is under way.
pub(super) async fn begin(
    tx: &Transaction<'_>,
    job_id: &str,
    members: &[SourceFile],
    now: Timestamp,
) -> Result<(), LedgerError> {
    replace(tx, job_id, &work::begun(members, now), now).await
}

/// Records which members are at fault: nothing came after.
pub(super) async fn block(
    tx: &Transaction<'_>,
    job_id: &str,
    members: &[SourceFile],
    now: Timestamp,
) -> Result<(), LedgerError> {
    replace(tx, job_id, &work::blocked(members, now), now).await
}

/// Records that the combine is published and its item cached.
pub(super) async fn complete(
    tx: &Transaction<'_>,
    job_id: &str,
    result: &Value,
    item_id: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    finish(tx, job_id, COMBINE, "completed", (result, None), now).await?;
    let cached = object!({"stac_item_id": item_id, "stac_item_cached": true});
    let done = (&cached, None);
    finish(tx, job_id, REGISTER_STAC, "completed", done, now).await
}

/// Records that the combine failed.
pub(super) async fn fail(
    tx: &Transaction<'_>,
    job_id: &str,
    fault: &Fault,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let result = work::failure(fault);
    let failed = (&result, Some(fault.message.as_str()));
    finish(tx, job_id, COMBINE, "failed", failed, now).await?;
    let sql = "UPDATE app.tasks SET status = 'cancelled', updated_at = $3::timestamp
               WHERE parent_job_id = $1 AND task_type = $2";
    execute(tx, sql, &[&Text(job_id), &Text(REGISTER_STAC.0), &At(now)]).await?;
    Ok(())
}

async fn replace(
    tx: &Transaction<'_>,
    job_id: &str,
    tasks: &[NewTask],
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "DELETE FROM app.tasks WHERE parent_job_id = $1";
    execute(tx, sql, &[&Text(job_id)]).await?;
    insert(tx, job_id, tasks, now).await
}

async fn insert(
    tx: &Transaction<'_>,
    job_id: &str,
    tasks: &[NewTask],
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO app.tasks (task_id, parent_job_id, job_type, task_type, stage, task_index, parameters,
                   status, result_data, error_details, metadata, retry_count, execution_started_at, created_at,
                   updated_at)
               SELECT n.id, $1, $2, n.kind, n.stage, n.index, '{}', n.status::app.task_status, n.result, n.error,
                   '{}', 0, n.started, $12::timestamp, n.updated
               FROM unnest($3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::jsonb[], $9::text[],
                           $10::timestamp[], $11::timestamp[])
                   AS n (id, kind, stage, index, status, result, error, started, updated)";
    let results = tasks.iter().map(|task| {
        let document = |value| document("result_data", value);
        task.result.as_ref().map(document).transpose()
    });
    let results = results.collect::<Result<Vec<_>, _>>()?;
    let texts = |of: fn(&NewTask) -> String| tasks.iter().map(of).collect::<Vec<_>>();
    let ids: Vec<String> = tasks.iter().map(|task| task.id(job_id)).collect();
    let kinds = texts(|task| task.kind.0.to_owned());
    let stages: Vec<i64> = tasks.iter().map(|task| task.kind.1).collect();
    let indexes = texts(|task| task.index.to_string());
    let statuses = texts(|task| task.status.to_owned());
    let errors = tasks.iter().map(|task| task.error.as_deref().map(Text));
    let errors: Vec<Option<Text<&str>>> = errors.collect();
    let started: Vec<Option<At>> = tasks.iter().map(|task| task.started.map(At)).collect();
    let updated: Vec<At> = tasks.iter().map(|task| At(task.updated)).collect();
    let row: Parameters<'_> = &[
        &Text(job_id),
        &Text(ids::JOB_TYPE),
        &ids,
        &kinds,
        &stages,
        &indexes,
        &statuses,
        &results,
        &errors,
        &started,
        &updated,
        &At(now),
    ];
    execute(tx, sql, row).await?;
    Ok(())
}

async fn finish(
    tx: &Transaction<'_>,
    job_id: &str,
    (kind, _): Kind,
    status: &str,
    (result, error): (&Value, Option<&str>),
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql =
        "UPDATE app.tasks SET status = $3, result_data = $4, error_details = $5, updated_at = $6::timestamp,
                   execution_started_at = coalesce(execution_started_at, $6::timestamp)
               WHERE parent_job_id = $1 AND task_type = $2";
    let row: Parameters<'_> = &[
        &Text(job_id),
        &Text(kind),
        &Text(status),
        &document("result_data", result)?,
        &error.map(Text),
        &At(now),
    ];
    execute(tx, sql, row).await?;
    Ok(())
}
