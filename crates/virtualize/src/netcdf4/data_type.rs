//! HDF5's types as Zarr's.

use std::collections::HashSet;

use crate::hdf5::{Datatype, DatatypeClass, FloatFormat, Member, Order, StringPadding};
use crate::netcdf4::attribute::is_bool;
use crate::zarr::{ByteOrder, DataType, Field};

/// Names that a pair of floats has where h5py takes it for a complex number; with others it stays a compound.
const COMPLEX: (&str, &str) = ("r", "i");

/// Nesting of types beyond which a file is not taken seriously.
pub(super) const MAX_DEPTH: usize = 32;

/// The type of one element: for array types their base, whose lengths are the array's then.
pub(super) fn element(datatype: &Datatype) -> &Datatype {
    let mut base = datatype;
    while let DatatypeClass::Array { base: inner, .. } = &base.class {
        base = inner;
    }
    base
}

/// The Zarr type of the bytes of an [`element`] as they stand in the file.
///
/// # Errors
///
/// The reason why Zarr cannot hold it.
pub(super) fn element_type(element: &Datatype) -> Result<DataType, String> {
    convert(element, MAX_DEPTH)
}

fn convert(datatype: &Datatype, depth: usize) -> Result<DataType, String> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| String::from("its type is nested too deeply"))?;
    match &datatype.class {
        DatatypeClass::Integer {
            order,
            signed,
            bit_offset,
            precision,
        } => integer(datatype.size, *order, *signed, (*bit_offset, *precision)),
        DatatypeClass::Float { order, format } => float(datatype.size, *order, *format),
        DatatypeClass::String { padding, .. } => match (datatype.size, padding) {
            (0, _) => Err(String::from("its strings have no length")),
            (_, StringPadding::SpacePadded) => Err(String::from(
                "its strings are padded with spaces, which Zarr readers take for text",
            )),
            (size, _) => Ok(DataType::FixedString(u64::from(size))),
        },
        DatatypeClass::VlenString { .. } => Ok(DataType::VlenString),
        DatatypeClass::Opaque { .. } if datatype.size > 0 => {
            Ok(DataType::Opaque(u64::from(datatype.size)))
        }
        DatatypeClass::Bitfield { order } => {
            let bits = u16::try_from(datatype.size.saturating_mul(8)).unwrap_or(u16::MAX);
            integer(datatype.size, *order, false, (0, bits))
        }
        DatatypeClass::Enum { .. } if is_bool(datatype) && !datatype.committed => {
            Ok(DataType::Bool)
        }
        DatatypeClass::Enum { base, .. } => convert(base, depth),
        DatatypeClass::Complex(base) => complex(base, depth),
        DatatypeClass::Compound(members) => compound(datatype, members, depth),
        other => Err(format!("Zarr has no type for {}", class_name(other))),
    }
}

const fn class_name(class: &DatatypeClass) -> &'static str {
    match class {
        DatatypeClass::Time => "HDF5's time class",
        DatatypeClass::Reference { object: true } => "object references",
        DatatypeClass::Reference { object: false } => "region references",
        DatatypeClass::VlenSequence(_) => "variable-length sequences",
        DatatypeClass::Opaque { .. } => "opaque values of no length",
        DatatypeClass::Array { .. } => "arrays inside an element",
        _ => "this type",
    }
}

fn integer(
    size: u32,
    order: Order,
    signed: bool,
    (offset, precision): (u16, u16),
) -> Result<DataType, String> {
    if offset != 0 || u32::from(precision) != size.saturating_mul(8) {
        return Err(format!(
            "its integers use {precision} bits from bit {offset} on of {size} bytes"
        ));
    }
    let order = byte_order(order, size)?;
    match u8::try_from(size) {
        Ok(size @ (1 | 2 | 4 | 8)) if signed => Ok(DataType::Int(size, order)),
        Ok(size @ (1 | 2 | 4 | 8)) => Ok(DataType::UInt(size, order)),
        _ => Err(format!("its integers have {size} bytes")),
    }
}

fn float(size: u32, order: Order, format: FloatFormat) -> Result<DataType, String> {
    let order = byte_order(order, size)?;
    match u8::try_from(size) {
        Ok(size @ (2 | 4 | 8)) if format == FloatFormat::Ieee => Ok(DataType::Float(size, order)),
        _ => Err(format!("its floats of {size} bytes are not IEEE 754's")),
    }
}

fn byte_order(order: Order, size: u32) -> Result<ByteOrder, String> {
    match order {
        Order::Big => Ok(ByteOrder::Big),
        Order::Little => Ok(ByteOrder::Little),
        Order::Other if size == 1 => Ok(ByteOrder::Little),
        Order::Other => Err(String::from(
            "its bytes are neither in little- nor big-endian order",
        )),
    }
}

pub(super) fn complex(base: &Datatype, depth: usize) -> Result<DataType, String> {
    match convert(base, depth)? {
        DataType::Float(size @ (4 | 8), order) => Ok(DataType::Complex(size * 2, order)),
        other => Err(format!(
            "Zarr has no complex number of two {}",
            other.name()
        )),
    }
}

fn compound(datatype: &Datatype, members: &[Member], depth: usize) -> Result<DataType, String> {
    if let Some(complex) = as_complex(datatype, members, depth) {
        return Ok(complex);
    }
    let members = in_order(members)?;
    let mut fields = Vec::with_capacity(members.len());
    let mut end = 0u64;
    for member in members {
        if u64::from(member.offset) != end {
            return Err(format!("its compound has padding before {}", member.name));
        }
        let field = field(member, depth)?;
        end = end.saturating_add(u64::from(member.datatype.size));
        fields.push(field);
    }
    match end == u64::from(datatype.size) && !fields.is_empty() {
        true => Ok(DataType::Struct(fields)),
        false => Err(String::from("its compound has padding at its end")),
    }
}

/// The members by offset, of which none overlap. numpy refuses two of one name, and then no reader opens the rest of the
/// file.
pub(super) fn in_order(members: &[Member]) -> Result<Vec<&Member>, String> {
    let mut names = HashSet::new();
    if let Some(member) = members
        .iter()
        .find(|m| m.name.is_empty() || !names.insert(&m.name))
    {
        return Err(format!(
            "its compound has a member named \"{}\" beside another, or without a name",
            member.name
        ));
    }
    let mut members: Vec<&Member> = members.iter().collect();
    members.sort_by_key(|member| member.offset);
    let mut end = 0u64;
    for member in &members {
        if u64::from(member.offset) < end {
            return Err(format!(
                "member {} of its compound lies in another",
                member.name
            ));
        }
        end = u64::from(member.offset).saturating_add(u64::from(member.datatype.size));
    }
    Ok(members)
}

/// zarr-python has no type for members that are arrays, and one such variable keeps it from opening the rest.
fn field(member: &Member, depth: usize) -> Result<Field, String> {
    let is_array = matches!(member.datatype.class, DatatypeClass::Array { .. });
    let data_type = convert(&member.datatype, depth);
    match data_type {
        Ok(data_type) if !is_array && data_type != DataType::VlenString => Ok(Field {
            name: member.name.clone(),
            data_type,
            shape: Vec::new(),
        }),
        Ok(_) => Err(format!(
            "Zarr readers have no type for member {} of its compound",
            member.name
        )),
        Err(why) => Err(format!("member {} of its compound: {why}", member.name)),
    }
}

/// The complex number that a compound is, if it is one.
pub(super) fn as_complex(
    datatype: &Datatype,
    members: &[Member],
    depth: usize,
) -> Option<DataType> {
    let [re, im] = members else { return None };
    let named = (re.name.as_str(), im.name.as_str()) == COMPLEX;
    let halves = re.offset == 0
        && im.offset == re.datatype.size
        && datatype.size == re.datatype.size.checked_mul(2)?
        && re.datatype.class == im.datatype.class;
    match named && halves {
        true => complex(&re.datatype, depth).ok(),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::hdf5::FloatFields;
    use crate::netcdf4::sample::{class, float32, int};

    fn member(name: &str, offset: u32, datatype: Datatype) -> Member {
        Member {
            name: name.to_owned(),
            offset,
            datatype,
        }
    }

    fn pair(a: &str, b: &str) -> Datatype {
        let members = vec![member(a, 0, float32()), member(b, 4, float32())];
        class(8, DatatypeClass::Compound(members))
    }

    fn array(dims: &[u64], base: Datatype) -> Datatype {
        let size = base.size * u32::try_from(dims.iter().product::<u64>()).unwrap();
        let (dims, base) = (dims.to_vec(), Box::new(base));
        class(size, DatatypeClass::Array { dims, base })
    }

    fn enumeration(size: u32) -> Datatype {
        let base = Box::new(int(size));
        let members = Vec::new();
        class(size, DatatypeClass::Enum { base, members })
    }

    #[rstest]
    #[case::float(float32(), "\"<f4\"")]
    #[case::integer(int(8), "\"<i8\"")]
    #[case::enumeration(enumeration(2), "\"<i2\"")]
    #[case::complex(pair("r", "i"), "\"<c8\"")]
    #[case::native_complex(class(8, DatatypeClass::Complex(Box::new(float32()))), "\"<c8\"")]
    #[case::compound(pair("u", "v"), r#"[["u","<f4"],["v","<f4"]]"#)]
    #[case::not_complex_to_h5py(pair("real", "imag"), r#"[["real","<f4"],["imag","<f4"]]"#)]
    #[case::not_in_order(
        class(8, DatatypeClass::Compound(vec![member("b", 4, int(4)), member("a", 0, float32())])),
        r#"[["a","<f4"],["b","<i4"]]"#)]
    #[case::array(array(&[2, 3], int(2)), "\"<i2\"")]
    #[case::opaque(class(5, DatatypeClass::Opaque { tag: String::new() }), "\"|V5\"")]
    fn types_are_numpys(#[case] datatype: Datatype, #[case] dtype: &str) {
        let found = element_type(element(&datatype)).unwrap();
        assert_eq!(found.to_json().to_string(), dtype);
    }

    fn x87() -> FloatFormat {
        FloatFormat::Other(FloatFields {
            sign: 79,
            exponent: (64, 15),
            mantissa: (0, 64),
            bias: 16383,
            implied: false,
        })
    }

    fn odd(bit_offset: u16, precision: u16, order: Order) -> Datatype {
        let signed = true;
        class(
            4,
            DatatypeClass::Integer {
                order,
                signed,
                bit_offset,
                precision,
            },
        )
    }

    fn padded(first: u32, size: u32) -> Datatype {
        let members = vec![member("a", first, float32())];
        class(size, DatatypeClass::Compound(members))
    }

    #[rstest]
    #[case::bits(odd(0, 20, Order::Little), "20 bits")]
    #[case::shifted(odd(2, 32, Order::Little), "from bit 2")]
    #[case::vax(odd(0, 32, Order::Other), "little- nor big-endian")]
    #[case::three_bytes(int(3), "3 bytes")]
    #[case::long_double(class(16, DatatypeClass::Float { order: Order::Little, format: x87() }), "IEEE")]
    #[case::time(class(4, DatatypeClass::Time), "time class")]
    #[case::reference(class(8, DatatypeClass::Reference { object: true }), "object references")]
    #[case::sequence(
        class(16, DatatypeClass::VlenSequence(Box::new(int(4)))),
        "variable-length sequences"
    )]
    #[case::array_member(
        class(12, DatatypeClass::Compound(vec![member("a", 0, array(&[3], int(4)))])), "member a")]
    #[case::overlap(
        class(8, DatatypeClass::Compound(vec![member("a", 0, int(4)), member("b", 2, int(4))])), "member b of its compound lies")]
    #[case::same_names(pair("a", "a"), "named \"a\"")]
    #[case::spaces(
        class(4, DatatypeClass::String { padding: StringPadding::SpacePadded, utf8: false }), "spaces")]
    #[case::padding_before(padded(4, 8), "padding before a")]
    #[case::padding_behind(padded(0, 8), "padding at its end")]
    fn what_zarr_has_no_type_for_is_refused(#[case] datatype: Datatype, #[case] reason: &str) {
        let refusal = element_type(&datatype).unwrap_err();
        assert!(refusal.contains(reason), "{refusal}");
    }

    #[test]
    fn nesting_has_an_end() {
        let mut datatype = int(1);
        for _ in 0..100_000 {
            let members = Vec::new();
            let base = Box::new(datatype);
            datatype = class(1, DatatypeClass::Enum { base, members });
        }
        assert!(element_type(&datatype).is_err());
        // Dropping it by recursion would need as deep a stack.
        while let DatatypeClass::Enum { base, .. } = datatype.class {
            datatype = *base;
        }
    }
}
