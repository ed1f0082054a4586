//! What a person wants to know of a classic file, noted from its header, whether or not all data is there.

use super::{Extent, Records};
use crate::contiguous::strided;
use crate::dataset::{Dimension, Format, Layout, product};
use crate::decode::ByteRange;
use crate::inspect::{self, Container, Fill, Probe, Storage, Values, Variable, merged};
use crate::manifest::{ChunkEntry, SourceId};
use crate::netcdf3::header::{Attribute, Header, NcType};
use crate::zarr::{ByteOrder, DataType};

/// Notes the header and the variables of a file.
pub(super) fn note(header: &Header<'_>, extents: &[Extent<'_>], records: &Records, probe: &Probe) {
    let dimensions = header.dimensions.iter().enumerate();
    let dimensions = dimensions.map(|(position, dim)| {
        let unlimited = header.record_dimension == Some(position);
        let length = if unlimited { records.count } else { dim.length };
        (dim.name.to_owned(), Dimension { length, unlimited })
    });
    let root = inspect::Group {
        path: String::from("/"),
        dimensions: dimensions.collect(),
        attributes: attributes(&header.attributes),
    };
    let variables = extents.iter();
    let variables = variables.map(|extent| variable(extent, header, records));
    let variables = variables.collect();
    probe.note(|notes| {
        notes.container = Some(container(header));
        notes.groups = vec![root];
        notes.variables = variables;
        notes.variables.sort_by(|a, b| a.path.cmp(&b.path));
    });
}

const fn container(header: &Header<'_>) -> Container {
    Container::Classic {
        version: match header.format {
            Format::Cdf2 => 2,
            Format::Cdf5 => 5,
            _ => 1,
        },
        header_bytes: header.end,
    }
}

fn variable(extent: &Extent<'_>, header: &Header<'_>, records: &Records) -> Variable {
    let variable = extent.variable;
    let shape = extent.shape(records);
    let names = variable.dimensions.iter();
    let names = names.filter_map(|id| header.dimensions.get(*id));
    let bytes = product(&shape).and_then(|count| count.checked_mul(variable.nc_type.size()));
    Variable {
        path: format!("/{}", variable.name),
        data_type: String::from(name(variable.nc_type)),
        big_endian: variable.nc_type.data_type().byte_order() == Some(ByteOrder::Big),
        dimensions: names.map(|dim| dim.name.to_owned()).collect(),
        decoded_bytes: bytes,
        attributes: attributes(&variable.attributes),
        storage: storage(extent, records, bytes.unwrap_or(u64::MAX)),
        shape: Some(shape),
    }
}

fn storage(extent: &Extent<'_>, records: &Records, bytes: u64) -> Storage {
    let layout = extent.layout(records);
    let (count, extents) = match layout {
        Layout::Record => (records.count, of_records(extent, records)),
        // A record variable without a record is nowhere.
        _ if bytes == 0 => (0, Vec::new()),
        _ => (1, vec![ByteRange::new(extent.variable.begin, bytes)]),
    };
    Storage {
        layout: Some(layout),
        problem: None,
        index: None,
        chunk_shape: None,
        grid_chunks: count,
        allocated_chunks: count,
        stored_bytes: bytes,
        masked_chunks: 0,
        filters: Vec::new(),
        fill: Fill::None,
        extents: merged(extents),
    }
}

/// The parts of the records, or their whole region where there are so many that a list says nothing.
fn of_records(extent: &Extent<'_>, records: &Records) -> Vec<ByteRange> {
    const MOST: u64 = 100_000;
    let begin = extent.variable.begin;
    if records.count > MOST {
        let length = records.size.saturating_mul(records.count);
        return vec![ByteRange::new(begin, length)];
    }
    let parts = strided(
        SourceId(0),
        begin,
        records.size,
        extent.bytes,
        records.count,
    );
    let ranges = parts.iter().filter_map(|(_, entry)| match entry {
        ChunkEntry::Virtual { range, .. } => Some(range),
        _ => None,
    });
    ranges.collect()
}

const fn name(nc_type: NcType) -> &'static str {
    match nc_type {
        NcType::Byte => "byte",
        NcType::Char => "char",
        NcType::Short => "short",
        NcType::Int => "int",
        NcType::Float => "float",
        NcType::Double => "double",
        NcType::UByte => "ubyte",
        NcType::UShort => "ushort",
        NcType::UInt => "uint",
        NcType::Int64 => "int64",
        NcType::UInt64 => "uint64",
    }
}

fn attributes(attributes: &[Attribute<'_>]) -> Vec<inspect::Attribute> {
    let attributes = attributes.iter();
    attributes
        .map(|attribute| inspect::Attribute {
            name: attribute.name.to_owned(),
            data_type: String::from(name(attribute.nc_type)),
            values: values(attribute),
        })
        .collect()
}

fn values(attribute: &Attribute<'_>) -> Values {
    let data_type = attribute.nc_type.data_type();
    let size = usize::try_from(attribute.nc_type.size()).unwrap_or(1);
    let elements = attribute.values.chunks_exact(size.max(1));
    match data_type {
        DataType::Float(_, order) => Values::Floats(
            elements
                .map(|bytes| crate::zarr::float(bytes, order))
                .collect(),
        ),
        DataType::Int(_, order) => Values::Integers(
            elements
                .map(|bytes| i128::from(crate::zarr::signed(bytes, order)))
                .collect(),
        ),
        DataType::UInt(_, order) => Values::Integers(
            elements
                .map(|bytes| i128::from(crate::zarr::unsigned(bytes, order)))
                .collect(),
        ),
        _ => Values::Text(vec![
            String::from_utf8_lossy(attribute.values).replace('\0', ""),
        ]),
    }
}
