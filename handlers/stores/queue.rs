//! Queues: ids travel, never file lists. The embedded queue is a table beside the ledger.

mod azure;
#[cfg(test)]
mod contract;
mod embedded;

pub use azure::{AzureQueue, QueueTrial, QueueTrouble, QueueTroubleKind};
pub use embedded::EmbeddedQueue;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A message that says which file or group has work waiting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    /// On `reference-due`: make the reference of one file.
    ReferenceDue {
        /// Address of the blob, as [`BlobPath`](super::blobs::BlobPath) prints it.
        blob_url: String,
    },
    /// On `combine-due`: combine one group, if this is still its generation.
    CombineDue {
        /// The group.
        group_id: String,
        /// Its generation when the message was sent.
        generation: i64,
    },
}

impl Message {
    /// The queues that carry messages.
    pub const QUEUES: [&str; 2] = ["reference-due", "combine-due"];

    /// The queue that carries this kind of message.
    pub const fn queue(&self) -> &'static str {
        match self {
            Self::ReferenceDue { .. } => "reference-due",
            Self::CombineDue { .. } => "combine-due",
        }
    }
}

/// Why a message could not be sent or received.
#[derive(Debug, thiserror::Error)]
#[error("queue {queue} failed")]
pub struct QueueError {
    /// The queue.
    pub queue: String,
    /// What the service said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Sends messages.
#[async_trait]
pub trait Queue: Send + Sync + std::fmt::Debug {
    /// Sends a message that becomes visible after `delay`.
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), QueueError>;
}

/// A message as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedMessage {
    /// Its id.
    pub id: String,
    /// The queue that it is on.
    pub queue: String,
    /// Its text: JSON of a [`Message`].
    pub text: String,
    /// How often it was received, this time included.
    pub dequeue_count: u32,
    /// What proves that this receipt is the latest.
    pub pop_receipt: String,
    /// When it was sent.
    pub inserted_at: Timestamp,
    /// When it is visible again, unless deleted.
    pub visible_at: Timestamp,
}

/// Receives messages, for who stands in for the Functions host: at least once each, hidden while somebody deals with
/// them, and only the latest receiver may delete them.
#[async_trait]
pub trait Receive: Queue {
    /// Up to `max` visible messages, oldest first, hidden for `visibility` from now.
    async fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<QueuedMessage>, QueueError>;

    /// Deletes a message that was dealt with; `false` if it has been received again since.
    async fn delete(&self, message: &QueuedMessage) -> Result<bool, QueueError>;

    /// Gives a message back, visible after `delay`; `false` if it has been received again since.
    async fn release(&self, message: &QueuedMessage, delay: Duration) -> Result<bool, QueueError>;

    /// Keeps a message hidden for `visibility` from now and returns its new receipt; an error if it has been
    /// received again since.
    async fn extend(
        &self,
        message: &QueuedMessage,
        visibility: Duration,
    ) -> Result<String, QueueError>;

    /// Moves a message to another queue (its poison queue) as if it had just been sent there; `false` if it has
    /// been received again since.
    async fn move_to(&self, message: &QueuedMessage, queue: &str) -> Result<bool, QueueError>;
}

/// Somebody else received the message after its time was up.
#[derive(Debug, thiserror::Error)]
#[error("the message has been received again since")]
struct ReceivedAgain;
