//! Declaring a group: its Asset, Release, job and request in one go, or what is there already.

use jiff::Timestamp;
use rusqlite::Transaction;

use super::groups::{self, GroupRow};
use super::platform::{self, NewRelease};
use super::values::time_text;
use crate::stores::ledger::audit::Event;
use crate::stores::ledger::ids::{self, Subject};
use crate::stores::ledger::takeover::{Standing, Step, check_versions, decide};
use crate::stores::ledger::{
    Declaration, Declared, GroupState, LedgerError, Operation, Origin, Release, SourceGroup,
};

/// What [`declare`] would come to: it is done and undone.
pub(super) fn foresee(
    tx: &Transaction<'_>,
    declaration: &Declaration,
) -> Result<Declared, LedgerError> {
    tx.execute_batch("SAVEPOINT foreseen")?;
    let declared = declare(tx, declaration)?;
    tx.execute_batch("ROLLBACK TO foreseen; RELEASE foreseen")?;
    Ok(declared)
}

pub(super) fn declare(
    tx: &Transaction<'_>,
    declaration: &Declaration,
) -> Result<Declared, LedgerError> {
    let Subject {
        asset_id,
        request_id,
        group: id,
    } = ids::subject(declaration);
    let operation = match groups::find(tx, &id)? {
        Some(row) => meet(tx, &row, declaration)?,
        None => {
            check_versions(declaration, &platform::approved_versions(tx, &asset_id)?)?;
            platform::ensure_asset(tx, &asset_id, declaration)?;
            let release = platform::create_release(tx, &asset_id, declaration, declaration.at)?;
            groups::write(tx, &id, &asset_id, &release, declaration)?;
            Operation::Created
        }
    };
    let row = groups::find(tx, &id)?.ok_or(LedgerError::UnknownGroup(id))?;
    Ok(Declared {
        group: row.group,
        asset_id,
        request_id,
        is_new: !matches!(operation, Operation::Repeated | Operation::Requeued),
        operation,
    })
}

/// Meets a group that is there already.
fn meet(
    tx: &Transaction<'_>,
    row: &GroupRow,
    declaration: &Declaration,
) -> Result<Operation, LedgerError> {
    let group = &row.group;
    let release = platform::release(tx, &group.release_id)?;
    let release = release.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let was_combined = groups::was_combined(tx, &group.id)?;
    let standing = Standing {
        was_combined,
        approval_state: &release.approval_state,
        versions: &platform::approved_versions(tx, &row.asset_id)?,
    };
    let (operation, new) = match decide(&group.declaration, declaration, standing)? {
        Step::Keep => return try_again(tx, group, declaration),
        Step::Replace => {
            let event = Event::of("overwritten");
            platform::audit(tx, &release.release_id, &event, declaration.at)?;
            platform::withdraw_release(tx, &release)?;
            let new = platform::create_release(tx, &row.asset_id, declaration, declaration.at)?;
            (Operation::Created, new)
        }
        Step::NextRelease => {
            let new = platform::create_release(tx, &row.asset_id, declaration, declaration.at)?;
            (Operation::NewVersion, new)
        }
        Step::Overwrite => {
            let new = overwrite(tx, row, &release, declaration)?;
            (Operation::Overwritten, new)
        }
    };
    groups::redeclare(tx, row, &new, declaration)?;
    Ok(operation)
}

/// A submit that is repeated after its job failed queues it again.
fn try_again(
    tx: &Transaction<'_>,
    group: &SourceGroup,
    declaration: &Declaration,
) -> Result<Operation, LedgerError> {
    let has_failed = matches!(group.state, GroupState::Failed | GroupState::Blocked);
    if declaration.origin != Origin::Submit || !has_failed {
        return Ok(Operation::Repeated);
    }
    let now = declaration.at;
    groups::set_state(tx, &group.id, GroupState::Collecting, None, None, now)?;
    let sql = "UPDATE app_jobs SET metadata = json_set(metadata, '$.attempt',
                   coalesce(json_extract(metadata, '$.attempt'), 1) + 1) WHERE job_id = ?1";
    tx.execute(sql, [&group.job_id])?;
    let sql = "UPDATE app_api_requests SET retry_count = retry_count + 1, updated_at = ?2 WHERE job_id = ?1";
    tx.execute(sql, (&group.job_id, time_text(now)))?;
    platform::requeue(tx, &group.release_id, &group.job_id, now)?;
    Ok(Operation::Requeued)
}

/// Reuses the row of a Release: what is published under it stays readable until its next revision is.
fn overwrite(
    tx: &Transaction<'_>,
    row: &GroupRow,
    release: &Release,
    declaration: &Declaration,
) -> Result<NewRelease, LedgerError> {
    let now: Timestamp = declaration.at;
    let release_id = release.release_id.clone();
    platform::audit(tx, &release_id, &Event::of("overwritten"), now)?;
    platform::unreview(tx, &release_id)?;
    let version = (release.version_ordinal, release.revision + 1);
    let job_id = platform::queue_job(tx, &row.asset_id, &release_id, declaration, version, now)?;
    let request_id = ids::request_id(
        &declaration.dataset_id,
        &declaration.resource_id,
        declaration.version_id.as_deref(),
    );
    // The number of what is published stays until the next revision is; where nothing is, it counts at once.
    let sql =
        "UPDATE app_asset_releases SET job_id = ?2, request_id = ?3, suggested_version_id = ?4,
                   revision = CASE WHEN EXISTS (SELECT 1 FROM landfall_combine_run c
                                                WHERE c.release_id = ?1 AND c.state = 'published')
                                   THEN revision ELSE revision + 1 END,
                   processing_status = 'pending', last_error = NULL, updated_at = ?5
               WHERE release_id = ?1";
    let row = (
        &release_id,
        &job_id,
        request_id,
        &declaration.version_id,
        time_text(now),
    );
    tx.execute(sql, row)?;
    Ok(NewRelease { release_id, job_id })
}
