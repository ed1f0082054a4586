//! The HDF5 file format, metadata only: from the superblock to the chunk index of every dataset.
//!
//! Follows the *HDF5 File Format Specification* (version 3.0 and layout message version 5). What the structures
//! mean for NetCDF-4 is [`netcdf4`](crate::netcdf4)'s matter.

mod model;

pub use model::*;

use bytes::Bytes;

use crate::decode::{DecodeError, DecodeOptions, SourceBuffer};

/// Reads the whole object tree of a file whose superblock stands at `superblock_at`.
///
/// # Errors
///
/// [`DecodeError`] when the superblock or the root group cannot be read; an object below that cannot be read is
/// a [`Node::Broken`] in its group.
pub(crate) async fn decode(
    buffer: &SourceBuffer,
    options: &DecodeOptions,
    superblock_at: u64,
) -> Result<Hdf5File, DecodeError> {
    let _ = (buffer, options, superblock_at);
    Err(DecodeError::Unsupported(String::from("HDF5")))
}

/// Reads the values of variable-length elements, each of which is a reference into the global heap as stored
/// (length, address of the collection, index), in one round.
///
/// # Errors
///
/// [`DecodeError`] for the first reference that leads nowhere; a null reference is an empty value.
pub(crate) async fn read_variable_length(
    buffer: &SourceBuffer,
    geometry: Geometry,
    elements: &[Bytes],
) -> Result<Vec<Bytes>, DecodeError> {
    let _ = (buffer, geometry, elements);
    Err(DecodeError::Unsupported(String::from(
        "variable-length data",
    )))
}
