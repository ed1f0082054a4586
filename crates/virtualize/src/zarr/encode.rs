//! Encodes single chunks: constant ones that stand in for what is not allocated, and those whose filters no reader
//! follows.

use std::cell::RefCell;
use std::io::Write;

use flate2::{Compress, FlushCompress, Status};

use super::checksum::fletcher32;
use super::decode::{damaged, length, lz4_stored, lzf_stored, szip_stored, transpose};
use super::{Codec, CodecError};

/// Encodes the bytes of a chunk through `codecs`; for constant chunks that stand in for unallocated ones.
///
/// # Errors
///
/// [`CodecError::NoEncoder`] for a codec that is not written here.
pub fn encode_chunk(bytes: &[u8], codecs: &[Codec]) -> Result<Vec<u8>, CodecError> {
    let mut data = None;
    for codec in codecs {
        data = Some(encode(codec, data.as_deref().unwrap_or(bytes))?);
    }
    Ok(data.unwrap_or_else(|| bytes.to_vec()))
}

thread_local! {
    /// The state of the last stream: a quarter of a megabyte, whose freed places glibc does not use again where
    /// thousands are taken one after the other.
    static DEFLATE: RefCell<Option<(flate2::Compression, Compress)>> = const { RefCell::new(None) };
}

/// A zlib stream.
fn zlib(bytes: &[u8], level: flate2::Compression) -> Result<Vec<u8>, std::io::Error> {
    let last = DEFLATE.take().filter(|(of, _)| *of == level);
    let mut state = last.map_or_else(|| Compress::new(level, true), |(_, state)| state);
    state.reset();
    let mut out = Vec::with_capacity(bytes.len() / 64 + 128);
    loop {
        let done = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        let rest = bytes.get(done..).unwrap_or_default();
        match state.compress_vec(rest, &mut out, FlushCompress::Finish)? {
            Status::StreamEnd => break,
            Status::Ok | Status::BufError => out.reserve(out.len().max(4096)),
        }
    }
    DEFLATE.set(Some((level, state)));
    Ok(out)
}

fn encode(codec: &Codec, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    match codec {
        Codec::Shuffle { element_size } => Ok(shuffle(bytes, *element_size)),
        Codec::Zlib { level } => {
            let level = flate2::Compression::new((*level).min(9));
            zlib(bytes, level).map_err(|error| damaged(codec, error))
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
        Codec::Lzf => Ok(lzf_stored(bytes)),
        Codec::Lz4H5 => lz4_stored(bytes).ok_or(CodecError::NoEncoder(codec.name())),
        Codec::Szip(how) => szip_stored(bytes, *how).ok_or(CodecError::NoEncoder(codec.name())),
        Codec::Blosc2Nd => Err(CodecError::NoEncoder(codec.name())),
    }
}

/// A Blosc frame that holds the bytes as they are: version 2 with lz4 of version 1, flags (0x10 not split, 0x02 copied),
/// type size, then the sizes of the data, of its one block and of the frame.
fn blosc_frame(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let no_room = |_| CodecError::NoEncoder("blosc");
    let size = i32::try_from(bytes.len()).map_err(no_room)?;
    let frame = i32::try_from(bytes.len().saturating_add(16)).map_err(no_room)?;
    let mut out = vec![2, 1, 0x32, 1];
    for field in [size, size, frame] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(bytes);
    Ok(out)
}

fn write(codec: &Codec, encoder: &mut impl Write, bytes: &[u8]) -> Result<(), CodecError> {
    let written = encoder.write_all(bytes);
    written.map_err(|error| damaged(codec, error))
}

/// Puts the first bytes of all elements first, then the second ones, and so on; a rest that is no whole element stays
/// behind as it is.
pub(super) fn shuffle(bytes: &[u8], element_size: u32) -> Vec<u8> {
    transpose(bytes, element_size, |element, byte, count, size| {
        (element * size + byte, byte * count + element)
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zarr::sample::unhex;

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
}
