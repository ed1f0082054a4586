//! The chunks that stand in a manifest themselves.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;

/// Encoded chunks by their number. Most manifests have none, and most others one, which needs no map of its own:
/// there are files of many thousand variables, and ten thousand files in a series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inline(Option<Box<Chunks>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Chunks {
    /// The chunk with the smallest number.
    first: (u64, Bytes),
    rest: BTreeMap<u64, Bytes>,
}

impl Inline {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Puts a chunk in; it replaces the one of the same number.
    pub(super) fn insert(&mut self, number: u64, bytes: Bytes) {
        let Some(chunks) = &mut self.0 else {
            let (first, rest) = ((number, bytes), BTreeMap::new());
            self.0 = Some(Box::new(Chunks { first, rest }));
            return;
        };
        let (first, old) = &mut chunks.first;
        match number.cmp(first) {
            Ordering::Equal => *old = bytes,
            Ordering::Greater => drop(chunks.rest.insert(number, bytes)),
            Ordering::Less => {
                let (later, old) = std::mem::replace(&mut chunks.first, (number, bytes));
                chunks.rest.insert(later, old);
            }
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<&Bytes> {
        let chunks = self.0.as_ref()?;
        match &chunks.first {
            (first, bytes) if *first == number => Some(bytes),
            _ => chunks.rest.get(&number),
        }
    }

    /// Every chunk, ascending by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        self.0.iter().flat_map(|chunks| {
            let (number, bytes) = &chunks.first;
            let rest = chunks.rest.iter().map(|(number, bytes)| (*number, bytes));
            std::iter::once((*number, bytes)).chain(rest)
        })
    }

    /// Every chunk, to be changed.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Bytes> {
        self.0.iter_mut().flat_map(|chunks| {
            let first = std::iter::once(&mut chunks.first.1);
            first.chain(chunks.rest.values_mut())
        })
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |chunks| 1 + chunks.rest.len())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::ascending(&[1, 4, 7])]
    #[case::descending(&[7, 4, 1])]
    #[case::mixed_and_twice(&[4, 1, 7, 1])]
    #[case::one(&[4])]
    fn chunks_come_in_the_order_of_their_numbers(#[case] numbers: &[u64]) {
        let mut inline = Inline::new();
        for number in numbers {
            inline.insert(*number, Bytes::from(number.to_string()));
        }
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(inline.len(), sorted.len());
        let found: Vec<u64> = inline.iter().map(|(number, _)| number).collect();
        assert_eq!(found, sorted);
        for number in sorted {
            assert_eq!(inline.get(number).unwrap(), &number.to_string());
        }
        assert_eq!(inline.get(5), None);
    }
}
