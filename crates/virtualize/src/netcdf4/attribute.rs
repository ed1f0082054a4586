//! Attributes in the JSON form that xarray writes to Zarr.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dataset::{Attributes, finite_part};
use crate::hdf5::{Attribute, AttributeValue, Datatype, DatatypeClass};
use crate::rules::Finding;
use crate::zarr::float_to_json;

/// Attributes that belong to the file format and that no reader shows.
pub(super) const HIDDEN: [&str; 8] = [
    "CLASS",
    "NAME",
    "REFERENCE_LIST",
    "DIMENSION_LIST",
    "_Netcdf4Dimid",
    "_Netcdf4Coordinates",
    "_nc3_strict",
    "_NCProperties",
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
    let shape = attribute.dataspace.shape().unwrap_or_default();
    let values = match &attribute.value {
        AttributeValue::Null => return empty(&attribute.datatype),
        AttributeValue::References(_) | AttributeValue::ReferenceLists(_) => {
            return Err("it holds references");
        }
        AttributeValue::Raw(_) => return Err("JSON has no form for its type"),
        AttributeValue::Strings(values) => values.iter().map(|value| json!(text(value))).collect(),
        AttributeValue::Integers(values) if is_bool(&attribute.datatype) => {
            values.iter().map(|value| json!(*value != 0)).collect()
        }
        AttributeValue::Integers(values) => values.iter().map(|value| json!(value)).collect(),
        AttributeValue::Unsigned(values) => values.iter().map(|value| json!(value)).collect(),
        AttributeValue::Floats(values) => {
            let values = values.iter().map(|value| float_to_json(*value)).collect();
            return finite_part(&attribute.name, nest(values, shape))
                .ok_or("its value is not a finite number");
        }
    };
    Ok(nest(values, shape))
}

/// netCDF-C stores an empty text or an empty list without a dataspace; readers take variable-length text for a list.
fn empty(datatype: &Datatype) -> Result<Value, &'static str> {
    match datatype.class {
        DatatypeClass::String { .. } => Ok(json!("")),
        DatatypeClass::VlenString { .. }
        | DatatypeClass::Integer { .. }
        | DatatypeClass::Float { .. } => Ok(json!([])),
        _ => Err("it has no value"),
    }
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::hdf5::{Dataspace, StringPadding};
    use crate::netcdf4::sample;

    fn lattice(mut attribute: Attribute, dims: &[u64]) -> Attribute {
        attribute.dataspace = Dataspace::Simple {
            dims: dims.to_vec(),
            max_dims: dims.iter().copied().map(Some).collect(),
        };
        attribute
    }

    fn boolean(name: &str, value: i64) -> Attribute {
        let mut attribute = sample::integers(name, &[value]);
        let members = [("FALSE", 0u8), ("TRUE", 1)];
        attribute.datatype.size = 1;
        attribute.datatype.class = DatatypeClass::Enum {
            base: Box::new(sample::int(1)),
            members: members
                .map(|(name, value)| (name.to_owned(), Bytes::copy_from_slice(&[value])))
                .to_vec(),
        };
        attribute
    }

    /// `json.dumps` of `.item()` or `.tolist()` of what xarray 2026.9 shows.
    #[rstest]
    #[case::one_of_a_list(lattice(sample::integers("a", &[7]), &[1]), "7")]
    #[case::several(sample::integers("a", &[1, 2]), "[1,2]")]
    #[case::plane(lattice(sample::integers("a", &[1, 2, 3, 4]), &[2, 2]), "[[1,2],[3,4]]")]
    #[case::single_precision(sample::floats("a", &[f64::from(0.1f32)]), "0.10000000149011612")]
    #[case::double_precision(sample::floats("a", &[0.1]), "0.1")]
    #[case::whole(sample::floats("a", &[1.0]), "1.0")]
    #[case::infinite(sample::floats("a", &[f64::INFINITY]), "\"Infinity\"")]
    #[case::text(sample::text("a", &["é\0"]), "\"é\"")]
    #[case::texts(sample::text("a", &["x", ""]), "[\"x\",\"\"]")]
    #[case::no_number(lattice(sample::floats("a", &[]), &[0]), "[]")]
    #[case::no_text(lattice(sample::text("a", &[]), &[0]), "[]")]
    #[case::boolean(boolean("a", 1), "true")]
    #[case::empty_text(null(fixed_text("a")), "\"\"")]
    #[case::empty_texts(null(sample::text("a", &[])), "[]")]
    #[case::some_of_it_finite(lattice(sample::floats("missing_value", &[f64::NAN, -9.0]), &[2]), "-9.0")]
    #[case::empty_list(null(sample::floats("a", &[])), "[]")]
    fn values_have_xarrays_form(#[case] attribute: Attribute, #[case] expected: &str) {
        let mut findings = Vec::new();
        let json = to_json("/v", &[attribute], &[], &mut findings);
        let shown = json.values().next().unwrap();
        assert_eq!(shown.to_string(), expected);
        assert!(findings.is_empty());
    }

    fn fixed_text(name: &str) -> Attribute {
        let mut attribute = sample::text(name, &[]);
        attribute.datatype.class = DatatypeClass::String {
            padding: StringPadding::NullTerminated,
            utf8: false,
        };
        attribute
    }

    fn null(mut attribute: Attribute) -> Attribute {
        attribute.dataspace = Dataspace::Null;
        attribute.value = AttributeValue::Null;
        attribute
    }

    fn raw() -> Attribute {
        let mut attribute = sample::integers("a", &[]);
        attribute.value = AttributeValue::Raw(Bytes::new());
        attribute
    }

    #[rstest]
    #[case::references(sample::references_to("a", &[8]))]
    #[case::compound(raw())]
    #[case::no_value(null(boolean("a", 1)))]
    #[case::meaningless(sample::floats("missing_value", &[f64::NAN]))]
    #[case::meaningless_in_part(sample::floats("actual_range", &[0.0, f64::INFINITY]))]
    fn what_json_cannot_say_is_dropped_with_a_finding(#[case] attribute: Attribute) {
        let mut findings = Vec::new();
        assert!(to_json("/v", &[attribute], &[], &mut findings).is_empty());
        let codes = findings.iter().map(|finding| finding.code.as_str());
        assert_eq!(codes.collect::<Vec<_>>(), ["attribute-dropped"]);
    }

    #[test]
    fn the_formats_own_attributes_are_not_shown() {
        let own = HIDDEN.map(|name| sample::text(name, &["x"]));
        let mut findings = Vec::new();
        assert!(to_json("/v", &own, &[], &mut findings).is_empty());
        assert!(findings.is_empty());
    }

    #[test]
    fn text_that_is_not_utf8_is_told() {
        let mut attribute = sample::text("a", &["x"]);
        attribute.value = AttributeValue::Strings(vec![Bytes::from_static(b"caf\xe9")]);
        let mut findings = Vec::new();
        let json = to_json("/v", &[attribute], &[], &mut findings);
        assert_eq!(json["a"], json!("caf\u{fffd}"));
        assert_eq!(findings[0].code, "attribute-not-utf8");
    }
}
