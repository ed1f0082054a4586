//! Integers that use fewer bits than their bytes have.

/// Which bits of an integer are significant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bits {
    offset: u32,
    precision: u32,
}

impl Bits {
    /// Those of an element of `size` bytes; what lies outside it is cut.
    pub(crate) fn new(size: usize, offset: u16, precision: u16) -> Self {
        let all = u32::try_from(size).unwrap_or(8).saturating_mul(8).min(64);
        let offset = u32::from(offset).min(all.saturating_sub(1));
        Self {
            offset,
            precision: u32::from(precision).clamp(1, all.saturating_sub(offset).max(1)),
        }
    }

    /// The number they make without a sign.
    pub(crate) const fn unsigned(&self, raw: u64) -> u64 {
        let unused = 64 - self.precision;
        (raw >> self.offset) << unused >> unused
    }

    /// The number they make with the highest of them as its sign.
    pub(crate) fn signed(&self, raw: u64) -> i64 {
        let unused = 64 - self.precision;
        let high = (raw >> self.offset) << unused;
        i64::from_le_bytes(high.to_le_bytes()) >> unused
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::whole(Bits::new(2, 0, 16), 0xfffe, 0xfffe, -2)]
    #[case::low_bits(Bits::new(4, 0, 12), 0xffff_f800, 0x800, -2048)]
    #[case::high_bits(Bits::new(2, 4, 12), 0x7ff0, 0x7ff, 2047)]
    #[case::more_than_there_are(Bits::new(1, 9, 40), 0x80, 1, -1)]
    fn the_rest_of_an_element_does_not_count(
        #[case] bits: Bits,
        #[case] raw: u64,
        #[case] unsigned: u64,
        #[case] signed: i64,
    ) {
        assert_eq!((bits.unsigned(raw), bits.signed(raw)), (unsigned, signed));
    }
}
