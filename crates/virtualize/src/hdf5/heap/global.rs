//! The global heap: collections of variable-length values. Specification III.E.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::decode::DecodeError;
use crate::hdf5::context::{Context, all};
use crate::hdf5::cursor::{Cursor, len_u64};
use crate::hdf5::model::Geometry;

const WHAT: &str = "global heap collection";
/// The library makes no smaller collection.
const SMALLEST: u64 = 4096;
/// Bytes of memory that is taken by the place of an object.
const OBJECT_COST: usize = 48;

/// A collection: where each of its objects is in its bytes.
#[derive(Debug)]
pub(in crate::hdf5) struct Collection {
    at: u64,
    bytes: Bytes,
    objects: HashMap<u16, Range<usize>>,
}

/// A variable-length element as stored: number of base elements, address of the collection, index in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hdf5) struct Reference {
    /// Number of base elements.
    pub(in crate::hdf5) count: u32,
    collection: Option<u64>,
    index: u32,
}

impl Reference {
    /// Parses an element.
    pub(in crate::hdf5) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let count = cursor.u32()?;
        let nowhere = cursor.geometry().base;
        let collection = cursor.address()?.filter(|address| *address != nowhere);
        let index = cursor.u32()?;
        Ok(Self {
            count,
            collection: collection.filter(|_| count > 0),
            index,
        })
    }

    /// Bytes of an element.
    pub(in crate::hdf5) fn len(geometry: Geometry) -> usize {
        8 + geometry.offset_len()
    }
}

/// The values of references, all their collections read at once; a null reference has an empty value.
pub(in crate::hdf5) async fn values(
    context: &Context<'_>,
    references: &[Reference],
) -> Result<Vec<Bytes>, DecodeError> {
    let addresses: BTreeSet<u64> = references.iter().filter_map(|r| r.collection).collect();
    let reads = addresses.iter().map(|at| Collection::read(context, *at));
    let collections: HashMap<u64, Arc<Collection>> =
        addresses.iter().copied().zip(all(reads).await?).collect();
    references
        .iter()
        .map(|reference| match reference.collection {
            None => Ok(Bytes::new()),
            Some(at) => collections
                .get(&at)
                .and_then(|collection| collection.object(reference.index))
                .ok_or_else(|| DecodeError::Malformed {
                    what: WHAT,
                    at,
                    problem: format!("has no object {}", reference.index),
                }),
        })
        .collect()
}

impl Collection {
    async fn read(context: &Context<'_>, at: u64) -> Result<Arc<Self>, DecodeError> {
        let read = async {
            let first = context.read_up_to(WHAT, at, SMALLEST).await?;
            let size = Self::parse_size(&mut context.cursor(WHAT, at, &first))?;
            let bytes = context.complete(WHAT, at, first, size).await?;
            let collection = Self::parse(at, bytes, context.geometry())?;
            context.spend_each(collection.objects.len(), OBJECT_COST)?;
            Ok(Arc::new(collection))
        };
        context.collections.get_or(at, read).await
    }

    /// `GCOL`, version, 3 reserved, size of all of it.
    fn parse_size(cursor: &mut Cursor<'_>) -> Result<u64, DecodeError> {
        cursor.signature(*b"GCOL")?;
        cursor.version(1)?;
        cursor.skip(3)?;
        cursor.length()
    }

    /// Objects of index u16, references u16, 4 reserved, size, and data; index 0 is free space. All headers and data
    /// are padded to eight bytes, which shows where lengths have four.
    fn parse(at: u64, bytes: Bytes, geometry: Geometry) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(WHAT, at, &bytes, geometry);
        Self::parse_size(&mut cursor)?;
        cursor.pad_to_eight(0);
        let object_header = 8 + geometry.length_len();
        let mut objects = HashMap::new();
        while cursor.left() >= object_header {
            let header = cursor.position();
            let index = cursor.u16()?;
            if index == 0 {
                break;
            }
            cursor.skip(6)?;
            let size = cursor.length_usize()?;
            cursor.pad_to_eight(header);
            let start = cursor.position();
            cursor.skip(size)?;
            objects.insert(index, start..cursor.position());
            cursor.pad_to_eight(start);
        }
        Ok(Self { at, bytes, objects })
    }

    fn object(&self, index: u32) -> Option<Bytes> {
        let range = self.objects.get(&u16::try_from(index).ok()?)?;
        let inside = len_u64(range.end) <= len_u64(self.bytes.len()) && self.at < u64::MAX;
        inside.then(|| self.bytes.slice(range.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry {
        base: 0,
        offset_size: 8,
        length_size: 8,
    };

    fn object(index: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = index.to_le_bytes().to_vec();
        bytes.extend([1, 0, 0, 0, 0, 0]);
        bytes.extend((data.len() as u64).to_le_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn objects_are_found_by_index_and_free_space_ends_them() {
        let mut bytes = b"GCOL\x01\0\0\0\x80\0\0\0\0\0\0\0".to_vec();
        bytes.extend(object(2, b"second"));
        bytes.extend(object(1, b"f"));
        bytes.extend(object(0, b""));
        bytes.extend(object(7, b"behind the end"));
        let collection = Collection::parse(0, Bytes::from(bytes), GEOMETRY).unwrap();
        assert_eq!(collection.object(1).unwrap(), "f");
        assert_eq!(collection.object(2).unwrap(), "second");
        assert_eq!((collection.object(7), collection.object(0)), (None, None));
    }

    #[test]
    fn short_lengths_are_padded() {
        let geometry = Geometry {
            base: 0,
            offset_size: 4,
            length_size: 4,
        };
        let mut bytes = b"GCOL\x01\0\0\0\x40\0\0\0\0\0\0\0".to_vec();
        bytes.extend(b"\x01\0\x01\0\0\0\0\0\x02\0\0\0\0\0\0\0ab\0\0\0\0\0\0");
        bytes.extend(b"\x02\0\x01\0\0\0\0\0\x01\0\0\0\0\0\0\0c\0\0\0\0\0\0\0");
        let collection = Collection::parse(0, Bytes::from(bytes), geometry).unwrap();
        assert_eq!(collection.object(1).unwrap(), "ab");
        assert_eq!(collection.object(2).unwrap(), "c");
    }

    #[test]
    fn an_object_longer_than_its_collection_is_malformed() {
        let mut bytes = b"GCOL\x01\0\0\0\x80\0\0\0\0\0\0\0".to_vec();
        bytes.extend([1, 0, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert!(Collection::parse(0, Bytes::from(bytes), GEOMETRY).is_err());
    }
}
