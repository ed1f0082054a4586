//! What all readers of one file share: its bytes, its sizes, the budgets, and what was read before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
        let work = (64 << 20) + file_len.saturating_mul(16);
        // Even a chunk of one byte has an entry of several bytes in its index.
        let chunks = options.max_chunks.min((1 << 16) + file_len / 4);
        Self {
            buffer,
            geometry,
            node_sizes: NodeSizes::default(),
            shared_indexes: Vec::new(),
            committed: Cache::default(),
            heaps: Cache::default(),
            collections: Cache::default(),
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
        Cursor::checked(what, at, bytes, self.geometry)
    }

    /// Counts bytes of work that no read stands for.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), DecodeError> {
        self.work.spend(len_u64(bytes))
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
}

impl Budget {
    const fn new(what: &'static str, limit: u64) -> Self {
        Self {
            what,
            limit,
            spent: AtomicU64::new(0),
        }
    }

    fn spend(&self, amount: u64) -> Result<(), DecodeError> {
        let spent = self.spent.load(Ordering::Relaxed).saturating_add(amount);
        if spent > self.limit {
            return Err(DecodeError::Budget {
                what: self.what,
                limit: self.limit,
            });
        }
        self.spent.store(spent, Ordering::Relaxed);
        Ok(())
    }
}

/// What was parsed before, by its address.
pub(super) struct Cache<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: std::hash::Hash + Eq, V: Clone> Cache<K, V> {
    /// The value of a key, if it was put.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.lock().get(key).cloned()
    }

    /// Keeps a value.
    pub(super) fn put(&self, key: K, value: V) {
        self.lock().insert(key, value);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
