//! Where the steps of a joined concat coordinate stand.

use crate::cf::{Calendar, Instant, TimeUnits};
use crate::combine::time::time_values;
use crate::combine::timeline::Mark;
use crate::combine::values::{as_u64, as_usize, numbers};
use crate::zarr::DataType;

/// Steps that are decoded at once.
const PIECE: usize = 4096;

/// The steps of a joined coordinate, eight bytes each: there are millions of them.
#[derive(Debug)]
pub(super) enum Steps {
    Times {
        calendar: Calendar,
        micros: Vec<i64>,
    },
    Numbers(Vec<f64>),
    /// Nobody can say.
    Unknown,
}

impl Steps {
    /// Times from their little-endian values.
    pub(super) fn times(units: &TimeUnits, values: &[u8], data_type: &DataType) -> Self {
        let size = as_usize(data_type.size()).max(1);
        let mut micros = Vec::with_capacity(values.len() / size);
        for piece in values.chunks(PIECE.saturating_mul(size)) {
            let decoded = time_values(piece, data_type).and_then(|piece| units.decode(&piece).ok());
            let Some(instants) = decoded else {
                return Self::Unknown;
            };
            micros.extend(instants.iter().map(|instant| instant.micros()));
        }
        let calendar = units.calendar();
        Self::Times { calendar, micros }
    }

    /// Plain numbers from their little-endian values.
    pub(super) fn numbers(values: &[u8], data_type: &DataType) -> Self {
        numbers(values, data_type).map_or(Self::Unknown, Self::Numbers)
    }

    pub(super) fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown)
    }

    /// Whether times do not increase.
    pub(super) fn is_disordered(&self) -> bool {
        match self {
            Self::Times { micros, .. } => !micros.is_sorted_by(|a, b| a < b),
            Self::Numbers(_) | Self::Unknown => false,
        }
    }

    /// The step of a number.
    pub(super) fn mark(&self, step: u64) -> Option<Mark> {
        let at = as_usize(step);
        match self {
            Self::Times { calendar, micros } => {
                let instant = Instant::new(*calendar, *micros.get(at)?);
                Some(Mark::Time(instant))
            }
            Self::Numbers(numbers) => numbers.get(at).copied().map(Mark::number),
            Self::Unknown => None,
        }
    }

    /// The number of a step; steps increase, but those of one file need not.
    pub(super) fn place(&self, mark: Mark) -> Option<u64> {
        let place = match (self, mark) {
            (Self::Times { calendar, micros }, Mark::Time(instant)) => {
                let same = *calendar == instant.calendar();
                found(micros.first() == Some(&instant.micros()), || {
                    micros.binary_search(&instant.micros()).ok()
                })
                .filter(|_| same)
            }
            (Self::Numbers(numbers), Mark::Number(bits)) => {
                let number = f64::from_bits(bits);
                found(
                    numbers.first().map(|first| first + 0.0) == Some(number),
                    || {
                        let order = |step: &f64| (step + 0.0).total_cmp(&number);
                        numbers.binary_search_by(order).ok()
                    },
                )
            }
            _ => None,
        };
        place.map(as_u64)
    }
}

/// The first place, where nothing has to be in order, or the one that a search finds.
fn found(is_first: bool, search: impl FnOnce() -> Option<usize>) -> Option<usize> {
    if is_first { Some(0) } else { search() }
}
