//! The doubling table: how a fractal heap's address space is cut into blocks. Specification III.G.
//!
//! A row has `width` blocks of one size. The first two rows have blocks of the starting size; every further row
//! doubles it. Rows of blocks up to the largest direct size hold data, those below hold further tables.

use crate::decode::DecodeError;
use crate::hdf5::cursor::{Cursor, len_u64};
use crate::hdf5::heap::fractal::{DirectBlock, IndirectBlock};
use crate::hdf5::model::Geometry;

/// Parameters of the table.
#[derive(Debug)]
pub(super) struct DoublingTable {
    pub(super) width: u16,
    /// Size of a block of the first row.
    pub(super) start: u64,
    pub(super) largest_direct: u64,
    /// Bits of an offset in the heap.
    pub(super) bits: u16,
}

/// A block that an indirect block points to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Child {
    Direct(DirectBlock),
    Indirect(IndirectBlock),
}

impl DoublingTable {
    /// Width u16, starting size, largest direct size, bits u16, starting number of rows u16.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let table = Self {
            width: cursor.u16()?,
            start: cursor.length()?,
            largest_direct: cursor.length()?,
            bits: cursor.u16()?,
        };
        cursor.skip(2)?;
        let powers_of_two = table.width.is_power_of_two()
            && table.start.is_power_of_two()
            && table.largest_direct.is_power_of_two();
        if !powers_of_two || table.start > table.largest_direct || table.bits > 64 {
            return Err(cursor.malformed("the doubling table is impossible"));
        }
        Ok(table)
    }

    /// Bytes of an offset in the heap.
    pub(super) fn offset_len(&self) -> usize {
        usize::from(self.bits.div_ceil(8))
    }

    /// Bytes that hold lengths up to the largest direct block.
    pub(super) fn largest_direct_width(&self) -> usize {
        usize::try_from(self.largest_direct.trailing_zeros().div_ceil(8)).unwrap_or(8)
    }

    /// Number of rows whose blocks hold data.
    fn direct_rows(&self) -> u64 {
        let doublings = self.largest_direct.trailing_zeros() - self.start.trailing_zeros();
        u64::from(doublings) + 2
    }

    fn block_size(&self, row: u64) -> Option<u64> {
        shifted(self.start, row.saturating_sub(1))
    }

    fn row_offset(&self, row: u64) -> Option<u64> {
        let first_row = self.start.checked_mul(u64::from(self.width))?;
        row.checked_sub(1)
            .map_or(Some(0), |doublings| shifted(first_row, doublings))
    }

    /// Rows of the indirect block that covers as much as a block of `size`.
    fn rows_of(&self, size: u64) -> Option<u64> {
        let first_row = self.start.checked_mul(u64::from(self.width))?;
        u64::from(size.trailing_zeros())
            .checked_sub(u64::from(first_row.trailing_zeros()))
            .map(|rows| rows + 1)
    }

    /// Bytes of an indirect block with its checksum.
    pub(super) fn indirect_len(&self, rows: u64, geometry: Geometry, filtered: bool) -> u64 {
        let address = len_u64(geometry.offset_len());
        let direct = if filtered {
            address + len_u64(geometry.length_len()) + 4
        } else {
            address
        };
        let width = u64::from(self.width);
        let direct_rows = rows.min(self.direct_rows());
        let entries = direct_rows
            .saturating_mul(direct)
            .saturating_add((rows - direct_rows).saturating_mul(address))
            .saturating_mul(width);
        entries
            .saturating_add(5 + address + len_u64(self.offset_len()))
            .saturating_add(4)
    }

    /// The blocks that an indirect block points to; those never allocated are left out.
    pub(super) fn children(
        &self,
        cursor: &mut Cursor<'_>,
        parent: IndirectBlock,
        filtered: bool,
    ) -> Result<Vec<Child>, DecodeError> {
        let mut children = Vec::new();
        for row in 0..parent.rows {
            let is_direct = row < self.direct_rows();
            for column in 0..u64::from(self.width) {
                let at = cursor.address()?;
                let filtered = if filtered && is_direct {
                    Some((cursor.length()?, cursor.u32()?))
                } else {
                    None
                };
                let Some(at) = at else { continue };
                let child = self.child(parent, (row, column), at, filtered);
                children.push(
                    child.ok_or_else(|| cursor.malformed("a block beyond the address space"))?,
                );
            }
        }
        Ok(children)
    }

    fn child(
        &self,
        parent: IndirectBlock,
        (row, column): (u64, u64),
        at: u64,
        filtered: Option<(u64, u32)>,
    ) -> Option<Child> {
        let size = self.block_size(row)?;
        let offset = parent
            .offset
            .checked_add(self.row_offset(row)?)?
            .checked_add(column.checked_mul(size)?)?;
        if row < self.direct_rows() {
            return Some(Child::Direct(DirectBlock {
                at,
                offset,
                size,
                filtered,
            }));
        }
        let rows = self.rows_of(size)?;
        // It has fewer rows than the one it stands in, so the nesting ends.
        Some(Child::Indirect(IndirectBlock { at, offset, rows }))
    }
}

fn shifted(value: u64, by: u64) -> Option<u64> {
    let by = u32::try_from(by).ok().filter(|by| *by < 64)?;
    (value.leading_zeros() >= by).then(|| value << by)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TABLE: DoublingTable = DoublingTable {
        width: 4,
        start: 1024,
        largest_direct: 65536,
        bits: 40,
    };

    // Rows of 4 blocks: 1024 at 0, 1024 at 4096, 2048 at 8192, 4096 at 16384, … 65536 at 262144 (row 7).
    #[rstest]
    #[case(0, 0, 1024)]
    #[case(1, 4096, 1024)]
    #[case(2, 8192, 2048)]
    #[case(7, 262_144, 65536)]
    fn rows_double_from_the_third_on(#[case] row: u64, #[case] offset: u64, #[case] size: u64) {
        assert_eq!(TABLE.row_offset(row), Some(offset));
        assert_eq!(TABLE.block_size(row), Some(size));
    }

    #[test]
    fn the_first_indirect_row_covers_as_much_as_its_blocks_would() {
        assert_eq!(TABLE.direct_rows(), 8);
        // 131072 bytes are six rows: 4096 + 4096 + 8192 + 16384 + 32768 + 65536.
        assert_eq!(TABLE.rows_of(131_072), Some(6));
    }
}
