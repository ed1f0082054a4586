//! Rows of the platform's tables: Asset, Release, job, tasks, request, audit.
//!
//! The tables may be those of an attached platform: every column that has to have a value is given one here, whatever
//! defaults the table has, and times are cast, because its columns may differ in having a time zone.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use serde_json::{Value, json as object};
use tokio_postgres::Row;

use super::database::{Parameters, Session, execute, one, row, rows};
use super::tasks;
use super::values::{
    At, Int, Text, document, flag, int, optional_json, optional_text, optional_time, text, time,
    variant,
};
use crate::stores::ledger::approval::UNREVIEWED;
use crate::stores::ledger::audit::Event;
use crate::stores::ledger::{
    Declaration, Fault, Job, LedgerError, Release, Review, Revision, SourceFile, SourceGroup, Task,
    ids,
};

/// Longest text that the platform's `last_error` holds.
const LONGEST_ERROR: usize = 2000;

/// Releases that satisfy a condition on `r` (Release) and `a` (Asset), in an order.
pub(super) async fn releases(
    client: &impl Session,
    rest: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Release>, LedgerError> {
    let sql = format!(
        "SELECT r.release_id, r.asset_id, r.request_id, r.job_id, r.version_id, r.suggested_version_id, r.version_ordinal,
                r.revision, r.previous_release_id, r.blob_path, r.stac_item_id, r.stac_collection_id, r.stac_item_json,
                r.processing_status, r.processing_started_at, r.processing_completed_at, r.last_error,
                r.approval_state, r.clearance_state, r.is_served, r.reviewer, r.reviewed_at, r.approval_notes,
                r.rejection_reason, r.revoked_at, r.revoked_by, r.revocation_reason, r.created_at, r.updated_at,
                a.platform_id, a.dataset_id, a.resource_id,
                (SELECT c.result FROM landfall.combine_run c
                 WHERE c.release_id = r.release_id AND c.state = 'published' ORDER BY c.id DESC LIMIT 1) AS result
         FROM app.asset_releases r JOIN app.assets a ON a.asset_id = r.asset_id {rest}"
    );
    let found = rows(client, &sql, parameters).await?;
    found.iter().map(release_from).collect()
}

pub(super) async fn release(
    client: &impl Session,
    release_id: &str,
) -> Result<Option<Release>, LedgerError> {
    let rest = "WHERE r.release_id = $1";
    Ok(releases(client, rest, &[&Text(release_id)]).await?.pop())
}

/// The Release that another row names.
pub(super) async fn load(tx: &Transaction<'_>, release_id: &str) -> Result<Release, LedgerError> {
    let found = release(tx, release_id).await?;
    found.ok_or_else(|| LedgerError::Corrupt {
        what: "a row that another one names",
        source: format!("there is no Release {release_id}").into(),
    })
}

/// Keeps everybody else from changing a Release until the transaction ends.
pub(super) async fn lock(tx: &Transaction<'_>, release_id: &str) -> Result<(), LedgerError> {
    let sql = "SELECT release_id FROM app.asset_releases WHERE release_id = $1 FOR NO KEY UPDATE";
    row(tx, sql, &[&Text(release_id)]).await?;
    Ok(())
}

/// SPEC §8: a release, job, request or asset id, or that of a group. An id of one Release means that one, the
/// others mean the newest.
pub(super) async fn resolve(
    client: &impl Session,
    id: &str,
) -> Result<Option<Release>, LedgerError> {
    let rest = "WHERE $1::text IN (r.release_id, r.job_id, r.request_id, r.asset_id)
                   OR r.asset_id IN (SELECT g.asset_id FROM landfall.source_group g WHERE g.id = $1
                                     UNION SELECT j.asset_id FROM app.jobs j WHERE j.job_id = $1)
                ORDER BY coalesce(r.release_id = $1 OR r.job_id = $1, false) DESC, r.version_ordinal DESC LIMIT 1";
    Ok(releases(client, rest, &[&Text(id)]).await?.pop())
}

fn release_from(row: &Row) -> Result<Release, LedgerError> {
    Ok(Release {
        release_id: text(row, "release_id")?,
        asset_id: text(row, "asset_id")?,
        platform_id: text(row, "platform_id")?,
        dataset_id: text(row, "dataset_id")?,
        resource_id: text(row, "resource_id")?,
        request_id: optional_text(row, "request_id")?.unwrap_or_default(),
        job_id: optional_text(row, "job_id")?.unwrap_or_default(),
        version_id: optional_text(row, "version_id")?,
        suggested_version_id: optional_text(row, "suggested_version_id")?,
        version_ordinal: int(row, "version_ordinal")?,
        revision: int(row, "revision")?,
        previous_release_id: optional_text(row, "previous_release_id")?,
        blob_path: optional_text(row, "blob_path")?,
        stac_item_id: optional_text(row, "stac_item_id")?,
        stac_collection_id: optional_text(row, "stac_collection_id")?,
        stac_item_json: optional_json(row, "stac_item_json")?,
        processing_status: variant(row, "processing_status")?,
        processing_started_at: optional_time(row, "processing_started_at")?,
        processing_completed_at: optional_time(row, "processing_completed_at")?,
        last_error: optional_text(row, "last_error")?,
        approval_state: text(row, "approval_state")?,
        clearance_state: text(row, "clearance_state")?,
        review: review_from(row)?,
        result: optional_json(row, "result")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

fn review_from(row: &Row) -> Result<Review, LedgerError> {
    Ok(Review {
        is_served: flag(row, "is_served")?,
        reviewer: optional_text(row, "reviewer")?,
        reviewed_at: optional_time(row, "reviewed_at")?,
        approval_notes: optional_text(row, "approval_notes")?,
        rejection_reason: optional_text(row, "rejection_reason")?,
        revoked_at: optional_time(row, "revoked_at")?,
        revoked_by: optional_text(row, "revoked_by")?,
        revocation_reason: optional_text(row, "revocation_reason")?,
    })
}

/// A published revision. One that was rejected, revoked or unpublished is not live any more, nor is an unpublished
/// Release, which has no `blob_path`.
pub(super) async fn revision(
    client: &impl Session,
    release_id: &str,
    revision: i64,
) -> Result<Option<Revision>, LedgerError> {
    let sql = "SELECT c.blob_path,
                      r.approval_state NOT IN ('rejected', 'revoked') AND r.blob_path IS NOT NULL
                          AND c.withdrawn_at IS NULL AS is_live,
                      coalesce(r.approval_state = 'approved' AND r.clearance_state = 'public', false) AS is_public
               FROM landfall.combine_run c JOIN app.asset_releases r ON r.release_id = c.release_id
               WHERE c.release_id = $1 AND c.revision = $2 AND c.state = 'published'";
    let found = row(client, sql, &[&release_id, &revision]).await?;
    let revision = |row: Row| {
        Ok(Revision {
            blob_path: text(&row, "blob_path")?,
            is_live: flag(&row, "is_live")?,
            is_public: flag(&row, "is_public")?,
        })
    };
    found.map(revision).transpose()
}

pub(super) async fn tasks(client: &impl Session, job_id: &str) -> Result<Vec<Task>, LedgerError> {
    // Tasks of others may have words for an index; ours are numbers.
    let sql = "SELECT task_id, task_index, task_type, stage, status, result_data, error_details,
                      execution_started_at, created_at, updated_at
               FROM app.tasks WHERE parent_job_id = $1
               ORDER BY stage, length(task_index), task_index COLLATE \"C\", task_id COLLATE \"C\"";
    let found = rows(client, sql, &[&Text(job_id)]).await?;
    found.iter().map(task_from).collect()
}

/// A job by its id.
pub(super) async fn job(client: &impl Session, job_id: &str) -> Result<Option<Job>, LedgerError> {
    let sql = "SELECT job_id, job_type, status, stage, total_stages, parameters,
                      coalesce((metadata ->> 'attempt')::integer, 1) AS attempt, result_data, error_details,
                      created_at, updated_at
               FROM app.jobs WHERE job_id = $1";
    let found = row(client, sql, &[&Text(job_id)]).await?;
    found.as_ref().map(job_from).transpose()
}

fn job_from(row: &Row) -> Result<Job, LedgerError> {
    Ok(Job {
        job_id: text(row, "job_id")?,
        job_type: text(row, "job_type")?,
        status: text(row, "status")?,
        stage: int(row, "stage")?,
        total_stages: int(row, "total_stages")?,
        parameters: optional_json(row, "parameters")?.unwrap_or_default(),
        attempt: int(row, "attempt")?,
        result_data: optional_json(row, "result_data")?,
        error_details: optional_text(row, "error_details")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

/// Versions of an Asset that are approved, newest first.
pub(super) async fn approved_versions(
    client: &impl Session,
    asset_id: &str,
) -> Result<Vec<String>, LedgerError> {
    let sql = "SELECT version_id FROM app.asset_releases
               WHERE asset_id = $1 AND approval_state = 'approved' AND version_id IS NOT NULL
               ORDER BY version_ordinal DESC";
    let found = rows(client, sql, &[&Text(asset_id)]).await?;
    found.iter().map(|row| text(row, "version_id")).collect()
}

fn task_from(row: &Row) -> Result<Task, LedgerError> {
    Ok(Task {
        task_id: text(row, "task_id")?,
        task_index: optional_text(row, "task_index")?.unwrap_or_default(),
        task_type: text(row, "task_type")?,
        stage: int(row, "stage")?,
        status: text(row, "status")?,
        result_data: optional_json(row, "result_data")?,
        error_details: optional_text(row, "error_details")?,
        execution_started_at: optional_time(row, "execution_started_at")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

/// Makes sure that the Asset is there.
pub(super) async fn ensure_asset(
    tx: &Transaction<'_>,
    asset_id: &str,
    of: &Declaration,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO app.assets (asset_id, platform_id, dataset_id, resource_id, platform_refs, data_type,
                   release_count, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, 'zarr', 0, $6::timestamp, $6::timestamp) ON CONFLICT (asset_id) DO NOTHING";
    let refs = object!({"dataset_id": of.dataset_id, "resource_id": of.resource_id});
    let parameters: Parameters<'_> = &[
        &Text(asset_id),
        &Text(&of.platform_id),
        &Text(&of.dataset_id),
        &Text(&of.resource_id),
        &document("platform_refs", &refs)?,
        &At(of.at),
    ];
    execute(tx, sql, parameters).await?;
    Ok(())
}

/// A Release and its job, as just created.
#[derive(Debug)]
pub(super) struct NewRelease {
    pub(super) release_id: String,
    pub(super) job_id: String,
}

/// Creates the next Release of an Asset with its job, tasks and request.
pub(super) async fn create_release(
    tx: &Transaction<'_>,
    asset_id: &str,
    of: &Declaration,
    now: Timestamp,
) -> Result<NewRelease, LedgerError> {
    // Locks the Asset: whoever else adds a Release to it waits, and counts on from here.
    let sql = "UPDATE app.assets SET release_count = release_count + 1, updated_at = $2::timestamp WHERE asset_id = $1
               RETURNING release_count - 1 AS before";
    let count = int(&one(tx, sql, &[&Text(asset_id), &At(now)]).await?, "before")?;
    let sql = "SELECT version_ordinal, release_id FROM app.asset_releases WHERE asset_id = $1
               ORDER BY version_ordinal DESC LIMIT 1";
    let (latest, previous) = match row(tx, sql, &[&Text(asset_id)]).await? {
        Some(row) => (
            int(&row, "version_ordinal")?,
            Some(text(&row, "release_id")?),
        ),
        None => (0, None),
    };
    let request_id = ids::request_id(&of.dataset_id, &of.resource_id, of.version_id.as_deref());
    let release_id = ids::release_id(asset_id, &request_id, count);
    let ordinal = latest + 1;
    let job_id = queue_job(tx, asset_id, &release_id, of, (ordinal, 1), now).await?;
    let sql = "INSERT INTO app.asset_releases (release_id, asset_id, suggested_version_id, version_ordinal, revision,
                   previous_release_id, is_served, request_id, job_id, processing_status, approval_state,
                   clearance_state, priority, created_at, updated_at)
               VALUES ($1, $2, $3, $4, 1, $5, false, $6, $7, 'pending', 'pending_review', 'uncleared', 5,
                   $8::timestamp, $8::timestamp)";
    let parameters: Parameters<'_> = &[
        &Text(&release_id),
        &Text(asset_id),
        &of.version_id.as_ref().map(Text),
        &Int(ordinal),
        &previous.as_ref().map(Text),
        &Text(&request_id),
        &Text(&job_id),
        &At(now),
    ];
    execute(tx, sql, parameters).await?;
    audit(tx, &release_id, &Event::of("created"), now).await?;
    Ok(NewRelease { release_id, job_id })
}

/// Queues the job of a revision with its request and the tasks that do not depend on files; a job that is there
/// is queued again.
pub(super) async fn queue_job(
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
    let sql = "INSERT INTO app.jobs (job_id, job_type, parameters, status, stage, total_stages, asset_id, platform_id,
                   request_id, etl_version, stage_results, metadata, created_at, updated_at)
               VALUES ($1, $2, $3, 'queued', 1, 5, $4, $5, $6, $7, '{}', '{}', $8::timestamp, $8::timestamp)
               ON CONFLICT (job_id) DO UPDATE SET parameters = excluded.parameters, status = 'queued', stage = 1,
                   result_data = NULL, error_details = NULL, updated_at = excluded.updated_at";
    let row: Parameters<'_> = &[
        &Text(&job_id),
        &Text(ids::JOB_TYPE),
        &document("parameters", &parameters)?,
        &Text(asset_id),
        &Text(&of.platform_id),
        &Text(&request_id),
        &Text(env!("CARGO_PKG_VERSION")),
        &At(now),
    ];
    execute(tx, sql, row).await?;
    record_request(tx, &request_id, &job_id, asset_id, of, now).await?;
    tasks::plan(tx, &job_id, now).await?;
    Ok(job_id)
}

async fn record_request(
    tx: &Transaction<'_>,
    request_id: &str,
    job_id: &str,
    asset_id: &str,
    of: &Declaration,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO app.api_requests (request_id, dataset_id, resource_id, version_id, job_id, data_type,
                   asset_id, platform_id, retry_count, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, 'zarr', $6, $7, 0, $8::timestamp, $8::timestamp)
               ON CONFLICT (request_id) DO UPDATE SET job_id = excluded.job_id, updated_at = excluded.updated_at";
    let row: Parameters<'_> = &[
        &Text(request_id),
        &Text(&of.dataset_id),
        &Text(&of.resource_id),
        &Text(of.version_id.as_deref().unwrap_or_default()),
        &Text(job_id),
        &Text(asset_id),
        &Text(&of.platform_id),
        &At(now),
    ];
    execute(tx, sql, row).await?;
    Ok(())
}

/// Takes back a Release that never published anything, with its job, tasks and request.
pub(super) async fn withdraw_release(
    tx: &Transaction<'_>,
    release: &Release,
) -> Result<(), LedgerError> {
    let job_id = Text(&release.job_id);
    let sql = "UPDATE app.assets SET release_count = release_count - 1 WHERE asset_id = $1";
    execute(tx, sql, &[&Text(&release.asset_id)]).await?;
    let sql = "DELETE FROM app.asset_releases WHERE release_id = $1";
    execute(tx, sql, &[&Text(&release.release_id)]).await?;
    let sql = "DELETE FROM app.jobs WHERE job_id = $1";
    execute(tx, sql, &[&job_id]).await?;
    let sql = "DELETE FROM app.api_requests WHERE request_id = $1 AND job_id = $2";
    execute(tx, sql, &[&Text(&release.request_id), &job_id]).await?;
    Ok(())
}

/// Puts a Release and its job back in line after a failure, a block or a discarded run.
pub(super) async fn requeue(
    tx: &Transaction<'_>,
    release_id: &str,
    job_id: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    // What is published stays completed, whatever becomes of the next revision.
    let of_published =
        "UPDATE app.asset_releases r SET processing_status = 'completed', last_error = NULL,
                            updated_at = $2::timestamp
                        WHERE r.release_id = $1 AND r.processing_status IN ('failed', 'processing')
                            AND r.approval_state <> 'approved'
                            AND EXISTS (SELECT 1 FROM landfall.combine_run c
                                        WHERE c.release_id = r.release_id AND c.state = 'published'
                                   AND c.withdrawn_at IS NULL)";
    execute(tx, of_published, &[&Text(release_id), &At(now)]).await?;
    let of_release =
        "UPDATE app.asset_releases SET processing_status = 'pending', last_error = NULL,
                          updated_at = $2::timestamp
                      WHERE release_id = $1 AND processing_status IN ('failed', 'processing')
                          AND approval_state <> 'approved'";
    let of_job =
        "UPDATE app.jobs SET status = 'queued', error_details = NULL, updated_at = $2::timestamp
                  WHERE job_id = $1 AND status IN ('failed', 'processing')";
    let (release_id, job_id, at) = (Text(release_id), Text(job_id), At(now));
    let (release, job): (Parameters<'_>, Parameters<'_>) = (&[&release_id, &at], &[&job_id, &at]);
    tokio::try_join!(execute(tx, of_release, release), execute(tx, of_job, job),)?;
    Ok(())
}

/// A Release of which a revision is published stays completed when the run for the next one fails.
pub(super) async fn keep_completed(
    tx: &Transaction<'_>,
    release_id: &str,
) -> Result<(), LedgerError> {
    let sql = "UPDATE app.asset_releases r SET processing_status = 'completed', last_error = NULL
               WHERE r.release_id = $1 AND r.processing_status IN ('failed', 'processing')
                   AND EXISTS (SELECT 1 FROM landfall.combine_run c
                               WHERE c.release_id = r.release_id AND c.state = 'published'
                                   AND c.withdrawn_at IS NULL)";
    execute(tx, sql, &[&Text(release_id)]).await?;
    Ok(())
}

/// Fails the job of a Release whose input is at fault before any combine; what is published stays
/// as it is, and so does all of an approved Release.
pub(super) async fn block(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    members: &[SourceFile],
    fault: &Fault,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let (release_id, job_id) = (&group.release_id, &group.job_id);
    let error = fault.message.as_str();
    lock(tx, release_id).await?;
    let sql = "UPDATE app.asset_releases SET processing_status = 'failed', last_error = $2, updated_at = $3::timestamp
               WHERE release_id = $1 AND processing_status <> 'completed'";
    let message = Text(last_error(error));
    execute(tx, sql, &[&Text(release_id), &message, &At(now)]).await?;
    let sql = "UPDATE app.jobs SET status = 'failed', error_details = $2, updated_at = $3::timestamp
               WHERE job_id = $1 AND NOT EXISTS (SELECT 1 FROM app.asset_releases r
                                                 WHERE r.release_id = $4 AND r.approval_state = 'approved')";
    let row: Parameters<'_> = &[&Text(job_id), &Text(error), &At(now), &Text(release_id)];
    if execute(tx, sql, row).await? > 0 {
        tasks::block(tx, job_id, members, now).await?;
    }
    Ok(())
}

/// The beginning of an error, as long as the platform's column takes it.
pub(super) fn last_error(message: &str) -> &str {
    let end = message.char_indices().nth(LONGEST_ERROR);
    end.and_then(|(end, _)| message.get(..end))
        .unwrap_or(message)
}

/// Puts a Release back to where nobody has reviewed it; the revisions that were taken back stay so.
pub(super) async fn unreview(tx: &Transaction<'_>, release_id: &str) -> Result<(), LedgerError> {
    let sql = format!("UPDATE app.asset_releases SET {UNREVIEWED} WHERE release_id = $1");
    execute(tx, &sql, &[&Text(release_id)]).await?;
    Ok(())
}

/// Writes what happens to a Release, with its row as it is now.
pub(super) async fn audit(
    tx: &Transaction<'_>,
    release_id: &str,
    event: &Event<'_>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO app.release_audit (release_id, asset_id, version_ordinal, revision, event_type, actor,
                   reason, snapshot, metadata, created_at)
               SELECT r.release_id, r.asset_id, r.version_ordinal, r.revision, $2, $3, $4, to_jsonb(r), $5,
                   $6::timestamp
               FROM app.asset_releases r WHERE r.release_id = $1";
    let row: Parameters<'_> = &[
        &Text(release_id),
        &Text(event.kind),
        &event.actor.map(Text),
        &event.reason.map(Text),
        &document("metadata", &event.metadata)?,
        &At(now),
    ];
    execute(tx, sql, row).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let long = "ä".repeat(LONGEST_ERROR + 1);
        assert_eq!(last_error(&long).chars().count(), LONGEST_ERROR);
        assert_eq!(last_error("short"), "short");
    }
}
