//! `GET /api/jobs/status/{job_id}` and `GET /api/dbadmin/tasks/{job_id}`, in the platform's own forms.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use warp::http::StatusCode;
use warp::{Filter, Rejection, Reply};

use super::App;
use super::error::{Answer, ApiError, answer, json_answer};
use super::status::job_status_of;
use crate::stores::ledger::{Release, Task, ids};

/// Stages of every job: scan, validate, `generate_ref`, combine, `register_stac`.
const STAGES: i64 = 5;

/// The routes.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let status = warp::path!("api" / "jobs" / "status" / String)
        .and(warp::get())
        .and(super::with(Arc::clone(&app)))
        .then(|job_id: String, app: Arc<App>| async move { answer(status(&app, &job_id).await) });
    let tasks = warp::path!("api" / "dbadmin" / "tasks" / String)
        .and(warp::get())
        .and(super::with(app))
        .then(|job_id: String, app: Arc<App>| async move { answer(tasks(&app, &job_id).await) });
    status.or(tasks)
}

/// The Release that a job makes, and the job's tasks.
async fn job(app: &App, job_id: &str) -> Result<(Release, Vec<Task>), ApiError> {
    if job_id.len() != 64 || !job_id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ApiError::validation("a job id has 64 hexadecimal digits"));
    }
    let release = app.ledger.resolve(job_id).await?;
    let release = release.ok_or_else(|| ApiError::not_found("there is no such job"))?;
    let tasks = app.ledger.tasks(job_id).await?;
    Ok((release, tasks))
}

async fn status(app: &App, job_id: &str) -> Result<Answer, ApiError> {
    let (release, tasks) = job(app, job_id).await?;
    let group = app.ledger.group_of_release(&release.release_id).await?;
    let stage = tasks
        .iter()
        .filter(|task| task.status != "pending")
        .map(|task| task.stage)
        .max();
    let document = json!({
        "jobId": job_id,
        "jobType": ids::JOB_TYPE,
        "status": job_status_of(&release, group.as_ref()),
        "stage": stage.unwrap_or(1),
        "totalStages": STAGES,
        "parameters": {
            "dataset_id": release.dataset_id,
            "resource_id": release.resource_id,
            "version_ordinal": release.version_ordinal,
        },
        "createdAt": release.created_at,
        "updatedAt": release.updated_at,
        "resultData": release.result,
        "errorDetails": release.last_error,
        "taskSummary": summary(&tasks),
    });
    Ok(json_answer(StatusCode::OK, &document))
}

fn summary(tasks: &[Task]) -> Value {
    let all: Vec<&Task> = tasks.iter().collect();
    let mut stages: BTreeMap<i64, Vec<&Task>> = BTreeMap::new();
    for task in tasks {
        stages.entry(task.stage).or_default().push(task);
    }
    let by_stage: serde_json::Map<String, Value> = stages
        .into_iter()
        .map(|(stage, tasks)| (stage.to_string(), counts(&tasks)))
        .collect();
    let listed = tasks.iter().map(|task| {
        json!({
            "taskId": task.task_id,
            "taskType": task.task_type,
            "stage": task.stage,
            "status": task.status,
            "createdAt": task.created_at,
            "updatedAt": task.updated_at,
            "error": task.error_details,
        })
    });
    let mut out = counts(&all);
    out["byStage"] = Value::Object(by_stage);
    out["tasks"] = listed.collect();
    out
}

fn counts(tasks: &[&Task]) -> Value {
    let count = |status: &str| tasks.iter().filter(|task| task.status == status).count();
    let types: std::collections::BTreeSet<&str> =
        tasks.iter().map(|task| task.task_type.as_str()).collect();
    json!({
        "total": tasks.len(),
        "completed": count("completed"),
        "failed": count("failed"),
        "processing": count("processing"),
        "pending": count("pending"),
        "taskTypes": types,
    })
}

async fn tasks(app: &App, job_id: &str) -> Result<Answer, ApiError> {
    let (_, tasks) = job(app, job_id).await?;
    let document = json!({
        "job_id": job_id,
        "timestamp": Timestamp::now(),
        "query_info": {"total_tasks": tasks.len()},
        "tasks": tasks,
    });
    Ok(json_answer(StatusCode::OK, &document))
}
