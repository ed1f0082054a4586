//! What there is to know of Releases before and after a decision.

use deadpool_postgres::Transaction;

use crate::stores::ledger::postgres::database::{Parameters, Session, execute, row, rows};
use crate::stores::ledger::postgres::values::{Int, Text, flag, int, signed, text, unsigned};
use crate::stores::ledger::postgres::{catalogue, files, platform, stac};
use crate::stores::ledger::{
    ApprovalFilter, Approvals, FileId, LedgerError, PublishedRevision, Refusal, Release,
    ReleaseSource, SourceFile, StacDocuments, Which,
};

pub(super) async fn version_conflict(
    client: &impl Session,
    release: &Release,
    version_id: &str,
    documents: &StacDocuments,
) -> Result<Option<Refusal>, LedgerError> {
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
    match row(client, sql, key).await? {
        Some(other) => Ok(Some(Refusal::Version {
            version_id: version_id.to_owned(),
            conflicting_release_id: text(&other, "release_id")?,
        })),
        None if stac::is_present(client).await? => catalogue::occupant(client, documents).await,
        None => Ok(None),
    }
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
    let sql =
        "SELECT approval_state, count(*) AS count FROM app.asset_releases GROUP BY approval_state";
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
pub(in crate::stores::ledger::postgres) async fn record_sources(
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
        .map(|file| Ok(signed("size", file.size)?.0))
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
