//! Attributes as JSON, the way netCDF4-python and xarray have them, and fill values.

use serde_json::Value;

use super::header::{Attribute, NcType};
use crate::dataset::{Attributes, finite_part};
use crate::rules::Finding;
use crate::zarr::DataType;

const FILL_VALUE: &str = "_FillValue";

/// Attributes in their JSON form; what JSON cannot carry is dropped with a finding. `owner` is the path of the variable
/// they belong to, whose `_FillValue` is [`fill_value`]'s matter.
pub(super) fn attributes(
    attributes: &[Attribute<'_>],
    owner: Option<&str>,
    findings: &mut Vec<Finding>,
) -> Attributes {
    let mut out = Attributes::new();
    for attribute in attributes {
        if owner.is_some() && attribute.name == FILL_VALUE {
            continue;
        }
        let name = attribute.name;
        if attribute.nc_type == NcType::Char && std::str::from_utf8(attribute.values).is_err() {
            let message = format!("attribute {name} is not UTF-8");
            findings.push(Finding::info("attribute-not-utf8", owner, message));
        }
        let value = to_json(attribute);
        let value = match is_float(attribute) {
            true => finite_part(name, value),
            false => Some(value),
        };
        match value {
            Some(value) => {
                out.insert(name.to_owned(), value);
            }
            None => {
                let message = format!("attribute {name} was dropped: it is not finite");
                findings.push(Finding::info("attribute-dropped", owner, message));
            }
        }
    }
    out
}

/// The `_FillValue` among the attributes of a variable as an element of `data_type`. A number that is no value of that
/// type stays an attribute, since readers compute with it all the same; anything else is dropped.
pub(super) fn fill_value(
    attributes: &[Attribute<'_>],
    data_type: &DataType,
    owner: &str,
    out: &mut Attributes,
    findings: &mut Vec<Finding>,
) -> Option<Vec<u8>> {
    let Some(attribute) = attributes.iter().find(|a| a.name == FILL_VALUE) else {
        return infinite_missing_value(attributes, data_type);
    };
    let element = element(attribute, data_type);
    if element.is_none() {
        let (value, data_type) = (to_json(attribute), data_type.name());
        let message = match value.is_number() {
            true => format!("{FILL_VALUE} is no {data_type} and stays an attribute"),
            false => format!("attribute {FILL_VALUE} was dropped: it is no {data_type}"),
        };
        findings.push(Finding::info("fill-value-type", Some(owner), message));
        if value.is_number() {
            out.insert(FILL_VALUE.to_owned(), value);
        }
    }
    element
}

/// An infinite `missing_value`, which no attribute can say in JSON: as the fill value readers mask it as well.
fn infinite_missing_value(attributes: &[Attribute<'_>], data_type: &DataType) -> Option<Vec<u8>> {
    let attribute = attributes.iter().find(|a| a.name == "missing_value")?;
    if !is_float(attribute) || !matches!(data_type, DataType::Float(..)) {
        return None;
    }
    let stored = attribute.nc_type.data_type();
    let infinite = |value: &Value| *value == "Infinity" || *value == "-Infinity";
    elements(attribute)
        .map(|element| stored.element_to_json(element))
        .find(infinite)
        .and_then(|value| data_type.element_from_json(&value))
}

fn element(attribute: &Attribute<'_>, data_type: &DataType) -> Option<Vec<u8>> {
    let size = usize::try_from(attribute.nc_type.size()).ok()?;
    let stored = attribute.values.get(..size)?;
    let stored_type = attribute.nc_type.data_type();
    if stored_type == *data_type {
        return Some(stored.to_vec());
    }
    let value = stored_type.element_to_json(stored);
    let value = match data_type {
        DataType::Int(..) | DataType::UInt(..) => integral(value),
        _ => value,
    };
    let element = data_type.element_from_json(&value)?;
    let same = match (data_type.element_to_json(&element), &value) {
        (Value::Number(back), Value::Number(value)) => back.as_f64() == value.as_f64(),
        (back, value) => back == *value,
    };
    same.then_some(element)
}

/// A float without a fraction as an integer.
fn integral(value: Value) -> Value {
    match value.as_f64() {
        Some(float) if value.is_f64() && float.fract() == 0.0 => format!("{float:.0}")
            .parse::<i64>()
            .map_or(value, Value::from),
        _ => value,
    }
}

fn to_json(attribute: &Attribute<'_>) -> Value {
    if attribute.nc_type == NcType::Char {
        let text = String::from_utf8_lossy(attribute.values);
        return Value::String(text.replace('\0', ""));
    }
    let data_type = attribute.nc_type.data_type();
    let mut values: Vec<Value> = elements(attribute)
        .map(|element| data_type.element_to_json(element))
        .collect();
    match (values.len(), values.pop()) {
        (1, Some(value)) => value,
        (_, last) => {
            values.extend(last);
            Value::Array(values)
        }
    }
}

fn elements<'a>(attribute: &Attribute<'a>) -> std::slice::ChunksExact<'a, u8> {
    let size = usize::try_from(attribute.nc_type.size()).unwrap_or(1);
    attribute.values.chunks_exact(size.max(1))
}

const fn is_float(attribute: &Attribute<'_>) -> bool {
    matches!(attribute.nc_type, NcType::Float | NcType::Double)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn attribute<'a>(name: &'a str, nc_type: NcType, values: &'a [u8]) -> Attribute<'a> {
        Attribute {
            name,
            nc_type,
            values,
        }
    }

    #[rstest]
    #[case::text(NcType::Char, b"a \xc3\xa9\0", json!("a é"))]
    #[case::no_text(NcType::Char, b"", json!(""))]
    #[case::not_utf8(NcType::Char, b"\xb0C", json!("\u{fffd}C"))]
    #[case::scalar(NcType::Short, b"\xff\xfe", json!(-2))]
    #[case::list(NcType::UByte, b"\x01\xff", json!([1, 255]))]
    #[case::empty_list(NcType::Float, b"", json!([]))]
    #[case::float(NcType::Float, &[0x3d, 0xcc, 0xcc, 0xcd], json!(0.100_000_001_490_116_12))]
    #[case::nan(NcType::Float, &[0x7f, 0xc0, 0, 0], json!("NaN"))]
    #[case::large(NcType::UInt64, &[0xff; 8], json!(u64::MAX))]
    fn values_have_one_json_form(
        #[case] nc_type: NcType,
        #[case] bytes: &[u8],
        #[case] value: Value,
    ) {
        let mut findings = Vec::new();
        let out = attributes(&[attribute("a", nc_type, bytes)], None, &mut findings);
        assert_eq!(out["a"], value);
        assert_eq!(findings.is_empty(), value != "\u{fffd}C");
    }

    #[test]
    fn numbers_to_compute_with_are_finite_or_dropped() {
        let nan = f32::NAN.to_be_bytes();
        let mut findings = Vec::new();
        let out = attributes(
            &[attribute("valid_max", NcType::Float, &nan)],
            Some("/v"),
            &mut findings,
        );
        assert!(out.is_empty());
        assert_eq!(findings[0].code, "attribute-dropped");
        assert_eq!(findings[0].variable.as_deref(), Some("/v"));
    }

    #[rstest]
    #[case::same_type(NcType::Float, &1e20f32.to_be_bytes(), NcType::Float, Some(1e20f32.to_be_bytes().to_vec()))]
    #[case::nan(NcType::Float, &[0x7f, 0xc0, 0, 1], NcType::Float, Some(vec![0x7f, 0xc0, 0, 1]))]
    #[case::float_for_short(NcType::Double, &(-999f64).to_be_bytes(), NcType::Short, Some((-999i16).to_be_bytes().to_vec()))]
    #[case::int_for_float(NcType::Int, &(-999i32).to_be_bytes(), NcType::Float, Some((-999f32).to_be_bytes().to_vec()))]
    #[case::does_not_fit(NcType::Int, &70_000i32.to_be_bytes(), NcType::Short, None)]
    #[case::has_a_fraction(NcType::Double, &0.5f64.to_be_bytes(), NcType::Short, None)]
    #[case::not_exact(NcType::Double, &1e20f64.to_be_bytes(), NcType::Float, None)]
    #[case::negative_for_unsigned(NcType::Byte, &[0xff], NcType::UByte, None)]
    #[case::text_for_number(NcType::Char, b"7", NcType::Short, None)]
    #[case::nothing(NcType::Short, b"", NcType::Short, None)]
    fn a_fill_value_is_one_of_the_variables_type(
        #[case] stored: NcType,
        #[case] bytes: &[u8],
        #[case] of: NcType,
        #[case] element: Option<Vec<u8>>,
    ) {
        let (mut out, mut findings) = (Attributes::new(), Vec::new());
        let all = [attribute("_FillValue", stored, bytes)];
        assert_eq!(
            fill_value(&all, &of.data_type(), "/v", &mut out, &mut findings),
            element
        );
        assert_eq!(findings.is_empty(), element.is_some());
        let is_number = stored != NcType::Char && !bytes.is_empty();
        assert_eq!(!out.is_empty(), element.is_none() && is_number);
    }

    /// JSON has no infinity, and without it what is marked so was shown as a value.
    #[rstest]
    #[case::alone(&[f32::INFINITY], NcType::Float, Some(f32::INFINITY), None)]
    #[case::beside_another(&[-9.0, f32::NEG_INFINITY], NcType::Float, Some(f32::NEG_INFINITY), Some(json!(-9.0)))]
    #[case::not_a_number(&[f32::NAN, -9.0, -8.0], NcType::Float, None, Some(json!([-9.0, -8.0])))]
    #[case::of_integers(&[f32::INFINITY], NcType::Short, None, None)]
    fn what_marks_missing_values_is_kept(
        #[case] values: &[f32],
        #[case] of: NcType,
        #[case] fill: Option<f32>,
        #[case] shown: Option<Value>,
    ) {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_be_bytes())
            .collect();
        let all = [attribute("missing_value", NcType::Float, &bytes)];
        let mut findings = Vec::new();
        let mut out = attributes(&all, Some("/v"), &mut findings);
        assert_eq!(out.get("missing_value"), shown.as_ref());
        let element = fill_value(&all, &of.data_type(), "/v", &mut out, &mut findings);
        assert_eq!(element, fill.map(|value| value.to_be_bytes().to_vec()));
    }
}
