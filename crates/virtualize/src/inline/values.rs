//! Reads the values of one array out of its chunks.

use bytes::Bytes;
use futures_util::future::join_all;

use crate::dataset::VirtualArray;
use crate::decode::{Cost, DecodeError, SourceBuffer};
use crate::manifest::ChunkEntry;
use crate::zarr::{CodecError, coordinates, decode_chunk};

/// Why the values of an array cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValuesError {
    /// The bytes of a chunk cannot be read.
    #[error(transparent)]
    Read(#[from] DecodeError),
    /// A chunk cannot be decoded.
    #[error("chunk {number}: {error}")]
    Chunk {
        /// Number of the chunk.
        number: u64,
        /// What its codecs say.
        error: CodecError,
    },
    /// The array is larger than memory can hold.
    #[error("the array is too large")]
    TooLarge,
}

impl ValuesError {
    /// Whether the values may well be fine, and only this program has no decoder for them.
    pub(crate) const fn is_no_decoder(&self) -> bool {
        let error = match self {
            Self::Chunk { error, .. } => error,
            Self::Read(_) | Self::TooLarge => return false,
        };
        matches!(error, CodecError::NoDecoder(_))
    }
}

/// Size of an array, or of a chunk of it, beyond which a file is not taken seriously.
const MAX_BYTES: u64 = 256 << 20;

/// Size of a chunk that any file may have to be decoded; larger files may have larger ones.
const CHUNK_BYTES: u64 = 16 << 20;

/// Counts what reading the values costs, before anything is allocated.
fn spend(array: &VirtualArray, buffer: &SourceBuffer) -> Result<(), ValuesError> {
    let (Some(whole), Some(chunk)) = (array.nbytes(), array.chunk_nbytes()) else {
        return Err(ValuesError::TooLarge);
    };
    if chunk.max(whole) > MAX_BYTES || chunk > buffer.file_len().max(CHUNK_BYTES) {
        return Err(ValuesError::TooLarge);
    }
    let count = u64::try_from(array.chunks.len()).unwrap_or(u64::MAX);
    buffer.spend(Cost::Work, count.saturating_mul(chunk))?;
    Ok(buffer.spend(Cost::Memory, whole)?)
}

/// All values in C order, as stored; chunks that are nowhere give the fill value or zeros. Every chunk is asked for at
/// once.
pub(crate) async fn read_values(
    array: &VirtualArray,
    buffer: &SourceBuffer,
) -> Result<Vec<u8>, ValuesError> {
    spend(array, buffer)?;
    let mut values = Values::new(array)?;
    let reads = array
        .chunks
        .iter()
        .map(|(number, entry)| async move { (number, stored_bytes(entry, buffer).await) });
    for (number, bytes) in join_all(reads).await {
        let size = array.chunk_nbytes().ok_or(ValuesError::TooLarge)?;
        let decoded = decode_chunk(&bytes?, &array.codecs, size)
            .map_err(|error| ValuesError::Chunk { number, error })?;
        values.place(number, &decoded);
    }
    Ok(values.bytes)
}

async fn stored_bytes(entry: ChunkEntry, buffer: &SourceBuffer) -> Result<Bytes, DecodeError> {
    match entry {
        ChunkEntry::Inline(bytes) => Ok(bytes),
        ChunkEntry::Virtual { range, .. } => buffer.read("chunk", range.start, range.len).await,
        ChunkEntry::Missing => Ok(Bytes::new()),
    }
}

/// The array under construction; lengths in bytes and elements as `usize`.
struct Values {
    bytes: Vec<u8>,
    grid: Vec<u64>,
    shape: Vec<usize>,
    chunk: Vec<usize>,
    element: usize,
}

impl Values {
    fn new(array: &VirtualArray) -> Result<Self, ValuesError> {
        let narrow = |lengths: &[u64]| {
            let lengths = lengths.iter().map(|length| usize::try_from(*length));
            lengths
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| ValuesError::TooLarge)
        };
        let element = usize::try_from(array.data_type.size()).map_err(|_| ValuesError::TooLarge)?;
        let total = array.nbytes().and_then(|bytes| usize::try_from(bytes).ok());
        let total = total.ok_or(ValuesError::TooLarge)?;
        let bytes = match array.fill_value.as_deref() {
            Some(fill) if fill.len() == element && element > 0 => fill.repeat(total / element),
            _ => vec![0; total],
        };
        Ok(Self {
            bytes,
            grid: array.chunk_grid(),
            shape: narrow(&array.shape)?,
            chunk: narrow(&array.chunk_shape)?,
            element,
        })
    }

    /// Copies the part of a chunk that lies inside the array, row by row of the last dimension.
    fn place(&mut self, number: u64, chunk: &[u8]) {
        let origin: Vec<usize> = coordinates(&self.grid, number)
            .iter()
            .zip(&self.chunk)
            .map(|(at, length)| {
                usize::try_from(*at).map_or(usize::MAX, |at| at.saturating_mul(*length))
            })
            .collect();
        let inside: Vec<usize> = origin
            .iter()
            .zip(&self.shape)
            .zip(&self.chunk)
            .map(|((from, all), length)| all.saturating_sub(*from).min(*length))
            .collect();
        if inside.contains(&0) {
            return;
        }
        let run = inside.last().map_or(1, |last| *last) * self.element;
        let mut at = vec![0usize; inside.len().saturating_sub(1)];
        loop {
            let from = offset(&at, &[], &self.chunk) * self.element;
            let to = offset(&at, &origin, &self.shape) * self.element;
            let source = chunk.get(from..from.saturating_add(run));
            let target = self.bytes.get_mut(to..to.saturating_add(run));
            if let (Some(source), Some(target)) = (source, target) {
                target.copy_from_slice(source);
            }
            if !advance(&mut at, &inside) {
                return;
            }
        }
    }
}

/// Row-major position of `at` (the last coordinate left out) shifted by `origin` in a lattice of `lengths`.
fn offset(at: &[usize], origin: &[usize], lengths: &[usize]) -> usize {
    lengths
        .iter()
        .enumerate()
        .fold(0, |position, (axis, length)| {
            let here = at.get(axis).copied().unwrap_or(0);
            let shift = origin.get(axis).copied().unwrap_or(0);
            position * length + here + shift
        })
}

/// Goes to the next row; `false` after the last.
fn advance(at: &mut [usize], lengths: &[usize]) -> bool {
    for (here, length) in at.iter_mut().zip(lengths).rev() {
        *here += 1;
        if *here < *length {
            return true;
        }
        *here = 0;
    }
    false
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::manifest::ChunkManifest;
    use crate::zarr::DataType;

    fn array(shape: &[u64], chunk_shape: &[u64], chunks: &[(u64, &[u8])]) -> VirtualArray {
        let mut manifest = ChunkManifest::new();
        for (number, bytes) in chunks {
            manifest.insert_inline(*number, Bytes::copy_from_slice(bytes));
        }
        VirtualArray {
            shape: shape.to_vec(),
            chunk_shape: chunk_shape.to_vec(),
            data_type: DataType::UInt(1, crate::zarr::ByteOrder::Little),
            fill_value: Some(vec![9]),
            codecs: Vec::new(),
            dimension_names: Vec::new(),
            attributes: crate::dataset::Attributes::new(),
            chunks: manifest,
            layout: crate::dataset::Layout::Chunked,
        }
    }

    #[rstest]
    #[case::scalar(array(&[], &[], &[(0, &[5])]), &[5])]
    #[case::edge_chunk_is_cut(array(&[3], &[2], &[(0, &[1, 2]), (1, &[3, 0])]), &[1, 2, 3])]
    #[case::missing_chunk_is_filled(array(&[3], &[2], &[(1, &[3, 0])]), &[9, 9, 3])]
    #[case::rows_of_a_plane(
        array(&[3, 3], &[2, 2], &[(0, &[1, 2, 4, 5]), (1, &[3, 0, 6, 0]), (2, &[7, 8, 0, 0]), (3, &[9, 0, 0, 0])]),
        &[1, 2, 3, 4, 5, 6, 7, 8, 9])]
    #[case::nothing(array(&[0, 4], &[1, 4], &[]), &[])]
    fn chunks_are_put_in_their_place(#[case] array: VirtualArray, #[case] values: &[u8]) {
        let buffer = SourceBuffer::new(0, 0);
        let reading = read_values(&array, &buffer);
        let read = futures_util::FutureExt::now_or_never(reading).unwrap();
        assert_eq!(read.unwrap(), values);
    }
}
