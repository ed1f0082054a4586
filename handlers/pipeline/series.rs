//! One series: claimed, combined, verified, catalogued and published, or refused with the reason.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};
use virtualize::VirtualDataset;
use virtualize::kerchunk::parquet::DEFAULT_RECORD_SIZE;

use super::file::{chain, millis};
use super::{Pipeline, PipelineError};
use crate::catalog::item::{self, ItemInput};
use crate::catalog::quicklook::{self, Plan, Quicklook};
use crate::combine::{self, JoinError, Joined, Verify};
use crate::reference::{self, Form, ReferenceError};
use crate::stores::blobs::{BlobPath, BlobSources, PutCondition};
use crate::stores::ledger::{
    Claim, Claimed, CombineEnd, Fault, GroupId, Lease, Ledger, PublishedCombine,
};
use crate::stores::queue::Message;
use crate::telemetry;

impl Pipeline {
    /// What `CombineDue` does: combines one generation of a group, unless it is done, outdated or not due.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when a store fails; the message comes again.
    pub async fn on_combine_due(
        &self,
        group: &GroupId,
        generation: i64,
    ) -> Result<(), PipelineError> {
        let Some(found) = self.ledger.group(group).await? else {
            warn!(group.id = %group, "Ignored a message for an unknown group");
            return Ok(());
        };
        if found.generation != generation && found.quiet_until.is_some() {
            // Whoever settled the next generation has sent its message.
            return Ok(());
        }
        let settled = self.settle_quietly(group).await?;
        if settled != generation {
            // The next generation has its own message.
            self.settle(group).await?;
            return Ok(());
        }
        let _one_at_a_time = self.combining.acquire().await;
        match self.ledger.claim(group, generation, &self.lease()).await? {
            Claimed::Ours(claim) => self.run_claim(*claim).boxed().await,
            Claimed::Held(until) => self.look_again(group, generation, until).await,
            Claimed::Nothing => self.settle_if_waiting(group).await,
        }
    }

    /// A message that finds its group in other hands is sent again for the end of their lease: to fail it would
    /// make poison of a combine that only takes long.
    async fn look_again(
        &self,
        group: &GroupId,
        generation: i64,
        at: Timestamp,
    ) -> Result<(), PipelineError> {
        let message = Message::CombineDue {
            group_id: group.0.clone(),
            generation,
        };
        let delay = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
        Ok(self.queue.send(&message, delay).await?)
    }

    /// What `CombinePoison` does: records that a combine came to no end however often it was begun. A fault that
    /// is recorded already says more.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when the ledger fails.
    pub async fn on_combine_poison(
        &self,
        group: &GroupId,
        generation: i64,
    ) -> Result<(), PipelineError> {
        let fault = Fault {
            remediation: Some(String::from(
                "look for its warnings in the log, then submit the series again",
            )),
            ..fault_of(
                "retries_exhausted",
                "the series could not be combined, however often it was tried",
            )
        };
        let now = Timestamp::now();
        self.ledger.give_up(group, generation, &fault, now).await?;
        error!(group.id = %group, step = "failed", "A combine failed too often; Sweep tries it again");
        Ok(())
    }

    /// Settles without sending: the message at hand is the one that a due group needs. Returns the generation.
    async fn settle_quietly(&self, group: &GroupId) -> Result<i64, PipelineError> {
        let settled = self
            .ledger
            .settle(group, crate::group::JUDGE, Timestamp::now())
            .await?;
        Ok(settled.group.generation)
    }

    /// A delayed message that came too early (a file landed since) is sent again for the new end.
    async fn settle_if_waiting(&self, group: &GroupId) -> Result<(), PipelineError> {
        let waits = self
            .ledger
            .group(group)
            .await?
            .is_some_and(|group| group.quiet_until.is_some());
        if waits {
            self.settle(group).await?;
        }
        Ok(())
    }

    fn lease(&self) -> Lease {
        let now = Timestamp::now();
        Lease {
            runner: self.runner.clone(),
            now,
            until: end_of(now, self.config.pipeline.lease),
        }
    }

    /// Runs a claim while its lease is kept up. A lost lease means that the result would be thrown away.
    async fn run_claim(&self, claim: Claim) -> Result<(), PipelineError> {
        let started = Instant::now();
        telemetry::forget_peak_memory();
        // A task of its own: a join keeps its thread busy for longer than a lease may be.
        let (ledger, held) = (Arc::clone(&self.ledger), claim.clone());
        let mut lease = JoinSet::new();
        lease.spawn(keep_lease(ledger, held, self.config.pipeline.lease));
        let outcome = tokio::select! {
            outcome = self.combine_claim(&claim, started) => outcome,
            _ = lease.join_next() => {
                warn!(group.id = %claim.group.id, step = "given_up", "Gave up a combine: its group has moved on");
                return Ok(());
            }
        };
        drop(lease);
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => self.end_claim(&claim, error, started).await,
        }
    }

    async fn combine_claim(&self, claim: &Claim, started: Instant) -> Result<(), PipelineError> {
        info!(
            group.id = %claim.group.id, dataset.id = claim.release.dataset_id, step = "combining",
            files.count = claim.members.len(), "Combining {} files of {}", claim.members.len(), claim.release.dataset_id
        );
        let options = combine::combine_options(&claim.group.declaration.options);
        let inputs = self.inputs(claim).boxed().await?;
        let sources = BlobSources(Arc::clone(&self.blobs));
        let verify = self.what_to_verify(claim).await?;
        let folder = tempfile::tempdir().map_err(ReferenceError::Write)?;
        let form = Form {
            document: Some(folder.path().join("combined.json")),
            tables: Some(folder.path().join("combined.parq")),
            record_size: DEFAULT_RECORD_SIZE,
        };
        let joined = combine::join(inputs, &sources, options, form, verify)
            .boxed()
            .await?;
        let name = self.blob_path(claim);
        let is_ours = || async {
            Ok::<_, PipelineError>(self.ledger.renew(claim, self.lease().until).await?)
        };
        let at = self.blobs.silver(&name);
        if !reference::publish_draft(&self.blobs, &at, &joined.draft, is_ours).await? {
            return Ok(());
        }
        if let Some(verdict) = &joined.verdict {
            combine::store_verdict(&self.blobs, &at, verdict).await?;
        }
        self.step("mid-combine").await;
        let quicklook = self.take_a_look(&joined, &sources, &at).await;
        let result = self.catalogue(claim, &joined, &at, quicklook.as_ref())?;
        if self.ledger.publish(claim, &result).await? {
            self.report(claim, &joined, started);
        }
        Ok(())
    }

    /// The members of a claimed series, each as the series' own options have it.
    async fn inputs(&self, claim: &Claim) -> Result<Vec<VirtualDataset>, PipelineError> {
        let options = &claim.group.declaration.options;
        let otherwise = self.decoded_otherwise(claim).await?;
        let mut loads = Vec::with_capacity(claim.members.len());
        for file in &claim.members {
            let is_otherwise = otherwise.contains(&file.id);
            loads.push(self.member(file, options, is_otherwise).boxed());
        }
        Ok(combine::load_members(loads, self.config.pipeline.memory).await?)
    }

    /// What the last published revision was verified with stands, or that of the Release before; all of it is compared
    /// afresh where there is none.
    async fn what_to_verify(&self, claim: &Claim) -> Result<Verify, PipelineError> {
        let release = &claim.release;
        let previous = match (&release.blob_path, &release.previous_release_id) {
            (None, Some(id)) => self.ledger.release(id).await?,
            _ => None,
        };
        let before = release.blob_path.as_ref();
        let before = before.or(previous
            .as_ref()
            .and_then(|previous| previous.blob_path.as_ref()));
        let Some(name) = before else {
            return Ok(Verify::Afresh);
        };
        let verdict = combine::load_verdict(&self.blobs, &self.blobs.silver(name)).await;
        Ok(verdict.map_or(Verify::Afresh, Verify::Since))
    }

    fn blob_path(&self, claim: &Claim) -> String {
        let release = &claim.release;
        combine::combined_name(
            &release.dataset_id,
            &release.resource_id,
            release.version_ordinal,
            claim.revision,
        )
    }

    /// Draws the first map and stores it beside the reference. A dataset without a picture is none the worse, so what
    /// goes wrong here is no reason to fail.
    async fn take_a_look(
        &self,
        joined: &Joined,
        sources: &BlobSources,
        reference: &BlobPath,
    ) -> Option<Quicklook> {
        let dataset = &joined.combined.dataset;
        let plan = Plan::of(&dataset.root)?;
        let read = combine::read_parts(dataset, sources, &plan.needed()).await;
        let parts =
            read.inspect_err(|error| debug!(error = %chain(error), "Could not read the first map"));
        let map = plan.draw(&parts.ok()?)?;
        let name = reference.blob.rsplit_once('/')?.0;
        let at = self.blobs.silver(&format!("{name}/{}", quicklook::FILE));
        let picture = map.png()?.into();
        let put = self.blobs.put(&at, picture, PutCondition::Always).await;
        let put =
            put.inspect_err(|error| debug!(error = %chain(error), "Could not store the picture"));
        put.ok().map(|_| map.quicklook)
    }

    /// The cached item and the result object of a finished join.
    fn catalogue(
        &self,
        claim: &Claim,
        joined: &Joined,
        reference: &BlobPath,
        quicklook: Option<&Quicklook>,
    ) -> Result<PublishedCombine, PipelineError> {
        let at = Timestamp::now();
        let input = ItemInput {
            combined: &joined.combined,
            declaration: &claim.group.declaration,
            release: &claim.release,
            revision: claim.revision,
            public_url: &self.config.http.public_url,
            reference,
            ref_size_bytes: joined.draft.size(),
            ref_sha256: &joined.draft.sha256().map_err(ReferenceError::Write)?,
            created: at,
            quicklook,
        };
        let stac_item = item::build_item(&input)?;
        let text = |field: &str| {
            stac_item
                .get(field)
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Ok(PublishedCombine {
            blob_path: reference.blob.clone(),
            stac_item_id: text("id"),
            stac_collection_id: text("collection"),
            result: item::result_object(&input),
            stac_item,
            findings: joined.combined.findings.clone(),
            at,
        })
    }

    fn report(&self, claim: &Claim, joined: &Joined, started: Instant) {
        let chunks = joined.combined.dataset.chunk_count();
        let url = format!(
            "{}/api/zarr/{}/r{}",
            self.config.http.public_url, claim.release.release_id, claim.revision
        );
        info!(
            group.id = %claim.group.id, release.id = claim.release.release_id, revision = claim.revision,
            dataset.id = claim.release.dataset_id, step = "combined", files.count = claim.members.len(),
            chunks.count = chunks, reference.bytes = joined.draft.size(), bytes.read = joined.io.bytes,
            requests.count = joined.io.requests, rounds.count = joined.io.rounds,
            memory.peak_bytes = telemetry::peak_memory(), files.standing = joined.report.as_ref().map_or(0, |report| report.files_standing),
            elapsed_ms = millis(started), zarr.url = url,
            "Combined and verified {} files: {url}", claim.members.len()
        );
    }

    /// Records how a claim ended without a result. What the input is at fault for is an answer; the rest is
    /// recorded and tried again.
    async fn end_claim(
        &self,
        claim: &Claim,
        error: PipelineError,
        started: Instant,
    ) -> Result<(), PipelineError> {
        let now = Timestamp::now();
        let fault = match &error {
            PipelineError::Join(join) if join.is_superseded() => {
                info!(group.id = %claim.group.id, step = "superseded", "A source changed while its series was combined: {}", chain(join));
                let fault = fault_of("source_changed", &chain(join));
                self.ledger
                    .abandon(claim, &CombineEnd::Failed(fault, now))
                    .await?;
                return Ok(());
            }
            PipelineError::Join(join) => join.fault(),
            _ => None,
        };
        let message = match (&fault, &error) {
            (Some(fault), _) => fault.message.clone(),
            (None, error) => chain(error),
        };
        let code = fault
            .as_ref()
            .map_or(code_of(&error), |fault| fault.code.as_str());
        warn!(
            group.id = %claim.group.id, dataset.id = claim.release.dataset_id, elapsed_ms = millis(started), error.code = code,
            step = if fault.is_some() { "blocked" } else { "failed" },
            "Could not combine {}: {message}", claim.release.dataset_id
        );
        match fault {
            Some(fault) => {
                self.ledger
                    .abandon(claim, &CombineEnd::Blocked(fault, now))
                    .await?;
                Ok(())
            }
            None => {
                let code = code_of(&error);
                self.ledger
                    .abandon(claim, &CombineEnd::Failed(fault_of(code, &message), now))
                    .await?;
                // Another try of this instance would need as much.
                match code {
                    OVER_BUDGET => Ok(()),
                    _ => Err(error),
                }
            }
        }
    }
}

fn end_of(now: Timestamp, lease: Duration) -> Timestamp {
    now.checked_add(lease).unwrap_or(Timestamp::MAX)
}

/// Renews a lease until it is lost.
async fn keep_lease(ledger: Arc<dyn Ledger>, claim: Claim, lease: Duration) {
    let every = (lease / 3).max(Duration::from_millis(100));
    loop {
        tokio::time::sleep(every).await;
        let until = end_of(Timestamp::now(), lease);
        match ledger.renew(&claim, until).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                warn!(group.id = %claim.group.id, error = %chain(&error), "Could not renew a lease")
            }
        }
    }
}

/// Code of a combine that would take more memory than it may.
const OVER_BUDGET: &str = "MemoryBudgetExceeded";

fn code_of(error: &PipelineError) -> &'static str {
    match error {
        PipelineError::Join(JoinError::Unproven(_)) => "unproven",
        PipelineError::Join(JoinError::MemoryBudgetExceeded { .. }) => OVER_BUDGET,
        _ => "failed",
    }
}

fn fault_of(code: &str, message: &str) -> Fault {
    Fault {
        code: code.to_owned(),
        message: message.to_owned(),
        remediation: None,
    }
}
