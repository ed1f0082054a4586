//! Data types of Zarr v2 (numpy type strings) and elements as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Number, Value, json};

/// Which byte of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// The least significant one.
    Little,
    /// The most significant one.
    Big,
}

impl ByteOrder {
    const fn sign(self) -> char {
        match self {
            Self::Little => '<',
            Self::Big => '>',
        }
    }
}

/// A member of a [`DataType::Struct`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Shape of a member that is an array; empty for a scalar.
    pub shape: Vec<u64>,
}

/// Type of an element; sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataType {
    /// `|b1`.
    Bool,
    /// Signed integer of 1, 2, 4 or 8 bytes.
    Int(u8, ByteOrder),
    /// Unsigned integer of 1, 2, 4 or 8 bytes.
    UInt(u8, ByteOrder),
    /// IEEE float of 2, 4 or 8 bytes.
    Float(u8, ByteOrder),
    /// Two floats, 8 or 16 bytes together.
    Complex(u8, ByteOrder),
    /// `|S`: so many bytes of text, padded with zeros.
    FixedString(u64),
    /// `|V`: so many bytes without meaning.
    Opaque(u64),
    /// A compound, packed in the order of its fields.
    Struct(Vec<Field>),
    /// `|O` with the codec `vlen-utf8`; inlined only.
    VlenString,
}

impl DataType {
    /// Size of an element in bytes (of the pointer, for variable-length ones).
    pub fn size(&self) -> u64 {
        match self {
            Self::Bool => 1,
            Self::Int(n, _) | Self::UInt(n, _) | Self::Float(n, _) | Self::Complex(n, _) => {
                u64::from(*n)
            }
            Self::FixedString(n) | Self::Opaque(n) => *n,
            Self::Struct(fields) => fields.iter().fold(0, |sum, f| sum.saturating_add(f.size())),
            Self::VlenString => 8,
        }
    }

    /// The numpy type string, or the list of fields.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Struct(fields) => Value::Array(fields.iter().map(Field::to_json).collect()),
            _ => Value::String(self.code()),
        }
    }

    fn code(&self) -> String {
        let ordered = |kind: char, n: u8, order: ByteOrder| match n {
            1 => format!("|{kind}1"),
            _ => format!("{}{kind}{n}", order.sign()),
        };
        match self {
            Self::Bool => String::from("|b1"),
            Self::Int(n, order) => ordered('i', *n, *order),
            Self::UInt(n, order) => ordered('u', *n, *order),
            Self::Float(n, order) => ordered('f', *n, *order),
            Self::Complex(n, order) => ordered('c', *n, *order),
            Self::FixedString(n) => format!("|S{n}"),
            Self::Opaque(n) => format!("|V{n}"),
            Self::Struct(_) | Self::VlenString => String::from("|O"),
        }
    }

    /// The name that a person knows it by: `float32`, `int16`, `S8`, `compound`.
    pub fn name(&self) -> String {
        let bits = |n: u8| u32::from(n) * 8;
        match self {
            Self::Bool => String::from("bool"),
            Self::Int(n, _) => format!("int{}", bits(*n)),
            Self::UInt(n, _) => format!("uint{}", bits(*n)),
            Self::Float(n, _) => format!("float{}", bits(*n)),
            Self::Complex(n, _) => format!("complex{}", bits(*n)),
            Self::FixedString(n) => format!("S{n}"),
            Self::Opaque(n) => format!("V{n}"),
            Self::Struct(_) => String::from("compound"),
            Self::VlenString => String::from("string"),
        }
    }

    /// The type of a `.zarray` document's `dtype`; `None` if it is none of ours.
    pub fn from_json(dtype: &Value) -> Option<Self> {
        match dtype {
            Value::String(code) => Self::from_code(code),
            Value::Array(fields) => fields
                .iter()
                .map(Field::from_json)
                .collect::<Option<_>>()
                .map(Self::Struct),
            _ => None,
        }
    }

    fn from_code(code: &str) -> Option<Self> {
        let mut chars = code.chars();
        let order = if chars.next()? == '>' {
            ByteOrder::Big
        } else {
            ByteOrder::Little
        };
        let kind = chars.next()?;
        let digits = chars.as_str();
        let small = |allowed: &[u8]| digits.parse().ok().filter(|n| allowed.contains(n));
        match kind {
            'b' => Some(Self::Bool),
            'i' => Some(Self::Int(small(&[1, 2, 4, 8])?, order)),
            'u' => Some(Self::UInt(small(&[1, 2, 4, 8])?, order)),
            'f' => Some(Self::Float(small(&[2, 4, 8])?, order)),
            'c' => Some(Self::Complex(small(&[8, 16])?, order)),
            'S' => digits.parse().ok().map(Self::FixedString),
            'V' => digits.parse().ok().map(Self::Opaque),
            'O' => Some(Self::VlenString),
            _ => None,
        }
    }

    /// Order of bytes, where the type has one.
    pub const fn byte_order(&self) -> Option<ByteOrder> {
        match self {
            Self::Int(n, order)
            | Self::UInt(n, order)
            | Self::Float(n, order)
            | Self::Complex(n, order)
                if *n > 1 =>
            {
                Some(*order)
            }
            _ => None,
        }
    }

    /// The same type with its least significant byte first.
    #[must_use]
    pub fn to_little_endian(&self) -> Self {
        let order = ByteOrder::Little;
        match self {
            Self::Int(n, _) => Self::Int(*n, order),
            Self::UInt(n, _) => Self::UInt(*n, order),
            Self::Float(n, _) => Self::Float(*n, order),
            Self::Complex(n, _) => Self::Complex(*n, order),
            other => other.clone(),
        }
    }

    /// One element, as stored, in the form that `.zarray`'s `fill_value` has.
    pub fn element_to_json(&self, element: &[u8]) -> Value {
        match self {
            Self::Bool => json!(element.first().is_some_and(|byte| *byte != 0)),
            Self::Int(_, order) => json!(signed(element, *order)),
            Self::UInt(_, order) => json!(unsigned(element, *order)),
            Self::Float(_, order) => float_to_json(float(element, *order)),
            Self::Complex(_, order) => {
                let (re, im) = element.split_at(element.len() / 2);
                json!([
                    float_to_json(float(re, *order)),
                    float_to_json(float(im, *order))
                ])
            }
            Self::FixedString(_) | Self::Opaque(_) | Self::Struct(_) => {
                json!(BASE64.encode(element))
            }
            Self::VlenString => json!(String::from_utf8_lossy(element)),
        }
    }

    /// The inverse of [`element_to_json`](Self::element_to_json); `None` if the value does not fit the type.
    pub fn element_from_json(&self, value: &Value) -> Option<Vec<u8>> {
        match self {
            Self::Bool => Some(vec![u8::from(value.as_bool()?)]),
            Self::Int(n, order) => integer_bytes(i128::from(value.as_i64()?), *n, *order),
            Self::UInt(n, order) => integer_bytes(i128::from(value.as_u64()?), *n, *order),
            Self::Float(n, order) => float_bytes(float_from_json(value)?, *n, *order),
            Self::Complex(n, order) => {
                let mut bytes = float_bytes(float_from_json(value.get(0)?)?, n / 2, *order)?;
                bytes.extend(float_bytes(float_from_json(value.get(1)?)?, n / 2, *order)?);
                Some(bytes)
            }
            Self::FixedString(n) | Self::Opaque(n) => BASE64
                .decode(value.as_str()?)
                .ok()
                .filter(|b| u64::try_from(b.len()).ok() == Some(*n)),
            Self::Struct(_) => BASE64.decode(value.as_str()?).ok(),
            Self::VlenString => value.as_str().map(|text| text.as_bytes().to_vec()),
        }
    }
}

impl Field {
    fn size(&self) -> u64 {
        self.shape
            .iter()
            .fold(self.data_type.size(), |size, len| size.saturating_mul(*len))
    }

    fn to_json(&self) -> Value {
        match self.shape.is_empty() {
            true => json!([self.name, self.data_type.to_json()]),
            false => json!([self.name, self.data_type.to_json(), self.shape]),
        }
    }

    fn from_json(field: &Value) -> Option<Self> {
        let shape = match field.get(2) {
            Some(shape) => serde_json::from_value(shape.clone()).ok()?,
            None => Vec::new(),
        };
        let data_type = DataType::from_json(field.get(1)?)?;
        Some(Self {
            name: field.get(0)?.as_str()?.to_owned(),
            data_type,
            shape,
        })
    }
}

/// The bytes of a number, most significant first.
fn big_endian(element: &[u8], order: ByteOrder) -> Vec<u8> {
    match order {
        ByteOrder::Big => element.to_vec(),
        ByteOrder::Little => element.iter().rev().copied().collect(),
    }
}

/// A signed integer of up to 8 bytes.
pub(crate) fn signed(element: &[u8], order: ByteOrder) -> i64 {
    let bytes = big_endian(element, order);
    let start = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
        -1
    } else {
        0
    };
    bytes
        .iter()
        .take(8)
        .fold(start, |value: i64, byte| (value << 8) | i64::from(*byte))
}

/// An unsigned integer of up to 8 bytes.
pub(crate) fn unsigned(element: &[u8], order: ByteOrder) -> u64 {
    big_endian(element, order)
        .iter()
        .take(8)
        .fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

/// A float of 2, 4 or 8 bytes, widened; NaN for other sizes.
pub(crate) fn float(element: &[u8], order: ByteOrder) -> f64 {
    let bytes = big_endian(element, order);
    if let Ok(bytes) = <[u8; 8]>::try_from(bytes.as_slice()) {
        f64::from_be_bytes(bytes)
    } else if let Ok(bytes) = <[u8; 4]>::try_from(bytes.as_slice()) {
        f64::from(f32::from_be_bytes(bytes))
    } else if let Ok(bytes) = <[u8; 2]>::try_from(bytes.as_slice()) {
        half(u16::from_be_bytes(bytes))
    } else {
        f64::NAN
    }
}

/// IEEE 754 binary16, widened.
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    };
    sign * magnitude
}

/// A float as strict JSON: what is not finite becomes a string.
pub(crate) fn float_to_json(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => json!("NaN"),
        None if value > 0.0 => json!("Infinity"),
        None => json!("-Infinity"),
    }
}

fn float_from_json(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => value.as_f64(),
    }
}

fn integer_bytes(value: i128, size: u8, order: ByteOrder) -> Option<Vec<u8>> {
    let bytes = value.to_le_bytes();
    let mut out = bytes.get(..usize::from(size))?.to_vec();
    if order == ByteOrder::Big {
        out.reverse();
    }
    Some(out)
}

fn float_bytes(value: f64, size: u8, order: ByteOrder) -> Option<Vec<u8>> {
    let mut out = match size {
        8 => value.to_le_bytes().to_vec(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the value was widened from this type"
        )]
        4 => (value as f32).to_le_bytes().to_vec(),
        2 => half_bits(value).to_le_bytes().to_vec(),
        _ => return None,
    };
    if order == ByteOrder::Big {
        out.reverse();
    }
    Some(out)
}

/// The binary16 of a value that was widened from one; found by search, since such values are few.
fn half_bits(value: f64) -> u16 {
    let same = |bits: &u16| half(*bits).to_bits() == value.to_bits();
    (0..=u16::MAX).find(same).unwrap_or(0x7e00)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(DataType::Float(4, ByteOrder::Little), "<f4")]
    #[case(DataType::Int(2, ByteOrder::Big), ">i2")]
    #[case(DataType::UInt(1, ByteOrder::Big), "|u1")]
    #[case(DataType::FixedString(8), "|S8")]
    #[case(DataType::Complex(16, ByteOrder::Little), "<c16")]
    fn type_strings_are_numpys(#[case] data_type: DataType, #[case] code: &str) {
        assert_eq!(data_type.to_json(), json!(code));
        let back = DataType::from_json(&json!(code)).unwrap();
        assert_eq!(back.to_json(), json!(code));
    }

    #[rstest]
    #[case::negative(DataType::Int(2, ByteOrder::Big), &[0xff, 0xfe], json!(-2))]
    #[case::unsigned(DataType::UInt(2, ByteOrder::Little), &[0xfe, 0xff], json!(65534))]
    #[case::nan(DataType::Float(4, ByteOrder::Little), &[0, 0, 0xc0, 0x7f], json!("NaN"))]
    #[case::one_half(DataType::Float(2, ByteOrder::Big), &[0x38, 0x00], json!(0.5))]
    #[case::text(DataType::FixedString(2), b"ab", json!("YWI="))]
    fn elements_are_read_and_written(
        #[case] data_type: DataType,
        #[case] bytes: &[u8],
        #[case] value: Value,
    ) {
        assert_eq!(data_type.element_to_json(bytes), value);
        assert_eq!(data_type.element_from_json(&value).unwrap(), bytes);
    }
}
