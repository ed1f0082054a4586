//! What people decide about Releases: looked into, then recorded. SPEC §8.
//!
//! What is approved is what the sources still say: one that has changed since the combine refuses the approval by its
//! name. The ledger has the last word, in one transaction with the audit and the STAC catalogue.

use std::sync::Arc;

use jiff::Timestamp;
use tracing::{info, warn};
use virtualize::Source;

use super::{Pipeline, PipelineError};
use crate::catalog::published::Addresses;
use crate::catalog::release::{self, ApprovalFacts};
use crate::combine::ensure_unchanged;
use crate::read::IoCount;
use crate::reference;
use crate::stores::blobs::{BlobPath, BlobSources};
use crate::stores::ledger::{
    Action, Approval, ApprovalFilter, Catalogue, Clearance, Decided, Decision, Refusal, Release,
    SourceFile, StacDocuments, Unpublication, Which,
};

/// Releases that are looked at in one go.
const PAGE: u32 = 100;

/// What a reviewer says of a Release that they approve.
#[derive(Debug, Clone)]
pub struct Endorsement {
    /// Its version; the one wished for when it was declared, else `v` and its ordinal, if none is said.
    pub version_id: Option<String>,
    /// Who may see it.
    pub clearance: Clearance,
    /// Who approves.
    pub reviewer: String,
    /// What they have to say about it.
    pub notes: Option<String>,
}

/// What unpublishing deletes, or would delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpublished {
    /// Blobs of ours, by name.
    pub references: Vec<BlobPath>,
    /// What became of the catalogue.
    pub catalogue: Catalogue,
}

/// What came of writing approved Releases to the catalogue once more.
#[derive(Debug, Default)]
pub struct Rematerialized {
    /// Releases that are in the catalogue now.
    pub written: Vec<Release>,
    /// Releases that are not, each with the reason.
    pub failed: Vec<(Release, PipelineError)>,
    /// Whether there is no catalogue at all.
    pub is_absent: bool,
}

impl Pipeline {
    /// Looks into what an approval would rest on: the state of the Release, its version, its reference and its sources.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] with what stands in the way; nothing was changed.
    pub async fn check_approval(
        &self,
        release: Release,
        endorsement: Endorsement,
    ) -> Result<Approval, PipelineError> {
        Action::Approve.check(&release).map_err(refused)?;
        let ordinal = || format!("v{}", release.version_ordinal);
        let wished = || release.suggested_version_id.clone();
        let version_id = endorsement.version_id.or_else(wished);
        let version_id = version_id.unwrap_or_else(ordinal);
        let at = Timestamp::now();
        let facts = ApprovalFacts {
            version_id: &version_id,
            clearance: endorsement.clearance,
            reviewer: &endorsement.reviewer,
            approved_at: at,
        };
        let documents = release::documents(&release, &facts, &self.addresses())?;
        let ledger = &self.ledger;
        let conflict = ledger.version_conflict(&release, &version_id, &documents);
        if let Some(refusal) = conflict.await? {
            return Err(refused(refusal));
        }
        self.check_sources(&release).await?;
        Ok(Approval {
            seen: release,
            version_id,
            clearance: endorsement.clearance,
            reviewer: endorsement.reviewer,
            notes: endorsement.notes,
            documents,
            at,
        })
    }

    /// Approves a Release.
    ///
    /// # Errors
    ///
    /// [`PipelineError`], and then nothing was changed.
    pub async fn approve_release(&self, approval: &Approval) -> Result<Decided, PipelineError> {
        let decided = self.ledger.approve(approval).await?;
        let release = &decided.release;
        info!(
            release.id = release.release_id, revision = release.revision, dataset.id = release.dataset_id,
            version.id = approval.version_id, clearance = approval.clearance.as_str(), step = "approved",
            catalogue = ?decided.catalogue, "Approved {} as {}", release.dataset_id, approval.version_id
        );
        Ok(decided)
    }

    /// Rejects a Release.
    ///
    /// # Errors
    ///
    /// [`PipelineError`], and then nothing was changed.
    pub async fn reject_release(&self, decision: &Decision) -> Result<Decided, PipelineError> {
        let decided = self.ledger.reject(decision).await?;
        let release = &decided.release;
        info!(
            release.id = release.release_id,
            step = "release-rejected",
            "Rejected a Release of {}",
            release.dataset_id
        );
        Ok(decided)
    }

    /// Takes an approval back.
    ///
    /// # Errors
    ///
    /// [`PipelineError`], and then nothing was changed.
    pub async fn revoke_release(&self, decision: &Decision) -> Result<Decided, PipelineError> {
        let decided = self.ledger.revoke(decision).await?;
        let release = &decided.release;
        info!(
            release.id = release.release_id, step = "revoked", catalogue = ?decided.catalogue,
            "Revoked a Release of {}", release.dataset_id
        );
        Ok(decided)
    }

    /// Refuses a Release whose reference is gone, or whose sources are not what was combined.
    async fn check_sources(&self, release: &Release) -> Result<(), PipelineError> {
        let name = release.blob_path.as_deref().unwrap_or_default();
        let at = self.blobs.silver(name);
        self.blobs.head(&at).await?;
        let recorded = self
            .ledger
            .release_sources(&release.release_id, Which::All)
            .await?;
        let mut sources: Vec<Source> = recorded
            .iter()
            .map(|source| Source {
                url: self.blobs.reference_url(&source.file.path),
                etag: Some(source.etag.clone()),
                length: source.size,
                last_modified: None,
            })
            .collect();
        if sources.is_empty() {
            // Published before the ledger kept them.
            sources = reference::load(&self.blobs, &at).await?.sources;
        }
        let sources: Vec<&Source> = sources.iter().collect();
        let store = BlobSources(Arc::clone(&self.blobs));
        Ok(ensure_unchanged(&store, &sources, &mut IoCount::default()).await?)
    }

    /// Says aloud that a file of approved Releases is not what it was: they are served as they were approved, and
    /// readers of its chunks are told that they are gone.
    pub(super) async fn warn_of_change(&self, file: &SourceFile) -> Result<(), PipelineError> {
        for release in self.ledger.releases_changed_by(Some(file.id)).await? {
            warn!(
                blob.url = %file.path, release.id = release.release_id, dataset.id = release.dataset_id,
                error.code = "source_changed", step = "source_changed",
                "{} has changed, and an approved Release of {} is made of it", file.path.short(), release.dataset_id
            );
        }
        Ok(())
    }

    /// The references of a Release, whichever revision they are of; none that another Release lives from.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when a store fails.
    pub async fn references_of(&self, release: &Release) -> Result<Vec<BlobPath>, PipelineError> {
        let revisions = self.ledger.published_revisions(&release.release_id).await?;
        let mut found = Vec::new();
        for revision in revisions.iter().filter(|revision| !revision.is_shared) {
            let Some(folder) = revision_folder(&revision.blob_path) else {
                continue;
            };
            let listed = self.blobs.list(&self.blobs.silver(folder)).await?;
            found.extend(listed.into_iter().map(|info| info.path));
        }
        Ok(found)
    }

    /// Deletes the references of a Release, after nothing of it is served any more. What is left by a crash is deleted
    /// when it is unpublished again.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when its state does not allow it, or a store fails.
    pub async fn unpublish_release(
        &self,
        order: &Unpublication,
    ) -> Result<Unpublished, PipelineError> {
        let Decided { release, catalogue } = self.ledger.unpublish(order).await?;
        let references = self.references_of(&release).await?;
        for blob in &references {
            self.blobs.delete(blob).await?;
        }
        info!(
            release.id = release.release_id,
            blobs.count = references.len(),
            step = "unpublished",
            "Unpublished a Release of {}",
            release.dataset_id
        );
        Ok(Unpublished {
            references,
            catalogue,
        })
    }

    /// Writes approved Releases to the catalogue once more: one of them, or all.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when the ledger fails; what the catalogue does not take is in the answer.
    pub async fn rematerialize(
        &self,
        only: Option<Release>,
    ) -> Result<Rematerialized, PipelineError> {
        let mut done = Rematerialized::default();
        if let Some(release) = only {
            self.materialize(release, &mut done).await?;
            return Ok(done);
        }
        let mut filter = ApprovalFilter {
            approval_state: Some(String::from("approved")),
            limit: PAGE,
            ..ApprovalFilter::default()
        };
        loop {
            let page = self.ledger.approvals(&filter).await?.releases;
            if page.is_empty() || done.is_absent {
                return Ok(done);
            }
            for release in page {
                self.materialize(release, &mut done).await?;
            }
            filter.offset += PAGE;
        }
    }

    async fn materialize(
        &self,
        release: Release,
        done: &mut Rematerialized,
    ) -> Result<(), PipelineError> {
        Action::Materialize.check(&release).map_err(refused)?;
        let documents = match self.documents_of(&release) {
            Ok(documents) => documents,
            Err(error) => {
                done.failed.push((release, error));
                return Ok(());
            }
        };
        match self.ledger.materialize(&release, &documents).await {
            Ok(Catalogue::Absent) => done.is_absent = true,
            Ok(Catalogue::Unchanged | Catalogue::Updated) => done.written.push(release),
            Err(error) => done.failed.push((release, error.into())),
        }
        Ok(())
    }

    /// What the catalogue is to hold of a Release that is approved already.
    fn documents_of(&self, release: &Release) -> Result<StacDocuments, PipelineError> {
        let review = &release.review;
        let facts = ApprovalFacts {
            version_id: release.version_id.as_deref().unwrap_or_default(),
            clearance: match release.clearance_state.as_str() {
                "public" => Clearance::Public,
                _ => Clearance::Ouo,
            },
            reviewer: review.reviewer.as_deref().unwrap_or_default(),
            approved_at: review.reviewed_at.unwrap_or(release.updated_at),
        };
        Ok(release::documents(release, &facts, &self.addresses())?)
    }

    fn addresses(&self) -> Addresses<'_> {
        let http = &self.config.http;
        Addresses {
            public_url: &http.public_url,
            titiler_url: http.titiler_url.as_deref(),
        }
    }
}

fn refused(refusal: Refusal) -> PipelineError {
    PipelineError::Ledger(refusal.into())
}

/// The folder of a revision, which holds its reference in every form and nothing else; `None` for what is no such path.
fn revision_folder(blob_path: &str) -> Option<&str> {
    let (folder, _) = blob_path.rsplit_once('/')?;
    let (above, revision) = folder.rsplit_once('/')?;
    let number = revision.strip_prefix('r')?;
    let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    let is_ours = is_number && above.starts_with("refs/combined/");
    is_ours.then(|| blob_path.get(..=folder.len())).flatten()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "refs/combined/a/b/ord1/r12/combined.json",
        Some("refs/combined/a/b/ord1/r12/")
    )]
    #[case::no_revision("refs/combined/a/b/ord1/combined.json", None)]
    #[case::a_reference_of_a_file("refs/files/local/bronze/r1/a.json", None)]
    #[case::no_folder("combined.json", None)]
    #[case::nothing("", None)]
    fn only_folders_of_revisions_are_emptied(#[case] path: &str, #[case] folder: Option<&str>) {
        assert_eq!(revision_folder(path), folder);
    }
}
