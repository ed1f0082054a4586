//! Events once more: those that somebody kept, those that Event Grid gave up, and those that a container's blobs
//! should have had. Each becomes a `reference-due` message; whoever receives it looks for itself what is there.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use tracing::{error, info};

use super::{Pipeline, PipelineError};
use crate::event::{self, BlobEvent, BlobEventKind};
use crate::stores::blobs::{BlobError, BlobInfo, BlobPath, Blobs, PutCondition};

/// Messages on their way at one time.
const SENDS_AT_ONCE: usize = 16;

/// Where dead letters are kept once they were driven again, beside the others.
const REDRIVEN: &str = "redriven/";

/// Where those are kept that cannot be read.
const REFUSED: &str = "refused/";

/// Largest dead letter; Event Grid's events are at most 1 MiB.
const MAX_LETTER: u64 = 8 << 20;

/// What a replay came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Replayed {
    /// Events, dead letters or blobs that were looked at.
    pub found: u64,
    /// Blobs sent to `reference-due`.
    pub sent: u64,
    /// Of `found`, those that are of no source, older than asked for, or cannot be read.
    pub passed_over: u64,
}

impl Replayed {
    pub(super) fn add(&mut self, other: Self) {
        self.found += other.found;
        self.sent += other.sent;
        self.passed_over += other.passed_over;
    }
}

impl Pipeline {
    /// Drives events again.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when a message cannot be sent.
    pub async fn replay_events(&self, events: &[BlobEvent]) -> Result<Replayed, PipelineError> {
        let mut replayed = Replayed::default();
        let mut due = Vec::new();
        for event in events {
            let before = due.len();
            let old_name = match &event.kind {
                BlobEventKind::Renamed { source } => Some(source),
                BlobEventKind::Created | BlobEventKind::Deleted => None,
            };
            due.extend(
                std::iter::once(&event.path)
                    .chain(old_name)
                    .filter(|path| self.is_source(path))
                    .cloned(),
            );
            replayed.found += 1;
            replayed.passed_over += u64::from(due.len() == before);
        }
        replayed.sent = self.send_all(&due).await?;
        Ok(replayed)
    }

    /// Makes the events of the blobs below a prefix that changed at `since` or later.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when the container cannot be listed or a message cannot be sent; to do it again is safe.
    pub async fn replay_below(
        &self,
        prefix: &BlobPath,
        since: Option<Timestamp>,
    ) -> Result<Replayed, PipelineError> {
        let mut replayed = Replayed::default();
        let mut pages = self.blobs.list_pages(prefix);
        let is_due = |info: &BlobInfo| {
            since.is_none_or(|since| info.last_modified >= since) && self.is_source(&info.path)
        };
        while let Some(page) = pages.try_next().await? {
            let found = page.len();
            let due: Vec<BlobPath> = page
                .into_iter()
                .filter(is_due)
                .map(|info| info.path)
                .collect();
            replayed.add(Replayed {
                found: count(found),
                sent: self.send_all(&due).await?,
                passed_over: count(found - due.len()),
            });
        }
        info!(blob.url = %prefix, sent.count = replayed.sent, step = "replayed", "Replayed {}", prefix.short());
        Ok(replayed)
    }

    /// Drives the events again that Event Grid gave up at `since` or later, and puts their letters aside.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when letters cannot be read or moved, or a message cannot be sent; those that were not
    /// moved are driven again the next time.
    pub async fn redrive_dead_letters(
        &self,
        since: Option<Timestamp>,
    ) -> Result<Replayed, PipelineError> {
        let mut replayed = Replayed::default();
        let Some(store) = &self.dead_letters else {
            return Ok(replayed);
        };
        let root = store.silver("");
        let mut pages = store.list_pages(&root);
        let is_due = |info: &BlobInfo| {
            let name = &info.path.blob;
            let is_aside = name.starts_with(REDRIVEN) || name.starts_with(REFUSED);
            !is_aside && since.is_none_or(|since| info.last_modified >= since)
        };
        while let Some(page) = pages.try_next().await? {
            for letter in page.iter().filter(|letter| is_due(letter)) {
                replayed.add(self.redrive(store.as_ref(), letter).await?);
            }
        }
        Ok(replayed)
    }

    async fn redrive(
        &self,
        store: &dyn Blobs,
        letter: &BlobInfo,
    ) -> Result<Replayed, PipelineError> {
        let unread = Replayed {
            found: 1,
            sent: 0,
            passed_over: 1,
        };
        if letter.length > MAX_LETTER {
            error!(blob.url = %letter.path, "Passed over a dead letter of {} bytes", letter.length);
            return Ok(unread);
        }
        let bytes = match store.get(&letter.path).await {
            // Another instance was here first.
            Err(BlobError::NotFound(_)) => return Ok(Replayed::default()),
            got => got?.0,
        };
        let (replayed, aside) = match event::stored_events(&bytes) {
            Ok(events) => (self.replay_events(&events).await?, REDRIVEN),
            Err(error) => {
                error!(blob.url = %letter.path, "Refused a dead letter: {error}");
                (unread, REFUSED)
            }
        };
        let name = format!("{aside}{}", letter.path.blob);
        let to = letter.path.sibling(name);
        store.put(&to, bytes, PutCondition::Always).await?;
        store.delete(&letter.path).await?;
        info!(blob.url = %letter.path, sent.count = replayed.sent, step = "redriven", "Drove a dead letter again");
        Ok(replayed)
    }

    /// Sends every blob to `reference-due`.
    pub(super) async fn send_all(&self, paths: &[BlobPath]) -> Result<u64, PipelineError> {
        let sends = paths
            .iter()
            .map(|path| self.hand_over(path, Duration::ZERO).boxed());
        stream::iter(sends.collect::<Vec<_>>())
            .buffer_unordered(SENDS_AT_ONCE)
            .try_for_each(|()| std::future::ready(Ok(())))
            .await?;
        Ok(count(paths.len()))
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
