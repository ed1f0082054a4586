//! Elements whose bytes mean something else to numpy than to HDF5: where the variable is small they are written anew,
//! packed and little-endian, and inlined.
//!
//! These are integers that use a part of their bits, floats that are not IEEE 754's, compounds with padding or big-endian members, and text that is
//! padded with spaces or has something behind its end.

use bytes::Bytes;

use crate::decode::{DecodeOptions, SourceBuffer};
use crate::hdf5::{
    Bits, Dataset, Datatype, DatatypeClass, FloatFields, FloatFormat, Member, Order, StringPadding,
};
use crate::manifest::ChunkManifest;
use crate::netcdf4::attribute::is_bool;
use crate::netcdf4::data_type::{MAX_DEPTH, as_complex, complex, element_type, in_order};
use crate::netcdf4::elements::{raw, raw_bytes};
use crate::netcdf4::storage::Stored;
use crate::zarr::{ByteOrder, DataType, Field, unsigned};

/// How to write the elements of a variable anew.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recast {
    /// Their type then.
    pub(super) data_type: DataType,
    parts: Vec<Part>,
    size: usize,
}

/// A run of bytes of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    at: usize,
    len: usize,
    /// Bytes that are written for it.
    width: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Same,
    Reversed,
    Integer {
        order: ByteOrder,
        signed: bool,
        bits: Bits,
    },
    Float {
        order: ByteOrder,
        fields: FloatFields,
        width: u8,
    },
    Text(StringPadding),
}

impl Recast {
    /// How elements of a type are to be written anew; `None` where they need not or cannot be.
    pub(super) fn of(element: &Datatype) -> Option<Self> {
        let stored = element_type(element);
        let exact = match (&stored, &element.class) {
            (Ok(DataType::Struct(_)), _) => false,
            (Ok(_), DatatypeClass::String { padding, .. }) => *padding == StringPadding::NullPadded,
            (stored, _) => stored.is_ok(),
        };
        if exact {
            return None;
        }
        let mut parts = Vec::new();
        let data_type = collect(element, 0, MAX_DEPTH, &mut parts)?;
        let changes = parts.iter().any(|part| part.kind != Kind::Same);
        (changes || stored.is_err()).then_some(Self {
            data_type,
            parts,
            size: usize::try_from(element.size).ok()?,
        })
    }

    /// The elements in one plain chunk; `None` where the variable is too large for that.
    ///
    /// # Errors
    ///
    /// The reason why they cannot be read.
    pub(super) async fn inlined(
        &self,
        dataset: &Dataset,
        shape: &[u64],
        buffer: &SourceBuffer,
        options: &DecodeOptions,
    ) -> Result<Option<Stored>, String> {
        if raw_bytes(dataset, shape).is_none_or(|bytes| bytes > options.inline_max_bytes) {
            return Ok(None);
        }
        let elements = raw(dataset, shape, buffer).await?;
        let mut values = Vec::with_capacity(elements.len());
        for element in elements.chunks_exact(self.size.max(1)) {
            self.write(element, &mut values);
        }
        let chunks = match values.is_empty() {
            true => ChunkManifest::new(),
            false => ChunkManifest::inlined(Bytes::from(values)),
        };
        Ok(Some(Stored {
            chunk_shape: shape.iter().map(|length| (*length).max(1)).collect(),
            codecs: Vec::new(),
            chunks,
        }))
    }

    fn write(&self, element: &[u8], out: &mut Vec<u8>) {
        for part in &self.parts {
            let end = out.len().saturating_add(part.width);
            let bytes = element.get(part.at..part.at.saturating_add(part.len));
            part.kind.write(bytes.unwrap_or_default(), out);
            out.resize(end, 0);
        }
    }
}

impl Kind {
    /// Appends at most as many bytes as there are; the caller fills up with zeros.
    fn write(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Same => out.extend_from_slice(bytes),
            Self::Reversed => out.extend(bytes.iter().rev()),
            Self::Integer {
                order,
                signed,
                bits,
            } => {
                let raw = unsigned(bytes, order);
                let number = match signed {
                    true => bits.signed(raw).to_le_bytes(),
                    false => bits.unsigned(raw).to_le_bytes(),
                };
                out.extend_from_slice(number.get(..bytes.len()).unwrap_or_default());
            }
            Self::Float {
                order,
                fields,
                width,
            } => write_float(fields.value(unsigned(bytes, order)), width, out),
            Self::Text(padding) => {
                let end = match padding {
                    StringPadding::NullTerminated => bytes.iter().position(|byte| *byte == 0),
                    StringPadding::NullPadded => None,
                    StringPadding::SpacePadded => {
                        let last = bytes.iter().rposition(|byte| *byte != b' ');
                        Some(last.map_or(0, |last| last + 1))
                    }
                };
                out.extend_from_slice(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default());
            }
        }
    }
}

/// Appends a number that fits.
fn write_float(number: f64, width: u8, out: &mut Vec<u8>) {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "all numbers of a float fit into its holder"
    )]
    match width {
        2 => out.extend(half(number).to_le_bytes()),
        4 => out.extend((number as f32).to_le_bytes()),
        _ => out.extend(number.to_le_bytes()),
    }
}

/// IEEE 754 binary16 of a number that fits.
fn half(number: f64) -> u16 {
    let bits = number.to_bits();
    let top = |shift: u32, mask: u64| u16::try_from((bits >> shift) & mask).unwrap_or_default();
    let (sign, exponent, mantissa) = (top(48, 0x8000), top(52, 0x7ff), top(42, 0x3ff));
    let magnitude = match exponent {
        0x7ff if number.is_nan() => 0x7e00,
        0x7ff => 0x7c00,
        // Below 2^-14 the leading one is stored as well, and moves down.
        ..=1008 => (0x400 | mantissa)
            .checked_shr(u32::from(1009 - exponent))
            .unwrap_or(0),
        _ => ((exponent - 1008) << 10) | mantissa,
    };
    sign | magnitude
}

/// Appends the parts of a type that begins at `at`; the result is its type in Zarr, `None` if there is none.
fn collect(
    datatype: &Datatype,
    at: usize,
    depth: usize,
    parts: &mut Vec<Part>,
) -> Option<DataType> {
    let depth = depth.checked_sub(1)?;
    match &datatype.class {
        DatatypeClass::Enum { base, .. } if !is_bool(datatype) => collect(base, at, depth, parts),
        DatatypeClass::Compound(members) => match as_complex(datatype, members, depth) {
            Some(data_type) => halves(datatype, data_type, at, parts),
            None => structure(members, at, depth, parts),
        },
        DatatypeClass::Complex(base) => halves(datatype, complex(base, depth).ok()?, at, parts),
        _ => scalar(datatype, at, parts),
    }
}

fn structure(
    members: &[Member],
    at: usize,
    depth: usize,
    parts: &mut Vec<Part>,
) -> Option<DataType> {
    let mut fields = Vec::with_capacity(members.len());
    for member in in_order(members).ok()? {
        let at = at.checked_add(usize::try_from(member.offset).ok()?)?;
        fields.push(Field {
            name: member.name.clone(),
            data_type: collect(&member.datatype, at, depth, parts)?,
            shape: Vec::new(),
        });
    }
    (!fields.is_empty()).then_some(DataType::Struct(fields))
}

fn halves(
    datatype: &Datatype,
    data_type: DataType,
    at: usize,
    parts: &mut Vec<Part>,
) -> Option<DataType> {
    let len = usize::try_from(datatype.size).ok()? / 2;
    let (kind, width) = (kind_of(&data_type), len);
    parts.push(Part {
        at,
        len,
        width,
        kind,
    });
    let at = at.checked_add(len)?;
    parts.push(Part {
        at,
        len,
        width,
        kind,
    });
    Some(data_type.to_little_endian())
}

fn scalar(datatype: &Datatype, at: usize, parts: &mut Vec<Part>) -> Option<DataType> {
    let len = usize::try_from(datatype.size).ok()?;
    let (data_type, kind) = match &datatype.class {
        DatatypeClass::String { padding, .. } if len > 0 => {
            let data_type = DataType::FixedString(u64::from(datatype.size));
            (data_type, text_kind(*padding))
        }
        _ => match element_type(datatype) {
            Ok(DataType::VlenString) => return None,
            Ok(data_type) => {
                let kind = kind_of(&data_type);
                (data_type, kind)
            }
            Err(_) => partial_integer(datatype).or_else(|| odd_float(datatype))?,
        },
    };
    let width = match kind {
        Kind::Float { width, .. } => usize::from(width),
        _ => len,
    };
    parts.push(Part {
        at,
        len,
        width,
        kind,
    });
    Some(data_type.to_little_endian())
}

fn text_kind(padding: StringPadding) -> Kind {
    match padding {
        StringPadding::NullPadded => Kind::Same,
        other => Kind::Text(other),
    }
}

fn kind_of(data_type: &DataType) -> Kind {
    match data_type.byte_order() {
        Some(ByteOrder::Big) => Kind::Reversed,
        _ => Kind::Same,
    }
}

/// An integer that uses some of its bits becomes one of the same size that uses all.
fn partial_integer(datatype: &Datatype) -> Option<(DataType, Kind)> {
    let DatatypeClass::Integer {
        order,
        signed,
        bit_offset,
        precision,
    } = datatype.class
    else {
        return None;
    };
    let size = u8::try_from(datatype.size).ok();
    let size = size.filter(|size| matches!(size, 1 | 2 | 4 | 8))?;
    let order = plain(order)?;
    let used = u32::from(bit_offset).checked_add(u32::from(precision))?;
    if precision == 0 || used > u32::from(size) * 8 {
        return None;
    }
    let data_type = match signed {
        true => DataType::Int(size, ByteOrder::Little),
        false => DataType::UInt(size, ByteOrder::Little),
    };
    let bits = Bits::new(usize::from(size), bit_offset, precision);
    Some((
        data_type,
        Kind::Integer {
            order,
            signed,
            bits,
        },
    ))
}

/// A float that is not IEEE 754's becomes the smallest one that holds it.
fn odd_float(datatype: &Datatype) -> Option<(DataType, Kind)> {
    let DatatypeClass::Float {
        order,
        format: FloatFormat::Other(fields),
    } = datatype.class
    else {
        return None;
    };
    let order = plain(order)?;
    let width = fields.holder(datatype.size)?;
    let data_type = DataType::Float(width, ByteOrder::Little);
    Some((
        data_type,
        Kind::Float {
            order,
            fields,
            width,
        },
    ))
}

fn plain(order: Order) -> Option<ByteOrder> {
    match order {
        Order::Little => Some(ByteOrder::Little),
        Order::Big => Some(ByteOrder::Big),
        Order::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::netcdf4::sample::{class, float32, int};

    fn integer(size: u32, order: Order, signed: bool, bits: (u16, u16)) -> Datatype {
        let (bit_offset, precision) = bits;
        class(
            size,
            DatatypeClass::Integer {
                order,
                signed,
                bit_offset,
                precision,
            },
        )
    }

    fn float(size: u32, order: Order, fields: FloatFields) -> Datatype {
        let format = FloatFormat::Other(fields);
        class(size, DatatypeClass::Float { order, format })
    }

    fn fields(sign: u8, exponent: (u8, u8), mantissa: (u8, u8), bias: u32) -> FloatFields {
        FloatFields {
            sign,
            exponent,
            mantissa,
            bias,
            implied: true,
        }
    }

    fn bfloat16() -> FloatFields {
        fields(15, (7, 8), (0, 7), 127)
    }

    fn eight_bits_in_a_half() -> FloatFields {
        fields(15, (10, 5), (2, 8), 15)
    }

    fn string(size: u32, padding: StringPadding) -> Datatype {
        let utf8 = false;
        class(size, DatatypeClass::String { padding, utf8 })
    }

    fn compound(size: u32, members: Vec<(&str, u32, Datatype)>) -> Datatype {
        let members = members.into_iter().map(|(name, offset, datatype)| Member {
            name: name.to_owned(),
            offset,
            datatype,
        });
        class(size, DatatypeClass::Compound(members.collect()))
    }

    fn big(size: u32) -> Datatype {
        let bits = u16::try_from(size * 8).unwrap();
        integer(size, Order::Big, true, (0, bits))
    }

    fn nested() -> Datatype {
        let inner = compound(8, vec![("n", 0, int(1)), ("m", 4, big(4))]);
        compound(12, vec![("z", 8, int(2)), ("in", 0, inner)])
    }

    /// What h5py 3.16 reads, packed little-endian: `a = d[()]; a.astype(packed(a.dtype)).tobytes()`.
    #[rstest]
    #[case::twelve_bits(integer(2, Order::Little, true, (4, 12)), b"\xf0\xff\x10\x00", "\"<i2\"", b"\xff\xff\x01\x00")]
    #[case::unsigned(integer(4, Order::Big, false, (0, 31)), b"\xff\xff\xff\xfe", "\"<u4\"", b"\xfe\xff\xff\x7f")]
    #[case::bfloat16(
        float(2, Order::Big, bfloat16()),
        b"\x40\x49\xff\x80",
        "\"<f4\"",
        b"\x00\x00\x49\x40\x00\x00\x80\xff"
    )]
    #[case::short_half(
        float(2, Order::Little, eight_bits_in_a_half()),
        b"\x04\x00\x04\x04\x04\xbc\x00\x7c",
        "\"<f2\"",
        b"\x04\x00\x04\x04\x04\xbc\x00\x7c"
    )]
    #[case::spaces(
        string(4, StringPadding::SpacePadded),
        b"ab   b c",
        "\"|S4\"",
        b"ab\0\0 b c"
    )]
    #[case::rest_behind_the_end(
        string(4, StringPadding::NullTerminated),
        b"ab\0x",
        "\"|S4\"",
        b"ab\0\0"
    )]
    #[case::padding(
        compound(8, vec![("a", 0, int(1)), ("b", 4, float32())]),
        b"\x01xyz\x00\x00\x80\x3f", r#"[["a","|i1"],["b","<f4"]]"#, b"\x01\x00\x00\x80\x3f")]
    #[case::nested(
        nested(),
        b"\x01xyz\x00\x00\x00\x02\x03\x00..",
        r#"[["in",[["n","|i1"],["m","<i4"]]],["z","<i2"]]"#,
        b"\x01\x02\x00\x00\x00\x03\x00"
    )]
    fn elements_are_written_anew(
        #[case] datatype: Datatype,
        #[case] stored: &[u8],
        #[case] dtype: &str,
        #[case] expected: &[u8],
    ) {
        let recast = Recast::of(&datatype).unwrap();
        assert_eq!(recast.data_type.to_json().to_string(), dtype);
        let mut out = Vec::new();
        for element in stored.chunks_exact(recast.size) {
            recast.write(element, &mut out);
        }
        assert_eq!(out, expected);
    }

    #[rstest]
    #[case::float(float32())]
    #[case::big_endian(big(8))]
    #[case::packed(compound(5, vec![("a", 0, int(1)), ("b", 1, float32())]))]
    #[case::null_padded(string(3, StringPadding::NullPadded))]
    #[case::text_of_any_length(class(16, DatatypeClass::VlenString { utf8: true }))]
    #[case::reference(class(8, DatatypeClass::Reference { object: true }))]
    #[case::reference_inside(compound(9, vec![
        ("a", 0, int(1)), ("b", 1, class(8, DatatypeClass::Reference { object: true }))]))]
    #[case::three_bytes(int(3))]
    // 65 535 members that all lie over the whole of an element would have written as many times its size.
    #[case::overlapping(compound(8, vec![("a", 0, int(8)), ("b", 0, int(8))]))]
    #[case::more_bits_than_bytes(integer(2, Order::Little, true, (4, 16)))]
    fn what_is_exact_or_has_no_form_is_left_alone(#[case] datatype: Datatype) {
        assert_eq!(Recast::of(&datatype), None);
    }
}
