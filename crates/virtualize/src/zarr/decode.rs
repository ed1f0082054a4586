//! Decodes and encodes single chunks. No compression is written here: the codecs are crates.

use super::Codec;

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

/// Decodes the bytes of a chunk through `codecs` backwards into exactly `size` bytes.
///
/// # Errors
///
/// [`CodecError`]; never allocates much more than `size`.
pub fn decode_chunk(bytes: &[u8], codecs: &[Codec], size: u64) -> Result<Vec<u8>, CodecError> {
    let _ = (bytes, size);
    Err(CodecError::NoDecoder(
        codecs.first().map_or("nothing", Codec::name),
    ))
}

/// Encodes the bytes of a chunk through `codecs`; for constant chunks that stand in for unallocated ones.
///
/// # Errors
///
/// [`CodecError::NoDecoder`] for a codec that is not written here.
pub fn encode_chunk(bytes: &[u8], codecs: &[Codec]) -> Result<Vec<u8>, CodecError> {
    let _ = bytes;
    Err(CodecError::NoDecoder(
        codecs.first().map_or("nothing", Codec::name),
    ))
}
