//! `BloscLZ`, the codec of Blosc's own: runs of literals, and copies of what came before.
//!
//! | control byte | what |
//! | --- | --- |
//! | below 32 | one more literals than it says |
//! | from 32 | a copy: the upper three bits are its length less 2, 7 with more length bytes behind it while they are 255; the lower five and one more byte its distance less 1, all ones with 16 bits of further distance |

/// Distance that the short form reaches.
const NEAR: usize = 8191;

/// Decodes a stream that fills `target`.
pub(super) fn decompress(stored: &[u8], target: &mut [u8]) -> Result<(), String> {
    let mut input = Input(stored);
    let mut filled = 0usize;
    // Of the first control byte the upper bits are a mark of the format.
    let mut control = usize::from(input.byte()? & 31);
    loop {
        match control < 32 {
            true => {
                let literals = input.take(control + 1)?;
                let place = target.get_mut(filled..filled + literals.len());
                place.ok_or_else(too_long)?.copy_from_slice(literals);
                filled += literals.len();
            }
            false => {
                let (length, distance) = input.copy(control)?;
                copy(target, filled, length, distance)?;
                filled += length;
            }
        }
        if input.0.is_empty() {
            break;
        }
        control = usize::from(input.byte()?);
    }
    match filled == target.len() {
        true => Ok(()),
        false => Err(format!("a stream of {} bytes gives {filled}", target.len())),
    }
}

fn too_long() -> String {
    String::from("a stream gives more than its block holds")
}

/// Copies byte by byte: a copy may reach into itself, which repeats it.
fn copy(target: &mut [u8], at: usize, length: usize, distance: usize) -> Result<(), String> {
    let from = at.checked_sub(distance);
    let from = from.ok_or("a copy reaches back before the start of its block")?;
    if at.saturating_add(length) > target.len() {
        return Err(too_long());
    }
    for step in 0..length {
        let byte = target.get(from + step).copied().unwrap_or_default();
        if let Some(place) = target.get_mut(at + step) {
            *place = byte;
        }
    }
    Ok(())
}

/// What is left of a stream.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, String> {
        let (first, rest) = self.0.split_first().ok_or("a stream is cut off")?;
        self.0 = rest;
        Ok(*first)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or("literals are cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    /// Length and distance of a copy.
    fn copy(&mut self, control: usize) -> Result<(usize, usize), String> {
        let mut length = (control >> 5) - 1;
        if length == 6 {
            loop {
                let more = self.byte()?;
                length = length.saturating_add(usize::from(more));
                if more != 255 {
                    break;
                }
            }
        }
        let (high, low) = ((control & 31) << 8, usize::from(self.byte()?));
        let distance = match (high, low) {
            (0x1f00, 255) => {
                let far = [self.byte()?, self.byte()?];
                NEAR + usize::from(u16::from_be_bytes(far))
            }
            (high, low) => high + low,
        };
        Ok((length + 3, distance + 1))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::zarr::sample::unhex;

    /// Twenty thousand zeros but for 1 to 40 at the start and at 12 000, by numcodecs 0.17.1: copies from next to it
    /// and from far away.
    #[test]
    fn copies_come_from_near_and_far() {
        let stream = concat!(
            "3f0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2008212223242526272800e0ffffffffffff",
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffdb000000ffffffffffff",
            "ffffffffffffffffffffffffffffffffffffffffffffffffffff53ff0ee002000000",
        );
        let mut expected = vec![0; 20_000];
        for (at, value) in (0..40).zip(1..) {
            expected[at] = value;
            expected[12_000 + at] = value;
        }
        let mut target = vec![7; 20_000];
        decompress(&unhex(stream), &mut target).unwrap();
        assert!(target == expected);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::literals_cut_off("0501")]
    #[case::from_before_the_start("00012005")]
    #[case::too_much("0001e0ff0000")]
    #[case::too_little("0001")]
    #[case::length_cut_off("0001e0ff")]
    fn a_stream_that_is_wrong_is_refused(#[case] stream: &str) {
        decompress(&unhex(stream), &mut [0; 8]).unwrap_err();
    }
}
