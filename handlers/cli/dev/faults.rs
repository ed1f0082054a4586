//! Faults that the local host makes on purpose, to see that nothing is lost by those that Azure makes.

use std::time::Duration;

use local_host::Chaos;

/// Which faults.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Faults made on purpose")]
pub(super) struct FaultArguments {
    /// Share of events never delivered, 0 to 1; Sweep finds their blobs.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    lose: f64,
    /// Share of events delivered twice.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    duplicate: f64,
    /// Share of events held back for a second, so that later ones overtake them.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    reorder: f64,
    /// Every delivery waits for a random time up to so many milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    delay: u64,
    /// Start of the random numbers: the same one makes the same faults for the same events.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Start the handler again however often it ends; Azure gives up after three crashes in half an hour.
    #[arg(long)]
    pub(super) no_crash_limit: bool,
}

impl FaultArguments {
    /// What Event Grid's stand-in does wrong.
    pub(super) fn chaos(&self) -> Chaos {
        Chaos {
            seed: self.seed,
            loss: self.lose,
            duplicate: self.duplicate,
            reorder: self.reorder,
            reorder_window: Duration::from_secs(1),
            delay: Duration::from_millis(self.delay),
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| String::from("not a share from 0 to 1"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0.3", Some(0.3))]
    #[case("1", Some(1.0))]
    #[case("1.01", None)]
    #[case("-0.1", None)]
    #[case("NaN", None)]
    fn a_share_is_between_nothing_and_all(#[case] text: &str, #[case] expected: Option<f64>) {
        assert_eq!(share(text).ok(), expected);
    }
}
