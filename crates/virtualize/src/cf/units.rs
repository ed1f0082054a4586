//! CF time units, `<unit> since <date>` (CF conventions §4.4), and the instants that stored values mean in them.
//!
//! The forms accepted are cftime's, and those of udunits, on which CF rests, where cftime reads less than is
//! written: an hour without minutes, `-3` and `+5:30` as offsets, a date without day or month. Text that either
//! of them would skip over, such as an unknown time zone, is refused.

use crate::cf::CfError;
use crate::cf::calendar::{Calendar, MICROS_PER_DAY};
use crate::cf::instant::{DateTime, Instant};
use crate::cf::join::TimeValues;

mod float;
mod text;

pub(crate) use float::to_f64;

/// The length that time is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    /// 30 days, in the calendar of 360 days only.
    Month,
    /// 360 days, in the calendar of 360 days only.
    Year,
    /// 365 days, in the calendar without leap years only.
    CommonYear,
}

impl Unit {
    /// The units that every calendar has, from the longest to the shortest.
    pub(crate) const COMMON: [Self; 6] = [
        Self::Day,
        Self::Hour,
        Self::Minute,
        Self::Second,
        Self::Millisecond,
        Self::Microsecond,
    ];

    /// Its length in microseconds.
    pub(crate) fn micros(self) -> i64 {
        match self {
            Self::Microsecond => 1,
            Self::Millisecond => 1_000,
            Self::Second => 1_000_000,
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
            Self::Day => MICROS_PER_DAY,
            Self::Month => 30 * MICROS_PER_DAY,
            Self::Year => 360 * MICROS_PER_DAY,
            Self::CommonYear => 365 * MICROS_PER_DAY,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Microsecond => "microseconds",
            Self::Millisecond => "milliseconds",
            Self::Second => "seconds",
            Self::Minute => "minutes",
            Self::Hour => "hours",
            Self::Day => "days",
            Self::Month => "months",
            Self::Year => "years",
            Self::CommonYear => "common_years",
        }
    }
}

/// Time units with their reference date, read in one calendar.
///
/// Two are equal when they mean the same, whatever their spelling.
#[derive(Debug, Clone)]
pub struct TimeUnits {
    text: String,
    unit: Unit,
    reference: Instant,
}

impl PartialEq for TimeUnits {
    fn eq(&self, other: &Self) -> bool {
        self.unit.micros() == other.unit.micros() && self.reference == other.reference
    }
}

impl Eq for TimeUnits {}

impl TimeUnits {
    /// Reads a `units` attribute.
    ///
    /// # Errors
    /// [`CfError::UnitsInvalid`] for anything but a unit, `since` and a date that the calendar has.
    pub fn parse(units: &str, calendar: Calendar) -> Result<Self, CfError> {
        text::parse(units, calendar)
            .map(|(unit, reference)| Self {
                text: units.trim().to_owned(),
                unit,
                reference,
            })
            .map_err(|reason| CfError::UnitsInvalid {
                units: units.to_owned(),
                reason,
            })
    }

    /// The units as the file spells them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The date that is counted from, in UTC.
    #[must_use]
    pub fn reference(&self) -> DateTime {
        self.reference.date_time()
    }

    /// The calendar that the units were read in.
    #[must_use]
    pub fn calendar(&self) -> Calendar {
        self.reference.calendar()
    }

    pub(crate) fn reference_instant(&self) -> Instant {
        self.reference
    }

    pub(crate) fn unit(&self) -> Unit {
        self.unit
    }

    /// The same reference date with another unit.
    pub(crate) fn with_unit(&self, unit: Unit) -> Self {
        let date = self.reference().to_string().replace('T', " ");
        Self {
            text: format!("{} since {date}", unit.name()),
            unit,
            reference: self.reference,
        }
    }

    /// The instant of a stored integer; `None` when it is too far away, or the number that stands for no time.
    #[must_use]
    pub fn decode_int(&self, value: i64) -> Option<Instant> {
        // numpy's NaT is the smallest integer, so that no reader takes it for a time.
        let value = Some(value).filter(|value| *value != i64::MIN)?;
        self.reference
            .checked_add_micros(value.checked_mul(self.unit.micros())?)
    }

    /// The instant of a stored float, rounded to the microsecond as cftime does; `None` when it is not a time.
    #[must_use]
    pub fn decode_float(&self, value: f64) -> Option<Instant> {
        let snaps = !matches!(self.unit, Unit::Microsecond | Unit::Millisecond);
        self.reference
            .checked_add_micros(float::scale(value, self.unit.micros(), snaps)?)
    }

    /// The instants of stored values.
    ///
    /// # Errors
    /// [`CfError::ValueInvalid`] names the first value that is not a number or is too far away.
    pub fn decode(&self, values: &TimeValues) -> Result<Vec<Instant>, CfError> {
        match values {
            TimeValues::Int(values) => values
                .iter()
                .enumerate()
                .map(|(at, v)| self.decode_int(*v).ok_or_else(|| self.invalid(at, v)))
                .collect(),
            TimeValues::Float(values) => values
                .iter()
                .enumerate()
                .map(|(at, v)| self.decode_float(*v).ok_or_else(|| self.invalid(at, v)))
                .collect(),
        }
    }

    fn invalid(&self, index: usize, value: &dyn std::fmt::Display) -> CfError {
        CfError::ValueInvalid {
            index,
            value: value.to_string(),
            units: self.text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Where cftime skips what it cannot read, the meaning is that of udunits and of xarray's standard calendar.
    #[rstest]
    #[case::hour_alone("days since 2000-01-01 12", "2000-01-01T12:00:00Z")]
    #[case::hour_after_t("days since 2000-01-01T12", "2000-01-01T12:00:00Z")]
    #[case::offset_of_one_digit("days since 2000-01-01 00:00:00 -3", "2000-01-01T03:00:00Z")]
    #[case::offset_with_minutes("days since 2000-01-01 00:00:00 +5:30", "1999-12-31T18:30:00Z")]
    #[case::month("days since 2000-03", "2000-03-01T00:00:00Z")]
    #[case::year("days since 2000", "2000-01-01T00:00:00Z")]
    fn forms_of_udunits_are_read(#[case] units: &str, #[case] reference: &str) {
        let units = TimeUnits::parse(units, Calendar::Standard).unwrap();
        assert_eq!(units.reference().to_iso(), reference);
    }

    #[rstest]
    #[case::unknown_zone("days since 2000-01-01 00:00:00 EST")]
    #[case::three_digit_offset("days since 2000-01-01 00:00:00 +100")]
    #[case::offset_without_clock("days since 2000-01-01 -3")]
    #[case::compact("days since 20000101")]
    #[case::slashes("days since 2000/01/01")]
    #[case::no_minute("days since 2000-01-01 12:")]
    #[case::month_of_a_real_year("months since 2000-01-01")]
    #[case::year_of_a_real_calendar("years since 2000-01-01")]
    #[case::week("weeks since 2000-01-01")]
    #[case::nanosecond("nanoseconds since 2000-01-01")]
    #[case::not_since("day as %Y%m%d.%f")]
    #[case::not_ascii("days since ２０００-01-01")]
    #[case::no_date("days since ")]
    #[case::empty("")]
    fn what_can_be_misread_is_refused(#[case] units: &str) {
        let error = TimeUnits::parse(units, Calendar::Standard).unwrap_err();
        assert_eq!(error.code(), "time_units_invalid");
    }

    #[test]
    fn years_of_360_days_have_360_days() {
        let units = TimeUnits::parse("years since 2000-01-01", Calendar::Day360).unwrap();
        assert_eq!(
            units.decode_float(1.5).unwrap().date_time(),
            DateTime::midnight(2001, 7, 1)
        );
    }

    #[test]
    fn spelling_does_not_matter() {
        let one = TimeUnits::parse("days since 1850-1-1", Calendar::NoLeap).unwrap();
        assert_eq!(
            one,
            TimeUnits::parse("day since 1850-01-01T01:00:00+01:00", Calendar::NoLeap).unwrap()
        );
        assert_ne!(
            one,
            TimeUnits::parse("days since 1850-1-1", Calendar::Day360).unwrap()
        );
    }

    #[test]
    fn not_a_time_has_no_date() {
        let units = TimeUnits::parse("microseconds since 2000-01-01", Calendar::NoLeap).unwrap();
        assert_eq!(units.decode_int(i64::MIN), None);
        assert!(units.decode_int(i64::MIN + 1).is_some());
    }

    #[rstest]
    #[case(f64::NAN)]
    #[case(f64::INFINITY)]
    #[case(9.969_209_968_386_869e36)]
    #[case(-1e15)]
    fn values_that_are_no_time_are_named(#[case] value: f64) {
        let units = TimeUnits::parse("days since 1850-1-1", Calendar::Standard).unwrap();
        let error = units
            .decode(&TimeValues::Float(vec![0.0, value]))
            .unwrap_err();
        assert!(
            matches!(error, CfError::ValueInvalid { index: 1, .. }),
            "{error}"
        );
    }
}
