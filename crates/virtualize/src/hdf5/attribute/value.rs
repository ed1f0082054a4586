//! The values of an attribute, decoded where a number, a text or a reference stands behind them.

use bytes::Bytes;

use crate::decode::DecodeError;
use crate::hdf5::bits::Bits;
use crate::hdf5::context::Context;
use crate::hdf5::cursor::little_endian;
use crate::hdf5::float::FloatFormat;
use crate::hdf5::heap::global::{self, Reference};
use crate::hdf5::message::dataspace::element_count;
use crate::hdf5::model::{
    AttributeValue, Dataspace, Datatype, DatatypeClass, Geometry, Order, StringPadding,
};

/// Bytes of memory that an element takes as a number and as a value of JSON.
const ELEMENT_COST: usize = 40;

/// Decodes the elements of an attribute whose message stands at `at`.
pub(super) async fn read(
    context: &Context<'_>,
    datatype: &Datatype,
    dataspace: &Dataspace,
    data: &Bytes,
    at: u64,
) -> Result<AttributeValue, DecodeError> {
    if *dataspace == Dataspace::Null {
        return Ok(AttributeValue::Null);
    }
    let size = usize::try_from(datatype.size).unwrap_or(usize::MAX);
    let needed = element_count(dataspace)
        .and_then(|count| usize::try_from(count).ok())
        .and_then(|count| count.checked_mul(size));
    let data = needed
        .filter(|needed| *needed <= data.len())
        .map(|needed| data.slice(..needed))
        .ok_or_else(|| {
            context
                .cursor("attribute", at, data)
                .malformed("has less data than elements")
        })?;
    let elements = Elements {
        data: &data,
        size: size.max(1),
    };
    context.spend_each(data.len().checked_div(size).unwrap_or(0), ELEMENT_COST)?;
    if let Some(references) = elements.references(context, datatype, at)? {
        return variable_length(context, datatype, &references).await;
    }
    Ok(elements.decode(datatype, context.geometry()))
}

async fn variable_length(
    context: &Context<'_>,
    datatype: &Datatype,
    references: &[Reference],
) -> Result<AttributeValue, DecodeError> {
    let values = global::values(context, references).await?;
    for value in &values {
        // One object of the heap may be the value of every element, and each becomes a text of its own.
        context.spend(value.len())?;
    }
    if let DatatypeClass::VlenSequence(base) = &datatype.class {
        let size = usize::try_from(base.size).unwrap_or(usize::MAX).max(1);
        let lists = values.iter().zip(references).map(|(value, reference)| {
            let count = usize::try_from(reference.count).unwrap_or(usize::MAX);
            let addresses = value.chunks_exact(size).take(count);
            addresses
                .map(|element| address(element, context.geometry()))
                .collect()
        });
        return Ok(AttributeValue::ReferenceLists(lists.collect()));
    }
    let texts = values.iter().zip(references).map(|(value, reference)| {
        let count = usize::try_from(reference.count).unwrap_or(usize::MAX);
        let text = value.slice(..value.len().min(count));
        until_null(text)
    });
    Ok(AttributeValue::Strings(texts.collect()))
}

struct Elements<'a> {
    data: &'a Bytes,
    size: usize,
}

impl Elements<'_> {
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.data.chunks_exact(self.size)
    }

    fn pieces(&self) -> impl Iterator<Item = Bytes> {
        self.iter().map(|element| self.data.slice_ref(element))
    }

    /// The references into the global heap, of texts and of lists of object references.
    fn references(
        &self,
        context: &Context<'_>,
        datatype: &Datatype,
        at: u64,
    ) -> Result<Option<Vec<Reference>>, DecodeError> {
        let wanted = match &datatype.class {
            DatatypeClass::VlenString { .. } => true,
            DatatypeClass::VlenSequence(base) => {
                base.class == DatatypeClass::Reference { object: true } && base.size <= 8
            }
            _ => false,
        };
        if !wanted || self.size != Reference::len(context.geometry()) {
            return Ok(None);
        }
        self.pieces()
            .map(|element| Reference::parse(&mut context.cursor("attribute", at, &element)))
            .collect::<Result<Vec<Reference>, _>>()
            .map(Some)
    }

    fn decode(&self, datatype: &Datatype, geometry: Geometry) -> AttributeValue {
        match &datatype.class {
            DatatypeClass::Enum { base, .. } => self.decode(base, geometry),
            DatatypeClass::Integer {
                order,
                signed,
                bit_offset,
                precision,
            } if self.size <= 8 && *order != Order::Other => {
                let bits = Bits::new(self.size, *bit_offset, *precision);
                let numbers = self.iter().map(|element| number(element, *order));
                if *signed {
                    AttributeValue::Integers(numbers.map(|raw| bits.signed(raw)).collect())
                } else {
                    AttributeValue::Unsigned(numbers.map(|raw| bits.unsigned(raw)).collect())
                }
            }
            DatatypeClass::Bitfield { order } if self.size <= 8 => {
                let numbers = self.iter().map(|element| number(element, *order));
                AttributeValue::Unsigned(numbers.collect())
            }
            DatatypeClass::Float {
                order,
                format: FloatFormat::Ieee,
            } => AttributeValue::Floats(
                self.iter()
                    .map(|element| float(number(element, *order), self.size))
                    .collect(),
            ),
            DatatypeClass::String { padding, .. } => AttributeValue::Strings(
                self.pieces().map(|text| unpadded(text, *padding)).collect(),
            ),
            DatatypeClass::Reference { object: true } if self.size <= 8 => {
                AttributeValue::References(
                    self.iter()
                        .map(|element| address(element, geometry))
                        .collect(),
                )
            }
            _ => AttributeValue::Raw(self.data.clone()),
        }
    }
}

/// An object reference as an absolute address; 0 for null.
///
/// The type has eight bytes also where addresses have fewer; the library leaves garbage in the rest.
fn address(element: &[u8], geometry: Geometry) -> u64 {
    let stored = element.get(..geometry.offset_len()).unwrap_or(element);
    match little_endian(stored) {
        0 | u64::MAX => 0,
        stored => geometry.absolute(stored).ok().flatten().unwrap_or(0),
    }
}

/// The bits of an element as a number.
fn number(element: &[u8], order: Order) -> u64 {
    match order {
        Order::Big => element
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte)),
        Order::Little | Order::Other => little_endian(element),
    }
}

fn float(bits: u64, size: usize) -> f64 {
    match size {
        2 => half(u16::try_from(bits).unwrap_or_default()),
        4 => f64::from(f32::from_bits(u32::try_from(bits).unwrap_or_default())),
        _ => f64::from_bits(bits),
    }
}

/// IEEE binary16: 1 bit of sign, 5 of exponent, 10 of mantissa.
fn half(bits: u16) -> f64 {
    let mantissa = f64::from(bits & 0x03ff);
    let magnitude = match (bits >> 10) & 0x1f {
        0 => mantissa * 2f64.powi(-24),
        0x1f if mantissa == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        exponent => (1.0 + mantissa / 1024.0) * 2f64.powi(i32::from(exponent) - 15),
    };
    if bits & 0x8000 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

fn until_null(text: Bytes) -> Bytes {
    match text.iter().position(|byte| *byte == 0) {
        Some(end) => text.slice(..end),
        None => text,
    }
}

fn unpadded(text: Bytes, padding: StringPadding) -> Bytes {
    let pad = match padding {
        StringPadding::NullTerminated => return until_null(text),
        StringPadding::NullPadded => 0,
        StringPadding::SpacePadded => b' ',
    };
    let end = text.iter().rposition(|byte| *byte != pad);
    text.slice(..end.map_or(0, |last| last + 1))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn decode(class: DatatypeClass, size: u32, data: &'static [u8]) -> AttributeValue {
        let datatype = Datatype {
            size,
            class,
            committed: false,
        };
        let geometry = Geometry {
            base: 512,
            offset_size: 8,
            length_size: 8,
        };
        let data = Bytes::from_static(data);
        let elements = Elements {
            data: &data,
            size: size as usize,
        };
        elements.decode(&datatype, geometry)
    }

    fn integer(order: Order, signed: bool, bit_offset: u16, precision: u16) -> DatatypeClass {
        DatatypeClass::Integer {
            order,
            signed,
            bit_offset,
            precision,
        }
    }

    #[rstest]
    #[case::big(integer(Order::Big, true, 0, 16), 2, &[0xff, 0xfe], AttributeValue::Integers(vec![-2]))]
    #[case::three_bytes(integer(Order::Little, false, 0, 24), 3, &[1, 2, 3], AttributeValue::Unsigned(vec![0x03_0201]))]
    #[case::twelve_bits_of_sixteen(integer(Order::Little, true, 4, 12), 2, &[0xf0, 0xff], AttributeValue::Integers(vec![-1]))]
    #[case::bitfield(DatatypeClass::Bitfield { order: Order::Big }, 2, &[1, 2], AttributeValue::Unsigned(vec![258]))]
    #[case::largest(integer(Order::Little, false, 0, 64), 8, &[0xff; 8], AttributeValue::Unsigned(vec![u64::MAX]))]
    fn integers(
        #[case] class: DatatypeClass,
        #[case] size: u32,
        #[case] data: &'static [u8],
        #[case] expected: AttributeValue,
    ) {
        assert_eq!(decode(class, size, data), expected);
    }

    #[rstest]
    #[case(0x3c00, 1.0)]
    #[case(0xc000, -2.0)]
    #[case(0x0001, 5.960_464_477_539_063e-8)]
    #[case(0x7bff, 65504.0)]
    #[case(0xfc00, f64::NEG_INFINITY)]
    fn halves(#[case] bits: u16, #[case] value: f64) {
        assert_eq!(half(bits), value);
    }

    #[rstest]
    #[case::terminated(StringPadding::NullTerminated, b"ab\0c", b"ab")]
    #[case::padded(StringPadding::NullPadded, b"a\0b\0", b"a\0b")]
    #[case::spaces(StringPadding::SpacePadded, b"ab  ", b"ab")]
    #[case::nothing_but_spaces(StringPadding::SpacePadded, b"    ", b"")]
    fn texts(
        #[case] padding: StringPadding,
        #[case] stored: &'static [u8],
        #[case] text: &'static [u8],
    ) {
        let class = DatatypeClass::String {
            padding,
            utf8: false,
        };
        let expected = AttributeValue::Strings(vec![Bytes::from_static(text)]);
        assert_eq!(decode(class, 4, stored), expected);
    }

    // In a file of four-byte addresses the second scale of every dimension list was lost.
    #[rstest]
    #[case::garbage_behind_it([0x85, 2, 0, 0, 0xff, 0xff, 0xff, 0xff], 645)]
    #[case::null([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], 0)]
    fn a_reference_is_as_wide_as_an_address(#[case] element: [u8; 8], #[case] at: u64) {
        let geometry = Geometry {
            base: 0,
            offset_size: 4,
            length_size: 8,
        };
        assert_eq!(address(&element, geometry), at);
    }

    #[test]
    fn references_count_from_the_base() {
        let class = DatatypeClass::Reference { object: true };
        let data = &[0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            decode(class, 8, data),
            AttributeValue::References(vec![608, 0])
        );
    }
}
