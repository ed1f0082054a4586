//! The push decoder: it says which byte ranges it misses, the caller fetches them and pushes them back.
//!
//! The parsers below it are pure functions of bytes. What strings them together is written as straight
//! `async` code over a [`SourceBuffer`], and polled here by hand: everything that can go on does, and when
//! nothing can, the ranges that all of it waits for go to the caller at once. The number of dependent round
//! trips is therefore the depth of the deepest structure and not the number of structures.
//! No runtime takes part; policy (merging, concurrency, retries) is the caller's.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, JoinAll, Ready, join_all, ready};

use crate::dataset::VirtualDataset;
use crate::inspect::Probe;

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

/// An `async` walk over a [`SourceBuffer`], polled by hand.
pub(crate) struct Walk<T> {
    task: Pin<Box<dyn Future<Output = Result<T, DecodeError>> + Send>>,
    woken: Arc<Flag>,
}

impl<T> Walk<T> {
    pub(crate) fn new(task: impl Future<Output = Result<T, DecodeError>> + Send + 'static) -> Self {
        Self {
            task: Box::pin(task),
            woken: Arc::new(Flag(AtomicBool::new(true))),
        }
    }

    /// Polls until the walk ends or nothing more can go on without new bytes.
    pub(crate) fn advance(&mut self, buffer: &SourceBuffer) -> Result<Decoded<T>, DecodeError> {
        buffer.wake_served();
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut context = Context::from_waker(&waker);
        loop {
            self.woken.0.store(false, Ordering::Relaxed);
            if let Poll::Ready(result) = self.task.as_mut().poll(&mut context) {
                return result.map(Decoded::Done);
            }
            // A set of many futures stops after a share of them and wakes itself to go on.
            if !self.woken.0.load(Ordering::Relaxed) {
                return buffer.missing().map(Decoded::NeedsData);
            }
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A future that was polled once: its output, or what waits for bytes.
pub(crate) type Begun<F> = Either<Ready<<F as Future>::Output>, Pin<Box<F>>>;

/// Waits for all of a set of futures. Unlike `join_all` it keeps only those that wait for bytes: of many thousands most
/// end at once, and each takes kilobytes while it is there.
pub(crate) fn settle<F: Future>(futures: impl IntoIterator<Item = F>) -> JoinAll<Begun<F>> {
    // Who waits is polled again, and by then told apart.
    let mut context = Context::from_waker(Waker::noop());
    let begun = futures.into_iter().map(|future| {
        let mut future = Box::pin(future);
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => Either::Left(ready(output)),
            Poll::Pending => Either::Right(future),
        }
    });
    join_all(begun)
}

/// The bytes of one file that have been pushed, and the ranges that somebody waits for.
#[derive(Clone)]
pub struct SourceBuffer {
    file_len: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    pages: BTreeMap<u64, Bytes>,
    waiting: BTreeMap<ByteRange, Vec<Waker>>,
    asked: u64,
    max_bytes: u64,
    worked: u64,
    kept: u64,
}

/// What the values of a file cost beside the reading of its structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Bytes that are inflated, encoded or searched through.
    Work,
    /// Bytes that stay in memory and go into the reference: values, and names that are repeated.
    Memory,
}

impl std::fmt::Debug for SourceBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceBuffer")
            .field("file_len", &self.file_len)
            .finish_non_exhaustive()
    }
}

impl SourceBuffer {
    /// An empty buffer for a file of `file_len` bytes that may ask for `max_bytes` in all.
    pub fn new(file_len: u64, max_bytes: u64) -> Self {
        let state = State {
            max_bytes,
            ..State::default()
        };
        Self {
            file_len,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Length of the file in bytes.
    pub const fn file_len(&self) -> u64 {
        self.file_len
    }

    /// Exactly `len` bytes at `at`, once they are there.
    ///
    /// # Errors
    ///
    /// [`DecodeError::PastEnd`], naming `what`, when the range is not inside the file.
    pub async fn read(&self, what: &'static str, at: u64, len: u64) -> Result<Bytes, DecodeError> {
        let inside = at.checked_add(len).is_some_and(|end| end <= self.file_len);
        if !inside {
            return Err(DecodeError::PastEnd { what, at });
        }
        Ok(Read {
            buffer: self,
            range: ByteRange::new(at, len),
        }
        .await)
    }

    /// Up to `len` bytes at `at`, fewer where the file ends.
    ///
    /// # Errors
    ///
    /// [`DecodeError::PastEnd`] when not one byte lies inside the file.
    pub async fn read_up_to(
        &self,
        what: &'static str,
        at: u64,
        len: u64,
    ) -> Result<Bytes, DecodeError> {
        let left = self.file_len.saturating_sub(at);
        if left == 0 {
            return Err(DecodeError::PastEnd { what, at });
        }
        self.read(what, at, len.min(left)).await
    }

    /// Asks for a range that will probably be needed soon, without waiting for it.
    pub fn prefetch(&self, at: u64, len: u64) {
        let len = len.min(self.file_len.saturating_sub(at));
        if len == 0 {
            return;
        }
        let mut state = self.lock();
        let range = ByteRange::new(at, len);
        if state.get(range).is_none() {
            state.waiting.entry(range).or_default();
        }
    }

    /// Counts what is about to be spent on values. A few kilobytes can inflate to gigabytes, many times over, so the sum
    /// over the whole file is held in proportion to the file.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Budget`]; nothing is spent then.
    pub(crate) fn spend(&self, cost: Cost, amount: u64) -> Result<(), DecodeError> {
        let mut state = self.lock();
        let (spent, what, limit) = match cost {
            Cost::Work => (
                &mut state.worked,
                "decoding of values",
                (64 << 20) + self.file_len.saturating_mul(16),
            ),
            Cost::Memory => (
                &mut state.kept,
                "size of names and inlined values",
                (8 << 20) + self.file_len,
            ),
        };
        let sum = spent.saturating_add(amount);
        if sum > limit {
            return Err(DecodeError::Budget { what, limit });
        }
        *spent = sum;
        Ok(())
    }

    pub(crate) fn push(&self, start: u64, bytes: Bytes) {
        self.lock().insert(start, bytes);
    }

    /// Wakes what waits for ranges that have been pushed; once a round, not once a push.
    fn wake_served(&self) {
        let mut state = self.lock();
        let waiting = std::mem::take(&mut state.waiting);
        let (served, waiting) = waiting
            .into_iter()
            .partition(|(range, _)| state.covers(*range));
        state.waiting = waiting;
        drop(state);
        let served: BTreeMap<ByteRange, Vec<Waker>> = served;
        served.into_values().flatten().for_each(Waker::wake);
    }

    fn missing(&self) -> Result<Vec<ByteRange>, DecodeError> {
        let mut state = self.lock();
        let ranges: Vec<ByteRange> = state.waiting.keys().copied().collect();
        let bytes = ranges
            .iter()
            .fold(0u64, |sum, range| sum.saturating_add(range.len));
        state.asked = state.asked.saturating_add(bytes);
        if state.asked > state.max_bytes {
            return Err(DecodeError::Budget {
                what: "metadata bytes",
                limit: state.max_bytes,
            });
        }
        Ok(ranges)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Stores bytes; a page that another one covers whole is not kept twice.
    fn insert(&mut self, start: u64, bytes: Bytes) {
        let range = ByteRange::new(start, len_of(&bytes));
        if self.covers(range) {
            return;
        }
        // No page lies inside another, so the nearest one before a byte is the one that reaches it, if any does.
        let inside: Vec<u64> = self
            .pages
            .range(start..range.end())
            .filter(|(at, page)| at.saturating_add(len_of(page)) <= range.end())
            .map(|(at, _)| *at)
            .collect();
        for at in inside {
            self.pages.remove(&at);
        }
        match self.pages.get(&start) {
            Some(old) if old.len() >= bytes.len() => {}
            _ => drop(self.pages.insert(start, bytes)),
        }
    }

    fn covers(&self, range: ByteRange) -> bool {
        let mut at = range.start;
        while at < range.end() {
            match self.page_at(at) {
                Some((start, page)) => at = start.saturating_add(len_of(page)),
                None => return false,
            }
        }
        true
    }

    /// The page that holds the byte at `at`.
    fn page_at(&self, at: u64) -> Option<(u64, &Bytes)> {
        let nearest = self.pages.range(..=at).next_back();
        nearest
            .filter(|(start, page)| start.saturating_add(len_of(page)) > at)
            .map(|(start, page)| (*start, page))
    }

    fn get(&self, range: ByteRange) -> Option<Bytes> {
        if range.len == 0 {
            return Some(Bytes::new());
        }
        let whole = |part: &Bytes| len_of(part) == range.len;
        if let Some(bytes) = self.part(range.start, range.len).filter(whole) {
            return Some(bytes);
        }
        self.covers(range).then(|| self.gather(range))
    }

    /// What one page has of `len` bytes at `at`.
    fn part(&self, at: u64, len: u64) -> Option<Bytes> {
        let (start, page) = self.page_at(at)?;
        let from = usize::try_from(at.checked_sub(start)?).ok()?;
        let until = from
            .saturating_add(usize::try_from(len).ok()?)
            .min(page.len());
        Some(page.slice(from..until))
    }

    fn gather(&self, range: ByteRange) -> Bytes {
        let mut out = BytesMut::new();
        let mut at = range.start;
        while at < range.end() {
            let Some(part) = self.part(at, range.end() - at) else {
                break;
            };
            at += len_of(&part);
            out.extend_from_slice(&part);
        }
        out.freeze()
    }
}

fn len_of(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

struct Read<'a> {
    buffer: &'a SourceBuffer,
    range: ByteRange,
}

impl Future for Read<'_> {
    type Output = Bytes;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Bytes> {
        let mut state = self.buffer.lock();
        if let Some(bytes) = state.get(self.range) {
            return Poll::Ready(bytes);
        }
        let wakers = state.waiting.entry(self.range).or_default();
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn file(len: u8) -> Vec<u8> {
        (0..len).collect()
    }

    fn part(file: &[u8], range: ByteRange) -> Bytes {
        let index = |at: u64| usize::try_from(at).unwrap();
        Bytes::copy_from_slice(&file[index(range.start)..index(range.end())])
    }

    fn serve<T>(walk: &mut Walk<T>, buffer: &SourceBuffer, file: &[u8]) -> (T, usize) {
        let mut rounds = 0;
        loop {
            match walk.advance(buffer).unwrap() {
                Decoded::Done(value) => return (value, rounds),
                Decoded::NeedsData(ranges) => {
                    rounds += 1;
                    assert!(!ranges.is_empty(), "waits for nothing");
                    for range in ranges {
                        buffer.push(range.start, part(file, range));
                    }
                }
            }
        }
    }

    #[test]
    fn everything_at_one_depth_is_asked_for_at_once() {
        let file = file(250);
        let buffer = SourceBuffer::new(250, 1000);
        let inner = buffer.clone();
        let mut walk = Walk::new(async move {
            let reads = (0..100u64).map(|i| inner.read("a byte", 2 * i, 2));
            let all = join_all(reads)
                .await
                .into_iter()
                .collect::<Result<Vec<_>, _>>()?;
            Ok(all.iter().map(|b| u32::from(b[0])).sum::<u32>())
        });
        assert_eq!(
            serve(&mut walk, &buffer, &file),
            ((0..100).map(|i| 2 * i).sum(), 1)
        );
    }

    #[rstest]
    #[case::inside_one_page(3, 4)]
    #[case::over_the_seam_of_two(8, 4)]
    #[case::over_three(8, 14)]
    #[case::nothing(5, 0)]
    fn pages_are_joined(#[case] at: u64, #[case] len: u64) {
        let file = file(40);
        let buffer = SourceBuffer::new(40, 1000);
        for (from, until) in [(0usize, 10usize), (10, 20), (20, 30), (5, 12)] {
            buffer.push(from as u64, Bytes::copy_from_slice(&file[from..until]));
        }
        let got = buffer.lock().get(ByteRange::new(at, len)).unwrap();
        assert_eq!(got, part(&file, ByteRange::new(at, len)));
    }

    #[rstest]
    #[case::touches_the_end(228, 28, true)]
    #[case::one_past_the_end(229, 28, false)]
    #[case::length_is_garbage(100, u64::MAX, false)]
    fn a_read_stays_inside_the_file(#[case] at: u64, #[case] len: u64, #[case] fine: bool) {
        let buffer = SourceBuffer::new(256, 1000);
        let inner = buffer.clone();
        let mut walk = Walk::new(async move { inner.read("heap", at, len).await });
        assert_eq!(walk.advance(&buffer).is_ok(), fine);
    }

    #[test]
    fn more_than_the_budget_is_an_error() {
        let buffer = SourceBuffer::new(256, 100);
        let inner = buffer.clone();
        let mut walk = Walk::new(async move { inner.read("heap", 0, 101).await });
        let error = walk.advance(&buffer).unwrap_err();
        assert_eq!(
            error,
            DecodeError::Budget {
                what: "metadata bytes",
                limit: 100
            }
        );
    }
}
