//! Parquet reference sets as folders: how they are recognised, and how one takes the place of another.

use std::io;
use std::path::{Path, PathBuf};

use super::failure::Failure;

const ZMETADATA: &str = ".zmetadata";

/// Whether a path is the folder of a set. A Zarr store has `.zmetadata` too, but no `record_size` in it.
pub(super) fn is_set(path: &Path) -> bool {
    let document = std::fs::read(path.join(ZMETADATA)).unwrap_or_default();
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap_or_default();
    document.get("record_size").is_some()
}

/// Whether a set may be put in a target's place: nothing but another set is replaced.
pub(super) fn check_target(target: &Path) -> Result<(), Failure> {
    if target.exists() && !is_set(target) {
        let message = format!(
            "{} exists and is no Parquet reference; it is not replaced",
            target.display()
        );
        return Err(Failure::failed("output_exists", &io::Error::other(message)));
    }
    Ok(())
}

/// Puts a set in the target's place. A folder cannot be renamed over another one, so the old one steps aside for a
/// moment.
pub(super) fn replace(temporary: &Path, target: &Path) -> io::Result<()> {
    if !target.exists() {
        return std::fs::rename(temporary, target);
    }
    let aside: PathBuf = temporary.with_added_extension("old");
    std::fs::rename(target, &aside)?;
    std::fs::rename(temporary, target)?;
    std::fs::remove_dir_all(&aside)
}
