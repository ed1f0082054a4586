//! Where the values are: fixed variables one after another, then records that interleave the record variables.

mod inspect;

use super::attribute;
use super::header::{Header, Variable, malformed};
use crate::contiguous::{CUT_LIMIT, cut_contiguous, strided};
use crate::dataset::{
    Dimension, Layout, Skipped, VirtualArray, VirtualDataset, VirtualGroup, product,
};
use crate::decode::{Cost, DecodeError, DecodeOptions, SourceBuffer};
use crate::manifest::{ChunkManifest, SourceId};
use crate::rules::Finding;

const VARIABLE: &str = "variable";

/// The dataset that a header describes.
///
/// # Errors
///
/// [`DecodeError::Truncated`] when the file ends before its data; [`DecodeError::Malformed`] for variables that cannot
/// be where the header says; [`DecodeError::Budget`] for what is out of proportion to the file.
pub(super) fn dataset(
    header: &Header<'_>,
    buffer: &SourceBuffer,
    options: &DecodeOptions,
) -> Result<VirtualDataset, DecodeError> {
    let file_len = buffer.file_len();
    spend_names(header, buffer)?;
    let extents: Vec<Extent<'_>> = header
        .variables
        .iter()
        .map(|variable| Extent::new(header, variable))
        .collect::<Result<_, _>>()?;
    let records = Records::new(header, &extents, file_len)?;
    if let Some(probe) = &options.probe {
        inspect::note(header, &extents, &records, probe);
    }
    check_ends(&extents, &records, file_len)?;

    let mut dataset = VirtualDataset::new(header.format, VirtualGroup::default(), file_len);
    if header.records.is_none() {
        let message = format!(
            "the file was written as a stream; it has {} records",
            records.count
        );
        dataset
            .findings
            .push(Finding::info("streamed-records", None, message));
    }
    dataset.root.attributes =
        attribute::attributes(&header.attributes, None, &mut dataset.findings);
    for (position, dim) in header.dimensions.iter().enumerate() {
        let unlimited = header.record_dimension == Some(position);
        let length = if unlimited { records.count } else { dim.length };
        let dimension = Dimension { length, unlimited };
        dataset
            .root
            .dimensions
            .insert(dim.name.to_owned(), dimension);
    }
    let mut chunks_left = options.max_chunks;
    for extent in &extents {
        place(extent, header, &records, &mut chunks_left, &mut dataset).map_err(|Excess| {
            DecodeError::Budget {
                what: "number of chunks",
                limit: options.max_chunks,
            }
        })?;
    }
    Ok(dataset)
}

/// Each variable repeats the names of its dimensions, which the header has once.
fn spend_names(header: &Header<'_>, buffer: &SourceBuffer) -> Result<(), DecodeError> {
    let used = header
        .variables
        .iter()
        .flat_map(|variable| &variable.dimensions);
    let names = used.filter_map(|id| header.dimensions.get(*id));
    let bytes = names.map(|dim| u64::try_from(dim.name.len()).unwrap_or(u64::MAX));
    buffer.spend(Cost::Memory, bytes.fold(0, u64::saturating_add))
}

/// More chunks than allowed.
struct Excess;

/// Adds a variable to the dataset.
fn place(
    extent: &Extent<'_>,
    header: &Header<'_>,
    records: &Records,
    chunks_left: &mut u64,
    dataset: &mut VirtualDataset,
) -> Result<(), Excess> {
    let variable = extent.variable;
    let name = variable.name;
    let path = format!("/{name}");
    if !is_addressable(name) {
        dataset.skipped.push(Skipped {
            variable: path,
            reason: String::from("unsupported: its name cannot be part of a Zarr key"),
            is_data: true,
        });
        return Ok(());
    }
    let shape = extent.shape(records);
    let data_type = variable.nc_type.data_type();
    let chunk_shape = extent.chunk_shape(&shape, records);
    let chunks = extent.chunks(&shape, &chunk_shape, records, chunks_left)?;
    let (stored, findings) = (&variable.attributes, &mut dataset.findings);
    let mut attributes = attribute::attributes(stored, Some(&path), findings);
    let fill_value = attribute::fill_value(stored, &data_type, &path, &mut attributes, findings);
    let names = variable.dimensions.iter();
    let dimension_names = names
        .filter_map(|id| header.dimensions.get(*id))
        .map(|dim| dim.name.to_owned())
        .collect();
    let array = VirtualArray {
        shape,
        chunk_shape,
        data_type,
        fill_value,
        codecs: Vec::new(),
        dimension_names,
        attributes,
        chunks,
        layout: extent.layout(records),
    };
    dataset.root.arrays.insert(name.to_owned(), array);
    Ok(())
}

/// Whether a name can be one segment of a Zarr key; zarr-python takes a backslash for a slash.
fn is_addressable(name: &str) -> bool {
    let document = [".zgroup", ".zarray", ".zattrs", ".zmetadata", ".", ".."].contains(&name);
    !document && !name.contains(['/', '\\'])
}

/// A variable and how much room it takes.
struct Extent<'h> {
    variable: &'h Variable<'h>,
    is_record: bool,
    /// Lengths without the record dimension.
    lengths: Vec<u64>,
    /// Size of its data, or of its part of one record.
    bytes: u64,
}

impl<'h> Extent<'h> {
    fn new(header: &'h Header<'_>, variable: &'h Variable<'h>) -> Result<Self, DecodeError> {
        let problem = |text: &str| {
            let problem = format!("`{}` {text}", variable.name);
            malformed(VARIABLE, variable.at, &problem)
        };
        let is_record_dimension = |id: &usize| header.record_dimension == Some(*id);
        let is_record = variable.dimensions.first().is_some_and(is_record_dimension);
        let inner = variable.dimensions.get(usize::from(is_record)..);
        let inner = inner.unwrap_or_default();
        if inner.iter().any(is_record_dimension) {
            return Err(problem("has the record dimension behind its first one"));
        }
        let lengths: Vec<u64> = inner
            .iter()
            .filter_map(|id| header.dimensions.get(*id))
            .map(|dim| dim.length)
            .collect();
        let bytes = product(&lengths)
            .and_then(|elements| elements.checked_mul(variable.nc_type.size()))
            .and_then(|bytes| bytes.checked_next_multiple_of(4).map(|_| bytes))
            .ok_or_else(|| problem("has more bytes than can be counted"))?;
        if bytes > 0 && variable.begin < header.end {
            return Err(problem("begins inside the header"));
        }
        Ok(Self {
            variable,
            is_record,
            lengths,
            bytes,
        })
    }

    /// Its size with what fills it up to four bytes.
    fn padded(&self) -> u64 {
        self.bytes.next_multiple_of(4)
    }

    /// Offset of the first byte behind its data without padding; `None` if that cannot be counted.
    fn end(&self, records: &Records) -> Option<u64> {
        let count = if self.is_record { records.count } else { 1 };
        let Some(last) = count.checked_sub(1) else {
            return Some(0);
        };
        let skipped = last.checked_mul(records.size)?;
        let start = self.variable.begin.checked_add(skipped)?;
        start.checked_add(self.bytes)
    }

    fn shape(&self, records: &Records) -> Vec<u64> {
        let leading = self.is_record.then_some(records.count);
        leading
            .into_iter()
            .chain(self.lengths.iter().copied())
            .collect()
    }

    /// Whether its records interleave those of other variables; those of a single record variable follow one another.
    const fn is_interleaved(&self, records: &Records) -> bool {
        self.is_record && records.size != self.bytes
    }

    const fn layout(&self, records: &Records) -> Layout {
        match self.is_interleaved(records) {
            true => Layout::Record,
            false => Layout::Contiguous,
        }
    }

    fn chunk_shape(&self, shape: &[u64], records: &Records) -> Vec<u64> {
        if self.is_interleaved(records) {
            let lengths = self.lengths.iter().map(|length| (*length).max(1));
            return std::iter::once(1).chain(lengths).collect();
        }
        cut_contiguous(shape, self.variable.nc_type.size(), CUT_LIMIT)
    }

    fn chunks(
        &self,
        shape: &[u64],
        chunk_shape: &[u64],
        records: &Records,
        chunks_left: &mut u64,
    ) -> Result<ChunkManifest, Excess> {
        if shape.contains(&0) {
            return Ok(ChunkManifest::new());
        }
        let size = self.variable.nc_type.size();
        let chunk_bytes = product(chunk_shape).map_or(self.bytes, |n| n.saturating_mul(size));
        let whole = product(shape).map_or(self.bytes, |n| n.saturating_mul(size));
        let count = whole.checked_div(chunk_bytes).unwrap_or(0);
        *chunks_left = chunks_left.checked_sub(count).ok_or(Excess)?;
        let stride = match self.is_interleaved(records) {
            true => records.size,
            false => chunk_bytes,
        };
        let (source, begin) = (SourceId(0), self.variable.begin);
        Ok(strided(source, begin, stride, chunk_bytes, count))
    }
}

/// The records of a file.
struct Records {
    count: u64,
    /// Distance from one record to the next.
    size: u64,
}

impl Records {
    fn new(
        header: &Header<'_>,
        extents: &[Extent<'_>],
        file_len: u64,
    ) -> Result<Self, DecodeError> {
        let size = record_size(extents).ok_or_else(|| {
            malformed(
                "variable list",
                0,
                "a record has more bytes than can be counted",
            )
        })?;
        let count = match header.records {
            Some(count) => count,
            None => streamed_records(extents, size, file_len),
        };
        Ok(Self { count, size })
    }
}

/// The sum of the padded sizes. Where that is all the last record variable's, it is not padded: the exception that
/// the specification makes for a single record variable, in the form in which netCDF-C applies it.
fn record_size(extents: &[Extent<'_>]) -> Option<u64> {
    let mut records = extents.iter().filter(|extent| extent.is_record);
    let padded = records.try_fold(0u64, |sum, extent| sum.checked_add(extent.padded()))?;
    let last = extents.iter().rev().find(|extent| extent.is_record);
    match last {
        Some(last) if last.padded() == padded => Some(last.bytes),
        _ => Some(padded),
    }
}

/// As many records as are whole in the file; the last may lack its padding.
fn streamed_records(extents: &[Extent<'_>], size: u64, file_len: u64) -> u64 {
    let records = extents.iter().filter(|e| e.is_record && e.bytes > 0);
    let whole = records.map(|extent| {
        let last = file_len.checked_sub(extent.variable.begin)?;
        let last = last.checked_sub(extent.bytes)?;
        last.checked_div(size)?.checked_add(1)
    });
    whole.map(Option::unwrap_or_default).min().unwrap_or(0)
}

/// The file must reach to the end of the data; padding behind it may be missing.
fn check_ends(extents: &[Extent<'_>], records: &Records, file_len: u64) -> Result<(), DecodeError> {
    let mut expected = 0;
    for extent in extents.iter().filter(|extent| extent.bytes > 0) {
        let end = extent.end(records).ok_or_else(|| {
            let problem = format!("`{}` ends behind every file", extent.variable.name);
            malformed(VARIABLE, extent.variable.at, &problem)
        })?;
        expected = end.max(expected);
    }
    if expected > file_len {
        let actual = file_len;
        return Err(DecodeError::Truncated { expected, actual });
    }
    Ok(())
}
