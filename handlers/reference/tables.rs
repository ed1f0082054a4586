//! The Parquet set beside the document of a large dataset.

use std::collections::BTreeSet;
use std::sync::Arc;

use virtualize::VirtualDataset;
use virtualize::kerchunk::parquet;

use super::{ReferenceError, write};
use crate::stores::blobs::{BlobError, BlobPath, Blobs};

/// Chunks above which a reference is also written as Parquet: readers take it piece by piece.
const ABOVE: usize = 100_000;

/// Whether a dataset has so many chunks that its reference is also written as Parquet.
pub fn wants_tables(dataset: &VirtualDataset) -> bool {
    dataset.chunk_count() > ABOVE
}

/// `….parq/` beside `….json`, as a prefix.
pub(super) fn folder(document: &BlobPath) -> BlobPath {
    let stem = document.blob.strip_suffix(".json");
    document.sibling(format!("{}.parq/", stem.unwrap_or(&document.blob)))
}

/// Writes the set of a dataset, each file on the terms of [`write`]; `false` if the writer is not entitled any more.
/// Of a set that stood there, what the new one has not is removed.
pub(super) async fn put<E: From<ReferenceError>, F>(
    blobs: &Arc<dyn Blobs>,
    folder: &BlobPath,
    dataset: &VirtualDataset,
    is_entitled: &(impl Fn() -> F + Send + Sync),
) -> Result<bool, E>
where
    F: Future<Output = Result<bool, E>> + Send,
{
    let files = parquet::files(dataset, parquet::DEFAULT_RECORD_SIZE);
    let mut written = BTreeSet::new();
    for file in files.map_err(ReferenceError::Write)? {
        let file = file.map_err(ReferenceError::Write)?;
        let at = folder.sibling(format!("{}{}", folder.blob, file.name));
        if !write(blobs, &at, &file.bytes, is_entitled()).await? {
            return Ok(false);
        }
        written.insert(at);
    }
    remove_but(blobs, folder, &written)
        .await
        .map_err(ReferenceError::from)?;
    Ok(true)
}

/// Removes the files below a folder that are not among these. `.zmetadata` goes first: without it the rest is no set.
pub(super) async fn remove_but(
    blobs: &Arc<dyn Blobs>,
    folder: &BlobPath,
    keep: &BTreeSet<BlobPath>,
) -> Result<(), BlobError> {
    let mut present = blobs.list(folder).await?;
    present.retain(|info| !keep.contains(&info.path));
    present.sort_by_key(|info| info.path.file_name() != ".zmetadata");
    for info in present {
        blobs.delete(&info.path).await?;
    }
    Ok(())
}
