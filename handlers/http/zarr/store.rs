//! The keys of one revision, and the revisions that are kept in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;
use virtualize::{ByteRange, ChunkEntry, VirtualDataset, kerchunk, zarr};

use super::address::Address;
use crate::http::App;
use crate::http::error::ApiError;
use crate::stores::blobs::{BlobError, BlobPath};

/// Revisions that stay in memory; a million chunks take about 12 MB.
const KEPT: usize = 16;

/// One revision: its manifest, and its metadata documents as they are sent.
#[derive(Debug)]
pub(super) struct Store {
    dataset: VirtualDataset,
    metadata: BTreeMap<String, Bytes>,
}

/// What a key stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    /// A metadata document.
    Metadata(Bytes),
    /// The kerchunk document as it is stored.
    Document,
    /// A chunk that the manifest holds.
    Inline(Bytes),
    /// A chunk in a source.
    Virtual(VirtualChunk),
    /// Nothing, and why.
    Absent(&'static str),
}

/// Where a chunk lies.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VirtualChunk {
    pub(super) url: String,
    /// Version of the source; empty where it has none.
    pub(super) etag: String,
    pub(super) range: ByteRange,
}

impl Entry {
    /// The version of the source that the bytes lie in; empty for what the revision itself holds.
    pub(super) fn source_version(&self) -> &str {
        match self {
            Self::Virtual(chunk) => &chunk.etag,
            _ => "",
        }
    }
}

impl Store {
    pub(super) fn new(dataset: VirtualDataset) -> Self {
        let documents = zarr::metadata_documents(&dataset.root);
        let mut metadata: BTreeMap<String, Bytes> = documents
            .into_iter()
            .map(|(key, document)| (key, Bytes::from(document.to_json().to_string())))
            .collect();
        let consolidated = zarr::consolidated_metadata(&dataset.root);
        metadata.insert(
            String::from(".zmetadata"),
            Bytes::from(consolidated.to_string()),
        );
        Self { dataset, metadata }
    }

    /// What a key stands for.
    pub(super) fn find(&self, key: &str) -> Entry {
        if let Some(document) = self.metadata.get(key) {
            return Entry::Metadata(document.clone());
        }
        if key == "combined.json" {
            return Entry::Document;
        }
        self.chunk(key)
            .unwrap_or(Entry::Absent("there is no such key"))
    }

    fn chunk(&self, key: &str) -> Option<Entry> {
        let (path, chunk) = key.rsplit_once('/')?;
        let mut parts = path.split('/');
        let name = parts.next_back()?;
        let group = parts.try_fold(&self.dataset.root, |group, part| group.groups.get(part))?;
        let array = group.arrays.get(name)?;
        let number = zarr::chunk_number(&array.chunk_grid(), chunk)?;
        Some(match array.chunks.get(number) {
            ChunkEntry::Missing => Entry::Absent("this chunk is not stored: it holds fill values"),
            ChunkEntry::Inline(bytes) => Entry::Inline(bytes),
            ChunkEntry::Virtual { source, range } => {
                let source = self.dataset.source(source)?;
                let etag = source.etag.clone().unwrap_or_default();
                Entry::Virtual(VirtualChunk {
                    url: source.url.clone(),
                    etag,
                    range,
                })
            }
        })
    }
}

type Slot = Arc<OnceCell<Arc<Store>>>;

/// The revisions used last; each is loaded once, also when many ask at the same time.
#[derive(Debug, Default)]
pub struct Stores {
    /// The one used last stands in front.
    slots: Mutex<VecDeque<((String, i64), Slot)>>,
}

impl Stores {
    pub(super) async fn get(
        &self,
        app: &App,
        address: &Address,
        at: &BlobPath,
    ) -> Result<Arc<Store>, ApiError> {
        let slot = self.slot((address.release_id.clone(), address.revision));
        slot.get_or_try_init(|| load(app, at)).await.cloned()
    }

    fn slot(&self, id: (String, i64)) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let found = slots
            .iter()
            .position(|(other, _)| *other == id)
            .and_then(|at| slots.remove(at));
        let (id, slot) = found.unwrap_or_else(|| (id, Slot::default()));
        slots.push_front((id, Arc::clone(&slot)));
        slots.truncate(KEPT);
        slot
    }
}

async fn load(app: &App, at: &BlobPath) -> Result<Arc<Store>, ApiError> {
    let (document, _) = app.blobs.get(at).await.map_err(document_error)?;
    let parsed =
        tokio::task::spawn_blocking(move || kerchunk::json::read(&document).map(Store::new)).await;
    let store = parsed
        .map_err(ApiError::internal)?
        .map_err(ApiError::internal)?;
    tracing::debug!(blob.url = %at.short(), "Loaded the store of a revision");
    Ok(Arc::new(store))
}

/// A document that is not there any more is not a key that the store lacks.
pub(super) fn document_error(error: BlobError) -> ApiError {
    match error {
        BlobError::NotFound(_) => ApiError::gone("the references of this revision are gone"),
        error => ApiError::unavailable(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_used_last_stay() {
        let stores = Stores::default();
        let slot = |revision| stores.slot((String::from("a"), revision));
        let first = slot(1);
        for revision in 2..40 {
            slot(revision);
            assert!(Arc::ptr_eq(&first, &slot(1)), "used again after each");
        }
        for revision in 50..66 {
            slot(revision);
        }
        assert!(
            !Arc::ptr_eq(&first, &slot(1)),
            "sixteen others were used after it"
        );
    }
}
