//! Reads runs of bits, the most significant first, as szip, nbit and scaleoffset pack them.

/// Bits of a byte string from its start.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Position of the next bit.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits (at most 64) as a number; `None` past the end.
    pub(super) fn take(&mut self, count: u32) -> Option<u64> {
        let mut value = 0u64;
        let mut left = count;
        while left > 0 {
            let byte = *self.bytes.get(self.at / 8)?;
            let used = u32::try_from(self.at % 8).ok()?;
            let here = left.min(8 - used);
            let bits = (u64::from(byte) >> (8 - used - here)) & ((1 << here) - 1);
            value = (value << here) | bits;
            self.at += usize::try_from(here).ok()?;
            left -= here;
        }
        Some(value)
    }

    /// The number of zeros before the next one, which is read too; `None` past the end.
    pub(super) fn zeros(&mut self) -> Option<u32> {
        let mut count = 0u32;
        loop {
            let byte = *self.bytes.get(self.at / 8)?;
            let used = u32::try_from(self.at % 8).ok()?;
            let rest = byte.checked_shl(used)?;
            if rest != 0 {
                let zeros = rest.leading_zeros();
                self.at += usize::try_from(zeros + 1).ok()?;
                return count.checked_add(zeros);
            }
            count = count.checked_add(8 - used)?;
            self.at += usize::try_from(8 - used).ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_across_bytes() {
        let mut bits = BitReader::new(&[0b1010_0000, 0, 0b0001_1111, 0x80]);
        assert_eq!((bits.take(3), bits.zeros()), (Some(0b101), Some(16)));
        assert_eq!((bits.take(0), bits.take(5)), (Some(0), Some(0b11111)));
        assert_eq!((bits.take(8), bits.take(1)), (None, None));
    }

    #[test]
    fn zeros_end_with_the_bytes() {
        assert_eq!(BitReader::new(&[0, 0]).zeros(), None);
    }
}
