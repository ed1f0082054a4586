//! Files of a series built by hand, with the bytes that their references point at.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{CombineError, CombineOptions, Combined, Combiner, Step};
use crate::dataset::{
    Attributes, Dimension, Format, Layout, Source, VirtualArray, VirtualDataset, VirtualGroup,
};
use crate::decode::ByteRange;
use crate::manifest::{ChunkEntry, ChunkManifest, SourceId};
use crate::zarr::{ByteOrder, Codec, DataType, coordinates, encode_chunk};

pub(super) const F4: DataType = DataType::Float(4, ByteOrder::Little);
pub(super) const F8: DataType = DataType::Float(8, ByteOrder::Little);
pub(super) const I4: DataType = DataType::Int(4, ByteOrder::Little);

/// A source file: its bytes and what a decoder finds in it.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub bytes: Vec<u8>,
    pub dataset: VirtualDataset,
}

impl File {
    pub(super) fn new(name: &str) -> Self {
        let mut dataset = VirtualDataset::new(Format::Netcdf4, VirtualGroup::default(), 0);
        dataset.sources[0] = Source {
            url: format!("file:///data/{name}"),
            etag: Some(format!("etag-{name}")),
            ..Source::default()
        };
        Self {
            bytes: vec![0; 100],
            dataset,
        }
    }

    /// Its name, as messages give it.
    pub(super) fn name(&self) -> String {
        super::input::base_name(&self.dataset.sources[0].url)
    }

    pub(super) fn attribute(mut self, name: &str, value: &str) -> Self {
        self.dataset
            .root
            .attributes
            .insert(name.to_owned(), json!(value));
        self
    }

    /// A variable whose values are inlined.
    pub(super) fn inline(
        mut self,
        name: &str,
        data_type: &DataType,
        dims: &[(&str, u64)],
        values: &[f64],
        attributes: Value,
    ) -> Self {
        let shape: Vec<u64> = dims.iter().map(|(_, len)| *len).collect();
        let array = VirtualArray {
            chunk_shape: shape.iter().map(|len| (*len).max(1)).collect(),
            shape,
            chunks: ChunkManifest::inlined(Bytes::from(encode(data_type, values))),
            ..empty_array(data_type, dims, attributes)
        };
        self.insert(name, array);
        self
    }

    /// A variable whose chunks lie in the file, without codecs; what lies outside the shape is 77.
    pub(super) fn stored(
        mut self,
        name: &str,
        data_type: &DataType,
        dims: &[(&str, u64)],
        chunk_shape: &[u64],
        values: &[f64],
        attributes: Value,
    ) -> Self {
        let shape: Vec<u64> = dims.iter().map(|(_, len)| *len).collect();
        let mut array = VirtualArray {
            shape: shape.clone(),
            chunk_shape: chunk_shape.to_vec(),
            ..empty_array(data_type, dims, attributes)
        };
        let grid = array.chunk_grid();
        for number in 0..grid.iter().product() {
            let origin = coordinates(&grid, number);
            let mut chunk = Vec::new();
            for element in 0..chunk_shape.iter().product() {
                let inside = coordinates(chunk_shape, element);
                let at: Vec<u64> = (0..shape.len())
                    .map(|d| origin[d] * chunk_shape[d] + inside[d])
                    .collect();
                let fits = at.iter().zip(&shape).all(|(at, len)| at < len);
                let linear = at
                    .iter()
                    .zip(&shape)
                    .fold(0, |sum, (at, len)| sum * len + at);
                chunk.push(if fits { values[linear as usize] } else { 77.0 });
            }
            let chunk = encode(data_type, &chunk);
            let range = ByteRange::new(self.bytes.len() as u64, chunk.len() as u64);
            self.bytes.extend(chunk);
            self.bytes.extend([0; 3]);
            array.chunks.push(number, SourceId(0), range);
        }
        self.insert(name, array);
        self
    }

    pub(super) fn insert(&mut self, path: &str, array: VirtualArray) {
        let mut group = &mut self.dataset.root;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_some() {
                group = group.groups.entry(part.to_owned()).or_default();
                continue;
            }
            for (name, len) in array.dimension_names.iter().zip(&array.shape) {
                group.dimensions.insert(
                    name.clone(),
                    Dimension {
                        length: *len,
                        unlimited: false,
                    },
                );
            }
            group.arrays.insert(part.to_owned(), array.clone());
        }
        self.dataset.sources[0].length = self.bytes.len() as u64;
    }

    /// The same file with one variable changed.
    pub(super) fn with(mut self, name: &str, edit: impl FnOnce(&mut VirtualArray)) -> Self {
        edit(self.dataset.root.arrays.get_mut(name).unwrap());
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.dataset.root.arrays.remove(name).unwrap();
        self
    }
}

fn empty_array(data_type: &DataType, dims: &[(&str, u64)], attributes: Value) -> VirtualArray {
    let attributes: Attributes = attributes.as_object().unwrap().clone().into();
    VirtualArray {
        shape: Vec::new(),
        chunk_shape: Vec::new(),
        data_type: data_type.clone(),
        fill_value: None,
        codecs: Vec::new(),
        dimension_names: dims.iter().map(|(name, _)| (*name).to_owned()).collect(),
        attributes,
        chunks: ChunkManifest::new(),
        layout: Layout::Chunked,
    }
}

pub(super) fn encode(data_type: &DataType, values: &[f64]) -> Vec<u8> {
    let element = |value: &f64| {
        let json = match data_type {
            DataType::Int(..) => json!(*value as i64),
            DataType::UInt(..) => json!(*value as u64),
            _ => json!(value),
        };
        data_type.element_from_json(&json).unwrap()
    };
    values.iter().flat_map(element).collect()
}

/// A daily file: `steps` days from `first_day` on, every chunk one step.
pub(super) fn daily(name: &str, first_day: u32, steps: u32) -> File {
    daily_in_chunks(name, first_day, steps, 1)
}

/// A daily file with chunks of some steps.
pub(super) fn daily_in_chunks(name: &str, first_day: u32, steps: u32, chunk: u64) -> File {
    let days: Vec<f64> = (first_day..first_day + steps).map(f64::from).collect();
    let bounds: Vec<f64> = days.iter().flat_map(|day| [*day, day + 1.0]).collect();
    let n = u64::from(steps);
    File::new(name)
        .inline(
            "time",
            &F8,
            &[("time", n)],
            &days,
            time_attributes("days since 2000-01-01", "standard"),
        )
        .inline(
            "time_bnds",
            &F8,
            &[("time", n), ("bnds", 2)],
            &bounds,
            json!({}),
        )
        .inline(
            "lat",
            &F8,
            &[("lat", 2)],
            &[-45.0, 45.0],
            json!({"units": "degrees_north"}),
        )
        .inline(
            "lon",
            &F8,
            &[("lon", 3)],
            &[60.0, 180.0, 300.0],
            json!({"units": "degrees_east"}),
        )
        .stored(
            "tas",
            &F4,
            &[("time", n), ("lat", 2), ("lon", 3)],
            &[chunk, 2, 3],
            &field(&days),
            json!({"units": "K"}),
        )
}

pub(super) fn time_attributes(units: &str, calendar: &str) -> Value {
    json!({"units": units, "calendar": calendar, "bounds": "time_bnds", "axis": "T"})
}

/// Six values a day, different on each.
pub(super) fn field(days: &[f64]) -> Vec<f64> {
    days.iter()
        .flat_map(|day| (0..6).map(move |cell| day * 10.0 + f64::from(cell)))
        .collect()
}

/// Runs a combiner to its end; answers the result and how many rounds of reading it took.
pub(super) fn run(
    files: &[File],
    options: CombineOptions,
) -> Result<(Combined, usize), CombineError> {
    let inputs = files.iter().map(|file| file.dataset.clone()).collect();
    let mut combiner = Combiner::new(inputs, options)?;
    for round in 0..20 {
        match combiner.combine()? {
            Step::Done(combined) => return Ok((*combined, round)),
            Step::NeedsData(needs) => {
                assert!(!needs.is_empty(), "asks for nothing");
                for (source, range) in needs {
                    combiner.push(source, range, slice(&files[source.0 as usize], range));
                }
            }
        }
    }
    panic!("does not come to an end");
}

pub(super) fn combine(files: &[File]) -> Result<Combined, CombineError> {
    run(files, CombineOptions::default()).map(|(combined, _)| combined)
}

/// The codes of a refusal with the files they name, in order.
pub(super) fn refusal(files: &[File], options: CombineOptions) -> Vec<(&'static str, String)> {
    match run(files, options) {
        Err(CombineError::Refused(all)) => {
            for one in &all {
                assert!(
                    one.message.contains(&one.file) && one.message.contains(&one.variable),
                    "{}",
                    one.message
                );
                assert!(!one.cure.is_empty());
            }
            all.into_iter().map(|one| (one.code, one.file)).collect()
        }
        Err(other) => panic!("{other}"),
        Ok(_) => Vec::new(),
    }
}

pub(super) fn slice(file: &File, range: ByteRange) -> Bytes {
    Bytes::copy_from_slice(&file.bytes[range.start as usize..range.end() as usize])
}

/// The values of a variable of a dataset, read from the files that its sources name.
pub(super) fn values(dataset: &VirtualDataset, files: &[File], path: &str) -> Vec<f64> {
    let array = super::input::array_at(&dataset.root, path).unwrap();
    let fetch = |entry| match entry {
        ChunkEntry::Missing => Some(None),
        ChunkEntry::Inline(bytes) => Some(Some(bytes)),
        ChunkEntry::Virtual { source, range } => {
            let url = &dataset.sources[source.0 as usize].url;
            let file = files
                .iter()
                .find(|file| file.dataset.sources[0].url == *url)
                .unwrap();
            Some(Some(slice(file, range)))
        }
    };
    let bytes = super::values::assemble(array, fetch).unwrap();
    let little = super::values::to_little_endian(bytes, &array.data_type);
    super::values::numbers(&little, &array.data_type).unwrap()
}

/// The same file with the chunks of a variable shuffled and deflated.
pub(super) fn compressed(mut file: File, name: &str, level: u32) -> File {
    let codecs = vec![Codec::Shuffle { element_size: 4 }, Codec::Zlib { level }];
    let mut array = file.dataset.root.arrays[name].clone();
    let mut chunks = ChunkManifest::new();
    for (number, entry) in array.chunks.iter() {
        if let ChunkEntry::Virtual { source, range } = entry {
            let encoded = encode_chunk(&slice(&file, range), &codecs).unwrap();
            chunks.push(
                number,
                source,
                ByteRange::new(file.bytes.len() as u64, encoded.len() as u64),
            );
            file.bytes.extend(encoded);
        }
    }
    (array.chunks, array.codecs) = (chunks, codecs);
    file.insert(name, array);
    file
}

/// A daily file that counts hours from its own first day.
pub(super) fn shifted_epoch(name: &str, first_day: u32, steps: u32) -> File {
    let hours: Vec<f64> = (0..steps).map(|step| f64::from(step) * 24.0).collect();
    let bounds: Vec<f64> = hours.iter().flat_map(|hour| [*hour, hour + 24.0]).collect();
    let n = u64::from(steps);
    let units = format!("hours since 2000-01-{:02}", first_day + 1);
    daily(name, first_day, steps)
        .inline(
            "time",
            &F8,
            &[("time", n)],
            &hours,
            time_attributes(&units, "gregorian"),
        )
        .inline(
            "time_bnds",
            &F8,
            &[("time", n), ("bnds", 2)],
            &bounds,
            json!({}),
        )
}
