//! The fractal heap: messages of new groups, of dense attributes, and shared ones. Specification III.G.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use futures_util::future::try_join;

use crate::decode::DecodeError;
use crate::hdf5::context::Context;
use crate::hdf5::cursor::Cursor;
use header::Header;

mod header;
mod table;

const WHAT: &str = "fractal heap";

/// A heap with all its blocks.
#[derive(Debug)]
pub(in crate::hdf5) struct FractalHeap {
    header: Header,
    /// Direct blocks by their offset in the heap's address space.
    blocks: BTreeMap<u64, Bytes>,
    /// Huge objects by their key, where their ids do not say where they are.
    huge: HashMap<u64, Huge>,
}

/// An object that stands on its own in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Huge {
    at: u64,
    len: u64,
    filter_mask: u32,
    /// Size without filters.
    size: u64,
}

/// A direct block to be read.
#[derive(Debug, Clone, Copy)]
struct DirectBlock {
    at: u64,
    offset: u64,
    size: u64,
    /// Stored size and filter mask, in a filtered heap.
    filtered: Option<(u64, u32)>,
}

/// An indirect block to be read.
#[derive(Debug, Clone, Copy)]
struct IndirectBlock {
    at: u64,
    offset: u64,
    rows: u64,
}

impl FractalHeap {
    /// Reads the heap whose header stands at `at`, with all its blocks but without huge objects.
    pub(in crate::hdf5) async fn read(context: &Context<'_>, at: u64) -> Result<Self, DecodeError> {
        let header = Header::read(context, at).await?;
        let (blocks, huge) =
            try_join(header.read_blocks(context), header.read_huge(context)).await?;
        Ok(Self {
            header,
            blocks,
            huge,
        })
    }

    /// The object of an id.
    pub(in crate::hdf5) async fn object(
        &self,
        context: &Context<'_>,
        id: &Bytes,
    ) -> Result<Bytes, DecodeError> {
        let mut cursor = Cursor::new("fractal heap id", self.header.at, id, self.header.geometry);
        let flags = cursor.u8()?;
        match (flags >> 6, (flags >> 4) & 0x03) {
            (0, 0) => self.managed(&mut cursor),
            (0, 1) => self.huge(context, &mut cursor).await,
            (0, 2) => self.tiny(flags, &mut cursor),
            _ => Err(cursor.malformed(format!("an id that starts with {flags:#04x}"))),
        }
    }

    fn managed(&self, cursor: &mut Cursor<'_>) -> Result<Bytes, DecodeError> {
        let offset = cursor.uint(self.header.table.offset_len())?;
        let len = cursor.uint(self.header.object_len_width())?;
        let found = self.blocks.range(..=offset).next_back();
        let object = found.and_then(|(start, block)| {
            let from = usize::try_from(offset - start).ok()?;
            let until = from.checked_add(usize::try_from(len).ok()?)?;
            block.get(from..until).map(|slice| block.slice_ref(slice))
        });
        object.ok_or_else(|| cursor.malformed(format!("no block holds {len} bytes at {offset}")))
    }

    fn tiny(&self, flags: u8, cursor: &mut Cursor<'_>) -> Result<Bytes, DecodeError> {
        let low = usize::from(flags & 0x0f);
        // Ids of more than 18 bytes have a second byte of length.
        let len = if self.header.id_len > 18 {
            low << 8 | usize::from(cursor.u8()?)
        } else {
            low
        };
        cursor.bytes(len + 1)
    }

    async fn huge(
        &self,
        context: &Context<'_>,
        cursor: &mut Cursor<'_>,
    ) -> Result<Bytes, DecodeError> {
        let huge = if self.header.huge_ids_are_direct() {
            Huge::parse(cursor, self.header.is_filtered())?
        } else {
            let key = cursor.uint(usize::from(self.header.id_len).saturating_sub(1).min(8))?;
            let known = self.huge.get(&key).copied();
            known.ok_or_else(|| cursor.malformed(format!("no huge object has the key {key}")))?
        };
        let bytes = context.read("huge object", huge.at, huge.len).await?;
        if !self.header.is_filtered() {
            return Ok(bytes);
        }
        self.header
            .unfilter(context, huge.at, bytes, huge.filter_mask, huge.size)
    }
}

impl Huge {
    /// Address and length; where filtered, filter mask and size without filters.
    fn parse(cursor: &mut Cursor<'_>, filtered: bool) -> Result<Self, DecodeError> {
        let (at, len) = (cursor.defined_address()?, cursor.length()?);
        let (filter_mask, size) = if filtered {
            (cursor.u32()?, cursor.length()?)
        } else {
            (0, len)
        };
        Ok(Self {
            at,
            len,
            filter_mask,
            size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::table::DoublingTable;
    use super::*;
    use crate::hdf5::model::Geometry;

    const GEOMETRY: Geometry = Geometry {
        base: 0,
        offset_size: 8,
        length_size: 8,
    };

    fn heap(id_len: u16) -> FractalHeap {
        let table = DoublingTable {
            width: 4,
            start: 512,
            largest_direct: 65536,
            bits: 32,
        };
        let header = Header {
            at: 0,
            geometry: GEOMETRY,
            id_len,
            checksummed: false,
            largest_managed: 4096,
            huge_tree: None,
            table,
            root: None,
            root_rows: 0,
            root_filtered: None,
            filters: Vec::new(),
        };
        let block = Bytes::from((0..=255).collect::<Vec<u8>>());
        FractalHeap {
            header,
            blocks: BTreeMap::from([(512, block)]),
            huge: HashMap::new(),
        }
    }

    fn managed(heap: &FractalHeap, id: &'static [u8]) -> Result<Bytes, DecodeError> {
        let id = Bytes::from_static(id);
        let mut cursor = Cursor::new("id", 0, &id, GEOMETRY);
        cursor.skip(1)?;
        heap.managed(&mut cursor)
    }

    #[test]
    fn a_managed_object_lies_in_the_block_of_its_offset() {
        // Four bytes of offset for 32 bits of address space, two of length for objects of up to 4096.
        let heap = heap(8);
        assert_eq!(
            &managed(&heap, &[0, 0x0a, 0x02, 0, 0, 3, 0, 0]).unwrap()[..],
            &[10, 11, 12]
        );
        assert!(managed(&heap, &[0, 0x0a, 0, 0, 0, 3, 0, 0]).is_err());
        assert!(managed(&heap, &[0, 0x0a, 0x02, 0, 0, 0xff, 0, 0]).is_err());
    }

    #[test]
    fn tiny_objects_stand_in_their_ids() {
        let id = Bytes::from_static(&[0x21, 7, 8, 9]);
        let mut cursor = Cursor::new("id", 0, &id, GEOMETRY);
        let flags = cursor.u8().unwrap();
        assert_eq!(&heap(8).tiny(flags, &mut cursor).unwrap()[..], &[7, 8]);
        let id = Bytes::from_static(&[0x20, 1, 8, 9]);
        let mut cursor = Cursor::new("id", 0, &id, GEOMETRY);
        let flags = cursor.u8().unwrap();
        assert_eq!(&heap(19).tiny(flags, &mut cursor).unwrap()[..], &[8, 9]);
    }

    #[test]
    fn ids_of_seventeen_bytes_hold_the_place_of_a_huge_object() {
        assert!(!heap(16).header.huge_ids_are_direct());
        assert!(heap(17).header.huge_ids_are_direct());
    }
}
