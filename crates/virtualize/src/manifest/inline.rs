//! The chunks that stand in a manifest themselves.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Encoded chunks by their number. Most manifests that have any have one, which needs no map of its own: ten
/// thousand files have some of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inline {
    /// The chunk with the smallest number.
    first: Option<(u64, Bytes)>,
    rest: BTreeMap<u64, Bytes>,
}

impl Inline {
    pub(super) const fn new() -> Self {
        Self {
            first: None,
            rest: BTreeMap::new(),
        }
    }

    /// Puts a chunk in; it replaces the one of the same number.
    pub(super) fn insert(&mut self, number: u64, bytes: Bytes) {
        match &mut self.first {
            Some((first, old)) if *first == number => *old = bytes,
            Some((first, _)) if *first < number => drop(self.rest.insert(number, bytes)),
            _ => {
                let later = self.first.replace((number, bytes));
                self.rest.extend(later);
            }
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<&Bytes> {
        match &self.first {
            Some((first, bytes)) if *first == number => Some(bytes),
            _ => self.rest.get(&number),
        }
    }

    /// Every chunk, ascending by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        let first = self.first.iter().map(|(number, bytes)| (*number, bytes));
        first.chain(self.rest.iter().map(|(number, bytes)| (*number, bytes)))
    }

    /// Every chunk, to be changed.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Bytes> {
        let first = self.first.iter_mut().map(|(_, bytes)| bytes);
        first.chain(self.rest.values_mut())
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
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
