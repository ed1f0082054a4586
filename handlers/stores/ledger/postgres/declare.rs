//! Declaring a group: its Asset, Release, job and request in one go, or what is there already.

use deadpool_postgres::Transaction;

use super::database::{Parameters, execute, one};
use super::groups::{self, GroupRow};
use super::platform::{self, NewRelease};
use super::values::{At, Text};
use crate::stores::ledger::audit::Event;
use crate::stores::ledger::ids::{self, Subject};
use crate::stores::ledger::takeover::{Standing, Step, check_versions, decide};
use crate::stores::ledger::{
    Declaration, Declared, GroupId, GroupState, LedgerError, Operation, Origin, Release,
    SourceGroup,
};

/// What [`declare`] would come to: it is done and undone.
pub(super) async fn foresee(
    tx: &Transaction<'_>,
    declaration: &Declaration,
) -> Result<Declared, LedgerError> {
    tx.batch_execute("SAVEPOINT foreseen").await?;
    let declared = declare(tx, declaration).await?;
    tx.batch_execute("ROLLBACK TO SAVEPOINT foreseen").await?;
    Ok(declared)
}

pub(super) async fn declare(
    tx: &Transaction<'_>,
    declaration: &Declaration,
) -> Result<Declared, LedgerError> {
    let Subject {
        asset_id,
        request_id,
        group: id,
    } = ids::subject(declaration);
    wait_for_others(tx, &id).await?;
    let operation = match groups::lock(tx, &id).await? {
        Some(row) => meet(tx, &row, declaration).await?,
        None => {
            let versions = platform::approved_versions(tx, &asset_id).await?;
            check_versions(declaration, &versions)?;
            platform::ensure_asset(tx, &asset_id, declaration).await?;
            let at = declaration.at;
            let release = platform::create_release(tx, &asset_id, declaration, at).await?;
            groups::write(tx, &id, &asset_id, &release, declaration).await?;
            Operation::Created
        }
    };
    let row = groups::load(tx, &id).await?;
    Ok(Declared {
        group: row.group,
        asset_id,
        request_id,
        is_new: !matches!(operation, Operation::Repeated | Operation::Requeued),
        operation,
    })
}

/// Lets one declaration of a group follow the other: a group that is not there yet has no row to lock.
async fn wait_for_others(tx: &Transaction<'_>, id: &GroupId) -> Result<(), LedgerError> {
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended('landfall.source_group ' || $1, 0))";
    one(tx, sql, &[&id.0]).await?;
    Ok(())
}

/// Meets a group that is there already.
async fn meet(
    tx: &Transaction<'_>,
    row: &GroupRow,
    declaration: &Declaration,
) -> Result<Operation, LedgerError> {
    let group = &row.group;
    platform::lock(tx, &group.release_id).await?;
    let release = platform::load(tx, &group.release_id).await?;
    let was_combined = groups::was_combined(tx, &group.id).await?;
    let standing = Standing {
        was_combined,
        approval_state: &release.approval_state,
        versions: &platform::approved_versions(tx, &row.asset_id).await?,
    };
    let at = declaration.at;
    let (operation, new) = match decide(&group.declaration, declaration, standing)? {
        Step::Keep => return try_again(tx, group, declaration).await,
        Step::Replace => {
            let event = Event::of("overwritten");
            platform::audit(tx, &release.release_id, &event, at).await?;
            platform::withdraw_release(tx, &release).await?;
            let new = platform::create_release(tx, &row.asset_id, declaration, at).await?;
            (Operation::Created, new)
        }
        Step::NextRelease => {
            let new = platform::create_release(tx, &row.asset_id, declaration, at).await?;
            (Operation::NewVersion, new)
        }
        Step::Overwrite => {
            let new = overwrite(tx, row, &release, declaration).await?;
            (Operation::Overwritten, new)
        }
    };
    groups::redeclare(tx, row, &new, declaration).await?;
    Ok(operation)
}

/// A submit that is repeated after its job failed queues it again.
async fn try_again(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    declaration: &Declaration,
) -> Result<Operation, LedgerError> {
    let has_failed = matches!(group.state, GroupState::Failed | GroupState::Blocked);
    if declaration.origin != Origin::Submit || !has_failed {
        return Ok(Operation::Repeated);
    }
    let now = declaration.at;
    groups::set_state(tx, &group.id, GroupState::Collecting, None, None, now).await?;
    let sql = "UPDATE app.jobs SET metadata = jsonb_set(metadata::jsonb, '{attempt}',
                   to_jsonb(coalesce((metadata ->> 'attempt')::integer, 1) + 1)) WHERE job_id = $1";
    execute(tx, sql, &[&Text(&group.job_id)]).await?;
    let sql = "UPDATE app.api_requests SET retry_count = coalesce(retry_count, 0) + 1, updated_at = $2::timestamp
               WHERE job_id = $1";
    execute(tx, sql, &[&Text(&group.job_id), &At(now)]).await?;
    platform::requeue(tx, &group.release_id, &group.job_id, now).await?;
    Ok(Operation::Requeued)
}

/// Reuses the row of a Release: what is published under it stays readable until its next revision is.
async fn overwrite(
    tx: &Transaction<'_>,
    row: &GroupRow,
    release: &Release,
    declaration: &Declaration,
) -> Result<NewRelease, LedgerError> {
    let release_id = release.release_id.clone();
    platform::audit(tx, &release_id, &Event::of("overwritten"), declaration.at).await?;
    platform::unreview(tx, &release_id).await?;
    let version = (release.version_ordinal, release.revision + 1);
    let at = declaration.at;
    let job_id =
        platform::queue_job(tx, &row.asset_id, &release_id, declaration, version, at).await?;
    // The number of what is published stays until the next revision is; where nothing is, it counts at once.
    let sql = "UPDATE app.asset_releases r SET job_id = $2, request_id = $3, suggested_version_id = $4,
                   revision = CASE WHEN EXISTS (SELECT 1 FROM landfall.combine_run c
                                                WHERE c.release_id = r.release_id AND c.state = 'published')
                                   THEN r.revision ELSE r.revision + 1 END,
                   processing_status = 'pending', last_error = NULL, updated_at = $5::timestamp
               WHERE r.release_id = $1";
    let request_id = ids::request_id(
        &declaration.dataset_id,
        &declaration.resource_id,
        declaration.version_id.as_deref(),
    );
    let parameters: Parameters<'_> = &[
        &Text(&release_id),
        &Text(&job_id),
        &Text(request_id),
        &declaration.version_id.as_ref().map(Text),
        &At(at),
    ];
    execute(tx, sql, parameters).await?;
    Ok(NewRelease { release_id, job_id })
}
