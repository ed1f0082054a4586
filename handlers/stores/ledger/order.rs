//! Which of two events on one blob is newer.

use std::cmp::Ordering;

/// Whether an event is older than what is recorded; unknown sequencers decide nothing.
pub(super) fn is_older(event: Option<&str>, recorded: Option<&str>) -> bool {
    matches!((event, recorded), (Some(event), Some(recorded)) if compare(event, recorded) == Ordering::Less)
}

/// The newer of two sequencers; a known one is kept over none.
pub(super) fn newest<'a>(recorded: Option<&'a str>, event: Option<&'a str>) -> Option<&'a str> {
    match (recorded, event) {
        (Some(recorded), Some(event)) if compare(event, recorded) == Ordering::Less => {
            Some(recorded)
        }
        (recorded, event) => event.or(recorded),
    }
}

/// Event Grid's rule: sequencers are hexadecimal texts without leading zeros, compared as if padded on the left
/// to one length.
fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::shorter_is_smaller(Some("9"), Some("10"), true)]
    #[case::longer_is_larger(Some("100"), Some("99"), false)]
    #[case::padding_counts_nothing(Some("0010"), Some("10"), false)]
    #[case::hexadecimal_digits(Some("1a"), Some("1f"), true)]
    #[case::equal(Some("10"), Some("10"), false)]
    #[case::event_without(None, Some("10"), false)]
    #[case::record_without(Some("10"), None, false)]
    fn sequencers_compare_as_padded_texts(
        #[case] event: Option<&str>,
        #[case] recorded: Option<&str>,
        #[case] expected: bool,
    ) {
        assert_eq!(is_older(event, recorded), expected);
    }

    #[rstest]
    #[case::event_is_newer(Some("9"), Some("10"), Some("10"))]
    #[case::record_is_newer(Some("10"), Some("9"), Some("10"))]
    #[case::no_event(Some("10"), None, Some("10"))]
    #[case::no_record(None, Some("10"), Some("10"))]
    fn the_newest_sequencer_is_kept(
        #[case] recorded: Option<&str>,
        #[case] event: Option<&str>,
        #[case] kept: Option<&str>,
    ) {
        assert_eq!(newest(recorded, event), kept);
    }
}
