//! What the events missed: stuck files, due groups, blobs that nobody announced, dead letters.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{Pipeline, PipelineError, chain};
use crate::stores::blobs::{BlobError, BlobInfo, BlobPath, PutCondition};
use crate::stores::ledger::{FileState, GroupId, GroupState, SourceFile, SourceGroup};

/// A series whose combine keeps failing is tried at least this often.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(6 * 3600);

/// A file that has come to no end for so long is told aloud: Sweep alone does not mend it.
const TOLD_AFTER: Duration = Duration::from_secs(30 * 60);

/// What a sweep has taken up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Files sent to `reference-due` because they had rested too long.
    pub files: u64,
    /// Groups sent to `combine-due`.
    pub groups: u64,
    /// Files sent to `reference-due` because the container tells otherwise than the ledger.
    pub unannounced: u64,
    /// Files sent to `reference-due` because Event Grid gave up their events.
    pub dead_letters: u64,
}

/// What Sweep remembers from one tick to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// When each container was last listed.
    listed: Mutex<BTreeMap<BlobPath, Timestamp>>,
    failing: Mutex<BTreeMap<GroupId, Failing>>,
}

/// A series whose combine keeps failing.
#[derive(Debug, Clone, Copy)]
struct Failing {
    generation: i64,
    tries: u32,
    next: Timestamp,
}

impl Memory {
    fn last_listed(&self, container: &BlobPath) -> Option<Timestamp> {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.get(container).copied()
    }

    fn note_listed(&self, container: &BlobPath, at: Timestamp) {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.insert(container.clone(), at);
    }

    /// Whether a failed group may be tried now; if so, the next try waits twice as long.
    fn may_try(&self, group: &SourceGroup, first_wait: Duration, now: Timestamp) -> bool {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.retain(|_, entry| later(entry.next, LONGEST_BACK_OFF) > now);
        let fresh = Failing {
            generation: group.generation,
            tries: 0,
            next: later(group.updated_at, first_wait),
        };
        let entry = failing.entry(group.id.clone()).or_insert(fresh);
        if entry.generation != group.generation {
            *entry = fresh;
        }
        if now < entry.next {
            return false;
        }
        entry.tries = entry.tries.saturating_add(1);
        let wait = first_wait.saturating_mul(2u32.saturating_pow(entry.tries));
        entry.next = later(now, wait.min(LONGEST_BACK_OFF));
        true
    }
}

fn later(at: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// That a container was listed, for the next instance.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    listed_at: Timestamp,
}

impl Pipeline {
    /// What Sweep does: takes up files and groups whose events or messages were lost. One part that fails leaves the
    /// others to be done.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when a store fails; the next tick goes on.
    pub async fn sweep(&self) -> Result<Swept, PipelineError> {
        let now = Timestamp::now();
        let files = self.sweep_files(now).await;
        let groups = self.sweep_groups(now).await;
        let letters = self.redrive_dead_letters(None).await;
        let unannounced = self.reconcile(now).await;
        let swept = Swept {
            files: files?,
            groups: groups?,
            dead_letters: letters?.sent,
            unannounced: unannounced?,
        };
        if swept != Swept::default() {
            info!(
                step = "swept",
                files.count = swept.files,
                groups.count = swept.groups,
                unannounced.count = swept.unannounced,
                dead_letters.count = swept.dead_letters,
                "Took up what the events missed"
            );
        }
        Ok(swept)
    }

    async fn sweep_files(&self, now: Timestamp) -> Result<u64, PipelineError> {
        let stuck = self.ledger.stuck_files(self.rested(now)).await?;
        tell_stuck(&stuck, now);
        let paths: Vec<BlobPath> = stuck.into_iter().map(|file| file.path).collect();
        self.send_all(&paths).await
    }

    async fn sweep_groups(&self, now: Timestamp) -> Result<u64, PipelineError> {
        let mut due = 0;
        for group in self.ledger.overdue_groups(now).await? {
            let first_wait = self.config.pipeline.stuck_after;
            if group.state == GroupState::Failed && !self.sweeping.may_try(&group, first_wait, now)
            {
                continue;
            }
            due += u64::from(self.settle(&group.id).await?.is_due);
        }
        Ok(due)
    }

    /// What changed before then has had its time.
    fn rested(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(self.config.pipeline.stuck_after)
            .unwrap_or(Timestamp::MIN)
    }

    /// Compares every container of sources with the ledger, each at most once in `reconcile_every`.
    async fn reconcile(&self, now: Timestamp) -> Result<u64, PipelineError> {
        let mut sent = 0;
        for container in self.config.storage.source_containers() {
            let container = BlobPath::new(container.account, container.container, "");
            let last = self.last_listed(&container).await?;
            let every = self.config.pipeline.reconcile_every;
            if last.is_some_and(|last| later(last, every) > now) {
                continue;
            }
            match self.reconcile_below(&container, now).await {
                Ok(missed) => sent += missed,
                Err(PipelineError::Blob(error @ BlobError::NoContainer(_))) => {
                    warn!(blob.url = %container, error = %chain(&error), "Could not list a container of sources");
                }
                Err(error) => return Err(error),
            }
            self.note_listed(&container, now).await?;
        }
        Ok(sent)
    }

    /// Sends what the ledger does not know, knows in another version, or could not read for no fault of the file; and
    /// what it knows that is not there any more. A page of the listing at a time.
    async fn reconcile_below(
        &self,
        container: &BlobPath,
        now: Timestamp,
    ) -> Result<u64, PipelineError> {
        let entry = |file: SourceFile| (file.path.blob, (file.etag, file.state));
        let known = self.ledger.files_below(container).await?;
        let mut known: HashMap<String, (String, FileState)> =
            known.into_iter().map(entry).collect();
        let rested = self.rested(now);
        let mut sent = 0;
        let mut pages = self.blobs.list_pages(container);
        while let Some(page) = pages.try_next().await? {
            let mut missed = page;
            missed.retain(|info| {
                let recorded = known.remove(&info.path.blob);
                // In folders, where names begin with a dot, somebody is at work: they are not announced either.
                let is_hidden = info.path.blob.split('/').any(|part| part.starts_with('.'));
                !(is_hidden && self.blobs.is_local())
                    && info.last_modified <= rested
                    && self.is_source(&info.path)
                    && is_missed(info, recorded)
            });
            let missed: Vec<BlobPath> = missed.into_iter().map(|info| info.path).collect();
            sent += self.send_all(&missed).await?;
        }
        let gone: Vec<BlobPath> = known
            .into_keys()
            .map(|name| container.sibling(name))
            .collect();
        Ok(sent + self.send_all(&gone).await?)
    }

    /// When a container was last listed, by this instance or, as silver tells, by another.
    async fn last_listed(&self, container: &BlobPath) -> Result<Option<Timestamp>, PipelineError> {
        let last = self.sweeping.last_listed(container);
        if last.is_some() || self.blobs.is_local() {
            return Ok(last);
        }
        match self.blobs.get(&self.marker(container)).await {
            Ok((bytes, _)) => Ok(serde_json::from_slice::<Marker>(&bytes)
                .ok()
                .map(|marker| marker.listed_at)),
            Err(BlobError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn note_listed(&self, container: &BlobPath, at: Timestamp) -> Result<(), PipelineError> {
        self.sweeping.note_listed(container, at);
        if self.blobs.is_local() {
            return Ok(());
        }
        let marker = serde_json::json!(Marker { listed_at: at }).to_string();
        let marker_at = self.marker(container);
        self.blobs
            .put(&marker_at, marker.into(), PutCondition::Always)
            .await?;
        Ok(())
    }

    fn marker(&self, container: &BlobPath) -> BlobPath {
        let name = format!("sweep/{}/{}.json", container.account, container.container);
        self.blobs.silver(&name)
    }
}

/// Names the file that has waited longest, if any has for too long.
fn tell_stuck(files: &[SourceFile], now: Timestamp) {
    let waiting = files
        .iter()
        .filter(|file| later(file.landed_at, TOLD_AFTER) < now);
    let count = waiting.clone().count();
    let Some(oldest) = waiting.min_by_key(|file| file.landed_at) else {
        return;
    };
    warn!(
        blob.url = %oldest.path, step = "stuck", files.count = count, landed.at = %oldest.landed_at,
        "{} landed at {} and has come to no end", oldest.path.short(), oldest.landed_at
    );
}

fn is_missed(info: &BlobInfo, recorded: Option<(String, FileState)>) -> bool {
    recorded.is_none_or(|(etag, state)| etag != info.etag || state == FileState::Failed)
}
