//! Timer triggers: one run at a time, at the times its schedule names.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use crate::{
    envelope::{self, CallFacts, ScheduleStatus},
    invoke::Invoker,
    schedule::Schedule,
    stop::StopSignal,
};

/// A run that starts this much later than planned is past due.
const PAST_DUE: Duration = Duration::from_secs(1);

/// One timer function.
pub(crate) struct TimerTrigger {
    pub(crate) function: String,
    pub(crate) binding: String,
    pub(crate) schedule: Schedule,
    pub(crate) invoker: Invoker,
}

impl TimerTrigger {
    /// Ticks until told to stop.
    pub(crate) async fn run(self, stop: StopSignal) {
        let mut last = None;
        let mut after = Timestamp::now();
        while let Some(due) = self.schedule.next_after(after) {
            tokio::select! {
                () = sleep(until(due)) => {}
                () = stop.given() => return,
            }
            let now = Timestamp::now();
            let late = now.duration_since(due).unsigned_abs() > PAST_DUE;
            let status = last
                .zip(self.schedule.next_after(now))
                .map(|(last, next)| ScheduleStatus { last, next });
            let facts = CallFacts::now(&self.function);
            let tick = envelope::timer(&self.binding, status, late, &facts);
            tokio::select! {
                _ = self.invoker.invoke(&self.function, &tick) => {}
                () = stop.given() => return,
            }
            last = Some(due);
            // Times that passed during the run are skipped.
            after = Timestamp::now().max(due);
        }
    }
}

fn until(due: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default()
}
