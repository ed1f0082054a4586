//! Attributes in the JSON form that xarray writes to Zarr.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dataset::Attributes;
use crate::hdf5::{Attribute, AttributeValue, Datatype, DatatypeClass};
use crate::rules::Finding;
use crate::zarr::float_to_json;

/// Attributes that belong to the file format and that no reader shows.
const HIDDEN: [&str; 9] = [
    "CLASS",
    "NAME",
    "REFERENCE_LIST",
    "DIMENSION_LIST",
    "DIMENSION_LABELS",
    "_Netcdf4Dimid",
    "_Netcdf4Coordinates",
    "_nc3_strict",
    "_NCProperties",
];

/// Attributes that readers compute with; a value that is not finite means nothing in them.
const NUMERIC: [&str; 9] = [
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

/// The attributes of an object; what JSON cannot carry is left out with a finding.
pub(super) fn to_json(
    path: &str,
    attributes: &[Attribute],
    broken: &[(String, String)],
    findings: &mut Vec<Finding>,
) -> Attributes {
    let mut out = Attributes::new();
    for attribute in attributes {
        if HIDDEN.contains(&attribute.name.as_str()) {
            continue;
        }
        match value_of(attribute) {
            Ok(value) => {
                if has_invalid_text(attribute) {
                    findings.push(Finding::info(
                        "attribute-not-utf8",
                        Some(path),
                        format!("attribute {} is not UTF-8", attribute.name),
                    ));
                }
                out.insert(attribute.name.clone(), value);
            }
            Err(why) => findings.push(dropped(path, &attribute.name, why)),
        }
    }
    for (name, why) in broken {
        findings.push(dropped(path, name, why));
    }
    out
}

/// The finding that an attribute was left out.
pub(super) fn dropped(path: &str, name: &str, why: &str) -> Finding {
    let message = format!("attribute {name} was dropped: {why}");
    Finding::info("attribute-dropped", Some(path), message)
}

fn value_of(attribute: &Attribute) -> Result<Value, &'static str> {
    let values = match &attribute.value {
        AttributeValue::Null => return Err("it has no value"),
        AttributeValue::References(_) | AttributeValue::ReferenceLists(_) => {
            return Err("it holds references");
        }
        AttributeValue::Raw(_) => return Err("JSON has no form for its type"),
        AttributeValue::Strings(values) if values.is_empty() => return Ok(json!("")),
        AttributeValue::Strings(values) => values.iter().map(|value| json!(text(value))).collect(),
        AttributeValue::Integers(values) if is_bool(&attribute.datatype) => {
            values.iter().map(|value| json!(*value != 0)).collect()
        }
        AttributeValue::Integers(values) => values.iter().map(|value| json!(value)).collect(),
        AttributeValue::Unsigned(values) => values.iter().map(|value| json!(value)).collect(),
        AttributeValue::Floats(values) => {
            let finite = values.iter().all(|value| value.is_finite());
            if !finite && NUMERIC.contains(&attribute.name.as_str()) {
                return Err("its value is not a finite number");
            }
            values.iter().map(|value| float_to_json(*value)).collect()
        }
    };
    let shape = attribute.dataspace.shape().unwrap_or_default();
    Ok(nest(values, shape))
}

/// One value stands alone, several stand in a list, those of a lattice in lists of lists.
fn nest(mut values: Vec<Value>, shape: &[u64]) -> Value {
    if values.len() == 1 {
        return values.pop().unwrap_or_default();
    }
    let inner = shape.get(1..).unwrap_or_default();
    for length in inner.iter().rev() {
        let Some(length) = usize::try_from(*length).ok().filter(|length| *length > 0) else {
            break;
        };
        values = values.chunks(length).map(|row| json!(row)).collect();
    }
    Value::Array(values)
}

/// The text as netCDF4-python shows it: what is not UTF-8 is replaced, zero bytes are left out.
fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "")
}

fn has_invalid_text(attribute: &Attribute) -> bool {
    match &attribute.value {
        AttributeValue::Strings(values) => {
            values.iter().any(|value| str::from_utf8(value).is_err())
        }
        _ => false,
    }
}

/// Whether a type is what h5py writes for a boolean: an enum of one byte with `FALSE` and `TRUE`.
pub(super) fn is_bool(datatype: &Datatype) -> bool {
    let DatatypeClass::Enum { members, .. } = &datatype.class else {
        return false;
    };
    let is = |name: &str, value: u8| {
        members
            .iter()
            .any(|(member, bytes)| member == name && bytes.as_ref() == [value])
    };
    datatype.size == 1 && members.len() == 2 && is("FALSE", 0) && is("TRUE", 1)
}
