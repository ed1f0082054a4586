//! Bytes of a NetCDF or HDF5 file in, a virtual Zarr dataset out.

pub mod cf;
pub mod cmip6;
