//! What is read of a source: chunks that are decoded through both metadata, and variables compared as a whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::{Fresh, Verifier, source_id};
use crate::combine::values::{Pages, as_u64, assemble, decoded, to_little_endian};
use crate::dataset::{VirtualArray, VirtualDataset};
use crate::decode::ByteRange;
use crate::manifest::{ChunkEntry, SourceId};
use crate::zarr::CodecError;

/// What has to be read of one source.
#[derive(Debug)]
pub struct Sample {
    pub(super) file: usize,
    pub(super) chunks: Vec<Chunk>,
}

/// One thing that is read and compared.
#[derive(Debug)]
pub struct Chunk {
    pub(super) path: Arc<str>,
    pub(super) what: What,
}

/// What is compared.
#[derive(Debug)]
pub(super) enum What {
    /// A chunk through both metadata.
    Decoded {
        range: ByteRange,
        /// Whether it is a part of a chunk of the source, cut from data without codecs.
        is_cut: bool,
        /// Where the reference has these values from, if from another file that holds the variable too.
        twin: Option<(usize, ByteRange)>,
    },
    /// All values of a variable in a file, with the part of the reference that begins at a step.
    Whole {
        start: u64,
        /// That part as an array of its own; none where the reference has inlined all of it.
        part: Option<Box<VirtualArray>>,
        ranges: BTreeSet<(SourceId, ByteRange)>,
    },
}

impl Chunk {
    fn ranges(&self, file: usize) -> Vec<(SourceId, ByteRange)> {
        match &self.what {
            What::Decoded { range, twin, .. } => {
                let twin = twin.map(|(file, range)| (source_id(file), range));
                let own = std::iter::once((source_id(file), *range));
                own.chain(twin).collect()
            }
            What::Whole { ranges, .. } => ranges.iter().copied().collect(),
        }
    }

    fn bytes(&self, file: usize) -> u64 {
        let ranges = self.ranges(file);
        ranges
            .iter()
            .fold(0, |sum, (_, range)| sum.saturating_add(range.len))
    }
}

impl Sample {
    pub(super) const fn new(file: usize) -> Self {
        Self {
            file,
            chunks: Vec::new(),
        }
    }

    /// Cuts it so that no piece asks for much more than `bytes`.
    pub fn pieces(self, bytes: u64) -> Vec<Self> {
        let (file, mut asked) = (self.file, 0u64);
        let mut pieces: Vec<Self> = Vec::new();
        for chunk in self.chunks {
            let own = chunk.bytes(file);
            asked = asked.saturating_add(own);
            match pieces.last_mut().filter(|_| asked <= bytes) {
                Some(piece) => piece.chunks.push(chunk),
                None => {
                    asked = own;
                    let chunks = vec![chunk];
                    pieces.push(Self { file, chunks });
                }
            }
        }
        pieces
    }

    /// The ranges whose bytes [`Verifier::check`] needs, sorted.
    pub fn needed(&self) -> Vec<(SourceId, ByteRange)> {
        let ranges = self.chunks.iter().flat_map(|chunk| chunk.ranges(self.file));
        let ranges: BTreeSet<_> = ranges.collect();
        ranges.into_iter().collect()
    }
}

impl Verifier<'_> {
    /// Puts a chunk into the sample, unless a limit is reached.
    pub(super) fn sample(&mut self, sample: &mut Sample, path: &Arc<str>, what: What) {
        let chunk = Chunk {
            path: Arc::clone(path),
            what,
        };
        let asked = self.asked.saturating_add(chunk.bytes(sample.file));
        let is_full = sample.chunks.len() >= self.options.max_chunks_per_file
            || asked > self.share(sample.file);
        if is_full && !self.options.every_chunk {
            self.report.chunks_left_out += 1;
            return;
        }
        self.asked = asked;
        sample.chunks.push(chunk);
    }

    /// What may have been asked for by the end of a file: each has its share, and what one leaves the next may use.
    fn share(&self, file: usize) -> u64 {
        let files = as_u64(self.combined.sources.len()).max(1);
        let upto = as_u64(file).saturating_add(1).min(files);
        let share = u128::from(self.options.max_bytes) * u128::from(upto) / u128::from(files);
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// Compares what was read with the source that it was asked for.
    pub fn check(
        &mut self,
        sample: &Sample,
        fresh: &VirtualDataset,
        parts: &[(SourceId, ByteRange, Bytes)],
    ) {
        let mut pages = Pages::default();
        for (source, range, bytes) in parts {
            self.report.bytes = self.report.bytes.saturating_add(as_u64(bytes.len()));
            pages.push(*source, range.start, bytes.clone());
        }
        let file = Fresh {
            at: sample.file,
            dataset: fresh,
        };
        for chunk in &sample.chunks {
            match &chunk.what {
                What::Decoded { .. } => self.check_chunk(file, chunk, &pages),
                What::Whole { start, part, .. } => {
                    self.check_whole(file, &chunk.path, *start, part.as_deref(), &pages);
                }
            }
        }
    }

    /// Notes that the sample could not be read.
    pub fn not_read(&mut self, sample: &Sample, code: &'static str, reason: &str) {
        let first = sample.chunks.first().map(|chunk| Arc::clone(&chunk.path));
        let message = format!("a chunk cannot be read: {reason}");
        self.note(code, sample.file, &first.unwrap_or_default(), message);
    }

    fn check_chunk(&mut self, file: Fresh<'_>, chunk: &Chunk, pages: &Pages) {
        let What::Decoded {
            range,
            is_cut,
            twin,
        } = &chunk.what
        else {
            return;
        };
        let arrays = self.arrays.get(chunk.path.as_ref()).copied();
        let bytes = pages.get(source_id(file.at), *range);
        let joined = match twin {
            Some((file, range)) => pages.get(source_id(*file), *range),
            None => bytes.clone(),
        };
        let at = range.start;
        let arrays = arrays.zip(file.array(&chunk.path));
        let (Some((combined, fresh)), Some((stored, joined))) = (arrays, bytes.zip(joined)) else {
            let message = format!("the bytes at {at} were not given");
            return self.note("not_read", file.at, &chunk.path, message);
        };
        let through_fresh = match is_cut {
            true => Ok(stored.to_vec()),
            false => decoded(&stored, fresh),
        };
        match (decoded(&joined, combined), through_fresh) {
            (Ok(ours), Ok(theirs)) if ours == theirs => self.report.chunks_sampled += 1,
            (Ok(_), Ok(_)) => {
                let message = format!("the chunk at byte {at} decodes to other values");
                self.note("values_differ", file.at, &chunk.path, message);
            }
            (Err(error), _) | (_, Err(error)) => {
                let what = format!("the chunk at byte {at} ");
                self.note_undecoded(file.at, &chunk.path, &what, &error);
            }
        }
    }

    fn check_whole(
        &mut self,
        file: Fresh<'_>,
        path: &str,
        start: u64,
        part: Option<&VirtualArray>,
        pages: &Pages,
    ) {
        let Some(fresh) = file.array(path) else {
            return;
        };
        let theirs = match values_of(fresh, pages, Some(file.at)) {
            Ok(Some(values)) => values,
            Ok(None) => {
                let message = String::from("its bytes were not given");
                return self.note("not_read", file.at, path, message);
            }
            Err(error) => return self.note_undecoded(file.at, path, "", &error),
        };
        self.report.chunks_sampled += fresh.chunks.len();
        let Some(part) = part else {
            return self.compare_values(path, file, start, fresh, &theirs);
        };
        match values_of(part, pages, None) {
            Ok(Some(ours)) => self.compare_part(path, file, fresh, &ours, &theirs),
            Ok(None) => {
                let message = String::from("bytes that the reference names were not given");
                self.note("not_read", file.at, path, message);
            }
            Err(error) => self.note_undecoded(file.at, path, "in the reference ", &error),
        }
    }

    fn note_undecoded(&mut self, file: usize, path: &str, what: &str, error: &CodecError) {
        if matches!(error, CodecError::NoDecoder(_)) {
            self.report.bytes_alone.insert(path.to_owned());
            return;
        }
        let message = format!("{what}cannot be decoded: {error}");
        self.note("chunk_damaged", file, path, message);
    }
}

/// Little-endian values of an array from the bytes at hand; `None` if some are not. Chunks of a fresh decode are those
/// of the file at a place.
fn values_of(
    array: &VirtualArray,
    pages: &Pages,
    file: Option<usize>,
) -> Result<Option<Vec<u8>>, CodecError> {
    let mut complete = true;
    let values = assemble(array, |entry| match entry {
        ChunkEntry::Missing => Some(None),
        ChunkEntry::Inline(bytes) => Some(Some(bytes)),
        ChunkEntry::Virtual { source, range } => {
            let bytes = pages.get(file.map_or(source, source_id), range);
            complete &= bytes.is_some();
            bytes.map(Some)
        }
    })?;
    Ok(complete.then(|| to_little_endian(values, &array.data_type)))
}
