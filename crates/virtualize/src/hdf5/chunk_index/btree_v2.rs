//! Chunks by a version 2 B-tree, for more than one unlimited dimension. Specification III.A.2, types 10 and 11.

use super::Table;
use crate::decode::DecodeError;
use crate::hdf5::btree_v2;
use crate::hdf5::context::Context;
use crate::hdf5::cursor::Cursor;

/// A record is an address, where filtered a size of varying width and a filter mask, and the place in the grid.
pub(super) async fn read(
    context: &Context<'_>,
    at: u64,
    table: &mut Table<'_>,
) -> Result<(), DecodeError> {
    let records = btree_v2::read(context, at).await?;
    let plain = context.geometry().offset_len() + 8 * table.grid.rank();
    let size_width = match records.kind {
        10 if records.record_size == plain => None,
        11 => records
            .record_size
            .checked_sub(plain + 4)
            .filter(|width| (1..=8).contains(width))
            .map(Some)
            .ok_or_else(|| table.malformed("records of an impossible size"))?,
        kind => return Err(table.malformed(format!("a B-tree of type {kind}"))),
    };
    for mut cursor in records.iter() {
        push_record(&mut cursor, size_width, table)?;
    }
    Ok(())
}

fn push_record(
    cursor: &mut Cursor<'_>,
    size_width: Option<usize>,
    table: &mut Table<'_>,
) -> Result<(), DecodeError> {
    let grid = table.grid;
    let address = cursor.address()?;
    let (len, mask) = match size_width {
        Some(width) => (cursor.uint(width)?, cursor.u32()?),
        None => (table.chunk_bytes, 0),
    };
    let Some(at) = address else { return Ok(()) };
    let (place, _) = cursor.take(8 * grid.rank())?.as_chunks();
    let scaled = place.iter().map(|scaled| u64::from_le_bytes(*scaled));
    table.push_scaled(scaled, at, len, mask)
}
