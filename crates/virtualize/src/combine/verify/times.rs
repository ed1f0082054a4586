//! Values that stand in the combined dataset: times as instants, everything else bit for bit.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;

use super::Verifier;
use crate::cf::{self, Instant, TimeUnits};
use crate::combine::input::{array_at, axis_along, split, text};
use crate::combine::time::{is_time, time_values, units_of};
use crate::combine::timeline::Mark;
use crate::combine::values::{
    as_usize, assemble, numbers, string_chunk, strings, to_little_endian,
};
use crate::dataset::{VirtualArray, VirtualDataset, product};
use crate::manifest::ChunkEntry;
use crate::zarr::DataType;

impl Verifier<'_> {
    /// Compares the values of one file with the part of the combined variable that begins at `start`.
    pub(super) fn compare_values(
        &mut self,
        path: &str,
        file: usize,
        start: u64,
        fresh: &VirtualArray,
        values: &[u8],
    ) {
        let Some(combined) = array_at(&self.combined.root, path) else {
            return;
        };
        let Some(part) = part_of(combined, &self.options.concat_dim, start, fresh) else {
            let message = format!("has shape {:?}, the file {:?}", combined.shape, fresh.shape);
            return self.note("shape_differs", file, path, message);
        };
        let of_file = self.fresh.get(file).unwrap_or(self.combined);
        // Bounds that a file does not name as such are what the others say.
        let both = [of_file, self.combined];
        let fresh_units = owner_units(of_file, both, path);
        let combined_units = owner_units(self.combined, both, path);
        if let (Some(ours), Some(theirs)) = (combined_units, fresh_units) {
            self.compare_packing(path, combined, file, fresh, true);
            let ours = instants(&ours, &part, &combined.data_type);
            let theirs = instants(&theirs, values, &fresh.data_type);
            // Values that are no times at all, such as fills, can only be compared as they stand.
            let same = match (&ours, &theirs) {
                (Some(ours), Some(theirs)) => ours == theirs,
                _ => part == values,
            };
            if !same {
                self.note(
                    "times_differ",
                    file,
                    path,
                    String::from("its times are not those of the file"),
                );
            }
            return;
        }
        self.compare_packing(path, combined, file, fresh, false);
        if combined.data_type.to_little_endian() != fresh.data_type.to_little_endian() {
            let message = format!(
                "is {}, in the file {}",
                combined.data_type.name(),
                fresh.data_type.name()
            );
            self.note("dtype_mismatch", file, path, message);
        } else if part != values && !(fresh.is_empty() && strings(&part).is_empty()) {
            self.note(
                "values_differ",
                file,
                path,
                String::from("its values are not those of the file"),
            );
        }
    }

    /// The first step of each file where `path` lies, by its first time; `None` for those without times.
    pub(super) fn starts(&mut self, path: &str) -> Vec<Option<u64>> {
        let Some(clock) = self.clock_of(path) else {
            return Vec::new();
        };
        if let Some(known) = self.starts.get(&clock) {
            return known.clone();
        }
        let joined = marks_of(self.combined, &clock).unwrap_or_default();
        let mut places: HashMap<Mark, u64> = HashMap::new();
        for (mark, step) in joined.into_iter().zip(0..) {
            places.entry(mark).or_insert(step);
        }
        let mut starts = Vec::new();
        for (file, dataset) in self.fresh.iter().enumerate() {
            let first = marks_of(dataset, &clock).and_then(|marks| marks.first().copied());
            let place = first.and_then(|first| places.get(&first).copied());
            if let (Some(first), None) = (first, place) {
                let message = format!("its first step {} is not there", first.shown());
                self.note("times_differ", file, &clock, message);
            }
            starts.push(place);
        }
        self.starts.insert(clock, starts.clone());
        starts
    }

    /// Whether a file counts times, or bounds of times, in other units than the combined dataset.
    pub(super) fn counts_otherwise(&self, path: &str, file: usize) -> bool {
        let of_file = self.fresh.get(file).unwrap_or(self.combined);
        let both = [of_file, self.combined];
        owner_units(of_file, both, path) != owner_units(self.combined, both, path)
    }

    /// The concat coordinate of the group that a variable lies in, or of the nearest group above.
    fn clock_of(&self, path: &str) -> Option<String> {
        let folder = split(path).0;
        let above = self
            .clocks
            .iter()
            .filter(|clock| folder.starts_with(split(clock).0));
        above.max_by_key(|clock| split(clock).0.len()).cloned()
    }

    /// The combined times must increase, those of each file too, and the files be in the order of their first times.
    pub(super) fn compare_times(&mut self) {
        let Some(path) = self.clocks.first().cloned() else {
            return;
        };
        let joined = times_of(self.combined, &path).unwrap_or_default();
        if cf::check_increasing(&joined).is_some() {
            let message = String::from("the combined times do not increase");
            self.note("order", 0, &path, message);
        }
        let mut last: Option<Instant> = None;
        for (file, dataset) in self.fresh.iter().enumerate() {
            let times = times_of(dataset, &path).unwrap_or_default();
            let Some(first) = times.first().copied() else {
                continue;
            };
            if cf::check_increasing(&times).is_some() || last.is_some_and(|last| first < last) {
                let message = String::from("its times do not follow those of the files before");
                self.note("order", file, &path, message);
            }
            last = Some(first);
        }
    }
}

fn instants(units: &TimeUnits, values: &[u8], data_type: &DataType) -> Option<Vec<Instant>> {
    units.decode(&time_values(values, data_type)?).ok()
}

/// The times of an inlined coordinate.
fn times_of(dataset: &VirtualDataset, path: &str) -> Option<Vec<Instant>> {
    let array = array_at(&dataset.root, path).filter(|array| is_time(array))?;
    let values = to_little_endian(inlined_values(array)?, &array.data_type);
    instants(&units_of(array).ok()?, &values, &array.data_type)
}

/// The steps of an inlined coordinate: times, or plain numbers.
fn marks_of(dataset: &VirtualDataset, path: &str) -> Option<Vec<Mark>> {
    let array = array_at(&dataset.root, path)?;
    if is_time(array) {
        return Some(
            times_of(dataset, path)?
                .into_iter()
                .map(Mark::Time)
                .collect(),
        );
    }
    let values = to_little_endian(inlined_values(array)?, &array.data_type);
    let numbers = numbers(&values, &array.data_type)?;
    Some(numbers.into_iter().map(Mark::number).collect())
}

/// The units that a variable's values are in, its own or those of the time that it bounds in one of the datasets.
fn owner_units(
    dataset: &VirtualDataset,
    all: [&VirtualDataset; 2],
    path: &str,
) -> Option<TimeUnits> {
    let array = array_at(&dataset.root, path)?;
    if is_time(array) {
        return units_of(array).ok();
    }
    let owner = all
        .into_iter()
        .find_map(|dataset| owner_of(dataset, path))?;
    units_of(array_at(&dataset.root, &owner)?).ok()
}

/// Path of the time that a variable bounds.
fn owner_of(dataset: &VirtualDataset, path: &str) -> Option<String> {
    let (folder, name) = split(path);
    let owner = dataset.root.walk().into_iter().find(|(other, owner)| {
        let bounds = text(owner, "bounds").or_else(|| text(owner, "climatology"));
        split(other).0 == folder && bounds.map(str::trim) == Some(name) && is_time(owner)
    });
    owner.map(|(path, _)| path)
}

fn inlined_values(array: &VirtualArray) -> Option<Vec<u8>> {
    let inline = |entry| match entry {
        ChunkEntry::Inline(bytes) => Some(Some(bytes)),
        _ => None,
    };
    array
        .chunks
        .is_inline()
        .then(|| assemble(array, inline).ok())
        .flatten()
}

/// All values of an inlined array, least significant byte first, without copying those that are so already.
fn plain_bytes(array: &VirtualArray) -> Option<Bytes> {
    let plain = array.codecs.is_empty() && array.chunk_grid().iter().all(|count| *count == 1);
    match array.chunks.get(0) {
        ChunkEntry::Inline(bytes)
            if plain
                && array.chunk_shape == array.shape
                && array.data_type == array.data_type.to_little_endian() =>
        {
            Some(bytes)
        }
        _ => {
            let values = to_little_endian(inlined_values(array)?, &array.data_type);
            Some(Bytes::from(values))
        }
    }
}

/// The little-endian bytes of the steps of one file; `None` when the shapes do not go together.
fn part_of(
    combined: &VirtualArray,
    dim: &str,
    start: u64,
    fresh: &VirtualArray,
) -> Option<Vec<u8>> {
    let all = plain_bytes(combined)?;
    let Some(axis) = axis_along(combined, dim) else {
        return (combined.shape == fresh.shape).then(|| all.to_vec());
    };
    let others = |array: &VirtualArray| {
        let mut shape = array.shape.clone();
        if let Some(len) = shape.get_mut(axis) {
            *len = 0;
        }
        shape
    };
    if others(combined) != others(fresh) || combined.dimension_names != fresh.dimension_names {
        return None;
    }
    let inner = combined.shape.get(axis + 1..).and_then(product)?;
    let (total, len) = (combined.shape.get(axis)?, fresh.shape.get(axis)?);
    let outer = combined.shape.get(..axis).and_then(product)?;
    let run = |row: u64| -> Option<(u64, u64)> {
        let from = row.checked_mul(*total)?.checked_add(start)?;
        Some((from.checked_mul(inner)?, len.checked_mul(inner)?))
    };
    if combined.data_type == DataType::VlenString {
        let (all, mut own) = (strings(&all), Vec::new());
        for row in 0..outer {
            let (from, count) = run(row)?;
            own.extend_from_slice(all.get(range_of(from, count, 1)?)?);
        }
        return Some(string_chunk(&own));
    }
    let mut out = Vec::new();
    for row in 0..outer {
        let (from, count) = run(row)?;
        out.extend_from_slice(all.get(range_of(from, count, combined.data_type.size())?)?);
    }
    Some(out)
}

/// Where some elements of a size lie.
fn range_of(from: u64, count: u64, size: u64) -> Option<Range<usize>> {
    let from = from.checked_mul(size)?;
    let until = from.checked_add(count.checked_mul(size)?)?;
    Some(as_usize(from)..as_usize(until))
}
