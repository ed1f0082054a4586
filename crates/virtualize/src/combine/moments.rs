//! The times of one file in as little memory as they go: a series has millions, and they are held beside its values.

use crate::cf::{Calendar, Instant};

/// Times of one calendar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moments {
    calendar: Calendar,
    micros: Micros,
}

#[derive(Debug, Clone, PartialEq)]
enum Micros {
    /// As far apart all along, which those of most files are.
    Even {
        first: i64,
        step: i64,
        count: usize,
    },
    Each(Box<[i64]>),
}

impl Moments {
    /// Times that are all of this calendar.
    pub(super) fn new(calendar: Calendar, instants: &[Instant]) -> Self {
        let micros = even(instants).unwrap_or_else(|| {
            let each = instants.iter().map(|instant| instant.micros());
            Micros::Each(each.collect())
        });
        Self { calendar, micros }
    }

    pub(super) fn len(&self) -> usize {
        match &self.micros {
            Micros::Even { count, .. } => *count,
            Micros::Each(each) => each.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.get(0)
    }

    pub(super) fn last(&self) -> Option<Instant> {
        self.get(self.len().checked_sub(1)?)
    }

    pub(super) fn get(&self, at: usize) -> Option<Instant> {
        let micros = match &self.micros {
            Micros::Even { first, step, count } => {
                let steps = i64::try_from(at).ok().filter(|_| at < *count)?;
                first.checked_add(step.checked_mul(steps)?)?
            }
            Micros::Each(each) => *each.get(at)?,
        };
        Some(Instant::new(self.calendar, micros))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Instant> + Clone + '_ {
        (0..self.len()).filter_map(|at| self.get(at))
    }
}

/// Times that are as far apart all along; `None` for others.
fn even(instants: &[Instant]) -> Option<Micros> {
    let first = instants.first().map_or(0, |first| first.micros());
    let distance = |pair: &[Instant]| match pair {
        [a, b] => b.micros().checked_sub(a.micros()),
        _ => None,
    };
    let mut distances = instants.windows(2).map(distance);
    let step = distances.next().unwrap_or(Some(0))?;
    let count = instants.len();
    let is_even = distances.all(|distance| distance == Some(step));
    is_even.then_some(Micros::Even { first, step, count })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none(&[], true)]
    #[case::one(&[5], true)]
    #[case::even(&[-4, 0, 4, 8], true)]
    #[case::falling(&[9, 6, 3], true)]
    #[case::the_same(&[7, 7, 7], true)]
    #[case::uneven(&[0, 31, 59, 90], false)]
    #[case::uneven_at_the_end(&[0, 1, 2, 4], false)]
    #[case::as_far_apart_as_can_be(&[i64::MIN, i64::MAX], false)]
    #[case::largest(&[i64::MAX - 1, i64::MAX], true)]
    fn times_come_out_as_they_went_in(#[case] micros: &[i64], #[case] is_even: bool) {
        let instant = |micros: &i64| Instant::new(Calendar::NoLeap, *micros);
        let instants: Vec<Instant> = micros.iter().map(instant).collect();
        let moments = Moments::new(Calendar::NoLeap, &instants);
        assert_eq!(moments.iter().collect::<Vec<_>>(), instants);
        assert_eq!(moments.last(), instants.last().copied());
        assert_eq!(moments.get(instants.len()), None);
        assert_eq!(matches!(moments.micros, Micros::Even { .. }), is_even);
    }
}
