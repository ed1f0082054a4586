//! What a person wants to know of an HDF5 file, noted from its object tree as it is, refused variables included.

mod type_name;

use crate::dataset::{Layout, product};
use crate::decode::ByteRange;
use crate::hdf5::{
    self, Attribute, AttributeValue, Dataset, DatatypeClass, FillValue, Hdf5File, Node, Order,
};
use crate::inspect::{self, Fill, Inspection, Probe, Storage, Values, Variable, merged};
use crate::netcdf4::attribute::HIDDEN;
use crate::netcdf4::data_type::{element, element_type};
use crate::netcdf4::dimension::{Dimensions, full_shape, netcdf_name};
use crate::zarr::{Stage, filter_name, stages_of};

/// Notes the groups and datasets of a file.
pub(super) fn note(file: &Hdf5File, dimensions: &Dimensions, probe: &Probe) {
    probe.note(|notes| Notes { dimensions, notes }.group("", &file.root));
}

struct Notes<'a> {
    dimensions: &'a Dimensions,
    notes: &'a mut Inspection,
}

impl Notes<'_> {
    fn group(&mut self, path: &str, group: &hdf5::Group) {
        self.notes.groups.push(inspect::Group {
            path: String::from(if path.is_empty() { "/" } else { path }),
            dimensions: self.dimensions.of_group(group.address),
            attributes: attributes(&group.attributes),
        });
        for link in &group.links {
            if let Node::Dataset(dataset) = &link.target
                && !self.dimensions.is_pure(dataset.address)
            {
                let path = format!("{path}/{}", netcdf_name(&link.name));
                let variable = self.variable(path, dataset);
                self.notes.variables.push(variable);
            }
        }
        for link in &group.links {
            if let Node::Group(child) = &link.target {
                self.group(&format!("{path}/{}", link.name), child);
            }
        }
    }

    fn variable(&self, path: String, dataset: &Dataset) -> Variable {
        let dimensions = self.dimensions.of_variable(dataset.address).iter();
        let shape = dataset.dataspace.shape().map(|_| full_shape(dataset));
        Variable {
            path,
            data_type: type_name::of(&dataset.datatype),
            big_endian: is_big_endian(&dataset.datatype),
            dimensions: dimensions.map(|used| used.name.clone()).collect(),
            decoded_bytes: decoded_bytes(dataset),
            attributes: attributes(&dataset.attributes),
            storage: storage(dataset),
            shape,
        }
    }
}

fn decoded_bytes(dataset: &Dataset) -> Option<u64> {
    if has_no_fixed_size(&dataset.datatype) {
        return None;
    }
    let count = dataset.dataspace.shape().map_or(Some(0), product)?;
    count.checked_mul(u64::from(dataset.datatype.size))
}

fn has_no_fixed_size(datatype: &hdf5::Datatype) -> bool {
    match &datatype.class {
        DatatypeClass::VlenString { .. } | DatatypeClass::VlenSequence(_) => true,
        DatatypeClass::Array { base, .. } => has_no_fixed_size(base),
        DatatypeClass::Compound(members) => members
            .iter()
            .any(|member| has_no_fixed_size(&member.datatype)),
        _ => false,
    }
}

fn is_big_endian(datatype: &hdf5::Datatype) -> bool {
    match &datatype.class {
        DatatypeClass::Integer { order, .. }
        | DatatypeClass::Float { order, .. }
        | DatatypeClass::Bitfield { order } => *order == Order::Big && datatype.size > 1,
        DatatypeClass::Enum { base, .. }
        | DatatypeClass::Array { base, .. }
        | DatatypeClass::Complex(base) => is_big_endian(base),
        _ => false,
    }
}

fn attributes(attributes: &[Attribute]) -> Vec<inspect::Attribute> {
    let shown = attributes
        .iter()
        .filter(|attribute| !HIDDEN.contains(&attribute.name.as_str()));
    shown
        .map(|attribute| inspect::Attribute {
            name: attribute.name.clone(),
            data_type: type_name::of_attribute(&attribute.datatype),
            values: values(&attribute.value),
        })
        .collect()
}

fn values(value: &AttributeValue) -> Values {
    match value {
        AttributeValue::Null => Values::Integers(Vec::new()),
        AttributeValue::Integers(values) => {
            Values::Integers(values.iter().copied().map(i128::from).collect())
        }
        AttributeValue::Unsigned(values) => {
            Values::Integers(values.iter().copied().map(i128::from).collect())
        }
        AttributeValue::Floats(values) => Values::Floats(values.clone()),
        AttributeValue::Strings(texts) => {
            let text = |text: &bytes::Bytes| String::from_utf8_lossy(text).replace('\0', "");
            Values::Text(texts.iter().map(text).collect())
        }
        AttributeValue::References(values) => counted(values.len(), "object reference"),
        AttributeValue::ReferenceLists(lists) => counted(lists.len(), "list of references"),
        AttributeValue::Raw(bytes) => counted(bytes.len(), "byte"),
    }
}

fn counted(count: usize, what: &str) -> Values {
    Values::Other(match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s").replace("list of referencess", "lists of references"),
    })
}

fn storage(dataset: &Dataset) -> Storage {
    let grid = |chunks: &[u64]| {
        let shape = dataset.dataspace.shape().unwrap_or_default();
        let pairs = shape.iter().zip(chunks);
        let sides: Vec<u64> = pairs
            .map(|(length, chunk)| length.div_ceil((*chunk).max(1)))
            .collect();
        product(&sides).unwrap_or(u64::MAX)
    };
    let mut storage = Storage {
        layout: None,
        problem: None,
        index: None,
        chunk_shape: None,
        grid_chunks: 0,
        allocated_chunks: 0,
        stored_bytes: 0,
        masked_chunks: 0,
        filters: filters(dataset),
        fill: fill(dataset),
        extents: Vec::new(),
    };
    match &dataset.storage {
        hdf5::Storage::Compact { data, .. } => {
            storage.in_one_piece(Layout::Compact, u64::try_from(data.len()).ok());
        }
        hdf5::Storage::Contiguous(range) => {
            storage.in_one_piece(Layout::Contiguous, range.map(|range| range.len));
            storage.extents = range.iter().copied().collect();
        }
        hdf5::Storage::Chunked {
            chunk_shape,
            index,
            chunks,
            broken,
            ..
        } => {
            storage.layout = Some(Layout::Chunked);
            storage.problem.clone_from(broken);
            storage.index = Some(index);
            storage.grid_chunks = grid(chunk_shape);
            storage.chunk_shape = Some(chunk_shape.clone());
            storage.count(chunks.iter().map(|chunk| (chunk.range, chunk.filter_mask)));
        }
        hdf5::Storage::External(files) => {
            storage.problem = Some(format!("its data is in other files: {}", files.join(", ")));
        }
        hdf5::Storage::Virtual => {
            storage.problem = Some(String::from("it is a view of other datasets"));
        }
        hdf5::Storage::Unsupported(why) => storage.problem = Some(why.clone()),
    }
    storage
}

impl Storage {
    fn in_one_piece(&mut self, layout: Layout, bytes: Option<u64>) {
        self.layout = Some(layout);
        self.grid_chunks = 1;
        self.allocated_chunks = u64::from(bytes.is_some());
        self.stored_bytes = bytes.unwrap_or(0);
    }

    fn count(&mut self, chunks: impl Iterator<Item = (ByteRange, u32)>) {
        let mut extents = Vec::new();
        for (range, mask) in chunks {
            self.allocated_chunks += 1;
            self.masked_chunks += u64::from(mask != 0);
            self.stored_bytes = self.stored_bytes.saturating_add(range.len);
            extents.push(range);
        }
        self.extents = merged(extents);
    }
}

fn filters(dataset: &Dataset) -> Vec<inspect::Filter> {
    let codec = |filter: &hdf5::Filter| {
        let stages = stages_of(std::slice::from_ref(filter), 0, dataset.datatype.size).ok()?;
        match stages.first()? {
            Stage::Codec(codec) => Some(codec.to_json()),
            _ => None,
        }
    };
    let filters = dataset.filters.iter();
    filters
        .map(|filter| inspect::Filter {
            id: filter.id,
            name: filter_name(filter).to_owned(),
            parameters: filter.values.clone(),
            codec: codec(filter),
        })
        .collect()
}

fn fill(dataset: &Dataset) -> Fill {
    let bytes = match &dataset.fill {
        FillValue::Undefined => return Fill::Undefined,
        FillValue::Default => return Fill::Default,
        // Of a type without a fixed size only "empty" can be told.
        FillValue::User(bytes) if has_no_fixed_size(&dataset.datatype) => {
            return match bytes.iter().all(|byte| *byte == 0) {
                true => Fill::Default,
                false => Fill::Value(format!("{} bytes", bytes.len()).into()),
            };
        }
        FillValue::User(bytes) => bytes,
    };
    let value = element_type(element(&dataset.datatype))
        .ok()
        .and_then(|data_type| {
            let one = bytes.get(..usize::try_from(data_type.size()).ok()?)?;
            Some(data_type.element_to_json(one))
        });
    Fill::Value(value.unwrap_or_else(|| format!("{} bytes", bytes.len()).into()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::super::sample;
    use super::*;
    use crate::hdf5::{Filter, Group};

    fn noted(dataset: Dataset) -> Variable {
        let file = Hdf5File {
            superblock_version: 2,
            geometry: hdf5::Geometry::default(),
            root: Group {
                links: vec![sample::link("v", dataset)],
                ..Group::default()
            },
        };
        let probe = Probe::default();
        note(&file, &Dimensions::of(&file.root), &probe);
        probe.take().variables.pop().unwrap()
    }

    #[test]
    fn chunks_are_counted_with_their_bytes_and_places() {
        let chunks = &[(0, 100, 10, 0), (1, 110, 20, 1), (4, 200, 5, 0)];
        let variable = noted(Dataset {
            storage: sample::chunked(&[2, 3], chunks),
            ..sample::dataset(8, &[3, 7])
        });
        let storage = variable.storage;
        assert_eq!((storage.allocated_chunks, storage.grid_chunks), (3, 6));
        assert_eq!((storage.stored_bytes, storage.masked_chunks), (35, 1));
        assert_eq!(
            storage.extents,
            [ByteRange::new(100, 30), ByteRange::new(200, 5)]
        );
        assert_eq!(variable.decoded_bytes, Some(84));
    }

    #[test]
    fn filters_carry_the_codec_that_decodes_them() {
        let filter = |id, values: &[u32]| Filter {
            id,
            optional: false,
            name: String::new(),
            values: values.to_vec(),
        };
        let variable = noted(Dataset {
            filters: vec![filter(2, &[4]), filter(1, &[6]), filter(4, &[141, 32])],
            ..sample::dataset(8, &[3])
        });
        let filters = variable.storage.filters;
        let names: Vec<&str> = filters.iter().map(|filter| filter.name.as_str()).collect();
        assert_eq!(names, ["shuffle", "deflate", "szip"]);
        assert_eq!(filters[1].codec, Some(json!({"id": "zlib", "level": 6})));
        assert_eq!(filters[2].codec, None);
    }

    #[rstest]
    #[case::default(FillValue::Default, Fill::Default)]
    #[case::undefined(FillValue::Undefined, Fill::Undefined)]
    #[case::value(FillValue::User((-1f32).to_le_bytes().to_vec().into()), Fill::Value(json!(-1.0)))]
    #[case::cut_off(FillValue::User(vec![1, 2].into()), Fill::Value(json!("2 bytes")))]
    fn fill_values_are_told(#[case] stored: FillValue, #[case] told: Fill) {
        let variable = noted(Dataset {
            fill: stored,
            ..sample::dataset(8, &[3])
        });
        assert_eq!(variable.storage.fill, told);
    }
}
