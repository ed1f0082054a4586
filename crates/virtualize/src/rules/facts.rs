//! What a variable looks like from outside.

use serde::{Deserialize, Serialize};

use super::role::{Axis, Variable};
use crate::dataset::{Layout, VirtualArray};
use crate::manifest::ChunkEntry;
use crate::zarr::Codec;

/// Side of a map tile, give or take a factor of two.
const TILE: std::ops::RangeInclusive<u64> = 128..=512;
const TILE_BYTES: u64 = 1_000_000;

/// Facts about one variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariableFacts {
    /// Absolute path, such as `/group/name`.
    pub name: String,
    /// Length of each dimension.
    pub shape: Vec<u64>,
    /// Name of each dimension.
    pub dimensions: Vec<String>,
    /// Type of an element: `float32`.
    pub dtype: String,
    /// Shape of a chunk, as the reference has it.
    pub chunks: Vec<u64>,
    /// Layout in the source file.
    pub layout: Layout,
    /// Name of the compressor: `gzip`.
    pub compression: Option<String>,
    /// Names of the other codecs.
    pub filters: Vec<String>,
    /// Decoded size in bytes; saturates.
    pub nbytes: u64,
    /// Number of chunks that are stored.
    pub chunk_count: u64,
    /// Mean stored size of the chunks that lie in the source file; none if there are none.
    pub mean_stored_chunk_bytes: Option<u64>,
    /// Whether it holds data rather than describing other variables.
    pub is_data: bool,
    /// Whether a map tile costs about one chunk: one time step, about 256² cells, less than 1 MB.
    pub tile_friendly: bool,
}

impl VariableFacts {
    pub(super) fn of(variable: &Variable<'_>) -> Self {
        let array = variable.array;
        let mut compressors = array.codecs.iter().filter(|codec| is_compressor(codec));
        let filters = array.codecs.iter().filter(|codec| !is_compressor(codec));
        Self {
            name: variable.path.clone(),
            shape: array.shape.clone(),
            dimensions: array.dimension_names.clone(),
            dtype: array.data_type.name(),
            chunks: array.chunk_shape.clone(),
            layout: array.layout,
            compression: compressors.next_back().map(|codec| codec.name().to_owned()),
            filters: filters.map(|codec| codec.name().to_owned()).collect(),
            nbytes: array.nbytes().unwrap_or(u64::MAX),
            chunk_count: u64::try_from(array.chunks.len()).unwrap_or(u64::MAX),
            mean_stored_chunk_bytes: mean_stored(array),
            is_data: variable.is_data,
            tile_friendly: is_tile_friendly(variable),
        }
    }
}

const fn is_compressor(codec: &Codec) -> bool {
    !matches!(
        codec,
        Codec::Shuffle { .. } | Codec::Fletcher32 | Codec::VlenUtf8
    )
}

fn mean_stored(array: &VirtualArray) -> Option<u64> {
    let entries = array.chunks.iter();
    let count = entries
        .filter(|(_, entry)| matches!(entry, ChunkEntry::Virtual { .. }))
        .count();
    array
        .chunks
        .stored_bytes()
        .checked_div(u64::try_from(count).ok()?)
}

fn is_tile_friendly(variable: &Variable<'_>) -> bool {
    let mut steps = variable.lengths(Axis::Time);
    let mut sides = variable.lengths(Axis::Spatial);
    let small = variable
        .array
        .chunk_nbytes()
        .is_some_and(|bytes| bytes < TILE_BYTES);
    let tile = |(length, chunk): (u64, u64)| {
        TILE.contains(&chunk) || (chunk == length && length < *TILE.start())
    };
    small
        && variable.lengths(Axis::Spatial).count() == 2
        && steps.all(|(_, chunk)| chunk == 1)
        && sides.all(tile)
}
