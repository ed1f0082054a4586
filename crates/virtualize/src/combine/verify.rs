//! Proves a join: what the combined dataset says of each chunk against a fresh decode of every source.
//!
//! Nothing that the combiner noted is used. Which file a step lies in follows from the fresh times (without
//! times, from the lengths), and where a chunk must be follows from the fresh manifests; all of them are compared. Then a sample of chunks that covers
//! both ends of every file is read, decoded through the combined metadata and through the fresh one, and must
//! come out with the size that the shape asks for, and equal.

mod arrays;
mod part;
mod spans;
mod steps;
mod tally;
#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "lengths in tests are small"
)]
mod tests;
mod times;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;

use crate::cf::Instant;
use crate::combine::input::{array_at, base_name, is_named};
use crate::combine::time::clock_paths;
use crate::combine::values::{Pages, as_u64, assemble, decoded, to_little_endian};
use crate::dataset::{VirtualArray, VirtualDataset};
use crate::decode::ByteRange;
use crate::manifest::{ChunkEntry, SourceId};
use crate::zarr::CodecError;
use steps::Steps;
use tally::Tally;

/// What to verify, and how much of it is read.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Dimension that the files were joined along.
    pub concat_dim: String,
    /// Variables (names or paths) that were left out of the join.
    pub drop_variables: Vec<String>,
    /// The most chunks that are read of one file.
    pub max_chunks_per_file: usize,
    /// The most bytes that are read in all.
    pub max_bytes: u64,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self {
            concat_dim: String::from("time"),
            drop_variables: Vec::new(),
            max_chunks_per_file: 16,
            max_bytes: 256 << 20,
        }
    }
}

/// Something that the combined dataset says otherwise than its sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{file}: {variable}: {message}")]
pub struct Mismatch {
    /// Stable code, such as `chunk_moved`.
    pub code: &'static str,
    /// Name of the file.
    pub file: String,
    /// Path of the variable.
    pub variable: String,
    /// What differs.
    pub message: String,
}

/// What a verification covered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// What was proven: `join`.
    pub kind: &'static str,
    /// Files that were compared.
    pub files: usize,
    /// Variables that were compared.
    pub variables: usize,
    /// Chunks whose place was compared.
    pub chunks_compared: u64,
    /// Chunks that were read and decoded.
    pub chunks_sampled: usize,
    /// Bytes that were read for it.
    pub bytes: u64,
    /// Whether a limit, or a codec without a decoder, left something of the sample out.
    pub capped: bool,
}

/// One chunk that is read through both metadata.
#[derive(Debug)]
struct Sample {
    path: String,
    file: usize,
    range: ByteRange,
    /// Whether it is a part of a chunk of the source, cut from data without codecs.
    is_cut: bool,
    /// Where the combined dataset has these values from, if from another file that holds the variable too.
    twin: Option<(usize, ByteRange)>,
}

/// Values that stand in the combined dataset, but in the source file only.
#[derive(Debug)]
struct Deferred {
    path: String,
    file: usize,
    start: u64,
}

/// A proof under way: what is known from the files that have been compared. Neither their decodes nor their bytes
/// are kept, so that ten thousand files take no more room than a few.
#[derive(Debug)]
pub struct Proof<'c> {
    combined: &'c VirtualDataset,
    options: VerifyOptions,
    /// Files that have been compared.
    files: usize,
    /// Bytes that were asked for.
    asked: u64,
    /// Paths of the concat coordinates, the shallowest first.
    clocks: Vec<String>,
    /// By the path of a concat coordinate: where each step stands.
    steps: BTreeMap<String, Steps>,
    /// By the path of a variable.
    tallies: BTreeMap<String, Tally>,
    /// Paths that the combined dataset has not.
    missing: BTreeSet<String>,
    /// The first time of the file before.
    last: Option<Instant>,
    mismatches: Vec<Mismatch>,
    report: VerifyReport,
}

/// Some files of a proof, in the order of the sources.
#[derive(Debug)]
pub struct Verifier<'p, 'c> {
    proof: &'p mut Proof<'c>,
    fresh: &'p [VirtualDataset],
    /// Number of the first of them.
    first: usize,
    samples: Vec<Sample>,
    deferred: Vec<Deferred>,
    per_file: Vec<usize>,
    /// By the path of a concat coordinate: the first step of each file.
    starts: BTreeMap<String, Vec<Option<u64>>>,
}

impl<'c> Proof<'c> {
    /// A proof of `combined` as it was read back from what was stored.
    pub fn new(combined: &'c VirtualDataset, options: VerifyOptions) -> Self {
        let report = VerifyReport {
            kind: "join",
            files: 0,
            variables: 0,
            chunks_compared: 0,
            chunks_sampled: 0,
            bytes: 0,
            capped: false,
        };
        let mut proof = Self {
            combined,
            clocks: clock_paths(std::iter::once(combined), &options.concat_dim),
            options,
            files: 0,
            asked: 0,
            steps: BTreeMap::new(),
            tallies: BTreeMap::new(),
            missing: BTreeSet::new(),
            last: None,
            mismatches: Vec::new(),
            report,
        };
        proof.compare_order();
        proof
    }

    /// Compares everything of the next files that needs no data: `fresh` are the decodes of the sources behind those
    /// that were compared before.
    pub fn files<'p>(&'p mut self, fresh: &'p [VirtualDataset]) -> Verifier<'p, 'c> {
        let first = self.files;
        self.files = self.files.saturating_add(fresh.len());
        self.report.files = self.files;
        let mut verifier = Verifier {
            proof: self,
            fresh,
            first,
            samples: Vec::new(),
            deferred: Vec::new(),
            per_file: vec![0; fresh.len()],
            starts: BTreeMap::new(),
        };
        verifier.compare();
        verifier
    }

    /// Whether something was found already; what follows is compared, but no data is read for it.
    pub fn has_failed(&self) -> bool {
        !self.mismatches.is_empty()
    }

    /// What the proof covered, when all files have been compared.
    ///
    /// # Errors
    ///
    /// Every mismatch that was found.
    pub fn finish(mut self) -> Result<VerifyReport, Vec<Mismatch>> {
        let sources = self.combined.sources.len();
        if sources != self.files && !self.has_failed() {
            let message = format!("{sources} sources, {} files were decoded", self.files);
            self.note("sources_differ", 0, "", message);
        }
        if !self.has_failed() {
            self.settle_tallies();
        }
        match self.mismatches.is_empty() {
            true => Ok(self.report),
            false => Err(self.mismatches),
        }
    }

    fn is_dropped(&self, path: &str) -> bool {
        is_named(path, &self.options.drop_variables)
    }

    fn note(&mut self, code: &'static str, file: usize, path: &str, message: String) {
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

impl<'p> Verifier<'p, '_> {
    fn compare(&mut self) {
        let before = self.proof.mismatches.len();
        self.compare_sources();
        if self.proof.mismatches.len() == before {
            self.compare_arrays();
            self.compare_times();
        }
        if self.proof.has_failed() {
            self.samples.clear();
            self.deferred.clear();
        }
    }

    /// Numbers of the files at hand.
    fn numbers(&self) -> Range<usize> {
        self.first..self.first.saturating_add(self.fresh.len())
    }

    /// The ranges whose bytes [`check`](Self::check) needs.
    pub fn needed(&self) -> Vec<(SourceId, ByteRange)> {
        let sampled = self.samples.iter();
        let sampled = sampled.flat_map(|sample| {
            let own = (source_id(sample.file), sample.range);
            let twin = sample.twin.map(|(file, range)| (source_id(file), range));
            std::iter::once(own).chain(twin)
        });
        let deferred = self.deferred.iter().flat_map(|one| {
            let array = self.fresh_array(one.file, &one.path);
            let chunks = array.into_iter().flat_map(|array| array.chunks.iter());
            chunks.filter_map(|(_, entry)| match entry {
                ChunkEntry::Virtual { range, .. } => Some((source_id(one.file), range)),
                _ => None,
            })
        });
        let mut all: Vec<_> = sampled.chain(deferred).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Decodes the sample through the combined and through the fresh metadata; bytes that were not given count as a
    /// mismatch.
    pub fn check(mut self, parts: &[(SourceId, ByteRange, Bytes)]) {
        let mut pages = Pages::default();
        let report = &mut self.proof.report;
        for (source, range, bytes) in parts {
            report.bytes = report.bytes.saturating_add(as_u64(bytes.len()));
            pages.push(*source, range.start, bytes.clone());
        }
        for sample in std::mem::take(&mut self.samples) {
            self.check_sample(&sample, &pages);
        }
        for deferred in std::mem::take(&mut self.deferred) {
            self.check_deferred(&deferred, &pages);
        }
    }

    fn check_sample(&mut self, sample: &Sample, pages: &Pages) {
        let arrays = array_at(&self.proof.combined.root, &sample.path)
            .zip(self.fresh_array(sample.file, &sample.path));
        let at = sample.range.start;
        let bytes = pages.get(source_id(sample.file), sample.range);
        let joined = match sample.twin {
            Some((file, range)) => pages.get(source_id(file), range),
            None => bytes.clone(),
        };
        let (Some((combined, fresh)), Some((stored, joined))) = (arrays, bytes.zip(joined)) else {
            let message = format!("the bytes at {at} were not given");
            return self.note("not_read", sample.file, &sample.path, message);
        };
        let through_fresh = match sample.is_cut {
            true => Ok(stored.to_vec()),
            false => decoded(&stored, fresh),
        };
        match (decoded(&joined, combined), through_fresh) {
            (Ok(ours), Ok(theirs)) if ours == theirs => self.proof.report.chunks_sampled += 1,
            (Ok(_), Ok(_)) => {
                let message = format!("the chunk at byte {at} decodes to other values");
                self.note("values_differ", sample.file, &sample.path, message);
            }
            (Err(CodecError::NoDecoder(_)), _) | (_, Err(CodecError::NoDecoder(_))) => {
                self.proof.report.capped = true;
            }
            (Err(error), _) | (_, Err(error)) => {
                let message = format!("the chunk at byte {at} cannot be decoded: {error}");
                self.note("chunk_damaged", sample.file, &sample.path, message);
            }
        }
    }

    fn check_deferred(&mut self, deferred: &Deferred, pages: &Pages) {
        let Some(array) = self.fresh_array(deferred.file, &deferred.path) else {
            return;
        };
        let mut complete = true;
        let read = assemble(array, |entry| match entry {
            ChunkEntry::Missing => Some(None),
            ChunkEntry::Inline(bytes) => Some(Some(bytes)),
            ChunkEntry::Virtual { range, .. } => {
                let bytes = pages.get(source_id(deferred.file), range);
                complete &= bytes.is_some();
                bytes.map(Some)
            }
        });
        match read {
            Ok(values) if complete => {
                let values = to_little_endian(values, &array.data_type);
                self.proof.report.chunks_sampled += array.chunks.len();
                self.compare_values(
                    &deferred.path,
                    deferred.file,
                    deferred.start,
                    array,
                    &values,
                );
            }
            Ok(_) => self.note(
                "not_read",
                deferred.file,
                &deferred.path,
                String::from("its bytes were not given"),
            ),
            Err(CodecError::NoDecoder(_)) => self.proof.report.capped = true,
            Err(error) => {
                self.note(
                    "chunk_damaged",
                    deferred.file,
                    &deferred.path,
                    format!("cannot be decoded: {error}"),
                );
            }
        }
    }

    /// Each source is as long as the file is now.
    fn compare_sources(&mut self) {
        let sources = self.proof.combined.sources.get(self.first..);
        let sources = sources.unwrap_or_default().iter();
        for ((at, source), fresh) in self.numbers().zip(sources).zip(self.fresh) {
            let Some(own) = fresh.sources.first() else {
                continue;
            };
            let changed = own.length != 0 && source.length != 0 && own.length != source.length;
            let moved = !own.url.is_empty() && base_name(&own.url) != base_name(&source.url);
            if changed || moved {
                let message = format!(
                    "is {} of {} bytes, was {} of {}",
                    own.url, own.length, source.url, source.length
                );
                self.note("source_changed", at, "", message);
            }
        }
    }

    fn fresh(&self, file: usize) -> Option<&'p VirtualDataset> {
        self.fresh.get(file.checked_sub(self.first)?)
    }

    fn fresh_array(&self, file: usize, path: &str) -> Option<&'p VirtualArray> {
        array_at(&self.fresh(file)?.root, path)
    }

    fn note(&mut self, code: &'static str, file: usize, path: &str, message: String) {
        self.proof.note(code, file, path, message);
    }

    /// Puts a chunk into the sample, unless a limit is reached.
    fn sample(&mut self, sample: Sample) {
        let twin = sample.twin.map_or(0, |(_, range)| range.len);
        let asked = self.proof.asked.saturating_add(sample.range.len);
        let asked = asked.saturating_add(twin);
        let place = sample.file.checked_sub(self.first);
        let Some(count) = place.and_then(|at| self.per_file.get_mut(at)) else {
            return;
        };
        let options = &self.proof.options;
        if *count >= options.max_chunks_per_file || asked > options.max_bytes {
            self.proof.report.capped = true;
            return;
        }
        *count += 1;
        self.proof.asked = asked;
        self.samples.push(sample);
    }
}

/// Source and file have the same position: a file of a join is one source.
fn source_id(file: usize) -> SourceId {
    SourceId(u32::try_from(file).unwrap_or(u32::MAX))
}
