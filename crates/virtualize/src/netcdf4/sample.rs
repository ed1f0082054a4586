//! Hand-made objects for the tests of this module.

use bytes::Bytes;

use crate::decode::ByteRange;
use crate::hdf5::{
    Attribute, AttributeValue, Chunk, Dataset, Dataspace, Datatype, DatatypeClass, FillValue,
    Filter, FloatFormat, Group, Link, Node, Order, Storage,
};

pub(super) fn class(size: u32, class: DatatypeClass) -> Datatype {
    Datatype {
        size,
        class,
        committed: false,
    }
}

pub(super) fn float32() -> Datatype {
    Datatype {
        size: 4,
        class: DatatypeClass::Float {
            order: Order::Little,
            format: FloatFormat::Ieee,
        },
        committed: false,
    }
}

pub(super) fn int(size: u32) -> Datatype {
    Datatype {
        size,
        class: DatatypeClass::Integer {
            order: Order::Little,
            signed: true,
            bit_offset: 0,
            precision: u16::try_from(size * 8).unwrap(),
        },
        committed: false,
    }
}

pub(super) fn dataset(address: u64, shape: &[u64]) -> Dataset {
    Dataset {
        address,
        datatype: float32(),
        dataspace: Dataspace::Simple {
            dims: shape.to_vec(),
            max_dims: shape.iter().copied().map(Some).collect(),
        },
        storage: Storage::Contiguous(None),
        filters: Vec::new(),
        fill: FillValue::Default,
        attributes: Vec::new(),
        broken_attributes: Vec::new(),
    }
}

/// Chunks as (number, start, length, filter mask).
pub(super) fn chunked(chunk_shape: &[u64], chunks: &[(u64, u64, u64, u32)]) -> Storage {
    let chunk = |(number, start, len, mask): &(u64, u64, u64, u32)| Chunk {
        number: *number,
        range: ByteRange::new(*start, *len),
        filter_mask: *mask,
    };
    Storage::Chunked {
        chunk_shape: chunk_shape.to_vec(),
        index: "btree-v1",
        chunks: chunks.iter().map(chunk).collect(),
        outside: 0,
        broken: None,
    }
}

pub(super) fn filter(id: u16, values: &[u32]) -> Filter {
    Filter {
        id,
        optional: false,
        name: String::new(),
        values: values.to_vec(),
    }
}

pub(super) fn group(address: u64, links: Vec<Link>) -> Group {
    Group {
        address,
        links,
        ..Group::default()
    }
}

pub(super) fn link(name: &str, dataset: Dataset) -> Link {
    node(name, Node::Dataset(Box::new(dataset)))
}

pub(super) fn group_link(name: &str, group: Group) -> Link {
    node(name, Node::Group(Box::new(group)))
}

pub(super) fn node(name: &str, target: Node) -> Link {
    Link {
        name: name.to_owned(),
        creation_order: None,
        target,
    }
}

fn attribute(name: &str, datatype: Datatype, count: usize, value: AttributeValue) -> Attribute {
    let dataspace = match count {
        1 => Dataspace::Scalar,
        count => Dataspace::Simple {
            dims: vec![u64::try_from(count).unwrap()],
            max_dims: vec![Some(u64::try_from(count).unwrap())],
        },
    };
    Attribute {
        name: name.to_owned(),
        datatype,
        dataspace,
        value,
    }
}

pub(super) fn text(name: &str, values: &[&str]) -> Attribute {
    let datatype = Datatype {
        size: 16,
        class: DatatypeClass::VlenString { utf8: true },
        committed: false,
    };
    let strings = values
        .iter()
        .map(|text| Bytes::copy_from_slice(text.as_bytes()));
    let value = AttributeValue::Strings(strings.collect());
    attribute(name, datatype, values.len(), value)
}

pub(super) fn integers(name: &str, values: &[i64]) -> Attribute {
    let value = AttributeValue::Integers(values.to_vec());
    attribute(name, int(4), values.len(), value)
}

pub(super) fn floats(name: &str, values: &[f64]) -> Attribute {
    let value = AttributeValue::Floats(values.to_vec());
    attribute(name, float32(), values.len(), value)
}

pub(super) fn references_to(name: &str, scales: &[u64]) -> Attribute {
    let datatype = Datatype {
        size: 8,
        class: DatatypeClass::Reference { object: true },
        committed: false,
    };
    let lists = scales.iter().map(|scale| vec![*scale]).collect();
    attribute(
        name,
        datatype,
        scales.len(),
        AttributeValue::ReferenceLists(lists),
    )
}
