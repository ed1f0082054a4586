//! Reads the values of small coordinates into the dataset, so that opening it costs no further request. SPEC §5.

mod values;

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::combine::clock_paths;
use crate::dataset::{VirtualArray, VirtualDataset, VirtualGroup};
use crate::decode::{ByteRange, DecodeError, DecodeOptions, SourceBuffer, settle};
use crate::manifest::{ChunkEntry, ChunkManifest};
use crate::rules::Finding;
use crate::zarr::DataType;

pub(crate) use values::{ValuesError, read_values};

/// Attributes that name coordinates and bounds.
const NAMING: [&str; 5] = [
    "coordinates",
    "bounds",
    "climatology",
    "grid_mapping",
    "formula_terms",
];

/// Ranges nearer to each other than this are read as one.
const GAP: u64 = 64 << 10;

/// The most ranges that are read for one coordinate.
const MAX_RANGES: usize = 16;

/// Inlines the concat coordinate, and other coordinates, bounds, levels and scalars where they are small.
///
/// # Errors
///
/// [`DecodeError`] when the concat coordinate cannot be read.
pub(crate) async fn inline_coordinates(
    dataset: &mut VirtualDataset,
    buffer: &SourceBuffer,
    options: &DecodeOptions,
) -> Result<(), DecodeError> {
    for (path, role, read) in read_coordinates(dataset, buffer, options).await {
        match read {
            Ok(values) => {
                if let Some(array) = find(&mut dataset.root, &path) {
                    inline(array, values);
                }
            }
            Err(error) if role == Role::Concat && !error.is_no_decoder() => {
                return Err(unreadable(&path, error));
            }
            Err(error) => dataset.findings.push(not_inlined(&path, &error)),
        }
    }
    Ok(())
}

/// The values of what is inlined, with path and role.
async fn read_coordinates(
    dataset: &VirtualDataset,
    buffer: &SourceBuffer,
    options: &DecodeOptions,
) -> Vec<(String, Role, Result<Vec<u8>, ValuesError>)> {
    let names = named_by_attributes(&dataset.root);
    // Where nothing is named like the dimension, a time along it tells the order of the files.
    let clocks = clock_paths(std::iter::once(dataset), &options.concat_dim);
    // Text is one chunk of its own form already.
    let arrays = dataset.root.walk().into_iter();
    let arrays = arrays.filter(|(_, array)| array.data_type != DataType::VlenString);
    let reads = arrays.filter_map(|(path, array)| {
        let role = role_of(&path, array, &names, options);
        let clock = || (clocks.contains(&path) && !is_plain(array)).then_some(Role::Coordinate);
        let role = role.or_else(clock)?;
        Some(async move { (path, role, read_values(array, buffer).await) })
    });
    settle(reads).await
}

fn not_inlined(path: &str, error: &ValuesError) -> Finding {
    let message = format!("its values stay in the source file: {error}");
    Finding::info("not-inlined", Some(path), message)
}

/// What a variable that is inlined is to the dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The coordinate of the concat dimension.
    Concat,
    /// Another coordinate, bounds or a scalar.
    Coordinate,
}

fn role_of(
    path: &str,
    array: &VirtualArray,
    names: &BTreeSet<String>,
    options: &DecodeOptions,
) -> Option<Role> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if is_plain(array) {
        return None;
    }
    let own_dimension = matches!(array.dimension_names.as_slice(), [only] if only == name);
    if own_dimension && name == options.concat_dim {
        return Some(Role::Concat);
    }
    let is_coordinate = own_dimension || array.shape.is_empty() || names.contains(name);
    let small = array
        .nbytes()
        .is_some_and(|bytes| bytes <= options.inline_max_bytes);
    (is_coordinate && small && is_compact(array)).then_some(Role::Coordinate)
}

/// Whether the array is what inlining would make of it already.
fn is_plain(array: &VirtualArray) -> bool {
    array.chunks.is_inline()
        && array.codecs.is_empty()
        && array.chunk_shape == plain_chunk_shape(array)
        && array.data_type == array.data_type.to_little_endian()
}

/// Whether decoding one chunk is in proportion to the array.
pub(crate) fn in_proportion(array: &VirtualArray) -> bool {
    let chunk = array.chunk_nbytes().unwrap_or(u64::MAX);
    let whole = array.nbytes().unwrap_or(0);
    chunk <= whole.saturating_mul(64).max(1 << 20)
}

/// Whether decoding one chunk is in proportion to the array, and its chunks lie in few ranges.
fn is_compact(array: &VirtualArray) -> bool {
    if !in_proportion(array) {
        return false;
    }
    let mut ranges: Vec<ByteRange> = array
        .chunks
        .iter()
        .filter_map(|(_, entry)| match entry {
            ChunkEntry::Virtual { range, .. } => Some(range),
            _ => None,
        })
        .collect();
    ranges.sort_unstable();
    let mut merged = 0usize;
    let mut end: Option<u64> = None;
    for range in ranges {
        if end.is_none_or(|end| range.start > end.saturating_add(GAP)) {
            merged += 1;
        }
        end = Some(end.unwrap_or(0).max(range.end()));
    }
    merged <= MAX_RANGES
}

/// Every name in an attribute by which CF refers to other variables.
fn named_by_attributes(root: &VirtualGroup) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut take = |attributes: &crate::dataset::Attributes| {
        for key in NAMING {
            let text = attributes.get(key).and_then(serde_json::Value::as_str);
            let words = text.unwrap_or_default().split_whitespace();
            names.extend(words.filter(|w| !w.ends_with(':')).map(basename));
        }
    };
    take(&root.attributes);
    for (_, array) in root.walk() {
        take(&array.attributes);
    }
    names
}

fn basename(word: &str) -> String {
    word.rsplit('/').next().unwrap_or(word).to_owned()
}

/// Puts the values into the array, as one uncompressed little-endian chunk.
fn inline(array: &mut VirtualArray, values: Vec<u8>) {
    array.chunks = match array.is_empty() {
        true => ChunkManifest::new(),
        false => ChunkManifest::inlined(Bytes::from(little_endian(&array.data_type, values))),
    };
    let fill = array.fill_value.take();
    array.fill_value = fill.map(|fill| little_endian(&array.data_type, fill));
    array.chunk_shape = plain_chunk_shape(array);
    array.data_type = array.data_type.to_little_endian();
    array.codecs = Vec::new();
}

fn plain_chunk_shape(array: &VirtualArray) -> Vec<u64> {
    array.shape.iter().map(|length| (*length).max(1)).collect()
}

/// The elements with their least significant bytes first.
fn little_endian(data_type: &DataType, mut values: Vec<u8>) -> Vec<u8> {
    if data_type == &data_type.to_little_endian() {
        return values;
    }
    let number = match data_type {
        DataType::Complex(size, _) => size / 2,
        DataType::Int(size, _) | DataType::UInt(size, _) | DataType::Float(size, _) => *size,
        _ => 1,
    };
    for bytes in values.chunks_exact_mut(usize::from(number.max(1))) {
        bytes.reverse();
    }
    values
}

fn find<'a>(root: &'a mut VirtualGroup, path: &str) -> Option<&'a mut VirtualArray> {
    match path.split_once('/') {
        Some((group, rest)) => find(root.groups.get_mut(group)?, rest),
        None => root.arrays.get_mut(path),
    }
}

fn unreadable(path: &str, error: ValuesError) -> DecodeError {
    match error {
        ValuesError::Read(error) => error,
        error => DecodeError::Unsupported(format!(
            "the concat coordinate /{path} cannot be read: {error}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::dataset::{Attributes, Format, Layout};
    use crate::manifest::SourceId;
    use crate::zarr::{ByteOrder, Codec};

    const BIG: DataType = DataType::Int(2, ByteOrder::Big);

    /// `count` chunks of two big-endian numbers each, `gap` bytes apart.
    fn array(dims: &[&str], count: u64, gap: u64) -> VirtualArray {
        let rows = (0..count).map(|i| (i, ByteRange::new(i * gap, 4)));
        VirtualArray {
            shape: dims.iter().map(|_| count * 2).collect(),
            chunk_shape: dims.iter().map(|_| 2).collect(),
            data_type: BIG,
            fill_value: Some(vec![0, 9]),
            codecs: Vec::new(),
            dimension_names: dims.iter().map(|dim| String::from(*dim)).collect(),
            attributes: Attributes::new(),
            chunks: ChunkManifest::from_rows(SourceId(0), rows).0,
            layout: Layout::Chunked,
        }
    }

    fn scalar() -> VirtualArray {
        let row = (0, ByteRange::new(8, 2));
        VirtualArray {
            chunks: ChunkManifest::from_rows(SourceId(0), vec![row]).0,
            ..array(&[], 1, 4)
        }
    }

    fn run(
        arrays: Vec<(&str, VirtualArray)>,
        file_len: u64,
    ) -> (VirtualDataset, Result<(), DecodeError>) {
        let mut root = VirtualGroup::default();
        let arrays = arrays.into_iter();
        root.arrays = arrays
            .map(|(name, array)| (name.to_owned(), array))
            .collect();
        let mut dataset = VirtualDataset::new(Format::Netcdf4, root, file_len);
        let buffer = SourceBuffer::new(file_len, u64::MAX);
        let bytes: Vec<u8> = [0, 1, 0, 2].repeat(usize::try_from(file_len / 4).unwrap());
        buffer.push(0, Bytes::from(bytes));
        let options = DecodeOptions::default();
        let outcome = inline_coordinates(&mut dataset, &buffer, &options).now_or_never();
        (dataset, outcome.expect("every byte is there"))
    }

    #[test]
    fn the_concat_coordinate_becomes_one_plain_chunk() {
        let (dataset, outcome) = run(vec![("time", array(&["time"], 100, 1 << 17))], 100 << 17);
        outcome.unwrap();
        let time = &dataset.root.arrays["time"];
        assert_eq!(time.data_type, DataType::Int(2, ByteOrder::Little));
        assert_eq!(
            (&time.chunk_shape, &time.fill_value),
            (&vec![200], &Some(vec![9, 0]))
        );
        let values = Bytes::from([1, 0, 2, 0].repeat(100));
        assert_eq!(time.chunks, ChunkManifest::inlined(values));
    }

    #[rstest]
    #[case::dimension_coordinate("x", array(&["x"], 3, 4), true)]
    #[case::in_too_many_pieces("x", array(&["x"], 17, 1 << 17), false)]
    #[case::named_by_another("lat", array(&["x"], 3, 4), true)]
    #[case::bounds("x_bnds", array(&["x"], 3, 4), true)]
    #[case::scalar("height", scalar(), true)]
    #[case::data("v", array(&["x"], 3, 4), false)]
    #[case::too_large("lat", VirtualArray { shape: vec![600_000], ..array(&["x"], 3, 4) }, false)]
    fn small_coordinates_are_inlined(
        #[case] name: &str,
        #[case] array: VirtualArray,
        #[case] inlined: bool,
    ) {
        let mut names = Attributes::new();
        names.insert(String::from("coordinates"), json!("lat lon"));
        names.insert(String::from("bounds"), json!("x_bnds"));
        let naming = VirtualArray {
            attributes: names,
            ..self::array(&["y", "x"], 1, 4)
        };
        let (dataset, outcome) = run(vec![("naming", naming), (name, array)], 17 << 17);
        outcome.unwrap();
        assert_eq!(dataset.root.arrays[name].chunks.is_inline(), inlined);
        assert!(!dataset.root.arrays["naming"].chunks.is_inline());
    }

    #[test]
    fn what_cannot_be_decoded_matters_for_the_concat_coordinate_only() {
        let damaged = |dim: &str| VirtualArray {
            codecs: vec![Codec::Zlib { level: 1 }],
            ..array(&[dim], 1, 4)
        };
        let (dataset, outcome) = run(vec![("x", damaged("x"))], 4);
        outcome.unwrap();
        assert_eq!(dataset.findings[0].code, "not-inlined");
        let (_, outcome) = run(vec![("time", damaged("time"))], 4);
        assert!(outcome.unwrap_err().to_string().contains("/time"));
    }

    /// A `time` of text lost the codec that it is stored with, and nothing could read it.
    #[test]
    fn a_concat_coordinate_of_text_stays_as_it_is() {
        let text = VirtualArray {
            data_type: DataType::VlenString,
            codecs: vec![Codec::VlenUtf8],
            chunks: ChunkManifest::inlined(Bytes::from_static(b"\x01\0\0\0\x01\0\0\0a")),
            fill_value: None,
            ..array(&["time"], 1, 4)
        };
        let (dataset, outcome) = run(vec![("time", text.clone())], 4);
        outcome.unwrap();
        assert_eq!(dataset.root.arrays["time"], text);
    }

    /// A whole file was lost because its `time` was compressed with what readers decode and this crate does not.
    #[test]
    fn a_concat_coordinate_without_a_decoder_stays_virtual() {
        let time = VirtualArray {
            codecs: vec![Codec::Blosc2Nd],
            ..array(&["time"], 1, 4)
        };
        let (dataset, outcome) = run(vec![("time", time)], 4);
        outcome.unwrap();
        assert_eq!(dataset.findings[0].code, "not-inlined");
        assert!(!dataset.root.arrays["time"].chunks.is_inline());
    }
}
