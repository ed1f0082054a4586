//! Which steps of the reference each file covers, and files that hold the same steps of a variable.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::arrays::Place;
use super::part::Part;
use super::sample::{Sample, What};
use super::{Fresh, Spans, Twin, Verifier, source_id};
use crate::combine::input::{length_along, split};
use crate::combine::values::as_u64;
use crate::dataset::{VirtualArray, VirtualDataset};
use crate::manifest::ChunkEntry;

impl Verifier<'_> {
    /// The step at which a file's part of a variable begins; `None`, and a note, where it has the variable without the
    /// concat dimension.
    pub(super) fn start_of(&mut self, path: &str, file: Fresh<'_>) -> Option<u64> {
        let clock = self.clock_of(path);
        let spans = self.spans.get(file.at).and_then(Option::as_ref);
        let span = clock.and_then(|clock| spans?.get(&clock).copied());
        let len = match file.array(path) {
            None => length_in(file.dataset, split(path).0, &self.options.concat_dim),
            Some(fresh) => match length_along(fresh, &self.options.concat_dim) {
                Some(len) => len,
                None => {
                    let message = String::from("has not the concat dimension");
                    self.note("shape_differs", file.at, path, message);
                    return None;
                }
            },
        };
        let holds = len > 0 && file.array(path).is_some();
        let tally = self.tally(path);
        let start = span.map_or(tally.end, |(_, start, _)| start);
        tally.shared |= holds && start < tally.end;
        tally.end = tally.end.max(start.saturating_add(len));
        Some(start)
    }

    /// Whether chunks of a variable come from a file.
    pub(super) fn is_giver(&mut self, path: &str, array: &VirtualArray, file: usize) -> bool {
        let tally = self.tally(path);
        let givers = tally
            .givers
            .get_or_insert_with(|| array.chunks.source_ids());
        givers.contains(&source_id(file))
    }

    /// A file whose values of a variable come from another file that holds it too: a sample must be equal.
    pub(super) fn compare_twin(
        &mut self,
        path: &str,
        array: &VirtualArray,
        place: &Place<'_>,
        sample: &mut Sample,
    ) {
        let (file, fresh) = (place.file, place.fresh);
        if self.counts_otherwise(path, file) {
            // The combiner compared them as instants; stored values say nothing.
            self.compare_packing(path, array, file, fresh, true);
            self.report.not_compared.insert(path.to_owned());
            return;
        }
        self.compare_packing(path, array, file, fresh, false);
        let part = Part::new(array, place.axis, place.start, fresh);
        let Some(part) = part.filter(|part| part.own == part.chunk) else {
            self.report.not_compared.insert(path.to_owned());
            return;
        };
        let shared: Arc<str> = Arc::from(path);
        for number in part.sampled_numbers() {
            let entry = fresh.chunks.get(number);
            let pieces = part.pieces(number, &entry, file.at);
            let Some((own_number, expected)) = pieces.first() else {
                continue;
            };
            match (&entry, array.chunks.get(*own_number)) {
                (ChunkEntry::Virtual { range, .. }, ChunkEntry::Virtual { source, range: own }) => {
                    let giver = usize::try_from(source.0).unwrap_or(usize::MAX);
                    self.twins.push(Twin {
                        path: path.to_owned(),
                        file: file.at,
                        giver,
                        step: place.start,
                    });
                    let what = What::Decoded {
                        range: *range,
                        is_cut: false,
                        twin: Some((giver, own)),
                    };
                    self.sample(sample, &shared, what);
                }
                (ChunkEntry::Missing, ChunkEntry::Missing) => {}
                (_, actual) => {
                    let key = crate::zarr::chunk_key(&array.chunk_grid(), *own_number);
                    let message = format!("chunk {key} is {actual:?}, in the file {expected:?}");
                    self.note("chunk_moved", file.at, path, message);
                }
            }
        }
    }

    /// What only shows when all files have been seen.
    pub(super) fn check_totals(&mut self) {
        let last = self.spans.len().saturating_sub(1);
        if self.spans.len() != self.combined.sources.len() {
            let message = format!(
                "{} sources, {} files were decoded",
                self.combined.sources.len(),
                self.spans.len()
            );
            self.note("sources_differ", 0, "", message);
        }
        for (path, array) in self.arrays.clone() {
            if !self.found.contains(&path) {
                let message = String::from("is in no source");
                self.note("variable_unknown", 0, &path, message);
                continue;
            }
            let axis = crate::combine::input::axis_along(array, &self.options.concat_dim);
            let tally = self.tally(&path);
            let (end, count, shared) = (tally.end, tally.chunks, tally.shared);
            let length = axis.and_then(|axis| array.shape.get(axis).copied());
            if let Some(length) = length.filter(|length| *length != end) {
                let message = format!("is {length} steps long, the files together {end}");
                self.note("shape_differs", last, &path, message);
            }
            let has = as_u64(array.chunks.len());
            let is_inlined = match axis {
                Some(_) => super::arrays::is_whole_inline(array),
                None => array.chunks.is_inline() && !array.is_empty(),
            };
            // Which of the files that share steps an inlined chunk is from, nothing tells.
            let inline = |(_, entry)| matches!(entry, ChunkEntry::Inline(_));
            if !is_inlined && shared && array.chunks.iter().any(inline) {
                self.report.not_compared.insert(path);
            } else if !is_inlined && has != count {
                let message = format!("has {has} chunks, the files together {count}");
                self.note("chunk_count", last, &path, message);
            }
        }
        for twin in std::mem::take(&mut self.twins) {
            self.check_twin(&twin);
        }
    }

    /// The file that gives a step for another one must have that step.
    fn check_twin(&mut self, twin: &Twin) {
        let clock = self.clock_of(&twin.path);
        let spans = self.spans.get(twin.giver).and_then(Option::as_ref);
        let Some((clock, spans)) = clock.zip(spans) else {
            return;
        };
        let covers = spans.get(&clock).is_some_and(|(_, start, len)| {
            (*start..start.saturating_add(*len)).contains(&twin.step)
        });
        if !covers {
            let giver = self.combined.sources.get(twin.giver);
            let giver = giver.map(|source| crate::combine::input::base_name(&source.url));
            let message = format!(
                "its steps are taken from {}, which has others",
                giver.unwrap_or_default()
            );
            self.note("chunk_moved", twin.file, &twin.path, message);
        }
    }

    /// The steps of a file on every concat coordinate of the reference.
    pub(super) fn spans_of(&mut self, file: Fresh<'_>) -> Spans {
        let mut spans = BTreeMap::new();
        let clocks: Vec<String> = self.steps.keys().cloned().collect();
        for clock in clocks {
            let marks = super::times::marks_of(file.dataset, &clock).unwrap_or_default();
            let Some(first) = marks.first().copied() else {
                continue;
            };
            match self.place_of(&clock, first) {
                Some(start) => drop(spans.insert(clock, (first, start, as_u64(marks.len())))),
                None => {
                    let message = format!("its first step {} is not there", first.shown());
                    self.note("times_differ", file.at, &clock, message);
                }
            }
        }
        spans
    }
}

/// Length of a file along the concat dimension as it is seen from a group.
fn length_in(dataset: &VirtualDataset, folder: &str, dim: &str) -> u64 {
    let arrays = dataset.root.walk().into_iter();
    let mut near: Vec<_> = arrays
        .filter(|(other, _)| folder.starts_with(split(other).0))
        .collect();
    near.sort_by_key(|(other, _)| std::cmp::Reverse(split(other).0.len()));
    let mut lengths = near
        .into_iter()
        .filter_map(|(_, array)| length_along(array, dim));
    lengths.next().unwrap_or(0)
}
