//! Which steps of the combined dataset each file covers, and files that hold the same steps of a variable.

use super::part::Part;
use super::tally::Doubt;
use super::{Sample, Verifier};
use crate::combine::input::{length_along, split};
use crate::dataset::VirtualArray;
use crate::manifest::ChunkEntry;

/// The steps that one file covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub file: usize,
    pub start: u64,
    pub len: u64,
}

impl<'p> Verifier<'p, '_> {
    /// Where the steps of a file lie; `None`, and a note, where it has the variable without the concat dimension.
    pub(super) fn span(&mut self, path: &str, file: usize) -> Option<Span> {
        let start = self.start(path, file);
        let fresh = self.fresh_array(file, path);
        let len = match fresh {
            None => self.length_in(split(path).0, file),
            Some(fresh) => match length_along(fresh, &self.proof.options.concat_dim) {
                Some(len) => len,
                None => {
                    let message = String::from("has not the concat dimension");
                    self.note("shape_differs", file, path, message);
                    return None;
                }
            },
        };
        let tally = self.proof.tally(path);
        let start = start.unwrap_or(tally.end);
        let span = Span { file, start, len };
        tally.end = tally.end.max(start.saturating_add(len));
        if fresh.is_some() && len > 0 {
            tally.spans.push(span);
        }
        Some(span)
    }

    /// A file that no chunk of the variable comes from: it has none, or the values come from another file with the
    /// same steps. Whether there is one is known when all files have been seen.
    pub(super) fn compare_other(
        &mut self,
        path: &str,
        array: &VirtualArray,
        axis: usize,
        span: Span,
        fresh: &'p VirtualArray,
    ) {
        let before = std::mem::take(&mut self.proof.mismatches);
        let compared = self.proof.report.chunks_compared;
        let count = self.compare_own(path, array, axis, &span, fresh);
        let found = std::mem::replace(&mut self.proof.mismatches, before);
        if count == 0 && found.is_empty() {
            return;
        }
        self.proof.report.chunks_compared = compared;
        self.compare_twin(path, array, axis, &span, fresh);
        let file = span.file;
        self.proof
            .tally(path)
            .doubts
            .push(Doubt { file, found, count });
    }

    /// A file whose values of a variable come from another file that holds it too: a sample must be equal.
    pub(super) fn compare_twin(
        &mut self,
        path: &str,
        array: &VirtualArray,
        axis: usize,
        span: &Span,
        fresh: &'p VirtualArray,
    ) {
        if self.counts_otherwise(path, span.file) {
            // The combiner compared them as instants; stored values say nothing.
            self.compare_packing(path, array, span.file, fresh, true);
            self.proof.report.capped = true;
            return;
        }
        self.compare_packing(path, array, span.file, fresh, false);
        let part = Part::new(array, Some(axis), span.start, fresh);
        let Some(part) = part.filter(|part| part.own == part.chunk) else {
            self.proof.report.capped = true;
            return;
        };
        for number in part.sampled_numbers() {
            let entry = fresh.chunks.get(number);
            let place = part
                .pieces(number, &entry, span.file)
                .first()
                .map(|piece| piece.0);
            match (entry, place.map(|place| array.chunks.get(place))) {
                (
                    ChunkEntry::Virtual { range, .. },
                    Some(ChunkEntry::Virtual {
                        source,
                        range: theirs,
                    }),
                ) => self.sample(Sample {
                    path: path.to_owned(),
                    file: span.file,
                    range,
                    is_cut: false,
                    twin: usize::try_from(source.0).ok().map(|file| (file, theirs)),
                }),
                (ChunkEntry::Missing, Some(ChunkEntry::Missing)) => {}
                _ => self.proof.report.capped = true,
            }
        }
    }

    /// Length of a file along the concat dimension as it is seen from a group.
    fn length_in(&self, folder: &str, file: usize) -> u64 {
        let arrays = self.fresh(file).map(|fresh| fresh.root.walk());
        let mut near: Vec<_> = arrays
            .unwrap_or_default()
            .into_iter()
            .filter(|(other, _)| folder.starts_with(split(other).0))
            .collect();
        near.sort_by_key(|(other, _)| std::cmp::Reverse(split(other).0.len()));
        let mut lengths = near
            .into_iter()
            .filter_map(|(_, array)| length_along(array, &self.proof.options.concat_dim));
        lengths.next().unwrap_or(0)
    }
}
