//! Attributes, shared between the datasets that have the same ones.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Attributes that readers compute with: a value that is not finite means nothing in them, and a string in its
/// place would be taken for one.
const COMPUTED_WITH: [&str; 9] = [
    "missing_value",
    "valid_min",
    "valid_max",
    "valid_range",
    "scale_factor",
    "add_offset",
    "flag_values",
    "flag_masks",
    "actual_range",
];

/// What of an attribute of floats, in its JSON form, readers can compute with: all of it where it is finite, and of
/// several `missing_value`s those that are.
pub(crate) fn finite_part(name: &str, value: Value) -> Option<Value> {
    if !COMPUTED_WITH.contains(&name) || is_finite(&value) {
        return Some(value);
    }
    match value {
        Value::Array(values) if name == "missing_value" => {
            let mut finite: Vec<Value> = values.into_iter().filter(Value::is_number).collect();
            match finite.len() {
                0 | 1 => finite.pop(),
                _ => Some(Value::Array(finite)),
            }
        }
        _ => None,
    }
}

fn is_finite(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(is_finite),
        other => other.is_number(),
    }
}

/// Attributes in the JSON form that xarray writes to Zarr; sorted by name.
///
/// The files of a series mostly have the same ones: copies share them until one is changed.
#[derive(Debug, Clone, Default)]
pub struct Attributes(Arc<Map<String, Value>>);

impl Attributes {
    /// No attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether both are the same in memory, and therefore equal.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || self.0 == other.0
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl Deref for Attributes {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Attributes {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl From<Map<String, Value>> for Attributes {
    fn from(attributes: Map<String, Value>) -> Self {
        Self(Arc::new(attributes))
    }
}

impl From<Attributes> for Map<String, Value> {
    fn from(attributes: Attributes) -> Self {
        Arc::unwrap_or_clone(attributes.0)
    }
}

impl FromIterator<(String, Value)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(attributes: I) -> Self {
        Map::from_iter(attributes).into()
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = (&'a String, &'a Value);
    type IntoIter = serde_json::map::Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_copy_is_shared_until_it_is_changed() {
        let first = Attributes::from_iter([(String::from("units"), json!("K"))]);
        let mut copy = first.clone();
        assert!(copy.is_shared_with(&first));
        copy.insert(String::from("units"), json!("degC"));
        assert_eq!(first["units"], "K");
        assert_eq!(copy["units"], "degC");
        assert_ne!(copy, first);
    }
}
