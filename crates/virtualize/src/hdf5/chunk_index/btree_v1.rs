//! Chunks by a version 1 B-tree: its keys hold size, filter mask and place of each chunk.

use super::Table;
use crate::decode::DecodeError;
use crate::hdf5::btree_v1::{Kind, leaves};
use crate::hdf5::context::Context;
use crate::hdf5::cursor::Cursor;

/// A key is size u32, filter mask u32, and a place of 64-bit numbers with one for the byte in the element.
pub(super) async fn read(
    context: &Context<'_>,
    root: u64,
    table: &mut Table<'_>,
) -> Result<(), DecodeError> {
    let kind = Kind::of_chunks(context, table.grid.rank());
    for leaf in leaves(context, root, kind).await? {
        let mut cursor = leaf.cursor(context)?;
        for _ in 0..leaf.children {
            push_child(&mut cursor, table)?;
        }
    }
    Ok(())
}

fn push_child(cursor: &mut Cursor<'_>, table: &mut Table<'_>) -> Result<(), DecodeError> {
    let grid = table.grid;
    let (len, mask) = (u64::from(cursor.u32()?), cursor.u32()?);
    let (place, _) = cursor.take(8 * (grid.rank() + 1))?.as_chunks();
    let at = cursor.defined_address()?;
    let mut misplaced = false;
    let scaled = grid.chunk_lengths().zip(place).map(|(chunk, element)| {
        let element = u64::from_le_bytes(*element);
        let scaled = element / chunk;
        misplaced |= scaled * chunk != element;
        scaled
    });
    table.push_scaled(scaled, at, len, mask)?;
    if misplaced {
        return Err(table.malformed("a chunk off the chunk grid"));
    }
    Ok(())
}
