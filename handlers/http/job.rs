//! `GET /api/jobs/status/{job_id}[?verbose=true]` and `GET /api/dbadmin/tasks/{job_id}`, in the platform's own forms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use warp::http::{HeaderValue, StatusCode, header};
use warp::{Filter, Rejection, Reply};

use super::App;
use super::error::{Answer, ApiError, answer, json_answer};
use super::platform::{Query, is_set};
use crate::stores::ledger::{GroupState, Job, Task, tasks_of_files};

/// States that a platform's task may have, with their names in a summary.
const STATES: [&str; 8] = [
    "completed",
    "failed",
    "processing",
    "pending",
    "ready",
    "pending_retry",
    "skipped",
    "cancelled",
];

/// The routes.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let status = warp::path!("api" / "jobs" / "status" / String)
        .and(warp::get())
        .and(warp::query::<Query>())
        .and(super::with(Arc::clone(&app)))
        .then(|job_id: String, query: Query, app: Arc<App>| async move {
            let answered = async { status(&app, &job_id, is_set(&query, "verbose")?).await };
            answer(answered.await)
        });
    let tasks = warp::path!("api" / "dbadmin" / "tasks" / String)
        .and(warp::get())
        .and(super::with(app))
        .then(|job_id: String, app: Arc<App>| async move { answer(tasks(&app, &job_id).await) });
    status.or(tasks)
}

/// A job with its tasks.
async fn job(app: &App, job_id: &str) -> Result<(Job, Vec<Task>), ApiError> {
    if job_id.len() != 64 || !job_id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ApiError::validation("a job id has 64 hexadecimal digits"));
    }
    let job = app.ledger.job(job_id).await?;
    let job = job.ok_or_else(|| ApiError::not_found("there is no such job"))?;
    let tasks = match tasks_now(app, job_id).await? {
        Some(tasks) => tasks,
        None => app.ledger.tasks(job_id).await?,
    };
    Ok((job, tasks))
}

/// The tasks of a job whose series is being collected, as its files stand now; `None` once a run has begun.
async fn tasks_now(app: &App, job_id: &str) -> Result<Option<Vec<Task>>, ApiError> {
    let Some(release) = app.ledger.resolve(job_id).await? else {
        return Ok(None);
    };
    let group = app.ledger.group_of_release(&release.release_id).await?;
    let Some(group) = group.filter(|group| group.job_id == job_id) else {
        return Ok(None);
    };
    let is_blocked = match group.state {
        GroupState::Collecting => false,
        // A combine that refused its input has tasks that say so.
        GroupState::Blocked => {
            let recorded = app.ledger.tasks(job_id).await?;
            if recorded
                .iter()
                .any(|task| task.task_type == "combine" && task.status == "failed")
            {
                return Ok(None);
            }
            true
        }
        _ => return Ok(None),
    };
    let members = app.ledger.members(&group.id).await?;
    Ok(Some(tasks_of_files(
        job_id,
        &members,
        is_blocked,
        Timestamp::now(),
    )))
}

async fn status(app: &App, job_id: &str, verbose: bool) -> Result<Answer, ApiError> {
    let (job, tasks) = job(app, job_id).await?;
    let mut answer = json_answer(StatusCode::OK, &told(&job, &tasks, verbose));
    if matches!(job.status.as_str(), "queued" | "processing") {
        let seconds = HeaderValue::from_static("5");
        answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    Ok(answer)
}

/// A job with its tasks, as a detail of a status.
pub(super) async fn detail(app: &App, job_id: &str) -> Result<Value, ApiError> {
    let (job, tasks) = job(app, job_id).await?;
    Ok(told(&job, &tasks, true))
}

fn told(job: &Job, tasks: &[Task], verbose: bool) -> Value {
    json!({
        "jobId": job.job_id,
        "jobType": job.job_type,
        "status": job.status,
        "stage": stage(job, tasks),
        "totalStages": job.total_stages,
        "attempt": job.attempt,
        "parameters": job.parameters,
        "stageResults": results(tasks),
        "createdAt": job.created_at,
        "updatedAt": job.updated_at,
        "resultData": job.result_data,
        "errorDetails": job.error_details,
        "taskSummary": summary(tasks, verbose),
    })
}

/// The stage that work is in: that of the job, or while its files come in the last that one of them has reached.
fn stage(job: &Job, tasks: &[Task]) -> i64 {
    let begun = tasks
        .iter()
        .filter(|task| !matches!(task.status.as_str(), "pending" | "cancelled"));
    begun
        .map(|task| task.stage)
        .max()
        .unwrap_or(1)
        .max(job.stage)
}

fn by_stage(tasks: &[Task]) -> BTreeMap<i64, Vec<&Task>> {
    let mut stages: BTreeMap<i64, Vec<&Task>> = BTreeMap::new();
    for task in tasks {
        stages.entry(task.stage).or_default().push(task);
    }
    stages
}

/// What each stage that is over came to.
fn results(tasks: &[Task]) -> Value {
    let is_over = |task: &&Task| matches!(task.status.as_str(), "completed" | "failed");
    let stages = by_stage(tasks)
        .into_iter()
        .filter(|(_, tasks)| tasks.iter().all(is_over));
    let result = |(stage, tasks): (i64, Vec<&Task>)| {
        let failed = tasks.iter().filter(|task| task.status == "failed").count();
        let result = json!({
            "task_count": tasks.len(),
            "successful_tasks": tasks.len() - failed,
            "failed_tasks": failed,
        });
        (stage.to_string(), result)
    };
    Value::Object(stages.map(result).collect())
}

fn summary(tasks: &[Task], verbose: bool) -> Value {
    let all: Vec<&Task> = tasks.iter().collect();
    let stages = by_stage(tasks).into_iter();
    let stages = stages.map(|(stage, tasks)| {
        let types: BTreeSet<&str> = tasks.iter().map(|task| task.task_type.as_str()).collect();
        let mut out = counts(&tasks);
        out["taskTypes"] = json!(types);
        (stage.to_string(), out)
    });
    let mut out = counts(&all);
    out["byStage"] = Value::Object(stages.collect());
    if verbose {
        out["tasks"] = tasks.iter().map(listed).collect();
    }
    out
}

fn listed(task: &Task) -> Value {
    json!({
        "taskId": task.task_id,
        "taskType": task.task_type,
        "stage": task.stage,
        "status": task.status,
        "createdAt": task.created_at,
        "updatedAt": task.updated_at,
        "error": task.error_details,
        "errorType": error_type(task),
    })
}

fn counts(tasks: &[&Task]) -> Value {
    let mut out = json!({"total": tasks.len()});
    for state in STATES {
        let count = tasks.iter().filter(|task| task.status == state).count();
        out[state] = json!(count);
    }
    out
}

fn error_type(task: &Task) -> Option<&str> {
    task.result_data.as_ref()?.get("error_type")?.as_str()
}

async fn tasks(app: &App, job_id: &str) -> Result<Answer, ApiError> {
    let (_, tasks) = job(app, job_id).await?;
    let metrics = by_stage(&tasks).into_iter();
    let metrics = metrics.map(|(stage, tasks)| (stage.to_string(), timings(&tasks)));
    let document = json!({
        "success": true,
        "job_id": job_id,
        "timestamp": Timestamp::now(),
        "query_info": {"total_tasks": tasks.len()},
        "metrics": Value::Object(metrics.collect()),
        "tasks": tasks.iter().map(|task| row(job_id, task)).collect::<Vec<_>>(),
    });
    Ok(json_answer(StatusCode::OK, &document))
}

/// A task as the platform's tables have it.
fn row(job_id: &str, task: &Task) -> Value {
    json!({
        "task_id": task.task_id,
        "parent_job_id": job_id,
        "task_type": task.task_type,
        "status": task.status,
        "stage": task.stage,
        "task_index": task.task_index,
        "result_data": task.result_data,
        "error_details": task.error_details,
        "error_type": error_type(task),
        "execution_started_at": task.execution_started_at,
        "execution_time_ms": took(task),
        "created_at": task.created_at,
        "updated_at": task.updated_at,
    })
}

/// How long a task that is over took.
fn took(task: &Task) -> Option<i64> {
    let is_over = matches!(task.status.as_str(), "completed" | "failed");
    let started = task.execution_started_at.filter(|_| is_over)?;
    i64::try_from(task.updated_at.duration_since(started).as_millis()).ok()
}

fn timings(tasks: &[&Task]) -> Value {
    let times: Vec<i64> = tasks.iter().filter_map(|task| took(task)).collect();
    let total: i64 = times.iter().sum();
    let count = i64::try_from(times.len()).unwrap_or(i64::MAX);
    json!({
        "task_count": tasks.len(),
        "completed": times.len(),
        "total_time_ms": total,
        "mean_time_ms": total.checked_div(count),
        "longest_time_ms": times.iter().max(),
    })
}
