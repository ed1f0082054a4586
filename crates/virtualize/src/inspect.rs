//! What stands in a file beyond what a reference keeps of it: versions, types, layouts, indexes, filters.
//!
//! A virtual dataset says how to read the values; a person who asks what a file is wants to know more, and also of
//! variables that were refused. The decoders note it in a [`Probe`] when the options hold one, and nothing otherwise,
//! so that making references costs the same. The notes survive an error that ends the decoding.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

use crate::dataset::{Dimension, Layout};
use crate::decode::ByteRange;

/// Where decoders note what they find; clones share the notes.
#[derive(Debug, Clone, Default)]
pub struct Probe(Arc<Mutex<Inspection>>);

impl Probe {
    /// Adds to the notes.
    pub(crate) fn note(&self, add: impl FnOnce(&mut Inspection)) {
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Hands over the notes and forgets them.
    #[must_use]
    pub fn take(&self) -> Inspection {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What was found in a file, as far as it could be read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inspection {
    /// The file format; none if not even that could be told.
    pub container: Option<Container>,
    /// Length that the file should have by its own account, where it is shorter.
    pub expected_length: Option<u64>,
    /// The groups, the root first, parents before their children.
    pub groups: Vec<Group>,
    /// The variables in the order of the groups, by name within a group.
    pub variables: Vec<Variable>,
}

/// The file format below all conventions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Container {
    /// NetCDF classic.
    Classic {
        /// 1, 2 or 5.
        version: u8,
        /// Bytes of the header.
        header_bytes: u64,
    },
    /// HDF5.
    Hdf5 {
        /// Version of the superblock.
        superblock_version: u8,
        /// Bytes before the superblock.
        user_block_bytes: u64,
        /// Bytes of an address.
        offset_size: u8,
        /// Bytes of a length.
        length_size: u8,
    },
}

/// A group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// Absolute path; `/` for the root.
    pub path: String,
    /// Dimensions declared here.
    pub dimensions: BTreeMap<String, Dimension>,
    /// Attributes, without those by which netCDF-4 keeps its own books.
    pub attributes: Vec<Attribute>,
}

/// An attribute with its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Name of the type in CDL: `float`, `short`, `string`, `char`.
    pub data_type: String,
    /// Its values in row-major order.
    pub values: Values,
}

/// Values of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Whole numbers of either sign.
    Integers(Vec<i128>),
    /// Floats, widened.
    Floats(Vec<f64>),
    /// Texts.
    Text(Vec<String>),
    /// Something that has no plain form: a description.
    Other(String),
}

/// A variable, refused or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Absolute path.
    pub path: String,
    /// Name of the type in CDL, or what comes nearest: `float`, `compound {a: int, b: double}`.
    pub data_type: String,
    /// Whether its numbers start with the most significant byte.
    pub big_endian: bool,
    /// Length of each dimension; none for a null dataspace.
    pub shape: Option<Vec<u64>>,
    /// Name of each dimension.
    pub dimensions: Vec<String>,
    /// Decoded size in bytes; none where elements have no fixed size, or where there are too many to count.
    pub decoded_bytes: Option<u64>,
    /// Attributes, without those by which netCDF-4 keeps its own books.
    pub attributes: Vec<Attribute>,
    /// How it is stored.
    pub storage: Storage,
}

/// How a variable is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    /// The layout; none for one whose data is not in this file or cannot be found.
    pub layout: Option<Layout>,
    /// Why there is no layout, or why the chunk index could not be read to its end.
    pub problem: Option<String>,
    /// Kind of chunk index: `btree-v1`, `single-chunk`, `implicit`, `fixed-array`, `extensible-array`, `btree-v2`.
    pub index: Option<&'static str>,
    /// Shape of a chunk; none where the layout has none.
    pub chunk_shape: Option<Vec<u64>>,
    /// Number of chunks that the shape asks for.
    pub grid_chunks: u64,
    /// Number of chunks that are allocated, inside the shape. A layout without chunks counts as one.
    pub allocated_chunks: u64,
    /// Stored bytes of those.
    pub stored_bytes: u64,
    /// Chunks that have a filter mask: they left out some filter.
    pub masked_chunks: u64,
    /// Filters in the order of writing.
    pub filters: Vec<Filter>,
    /// What stands for data that is not allocated.
    pub fill: Fill,
    /// Where the stored bytes are, merged and sorted.
    pub extents: Vec<ByteRange>,
}

/// A filter of HDF5's pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// Registered id.
    pub id: u16,
    /// Name by the registry, else as stored.
    pub name: String,
    /// Client data.
    pub parameters: Vec<u32>,
    /// The Zarr v2 codec that decodes it; none where no registered one does.
    pub codec: Option<Value>,
}

/// What stands for data that is not allocated.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub enum Fill {
    /// Nothing: the format always allocates.
    None,
    /// No value is defined.
    Undefined,
    /// The library's default, zeros.
    Default,
    /// This element.
    Value(Value),
}

/// Ranges merged where they touch or overlap, sorted; empty ones are left out.
#[must_use]
pub fn merged(mut ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    ranges.sort_unstable();
    let mut out: Vec<ByteRange> = Vec::new();
    for range in ranges.into_iter().filter(|range| range.len > 0) {
        match out.last_mut() {
            Some(last) if range.start <= last.end() => {
                last.len = last.end().max(range.end()).saturating_sub(last.start);
            }
            _ => out.push(range),
        }
    }
    out
}

/// What of `ranges` lies in none of `others`; both merged, as is the result.
#[must_use]
pub fn without(ranges: &[ByteRange], others: &[ByteRange]) -> Vec<ByteRange> {
    let mut out = Vec::new();
    for range in ranges {
        let mut at = range.start;
        let first = others.partition_point(|other| other.end() <= at);
        let over = others.get(first..).unwrap_or_default().iter();
        for other in over.take_while(|other| other.start < range.end()) {
            out.push(ByteRange::new(at, other.start.saturating_sub(at)));
            at = other.end().max(at);
        }
        out.push(ByteRange::new(at, range.end().saturating_sub(at)));
    }
    merged(out)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn ranges(pairs: &[(u64, u64)]) -> Vec<ByteRange> {
        let pairs = pairs.iter();
        pairs.map(|(at, len)| ByteRange::new(*at, *len)).collect()
    }

    #[rstest]
    #[case::touching(&[(10, 5), (0, 10)], &[(0, 15)])]
    #[case::inside(&[(0, 10), (2, 3)], &[(0, 10)])]
    #[case::apart_and_empty(&[(20, 1), (0, 10), (11, 0)], &[(0, 10), (20, 1)])]
    fn ranges_are_merged(#[case] given: &[(u64, u64)], #[case] expected: &[(u64, u64)]) {
        assert_eq!(merged(ranges(given)), ranges(expected));
    }

    #[rstest]
    #[case::middle(&[(0, 10)], &[(3, 2)], &[(0, 3), (5, 5)])]
    #[case::all(&[(4, 4)], &[(0, 100)], &[])]
    #[case::head_and_tail(&[(0, 10), (20, 10)], &[(8, 14), (29, 5)], &[(0, 8), (22, 7)])]
    #[case::beside(&[(0, 10)], &[(10, 5)], &[(0, 10)])]
    #[case::several(&[(0, 10)], &[(1, 1), (3, 1), (9, 1)], &[(0, 1), (2, 1), (4, 5)])]
    fn ranges_are_cut_out(
        #[case] given: &[(u64, u64)],
        #[case] others: &[(u64, u64)],
        #[case] expected: &[(u64, u64)],
    ) {
        assert_eq!(without(&ranges(given), &ranges(others)), ranges(expected));
    }

    #[test]
    fn clones_of_a_probe_share_its_notes() {
        let probe = Probe::default();
        probe.clone().note(|notes| notes.expected_length = Some(7));
        assert_eq!(probe.take().expected_length, Some(7));
        assert_eq!(probe.take(), Inspection::default());
    }
}
