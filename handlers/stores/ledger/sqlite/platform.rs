//! Rows of the platform's tables: Asset, Release, job, tasks, request, audit.

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension as _, Params, Row, Transaction, named_params};
use serde_json::{Map, Value, json as object};

use super::values::{json, json_text, optional_json, optional_time, time, time_text, variant};
use crate::stores::ledger::approval::UNREVIEWED;
use crate::stores::ledger::audit::Event;
use crate::stores::ledger::{
    Declaration, Fault, Job, LedgerError, Release, Review, Revision, SourceFile, SourceGroup, Task,
    ids,
};

/// Releases that satisfy a condition on `r` (Release) and `a` (Asset), in an order.
pub(super) fn releases(
    tx: &Transaction<'_>,
    rest: &str,
    params: impl Params,
) -> Result<Vec<Release>, LedgerError> {
    let sql = format!(
        "SELECT r.*, a.platform_id, a.dataset_id, a.resource_id,
                (SELECT c.result FROM landfall_combine_run c
                 WHERE c.release_id = r.release_id AND c.state = 'published' ORDER BY c.id DESC LIMIT 1) AS result
         FROM app_asset_releases r JOIN app_assets a ON a.asset_id = r.asset_id {rest}"
    );
    let mut statement = tx.prepare_cached(&sql)?;
    statement.query_and_then(params, release_from)?.collect()
}

pub(super) fn release(
    tx: &Transaction<'_>,
    release_id: &str,
) -> Result<Option<Release>, LedgerError> {
    Ok(releases(tx, "WHERE r.release_id = ?1", [release_id])?.pop())
}

/// SPEC §8: a release, job, request or asset id, or that of a group. An id of one Release means that one, the
/// others mean the newest.
pub(super) fn resolve(tx: &Transaction<'_>, id: &str) -> Result<Option<Release>, LedgerError> {
    let rest = "WHERE ?1 IN (r.release_id, r.job_id, r.request_id, r.asset_id)
                   OR r.asset_id IN (SELECT asset_id FROM landfall_source_group WHERE id = ?1
                                     UNION SELECT asset_id FROM app_jobs WHERE job_id = ?1)
                ORDER BY ?1 IN (r.release_id, r.job_id) DESC, r.version_ordinal DESC LIMIT 1";
    Ok(releases(tx, rest, [id])?.pop())
}

fn release_from(row: &Row<'_>) -> Result<Release, LedgerError> {
    Ok(Release {
        release_id: row.get("release_id")?,
        asset_id: row.get("asset_id")?,
        platform_id: row.get("platform_id")?,
        dataset_id: row.get("dataset_id")?,
        resource_id: row.get("resource_id")?,
        request_id: row
            .get::<_, Option<String>>("request_id")?
            .unwrap_or_default(),
        job_id: row.get::<_, Option<String>>("job_id")?.unwrap_or_default(),
        version_id: row.get("version_id")?,
        suggested_version_id: row.get("suggested_version_id")?,
        version_ordinal: row.get("version_ordinal")?,
        revision: row.get("revision")?,
        previous_release_id: row.get("previous_release_id")?,
        blob_path: row.get("blob_path")?,
        stac_item_id: row.get("stac_item_id")?,
        stac_collection_id: row.get("stac_collection_id")?,
        stac_item_json: optional_json("stac_item_json", row.get("stac_item_json")?)?,
        processing_status: variant("processing_status", row.get("processing_status")?)?,
        processing_started_at: optional_time(
            "processing_started_at",
            row.get("processing_started_at")?,
        )?,
        processing_completed_at: optional_time(
            "processing_completed_at",
            row.get("processing_completed_at")?,
        )?,
        last_error: row.get("last_error")?,
        approval_state: row.get("approval_state")?,
        clearance_state: row.get("clearance_state")?,
        review: review_from(row)?,
        result: optional_json("result", row.get("result")?)?,
        created_at: time("created_at", &row.get::<_, String>("created_at")?)?,
        updated_at: time("updated_at", &row.get::<_, String>("updated_at")?)?,
    })
}

fn review_from(row: &Row<'_>) -> Result<Review, LedgerError> {
    Ok(Review {
        is_served: row.get("is_served")?,
        reviewer: row.get("reviewer")?,
        reviewed_at: optional_time("reviewed_at", row.get("reviewed_at")?)?,
        approval_notes: row.get("approval_notes")?,
        rejection_reason: row.get("rejection_reason")?,
        revoked_at: optional_time("revoked_at", row.get("revoked_at")?)?,
        revoked_by: row.get("revoked_by")?,
        revocation_reason: row.get("revocation_reason")?,
    })
}

/// A published revision. One that was rejected, revoked or unpublished is not live any more, nor is an unpublished
/// Release, which has no `blob_path`.
pub(super) fn revision(
    tx: &Transaction<'_>,
    release_id: &str,
    revision: i64,
) -> Result<Option<Revision>, LedgerError> {
    let sql = "SELECT c.blob_path, r.approval_state NOT IN ('rejected', 'revoked') AND r.blob_path IS NOT NULL
                          AND c.withdrawn_at IS NULL,
                      coalesce(r.approval_state = 'approved' AND r.clearance_state = 'public', false)
               FROM landfall_combine_run c JOIN app_asset_releases r ON r.release_id = c.release_id
               WHERE c.release_id = ?1 AND c.revision = ?2 AND c.state = 'published'";
    let found = tx.query_row(sql, (release_id, revision), |row| {
        Ok(Revision {
            blob_path: row.get(0)?,
            is_live: row.get(1)?,
            is_public: row.get(2)?,
        })
    });
    Ok(found.optional()?)
}

pub(super) fn tasks(tx: &Transaction<'_>, job_id: &str) -> Result<Vec<Task>, LedgerError> {
    let sql = "SELECT * FROM app_tasks WHERE parent_job_id = ?1 ORDER BY stage, CAST(task_index AS INTEGER), task_id";
    let mut statement = tx.prepare_cached(sql)?;
    statement.query_and_then([job_id], task_from)?.collect()
}

/// A job by its id.
pub(super) fn job(tx: &Transaction<'_>, job_id: &str) -> Result<Option<Job>, LedgerError> {
    let sql = "SELECT *, coalesce(json_extract(metadata, '$.attempt'), 1) AS attempt FROM app_jobs WHERE job_id = ?1";
    let mut statement = tx.prepare_cached(sql)?;
    let mut found = statement.query_and_then([job_id], job_from)?;
    found.next().transpose()
}

fn job_from(row: &Row<'_>) -> Result<Job, LedgerError> {
    Ok(Job {
        job_id: row.get("job_id")?,
        job_type: row.get("job_type")?,
        status: row.get("status")?,
        stage: row.get("stage")?,
        total_stages: row.get("total_stages")?,
        parameters: json("parameters", &row.get::<_, String>("parameters")?)?,
        attempt: row.get("attempt")?,
        result_data: optional_json("result_data", row.get("result_data")?)?,
        error_details: row.get("error_details")?,
        created_at: time("created_at", &row.get::<_, String>("created_at")?)?,
        updated_at: time("updated_at", &row.get::<_, String>("updated_at")?)?,
    })
}

/// Versions of an Asset that are approved, newest first.
pub(super) fn approved_versions(
    tx: &Transaction<'_>,
    asset_id: &str,
) -> Result<Vec<String>, LedgerError> {
    let sql = "SELECT version_id FROM app_asset_releases
               WHERE asset_id = ?1 AND approval_state = 'approved' AND version_id IS NOT NULL
               ORDER BY version_ordinal DESC";
    let mut statement = tx.prepare_cached(sql)?;
    statement
        .query_and_then([asset_id], |row| Ok(row.get(0)?))?
        .collect()
}

fn task_from(row: &Row<'_>) -> Result<Task, LedgerError> {
    Ok(Task {
        task_id: row.get("task_id")?,
        task_index: row.get("task_index")?,
        task_type: row.get("task_type")?,
        stage: row.get("stage")?,
        status: row.get("status")?,
        result_data: optional_json("result_data", row.get("result_data")?)?,
        error_details: row.get("error_details")?,
        execution_started_at: optional_time(
            "execution_started_at",
            row.get("execution_started_at")?,
        )?,
        created_at: time("created_at", &row.get::<_, String>("created_at")?)?,
        updated_at: time("updated_at", &row.get::<_, String>("updated_at")?)?,
    })
}

/// Makes sure that the Asset is there.
pub(super) fn ensure_asset(
    tx: &Transaction<'_>,
    asset_id: &str,
    of: &Declaration,
) -> Result<(), LedgerError> {
    let refs = object!({"dataset_id": of.dataset_id, "resource_id": of.resource_id}).to_string();
    let sql = "INSERT INTO app_assets (asset_id, platform_id, dataset_id, resource_id, platform_refs, created_at, updated_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT (asset_id) DO NOTHING";
    let row = (
        asset_id,
        &of.platform_id,
        &of.dataset_id,
        &of.resource_id,
        refs,
        time_text(of.at),
    );
    tx.execute(sql, row)?;
    Ok(())
}

/// A Release and its job, as just created.
#[derive(Debug)]
pub(super) struct NewRelease {
    pub(super) release_id: String,
    pub(super) job_id: String,
}

/// Creates the next Release of an Asset with its job, tasks and request.
pub(super) fn create_release(
    tx: &Transaction<'_>,
    asset_id: &str,
    of: &Declaration,
    now: Timestamp,
) -> Result<NewRelease, LedgerError> {
    let sql = "SELECT release_count FROM app_assets WHERE asset_id = ?1";
    let count: i64 = tx.query_row(sql, [asset_id], |row| row.get(0))?;
    let sql = "SELECT version_ordinal, release_id FROM app_asset_releases WHERE asset_id = ?1
               ORDER BY version_ordinal DESC LIMIT 1";
    let latest = tx
        .query_row(sql, [asset_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (latest, previous): (i64, Option<String>) = latest.unwrap_or((0, None));
    let request_id = ids::request_id(&of.dataset_id, &of.resource_id, of.version_id.as_deref());
    let release_id = ids::release_id(asset_id, &request_id, count);
    let ordinal = latest + 1;
    let job_id = queue_job(tx, asset_id, &release_id, of, (ordinal, 1), now)?;
    tx.execute(
        "INSERT INTO app_asset_releases (release_id, asset_id, suggested_version_id, version_ordinal,
             previous_release_id, request_id, job_id, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
        (&release_id, asset_id, &of.version_id, ordinal, previous, request_id, &job_id, time_text(now)),
    )?;
    let sql = "UPDATE app_assets SET release_count = release_count + 1, updated_at = ?2 WHERE asset_id = ?1";
    tx.execute(sql, (asset_id, time_text(now)))?;
    audit(tx, &release_id, &Event::of("created"), now)?;
    Ok(NewRelease { release_id, job_id })
}

/// Queues the job of a revision with its request and the tasks that do not depend on files; a job that is there
/// is queued again.
pub(super) fn queue_job(
    tx: &Transaction<'_>,
    asset_id: &str,
    release_id: &str,
    of: &Declaration,
    (ordinal, revision): (i64, i64),
    now: Timestamp,
) -> Result<String, LedgerError> {
    let job_id = ids::job_id(of, ordinal, revision);
    let request_id = ids::request_id(&of.dataset_id, &of.resource_id, of.version_id.as_deref());
    let mut parameters = object!(ids::job_identity(of, ordinal, revision));
    if let Value::Object(fields) = &mut parameters {
        fields.insert(String::from("asset_id"), asset_id.into());
        fields.insert(String::from("release_id"), release_id.into());
        fields.insert(String::from("processing_options"), object!(of.options));
    }
    let params = named_params! {
        ":job": job_id, ":type": ids::JOB_TYPE, ":parameters": parameters.to_string(), ":asset": asset_id,
        ":platform": of.platform_id, ":request": request_id, ":version": env!("CARGO_PKG_VERSION"),
        ":at": time_text(now),
    };
    tx.execute(
        "INSERT INTO app_jobs (job_id, job_type, parameters, asset_id, platform_id, request_id, etl_version,
             created_at, updated_at)
         VALUES (:job, :type, :parameters, :asset, :platform, :request, :version, :at, :at)
         ON CONFLICT (job_id) DO UPDATE SET parameters = excluded.parameters, status = 'queued', stage = 1,
             result_data = NULL, error_details = NULL, updated_at = excluded.updated_at",
        params,
    )?;
    record_request(tx, &request_id, &job_id, asset_id, of, now)?;
    super::tasks::plan(tx, &job_id, now)?;
    Ok(job_id)
}

fn record_request(
    tx: &Transaction<'_>,
    request_id: &str,
    job_id: &str,
    asset_id: &str,
    of: &Declaration,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let version = of.version_id.as_deref().unwrap_or_default();
    let names = (
        request_id,
        &of.dataset_id,
        &of.resource_id,
        version,
        job_id,
        asset_id,
        &of.platform_id,
    );
    let (request_id, dataset_id, resource_id, version, job_id, asset_id, platform_id) = names;
    tx.execute(
        "INSERT INTO app_api_requests (request_id, dataset_id, resource_id, version_id, job_id, asset_id,
             platform_id, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
         ON CONFLICT (request_id) DO UPDATE SET job_id = excluded.job_id, updated_at = excluded.updated_at",
        (request_id, dataset_id, resource_id, version, job_id, asset_id, platform_id, time_text(now)),
    )?;
    Ok(())
}

/// Takes back a Release that never published anything, with its job, tasks and request.
pub(super) fn withdraw_release(tx: &Transaction<'_>, release: &Release) -> Result<(), LedgerError> {
    let Release {
        release_id,
        job_id,
        asset_id,
        request_id,
        ..
    } = release;
    tx.execute(
        "DELETE FROM app_asset_releases WHERE release_id = ?1",
        [release_id],
    )?;
    tx.execute("DELETE FROM app_jobs WHERE job_id = ?1", [job_id])?;
    tx.execute(
        "DELETE FROM app_api_requests WHERE request_id = ?1 AND job_id = ?2",
        (request_id, job_id),
    )?;
    tx.execute(
        "UPDATE app_assets SET release_count = release_count - 1 WHERE asset_id = ?1",
        [asset_id],
    )?;
    Ok(())
}

/// Puts a Release and its job back in line after a failure, a block or a discarded run.
pub(super) fn requeue(
    tx: &Transaction<'_>,
    release_id: &str,
    job_id: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let at = time_text(now);
    let sql = "UPDATE app_jobs SET status = 'queued', error_details = NULL, updated_at = ?2
               WHERE job_id = ?1 AND status IN ('failed', 'processing')";
    tx.execute(sql, (job_id, &at))?;
    let sql = format!(
        "UPDATE app_asset_releases SET processing_status = {}, last_error = NULL, updated_at = ?2
         WHERE release_id = ?1 AND processing_status IN ('failed', 'processing') AND approval_state <> 'approved'",
        if_published("'completed'", "'pending'")
    );
    tx.execute(&sql, (release_id, &at))?;
    Ok(())
}

/// An expression of SQL: what is published of a Release stays completed, whatever becomes of the next revision.
pub(super) fn if_published(then: &str, otherwise: &str) -> String {
    format!(
        "CASE WHEN EXISTS (SELECT 1 FROM landfall_combine_run c
                           WHERE c.release_id = app_asset_releases.release_id AND c.state = 'published'
                               AND c.withdrawn_at IS NULL)
              THEN {then} ELSE {otherwise} END"
    )
}

/// Fails the job of a Release whose input is at fault before any combine; what is published stays
/// as it is, and so does all of an approved Release.
pub(super) fn block(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    members: &[SourceFile],
    fault: &Fault,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let (at, error) = (time_text(now), fault.message.as_str());
    let (release_id, job_id) = (&group.release_id, &group.job_id);
    let sql = "UPDATE app_jobs SET status = 'failed', error_details = ?2, updated_at = ?3
               WHERE job_id = ?1 AND NOT EXISTS (SELECT 1 FROM app_asset_releases
                                                 WHERE release_id = ?4 AND approval_state = 'approved')";
    if tx.execute(sql, (job_id, error, &at, release_id))? > 0 {
        super::tasks::block(tx, job_id, members, now)?;
    }
    let sql = "UPDATE app_asset_releases SET processing_status = 'failed', last_error = ?2, updated_at = ?3
               WHERE release_id = ?1 AND processing_status <> 'completed'";
    tx.execute(sql, (release_id, error, &at))?;
    Ok(())
}

/// Puts a Release back to where nobody has reviewed it; the revisions that were taken back stay so.
pub(super) fn unreview(tx: &Transaction<'_>, release_id: &str) -> Result<(), LedgerError> {
    let sql = format!("UPDATE app_asset_releases SET {UNREVIEWED} WHERE release_id = ?1");
    tx.execute(&sql, [release_id])?;
    Ok(())
}

/// Writes what happens to a Release, with its row as it is now.
pub(super) fn audit(
    tx: &Transaction<'_>,
    release_id: &str,
    event: &Event<'_>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let snapshot = json_text("snapshot", &snapshot(tx, release_id)?)?;
    tx.execute(
        "INSERT INTO app_release_audit (release_id, asset_id, version_ordinal, revision, event_type, actor, reason,
             snapshot, metadata, created_at)
         SELECT release_id, asset_id, version_ordinal, revision, ?2, ?3, ?4, ?5, ?6, ?7
         FROM app_asset_releases WHERE release_id = ?1",
        (
            release_id,
            event.kind,
            event.actor,
            event.reason,
            snapshot,
            event.metadata.to_string(),
            time_text(now),
        ),
    )?;
    Ok(())
}

/// The whole row of a Release but for its item, by column.
fn snapshot(tx: &Transaction<'_>, release_id: &str) -> Result<Map<String, Value>, LedgerError> {
    let mut statement =
        tx.prepare_cached("SELECT * FROM app_asset_releases WHERE release_id = ?1")?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([release_id])?;
    let Some(row) = rows.next()? else {
        return Ok(Map::new());
    };
    let mut fields = Map::new();
    for column in columns {
        let value = match row.get_ref(column.as_str())? {
            ValueRef::Integer(number) => number.into(),
            ValueRef::Text(text) if column == "stac_item_json" => {
                json("stac_item_json", &String::from_utf8_lossy(text))?
            }
            ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
            ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Value::Null,
        };
        fields.insert(column, value);
    }
    Ok(fields)
}
