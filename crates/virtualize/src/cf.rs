//! What the CF conventions say about time and space, without the data: calendars, time units, axes, extents.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`calendar`], [`instant`] | the calendars; dates to exact instants and back |
//! | [`units`] | `<unit> since <date>`; stored values to instants |
//! | [`join`] | expresses the times of several files on one encoding |
//! | [`step`] | the step of a series, its gaps and its order |
//! | [`axis`] | which axis a coordinate is |
//! | [`extent`] | the longitudes and latitudes that coordinates cover |
//!
//! All time arithmetic is in whole microseconds (`i64`), as in cftime, whose answers are the reference.
//! Reading attributes and values from a dataset is left to the caller.

pub mod axis;
pub mod calendar;
pub mod extent;
pub mod instant;
pub mod join;
pub mod step;
pub mod units;

pub use axis::{Axis, Geographic, axis_of, geographic_of};
pub use calendar::Calendar;
pub use extent::{lat_extent, lon_extent};
pub use instant::{DateTime, Instant};
pub use join::{JoinedTime, TimePart, TimeValues, join_times, join_times_with_bounds};
pub use step::{Gap, Order, OrderFault, Step, check_increasing, gaps, step_of};
pub use units::TimeUnits;

/// Why times cannot be read or joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CfError {
    /// The `calendar` attribute names none of CF's calendars.
    #[error("calendar '{calendar}' is not known")]
    CalendarUnknown {
        /// The attribute as it stands in the file.
        calendar: String,
    },
    /// A part's calendar is not that of the first part.
    #[error("time calendar '{calendar}' in part {part}, first part has '{first}'")]
    CalendarMismatch {
        /// Position of the part among those that were to be joined.
        part: usize,
        /// CF name of its calendar.
        calendar: &'static str,
        /// CF name of the first part's calendar.
        first: &'static str,
    },
    /// The `units` attribute is not `<unit> since <date>`, or not in this calendar.
    #[error("time units '{units}' cannot be read: {reason}")]
    UnitsInvalid {
        /// The attribute as it stands in the file.
        units: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The calendar has no such date, or it is further away than 64 bits of microseconds reach.
    #[error("{date} is not a date of the calendar '{calendar}'")]
    DateInvalid {
        /// The date, as ISO 8601.
        date: String,
        /// CF name of the calendar.
        calendar: &'static str,
    },
    /// A stored value is not a number or lies too far away.
    #[error("time value {value} at index {index} cannot be read in '{units}'")]
    ValueInvalid {
        /// Index of the value in its variable.
        index: usize,
        /// The stored value.
        value: String,
        /// The units it was to be read in.
        units: String,
    },
}

impl CfError {
    /// The code under which a refusal is reported.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::CalendarUnknown { .. } | Self::CalendarMismatch { .. } => "calendar_mismatch",
            Self::UnitsInvalid { .. } | Self::DateInvalid { .. } | Self::ValueInvalid { .. } => {
                "time_units_invalid"
            }
        }
    }
}

#[cfg(test)]
mod cftime_cases;
