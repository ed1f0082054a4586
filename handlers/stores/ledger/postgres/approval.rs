//! What people decide about Releases, with what the STAC catalogue in the same database is to hold of them.
//!
//! Whoever decides holds the row of the Release, then the catalogue; no decision waits for a group.

use deadpool_postgres::Transaction;
use jiff::Timestamp;

use super::catalogue;
use super::database::{Parameters, Session, execute, row, rows};
use super::values::{At, Int, Text, document, flag, int, text, unsigned};
use super::{files, platform};
use crate::stores::ledger::approval::check_same;
use crate::stores::ledger::audit::Event;
use crate::stores::ledger::{
    Action, Approval, ApprovalFilter, Approvals, CachedItem, Catalogue, Clearance, Decided,
    Decision, FileId, LedgerError, PublishedRevision, Refusal, Release, ReleaseSource, SourceFile,
    StacDocuments, Unpublication, Which,
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
    // Of two that approve the same version at once, the second fails on the unique index, and finds this then.
    if let Some(other) = version_conflict(tx, &release, version_id, documents).await? {
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

pub(super) async fn version_conflict(
    client: &impl Session,
    release: &Release,
    version_id: &str,
    documents: &StacDocuments,
) -> Result<Option<String>, LedgerError> {
    let sql = "SELECT release_id FROM app.asset_releases
               WHERE approval_state = 'approved' AND release_id <> $1
                   AND ((asset_id = $2 AND version_id = $3) OR (stac_collection_id = $4 AND stac_item_id = $5))
               ORDER BY version_ordinal LIMIT 1";
    let key: Parameters<'_> = &[
        &Text(&release.release_id),
        &Text(&release.asset_id),
        &Text(version_id),
        &Text(&documents.collection_id),
        &Text(&documents.item_id),
    ];
    let found = row(client, sql, key).await?;
    found.map(|row| text(&row, "release_id")).transpose()
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
        Some((collection, item)) => catalogue::withdraw(tx, &collection, &item).await?,
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
    let event = Event::of(kind).by(actor.as_deref()).because(reason.as_deref());
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
async fn withdraw(tx: &Transaction<'_>, release_id: &str, at: Timestamp) -> Result<(), LedgerError> {
    let sql = "UPDATE landfall.combine_run SET withdrawn_at = $2
               WHERE release_id = $1 AND state = 'published' AND withdrawn_at IS NULL";
    execute(tx, sql, &[&release_id, &At(at)]).await?;
    Ok(())
}

/// Puts a Release that was rejected or revoked back before its reviewers, because another revision of it is published.
pub(super) async fn reopen(
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

pub(super) async fn approvals(
    client: &impl Session,
    filter: &ApprovalFilter,
) -> Result<Approvals, LedgerError> {
    let rest = "WHERE ($1::text IS NULL OR r.approval_state::text = $1)
                    AND ($2::text IS NULL OR r.clearance_state::text = $2)
                ORDER BY r.created_at DESC, r.version_ordinal DESC, r.release_id LIMIT $3 OFFSET $4";
    let wanted: Parameters<'_> = &[
        &filter.approval_state,
        &filter.clearance_state,
        &Int(filter.limit.into()),
        &Int(filter.offset.into()),
    ];
    let releases = platform::releases(client, rest, wanted).await?;
    let sql = "SELECT approval_state, count(*) AS count FROM app.asset_releases GROUP BY approval_state";
    let counts = rows(client, sql, &[]).await?;
    let counts = counts
        .iter()
        .map(|row| Ok((text(row, "approval_state")?, unsigned(row, "count")?)));
    Ok(Approvals {
        releases,
        status_counts: counts.collect::<Result<_, LedgerError>>()?,
    })
}

pub(super) async fn published_revisions(
    client: &impl Session,
    release_id: &str,
) -> Result<Vec<PublishedRevision>, LedgerError> {
    let sql = "SELECT c.revision, c.blob_path, EXISTS (
                   SELECT FROM landfall.combine_run o JOIN app.asset_releases r ON r.release_id = o.release_id
                   WHERE o.blob_path = c.blob_path AND o.release_id <> c.release_id AND o.state = 'published'
                       AND o.withdrawn_at IS NULL) AS is_shared
               FROM landfall.combine_run c
               WHERE c.release_id = $1 AND c.state = 'published' AND c.blob_path IS NOT NULL ORDER BY c.revision";
    let found = rows(client, sql, &[&release_id]).await?;
    let revision = |row| {
        Ok(PublishedRevision {
            revision: int(row, "revision")?,
            blob_path: text(row, "blob_path")?,
            is_shared: flag(row, "is_shared")?,
        })
    };
    found.iter().map(revision).collect()
}

/// Keeps the member set that a Release is made of, in place of the one before.
pub(super) async fn record_sources(
    tx: &Transaction<'_>,
    release_id: &str,
    members: &[SourceFile],
) -> Result<(), LedgerError> {
    let sql = "DELETE FROM landfall.release_source WHERE release_id = $1";
    execute(tx, sql, &[&Text(release_id)]).await?;
    let files: Vec<i64> = members.iter().map(|file| file.id.0).collect();
    let etags: Vec<&str> = members.iter().map(|file| file.etag.as_str()).collect();
    let sizes: Result<Vec<i64>, LedgerError> = members
        .iter()
        .map(|file| Ok(super::values::signed("size", file.size)?.0))
        .collect();
    let sql = "INSERT INTO landfall.release_source (release_id, file_id, etag, size)
               SELECT $1, n.file_id, n.etag, n.size
               FROM unnest($2::bigint[], $3::text[], $4::bigint[]) AS n (file_id, etag, size)";
    let parameters: Parameters<'_> = &[&Text(release_id), &files, &etags, &sizes?];
    execute(tx, sql, parameters).await?;
    Ok(())
}

pub(super) async fn sources(
    client: &impl Session,
    release_id: &str,
    which: Which,
) -> Result<Vec<ReleaseSource>, LedgerError> {
    let sql = format!(
        "SELECT {}, combined_etag, combined_size FROM landfall.source_file
         JOIN (SELECT s.file_id, s.etag AS combined_etag, s.size AS combined_size
               FROM landfall.release_source s WHERE s.release_id = $1) s ON s.file_id = id
         WHERE $2 OR etag <> combined_etag OR state = 'gone'
         ORDER BY blob, id",
        files::COLUMNS
    );
    let all = which == Which::All;
    let found = rows(client, &sql, &[&Text(release_id), &all]).await?;
    let source = |row| {
        Ok(ReleaseSource {
            file: files::from_row(row)?,
            etag: text(row, "combined_etag")?,
            size: unsigned(row, "combined_size")?,
        })
    };
    found.iter().map(source).collect()
}

pub(super) async fn changed_by(
    client: &impl Session,
    file: Option<FileId>,
) -> Result<Vec<Release>, LedgerError> {
    let rest = "WHERE r.approval_state = 'approved' AND EXISTS (
                    SELECT FROM landfall.release_source s JOIN landfall.source_file f ON f.id = s.file_id
                    WHERE s.release_id = r.release_id AND ($1::bigint IS NULL OR s.file_id = $1)
                        AND (f.etag <> s.etag OR f.state = 'gone'))
                ORDER BY r.created_at, r.version_ordinal";
    platform::releases(client, rest, &[&file.map(|file| file.0)]).await
}
