//! Decisions: the Release as it is, whether that allows them, the audit, the row.

use jiff::Timestamp;
use rusqlite::{Transaction, named_params};

use super::ask::version_conflict;
use crate::stores::ledger::approval::check_same;
use crate::stores::ledger::audit::Event;
use crate::stores::ledger::sqlite::platform;
use crate::stores::ledger::sqlite::values::time_text;
use crate::stores::ledger::{
    Action, Approval, CachedItem, Catalogue, Clearance, Decided, Decision, LedgerError, Refusal,
    Release, Unpublication,
};

/// The Release that something is to be done to.
fn load(tx: &Transaction<'_>, release_id: &str) -> Result<Release, LedgerError> {
    Ok(platform::release(tx, release_id)?.ok_or(Refusal::Unknown)?)
}

fn decided(tx: &Transaction<'_>, release_id: &str) -> Result<Decided, LedgerError> {
    Ok(Decided {
        release: load(tx, release_id)?,
        catalogue: Catalogue::Absent,
    })
}

pub(super) fn approve(tx: &Transaction<'_>, approval: &Approval) -> Result<Decided, LedgerError> {
    let release_id = &approval.seen.release_id;
    let release = load(tx, release_id)?;
    approval.check(&release)?;
    let (version_id, documents) = (&approval.version_id, &approval.documents);
    if let Some(refusal) = version_conflict(tx, &release, version_id, documents)? {
        return Err(refusal.into());
    }
    let event = Event::of("approved")
        .by(Some(&approval.reviewer))
        .because(approval.notes.as_deref())
        .with(approval.metadata());
    platform::audit(tx, release_id, &event, approval.at)?;
    let params = named_params! {
        ":release": release_id, ":version": version_id, ":reviewer": approval.reviewer, ":notes": approval.notes,
        ":clearance": approval.clearance.as_str(), ":is_public": approval.clearance == Clearance::Public,
        ":item": documents.item_id, ":collection": documents.collection_id,
        ":json": approval.cached_item().to_string(), ":at": time_text(approval.at),
    };
    tx.execute(
        "UPDATE app_asset_releases SET approval_state = 'approved', version_id = :version, is_served = true,
             reviewer = :reviewer, reviewed_at = :at, approval_notes = :notes, clearance_state = :clearance,
             cleared_at = :at, cleared_by = :reviewer, made_public_at = CASE WHEN :is_public THEN :at END,
             made_public_by = CASE WHEN :is_public THEN :reviewer END, stac_item_id = :item,
             stac_collection_id = :collection, stac_item_json = :json, last_error = NULL, updated_at = :at
         WHERE release_id = :release",
        params,
    )?;
    decided(tx, release_id)
}

pub(super) fn reject(tx: &Transaction<'_>, decision: &Decision) -> Result<Decided, LedgerError> {
    Action::Reject.check(&load(tx, &decision.release_id)?)?;
    let sql = "UPDATE app_asset_releases SET approval_state = 'rejected', is_served = false, reviewer = ?2,
                   reviewed_at = ?4, rejection_reason = ?3, updated_at = ?4 WHERE release_id = ?1";
    take_back(tx, decision, "rejected", sql)
}

pub(super) fn revoke(tx: &Transaction<'_>, decision: &Decision) -> Result<Decided, LedgerError> {
    Action::Revoke.check(&load(tx, &decision.release_id)?)?;
    let sql = "UPDATE app_asset_releases SET approval_state = 'revoked', is_served = false, revoked_at = ?4,
                   revoked_by = ?2, revocation_reason = ?3, updated_at = ?4 WHERE release_id = ?1";
    take_back(tx, decision, "revoked", sql)
}

/// Records a decision against a Release: audit, row, and none of its revisions is served again.
fn take_back(
    tx: &Transaction<'_>,
    decision: &Decision,
    kind: &'static str,
    sql: &str,
) -> Result<Decided, LedgerError> {
    let Decision {
        release_id,
        actor,
        reason,
        at,
    } = decision;
    let event = Event::of(kind)
        .by(actor.as_deref())
        .because(reason.as_deref());
    platform::audit(tx, release_id, &event, *at)?;
    tx.execute(sql, (release_id, actor, reason, time_text(*at)))?;
    withdraw(tx, release_id, *at)?;
    decided(tx, release_id)
}

pub(super) fn unpublish(
    tx: &Transaction<'_>,
    order: &Unpublication,
) -> Result<Decided, LedgerError> {
    let Decision {
        release_id,
        actor,
        reason,
        at,
    } = &order.decision;
    let release = load(tx, release_id)?;
    order.check(&release)?;
    if release.approval_state == "approved" {
        revoke(tx, &order.decision)?;
    }
    if release.blob_path.is_some() {
        let event = Event::of("overwritten")
            .by(actor.as_deref())
            .because(reason.as_deref())
            .with(Unpublication::metadata());
        platform::audit(tx, release_id, &event, *at)?;
        let sql =
            "UPDATE app_asset_releases SET blob_path = NULL, updated_at = ?2 WHERE release_id = ?1";
        tx.execute(sql, (release_id, time_text(*at)))?;
        withdraw(tx, release_id, *at)?;
    }
    decided(tx, release_id)
}

/// Takes back every published revision of a Release: none of them is served again.
fn withdraw(tx: &Transaction<'_>, release_id: &str, at: Timestamp) -> Result<(), LedgerError> {
    let sql = "UPDATE landfall_combine_run SET withdrawn_at = ?2
               WHERE release_id = ?1 AND state = 'published' AND withdrawn_at IS NULL";
    tx.execute(sql, (release_id, time_text(at)))?;
    Ok(())
}

/// Puts a Release that was rejected or revoked back before its reviewers, because another revision of it is published.
pub(in crate::stores::ledger::sqlite) fn reopen(
    tx: &Transaction<'_>,
    release_id: &str,
    at: Timestamp,
) -> Result<(), LedgerError> {
    let release = load(tx, release_id)?;
    if matches!(release.approval_state.as_str(), "rejected" | "revoked") {
        platform::audit(tx, release_id, &Event::of("overwritten"), at)?;
        platform::unreview(tx, release_id)?;
    }
    Ok(())
}

pub(super) fn cache_item(
    tx: &Transaction<'_>,
    cached: &CachedItem,
) -> Result<Release, LedgerError> {
    let release_id = &cached.seen.release_id;
    let release = load(tx, release_id)?;
    Action::CacheItem.check(&release)?;
    check_same(Action::CacheItem, &cached.seen, &release)?;
    let event = Event::of("processing_completed").with(cached.metadata());
    platform::audit(tx, release_id, &event, cached.at)?;
    let sql = "UPDATE app_asset_releases SET stac_item_json = ?2, stac_item_id = ?3, stac_collection_id = ?4,
                   updated_at = ?5 WHERE release_id = ?1";
    let row = (
        release_id,
        cached.item.to_string(),
        &cached.item_id,
        &cached.collection_id,
        time_text(cached.at),
    );
    tx.execute(sql, row)?;
    load(tx, release_id)
}

pub(super) fn materialize(tx: &Transaction<'_>, seen: &Release) -> Result<Catalogue, LedgerError> {
    let release = load(tx, &seen.release_id)?;
    Action::Materialize.check(&release)?;
    check_same(Action::Materialize, seen, &release)?;
    Ok(Catalogue::Absent)
}
