//! A first look at a dataset: its first map, as a picture and as the range of its values. SPEC §8, §11.
//!
//! Pure: [`Plan::of`] says which chunks are needed, [`Plan::draw`] makes the map of their bytes. A dataset without a map,
//! or with one that would cost much to read, has none.

mod png;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use virtualize::cf::{Geographic, geographic_of};
use virtualize::zarr::{DataType, decode_chunk};
use virtualize::{ByteRange, ChunkEntry, SourceId, VirtualArray, VirtualGroup};

use super::item::role::{Roles, is_coordinate};
use super::item::values;

/// Name of the picture, beside the combined reference.
pub const FILE: &str = "thumbnail.png";

/// Largest picture: rows, columns.
const LARGEST: (usize, usize) = (180, 360);

/// Most chunks that are read for one, and most bytes that they may decode to.
const MOST_CHUNKS: usize = 64;
const MOST_BYTES: u64 = 64 << 20;

/// What is worth remembering of a first look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quicklook {
    /// The variable that was looked at.
    pub variable: String,
    /// What most of its first values lie between.
    pub range: [f64; 2],
}

impl Quicklook {
    /// Name of the property that holds it in an item.
    pub const PROPERTY: &'static str = "landfall:quicklook";

    /// The one that an item holds.
    pub fn of_item(item: &Value) -> Option<Self> {
        let found = item.get("properties")?.get(Self::PROPERTY)?;
        Self::deserialize(found).ok()
    }
}

/// The first map of a dataset, before it is read.
#[derive(Debug)]
pub struct Plan<'a> {
    name: &'a str,
    array: &'a VirtualArray,
    /// Rows of the grid from north to south, and columns from west to east.
    rows: Vec<usize>,
    columns: Vec<usize>,
}

impl<'a> Plan<'a> {
    /// The first variable that lies on a grid of latitudes and longitudes; its first step.
    pub fn of(root: &'a VirtualGroup) -> Option<Self> {
        let roles = Roles::of(root);
        let arrays = root.arrays.iter().filter(|(name, _)| roles.is_data(name));
        arrays
            .filter_map(|(name, array)| Self::of_array(root, name, array))
            .find(|plan| plan.is_cheap())
    }

    fn of_array(root: &'a VirtualGroup, name: &'a str, array: &'a VirtualArray) -> Option<Self> {
        let [.., y, x] = array.dimension_names.as_slice() else {
            return None;
        };
        let is_number = matches!(
            array.data_type,
            DataType::Int(..) | DataType::UInt(..) | DataType::Float(..)
        );
        let latitudes = axis(root, y, Geographic::Latitude)?;
        let longitudes = axis(root, x, Geographic::Longitude)?;
        let longitudes: Vec<f64> = longitudes.iter().map(|value| wrapped(*value)).collect();
        let southward = latitudes.iter().map(|value| -value).collect::<Vec<_>>();
        is_number.then_some(Self {
            name,
            array,
            rows: sampled(&southward, LARGEST.0),
            columns: sampled(&longitudes, LARGEST.1),
        })
    }

    fn is_cheap(&self) -> bool {
        let chunks = self
            .grid()
            .map(|(rows, columns)| rows.saturating_mul(columns));
        let bytes = self.array.chunk_nbytes();
        let all = chunks.zip(bytes).and_then(|(chunks, bytes)| {
            let count = u64::try_from(chunks).ok()?;
            (chunks <= MOST_CHUNKS).then(|| bytes.checked_mul(count))?
        });
        all.is_some_and(|bytes| bytes <= MOST_BYTES)
    }

    /// Chunks along latitude and longitude.
    fn grid(&self) -> Option<(usize, usize)> {
        last_two(&self.array.chunk_grid())
    }

    /// The chunks of the map, row by row.
    fn chunks(&self) -> impl Iterator<Item = ChunkEntry> + '_ {
        let count = self.grid().map_or(0, |(rows, columns)| rows * columns);
        // Of the first step all other indices are 0, so these are the first of all.
        (0..count).filter_map(|number| Some(self.array.chunks.get(u64::try_from(number).ok()?)))
    }

    /// What has to be read.
    pub fn needed(&self) -> Vec<(SourceId, ByteRange)> {
        let virtual_only = |entry| match entry {
            ChunkEntry::Virtual { source, range } => Some((source, range)),
            _ => None,
        };
        self.chunks().filter_map(virtual_only).collect()
    }

    /// The map; `None` if a chunk is not among what was read, or cannot be decoded.
    pub fn draw(&self, parts: &[(SourceId, ByteRange, Bytes)]) -> Option<Map> {
        let decoded: Option<Vec<Option<Vec<u8>>>> = self
            .chunks()
            .map(|entry| {
                let encoded = match entry {
                    ChunkEntry::Missing => return Some(None),
                    ChunkEntry::Inline(bytes) => bytes,
                    ChunkEntry::Virtual { source, range } => {
                        let is_it = |part: &&(SourceId, ByteRange, Bytes)| {
                            part.0 == source && part.1 == range
                        };
                        parts.iter().find(is_it)?.2.clone()
                    }
                };
                let size = self.array.chunk_nbytes()?;
                decode_chunk(&encoded, &self.array.codecs, size)
                    .ok()
                    .map(Some)
            })
            .collect();
        let decoded = decoded?;
        let packing = Packing::of(self.array);
        let mut values = Vec::with_capacity(self.rows.len() * self.columns.len());
        for row in &self.rows {
            for column in &self.columns {
                let element = self.element(&decoded, *row, *column);
                values.push(element.and_then(|element| packing.value(self.array, element)));
            }
        }
        let range = range(&values)?;
        Some(Map {
            quicklook: Quicklook {
                variable: self.name.to_owned(),
                range,
            },
            width: self.columns.len(),
            values,
        })
    }

    /// The bytes of an element of the first step.
    fn element<'b>(
        &self,
        decoded: &'b [Option<Vec<u8>>],
        row: usize,
        column: usize,
    ) -> Option<&'b [u8]> {
        let (height, width) = last_two(&self.array.chunk_shape)?;
        let (_, across) = self.grid()?;
        let chunk = (row / height) * across + column / width;
        let size = usize::try_from(self.array.data_type.size()).ok()?;
        let at = ((row % height) * width + column % width) * size;
        decoded.get(chunk)?.as_ref()?.get(at..at + size)
    }
}

/// How stored numbers become values (CF conventions).
struct Packing {
    scale: f64,
    offset: f64,
    missing: Vec<f64>,
}

impl Packing {
    fn of(array: &VirtualArray) -> Self {
        let number = |name: &str| array.attributes.get(name).and_then(Value::as_f64);
        let fill = array.fill_value.as_ref();
        let fill = fill.and_then(|bytes| array.data_type.element_to_json(bytes).as_f64());
        Self {
            scale: number("scale_factor").unwrap_or(1.0),
            offset: number("add_offset").unwrap_or(0.0),
            missing: fill.into_iter().chain(number("missing_value")).collect(),
        }
    }

    /// `None` where there is no value.
    fn value(&self, array: &VirtualArray, element: &[u8]) -> Option<f64> {
        let stored = array.data_type.element_to_json(element).as_f64()?;
        let value = stored * self.scale + self.offset;
        (value.is_finite() && !self.missing.contains(&stored)).then_some(value)
    }
}

/// A map that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// What is worth remembering of it.
    pub quicklook: Quicklook,
    width: usize,
    /// Row by row from the north-west; `None` where there is no value.
    values: Vec<Option<f64>>,
}

impl Map {
    /// A picture of it.
    pub fn png(&self) -> Option<Vec<u8>> {
        let [low, high] = self.quicklook.range;
        let shade = |value: &Option<f64>| {
            value.map(|value| {
                if high > low {
                    (value - low) / (high - low)
                } else {
                    0.5
                }
            })
        };
        let shades: Vec<Option<f64>> = self.values.iter().map(shade).collect();
        png::write(self.width, &shades)
    }
}

/// Values of the coordinate of a dimension, if it is of this kind and long enough for a map.
fn axis(root: &VirtualGroup, name: &str, kind: Geographic) -> Option<Vec<f64>> {
    let array = root
        .arrays
        .get(name)
        .filter(|array| is_coordinate(name, array))?;
    if geographic_of(name, &array.attributes) != Some(kind) {
        return None;
    }
    let numbers = values::numbers(&values::inlined(array)?)?;
    (numbers.len() > 1).then_some(numbers)
}

fn wrapped(longitude: f64) -> f64 {
    (longitude + 180.0).rem_euclid(360.0) - 180.0
}

/// Places of values in their order, so many at most.
fn sampled(values: &[f64], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| f64::total_cmp(&at(values, *a), &at(values, *b)));
    let count = order.len().min(most);
    (0..count)
        .filter_map(|number| order.get(number * order.len() / count).copied())
        .collect()
}

fn at(values: &[f64], place: usize) -> f64 {
    values.get(place).copied().unwrap_or_default()
}

fn last_two(lengths: &[u64]) -> Option<(usize, usize)> {
    let [.., rows, columns] = lengths else {
        return None;
    };
    Some((
        usize::try_from(*rows).ok()?,
        usize::try_from(*columns).ok()?,
    ))
}

/// What all but the lowest and the highest fiftieth of the values lie between, to six digits.
fn range(values: &[Option<f64>]) -> Option<[f64; 2]> {
    let mut known: Vec<f64> = values.iter().copied().flatten().collect();
    known.sort_by(f64::total_cmp);
    let last = known.len().checked_sub(1)?;
    let round = |value: f64| format!("{value:.5e}").parse().unwrap_or(value);
    Some([
        round(at(&known, last / 50)),
        round(at(&known, last - last / 50)),
    ])
}

#[cfg(test)]
mod tests;
