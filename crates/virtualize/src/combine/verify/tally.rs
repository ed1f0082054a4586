//! What the files together must have of each variable, counted file by file.

use std::collections::{BTreeMap, BTreeSet};

use super::arrays::is_whole_inline;
use super::spans::Span;
use super::{Mismatch, Proof, source_id};
use crate::combine::input::{array_at, axis_along};
use crate::combine::values::as_u64;
use crate::dataset::VirtualArray;
use crate::manifest::{ChunkEntry, SourceId};

/// What is known of one variable of the combined dataset.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Whether a file holds it.
    pub is_held: bool,
    /// The end of the steps of all files so far.
    pub end: u64,
    /// The files that hold it, with their steps.
    pub spans: Vec<Span>,
    /// Files that nothing of it comes from.
    pub doubts: Vec<Doubt>,
    /// Chunks that the files have of it.
    count: u64,
    /// The sources that its chunks come from.
    givers: BTreeSet<SourceId>,
}

/// A file whose chunks are not in the combined dataset, which is right only if other files have the same steps.
#[derive(Debug)]
pub(super) struct Doubt {
    pub file: usize,
    /// What is wrong if none has.
    pub found: Vec<Mismatch>,
    /// Its chunks.
    pub count: u64,
}

impl Tally {
    fn of(array: Option<&VirtualArray>) -> Self {
        let givers = array.map(|array| array.chunks.sources());
        Self {
            givers: givers.into_iter().flatten().collect(),
            ..Self::default()
        }
    }

    /// Whether chunks of the variable come from a file.
    pub(super) fn gives(&self, file: usize) -> bool {
        self.givers.contains(&source_id(file))
    }

    pub(super) fn add(&mut self, chunks: u64) {
        self.count = self.count.saturating_add(chunks);
    }

    /// Files that share steps with others that hold the variable.
    fn shared(&self) -> BTreeSet<usize> {
        let mut spans: Vec<&Span> = self.spans.iter().collect();
        spans.sort_by_key(|span| span.start);
        let mut shared = BTreeSet::new();
        let mut end = 0u64;
        for span in &spans {
            if span.start < end {
                shared.insert(span.file);
            }
            end = end.max(span.start.saturating_add(span.len));
        }
        let mut next = u64::MAX;
        for span in spans.iter().rev() {
            if span.start.saturating_add(span.len) > next {
                shared.insert(span.file);
            }
            next = next.min(span.start);
        }
        shared
    }
}

impl Proof<'_> {
    /// The tally of a variable of the combined dataset.
    pub(super) fn tally(&mut self, path: &str) -> &mut Tally {
        if !self.tallies.contains_key(path) {
            let tally = Tally::of(array_at(&self.combined.root, path));
            self.tallies.insert(path.to_owned(), tally);
        }
        self.tallies.entry(path.to_owned()).or_default()
    }

    /// What can only be said when all files have been seen.
    pub(super) fn settle_tallies(&mut self) {
        let tallies: BTreeMap<String, Tally> = std::mem::take(&mut self.tallies);
        for (path, array) in self.combined.root.walk() {
            if self.is_dropped(&path) {
                continue;
            }
            match tallies.get(&path).filter(|tally| tally.is_held) {
                Some(tally) => {
                    self.report.variables += 1;
                    self.settle(&path, array, tally);
                }
                None => {
                    let message = String::from("is in no source");
                    self.note("variable_unknown", 0, &path, message);
                }
            }
        }
    }

    fn settle(&mut self, path: &str, array: &VirtualArray, tally: &Tally) {
        let Some(axis) = axis_along(array, &self.options.concat_dim) else {
            return;
        };
        let mut count = tally.count;
        let shared = tally.shared();
        if !tally.doubts.is_empty() {
            let lost = tally.doubts.iter();
            for doubt in lost.filter(|doubt| !shared.contains(&doubt.file)) {
                count = count.saturating_add(doubt.count);
                self.mismatches.extend(doubt.found.iter().cloned());
            }
        }
        let last = self.files.saturating_sub(1);
        if array.shape.get(axis) != Some(&tally.end) {
            let length = array.shape.get(axis);
            let message = format!("is {length:?} steps long, the files together {}", tally.end);
            self.note("shape_differs", last, path, message);
        }
        // Which of the files that share steps an inlined chunk is from, nothing tells.
        let inline = |(_, entry)| matches!(entry, ChunkEntry::Inline(_));
        let inlined = is_whole_inline(array);
        if !inlined && !shared.is_empty() && array.chunks.iter().any(inline) {
            self.report.capped = true;
        } else if !inlined {
            self.compare_count(path, last, array, count);
        }
    }

    pub(super) fn compare_count(
        &mut self,
        path: &str,
        file: usize,
        array: &VirtualArray,
        count: u64,
    ) {
        if as_u64(array.chunks.len()) != count {
            let message = format!(
                "has {} chunks, the files together {count}",
                array.chunks.len()
            );
            self.note("chunk_count", file, path, message);
        }
    }
}
