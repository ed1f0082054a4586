//! Inventories: scans that go on while somebody waits. How far one is stands in silver, where every instance sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tracing::{Instrument as _, error, info};

use super::{Pipeline, PipelineError, chain};
use crate::group::Submission;
use crate::inventory::{Inventory, Progress, Scan, Series, Wanted};
use crate::stores::blobs::{BlobError, BlobPath, PutCondition};
use crate::stores::ledger::Origin;

/// How often the state of a scan is written at most.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Pause before what was just replaced is read again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A scan that has told nothing for that long has ended with its instance.
const STALLED_AFTER: Duration = Duration::from_secs(300);

/// What an inventory is made of.
#[derive(Debug, Clone)]
pub struct InventoryRequest {
    /// Which blobs.
    pub wanted: Wanted,
    /// Whether every series is submitted.
    pub submit: bool,
}

/// An inventory that goes on.
struct Run {
    id: String,
    request: InventoryRequest,
    started_at: Timestamp,
    told: Instant,
}

impl Run {
    fn new(request: InventoryRequest) -> Self {
        let started_at = Timestamp::now();
        let identity = format!(
            "{}|{}|{}",
            request.wanted.prefix,
            request.wanted.file_pattern,
            started_at.as_nanosecond()
        );
        let digest = Sha256::digest(identity);
        Self {
            id: digest
                .iter()
                .take(16)
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            request,
            started_at,
            told: Instant::now(),
        }
    }

    fn document(&self, state: &str, progress: Progress) -> Value {
        json!({
            "inventory_id": self.id,
            "state": state,
            "source_url": self.request.wanted.prefix.to_string(),
            "recursive": self.request.wanted.recursive,
            "file_pattern": self.request.wanted.file_pattern.as_str(),
            "submit": self.request.submit,
            "started_at": self.started_at,
            "updated_at": Timestamp::now(),
            "progress": progress,
        })
    }
}

impl Pipeline {
    /// Begins an inventory and returns what is known of it so far; the scan goes on by itself.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when silver cannot be written.
    pub async fn begin_inventory(
        self: &Arc<Self>,
        request: InventoryRequest,
    ) -> Result<Value, PipelineError> {
        let mut run = Run::new(request);
        let document = run.document("running", Progress::default());
        self.tell_inventory(&run.id, &document).await?;
        let span = tracing::info_span!("inventory", inventory.id = run.id);
        let pipeline = Arc::clone(self);
        let work = async move { pipeline.run_inventory(&mut run).await }.boxed();
        tokio::spawn(work.instrument(span));
        Ok(document)
    }

    /// How far an inventory is, or what it found; `None` for an id that is none.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when silver cannot be read.
    pub async fn inventory(&self, id: &str) -> Result<Option<Value>, PipelineError> {
        if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let at = self.inventory_path(id);
        let bytes = loop {
            match self.blobs.get(&at).await {
                Ok((bytes, _)) => break bytes,
                // The scan has just told more.
                Err(BlobError::Changed(_)) => tokio::time::sleep(LOOK_AGAIN).await,
                Err(BlobError::NotFound(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        };
        let mut document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if is_stalled(&document, Timestamp::now()) {
            document["state"] = json!("stalled");
            document["error"] = json!("its instance has ended; begin another inventory");
        }
        Ok(Some(document))
    }

    fn inventory_path(&self, id: &str) -> BlobPath {
        self.blobs.silver(&format!("inventory/{id}.json"))
    }

    async fn tell_inventory(&self, id: &str, document: &Value) -> Result<(), PipelineError> {
        let bytes = document.to_string().into();
        let at = self.inventory_path(id);
        self.blobs.put(&at, bytes, PutCondition::Always).await?;
        Ok(())
    }

    /// Tells how far it is, unless that was just told.
    async fn tell_progress(
        &self,
        run: &mut Run,
        state: &str,
        progress: Progress,
    ) -> Result<(), PipelineError> {
        if run.told.elapsed() < TELL_EVERY {
            return Ok(());
        }
        self.tell_inventory(&run.id, &run.document(state, progress))
            .await?;
        run.told = Instant::now();
        Ok(())
    }

    async fn run_inventory(&self, run: &mut Run) {
        let begun = Instant::now();
        let mut document = match self.take_inventory(run).await {
            Ok(inventory) => {
                let mut document = run.document("completed", inventory.progress);
                document["groups"] = json!(inventory.groups);
                document["groups_left_out"] = json!(inventory.groups_left_out);
                document
            }
            Err(failure) => {
                error!(error = %chain(&failure), "An inventory failed");
                let mut document = run.document("failed", Progress::default());
                document["error"] = json!(failure.to_string());
                document
            }
        };
        document["elapsed_ms"] = json!(super::file::millis(begun));
        let count = |what: &str| document["progress"][what].as_u64();
        info!(
            blob.url = %run.request.wanted.prefix, files.count = count("files"), files.bytes = count("total_bytes"),
            others.count = count("others"), groups.count = count("series"), state = document["state"].as_str(),
            elapsed_ms = super::file::millis(begun),
            "Took an inventory of {}", run.request.wanted.prefix.short()
        );
        if let Err(failure) = self.tell_inventory(&run.id, &document).await {
            error!(error = %chain(&failure), "An inventory could not be stored");
        }
    }

    async fn take_inventory(&self, run: &mut Run) -> Result<Inventory, PipelineError> {
        let wanted = run.request.wanted.clone();
        let prefix = wanted.prefix.clone();
        let mut scan = Scan::new(wanted);
        let mut pages = self.blobs.list_pages(&prefix);
        while let Some(page) = pages.try_next().await? {
            for info in &page {
                scan.add(info);
            }
            self.tell_progress(run, "running", scan.progress()).await?;
        }
        drop(pages);
        let mut inventory = scan.finish();
        if run.request.submit {
            for series in &mut inventory.groups {
                series.submitted = Some(self.submit_series(series).boxed().await?);
                self.tell_progress(run, "submitting", inventory.progress)
                    .await?;
            }
        }
        Ok(inventory)
    }

    /// Declares a series; one that contradicts what is declared is an answer.
    async fn submit_series(&self, series: &Series) -> Result<Value, PipelineError> {
        let refused = |error: String| Ok(json!({"accepted": false, "error": error}));
        let submission = serde_json::from_value::<Submission>(json!(series.submission));
        let submission = match submission {
            Ok(submission) => submission,
            Err(error) => return refused(error.to_string()),
        };
        let home = BlobPath::new(self.blobs.account(), "", "");
        let declaration = match submission.into_declaration(Origin::Submit, &home, Timestamp::now())
        {
            Ok(declaration) => declaration,
            Err(error) => return refused(error.to_string()),
        };
        match self.submit(declaration).await {
            Ok(declared) => Ok(json!({
                "accepted": true,
                "is_new": declared.is_new,
                "job_id": declared.group.job_id,
                "request_id": declared.request_id,
                "release_id": declared.group.release_id,
            })),
            Err(PipelineError::Ledger(error @ crate::stores::ledger::LedgerError::Conflict(_))) => {
                refused(error.to_string())
            }
            Err(PipelineError::Submission(error)) => refused(error.to_string()),
            Err(error) => Err(error),
        }
    }
}

/// Whether nobody goes on with a scan that is not over.
fn is_stalled(document: &Value, now: Timestamp) -> bool {
    let text = |field: &str| document.get(field).and_then(Value::as_str);
    let is_over = matches!(text("state"), Some("completed" | "failed"));
    let told = text("updated_at").and_then(|text| text.parse::<Timestamp>().ok());
    let age = told.map(|told| Duration::try_from(now.duration_since(told)).unwrap_or_default());
    !is_over && age.is_none_or(|age| age > STALLED_AFTER)
}
