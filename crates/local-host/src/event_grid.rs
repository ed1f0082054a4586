//! Event Grid's half of a delivery: every event goes to every Event Grid function, is tried again on Event Grid's schedule
//! (compressed, if so asked), and ends as a dead letter when nothing helps. Order and exactly-once are not promised, and
//! [`Chaos`] sees to it that nobody relies on them.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};

use crate::{
    answer::{InvocationFailure, InvocationOutcome},
    envelope::{self, CallFacts},
    event::{HostEvent, chain},
    invoke::{Invoker, READY_LIMIT},
    stop::StopSignal,
};

mod chaos;
mod dead_letter;
mod retry;
pub(crate) mod webhook;

pub use chaos::Chaos;
use chaos::ChaosMonkey;
pub use dead_letter::DeadLetters;
use dead_letter::dead_letter;
use retry::RetryPlan;

/// Event Grid counts a delivery without an answer by then as failed. The call itself goes on.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How events are delivered.
#[derive(Debug, Clone)]
pub struct EventGridOptions {
    /// Factor on all waiting times: 1 waits as Azure does, 0.01 a hundredth of that.
    pub time_scale: f64,
    /// Deliveries of one event before it is given up.
    pub max_attempts: u32,
    /// Deliveries at one time; further events wait.
    pub max_in_flight: usize,
    /// Where given-up events go.
    pub dead_letters: DeadLetters,
    /// Faults to make.
    pub chaos: Chaos,
}

impl Default for EventGridOptions {
    fn default() -> Self {
        Self {
            time_scale: 1.0,
            max_attempts: 30,
            max_in_flight: 16,
            dead_letters: DeadLetters::Dropped,
            chaos: Chaos::default(),
        }
    }
}

/// A function that takes events.
#[derive(Debug, Clone)]
pub(crate) struct Subscriber {
    pub(crate) function: String,
    pub(crate) binding: String,
}

/// Delivers events. Clones are handles on the same.
#[derive(Debug, Clone)]
pub struct EventGrid {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    subscribers: Vec<Subscriber>,
    options: EventGridOptions,
    slots: Arc<Semaphore>,
    chaos: Mutex<ChaosMonkey>,
    invoker: Invoker,
    stop: StopSignal,
}

impl EventGrid {
    pub(crate) fn new(
        subscribers: Vec<Subscriber>,
        options: EventGridOptions,
        invoker: Invoker,
        stop: StopSignal,
    ) -> Self {
        let shared = Shared {
            subscribers,
            slots: Arc::new(Semaphore::new(options.max_in_flight.max(1))),
            chaos: Mutex::new(ChaosMonkey::new(options.chaos.clone())),
            options,
            invoker,
            stop,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Takes an event for delivery; waits only while all slots are taken.
    pub async fn deliver(&self, event: Value) {
        let event = Arc::new(event);
        let delays = self.shared.chaos.lock().await.plan();
        if delays.is_empty() {
            self.tell_lost(&event);
        }
        for delay in delays {
            for subscriber in &self.shared.subscribers {
                let Ok(slot) = Arc::clone(&self.shared.slots).acquire_owned().await else {
                    return;
                };
                let delivery = Delivery {
                    grid: self.clone(),
                    subscriber: subscriber.clone(),
                    event: Arc::clone(&event),
                    published: Timestamp::now(),
                };
                tokio::spawn(delivery.run(slot, delay));
            }
        }
    }

    fn tell_lost(&self, event: &Value) {
        let text = |name| event.get(name).and_then(Value::as_str).unwrap_or_default();
        self.shared.invoker.events.send(HostEvent::EventLost {
            id: text("id").to_owned(),
            subject: text("subject").to_owned(),
        });
    }

    /// Calls one function with one event, once.
    pub(crate) async fn invoke(&self, subscriber: &Subscriber, event: &Value) -> InvocationOutcome {
        let facts = CallFacts::now(&subscriber.function);
        let envelope = envelope::event_grid(&subscriber.binding, event, &facts);
        self.shared
            .invoker
            .invoke(&subscriber.function, &envelope)
            .await
    }

    /// Waits until no delivery is under way, but no longer than `limit`.
    pub(crate) async fn settle(&self, limit: Duration) {
        let all = u32::try_from(self.shared.options.max_in_flight.max(1)).unwrap_or(u32::MAX);
        drop(timeout(limit, self.shared.slots.acquire_many(all)).await);
        self.shared.slots.close();
    }

    /// Sleeps; false if the host stops meanwhile.
    async fn pause(&self, duration: Duration) -> bool {
        tokio::select! {
            () = sleep(duration) => true,
            () = self.shared.stop.given() => false,
        }
    }
}

/// One event on its way to one function.
struct Delivery {
    grid: EventGrid,
    subscriber: Subscriber,
    event: Arc<Value>,
    published: Timestamp,
}

impl Delivery {
    async fn run(self, slot: OwnedSemaphorePermit, delay: Duration) {
        let options = &self.grid.shared.options;
        let mut plan = RetryPlan::new(options.time_scale, options.max_attempts, Instant::now());
        let mut slot = Some(slot);
        let mut pause = delay;
        loop {
            if !pause.is_zero() {
                // A waiting event keeps nobody else from being delivered.
                slot = None;
                if !self.grid.pause(pause).await {
                    return;
                }
            }
            if slot.is_none() {
                slot = Arc::clone(&self.grid.shared.slots)
                    .acquire_owned()
                    .await
                    .ok();
            }
            if slot.is_none() {
                return;
            }
            let Err(outcome) = self.attempt().await else {
                return;
            };
            match plan.next(Instant::now()) {
                Ok(next) => pause = next,
                Err(reason) => return self.give_up(reason, plan.attempts(), &outcome).await,
            }
        }
    }

    /// One delivery; an error says how it failed.
    async fn attempt(&self) -> Result<(), String> {
        // A handler that is being restarted costs no attempt, as in Azure another instance would answer.
        drop(self.grid.shared.invoker.handler.ready(READY_LIMIT).await);
        let (grid, subscriber, event) = (
            self.grid.clone(),
            self.subscriber.clone(),
            Arc::clone(&self.event),
        );
        let call = tokio::spawn(async move { grid.invoke(&subscriber, &event).await });
        match timeout(ANSWER_LIMIT, call).await {
            Ok(Ok(InvocationOutcome::Succeeded(_))) => Ok(()),
            Ok(Ok(InvocationOutcome::Failed(failure))) => Err(outcome_name(&failure)),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err("TimedOut".to_owned()),
        }
    }

    async fn give_up(&self, reason: &'static str, attempts: u32, outcome: &str) {
        let shared = &self.grid.shared;
        let id = self
            .event
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        shared.invoker.events.send(HostEvent::EventDeadLettered {
            id: id.to_owned(),
            function: self.subscriber.function.clone(),
            attempts,
        });
        let letter = dead_letter(
            &self.event,
            reason,
            attempts,
            outcome,
            self.published,
            Timestamp::now(),
        );
        if let Err(error) = shared
            .options
            .dead_letters
            .put(&self.subscriber.function, letter)
            .await
        {
            tracing::error!(event.id = id, "Could not write a dead letter: {error}");
        }
    }
}

/// Event Grid's word for it: the host answers 500 to whatever failed.
fn outcome_name(failure: &InvocationFailure) -> String {
    match failure {
        InvocationFailure::TimedOut | InvocationFailure::Hangs => "TimedOut",
        _ => "InternalServerError",
    }
    .to_owned()
}
