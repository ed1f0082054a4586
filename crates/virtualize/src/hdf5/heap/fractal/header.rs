//! The header of a fractal heap, and the blocks it leads to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;

use bytes::Bytes;
use futures_util::future::try_join;

use super::table::{Child, DoublingTable};
use super::{DirectBlock, Huge, IndirectBlock, WHAT};
use crate::decode::DecodeError;
use crate::hdf5::context::{Context, all};
use crate::hdf5::cursor::{Cursor, len_u64, little_endian};
use crate::hdf5::message::filter;
use crate::hdf5::model::{Filter, Geometry};
use crate::hdf5::{btree_v2, checksum};
use crate::zarr::{fletcher32, is_masked};

const DIRECT: &str = "fractal heap direct block";
const DEFLATE: u16 = 1;
const FLETCHER32: u16 = 3;
/// No shared message or attribute comes near it; larger objects are refused rather than inflated.
const MAX_OBJECT: u64 = 1 << 30;

/// The heap's header.
///
/// | bytes | field |
/// | --- | --- |
/// | 4, 1 | `FRHP`, version |
/// | 2, 2, 1, 4 | size of ids, size of the filters, flags, largest managed object |
/// | L, O | next huge key, B-tree of huge objects |
/// | L, O, 4 × L | free space, its manager, and sizes of the managed space |
/// | 4 × L | sizes and numbers of huge and tiny objects |
/// | 2, L, L, 2, 2, O, 2 | the doubling table |
/// | L, 4, n | size and filter mask of a filtered root block, filters; only where there are filters |
#[derive(Debug)]
pub(super) struct Header {
    pub(super) at: u64,
    pub(super) geometry: Geometry,
    pub(super) id_len: u16,
    pub(super) checksummed: bool,
    pub(super) largest_managed: u32,
    pub(super) huge_tree: Option<u64>,
    pub(super) table: DoublingTable,
    pub(super) root: Option<u64>,
    pub(super) root_rows: u16,
    pub(super) root_filtered: Option<(u64, u32)>,
    pub(super) filters: Vec<Filter>,
}

impl Header {
    pub(super) async fn read(context: &Context<'_>, at: u64) -> Result<Self, DecodeError> {
        let geometry = context.geometry();
        let (offset, length) = (
            u64::from(geometry.offset_size),
            u64::from(geometry.length_size),
        );
        let unfiltered = 26 + 3 * offset + 12 * length;
        let first = context.read_ahead(WHAT, at, unfiltered).await?;
        let mut cursor = context.cursor(WHAT, at, &first);
        cursor.signature(*b"FRHP")?;
        cursor.skip(3)?;
        let len = match cursor.u16()? {
            0 => unfiltered,
            filters => unfiltered + length + 4 + u64::from(filters),
        };
        let bytes = context.complete(WHAT, at, first, len).await?;
        Self::parse(&mut context.checked(WHAT, at, &bytes)?, at)
    }

    fn parse(cursor: &mut Cursor<'_>, at: u64) -> Result<Self, DecodeError> {
        cursor.signature(*b"FRHP")?;
        cursor.version(0)?;
        let (id_len, filters_len) = (cursor.u16()?, cursor.u16()?);
        let flags = cursor.u8()?;
        let largest_managed = cursor.u32()?;
        cursor.length()?;
        let huge_tree = cursor.address()?;
        cursor.length()?;
        cursor.address()?;
        for _ in 0..8 {
            cursor.length()?;
        }
        let table = DoublingTable::parse(cursor)?;
        let (root, root_rows) = (cursor.address()?, cursor.u16()?);
        let mut header = Self {
            at,
            geometry: cursor.geometry(),
            id_len,
            checksummed: flags & 0x02 != 0,
            largest_managed,
            huge_tree,
            table,
            root,
            root_rows,
            root_filtered: None,
            filters: Vec::new(),
        };
        if filters_len > 0 {
            header.root_filtered = Some((cursor.length()?, cursor.u32()?));
            let filters = cursor.bytes(usize::from(filters_len))?;
            let mut cursor = Cursor::new(WHAT, at, &filters, header.geometry);
            header.filters = filter::parse(&mut cursor)?;
        }
        Ok(header)
    }

    pub(super) const fn is_filtered(&self) -> bool {
        self.root_filtered.is_some()
    }

    /// Bytes of an object's length in an id.
    pub(super) fn object_len_width(&self) -> usize {
        let bits = 32 - self.largest_managed.leading_zeros();
        let managed = usize::try_from(bits.div_ceil(8)).unwrap_or(4).max(1);
        self.table.largest_direct_width().min(managed)
    }

    /// Whether ids have room for a huge object's place.
    pub(super) fn huge_ids_are_direct(&self) -> bool {
        let length = self.geometry.length_len();
        let filtered = if self.is_filtered() { 4 + length } else { 0 };
        self.geometry.offset_len() + length + filtered < usize::from(self.id_len)
    }

    /// All direct blocks, one level of indirect blocks after another.
    pub(super) async fn read_blocks(
        &self,
        context: &Context<'_>,
    ) -> Result<BTreeMap<u64, Bytes>, DecodeError> {
        let mut blocks = BTreeMap::new();
        let Some(root) = self.root else {
            return Ok(blocks);
        };
        let mut seen = HashSet::from([root]);
        let (mut direct, mut indirect) = (Vec::new(), Vec::new());
        if self.root_rows == 0 {
            direct.push(DirectBlock {
                at: root,
                offset: 0,
                size: self.table.start,
                filtered: self.root_filtered,
            });
        } else {
            indirect.push(IndirectBlock {
                at: root,
                offset: 0,
                rows: u64::from(self.root_rows),
            });
        }
        while !(direct.is_empty() && indirect.is_empty()) {
            let reads = direct.iter().map(|block| self.read_direct(context, *block));
            let parents = indirect
                .iter()
                .map(|block| self.read_indirect(context, *block));
            let (read, found) = try_join(all(reads), all(parents)).await?;
            blocks.extend(read);
            (direct, indirect) = (Vec::new(), Vec::new());
            for child in found.into_iter().flatten() {
                let at = match child {
                    Child::Direct(block) => {
                        direct.push(block);
                        block.at
                    }
                    Child::Indirect(block) => {
                        indirect.push(block);
                        block.at
                    }
                };
                if !seen.insert(at) {
                    return Err(self.malformed("a block is met twice"));
                }
            }
        }
        Ok(blocks)
    }

    fn malformed(&self, problem: &str) -> DecodeError {
        DecodeError::Malformed {
            what: WHAT,
            at: self.at,
            problem: String::from(problem),
        }
    }

    async fn read_indirect(
        &self,
        context: &Context<'_>,
        block: IndirectBlock,
    ) -> Result<Vec<Child>, DecodeError> {
        let what = "fractal heap indirect block";
        let len = self
            .table
            .indirect_len(block.rows, self.geometry, self.is_filtered());
        let bytes = context.read(what, block.at, len).await?;
        let mut cursor = context.checked(what, block.at, &bytes)?;
        cursor.signature(*b"FHIB")?;
        cursor.version(0)?;
        cursor.address()?;
        cursor.skip(self.table.offset_len())?;
        self.table.children(&mut cursor, block, self.is_filtered())
    }

    async fn read_direct(
        &self,
        context: &Context<'_>,
        block: DirectBlock,
    ) -> Result<(u64, Bytes), DecodeError> {
        let bytes = match block.filtered {
            None => context.read(DIRECT, block.at, block.size).await?,
            Some((stored, mask)) => {
                let bytes = context.read(DIRECT, block.at, stored).await?;
                self.unfilter(context, block.at, bytes, mask, block.size)?
            }
        };
        self.check_direct(context, block.at, &bytes)?;
        Ok((block.offset, bytes))
    }

    /// `FHDB`, version, address of the heap, offset, and a checksum that counts itself as zero.
    fn check_direct(
        &self,
        context: &Context<'_>,
        at: u64,
        bytes: &Bytes,
    ) -> Result<(), DecodeError> {
        let mut cursor = context.cursor(DIRECT, at, bytes);
        cursor.signature(*b"FHDB")?;
        cursor.version(0)?;
        cursor.address()?;
        cursor.skip(self.table.offset_len())?;
        if !self.checksummed {
            return Ok(());
        }
        let position = cursor.position();
        let stored = cursor.u32()?;
        let mut zeroed = bytes.to_vec();
        for byte in zeroed.iter_mut().skip(position).take(4) {
            *byte = 0;
        }
        if checksum::matches(&zeroed, stored) {
            return Ok(());
        }
        Err(cursor.malformed("the checksum does not match"))
    }

    pub(super) fn unfilter(
        &self,
        context: &Context<'_>,
        at: u64,
        bytes: Bytes,
        mask: u32,
        size: u64,
    ) -> Result<Bytes, DecodeError> {
        // The filters behind deflate may have added checksums to what it gives.
        let largest = size
            .saturating_add(4 * u64::from(filter::MAX_FILTERS))
            .min(MAX_OBJECT);
        let mut bytes = bytes;
        for (position, filter) in self.filters.iter().enumerate().rev() {
            if is_masked(mask, position) {
                continue;
            }
            bytes = match filter.id {
                DEFLATE => inflate(context, at, &bytes, largest)?,
                FLETCHER32 => without_checksum(at, &bytes)?,
                id => {
                    return Err(DecodeError::Unsupported(format!(
                        "a fractal heap with the filter {id}"
                    )));
                }
            };
        }
        if len_u64(bytes.len()) != size {
            return Err(unfit(at, "a block has another size without its filters"));
        }
        Ok(bytes)
    }

    /// Huge objects by key, where ids do not hold their places.
    pub(super) async fn read_huge(
        &self,
        context: &Context<'_>,
    ) -> Result<HashMap<u64, Huge>, DecodeError> {
        let mut huge = HashMap::new();
        let Some(tree) = self.huge_tree.filter(|_| !self.huge_ids_are_direct()) else {
            return Ok(huge);
        };
        let records = btree_v2::read(context, tree).await?;
        for mut cursor in records.iter() {
            let found = Huge::parse(&mut cursor, matches!(records.kind, 2 | 4))?;
            let key = cursor.bytes(self.geometry.length_len())?;
            huge.insert(little_endian(&key), found);
        }
        Ok(huge)
    }
}

/// What deflate made of at most `largest` bytes; a filter before it may have made them more than the object has.
fn inflate(
    context: &Context<'_>,
    at: u64,
    bytes: &Bytes,
    largest: u64,
) -> Result<Bytes, DecodeError> {
    // Deflate expands by 1032 at most.
    let limit = largest.min(len_u64(bytes.len()).saturating_mul(1032));
    context.spend(usize::try_from(limit).unwrap_or(usize::MAX))?;
    let mut inflated = Vec::new();
    flate2::read::ZlibDecoder::new(&bytes[..])
        .take(limit)
        .read_to_end(&mut inflated)
        .map_err(|_| unfit(at, "a compressed block cannot be inflated"))?;
    Ok(Bytes::from(inflated))
}

/// The bytes before their checksum, which has to match.
fn without_checksum(at: u64, bytes: &Bytes) -> Result<Bytes, DecodeError> {
    let matching = bytes
        .split_last_chunk::<4>()
        .filter(|(data, sum)| fletcher32(data) == u32::from_le_bytes(**sum));
    matching
        .map(|(data, _)| bytes.slice_ref(data))
        .ok_or_else(|| unfit(at, "a block does not match its Fletcher-32 checksum"))
}

fn unfit(at: u64, problem: &str) -> DecodeError {
    DecodeError::Malformed {
        what: WHAT,
        at,
        problem: String::from(problem),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Chunks that h5py wrote through the filter: 1, 2, 3, 4 as bytes, then their checksum.
    #[rstest]
    #[case::right(&[1, 2, 3, 4, 0x06, 0x04, 0x08, 0x05], true)]
    #[case::wrong(&[1, 2, 3, 5, 0x06, 0x04, 0x08, 0x05], false)]
    #[case::too_short(&[1, 2, 3], false)]
    fn a_checksum_is_verified_and_cut_off(#[case] stored: &'static [u8], #[case] right: bool) {
        let data = without_checksum(0, &Bytes::from_static(stored)).ok();
        assert_eq!(data, right.then(|| Bytes::from_static(&[1, 2, 3, 4])));
    }
}
