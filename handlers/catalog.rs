//! Stage 6: the catalogue. [`item`] builds the STAC item that is cached on a Release, [`release`] what is published of
//! an approved one.

pub mod item;
pub mod release;
