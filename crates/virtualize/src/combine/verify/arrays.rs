//! Arrays without their data: metadata, and the place of every chunk.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::part::{Part, region};
use super::runs::runs_of;
use super::sample::{Sample, What};
use super::{Fresh, Verifier, source_id};
use crate::combine::agree::{decode_alike, packing_value, same_value};
use crate::combine::input::axis_along;
use crate::combine::values::as_u64;
use crate::dataset::VirtualArray;
use crate::decode::ByteRange;
use crate::manifest::{ChunkEntry, SourceId};

/// Values that are compared as a whole are at most this large.
const WHOLE_LIMIT: u64 = 32 << 20;
/// Beyond so many mismatches the chunks of a variable are not compared any further.
const ENOUGH: usize = 1000;

/// The part of a variable that one file gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'f> {
    pub file: Fresh<'f>,
    pub fresh: &'f VirtualArray,
    pub axis: Option<usize>,
    pub start: u64,
}

impl Verifier<'_> {
    /// Compares one variable of the reference with a source.
    pub(super) fn compare_variable(
        &mut self,
        path: &str,
        array: &VirtualArray,
        file: Fresh<'_>,
        sample: &mut Sample,
    ) {
        if file.array(path).is_some() && !self.found.contains(path) {
            self.found.insert(path.to_owned());
        }
        match axis_along(array, &self.options.concat_dim) {
            Some(axis) => self.compare_along(path, array, axis, file, sample),
            None => self.compare_still(path, array, file, sample),
        }
    }

    /// A variable that the reference has from the first file that holds it.
    fn compare_still(
        &mut self,
        path: &str,
        array: &VirtualArray,
        file: Fresh<'_>,
        sample: &mut Sample,
    ) {
        let Some(fresh) = file.array(path).filter(|_| !self.still.contains_key(path)) else {
            return;
        };
        self.still.insert(path.to_owned(), file.at);
        if array.shape != fresh.shape || array.dimension_names != fresh.dimension_names {
            let message = format!("has shape {:?}, the file {:?}", array.shape, fresh.shape);
            return self.note("shape_differs", file.at, path, message);
        }
        let place = Place {
            file,
            fresh,
            axis: None,
            start: 0,
        };
        if array.chunks.is_inline() && !array.is_empty() {
            return self.compare_inlined(path, &place, sample);
        }
        let count = self.compare_virtual(path, array, &place, sample);
        let tally = self.tally(path);
        tally.chunks = tally.chunks.saturating_add(count);
    }

    /// A variable along the concat dimension: each file's part lies where its first time stands, and where there is
    /// no time, behind the lengths of the files before it.
    fn compare_along(
        &mut self,
        path: &str,
        array: &VirtualArray,
        axis: usize,
        file: Fresh<'_>,
        sample: &mut Sample,
    ) {
        let Some(start) = self.start_of(path, file) else {
            return;
        };
        let Some(fresh) = file.array(path) else {
            return;
        };
        let place = Place {
            file,
            fresh,
            axis: Some(axis),
            start,
        };
        if is_whole_inline(array) {
            self.compare_inlined(path, &place, sample);
        } else if self.is_giver(path, array, file.at) || fresh.chunks.is_inline() {
            let count = self.compare_virtual(path, array, &place, sample);
            let tally = self.tally(path);
            tally.chunks = tally.chunks.saturating_add(count);
        } else {
            self.compare_twin(path, array, &place, sample);
        }
    }

    /// Metadata and chunks of a variable that stays in its files; answers how many of its chunks these are.
    fn compare_virtual(
        &mut self,
        path: &str,
        array: &VirtualArray,
        place: &Place<'_>,
        sample: &mut Sample,
    ) -> u64 {
        let fresh = place.fresh;
        let part = Part::new(array, place.axis, place.start, fresh);
        let alike = decode_alike(&array.codecs, &fresh.codecs) && same_type(array, fresh);
        let is_inlined = fresh.chunks.is_inline() && !fresh.chunks.is_empty();
        if is_inlined && !(alike && part.is_some()) {
            self.compare_packing(path, array, place.file, fresh, false);
            return self.compare_whole(path, array, place, sample);
        }
        self.compare_metadata(path, array, place);
        match part {
            Some(part) => self.compare_chunks(path, array, place, &part, sample),
            None => self.compare_otherwise(path, array, place, sample),
        }
    }

    /// What decoding depends on.
    fn compare_metadata(&mut self, path: &str, array: &VirtualArray, place: &Place<'_>) {
        let fresh = place.fresh;
        if !same_type(array, fresh) {
            let (ours, theirs) = (array.data_type.to_json(), fresh.data_type.to_json());
            let message = format!("is {ours}, in the file {theirs}");
            self.note("dtype_mismatch", place.file.at, path, message);
        }
        if !decode_alike(&array.codecs, &fresh.codecs) {
            let (ours, theirs) = (&array.codecs, &fresh.codecs);
            let message = format!("has the codecs {ours:?}, in the file {theirs:?}");
            self.note("codec_mismatch", place.file.at, path, message);
        }
        self.compare_packing(path, array, place.file, fresh, false);
    }

    /// Attributes that change what values mean; the units of what counts time are compared as instants.
    pub(super) fn compare_packing(
        &mut self,
        path: &str,
        array: &VirtualArray,
        file: Fresh<'_>,
        fresh: &VirtualArray,
        timed: bool,
    ) {
        // A concat coordinate has no missing values, and re-expressed times have lost the value that stood for them.
        let is_clock = self.clocks.iter().any(|clock| clock == path);
        for name in crate::combine::agree::PACKING.iter() {
            let (a, b) = (packing_value(array, name), packing_value(fresh, name));
            let fills =
                matches!(*name, "_FillValue" | "missing_value") && (is_clock || a.is_none());
            // Other programs write the fill value of the format where the file declares none.
            let foreign = self.options.is_foreign && *name == "_FillValue" && b.is_none();
            if timed && (fills || *name == "units") || foreign {
                continue;
            }
            let spelled = *name == "units"
                && crate::combine::time::is_time(array)
                && same_units(array, fresh);
            if !same_value(a.as_ref(), b.as_ref()) && !spelled {
                let shown = |value: Option<serde_json::Value>| {
                    value.map_or(String::from("absent"), |v| v.to_string())
                };
                let message = format!("{name} is {}, in the file {}", shown(a), shown(b));
                self.note("packing_mismatch", file.at, path, message);
            }
        }
    }

    /// The place of every chunk of one file; answers how many chunks of the reference's array they are.
    fn compare_chunks(
        &mut self,
        path: &str,
        array: &VirtualArray,
        place: &Place<'_>,
        part: &Part<'_>,
        sample: &mut Sample,
    ) -> u64 {
        let file = place.file.at;
        let shared: Arc<str> = Arc::from(path);
        let ends = part.sampled_numbers();
        let is_cut = part.own != part.chunk;
        let (mut count, mut elsewhere) = (0u64, false);
        for (number, entry) in place.fresh.chunks.iter() {
            let pieces = part.pieces(number, &entry, file);
            let last = pieces.len().saturating_sub(1);
            for (at, (own_number, expected)) in pieces.iter().enumerate() {
                count = count.saturating_add(1);
                let is_end = ends.contains(&number) && (at == 0 || at == last);
                let actual = array.chunks.get(*own_number);
                match (&actual, expected) {
                    (ChunkEntry::Virtual { range, .. }, expected) if actual == *expected => {
                        if is_end || self.options.every_chunk {
                            let what = What::Decoded {
                                range: *range,
                                is_cut,
                                twin: None,
                            };
                            self.sample(sample, &shared, what);
                        }
                    }
                    (actual, expected) if actual == expected => {}
                    (ChunkEntry::Virtual { .. }, ChunkEntry::Inline(_))
                    | (ChunkEntry::Inline(_), ChunkEntry::Virtual { .. }) => elsewhere = true,
                    (actual, expected) => {
                        self.note_moved(path, array, *own_number, actual, expected, file);
                    }
                }
            }
            if self.report.mismatches > ENOUGH {
                break;
            }
        }
        if elsewhere {
            self.compare_whole(path, array, place, sample);
        }
        self.report.chunks_compared = self.report.chunks_compared.saturating_add(count);
        count
    }

    fn note_moved(
        &mut self,
        path: &str,
        array: &VirtualArray,
        number: u64,
        actual: &ChunkEntry,
        expected: &ChunkEntry,
        file: usize,
    ) {
        let key = crate::zarr::chunk_key(&array.chunk_grid(), number);
        let (ours, theirs) = (self.shown(actual), self.shown(expected));
        let message = format!("chunk {key} is {ours}, in the file {theirs}");
        self.note("chunk_moved", file, path, message);
    }

    fn shown(&self, entry: &ChunkEntry) -> String {
        match entry {
            ChunkEntry::Missing => String::from("missing"),
            ChunkEntry::Inline(bytes) => format!("{} bytes inlined", bytes.len()),
            ChunkEntry::Virtual { source, range } => {
                let file = self.combined.source(*source);
                let file = file.map(|source| crate::combine::input::base_name(&source.url));
                let file = file.unwrap_or_else(|| format!("source {}", source.0));
                format!("{} bytes at {} of {file}", range.len, range.start)
            }
        }
    }

    /// Chunks that cannot be those of the file: stretches of plain data may be cut in another way, and small variables
    /// have the same values all the same. Answers how many chunks of the reference's array are compared by that.
    fn compare_otherwise(
        &mut self,
        path: &str,
        array: &VirtualArray,
        place: &Place<'_>,
        sample: &mut Sample,
    ) -> u64 {
        let part = self.part_at(array, place);
        let runs = part.as_ref().and_then(runs_of).zip(runs_of(place.fresh));
        if let (Some(part), Some((ours, theirs))) = (&part, runs) {
            let own = |run: &super::runs::Run| super::runs::Run {
                source: source_id(place.file.at),
                ..*run
            };
            if ours == theirs.iter().map(own).collect::<Vec<_>>() {
                let count = as_u64(part.chunks.len());
                self.report.chunks_compared = self.report.chunks_compared.saturating_add(count);
                self.sample_ends(path, part, sample);
                return count;
            }
            let message = String::from("its bytes lie elsewhere in the file");
            self.note("chunk_moved", place.file.at, path, message);
            return 0;
        }
        if part.is_none() || !self.options.is_foreign {
            let message = format!(
                "chunks {:?} at step {} do not fit the file's chunks {:?}",
                array.chunk_shape, place.start, place.fresh.chunk_shape
            );
            self.note("chunk_grid", place.file.at, path, message);
            return 0;
        }
        self.compare_whole(path, array, place, sample)
    }

    /// First and last chunk of plain data, whose size is all that can be wrong.
    fn sample_ends(&mut self, path: &str, part: &VirtualArray, sample: &mut Sample) {
        let shared: Arc<str> = Arc::from(path);
        let ranges = part.chunks.iter().filter_map(|(_, entry)| match entry {
            ChunkEntry::Virtual { range, .. } => Some(range),
            _ => None,
        });
        let ranges: Vec<ByteRange> = ranges.collect();
        let last = ranges.len().saturating_sub(1);
        for (at, range) in ranges.into_iter().enumerate() {
            if at == 0 || at == last || self.options.every_chunk {
                let what = What::Decoded {
                    range,
                    is_cut: true,
                    twin: None,
                };
                self.sample(sample, &shared, what);
            }
        }
    }

    /// All values of a file's part, read through both metadata; answers how many chunks of the reference they are in.
    fn compare_whole(
        &mut self,
        path: &str,
        array: &VirtualArray,
        place: &Place<'_>,
        sample: &mut Sample,
    ) -> u64 {
        let Some(part) = self.part_at(array, place) else {
            let message = format!(
                "its shape {:?} has no place for the file's {:?} at step {}",
                array.shape, place.fresh.shape, place.start
            );
            self.note("shape_differs", place.file.at, path, message);
            return 0;
        };
        let count = as_u64(part.chunks.len());
        if place.fresh.nbytes().is_none_or(|bytes| bytes > WHOLE_LIMIT) {
            self.report.not_compared.insert(path.to_owned());
            return count;
        }
        let theirs = virtual_ranges(place.fresh, Some(place.file.at));
        let ranges: BTreeSet<_> = virtual_ranges(&part, None).chain(theirs).collect();
        let what = What::Whole {
            start: place.start,
            part: Some(Box::new(part)),
            ranges,
        };
        self.sample(sample, &Arc::from(path), what);
        count
    }

    /// The part of the reference's array that a file gives, as an array of its own.
    fn part_at(&self, array: &VirtualArray, place: &Place<'_>) -> Option<VirtualArray> {
        region(array, place.axis, place.start, &place.fresh.shape)
    }

    /// Values that stand in the reference, now or when the source has been read.
    pub(super) fn compare_inlined(&mut self, path: &str, place: &Place<'_>, sample: &mut Sample) {
        let fresh = place.fresh;
        let inline = |entry| match entry {
            ChunkEntry::Inline(bytes) => Some(Some(bytes)),
            _ => Some(None),
        };
        if fresh.chunks.is_inline() {
            match crate::combine::values::assemble(fresh, inline) {
                Ok(values) => {
                    let values = crate::combine::values::to_little_endian(values, &fresh.data_type);
                    self.compare_values(path, place.file, place.start, fresh, &values);
                }
                Err(error) => {
                    let message = format!("cannot be decoded: {error}");
                    self.note("chunk_damaged", place.file.at, path, message);
                }
            }
        } else if fresh.nbytes().is_some_and(|bytes| bytes <= WHOLE_LIMIT) {
            let what = What::Whole {
                start: place.start,
                part: None,
                ranges: virtual_ranges(fresh, Some(place.file.at)).collect(),
            };
            self.sample(sample, &Arc::from(path), what);
        } else {
            self.report.not_compared.insert(path.to_owned());
        }
    }
}

fn virtual_ranges(
    array: &VirtualArray,
    file: Option<usize>,
) -> impl Iterator<Item = (SourceId, ByteRange)> {
    array
        .chunks
        .iter()
        .filter_map(move |(_, entry)| match entry {
            ChunkEntry::Virtual { source, range } => Some((file.map_or(source, source_id), range)),
            _ => None,
        })
}

/// As readers see it: the order of a single byte is nobody's business, nor is that of numbers that a file has none of,
/// which is what an inlined coordinate without steps makes of it.
fn same_type(array: &VirtualArray, fresh: &VirtualArray) -> bool {
    let (ours, theirs) = (&array.data_type, &fresh.data_type);
    let alike = ours == theirs || ours.to_json() == theirs.to_json();
    alike || fresh.is_empty() && ours.to_little_endian() == theirs.to_little_endian()
}

fn same_units(a: &VirtualArray, b: &VirtualArray) -> bool {
    use crate::combine::time::units_of;
    matches!((units_of(a), units_of(b)), (Ok(a), Ok(b)) if a == b)
}

/// Whether an array is one inlined chunk.
pub(super) fn is_whole_inline(array: &VirtualArray) -> bool {
    let whole = array.chunk_grid().iter().all(|count| *count <= 1);
    whole && array.chunks.is_inline() && !array.chunks.is_empty()
}
