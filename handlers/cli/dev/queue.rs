//! The embedded queue as the local host takes messages from it.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use local_host::{QueueError, QueueMessage, QueueSource};

use crate::stores::queue::{EmbeddedQueue, QueuedMessage};

/// The embedded queue.
#[derive(Debug)]
pub(super) struct HostQueue(EmbeddedQueue);

impl HostQueue {
    /// The queue over its database.
    pub(super) const fn new(queue: EmbeddedQueue) -> Self {
        Self(queue)
    }
}

fn to_host(message: QueuedMessage) -> QueueMessage {
    QueueMessage {
        id: message.id,
        text: message.text,
        dequeue_count: message.dequeue_count,
        pop_receipt: message.pop_receipt,
        inserted: message.inserted_at,
        expires: Timestamp::MAX,
        next_visible: message.visible_at,
    }
}

#[async_trait]
impl QueueSource for HostQueue {
    async fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<QueueMessage>, QueueError> {
        let messages = self.0.receive(queue, max, visibility).await?;
        Ok(messages.into_iter().map(to_host).collect())
    }

    async fn extend(
        &self,
        _: &str,
        message: &QueueMessage,
        visibility: Duration,
    ) -> Result<String, QueueError> {
        Ok(self
            .0
            .extend(&message.id, &message.pop_receipt, visibility)
            .await?)
    }

    async fn delete(&self, _: &str, message: &QueueMessage) -> Result<(), QueueError> {
        Ok(self
            .0
            .delete(&message.id, &message.pop_receipt)
            .await
            .map(drop)?)
    }

    async fn release(
        &self,
        _: &str,
        message: &QueueMessage,
        delay: Duration,
    ) -> Result<(), QueueError> {
        Ok(self
            .0
            .release(&message.id, &message.pop_receipt, delay)
            .await
            .map(drop)?)
    }

    async fn poison(&self, queue: &str, message: &QueueMessage) -> Result<(), QueueError> {
        let target = format!("{queue}-poison");
        Ok(self
            .0
            .move_to(&message.id, &message.pop_receipt, &target)
            .await
            .map(drop)?)
    }
}
