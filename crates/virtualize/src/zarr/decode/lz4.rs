//! HDF5's filter 32004: lz4 in blocks.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | size of the data, big-endian |
//! | 4 | size of a block, big-endian; the last one may be smaller |
//! | 4 + n | for each block its stored size n, big-endian, and the block; as it is where n is its size |

use super::big_endian;

/// Decodes into at most `limit` bytes.
pub(super) fn decode(bytes: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let (total, rest) = big_endian::<8>(bytes)?;
    let (block, mut rest) = big_endian::<4>(rest)?;
    if total > limit {
        return Err(format!("it states {total} bytes, of {limit} at most"));
    }
    let mut out = vec![0; total];
    if block == 0 && total > 0 {
        return Err(String::from("its blocks have no bytes"));
    }
    for target in out.chunks_mut(block.max(1)) {
        let (size, tail) = big_endian::<4>(rest)?;
        let (stored, tail) = tail.split_at_checked(size).ok_or("a block is cut off")?;
        match size == target.len() {
            true => target.copy_from_slice(stored),
            false => decompress(stored, target)?,
        }
        rest = tail;
    }
    Ok(out)
}

/// Decodes one lz4 block that fills `target`.
pub(super) fn decompress(stored: &[u8], target: &mut [u8]) -> Result<(), String> {
    let decoded = lz4_flex::block::decompress_into(stored, target);
    match decoded.map_err(|error| error.to_string())? {
        count if count == target.len() => Ok(()),
        count => Err(format!("a block of {} bytes gives {count}", target.len())),
    }
}

/// The bytes as they are, in one block.
pub(in crate::zarr) fn encode(bytes: &[u8]) -> Option<Vec<u8>> {
    let size = u32::try_from(bytes.len()).ok()?;
    let mut out = Vec::with_capacity(bytes.len() + 16);
    out.extend_from_slice(&u64::from(size).to_be_bytes());
    out.extend_from_slice(&size.max(1).to_be_bytes());
    if size > 0 {
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(bytes);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Encoded by imagecodecs 2026.10.10 with `lz4h5_encode(blocksize=30)`: a block that compresses, and one that does
    /// not and is shorter.
    #[test]
    fn blocks_are_decoded_one_by_one() {
        let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 50, 0, 0, 0, 30];
        bytes.extend([
            0, 0, 0, 13, 0x3f, b'a', b'b', b'c', 3, 0, 3, 0x50, b'b', b'c', b'a', b'b', b'c',
        ]);
        bytes.extend([0, 0, 0, 20]);
        bytes.extend(0..20);
        let plain = [&b"abc".repeat(10)[..], &(0..20).collect::<Vec<u8>>()].concat();
        assert_eq!(decode(&bytes, 50).unwrap(), plain);
        decode(&bytes, 49).unwrap_err();
    }

    #[test]
    fn a_block_fills_its_place() {
        let bytes = [
            0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0, 4, 0x30, 7, 8, 9,
        ];
        assert!(decode(&bytes, 8).unwrap_err().contains("gives 3"));
    }

    #[rstest]
    #[case::more_than_a_chunk(&[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 8])]
    #[case::blocks_of_nothing(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])]
    #[case::block_cut_off(&[0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0, 8, 1, 2])]
    #[case::block_without_size(&[0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0])]
    #[case::no_block_size(&[0, 0, 0, 0, 0, 0, 0, 8])]
    fn what_a_chunk_states_is_a_claim(#[case] bytes: &[u8]) {
        decode(bytes, 16).unwrap_err();
    }
}
