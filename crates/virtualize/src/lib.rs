#![doc = include_str!("../README.md")]
//!
//! # The map
//!
//! | module | what it does |
//! | --- | --- |
//! | [`decode`] | the push decoder: asks for byte ranges, finishes with a [`VirtualDataset`] |
//! | [`hdf5`] | the HDF5 file format: superblock to chunk index |
//! | [`netcdf3`], [`netcdf4`] | the classic format; NetCDF-4's conventions on top of HDF5 |
//! | [`inline`] | reads the values of small coordinates into the dataset |
//! | [`inspect`] | what else stands in a file, noted for people |
//! | [`dataset`], [`manifest`] | the result: groups, arrays, and where each chunk lies |
//! | [`zarr`] | Zarr metadata, chunk keys, codecs |
//! | [`cf`], [`cmip6`], [`rules`] | CF time and calendars; CMIP6 names; validation rules |
//! | [`contiguous`] | cuts uncompressed data into chunks |
//! | [`combine`] | joins the datasets of a series, and checks the join |
//! | [`kerchunk`] | writes and reads kerchunk references |

pub mod cf;
pub mod cmip6;
pub mod combine;
pub mod contiguous;
pub mod dataset;
pub mod decode;
pub mod hdf5;
pub mod inline;
pub mod inspect;
pub mod kerchunk;
pub mod manifest;
pub mod netcdf3;
pub mod netcdf4;
pub mod rules;
pub mod zarr;

pub use dataset::{Source, VirtualArray, VirtualDataset, VirtualGroup};
pub use decode::{ByteRange, DecodeError, DecodeOptions, Decoded, MetadataDecoder};
pub use manifest::{ChunkEntry, ChunkManifest, SourceId};
