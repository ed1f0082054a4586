//! The datatype message, versions 1 to 5. Specification IV.A.2.d.

use bytes::Bytes;

use crate::decode::DecodeError;
use crate::hdf5::cursor::{Cursor, text};
use crate::hdf5::float::{FloatFields, FloatFormat};
use crate::hdf5::message::dataspace::MAX_RANK;
use crate::hdf5::model::{Datatype, DatatypeClass, Member, Order, StringPadding};

const MAX_DEPTH: usize = 32;

/// Bytes of memory that a type takes with all that is nested in it.
pub(in crate::hdf5) fn parsed_bytes(datatype: &Datatype) -> usize {
    /// What the heap gives for a short name.
    const NAME: usize = 32;
    let inner = match &datatype.class {
        DatatypeClass::Compound(members) => members.iter().fold(0usize, |sum, member| {
            let outer = size_of::<Member>() - size_of::<Datatype>() + member.name.len().max(NAME);
            let nested = parsed_bytes(&member.datatype);
            sum.saturating_add(outer).saturating_add(nested)
        }),
        DatatypeClass::Enum { base, members } => {
            members.iter().fold(parsed_bytes(base), |sum, (name, _)| {
                sum.saturating_add(size_of::<(String, Bytes)>() + name.len().max(NAME))
            })
        }
        DatatypeClass::Array { dims, base } => {
            parsed_bytes(base).saturating_add(dims.len().saturating_mul(8))
        }
        DatatypeClass::VlenSequence(base) | DatatypeClass::Complex(base) => parsed_bytes(base),
        DatatypeClass::Opaque { tag } => tag.len(),
        _ => 0,
    };
    inner.saturating_add(size_of::<Datatype>())
}

/// Parses a datatype with all that is nested in it.
///
/// | bytes | field |
/// | --- | --- |
/// | 1 | class (low four bits) and version |
/// | 3 | bits of the class |
/// | 4 | size of an element |
/// | rest | properties of the class |
pub(in crate::hdf5) fn parse(cursor: &mut Cursor<'_>) -> Result<Datatype, DecodeError> {
    nested(cursor, MAX_DEPTH)
}

fn nested(cursor: &mut Cursor<'_>, depth: usize) -> Result<Datatype, DecodeError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(cursor.malformed(format!("datatypes nested deeper than {MAX_DEPTH}")));
    };
    let class_and_version = cursor.u8()?;
    let (class, version) = (class_and_version & 0x0f, class_and_version >> 4);
    if !(1..=5).contains(&version) {
        return Err(cursor.malformed(format!("datatype version {version} is unknown")));
    }
    let bits = cursor.uint(3)?;
    let head = Head {
        version,
        low: bits.to_le_bytes().first().copied().unwrap_or_default(),
        count: usize::try_from(bits & 0xffff).unwrap_or_default(),
        sign_location: (bits >> 8) & 0xff,
        size: cursor.u32()?,
    };
    let class = match class {
        0 => integer(cursor, &head)?,
        1 => float(cursor, &head)?,
        2 => time(cursor)?,
        3 => string(&head),
        4 => bitfield(cursor, &head)?,
        5 => opaque(cursor, &head)?,
        6 => compound(cursor, &head, depth)?,
        7 => DatatypeClass::Reference {
            object: head.low & 0x0f == 0,
        },
        8 => enumeration(cursor, &head, depth)?,
        9 => variable_length(cursor, &head, depth)?,
        10 => array(cursor, &head, depth)?,
        11 => DatatypeClass::Complex(Box::new(nested(cursor, depth)?)),
        _ => return Err(cursor.malformed(format!("datatype class {class} is unknown"))),
    };
    Ok(Datatype {
        size: head.size,
        class,
        committed: false,
    })
}

struct Head {
    version: u8,
    /// Bits 0 to 7 of the class.
    low: u8,
    /// Bits 0 to 15: number of members.
    count: usize,
    /// Bits 8 to 15.
    sign_location: u64,
    size: u32,
}

impl Head {
    const fn order(&self) -> Order {
        if self.low & 0x01 == 0 {
            Order::Little
        } else {
            Order::Big
        }
    }
}

fn integer(cursor: &mut Cursor<'_>, head: &Head) -> Result<DatatypeClass, DecodeError> {
    Ok(DatatypeClass::Integer {
        order: head.order(),
        signed: head.low & 0x08 != 0,
        bit_offset: cursor.u16()?,
        precision: cursor.u16()?,
    })
}

fn float(cursor: &mut Cursor<'_>, head: &Head) -> Result<DatatypeClass, DecodeError> {
    let (bit_offset, precision) = (cursor.u16()?, cursor.u16()?);
    let exponent = (cursor.u8()?, cursor.u8()?);
    let mantissa = (cursor.u8()?, cursor.u8()?);
    let bias = cursor.u32()?;
    // Positions and sizes of sign, exponent and mantissa, and the bias, as IEEE 754 has them.
    let layout = (head.sign_location, exponent, mantissa, bias);
    let ieee_layout = match head.size {
        2 => layout == (15, (10, 5), (0, 10), 15),
        4 => layout == (31, (23, 8), (0, 23), 127),
        8 => layout == (63, (52, 11), (0, 52), 1023),
        _ => false,
    };
    let whole = bit_offset == 0 && u32::from(precision) == head.size.saturating_mul(8);
    let implied = head.low & 0x30 == 0x20;
    let order = match (head.low & 0x40 != 0, head.low & 0x01 != 0) {
        (false, false) => Order::Little,
        (false, true) => Order::Big,
        (true, _) => Order::Other,
    };
    let format = match ieee_layout && whole && implied {
        true => FloatFormat::Ieee,
        false => FloatFormat::Other(FloatFields {
            sign: u8::try_from(head.sign_location).unwrap_or(u8::MAX),
            exponent,
            mantissa,
            bias,
            implied,
        }),
    };
    Ok(DatatypeClass::Float { order, format })
}

fn time(cursor: &mut Cursor<'_>) -> Result<DatatypeClass, DecodeError> {
    cursor.skip(2)?;
    Ok(DatatypeClass::Time)
}

fn string(head: &Head) -> DatatypeClass {
    DatatypeClass::String {
        padding: match head.low & 0x0f {
            1 => StringPadding::NullPadded,
            2 => StringPadding::SpacePadded,
            _ => StringPadding::NullTerminated,
        },
        utf8: head.low >> 4 == 1,
    }
}

fn bitfield(cursor: &mut Cursor<'_>, head: &Head) -> Result<DatatypeClass, DecodeError> {
    cursor.skip(4)?;
    Ok(DatatypeClass::Bitfield {
        order: head.order(),
    })
}

fn opaque(cursor: &mut Cursor<'_>, head: &Head) -> Result<DatatypeClass, DecodeError> {
    let tag = cursor.take(usize::from(head.low))?;
    let end = tag.iter().position(|byte| *byte == 0);
    Ok(DatatypeClass::Opaque {
        tag: text(tag.get(..end.unwrap_or(tag.len())).unwrap_or_default()),
    })
}

fn compound(
    cursor: &mut Cursor<'_>,
    head: &Head,
    depth: usize,
) -> Result<DatatypeClass, DecodeError> {
    let mut members = Vec::new();
    for _ in 0..head.count {
        let name = name(cursor, head.version)?;
        let offset = match head.version {
            1 | 2 => u64::from(cursor.u32()?),
            _ => cursor.uint(bytes_for(head.size))?,
        };
        let dims = match head.version {
            1 => version_1_dims(cursor)?,
            _ => Vec::new(),
        };
        let datatype = as_array(nested(cursor, depth)?, dims);
        let end = offset.checked_add(u64::from(datatype.size));
        match (u32::try_from(offset), end) {
            (Ok(offset), Some(end)) if end <= u64::from(head.size) => members.push(Member {
                name,
                offset,
                datatype,
            }),
            _ => return Err(cursor.malformed(format!("member {name} is outside its compound"))),
        }
    }
    Ok(DatatypeClass::Compound(members))
}

/// A member's dimensions in version 1, where arrays were not yet a class.
fn version_1_dims(cursor: &mut Cursor<'_>) -> Result<Vec<u64>, DecodeError> {
    let rank = usize::from(cursor.u8()?);
    cursor.skip(3 + 4 + 4)?;
    let lengths: Vec<u64> = (0..4)
        .map(|_| cursor.u32().map(u64::from))
        .collect::<Result<_, _>>()?;
    Ok(lengths.into_iter().take(rank).collect())
}

fn as_array(base: Datatype, dims: Vec<u64>) -> Datatype {
    if dims.is_empty() {
        return base;
    }
    let size = dims.iter().try_fold(base.size, |size, dim| {
        u32::try_from(*dim)
            .ok()
            .and_then(|dim| size.checked_mul(dim))
    });
    Datatype {
        size: size.unwrap_or(u32::MAX),
        class: DatatypeClass::Array {
            dims,
            base: Box::new(base),
        },
        committed: false,
    }
}

fn enumeration(
    cursor: &mut Cursor<'_>,
    head: &Head,
    depth: usize,
) -> Result<DatatypeClass, DecodeError> {
    let base = nested(cursor, depth)?;
    let names = (0..head.count)
        .map(|_| name(cursor, head.version))
        .collect::<Result<Vec<String>, _>>()?;
    let size = usize::try_from(base.size).unwrap_or(usize::MAX);
    let members = names
        .into_iter()
        .map(|name| Ok((name, cursor.bytes(size)?)))
        .collect::<Result<Vec<(String, Bytes)>, DecodeError>>()?;
    Ok(DatatypeClass::Enum {
        base: Box::new(base),
        members,
    })
}

fn variable_length(
    cursor: &mut Cursor<'_>,
    head: &Head,
    depth: usize,
) -> Result<DatatypeClass, DecodeError> {
    let base = nested(cursor, depth)?;
    match head.low & 0x0f {
        0 => Ok(DatatypeClass::VlenSequence(Box::new(base))),
        1 => Ok(DatatypeClass::VlenString {
            utf8: (head.count >> 8) & 0x0f == 1,
        }),
        kind => Err(cursor.malformed(format!("variable-length type {kind} is unknown"))),
    }
}

/// Number of dimensions of arrays in arrays.
fn rank_of(datatype: &Datatype) -> usize {
    let (mut rank, mut datatype) = (0usize, datatype);
    while let DatatypeClass::Array { dims, base } = &datatype.class {
        rank = rank.saturating_add(dims.len());
        datatype = base;
    }
    rank
}

fn array(cursor: &mut Cursor<'_>, head: &Head, depth: usize) -> Result<DatatypeClass, DecodeError> {
    let rank = usize::from(cursor.u8()?);
    if rank > MAX_RANK {
        return Err(cursor.malformed(format!("an array of rank {rank}")));
    }
    if head.version < 3 {
        cursor.skip(3)?;
    }
    let dims = (0..rank)
        .map(|_| cursor.u32().map(u64::from))
        .collect::<Result<Vec<u64>, _>>()?;
    if head.version < 3 {
        cursor.skip(4 * rank)?;
    }
    let base = nested(cursor, depth)?;
    if let DatatypeClass::Array { dims: inner, .. } = &base.class
        && rank_of(&base).saturating_add(dims.len()) > MAX_RANK
    {
        let problem = format!(
            "an array of {} dimensions of arrays",
            dims.len() + inner.len()
        );
        return Err(cursor.malformed(problem));
    }
    let size = dims
        .iter()
        .try_fold(u64::from(base.size), |size, dim| size.checked_mul(*dim));
    if size != Some(u64::from(head.size)) {
        return Err(cursor.malformed("an array does not have the size of its elements"));
    }
    Ok(DatatypeClass::Array {
        dims,
        base: Box::new(base),
    })
}

/// A name; before version 3 it takes a multiple of eight bytes.
fn name(cursor: &mut Cursor<'_>, version: u8) -> Result<String, DecodeError> {
    let start = cursor.position();
    let name = cursor.c_string()?;
    if version < 3 {
        cursor.pad_to_eight(start);
    }
    Ok(name)
}

/// The fewest bytes that hold numbers up to `largest`.
const fn bytes_for(largest: u32) -> usize {
    match largest {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::hdf5::model::Geometry;

    fn parsed(bytes: Vec<u8>) -> Result<Datatype, DecodeError> {
        let bytes = Bytes::from(bytes);
        parse(&mut Cursor::new("datatype", 0, &bytes, Geometry::default()))
    }

    const INT16: [u8; 12] = [0x10, 0x08, 0, 0, 2, 0, 0, 0, 0, 0, 16, 0];
    const FLOAT32_BIG: [u8; 20] = [
        0x11, 0x21, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0,
    ];

    fn int16() -> Datatype {
        parsed(INT16.to_vec()).unwrap()
    }

    #[test]
    fn a_signed_integer() {
        let expected = DatatypeClass::Integer {
            order: Order::Little,
            signed: true,
            bit_offset: 0,
            precision: 16,
        };
        assert_eq!(int16().class, expected);
    }

    #[rstest]
    #[case::binary32(18, 0, FloatFormat::Ieee)]
    #[case::another_mantissa(15, 7, FloatFormat::Other(FloatFields {
        sign: 31, exponent: (23, 8), mantissa: (0, 7), bias: 127, implied: true,
    }))]
    fn a_float_is_ieee_only_to_the_bit(
        #[case] at: usize,
        #[case] value: u8,
        #[case] format: FloatFormat,
    ) {
        let mut bytes = FLOAT32_BIG.to_vec();
        bytes[at] = value;
        let expected = DatatypeClass::Float {
            order: Order::Big,
            format,
        };
        assert_eq!(parsed(bytes).unwrap().class, expected);
    }

    #[rstest]
    #[case::version_1(1)]
    #[case::version_3(3)]
    fn a_compound(#[case] version: u8) {
        let mut bytes = vec![version << 4 | 6, 1, 0, 0, 6, 0, 0, 0];
        if version == 1 {
            bytes.extend(b"a\0\0\0\0\0\0\0\x02\0\0\0");
            bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            bytes.extend([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        } else {
            bytes.extend(b"a\0\x02");
        }
        bytes.extend(INT16);
        let DatatypeClass::Compound(members) = parsed(bytes).unwrap().class else {
            panic!("not a compound");
        };
        assert_eq!((members[0].name.as_str(), members[0].offset), ("a", 2));
        let size = if version == 1 { 4 } else { 2 };
        assert_eq!(members[0].datatype.size, size);
    }

    #[test]
    fn an_enumeration_of_version_3() {
        let mut bytes = vec![0x38, 2, 0, 0, 2, 0, 0, 0];
        bytes.extend(INT16);
        bytes.extend(b"no\0yes\0\x00\x00\x01\x00");
        let expected = DatatypeClass::Enum {
            base: Box::new(int16()),
            members: vec![
                (String::from("no"), Bytes::from_static(&[0, 0])),
                (String::from("yes"), Bytes::from_static(&[1, 0])),
            ],
        };
        assert_eq!(parsed(bytes).unwrap().class, expected);
    }

    #[test]
    fn a_variable_length_string_in_utf8() {
        let mut bytes = vec![0x19, 0x01, 0x01, 0, 16, 0, 0, 0];
        bytes.extend(INT16);
        let class = parsed(bytes).unwrap().class;
        assert_eq!(class, DatatypeClass::VlenString { utf8: true });
    }

    #[test]
    fn endless_nesting_is_refused() {
        let bytes = [0x19, 0, 0, 0, 16, 0, 0, 0].repeat(100);
        assert!(parsed(bytes).unwrap_err().to_string().contains("deeper"));
    }

    #[rstest]
    #[case(0xff, 1)]
    #[case(0x100, 2)]
    #[case(0x01_0000, 3)]
    #[case(u32::MAX, 4)]
    fn offsets_of_members_are_as_wide_as_the_size(#[case] size: u32, #[case] bytes: usize) {
        assert_eq!(bytes_for(size), bytes);
    }
}
