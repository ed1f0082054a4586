//! Stored floats to whole microseconds, with cftime's rounding reproduced in integer arithmetic.
//!
//! cftime multiplies in 80-bit floats (64 bits of significand), rounds half to even, and then undoes a rounding
//! that landed one microsecond beside a full second. The same steps are taken here on the exact product, so the
//! answer does not depend on the machine.

/// `value * factor` rounded as cftime rounds; `None` when it is not finite or does not fit.
pub(super) fn scale(value: f64, factor: i64, snaps_to_seconds: bool) -> Option<i64> {
    if !value.is_finite() {
        return None;
    }
    let (significand, exponent) = decompose(value)?;
    let product = u128::from(significand).checked_mul(u128::from(factor.unsigned_abs()))?;
    let magnitude = Magnitude::new(product, exponent)?;
    let (nearest, floor, ceil) = magnitude.rounded(value.is_sign_negative())?;
    match nearest.rem_euclid(1_000_000) {
        1 if snaps_to_seconds => Some(floor),
        999_999 if snaps_to_seconds => Some(ceil),
        _ => Some(nearest),
    }
}

/// The nearest float of an integer.
pub(crate) fn to_f64(value: i64) -> f64 {
    let high = i32::try_from(value >> 32).unwrap_or(0);
    let low = u32::try_from(value & 0xffff_ffff).unwrap_or(0);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// Significand and power of two of a finite number, sign left aside.
fn decompose(value: f64) -> Option<(u64, i32)> {
    let bits = value.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let biased = i32::try_from((bits >> 52) & 0x7ff).ok()?;
    Some(if biased == 0 {
        (fraction, -1074)
    } else {
        (fraction | (1 << 52), biased - 1075)
    })
}

/// A positive number cut into its integer and what is left of it.
struct Magnitude {
    whole: i64,
    /// How the rest compares with one half; `None` when there is no rest.
    rest: Option<std::cmp::Ordering>,
}

impl Magnitude {
    /// `product * 2^exponent`, first rounded to 64 significant bits.
    fn new(product: u128, exponent: i32) -> Option<Self> {
        let excess = 64_u32.saturating_sub(product.leading_zeros());
        let kept = divide_even(product, excess);
        let exponent = exponent.checked_add(i32::try_from(excess).ok()?)?;
        let shift = exponent.unsigned_abs();
        if exponent >= 0 {
            let fits = kept == 0 || shift <= kept.leading_zeros();
            let whole =
                i64::try_from(kept.checked_shl(shift).filter(|_| fits).unwrap_or(0)).ok()?;
            return (fits && (kept == 0 || whole != 0)).then_some(Self { whole, rest: None });
        }
        let whole = i64::try_from(kept.checked_shr(shift).unwrap_or(0)).ok()?;
        Some(Self {
            whole,
            rest: compare_rest(kept, shift),
        })
    }

    /// Nearest (half to even), next below and next above.
    fn rounded(&self, negative: bool) -> Option<(i64, i64, i64)> {
        let away = if self.rest.is_some() {
            self.whole.checked_add(1)?
        } else {
            self.whole
        };
        let up = match self.rest {
            Some(std::cmp::Ordering::Greater) => true,
            Some(std::cmp::Ordering::Equal) => self.whole % 2 == 1,
            _ => false,
        };
        let nearest = if up { away } else { self.whole };
        Some(if negative {
            (-nearest, -away, -self.whole)
        } else {
            (nearest, self.whole, away)
        })
    }
}

/// `number / 2^shift`, half to even; `shift` is at most 64.
fn divide_even(number: u128, shift: u32) -> u128 {
    let whole = number >> shift;
    match compare_rest(number, shift) {
        Some(std::cmp::Ordering::Greater) => whole + 1,
        Some(std::cmp::Ordering::Equal) => whole + whole % 2,
        _ => whole,
    }
}

/// How the bits below `shift` compare with one half of `2^shift`.
fn compare_rest(number: u128, shift: u32) -> Option<std::cmp::Ordering> {
    let Some(half) = shift
        .checked_sub(1)
        .and_then(|shift| 1_u128.checked_shl(shift))
    else {
        return (shift > 0 && number > 0).then_some(std::cmp::Ordering::Less);
    };
    let rest = number & (half | (half - 1));
    (rest > 0).then(|| rest.cmp(&half))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::half_to_even_below(0.5, 1, false, Some(0))]
    #[case::half_to_even_above(1.5, 1, false, Some(2))]
    #[case::negative_half(-2.5, 1, false, Some(-2))]
    #[case::tiny(f64::MIN_POSITIVE, 86_400_000_000, true, Some(0))]
    #[case::subnormal(5e-324, 1, true, Some(0))]
    #[case::zero(-0.0, 86_400_000_000, true, Some(0))]
    #[case::largest(9_223_372_036_854_774_784.0, 1, false, Some(9_223_372_036_854_774_784))]
    #[case::past_the_largest(9_223_372_036_854_775_808.0, 1, false, None)]
    #[case::huge(1e300, 86_400_000_000, true, None)]
    #[case::snapped_down(1.000_000_9, 1_000_000, true, Some(1_000_000))]
    #[case::snapped_up(0.999_999_1, 1_000_000, true, Some(1_000_000))]
    fn scaling_rounds_as_cftime(
        #[case] value: f64,
        #[case] factor: i64,
        #[case] snaps: bool,
        #[case] micros: Option<i64>,
    ) {
        assert_eq!(scale(value, factor, snaps), micros);
    }

    #[rstest]
    #[case(0, 0.0)]
    #[case(-1, -1.0)]
    #[case(i64::MIN, -9_223_372_036_854_775_808.0)]
    #[case(9_007_199_254_740_993, 9_007_199_254_740_992.0)]
    fn integers_become_the_nearest_float(#[case] value: i64, #[case] float: f64) {
        assert_eq!(to_f64(value).to_bits(), float.to_bits());
    }
}
