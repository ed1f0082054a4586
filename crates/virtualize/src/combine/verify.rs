//! Proves a join: what the combined dataset says of each chunk against a fresh decode of every source.
//!
//! Nothing that the combiner noted is used. Which file a step lies in follows from the fresh times (without
//! times, from the lengths), and where a chunk must be follows from the fresh manifests; all of them are compared. Then a sample of chunks that covers
//! both ends of every file is read, decoded through the combined metadata and through the fresh one, and must
//! come out with the size that the shape asks for, and equal.

mod arrays;
mod part;
mod spans;
#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "lengths in tests are small"
)]
mod tests;
mod times;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::combine::input::{array_at, base_name, is_named};
use crate::combine::time::clock_paths;
use crate::combine::values::{Pages, as_u64, assemble, decoded, to_little_endian};
use crate::dataset::{VirtualArray, VirtualDataset};
use crate::decode::ByteRange;
use crate::manifest::{ChunkEntry, SourceId};
use crate::zarr::CodecError;

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

/// A verification under way.
#[derive(Debug)]
pub struct Verifier<'a> {
    combined: &'a VirtualDataset,
    fresh: &'a [VirtualDataset],
    options: VerifyOptions,
    samples: Vec<Sample>,
    deferred: Vec<Deferred>,
    per_file: Vec<usize>,
    asked: u64,
    /// Paths of the concat coordinates, the shallowest first.
    clocks: Vec<String>,
    /// By the path of a concat coordinate: the first step of each file.
    starts: BTreeMap<String, Vec<Option<u64>>>,
    /// By the folder of a group: the length of each file there.
    lengths: BTreeMap<String, Vec<u64>>,
    mismatches: Vec<Mismatch>,
    report: VerifyReport,
}

impl<'a> Verifier<'a> {
    /// Compares everything that needs no data: `combined` as it was read back from the stored document, `fresh`
    /// the decodes of its sources in the same order.
    ///
    /// # Errors
    ///
    /// Every mismatch that was found.
    pub fn new(
        combined: &'a VirtualDataset,
        fresh: &'a [VirtualDataset],
        options: VerifyOptions,
    ) -> Result<Self, Vec<Mismatch>> {
        let report = VerifyReport {
            kind: "join",
            files: fresh.len(),
            variables: 0,
            chunks_compared: 0,
            chunks_sampled: 0,
            bytes: 0,
            capped: false,
        };
        let mut verifier = Self {
            combined,
            fresh,
            samples: Vec::new(),
            deferred: Vec::new(),
            per_file: vec![0; fresh.len()],
            asked: 0,
            clocks: clock_paths(std::iter::once(combined), &options.concat_dim),
            starts: BTreeMap::new(),
            lengths: BTreeMap::new(),
            mismatches: Vec::new(),
            options,
            report,
        };
        verifier.compare_sources();
        if verifier.mismatches.is_empty() {
            verifier.compare_arrays();
            verifier.compare_times();
        }
        match verifier.mismatches.is_empty() {
            true => Ok(verifier),
            false => Err(verifier.mismatches),
        }
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

    /// Decodes the sample through the combined and through the fresh metadata.
    ///
    /// # Errors
    ///
    /// Every mismatch that was found; bytes that were not given count as one.
    pub fn check(
        mut self,
        parts: &[(SourceId, ByteRange, Bytes)],
    ) -> Result<VerifyReport, Vec<Mismatch>> {
        let mut pages = Pages::default();
        for (source, range, bytes) in parts {
            self.report.bytes = self.report.bytes.saturating_add(as_u64(bytes.len()));
            pages.push(*source, range.start, bytes.clone());
        }
        for sample in std::mem::take(&mut self.samples) {
            self.check_sample(&sample, &pages);
        }
        for deferred in std::mem::take(&mut self.deferred) {
            self.check_deferred(&deferred, &pages);
        }
        match self.mismatches.is_empty() {
            true => Ok(self.report),
            false => Err(self.mismatches),
        }
    }

    fn check_sample(&mut self, sample: &Sample, pages: &Pages) {
        let arrays = array_at(&self.combined.root, &sample.path)
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
            (Ok(ours), Ok(theirs)) if ours == theirs => self.report.chunks_sampled += 1,
            (Ok(_), Ok(_)) => {
                let message = format!("the chunk at byte {at} decodes to other values");
                self.note("values_differ", sample.file, &sample.path, message);
            }
            (Err(CodecError::NoDecoder(_)), _) | (_, Err(CodecError::NoDecoder(_))) => {
                self.report.capped = true;
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
                self.report.chunks_sampled += array.chunks.len();
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
            Err(CodecError::NoDecoder(_)) => self.report.capped = true,
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

    /// As many sources as fresh decodes, each as long as the file is now.
    fn compare_sources(&mut self) {
        if self.combined.sources.len() != self.fresh.len() {
            let message = format!(
                "{} sources, {} files were decoded",
                self.combined.sources.len(),
                self.fresh.len()
            );
            return self.note("sources_differ", 0, "", message);
        }
        for (at, (source, fresh)) in self.combined.sources.iter().zip(self.fresh).enumerate() {
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

    fn fresh_array(&self, file: usize, path: &str) -> Option<&'a VirtualArray> {
        array_at(&self.fresh.get(file)?.root, path)
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

    /// Puts a chunk into the sample, unless a limit is reached.
    fn sample(&mut self, sample: Sample) {
        let twin = sample.twin.map_or(0, |(_, range)| range.len);
        let asked = self
            .asked
            .saturating_add(sample.range.len)
            .saturating_add(twin);
        let Some(count) = self.per_file.get_mut(sample.file) else {
            return;
        };
        if *count >= self.options.max_chunks_per_file || asked > self.options.max_bytes {
            self.report.capped = true;
            return;
        }
        *count += 1;
        self.asked = asked;
        self.samples.push(sample);
    }
}

/// Source and file have the same position: a file of a join is one source.
fn source_id(file: usize) -> SourceId {
    SourceId(u32::try_from(file).unwrap_or(u32::MAX))
}
