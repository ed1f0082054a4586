//! Concat coordinates: found, told apart from others, and read where a reference keeps them in the files.

use bytes::Bytes;

use crate::combine::time::clock_paths;
use crate::combine::values::{Pages, assemble};
use crate::dataset::{VirtualArray, VirtualDataset, VirtualGroup};
use crate::decode::ByteRange;
use crate::manifest::{ChunkEntry, ChunkManifest, SourceId};
use crate::zarr::{CodecError, coordinates};

/// A coordinate larger than this is not read.
const LIMIT: u64 = 64 << 20;

/// The dimension along which chunks of one array come from different files; `None` if no array has several.
pub fn varying_dimension(dataset: &VirtualDataset) -> Option<String> {
    let arrays = dataset.root.walk().into_iter();
    let mut varying = arrays.filter_map(|(_, array)| varying_along(array));
    varying.next()
}

fn varying_along(array: &VirtualArray) -> Option<String> {
    let mut first = None;
    let other = array
        .chunks
        .iter()
        .find_map(|(number, entry)| match entry {
            ChunkEntry::Virtual { source, .. } => {
                (*first.get_or_insert(source) != source).then_some(number)
            }
            _ => None,
        })?;
    // In C order the outermost dimension that has moved when the file changes is the one.
    let place = coordinates(&array.chunk_grid(), other);
    let axis = place.iter().position(|index| *index > 0)?;
    array.dimension_names.get(axis).cloned()
}

/// The ranges of concat coordinates that a reference has left in their files.
pub fn clocks_to_read(dataset: &VirtualDataset, dim: &str) -> Vec<(SourceId, ByteRange)> {
    let paths = clock_paths(std::iter::once(dataset), dim);
    let arrays = dataset.root.walk().into_iter();
    let clocks = arrays.filter(|(path, array)| paths.contains(path) && is_kept(array));
    let entries = clocks.flat_map(|(_, array)| array.chunks.iter());
    let ranges = entries.filter_map(|(_, entry)| match entry {
        ChunkEntry::Virtual { source, range } => Some((source, range)),
        _ => None,
    });
    ranges.collect()
}

/// Puts the values of those coordinates into the dataset.
///
/// # Errors
///
/// The path of a coordinate with why its chunks cannot be decoded.
pub fn inline_clocks(
    dataset: &mut VirtualDataset,
    dim: &str,
    parts: &[(SourceId, ByteRange, Bytes)],
) -> Result<(), (String, CodecError)> {
    let mut pages = Pages::default();
    for (source, range, bytes) in parts {
        pages.push(*source, range.start, bytes.clone());
    }
    let paths = clock_paths(std::iter::once(&*dataset), dim);
    inline_group(&mut dataset.root, "", &paths, &pages)
}

fn inline_group(
    group: &mut VirtualGroup,
    folder: &str,
    clocks: &[String],
    pages: &Pages,
) -> Result<(), (String, CodecError)> {
    for (name, array) in &mut group.arrays {
        let path = format!("{folder}{name}");
        if clocks.contains(&path) && is_kept(array) {
            inline_array(array, pages).map_err(|error| (path, error))?;
        }
    }
    for (name, inner) in &mut group.groups {
        inline_group(inner, &format!("{folder}{name}/"), clocks, pages)?;
    }
    Ok(())
}

fn inline_array(array: &mut VirtualArray, pages: &Pages) -> Result<(), CodecError> {
    let values = assemble(array, |entry| match entry {
        ChunkEntry::Missing => Some(None),
        ChunkEntry::Inline(bytes) => Some(Some(bytes)),
        ChunkEntry::Virtual { source, range } => pages.get(source, range).map(Some),
    })?;
    array.chunks = ChunkManifest::inlined(Bytes::from(values));
    array.chunk_shape.clone_from(&array.shape);
    array.codecs.clear();
    Ok(())
}

/// Whether the values of a coordinate are not all inlined, and few enough to be read.
fn is_kept(array: &VirtualArray) -> bool {
    !array.chunks.is_inline() && array.nbytes().is_some_and(|bytes| bytes <= LIMIT)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::combine::sample::{F4, File};

    /// Two files along the first dimension, or along the second, or one file.
    #[rstest]
    #[case::first(&[0, 0, 1, 1], Some("time"))]
    #[case::second(&[0, 1, 0, 1], Some("x"))]
    #[case::one(&[0, 0, 0, 0], None)]
    fn the_dimension_shows_where_the_file_changes(
        #[case] files: &[u32],
        #[case] dim: Option<&str>,
    ) {
        let dims = [("time", 2), ("x", 2)];
        let mut dataset = File::new("a.nc")
            .stored("v", &F4, &dims, &[1, 1], &[0.0; 4], json!({}))
            .dataset;
        let mut chunks = ChunkManifest::new();
        for (number, file) in (0..).zip(files) {
            chunks.push(number, SourceId(*file), ByteRange::new(number, 1));
        }
        dataset.root.arrays.get_mut("v").unwrap().chunks = chunks;
        assert_eq!(varying_dimension(&dataset).as_deref(), dim);
    }
}
