//! How the chunks of one file lie in the grid of the combined array.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::source_id;
use crate::combine::values::as_usize;
use crate::dataset::{VirtualArray, product};
use crate::decode::ByteRange;
use crate::manifest::{ChunkEntry, ChunkManifest};
use crate::zarr::{coordinates, linear_number};

/// How the chunks of one file lie in the combined grid.
pub(super) struct Part<'a> {
    axis: Option<usize>,
    /// Chunks of the combined array before the file, along the axis.
    before: u64,
    /// Lengths of a chunk along the axis: combined, and in the file.
    pub(super) chunk: u64,
    pub(super) own: u64,
    len: u64,
    /// Bytes of one step in a chunk.
    stride: u64,
    grid: Vec<u64>,
    fresh: &'a VirtualArray,
    fresh_grid: Vec<u64>,
}

impl<'a> Part<'a> {
    /// `None` when the chunks of the file cannot be those of the combined array.
    pub(super) fn new(
        array: &VirtualArray,
        axis: Option<usize>,
        start: u64,
        fresh: &'a VirtualArray,
    ) -> Option<Self> {
        let others = |shape: &[u64]| -> Vec<u64> {
            shape
                .iter()
                .enumerate()
                .filter(|(at, _)| Some(*at) != axis)
                .map(|(_, len)| *len)
                .collect()
        };
        let same = others(&array.chunk_shape) == others(&fresh.chunk_shape)
            && others(&array.shape) == others(&fresh.shape)
            && array.dimension_names == fresh.dimension_names;
        let along = |shape: &[u64]| axis.map_or(Some(1), |axis| shape.get(axis).copied());
        let (chunk, own, len) = (
            along(&array.chunk_shape)?,
            along(&fresh.chunk_shape)?,
            along(&fresh.shape)?,
        );
        let before = axis.map_or(Some(1), |axis| {
            fresh.chunk_shape.get(..axis).and_then(product)
        })?;
        let cut = chunk != own;
        let one_run = fresh.codecs.is_empty() && before == 1 && own.min(len) % chunk.max(1) == 0;
        if !same || chunk == 0 || (!start.is_multiple_of(chunk) && len > 0) || (cut && !one_run) {
            return None;
        }
        let behind = axis.map_or(Some(1), |axis| {
            fresh.chunk_shape.get(axis + 1..).and_then(product)
        })?;
        Some(Self {
            axis,
            before: start / chunk,
            chunk,
            own,
            len,
            stride: behind.saturating_mul(fresh.data_type.size()),
            grid: array.chunk_grid(),
            fresh,
            fresh_grid: fresh.chunk_grid(),
        })
    }

    /// What the combined array must have for one chunk of the file.
    pub(super) fn pieces(
        &self,
        number: u64,
        entry: &ChunkEntry,
        file: usize,
    ) -> Vec<(u64, ChunkEntry)> {
        let at = coordinates(&self.fresh_grid, number);
        let own_source = |entry: &ChunkEntry| match entry {
            ChunkEntry::Virtual { range, .. } => ChunkEntry::Virtual {
                source: source_id(file),
                range: *range,
            },
            other => other.clone(),
        };
        let place = |chunk_along: u64| {
            let mut at = at.clone();
            if let Some(index) = self.axis.and_then(|axis| at.get_mut(axis)) {
                *index = chunk_along;
            }
            linear_number(&self.grid, &at).unwrap_or(u64::MAX)
        };
        let index = self
            .axis
            .and_then(|axis| at.get(axis).copied())
            .unwrap_or(0);
        if self.own == self.chunk {
            return vec![(place(self.before.saturating_add(index)), own_source(entry))];
        }
        let first_step = index.saturating_mul(self.own);
        let steps = self.own.min(self.len.saturating_sub(first_step));
        let size = self.chunk.saturating_mul(self.stride);
        let piece = |piece: u64| {
            let along = self
                .before
                .saturating_add((first_step / self.chunk).saturating_add(piece));
            let from = piece.saturating_mul(size);
            let part = match own_source(entry) {
                ChunkEntry::Virtual { source, range } => ChunkEntry::Virtual {
                    source,
                    range: ByteRange::new(range.start.saturating_add(from), size),
                },
                ChunkEntry::Inline(bytes) => ChunkEntry::Inline(slice(&bytes, from, size)),
                ChunkEntry::Missing => ChunkEntry::Missing,
            };
            (place(along), part)
        };
        (0..steps / self.chunk).map(piece).collect()
    }

    /// The chunks of the file at both of its ends, in the middle of the other dimensions and at their start.
    pub(super) fn sampled_numbers(&self) -> BTreeSet<u64> {
        let last = self.len.saturating_sub(1) / self.own.max(1);
        let mut numbers = BTreeSet::new();
        for middle in [true, false] {
            for end in [0, last] {
                let mut at: Vec<u64> = self
                    .fresh_grid
                    .iter()
                    .map(|count| if middle { count / 2 } else { 0 })
                    .collect();
                if let Some(index) = self.axis.and_then(|axis| at.get_mut(axis)) {
                    *index = end;
                }
                numbers.extend(linear_number(&self.fresh_grid, &at));
            }
            // A sparse array may have nothing in the middle.
            if numbers
                .iter()
                .any(|number| self.fresh.chunks.get(*number) != ChunkEntry::Missing)
            {
                break;
            }
        }
        numbers
    }
}

/// The steps of an array from `start` on that a file of this shape gives, as an array of its own; `None` where chunks
/// do not begin there, or the other dimensions differ.
pub(super) fn region(
    array: &VirtualArray,
    axis: Option<usize>,
    start: u64,
    shape: &[u64],
) -> Option<VirtualArray> {
    let Some(axis) = axis else {
        return (array.shape == shape).then(|| array.clone());
    };
    let (chunk, len) = (*array.chunk_shape.get(axis)?, *shape.get(axis)?);
    let mut own = array.shape.clone();
    *own.get_mut(axis)? = len;
    let fits = start.checked_add(len)? <= *array.shape.get(axis)?;
    if own != shape || !fits || start.checked_rem(chunk)? != 0 {
        return None;
    }
    let grid = array.chunk_grid();
    let inner = grid.get(axis + 1..).and_then(product)?;
    let (outer, along) = (grid.get(..axis).and_then(product)?, *grid.get(axis)?);
    let (first, count) = (start / chunk, len.div_ceil(chunk));
    let mut chunks = ChunkManifest::new();
    let mut number = 0u64;
    for outer in 0..outer {
        for rest in 0..count.checked_mul(inner)? {
            let from = (outer * along + first)
                .checked_mul(inner)?
                .checked_add(rest)?;
            match array.chunks.get(from) {
                ChunkEntry::Virtual { source, range } => drop(chunks.push(number, source, range)),
                ChunkEntry::Inline(bytes) => chunks.insert_inline(number, bytes),
                ChunkEntry::Missing => {}
            }
            number += 1;
        }
    }
    Some(VirtualArray {
        shape: own,
        chunk_shape: array.chunk_shape.clone(),
        data_type: array.data_type.clone(),
        fill_value: array.fill_value.clone(),
        codecs: array.codecs.clone(),
        dimension_names: array.dimension_names.clone(),
        attributes: array.attributes.clone(),
        chunks,
        layout: array.layout,
    })
}

fn slice(bytes: &Bytes, from: u64, len: u64) -> Bytes {
    let from = as_usize(from).min(bytes.len());
    bytes.slice(from..from.saturating_add(as_usize(len)).min(bytes.len()))
}
