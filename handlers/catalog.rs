//! Stage 6: the catalogue. [`item`] builds the STAC item that is cached on a Release.

pub mod item;
