//! The chunk grid, and how positional indexes number it: over the *largest* extent, row-major, for the extensible
//! array with the unlimited dimension moved to the front.

use crate::decode::DecodeError;
use crate::hdf5::message::layout::{Chunked, Index};
use crate::hdf5::model::Dataspace;

/// A chunk grid.
#[derive(Debug)]
pub(super) struct Grid {
    dims: Vec<Dim>,
    chunk_bytes: u64,
    current_chunks: u64,
}

/// One dimension of a chunk grid.
#[derive(Debug)]
struct Dim {
    /// Length of a chunk.
    chunk: u64,
    /// Chunks in the current extent.
    count: u64,
    /// Chunks in the largest extent; `None` where unlimited.
    max_count: Option<u64>,
    /// Distance of neighbours in the current grid.
    stride: u64,
    /// Distance of neighbours in a positional index.
    slot_stride: u64,
    /// Chunks in a positional index; `None` for the dimension that varies slowest.
    slot_count: Option<u64>,
    /// Place of the chunk that reaches beyond the extent; `None` where none does.
    partial: Option<u64>,
}

impl Grid {
    pub(super) fn new(dataspace: &Dataspace, layout: &Chunked) -> Result<Self, DecodeError> {
        let Dataspace::Simple { dims, max_dims } = dataspace else {
            return Err(mismatch("chunks of a dataset without dimensions"));
        };
        if dims.len() != layout.chunk_shape.len() {
            return Err(mismatch("chunks of another rank than the dataset's"));
        }
        let dims: Vec<Dim> = dims
            .iter()
            .zip(max_dims)
            .zip(&layout.chunk_shape)
            .map(|((len, max), chunk)| Dim {
                chunk: *chunk,
                count: len.div_ceil(*chunk),
                max_count: max.map(|max| max.div_ceil(*chunk)),
                stride: 0,
                slot_stride: 0,
                slot_count: None,
                partial: (len % chunk != 0).then(|| len / chunk),
            })
            .collect();
        let chunk_bytes = layout
            .chunk_shape
            .iter()
            .try_fold(layout.element_size, |bytes, len| bytes.checked_mul(*len));
        let mut grid = Self {
            dims,
            chunk_bytes: chunk_bytes.ok_or_else(|| mismatch("chunks of more than 2^64 bytes"))?,
            current_chunks: 0,
        };
        grid.set_strides()?;
        grid.set_slot_strides(layout.index);
        Ok(grid)
    }

    fn set_strides(&mut self) -> Result<(), DecodeError> {
        let mut stride = 1u64;
        for dim in self.dims.iter_mut().rev() {
            dim.stride = stride;
            stride = stride
                .checked_mul(dim.count)
                .ok_or_else(|| mismatch("more than 2^64 chunks"))?;
        }
        self.current_chunks = stride;
        Ok(())
    }

    /// Strides that overflow belong to slots no file can hold; they saturate.
    fn set_slot_strides(&mut self, index: Index) {
        let to_front = |dim: &Dim| index == Index::ExtensibleArray && dim.max_count.is_none();
        let (front, back): (Vec<&mut Dim>, Vec<&mut Dim>) =
            self.dims.iter_mut().partition(|dim| to_front(dim));
        let mut stride = 1u64;
        let mut slowest = None;
        for dim in back.into_iter().rev().chain(front.into_iter().rev()) {
            let count = dim.max_count.unwrap_or(dim.count).max(1);
            dim.slot_stride = stride;
            stride = stride.saturating_mul(count);
            dim.slot_count = Some(count);
            slowest = Some(dim);
        }
        if let Some(dim) = slowest {
            dim.slot_count = None;
        }
    }

    /// Bytes of a chunk without filters.
    pub(super) const fn chunk_bytes(&self) -> u64 {
        self.chunk_bytes
    }

    /// Number of chunks in the current extent.
    pub(super) const fn current_chunks(&self) -> u64 {
        self.current_chunks
    }

    /// Number of dimensions.
    pub(super) fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Lengths of a chunk.
    pub(super) fn chunk_lengths(&self) -> impl Iterator<Item = u64> {
        self.dims.iter().map(|dim| dim.chunk)
    }

    /// Number of a place in the current grid, and whether its chunk reaches beyond the extent; `None` outside.
    pub(super) fn locate(&self, scaled: impl Iterator<Item = u64>) -> Option<(u64, bool)> {
        let mut number = 0u64;
        let mut partial = false;
        for (dim, at) in self.dims.iter().zip(scaled) {
            if at >= dim.count {
                return None;
            }
            // Inside the grid nothing overflows: the whole grid was counted.
            number = number.wrapping_add(at.wrapping_mul(dim.stride));
            partial |= Some(at) == dim.partial;
        }
        Some((number, partial))
    }

    /// The place of a slot of a positional index.
    pub(super) fn scaled_of(&self, slot: u64) -> impl Iterator<Item = u64> {
        self.dims.iter().map(move |dim| {
            // Most arrays are cut along few of their dimensions, and dividing is slow.
            let at = match dim.slot_stride {
                1 => slot,
                stride => slot.checked_div(stride).unwrap_or(0),
            };
            match dim.slot_count {
                Some(1) => 0,
                Some(count) => at.checked_rem(count).unwrap_or(0),
                None => at,
            }
        })
    }

    /// The slot of a number of the current grid.
    pub(super) fn slot_of(&self, number: u64) -> u64 {
        self.dims.iter().fold(0u64, |slot, dim| {
            let at = number
                .checked_div(dim.stride)
                .and_then(|at| at.checked_rem(dim.count))
                .unwrap_or(0);
            slot.saturating_add(at.saturating_mul(dim.slot_stride))
        })
    }
}

fn mismatch(problem: &str) -> DecodeError {
    DecodeError::Malformed {
        what: "data layout",
        at: 0,
        problem: String::from(problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(dims: &[(u64, Option<u64>, u64)], index: Index) -> Grid {
        let dataspace = Dataspace::Simple {
            dims: dims.iter().map(|dim| dim.0).collect(),
            max_dims: dims.iter().map(|dim| dim.1).collect(),
        };
        let layout = Chunked {
            chunk_shape: dims.iter().map(|dim| dim.2).collect(),
            element_size: 4,
            partial_unfiltered: false,
            index,
            address: None,
        };
        Grid::new(&dataspace, &layout).unwrap()
    }

    fn scaled(grid: &Grid, slot: u64) -> Vec<u64> {
        grid.scaled_of(slot).collect()
    }

    #[test]
    fn slots_count_over_the_largest_extent() {
        let grid = grid(&[(4, Some(8), 2), (5, Some(9), 3)], Index::FixedArray);
        assert_eq!(scaled(&grid, 4), [1, 1]);
        assert_eq!(scaled(&grid, 2), [0, 2]);
        assert_eq!(grid.locate([0, 2].into_iter()), None);
        assert_eq!(grid.locate([1, 1].into_iter()), Some((3, true)));
        assert_eq!(grid.slot_of(3), 4);
    }

    // HDF5's own listing says (0, 1) for slot 1 here, which is wrong: the chunk there holds rows 10 to 19.
    #[test]
    fn the_unlimited_dimension_of_an_extensible_array_comes_first() {
        let grid = grid(
            &[(40, Some(40), 10), (130, None, 20)],
            Index::ExtensibleArray,
        );
        assert_eq!(scaled(&grid, 1), [1, 0]);
        assert_eq!(scaled(&grid, 4), [0, 1]);
        assert_eq!(scaled(&grid, 27), [3, 6]);
        assert_eq!(grid.locate([3, 6].into_iter()), Some((27, true)));
        assert_eq!(grid.locate([3, 5].into_iter()), Some((26, false)));
    }

    #[test]
    fn a_slot_behind_the_slowest_dimension_is_outside() {
        let grid = grid(&[(4, Some(4), 2), (4, Some(4), 4)], Index::FixedArray);
        assert_eq!(grid.locate(grid.scaled_of(1)), Some((1, false)));
        assert_eq!(grid.locate(grid.scaled_of(2)), None);
    }

    #[test]
    fn more_chunks_than_numbers_are_malformed() {
        let dataspace = Dataspace::Simple {
            dims: vec![u64::MAX, u64::MAX],
            max_dims: vec![None, None],
        };
        let layout = Chunked {
            chunk_shape: vec![1, 1],
            element_size: 1,
            partial_unfiltered: false,
            index: Index::BtreeV1,
            address: None,
        };
        assert!(Grid::new(&dataspace, &layout).is_err());
    }
}
