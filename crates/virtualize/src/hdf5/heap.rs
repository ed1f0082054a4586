//! The three heaps of HDF5: names of old groups (local), variable-length data (global), and the messages of new
//! groups, dense attributes and shared messages (fractal).

pub(super) mod fractal;
pub(super) mod global;
pub(super) mod local;
