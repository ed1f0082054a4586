//! Which steps of the combined dataset each file covers, and files that hold the same steps of a variable.

use std::collections::BTreeSet;

use super::part::Part;
use super::{Sample, Verifier};
use crate::combine::input::{length_along, split};
use crate::dataset::VirtualArray;
use crate::manifest::{ChunkEntry, SourceId};

/// The steps that one file covers.
#[derive(Debug)]
pub(super) struct Span {
    pub file: usize,
    pub start: u64,
    pub len: u64,
    /// Whether another file that holds the variable covers some of them too.
    pub is_shared: bool,
}

/// The steps of all files, in the order of the sources.
#[derive(Debug)]
pub(super) struct Spans {
    pub all: Vec<Span>,
}

impl Spans {
    /// The sources that the chunks of a variable come from, where files share steps.
    pub(super) fn givers(&self, array: &VirtualArray) -> BTreeSet<SourceId> {
        if !self.all.iter().any(|span| span.is_shared) {
            return BTreeSet::new();
        }
        let sources = array.chunks.iter().filter_map(|(_, entry)| match entry {
            ChunkEntry::Virtual { source, .. } => Some(source),
            _ => None,
        });
        sources.collect()
    }
}

impl<'a> Verifier<'a> {
    /// Where the steps of each file lie; `None`, and a note, where a file has the variable without the concat
    /// dimension.
    pub(super) fn spans(&mut self, path: &str) -> Option<Spans> {
        let starts = self.starts(path);
        let lengths = self.lengths(split(path).0);
        let (mut all, mut end) = (Vec::new(), 0u64);
        for file in 0..self.fresh.len() {
            let start = starts.get(file).copied().flatten().unwrap_or(end);
            let len = match self.fresh_array(file, path) {
                None => lengths.get(file).copied().unwrap_or(0),
                Some(fresh) => match length_along(fresh, &self.options.concat_dim) {
                    Some(len) => len,
                    None => {
                        let message = String::from("has not the concat dimension");
                        self.note("shape_differs", file, path, message);
                        return None;
                    }
                },
            };
            end = end.max(start.saturating_add(len));
            all.push(Span {
                file,
                start,
                len,
                is_shared: false,
            });
        }
        self.mark_shared(path, &mut all);
        Some(Spans { all })
    }

    fn mark_shared(&self, path: &str, all: &mut [Span]) {
        let holds = |span: &&mut Span| span.len > 0 && self.fresh_array(span.file, path).is_some();
        let mut holders: Vec<&mut Span> = all.iter_mut().filter(holds).collect();
        holders.sort_by_key(|span| span.start);
        let mut end = 0u64;
        for span in &mut holders {
            span.is_shared = span.start < end;
            end = end.max(span.start.saturating_add(span.len));
        }
        let mut next = u64::MAX;
        for span in holders.iter_mut().rev() {
            span.is_shared |= span.start.saturating_add(span.len) > next;
            next = next.min(span.start);
        }
    }

    /// A file whose values of a variable come from another file that holds it too: a sample must be equal.
    pub(super) fn compare_twin(
        &mut self,
        path: &str,
        array: &VirtualArray,
        axis: usize,
        span: &Span,
        fresh: &'a VirtualArray,
    ) {
        if self.counts_otherwise(path, span.file) {
            // The combiner compared them as instants; stored values say nothing.
            self.compare_packing(path, array, span.file, fresh, true);
            self.report.capped = true;
            return;
        }
        self.compare_packing(path, array, span.file, fresh, false);
        let part = Part::new(array, Some(axis), span.start, fresh);
        let Some(part) = part.filter(|part| part.own == part.chunk) else {
            self.report.capped = true;
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
                _ => self.report.capped = true,
            }
        }
    }

    /// Length of each file along the concat dimension as it is seen from a group.
    fn lengths(&mut self, folder: &str) -> Vec<u64> {
        if let Some(known) = self.lengths.get(folder) {
            return known.clone();
        }
        let files = 0..self.fresh.len();
        let lengths: Vec<u64> = files.map(|file| self.length_in(folder, file)).collect();
        self.lengths.insert(folder.to_owned(), lengths.clone());
        lengths
    }

    fn length_in(&self, folder: &str, file: usize) -> u64 {
        let arrays = self.fresh.get(file).map(|fresh| fresh.root.walk());
        let mut near: Vec<_> = arrays
            .unwrap_or_default()
            .into_iter()
            .filter(|(other, _)| folder.starts_with(split(other).0))
            .collect();
        near.sort_by_key(|(other, _)| std::cmp::Reverse(split(other).0.len()));
        let mut lengths = near
            .into_iter()
            .filter_map(|(_, array)| length_along(array, &self.options.concat_dim));
        lengths.next().unwrap_or(0)
    }
}
