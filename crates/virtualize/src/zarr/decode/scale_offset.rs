//! HDF5's filter 6, scaleoffset: what each element lies above the least one, in as few bits as that takes.
//!
//! A chunk opens with the number of bits (4 bytes, little-endian), the size of the least value (1) and that value in a
//! field of 16; the bits follow from byte 21 on, the most significant first. Floats are multiplied by a power of ten
//! and rounded before. All bits set stand for the fill value, where there is one.

use super::bits::BitReader;

/// Where the bits of a chunk start.
const BITS_AT: usize = 21;

/// How the elements of a chunk were scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scaled {
    count: u32,
    size: u8,
    is_big: bool,
    /// The fill value, its least significant byte first.
    fill: Option<u64>,
    kind: Kind,
}

/// What the elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Integers; with all bits kept chunks are stored as they are.
    Integer { all_bits: bool },
    /// Floats times this power of ten.
    Float { decimals: i32 },
}

impl Scaled {
    /// Reads the values of the filter: scale type, scale factor, number of elements, class (1 float), size, sign,
    /// order (1 big-endian), whether there is a fill value, and its bytes.
    pub(crate) fn parse(values: &[u32]) -> Result<Self, String> {
        let unknown = || String::from("the parameters of its scaleoffset filter make no sense");
        let [
            scale,
            factor,
            count,
            class,
            size,
            _,
            order,
            has_fill,
            low,
            high,
            ..,
        ] = values
        else {
            return Err(unknown());
        };
        let factor = factor.cast_signed();
        let kind = match (class, scale, size) {
            (0, 2, 1 | 2 | 4 | 8) => Kind::Integer {
                all_bits: i64::from(factor) == i64::from(*size) * 8,
            },
            (1, 0, 4 | 8) => Kind::Float { decimals: factor },
            _ => return Err(unknown()),
        };
        let size = u8::try_from(*size).map_err(|_| unknown())?;
        let fill = u64::from(*low) | (u64::from(*high) << 32);
        Ok(Self {
            count: *count,
            size,
            is_big: *order == 1,
            fill: (*has_fill == 1).then_some(fill & mask(u32::from(size) * 8)),
            kind,
        })
    }

    /// Whether chunks are stored as they are.
    pub(crate) fn is_plain(&self) -> bool {
        self.kind == (Kind::Integer { all_bits: true })
    }
}

/// A number of `bits` ones.
const fn mask(bits: u32) -> u64 {
    match 1u64.checked_shl(bits) {
        Some(above) => above - 1,
        None => u64::MAX,
    }
}

/// Decodes into at most `limit` bytes.
pub(super) fn decode(bytes: &[u8], scaled: Scaled, limit: usize) -> Result<Vec<u8>, String> {
    if scaled.is_plain() {
        return Ok(bytes.to_vec());
    }
    let head = bytes.split_at_checked(BITS_AT);
    let (head, packed) = head.ok_or("the head of the chunk is cut off")?;
    let (bits, least) = self::head(head).ok_or("the least value has no bytes")?;
    let (size, count) = (usize::from(scaled.size), usize::try_from(scaled.count));
    let count = count.ok().filter(|count| *count <= limit / size);
    let count = count.ok_or_else(|| format!("it states {} elements", scaled.count))?;
    if bits > u32::from(scaled.size) * 8 {
        return Err(format!("{bits} bits for {size} bytes"));
    }
    let restore = scaled.restore(bits, least);
    let mut reader = BitReader::new(packed);
    let mut out = Vec::with_capacity(count.saturating_mul(size));
    for _ in 0..count {
        // With all bits an element was copied as it stood in memory, which is little-endian.
        let value = match bits == u32::from(scaled.size) * 8 {
            true => reader
                .take(bits)
                .map(|value| value.swap_bytes() >> (64 - bits)),
            false => reader.take(bits).map(&restore),
        };
        let value = value.ok_or("its bits are cut off")?;
        push(&mut out, value, scaled);
    }
    Ok(out)
}

/// The number of bits, and the least value.
fn head(bytes: &[u8]) -> Option<(u32, u64)> {
    let (bits, rest) = bytes.split_first_chunk::<4>()?;
    let (size, rest) = rest.split_first()?;
    let least = rest.get(..usize::from(*size).min(8))?;
    let least = least
        .iter()
        .rev()
        .fold(0, |value, byte| (value << 8) | u64::from(*byte));
    Some((u32::from_le_bytes(*bits), least))
}

fn push(out: &mut Vec<u8>, value: u64, scaled: Scaled) {
    let size = usize::from(scaled.size);
    let bytes = value.to_le_bytes();
    let bytes = bytes.iter().take(size);
    match scaled.is_big {
        true => out.extend(bytes.rev()),
        false => out.extend(bytes),
    }
}

impl Scaled {
    /// From the bits of an element to its value.
    fn restore(self, bits: u32, least: u64) -> impl Fn(u64) -> u64 {
        let all = mask(bits);
        move |packed| match (self.fill, self.kind, self.size) {
            (Some(fill), _, _) if packed == all => fill,
            (_, Kind::Integer { .. }, _) => packed.wrapping_add(least),
            (_, Kind::Float { decimals }, 4) => u64::from(single(packed, least, decimals)),
            (_, Kind::Float { decimals }, _) => double(packed, least, decimals),
        }
    }
}

/// The bits of a binary32. The library computes in that width, so the rounding is part of the value.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the library converts so too"
)]
fn single(packed: u64, least: u64, decimals: i32) -> u32 {
    let low = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(0);
    let steps = low(packed).cast_signed() as f32;
    let value = steps / power_of_ten(decimals) as f32 + f32::from_bits(low(least));
    value.to_bits()
}

#[expect(clippy::cast_precision_loss, reason = "the library converts so too")]
fn double(packed: u64, least: u64, decimals: i32) -> u64 {
    let steps = packed.cast_signed() as f64;
    (steps / power_of_ten(decimals) + f64::from_bits(least)).to_bits()
}

/// The nearest number to it; powers computed step by step would be further off.
fn power_of_ten(exponent: i32) -> f64 {
    format!("1e{exponent}").parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn values(factor: u32, count: u32, class: u32, size: u32, fill: Option<u32>) -> Vec<u32> {
        let scale = if class == 0 { 2 } else { 0 };
        let has_fill = u32::from(fill.is_some());
        let mut values = vec![scale, factor, count, class, size, 1, 0, has_fill];
        values.resize(20, 0);
        values[8] = fill.unwrap_or(0);
        values
    }

    fn chunk(bits: u8, least: u64, packed: &[u8]) -> Vec<u8> {
        let mut chunk = vec![bits, 0, 0, 0, 8];
        chunk.extend(least.to_le_bytes());
        chunk.resize(BITS_AT, 0);
        chunk.extend(packed);
        chunk
    }

    /// Bits counted by hand after the filter's description in the HDF5 reference manual.
    #[rstest]
    #[case::no_fill(values(0, 4, 0, 2, None), chunk(4, 1000, &[0x12, 0xf0]), &[233, 3, 234, 3, 247, 3, 232, 3])]
    #[case::fill(values(0, 4, 0, 2, Some(0xfffe)), chunk(4, 1000, &[0x12, 0xf0]), &[233, 3, 234, 3, 254, 255, 232, 3])]
    #[case::negative_least(values(0, 2, 0, 1, None), chunk(4, u64::MAX, &[0x12]), &[0, 1])]
    #[case::all_the_same(values(0, 3, 0, 1, None), chunk(0, 7, &[]), &[7, 7, 7])]
    #[case::all_bits_of_a_chunk(values(0, 1, 0, 2, None), chunk(16, 7, &[1, 2]), &[1, 2])]
    #[case::all_bits_always(values(16, 1, 0, 2, None), vec![1, 2], &[1, 2])]
    #[case::floats(values(1, 2, 1, 4, None), chunk(4, u64::from(1.5f32.to_bits()), &[0x05]), &[0, 0, 0xc0, 0x3f, 0, 0, 0, 0x40])]
    fn elements_are_restored(
        #[case] values: Vec<u32>,
        #[case] chunk: Vec<u8>,
        #[case] plain: &[u8],
    ) {
        let scaled = Scaled::parse(&values).unwrap();
        assert_eq!(decode(&chunk, scaled, plain.len()).unwrap(), plain);
    }

    /// A chunk of a file that h5py 3.16.0 wrote: 1.25, 2.5 (the fill value), -3.75 and 9.5 with two decimals.
    #[test]
    fn a_chunk_of_a_file_is_decoded() {
        let mut values = vec![0, 2, 4, 1, 8, 0, 1, 1, 0, 1_074_003_968];
        values.resize(20, 0);
        let head = [
            11, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0x0e, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let bits = [0x3e, 0x9f, 0xfc, 0x00, 0x52, 0xd0];
        let plain: Vec<u8> = [1.25f64, 2.5, -3.75, 9.5]
            .iter()
            .flat_map(|v| v.to_be_bytes())
            .collect();
        let scaled = Scaled::parse(&values).unwrap();
        assert_eq!(
            decode(&[&head[..], &bits].concat(), scaled, 32).unwrap(),
            plain
        );
    }

    #[rstest]
    #[case::none(vec![])]
    #[case::half_floats(values(1, 2, 1, 2, None))]
    #[case::no_size(values(0, 2, 0, 0, None))]
    fn parameters_are_claims(#[case] values: Vec<u32>) {
        Scaled::parse(&values).unwrap_err();
    }

    #[rstest]
    #[case::no_head(vec![0; 12])]
    #[case::bits_cut_off(chunk(12, 0, &[1, 2]))]
    #[case::more_bits_than_bytes(chunk(17, 0, &[0; 9]))]
    fn other_chunks_are_refused(#[case] chunk: Vec<u8>) {
        let scaled = Scaled::parse(&values(0, 2, 0, 2, None)).unwrap();
        decode(&chunk, scaled, 4).unwrap_err();
    }

    #[test]
    fn elements_that_no_chunk_holds_are_refused() {
        let scaled = Scaled::parse(&values(0, u32::MAX, 0, 8, None)).unwrap();
        decode(&chunk(0, 0, &[]), scaled, 64).unwrap_err();
    }
}
