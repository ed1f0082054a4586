//! The cached item of a Release, built again from its published reference. SPEC §8.

use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use virtualize::kerchunk;

use super::{Pipeline, PipelineError};
use crate::catalog::item::{self, ItemInput};
use crate::catalog::quicklook::Quicklook;
use crate::combine;
use crate::reference::ReferenceError;
use crate::stores::blobs::{BlobPath, BlobSources};
use crate::stores::ledger::{Action, CachedItem, LedgerError, Refusal, Release, SourceGroup};

impl Pipeline {
    /// Builds the item of a Release again and caches it. The same reference gives the same item. What the catalogue has
    /// of an approved Release stays as it is until that is written once more.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if nothing of it is published, or a store fails.
    pub async fn rebuild_item(&self, release: Release) -> Result<Release, PipelineError> {
        let check = Action::CacheItem.check(&release);
        check.map_err(|refusal| PipelineError::Ledger(refusal.into()))?;
        let group = self.ledger.group_of_release(&release.release_id).await?;
        let group = group.ok_or(LedgerError::Refusal(Refusal::Unknown))?;
        let name = release.blob_path.as_deref().unwrap_or_default();
        let cached = self
            .build_item(&release, &group, &self.blobs.silver(name))
            .await?;
        Ok(self.ledger.cache_item(&cached).await?)
    }

    async fn build_item(
        &self,
        release: &Release,
        group: &SourceGroup,
        at: &BlobPath,
    ) -> Result<CachedItem, PipelineError> {
        let (document, _) = self.blobs.get(at).await?;
        let dataset = kerchunk::json::read(&document);
        let dataset = dataset.map_err(|source| ReferenceError::Read {
            path: at.clone(),
            source: Box::new(source),
        })?;
        let declaration = &group.declaration;
        let sources = BlobSources(Arc::clone(&self.blobs));
        let described = combine::describe(dataset, &sources, &declaration.options);
        let now = Timestamp::now();
        let quicklook = release.stac_item_json.as_ref();
        let quicklook = quicklook.and_then(Quicklook::of_item);
        let input = ItemInput {
            combined: &described.await?,
            declaration,
            release,
            revision: release.revision,
            public_url: &self.config.http.public_url,
            reference: at,
            ref_size_bytes: u64::try_from(document.len()).unwrap_or(u64::MAX),
            ref_sha256: &Sha256::digest(&document),
            created: release.processing_completed_at.unwrap_or(now),
            quicklook: quicklook.as_ref(),
        };
        let mut item = item::build_item(&input)?;
        // An approved Release keeps the ids under which the catalogue has it, whatever is declared by now.
        let published = release.version_id.as_ref().and(
            release
                .stac_item_id
                .clone()
                .zip(release.stac_collection_id.clone()),
        );
        let declared = || (input.item_id(), input.collection_id().to_owned());
        let (item_id, collection_id) = published.unwrap_or_else(declared);
        item["id"] = item_id.as_str().into();
        item["collection"] = collection_id.as_str().into();
        Ok(CachedItem {
            seen: release.clone(),
            item,
            item_id,
            collection_id,
            at: now,
        })
    }
}
