//! Which blobs a declaration speaks for; pure, for every store.

use super::{Expected, SourceGroup};
use crate::stores::blobs::BlobPath;

/// Whether a blob is the one that a prefix names, or lies in the folder that it names.
pub(super) fn lies_below(blob: &str, prefix: &str) -> bool {
    let folder = prefix.trim_end_matches('/');
    let in_folder = |rest: &str| rest.starts_with('/');
    folder.is_empty() || blob == prefix || blob.strip_prefix(folder).is_some_and(in_folder)
}

/// Whether a blob lies below a prefix of its own account and container.
pub(super) fn is_covered(path: &BlobPath, prefix: &BlobPath) -> bool {
    lies_below(&path.blob, &prefix.blob)
        && (&path.account, &path.container) == (&prefix.account, &prefix.container)
}

/// Whether a group that names its files names this one: by its address, its whole name or the end of it.
pub(super) fn is_named(group: &SourceGroup, path: &BlobPath) -> bool {
    let Some(Expected::Files(names)) = &group.declaration.options.expected else {
        return true;
    };
    let ends_with = |name: &str| {
        path.blob
            .strip_suffix(name)
            .is_some_and(|rest| rest.ends_with('/'))
    };
    let is_address =
        |name: &str| BlobPath::parse(name, &path.account).is_ok_and(|named| named == *path);
    // To read an address takes long, and a series may name thousands: those that are spelled alike need not be read.
    let address = path.to_string();
    let is_spelled = |name: &String| *name == path.blob || *name == address || ends_with(name);
    names.iter().any(is_spelled) || names.iter().any(|name| is_address(name))
}
