//! The queues as the local host takes messages from them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use local_host::{QueueError, QueueMessage, QueueSource};

use crate::stores::queue::{QueuedMessage, Receive};

/// The queues that the handler sends to.
#[derive(Debug)]
pub(super) struct HostQueue(Arc<dyn Receive>);

impl HostQueue {
    /// The queues of a store.
    pub(super) const fn new(queue: Arc<dyn Receive>) -> Self {
        Self(queue)
    }
}

fn from_host(queue: &str, message: &QueueMessage) -> QueuedMessage {
    QueuedMessage {
        id: message.id.clone(),
        queue: queue.to_owned(),
        text: message.text.clone(),
        dequeue_count: message.dequeue_count,
        pop_receipt: message.pop_receipt.clone(),
        inserted_at: message.inserted,
        visible_at: message.next_visible,
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
        queue: &str,
        message: &QueueMessage,
        visibility: Duration,
    ) -> Result<String, QueueError> {
        Ok(self
            .0
            .extend(&from_host(queue, message), visibility)
            .await?)
    }

    async fn delete(&self, queue: &str, message: &QueueMessage) -> Result<(), QueueError> {
        Ok(self.0.delete(&from_host(queue, message)).await.map(drop)?)
    }

    async fn release(
        &self,
        queue: &str,
        message: &QueueMessage,
        delay: Duration,
    ) -> Result<(), QueueError> {
        let released = self.0.release(&from_host(queue, message), delay).await;
        Ok(released.map(drop)?)
    }

    async fn poison(&self, queue: &str, message: &QueueMessage) -> Result<(), QueueError> {
        let target = format!("{queue}-poison");
        let moved = self.0.move_to(&from_host(queue, message), &target).await;
        Ok(moved.map(drop)?)
    }
}
