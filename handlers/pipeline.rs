//! Runs the stages in order; the one place where they meet.
//!
//! The rules of SPEC §2 hold here: persist first, message second, acknowledge last; everything is idempotent; a
//! bad file is an answer and not an error. Files are `file`'s matter,
//! `membership` and `declaration` say which series they belong to, `series` combines one; `sweep` and `replay` take
//! up what was lost; `approval` and `item` are about what was published.

mod approval;
mod declaration;
mod file;
mod inventory;
mod item;
mod look;
mod membership;
mod pause;
mod reading;
mod replay;
mod series;
mod sweep;

pub use approval::{Endorsement, Rematerialized, Unpublished};
pub use declaration::Foreseen;
pub(crate) use file::chain;
pub use inventory::InventoryRequest;
pub use look::{Asked, Looked};
pub use replay::Replayed;
pub use sweep::Swept;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::catalog::item::ItemError;
use crate::catalog::published::PublicationError;
use crate::combine::JoinError;
use crate::config::Config;
use crate::group::{self, SubmissionError};
use crate::reference::ReferenceError;
use crate::stores::blobs::{BlobError, Blobs};
use crate::stores::ledger::{FileId, GroupId, Ledger, LedgerError, Settled};
use crate::stores::queue::{Message, Queue, QueueError};

/// Why a piece of work was not done; each is worth another try, or it would have been recorded instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The ledger failed, or refuses a contradiction.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Blob storage failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A message could not be sent.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A reference could not be stored.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A series could not be combined for a reason that may pass.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The item could not be built.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// A Release has nothing to publish.
    #[error(transparent)]
    Publication(#[from] PublicationError),
    /// A submission is refused.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
}

/// The stages with what they need of the world.
#[derive(Debug)]
pub struct Pipeline {
    config: Config,
    blobs: Arc<dyn Blobs>,
    ledger: Arc<dyn Ledger>,
    queue: Arc<dyn Queue>,
    /// Permits to read a file; without one an event becomes a message.
    reading: Arc<Semaphore>,
    /// One combine at a time per instance.
    combining: Arc<Semaphore>,
    /// Names this process among the claimants of combines.
    runner: String,
    /// Where Event Grid leaves the events that it gave up, as the container that is written.
    dead_letters: Option<Arc<dyn Blobs>>,
    /// What Sweep remembers from one tick to the next.
    sweeping: sweep::Memory,
}

impl Pipeline {
    /// A pipeline over these stores.
    pub fn new(
        config: Config,
        blobs: Arc<dyn Blobs>,
        ledger: Arc<dyn Ledger>,
        queue: Arc<dyn Queue>,
    ) -> Self {
        let started = Timestamp::now().as_nanosecond();
        let reading = Arc::new(Semaphore::new(config.pipeline.files_in_flight));
        let combining = Arc::new(Semaphore::new(1));
        let runner = format!("{}-{started:x}", std::process::id());
        Self {
            config,
            blobs,
            ledger,
            queue,
            reading,
            combining,
            runner,
            dead_letters: None,
            sweeping: sweep::Memory::default(),
        }
    }

    /// With a store whose own container is where Event Grid leaves the events that it gave up.
    #[must_use]
    pub fn with_dead_letters(self, dead_letters: Option<Arc<dyn Blobs>>) -> Self {
        Self {
            dead_letters,
            ..self
        }
    }

    /// The account that is meant where an address names none.
    pub fn account(&self) -> &str {
        self.blobs.account()
    }

    /// Settles every group that holds a file, and sends what is due.
    async fn settle_groups_of(&self, file: FileId) -> Result<Vec<Settled>, PipelineError> {
        let mut settled = Vec::new();
        for group in self.ledger.groups_of(file).await? {
            settled.push(self.settle(&group).await?);
        }
        Ok(settled)
    }

    /// Settles a group and sends its `combine-due`: at once, or when its quiet period will have run out. Sent
    /// again where it may have been lost; the claim makes one combine of many messages.
    async fn settle(&self, group: &GroupId) -> Result<Settled, PipelineError> {
        let now = Timestamp::now();
        let settled = self.ledger.settle(group, group::JUDGE, now).await?;
        let delay = match (settled.is_due, settled.look_again_at) {
            (true, _) => Some(Duration::ZERO),
            (false, Some(at)) => {
                Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
            }
            (false, None) => None,
        };
        if let Some(delay) = delay {
            let generation = settled.group.generation;
            let message = Message::CombineDue {
                group_id: group.0.clone(),
                generation,
            };
            self.queue.send(&message, delay).await?;
        }
        Ok(settled)
    }
}
