//! Variable-length strings: references into the global heap, inlined as one chunk of text.

use bytes::Bytes;

use crate::decode::{DecodeOptions, SourceBuffer};
use crate::hdf5::{Dataset, Geometry, read_variable_length};
use crate::manifest::ChunkManifest;
use crate::netcdf4::data_type::element;
use crate::netcdf4::elements::{raw, raw_bytes};
use crate::netcdf4::storage::Stored;
use crate::zarr::Codec;

/// The strings of a dataset as one chunk, and whether some were not UTF-8.
///
/// # Errors
///
/// The reason why they cannot be inlined.
pub(super) async fn inlined(
    dataset: &Dataset,
    shape: &[u64],
    geometry: Geometry,
    buffer: &SourceBuffer,
    options: &DecodeOptions,
) -> Result<(Stored, bool), String> {
    let limit = options.inline_max_bytes;
    let too_large = |bytes: u64| {
        format!("its strings take {bytes} bytes, more than the {limit} that are inlined")
    };
    let total = raw_bytes(dataset, shape).unwrap_or(u64::MAX);
    if total > limit {
        return Err(too_large(total));
    }
    let elements = references(dataset, shape, buffer).await?;
    let strings = read_variable_length(buffer, geometry, &elements)
        .await
        .map_err(|error| error.to_string())?;
    let text: u64 = strings.iter().fold(0, |sum, s| {
        sum.saturating_add(u64::try_from(s.len()).unwrap_or(u64::MAX))
    });
    if text > limit {
        return Err(too_large(text));
    }
    let invalid = strings.iter().any(|string| str::from_utf8(string).is_err());
    let chunks = match strings.is_empty() {
        true => ChunkManifest::new(),
        false => ChunkManifest::inlined(encode(&strings)?),
    };
    let stored = Stored {
        chunk_shape: shape.iter().map(|length| (*length).max(1)).collect(),
        codecs: vec![Codec::VlenUtf8],
        chunks,
    };
    Ok((stored, invalid))
}

/// The reference of every element, in C order.
async fn references(
    dataset: &Dataset,
    shape: &[u64],
    buffer: &SourceBuffer,
) -> Result<Vec<Bytes>, String> {
    let size = usize::try_from(element(&dataset.datatype).size).unwrap_or(usize::MAX);
    let elements = Bytes::from(raw(dataset, shape, buffer).await?);
    let references = elements.chunks_exact(size.max(1));
    Ok(references.map(|one| elements.slice_ref(one)).collect())
}

/// The form of numcodecs' `vlen-utf8`: a count, then each string with its length in front; all 32 bits little-endian.
fn encode(strings: &[Bytes]) -> Result<Bytes, String> {
    let word = |length: usize| u32::try_from(length).map_err(|error| error.to_string());
    let mut out = word(strings.len())?.to_le_bytes().to_vec();
    for string in strings {
        // netCDF's strings end at a zero byte.
        let end = string.iter().position(|byte| *byte == 0);
        let string = string
            .get(..end.unwrap_or(string.len()))
            .unwrap_or_default();
        let text = String::from_utf8_lossy(string);
        out.extend_from_slice(&word(text.len())?.to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    Ok(Bytes::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `VLenUTF8().encode(np.array(["a", "", "bé"], object))` of numcodecs 0.17.1.
    #[test]
    fn strings_are_encoded_as_numcodecs_does() {
        let strings = ["a", "", "bé\0rest"].map(|text| Bytes::from_static(text.as_bytes()));
        let expected = b"\x03\0\0\0\x01\0\0\0a\0\0\0\0\x03\0\0\0b\xc3\xa9";
        assert_eq!(encode(&strings).unwrap().as_ref(), expected);
    }
}
