//! Arrays without their data: metadata, and the place of every chunk.

use std::collections::BTreeSet;

use super::part::Part;
use super::{Deferred, Sample, Verifier, source_id};
use crate::combine::agree::{decode_alike, packing_value, same_value};
use crate::combine::input::axis_along;
use crate::combine::values::as_u64;
use crate::dataset::VirtualArray;
use crate::manifest::ChunkEntry;

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
        let Some(spans) = self.spans(path) else {
            return;
        };
        let givers = spans.givers(array);
        let (mut end, mut count) = (0u64, 0u64);
        for span in &spans.all {
            end = end.max(span.start.saturating_add(span.len));
            let Some(fresh) = self.fresh_array(span.file, path) else {
                continue;
            };
            if inlined {
                self.compare_inlined(path, span.file, span.start, fresh);
            } else if span.is_shared && !givers.contains(&source_id(span.file)) {
                self.compare_twin(path, array, axis, span, fresh);
            } else {
                self.compare_metadata(path, array, span.file, fresh);
                let (file, start) = (span.file, span.start);
                let own = self.compare_chunks(path, array, Some(axis), file, start, fresh);
                count = count.saturating_add(own);
            }
        }
        let last = self.fresh.len().saturating_sub(1);
        if array.shape.get(axis) != Some(&end) {
            let length = array.shape.get(axis);
            let message = format!("is {length:?} steps long, the files together {end}");
            self.note("shape_differs", last, path, message);
        }
        // Which of the files that share steps an inlined chunk is from, nothing tells.
        let inline = |(_, entry)| matches!(entry, ChunkEntry::Inline(_));
        if !inlined && !givers.is_empty() && array.chunks.iter().any(inline) {
            self.report.capped = true;
        } else if !inlined {
            self.compare_count(path, last, array, count);
        }
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
        // As readers see it: the order of a single byte is nobody's business.
        if array.data_type.to_json() != fresh.data_type.to_json() {
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
        // A concat coordinate has no missing values, and re-expressed times have lost the value that stood for them.
        let is_clock = self.clocks.iter().any(|clock| clock == path);
        for name in crate::combine::agree::PACKING.iter() {
            let (a, b) = (packing_value(array, name), packing_value(fresh, name));
            let fills =
                matches!(*name, "_FillValue" | "missing_value") && (is_clock || a.is_none());
            if timed && (fills || *name == "units") {
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
            self.sample(Sample {
                path: path.to_owned(),
                file,
                range: *range,
                is_cut,
                twin: None,
            });
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
