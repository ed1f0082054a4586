//! HDF5's filter 5, nbit: only the significant bits of each element, packed.
//!
//! The filter's values are their own number, 1 where nothing is packed, the number of elements, and the type:
//!
//! | type | values |
//! | --- | --- |
//! | number | 1, size, order (0 little-endian), precision, offset |
//! | array | 2, size, type of an element |
//! | compound | 3, size, number of members, then for each its offset and its type |
//! | as it is | 4, size |

use super::bits::BitReader;

/// Nesting of types beyond which a file is not taken seriously.
const MAX_DEPTH: u32 = 32;

/// How the elements of a chunk are packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packed {
    /// They are not.
    Plain,
    /// Only the significant bits of each element.
    Bits {
        /// Elements in a chunk.
        count: u32,
        /// What is significant in an element.
        element: Element,
    },
}

/// What is significant in an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Element {
    /// Bits of a number.
    Number(Number),
    /// The elements of an array.
    Array(u32, Box<Element>),
    /// The members of a compound at their offsets.
    Compound(u32, Vec<(u32, Element)>),
    /// All bytes.
    Plain(u32),
}

/// The significant bits of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    size: u32,
    is_big: bool,
    precision: u32,
    offset: u32,
}

impl Packed {
    /// Reads the values of the filter.
    pub(crate) fn parse(values: &[u32]) -> Result<Self, String> {
        let mut rest = values.get(1..).unwrap_or_default().iter().copied();
        match (rest.next(), rest.next()) {
            (Some(0), Some(count)) => Ok(Self::Bits {
                count,
                element: element(&mut rest, MAX_DEPTH)?,
            }),
            (Some(_), _) => Ok(Self::Plain),
            (None, _) => Err(String::from("its nbit filter has no parameters")),
        }
    }
}

fn element(values: &mut impl Iterator<Item = u32>, depth: u32) -> Result<Element, String> {
    let damaged = || String::from("the type in the parameters of its nbit filter makes no sense");
    let depth = depth.checked_sub(1).ok_or_else(damaged)?;
    let mut next = || values.next().ok_or_else(damaged);
    let (class, size) = (next()?, next()?);
    let element = match class {
        1 => Element::Number(Number {
            size,
            is_big: next()? == 1,
            precision: next()?,
            offset: next()?,
        }),
        2 => Element::Array(size, Box::new(self::element(values, depth)?)),
        3 => {
            let mut members = Vec::new();
            for _ in 0..next()? {
                let offset = values.next().ok_or_else(damaged)?;
                members.push((offset, self::element(values, depth)?));
            }
            Element::Compound(size, members)
        }
        4 => Element::Plain(size),
        _ => return Err(damaged()),
    };
    match element.is_sound() {
        true => Ok(element),
        false => Err(damaged()),
    }
}

impl Element {
    const fn size(&self) -> u32 {
        match self {
            Self::Number(Number { size, .. }) => *size,
            Self::Array(size, _) | Self::Compound(size, _) | Self::Plain(size) => *size,
        }
    }

    /// Whether its parts lie inside it.
    fn is_sound(&self) -> bool {
        let bits = |number: &Number| number.precision.checked_add(number.offset);
        self.size() > 0
            && match self {
                Self::Number(number) => {
                    let inside = bits(number).is_some_and(|bits| bits.div_ceil(8) <= number.size);
                    inside && number.precision > 0
                }
                Self::Array(size, element) => size.checked_rem(element.size()) == Some(0),
                Self::Compound(size, members) => members.iter().all(|(offset, member)| {
                    let end = offset.checked_add(member.size());
                    end.is_some_and(|end| end <= *size)
                }),
                Self::Plain(_) => true,
            }
    }

    /// Fills one element, whose bytes are zeros.
    fn unpack(&self, bits: &mut BitReader<'_>, target: &mut [u8]) -> Option<()> {
        match self {
            Self::Number(number) => number.unpack(bits, target),
            Self::Array(_, element) => {
                let size = usize::try_from(element.size()).ok()?;
                let mut elements = target.chunks_exact_mut(size);
                elements.try_for_each(|target| element.unpack(bits, target))
            }
            Self::Compound(_, members) => members.iter().try_for_each(|(offset, member)| {
                let start = usize::try_from(*offset).ok()?;
                let end = start.checked_add(usize::try_from(member.size()).ok()?)?;
                member.unpack(bits, target.get_mut(start..end)?)
            }),
            Self::Plain(_) => target.iter_mut().try_for_each(|byte| {
                *byte = u8::try_from(bits.take(8)?).ok()?;
                Some(())
            }),
        }
    }
}

impl Number {
    /// The most significant bits come first, byte by byte.
    fn unpack(self, bits: &mut BitReader<'_>, target: &mut [u8]) -> Option<()> {
        let mut left = self.precision;
        while left > 0 {
            let top = self.offset + left;
            let byte = (top - 1) / 8;
            let low = self.offset.max(byte * 8);
            let value = bits.take(top - low)? << (low - byte * 8);
            let place = match self.is_big {
                true => self.size.checked_sub(byte + 1)?,
                false => byte,
            };
            let target = target.get_mut(usize::try_from(place).ok()?)?;
            *target |= u8::try_from(value).ok()?;
            left = low - self.offset;
        }
        Some(())
    }
}

/// Decodes into at most `limit` bytes.
pub(super) fn decode(bytes: &[u8], packed: &Packed, limit: usize) -> Result<Vec<u8>, String> {
    let Packed::Bits { count, element } = packed else {
        return Ok(bytes.to_vec());
    };
    let (count, size) = (
        usize::try_from(*count).ok(),
        usize::try_from(element.size()).ok(),
    );
    let (count, size) = count.zip(size).unwrap_or((usize::MAX, 1));
    let total = count.checked_mul(size).filter(|total| *total <= limit);
    let total = total.ok_or_else(|| format!("it states {count} elements of {size} bytes"))?;
    let mut out = vec![0; total];
    let mut bits = BitReader::new(bytes);
    let mut elements = out.chunks_exact_mut(size);
    let unpacked = elements.try_for_each(|target| element.unpack(&mut bits, target));
    unpacked.ok_or_else(|| String::from("its bits are cut off"))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::zarr::sample::unhex;

    /// Bits counted by hand after the filter's description in the HDF5 reference manual.
    #[rstest]
    #[case::little(&[8, 0, 2, 1, 2, 0, 12, 4], &[0xab, 0xcd, 0xef], &[0xc0, 0xab, 0xf0, 0xde])]
    #[case::big(&[8, 0, 2, 1, 2, 1, 12, 4], &[0xab, 0xcd, 0xef], &[0xab, 0xc0, 0xde, 0xf0])]
    #[case::within_a_byte(&[8, 0, 2, 1, 1, 0, 3, 2], &[0b1010_1100], &[0b1_0100, 0b0_1100])]
    #[case::array(&[10, 0, 1, 2, 2, 1, 1, 0, 4, 0], &[0x12], &[1, 2])]
    #[case::compound(&[15, 0, 1, 3, 4, 2, 0, 4, 1, 2, 1, 1, 0, 4, 0], &[0xfe, 0x30], &[0xfe, 0, 3, 0])]
    #[case::nothing_packed(&[8, 1, 2, 1, 1, 0, 8, 0], &[1, 2], &[1, 2])]
    fn bits_are_put_in_their_place(
        #[case] values: &[u32],
        #[case] stored: &[u8],
        #[case] plain: &[u8],
    ) {
        let packed = Packed::parse(values).unwrap();
        assert_eq!(decode(stored, &packed, plain.len()).unwrap(), plain);
    }

    /// Chunks of files that h5py 3.16.0 wrote: 1, -2, 3, 1000, -1024 in 11 bits from bit 3 on, and compounds of 12
    /// bits from bit 2 on, two bytes and a float.
    #[rstest]
    #[case::little(&[8, 0, 5, 1, 2, 0, 11, 3], "003ff801be8800", "0800f03f1800401f0020")]
    #[case::big(&[8, 0, 5, 1, 2, 1, 11, 3], "003ff801be8800", "00083ff000181f402000")]
    #[case::compound(
        &[26, 0, 3, 3, 8, 3, 0, 1, 2, 0, 12, 2, 2, 2, 2, 1, 1, 0, 8, 0, 4, 1, 4, 0, 32, 0],
        "00101023fc0000001e0304c00000000110506404000000",
        "040001020000c03f78000304000000c04400050600004040")]
    fn chunks_of_files_are_decoded(
        #[case] values: &[u32],
        #[case] stored: &str,
        #[case] plain: &str,
    ) {
        let (packed, plain) = (Packed::parse(values).unwrap(), unhex(plain));
        assert_eq!(decode(&unhex(stored), &packed, plain.len()).unwrap(), plain);
    }

    #[rstest]
    #[case::empty(&[])]
    #[case::cut_off(&[8, 0, 2, 1, 2, 0, 12])]
    #[case::unknown_class(&[8, 0, 2, 5, 2])]
    #[case::more_bits_than_bytes(&[8, 0, 2, 1, 2, 0, 12, 5])]
    #[case::array_of_halves(&[10, 0, 1, 2, 3, 1, 2, 0, 4, 0])]
    #[case::member_outside(&[10, 0, 1, 3, 2, 1, 1, 4, 2])]
    #[case::endless_members(&[6, 0, 1, 3, 2, 0xffff_ffff])]
    fn parameters_are_claims(#[case] values: &[u32]) {
        Packed::parse(values).unwrap_err();
    }

    #[rstest]
    #[case::more_than_a_chunk(&[8, 0, 0xffff_ffff, 1, 2, 0, 12, 4])]
    #[case::bits_cut_off(&[8, 0, 3, 1, 2, 0, 12, 4])]
    fn other_chunks_are_refused(#[case] values: &[u32]) {
        let packed = Packed::parse(values).unwrap();
        decode(&[1, 2, 3], &packed, 6).unwrap_err();
    }
}
