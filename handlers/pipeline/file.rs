//! One file: from the event to its reference.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{error, info, warn};
use virtualize::rules::{self, Finding};
use virtualize::{DecodeError, VirtualDataset};

use super::reading::{decoding_for_all, refused_by_all};
use super::{Pipeline, PipelineError};
use crate::event::{BlobEvent, BlobEventKind};
use crate::group;
use crate::read::{self, IoCount, ReadError, ReadPolicy};
use crate::reference;
use crate::stores::blobs::{BlobError, BlobInfo, BlobPath, PinnedBlob};
use crate::stores::ledger::{
    Fault, FileOutcome, FileState, Landing, ProcessingOptions, Recorded, SourceFile,
};
use crate::stores::queue::Message;
use crate::stores::retry;
use crate::validate;

/// Event Grid waits 30 s for an answer; past this an event is handed over to the queue.
const EVENT_LIMIT: Duration = Duration::from_secs(20);

/// What a file has cost, for its line in the log.
#[derive(Debug, Clone, Copy)]
struct Cost {
    io: IoCount,
    started: std::time::Instant,
}

impl Cost {
    fn begin() -> Self {
        Self {
            io: IoCount::default(),
            started: std::time::Instant::now(),
        }
    }
}

impl Pipeline {
    /// What `BlobEvent` does: records the event, and goes on with the file at once if a permit is free and the
    /// work is quick; else the rest is handed over to `reference-due`.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] only while nothing is recorded, so that Event Grid delivers again.
    pub async fn on_event(&self, event: &BlobEvent) -> Result<(), PipelineError> {
        let until = Instant::now() + EVENT_LIMIT;
        retry::within(EVENT_LIMIT, self.settle_event(event, until)).await
    }

    async fn settle_event(&self, event: &BlobEvent, until: Instant) -> Result<(), PipelineError> {
        match &event.kind {
            BlobEventKind::Created if event.is_placeholder => Ok(()),
            BlobEventKind::Created => self.on_created(event, &event.path, until).await,
            BlobEventKind::Deleted => self.on_gone(&event.path, event.sequencer.as_deref()).await,
            BlobEventKind::Renamed { source } => {
                // Sequencers order the writes to one name only.
                self.on_gone(source, None).await?;
                self.on_created(event, &event.path, until).await
            }
        }
    }

    async fn on_created(
        &self,
        event: &BlobEvent,
        path: &BlobPath,
        until: Instant,
    ) -> Result<(), PipelineError> {
        if !self.is_source(path) {
            warn!(blob.url = %path, event.id = %event.event_id, "Ignored an event for a blob that is no source");
            return Ok(());
        }
        let landing = match tokio::time::timeout_at(until, self.landing(event, path)).await {
            Ok(Ok(Some(landing))) => landing,
            Ok(Ok(None)) => return Ok(()),
            // The message is worth the event: whoever receives it looks for itself.
            Ok(Err(_)) | Err(_) => return self.hand_over(path, Duration::ZERO).await,
        };
        let Some(file) = self.record(&landing).await? else {
            return Ok(());
        };
        let Ok(_permit) = self.reading.try_acquire() else {
            return self.hand_over(path, Duration::ZERO).await;
        };
        // On the heap, so that the many events that wait do not each keep room for it.
        match tokio::time::timeout_at(until, self.process(&file).boxed()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                warn!(blob.url = %path, error = %chain(&error), "Handed a file over to the queue");
                self.hand_over(path, Duration::ZERO).await
            }
            Err(_) => self.hand_over(path, Duration::ZERO).await,
        }
    }

    /// Whether a blob lies where sources are taken from, and is a data file or a declaration by its name.
    pub(super) fn is_source(&self, path: &BlobPath) -> bool {
        self.blobs.is_source(path) && (group::is_data_file(path) || group::is_declaration(path))
    }

    pub(super) async fn hand_over(
        &self,
        path: &BlobPath,
        delay: Duration,
    ) -> Result<(), PipelineError> {
        let message = Message::ReferenceDue {
            blob_url: path.to_string(),
        };
        Ok(self.queue.send(&message, delay).await?)
    }

    /// The version that an event tells of. One without sequencer, version or length is settled by a HEAD.
    async fn landing(
        &self,
        event: &BlobEvent,
        path: &BlobPath,
    ) -> Result<Option<Landing>, PipelineError> {
        let at = Timestamp::now();
        if let (Some(etag), Some(size), Some(_)) = (&event.etag, event.length, &event.sequencer) {
            let (etag, sequencer) = (etag.clone(), event.sequencer.clone());
            return Ok(Some(Landing {
                path: path.clone(),
                etag,
                size,
                sequencer,
                at,
            }));
        }
        let info = self.head(path).await?;
        let sequencer = event.sequencer.clone();
        Ok(info.map(|info| Landing {
            path: path.clone(),
            etag: info.etag,
            size: info.length,
            sequencer,
            at,
        }))
    }

    async fn head(&self, path: &BlobPath) -> Result<Option<BlobInfo>, PipelineError> {
        match self.blobs.head(path).await {
            Ok(info) => Ok(Some(info)),
            Err(BlobError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Persists a landing; gives the file back if something is left to do for it.
    async fn record(&self, landing: &Landing) -> Result<Option<SourceFile>, PipelineError> {
        let recorded = self.ledger.record_landed(landing).await?;
        self.step("after-persist").await;
        match recorded {
            Recorded::New(file) => {
                self.warn_of_change(&file).await?;
                Ok(Some(file))
            }
            Recorded::Known(file)
                if matches!(file.state, FileState::Referenced | FileState::Rejected) =>
            {
                // The messages that should have followed may be lost with a crash.
                self.settle_groups_of(file.id).await?;
                Ok(None)
            }
            Recorded::Known(file) => Ok(Some(file)),
            Recorded::Older(_) => Ok(None),
        }
    }

    /// What `ReferenceDue` does: the same for one file, as it is now.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when a store fails; the message comes again.
    pub async fn on_reference_due(&self, path: &BlobPath) -> Result<(), PipelineError> {
        if !self.is_source(path) {
            warn!(blob.url = %path, "Ignored a message for a blob that is no source");
            return Ok(());
        }
        let Some(info) = self.head(path).await? else {
            return self.forget(path, None).await;
        };
        let known = self.ledger.file(path).await?;
        let sequencer = known.and_then(|file| file.sequencer);
        let at = Timestamp::now();
        let landing = Landing {
            path: path.clone(),
            etag: info.etag,
            size: info.length,
            sequencer,
            at,
        };
        let Some(file) = self.record(&landing).await? else {
            return Ok(());
        };
        // The host receives more messages at once than this instance may read files.
        let _permit = self.reading.acquire().await;
        self.process(&file).await
    }

    /// What `ReferencePoison` does: records that a file could not be read however often it was tried.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when the ledger fails.
    pub async fn on_reference_poison(&self, path: &BlobPath) -> Result<(), PipelineError> {
        let Some(file) = self.ledger.file(path).await? else {
            error!(blob.url = %path, "{} failed too often before it could be recorded", path.short());
            return Ok(());
        };
        let fault = Fault {
            code: String::from("retries_exhausted"),
            message: String::from("the file could not be read, however often it was tried"),
            remediation: Some(String::from(
                "look for its warnings in the log, then replay the file",
            )),
        };
        warn!(blob.url = %path, step = "failed", "{} failed too often", path.short());
        // The status of a series shows its members only.
        self.join_groups(&file, None).await?;
        self.ledger
            .record_outcome(file.id, &file.etag, &FileOutcome::Failed(fault))
            .await?;
        self.settle_groups_of(file.id).await.map(drop)
    }

    async fn on_gone(&self, path: &BlobPath, sequencer: Option<&str>) -> Result<(), PipelineError> {
        // The blob may have been written again since; then its own event tells, and the file is not gone.
        if !self.is_source(path) || self.head(path).await?.is_some() {
            return Ok(());
        }
        self.forget(path, sequencer).await
    }

    async fn forget(&self, path: &BlobPath, sequencer: Option<&str>) -> Result<(), PipelineError> {
        let groups = self.ledger.record_gone(path, sequencer).await?;
        info!(blob.url = %path, groups.count = groups.len(), step = "gone", "{} is gone", path.short());
        for group in groups {
            self.settle(&group).await?;
        }
        match self.ledger.file(path).await? {
            Some(file) => self.warn_of_change(&file).await,
            None => Ok(()),
        }
    }

    /// Reads, validates and references one version of a file, and settles the groups that hold it.
    async fn process(&self, file: &SourceFile) -> Result<(), PipelineError> {
        if group::is_declaration(&file.path) {
            return self.declare_from(file).await;
        }
        let mut cost = Cost::begin();
        self.ledger.record_reading(file.id, &file.etag).await?;
        let options = self.options_for(&file.path).await?;
        let policy = ReadPolicy::for_reads(self.blobs.is_local());
        let known = Some((file.etag.as_str(), file.size));
        let blobs = Arc::clone(&self.blobs);
        let opened = PinnedBlob::open(blobs, &file.path, known, policy.head, policy.tail).await;
        let last_modified = match &opened {
            Ok(source) => source.info().last_modified,
            Err(_) => file.landed_at,
        };
        let read = match opened {
            Ok(source) => {
                let decode = decoding_for_all(&options);
                read::read_counted(&source, decode, policy, &mut cost.io).await
            }
            Err(error) => Err(ReadError::Fetch(error)),
        };
        let dataset = match read {
            Ok(dataset) => dataset,
            Err(ReadError::Fetch(
                BlobError::Changed(_) | BlobError::NotFound(_) | BlobError::OutOfRange { .. },
            )) => {
                // Superseded: the event of the newer version comes, or came already.
                return Ok(());
            }
            Err(ReadError::Fetch(error)) => return Err(error.into()),
            Err(error) => {
                return self
                    .unreadable(file, &error, last_modified, &options, cost)
                    .await;
            }
        };
        let findings = rules::findings(&dataset);
        match refused_by_all(&findings, &options) {
            Some(fault) => self.reject(file, fault, findings, &options, cost).await,
            None => {
                self.publish_reference(file, &dataset, findings, &options, cost)
                    .await
            }
        }
    }

    /// A file that cannot be decoded: rejected, unless it is shorter than it says and may still be growing.
    async fn unreadable(
        &self,
        file: &SourceFile,
        error: &ReadError,
        last_modified: Timestamp,
        options: &[ProcessingOptions],
        cost: Cost,
    ) -> Result<(), PipelineError> {
        let Some(fault) = validate::fault_of(error) else {
            return Ok(());
        };
        let short = matches!(
            error,
            ReadError::Decode(DecodeError::Truncated { .. } | DecodeError::PastEnd { .. })
        );
        let still =
            Duration::try_from(Timestamp::now().duration_since(last_modified)).unwrap_or_default();
        let settle = self.config.pipeline.settle_period;
        if (short || file.size == 0) && still < settle {
            self.ledger
                .record_outcome(file.id, &file.etag, &FileOutcome::Unfinished(fault))
                .await?;
            return self.hand_over(&file.path, settle - still).await;
        }
        self.reject(file, fault, Vec::new(), options, cost).await
    }

    async fn reject(
        &self,
        file: &SourceFile,
        fault: Fault,
        findings: Vec<Finding>,
        options: &[ProcessingOptions],
        Cost { io, started }: Cost,
    ) -> Result<(), PipelineError> {
        warn!(
            blob.url = %file.path, error.code = fault.code, step = "rejected", findings.count = findings.len(),
            bytes.read = io.bytes, requests.count = io.requests, rounds.count = io.rounds, elapsed_ms = millis(started),
            "{} is rejected: {}", file.path.short(), fault.message
        );
        // Membership before the outcome, since a redelivery of a rejected file only settles its groups; and once
        // more behind it, for the series that another file of its name has just opened.
        self.join_groups(file, None).await?;
        let outcome = FileOutcome::Rejected { fault, findings };
        if self
            .ledger
            .record_outcome(file.id, &file.etag, &outcome)
            .await?
            && !self.is_to_be_read_otherwise(file, options).await?
        {
            self.join_groups(file, None).await?;
            self.settle_groups_of(file.id).await?;
        }
        Ok(())
    }

    /// Whether a series that was declared while the file was read wants it read by other options: then it is sent to be
    /// read once more. A declaration that comes later finds the outcome recorded, and does the same itself.
    async fn is_to_be_read_otherwise(
        &self,
        file: &SourceFile,
        options: &[ProcessingOptions],
    ) -> Result<bool, PipelineError> {
        if !self.wants_other_reading(&file.path, options).await? {
            return Ok(false);
        }
        if self.ledger.record_unread(file.id, &file.etag).await? {
            self.hand_over(&file.path, Duration::ZERO).await?;
        }
        Ok(true)
    }

    async fn publish_reference(
        &self,
        file: &SourceFile,
        dataset: &VirtualDataset,
        findings: Vec<Finding>,
        options: &[ProcessingOptions],
        Cost { io, started }: Cost,
    ) -> Result<(), PipelineError> {
        let name = reference::reference_name(&file.path);
        let is_current = || async {
            let now = self.ledger.file_by_id(file.id).await?;
            Ok::<_, PipelineError>(
                now.is_some_and(|now| now.etag == file.etag && now.state != FileState::Gone),
            )
        };
        let document = reference::render(dataset)?;
        let at = self.blobs.silver(&name);
        if !reference::publish(&self.blobs, &at, dataset, &document, is_current).await? {
            return Ok(());
        }
        self.step("after-reference").await;
        let span = options
            .first()
            .and_then(|options| reference::time_span(dataset, &options.concat_dim));
        // Membership first: once the outcome is recorded, a redelivery only settles the file's groups.
        self.join_groups(file, Some(dataset)).await?;
        let outcome = FileOutcome::Referenced {
            reference_path: name,
            findings,
            span,
        };
        if !self
            .ledger
            .record_outcome(file.id, &file.etag, &outcome)
            .await?
            || self.is_to_be_read_otherwise(file, options).await?
        {
            return Ok(());
        }
        let settled = self.settle_groups_of(file.id).await?;
        let progress = Self::progress(&settled);
        info!(
            blob.url = %file.path, step = "referenced", chunks.count = dataset.chunk_count(), reference.bytes = document.len(),
            bytes.read = io.bytes, requests.count = io.requests, rounds.count = io.rounds,
            elapsed_ms = millis(started), group.progress = progress,
            "Referenced {}", file.path.short()
        );
        self.step("after-enqueue").await;
        Ok(())
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

pub(super) fn millis(started: std::time::Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
