//! Time spans as `host.json` writes them: `hh:mm:ss`, or `d.hh:mm:ss`.

use std::time::Duration;

/// Reads `hh:mm:ss` or `d.hh:mm:ss`.
pub(super) fn parse_span(text: &str) -> Option<Duration> {
    let (days, clock) = match text.split_once('.') {
        Some((days, clock)) => (days.parse::<u64>().ok()?, clock),
        None => (0, text),
    };
    let mut parts = clock.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    days.checked_mul(86_400)?
        .checked_add(hours * 3600 + minutes * 60 + seconds)
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("00:00:30", Some(30))]
    #[case("01:02:03", Some(3723))]
    #[case("1.00:00:00", Some(86_400))]
    #[case("30", None)]
    #[case("00:60:00", None)]
    #[case("00:00:00:01", None)]
    fn spans_are_hours_minutes_seconds(#[case] text: &str, #[case] seconds: Option<u64>) {
        assert_eq!(parse_span(text), seconds.map(Duration::from_secs));
    }
}
