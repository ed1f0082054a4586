//! Stage 2: drives the decoder with ranged GETs. All policy of reading stands here.
//!
//! Round trips are the cost: the first request reads ahead, everything missing at one depth is fetched at once,
//! and near ranges are merged into one request.

use bytes::Bytes;
use virtualize::{ByteRange, DecodeError, DecodeOptions, Decoded, MetadataDecoder, VirtualDataset};

use crate::stores::blobs::{BlobError, Opened, RangeSource};

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes could not be fetched.
    #[error("could not fetch the metadata")]
    Fetch(#[from] BlobError),
    /// The bytes are not what they should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The structure is deeper than any file's should be.
    #[error("the metadata needs more than {0} dependent reads")]
    TooDeep(u32),
}

/// What reading cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct IoCount {
    /// Requests sent.
    pub requests: u64,
    /// Dependent round trips.
    pub rounds: u32,
    /// Bytes fetched.
    pub bytes: u64,
}

impl IoCount {
    fn of_round(requests: &[ByteRange]) -> Self {
        Self {
            requests: u64::try_from(requests.len()).unwrap_or(u64::MAX),
            rounds: u32::from(!requests.is_empty()),
            bytes: requests.iter().map(|range| range.len).sum(),
        }
    }

    /// Adds what was read after this.
    pub fn add(&mut self, next: Self) {
        self.add_beside(next);
        self.rounds += next.rounds;
    }

    /// Adds what was read at the same time, whose rounds are no further ones.
    pub fn add_beside(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
    }
}

/// How ranges become requests.
#[derive(Debug, Clone, Copy)]
pub struct ReadPolicy {
    /// Bytes fetched from the head of a file in the first round.
    pub head: u64,
    /// Bytes fetched from its tail in the same round; writers put metadata there when closing.
    pub tail: u64,
    /// Of files up to this size the rest is fetched in the second round, if there has to be one.
    pub whole: u64,
    /// Ranges this near to each other are merged, as long as that does not double what is read.
    pub gap: u64,
    /// Bytes between ranges that one round may read in any case.
    pub spare: u64,
    /// Least length of what is fetched: what a structure leads to stands behind it more often than not.
    pub page: u64,
    /// Bytes that a round of few requests reads behind what is wanted, shared among them: what the next rounds want
    /// stands there, as where attributes were written last.
    pub ahead: u64,
    /// Largest request.
    pub request: u64,
}

impl Default for ReadPolicy {
    /// For object stores and web servers: a round trip costs as much as some 100 kB to 1 MB.
    ///
    /// Measured over the public corpus and the files of `benches/remote.py`: a smaller head costs a round on every
    /// third file, a larger gap or page saves few requests for many bytes.
    fn default() -> Self {
        Self {
            head: 256 << 10,
            tail: 32 << 10,
            whole: 2 << 20,
            gap: 64 << 10,
            spare: 1 << 20,
            // HDF5 lays small structures in blocks of this size between the data.
            page: 2 << 10,
            ahead: 64 << 10,
            request: 8 << 20,
        }
    }
}

impl ReadPolicy {
    /// What suits a source.
    pub fn of(source: &dyn RangeSource) -> Self {
        Self::for_reads(source.is_local())
    }

    /// What suits reads that cost next to nothing, or others.
    pub fn for_reads(are_local: bool) -> Self {
        match are_local {
            true => Self::local(),
            false => Self::default(),
        }
    }

    /// For local files, where a request costs next to nothing.
    pub const fn local() -> Self {
        Self {
            head: 64 << 10,
            tail: 0,
            whole: 64 << 10,
            gap: 4 << 10,
            spare: 1 << 20,
            page: 0,
            ahead: 0,
            request: 8 << 20,
        }
    }
}

/// Requests of a round that read ahead.
const FEW: u64 = 8;

/// Most dependent reads before a file is given up; real ones need fewer than ten.
const MAX_ROUNDS: u32 = 256;

/// Reads the virtual dataset of one file, its source filled in.
///
/// # Errors
///
/// [`ReadError`]; [`ReadError::Decode`] is the file's fault, [`ReadError::Fetch`] somebody else's.
pub async fn read_metadata(
    source: &dyn RangeSource,
    options: DecodeOptions,
    policy: ReadPolicy,
) -> Result<(VirtualDataset, IoCount), ReadError> {
    let mut count = IoCount::default();
    let dataset = read_counted(source, options, policy, &mut count).await?;
    Ok((dataset, count))
}

/// The same, with what it costs counted where it is wanted of a file that cannot be read, too.
///
/// # Errors
///
/// As [`read_metadata`].
pub async fn read_counted(
    source: &dyn RangeSource,
    options: DecodeOptions,
    policy: ReadPolicy,
    count: &mut IoCount,
) -> Result<VirtualDataset, ReadError> {
    let described = source.describe();
    let mut decoder = MetadataDecoder::new(described.length, options);
    let mut wanted = Vec::new();
    let is_small = described.length <= policy.whole;
    let opened = source.opened();
    // Not every source can be asked for its end before its length is known.
    let is_tail_read = opened.parts.is_empty()
        || opened
            .parts
            .iter()
            .any(|(range, _)| range.end() == described.length);
    match opened.parts.is_empty() {
        true => wanted = first_ranges(described.length, policy),
        false => count.add(take(&mut decoder, opened)),
    }
    loop {
        fetch(source, &mut decoder, &wanted, policy, count).await?;
        wanted = match decoder.decode()? {
            Decoded::Done(mut dataset) => {
                dataset.sources = vec![described];
                dataset.findings.extend(source.findings());
                return Ok(dataset);
            }
            Decoded::NeedsData(_) if is_small && count.rounds == 1 => {
                let tail = if is_tail_read { policy.tail } else { 0 };
                vec![between(described.length, policy.head, tail)]
            }
            Decoded::NeedsData(ranges) => ahead(&ranges, policy, described.length),
        };
        if count.rounds >= MAX_ROUNDS {
            return Err(ReadError::TooDeep(MAX_ROUNDS));
        }
    }
}

/// Hands over what opening the source has brought, and counts it.
fn take(decoder: &mut MetadataDecoder, opened: Opened) -> IoCount {
    let bytes = opened.parts.iter().map(|(range, _)| range.len).sum();
    for (range, part) in opened.parts {
        decoder.push(range, part);
    }
    IoCount {
        requests: opened.requests,
        rounds: opened.rounds,
        bytes,
    }
}

fn first_ranges(length: u64, policy: ReadPolicy) -> Vec<ByteRange> {
    if length <= policy.head.saturating_add(policy.tail) {
        return vec![ByteRange::new(0, length)];
    }
    let head = ByteRange::new(0, policy.head);
    let tail = ByteRange::new(length.saturating_sub(policy.tail), policy.tail);
    let ranges = [head, tail].into_iter();
    ranges.filter(|range| range.len > 0).collect()
}

/// What the first round has left out.
fn between(length: u64, head: u64, tail: u64) -> ByteRange {
    let end = length.saturating_sub(tail);
    ByteRange::new(head, end.saturating_sub(head))
}

/// What is wanted, and what stands behind it.
fn ahead(ranges: &[ByteRange], policy: ReadPolicy, file_len: u64) -> Vec<ByteRange> {
    let page = |range: &ByteRange| at_least(*range, policy.page, file_len);
    let pages: Vec<ByteRange> = ranges.iter().map(page).collect();
    match u64::try_from(merge(&pages, policy).len()) {
        Ok(count @ 1..=FEW) => {
            let more = policy.ahead / count;
            let longer =
                |range: ByteRange| at_least(range, range.len.saturating_add(more), file_len);
            pages.into_iter().map(longer).collect()
        }
        // Shared among more requests it would reach nothing.
        _ => pages,
    }
}

/// The range, or more behind it.
fn at_least(range: ByteRange, len: u64, file_len: u64) -> ByteRange {
    let inside = file_len.saturating_sub(range.start);
    ByteRange::new(range.start, range.len.max(len.min(inside)))
}

async fn fetch(
    source: &dyn RangeSource,
    decoder: &mut MetadataDecoder,
    wanted: &[ByteRange],
    policy: ReadPolicy,
    count: &mut IoCount,
) -> Result<(), BlobError> {
    let requests = merge(wanted, policy);
    if requests.is_empty() {
        return Ok(());
    }
    for (range, bytes) in requests.iter().zip(source.ranges(&requests).await?) {
        decoder.push(*range, bytes);
    }
    count.add(IoCount::of_round(&requests));
    Ok(())
}

/// Ranges of a source in the order asked for, fetched in one round, near ones by one request; with what it cost.
///
/// # Errors
///
/// [`BlobError`] of the first request that fails.
pub async fn read_ranges(
    source: &dyn RangeSource,
    ranges: &[ByteRange],
) -> Result<(Vec<Bytes>, IoCount), BlobError> {
    let requests = merge(ranges, ReadPolicy::of(source));
    let parts = source.ranges(&requests).await?;
    let cut = |range: &ByteRange| {
        let at = requests.partition_point(|request| request.start <= range.start);
        let at = at.checked_sub(1)?;
        let start = usize::try_from(range.start.checked_sub(requests.get(at)?.start)?).ok()?;
        let end = start.checked_add(usize::try_from(range.len).ok()?)?;
        let part = parts.get(at)?;
        (end <= part.len()).then(|| part.slice(start..end))
    };
    let cuts = ranges.iter().map(|range| cut(range).unwrap_or_default());
    Ok((cuts.collect(), IoCount::of_round(&requests)))
}

/// Merges ranges that are near each other, and cuts none: a range larger than a request stays one request.
fn merge(wanted: &[ByteRange], policy: ReadPolicy) -> Vec<ByteRange> {
    let mut sorted = wanted.to_vec();
    sorted.sort_unstable();
    sorted.retain(|range| range.len > 0);
    let gap = widest_gap(&sorted, policy);
    let mut merged: Vec<ByteRange> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last)
                if range.start <= last.end().saturating_add(gap)
                    && range.end().saturating_sub(last.start) <= policy.request =>
            {
                last.len = last.end().max(range.end()).saturating_sub(last.start);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// The widest gap that is read over: with all that are no wider, at most as much again as is wanted is read.
/// The index of 200 000 small chunks lies all over its file, and merging by nearness alone would read all of it.
fn widest_gap(sorted: &[ByteRange], policy: ReadPolicy) -> u64 {
    let mut gaps: Vec<u64> = Vec::with_capacity(sorted.len());
    let (mut end, mut left) = (u64::MAX, policy.spare);
    for range in sorted {
        gaps.push(range.start.saturating_sub(end));
        left = left.saturating_add(range.len);
        end = range.end().max(if end == u64::MAX { 0 } else { end });
    }
    gaps.sort_unstable();
    let mut widest = 0;
    for gap in gaps.into_iter().take_while(|gap| *gap <= policy.gap) {
        match left.checked_sub(gap) {
            Some(rest) => (widest, left) = (gap, rest),
            // Of equally wide ones all or none are read over.
            None => return widest.min(gap.saturating_sub(1)),
        }
    }
    widest
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const POLICY: ReadPolicy = ReadPolicy {
        head: 60,
        tail: 30,
        whole: 200,
        gap: 10,
        spare: 12,
        page: 0,
        ahead: 0,
        request: 100,
    };

    #[rstest]
    #[case::near(&[(0, 10), (15, 5)], &[(0, 20)])]
    #[case::far(&[(0, 10), (21, 5)], &[(0, 10), (21, 5)])]
    #[case::overlapping_and_unsorted(&[(30, 10), (25, 10), (26, 2)], &[(25, 15)])]
    #[case::not_above_a_request(&[(0, 95), (96, 10)], &[(0, 95), (96, 10)])]
    #[case::nearest_first_while_it_pays(
        &[(0, 1), (11, 1), (20, 1), (30, 1)],
        &[(0, 1), (11, 10), (30, 1)]
    )]
    #[case::equally_near_ones_all_or_none(
        &[(0, 1), (10, 1), (20, 1)],
        &[(0, 1), (10, 1), (20, 1)]
    )]
    #[case::empty_ranges_cost_nothing(&[(5, 0)], &[])]
    fn ranges_become_requests(#[case] wanted: &[(u64, u64)], #[case] requests: &[(u64, u64)]) {
        let ranges = |pairs: &[(u64, u64)]| -> Vec<ByteRange> {
            pairs
                .iter()
                .map(|(start, len)| ByteRange::new(*start, *len))
                .collect()
        };
        assert_eq!(merge(&ranges(wanted), POLICY), ranges(requests));
    }

    #[rstest]
    #[case::small_ones_whole(90, &[(0, 90)])]
    #[case::head_and_tail(1000, &[(0, 60), (970, 30)])]
    #[case::never_twice(91, &[(0, 60), (61, 30)])]
    #[case::empty(0, &[(0, 0)])]
    fn the_first_round_reads_ahead(#[case] length: u64, #[case] ranges: &[(u64, u64)]) {
        let ranges: Vec<ByteRange> = ranges
            .iter()
            .map(|(start, len)| ByteRange::new(*start, *len))
            .collect();
        assert_eq!(first_ranges(length, POLICY), ranges);
    }

    #[rstest]
    #[case::short(10, 4, 8)]
    #[case::long_already(10, 40, 40)]
    #[case::up_to_the_end_of_the_file(95, 2, 5)]
    fn a_page_is_read_at_least(#[case] start: u64, #[case] len: u64, #[case] read: u64) {
        let range = at_least(ByteRange::new(start, len), 8, 100);
        assert_eq!(range, ByteRange::new(start, read));
    }

    #[rstest]
    #[case::one_request_takes_it_all(&[(0, 10), (15, 5)], &[(0, 60)])]
    #[case::several_share_it(&[(0, 10), (300, 10)], &[(0, 30), (300, 30)])]
    #[case::up_to_the_end_of_the_file(&[(980, 10)], &[(980, 20)])]
    fn a_round_reads_ahead(#[case] wanted: &[(u64, u64)], #[case] requests: &[(u64, u64)]) {
        let ranges = |pairs: &[(u64, u64)]| -> Vec<ByteRange> {
            let pairs = pairs.iter();
            pairs
                .map(|(start, len)| ByteRange::new(*start, *len))
                .collect()
        };
        let policy = ReadPolicy {
            ahead: 40,
            ..POLICY
        };
        let read = merge(&ahead(&ranges(wanted), policy, 1000), policy);
        assert_eq!(read, ranges(requests));
    }

    /// A source in memory that counts.
    struct Memory(Bytes, std::sync::Mutex<Vec<ByteRange>>);

    #[async_trait::async_trait]
    impl RangeSource for Memory {
        fn describe(&self) -> virtualize::Source {
            virtualize::Source {
                length: u64::try_from(self.0.len()).unwrap(),
                ..virtualize::Source::default()
            }
        }

        async fn ranges(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, BlobError> {
            self.1.lock().unwrap().extend_from_slice(ranges);
            let index = |at: u64| usize::try_from(at).unwrap();
            let slice = |range: &ByteRange| self.0.slice(index(range.start)..index(range.end()));
            Ok(ranges.iter().map(slice).collect())
        }
    }

    #[tokio::test]
    async fn near_ranges_come_by_one_request_and_in_the_order_asked_for() {
        let bytes: Vec<u8> = (0..200_000u32).map(|at| (at % 251) as u8).collect();
        let source = Memory(Bytes::from(bytes.clone()), std::sync::Mutex::default());
        let wanted = [(150_000, 10), (40, 4), (0, 8), (42, 0)]
            .map(|(start, len)| ByteRange::new(start, len));
        let (parts, count) = read_ranges(&source, &wanted).await.unwrap();
        let expected = [&bytes[150_000..150_010], &bytes[40..44], &bytes[..8], &[]];
        assert_eq!(parts, expected);
        assert_eq!((count.requests, count.rounds, count.bytes), (2, 1, 54));
    }
}
