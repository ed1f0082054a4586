//! What the HDF5 C library finds in a file: the second opinion on our own decoder, never on the event path.
//!
//! The library holds one lock for the whole process and reads files of strangers with C code, so nothing but tests
//! and `landfall verify` may ask it. Without the feature `static` this crate is empty and builds in no time.
//!
//! It is wrong itself where exactly one dimension is unlimited, that dimension is not the first, and the chunks are
//! in an extensible array (files of HDF5 1.10 and later): `chunks_of` then has the right addresses with the wrong
//! coordinates, while `read_raw` is right.
#![cfg(feature = "static")]

use std::path::Path;

use hdf5_metno::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5_metno::{Dataset, File, H5Type, Hyperslab, SliceOrIndex};
use ndarray::ArrayD;

/// Why the library gives no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OracleError {
    /// The library refuses the file or the object.
    #[error("libhdf5 cannot read {what}")]
    Library {
        /// The file or the object.
        what: String,
        /// What the library says.
        #[source]
        source: hdf5_metno::Error,
    },
    /// Something else than numbers.
    #[error("{what} has a type that is not compared: {found}")]
    Unsupported {
        /// The object.
        what: String,
        /// Its type.
        found: String,
    },
}

/// What the library says of itself: its version.
pub fn library_version() -> String {
    let (major, minor, release) = hdf5_metno::library_version();
    format!("{major}.{minor}.{release}")
}

/// One stored chunk of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredChunk {
    /// Where its first element stands in the dataset.
    pub offset: Vec<u64>,
    /// Where its bytes start in the file, a user block included.
    pub address: u64,
    /// How many bytes are stored.
    pub size: u64,
    /// Bit `i` set: filter `i` was left out.
    pub filter_mask: u32,
}

/// The stored chunks of a dataset, in the order of their offsets; none for other layouts.
///
/// # Errors
///
/// [`OracleError::Library`] where the library cannot open or list it.
pub fn chunks_of(file: &Path, dataset: &str) -> Result<Vec<StoredChunk>, OracleError> {
    let opened = open(file, dataset)?;
    let mut chunks = Vec::new();
    if !opened.is_chunked() {
        return Ok(chunks);
    }
    opened
        .chunks_visit(|chunk| {
            chunks.push(StoredChunk {
                offset: chunk.offset.to_vec(),
                address: chunk.addr,
                size: chunk.size,
                filter_mask: chunk.filter_mask,
            });
            0
        })
        .map_err(|source| library(dataset, source))?;
    chunks.sort_unstable();
    Ok(chunks)
}

/// All values of a dataset of numbers in C order, little-endian.
///
/// # Errors
///
/// [`OracleError::Unsupported`] for other types, [`OracleError::Library`] where the library cannot read it.
pub fn read_raw(file: &Path, dataset: &str) -> Result<Vec<u8>, OracleError> {
    read(&open(file, dataset)?, dataset, None)
}

/// The values of a dataset of numbers from `start` on, `count` in each dimension, in C order, little-endian.
///
/// # Errors
///
/// As [`read_raw`].
pub fn read_slab(
    file: &Path,
    dataset: &str,
    start: &[usize],
    count: &[usize],
) -> Result<Vec<u8>, OracleError> {
    let slices = start
        .iter()
        .zip(count)
        .map(|(start, count)| SliceOrIndex::SliceCount {
            start: *start,
            step: 1,
            count: *count,
            block: 1,
        });
    read(&open(file, dataset)?, dataset, Some(slices.collect()))
}

fn read(
    opened: &Dataset,
    name: &str,
    slab: Option<Vec<SliceOrIndex>>,
) -> Result<Vec<u8>, OracleError> {
    let descriptor = opened.dtype().and_then(|kind| kind.to_descriptor());
    let descriptor = descriptor.map_err(|source| library(name, source))?;
    let read = match descriptor {
        TypeDescriptor::Integer(IntSize::U1) => bytes_of(opened, slab, i8::to_le_bytes),
        TypeDescriptor::Integer(IntSize::U2) => bytes_of(opened, slab, i16::to_le_bytes),
        TypeDescriptor::Integer(IntSize::U4) => bytes_of(opened, slab, i32::to_le_bytes),
        TypeDescriptor::Integer(IntSize::U8) => bytes_of(opened, slab, i64::to_le_bytes),
        TypeDescriptor::Unsigned(IntSize::U1) => bytes_of(opened, slab, u8::to_le_bytes),
        TypeDescriptor::Unsigned(IntSize::U2) => bytes_of(opened, slab, u16::to_le_bytes),
        TypeDescriptor::Unsigned(IntSize::U4) => bytes_of(opened, slab, u32::to_le_bytes),
        TypeDescriptor::Unsigned(IntSize::U8) => bytes_of(opened, slab, u64::to_le_bytes),
        TypeDescriptor::Float(FloatSize::U4) => bytes_of(opened, slab, f32::to_le_bytes),
        TypeDescriptor::Float(FloatSize::U8) => bytes_of(opened, slab, f64::to_le_bytes),
        other => {
            return Err(OracleError::Unsupported {
                what: name.to_owned(),
                found: format!("{other:?}"),
            });
        }
    };
    read.map_err(|source| library(name, source))
}

fn bytes_of<T: H5Type + Copy, const N: usize>(
    dataset: &Dataset,
    slab: Option<Vec<SliceOrIndex>>,
    to_bytes: impl Fn(T) -> [u8; N],
) -> hdf5_metno::Result<Vec<u8>> {
    let values: Vec<T> = match slab.filter(|slab| !slab.is_empty()) {
        None => dataset.read_raw::<T>()?,
        Some(slab) => {
            let values: ArrayD<T> = dataset.read_slice(Hyperslab::from(slab))?;
            values.iter().copied().collect()
        }
    };
    Ok(values.into_iter().flat_map(to_bytes).collect())
}

fn open(file: &Path, dataset: &str) -> Result<Dataset, OracleError> {
    let opened = File::open(file).map_err(|source| library(&file.display().to_string(), source))?;
    opened
        .dataset(dataset)
        .map_err(|source| library(dataset, source))
}

fn library(what: &str, source: hdf5_metno::Error) -> OracleError {
    OracleError::Library {
        what: what.to_owned(),
        source,
    }
}
