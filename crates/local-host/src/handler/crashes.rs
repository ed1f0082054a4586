//! When a crashing handler is started again, and when no more.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Crashes within [`WINDOW`] that make the host give up.
const LIMIT: usize = 3;
const WINDOW: Duration = Duration::from_secs(30 * 60);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The recent crashes.
pub(super) struct Crashes {
    limited: bool,
    recent: VecDeque<Instant>,
}

impl Crashes {
    pub(super) fn new(limited: bool) -> Self {
        Self {
            limited,
            recent: VecDeque::new(),
        }
    }

    /// Notes a crash; gives the pause before the next start, or nothing if there shall be none.
    pub(super) fn record(&mut self, now: Instant) -> Option<Duration> {
        self.recent.push_back(now);
        self.recent.retain(|at| now.duration_since(*at) < WINDOW);
        if self.limited {
            return (self.recent.len() < LIMIT).then_some(FIRST_PAUSE);
        }
        let lately = self
            .recent
            .iter()
            .filter(|at| now.duration_since(**at) < LONGEST_PAUSE * 5)
            .count();
        let doublings = u32::try_from(lately.saturating_sub(1))
            .unwrap_or(u32::MAX)
            .min(8);
        Some((FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_crash_in_half_an_hour_is_the_last() {
        let start = Instant::now();
        let mut crashes = Crashes::new(true);
        assert!(crashes.record(start).is_some());
        assert!(crashes.record(start + Duration::from_secs(60)).is_some());
        assert!(crashes.record(start + Duration::from_secs(1801)).is_some());
        assert_eq!(crashes.record(start + Duration::from_secs(1802)), None);
    }

    #[test]
    fn without_a_limit_the_pause_grows_and_shrinks_again() {
        let start = Instant::now();
        let mut crashes = Crashes::new(false);
        let pauses: Vec<_> = (0..9).filter_map(|_| crashes.record(start)).collect();
        assert_eq!(pauses.first(), Some(&FIRST_PAUSE));
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
        assert_eq!(
            crashes.record(start + Duration::from_secs(60)),
            Some(FIRST_PAUSE)
        );
    }
}
