//! The chunk manifest: for every chunk key of an array, where its bytes are.
//!
//! Kept in columns, since arrays of millions of chunks are ordinary: eight bytes of offset and four (or
//! eight) of length a chunk, and an index only where chunks are missing.

mod inline;

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::decode::ByteRange;
use inline::Inline;

/// Position of a source in [`VirtualDataset::sources`](crate::VirtualDataset).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// Where one chunk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkEntry {
    /// Nowhere: it reads as the fill value.
    Missing,
    /// Its encoded bytes are here.
    Inline(Bytes),
    /// Its encoded bytes lie in a source.
    Virtual {
        /// Which source.
        source: SourceId,
        /// Which bytes of it.
        range: ByteRange,
    },
}

/// Chunk lengths: 32 bits each until one does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Lengths {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

/// The chunks of one array by their linear (row-major) number over the chunk grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkManifest {
    /// Linear number of each row, ascending; `None` while row `i` is chunk `i`.
    numbers: Option<Vec<u64>>,
    offsets: Vec<u64>,
    lengths: Lengths,
    /// From which row on which source holds; ascending by row.
    sources: Vec<(usize, SourceId)>,
    inline: Inline,
}

impl Default for ChunkManifest {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkManifest {
    /// A manifest without chunks.
    pub const fn new() -> Self {
        Self {
            numbers: None,
            offsets: Vec::new(),
            lengths: Lengths::Narrow(Vec::new()),
            sources: Vec::new(),
            inline: Inline::new(),
        }
    }

    /// A manifest whose only chunk, number 0, is inlined.
    pub fn inlined(bytes: Bytes) -> Self {
        let mut manifest = Self::new();
        manifest.insert_inline(0, bytes);
        manifest
    }

    /// A manifest from rows of (chunk number, range) in one source, in any order; of two rows for one chunk the
    /// first stays. Returns the manifest and whether there were such duplicates.
    pub fn from_rows(
        source: SourceId,
        rows: impl IntoIterator<Item = (u64, ByteRange), IntoIter: Clone>,
    ) -> (Self, bool) {
        let rows = rows.into_iter();
        if rows.clone().is_sorted_by(|a, b| a.0 < b.0) {
            return (Self::from_ascending(source, rows), false);
        }
        let mut rows: Vec<(u64, ByteRange)> = rows.collect();
        rows.sort_by_key(|(number, _)| *number);
        let before = rows.len();
        rows.dedup_by_key(|(number, _)| *number);
        let duplicates = rows.len() != before;
        (Self::from_ascending(source, rows.into_iter()), duplicates)
    }

    /// A manifest from rows that ascend by number, without room for more: files of many thousand variables are met.
    pub(crate) fn from_ascending(
        source: SourceId,
        rows: impl Iterator<Item = (u64, ByteRange)> + Clone,
    ) -> Self {
        let mut manifest = Self::new();
        let count = rows.clone().count();
        manifest.offsets.reserve_exact(count);
        manifest.sources.reserve_exact(count.min(1));
        manifest.lengths = Lengths::Narrow(Vec::with_capacity(count));
        for (number, range) in rows {
            manifest.push(number, source, range);
        }
        manifest
    }

    /// Appends a virtual chunk; `number` must be larger than every number appended before (else the row is
    /// dropped and `false` returned).
    pub fn push(&mut self, number: u64, source: SourceId, range: ByteRange) -> bool {
        let row = self.offsets.len();
        let row_number = u64::try_from(row).unwrap_or(u64::MAX);
        if self.last_number().is_some_and(|last| number <= last) {
            return false;
        }
        match &mut self.numbers {
            Some(numbers) => numbers.push(number),
            None if number == row_number => {}
            None => {
                let mut numbers: Vec<u64> = (0..row_number).collect();
                numbers.push(number);
                self.numbers = Some(numbers);
            }
        }
        self.offsets.push(range.start);
        self.lengths.push(range.len);
        if self.sources.last().is_none_or(|(_, last)| *last != source) {
            self.sources.push((row, source));
        }
        true
    }

    /// Puts the encoded bytes of a chunk into the manifest itself; they win over a virtual entry.
    pub fn insert_inline(&mut self, number: u64, bytes: Bytes) {
        self.inline.insert(number, bytes);
    }

    /// The encoded bytes of each inlined chunk.
    pub(crate) fn inlined_mut(&mut self) -> impl Iterator<Item = &mut Bytes> {
        self.inline.values_mut()
    }

    /// Number of chunks that lie in a source.
    pub(crate) fn rows_len(&self) -> u64 {
        u64::try_from(self.offsets.len()).unwrap_or(u64::MAX)
    }

    /// Bytes that their columns take.
    pub(crate) fn row_bytes(&self) -> u64 {
        let row = match (&self.lengths, &self.numbers) {
            (Lengths::Narrow(_), None) => 12,
            (Lengths::Wide(_), None) => 16,
            (Lengths::Narrow(_), Some(_)) => 20,
            (Lengths::Wide(_), Some(_)) => 24,
        };
        let runs = u64::try_from(self.sources.len()).unwrap_or(u64::MAX);
        let rows = self.rows_len().saturating_mul(row);
        rows.saturating_add(runs.saturating_mul(16))
    }

    /// Gives back memory that was reserved for chunks which did not come.
    pub(crate) fn shrink(&mut self) {
        self.offsets.shrink_to_fit();
        self.sources.shrink_to_fit();
        if let Some(numbers) = &mut self.numbers {
            numbers.shrink_to_fit();
        }
        match &mut self.lengths {
            Lengths::Narrow(lengths) => lengths.shrink_to_fit(),
            Lengths::Wide(lengths) => lengths.shrink_to_fit(),
        }
    }

    /// Where chunk `number` is.
    pub fn get(&self, number: u64) -> ChunkEntry {
        if let Some(bytes) = self.inline.get(number) {
            return ChunkEntry::Inline(bytes.clone());
        }
        self.row_of(number)
            .and_then(|row| self.at(row))
            .unwrap_or(ChunkEntry::Missing)
    }

    /// Every chunk that is somewhere, ascending by number.
    pub fn iter(&self) -> impl Iterator<Item = (u64, ChunkEntry)> + '_ {
        let mut inline = self.inline.iter().peekable();
        let mut rows = self.rows().peekable();
        std::iter::from_fn(move || {
            let row = rows.peek().map(|(number, _)| *number);
            let inlined = inline.next_if(|(number, _)| row.is_none_or(|row| *number <= row));
            let Some((number, bytes)) = inlined else {
                return rows.next();
            };
            rows.next_if(|(row, _)| *row == number);
            Some((number, ChunkEntry::Inline(bytes.clone())))
        })
    }

    /// The virtual chunks, ascending by number.
    fn rows(&self) -> impl Iterator<Item = (u64, ChunkEntry)> + '_ {
        let mut sources = self.sources.iter().peekable();
        let mut source = SourceId::default();
        self.offsets
            .iter()
            .enumerate()
            .filter_map(move |(row, start)| {
                while let Some((_, next)) = sources.next_if(|(from, _)| *from <= row) {
                    source = *next;
                }
                let range = ByteRange::new(*start, self.lengths.get(row));
                Some((self.number_of(row)?, ChunkEntry::Virtual { source, range }))
            })
    }

    /// Number of chunks that are somewhere.
    pub fn len(&self) -> usize {
        let both = self
            .inline
            .iter()
            .filter(|(number, _)| self.row_of(*number).is_some())
            .count();
        self.offsets.len() + self.inline.len() - both
    }

    /// Whether no chunk is anywhere.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty() && self.inline.is_empty()
    }

    /// Whether no chunk lies in a source.
    pub fn is_inline(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The sources that chunks lie in.
    pub fn source_ids(&self) -> BTreeSet<SourceId> {
        self.sources.iter().map(|(_, source)| *source).collect()
    }

    /// Stored bytes of all virtual chunks together.
    pub fn stored_bytes(&self) -> u64 {
        (0..self.offsets.len()).fold(0, |sum, row| sum.saturating_add(self.lengths.get(row)))
    }

    fn last_number(&self) -> Option<u64> {
        self.number_of(self.offsets.len().checked_sub(1)?)
    }

    fn number_of(&self, row: usize) -> Option<u64> {
        match &self.numbers {
            Some(numbers) => numbers.get(row).copied(),
            None => u64::try_from(row).ok(),
        }
    }

    fn row_of(&self, number: u64) -> Option<usize> {
        match &self.numbers {
            Some(numbers) => numbers.binary_search(&number).ok(),
            None => usize::try_from(number)
                .ok()
                .filter(|row| *row < self.offsets.len()),
        }
    }

    fn at(&self, row: usize) -> Option<ChunkEntry> {
        let start = *self.offsets.get(row)?;
        let after = self.sources.partition_point(|(from, _)| *from <= row);
        let (_, source) = self.sources.get(after.checked_sub(1)?)?;
        let range = ByteRange::new(start, self.lengths.get(row));
        Some(ChunkEntry::Virtual {
            source: *source,
            range,
        })
    }
}

impl Lengths {
    fn push(&mut self, length: u64) {
        match (&mut *self, u32::try_from(length)) {
            (Self::Narrow(narrow), Ok(length)) => narrow.push(length),
            (Self::Narrow(narrow), Err(_)) => {
                let mut wide: Vec<u64> = narrow.iter().map(|length| u64::from(*length)).collect();
                wide.push(length);
                *self = Self::Wide(wide);
            }
            (Self::Wide(wide), _) => wide.push(length),
        }
    }

    fn get(&self, row: usize) -> u64 {
        match self {
            Self::Narrow(narrow) => narrow.get(row).copied().map_or(0, u64::from),
            Self::Wide(wide) => wide.get(row).copied().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn rows(numbers: &[u64]) -> Vec<(u64, ByteRange)> {
        numbers
            .iter()
            .map(|n| (*n, ByteRange::new(n * 10, n + 1)))
            .collect()
    }

    #[rstest]
    #[case::dense(&[0, 1, 2, 3])]
    #[case::sparse(&[1, 5, 7])]
    #[case::dense_then_sparse(&[0, 1, 5])]
    #[case::unsorted(&[7, 0, 3])]
    #[case::wide_lengths(&[0, 1, u64::from(u32::MAX) + 7])]
    fn a_chunk_is_found_where_it_was_put(#[case] numbers: &[u64]) {
        let (manifest, duplicates) = ChunkManifest::from_rows(SourceId(3), rows(numbers));
        assert!(!duplicates);
        for number in numbers {
            let range = ByteRange::new(number * 10, number + 1);
            let entry = ChunkEntry::Virtual {
                source: SourceId(3),
                range,
            };
            assert_eq!(manifest.get(*number), entry);
        }
        assert_eq!(manifest.get(4), ChunkEntry::Missing);
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        assert_eq!(manifest.iter().map(|(n, _)| n).collect::<Vec<_>>(), sorted);
    }

    #[test]
    fn inline_chunks_win_and_keep_their_place() {
        let (mut manifest, _) = ChunkManifest::from_rows(SourceId(0), rows(&[1, 2, 4]));
        manifest.insert_inline(2, Bytes::from_static(b"two"));
        manifest.insert_inline(3, Bytes::from_static(b"three"));
        assert_eq!(manifest.len(), 4);
        let numbers: Vec<u64> = manifest.iter().map(|(n, _)| n).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        assert_eq!(
            manifest.get(2),
            ChunkEntry::Inline(Bytes::from_static(b"two"))
        );
    }

    #[test]
    fn sources_change_from_row_to_row() {
        let mut manifest = ChunkManifest::new();
        for (number, source) in [(0, 0), (1, 0), (2, 1), (3, 0)] {
            assert!(manifest.push(number, SourceId(source), ByteRange::new(number, 1)));
        }
        let sources: Vec<u32> = manifest
            .iter()
            .filter_map(|(_, entry)| match entry {
                ChunkEntry::Virtual { source, .. } => Some(source.0),
                _ => None,
            })
            .collect();
        assert_eq!(sources, [0, 0, 1, 0]);
        assert!(
            !manifest.push(3, SourceId(0), ByteRange::new(0, 1)),
            "numbers must ascend"
        );
    }
}
