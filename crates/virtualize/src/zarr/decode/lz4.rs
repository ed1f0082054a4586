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
