//! Stage 6: the catalogue. [`item`] builds the STAC item that is cached on a Release; [`published`] and [`collection`]
//! are the documents that approval writes to pgSTAC.

pub mod collection;
pub mod item;
pub mod published;
mod tiles;
