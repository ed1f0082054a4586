//! Zarr v2: metadata documents, chunk keys, data types and codecs; and [`v3`], the same for readers of that version.
//!
//! Follows the Zarr v2 specification with xarray's `_ARRAY_DIMENSIONS`. What a virtual dataset needs of a store
//! is rendered from here, for the reference file and for the served store alike.

mod checksum;
mod codec;
mod data_type;
mod decode;
mod encode;
mod filter;
mod plugin;
#[cfg(test)]
mod sample;
pub mod v3;

pub(crate) use checksum::fletcher32;
pub use codec::{Codec, SzipParameters};
pub(crate) use data_type::float_to_json;
pub use data_type::{ByteOrder, DataType, Field};
pub(crate) use data_type::{float, signed, unsigned};
pub use decode::{CodecError, decode_chunk};
pub(crate) use decode::{Stage, decode_stages};
pub use encode::encode_chunk;
pub(crate) use filter::name_of as filter_name;
pub(crate) use filter::{codecs_of, is_masked, plugin_reads, stages_of};
pub(crate) use plugin::plugin_findings;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::dataset::{VirtualArray, VirtualGroup};

/// The `.zgroup` document.
pub fn group_metadata() -> Value {
    json!({"zarr_format": 2})
}

/// The `.zarray` document of an array.
pub fn array_metadata(array: &VirtualArray) -> Value {
    let (filters, compressor) = split_codecs(&array.codecs);
    let filters: Vec<Value> = filters.iter().map(Codec::to_json).collect();
    json!({
        "zarr_format": 2,
        "shape": array.shape,
        "chunks": array.chunk_shape,
        "dtype": array.data_type.to_json(),
        "fill_value": fill_value(array),
        "order": "C",
        "filters": if filters.is_empty() { Value::Null } else { Value::Array(filters) },
        "compressor": compressor.map(Codec::to_json),
        "dimension_separator": ".",
    })
}

/// Filters, and the compressor if it comes last. As one of the filters it would decode to the same, but GDAL then
/// fails on chunks that compression has made longer.
fn split_codecs(codecs: &[Codec]) -> (&[Codec], Option<&Codec>) {
    use Codec::{Blosc, Bz2, Zlib, Zstd};
    match codecs.split_last() {
        Some((last @ (Zlib { .. } | Zstd { .. } | Bz2 { .. } | Blosc { .. }), filters)) => {
            (filters, Some(last))
        }
        _ => (codecs, None),
    }
}

fn fill_value(array: &VirtualArray) -> Value {
    let element = array.fill_value.as_deref();
    element.map_or(Value::Null, |bytes| array.data_type.element_to_json(bytes))
}

/// The `.zattrs` document of an array.
pub fn array_attributes(array: &VirtualArray) -> Value {
    let mut attributes = array.attributes.clone();
    attributes.insert(
        String::from("_ARRAY_DIMENSIONS"),
        json!(array.dimension_names),
    );
    Value::Object(attributes.into())
}

/// The `.zattrs` document of a group.
pub fn group_attributes(group: &VirtualGroup) -> Value {
    Value::Object(group.attributes.clone().into())
}

/// A metadata document that is rendered when it is wanted: all those of a file of thousands of variables at once would
/// be many times as large as the file.
#[derive(Debug, Clone, Copy)]
pub enum Document<'a> {
    /// `.zgroup`
    Group,
    /// `.zattrs` of a group
    GroupAttributes(&'a VirtualGroup),
    /// `.zarray`
    Array(&'a VirtualArray),
    /// `.zattrs` of an array
    ArrayAttributes(&'a VirtualArray),
}

impl Document<'_> {
    /// What stands in it.
    pub fn to_json(self) -> Value {
        match self {
            Self::Group => group_metadata(),
            Self::GroupAttributes(group) => group_attributes(group),
            Self::Array(array) => array_metadata(array),
            Self::ArrayAttributes(array) => array_attributes(array),
        }
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

/// Every metadata document of a hierarchy with its key, sorted by key (`.zattrs`, `.zgroup`, `tas/.zarray`, …).
pub fn metadata_documents(root: &VirtualGroup) -> Vec<(String, Document<'_>)> {
    let mut out = Vec::new();
    collect("", root, &mut out);
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

fn collect<'a>(prefix: &str, group: &'a VirtualGroup, out: &mut Vec<(String, Document<'a>)>) {
    out.push((format!("{prefix}.zgroup"), Document::Group));
    out.push((format!("{prefix}.zattrs"), Document::GroupAttributes(group)));
    for (name, array) in &group.arrays {
        out.push((format!("{prefix}{name}/.zarray"), Document::Array(array)));
        let attributes = Document::ArrayAttributes(array);
        out.push((format!("{prefix}{name}/.zattrs"), attributes));
    }
    for (name, group) in &group.groups {
        collect(&format!("{prefix}{name}/"), group, out);
    }
}

/// The documents of a hierarchy as one object.
#[derive(Debug)]
pub(crate) struct Documents<'a>(pub(crate) &'a VirtualGroup);

impl Serialize for Documents<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(metadata_documents(self.0))
    }
}

/// The consolidated metadata, `.zmetadata`.
pub fn consolidated_metadata(root: &VirtualGroup) -> Value {
    let documents = metadata_documents(root).into_iter();
    let metadata: serde_json::Map<String, Value> = documents
        .map(|(key, document)| (key, document.to_json()))
        .collect();
    json!({"zarr_consolidated_format": 1, "metadata": metadata})
}

/// The part of a chunk's key behind the array's name: `1.0.3`, and `0` for a scalar.
pub fn chunk_key(grid: &[u64], number: u64) -> String {
    if grid.is_empty() {
        return String::from("0");
    }
    let parts: Vec<String> = coordinates(grid, number)
        .iter()
        .map(u64::to_string)
        .collect();
    parts.join(".")
}

/// The linear number of a chunk from the part of its key behind the array's name; `None` if it is no key of
/// this grid.
pub fn chunk_number(grid: &[u64], key: &str) -> Option<u64> {
    if grid.is_empty() {
        return (key == "0").then_some(0);
    }
    number_of(grid, key.split('.'))
}

fn number_of<'k>(grid: &[u64], mut parts: impl Iterator<Item = &'k str>) -> Option<u64> {
    let mut number = 0u64;
    for count in grid {
        let part = parts.next()?;
        let canonical =
            part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
        let index: u64 = canonical
            .then(|| part.parse().ok())
            .flatten()
            .filter(|i| i < count)?;
        number = number.checked_mul(*count)?.checked_add(index)?;
    }
    parts.next().is_none().then_some(number)
}

/// Coordinates over the chunk grid of a linear (row-major) number.
pub fn coordinates(grid: &[u64], number: u64) -> Vec<u64> {
    let mut rest = number;
    let mut out: Vec<u64> = grid
        .iter()
        .rev()
        .map(|count| {
            let index = rest.checked_rem(*count).unwrap_or(0);
            rest = rest.checked_div(*count).unwrap_or(0);
            index
        })
        .collect();
    out.reverse();
    out
}

/// Linear (row-major) number of coordinates over a grid; `None` if they lie outside or overflow.
pub fn linear_number(grid: &[u64], coordinates: &[u64]) -> Option<u64> {
    if grid.len() != coordinates.len() {
        return None;
    }
    grid.iter()
        .zip(coordinates)
        .try_fold(0u64, |number, (count, index)| {
            (index < count)
                .then(|| number.checked_mul(*count)?.checked_add(*index))
                .flatten()
        })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::scalar(&[], 0, "0")]
    #[case::vector(&[5], 3, "3")]
    #[case::cube(&[2, 3, 4], 23, "1.2.3")]
    fn keys_and_numbers_are_inverse(#[case] grid: &[u64], #[case] number: u64, #[case] key: &str) {
        assert_eq!(chunk_key(grid, number), key);
        assert_eq!(chunk_number(grid, key), Some(number));
        let coordinates = coordinates(grid, number);
        assert_eq!(linear_number(grid, &coordinates), Some(number));
    }

    #[rstest]
    #[case::nothing(&[], 0)]
    #[case::compressor_last(&[Codec::Shuffle { element_size: 4 }, Codec::Zlib { level: 4 }], 1)]
    #[case::checksum_behind_it(&[Codec::Zlib { level: 4 }, Codec::Fletcher32], 2)]
    #[case::no_compressor(&[Codec::Shuffle { element_size: 4 }], 1)]
    fn a_compressor_is_one_where_it_comes_last(#[case] codecs: &[Codec], #[case] filters: usize) {
        let (before, after) = codecs.split_at(filters);
        assert_eq!(split_codecs(codecs), (before, after.first()));
    }

    #[rstest]
    #[case::outside(&[2, 3], "2.0")]
    #[case::too_few(&[2, 3], "1")]
    #[case::too_many(&[2, 3], "1.1.1")]
    #[case::leading_zero(&[20], "01")]
    #[case::sign(&[20], "+1")]
    #[case::empty(&[20], "")]
    #[case::scalar_with_index(&[], "1")]
    fn what_is_no_key_has_no_number(#[case] grid: &[u64], #[case] key: &str) {
        assert_eq!(chunk_number(grid, key), None);
    }
}
