//! Values that stand in the combined dataset: times as instants, everything else bit for bit.

use std::ops::Range;

use bytes::Bytes;

use super::arrays::is_whole_inline;
use super::steps::Steps;
use super::{Fresh, Verifier};
use crate::cf::{self, Instant, TimeUnits};
use crate::combine::input::{array_at, axis_along, clock_above, split, text};
use crate::combine::time::{is_time, time_values, units_of};
use crate::combine::timeline::Mark;
use crate::combine::values::{
    as_usize, assemble, numbers, string_chunk, strings, to_little_endian,
};
use crate::dataset::{VirtualArray, VirtualDataset, product};
use crate::manifest::ChunkEntry;
use crate::zarr::DataType;

impl Verifier<'_> {
    /// Compares the values of one file with the part of the reference's inlined variable that begins at `start`.
    pub(super) fn compare_values(
        &mut self,
        path: &str,
        file: Fresh<'_>,
        start: u64,
        fresh: &VirtualArray,
        values: &[u8],
    ) {
        let Some(combined) = self.arrays.get(path).copied() else {
            return;
        };
        match part_of(combined, &self.options.concat_dim, start, fresh) {
            Some(part) => self.compare_part(path, file, fresh, &part, values),
            None => {
                let message = format!("has shape {:?}, the file {:?}", combined.shape, fresh.shape);
                self.note("shape_differs", file.at, path, message);
            }
        }
    }

    /// Compares the values of one file with those of the reference for the same steps, all little-endian.
    pub(super) fn compare_part(
        &mut self,
        path: &str,
        file: Fresh<'_>,
        fresh: &VirtualArray,
        part: &[u8],
        values: &[u8],
    ) {
        let Some(combined) = self.arrays.get(path).copied() else {
            return;
        };
        // Bounds that a file does not name as such are what the others say.
        let both = [file.dataset, self.combined];
        let units = owner_units(self.combined, both, path);
        let units = units.zip(owner_units(file.dataset, both, path));
        self.compare_packing(path, combined, file, fresh, units.is_some());
        if let Some((ours, theirs)) = units {
            let ours = instants(&ours, part, &combined.data_type);
            let theirs = instants(&theirs, values, &fresh.data_type);
            // Values that are no times at all, such as fills, can only be compared as they stand.
            let same = match (&ours, &theirs) {
                (Some(ours), Some(theirs)) => ours == theirs,
                _ => part == values,
            };
            if !same {
                let message = times_apart(ours.as_deref(), theirs.as_deref());
                self.note("times_differ", file.at, path, message);
            }
        } else if combined.data_type.to_little_endian() != fresh.data_type.to_little_endian() {
            let (ours, theirs) = (combined.data_type.name(), fresh.data_type.name());
            let message = format!("is {ours}, in the file {theirs}");
            self.note("dtype_mismatch", file.at, path, message);
        } else if part != values && !(fresh.is_empty() && strings(part).is_empty()) {
            let message = String::from("its values are not those of the file");
            self.note("values_differ", file.at, path, message);
        }
    }

    /// Finds the reference's concat coordinates and their steps.
    pub(super) fn find_clocks(&mut self) {
        for path in &self.clocks {
            let Some(array) = self.arrays.get(path).filter(|array| is_whole_inline(array)) else {
                continue;
            };
            let steps = steps_of(array);
            if steps.is_known() {
                self.steps.insert(path.clone(), steps);
            }
        }
    }

    /// The step at which a mark stands.
    pub(super) fn place_of(&self, clock: &str, mark: Mark) -> Option<u64> {
        self.steps.get(clock)?.place(mark)
    }

    /// The concat coordinate that tells the steps of a variable.
    ///
    /// It is the one of the group that the variable lies in, or of the nearest group above.
    pub(super) fn clock_of(&self, path: &str) -> Option<String> {
        clock_above(&self.clocks, String::as_str, path).cloned()
    }

    /// Whether a file counts times, or bounds of times, in other units than the combined dataset.
    pub(super) fn counts_otherwise(&self, path: &str, file: Fresh<'_>) -> bool {
        let both = [file.dataset, self.combined];
        owner_units(file.dataset, both, path) != owner_units(self.combined, both, path)
    }

    /// The combined times must increase; those of one file are as it has them.
    pub(super) fn check_clock(&mut self) {
        if self.combined.sources.len() < 2 {
            return;
        }
        let Some(path) = self.clocks.first().cloned() else {
            return;
        };
        if self.steps.get(&path).is_some_and(Steps::is_disordered) {
            let message = String::from("the combined times do not increase");
            self.note("order", 0, &path, message);
        }
    }

    /// The times of each file must increase, and the files be in the order of their first times.
    pub(super) fn compare_order(&mut self, file: Fresh<'_>) {
        if self.combined.sources.len() < 2 {
            return;
        }
        let Some(path) = self.clocks.first().cloned() else {
            return;
        };
        let times = times_of(file.dataset, &path).unwrap_or_default();
        let Some(first) = times.first().copied() else {
            return;
        };
        let is_late = self.last.is_some_and(|last| first < last);
        if cf::check_increasing(&times).is_some() || is_late {
            let message = String::from("its times do not follow those of the files before");
            self.note("order", file.at, &path, message);
        }
        self.last = Some(first);
    }
}

/// The steps of an inlined coordinate.
fn steps_of(array: &VirtualArray) -> Steps {
    let Some(values) = plain_bytes(array) else {
        return Steps::Unknown;
    };
    match units_of(array) {
        Ok(units) if is_time(array) => Steps::times(&units, &values, &array.data_type),
        _ if is_time(array) => Steps::Unknown,
        _ => Steps::numbers(&values, &array.data_type),
    }
}

/// The first two times that differ.
fn times_apart(ours: Option<&[Instant]>, theirs: Option<&[Instant]>) -> String {
    let pairs = ours
        .unwrap_or_default()
        .iter()
        .zip(theirs.unwrap_or_default());
    let mut apart = pairs.filter(|(ours, theirs)| ours != theirs);
    match apart.next() {
        Some((ours, theirs)) => format!(
            "its times are not those of the file: {} ({}), in the file {} ({})",
            ours.date_time().to_iso(),
            ours.calendar().name(),
            theirs.date_time().to_iso(),
            theirs.calendar().name()
        ),
        None => String::from("its times are not those of the file"),
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
pub(super) fn marks_of(dataset: &VirtualDataset, path: &str) -> Option<Vec<Mark>> {
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
pub(super) fn plain_bytes(array: &VirtualArray) -> Option<Bytes> {
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
