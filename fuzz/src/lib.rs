//! What is fuzzed, and what must hold whatever the bytes are.
//!
//! Each module has one function `run(&[u8])` that panics where something does not hold. `cargo fuzz` drives them
//! from `targets/`; `tests/hostile.rs` runs the same functions over the committed corpora and over damaged fixtures
//! with a stable compiler.

pub mod chunk;
pub mod classic;
pub mod decoder;
pub mod envelopes;
pub mod hdf5;
pub mod inspect;
pub mod kerchunk;
pub mod names;
pub mod parquet;
pub mod times;
