//! NCRONTAB schedules of timer triggers: six fields, `{second} {minute} {hour} {day} {month} {day-of-week}`, in UTC.
//! Unlike cron's, day and day of week must both match.

use std::str::FromStr;

use jiff::{Timestamp, ToSpan, civil, tz::TimeZone};

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Days looked at before a schedule counts as one that never fires: one cycle of leap days on week days.
const HORIZON_DAYS: usize = 28 * 366;

/// Why a schedule is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// Too few or too many fields.
    #[error("schedule `{0}` does not have six fields")]
    Fields(String),
    /// A field that is not a list of values, ranges or steps in bounds.
    #[error("`{value}` is not a valid {field}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it says.
        value: String,
    },
}

/// A parsed schedule. Each field is a set of values, one bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [seconds, minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(ScheduleError::Fields(text.to_owned()));
        };
        Ok(Self {
            seconds: parse_field("second", seconds, 0, 59, &[])?,
            minutes: parse_field("minute", minutes, 0, 59, &[])?,
            hours: parse_field("hour", hours, 0, 23, &[])?,
            days: parse_field("day", days, 1, 31, &[])?,
            months: parse_field("month", months, 1, 12, &MONTHS)?,
            weekdays: parse_field("day of week", weekdays, 0, 6, &DAYS)?,
        })
    }
}

impl Schedule {
    /// The first time strictly after `after` that the schedule names, or none within 28 years.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let start = after.to_zoned(TimeZone::UTC).datetime();
        let first = start
            .with()
            .subsec_nanosecond(0)
            .build()
            .ok()?
            .checked_add(1.second())
            .ok()?;
        let mut earliest = first.time();
        let mut date = first.date();
        for _ in 0..HORIZON_DAYS {
            if self.names_date(date)
                && let Some(time) = self.first_time_from(earliest)
            {
                return TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok();
            }
            earliest = civil::Time::midnight();
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn names_date(&self, date: civil::Date) -> bool {
        has(self.months, date.month())
            && has(self.days, date.day())
            && has(self.weekdays, date.weekday().to_sunday_zero_offset())
    }

    fn first_time_from(&self, from: civil::Time) -> Option<civil::Time> {
        for hour in (from.hour()..24).filter(|h| has(self.hours, *h)) {
            let minute_from = if hour == from.hour() {
                from.minute()
            } else {
                0
            };
            for minute in (minute_from..60).filter(|m| has(self.minutes, *m)) {
                let this_minute = hour == from.hour() && minute == from.minute();
                if let Some(second) =
                    first_from(self.seconds, if this_minute { from.second() } else { 0 })
                {
                    return civil::Time::new(hour, minute, second, 0).ok();
                }
            }
        }
        None
    }
}

fn has(set: u64, value: i8) -> bool {
    set >> value & 1 == 1
}

fn first_from(set: u64, from: i8) -> Option<i8> {
    (from..60).find(|value| has(set, *value))
}

fn parse_field(
    field: &'static str,
    text: &str,
    low: u32,
    high: u32,
    names: &[&str],
) -> Result<u64, ScheduleError> {
    let mut set = 0;
    for part in text.split(',') {
        set |= parse_part(part, low, high, names).ok_or_else(|| ScheduleError::Field {
            field,
            value: text.to_owned(),
        })?;
    }
    Ok(set)
}

/// One of `*`, `n`, `a-b`, each with an optional `/step`; `n/step` runs from `n` to the end.
fn parse_part(part: &str, low: u32, high: u32, names: &[&str]) -> Option<u64> {
    let value = |text: &str| {
        let named = names.iter().position(|name| {
            text.get(..3)
                .is_some_and(|head| head.eq_ignore_ascii_case(name))
        });
        let number = match named {
            Some(at) => u32::try_from(at).ok()? + low,
            None => text.parse().ok()?,
        };
        (low..=high).contains(&number).then_some(number)
    };
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|s| *s > 0)?)),
        None => (part, None),
    };
    let (from, to) = match range.split_once('-') {
        _ if range == "*" => (low, high),
        Some((from, to)) => (value(from)?, value(to)?),
        None if step.is_some() => (value(range)?, high),
        None => (value(range)?, value(range)?),
    };
    (from <= to).then(|| {
        (from..=to)
            .step_by(step.unwrap_or(1))
            .fold(0, |set, value| set | 1 << value)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // The first six are the examples of Microsoft's page on timer triggers, with the times that follow from them.
    #[rstest]
    #[case::every_five_minutes("0 */5 * * * *", "2026-11-20T10:00:00Z", "2026-11-20T10:05:00Z")]
    #[case::top_of_the_hour("0 0 * * * *", "2026-11-20T10:00:01Z", "2026-11-20T11:00:00Z")]
    #[case::every_two_hours("0 0 */2 * * *", "2026-11-20T10:30:00Z", "2026-11-20T12:00:00Z")]
    #[case::nine_to_five("0 0 9-17 * * *", "2026-11-20T17:00:00Z", "2026-11-21T09:00:00Z")]
    #[case::half_past_nine("0 30 9 * * *", "2026-11-20T09:29:59.5Z", "2026-11-20T09:30:00Z")]
    #[case::on_weekdays("0 30 9 * * 1-5", "2026-11-20T10:00:00Z", "2026-11-23T09:30:00Z")]
    #[case::in_january("0 30 9 * Jan Mon", "2026-11-20T10:00:00Z", "2027-01-04T09:30:00Z")]
    #[case::leap_day("0 0 0 29 2 *", "2026-11-20T10:00:00Z", "2028-02-29T00:00:00Z")]
    #[case::each_ten_seconds("5/10 * * * * *", "2026-11-20T23:59:55Z", "2026-11-21T00:00:05Z")]
    #[case::listed("0 0,15 8 * * *", "2026-11-20T08:00:00Z", "2026-11-20T08:15:00Z")]
    fn next_is_the_first_named_time_after(
        #[case] schedule: &str,
        #[case] after: &str,
        #[case] next: &str,
    ) {
        let schedule: Schedule = schedule.parse().unwrap();
        let found = schedule.next_after(after.parse().unwrap());
        assert_eq!(found, Some(next.parse().unwrap()));
    }

    #[test]
    fn a_date_that_never_comes_has_no_next() {
        let schedule: Schedule = "0 0 0 31 2 *".parse().unwrap();
        assert_eq!(
            schedule.next_after("2026-01-01T00:00:00Z".parse().unwrap()),
            None
        );
    }

    #[rstest]
    #[case("*/5 * * * *")]
    #[case("60 * * * * *")]
    #[case("* * * 0 * *")]
    #[case("* * * * 13 *")]
    #[case("* * * * * 7")]
    #[case("*/0 * * * * *")]
    #[case("9-3 * * * * *")]
    #[case("00:05:00")]
    fn what_is_no_schedule_is_refused(#[case] text: &str) {
        assert!(text.parse::<Schedule>().is_err());
    }
}
