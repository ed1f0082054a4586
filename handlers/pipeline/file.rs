//! One file: from the event to its reference and to the groups that hold it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};
use virtualize::rules::Finding;
use virtualize::{DecodeError, DecodeOptions, VirtualDataset};

use super::{Pipeline, PipelineError};
use crate::event::{BlobEvent, BlobEventKind};
use crate::group::{self, Submission};
use crate::read::{self, IoCount, ReadError, ReadPolicy};
use crate::reference::{self, Published};
use crate::stores::blobs::{BlobError, BlobInfo, BlobPath, PinnedBlob};
use crate::stores::ledger::ids;
use crate::stores::ledger::{
    Declaration, Declared, Expected, Fault, FileOutcome, FileState, GroupId, Landing, LedgerError,
    Origin, ProcessingOptions, Recorded, Settled, SourceFile,
};
use crate::stores::queue::Message;
use crate::validate;

/// Event Grid waits 30 s for an answer; past this an event is handed over to the queue.
const EVENT_LIMIT: Duration = Duration::from_secs(20);

impl Pipeline {
    /// What `BlobEvent` does: records the event, and goes on with the file at once if a permit is free and the
    /// work is quick; else the rest is handed over to `reference-due`.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] only while nothing is recorded, so that Event Grid delivers again.
    pub async fn on_event(&self, event: &BlobEvent) -> Result<(), PipelineError> {
        match &event.kind {
            BlobEventKind::Created if event.is_placeholder => Ok(()),
            BlobEventKind::Created => self.on_created(event, &event.path).await,
            BlobEventKind::Deleted => self.on_gone(event).await,
            BlobEventKind::Renamed { destination } => {
                self.on_gone(event).await?;
                let moved = BlobEvent {
                    etag: None,
                    sequencer: None,
                    ..event.clone()
                };
                self.on_created(&moved, destination).await
            }
            BlobEventKind::Other(kind) => {
                warn!(event.id = %event.event_id, "Ignored an event of type {kind}");
                Ok(())
            }
        }
    }

    async fn on_created(&self, event: &BlobEvent, path: &BlobPath) -> Result<(), PipelineError> {
        if !self.is_source(path) {
            warn!(blob.url = %path, event.id = %event.event_id, "Ignored an event for a blob that is no source");
            return Ok(());
        }
        let Some(landing) = self.landing(event, path).await? else {
            return Ok(());
        };
        let Some(file) = self.record(&landing).await? else {
            return Ok(());
        };
        let Ok(_permit) = self.reading.try_acquire() else {
            return self.hand_over(path, Duration::ZERO).await;
        };
        match tokio::time::timeout(EVENT_LIMIT, self.process(&file)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                warn!(blob.url = %path, error = %chain(&error), "Handed a file over to the queue");
                self.hand_over(path, Duration::ZERO).await
            }
            Err(_) => self.hand_over(path, Duration::ZERO).await,
        }
    }

    /// Whether a blob lies where sources are taken from, and is a data file or a declaration by its name.
    fn is_source(&self, path: &BlobPath) -> bool {
        self.blobs.is_source(path) && (group::is_data_file(path) || group::is_declaration(path))
    }

    async fn hand_over(&self, path: &BlobPath, delay: Duration) -> Result<(), PipelineError> {
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
            Recorded::New(file) => Ok(Some(file)),
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
        match self.record(&landing).await? {
            Some(file) => self.process(&file).await,
            None => Ok(()),
        }
    }

    /// What `ReferencePoison` does: records that a file could not be read however often it was tried.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when the ledger fails.
    pub async fn on_reference_poison(&self, path: &BlobPath) -> Result<(), PipelineError> {
        let Some(file) = self.ledger.file(path).await? else {
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

    async fn on_gone(&self, event: &BlobEvent) -> Result<(), PipelineError> {
        // The blob may have been written again since; then its own event tells, and the file is not gone.
        if !self.is_source(&event.path) || self.head(&event.path).await?.is_some() {
            return Ok(());
        }
        self.forget(&event.path, event.sequencer.as_deref()).await
    }

    async fn forget(&self, path: &BlobPath, sequencer: Option<&str>) -> Result<(), PipelineError> {
        let groups = self.ledger.record_gone(path, sequencer).await?;
        info!(blob.url = %path, groups.count = groups.len(), step = "gone", "{} is gone", path.short());
        for group in groups {
            self.settle(&group).await?;
        }
        Ok(())
    }

    /// Reads, validates and references one version of a file, and settles the groups that hold it.
    async fn process(&self, file: &SourceFile) -> Result<(), PipelineError> {
        if group::is_declaration(&file.path) {
            return self.declare_from(file).await;
        }
        let started = std::time::Instant::now();
        self.ledger.record_reading(file.id, &file.etag).await?;
        let info = BlobInfo {
            path: file.path.clone(),
            etag: file.etag.clone(),
            length: file.size,
            last_modified: self.last_modified(file).await?,
        };
        let last_modified = info.last_modified;
        let options = self.options_for(&file.path).await?;
        let source = PinnedBlob::new(std::sync::Arc::clone(&self.blobs), info);
        let read =
            read::read_metadata(&source, decode_options(&options), ReadPolicy::default()).await;
        let (dataset, io) = match read {
            Ok(read) => read,
            Err(ReadError::Fetch(
                BlobError::Changed(_) | BlobError::NotFound(_) | BlobError::OutOfRange { .. },
            )) => {
                // Superseded: the event of the newer version comes, or came already.
                return Ok(());
            }
            Err(ReadError::Fetch(error)) => return Err(error.into()),
            Err(error) => return self.unreadable(file, &error, last_modified).await,
        };
        let (findings, fault) = validate::validate(&dataset, &options);
        match fault {
            Some(fault) => self.reject(file, fault, findings).await,
            None => {
                self.publish_reference(file, &dataset, findings, &options, io, started)
                    .await
            }
        }
    }

    async fn last_modified(&self, file: &SourceFile) -> Result<Timestamp, PipelineError> {
        let info = self
            .head(&file.path)
            .await?
            .filter(|info| info.etag == file.etag);
        Ok(info.map_or(file.landed_at, |info| info.last_modified))
    }

    /// The options of the declared group that takes the file, or the defaults.
    async fn options_for(&self, path: &BlobPath) -> Result<ProcessingOptions, PipelineError> {
        let groups = self.ledger.declared_groups_for(path).await?;
        let taking = groups
            .into_iter()
            .find(|group| group::takes(&group.declaration, path));
        Ok(taking
            .map(|group| group.declaration.options)
            .unwrap_or_default())
    }

    /// A file that cannot be decoded: rejected, unless it is shorter than it says and may still be growing.
    async fn unreadable(
        &self,
        file: &SourceFile,
        error: &ReadError,
        last_modified: Timestamp,
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
        self.reject(file, fault, Vec::new()).await
    }

    async fn reject(
        &self,
        file: &SourceFile,
        fault: Fault,
        findings: Vec<Finding>,
    ) -> Result<(), PipelineError> {
        warn!(
            blob.url = %file.path, error.code = fault.code, step = "rejected",
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
        {
            self.join_groups(file, None).await?;
            self.settle_groups_of(file.id).await?;
        }
        Ok(())
    }

    async fn publish_reference(
        &self,
        file: &SourceFile,
        dataset: &VirtualDataset,
        findings: Vec<Finding>,
        options: &ProcessingOptions,
        io: IoCount,
        started: std::time::Instant,
    ) -> Result<(), PipelineError> {
        let name = reference::reference_name(&file.path);
        let is_current = async {
            let now = self.ledger.file_by_id(file.id).await?;
            Ok::<_, PipelineError>(
                now.is_some_and(|now| now.etag == file.etag && now.state != FileState::Gone),
            )
        };
        let published =
            reference::publish(&self.blobs, &reference::silver(&name), dataset, is_current).await?;
        let Published::Written(size) = published else {
            return Ok(());
        };
        self.step("after-reference").await;
        let span = reference::time_span(dataset, &options.concat_dim);
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
        {
            return Ok(());
        }
        let settled = self.settle_groups_of(file.id).await?;
        let chunks: usize = dataset
            .root
            .walk()
            .iter()
            .map(|(_, array)| array.chunks.len())
            .sum();
        let progress = self.progress(&settled).await?;
        info!(
            blob.url = %file.path, step = "referenced", chunks.count = chunks, reference.bytes = size,
            bytes.read = io.bytes, requests.count = io.requests, rounds.count = io.rounds,
            elapsed_ms = millis(started), group.progress = progress,
            "Referenced {}", file.path.short()
        );
        self.step("after-enqueue").await;
        Ok(())
    }

    /// Makes the file a member of the groups that take it.
    async fn join_groups(
        &self,
        file: &SourceFile,
        dataset: Option<&VirtualDataset>,
    ) -> Result<(), PipelineError> {
        let declared = self.ledger.declared_groups_for(&file.path).await?;
        let taking: Vec<_> = declared
            .iter()
            .filter(|group| group::takes(&group.declaration, &file.path))
            .collect();
        for group in &taking {
            self.ledger.add_member(&group.id, file.id, true).await?;
        }
        match dataset {
            _ if !taking.is_empty() || !self.config.pipeline.auto_group => Ok(()),
            Some(dataset) => self.join_by_name(file, dataset).await,
            None => self.block_by_name(file).await,
        }
    }

    /// Joins the series of the file's name, and has the rejected files of that name block it: a series that
    /// silently lacks a file would be wrong.
    async fn join_by_name(
        &self,
        file: &SourceFile,
        dataset: &VirtualDataset,
    ) -> Result<(), PipelineError> {
        let quiet = self.config.pipeline.quiet_period;
        let declaration = group::auto_declaration(&file.path, dataset, quiet, Timestamp::now());
        let declared = match self.ledger.declare_group(&declaration).await {
            Err(LedgerError::Conflict(conflict)) => {
                warn!(blob.url = %file.path, "{} is in no series: {conflict}", file.path.short());
                return Ok(());
            }
            other => other?,
        };
        let group = &declared.group.id;
        self.ledger.add_member(group, file.id, false).await?;
        if declared.is_new {
            let same = group::series_of(&file.path);
            let below = self.ledger.files_below(&declaration.prefix).await?;
            for other in below
                .iter()
                .filter(|other| other.state == FileState::Rejected)
            {
                if group::series_of(&other.path) == same && group::is_data_file(&other.path) {
                    self.ledger.add_member(group, other.id, false).await?;
                }
            }
        }
        Ok(())
    }

    /// A rejected file shows no variables; it joins, and so blocks, the undeclared series of its name.
    async fn block_by_name(&self, file: &SourceFile) -> Result<(), PipelineError> {
        let name = group::series_of(&file.path);
        let asset = ids::asset_id(group::AUTO_PLATFORM, &name.dataset_id, &name.resource_id);
        let group = ids::group_id(&asset);
        match self.ledger.group(&group).await? {
            Some(found) if found.declaration.origin == Origin::Auto => {
                Ok(self.ledger.add_member(&group, file.id, false).await?)
            }
            _ => Ok(()),
        }
    }

    /// `arrived/expected` of the first group, for the person at the terminal.
    async fn progress(&self, settled: &[Settled]) -> Result<String, PipelineError> {
        let Some(first) = settled.first() else {
            return Ok(String::new());
        };
        let members = self.ledger.members(&first.group.id).await?;
        let arrived = members
            .iter()
            .filter(|file| file.state == FileState::Referenced)
            .count();
        let declaration = &first.group.declaration;
        let expected = match &declaration.options.expected {
            Some(Expected::Files(names)) => names.len().to_string(),
            Some(Expected::Count(count)) => count.to_string(),
            _ => String::from("?"),
        };
        Ok(format!("{} {arrived}/{expected}", declaration.dataset_id))
    }

    /// A `landfall.json`: declares the series of its folder.
    async fn declare_from(&self, file: &SourceFile) -> Result<(), PipelineError> {
        let (bytes, info) = match self.blobs.get(&file.path).await {
            Err(BlobError::NotFound(_) | BlobError::Changed(_)) => return Ok(()),
            other => other?,
        };
        if info.etag != file.etag {
            return Ok(());
        }
        let home = file.path.sibling(file.path.folder());
        let declaration =
            serde_json::from_slice::<Submission>(&bytes).map_err(|error| error.to_string());
        let declaration = declaration.and_then(|submission| {
            let declared = submission.into_declaration(Origin::File, &home, Timestamp::now());
            declared.map_err(|error| error.to_string())
        });
        let declaration = declaration.and_then(|declaration| stays_at_home(declaration, &home));
        let outcome = match declaration {
            Ok(declaration) => self.declare_and_record(file, declaration).await?,
            Err(message) => refused_declaration(&message),
        };
        if let FileOutcome::Rejected { fault, .. } = &outcome {
            warn!(blob.url = %file.path, step = "rejected", "{} is rejected: {}", file.path.short(), fault.message);
        }
        self.ledger
            .record_outcome(file.id, &file.etag, &outcome)
            .await?;
        Ok(())
    }

    async fn declare_and_record(
        &self,
        file: &SourceFile,
        declaration: Declaration,
    ) -> Result<FileOutcome, PipelineError> {
        let reference_path = file.path.blob.clone();
        match self.submit(declaration).await {
            Ok(_) => Ok(FileOutcome::Referenced {
                reference_path,
                findings: Vec::new(),
                span: None,
            }),
            Err(PipelineError::Ledger(LedgerError::Conflict(conflict))) => {
                Ok(refused_declaration(&conflict.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// Declares a group, and takes in the files that are there already. A declaration that says nothing about
    /// completeness expects what a scan finds now, or else waits for a quiet period from the first file.
    ///
    /// # Errors
    ///
    /// [`PipelineError`]; a contradiction is a [`LedgerError::Conflict`].
    pub async fn submit(&self, mut declaration: Declaration) -> Result<Declared, PipelineError> {
        let found = self.scan(&declaration).await?;
        if declaration.options.expected.is_none() {
            declaration.options.expected = Some(match found.is_empty() {
                true => Expected::QuietPeriod(String::from("PT10M")),
                false => Expected::Files(found.iter().map(|info| info.path.to_string()).collect()),
            });
        }
        let mut declared = self.ledger.declare_group(&declaration).await?;
        info!(
            group.id = %declared.group.id, dataset.id = declaration.dataset_id, step = "declared",
            release.id = declared.group.release_id, "Declared {}/{}", declaration.dataset_id, declaration.resource_id
        );
        self.take_in(&declared.group.id, &declaration, &found)
            .await?;
        declared.group = self.settle(&declared.group.id).await?.group;
        Ok(declared)
    }

    /// The blobs below a declaration's prefix that it takes.
    async fn scan(&self, declaration: &Declaration) -> Result<Vec<BlobInfo>, PipelineError> {
        let listed = self.blobs.list(&declaration.prefix).await?;
        let folder = declaration.prefix.blob.trim_end_matches('/');
        let below = |blob: &str| {
            let rest = blob.strip_prefix(folder);
            folder.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let takes =
            |info: &BlobInfo| below(&info.path.blob) && group::takes(declaration, &info.path);
        Ok(listed.into_iter().filter(takes).collect())
    }

    /// Files that are known join at once, those among them that landed after the scan and were through before there
    /// was a group to join; files that no event announced are sent to `reference-due`.
    async fn take_in(
        &self,
        group: &GroupId,
        declaration: &Declaration,
        found: &[BlobInfo],
    ) -> Result<(), PipelineError> {
        let mut known = self.ledger.files_below(&declaration.prefix).await?;
        known.retain(|file| group::takes(declaration, &file.path));
        for file in &known {
            self.ledger.add_member(group, file.id, true).await?;
        }
        let versions: BTreeMap<_, _> = known.iter().map(|file| (&file.path, &file.etag)).collect();
        for info in found {
            if versions.get(&info.path) != Some(&&info.etag) {
                self.hand_over(&info.path, Duration::ZERO).await?;
            }
        }
        Ok(())
    }
}

fn refused_declaration(message: &str) -> FileOutcome {
    let fault = Fault {
        code: String::from("declaration_invalid"),
        message: message.to_owned(),
        remediation: Some(String::from("correct landfall.json and upload it again")),
    };
    FileOutcome::Rejected {
        fault,
        findings: Vec::new(),
    }
}

/// A `landfall.json` speaks for its own prefix only, and never overwrites.
fn stays_at_home(declaration: Declaration, home: &BlobPath) -> Result<Declaration, String> {
    let prefix = &declaration.prefix;
    let folder = home.blob.trim_end_matches('/');
    let inside = prefix.blob.trim_end_matches('/') == folder
        || prefix.blob.starts_with(&format!("{folder}/"));
    if prefix.account != home.account
        || prefix.container != home.container
        || !(folder.is_empty() || inside)
    {
        return Err(format!(
            "source_url: {} is outside {}",
            prefix.short(),
            home.short()
        ));
    }
    if declaration.options.overwrite {
        return Err(String::from(
            "processing_options.overwrite: landfall.json never overwrites; submit does",
        ));
    }
    Ok(declaration)
}

fn decode_options(options: &ProcessingOptions) -> DecodeOptions {
    DecodeOptions {
        concat_dim: options.concat_dim.clone(),
        inline_max_bytes: options.inline_max_bytes,
        ..DecodeOptions::default()
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
