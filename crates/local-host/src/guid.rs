//! Random ids as .NET prints them, and the trace context of one call.

use std::fmt;

/// A version 4 UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guid(u128);

impl Guid {
    /// A fresh one. Not for secrets.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "two defaults would differ")]
    pub fn new() -> Self {
        Self::from_u128(fastrand::u128(..))
    }

    /// The id with these random bits.
    #[must_use]
    pub fn from_u128(bits: u128) -> Self {
        let versioned = bits & !(0xf << 76) | 4 << 76;
        Self(versioned & !(0b11 << 62) | 0b10 << 62)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        for (i, c) in hex.chars().enumerate() {
            if matches!(i, 8 | 12 | 16 | 20) {
                f.write_str("-")?;
            }
            write!(f, "{c}")?;
        }
        Ok(())
    }
}

/// A W3C `traceparent` of a sampled trace that starts here.
pub(crate) fn traceparent() -> String {
    // Both ids must not be zero.
    format!(
        "00-{:032x}-{:016x}-01",
        fastrand::u128(1..),
        fastrand::u64(1..)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_a_version_4_uuid() {
        assert_eq!(
            Guid::from_u128(0).to_string(),
            "00000000-0000-4000-8000-000000000000"
        );
        assert_eq!(
            Guid::from_u128(u128::MAX).to_string(),
            "ffffffff-ffff-4fff-bfff-ffffffffffff"
        );
    }
}
