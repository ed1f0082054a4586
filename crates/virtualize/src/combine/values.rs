//! Values of small variables: from inlined chunks, or from bytes that the caller fetches.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::Value;

use crate::combine::CombineError;
use crate::combine::coordinates::Verdicts;
use crate::combine::input::Input;
use crate::dataset::VirtualArray;
use crate::decode::ByteRange;
use crate::manifest::{ChunkEntry, SourceId};
use crate::zarr::{ByteOrder, CodecError, DataType, coordinates, decode_chunk};

/// A variable larger than this is never read whole.
const LARGEST: u64 = 256 << 20;

/// The bytes that have been pushed, by source.
#[derive(Debug, Default)]
pub(super) struct Pages {
    by_source: BTreeMap<SourceId, BTreeMap<u64, Bytes>>,
}

impl Pages {
    pub(super) fn push(&mut self, source: SourceId, start: u64, bytes: Bytes) {
        self.by_source
            .entry(source)
            .or_default()
            .insert(start, bytes);
    }

    /// The bytes of a range, if one page covers it.
    pub(super) fn get(&self, source: SourceId, range: ByteRange) -> Option<Bytes> {
        if range.len == 0 {
            return Some(Bytes::new());
        }
        let pages = self.by_source.get(&source)?;
        let before = pages.range(..=range.start).rev().take(64);
        before.into_iter().find_map(|(start, page)| {
            let from = usize::try_from(range.start.checked_sub(*start)?).ok()?;
            let until = from.checked_add(usize::try_from(range.len).ok()?)?;
            (until <= page.len()).then(|| page.slice(from..until))
        })
    }

    /// Lets go of the bytes that a comparison is done with.
    pub(super) fn forget(&mut self, verdicts: &mut Verdicts) {
        for (source, range) in verdicts.take_spent() {
            if let Some(pages) = self.by_source.get_mut(&source) {
                pages.remove(&range.start);
            }
        }
    }
}

/// Reads values and notes what it misses.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pages: &'a Pages,
    needs: BTreeSet<(SourceId, ByteRange)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(pages: &'a Pages) -> Self {
        Self {
            pages,
            needs: BTreeSet::new(),
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.needs.is_empty()
    }

    pub(super) fn into_needs(self) -> Vec<(SourceId, ByteRange)> {
        self.needs.into_iter().collect()
    }

    /// The bytes of a range of a source, or a note that they are missing.
    pub(super) fn stored(&mut self, source: SourceId, range: ByteRange) -> Option<Bytes> {
        let bytes = self.pages.get(source, range);
        if bytes.is_none() {
            self.needs.insert((source, range));
        }
        bytes
    }

    /// All values of a variable in C order, least significant byte first; `None` while bytes are missing.
    pub(super) fn values(
        &mut self,
        input: &Input,
        path: &str,
        array: &VirtualArray,
    ) -> Result<Option<Vec<u8>>, CombineError> {
        let size = array.nbytes().unwrap_or(u64::MAX);
        if size > LARGEST || array.chunk_nbytes().is_none_or(|bytes| bytes > LARGEST) {
            return Err(CombineError::TooLarge {
                file: input.name.clone(),
                variable: path.to_owned(),
                bytes: size,
            });
        }
        let mut waiting = false;
        let read = assemble(array, |entry| match entry {
            ChunkEntry::Missing => Some(None),
            ChunkEntry::Inline(bytes) => Some(Some(bytes)),
            ChunkEntry::Virtual { source, range } => {
                let source = SourceId(source.0.saturating_add(input.base));
                let bytes = self.stored(source, range);
                waiting |= bytes.is_none();
                bytes.map(Some)
            }
        });
        let values = read.map_err(|source| CombineError::Chunk {
            file: input.name.clone(),
            variable: path.to_owned(),
            source,
        })?;
        Ok((!waiting).then(|| to_little_endian(values, &array.data_type)))
    }
}

/// Decodes a chunk; bytes without codecs may run on behind it.
pub(super) fn decoded(bytes: &[u8], array: &VirtualArray) -> Result<Vec<u8>, CodecError> {
    let expected = array.chunk_nbytes().unwrap_or(u64::MAX);
    if !array.codecs.is_empty() {
        return decode_chunk(bytes, &array.codecs, expected);
    }
    let actual = as_u64(bytes.len());
    if actual == expected {
        return Ok(bytes.to_vec());
    }
    Err(CodecError::Size { expected, actual })
}

/// All values of an array, as stored, from its chunks; `fetch` answers `None` for bytes that are not there yet
/// and `Some(None)` for a chunk that is nowhere.
pub(super) fn assemble(
    array: &VirtualArray,
    mut fetch: impl FnMut(ChunkEntry) -> Option<Option<Bytes>>,
) -> Result<Vec<u8>, CodecError> {
    if array.data_type == DataType::VlenString {
        let only = fetch(array.chunks.get(0)).flatten();
        return Ok(only.map(|bytes| bytes.to_vec()).unwrap_or_default());
    }
    let element = match &array.fill_value {
        Some(fill) if as_u64(fill.len()) == array.data_type.size() => fill.clone(),
        _ => vec![0; as_usize(array.data_type.size())],
    };
    let count = array.len().unwrap_or(0);
    let mut out = element.repeat(as_usize(count));
    let grid = array.chunk_grid();
    let chunks = crate::dataset::product(&grid).unwrap_or(0);
    for number in 0..chunks {
        let Some(Some(bytes)) = fetch(array.chunks.get(number)) else {
            continue;
        };
        let chunk = decoded(&bytes, array)?;
        let at: Vec<u64> = coordinates(&grid, number)
            .iter()
            .zip(&array.chunk_shape)
            .map(|(index, len)| index.saturating_mul(*len))
            .collect();
        place(&mut out, array, &chunk, &at);
    }
    Ok(out)
}

/// Copies what of a chunk lies inside the array to where it belongs.
fn place(out: &mut [u8], array: &VirtualArray, chunk: &[u8], origin: &[u64]) {
    let size = array.data_type.size();
    let extent: Vec<u64> = array
        .shape
        .iter()
        .zip(&array.chunk_shape)
        .zip(origin)
        .map(|((len, chunk), at)| (*chunk).min(len.saturating_sub(*at)))
        .collect();
    let (rows, run) = match extent.split_last() {
        Some((last, rest)) => (rest.to_vec(), *last),
        None => (Vec::new(), 1),
    };
    let run = as_usize(run.saturating_mul(size));
    let row_count = crate::dataset::product(&rows).unwrap_or(0);
    for row in 0..row_count {
        let mut inside = coordinates(&rows, row);
        if !array.shape.is_empty() {
            inside.push(0);
        }
        let outside: Vec<u64> = inside
            .iter()
            .zip(origin)
            .map(|(a, b)| a.saturating_add(*b))
            .collect();
        let from = as_usize(offset(&array.chunk_shape, &inside).saturating_mul(size));
        let to = as_usize(offset(&array.shape, &outside).saturating_mul(size));
        let source = chunk.get(from..from.saturating_add(run));
        let target = out.get_mut(to..to.saturating_add(run));
        if let (Some(source), Some(target)) = (source, target) {
            target.copy_from_slice(source);
        }
    }
}

fn offset(shape: &[u64], index: &[u64]) -> u64 {
    shape.iter().zip(index).fold(0, |sum: u64, (len, at)| {
        sum.saturating_mul(*len).saturating_add(*at)
    })
}

/// The same elements with their least significant byte first.
pub(super) fn to_little_endian(mut bytes: Vec<u8>, data_type: &DataType) -> Vec<u8> {
    if data_type.byte_order() == Some(ByteOrder::Big) {
        let size = match data_type {
            DataType::Complex(size, _) => u64::from(*size) / 2,
            other => other.size(),
        };
        bytes
            .chunks_exact_mut(as_usize(size).max(1))
            .for_each(<[u8]>::reverse);
    }
    bytes
}

/// Numbers of any real type, widened; `None` for other types. `bytes` are little-endian.
pub(super) fn numbers(bytes: &[u8], data_type: &DataType) -> Option<Vec<f64>> {
    let little = data_type.to_little_endian();
    let size = as_usize(little.size()).max(1);
    let elements = bytes.chunks_exact(size);
    match little {
        DataType::Float(..) => Some(
            elements
                .map(|e| crate::zarr::float(e, ByteOrder::Little))
                .collect(),
        ),
        #[expect(
            clippy::cast_precision_loss,
            reason = "differences and extents need no more than a float has"
        )]
        DataType::Int(..) => Some(
            elements
                .map(|e| crate::zarr::signed(e, ByteOrder::Little) as f64)
                .collect(),
        ),
        #[expect(
            clippy::cast_precision_loss,
            reason = "differences and extents need no more than a float has"
        )]
        DataType::UInt(..) | DataType::Bool => Some(
            elements
                .map(|e| crate::zarr::unsigned(e, ByteOrder::Little) as f64)
                .collect(),
        ),
        _ => None,
    }
}

/// Index of the first value that stands for a missing one, after the array's fill value or `missing_value`.
/// `bytes` are little-endian.
pub(super) fn first_masked(array: &VirtualArray, bytes: &[u8]) -> Option<usize> {
    let fill = array
        .fill_value
        .clone()
        .map(|fill| to_little_endian(fill, &array.data_type));
    let fill = fill.and_then(|fill| numbers(&fill, &array.data_type)?.first().copied());
    let missing = array.attributes.get("missing_value");
    let listed = missing.and_then(Value::as_array).into_iter().flatten();
    let missing = missing.into_iter().chain(listed).filter_map(Value::as_f64);
    let marks: Vec<f64> = fill.into_iter().chain(missing).collect();
    let stored = numbers(bytes, &array.data_type).filter(|_| !marks.is_empty())?;
    stored.iter().position(|value| marks.contains(value))
}

/// The strings of a vlen-utf8 chunk, each behind its length; what stands behind a damaged one is left out.
pub(super) fn strings(chunk: &[u8]) -> Vec<&[u8]> {
    let mut rest = chunk.get(4..).unwrap_or_default();
    let mut out = Vec::new();
    while let Some((head, _)) = rest.split_first_chunk::<4>() {
        let len = as_usize(u64::from(u32::from_le_bytes(*head))).saturating_add(4);
        let Some((string, behind)) = rest.split_at_checked(len) else {
            break;
        };
        out.push(string);
        rest = behind;
    }
    out
}

/// A vlen-utf8 chunk of strings that stand behind their lengths each.
pub(super) fn string_chunk(strings: &[&[u8]]) -> Vec<u8> {
    let count = u32::try_from(strings.len()).unwrap_or(u32::MAX);
    let mut out = count.to_le_bytes().to_vec();
    strings.iter().for_each(|one| out.extend_from_slice(one));
    out
}

/// A length in memory; what does not fit no slice can have.
pub(super) fn as_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A length as files count.
pub(super) fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
