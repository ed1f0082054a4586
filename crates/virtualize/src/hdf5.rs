//! The HDF5 file format, metadata only: from the superblock to the chunk index of every dataset.
//!
//! Follows the *HDF5 File Format Specification* (version 3.0 and layout message version 5). What the structures
//! mean for NetCDF-4 is [`netcdf4`](crate::netcdf4)'s matter.
//!
//! | module | what it reads |
//! | --- | --- |
//! | `superblock`, `object_header`, `message` | where everything starts, and what describes an object |
//! | `group`, `dataset`, `attribute`, `tree` | the objects, and the tree they form |
//! | `btree_v1`, `btree_v2`, `heap` | the structures that the others are stored in |
//! | `chunk_index` | where the chunks are |
//! | `context`, `cursor`, `checksum`, `speculate` | budgets and caches; checked reading of fields; reading ahead |
//! | `bits` | integers that use fewer bits than their bytes have |
//! | `float` | floats that are not IEEE 754's |

mod attribute;
mod bits;
mod btree_v1;
mod btree_v2;
mod checksum;
mod chunk_index;
mod context;
#[cfg(test)]
mod corpus_tests;
mod cursor;
mod dataset;
mod float;
mod group;
mod heap;
mod message;
mod model;
mod object_header;
mod speculate;
mod superblock;
mod tree;

pub(crate) use bits::Bits;
pub use float::{FloatFields, FloatFormat};
pub use model::*;

use bytes::Bytes;

use crate::decode::{DecodeError, DecodeOptions, SourceBuffer};
use context::Context;
use cursor::Cursor;
use heap::global::{self, Reference};

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
    let (superblock, context) = superblock::read(buffer, options, superblock_at).await?;
    let root = tree::read(&context, superblock.root, options.max_objects).await?;
    Ok(Hdf5File {
        superblock_version: superblock.version,
        geometry: superblock.geometry,
        root,
    })
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
    let context = Context::new(buffer, geometry, &DecodeOptions::default());
    let references = elements
        .iter()
        .map(|element| {
            Reference::parse(&mut Cursor::new(
                "variable-length data",
                0,
                element,
                geometry,
            ))
        })
        .collect::<Result<Vec<Reference>, _>>()?;
    global::values(&context, &references).await
}
