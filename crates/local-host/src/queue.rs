//! Queue triggers: fetches messages, calls the function, deletes on success, releases on failure, and moves what failed too
//! often to the poison queue.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use crate::{
    answer::InvocationOutcome,
    config::QueueLimits,
    envelope::{self, CallFacts},
    event::{HostEvent, chain},
    invoke::Invoker,
    stop::StopSignal,
};

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What went wrong in a queue.
pub type QueueError = Box<dyn std::error::Error + Send + Sync>;

/// A message that was received and is hidden from others until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMessage {
    /// Its id.
    pub id: String,
    /// Its text, as sent.
    pub text: String,
    /// How often it was received, this time included.
    pub dequeue_count: u32,
    /// Proof that it was received: needed to delete, extend or release it.
    pub pop_receipt: String,
    /// When it was sent.
    pub inserted: Timestamp,
    /// When it disappears by itself.
    pub expires: Timestamp,
    /// When its lease ends.
    pub next_visible: Timestamp,
}

/// Queues that the host may take messages from.
#[async_trait]
pub trait QueueSource: Send + Sync {
    /// Takes up to `max` visible messages and hides them for `visibility`.
    async fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<QueueMessage>, QueueError>;
    /// Hides a message for `visibility` from now on; gives its new pop receipt.
    async fn extend(
        &self,
        queue: &str,
        message: &QueueMessage,
        visibility: Duration,
    ) -> Result<String, QueueError>;
    /// Removes a message.
    async fn delete(&self, queue: &str, message: &QueueMessage) -> Result<(), QueueError>;
    /// Makes a message visible after `delay`.
    async fn release(
        &self,
        queue: &str,
        message: &QueueMessage,
        delay: Duration,
    ) -> Result<(), QueueError>;
    /// Moves a message to `{queue}-poison`.
    async fn poison(&self, queue: &str, message: &QueueMessage) -> Result<(), QueueError>;
}

/// One queue function at work.
#[derive(Clone)]
pub(crate) struct QueueTrigger {
    pub(crate) function: String,
    pub(crate) binding: String,
    pub(crate) queue: String,
    pub(crate) limits: QueueLimits,
    /// How long a message is hidden while it is worked on; renewed at half-time.
    pub(crate) lease: Duration,
    pub(crate) source: Arc<dyn QueueSource>,
    pub(crate) invoker: Invoker,
    pub(crate) nudge: Arc<Notify>,
}

impl QueueTrigger {
    /// Fetches and calls until told to stop; then waits for the calls that run.
    pub(crate) async fn run(self, stop: StopSignal) {
        let mut running = JoinSet::new();
        let mut pause = SHORTEST_PAUSE;
        while !stop.is_given() {
            while running.try_join_next().is_some() {}
            let nudged = self.nudge.notified();
            let fetched = self.fetch(running.len()).await;
            if fetched.is_empty() {
                tokio::select! {
                    () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                    () = nudged => pause = SHORTEST_PAUSE,
                    Some(_) = running.join_next() => {}
                    () = stop.given() => {}
                }
                continue;
            }
            pause = SHORTEST_PAUSE;
            for message in fetched {
                let trigger = self.clone();
                running.spawn(async move { trigger.work_on(message).await });
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// The next batch, or nothing while enough are running or the handler is not there.
    async fn fetch(&self, running: usize) -> Vec<QueueMessage> {
        if running > self.limits.new_batch_threshold
            || self.invoker.handler.ready(LONGEST_PAUSE).await.is_err()
        {
            return Vec::new();
        }
        let received = self
            .source
            .receive(&self.queue, self.limits.batch_size, self.lease)
            .await;
        received.unwrap_or_else(|error| {
            self.report(&*error);
            Vec::new()
        })
    }

    async fn work_on(self, mut message: QueueMessage) {
        let facts = CallFacts::now(&self.function);
        let envelope = envelope::queue(&self.binding, &message, &facts);
        let outcome = self.call_and_keep(&envelope, &mut message).await;
        if let Err(error) = self.settle(&outcome, &message).await {
            self.report(&*error);
        }
    }

    /// Calls the function, renewing the lease of the message meanwhile.
    async fn call_and_keep(
        &self,
        envelope: &serde_json::Value,
        message: &mut QueueMessage,
    ) -> InvocationOutcome {
        let call = self.invoker.invoke(&self.function, envelope);
        tokio::pin!(call);
        let half = self.lease / 2;
        let mut renewals = interval_at(Instant::now() + half, half);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                outcome = &mut call => return outcome,
                _ = renewals.tick() => match self.source.extend(&self.queue, message, self.lease).await {
                    Ok(receipt) => message.pop_receipt = receipt,
                    Err(error) => self.report(&*error),
                },
            }
        }
    }

    async fn settle(
        &self,
        outcome: &InvocationOutcome,
        message: &QueueMessage,
    ) -> Result<(), QueueError> {
        let failure = match outcome {
            InvocationOutcome::Succeeded(_) => {
                return self.source.delete(&self.queue, message).await;
            }
            InvocationOutcome::Failed(failure) => failure,
        };
        if message.dequeue_count >= self.limits.max_dequeue_count {
            self.invoker.events.send(HostEvent::MessagePoisoned {
                queue: self.queue.clone(),
                id: message.id.clone(),
            });
            return self.source.poison(&self.queue, message).await;
        }
        // A handler that died did not refuse the message: it is given again as soon as there is a handler.
        let delay = if failure.is_lost_handler() {
            Duration::ZERO
        } else {
            self.limits.visibility_timeout
        };
        self.source.release(&self.queue, message, delay).await
    }

    fn report(&self, error: &(dyn std::error::Error + 'static)) {
        self.invoker.events.send(HostEvent::QueueFailed {
            queue: self.queue.clone(),
            reason: chain(error),
        });
    }
}
