//! Fletcher's checksum as HDF5's filter 3 computes it.

/// The checksum of a chunk: two sums over its big-endian 16-bit words, modulo 65535; an odd last byte counts as the
/// high half of a word.
pub(crate) fn fletcher32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (0u32, 0u32);
    // The sums of 360 words cannot overflow 32 bits.
    for block in bytes.chunks(720) {
        for word in block.chunks(2) {
            let word = match word {
                [first, second] => u32::from(u16::from_be_bytes([*first, *second])),
                [first] => u32::from(*first) << 8,
                _ => 0,
            };
            low += word;
            high += low;
        }
        low = fold(low);
        high = fold(high);
    }
    (fold(high) << 16) | fold(low)
}

const fn fold(sum: u32) -> u32 {
    (sum & 0xffff) + (sum >> 16)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Behind chunks of the bytes (7 i + 3) mod 256 that numcodecs 0.17.1 encoded with `Fletcher32`; it stores the
    /// sum little-endian.
    #[rstest]
    #[case::odd(1, [0x00, 0x03, 0x00, 0x03])]
    #[case::two_words(4, [0x22, 0x14, 0x2c, 0x17])]
    #[case::odd_end(7, [0x48, 0x60, 0xbc, 0xaa])]
    #[case::even(12, [0x0e, 0xe5, 0xbe, 0x2b])]
    #[case::longer(40, [0x35, 0xa9, 0x3a, 0x80])]
    fn sums_are_those_of_numcodecs(#[case] length: u32, #[case] stored: [u8; 4]) {
        let data: Vec<u8> = (0..length).map(|i| (7 * i + 3).to_le_bytes()[0]).collect();
        assert_eq!(fletcher32(&data).to_le_bytes(), stored);
    }
}
