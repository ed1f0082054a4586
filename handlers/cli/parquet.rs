//! Parquet reference sets as folders: written whole, read file by file.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use virtualize::VirtualDataset;
use virtualize::kerchunk::{KerchunkError, parquet};

use super::failure::Failure;

const ZMETADATA: &str = ".zmetadata";

/// Whether a path is the folder of a set. A Zarr store has `.zmetadata` too, but no `record_size` in it.
pub(super) fn is_set(path: &Path) -> bool {
    let document = std::fs::read(path.join(ZMETADATA)).unwrap_or_default();
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap_or_default();
    document.get("record_size").is_some()
}

/// The dataset of the set in a folder.
pub(super) fn read(folder: &Path) -> Result<VirtualDataset, KerchunkError> {
    parquet::read(|name| match std::fs::read(folder.join(name)) {
        Ok(bytes) => Ok(Some(Bytes::from(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    })
}

/// Writes a set into a folder beside the target and puts it in the target's place; returns its size in bytes.
/// Nothing but another set is replaced.
pub(super) fn write(
    target: &Path,
    dataset: &VirtualDataset,
    record_size: u64,
) -> Result<u64, Failure> {
    if target.exists() && !is_set(target) {
        let message = format!(
            "{} exists and is no Parquet reference; it is not replaced",
            target.display()
        );
        return Err(Failure::failed("output_exists", &io::Error::other(message)));
    }
    let temporary = target.with_added_extension(format!("{}.tmp", std::process::id()));
    let written = write_into(&temporary, dataset, record_size)
        .and_then(|size| replace(&temporary, target).map(|()| size));
    written.map_err(|error| {
        // What is left of it is of no use; that it cannot be removed would hide why it failed.
        std::fs::remove_dir_all(&temporary).ok();
        let message = format!("could not write {}: {error}", target.display());
        Failure::failed("write_failed", &io::Error::other(message))
    })
}

fn write_into(folder: &Path, dataset: &VirtualDataset, record_size: u64) -> io::Result<u64> {
    std::fs::create_dir_all(folder)?;
    let mut size = 0u64;
    for file in parquet::files(dataset, record_size)? {
        let file = file?;
        let path = folder.join(&file.name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, &file.bytes)?;
        size = size.saturating_add(u64::try_from(file.bytes.len()).unwrap_or(u64::MAX));
    }
    Ok(size)
}

/// A folder cannot be renamed over another one, so the old one steps aside for a moment.
fn replace(temporary: &Path, target: &Path) -> io::Result<()> {
    if !target.exists() {
        return std::fs::rename(temporary, target);
    }
    let aside: PathBuf = temporary.with_added_extension("old");
    std::fs::rename(target, &aside)?;
    std::fs::rename(temporary, target)?;
    std::fs::remove_dir_all(&aside)
}
