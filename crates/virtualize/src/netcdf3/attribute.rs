//! Attributes as JSON, the way netCDF4-python and xarray have them, and fill values.

use serde_json::Value;

use super::header::{Attribute, NcType};
use crate::dataset::{Attributes, COMPUTED_WITH};
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
        if COMPUTED_WITH.contains(&name) && !is_finite(attribute) {
            let message = format!("attribute {name} was dropped: it is not finite");
            findings.push(Finding::info("attribute-dropped", owner, message));
            continue;
        }
        if attribute.nc_type == NcType::Char && std::str::from_utf8(attribute.values).is_err() {
            let message = format!("attribute {name} is not UTF-8");
            findings.push(Finding::info("attribute-not-utf8", owner, message));
        }
        out.insert(name.to_owned(), to_json(attribute));
    }
    out
}

/// The `_FillValue` among the attributes of a variable as an element of `data_type`; dropped with a finding if it is
/// no value of that type, since then it can be equal to none.
pub(super) fn fill_value(
    attributes: &[Attribute<'_>],
    data_type: &DataType,
    owner: &str,
    findings: &mut Vec<Finding>,
) -> Option<Vec<u8>> {
    let attribute = attributes.iter().find(|a| a.name == FILL_VALUE)?;
    let element = element(attribute, data_type);
    if element.is_none() {
        let data_type = data_type.name();
        let message = format!("attribute {FILL_VALUE} was dropped: it is no {data_type}");
        findings.push(Finding::info("fill-value-type", Some(owner), message));
    }
    element
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

fn is_finite(attribute: &Attribute<'_>) -> bool {
    let data_type = attribute.nc_type.data_type();
    let float = matches!(attribute.nc_type, NcType::Float | NcType::Double);
    !float || elements(attribute).all(|element| data_type.element_to_json(element).is_number())
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
        let mut findings = Vec::new();
        let all = [attribute("_FillValue", stored, bytes)];
        assert_eq!(
            fill_value(&all, &of.data_type(), "/v", &mut findings),
            element
        );
        assert_eq!(findings.is_empty(), element.is_some());
    }
}
