//! When an event that was not taken is delivered again: Event Grid's published schedule.

use std::time::Duration;

use tokio::time::Instant;

/// Seconds before each further attempt; the last one repeats.
const SCHEDULE: [u64; 7] = [10, 30, 60, 300, 600, 1800, 3600];

/// Time to live of an event.
const TIME_TO_LIVE: Duration = Duration::from_secs(24 * 3600);

/// The attempts at one event.
pub(super) struct RetryPlan {
    scale: f64,
    max_attempts: u32,
    attempts: u32,
    deadline: Instant,
}

impl RetryPlan {
    pub(super) fn new(scale: f64, max_attempts: u32, now: Instant) -> Self {
        Self {
            scale,
            max_attempts,
            attempts: 0,
            deadline: now + scaled(TIME_TO_LIVE, scale),
        }
    }

    /// Attempts that failed so far.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Notes a failed attempt; gives the pause before the next, or why there is none.
    pub(super) fn next(&mut self, now: Instant) -> Result<Duration, &'static str> {
        let nth = usize::try_from(self.attempts).unwrap_or(usize::MAX);
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts >= self.max_attempts {
            return Err("MaxDeliveryAttemptsExceeded");
        }
        let last = SCHEDULE.last().copied().unwrap_or_default();
        let seconds = SCHEDULE.get(nth).copied().unwrap_or(last);
        let pause = scaled(Duration::from_secs(seconds), self.scale);
        if now + pause > self.deadline {
            return Err("TimeToLiveExceeded");
        }
        Ok(pause)
    }
}

/// Compressed time; a scale that is no positive number counts as 1.
fn scaled(time: Duration, scale: f64) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() * scale).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_the_published_schedule_in_compressed_time() {
        let now = Instant::now();
        let mut plan = RetryPlan::new(0.001, 30, now);
        let pauses: Vec<u128> = (0..8)
            .filter_map(|_| plan.next(now).ok())
            .map(|p| p.as_millis())
            .collect();
        assert_eq!(pauses, [10, 30, 60, 300, 600, 1800, 3600, 3600]);
    }

    #[test]
    fn an_event_is_given_up_after_its_attempts() {
        let now = Instant::now();
        let mut plan = RetryPlan::new(1.0, 2, now);
        assert_eq!(plan.next(now), Ok(Duration::from_secs(10)));
        assert_eq!(plan.next(now), Err("MaxDeliveryAttemptsExceeded"));
        assert_eq!(plan.attempts(), 2);
    }

    #[test]
    fn an_event_is_given_up_after_a_day() {
        let now = Instant::now();
        let mut plan = RetryPlan::new(1.0, 100, now);
        assert_eq!(plan.next(now + TIME_TO_LIVE), Err("TimeToLiveExceeded"));
    }
}
