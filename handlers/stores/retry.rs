//! Trying again: bounded, with jitter, on the server's terms, and never past the deadline of the work at hand.

use std::fmt::Display;
use std::time::Duration;

use futures_util::{FutureExt as _, future};
use tokio::time::Instant;

tokio::task_local! {
    /// When the work at hand has to be done.
    static DEADLINE: Instant;
}

/// Runs work that has to be done within a time: what it calls gives up early rather than wait past that.
pub fn within<T>(limit: Duration, work: impl Future<Output = T>) -> impl Future<Output = T> {
    let now = Instant::now();
    DEADLINE.scope(now.checked_add(limit).unwrap_or(now), work)
}

/// The outcome of work that is waited for so long, and never past the deadline of the work at hand.
pub(super) fn soon<T>(
    limit: Duration,
    work: impl Future<Output = T>,
) -> impl Future<Output = Option<T>> {
    future::lazy(move |_| {
        let now = Instant::now();
        let limit = now.checked_add(limit).unwrap_or(now);
        let until = DEADLINE.try_with(|deadline| limit.min(*deadline));
        until.unwrap_or(limit)
    })
    .then(|until| tokio::time::timeout_at(until, work))
    .map(Result::ok)
}

/// How often and how slowly something is tried again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Tries in all.
    pub tries: u32,
    /// The first wait is about this long, each further one about twice the one before.
    pub first_wait: Duration,
    /// The longest wait, whatever the server asks for.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    /// With the waits between the tries a server has about ten seconds to recover.
    fn default() -> Self {
        Self {
            tries: 6,
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(30),
        }
    }
}

/// What is to be done about a try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// The same request fails for good.
    Never,
    /// It may succeed soon.
    Soon,
    /// It may succeed when the server says.
    After(Duration),
}

/// An error that knows whether the same request may succeed later.
pub(super) trait Failed: Display {
    /// What is to be done.
    fn again(&self) -> Again;
}

impl RetryPolicy {
    /// Runs `attempt` until it succeeds, fails for good, has failed too often, or the next wait would end too late.
    pub(super) async fn run<T, E: Failed, F>(&self, attempt: impl Fn(u32) -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut tries = 0;
        loop {
            let failed = match attempt(tries).await {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            tries += 1;
            let Some(wait) = self.wait(tries, failed.again()) else {
                return Err(failed);
            };
            tracing::debug!(tries, wait_ms = wait.as_millis(), "Retrying: {failed}");
            tokio::time::sleep(wait).await;
        }
    }

    /// How long to wait after so many tries; `None` where there is no point in it.
    fn wait(&self, tries: u32, again: Again) -> Option<Duration> {
        let wait = match again {
            Again::Never => return None,
            Again::Soon => self.jitter(tries),
            // Many clients are told the same time; they should not come back together.
            Again::After(asked) => asked.saturating_add(self.jitter(tries) / 4),
        };
        let wait = wait.min(self.longest_wait);
        let is_in_time = DEADLINE.try_with(|deadline| {
            Instant::now()
                .checked_add(wait)
                .is_some_and(|at| at < *deadline)
        });
        (tries < self.tries && is_in_time.unwrap_or(true)).then_some(wait)
    }

    /// Half to all of a time that doubles with every try, so that many readers do not come back together.
    fn jitter(&self, tries: u32) -> Duration {
        let longest = self.first_wait * 2u32.saturating_pow(tries.saturating_sub(1).min(6));
        longest.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rstest::rstest;

    use super::*;

    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("it fails")]
    struct Fails(Again);

    impl Failed for Fails {
        fn again(&self) -> Again {
            self.0
        }
    }

    const POLICY: RetryPolicy = RetryPolicy {
        tries: 4,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(20),
    };

    /// How many tries are made of something that fails so often.
    async fn tries(failures: u32, again: Again) -> (u32, bool) {
        let made = Cell::new(0);
        let done = POLICY.run(|number| {
            assert_eq!(number, made.get());
            made.set(number + 1);
            async move {
                match number < failures {
                    true => Err(Fails(again)),
                    false => Ok(()),
                }
            }
        });
        let is_done = done.await.is_ok();
        (made.get(), is_done)
    }

    #[rstest]
    #[case::at_once(0, Again::Soon, 1, true)]
    #[case::passing(2, Again::Soon, 3, true)]
    #[case::for_good(1, Again::Never, 1, false)]
    #[case::too_often(9, Again::Soon, 4, false)]
    #[case::asked_to_wait_for_hours(1, Again::After(Duration::from_secs(9999)), 2, true)]
    #[tokio::test]
    async fn a_passing_failure_is_tried_again(
        #[case] failures: u32,
        #[case] again: Again,
        #[case] made: u32,
        #[case] succeeds: bool,
    ) {
        assert_eq!(tries(failures, again).await, (made, succeeds));
    }

    #[rstest]
    #[case::no_time(Duration::ZERO, 1)]
    #[case::less_than_is_asked_for(Duration::from_millis(10), 1)]
    #[case::time_enough(Duration::from_secs(60), 4)]
    #[tokio::test]
    async fn nobody_waits_past_the_deadline(#[case] limit: Duration, #[case] made: u32) {
        let work = tries(9, Again::After(Duration::from_secs(1)));
        assert_eq!(within(limit, work).await, (made, false));
    }

    #[rstest]
    #[case::no_deadline(None, 5, true)]
    #[case::too_long(None, 5000, false)]
    #[case::past_the_deadline(Some(20), 40, false)]
    #[case::before_it(Some(2000), 5, true)]
    #[tokio::test]
    async fn work_is_waited_for_no_longer_than_it_may_take(
        #[case] deadline: Option<u64>,
        #[case] takes: u64,
        #[case] is_done: bool,
    ) {
        let work = soon(
            Duration::from_millis(500),
            tokio::time::sleep(Duration::from_millis(takes)),
        );
        let done = match deadline {
            Some(deadline) => within(Duration::from_millis(deadline), work).await,
            None => work.await,
        };
        assert_eq!(done.is_some(), is_done);
    }

    #[test]
    fn waits_double_and_differ() {
        let policy = RetryPolicy::default();
        for (tries, longest) in [(1, 200), (2, 400), (3, 800), (6, 6400)] {
            let wait = policy.jitter(tries).as_millis();
            assert!(wait >= longest / 2 && wait <= longest, "{tries}: {wait}");
        }
    }
}
