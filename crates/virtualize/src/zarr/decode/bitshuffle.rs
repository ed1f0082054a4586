//! HDF5's filter 32008: bits of equal significance together, in blocks, which lz4 or Zstandard may have compressed.
//!
//! Compressed data opens with its size (8 bytes) and the size of a block in bytes (4), both big-endian; each block
//! stands behind its stored size (4). Blocks hold a multiple of 8 elements; the last one is shorter, and up to 7
//! elements are left behind it as they are.

use super::{big_endian, lz4};

/// How a chunk is bitshuffled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bitshuffled {
    /// Size of an element in bytes.
    pub(crate) element_size: u32,
    /// Elements in a block; 0 for the usual number.
    pub(crate) block_size: u32,
    /// What the blocks are compressed with.
    pub(crate) inner: Inner,
}

/// What bitshuffled blocks are compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inner {
    /// Nothing.
    Plain,
    /// lz4.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// Decodes into at most `limit` bytes.
pub(super) fn decode(bytes: &[u8], how: Bitshuffled, limit: usize) -> Result<Vec<u8>, String> {
    let element = element_size(how.element_size)?;
    let block = usize::try_from(how.block_size).unwrap_or(usize::MAX);
    if how.inner == Inner::Plain {
        return transposed(bytes, element, block, restore);
    }
    let (total, rest) = big_endian::<8>(bytes)?;
    let (block_bytes, mut rest) = big_endian::<4>(rest)?;
    if total > limit {
        return Err(format!("it states {total} bytes, of {limit} at most"));
    }
    let mut shuffled = vec![0; total];
    let block = block_bytes.checked_div(element).unwrap_or(0);
    let (blocks, left) = cut(&mut shuffled, element, block)?;
    for target in blocks {
        let (size, tail) = big_endian::<4>(rest)?;
        let (stored, tail) = tail.split_at_checked(size).ok_or("a block is cut off")?;
        match how.inner {
            Inner::Zstd => zstd(stored, target)?,
            Inner::Lz4 | Inner::Plain => lz4::decompress(stored, target)?,
        }
        rest = tail;
    }
    let behind = rest.get(..left.len()).ok_or("its last elements are cut off")?;
    left.copy_from_slice(behind);
    transposed(&shuffled, element, block, restore)
}

/// Bitshuffles without compression.
pub(in crate::zarr) fn encode(bytes: &[u8], element_size: u32, block_size: u32) -> Result<Vec<u8>, String> {
    let element = self::element_size(element_size)?;
    let block = usize::try_from(block_size).unwrap_or(usize::MAX);
    transposed(bytes, element, block, shuffle)
}

fn element_size(claim: u32) -> Result<usize, String> {
    let size = usize::try_from(claim).ok().filter(|size| *size > 0);
    size.ok_or_else(|| format!("elements of {claim} bytes"))
}

fn zstd(stored: &[u8], target: &mut [u8]) -> Result<(), String> {
    let mut decoder = ruzstd::decoding::FrameDecoder::new();
    let count = decoder.decode_all(stored, target);
    match count.map_err(|error| error.to_string())? {
        count if count == target.len() => Ok(()),
        count => Err(format!("a block of {} bytes gives {count}", target.len())),
    }
}

/// The number of elements in a block where none is stated: 8 KiB, and not less than 128.
fn usual_block(element: usize) -> usize {
    let count = 8192usize.checked_div(element).unwrap_or(0);
    (count / 8 * 8).max(128)
}

/// The blocks, and what is left behind the last whole eight elements.
fn cut(
    data: &mut [u8],
    element: usize,
    block: usize,
) -> Result<(std::slice::ChunksMut<'_, u8>, &mut [u8]), String> {
    let block = match block {
        0 => usual_block(element),
        block => block,
    };
    let eight = element.saturating_mul(8);
    let whole = data.len().checked_div(eight).unwrap_or(0) * eight;
    if block % 8 != 0 || data.len().checked_rem(element) != Some(0) {
        return Err(format!(
            "blocks of {block} elements of {element} bytes cannot hold {} bytes",
            data.len()
        ));
    }
    let (blocks, left) = data.split_at_mut_checked(whole).unwrap_or_default();
    Ok((blocks.chunks_mut(block.saturating_mul(element)), left))
}

/// Transposes the bits of each block.
fn transposed(
    bytes: &[u8],
    element: usize,
    block: usize,
    move_bits: impl Fn(&[u8], &mut [u8], usize),
) -> Result<Vec<u8>, String> {
    let mut out = bytes.to_vec();
    let mut source = bytes;
    for target in cut(&mut out, element, block)?.0 {
        let (own, rest) = source.split_at_checked(target.len()).unwrap_or_default();
        target.fill(0);
        move_bits(own, target, element);
        source = rest;
    }
    Ok(out)
}

/// Bit `k` of byte `j` of each element stands in row `8 j + k`; element `i` is bit `i % 8` of byte `i / 8` of a row.
fn restore(rows: &[u8], elements: &mut [u8], element: usize) {
    let count = elements.len().checked_div(element).unwrap_or(0);
    for (row, bits) in rows.chunks_exact((count / 8).max(1)).enumerate() {
        for (at, byte) in bits.iter().enumerate().filter(|(_, byte)| **byte != 0) {
            for bit in 0..8 {
                let place = (at * 8 + bit) * element + row / 8;
                if let Some(target) = elements.get_mut(place) {
                    *target |= ((byte >> bit) & 1) << (row % 8);
                }
            }
        }
    }
}

fn shuffle(elements: &[u8], rows: &mut [u8], element: usize) {
    let count = elements.len().checked_div(element).unwrap_or(0);
    for (row, bits) in rows.chunks_exact_mut((count / 8).max(1)).enumerate() {
        for (at, byte) in bits.iter_mut().enumerate() {
            for bit in 0..8 {
                let place = (at * 8 + bit) * element + row / 8;
                let source = elements.get(place).copied().unwrap_or(0);
                *byte |= ((source >> (row % 8)) & 1) << bit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// 11 numbers 1, 258, 515, … of two bytes each.
    fn plain() -> Vec<u8> {
        (0..11u16).flat_map(|i| (i * 257 + 1).to_le_bytes()).collect()
    }

    /// `bitshuffle_encode(itemsize=2, blocksize=8)` of imagecodecs 2026.10.10.
    const SHUFFLED: &str = "5566788000000000aaccf0000000000009080a090b0a";

    #[test]
    fn bits_go_where_the_library_puts_them() {
        let encoded = encode(&plain(), 2, 8).unwrap();
        let hex: String = encoded.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, SHUFFLED);
        let how = Bitshuffled {
            element_size: 2,
            block_size: 8,
            inner: Inner::Plain,
        };
        assert_eq!(decode(&encoded, how, 22).unwrap(), plain());
    }

    #[rstest]
    #[case::block_of_nine(2, 9, 32)]
    #[case::half_an_element(3, 8, 32)]
    #[case::no_element(0, 8, 32)]
    fn what_does_not_fit_is_refused(#[case] element: u32, #[case] block: u32, #[case] len: usize) {
        encode(&vec![0; len], element, block).unwrap_err();
    }
}
