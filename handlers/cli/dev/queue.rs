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
        id: message.id.to_string(),
        text: message.text,
        dequeue_count: message.dequeue_count,
        pop_receipt: message.pop_receipt,
        inserted: message.inserted_at,
        expires: Timestamp::MAX,
        next_visible: message.visible_at,
    }
}

fn from_host(queue: &str, message: &QueueMessage) -> Result<QueuedMessage, QueueError> {
    Ok(QueuedMessage {
        id: message.id.parse()?,
        queue: queue.to_owned(),
        text: message.text.clone(),
        dequeue_count: message.dequeue_count,
        pop_receipt: message.pop_receipt.clone(),
        inserted_at: message.inserted,
        visible_at: message.next_visible,
    })
}

#[async_trait]
impl QueueSource for HostQueue {
    async fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<QueueMessage>, QueueError> {
        let messages = self
            .0
            .receive(queue, u32::try_from(max)?, visibility)
            .await?;
        Ok(messages.into_iter().map(to_host).collect())
    }

    async fn extend(
        &self,
        queue: &str,
        message: &QueueMessage,
        visibility: Duration,
    ) -> Result<String, QueueError> {
        match self
            .0
            .extend(&from_host(queue, message)?, visibility)
            .await?
        {
            true => Ok(message.pop_receipt.clone()),
            false => Err("the message has been received again".into()),
        }
    }

    async fn delete(&self, queue: &str, message: &QueueMessage) -> Result<(), QueueError> {
        Ok(self.0.delete(&from_host(queue, message)?).await.map(drop)?)
    }

    async fn release(
        &self,
        queue: &str,
        message: &QueueMessage,
        delay: Duration,
    ) -> Result<(), QueueError> {
        Ok(self
            .0
            .release(&from_host(queue, message)?, delay)
            .await
            .map(drop)?)
    }

    async fn poison(&self, queue: &str, message: &QueueMessage) -> Result<(), QueueError> {
        let target = format!("{queue}-poison");
        Ok(self
            .0
            .move_to(&from_host(queue, message)?, &target)
            .await
            .map(drop)?)
    }
}
