//! One variable over all files, and the types and units it can be expressed in.

use crate::cf::CfError;
use crate::cf::instant::Instant;
use crate::cf::join::{TimePart, TimeValues};
use crate::cf::units::{TimeUnits, to_f64};

/// One variable over all files.
pub(super) struct Column<'a> {
    parts: Vec<Part<'a>>,
    prefers_float: bool,
    has_float: bool,
}

struct Part<'a> {
    units: TimeUnits,
    values: &'a TimeValues,
    /// Empty until values have to be converted.
    instants: Vec<Instant>,
}

impl<'a> Column<'a> {
    pub(super) fn read(parts: &'a [TimePart<'_>], target: &TimeUnits) -> Result<Self, CfError> {
        let first = target.calendar();
        let read_part = |(at, part): (usize, &'a TimePart<'_>)| {
            if part.calendar != first {
                let (calendar, first) = (part.calendar.name(), first.name());
                return Err(CfError::CalendarMismatch {
                    part: at,
                    calendar,
                    first,
                });
            }
            let units = TimeUnits::parse(part.units, part.calendar)?;
            Ok(Part {
                units,
                values: &part.values,
                instants: Vec::new(),
            })
        };
        Ok(Self {
            parts: parts
                .iter()
                .enumerate()
                .map(read_part)
                .collect::<Result<_, _>>()?,
            prefers_float: parts.first().is_some_and(|part| part.values.is_float()),
            has_float: parts.iter().any(|part| part.values.is_float()),
        })
    }

    pub(super) fn is_uniform(&self, target: &TimeUnits) -> bool {
        self.parts
            .iter()
            .all(|part| part.units == *target && part.values.is_float() == self.prefers_float)
    }

    pub(super) fn concatenated(&self) -> TimeValues {
        let parts = || self.parts.iter().map(|part| part.values);
        if self.prefers_float {
            TimeValues::Float(
                parts()
                    .filter_map(TimeValues::as_floats)
                    .flatten()
                    .copied()
                    .collect(),
            )
        } else {
            TimeValues::Int(
                parts()
                    .filter_map(TimeValues::as_ints)
                    .flatten()
                    .copied()
                    .collect(),
            )
        }
    }

    pub(super) fn decoded(mut self) -> Result<Self, CfError> {
        for part in &mut self.parts {
            part.instants = part.units.decode(part.values)?;
        }
        Ok(self)
    }

    /// All values in these units, in the first part's type if it can hold them; `None` when no type can.
    pub(super) fn encode(&self, units: &TimeUnits) -> Option<TimeValues> {
        let int = || {
            self.encode_with(|part| part.encode_ints(units))
                .map(TimeValues::Int)
        };
        let float = || {
            self.encode_with(|part| part.encode_floats(units))
                .map(TimeValues::Float)
        };
        if self.prefers_float {
            float().or_else(int)
        } else {
            int().or_else(|| if self.has_float { float() } else { None })
        }
    }

    fn encode_with<T>(&self, encode: impl Fn(&Part<'_>) -> Option<Vec<T>>) -> Option<Vec<T>> {
        self.parts
            .iter()
            .map(encode)
            .collect::<Option<Vec<_>>>()
            .map(|parts| parts.into_iter().flatten().collect())
    }
}

impl Part<'_> {
    fn encode_ints(&self, units: &TimeUnits) -> Option<Vec<i64>> {
        if let Some(values) = self.values.as_ints().filter(|_| self.units == *units) {
            return Some(values.to_vec());
        }
        self.instants
            .iter()
            .map(|instant| exact_int(*instant, units))
            .collect()
    }

    fn encode_floats(&self, units: &TimeUnits) -> Option<Vec<f64>> {
        if let Some(values) = self.values.as_floats().filter(|_| self.units == *units) {
            return Some(values.to_vec());
        }
        self.instants
            .iter()
            .map(|instant| exact_float(*instant, units))
            .collect()
    }
}

fn exact_int(instant: Instant, units: &TimeUnits) -> Option<i64> {
    let micros = instant.micros_since(units.reference_instant())?;
    let unit = units.unit().micros();
    (micros % unit == 0).then_some(micros / unit)
}

/// The float that decodes to this very microsecond, if there is one.
fn exact_float(instant: Instant, units: &TimeUnits) -> Option<f64> {
    let micros = instant.micros_since(units.reference_instant())?;
    let value = to_f64(micros) / to_f64(units.unit().micros());
    (units.decode_float(value) == Some(instant)).then_some(value)
}
