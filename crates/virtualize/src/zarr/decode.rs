//! Decodes and encodes single chunks. No compression is written here: the codecs are crates.

use std::io::{Read, Write};

use super::Codec;
use super::checksum::fletcher32;

/// Why a chunk cannot be decoded or encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// This crate has no decoder for the codec.
    #[error("no decoder for {0}")]
    NoDecoder(&'static str),
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
    let limit = size.saturating_add(SLACK).saturating_add(size / 64);
    let mut data = None;
    for codec in codecs.iter().rev() {
        data = Some(decode(codec, data.as_deref().unwrap_or(bytes), limit)?);
    }
    let data = data.unwrap_or_else(|| bytes.to_vec());
    let is_text = matches!(codecs, [Codec::VlenUtf8, ..]);
    match length(&data) {
        actual if actual != size && !is_text => Err(CodecError::Size {
            expected: size,
            actual,
        }),
        _ => Ok(data),
    }
}

/// Encodes the bytes of a chunk through `codecs`; for constant chunks that stand in for unallocated ones.
///
/// # Errors
///
/// [`CodecError::NoDecoder`] for a codec that is not written here.
pub fn encode_chunk(bytes: &[u8], codecs: &[Codec]) -> Result<Vec<u8>, CodecError> {
    let mut data = None;
    for codec in codecs {
        data = Some(encode(codec, data.as_deref().unwrap_or(bytes))?);
    }
    Ok(data.unwrap_or_else(|| bytes.to_vec()))
}

fn decode(codec: &Codec, bytes: &[u8], limit: u64) -> Result<Vec<u8>, CodecError> {
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
        Codec::Blosc { .. } => Err(CodecError::NoDecoder(codec.name())),
    }
}

fn encode(codec: &Codec, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    match codec {
        Codec::Shuffle { element_size } => Ok(shuffle(bytes, *element_size)),
        Codec::Zlib { level } => {
            let level = flate2::Compression::new((*level).min(9));
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            write(codec, &mut encoder, bytes)?;
            encoder.finish().map_err(|error| damaged(codec, error))
        }
        Codec::Bz2 { level } => {
            let level = bzip2::Compression::new((*level).clamp(1, 9));
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), level);
            write(codec, &mut encoder, bytes)?;
            encoder.finish().map_err(|error| damaged(codec, error))
        }
        Codec::Zstd { .. } => Ok(zstd_frame(bytes)),
        Codec::Fletcher32 => {
            let mut out = bytes.to_vec();
            out.extend_from_slice(&fletcher32(bytes).to_le_bytes());
            Ok(out)
        }
        Codec::VlenUtf8 => Ok(bytes.to_vec()),
        Codec::Blosc { .. } => blosc_frame(bytes),
    }
}

/// A Blosc frame that holds the bytes as they are: version 2 with lz4 of version 1, flags (0x10 not split, 0x02 copied),
/// type size, then the sizes of the data, of its one block and of the frame.
fn blosc_frame(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let no_room = |_| CodecError::NoDecoder("blosc");
    let size = i32::try_from(bytes.len()).map_err(no_room)?;
    let frame = i32::try_from(bytes.len().saturating_add(16)).map_err(no_room)?;
    let mut out = vec![2, 1, 0x32, 1];
    for field in [size, size, frame] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(bytes);
    Ok(out)
}

fn damaged(codec: &Codec, error: impl std::fmt::Display) -> CodecError {
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

fn write(codec: &Codec, encoder: &mut impl Write, bytes: &[u8]) -> Result<(), CodecError> {
    let written = encoder.write_all(bytes);
    written.map_err(|error| damaged(codec, error))
}

/// Puts the first bytes of all elements first, then the second ones, and so on; a rest that is no whole element stays
/// behind as it is.
fn shuffle(bytes: &[u8], element_size: u32) -> Vec<u8> {
    transpose(bytes, element_size, |element, byte, count, size| {
        (element * size + byte, byte * count + element)
    })
}

fn unshuffle(bytes: &[u8], element_size: u32) -> Vec<u8> {
    transpose(bytes, element_size, |element, byte, count, size| {
        (byte * count + element, element * size + byte)
    })
}

fn transpose(
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

/// A Zstandard frame that states its size, of blocks that are stored or, where all bytes are the same, repeated.
/// (ruzstd writes frames without their size, which older numcodecs refuse.)
fn zstd_frame(bytes: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 128 << 10;
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    out.extend_from_slice(&length(bytes).to_le_bytes());
    let mut blocks = bytes.chunks(BLOCK).peekable();
    if blocks.peek().is_none() {
        out.extend_from_slice(&[1, 0, 0]);
    }
    while let Some(block) = blocks.next() {
        let last = u32::from(blocks.peek().is_none());
        let size = u32::try_from(block.len()).unwrap_or(0);
        let repeated = block
            .first()
            .filter(|first| block.iter().all(|b| b == *first));
        let header = (size << 3) | (u32::from(repeated.is_some()) << 1) | last;
        out.extend(header.to_le_bytes().iter().take(3));
        match repeated {
            Some(byte) => out.push(*byte),
            None => out.extend_from_slice(block),
        }
    }
    out
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SHUFFLE: Codec = Codec::Shuffle { element_size: 2 };
    const ZLIB: Codec = Codec::Zlib { level: 1 };
    const ZSTD: Codec = Codec::Zstd { level: 1 };
    const BZ2: Codec = Codec::Bz2 { level: 1 };

    /// 1 to 8 as little-endian 16-bit numbers.
    fn plain() -> Vec<u8> {
        (1..=8u16).flat_map(u16::to_le_bytes).collect()
    }

    fn unhex(text: &str) -> Vec<u8> {
        let pairs = text.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        pairs.map(byte).collect()
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
    fn what_is_encoded_here_is_decoded_here(#[case] codecs: &[Codec]) {
        let long: Vec<u8> = (0..300_001u32).map(|i| i.to_le_bytes()[1]).collect();
        for data in [plain(), vec![], vec![7], vec![0; 300_000], long] {
            let encoded = encode_chunk(&data, codecs).unwrap();
            assert_eq!(decode_chunk(&encoded, codecs, length(&data)).unwrap(), data);
        }
    }

    /// `Zstd().decode` of numcodecs 0.17.1 gives five bytes 7 for it.
    #[test]
    fn repeated_bytes_make_a_short_zstd_frame() {
        let expected = unhex("28b52ffde005000000000000002b000007");
        assert_eq!(zstd_frame(&[7; 5]), expected);
    }

    /// `blosc.compress` of numcodecs 0.17.1 with level 0. A variable with blosc was refused as soon as one chunk was
    /// not allocated, or had not been compressible and left the filter out.
    #[test]
    fn blosc_frames_hold_bytes_as_they_are() {
        let codec = Codec::Blosc {
            cname: String::from("lz4"),
            clevel: 5,
            shuffle: 1,
        };
        let expected = unhex("02013201030000000300000013000000070707");
        assert_eq!(encode_chunk(&[7; 3], &[codec]).unwrap(), expected);
    }

    #[rstest]
    #[case::too_long(&[], &[0; 17])]
    #[case::too_short(&[], &[0; 15])]
    #[case::checksum_differs(&[Codec::Fletcher32], &[1; 20])]
    #[case::no_zlib_stream(&[ZLIB], &[1; 20])]
    #[case::nothing_to_decode(&[ZSTD], &[])]
    #[case::unknown(&[Codec::Blosc { cname: String::new(), clevel: 1, shuffle: 1 }], &[0; 16])]
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
