//! Dates as people write them, and the exact instants they stand for.

use std::cmp::Ordering;
use std::fmt;

use crate::cf::calendar::{Calendar, MICROS_PER_DAY, small};

/// A date and time of day in some calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DateTime {
    /// Year; in the standard and the Julian calendar year 1 follows year -1.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, from 1.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
    /// Microsecond, 0 to 999 999.
    pub microsecond: u32,
}

/// An exact point of time of one calendar; those of different calendars have no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instant {
    calendar: Calendar,
    micros: i64,
}

impl PartialOrd for Instant {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.calendar == other.calendar).then(|| self.micros.cmp(&other.micros))
    }
}

impl Instant {
    /// Microseconds since the first moment of the calendar's day 0.
    pub(crate) fn new(calendar: Calendar, micros: i64) -> Self {
        Self { calendar, micros }
    }

    /// Microseconds since the first moment of the calendar's day 0; comparable within one calendar.
    pub fn micros(self) -> i64 {
        self.micros
    }

    /// The calendar that this instant belongs to.
    #[must_use]
    pub fn calendar(self) -> Calendar {
        self.calendar
    }

    /// Microseconds from `earlier` to this instant; `None` across calendars or when 64 bits do not hold them.
    #[must_use]
    pub fn micros_since(self, earlier: Self) -> Option<i64> {
        if self.calendar == earlier.calendar {
            self.micros.checked_sub(earlier.micros)
        } else {
            None
        }
    }

    /// This instant moved by some microseconds; `None` when 64 bits do not hold it.
    #[must_use]
    pub fn checked_add_micros(self, micros: i64) -> Option<Self> {
        self.micros
            .checked_add(micros)
            .map(|micros| Self { micros, ..self })
    }

    /// The date and time of day.
    #[must_use]
    pub fn date_time(self) -> DateTime {
        let (year, month, day) = self
            .calendar
            .date_from_days(self.micros.div_euclid(MICROS_PER_DAY));
        let of_day = self.micros.rem_euclid(MICROS_PER_DAY);
        let (seconds, microsecond) = (of_day / 1_000_000, of_day % 1_000_000);
        DateTime {
            year,
            month,
            day,
            hour: small(seconds / 3600),
            minute: small(seconds / 60 % 60),
            second: small(seconds % 60),
            microsecond: u32::try_from(microsecond).unwrap_or(0),
        }
    }
}

impl DateTime {
    /// Midnight at the start of a day.
    #[must_use]
    pub fn midnight(year: i64, month: u8, day: u8) -> Self {
        Self {
            year,
            month,
            day,
            hour: 0,
            minute: 0,
            second: 0,
            microsecond: 0,
        }
    }

    /// `YYYY-MM-DDTHH:MM:SSZ`, with six decimals of a second only when they are not zero.
    #[must_use]
    pub fn to_iso(&self) -> String {
        format!("{self}Z")
    }

    /// The same date where it exists in the proleptic Gregorian calendar, else the last day of that month.
    ///
    /// This is for catalogues, which know no other calendar: a 30 February of 360 days becomes the 28th or 29th.
    #[must_use]
    pub fn clamped(&self) -> Self {
        let last = Calendar::ProlepticGregorian.days_in_month(self.year, self.month);
        Self {
            day: self.day.min(last),
            ..*self
        }
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.year < 0 {
            f.write_str("-")?;
        }
        let Self {
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = self;
        write!(
            f,
            "{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}",
            self.year.unsigned_abs()
        )?;
        if self.microsecond != 0 {
            write!(f, ".{:06}", self.microsecond)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::leap(DateTime::midnight(2000, 2, 30), "2000-02-29T00:00:00Z")]
    #[case::not_leap(DateTime::midnight(1900, 2, 30), "1900-02-28T00:00:00Z")]
    #[case::real(DateTime { hour: 12, microsecond: 500, ..DateTime::midnight(850, 6, 30) }, "0850-06-30T12:00:00.000500Z")]
    #[case::negative(DateTime::midnight(-5, 1, 1), "-0005-01-01T00:00:00Z")]
    fn clamping_keeps_real_days(#[case] date: DateTime, #[case] iso: &str) {
        assert_eq!(date.clamped().to_iso(), iso);
    }

    #[test]
    fn instants_of_two_calendars_have_no_order() {
        let date = DateTime::midnight(2000, 1, 1);
        let standard = Calendar::Standard.instant(&date).unwrap();
        let gregorian = Calendar::ProlepticGregorian.instant(&date).unwrap();
        assert_eq!(standard.partial_cmp(&gregorian), None);
        assert_eq!(standard.micros_since(gregorian), None);
    }
}
