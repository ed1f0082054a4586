//! How many days lie before a year that begins in March, for each sequence of year lengths.

use crate::cf::calendar::Calendar;

/// Julian day number of 0000-03-01 in the proleptic Gregorian calendar.
const GREGORIAN_MARCH_0: i64 = 1_721_120;
/// Julian day number of 0000-03-01 in the Julian calendar.
const JULIAN_MARCH_0: i64 = 1_721_118;

/// How the lengths of the years follow each other, for calendars with twelve usual months.
#[derive(Debug, Clone, Copy)]
pub(super) enum YearRule {
    Gregorian,
    Julian,
    Always365,
    Always366,
}

impl YearRule {
    /// The rule of a calendar that has one throughout.
    pub(super) fn of(calendar: Calendar) -> Option<Self> {
        match calendar {
            Calendar::ProlepticGregorian => Some(Self::Gregorian),
            Calendar::Julian => Some(Self::Julian),
            Calendar::NoLeap => Some(Self::Always365),
            Calendar::AllLeap => Some(Self::Always366),
            Calendar::Standard | Calendar::Day360 => None,
        }
    }

    /// Day number of 1 March of a year: the Julian day number where there is one.
    pub(super) fn days_before(self, march_year: i64) -> i64 {
        let leaps = |every: i64| march_year.div_euclid(every);
        match self {
            Self::Gregorian => {
                GREGORIAN_MARCH_0 + 365 * march_year + leaps(4) - leaps(100) + leaps(400)
            }
            Self::Julian => JULIAN_MARCH_0 + 365 * march_year + leaps(4),
            Self::Always365 => 365 * march_year,
            Self::Always366 => 366 * march_year,
        }
    }

    /// The year that begins in March and the day of it, from 0.
    pub(super) fn split(self, days: i64) -> (i64, i64) {
        let year = match self {
            Self::Gregorian => {
                let days = days - GREGORIAN_MARCH_0;
                let of_era = days.rem_euclid(146_097);
                let of_leap_days = of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096;
                days.div_euclid(146_097) * 400 + of_leap_days / 365
            }
            Self::Julian => (4 * (days - JULIAN_MARCH_0) + 3).div_euclid(1_461),
            Self::Always365 => days.div_euclid(365),
            Self::Always366 => days.div_euclid(366),
        };
        (year, days - self.days_before(year))
    }
}
