//! The order of a series, its step, and its gaps; months and years count as steps though their lengths differ.

use std::collections::BTreeMap;

use crate::cf::calendar::MICROS_PER_DAY;
use crate::cf::instant::{DateTime, Instant};

/// The distance between neighbours of a regular series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A fixed number of microseconds.
    Fixed {
        /// How many.
        micros: i64,
    },
    /// A number of calendar months.
    Months {
        /// How many.
        count: i64,
    },
}

impl Step {
    /// The ISO 8601 duration, such as `P1D`, `PT6H`, `P1M` or `P1Y`.
    #[must_use]
    pub fn to_iso(self) -> String {
        match self {
            Self::Months { count } if count % 12 == 0 => format!("P{}Y", count / 12),
            Self::Months { count } => format!("P{count}M"),
            Self::Fixed { micros } => fixed_iso(micros),
        }
    }

    /// The step in seconds, rounded down, when it is a fixed one.
    #[must_use]
    pub fn seconds(self) -> Option<i64> {
        match self {
            Self::Fixed { micros } => Some(micros / 1_000_000),
            Self::Months { .. } => None,
        }
    }
}

fn fixed_iso(micros: i64) -> String {
    let (days, of_day) = (micros / MICROS_PER_DAY, micros % MICROS_PER_DAY);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let mut text = String::from("P");
    if days > 0 {
        text.push_str(&format!("{days}D"));
    }
    if of_day == 0 {
        return text;
    }
    text.push('T');
    for (amount, letter) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M')] {
        if amount > 0 {
            text.push_str(&format!("{amount}{letter}"));
        }
    }
    if fraction > 0 {
        let decimals = format!("{fraction:06}");
        text.push_str(&format!(
            "{}.{}S",
            seconds % 60,
            decimals.trim_end_matches('0')
        ));
    } else if seconds % 60 > 0 {
        text.push_str(&format!("{}S", seconds % 60));
    }
    text
}

/// A place where a step is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Index of the first instant after the gap.
    pub index: usize,
    /// The last instant before it.
    pub from: Instant,
    /// The first instant after it.
    pub to: Instant,
}

/// How two neighbours are out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// They are the same instant.
    Duplicate,
    /// The second lies before the first.
    Decreasing,
}

/// The first place where a series does not increase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderFault {
    /// Index of the second of the two neighbours.
    pub index: usize,
    /// What is wrong with them.
    pub order: Order,
}

/// The first place where instants do not strictly increase.
#[must_use]
pub fn check_increasing(instants: &[Instant]) -> Option<OrderFault> {
    let at = instants
        .windows(2)
        .position(|pair| !matches!(pair, [a, b] if a < b))?;
    let equal = matches!(instants.get(at..at + 2), Some([a, b]) if a == b);
    Some(OrderFault {
        index: at + 1,
        order: if equal {
            Order::Duplicate
        } else {
            Order::Decreasing
        },
    })
}

/// The step of a series that is regular throughout; `None` for an irregular one or one of fewer than two instants.
///
/// Series have millions of steps: what is looked at is the series itself, and no copy of it.
pub fn step_of(instants: impl Iterator<Item = Instant>) -> Option<Step> {
    let distances = Distances::of(instants)?;
    let step = distances.typical()?;
    let regular = match step {
        Step::Months { .. } => distances.months.len() == 1,
        Step::Fixed { .. } => distances.micros.len() == 1,
    };
    regular.then_some(step)
}

/// The places where the distance is more than a quarter longer than the usual step.
///
/// The quarter leaves series alone that are irregular by nature, such as three dates in every month.
pub fn gaps(instants: impl Iterator<Item = Instant> + Clone) -> Vec<Gap> {
    let Some(step) = Distances::of(instants.clone()).and_then(|distances| distances.typical())
    else {
        return Vec::new();
    };
    let wide = |from: Instant, to: Instant| match step {
        Step::Months { count } => month_number(to) - month_number(from) > count,
        Step::Fixed { micros } => {
            distance(from, to).is_some_and(|d| d > micros.saturating_add(micros / 4))
        }
    };
    let pairs = instants.clone().zip(instants.skip(1)).zip(1..);
    pairs
        .filter(|((from, to), _)| wide(*from, *to))
        .map(|((from, to), index)| Gap { index, from, to })
        .collect()
}

/// Between neighbours: how often which number of microseconds, and of month names.
struct Distances {
    micros: BTreeMap<i64, usize>,
    months: BTreeMap<i64, usize>,
    /// How many there are.
    count: usize,
    /// Whether all lie on the same day of the month at the same time of day.
    same_day: bool,
}

impl Distances {
    /// `None` for no instant, or when they do not increase.
    fn of(mut instants: impl Iterator<Item = Instant>) -> Option<Self> {
        let mut before = instants.next()?;
        let of_month = |date: DateTime| {
            (
                date.day,
                date.hour,
                date.minute,
                date.second,
                date.microsecond,
            )
        };
        let first = of_month(before.date_time());
        let mut month_before = month_number(before);
        let mut distances = Self {
            micros: BTreeMap::new(),
            months: BTreeMap::new(),
            count: 0,
            same_day: true,
        };
        for instant in instants {
            let date = instant.date_time();
            let month = date.year * 12 + i64::from(date.month);
            let micros = distance(before, instant)?;
            *distances.micros.entry(micros).or_default() += 1;
            *distances.months.entry(month - month_before).or_default() += 1;
            distances.count += 1;
            distances.same_day &= of_month(date) == first;
            (before, month_before) = (instant, month);
        }
        Some(distances)
    }

    /// The most frequent distance, in months where they explain it.
    fn typical(&self) -> Option<Step> {
        let micros = mode(&self.micros)?;
        let months = mode(&self.months)?;
        // A year zero between -1 and 1 does not exist everywhere; there the month numbers jump, rarely enough.
        if self.counts_in_months(micros, months) {
            return Some(Step::Months { count: months });
        }
        Some(Step::Fixed { micros })
    }

    /// A month's length varies by three days at most, so the usual distance tells how many months it can be.
    fn counts_in_months(&self, micros: i64, months: i64) -> bool {
        let days = micros / MICROS_PER_DAY;
        let plausible =
            months >= 1 && days >= months.saturating_mul(28) && days <= months.saturating_mul(31);
        let even = self.micros.len() == 1;
        let forward = self.months.keys().all(|count| *count >= 1);
        plausible && forward && (self.same_day || !even || self.count == 1)
    }
}

fn month_number(instant: Instant) -> i64 {
    let date = instant.date_time();
    date.year * 12 + i64::from(date.month)
}

/// Microseconds between neighbours; `None` if they do not increase.
fn distance(from: Instant, to: Instant) -> Option<i64> {
    let micros = to.micros_since(from).filter(|micros| *micros > 0);
    micros.map(tidied)
}

/// A distance of a minute or more without the rounding that floats counted in days leave, up to a millisecond.
fn tidied(micros: i64) -> i64 {
    let off = (micros + 500_000).rem_euclid(1_000_000) - 500_000;
    if micros >= 60_000_000 && off.abs() <= 1_000 {
        micros - off
    } else {
        micros
    }
}

/// The most frequent value, the smallest of several.
fn mode(counts: &BTreeMap<i64, usize>) -> Option<i64> {
    let most = counts
        .iter()
        .max_by_key(|(value, count)| (**count, std::cmp::Reverse(**value)));
    most.map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::cf::calendar::Calendar;
    use crate::cf::units::TimeUnits;

    fn instants(calendar: Calendar, units: &str, values: &[f64]) -> Vec<Instant> {
        let units = TimeUnits::parse(units, calendar).unwrap();
        values
            .iter()
            .map(|value| units.decode_float(*value).unwrap())
            .collect()
    }

    const DAYS: &str = "days since 2001-01-01";

    #[rstest]
    #[case::daily(Calendar::Standard, &[0.0, 1.0, 2.0], Some("P1D"))]
    #[case::six_hours(Calendar::Standard, &[0.25, 0.5], Some("PT6H"))]
    #[case::day_and_a_half(Calendar::Standard, &[0.0, 1.5, 3.0], Some("P1DT12H"))]
    #[case::ninety_minutes(Calendar::Standard, &[0.0, 0.0625, 0.125], Some("PT1H30M"))]
    #[case::half_a_second(Calendar::Standard, &[0.0, 0.5 / 86400.0, 1.0 / 86400.0], Some("PT0.5S"))]
    #[case::starts_of_months(Calendar::Standard, &[0.0, 31.0, 59.0, 90.0], Some("P1M"))]
    #[case::mid_months(Calendar::NoLeap, &[15.5, 45.0, 74.5, 105.0], Some("P1M"))]
    #[case::two_mid_months(Calendar::NoLeap, &[15.5, 45.0], Some("P1M"))]
    #[case::months_of_30_days(Calendar::Day360, &[15.0, 45.0, 75.0], Some("P1M"))]
    #[case::every_30_days(Calendar::Standard, &[0.0, 30.0, 60.0, 90.0], Some("P30D"))]
    #[case::years(Calendar::Standard, &[0.0, 365.0, 730.0, 1095.0, 1461.0], Some("P1Y"))]
    #[case::years_of_365_days(Calendar::NoLeap, &[0.0, 365.0, 730.0], Some("P1Y"))]
    #[case::seasons(Calendar::NoLeap, &[0.0, 90.0, 181.0, 273.0, 365.0], Some("P3M"))]
    #[case::irregular(Calendar::Standard, &[0.0, 1.0, 3.0], None)]
    #[case::one(Calendar::Standard, &[0.0], None)]
    #[case::none(Calendar::Standard, &[], None)]
    #[case::decreasing(Calendar::Standard, &[1.0, 0.0], None)]
    fn steps_are_durations(
        #[case] calendar: Calendar,
        #[case] days: &[f64],
        #[case] iso: Option<&str>,
    ) {
        let step = step_of(instants(calendar, DAYS, days).into_iter()).map(Step::to_iso);
        assert_eq!(step.as_deref(), iso);
    }

    #[test]
    fn hours_in_days_of_two_millennia_are_regular() {
        let hours = (0..100)
            .map(|hour| 730_000.0 + f64::from(hour) / 24.0)
            .collect::<Vec<_>>();
        let series = instants(Calendar::Standard, "days since 0001-01-01", &hours);
        assert_eq!(
            step_of(series.iter().copied()).map(Step::to_iso).as_deref(),
            Some("PT1H")
        );
    }

    #[rstest]
    #[case::complete(&[0.0, 1.0, 2.0, 3.0], &[])]
    #[case::a_day_is_missing(&[0.0, 1.0, 3.0, 4.0], &[2])]
    #[case::half_a_day_too_far(&[0.0, 1.0, 2.0, 3.5, 4.5], &[3])]
    #[case::months(&[15.5, 45.0, 74.5, 105.0, 135.5], &[])]
    #[case::a_month_is_missing(&[0.0, 31.0, 59.0, 120.0, 151.0], &[3])]
    #[case::three_a_month(&[0.0, 10.0, 20.0, 31.0, 41.0, 51.0, 59.0], &[])]
    fn gaps_are_longer_than_the_step(#[case] days: &[f64], #[case] expected: &[usize]) {
        let series = instants(Calendar::NoLeap, DAYS, days);
        let found = gaps(series.iter().copied());
        assert_eq!(
            found.iter().map(|gap| gap.index).collect::<Vec<_>>(),
            expected
        );
        assert!(
            found
                .iter()
                .all(|gap| gap.from == series[gap.index - 1] && gap.to == series[gap.index])
        );
    }

    #[rstest]
    #[case::increasing(&[0.0, 1.0, 2.0], None)]
    #[case::duplicate(&[0.0, 1.0, 1.0, 0.0], Some(OrderFault { index: 2, order: Order::Duplicate }))]
    #[case::decreasing(&[0.0, 2.0, 1.0], Some(OrderFault { index: 2, order: Order::Decreasing }))]
    fn order_is_strict(#[case] days: &[f64], #[case] fault: Option<OrderFault>) {
        assert_eq!(
            check_increasing(&instants(Calendar::Standard, DAYS, days)),
            fault
        );
    }
}
