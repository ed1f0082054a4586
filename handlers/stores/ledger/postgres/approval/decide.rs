//! Decisions: the Release as it is, whether that allows them, the audit, the row, and what the STAC catalogue in the same
//! database is to hold of it.
//!
//! Whoever decides holds the row of the Release, then the catalogue; no decision waits for a group.

use deadpool_postgres::Transaction;
use jiff::Timestamp;

use super::ask::version_conflict;
use crate::stores::ledger::approval::check_same;
use crate::stores::ledger::audit::Event;
use crate::stores::ledger::postgres::database::{Parameters, execute};
use crate::stores::ledger::postgres::values::{At, Text, document};
use crate::stores::ledger::postgres::{catalogue, platform};
use crate::stores::ledger::{
    Action, Approval, CachedItem, Catalogue, Clearance, Decided, Decision, LedgerError, Refusal,
    Release, StacDocuments, Unpublication,
};

/// The Release that something is to be done to; nobody else changes it until the transaction ends.
async fn lock(tx: &Transaction<'_>, release_id: &str) -> Result<Release, LedgerError> {
    platform::lock(tx, release_id).await?;
    let found = platform::release(tx, release_id).await?;
    Ok(found.ok_or(Refusal::Unknown)?)
}

pub(super) async fn approve(
    tx: &Transaction<'_>,
    approval: &Approval,
) -> Result<Decided, LedgerError> {
    let release_id = &approval.seen.release_id;
    let release = lock(tx, release_id).await?;
    approval.check(&release)?;
    let (version_id, documents) = (&approval.version_id, &approval.documents);
    catalogue::await_turn(tx).await?;
    // Of two that approve the same version at once, the second fails on the unique index, and finds this then.
    if let Some(refusal) = version_conflict(tx, &release, version_id, documents).await? {
        return Err(refusal.into());
    }
    let event = Event::of("approved")
        .by(Some(&approval.reviewer))
        .because(approval.notes.as_deref())
        .with(approval.metadata());
    platform::audit(tx, release_id, &event, approval.at).await?;
    set_approved(tx, approval).await?;
    let catalogue = catalogue::publish(tx, documents).await?;
    let release = platform::load(tx, release_id).await?;
    Ok(Decided { release, catalogue })
}

async fn set_approved(tx: &Transaction<'_>, approval: &Approval) -> Result<(), LedgerError> {
    let made_public = match approval.clearance {
        Clearance::Public => ", made_public_at = $6::timestamp, made_public_by = $3",
        Clearance::Ouo => "",
    };
    let sql = format!(
        "UPDATE app.asset_releases SET approval_state = 'approved', version_id = $2, is_served = true, reviewer = $3,
             reviewed_at = $6::timestamp, approval_notes = $4, clearance_state = $5, cleared_at = $6::timestamp,
             cleared_by = $3, stac_item_id = $7, stac_collection_id = $8, stac_item_json = $9, last_error = NULL,
             updated_at = $6::timestamp{made_public}
         WHERE release_id = $1"
    );
    let parameters: Parameters<'_> = &[
        &Text(&approval.seen.release_id),
        &Text(&approval.version_id),
        &Text(&approval.reviewer),
        &approval.notes.as_ref().map(Text),
        &Text(approval.clearance.as_str()),
        &At(approval.at),
        &Text(&approval.documents.item_id),
        &Text(&approval.documents.collection_id),
        &document("stac_item_json", &approval.cached_item())?,
    ];
    execute(tx, &sql, parameters).await?;
    Ok(())
}

pub(super) async fn reject(
    tx: &Transaction<'_>,
    decision: &Decision,
) -> Result<Decided, LedgerError> {
    let release_id = &decision.release_id;
    Action::Reject.check(&lock(tx, release_id).await?)?;
    let sql = "UPDATE app.asset_releases SET approval_state = 'rejected', is_served = false, reviewer = $2,
                   reviewed_at = $4::timestamp, rejection_reason = $3, updated_at = $4::timestamp
               WHERE release_id = $1";
    take_back(tx, decision, "rejected", sql).await?;
    Ok(Decided {
        release: platform::load(tx, release_id).await?,
        catalogue: Catalogue::Unchanged,
    })
}

pub(super) async fn revoke(
    tx: &Transaction<'_>,
    decision: &Decision,
) -> Result<Decided, LedgerError> {
    let release_id = &decision.release_id;
    let release = lock(tx, release_id).await?;
    Action::Revoke.check(&release)?;
    let sql = "UPDATE app.asset_releases SET approval_state = 'revoked', is_served = false,
                   revoked_at = $4::timestamp, revoked_by = $2, revocation_reason = $3, updated_at = $4::timestamp
               WHERE release_id = $1";
    take_back(tx, decision, "revoked", sql).await?;
    let ids = release.stac_collection_id.zip(release.stac_item_id);
    let catalogue = match ids {
        Some((collection, item)) => catalogue::withdraw(tx, release_id, &collection, &item).await?,
        None => Catalogue::Unchanged,
    };
    let release = platform::load(tx, release_id).await?;
    Ok(Decided { release, catalogue })
}

/// Records a decision against a Release: audit, row, and none of its revisions is served again.
async fn take_back(
    tx: &Transaction<'_>,
    decision: &Decision,
    kind: &'static str,
    sql: &str,
) -> Result<(), LedgerError> {
    let Decision {
        release_id,
        actor,
        reason,
        at,
    } = decision;
    let event = Event::of(kind)
        .by(actor.as_deref())
        .because(reason.as_deref());
    platform::audit(tx, release_id, &event, *at).await?;
    let reason = reason.as_ref().map(Text);
    let actor = actor.as_ref().map(Text);
    let parameters: Parameters<'_> = &[&Text(release_id), &actor, &reason, &At(*at)];
    execute(tx, sql, parameters).await?;
    withdraw(tx, release_id, *at).await
}

pub(super) async fn unpublish(
    tx: &Transaction<'_>,
    order: &Unpublication,
) -> Result<Decided, LedgerError> {
    let Decision {
        release_id,
        actor,
        reason,
        at,
    } = &order.decision;
    let release = lock(tx, release_id).await?;
    order.check(&release)?;
    let catalogue = match release.approval_state.as_str() {
        "approved" => revoke(tx, &order.decision).await?.catalogue,
        _ => Catalogue::Unchanged,
    };
    if release.blob_path.is_some() {
        let event = Event::of("overwritten")
            .by(actor.as_deref())
            .because(reason.as_deref())
            .with(Unpublication::metadata());
        platform::audit(tx, release_id, &event, *at).await?;
        let sql = "UPDATE app.asset_releases SET blob_path = NULL, updated_at = $2::timestamp WHERE release_id = $1";
        execute(tx, sql, &[&Text(release_id), &At(*at)]).await?;
        withdraw(tx, release_id, *at).await?;
    }
    let release = platform::load(tx, release_id).await?;
    Ok(Decided { release, catalogue })
}

/// Takes back every published revision of a Release: none of them is served again.
async fn withdraw(
    tx: &Transaction<'_>,
    release_id: &str,
    at: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "UPDATE landfall.combine_run SET withdrawn_at = $2
               WHERE release_id = $1 AND state = 'published' AND withdrawn_at IS NULL";
    execute(tx, sql, &[&release_id, &At(at)]).await?;
    Ok(())
}

/// Puts a Release that was rejected or revoked back before its reviewers, because another revision of it is published.
pub(in crate::stores::ledger::postgres) async fn reopen(
    tx: &Transaction<'_>,
    release_id: &str,
    at: Timestamp,
) -> Result<(), LedgerError> {
    let release = platform::load(tx, release_id).await?;
    if matches!(release.approval_state.as_str(), "rejected" | "revoked") {
        platform::audit(tx, release_id, &Event::of("overwritten"), at).await?;
        platform::unreview(tx, release_id).await?;
    }
    Ok(())
}

pub(super) async fn cache_item(
    tx: &Transaction<'_>,
    cached: &CachedItem,
) -> Result<Release, LedgerError> {
    let release_id = &cached.seen.release_id;
    let release = lock(tx, release_id).await?;
    Action::CacheItem.check(&release)?;
    check_same(Action::CacheItem, &cached.seen, &release)?;
    let event = Event::of("processing_completed").with(cached.metadata());
    platform::audit(tx, release_id, &event, cached.at).await?;
    let sql = "UPDATE app.asset_releases SET stac_item_json = $2, stac_item_id = $3, stac_collection_id = $4,
                   updated_at = $5::timestamp WHERE release_id = $1";
    let parameters: Parameters<'_> = &[
        &Text(release_id),
        &document("stac_item_json", &cached.item)?,
        &Text(&cached.item_id),
        &Text(&cached.collection_id),
        &At(cached.at),
    ];
    execute(tx, sql, parameters).await?;
    platform::load(tx, release_id).await
}

pub(super) async fn materialize(
    tx: &Transaction<'_>,
    seen: &Release,
    documents: &StacDocuments,
) -> Result<Catalogue, LedgerError> {
    let release = lock(tx, &seen.release_id).await?;
    Action::Materialize.check(&release)?;
    check_same(Action::Materialize, seen, &release)?;
    catalogue::publish(tx, documents).await
}
