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
        return transposed(bytes, element, block);
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
    let behind = rest
        .get(..left.len())
        .ok_or("its last elements are cut off")?;
    left.copy_from_slice(behind);
    transposed(&shuffled, element, block)
}

fn element_size(claim: u32) -> Result<usize, String> {
    let size = usize::try_from(claim).ok().filter(|size| *size > 0);
    size.ok_or_else(|| format!("elements of {claim} bytes"))
}

pub(super) fn zstd(stored: &[u8], target: &mut [u8]) -> Result<(), String> {
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
    if !block.is_multiple_of(8) || data.len().checked_rem(element) != Some(0) {
        return Err(format!(
            "blocks of {block} elements of {element} bytes cannot hold {} bytes",
            data.len()
        ));
    }
    let (blocks, left) = data.split_at_mut_checked(whole).unwrap_or_default();
    Ok((blocks.chunks_mut(block.saturating_mul(element)), left))
}

/// Transposes the bits of each block.
fn transposed(bytes: &[u8], element: usize, block: usize) -> Result<Vec<u8>, String> {
    let mut out = bytes.to_vec();
    let mut source = bytes;
    for target in cut(&mut out, element, block)?.0 {
        let (own, rest) = source.split_at_checked(target.len()).unwrap_or_default();
        target.fill(0);
        restore(own, target, element);
        source = rest;
    }
    Ok(out)
}

/// Bit `k` of byte `j` of each element stands in row `8 j + k`; element `i` is bit `i % 8` of byte `i / 8` of a row.
pub(super) fn restore(rows: &[u8], elements: &mut [u8], element: usize) {
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const HOW: Bitshuffled = Bitshuffled {
        element_size: 2,
        block_size: 8,
        inner: Inner::Plain,
    };

    /// `bitshuffle_encode(itemsize=2, blocksize=8)` of imagecodecs 2026.10.10 for 11 numbers 1, 258, 515, …
    #[test]
    fn bits_come_from_where_the_library_puts_them() {
        let encoded = [
            0x55, 0x66, 0x78, 0x80, 0, 0, 0, 0, 0xaa, 0xcc, 0xf0, 0, 0, 0, 0, 0, 9, 8, 10, 9, 11,
            10,
        ];
        let plain: Vec<u8> = (0..11u16)
            .flat_map(|i| (i * 257 + 1).to_le_bytes())
            .collect();
        assert_eq!(decode(&encoded, HOW, 22).unwrap(), plain);
    }

    /// The head says how many bytes there are: here more than a chunk has, none behind it, and a block of nine elements.
    #[rstest]
    #[case::more_than_a_chunk(&[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 16])]
    #[case::no_block(&[0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 16])]
    #[case::block_of_nine(&[0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 18, 0, 0, 0, 0])]
    #[case::half_an_element(&[0, 0, 0, 0, 0, 0, 0, 31, 0, 0, 0, 16, 0, 0, 0, 0])]
    #[case::no_head(&[0, 0])]
    fn what_a_chunk_states_is_a_claim(#[case] bytes: &[u8]) {
        for inner in [Inner::Lz4, Inner::Zstd] {
            decode(bytes, Bitshuffled { inner, ..HOW }, 32).unwrap_err();
        }
    }

    #[rstest]
    #[case::block_of_nine(2, 9, 32)]
    #[case::half_an_element(3, 8, 32)]
    #[case::no_element(0, 8, 32)]
    fn what_does_not_fit_is_refused(#[case] element: u32, #[case] block: u32, #[case] len: usize) {
        let how = Bitshuffled {
            element_size: element,
            block_size: block,
            inner: Inner::Plain,
        };
        decode(&vec![0; len], how, len).unwrap_err();
    }
}
