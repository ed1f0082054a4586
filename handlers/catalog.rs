//! Stage 6: the catalogue. [`item`] builds the STAC item that is cached on a Release; [`published`] and [`collection`]
//! are the documents that approval writes to pgSTAC, [`release`] brings them together.

pub mod collection;
pub mod item;
pub mod published;
pub mod quicklook;
pub mod release;
mod tiles;
