//! What absent chunks hold, and the attribute that masks.
//!
//! In v2 one value does both. Chunks that are absent although the source holds something else for them were written out
//! before (SPEC §3), so for those that still are, the value of v2 is HDF5's too; without one it is zero.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::super::data_type::{float, float_to_json};
use super::super::{ByteOrder, DataType};
use crate::dataset::VirtualArray;

/// The largest element that a document states.
const MAX_ELEMENT: u64 = 64 << 10;

/// The `fill_value` of an array's document.
///
/// # Errors
///
/// The reason why there is none.
pub(super) fn absent(array: &VirtualArray) -> Result<Value, String> {
    let size = array.data_type.size();
    match (&array.fill_value, usize::try_from(size)) {
        (Some(element), _) => scalar(&array.data_type, element),
        (None, _) if array.data_type == DataType::VlenString => Ok(json!("")),
        (None, Ok(zeros)) if size <= MAX_ELEMENT => scalar(&array.data_type, &vec![0; zeros]),
        _ => Err(format!(
            "its elements of {size} bytes are too large to state one"
        )),
    }
}

fn scalar(data_type: &DataType, element: &[u8]) -> Result<Value, String> {
    Ok(match data_type {
        DataType::Float(size, order) => float_bits(element, *size, *order),
        DataType::Complex(size, order) => {
            let (re, im) = element.split_at(element.len() / 2);
            json!([
                float_bits(re, size / 2, *order),
                float_bits(im, size / 2, *order)
            ])
        }
        DataType::FixedString(_) => json!(BASE64.encode(without_padding(element))),
        DataType::Struct(fields) => {
            let mut members = Map::new();
            let mut rest = element;
            for field in fields {
                let size = usize::try_from(field.data_type.size()).ok();
                let split = size.and_then(|size| rest.split_at_checked(size));
                let (member, after) =
                    split.ok_or_else(|| String::from("its fill value is shorter than its type"))?;
                members.insert(field.name.clone(), scalar(&field.data_type, member)?);
                rest = after;
            }
            Value::Object(members)
        }
        plain => plain.element_to_json(element),
    })
}

/// A float as JSON: what is no number by its name, and by its bits where it is not the usual NaN.
fn float_bits(element: &[u8], size: u8, order: ByteOrder) -> Value {
    let value = float(element, order);
    let mut bytes = element.to_vec();
    if order == ByteOrder::Little {
        bytes.reverse();
    }
    let usual: &[u8] = match size {
        2 => &[0x7e, 0x00],
        4 => &[0x7f, 0xc0],
        _ => &[0x7f, 0xf8],
    };
    let is_usual = bytes.starts_with(usual) && bytes.iter().skip(2).all(|byte| *byte == 0);
    if value.is_nan() && !is_usual {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        return json!(format!("0x{digits}"));
    }
    float_to_json(value)
}

/// The attribute `_FillValue` in xarray's v3 form: integers as they are, floats as base64 of eight bytes, little-endian.
///
/// # Errors
///
/// The reason why xarray cannot be told of it: it takes none for text, compound and opaque types, and cuts a broken
/// number for an integer type.
pub(super) fn attribute(array: &VirtualArray) -> Result<Option<Value>, String> {
    match (&array.fill_value, array.attributes.get("_FillValue")) {
        (Some(element), _) => of_element(&array.data_type, element).map(Some),
        // One that is not of the variable's type stays an attribute.
        (None, Some(value)) => of_number(&array.data_type, value).map(Some),
        (None, None) => Ok(None),
    }
}

fn of_element(data_type: &DataType, element: &[u8]) -> Result<Value, String> {
    match data_type {
        DataType::Float(_, order) => Ok(packed(float(element, *order))),
        DataType::Complex(_, order) => {
            let (re, im) = element.split_at(element.len() / 2);
            Ok(json!([
                packed(float(re, *order)),
                packed(float(im, *order))
            ]))
        }
        DataType::Bool | DataType::Int(..) | DataType::UInt(..) => {
            Ok(data_type.element_to_json(element))
        }
        _ => Err(format!(
            "xarray takes no _FillValue for {} in Zarr v3",
            data_type.name()
        )),
    }
}

fn of_number(data_type: &DataType, value: &Value) -> Result<Value, String> {
    let whole = value.is_i64() || value.is_u64();
    match data_type {
        DataType::Float(..) => value
            .as_f64()
            .map(packed)
            .ok_or_else(|| String::from("its _FillValue is no number")),
        DataType::Int(..) | DataType::UInt(..) if whole => Ok(value.clone()),
        _ => Err(format!(
            "its _FillValue {value} is none that xarray takes for {} in Zarr v3",
            data_type.name()
        )),
    }
}

fn packed(value: f64) -> Value {
    json!(BASE64.encode(value.to_le_bytes()))
}

/// Text without the zeros that pad it.
fn without_padding(text: &[u8]) -> &[u8] {
    let last = text.iter().rposition(|byte| *byte != 0);
    text.get(..last.map_or(0, |last| last + 1))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::dataset::{Attributes, Layout};
    use crate::manifest::ChunkManifest;

    const F4: DataType = DataType::Float(4, ByteOrder::Little);
    const F8_BIG: DataType = DataType::Float(8, ByteOrder::Big);
    const I2_BIG: DataType = DataType::Int(2, ByteOrder::Big);
    const C8: DataType = DataType::Complex(8, ByteOrder::Little);

    fn array(
        data_type: DataType,
        fill_value: Option<&[u8]>,
        attribute: Option<Value>,
    ) -> VirtualArray {
        let attribute = attribute.map(|value| (String::from("_FillValue"), value));
        VirtualArray {
            shape: Vec::new(),
            chunk_shape: Vec::new(),
            data_type,
            fill_value: fill_value.map(<[u8]>::to_vec),
            codecs: Vec::new(),
            dimension_names: Vec::new(),
            attributes: Attributes::from_iter(attribute),
            chunks: ChunkManifest::new(),
            layout: Layout::Chunked,
        }
    }

    // The attributes are what xarray 2026.9.0's FillValueCoder.encode gives.
    #[rstest]
    #[case::float(F4, &1e20f32.to_le_bytes(), json!(1.0000000200408773e20), json!("AAAAgB2vFUQ="))]
    #[case::nan(F8_BIG, &f64::NAN.to_be_bytes(), json!("NaN"), json!("AAAAAAAA+H8="))]
    #[case::other_nan(F4, &[1, 0, 0xc0, 0x7f], json!("0x7fc00001"), json!("AAAAIAAA+H8="))]
    #[case::infinite(F4, &f32::NEG_INFINITY.to_le_bytes(), json!("-Infinity"), json!("AAAAAAAA8P8="))]
    #[case::integer(I2_BIG, &[0xff, 0xfe], json!(-2), json!(-2))]
    #[case::complex(C8, &[0, 0, 128, 63, 0, 0, 0, 64], json!([1.0, 2.0]), json!(["AAAAAAAA8D8=", "AAAAAAAAAEA="]))]
    fn a_fill_value_is_stated_twice(
        #[case] data_type: DataType,
        #[case] element: &[u8],
        #[case] stated: Value,
        #[case] masks: Value,
    ) {
        let array = array(data_type, Some(element), None);
        assert_eq!(absent(&array).unwrap(), stated);
        assert_eq!(attribute(&array).unwrap(), Some(masks));
    }

    #[rstest]
    #[case::number(F4, json!(0.0))]
    #[case::flag(DataType::Bool, json!(false))]
    #[case::text(DataType::FixedString(3), json!(""))]
    #[case::opaque(DataType::Opaque(3), json!("AAAA"))]
    #[case::string(DataType::VlenString, json!(""))]
    fn without_one_absent_chunks_are_zero_and_nothing_is_masked(
        #[case] data_type: DataType,
        #[case] stated: Value,
    ) {
        let array = array(data_type, None, None);
        assert_eq!(absent(&array).unwrap(), stated);
        assert_eq!(attribute(&array).unwrap(), None);
    }

    #[rstest]
    #[case::too_precise_for_the_type(F4, json!(1e20), Ok(json!("QIy1eB2vFUQ=")))]
    #[case::too_large_for_the_type(I2_BIG, json!(40_000), Ok(json!(40_000)))]
    #[case::broken(I2_BIG, json!(0.5), Err("its _FillValue 0.5 is none that xarray takes for int16 in Zarr v3"))]
    #[case::of_text(DataType::FixedString(2), json!(1), Err("its _FillValue 1 is none that xarray takes for S2 in Zarr v3"))]
    fn one_of_another_type_is_kept_where_xarray_keeps_it(
        #[case] data_type: DataType,
        #[case] value: Value,
        #[case] expected: Result<Value, &str>,
    ) {
        let found = attribute(&array(data_type, None, Some(value)));
        let expected = expected.map(Some).map_err(str::to_owned);
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case::text(
        array(DataType::FixedString(1), Some(b"*"), None),
        "xarray takes no _FillValue for S1 in Zarr v3"
    )]
    #[case::string(
        array(DataType::VlenString, Some(b"ab"), None),
        "xarray takes no _FillValue for string in Zarr v3"
    )]
    fn a_text_that_masks_is_refused(#[case] array: VirtualArray, #[case] reason: &str) {
        assert_eq!(attribute(&array).unwrap_err(), reason);
    }

    #[test]
    fn elements_without_measure_are_refused() {
        let reason = absent(&array(DataType::Opaque(1 << 40), None, None)).unwrap_err();
        assert_eq!(
            reason,
            "its elements of 1099511627776 bytes are too large to state one"
        );
    }
}
