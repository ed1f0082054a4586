//! What all readers of one file share: its bytes, its sizes, the budgets, and what was read before.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::poll_fn;
use std::hash::Hash;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker, ready};

use bytes::Bytes;
use futures_util::future::join_all;

use super::cursor::{Cursor, len_u64};
use super::heap::fractal::FractalHeap;
use super::heap::global::Collection;
use super::message::shared::SharedIndex;
use super::model::Geometry;
use crate::decode::{DecodeError, DecodeOptions, SourceBuffer};

/// Half the largest number of entries of a version 1 B-tree's nodes, by what the tree holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeSizes {
    /// Symbols of a symbol table node.
    pub(super) group_leaf: u16,
    /// Children of a node of a group's tree.
    pub(super) group_internal: u16,
    /// Children of a node of a chunk tree.
    pub(super) chunk: u16,
}

impl Default for NodeSizes {
    fn default() -> Self {
        Self {
            group_leaf: 4,
            group_internal: 16,
            chunk: 32,
        }
    }
}

/// Writers put what a small header leads to behind it, more often than not.
pub(super) const READ_AHEAD: u64 = 1024;

/// State of the reading of one file.
pub(super) struct Context<'a> {
    buffer: &'a SourceBuffer,
    geometry: Geometry,
    /// Sizes of version 1 B-trees.
    pub(super) node_sizes: NodeSizes,
    /// Heaps of messages that several objects share.
    pub(super) shared_indexes: Vec<SharedIndex>,
    /// Committed messages by the address of their header and their kind.
    pub(super) committed: Cache<(u64, u16), (Bytes, u64)>,
    /// Heaps of shared messages.
    pub(super) heaps: Cache<u64, Arc<FractalHeap>>,
    /// Collections of the global heap.
    pub(super) collections: Cache<u64, Arc<Collection>>,
    verify_checksums: bool,
    work: Budget,
    chunks: Budget,
    guesses: Budget,
    guessed: Budget,
}

impl<'a> Context<'a> {
    /// For a file with these sizes, before anything but its superblock is known.
    pub(super) fn new(
        buffer: &'a SourceBuffer,
        geometry: Geometry,
        options: &DecodeOptions,
    ) -> Self {
        let file_len = buffer.file_len();
        // A structure is read about once; what lies about this was made to be read over and over.
        let work = (16 << 20) + file_len.saturating_mul(16);
        // A chunk has an entry in its index, or at least an element of data.
        let chunks = options.max_chunks.min((1 << 14) + file_len / 8);
        Self {
            buffer,
            geometry,
            node_sizes: NodeSizes::default(),
            shared_indexes: Vec::new(),
            committed: Cache::default(),
            heaps: Cache::default(),
            collections: Cache::default(),
            verify_checksums: options.verify_checksums,
            work: Budget::new("metadata read", work),
            chunks: Budget::new("number of chunks", chunks),
            guesses: Budget::new("values read ahead", if options.speculate { 32 } else { 0 }),
            guessed: Budget::new("bytes of values read ahead", 256 << 10),
        }
    }

    /// The file's sizes and base address.
    pub(super) const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Length of the file.
    pub(super) const fn file_len(&self) -> u64 {
        self.buffer.file_len()
    }

    /// Exactly `len` bytes at the absolute address `at`.
    pub(super) async fn read(
        &self,
        what: &'static str,
        at: u64,
        len: u64,
    ) -> Result<Bytes, DecodeError> {
        if at.checked_add(len).is_none_or(|end| end > self.file_len()) {
            return Err(DecodeError::PastEnd { what, at });
        }
        self.work.spend(len)?;
        self.buffer.read(what, at, len).await
    }

    /// Up to `len` bytes at the absolute address `at`, fewer where the file ends.
    pub(super) async fn read_up_to(
        &self,
        what: &'static str,
        at: u64,
        len: u64,
    ) -> Result<Bytes, DecodeError> {
        self.work.spend(len.min(self.file_len()))?;
        self.buffer.read_up_to(what, at, len).await
    }

    /// Exactly `len` bytes, read together with what follows them, since that is probably needed next.
    pub(super) async fn read_ahead(
        &self,
        what: &'static str,
        at: u64,
        len: u64,
    ) -> Result<Bytes, DecodeError> {
        let first = self.read_up_to(what, at, len.max(READ_AHEAD)).await?;
        self.complete(what, at, first, len).await
    }

    /// A structure of `len` bytes of which `first` are at hand.
    pub(super) async fn complete(
        &self,
        what: &'static str,
        at: u64,
        first: Bytes,
        len: u64,
    ) -> Result<Bytes, DecodeError> {
        if len > len_u64(first.len()) {
            return self.read(what, at, len).await;
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        Ok(first.slice(..len.min(first.len())))
    }

    /// Asks for bytes that will be needed soon.
    pub(super) fn prefetch(&self, at: u64, len: u64) {
        self.buffer.prefetch(at, len);
    }

    /// Whether so many bytes may be asked for without knowing that they are needed.
    pub(super) fn may_speculate(&self, bytes: u64) -> bool {
        self.guesses.spend(1).is_ok() && self.guessed.spend(bytes).is_ok()
    }

    /// A cursor over bytes read at `at`.
    pub(super) fn cursor<'b>(&self, what: &'static str, at: u64, bytes: &'b Bytes) -> Cursor<'b> {
        Cursor::new(what, at, bytes, self.geometry)
    }

    /// A cursor over bytes that end with a checksum, which is verified.
    pub(super) fn checked<'b>(
        &self,
        what: &'static str,
        at: u64,
        bytes: &'b Bytes,
    ) -> Result<Cursor<'b>, DecodeError> {
        if !self.verify_checksums {
            return Cursor::unchecked(what, at, bytes, self.geometry);
        }
        Cursor::checked(what, at, bytes, self.geometry)
    }

    /// Whether a checksum that does not match is an error.
    pub(super) const fn verify_checksums(&self) -> bool {
        self.verify_checksums
    }

    /// Counts bytes of work that no read stands for: what is parsed again, and what becomes larger in memory.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), DecodeError> {
        self.work.spend(len_u64(bytes))
    }

    /// Counts `count` things of `bytes` each.
    pub(super) fn spend_each(&self, count: usize, bytes: usize) -> Result<(), DecodeError> {
        self.spend(count.saturating_mul(bytes))
    }

    /// The error of the budget of all work, once that is spent: each object tells of it only for itself.
    pub(super) fn check_work(&self) -> Result<(), DecodeError> {
        self.work.check()
    }

    /// Counts one more chunk.
    pub(super) fn count_chunk(&self) -> Result<(), DecodeError> {
        self.chunks.spend(1)
    }
}

/// Waits for all of a set of reads; the first error in their order is the answer.
pub(super) async fn all<T, F>(reads: impl IntoIterator<Item = F>) -> Result<Vec<T>, DecodeError>
where
    F: Future<Output = Result<T, DecodeError>>,
{
    join_all(reads).await.into_iter().collect()
}

struct Budget {
    what: &'static str,
    limit: u64,
    spent: AtomicU64,
    exceeded: AtomicBool,
}

impl Budget {
    const fn new(what: &'static str, limit: u64) -> Self {
        Self {
            what,
            limit,
            spent: AtomicU64::new(0),
            exceeded: AtomicBool::new(false),
        }
    }

    fn spend(&self, amount: u64) -> Result<(), DecodeError> {
        let spent = self.spent.load(Ordering::Relaxed).saturating_add(amount);
        if spent > self.limit {
            self.exceeded.store(true, Ordering::Relaxed);
            return Err(self.error());
        }
        self.spent.store(spent, Ordering::Relaxed);
        Ok(())
    }

    fn check(&self) -> Result<(), DecodeError> {
        match self.exceeded.load(Ordering::Relaxed) {
            true => Err(self.error()),
            false => Ok(()),
        }
    }

    const fn error(&self) -> DecodeError {
        DecodeError::Budget {
            what: self.what,
            limit: self.limit,
        }
    }
}

/// What was parsed before, by its address. Of many who want the same at one time one reads it, and it is counted once:
/// thousands of attributes have their texts in one collection.
pub(super) struct Cache<K, V>(Mutex<HashMap<K, Slot<V>>>);

/// What is known of an address.
enum Slot<V> {
    /// Somebody reads it; these wait.
    Reading(Vec<Waker>),
    Read(Result<V, DecodeError>),
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Hash + Eq + Copy, V: Clone> Cache<K, V> {
    /// The value of a key: what was read before, or what `read` answers, which is polled by one of all who wait.
    pub(super) async fn get_or(
        &self,
        key: K,
        read: impl Future<Output = Result<V, DecodeError>>,
    ) -> Result<V, DecodeError> {
        let mut read = pin!(read);
        let mut reader = None;
        poll_fn(|task| {
            if reader.is_none() {
                if let Some(known) = self.known(key, task.waker()) {
                    return known;
                }
                reader = Some(Reader { cache: self, key });
            }
            let value = ready!(read.as_mut().poll(task));
            self.settle(key, Some(Slot::Read(value.clone())));
            Poll::Ready(value)
        })
        .await
    }

    /// What there is to know for who does not read; `None` where nobody reads, so the caller has to.
    fn known(&self, key: K, waker: &Waker) -> Option<Poll<Result<V, DecodeError>>> {
        match self.lock().entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(Slot::Reading(Vec::new()));
                None
            }
            Entry::Occupied(mut occupied) => Some(match occupied.get_mut() {
                Slot::Read(value) => Poll::Ready(value.clone()),
                Slot::Reading(waiting) => {
                    if !waiting.iter().any(|known| known.will_wake(waker)) {
                        waiting.push(waker.clone());
                    }
                    Poll::Pending
                }
            }),
        }
    }

    /// Ends the reading of a key, and wakes who waits for it.
    fn settle(&self, key: K, slot: Option<Slot<V>>) {
        let mut slots = self.lock();
        let before = match slot {
            Some(slot) => slots.insert(key, slot),
            None => slots.remove(&key),
        };
        drop(slots);
        if let Some(Slot::Reading(waiting)) = before {
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Slot<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who reads for all others. Given up before the end, another one takes over.
struct Reader<'a, K: Hash + Eq + Copy, V: Clone> {
    cache: &'a Cache<K, V>,
    key: K,
}

impl<K: Hash + Eq + Copy, V: Clone> Drop for Reader<'_, K, V> {
    fn drop(&mut self) {
        let is_read = matches!(self.cache.lock().get(&self.key), Some(Slot::Read(_)));
        if !is_read {
            self.cache.settle(self.key, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::{join, pending, ready};

    use super::*;

    #[test]
    fn what_many_want_is_read_once() {
        let cache = Cache::<u64, u32>::default();
        let (send, receive) = futures_util::future::AbortHandle::new_pair();
        let read = futures_util::future::Abortable::new(pending::<u32>(), receive).map(|_| Ok(7));
        let not_again = async { panic!("it is being read") };
        let mut both = Box::pin(join(cache.get_or(1, read), cache.get_or(1, not_again)));
        assert!(both.as_mut().now_or_never().is_none());
        send.abort();
        assert_eq!(both.now_or_never(), Some((Ok(7), Ok(7))));
    }

    #[test]
    fn who_gives_up_leaves_the_reading_to_others() {
        let cache = Cache::<u64, u32>::default();
        let mut first = Box::pin(cache.get_or(1, pending()));
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(cache.get_or(1, ready(Ok(8))));
        assert!(
            second.as_mut().now_or_never().is_none(),
            "the first one reads"
        );
        drop(first);
        assert_eq!(second.as_mut().now_or_never(), Some(Ok(8)));
        assert_eq!(cache.get_or(1, pending()).now_or_never(), Some(Ok(8)));
    }
}
