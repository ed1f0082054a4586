//! Whether the decoder works here: a small file that is built in is decoded, and compared with what h5py says of it.

use std::sync::OnceLock;

use bytes::Bytes;
use serde::Deserialize;
use virtualize::zarr::decode_chunk;
use virtualize::{
    ByteRange, ChunkEntry, DecodeOptions, Decoded, MetadataDecoder, VirtualArray, VirtualDataset,
};

/// A NetCDF-4 file, made by `tests/fixtures/make_self_test.py`.
const FILE: &[u8] = include_bytes!("../tests/fixtures/self_test/small.nc");

/// What it holds, as h5py reads it.
const EXPECTED: &str = include_str!("../tests/fixtures/self_test/small.json");

/// The variable of the file.
#[derive(Debug, Deserialize)]
struct Expected {
    shape: Vec<u64>,
    chunks: Vec<ExpectedChunk>,
}

#[derive(Debug, Deserialize)]
struct ExpectedChunk {
    offset: u64,
    length: u64,
    /// Its bytes, decoded and in hexadecimal digits.
    decoded: String,
}

/// Decodes the file, once in the life of a process.
///
/// # Errors
///
/// Says what is not as it should be.
pub(crate) fn decoder_works() -> Result<(), String> {
    static RESULT: OnceLock<Result<(), String>> = OnceLock::new();
    RESULT
        .get_or_init(|| compare(Bytes::from_static(FILE), EXPECTED))
        .clone()
}

fn compare(file: Bytes, expected: &str) -> Result<(), String> {
    let expected: Expected = serde_json::from_str(expected).map_err(|error| error.to_string())?;
    let dataset = decode(&file)?;
    let array = dataset
        .root
        .arrays
        .get("v")
        .ok_or("the variable is not found")?;
    if array.shape != expected.shape {
        return Err(format!(
            "the shape is {:?}, not {:?}",
            array.shape, expected.shape
        ));
    }
    if array.chunks.len() != expected.chunks.len() {
        return Err(format!(
            "{} chunks are found, not {}",
            array.chunks.len(),
            expected.chunks.len()
        ));
    }
    for (number, wanted) in (0..).zip(&expected.chunks) {
        let decoded = read(&file, array, number, wanted)
            .map_err(|error| format!("chunk {number}: {error}"))?;
        if decoded != wanted.decoded {
            return Err(format!("chunk {number} decodes to other values"));
        }
    }
    Ok(())
}

fn decode(file: &Bytes) -> Result<VirtualDataset, String> {
    let length = u64::try_from(file.len()).map_err(|error| error.to_string())?;
    let mut decoder = MetadataDecoder::new(length, DecodeOptions::default());
    decoder.push(ByteRange::new(0, length), file.clone());
    match decoder.decode().map_err(|error| error.to_string())? {
        Decoded::Done(dataset) => Ok(dataset),
        Decoded::NeedsData(_) => Err(String::from("the decoder wants more than the file")),
    }
}

/// A chunk in hexadecimal digits, if it lies where it should.
fn read(
    file: &Bytes,
    array: &VirtualArray,
    number: u64,
    wanted: &ExpectedChunk,
) -> Result<String, String> {
    let found = array.chunks.get(number);
    let range = ByteRange::new(wanted.offset, wanted.length);
    if !matches!(&found, ChunkEntry::Virtual { range: found, .. } if *found == range) {
        return Err(format!("{found:?} is not at {}+{}", range.start, range.len));
    }
    let (start, end) = (usize::try_from(range.start), usize::try_from(range.end()));
    let span = start.ok().zip(end.ok()).map(|(start, end)| start..end);
    let bytes = span
        .and_then(|span| file.get(span))
        .ok_or("the file is cut")?;
    let size = array.chunk_nbytes().ok_or("its size overflows")?;
    let decoded = decode_chunk(bytes, &array.codecs, size).map_err(|error| error.to_string())?;
    Ok(decoded.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decoder_works() {
        assert_eq!(decoder_works(), Ok(()));
    }

    #[test]
    fn a_file_that_is_cut_fails() {
        let end = FILE.len() / 2;
        assert!(compare(Bytes::from_static(&FILE[..end]), EXPECTED).is_err());
    }

    #[test]
    fn a_chunk_that_decodes_to_something_else_fails() {
        let expected: Expected = serde_json::from_str(EXPECTED).unwrap();
        let mut file = FILE.to_vec();
        let middle = expected.chunks[1].offset + expected.chunks[1].length / 2;
        file[usize::try_from(middle).unwrap()] ^= 0x10;
        let error = compare(file.into(), EXPECTED).unwrap_err();
        assert!(error.starts_with("chunk 1"), "{error}");
    }

    #[test]
    fn a_chunk_that_is_elsewhere_fails() {
        let first = serde_json::from_str::<Expected>(EXPECTED).unwrap().chunks[0].offset;
        let moved = EXPECTED.replace(&format!("\"offset\": {first}"), "\"offset\": 7");
        assert_ne!(moved, EXPECTED);
        let error = compare(Bytes::from_static(FILE), &moved).unwrap_err();
        assert!(error.starts_with("chunk 0"), "{error}");
    }
}
