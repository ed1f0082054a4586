//! What people decide about Releases. There is no STAC catalogue beside SQLite.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, named_params};

use super::values::{signed, time_text, unsigned};
use super::{files, platform};
use crate::stores::ledger::approval::check_same;
use crate::stores::ledger::audit::Event;
use crate::stores::ledger::{
    Action, Approval, ApprovalFilter, Approvals, CachedItem, Catalogue, Clearance, Decided,
    Decision, FileId, FileState, LedgerError, PublishedRevision, Refusal, Release, ReleaseSource,
    SourceFile, StacDocuments, Unpublication, Which,
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

pub(super) fn approve(
    tx: &Transaction<'_>,
    approval: &Approval,
) -> Result<Decided, LedgerError> {
    let release_id = &approval.seen.release_id;
    let release = load(tx, release_id)?;
    approval.check(&release)?;
    let (version_id, documents) = (&approval.version_id, &approval.documents);
    if let Some(other) = version_conflict(tx, &release, version_id, documents)? {
        return Err(Refusal::Version {
            version_id: version_id.clone(),
            conflicting_release_id: other,
        }
        .into());
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

pub(super) fn version_conflict(
    tx: &Transaction<'_>,
    release: &Release,
    version_id: &str,
    documents: &StacDocuments,
) -> Result<Option<String>, LedgerError> {
    let sql = "SELECT release_id FROM app_asset_releases
               WHERE approval_state = 'approved' AND release_id <> ?1
                   AND ((asset_id = ?2 AND version_id = ?3) OR (stac_collection_id = ?4 AND stac_item_id = ?5))
               ORDER BY version_ordinal LIMIT 1";
    let key = (
        &release.release_id,
        &release.asset_id,
        version_id,
        &documents.collection_id,
        &documents.item_id,
    );
    Ok(tx.query_row(sql, key, |row| row.get(0)).optional()?)
}

pub(super) fn reject(tx: &Transaction<'_>, decision: &Decision) -> Result<Decided, LedgerError> {
    let Decision {
        release_id,
        actor,
        reason,
        at,
    } = decision;
    Action::Reject.check(&load(tx, release_id)?)?;
    let event = Event::of("rejected").by(actor.as_deref()).because(reason.as_deref());
    platform::audit(tx, release_id, &event, *at)?;
    let sql = "UPDATE app_asset_releases SET approval_state = 'rejected', is_served = false, reviewer = ?2,
                   reviewed_at = ?4, rejection_reason = ?3, updated_at = ?4 WHERE release_id = ?1";
    tx.execute(sql, (release_id, actor, reason, time_text(*at)))?;
    withdraw(tx, release_id, *at)?;
    decided(tx, release_id)
}

pub(super) fn revoke(tx: &Transaction<'_>, decision: &Decision) -> Result<Decided, LedgerError> {
    let Decision {
        release_id,
        actor,
        reason,
        at,
    } = decision;
    Action::Revoke.check(&load(tx, release_id)?)?;
    let event = Event::of("revoked").by(actor.as_deref()).because(reason.as_deref());
    platform::audit(tx, release_id, &event, *at)?;
    let sql = "UPDATE app_asset_releases SET approval_state = 'revoked', is_served = false, revoked_at = ?4,
                   revoked_by = ?2, revocation_reason = ?3, updated_at = ?4 WHERE release_id = ?1";
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
        let sql = "UPDATE app_asset_releases SET blob_path = NULL, updated_at = ?2 WHERE release_id = ?1";
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
pub(super) fn reopen(
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

pub(super) fn materialize(
    tx: &Transaction<'_>,
    seen: &Release,
) -> Result<Catalogue, LedgerError> {
    let release = load(tx, &seen.release_id)?;
    Action::Materialize.check(&release)?;
    check_same(Action::Materialize, seen, &release)?;
    Ok(Catalogue::Absent)
}

pub(super) fn approvals(
    tx: &Transaction<'_>,
    filter: &ApprovalFilter,
) -> Result<Approvals, LedgerError> {
    let rest = "WHERE (?1 IS NULL OR r.approval_state = ?1) AND (?2 IS NULL OR r.clearance_state = ?2)
                ORDER BY r.created_at DESC, r.rowid DESC LIMIT ?3 OFFSET ?4";
    let wanted = (
        &filter.approval_state,
        &filter.clearance_state,
        filter.limit,
        filter.offset,
    );
    let releases = platform::releases(tx, rest, wanted)?;
    let sql = "SELECT approval_state, count(*) FROM app_asset_releases GROUP BY approval_state";
    let mut statement = tx.prepare_cached(sql)?;
    let counts: Result<BTreeMap<String, u64>, LedgerError> = statement
        .query_and_then([], |row| Ok((row.get(0)?, unsigned("count", row.get(1)?)?)))?
        .collect();
    Ok(Approvals {
        releases,
        status_counts: counts?,
    })
}

pub(super) fn published_revisions(
    tx: &Transaction<'_>,
    release_id: &str,
) -> Result<Vec<PublishedRevision>, LedgerError> {
    let sql = "SELECT c.revision, c.blob_path, EXISTS (
                   SELECT 1 FROM landfall_combine_run o JOIN app_asset_releases r ON r.release_id = o.release_id
                   WHERE o.blob_path = c.blob_path AND o.release_id <> c.release_id AND o.state = 'published'
                       AND o.withdrawn_at IS NULL)
               FROM landfall_combine_run c
               WHERE c.release_id = ?1 AND c.state = 'published' AND c.blob_path IS NOT NULL ORDER BY c.revision";
    let mut statement = tx.prepare_cached(sql)?;
    let revisions = statement.query_and_then([release_id], |row| {
        Ok(PublishedRevision {
            revision: row.get(0)?,
            blob_path: row.get(1)?,
            is_shared: row.get(2)?,
        })
    })?;
    revisions.collect()
}

/// Keeps the member set that a Release is made of, in place of the one before.
pub(super) fn record_sources(
    tx: &Transaction<'_>,
    release_id: &str,
    members: &[SourceFile],
) -> Result<(), LedgerError> {
    let sql = "DELETE FROM landfall_release_source WHERE release_id = ?1";
    tx.execute(sql, [release_id])?;
    let sql = "INSERT INTO landfall_release_source (release_id, file_id, etag, size) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = tx.prepare_cached(sql)?;
    for file in members {
        statement.execute((
            release_id,
            file.id.0,
            &file.etag,
            signed("size", file.size)?,
        ))?;
    }
    Ok(())
}

pub(super) fn sources(
    tx: &Transaction<'_>,
    release_id: &str,
    which: Which,
) -> Result<Vec<ReleaseSource>, LedgerError> {
    let sql = "SELECT file_id, etag, size FROM landfall_release_source WHERE release_id = ?1";
    let mut statement = tx.prepare_cached(sql)?;
    let combined = statement.query_and_then([release_id], |row| {
        Ok((FileId(row.get(0)?), (row.get(1)?, row.get(2)?)))
    })?;
    let mut combined: BTreeMap<FileId, (String, i64)> =
        combined.collect::<Result<_, LedgerError>>()?;
    let condition = "id IN (SELECT file_id FROM landfall_release_source WHERE release_id = ?1)";
    let mut sources = Vec::new();
    for file in files::select(tx, condition, [release_id])? {
        let Some((etag, size)) = combined.remove(&file.id) else {
            continue;
        };
        let has_changed = file.etag != etag || file.state == FileState::Gone;
        if which == Which::All || has_changed {
            let size = unsigned("size", size)?;
            sources.push(ReleaseSource { file, etag, size });
        }
    }
    Ok(sources)
}

pub(super) fn changed_by(
    tx: &Transaction<'_>,
    file: Option<FileId>,
) -> Result<Vec<Release>, LedgerError> {
    let rest = "WHERE r.approval_state = 'approved' AND EXISTS (
                    SELECT 1 FROM landfall_release_source s JOIN landfall_source_file f ON f.id = s.file_id
                    WHERE s.release_id = r.release_id AND (?1 IS NULL OR s.file_id = ?1)
                        AND (f.etag <> s.etag OR f.state = 'gone'))
                ORDER BY r.created_at, r.rowid";
    platform::releases(tx, rest, [file.map(|file| file.0)])
}
