//! Proves a reference: what it says of each chunk against a fresh decode of every source.
//!
//! Nothing that the combiner noted is used. Which file a step lies in follows from the fresh times (without
//! times, from the lengths), and where a chunk must be follows from the fresh manifests; all of them are compared.
//! Then a sample of chunks that covers both ends of every file is read, decoded through the reference's metadata and
//! through the fresh one, and must come out with the size that the shape asks for, and equal. Sources come one after
//! the other, so that no more than a few of them are held at a time.
//!
//! The reference of a single file is a series of one. References of other writers keep values elsewhere than ours do
//! (inlined or not, cut or not): where the places cannot be compared, the values are.

mod arrays;
mod clocks;
mod part;
mod runs;
mod sample;
mod spans;
mod standing;
mod steps;
#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "lengths in tests are small"
)]
mod tests;
mod times;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::cf::Instant;
use crate::combine::input::{array_at, base_name, is_named};
use crate::combine::time::clock_paths;
use crate::combine::timeline::Mark;
use crate::dataset::{Source, VirtualArray, VirtualDataset};
use crate::manifest::SourceId;

pub use clocks::{clocks_to_read, inline_clocks, varying_dimension};
pub use sample::{Chunk, Sample};
use steps::Steps;

pub use standing::{FileVerdict, Standing, Verdict, standing};

/// Beyond so many mismatches the others are counted, not listed.
const MANY: usize = 100;
/// Beyond so many mismatches of one kind in one variable of one file the others are counted, not listed.
const ALIKE: usize = 3;

/// What to verify, and how much of it is read.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Dimension that the files were joined along.
    pub concat_dim: String,
    /// Variables (names or paths) that were left out of the join.
    pub drop_variables: Vec<String>,
    /// Whether every chunk is read, whatever the limits.
    pub every_chunk: bool,
    /// The most chunks that are read of one file.
    pub max_chunks_per_file: usize,
    /// The most bytes that are read in all; every file has its share.
    pub max_bytes: u64,
    /// Whether another program wrote the reference: what it leaves out or fills is told, and no mismatch.
    pub is_foreign: bool,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self {
            concat_dim: String::from("time"),
            drop_variables: Vec::new(),
            every_chunk: false,
            max_chunks_per_file: 16,
            max_bytes: 256 << 20,
            is_foreign: false,
        }
    }
}

/// Something that a reference says otherwise than its sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{file}: {variable}: {message}")]
pub struct Mismatch {
    /// Stable code, such as `chunk_moved`.
    pub code: &'static str,
    /// Name of the file.
    pub file: String,
    /// Path of the variable; empty where the whole file is meant.
    pub variable: String,
    /// What differs.
    pub message: String,
}

/// What a verification covered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// What was proven: `join`.
    pub kind: &'static str,
    /// Files that were compared, or whose verdict stands.
    pub files: usize,
    /// Those of them whose recorded verdict stands, as nothing has changed in them or in what the reference says of them.
    pub files_standing: usize,
    /// Variables that were compared.
    pub variables: usize,
    /// Chunks whose place was compared.
    pub chunks_compared: u64,
    /// Chunks that were read and decoded.
    pub chunks_sampled: usize,
    /// Chunks of the sample that were not read, as a limit was reached.
    pub chunks_left_out: usize,
    /// Bytes that were read for it.
    pub bytes: u64,
    /// Whether a limit left something out.
    pub capped: bool,
    /// Variables whose chunks were compared by their bytes alone, as there is no decoder for their codec.
    pub bytes_alone: BTreeSet<String>,
    /// Variables of which only metadata was compared: too large for a comparison of values, which their layout asks for.
    pub not_compared: BTreeSet<String>,
    /// Variables of the sources that the reference of another program does not have.
    pub left_out: BTreeSet<String>,
    /// Mismatches, listed or not.
    pub mismatches: usize,
}

/// What a verification came to.
#[derive(Debug)]
pub struct Verification {
    /// What it covered.
    pub report: VerifyReport,
    /// What it found; a long list is cut, and the report has the count.
    pub mismatches: Vec<Mismatch>,
    /// What may be recorded, if nothing was found: the next verification goes on from it.
    pub verdict: Option<Verdict>,
}

/// One source as it was decoded again.
#[derive(Debug, Clone, Copy)]
struct Fresh<'f> {
    at: usize,
    dataset: &'f VirtualDataset,
}

impl<'f> Fresh<'f> {
    fn array(&self, path: &str) -> Option<&'f VirtualArray> {
        array_at(&self.dataset.root, path)
    }
}

/// What the sources together say of one variable.
#[derive(Debug, Default)]
struct Tally {
    /// Where the next file begins, if there are no times.
    end: u64,
    /// Chunks that all files together have.
    chunks: u64,
    /// Whether several files that hold it share steps.
    shared: bool,
    /// Sources that its chunks come from.
    givers: Option<BTreeSet<SourceId>>,
}

/// A file whose values of a variable come from another file, which must cover the step.
#[derive(Debug)]
struct Twin {
    path: String,
    file: usize,
    giver: usize,
    step: u64,
}

/// Steps of one file by the path of its concat coordinate, with the first one.
type Spans = BTreeMap<String, (Mark, u64, u64)>;

/// A verification under way.
#[derive(Debug)]
pub struct Verifier<'a> {
    combined: &'a VirtualDataset,
    arrays: BTreeMap<String, &'a VirtualArray>,
    options: VerifyOptions,
    /// Paths of the concat coordinates, the shallowest first.
    clocks: Vec<String>,
    /// Steps of the concat coordinates by their path.
    steps: BTreeMap<String, Steps>,
    tallies: BTreeMap<String, Tally>,
    twins: Vec<Twin>,
    /// By file: its steps. None for one that could not be read.
    spans: Vec<Option<Spans>>,
    /// Which file a variable without the concat dimension was compared with.
    still: BTreeMap<String, usize>,
    found: BTreeSet<String>,
    absent: BTreeSet<String>,
    last: Option<Instant>,
    asked: u64,
    is_complete: bool,
    alike: (String, usize),
    mismatches: Vec<Mismatch>,
    report: VerifyReport,
}

impl<'a> Verifier<'a> {
    /// A verification of `combined` as it was read back from where it is stored.
    pub fn new(combined: &'a VirtualDataset, options: VerifyOptions) -> Self {
        let arrays = combined.root.walk().into_iter();
        let arrays: BTreeMap<String, &VirtualArray> = arrays
            .filter(|(path, _)| !is_named(path, &options.drop_variables))
            .collect();
        let report = VerifyReport {
            kind: "join",
            files: 0,
            files_standing: 0,
            variables: arrays.len(),
            chunks_compared: 0,
            chunks_sampled: 0,
            chunks_left_out: 0,
            bytes: 0,
            capped: false,
            bytes_alone: BTreeSet::new(),
            not_compared: BTreeSet::new(),
            left_out: BTreeSet::new(),
            mismatches: 0,
        };
        let clocks = clock_paths(std::iter::once(combined), &options.concat_dim);
        let mut verifier = Self {
            combined,
            arrays,
            options,
            clocks,
            steps: BTreeMap::new(),
            tallies: BTreeMap::new(),
            twins: Vec::new(),
            spans: Vec::new(),
            still: BTreeMap::new(),
            found: BTreeSet::new(),
            absent: BTreeSet::new(),
            last: None,
            asked: 0,
            is_complete: true,
            alike: (String::new(), 0),
            mismatches: Vec::new(),
            report,
        };
        verifier.find_clocks();
        verifier.check_clock();
        verifier
    }

    /// Compares everything of the next source that needs no data, and says what else is to be read.
    ///
    /// Sources come in their order: each is compared, [`stands`](Self::stands) or is [`unreadable`](Self::unreadable).
    pub fn compare(&mut self, fresh: &VirtualDataset) -> Sample {
        let file = Fresh {
            at: self.spans.len(),
            dataset: fresh,
        };
        self.report.files += 1;
        self.compare_source(file);
        let spans = self.spans_of(file);
        self.spans.push(Some(spans));
        let mut sample = Sample::new(file.at);
        for (path, array) in self.arrays.clone() {
            self.compare_variable(&path, array, file, &mut sample);
        }
        self.note_absent(file);
        self.compare_order(file);
        sample
    }

    /// Notes that the next source cannot be read, with the code and the reason.
    pub fn unreadable(&mut self, code: &'static str, reason: String) {
        let at = self.spans.len();
        self.is_complete = false;
        self.spans.push(None);
        self.note(code, at, "", reason);
    }

    /// Notes something of a source that was found elsewhere.
    pub fn also(&mut self, code: &'static str, file: usize, message: String) {
        self.note(code, file, "", message);
    }

    /// What was found, once every source has come.
    pub fn finish(mut self) -> Verification {
        if self.is_complete {
            self.check_totals();
        }
        self.report.capped = self.report.chunks_left_out > 0;
        let verdict = match self.mismatches.is_empty() && self.is_complete {
            true => self.verdict(),
            false => None,
        };
        Verification {
            report: self.report,
            mismatches: self.mismatches,
            verdict,
        }
    }

    /// As long as the file is now, and of the same name.
    fn compare_source(&mut self, file: Fresh<'_>) {
        let sources = self.combined.sources.get(file.at);
        let Some((source, own)) = sources.zip(file.dataset.sources.first()) else {
            return;
        };
        let changed = own.length != 0 && source.length != 0 && own.length != source.length;
        let moved = !own.url.is_empty() && base_name(&own.url) != base_name(&source.url);
        if changed || moved {
            let shown = |source: &Source| format!("{} of {} bytes", source.url, source.length);
            let message = format!("is {}, was {}", shown(own), shown(source));
            self.note("source_changed", file.at, "", message);
        }
    }

    /// Variables of a source that the reference does not have, each told once.
    fn note_absent(&mut self, file: Fresh<'_>) {
        for (path, _) in file.dataset.root.walk() {
            let is_known = self.arrays.contains_key(&path) || self.absent.contains(&path);
            if is_known || is_named(&path, &self.options.drop_variables) {
                continue;
            }
            self.absent.insert(path.clone());
            match self.options.is_foreign {
                true => drop(self.report.left_out.insert(path)),
                false => {
                    let message = String::from("is not in the reference");
                    self.note("variable_missing", file.at, &path, message);
                }
            }
        }
    }

    fn tally(&mut self, path: &str) -> &mut Tally {
        if !self.tallies.contains_key(path) {
            self.tallies.insert(path.to_owned(), Tally::default());
        }
        self.tallies.entry(path.to_owned()).or_default()
    }

    fn note(&mut self, code: &'static str, file: usize, path: &str, message: String) {
        self.report.mismatches += 1;
        let kind = format!("{code} {file} {path}");
        self.alike = match self.alike.0 == kind {
            true => (kind, self.alike.1 + 1),
            false => (kind, 1),
        };
        if self.mismatches.len() >= MANY || self.alike.1 > ALIKE {
            return;
        }
        let source = self.combined.sources.get(file);
        let file = source
            .map(|source| base_name(&source.url))
            .unwrap_or_default();
        self.mismatches.push(Mismatch {
            code,
            file,
            variable: path.to_owned(),
            message,
        });
    }
}

/// Source and file have the same position: a file of a join is one source.
fn source_id(file: usize) -> SourceId {
    SourceId(u32::try_from(file).unwrap_or(u32::MAX))
}
