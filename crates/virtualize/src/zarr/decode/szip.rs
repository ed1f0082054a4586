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
    let (size, stream) = bytes
        .split_first_chunk::<4>()
        .ok_or("its size is cut off")?;
    let size = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
    if size > limit {
        return Err(format!("it states {size} bytes, of {limit} at most"));
    }
    let (coding, line) = coding(how).ok_or("its parameters make no sense")?;
    let sample = match coding.bits {
        0..=8 => 1,
        9..=16 => 2,
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
        (_, true) => samples
            .iter()
            .flat_map(|value| value.to_be_bytes())
            .collect(),
        (_, false) => samples
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
    };
    out.truncate(size);
    Ok(interleaved(out, how.bits_per_pixel))
}

/// The coding, and the samples of a line.
fn coding(how: SzipParameters) -> Option<(Coding, usize)> {
    let block = usize::try_from(how.pixels_per_block).ok()?;
    let line = usize::try_from(how.pixels_per_scanline).ok()?;
    // A pair starts with an even sample, so blocks are even.
    let sound =
        (2..=64).contains(&block) && block.is_multiple_of(2) && (1..=1 << 16).contains(&line);
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

    /// One line of samples in blocks that are not compressed, the last one filled up.
    fn store(self, line: &[u16], out: &mut BitWriter) {
        let id_bits = if self.bits > 8 { 4 } else { 3 };
        let mut last = None;
        for at in 0..self.blocks.saturating_mul(self.block) {
            if at % self.block == 0 {
                out.push(u16::MAX, id_bits);
            }
            let sample = line.get(at).copied().or(last).unwrap_or(0);
            let code = match last.filter(|_| self.differences) {
                None => sample,
                Some(before) => folded(sample, before, self.largest()),
            };
            out.push(code, self.bits);
            last = Some(sample);
        }
    }

    const fn largest(self) -> u16 {
        u16::MAX >> (16 - self.bits)
    }

    /// The samples from their differences, which are folded so that all are positive.
    fn integrated(self, codes: &[u16]) -> Vec<u16> {
        let largest = self.largest();
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

/// What [`unfolded`] makes `sample` of.
const fn folded(sample: u16, before: u16, largest: u16) -> u16 {
    let to_top = largest.wrapping_sub(before);
    let nearer = if before < to_top { before } else { to_top };
    let step = sample.abs_diff(before);
    if step > nearer {
        nearer.wrapping_add(step)
    } else if sample >= before {
        step.wrapping_mul(2)
    } else {
        step.wrapping_mul(2).wrapping_sub(1)
    }
}

/// The sample after `before`: even codes are steps up, odd ones steps down, until one side is exhausted.
const fn unfolded(code: u16, before: u16, largest: u16) -> u16 {
    let to_top = largest.wrapping_sub(before);
    let nearer = if before < to_top { before } else { to_top };
    let step = code / 2 + code % 2;
    if step <= nearer && code.is_multiple_of(2) {
        before.wrapping_add(step)
    } else if step <= nearer {
        before.wrapping_sub(step)
    } else if before <= largest / 2 {
        code
    } else {
        largest.wrapping_sub(code)
    }
}

/// A chunk in blocks that are stored as they are, but for the differences between samples.
pub(in crate::zarr) fn encode(bytes: &[u8], how: SzipParameters) -> Option<Vec<u8>> {
    let (coding, line) = coding(how)?;
    let plain = match how.bits_per_pixel {
        32 => crate::zarr::encode::shuffle(bytes, 4),
        64 => crate::zarr::encode::shuffle(bytes, 8),
        _ => bytes.to_vec(),
    };
    let is_big = how.options_mask & BIG_ENDIAN != 0;
    let number = |bytes: &[u8]| match (bytes, is_big) {
        ([high, low], true) | ([low, high], false) => u16::from_le_bytes([*low, *high]),
        _ => bytes.first().copied().map_or(0, u16::from),
    };
    let size = if coding.bits > 8 { 2 } else { 1 };
    let samples: Vec<u16> = plain.chunks(size).map(number).collect();
    let mut out = BitWriter::default();
    out.bytes
        .extend(u32::try_from(bytes.len()).ok()?.to_le_bytes());
    for line in samples.chunks(line) {
        coding.store(line, &mut out);
    }
    Some(out.bytes)
}

/// Bits behind each other, the most significant first.
#[derive(Debug, Default)]
struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that are free in the last byte.
    free: u32,
}

impl BitWriter {
    fn push(&mut self, value: u16, count: u32) {
        for bit in (0..count).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from((value >> bit) & 1 == 1) << self.free;
            }
        }
    }
}

/// Pairs of small samples, each pair as one code.
fn pairs_up_to(end: usize, bits: &mut BitReader<'_>, codes: &mut Vec<u16>) -> Option<()> {
    while codes.len() < end {
        let code = bits.zeros().filter(|code| *code <= MAX_PAIR)?;
        let sum = (0..).find(|sum| (sum + 1) * (sum + 2) / 2 > code)?;
        let second = code - sum * (sum + 1) / 2;
        // Behind a reference the first pair has no first sample.
        if codes.len().is_multiple_of(2) {
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::zarr::sample::unhex;

    const fn how(options_mask: u32, block: u32, bits: u32, line: u32) -> SzipParameters {
        SzipParameters {
            options_mask,
            pixels_per_block: block,
            bits_per_pixel: bits,
            pixels_per_scanline: line,
        }
    }

    /// Chunks of files that h5py 3.16.0 wrote.
    #[rstest]
    #[case::bytes(
        how(169, 8, 8, 40), "28000000601555eaa9aaaad5554800ffacdb6d3ff6db6da6003fdaddb6",
        (0..40u8).map(|i| i * 3 % 50).collect())]
    #[case::big_endian_without_differences(
        how(149, 8, 16, 40),
        "500000008d222180c921610e9600452221f2485843a5801926a9f905921e8b000c9912a9e96487a2c003264164a9eb21e8b000c9905920",
        (0..40u16).flat_map(|i| (i % 7 * 100).to_be_bytes()).collect())]
    #[case::lines_filled_up(
        how(169, 4, 32, 11),
        "b00000003f791899cff1f00ff800118902999c4641b2313387f90ffe01ff00001000200043fc87ff00ff80000800100021fe43ff807fc0000400080010",
        (0..44i32).flat_map(|i| (i / 3 - 5).to_le_bytes()).collect())]
    #[case::run_of_zeros(
        how(169, 8, 8, 640), "80020000000080009a49249249249249249249249249249248",
        std::iter::repeat_n(0, 600).chain(0..40u8).collect())]
    fn chunks_of_files_are_decoded(
        #[case] how: SzipParameters,
        #[case] stored: &str,
        #[case] plain: Vec<u8>,
    ) {
        assert_eq!(decode(&unhex(stored), how, plain.len()).unwrap(), plain);
        let again = encode(&plain, how).unwrap();
        assert_eq!(decode(&again, how, plain.len()).unwrap(), plain);
        decode(&unhex(stored), how, plain.len() - 1).unwrap_err();
    }

    #[rstest]
    #[case::byte_by_byte(how(169, 8, 64, 10))]
    #[case::big_endian(how(48, 16, 16, 100))]
    #[case::twelve_bits(how(40, 16, 12, 33))]
    #[case::five_bits(how(8, 2, 5, 3))]
    fn what_is_encoded_here_is_decoded_here(#[case] how: SzipParameters) {
        // The bits of a sample above those that are coded are zeros.
        let mask = match how.bits_per_pixel {
            5 => [0x1f, 0x1f],
            12 => [0xff, 0x0f],
            _ => [0xff, 0xff],
        };
        let noise = (0..800u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]);
        let plain: Vec<u8> = noise
            .zip(mask.into_iter().cycle())
            .map(|(a, b)| a & b)
            .collect();
        let encoded = encode(&plain, how).unwrap();
        assert_eq!(decode(&encoded, how, plain.len()).unwrap(), plain);
    }

    #[rstest]
    #[case::no_size(how(169, 8, 8, 40), "2800")]
    #[case::no_code(how(169, 8, 8, 40), "28000000")]
    #[case::more_than_a_chunk(how(169, 8, 8, 40), "29000000601555eaa9aaaad5554800ff")]
    #[case::zeros_past_the_line(how(169, 8, 8, 40), "2800000000000001")]
    #[case::no_block(how(169, 0, 8, 40), "28000000601555eaa9aaaad5554800ff")]
    #[case::no_line(how(169, 8, 8, 0), "28000000601555eaa9aaaad5554800ff")]
    #[case::many_bits(how(169, 8, 24, 40), "28000000601555eaa9aaaad5554800ff")]
    fn other_chunks_are_refused(#[case] how: SzipParameters, #[case] stored: &str) {
        decode(&unhex(stored), how, 40).unwrap_err();
    }
}
