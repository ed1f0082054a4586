//! The bytes that have been pushed, who waits for which, and what may be spent on them.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use crate::decode::{ByteRange, DecodeError};

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
    pub(super) fn wake_served(&self) {
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

    pub(super) fn missing(&self) -> Result<Vec<ByteRange>, DecodeError> {
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

    #[rstest]
    #[case::inside_one_page(3, 4)]
    #[case::over_the_seam_of_two(8, 4)]
    #[case::over_three(8, 14)]
    #[case::nothing(5, 0)]
    fn pages_are_joined(#[case] at: usize, #[case] len: usize) {
        let file: Vec<u8> = (0..40).collect();
        let buffer = SourceBuffer::new(40, 1000);
        for (from, until) in [(0usize, 10usize), (10, 20), (20, 30), (5, 12)] {
            buffer.push(from as u64, Bytes::copy_from_slice(&file[from..until]));
        }
        let range = ByteRange::new(at as u64, len as u64);
        let got = buffer.lock().get(range).unwrap();
        assert_eq!(got, file[at..at + len]);
    }
}
