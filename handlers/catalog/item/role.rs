//! Which variables hold data, and which only describe them (CF conventions).

use std::collections::BTreeSet;

use serde_json::Value;
use virtualize::{VirtualArray, VirtualGroup};

/// Attributes whose value names other variables.
const NAMING: [&str; 6] = [
    "coordinates",
    "bounds",
    "climatology",
    "grid_mapping",
    "ancillary_variables",
    "cell_measures",
];

/// The auxiliary variables of a hierarchy, by path.
#[derive(Debug)]
pub(in crate::catalog) struct Roles {
    auxiliary: BTreeSet<String>,
}

impl Roles {
    pub(in crate::catalog) fn of(root: &VirtualGroup) -> Self {
        let arrays = root.walk();
        let mut auxiliary: BTreeSet<String> = arrays
            .iter()
            .filter(|(path, array)| is_coordinate(path, array))
            .map(|(path, _)| path.clone())
            .collect();
        for (path, array) in &arrays {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            auxiliary.extend(named_by(array).map(|name| match folder {
                "" => name,
                folder => format!("{folder}/{name}"),
            }));
        }
        for (name, value) in &root.attributes {
            if name == "coordinates" {
                auxiliary.extend(words(value));
            }
        }
        Self { auxiliary }
    }

    pub(in crate::catalog) fn is_data(&self, path: &str) -> bool {
        !self.auxiliary.contains(path)
    }
}

/// A variable with the name of its only dimension.
pub(in crate::catalog) fn is_coordinate(path: &str, array: &VirtualArray) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    matches!(array.dimension_names.as_slice(), [only] if only == name)
}

fn named_by(array: &VirtualArray) -> impl Iterator<Item = String> + '_ {
    NAMING
        .iter()
        .filter_map(|attribute| array.attributes.get(*attribute))
        .flat_map(words)
}

/// Names in a list, such as `lat lon` or `area: areacella`.
fn words(value: &Value) -> Vec<String> {
    let text = value.as_str().unwrap_or_default();
    text.split_whitespace()
        .filter(|word| !word.ends_with(':'))
        .map(str::to_owned)
        .collect()
}
