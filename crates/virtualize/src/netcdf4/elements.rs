//! The elements of a small dataset as they stand in the file, for what has no form as chunks of a Zarr array.

use crate::dataset::{Attributes, Layout, VirtualArray, product};
use crate::decode::SourceBuffer;
use crate::hdf5::Dataset;
use crate::inline::{in_proportion, read_values};
use crate::netcdf4::data_type::element;
use crate::netcdf4::fill::source_fill;
use crate::netcdf4::storage::{Extent, Stored, stored};
use crate::zarr::DataType;

/// The bytes that the elements of a dataset take in the file; `None` if that overflows.
pub(super) fn raw_bytes(dataset: &Dataset, shape: &[u64]) -> Option<u64> {
    product(shape)?.checked_mul(u64::from(element(&dataset.datatype).size))
}

/// All elements in C order; `shape` has the lengths of an array type in it. The caller has found their size harmless.
///
/// # Errors
///
/// The reason why they cannot be read.
pub(super) async fn raw(
    dataset: &Dataset,
    shape: &[u64],
    buffer: &SourceBuffer,
) -> Result<Vec<u8>, String> {
    let element_size = u64::from(element(&dataset.datatype).size);
    let extent = Extent {
        shape,
        element_size,
    };
    let mut array = as_array(stored(dataset, extent, buffer).await?, extent);
    // netCDF's own chunks are large where several dimensions can grow, and nothing may have been written yet.
    if array.is_empty() {
        return Ok(Vec::new());
    }
    if !in_proportion(&array) {
        return Err(String::from("its chunks are far larger than it is"));
    }
    let chunks = u64::try_from(array.chunks.len()).ok();
    if product(&array.chunk_grid()) != chunks {
        array.fill_value = Some(source_fill(dataset, element_size)?);
    }
    let values = read_values(&array, buffer).await;
    values.map_err(|error| error.to_string())
}

fn as_array(stored: Stored, extent: Extent<'_>) -> VirtualArray {
    VirtualArray {
        shape: extent.shape.to_vec(),
        chunk_shape: stored.chunk_shape,
        data_type: DataType::Opaque(extent.element_size),
        fill_value: None,
        codecs: stored.codecs,
        dimension_names: Vec::new(),
        attributes: Attributes::new(),
        chunks: stored.chunks,
        layout: Layout::Contiguous,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::hdf5::{FillValue, Storage};
    use crate::netcdf4::sample;

    /// Six elements of four bytes, of which the second pair is stored.
    fn holey(chunk: u64, fill: FillValue) -> Dataset {
        Dataset {
            storage: sample::chunked(&[chunk], &[(1, 0, chunk * 4, 0)]),
            fill,
            ..sample::dataset(1, &[6])
        }
    }

    fn read(dataset: &Dataset) -> Result<Vec<u8>, String> {
        let buffer = SourceBuffer::new(8 << 20, 8 << 20);
        buffer.push(0, Bytes::from(vec![7; 8 << 20]));
        let elements = raw(dataset, &[6], &buffer).now_or_never();
        elements.expect("every byte is there")
    }

    #[rstest]
    #[case::nothing_defined(FillValue::Undefined, 0)]
    #[case::zeros(FillValue::Default, 0)]
    #[case::a_value(FillValue::User(Bytes::from_static(&[5; 4])), 5)]
    fn what_is_not_stored_has_the_fill_value(#[case] fill: FillValue, #[case] byte: u8) {
        let expected = [vec![byte; 8], vec![7; 8], vec![byte; 8]].concat();
        assert_eq!(read(&holey(2, fill)).unwrap(), expected);
    }

    /// Text that nothing was written of yet was refused for netCDF's own chunks, of megabytes.
    #[test]
    fn of_nothing_nothing_is_read_whatever_the_chunks() {
        let dataset = Dataset {
            storage: sample::chunked(&[1 << 20], &[]),
            ..sample::dataset(1, &[0])
        };
        let buffer = SourceBuffer::new(8, 8);
        let elements = raw(&dataset, &[0], &buffer).now_or_never();
        assert!(elements.expect("there are none").unwrap().is_empty());
    }

    #[rstest]
    #[case::fill_of_another_size(holey(2, FillValue::User(Bytes::from_static(&[5; 2]))), "one element")]
    #[case::chunks_out_of_proportion(holey(1 << 20, FillValue::Default), "far larger")]
    #[case::elsewhere(Dataset { storage: Storage::Virtual, ..sample::dataset(1, &[6]) }, "view")]
    fn what_cannot_be_read_is_told(#[case] dataset: Dataset, #[case] reason: &str) {
        let refusal = read(&dataset).unwrap_err();
        assert!(refusal.contains(reason), "{refusal}");
    }
}
