//! Queues: ids travel, never file lists. The embedded queue is a table beside the ledger.

mod embedded;

pub use embedded::{EmbeddedQueue, QueuedMessage};

use std::time::Duration;

use async_trait::async_trait;
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
