//! Expresses the time coordinates of several files on one encoding, without losing a microsecond.
//!
//! Values that already share units and type are concatenated as they stand. Otherwise all of them move to the
//! first part's units, or to the longest shorter unit in which they are exact. Bounds have no units of their
//! own in CF, so [`join_times_with_bounds`] finds one unit for both.

use crate::cf::CfError;
use crate::cf::calendar::Calendar;
use crate::cf::units::{TimeUnits, Unit};

mod column;

use column::Column;

/// Stored values of a time coordinate or its bounds.
#[derive(Debug, Clone, PartialEq)]
pub enum TimeValues {
    /// Integers of any width.
    Int(Vec<i64>),
    /// Floats of either width.
    Float(Vec<f64>),
}

impl TimeValues {
    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Int(values) => values.len(),
            Self::Float(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values stored as unsigned integers; `None` when one of them does not fit.
    #[must_use]
    pub fn from_unsigned(values: &[u64]) -> Option<Self> {
        values
            .iter()
            .map(|value| i64::try_from(*value).ok())
            .collect::<Option<_>>()
            .map(Self::Int)
    }

    fn as_ints(&self) -> Option<&[i64]> {
        if let Self::Int(values) = self {
            Some(values)
        } else {
            None
        }
    }

    fn as_floats(&self) -> Option<&[f64]> {
        if let Self::Float(values) = self {
            Some(values)
        } else {
            None
        }
    }

    fn is_float(&self) -> bool {
        matches!(self, Self::Float(_))
    }
}

/// The time values of one file, in the order of the series.
#[derive(Debug, Clone, PartialEq)]
pub struct TimePart<'a> {
    /// The stored values.
    pub values: TimeValues,
    /// Its `units` attribute; for bounds without one, that of their coordinate.
    pub units: &'a str,
    /// Its calendar.
    pub calendar: Calendar,
}

/// The time values of a whole series.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinedTime {
    /// All values, in the order of the parts.
    pub values: TimeValues,
    /// The `units` that they are in.
    pub units: String,
    /// The calendar of all of them.
    pub calendar: Calendar,
    /// Whether a value was changed on the way; else they are concatenated bit for bit.
    pub reencoded: bool,
}

/// Joins the time values of several files.
///
/// # Errors
/// Calendars that differ, units that cannot be read and, where values must be converted, values that are no time.
pub fn join_times(parts: &[TimePart<'_>]) -> Result<JoinedTime, CfError> {
    let (units, reencoded, columns) = join_columns(&[parts])?;
    let first = columns.into_iter().next();
    let values = first.unwrap_or(TimeValues::Int(Vec::new()));
    Ok(JoinedTime {
        values,
        units: units.as_str().to_owned(),
        calendar: units.calendar(),
        reencoded,
    })
}

/// Joins time values and their bounds on units in which both are exact.
///
/// # Errors
/// As [`join_times`].
pub fn join_times_with_bounds(
    times: &[TimePart<'_>],
    bounds: &[TimePart<'_>],
) -> Result<(JoinedTime, TimeValues), CfError> {
    let (units, reencoded, columns) = join_columns(&[times, bounds])?;
    let mut columns = columns.into_iter();
    let mut next = || columns.next().unwrap_or(TimeValues::Int(Vec::new()));
    let (values, bounds) = (next(), next());
    let joined = JoinedTime {
        values,
        units: units.as_str().to_owned(),
        calendar: units.calendar(),
        reencoded,
    };
    Ok((joined, bounds))
}

/// Columns that share one unit: the units, whether a value changed, and each column's values.
fn join_columns(
    columns: &[&[TimePart<'_>]],
) -> Result<(TimeUnits, bool, Vec<TimeValues>), CfError> {
    let target = first_units(columns)?;
    let columns = columns
        .iter()
        .map(|parts| Column::read(parts, &target))
        .collect::<Result<Vec<_>, _>>()?;
    if columns.iter().all(|column| column.is_uniform(&target)) {
        let values = columns.iter().map(Column::concatenated).collect();
        return Ok((target, false, values));
    }
    let columns = columns
        .into_iter()
        .map(Column::decoded)
        .collect::<Result<Vec<_>, _>>()?;
    for units in candidates(&target) {
        if let Some(values) = columns.iter().map(|column| column.encode(&units)).collect() {
            return Ok((units, true, values));
        }
    }
    let reason = "64 bits do not hold the joined values exactly in it or a shorter unit";
    Err(CfError::UnitsInvalid {
        units: target.as_str().to_owned(),
        reason,
    })
}

fn first_units(columns: &[&[TimePart<'_>]]) -> Result<TimeUnits, CfError> {
    let first = columns.iter().find_map(|parts| parts.first());
    let Some(first) = first else {
        return Err(CfError::UnitsInvalid {
            units: String::new(),
            reason: "there is nothing to join",
        });
    };
    TimeUnits::parse(first.units, first.calendar)
}

/// The units themselves, then the same reference with ever shorter units.
fn candidates(target: &TimeUnits) -> impl Iterator<Item = TimeUnits> {
    let longest = target.unit().micros();
    let shorter = Unit::COMMON
        .into_iter()
        .filter(move |unit| unit.micros() < longest);
    std::iter::once(target.clone()).chain(shorter.map(|unit| target.with_unit(unit)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn part(values: TimeValues, units: &str) -> TimePart<'_> {
        TimePart {
            values,
            units,
            calendar: Calendar::NoLeap,
        }
    }

    fn ints(values: &[i64]) -> TimeValues {
        TimeValues::Int(values.to_vec())
    }

    fn floats(values: &[f64]) -> TimeValues {
        TimeValues::Float(values.to_vec())
    }

    #[rstest]
    #[case::other_epoch(ints(&[0]), "days since 2000-01-01", ints(&[0]), "days since 2001-01-01",
        ints(&[0, 365]), "days since 2000-01-01")]
    #[case::hours_into_days(ints(&[0]), "days since 2000-01-01", ints(&[48]), "hours since 2000-01-01",
        ints(&[0, 2]), "days since 2000-01-01")]
    #[case::finer_unit(ints(&[1]), "days since 2000-1-1", ints(&[30]), "hours since 2000-1-1",
        ints(&[24, 30]), "hours since 2000-01-01 00:00:00")]
    #[case::int_then_whole_float(ints(&[1]), "days since 2000-1-1", floats(&[2.0]), "days since 2000-1-1",
        ints(&[1, 2]), "days since 2000-1-1")]
    #[case::int_then_half_float(ints(&[1]), "days since 2000-1-1", floats(&[2.5]), "days since 2000-1-1",
        floats(&[1.0, 2.5]), "days since 2000-1-1")]
    #[case::float_then_int(floats(&[0.5]), "days since 2000-1-1", ints(&[36]), "hours since 2000-1-1",
        floats(&[0.5, 1.5]), "days since 2000-1-1")]
    #[case::floats_of_the_first_keep_their_bits(floats(&[0.1 + 0.2]), "days since 2000-1-1", ints(&[12]), "hours since 2000-1-1",
        floats(&[0.1 + 0.2, 0.5]), "days since 2000-1-1")]
    #[case::microseconds(ints(&[1]), "hours since 2000-1-1", ints(&[1]), "microseconds since 2000-1-1",
        ints(&[3_600_000_000, 1]), "microseconds since 2000-01-01 00:00:00")]
    fn times_move_to_the_units_of_the_first(
        #[case] first: TimeValues,
        #[case] first_units: &str,
        #[case] second: TimeValues,
        #[case] second_units: &str,
        #[case] values: TimeValues,
        #[case] units: &str,
    ) {
        let joined = join_times(&[part(first, first_units), part(second, second_units)]).unwrap();
        let expected = JoinedTime {
            values,
            units: units.to_owned(),
            calendar: Calendar::NoLeap,
            reencoded: true,
        };
        assert_eq!(joined, expected);
    }

    #[test]
    fn equal_encodings_are_concatenated_bit_for_bit() {
        let (a, b) = (
            f64::from_bits(0x3fb9_9999_9999_999b),
            f64::from_bits(0x7ff8_dead_beef_0001),
        );
        let parts = [
            part(floats(&[a]), "days since 2000-1-1"),
            part(floats(&[b]), "day since 2000-01-01 00:00"),
        ];
        let joined = join_times(&parts).unwrap();
        let TimeValues::Float(values) = joined.values else {
            panic!("floats became integers")
        };
        assert_eq!(
            values.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            [a.to_bits(), b.to_bits()]
        );
        assert_eq!(
            (joined.units.as_str(), joined.reencoded),
            ("days since 2000-1-1", false)
        );
    }

    #[test]
    fn bounds_follow_their_times() {
        let (days, hours) = ("days since 2000-01-01", "hours since 2000-01-02");
        let times = [part(ints(&[0]), days), part(ints(&[0]), hours)];
        let bounds = [part(ints(&[0, 1]), days), part(ints(&[0, 24]), hours)];
        let (joined, joined_bounds) = join_times_with_bounds(&times, &bounds).unwrap();
        assert_eq!(
            (joined.values, joined.units.as_str()),
            (ints(&[0, 1]), days)
        );
        assert_eq!(joined_bounds, ints(&[0, 1, 1, 2]));
    }

    #[test]
    fn bounds_that_need_a_shorter_unit_take_their_times_along() {
        let (days, hours) = ("days since 2000-01-01", "hours since 2000-01-02");
        let times = [part(ints(&[0]), days), part(ints(&[24]), hours)];
        let bounds = [part(ints(&[0, 1]), days), part(ints(&[12, 36]), hours)];
        let (joined, joined_bounds) = join_times_with_bounds(&times, &bounds).unwrap();
        assert_eq!(
            (joined.values, joined.units.as_str()),
            (ints(&[0, 48]), "hours since 2000-01-01 00:00:00")
        );
        assert_eq!(joined_bounds, ints(&[0, 24, 36, 60]));
    }

    #[test]
    fn another_calendar_is_refused_by_part() {
        let parts = [
            part(ints(&[0]), "days since 2000-1-1"),
            TimePart {
                calendar: Calendar::Day360,
                ..part(ints(&[0]), "days since 2000-1-1")
            },
        ];
        let error = join_times(&parts).unwrap_err();
        assert_eq!(
            error,
            CfError::CalendarMismatch {
                part: 1,
                calendar: "360_day",
                first: "noleap"
            }
        );
        assert_eq!(error.code(), "calendar_mismatch");
    }

    #[test]
    fn times_beyond_every_unit_are_refused() {
        let far = 290_000 * 365;
        let parts = [
            part(ints(&[far]), "days since 0001-01-01"),
            part(ints(&[-2 * 24 * far + 1]), "hours since 0001-01-01"),
        ];
        assert_eq!(join_times(&parts).unwrap_err().code(), "time_units_invalid");
    }
}
