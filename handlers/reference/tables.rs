//! The Parquet set beside the document of a large dataset.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use virtualize::kerchunk::parquet;
use virtualize::{ByteRange, VirtualDataset};

use super::{ReferenceError, write};
use crate::stores::blobs::{BlobError, BlobInfo, BlobPath, Blobs, PutCondition};

/// Bytes of a blob that are compared at once.
const PIECE: u64 = 8 << 20;

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

/// As [`put`], from the files of a draft.
pub(super) async fn put_files<E: From<ReferenceError>, F>(
    blobs: &Arc<dyn Blobs>,
    folder: &BlobPath,
    files: &Path,
    is_entitled: &(impl Fn() -> F + Send + Sync),
) -> Result<bool, E>
where
    F: Future<Output = Result<bool, E>> + Send,
{
    let store = |error: BlobError| E::from(ReferenceError::from(error));
    let names = names_below(files).map_err(ReferenceError::Write)?;
    let mut written = BTreeSet::new();
    for name in names {
        let at = folder.sibling(format!("{}{name}", folder.blob));
        let file = files.join(&name);
        let condition = match blobs.head(&at).await {
            Ok(info) if is_same(blobs, &info, &file).await.map_err(store)? => None,
            Ok(info) => Some(PutCondition::IfMatch(info.etag)),
            Err(BlobError::NotFound(_)) => Some(PutCondition::IfAbsent),
            Err(error) => return Err(store(error)),
        };
        if !is_entitled().await? {
            return Ok(false);
        }
        if let Some(condition) = condition {
            let put = blobs.put_file(&at, &file, condition).await;
            put.map_err(store)?;
        }
        written.insert(at);
    }
    let removed = remove_but(blobs, folder, &written).await;
    removed.map_err(store)?;
    Ok(true)
}

/// Names of the files below a folder, `.zmetadata` last: a set without it is none.
fn names_below(root: &Path) -> io::Result<Vec<String>> {
    let (mut names, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.strip_prefix(root) {
                Ok(_) if path.is_dir() => folders.push(path),
                Ok(name) => names.push(name.to_string_lossy().into_owned()),
                Err(_) => {}
            }
        }
    }
    names.sort_by_key(|name| (name == ".zmetadata", name.clone()));
    Ok(names)
}

/// Whether a blob holds what a file holds, compared piece by piece.
pub(super) async fn is_same(
    blobs: &Arc<dyn Blobs>,
    info: &BlobInfo,
    file: &Path,
) -> Result<bool, BlobError> {
    let fail = |source| BlobError::Unavailable {
        path: info.path.clone(),
        source,
    };
    let mut file = File::open(file).map_err(fail)?;
    if file.metadata().map_err(fail)?.len() != info.length {
        return Ok(false);
    }
    let mut start = 0;
    while start < info.length {
        let range = ByteRange::new(start, PIECE.min(info.length.saturating_sub(start)));
        let parts = blobs.get_ranges(&info.path, &info.etag, &[range]).await?;
        let mut own = vec![0; usize::try_from(range.len).unwrap_or(0)];
        file.read_exact(&mut own).map_err(fail)?;
        if parts.first().is_none_or(|part| part.as_ref() != own) {
            return Ok(false);
        }
        start = range.end();
    }
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
