//! Arrays without their data: metadata, and the place of every chunk.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Deferred, Verifier, source_id};
use crate::combine::agree::{decode_alike, packing_value, same_value};
use crate::combine::input::{axis_along, length_along};
use crate::combine::values::{as_u64, as_usize};
use crate::dataset::{VirtualArray, product};
use crate::decode::ByteRange;
use crate::manifest::ChunkEntry;
use crate::zarr::{coordinates, linear_number};

/// Inlined values that are read from a source are at most this large.
const DEFERRED_LIMIT: u64 = 32 << 20;
/// Beyond so many mismatches of one dataset the others are not listed.
const MANY: usize = 100;

impl<'a> Verifier<'a> {
    /// Compares every variable of the combined dataset and of the sources.
    pub(super) fn compare_arrays(&mut self) {
        let mut paths: BTreeSet<String> = BTreeSet::new();
        for dataset in std::iter::once(self.combined).chain(self.fresh) {
            paths.extend(dataset.root.walk().into_iter().map(|(path, _)| path));
        }
        for path in paths {
            if self.is_dropped(&path) {
                continue;
            }
            let combined = crate::combine::input::array_at(&self.combined.root, &path);
            let files: Vec<usize> = (0..self.fresh.len())
                .filter(|at| self.fresh_array(*at, &path).is_some())
                .collect();
            let first = files.first().copied();
            match (combined, first) {
                (Some(array), Some(first)) => {
                    self.report.variables += 1;
                    match axis_along(array, &self.options.concat_dim) {
                        Some(axis) => self.compare_along(&path, array, axis),
                        None => self.compare_still(&path, array, first),
                    }
                }
                (None, first) => {
                    self.note(
                        "variable_missing",
                        first.unwrap_or(0),
                        &path,
                        String::from("is not in the combined dataset"),
                    );
                }
                (Some(_), None) => self.note(
                    "variable_unknown",
                    0,
                    &path,
                    String::from("is in no source"),
                ),
            }
        }
    }

    /// A variable that the combined dataset has from the first file.
    fn compare_still(&mut self, path: &str, array: &VirtualArray, file: usize) {
        let Some(fresh) = self.fresh_array(file, path) else {
            return;
        };
        if array.shape != fresh.shape || array.dimension_names != fresh.dimension_names {
            return self.note(
                "shape_differs",
                file,
                path,
                format!("has shape {:?}, the file {:?}", array.shape, fresh.shape),
            );
        }
        if array.chunks.is_inline() && !array.is_empty() {
            return self.compare_inlined(path, file, 0, fresh);
        }
        self.compare_metadata(path, array, file, fresh);
        let count = self.compare_chunks(path, array, None, file, 0, fresh);
        self.compare_count(path, file, array, count);
    }

    /// A variable along the concat dimension: each file's part lies where its first time stands, and where there is
    /// no time, behind the lengths of the files before it.
    fn compare_along(&mut self, path: &str, array: &VirtualArray, axis: usize) {
        let inlined = is_whole_inline(array);
        let (mut end, mut count) = (0u64, 0u64);
        let starts = self.starts(path);
        for file in 0..self.fresh.len() {
            let start = starts.get(file).copied().flatten().unwrap_or(end);
            let Some(fresh) = self.fresh_array(file, path) else {
                end = start.saturating_add(self.length_without(path, file));
                continue;
            };
            let Some(len) = length_along(fresh, &self.options.concat_dim) else {
                return self.note(
                    "shape_differs",
                    file,
                    path,
                    String::from("has not the concat dimension"),
                );
            };
            if inlined {
                self.compare_inlined(path, file, start, fresh);
            } else {
                self.compare_metadata(path, array, file, fresh);
                count = count.saturating_add(self.compare_chunks(
                    path,
                    array,
                    Some(axis),
                    file,
                    start,
                    fresh,
                ));
            }
            end = start.saturating_add(len);
        }
        if array.shape.get(axis) != Some(&end) {
            let message = format!(
                "is {:?} steps long, the files together {end}",
                array.shape.get(axis)
            );
            self.note(
                "shape_differs",
                self.fresh.len().saturating_sub(1),
                path,
                message,
            );
        }
        if !inlined {
            self.compare_count(path, self.fresh.len().saturating_sub(1), array, count);
        }
    }

    /// Length of a file that lacks the variable.
    fn length_without(&self, path: &str, file: usize) -> u64 {
        let folder = crate::combine::input::split(path).0;
        let arrays = self
            .fresh
            .get(file)
            .map(|fresh| fresh.root.walk())
            .unwrap_or_default();
        let mut near: Vec<_> = arrays
            .into_iter()
            .filter(|(other, _)| folder.starts_with(crate::combine::input::split(other).0))
            .collect();
        near.sort_by_key(|(other, _)| {
            std::cmp::Reverse(crate::combine::input::split(other).0.len())
        });
        near.into_iter()
            .find_map(|(_, array)| length_along(array, &self.options.concat_dim))
            .unwrap_or(0)
    }

    fn compare_count(&mut self, path: &str, file: usize, array: &VirtualArray, count: u64) {
        if as_u64(array.chunks.len()) != count {
            let message = format!(
                "has {} chunks, the files together {count}",
                array.chunks.len()
            );
            self.note("chunk_count", file, path, message);
        }
    }

    /// What decoding depends on.
    fn compare_metadata(
        &mut self,
        path: &str,
        array: &VirtualArray,
        file: usize,
        fresh: &VirtualArray,
    ) {
        if array.data_type != fresh.data_type {
            let message = format!(
                "is {}, in the file {}",
                array.data_type.to_json(),
                fresh.data_type.to_json()
            );
            self.note("dtype_mismatch", file, path, message);
        }
        if !decode_alike(&array.codecs, &fresh.codecs) {
            let message = format!(
                "has the codecs {:?}, in the file {:?}",
                array.codecs, fresh.codecs
            );
            self.note("codec_mismatch", file, path, message);
        }
        self.compare_packing(path, array, file, fresh, false);
    }

    /// Attributes that change what values mean; the units of what counts time are compared as instants.
    pub(super) fn compare_packing(
        &mut self,
        path: &str,
        array: &VirtualArray,
        file: usize,
        fresh: &VirtualArray,
        timed: bool,
    ) {
        let names = crate::combine::agree::PACKING
            .iter()
            .filter(|name| !(timed && matches!(**name, "units" | "_FillValue" | "missing_value")));
        for name in names {
            let (a, b) = (packing_value(array, name), packing_value(fresh, name));
            let spelled = *name == "units"
                && crate::combine::time::is_time(array)
                && same_units(array, fresh);
            if !same_value(a.as_ref(), b.as_ref()) && !spelled {
                let shown = |value: Option<serde_json::Value>| {
                    value.map_or(String::from("absent"), |v| v.to_string())
                };
                let message = format!("{name} is {}, in the file {}", shown(a), shown(b));
                self.note("packing_mismatch", file, path, message);
            }
        }
    }

    /// The place of every chunk of one file; answers how many chunks of the combined array they are.
    fn compare_chunks(
        &mut self,
        path: &str,
        array: &VirtualArray,
        axis: Option<usize>,
        file: usize,
        start: u64,
        fresh: &VirtualArray,
    ) -> u64 {
        let Some(part) = Part::new(array, axis, start, fresh) else {
            let message = format!(
                "chunks {:?} at step {start} do not fit the file's chunks {:?}",
                array.chunk_shape, fresh.chunk_shape
            );
            self.note("chunk_grid", file, path, message);
            return 0;
        };
        let ends = part.sampled_numbers();
        let mut count = 0u64;
        for (number, entry) in fresh.chunks.iter() {
            let pieces = part.pieces(number, &entry, file);
            let last = pieces.len().saturating_sub(1);
            for (at, (own_number, expected)) in pieces.iter().enumerate() {
                count = count.saturating_add(1);
                let in_sample = ends.contains(&number) && (at == 0 || at == last);
                self.compare_chunk(
                    path,
                    array,
                    file,
                    (*own_number, expected),
                    in_sample.then_some(part.own != part.chunk),
                );
            }
            if self.mismatches.len() > MANY {
                break;
            }
        }
        self.report.chunks_compared = self.report.chunks_compared.saturating_add(count);
        count
    }

    /// The place of one chunk; `sample` says whether it is to be read, and whether it is cut from a larger one.
    fn compare_chunk(
        &mut self,
        path: &str,
        array: &VirtualArray,
        file: usize,
        (number, expected): (u64, &ChunkEntry),
        sample: Option<bool>,
    ) {
        let actual = array.chunks.get(number);
        if actual != *expected {
            let key = crate::zarr::chunk_key(&array.chunk_grid(), number);
            let message = format!(
                "chunk {key} is {}, in the file {}",
                shown(&actual),
                shown(expected)
            );
            self.note("chunk_moved", file, path, message);
        } else if let (ChunkEntry::Virtual { range, .. }, Some(is_cut)) = (&actual, sample) {
            self.sample(path, file, *range, is_cut);
        }
    }

    /// Values that stand in the combined dataset, now or when the source has been read.
    fn compare_inlined(&mut self, path: &str, file: usize, start: u64, fresh: &'a VirtualArray) {
        let inline = |entry| match entry {
            ChunkEntry::Inline(bytes) => Some(Some(bytes)),
            _ => Some(None),
        };
        if fresh.chunks.is_inline() {
            match crate::combine::values::assemble(fresh, inline) {
                Ok(values) => {
                    let values = crate::combine::values::to_little_endian(values, &fresh.data_type);
                    self.compare_values(path, file, start, fresh, &values);
                }
                Err(error) => self.note(
                    "chunk_damaged",
                    file,
                    path,
                    format!("cannot be decoded: {error}"),
                ),
            }
        } else if fresh.nbytes().is_some_and(|bytes| bytes <= DEFERRED_LIMIT) {
            self.deferred.push(Deferred {
                path: path.to_owned(),
                file,
                start,
            });
        } else {
            self.report.capped = true;
        }
    }
}

fn same_units(a: &VirtualArray, b: &VirtualArray) -> bool {
    use crate::combine::time::units_of;
    matches!((units_of(a), units_of(b)), (Ok(a), Ok(b)) if a == b)
}

/// Whether an array is one inlined chunk without codecs.
fn is_whole_inline(array: &VirtualArray) -> bool {
    let whole = array.chunk_grid().iter().all(|count| *count <= 1);
    whole && array.chunks.is_inline() && !array.chunks.is_empty()
}

fn shown(entry: &ChunkEntry) -> String {
    match entry {
        ChunkEntry::Missing => String::from("missing"),
        ChunkEntry::Inline(bytes) => format!("{} bytes inlined", bytes.len()),
        ChunkEntry::Virtual { source, range } => {
            format!(
                "{} bytes at {} of source {}",
                range.len, range.start, source.0
            )
        }
    }
}

/// How the chunks of one file lie in the combined grid.
struct Part<'a> {
    axis: Option<usize>,
    /// Chunks of the combined array before the file, along the axis.
    before: u64,
    /// Lengths of a chunk along the axis: combined, and in the file.
    chunk: u64,
    own: u64,
    len: u64,
    /// Bytes of one step in a chunk.
    stride: u64,
    grid: Vec<u64>,
    fresh: &'a VirtualArray,
    fresh_grid: Vec<u64>,
}

impl<'a> Part<'a> {
    /// `None` when the chunks of the file cannot be those of the combined array.
    fn new(
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
    fn pieces(&self, number: u64, entry: &ChunkEntry, file: usize) -> Vec<(u64, ChunkEntry)> {
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
    fn sampled_numbers(&self) -> BTreeSet<u64> {
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

fn slice(bytes: &Bytes, from: u64, len: u64) -> Bytes {
    let from = as_usize(from).min(bytes.len());
    bytes.slice(from..from.saturating_add(as_usize(len)).min(bytes.len()))
}
