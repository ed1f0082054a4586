//! Decodes single chunks: what a Zarr reader decodes, and what only HDF5 does.
//!
//! Compression comes from crates; HDF5's own packings and framings are the modules below. What a chunk states of itself
//! is a claim: nothing decodes to much more than its shape asks for.

mod bits;
mod bitshuffle;
mod blosc;
mod blosclz;
mod lz4;
mod lzf;
mod nbit;
mod scale_offset;
mod szip;

use std::io::Read;

use super::Codec;
use super::checksum::fletcher32;

pub(crate) use bitshuffle::{Bitshuffled, Inner};
pub(super) use lz4::encode as lz4_stored;
pub(super) use lzf::encode as lzf_stored;
pub(crate) use nbit::Packed;
pub(crate) use scale_offset::Scaled;
pub(super) use szip::encode as szip_stored;

/// Why a chunk cannot be decoded or encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// This crate has no decoder for the codec.
    #[error("no decoder for {0}")]
    NoDecoder(&'static str),
    /// This crate writes nothing with the codec.
    #[error("no encoder for {0}")]
    NoEncoder(&'static str),
    /// The bytes are not what the codec writes.
    #[error("{codec}: {problem}")]
    Damaged {
        /// The codec that gave up.
        codec: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The decoded chunk has not the size that its shape asks for.
    #[error("the chunk decodes to {actual} bytes, its shape asks for {expected}")]
    Size {
        /// Bytes that the shape and the type ask for.
        expected: u64,
        /// Bytes that came out.
        actual: u64,
    },
}

/// Bytes that codecs may put around a chunk between two of them: checksums, and frames of what did not compress.
const SLACK: u64 = 1 << 16;

/// Decodes the bytes of a chunk through `codecs` backwards into exactly `size` bytes.
///
/// # Errors
///
/// [`CodecError`]; never allocates much more than `size`.
pub fn decode_chunk(bytes: &[u8], codecs: &[Codec], size: u64) -> Result<Vec<u8>, CodecError> {
    let data = backwards(bytes, codecs, size, decode)?;
    match codecs {
        [Codec::VlenUtf8, ..] => Ok(data),
        _ => of_size(data, size),
    }
}

/// As [`decode_chunk`], through filters of HDF5.
pub(crate) fn decode_stages(
    bytes: &[u8],
    stages: &[Stage],
    size: u64,
) -> Result<Vec<u8>, CodecError> {
    of_size(backwards(bytes, stages, size, decode_stage)?, size)
}

/// A filter of HDF5 that is undone here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// One that is a codec of Zarr too.
    Codec(Codec),
    /// Bitshuffle.
    Bitshuffle(Bitshuffled),
    /// nbit.
    Nbit(Packed),
    /// scaleoffset.
    ScaleOffset(Scaled),
}

impl Stage {
    /// Whether this crate has a decoder for it.
    pub(crate) const fn is_decodable(&self) -> bool {
        !matches!(self, Self::Codec(Codec::Blosc2Nd))
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Codec(codec) => codec.name(),
            Self::Bitshuffle(_) => "bitshuffle",
            Self::Nbit(_) => "nbit",
            Self::ScaleOffset(_) => "scaleoffset",
        }
    }
}

fn backwards<T>(
    bytes: &[u8],
    steps: &[T],
    size: u64,
    decode: impl Fn(&T, &[u8], u64) -> Result<Vec<u8>, CodecError>,
) -> Result<Vec<u8>, CodecError> {
    let limit = size.saturating_add(SLACK).saturating_add(size / 64);
    let mut data = None;
    for step in steps.iter().rev() {
        data = Some(decode(step, data.as_deref().unwrap_or(bytes), limit)?);
    }
    Ok(data.unwrap_or_else(|| bytes.to_vec()))
}

fn of_size(data: Vec<u8>, expected: u64) -> Result<Vec<u8>, CodecError> {
    match length(&data) {
        actual if actual == expected => Ok(data),
        actual => Err(CodecError::Size { expected, actual }),
    }
}

fn decode_stage(stage: &Stage, bytes: &[u8], limit: u64) -> Result<Vec<u8>, CodecError> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let decoded = match stage {
        Stage::Codec(codec) => return decode(codec, bytes, limit),
        Stage::Bitshuffle(how) => bitshuffle::decode(bytes, *how, most),
        Stage::Nbit(packed) => nbit::decode(bytes, packed, most),
        Stage::ScaleOffset(scaled) => scale_offset::decode(bytes, *scaled, most),
    };
    decoded.map_err(|problem| CodecError::Damaged {
        codec: stage.name(),
        problem,
    })
}

fn decode(codec: &Codec, bytes: &[u8], limit: u64) -> Result<Vec<u8>, CodecError> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    match codec {
        Codec::Shuffle { element_size } => Ok(unshuffle(bytes, *element_size)),
        Codec::Zlib { .. } => read(codec, flate2::read::ZlibDecoder::new(bytes), limit),
        Codec::Bz2 { .. } => read(codec, bzip2::read::MultiBzDecoder::new(bytes), limit),
        Codec::Zstd { .. } => {
            let frame = ruzstd::decoding::StreamingDecoder::new(bytes);
            read(codec, frame.map_err(|error| damaged(codec, error))?, limit)
        }
        Codec::Fletcher32 => verify(codec, bytes),
        Codec::VlenUtf8 => Ok(bytes.to_vec()),
        Codec::Lzf => own(codec, lzf::decode(bytes, most)),
        Codec::Lz4H5 => own(codec, lz4::decode(bytes, most)),
        Codec::Szip(how) => own(codec, szip::decode(bytes, *how, most)),
        Codec::Blosc { .. } => own(codec, blosc::decode(bytes, most)),
        Codec::Blosc2Nd => Err(CodecError::NoDecoder(codec.name())),
    }
}

fn own(codec: &Codec, decoded: Result<Vec<u8>, String>) -> Result<Vec<u8>, CodecError> {
    decoded.map_err(|problem| damaged(codec, problem))
}

/// A big-endian number of `N` bytes at the start, and what follows.
fn big_endian<const N: usize>(bytes: &[u8]) -> Result<(usize, &[u8]), String> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or("a size is cut off")?;
    let claim = head
        .iter()
        .fold(0u64, |value, byte| (value << 8) | u64::from(*byte));
    Ok((usize::try_from(claim).unwrap_or(usize::MAX), rest))
}

pub(super) fn damaged(codec: &Codec, error: impl std::fmt::Display) -> CodecError {
    CodecError::Damaged {
        codec: codec.name(),
        problem: error.to_string(),
    }
}

/// Everything that a decoder gives, as long as it is not more than `limit` bytes.
fn read(codec: &Codec, decoder: impl Read, limit: u64) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    let mut bounded = decoder.take(limit.saturating_add(1));
    let got = bounded.read_to_end(&mut out);
    got.map_err(|error| damaged(codec, error))?;
    match length(&out) > limit {
        true => Err(damaged(
            codec,
            format!("more than {limit} bytes came out of it"),
        )),
        false => Ok(out),
    }
}

fn unshuffle(bytes: &[u8], element_size: u32) -> Vec<u8> {
    transpose(bytes, element_size, |element, byte, count, size| {
        (byte * count + element, element * size + byte)
    })
}

pub(super) fn transpose(
    bytes: &[u8],
    element_size: u32,
    places: impl Fn(usize, usize, usize, usize) -> (usize, usize),
) -> Vec<u8> {
    let size = usize::try_from(element_size).unwrap_or(usize::MAX);
    let count = bytes.len().checked_div(size).unwrap_or(0);
    let mut out = bytes.to_vec();
    if size < 2 || count < 2 {
        return out;
    }
    for byte in 0..size {
        for element in 0..count {
            let (from, to) = places(element, byte, count, size);
            if let (Some(to), Some(from)) = (out.get_mut(to), bytes.get(from)) {
                *to = *from;
            }
        }
    }
    out
}

/// Takes the checksum off and compares it.
fn verify(codec: &Codec, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let (data, sum) = bytes
        .split_last_chunk::<4>()
        .ok_or_else(|| damaged(codec, "the chunk is shorter than its checksum"))?;
    let (stored, actual) = (u32::from_le_bytes(*sum), fletcher32(data));
    match stored == actual {
        true => Ok(data.to_vec()),
        false => Err(damaged(
            codec,
            format!("checksum {stored:08x} does not match {actual:08x}"),
        )),
    }
}

pub(super) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::zarr::encode_chunk;
    use crate::zarr::sample::unhex;

    const SHUFFLE: Codec = Codec::Shuffle { element_size: 2 };
    const ZLIB: Codec = Codec::Zlib { level: 1 };
    const ZSTD: Codec = Codec::Zstd { level: 1 };
    const BZ2: Codec = Codec::Bz2 { level: 1 };

    /// 1 to 8 as little-endian 16-bit numbers.
    fn plain() -> Vec<u8> {
        (1..=8u16).flat_map(u16::to_le_bytes).collect()
    }

    /// Encoded by numcodecs 0.17.1 with `Shuffle(2)`, `Zlib`, `Zstd(1)`, `BZ2(1)` and `Fletcher32()`.
    #[rstest]
    #[case::zlib(&[SHUFFLE, ZLIB], "785e63646266616563e76080020001a80025")]
    #[case::zstd(&[ZSTD], "28b52ffd201081000001000200030004000500060007000800")]
    #[case::bzip2(&[BZ2],
        "425a6831314159265359f48c400b00000440007fc0200021a068f50832620abc7bc092f177245385090f48c400b0")]
    #[case::checksum(&[SHUFFLE, Codec::Fletcher32], "010203040506070800000000000000001410785e")]
    #[case::netcdf_c(&[SHUFFLE, ZLIB, Codec::Fletcher32], "780163646266616563e76080020001a80025666758cb")]
    #[case::nothing(&[], "01000200030004000500060007000800")]
    fn what_numcodecs_encodes_is_decoded(#[case] codecs: &[Codec], #[case] encoded: &str) {
        assert_eq!(decode_chunk(&unhex(encoded), codecs, 16).unwrap(), plain());
    }

    #[rstest]
    #[case::shuffle(&[SHUFFLE])]
    #[case::netcdf_c(&[SHUFFLE, ZLIB, Codec::Fletcher32])]
    #[case::zstd(&[ZSTD])]
    #[case::bzip2(&[BZ2])]
    #[case::lzf(&[SHUFFLE, Codec::Lzf])]
    #[case::lz4(&[Codec::Lz4H5, Codec::Fletcher32])]
    fn what_is_encoded_here_is_decoded_here(#[case] codecs: &[Codec]) {
        let long: Vec<u8> = (0..300_001u32).map(|i| i.to_le_bytes()[1]).collect();
        for data in [plain(), vec![], vec![7], vec![0; 300_000], long] {
            let encoded = encode_chunk(&data, codecs).unwrap();
            assert_eq!(decode_chunk(&encoded, codecs, length(&data)).unwrap(), data);
        }
    }

    #[rstest]
    #[case::too_long(&[], &[0; 17])]
    #[case::too_short(&[], &[0; 15])]
    #[case::checksum_differs(&[Codec::Fletcher32], &[1; 20])]
    #[case::no_zlib_stream(&[ZLIB], &[1; 20])]
    #[case::nothing_to_decode(&[ZSTD], &[])]
    #[case::unknown(&[Codec::Blosc2Nd], &[0; 16])]
    fn other_bytes_are_refused(#[case] codecs: &[Codec], #[case] bytes: &[u8]) {
        decode_chunk(bytes, codecs, 16).unwrap_err();
    }

    #[test]
    fn a_stream_that_swells_is_cut_off() {
        let swollen = encode_chunk(&vec![0; 10 << 20], &[ZLIB]).unwrap();
        let error = decode_chunk(&swollen, &[ZLIB], 16).unwrap_err();
        assert!(matches!(error, CodecError::Damaged { codec: "gzip", .. }));
    }
}
