//! The push decoder: it says which byte ranges it misses, the caller fetches them and pushes them back.
//!
//! The parsers below it are pure functions of bytes. What strings them together is written as straight
//! `async` code over a [`SourceBuffer`], and polled here by hand: everything that can go on does, and when
//! nothing can, the ranges that all of it waits for go to the caller at once. The number of dependent round
//! trips is therefore the depth of the deepest structure and not the number of structures.
//! No runtime takes part; policy (merging, concurrency, retries) is the caller's.

mod buffer;
mod walk;

use bytes::Bytes;

use crate::dataset::VirtualDataset;
use crate::inspect::Probe;

pub(crate) use buffer::Cost;
pub use buffer::SourceBuffer;
pub(crate) use walk::{Walk, settle};

/// A run of bytes of a file: `start` and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRange {
    /// Offset of the first byte from the start of the file.
    pub start: u64,
    /// Number of bytes.
    pub len: u64,
}

impl ByteRange {
    /// The range of `len` bytes at `start`.
    pub const fn new(start: u64, len: u64) -> Self {
        Self { start, len }
    }

    /// Offset of the first byte behind the range; saturates at the largest offset.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

/// Why a file, or a part of it, cannot be decoded.
///
/// *Malformed* is the sender's fault, *unsupported* is ours to build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The magic number is that of another format.
    #[error("not a NetCDF or HDF5 file: {0}")]
    NotNetcdf(String),
    /// The file is shorter than its own header says.
    #[error("the file has {actual} bytes, its header says {expected}")]
    Truncated {
        /// Length that the header states.
        expected: u64,
        /// Length of the file.
        actual: u64,
    },
    /// A structure does not lie inside the file.
    #[error("{what} at byte {at} runs past the end of the file")]
    PastEnd {
        /// The structure.
        what: &'static str,
        /// Where it starts.
        at: u64,
    },
    /// A structure contradicts the specification.
    #[error("{what} at byte {at}: {problem}")]
    Malformed {
        /// The structure.
        what: &'static str,
        /// Where it starts.
        at: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A structure is valid but not read by this crate.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// Decoding would cost more than the budget allows.
    #[error("{what} exceeds the limit of {limit}")]
    Budget {
        /// What was counted.
        what: &'static str,
        /// The most that is allowed.
        limit: u64,
    },
}

/// A text that may hold names of a file, fit for a line of a log or a terminal: control characters are escaped.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() {
            true => line.extend(letter.escape_default()),
            false => line.push(letter),
        }
    }
    line
}

/// What [`MetadataDecoder::decode`] answers.
#[derive(Debug)]
pub enum Decoded<T> {
    /// These ranges are missing, all that is known at this depth, sorted and without repetition.
    NeedsData(Vec<ByteRange>),
    /// The result.
    Done(T),
}

/// What to read of a file beyond its structure, and how much of it is allowed.
#[derive(Debug, Clone)]
pub struct DecodeOptions {
    /// Dimension along which files will be joined; its coordinate is always inlined.
    pub concat_dim: String,
    /// Largest decoded size of a variable that is inlined, in bytes.
    pub inline_max_bytes: u64,
    /// Budget for all ranges asked for, in bytes.
    pub max_bytes: u64,
    /// Budget for the objects (groups, datasets, named types) of a file.
    pub max_objects: u64,
    /// Budget for the chunks of a file.
    pub max_chunks: u64,
    /// Whether a structure whose checksum does not match is refused. Off for a search of the parsers for faults: who
    /// means harm makes the checksums match, random damage never does.
    pub verify_checksums: bool,
    /// Whether values of what looks like a coordinate are asked for before it is known to be one.
    pub speculate: bool,
    /// Takes notes for people, and goes on in a file that is shorter than it should be.
    pub probe: Option<Probe>,
}

impl DecodeOptions {
    /// The usual budgets, for files that are joined along `concat_dim`.
    pub fn along(concat_dim: &str, inline_max_bytes: u64) -> Self {
        Self {
            concat_dim: concat_dim.to_owned(),
            inline_max_bytes,
            ..Self::default()
        }
    }
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            concat_dim: String::from("time"),
            inline_max_bytes: 1 << 20,
            max_bytes: 4 << 30,
            max_objects: 1_000_000,
            max_chunks: 50_000_000,
            verify_checksums: true,
            speculate: true,
            probe: None,
        }
    }
}

/// Decodes the metadata of one file of any supported format.
pub struct MetadataDecoder {
    buffer: SourceBuffer,
    walk: Walk<VirtualDataset>,
}

impl std::fmt::Debug for MetadataDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetadataDecoder")
            .field("buffer", &self.buffer)
            .finish_non_exhaustive()
    }
}

impl MetadataDecoder {
    /// A decoder for a file of `file_len` bytes.
    pub fn new(file_len: u64, options: DecodeOptions) -> Self {
        let buffer = SourceBuffer::new(file_len, options.max_bytes);
        let walk = Walk::new(decode_file(buffer.clone(), options));
        Self { buffer, walk }
    }

    /// Goes as far as the pushed bytes allow.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the file as a whole cannot be read; a variable that cannot be read is not an
    /// error but listed in [`VirtualDataset::skipped`].
    pub fn decode(&mut self) -> Result<Decoded<VirtualDataset>, DecodeError> {
        self.walk.advance(&self.buffer)
    }

    /// Hands over the bytes of a range; larger ranges than asked for are welcome.
    pub fn push(&mut self, range: ByteRange, bytes: Bytes) {
        self.buffer.push(range.start, bytes);
    }
}

async fn decode_file(
    buffer: SourceBuffer,
    options: DecodeOptions,
) -> Result<VirtualDataset, DecodeError> {
    let mut dataset = match crate::dataset::sniff(&buffer).await? {
        crate::dataset::Magic::Classic => crate::netcdf3::decode(&buffer, &options).await?,
        crate::dataset::Magic::Hdf5 { superblock_at } => {
            let file = crate::hdf5::decode(&buffer, &options, superblock_at).await?;
            crate::netcdf4::interpret(file, &buffer, &options).await?
        }
    };
    crate::inline::inline_coordinates(&mut dataset, &buffer, &options).await?;
    let wanted = crate::zarr::plugin_findings(&dataset.root);
    dataset.findings.extend(wanted);
    Ok(dataset)
}
