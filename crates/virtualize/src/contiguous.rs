//! Cuts uncompressed contiguous data into chunks, so that nobody has to read all of it for a part. SPEC §3.

use crate::decode::ByteRange;
use crate::manifest::{ChunkManifest, SourceId};

/// Largest chunk that contiguous data is cut into, in bytes.
pub const CUT_LIMIT: u64 = 16 << 20;

/// Chunks smaller than this part of the limit cost more in requests than a larger one costs in bytes.
const WORTHWHILE: u64 = 256;

/// The chunk shape that cuts an array of `shape` along its leading dimensions into runs of bytes of at most `limit`.
///
/// Every chunk is full: its length divides the dimension, since a Zarr v2 chunk at the edge has the bytes of a whole
/// one and would run over the end of the data. Where a dimension has no divisor that gives chunks of a reasonable
/// size (a long vector of prime length), chunks are larger than `limit`.
pub fn cut_contiguous(shape: &[u64], item_size: u64, limit: u64) -> Vec<u64> {
    let mut chunk_shape: Vec<u64> = shape.iter().map(|length| (*length).max(1)).collect();
    let mut bytes = chunk_shape
        .iter()
        .fold(item_size.max(1), |all, length| all.saturating_mul(*length));
    for chunk in &mut chunk_shape {
        if bytes <= limit {
            break;
        }
        let row = bytes.checked_div(*chunk).unwrap_or(bytes);
        *chunk = rows_per_chunk(*chunk, row, limit);
        bytes = row.saturating_mul(*chunk);
        if *chunk > 1 {
            break;
        }
    }
    chunk_shape
}

/// How many of `length` rows of `row` bytes make a chunk.
fn rows_per_chunk(length: u64, row: u64, limit: u64) -> u64 {
    let most = limit.checked_div(row).unwrap_or(0);
    let least = limit.div_ceil(row.saturating_mul(WORTHWHILE).max(1));
    let divisors = divisors(length);
    let below = divisors.iter().rev().find(|d| **d <= most);
    let fitting = below.filter(|d| **d >= least);
    let above = divisors.iter().find(|d| **d > most);
    let chosen = match (fitting, most) {
        (Some(fitting), _) => Some(fitting),
        // One row alone is too much: the next dimension is cut instead.
        (None, 0) => None,
        (None, _) => above,
    };
    chosen.copied().unwrap_or(1)
}

/// The divisors of `number`, ascending.
fn divisors(number: u64) -> Vec<u64> {
    let mut small = Vec::new();
    let mut large = Vec::new();
    let mut candidate = 1u64;
    while candidate.saturating_mul(candidate) <= number {
        if let Some(0) = number.checked_rem(candidate) {
            let other = number.checked_div(candidate).unwrap_or(number);
            small.push(candidate);
            if other != candidate {
                large.push(other);
            }
        }
        candidate = candidate.saturating_add(1);
    }
    small.extend(large.into_iter().rev());
    small
}

/// The manifest of `count` chunks of `chunk_bytes` each that follow one another from `start`.
pub fn consecutive(source: SourceId, start: u64, chunk_bytes: u64, count: u64) -> ChunkManifest {
    strided(source, start, chunk_bytes, chunk_bytes, count)
}

/// The manifest of `count` chunks of `chunk_bytes` each that begin every `stride` bytes from `start`.
pub fn strided(
    source: SourceId,
    start: u64,
    stride: u64,
    chunk_bytes: u64,
    count: u64,
) -> ChunkManifest {
    let rows = (0..count).map(|number| {
        let at = start.saturating_add(number.saturating_mul(stride));
        (number, ByteRange::new(at, chunk_bytes))
    });
    ChunkManifest::from_ascending(source, rows)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::dataset::product;

    const MIB: u64 = 1 << 20;

    #[rstest]
    #[case::small(&[10, 20], 4, &[10, 20])]
    #[case::scalar(&[], 8, &[])]
    #[case::no_element(&[0, 7], 4, &[1, 7])]
    #[case::exactly_the_limit(&[16, MIB], 1, &[16, MIB])]
    #[case::one_byte_more(&[17, MIB], 1, &[1, MIB])]
    #[case::largest_divisor(&[36, MIB], 1, &[12, MIB])]
    #[case::prime_with_large_rows(&[731, 4 * MIB], 1, &[1, 4 * MIB])]
    #[case::leading_step_too_large(&[5, 32, MIB], 1, &[1, 16, MIB])]
    #[case::two_steps_too_large(&[2, 2, 64, MIB], 1, &[1, 1, 16, MIB])]
    #[case::vector(&[32 * MIB], 1, &[16 * MIB])]
    #[case::vector_of_prime_length(&[16_777_259], 1, &[16_777_259])]
    #[case::twice_a_large_prime(&[2 * 16_777_259], 1, &[16_777_259])]
    fn chunks_divide_the_array(
        #[case] shape: &[u64],
        #[case] item_size: u64,
        #[case] chunk_shape: &[u64],
    ) {
        assert_eq!(cut_contiguous(shape, item_size, CUT_LIMIT), chunk_shape);
    }

    #[rstest]
    #[case(&[36, 1024, 1024])]
    #[case(&[7, 6, 5, 4])]
    #[case(&[1000, 999])]
    fn every_chunk_is_one_run_of_bytes(#[case] shape: &[u64]) {
        let chunk = cut_contiguous(shape, 8, 1 << 16);
        let cut = chunk.iter().position(|length| *length > 1).unwrap();
        assert_eq!(
            chunk[cut + 1..],
            shape[cut + 1..],
            "all behind the cut is whole"
        );
        assert_eq!(shape[cut] % chunk[cut], 0);
        assert!(product(&chunk).unwrap() * 8 <= 1 << 16);
    }
}
