//! HDF5's filter 4, szip: the size of the data (4 bytes, little-endian) and the entropy coding of CCSDS 121.0-B.
//!
//! Samples of 32 and 64 bits are coded byte by byte, the first bytes of all samples first, and a line of samples that
//! is no whole number of blocks is filled up.

use super::bits::BitReader;
use crate::zarr::codec::SzipParameters;

/// Option bits of szip.
const BIG_ENDIAN: u32 = 16;
const NEAREST_NEIGHBOUR: u32 = 32;

/// A run of zero blocks that goes up to the end of the segment.
const REST_OF_SEGMENT: u32 = 4;
const SEGMENT: usize = 64;

/// Codes beyond this no pair of small samples has.
const MAX_PAIR: u32 = 90;

/// What is coded: samples in blocks, and blocks between two references.
#[derive(Debug, Clone, Copy)]
struct Coding {
    /// Bits of a sample.
    bits: u32,
    /// Samples in a block.
    block: usize,
    /// Blocks between two references.
    blocks: usize,
    /// Whether samples are differences to the one before.
    differences: bool,
}

/// Decodes into at most `limit` bytes.
pub(super) fn decode(bytes: &[u8], how: SzipParameters, limit: usize) -> Result<Vec<u8>, String> {
    let (size, stream) = bytes.split_first_chunk::<4>().ok_or("its size is cut off")?;
    let size = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
    if size > limit {
        return Err(format!("it states {size} bytes, of {limit} at most"));
    }
    let (coding, line) = coding(how).ok_or("its parameters make no sense")?;
    let sample = match coding.bits {
        ..=8 => 1,
        ..=16 => 2,
        _ => return Err(format!("samples of {} bits", coding.bits)),
    };
    let count = size.div_ceil(sample);
    let mut reader = BitReader::new(stream);
    let mut samples = Vec::with_capacity(count);
    while samples.len() < count {
        let lines = coding.segment(&mut reader, count - samples.len());
        let lines = lines.ok_or("its code is cut off or damaged")?;
        samples.extend(lines.into_iter().take(line));
    }
    samples.truncate(count);
    let is_big = how.options_mask & BIG_ENDIAN != 0;
    let mut out: Vec<u8> = match (sample, is_big) {
        (1, _) => samples.iter().map(|value| value.to_le_bytes()[0]).collect(),
        (_, true) => samples.iter().flat_map(|value| value.to_be_bytes()).collect(),
        (_, false) => samples.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    out.truncate(size);
    Ok(interleaved(out, how.bits_per_pixel))
}

/// The coding, and the samples of a line.
fn coding(how: SzipParameters) -> Option<(Coding, usize)> {
    let block = usize::try_from(how.pixels_per_block).ok()?;
    let line = usize::try_from(how.pixels_per_scanline).ok()?;
    let sound = (1..=64).contains(&block) && (1..=1 << 16).contains(&line);
    let coding = Coding {
        bits: match how.bits_per_pixel {
            32 | 64 => 8,
            bits @ 1..=16 => bits,
            _ => return None,
        },
        block,
        blocks: line.div_ceil(block.max(1)),
        differences: how.options_mask & NEAREST_NEIGHBOUR != 0,
    };
    sound.then_some((coding, line))
}

/// Bytes of equal significance back into their samples.
fn interleaved(bytes: Vec<u8>, bits: u32) -> Vec<u8> {
    let size = match bits {
        32 => 4,
        64 => 8,
        _ => return bytes,
    };
    super::unshuffle(&bytes, size)
}

impl Coding {
    /// The samples between two references, or as many blocks of them as hold `wanted` samples.
    fn segment(self, bits: &mut BitReader<'_>, wanted: usize) -> Option<Vec<u16>> {
        let mut codes = Vec::with_capacity(self.blocks.checked_mul(self.block)?);
        let end = self.blocks.min(wanted.div_ceil(self.block));
        while codes.len() / self.block < end {
            self.block(bits, &mut codes)?;
        }
        match self.differences {
            true => Some(self.integrated(&codes)),
            false => Some(codes),
        }
    }

    /// One coded block, or several of zeros.
    fn block(self, bits: &mut BitReader<'_>, codes: &mut Vec<u16>) -> Option<()> {
        let id_bits = if self.bits > 8 { 4 } else { 3 };
        let id = bits.take(id_bits)?;
        let is_first = self.differences && codes.is_empty();
        let end = codes.len().checked_add(self.block)?;
        match id {
            0 => {
                let pairs = bits.take(1)? == 1;
                if is_first {
                    codes.push(self.sample(bits)?);
                }
                match pairs {
                    true => pairs_up_to(end, bits, codes),
                    false => self.zeros(bits, codes),
                }
            }
            id if id == (1 << id_bits) - 1 => (0..self.block).try_for_each(|_| {
                codes.push(self.sample(bits)?);
                Some(())
            }),
            id => {
                if is_first {
                    codes.push(self.sample(bits)?);
                }
                split(u32::try_from(id - 1).ok()?, end, bits, codes)
            }
        }
    }

    fn sample(self, bits: &mut BitReader<'_>) -> Option<u16> {
        u16::try_from(bits.take(self.bits)?).ok()
    }

    /// Blocks of zeros; the code for five means all up to the end of the segment of 64 blocks.
    fn zeros(self, bits: &mut BitReader<'_>, codes: &mut Vec<u16>) -> Option<()> {
        let code = bits.zeros()?;
        let here = codes.len() / self.block;
        let count = match code {
            REST_OF_SEGMENT => (self.blocks - here).min(SEGMENT - here % SEGMENT),
            code if code > REST_OF_SEGMENT => usize::try_from(code).ok()?,
            code => usize::try_from(code).ok()? + 1,
        };
        let end = here.checked_add(count).filter(|end| *end <= self.blocks)?;
        codes.resize(end.checked_mul(self.block)?, 0);
        Some(())
    }

    /// The samples from their differences, which are folded so that all are positive.
    fn integrated(self, codes: &[u16]) -> Vec<u16> {
        let largest = u16::MAX >> (16 - self.bits.min(16));
        let mut last: Option<u16> = None;
        let add = |code: &u16| {
            let sample = match last {
                None => *code,
                Some(before) => unfolded(*code, before, largest),
            };
            last = Some(sample);
            sample
        };
        codes.iter().map(add).collect()
    }
}

/// The sample after `before`: even codes are steps up, odd ones steps down, until one side is exhausted.
const fn unfolded(code: u16, before: u16, largest: u16) -> u16 {
    let to_top = largest.wrapping_sub(before);
    let nearer = if before < to_top { before } else { to_top };
    let step = code / 2 + code % 2;
    if step <= nearer && code % 2 == 0 {
        before.wrapping_add(step)
    } else if step <= nearer {
        before.wrapping_sub(step)
    } else if before <= largest / 2 {
        code
    } else {
        largest.wrapping_sub(code)
    }
}

/// Pairs of small samples, each pair as one code.
fn pairs_up_to(end: usize, bits: &mut BitReader<'_>, codes: &mut Vec<u16>) -> Option<()> {
    while codes.len() < end {
        let code = bits.zeros().filter(|code| *code <= MAX_PAIR)?;
        let sum = (0..).find(|sum| (sum + 1) * (sum + 2) / 2 > code)?;
        let second = code - sum * (sum + 1) / 2;
        // Behind a reference the first pair has no first sample.
        if codes.len() % 2 == 0 {
            codes.push(u16::try_from(sum - second).ok()?);
        }
        codes.push(u16::try_from(second).ok()?);
    }
    (codes.len() == end).then_some(())
}

/// Samples whose lowest `low` bits stand behind the rests of all of them.
fn split(low: u32, end: usize, bits: &mut BitReader<'_>, codes: &mut Vec<u16>) -> Option<()> {
    let start = codes.len();
    for _ in start..end {
        let high = u64::from(bits.zeros()?).checked_shl(low)?;
        codes.push(u16::try_from(high).ok()?);
    }
    for code in codes.get_mut(start..)? {
        *code |= u16::try_from(bits.take(low)?).ok()?;
    }
    Some(())
}
