//! A dataset from the messages of its object header.

use bytes::Bytes;
use futures_util::future::try_join4;

use super::context::Context;
use super::heap::local::LocalHeap;
use super::message::layout::Layout;
use super::message::shared::{Resolved, resolve};
use super::message::{self, dataspace, datatype, fill, filter, layout};
use super::model::{Dataset, Dataspace, Datatype, DatatypeClass, FillValue, Filter, Storage};
use super::object_header::ObjectHeader;
use super::{chunk_index, speculate};
use crate::decode::{ByteRange, DecodeError};

/// Bytes of memory that a dimension takes here and in what becomes of it.
const DIMENSION_COST: usize = 256;

/// Whether an object header is that of a dataset.
pub(super) fn is_dataset(header: &ObjectHeader) -> bool {
    header.message(message::LAYOUT).is_some() || header.message(message::DATASPACE).is_some()
}

/// Reads everything of a dataset but its attributes.
pub(super) async fn read(
    context: &Context<'_>,
    header: &ObjectHeader,
) -> Result<Dataset, DecodeError> {
    let layout = layout_of(context, header)?;
    if let Some(layout) = &layout {
        speculate::prefetch_layout(context, layout);
    }
    let (datatype, dataspace, filters, fill) = try_join4(
        datatype_of(context, header),
        dataspace_of(context, header),
        filters_of(context, header),
        fill_of(context, header),
    )
    .await?;
    context.spend_each(rank_of(&datatype, &dataspace), DIMENSION_COST)?;
    let storage = match layout {
        None => Storage::Unsupported(String::from("no data layout")),
        Some(_) if header.message(message::EXTERNAL_FILES).is_some() => {
            Storage::External(external_files(context, header).await?)
        }
        Some(Layout::Compact { data, at }) => compact(data, at),
        Some(Layout::Contiguous { address, size }) => {
            let needed = needed_bytes(&datatype, &dataspace);
            contiguous(address, size, needed, context.file_len())
        }
        Some(Layout::Chunked(chunked)) => {
            chunk_index::read(context, &dataspace, &chunked, filters.len()).await
        }
        Some(Layout::Virtual) => Storage::Virtual,
    };
    speculate::prefetch_values(context, &dataspace, &storage);
    Ok(Dataset {
        address: header.at,
        datatype,
        dataspace,
        storage,
        filters,
        fill,
        attributes: Vec::new(),
        broken_attributes: Vec::new(),
    })
}

fn layout_of(context: &Context<'_>, header: &ObjectHeader) -> Result<Option<Layout>, DecodeError> {
    let message = header.message(message::LAYOUT);
    message
        .map(|message| layout::parse(&mut context.cursor("data layout", message.at, &message.body)))
        .transpose()
}

/// The datatype message of an object.
pub(super) async fn datatype_of(
    context: &Context<'_>,
    header: &ObjectHeader,
) -> Result<Datatype, DecodeError> {
    let found = body(context, header, message::DATATYPE).await?;
    let found = found.ok_or_else(|| missing(header, "datatype"))?;
    let mut cursor = context.cursor("datatype message", found.at, &found.body);
    let mut datatype = datatype::parse(&mut cursor)?;
    context.spend(datatype::parsed_bytes(&datatype))?;
    datatype.committed = found.committed;
    Ok(datatype)
}

async fn dataspace_of(
    context: &Context<'_>,
    header: &ObjectHeader,
) -> Result<Dataspace, DecodeError> {
    let found = body(context, header, message::DATASPACE).await?;
    let found = found.ok_or_else(|| missing(header, "dataspace"))?;
    dataspace::parse(&mut context.cursor("dataspace message", found.at, &found.body))
}

async fn filters_of(
    context: &Context<'_>,
    header: &ObjectHeader,
) -> Result<Vec<Filter>, DecodeError> {
    match body(context, header, message::FILTERS).await? {
        Some(found) => filter::parse(&mut context.cursor("filter pipeline", found.at, &found.body)),
        None => Ok(Vec::new()),
    }
}

async fn fill_of(context: &Context<'_>, header: &ObjectHeader) -> Result<FillValue, DecodeError> {
    let what = "fill value message";
    if let Some(found) = body(context, header, message::FILL).await? {
        return fill::parse(&mut context.cursor(what, found.at, &found.body));
    }
    match body(context, header, message::FILL_OLD).await? {
        Some(found) => fill::parse_old(&mut context.cursor(what, found.at, &found.body)),
        None => Ok(FillValue::Default),
    }
}

async fn body(
    context: &Context<'_>,
    header: &ObjectHeader,
    kind: u16,
) -> Result<Option<Resolved>, DecodeError> {
    match header.message(kind) {
        Some(message) => resolve(context, message).await.map(Some),
        None => Ok(None),
    }
}

fn missing(header: &ObjectHeader, what: &str) -> DecodeError {
    DecodeError::Malformed {
        what: "object header",
        at: header.at,
        problem: format!("has no {what}"),
    }
}

fn compact(data: Bytes, at: u64) -> Storage {
    let range = u64::try_from(data.len())
        .ok()
        .map(|len| ByteRange::new(at, len));
    Storage::Compact { data, range }
}

/// Number of dimensions, those of array types included.
fn rank_of(datatype: &Datatype, dataspace: &Dataspace) -> usize {
    let mut rank = dataspace.shape().map_or(0, <[u64]>::len);
    let mut datatype = datatype;
    while let DatatypeClass::Array { dims, base } = &datatype.class {
        rank = rank.saturating_add(dims.len());
        datatype = base;
    }
    rank
}

fn needed_bytes(datatype: &Datatype, dataspace: &Dataspace) -> Option<u64> {
    dataspace::element_count(dataspace)?.checked_mul(u64::from(datatype.size))
}

/// As much of the allocated run as the dataspace needs.
fn contiguous(
    address: Option<u64>,
    size: Option<u64>,
    needed: Option<u64>,
    file_len: u64,
) -> Storage {
    let Some(at) = address else {
        return Storage::Contiguous(None);
    };
    let Some(needed) = needed else {
        return Storage::Unsupported(String::from("more than 2^64 bytes of data"));
    };
    if size.is_some_and(|size| size < needed) {
        return Storage::Unsupported(format!(
            "{needed} bytes of data, for which {} bytes are allocated",
            size.unwrap_or_default()
        ));
    }
    if at.checked_add(needed).is_none_or(|end| end > file_len) {
        return Storage::Unsupported(format!(
            "the data at byte {at} runs past the end of the file"
        ));
    }
    Storage::Contiguous(Some(ByteRange::new(at, needed)))
}

/// Version, 3 reserved, slots u16, used slots u16, local heap, and for each slot name, offset and size.
async fn external_files(
    context: &Context<'_>,
    header: &ObjectHeader,
) -> Result<Vec<String>, DecodeError> {
    let mut names = Vec::new();
    for message in header.all(message::EXTERNAL_FILES) {
        let mut cursor = context.cursor("external files message", message.at, &message.body);
        cursor.version(1)?;
        cursor.skip(5)?;
        let slots = cursor.u16()?;
        let heap = cursor.defined_address()?;
        let offsets = (0..slots)
            .map(|_| {
                let name = cursor.length()?;
                cursor.length()?;
                cursor.length()?;
                Ok(name)
            })
            .collect::<Result<Vec<u64>, DecodeError>>()?;
        let heap = LocalHeap::read(context, heap).await?;
        for offset in &offsets {
            names.push(heap.text(*offset)?);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::larger_than_needed(Some(64), Some(100), Some(40), Some(ByteRange::new(64, 40)))]
    #[case::size_not_stored(Some(64), None, Some(40), Some(ByteRange::new(64, 40)))]
    #[case::not_allocated(None, Some(100), Some(40), None)]
    fn contiguous_data_is_clamped(
        #[case] address: Option<u64>,
        #[case] size: Option<u64>,
        #[case] needed: Option<u64>,
        #[case] expected: Option<ByteRange>,
    ) {
        let storage = contiguous(address, size, needed, 1000);
        assert!(matches!(storage, Storage::Contiguous(range) if range == expected));
    }

    #[rstest]
    #[case::less_than_needed(64, Some(30), Some(40))]
    #[case::past_the_end(970, Some(40), Some(40))]
    #[case::overflow(64, None, None)]
    fn impossible_contiguous_data_is_refused(
        #[case] address: u64,
        #[case] size: Option<u64>,
        #[case] needed: Option<u64>,
    ) {
        let storage = contiguous(Some(address), size, needed, 1000);
        assert!(matches!(storage, Storage::Unsupported(_)));
    }
}
