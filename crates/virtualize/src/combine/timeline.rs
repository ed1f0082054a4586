//! The files of a series in their order, and the steps that each has on the concat coordinates.

use crate::cf::Instant;
use crate::combine::input::{Input, clock_above};
use crate::combine::time::{Clock, Positions};

/// One step on the concat coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mark {
    Time(Instant),
    Number(u64),
}

impl Mark {
    /// A step on an axis of plain numbers.
    pub(super) fn number(number: f64) -> Self {
        // Adding zero makes one bit pattern of the two zeros.
        Self::Number((number + 0.0).to_bits())
    }

    /// The step for a person.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Time(instant) => instant.date_time().to_iso(),
            Self::Number(bits) => f64::from_bits(*bits).to_string(),
        }
    }
}

/// The steps of a file.
fn marks(positions: Option<&Positions>) -> Vec<Mark> {
    match positions {
        Some(Positions::Instants(moments)) => moments.iter().map(Mark::Time).collect(),
        Some(Positions::Numbers(numbers)) => numbers.iter().copied().map(Mark::number).collect(),
        _ => Vec::new(),
    }
}

/// The files in the order of the series with their concat coordinates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeline<'a> {
    pub files: &'a [&'a Input],
    /// Which input stands at each place of the series.
    pub order: &'a [usize],
    pub clocks: &'a [Clock],
    pub dim: &'a str,
}

impl Timeline<'_> {
    /// The steps of the file at a place, along one clock.
    pub(super) fn marks(&self, clock: &Clock, place: usize) -> Vec<Mark> {
        let input = self.order.get(place);
        marks(input.and_then(|at| clock.positions.get(*at)))
    }

    /// The steps of the files at some places, one after the other.
    pub(super) fn steps(&self, clock: Option<&Clock>, places: &[usize]) -> Vec<Mark> {
        let all = clock
            .into_iter()
            .flat_map(|clock| places.iter().map(move |place| (clock, *place)));
        all.flat_map(|(clock, place)| self.marks(clock, place))
            .collect()
    }

    /// The clock that tells the times of a variable: that of its group, or of the nearest group above.
    pub(super) fn clock_of(&self, path: &str) -> Option<&Clock> {
        clock_above(self.clocks, |clock| &clock.path, path)
    }
}
