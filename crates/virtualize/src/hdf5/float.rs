//! Floats whose sign, exponent and mantissa do not lie where IEEE 754 has them: bfloat16, or what is left after bits
//! were cut off for the n-bit filter. Format specification IV.A.2.d, class 1.

/// How the bits of a float make its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatFormat {
    /// IEEE 754's binary16, binary32 or binary64 to the bit.
    Ieee,
    /// Something else.
    Other(FloatFields),
}

/// Position and size of the parts of a float, counted from its lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloatFields {
    /// Position of the sign.
    pub sign: u8,
    /// Position and size of the exponent.
    pub exponent: (u8, u8),
    /// Position and size of the mantissa.
    pub mantissa: (u8, u8),
    /// What the stored exponent is larger by.
    pub bias: u32,
    /// Whether a leading one that is not stored belongs to the mantissa.
    pub implied: bool,
}

/// Sizes in bytes of IEEE 754's formats with their bits of mantissa and largest exponents.
const HOLDERS: [(u8, u8, i64); 3] = [(2, 10, 15), (4, 23, 127), (8, 52, 1023)];

impl FloatFields {
    /// The size of the smallest IEEE 754 float, of no fewer bytes, that holds all the numbers; `None` if none does.
    pub(crate) fn holder(&self, size: u32) -> Option<u8> {
        let bits = u64::from(size).checked_mul(8).filter(|bits| *bits <= 64)?;
        let inside = |(at, len): (u8, u8)| len > 0 && u64::from(at) + u64::from(len) <= bits;
        let whole = inside((self.sign, 1)) && inside(self.exponent) && inside(self.mantissa);
        if !whole || !self.implied || self.exponent.1 > 11 {
            return None;
        }
        let bias = i64::from(self.bias);
        let (largest, smallest) = ((1i64 << self.exponent.1) - 2 - bias, 1 - bias);
        HOLDERS
            .into_iter()
            .find(|(bytes, mantissa, limit)| {
                u32::from(*bytes) >= size
                    && self.mantissa.1 <= *mantissa
                    && largest <= *limit
                    && smallest >= 1 - *limit
            })
            .map(|(bytes, _, _)| bytes)
    }

    /// The number; exact where there is a [`Self::holder`].
    pub(crate) fn value(&self, raw: u64) -> f64 {
        let exponent = part(raw, self.exponent);
        let mantissa = part(raw, self.mantissa);
        let all = part(u64::MAX, (0, self.exponent.1));
        let magnitude = match exponent {
            _ if exponent == all && mantissa == 0 => f64::INFINITY,
            _ if exponent == all => f64::NAN,
            0 => self.scaled(mantissa, 1),
            _ => self.scaled(mantissa | (1 << self.mantissa.1.min(63)), exponent),
        };
        match part(raw, (self.sign, 1)) {
            0 => magnitude,
            _ => -magnitude,
        }
    }

    fn scaled(&self, mantissa: u64, exponent: u64) -> f64 {
        let exponent = i64::try_from(exponent).unwrap_or(i64::MAX);
        let power = exponent - i64::from(self.bias) - i64::from(self.mantissa.1);
        let power = i32::try_from(power).unwrap_or(0);
        // In two steps: the whole power may be too small for a float where the number is not.
        let half = power / 2;
        exact(mantissa) * 2f64.powi(half) * 2f64.powi(power - half)
    }
}

/// An integer of at most 53 bits.
fn exact(number: u64) -> f64 {
    let (high, low) = (number >> 32, number & 0xffff_ffff);
    let half = |bits: u64| u32::try_from(bits).map_or(0.0, f64::from);
    half(high) * 4_294_967_296.0 + half(low)
}

fn part(raw: u64, (at, len): (u8, u8)) -> u64 {
    let shifted = raw.checked_shr(u32::from(at)).unwrap_or(0);
    match 1u64.checked_shl(u32::from(len)) {
        Some(end) => shifted & (end - 1),
        None => shifted,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn fields(sign: u8, exponent: (u8, u8), mantissa: (u8, u8), bias: u32) -> FloatFields {
        FloatFields {
            sign,
            exponent,
            mantissa,
            bias,
            implied: true,
        }
    }

    fn bfloat16() -> FloatFields {
        fields(15, (7, 8), (0, 7), 127)
    }

    fn twenty_bits() -> FloatFields {
        fields(26, (20, 6), (7, 13), 31)
    }

    /// What h5py 3.16 reads of a dataset with these bytes.
    #[rstest]
    #[case::one(bfloat16(), 0x3f80, 1.0)]
    #[case::pi(bfloat16(), 0x4049, 3.140625)]
    #[case::negative(bfloat16(), 0xc2c8, -100.0)]
    #[case::smallest(bfloat16(), 0x0001, 9.183549615799121e-41)]
    #[case::infinite(bfloat16(), 0xff80, f64::NEG_INFINITY)]
    #[case::shifted(twenty_bits(), 0x0204_0000, 2.5)]
    #[case::tiny(twenty_bits(), 0x80, 2f64.powi(-43))]
    fn bits_make_a_number(#[case] fields: FloatFields, #[case] raw: u64, #[case] expected: f64) {
        assert_eq!(fields.value(raw), expected);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        assert!(bfloat16().value(0x7fc1).is_nan());
    }

    /// The types that h5py 3.16 gives.
    #[rstest]
    #[case::bfloat16(bfloat16(), 2, Some(4))]
    #[case::twenty_bits(twenty_bits(), 4, Some(4))]
    #[case::short_half(fields(15, (10, 5), (2, 8), 15), 2, Some(2))]
    #[case::binary64_of_fewer_bits(fields(63, (52, 11), (12, 40), 1023), 8, Some(8))]
    #[case::x87(fields(79, (64, 15), (0, 64), 16383), 16, None)]
    #[case::wide_exponent(fields(31, (19, 12), (0, 19), 2047), 4, None)]
    #[case::behind_the_end(fields(16, (7, 8), (0, 7), 127), 2, None)]
    #[case::no_mantissa(fields(15, (7, 8), (0, 0), 127), 2, None)]
    fn a_float_goes_into_one_that_holds_it(
        #[case] fields: FloatFields,
        #[case] size: u32,
        #[case] holder: Option<u8>,
    ) {
        assert_eq!(fields.holder(size), holder);
    }
}
