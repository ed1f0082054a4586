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
