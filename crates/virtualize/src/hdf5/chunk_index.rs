//! Where the chunks of a dataset are: the six kinds of chunk index. Specification VII.

mod btree_v1;
mod btree_v2;
mod extensible_array;
mod fixed_array;
mod grid;

use super::context::Context;
use super::message::layout::{Chunked, Index};
use super::model::{Chunk, Dataspace, Storage};
use crate::decode::{ByteRange, DecodeError};
use grid::Grid;

/// Lists the chunks of a dataset with `filters` filters.
pub(super) async fn read(
    context: &Context<'_>,
    dataspace: &Dataspace,
    layout: &Chunked,
    filters: usize,
) -> Storage {
    let result = match Grid::new(dataspace, layout) {
        Ok(grid) => list(context, &grid, layout, filters).await,
        Err(error) => Err(error),
    };
    let (chunks, outside, broken) = match result {
        Ok((chunks, outside)) => (chunks, outside, None),
        Err(error) => (Vec::new(), 0, Some(error.to_string())),
    };
    Storage::Chunked {
        chunk_shape: layout.chunk_shape.clone(),
        index: layout.index.name(),
        chunks,
        outside,
        broken,
    }
}

async fn list(
    context: &Context<'_>,
    grid: &Grid,
    layout: &Chunked,
    filters: usize,
) -> Result<(Vec<Chunk>, u64), DecodeError> {
    let mut table = Table::new(context, grid, layout, filters);
    let Some(address) = layout.address else {
        return Ok((Vec::new(), 0));
    };
    match layout.index {
        Index::BtreeV1 => btree_v1::read(context, address, &mut table).await?,
        Index::SingleChunk(None) => table.push_slot(0, address, table.chunk_bytes, 0)?,
        Index::SingleChunk(Some((size, mask))) => table.push_slot(0, address, size, mask)?,
        Index::Implicit => implicit(address, &mut table)?,
        Index::FixedArray => fixed_array::read(context, address, &mut table).await?,
        Index::ExtensibleArray => extensible_array::read(context, address, &mut table).await?,
        Index::BtreeV2 => btree_v2::read(context, address, &mut table).await?,
    }
    table.finish()
}

/// All chunks one after another, over the largest extent.
fn implicit(address: u64, table: &mut Table<'_>) -> Result<(), DecodeError> {
    let size = table.chunk_bytes;
    for number in 0..table.grid.current_chunks() {
        let slot = table.grid.slot_of(number);
        let at = slot
            .checked_mul(size)
            .and_then(|offset| address.checked_add(offset))
            .ok_or_else(|| table.malformed("a chunk beyond the largest address"))?;
        table.push(number, false, at, size, 0)?;
    }
    Ok(())
}

/// The chunks found so far.
struct Table<'a> {
    context: &'a Context<'a>,
    grid: &'a Grid,
    at: u64,
    /// Size of a chunk without filters.
    chunk_bytes: u64,
    /// Filter mask of partial chunks, if they are left unfiltered.
    partial_mask: u32,
    chunks: Vec<Chunk>,
    outside: u64,
}

impl<'a> Table<'a> {
    fn new(context: &'a Context<'a>, grid: &'a Grid, layout: &Chunked, filters: usize) -> Self {
        let all_filters = match u32::try_from(filters) {
            Ok(count @ 0..32) => (1u32 << count) - 1,
            _ => u32::MAX,
        };
        Self {
            context,
            grid,
            at: layout.address.unwrap_or_default(),
            chunk_bytes: grid.chunk_bytes(),
            partial_mask: if layout.partial_unfiltered {
                all_filters
            } else {
                0
            },
            chunks: Vec::new(),
            outside: 0,
        }
    }

    fn malformed(&self, problem: impl Into<String>) -> DecodeError {
        DecodeError::Malformed {
            what: "chunk index",
            at: self.at,
            problem: problem.into(),
        }
    }

    /// Puts the chunk at a place of the chunk grid, or counts it where it lies outside the extent.
    fn push_scaled(
        &mut self,
        scaled: impl Iterator<Item = u64>,
        at: u64,
        len: u64,
        filter_mask: u32,
    ) -> Result<(), DecodeError> {
        match self.grid.locate(scaled) {
            Some((number, partial)) => self.push(number, partial, at, len, filter_mask),
            None => {
                self.outside += 1;
                Ok(())
            }
        }
    }

    /// Puts the chunk of a slot of a positional index.
    fn push_slot(
        &mut self,
        slot: u64,
        at: u64,
        len: u64,
        filter_mask: u32,
    ) -> Result<(), DecodeError> {
        let grid = self.grid;
        self.push_scaled(grid.scaled_of(slot), at, len, filter_mask)
    }

    fn push(
        &mut self,
        number: u64,
        partial: bool,
        at: u64,
        len: u64,
        filter_mask: u32,
    ) -> Result<(), DecodeError> {
        self.context.count_chunk()?;
        let inside = at
            .checked_add(len)
            .is_some_and(|end| end <= self.context.file_len());
        if !inside {
            return Err(DecodeError::PastEnd { what: "chunk", at });
        }
        self.chunks.push(Chunk {
            number,
            range: ByteRange::new(at, len),
            filter_mask: if partial {
                filter_mask | self.partial_mask
            } else {
                filter_mask
            },
        });
        Ok(())
    }

    fn finish(mut self) -> Result<(Vec<Chunk>, u64), DecodeError> {
        let ascend = |chunks: &[Chunk]| chunks.is_sorted_by(|a, b| a.number < b.number);
        if !ascend(&self.chunks) {
            // Stable, since that sort merges runs in order, and an index is made of a few of them.
            self.chunks.sort_by_key(|chunk| chunk.number);
            if !ascend(&self.chunks) {
                return Err(self.malformed("a chunk is listed twice"));
            }
        }
        Ok((self.chunks, self.outside))
    }
}

/// Widths of an array index's element: an address, and where filtered a size and a filter mask.
#[derive(Debug, Clone, Copy)]
struct Element {
    size_width: Option<usize>,
}

impl Element {
    /// From the bytes of an element; the width of a chunk's size varies from writer to writer.
    fn new(
        table: &Table<'_>,
        client: u8,
        element_size: usize,
        offset_size: usize,
    ) -> Result<Self, DecodeError> {
        let size_width = match client {
            0 if element_size == offset_size => None,
            1 => element_size
                .checked_sub(offset_size + 4)
                .filter(|width| (1..=8).contains(width))
                .map(Some)
                .ok_or_else(|| table.malformed(format!("entries of {element_size} bytes")))?,
            _ => {
                return Err(table.malformed(format!(
                    "entries of {element_size} bytes for a client {client}"
                )));
            }
        };
        Ok(Self { size_width })
    }

    /// Reads `count` elements and puts the chunks of those that are allocated, from slot `first` on.
    fn push_all(
        self,
        cursor: &mut super::cursor::Cursor<'_>,
        first: u64,
        count: u64,
        table: &mut Table<'_>,
    ) -> Result<(), DecodeError> {
        for slot in first..first.saturating_add(count) {
            let address = cursor.address()?;
            let (len, mask) = match self.size_width {
                Some(width) => (cursor.uint(width)?, cursor.u32()?),
                None => (table.chunk_bytes, 0),
            };
            if let Some(at) = address {
                table.push_slot(slot, at, len, mask)?;
            }
        }
        Ok(())
    }
}

/// A page that was initialized has its bit set, the first page in the highest bit of the first byte.
fn is_initialized(bitmap: &[u8], page: u64) -> bool {
    let byte = usize::try_from(page / 8).ok().and_then(|i| bitmap.get(i));
    byte.is_some_and(|byte| byte & (0x80 >> (page % 8)) != 0)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, true)]
    #[case(1, false)]
    #[case(7, true)]
    #[case(9, true)]
    #[case(16, false)]
    fn pages_are_marked_from_the_highest_bit_on(#[case] page: u64, #[case] initialized: bool) {
        assert_eq!(is_initialized(&[0x81, 0x40], page), initialized);
    }
}
