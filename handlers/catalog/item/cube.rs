//! `cube:dimensions` and `cube:variables` (datacube 2.3.0).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use virtualize::cf::{Axis, axis_of, geographic_of};
use virtualize::{VirtualArray, VirtualGroup};

use super::instant::Times;
use super::role::{Roles, is_coordinate};
use super::{ItemInput, values};

/// A dimension with more values is described by its extent alone.
const MOST_VALUES: usize = 100;

pub(super) fn properties(input: &ItemInput<'_>, times: Option<&Times>) -> Map<String, Value> {
    let root = input.root();
    let dimensions = lengths(root).into_iter().map(|(name, length)| {
        let description = dimension(input, times, &name, length);
        (name, description)
    });
    let roles = Roles::of(root);
    let variables = root.walk().into_iter().map(|(path, array)| {
        let description = variable(array, roles.is_data(&path));
        (path, description)
    });
    let mut out = Map::new();
    out.insert(
        String::from("cube:dimensions"),
        Value::Object(dimensions.collect()),
    );
    out.insert(
        String::from("cube:variables"),
        Value::Object(variables.collect()),
    );
    out
}

/// Every dimension that a variable has, with its length; of two of one name that of the upper group.
pub(super) fn lengths(root: &VirtualGroup) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for (_, array) in root.walk() {
        for (name, length) in array.dimension_names.iter().zip(&array.shape) {
            out.entry(name.clone()).or_insert(*length);
        }
    }
    out
}

fn dimension(input: &ItemInput<'_>, times: Option<&Times>, name: &str, length: u64) -> Value {
    let is_joined = name == input.declaration.options.concat_dim;
    let coordinate = input
        .root()
        .arrays
        .get(name)
        .filter(|array| is_coordinate(name, array));
    let axis = coordinate.and_then(|array| axis_of(name, &array.attributes));
    if axis == Some(Axis::T) || (is_joined && times.is_some()) {
        return temporal(
            times.filter(|_| is_joined),
            input.combined.step.as_deref().filter(|_| is_joined),
        );
    }
    let mut out = coordinate.map(describe).unwrap_or_default();
    let known = coordinate.and_then(values::inlined);
    let numbers = known.as_deref().and_then(values::numbers);
    let range = numbers.as_deref().and_then(values::range);
    if let Some(step) = numbers.as_deref().and_then(values::regular_step) {
        out.insert(String::from("step"), json!(step));
    }
    let few = known.filter(|values| !values.is_empty() && values.len() <= MOST_VALUES);
    let is_text = |values: &[Value]| values.iter().all(Value::is_string);
    let few = few.filter(|values| numbers.is_some() || is_text(values));
    let kind = coordinate
        .zip(axis)
        .and_then(|(array, axis)| spatial(name, array, axis, range.is_some()));
    match (kind, range) {
        (Some(kind), Some(range)) => {
            out.extend(kind);
            out.insert(String::from("extent"), json!(range));
        }
        (_, range) => {
            out.insert(String::from("type"), json!("other"));
            let last = length.saturating_sub(1);
            out.insert(
                String::from("extent"),
                range.map_or_else(|| json!([0, last]), |range| json!(range)),
            );
        }
    }
    if let Some(values) = few {
        out.insert(String::from("values"), Value::Array(values));
    }
    if out.get("axis").is_some_and(|axis| axis != "z") {
        out.remove("unit");
    }
    Value::Object(out)
}

/// Type and axis of a spatial dimension. Rotated and projected ones have no reference system that could be
/// named, and the extension takes none for EPSG:4326: they stay what they are, others.
fn spatial(
    name: &str,
    array: &VirtualArray,
    axis: Axis,
    is_known: bool,
) -> Option<Map<String, Value>> {
    let letter = match axis {
        Axis::X | Axis::Y if geographic_of(name, &array.attributes).is_none() => return None,
        Axis::X => "x",
        Axis::Y => "y",
        Axis::Z => "z",
        Axis::T => return None,
    };
    let mut out = Map::new();
    out.insert(String::from("type"), json!("spatial"));
    out.insert(String::from("axis"), json!(letter));
    if letter != "z" {
        out.insert(String::from("reference_system"), json!(4326));
    }
    is_known.then_some(out)
}

/// A dimension of time; of another one than that of the series nothing is known.
fn temporal(times: Option<&Times>, step: Option<&str>) -> Value {
    let extent = times.map_or_else(
        || json!([null, null]),
        |times| json!([times.start, times.end]),
    );
    json!({"type": "temporal", "extent": extent, "step": step})
}

fn variable(array: &VirtualArray, is_data: bool) -> Value {
    let mut out = describe(array);
    out.insert(
        String::from("type"),
        json!(if is_data { "data" } else { "auxiliary" }),
    );
    out.insert(String::from("dimensions"), json!(array.dimension_names));
    out.insert(String::from("data_type"), json!(data_type(array)));
    Value::Object(out)
}

/// Unit and long name, where there are such.
fn describe(array: &VirtualArray) -> Map<String, Value> {
    let text = |name: &str| {
        array
            .attributes
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let unit = text("units").map(|unit| (String::from("unit"), json!(unit)));
    let name = text("long_name").or_else(|| text("standard_name"));
    let description = name.map(|name| (String::from("description"), json!(name)));
    unit.into_iter().chain(description).collect()
}

/// STAC's names for types; complex ones are counted there by the width of a part.
fn data_type(array: &VirtualArray) -> String {
    let name = array.data_type.name();
    let known = ["int", "uint", "float"].iter().any(|kind| {
        let bits = name.strip_prefix(kind);
        bits.is_some_and(|bits| matches!(bits, "8" | "16" | "32" | "64"))
    });
    if known { name } else { String::from("other") }
}
