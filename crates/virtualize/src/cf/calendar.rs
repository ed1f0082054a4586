//! CF's calendars (CF conventions §4.4.1): dates to exact instants and back, in integer arithmetic.
//!
//! Every calendar but the one of 360 days is counted in years that begin in March, so that the leap day is
//! the last of its year and one formula gives the day of the year in all of them.

use crate::cf::CfError;
use crate::cf::instant::{DateTime, Instant};

mod year_rule;

use year_rule::YearRule;

/// Microseconds in a day; no calendar has leap seconds.
pub(crate) const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Julian day number of 1582-10-15, the first Gregorian day of the mixed calendar.
const REFORM: i64 = 2_299_161;
/// Beyond this year 64 bits of microseconds overflow in any case.
const YEAR_LIMIT: i64 = 300_000;

/// A calendar of the CF conventions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Calendar {
    /// Julian up to 1582-10-04, Gregorian from 1582-10-15; also called `gregorian`, and CF's default.
    Standard,
    /// Gregorian throughout, with a year zero.
    ProlepticGregorian,
    /// Every year has 365 days; also called `365_day`.
    NoLeap,
    /// Every year has 366 days; also called `366_day`.
    AllLeap,
    /// Every month has 30 days.
    Day360,
    /// Julian throughout.
    Julian,
}

impl Calendar {
    /// Reads a `calendar` attribute; an absent one is the standard calendar.
    ///
    /// # Errors
    /// [`CfError::CalendarUnknown`] for a name that CF does not have, `none` included.
    pub fn parse(attribute: Option<&str>) -> Result<Self, CfError> {
        let Some(text) = attribute else {
            return Ok(Self::Standard);
        };
        match text.trim().to_ascii_lowercase().as_str() {
            "standard" | "gregorian" => Ok(Self::Standard),
            "proleptic_gregorian" => Ok(Self::ProlepticGregorian),
            "noleap" | "365_day" => Ok(Self::NoLeap),
            "all_leap" | "366_day" => Ok(Self::AllLeap),
            "360_day" => Ok(Self::Day360),
            "julian" => Ok(Self::Julian),
            _ => Err(CfError::CalendarUnknown {
                calendar: text.to_owned(),
            }),
        }
    }

    /// The name that CF prefers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::ProlepticGregorian => "proleptic_gregorian",
            Self::NoLeap => "noleap",
            Self::AllLeap => "all_leap",
            Self::Day360 => "360_day",
            Self::Julian => "julian",
        }
    }

    /// The instant of a date.
    ///
    /// # Errors
    /// [`CfError::DateInvalid`] when this calendar has no such date.
    pub fn instant(self, date: &DateTime) -> Result<Instant, CfError> {
        self.try_instant(date).ok_or_else(|| CfError::DateInvalid {
            date: date.to_string(),
            calendar: self.name(),
        })
    }

    fn try_instant(self, date: &DateTime) -> Option<Instant> {
        if date.hour > 23 || date.minute > 59 || date.second > 59 || date.microsecond > 999_999 {
            return None;
        }
        let seconds =
            i64::from(date.hour) * 3600 + i64::from(date.minute) * 60 + i64::from(date.second);
        let micros = self
            .days_from_date(date.year, date.month, date.day)?
            .checked_mul(MICROS_PER_DAY)?
            .checked_add(seconds * 1_000_000 + i64::from(date.microsecond))?;
        Some(Instant::new(self, micros))
    }

    /// Days in a month, 0 for a month that is none of the twelve.
    #[must_use]
    pub fn days_in_month(self, year: i64, month: u8) -> u8 {
        match (self, month) {
            (_, 0 | 13..) => 0,
            (Self::Day360, _) => 30,
            (_, 4 | 6 | 9 | 11) => 30,
            (_, 2) => 28 + u8::from(self.is_leap(self.astronomical(year).unwrap_or(1))),
            _ => 31,
        }
    }

    fn is_leap(self, astronomical: i64) -> bool {
        let julian = astronomical.rem_euclid(4) == 0;
        let gregorian =
            julian && (astronomical.rem_euclid(100) != 0 || astronomical.rem_euclid(400) == 0);
        match self {
            Self::Standard if astronomical < 1582 => julian,
            Self::Julian => julian,
            Self::Standard | Self::ProlepticGregorian => gregorian,
            Self::NoLeap | Self::Day360 => false,
            Self::AllLeap => true,
        }
    }

    /// Whether a year zero exists: cftime's default for each calendar.
    fn has_year_zero(self) -> bool {
        !matches!(self, Self::Standard | Self::Julian)
    }

    fn astronomical(self, year: i64) -> Option<i64> {
        match year {
            _ if self.has_year_zero() => Some(year),
            0 => None,
            _ => Some(if year < 0 { year + 1 } else { year }),
        }
    }

    fn days_from_date(self, year: i64, month: u8, day: u8) -> Option<i64> {
        if year.abs() > YEAR_LIMIT || day == 0 || day > self.days_in_month(year, month) {
            return None;
        }
        let year = self.astronomical(year)?;
        let (month, day) = (i64::from(month), i64::from(day));
        if self == Self::Day360 {
            return Some(year * 360 + (month - 1) * 30 + day - 1);
        }
        let march_year = if month <= 2 { year - 1 } else { year };
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let count = |rule: YearRule| rule.days_before(march_year) + day_of_year;
        match self {
            Self::Standard => mixed_days(count(YearRule::Gregorian), count(YearRule::Julian)),
            other => YearRule::of(other).map(count),
        }
    }

    /// The date of a day as this calendar counts them.
    pub(super) fn date_from_days(self, days: i64) -> (i64, u8, u8) {
        let rule = match self {
            Self::Day360 => {
                let of_year = days.rem_euclid(360);
                return (
                    days.div_euclid(360),
                    small(of_year / 30 + 1),
                    small(of_year % 30 + 1),
                );
            }
            Self::Standard if days < REFORM => YearRule::Julian,
            other => YearRule::of(other).unwrap_or(YearRule::Gregorian),
        };
        let (march_year, day_of_year) = rule.split(days);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let (year, month) = if march_month < 10 {
            (march_year, march_month + 3)
        } else {
            (march_year + 1, march_month - 9)
        };
        let year = if self.has_year_zero() || year > 0 {
            year
        } else {
            year - 1
        };
        (year, small(month), small(day))
    }
}

/// The mixed calendar's count: Gregorian from the reform on, else Julian, and nothing for the ten days between.
fn mixed_days(gregorian: i64, julian: i64) -> Option<i64> {
    if gregorian >= REFORM {
        Some(gregorian)
    } else {
        Some(julian).filter(|days| *days < REFORM)
    }
}

/// A number that arithmetic keeps below 256.
pub(super) fn small(number: i64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::absent(None, Calendar::Standard)]
    #[case::alias(Some(" Gregorian "), Calendar::Standard)]
    #[case::noleap(Some("365_DAY"), Calendar::NoLeap)]
    #[case::all_leap(Some("366_day"), Calendar::AllLeap)]
    fn aliases_are_one_calendar(#[case] attribute: Option<&str>, #[case] calendar: Calendar) {
        assert_eq!(Calendar::parse(attribute), Ok(calendar));
    }

    #[rstest]
    #[case("none")]
    #[case("")]
    #[case("utc")]
    fn unknown_calendars_are_refused(#[case] name: &str) {
        assert_eq!(
            Calendar::parse(Some(name)).unwrap_err().code(),
            "calendar_mismatch"
        );
    }

    #[rstest]
    #[case::noon_of_2000(Calendar::Standard, DateTime::midnight(2000, 1, 1), 2_451_545)]
    #[case::first_day_of_the_julian_period(Calendar::Julian, DateTime::midnight(-4713, 1, 1), 0)]
    #[case::first_gregorian_day(Calendar::Standard, DateTime::midnight(1582, 10, 15), 2_299_161)]
    #[case::last_julian_day(Calendar::Standard, DateTime::midnight(1582, 10, 4), 2_299_160)]
    fn real_calendars_count_julian_days(
        #[case] calendar: Calendar,
        #[case] date: DateTime,
        #[case] days: i64,
    ) {
        assert_eq!(
            calendar.instant(&date).unwrap().micros(),
            days * MICROS_PER_DAY
        );
    }

    #[rstest]
    #[case::reform_gap(Calendar::Standard, 1582, 10, 10)]
    #[case::year_zero(Calendar::Standard, 0, 1, 1)]
    #[case::leap_day_in_noleap(Calendar::NoLeap, 2000, 2, 29)]
    #[case::century(Calendar::ProlepticGregorian, 1900, 2, 29)]
    #[case::day_31(Calendar::Day360, 2000, 1, 31)]
    #[case::month_13(Calendar::AllLeap, 2000, 13, 1)]
    #[case::year_of_garbage(Calendar::Julian, i64::MIN + 1, 1, 1)]
    fn dates_that_do_not_exist_are_refused(
        #[case] cal: Calendar,
        #[case] year: i64,
        #[case] month: u8,
        #[case] day: u8,
    ) {
        let error = cal
            .instant(&DateTime::midnight(year, month, day))
            .unwrap_err();
        assert!(matches!(error, CfError::DateInvalid { .. }), "{error}");
    }
}
