//! Merges the attributes of a series: those that differ are dropped and listed, `history` is the first file's.

use std::collections::BTreeSet;

use crate::combine::agree::is_protected;
use crate::dataset::Attributes;

/// The attributes of `all` that do not contradict each other, and the names of those that do.
pub(super) fn merge(all: &[&Attributes]) -> (Attributes, Vec<String>) {
    let Some((first, others)) = all.split_first() else {
        return (Attributes::new(), Vec::new());
    };
    let mut merged = (*first).clone();
    let mut dropped = BTreeSet::new();
    for attributes in others {
        for (name, value) in *attributes {
            if name == "history" || is_protected(name, first) || dropped.contains(name) {
                continue;
            }
            match merged.get(name) {
                Some(known) if known == value => {}
                Some(_) => {
                    merged.remove(name);
                    dropped.insert(name.clone());
                }
                None => {
                    merged.insert(name.clone(), value.clone());
                }
            }
        }
    }
    (merged, dropped.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn attributes(value: &serde_json::Value) -> Attributes {
        value.as_object().unwrap().clone().into()
    }

    #[test]
    fn conflicts_are_dropped_and_the_first_history_is_kept() {
        let a =
            attributes(&json!({"title": "t", "tracking_id": "1", "history": "a", "units": "K"}));
        let b = attributes(&json!({"title": "t", "tracking_id": "2", "history": "b", "extra": 1}));
        let c = attributes(&json!({"tracking_id": "1", "units": "K"}));
        let (merged, dropped) = merge(&[&a, &b, &c]);
        assert_eq!(
            merged,
            attributes(&json!({"title": "t", "history": "a", "units": "K", "extra": 1}))
        );
        assert_eq!(dropped, ["tracking_id"]);
    }

    #[test]
    fn attributes_that_carry_meaning_are_never_dropped() {
        let a = attributes(&json!({"units": "days since 2000-01-01", "calendar": "standard"}));
        let b = attributes(&json!({"units": "days since 2001-01-01", "calendar": "gregorian"}));
        assert_eq!(merge(&[&a, &b]), (a.clone(), Vec::new()));
    }
}
