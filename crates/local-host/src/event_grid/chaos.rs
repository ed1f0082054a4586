//! Faults that Event Grid is allowed to make, made on purpose and repeatably.

use std::time::Duration;

/// Which faults, how often. The default is none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chaos {
    /// Start of the random numbers: the same seed makes the same faults for the same events.
    pub seed: u64,
    /// Share of events never delivered, 0 to 1.
    pub loss: f64,
    /// Share of events delivered twice.
    pub duplicate: f64,
    /// Share of events held back for `reorder_window`, so that later ones overtake them.
    pub reorder: f64,
    /// How long they are held back.
    pub reorder_window: Duration,
    /// Every delivery waits for a random time up to this.
    pub delay: Duration,
}

/// Decides the fate of each event in turn.
#[derive(Debug)]
pub(super) struct ChaosMonkey {
    chaos: Chaos,
    random: fastrand::Rng,
}

impl ChaosMonkey {
    pub(super) fn new(chaos: Chaos) -> Self {
        let random = fastrand::Rng::with_seed(chaos.seed);
        Self { chaos, random }
    }

    /// The delays after which the next event is delivered: none if it is lost, two if it is duplicated.
    pub(super) fn plan(&mut self) -> Vec<Duration> {
        if self.happens(self.chaos.loss) {
            return Vec::new();
        }
        let copies = if self.happens(self.chaos.duplicate) {
            2
        } else {
            1
        };
        (0..copies).map(|_| self.delay()).collect()
    }

    fn delay(&mut self) -> Duration {
        let held = if self.happens(self.chaos.reorder) {
            self.chaos.reorder_window
        } else {
            Duration::ZERO
        };
        held + self.chaos.delay.mul_f64(self.random.f64())
    }

    fn happens(&mut self, share: f64) -> bool {
        self.random.f64() < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(chaos: Chaos) -> Vec<Vec<Duration>> {
        let mut monkey = ChaosMonkey::new(chaos);
        (0..1000).map(|_| monkey.plan()).collect()
    }

    #[test]
    fn without_faults_every_event_is_delivered_once_at_once() {
        assert!(
            plans(Chaos::default())
                .iter()
                .all(|plan| plan == &[Duration::ZERO])
        );
    }

    #[test]
    fn faults_come_at_their_share_and_the_same_for_the_same_seed() {
        let chaos = Chaos {
            seed: 7,
            loss: 0.1,
            duplicate: 0.5,
            reorder: 0.3,
            reorder_window: Duration::from_secs(1),
            delay: Duration::from_millis(10),
        };
        let made = plans(chaos.clone());
        assert_eq!(made, plans(chaos));
        let lost = made.iter().filter(|plan| plan.is_empty()).count();
        let doubled = made.iter().filter(|plan| plan.len() == 2).count();
        let held = made
            .iter()
            .flatten()
            .filter(|delay| delay.as_secs() == 1)
            .count();
        assert!((60..140).contains(&lost), "{lost}");
        assert!((380..520).contains(&doubled), "{doubled}");
        assert!((300..520).contains(&held), "{held}");
    }
}
