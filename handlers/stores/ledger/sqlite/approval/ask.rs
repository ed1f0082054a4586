//! What there is to know of Releases before and after a decision.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Transaction};

use crate::stores::ledger::sqlite::values::{signed, unsigned};
use crate::stores::ledger::sqlite::{files, platform};
use crate::stores::ledger::{
    ApprovalFilter, Approvals, FileId, FileState, LedgerError, PublishedRevision, Refusal, Release,
    ReleaseSource, SourceFile, StacDocuments, Which,
};

pub(super) fn version_conflict(
    tx: &Transaction<'_>,
    release: &Release,
    version_id: &str,
    documents: &StacDocuments,
) -> Result<Option<Refusal>, LedgerError> {
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
    let other = tx.query_row(sql, key, |row| row.get(0)).optional()?;
    Ok(other.map(|conflicting_release_id| Refusal::Version {
        version_id: version_id.to_owned(),
        conflicting_release_id,
    }))
}

pub(super) fn approvals(
    tx: &Transaction<'_>,
    filter: &ApprovalFilter,
) -> Result<Approvals, LedgerError> {
    let rest =
        "WHERE (?1 IS NULL OR r.approval_state = ?1) AND (?2 IS NULL OR r.clearance_state = ?2)
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
pub(in crate::stores::ledger::sqlite) fn record_sources(
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
