//! Values that stand in the combined dataset: times as instants, everything else bit for bit.

use std::ops::Range;

use bytes::Bytes;

use super::steps::Steps;
use super::{Proof, Verifier};
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

impl Verifier<'_, '_> {
    /// Compares the values of one file with the part of the combined variable that begins at `start`.
    pub(super) fn compare_values(
        &mut self,
        path: &str,
        file: usize,
        start: u64,
        fresh: &VirtualArray,
        values: &[u8],
    ) {
        let Some(combined) = array_at(&self.proof.combined.root, path) else {
            return;
        };
        let Some(part) = part_of(combined, &self.proof.options.concat_dim, start, fresh) else {
            let message = format!("has shape {:?}, the file {:?}", combined.shape, fresh.shape);
            return self.note("shape_differs", file, path, message);
        };
        let of_file = self.fresh(file).unwrap_or(self.proof.combined);
        // Bounds that a file does not name as such are what the others say.
        let both = [of_file, self.proof.combined];
        let fresh_units = owner_units(of_file, both, path);
        let combined_units = owner_units(self.proof.combined, both, path);
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

    /// The first step of a file where `path` lies, by its first time; `None` for one without times.
    pub(super) fn start(&mut self, path: &str, file: usize) -> Option<u64> {
        let clock = self.clock_of(path)?;
        if !self.starts.contains_key(&clock) {
            let starts = self.starts_on(&clock);
            self.starts.insert(clock.clone(), starts);
        }
        let place = file.checked_sub(self.first)?;
        self.starts.get(&clock)?.get(place).copied().flatten()
    }

    /// The first step of each of the files on a clock.
    fn starts_on(&mut self, clock: &str) -> Vec<Option<u64>> {
        let (combined, mut starts) = (self.proof.combined, Vec::new());
        for (file, dataset) in self.numbers().zip(self.fresh) {
            let first = marks_of(dataset, clock).and_then(|marks| marks.first().copied());
            let steps = self.proof.steps.entry(clock.to_owned());
            let steps = steps.or_insert_with(|| steps_of(combined, clock));
            let place = first.and_then(|first| steps.place(first));
            if let (Some(first), None) = (first, place) {
                let message = format!("its first step {} is not there", first.shown());
                self.note("times_differ", file, clock, message);
            }
            starts.push(place);
        }
        starts
    }

    /// Whether a file counts times, or bounds of times, in other units than the combined dataset.
    pub(super) fn counts_otherwise(&self, path: &str, file: usize) -> bool {
        let of_file = self.fresh(file).unwrap_or(self.proof.combined);
        let both = [of_file, self.proof.combined];
        owner_units(of_file, both, path) != owner_units(self.proof.combined, both, path)
    }

    /// The concat coordinate of the group that a variable lies in, or of the nearest group above.
    fn clock_of(&self, path: &str) -> Option<String> {
        let folder = split(path).0;
        let clocks = self.proof.clocks.iter();
        let above = clocks.filter(|clock| folder.starts_with(split(clock).0));
        above.max_by_key(|clock| split(clock).0.len()).cloned()
    }

    /// The times of each file must increase, and the files be in the order of their first times.
    pub(super) fn compare_times(&mut self) {
        let Some(path) = self.proof.clocks.first().cloned() else {
            return;
        };
        for (file, dataset) in self.numbers().zip(self.fresh) {
            let times = times_of(dataset, &path).unwrap_or_default();
            let Some(first) = times.first().copied() else {
                continue;
            };
            let last = self.proof.last.replace(first);
            if cf::check_increasing(&times).is_some() || last.is_some_and(|last| first < last) {
                let message = String::from("its times do not follow those of the files before");
                self.note("order", file, &path, message);
            }
        }
    }
}

impl Proof<'_> {
    /// The combined times must increase.
    pub(super) fn compare_order(&mut self) {
        let Some(path) = self.clocks.first().cloned() else {
            return;
        };
        let steps = steps_of(self.combined, &path);
        if steps.is_disordered() {
            let message = String::from("the combined times do not increase");
            self.note("order", 0, &path, message);
        }
        if steps.is_known() {
            self.steps.insert(path, steps);
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

/// The steps of a joined coordinate.
fn steps_of(dataset: &VirtualDataset, path: &str) -> Steps {
    let found = array_at(&dataset.root, path).and_then(|array| Some((array, plain_bytes(array)?)));
    let Some((array, values)) = found else {
        return Steps::Unknown;
    };
    match units_of(array) {
        Ok(units) if is_time(array) => Steps::times(&units, &values, &array.data_type),
        _ if is_time(array) => Steps::Unknown,
        _ => Steps::numbers(&values, &array.data_type),
    }
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
