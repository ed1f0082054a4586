//! The second opinion: what the HDF5 C library finds in the sources, beside what our own decoder does.
//!
//! The library reads files of this machine, and numbers in them; everything else is named as not covered.

use std::path::Path;

use libhdf5_oracle::{StoredChunk, chunks_of, read_slab};
use virtualize::combine::verify::{Mismatch, Verification};
use virtualize::dataset::{Format, Layout};
use virtualize::zarr::{self, ByteOrder, DataType, decode_chunk};
use virtualize::{ByteRange, ChunkEntry, DecodeOptions, VirtualArray, VirtualDataset};

use super::Second;
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::stores::blobs::{Named, NamedSources, RangeSource};

/// Chunks of one variable of one file that are read without `--all`: its first, its middle and its last.
const ENDS: usize = 3;

/// Compares every source that is an HDF5 file of this machine.
pub(super) async fn compare(
    combined: &VirtualDataset,
    all: bool,
    sources: &NamedSources,
    verification: &mut Verification,
) -> Result<Second, Failure> {
    let mut second = Second::default();
    for source in &combined.sources {
        let path = source.url.strip_prefix("file://").unwrap_or(&source.url);
        let file = source.url.rsplit('/').next().unwrap_or(path);
        if path.contains("://") {
            second
                .not_covered
                .push(format!("{file}: it is not a file of this machine"));
            continue;
        }
        let named = Named::File(path.into());
        let read = input::read_file(&named, sources, DecodeOptions::default()).await;
        // What cannot be read has been told already.
        let Ok((fresh, _)) = read else { continue };
        if !matches!(fresh.format, Format::Netcdf4 | Format::Hdf5) {
            second
                .not_covered
                .push(format!("{file}: it is NetCDF classic, not HDF5"));
            continue;
        }
        second.files += 1;
        let opened = input::open(&named, sources).await?;
        for (variable, array) in fresh.root.walk() {
            let one = One {
                path: Path::new(path),
                file,
                variable: &variable,
                array,
            };
            one.compare(opened.as_ref(), all, &mut second, verification)
                .await;
        }
    }
    Ok(second)
}

/// One variable of one file.
struct One<'a> {
    path: &'a Path,
    file: &'a str,
    variable: &'a str,
    array: &'a VirtualArray,
}

impl One<'_> {
    async fn compare(
        &self,
        source: &dyn RangeSource,
        all: bool,
        second: &mut Second,
        verification: &mut Verification,
    ) {
        match chunks_of(self.path, self.variable) {
            Ok(theirs) => self.compare_tables(&theirs, second, verification),
            Err(error) => return self.leave(&crate::pipeline::chain(&error), second),
        }
        let numbers: Vec<u64> = self.array.chunks.iter().map(|(number, _)| number).collect();
        let ends = [0, numbers.len() / 2, numbers.len().saturating_sub(1)];
        for (at, number) in numbers.iter().enumerate() {
            if !all && numbers.len() > ENDS && !ends.contains(&at) {
                continue;
            }
            match self.compare_chunk(*number, source).await {
                Ok(true) => second.chunks += 1,
                Ok(false) => {
                    let key = zarr::chunk_key(&self.array.chunk_grid(), *number);
                    let message = format!("chunk {key} decodes to other values than in libhdf5");
                    self.note("libhdf5_values_differ", message, verification);
                }
                Err(reason) => return self.leave(&reason, second),
            }
        }
    }

    /// The tables of chunks. The library is known to list wrong coordinates for one kind of index, at the right bytes:
    /// there the values decide.
    fn compare_tables(
        &self,
        theirs: &[StoredChunk],
        second: &mut Second,
        verification: &mut Verification,
    ) {
        let is_masked = theirs.iter().any(|chunk| chunk.filter_mask != 0);
        let Some(ours) = self.table().filter(|_| !theirs.is_empty() && !is_masked) else {
            return;
        };
        if ours == theirs {
            second.tables += 1;
            return;
        }
        let places = |chunks: &[StoredChunk]| {
            let mut places: Vec<_> = chunks
                .iter()
                .map(|chunk| (chunk.address, chunk.size))
                .collect();
            places.sort_unstable();
            places
        };
        match places(&ours) == places(theirs) {
            true => self.leave(
                "the coordinates of its chunks: the library lists others",
                second,
            ),
            false => {
                let apart = ours
                    .iter()
                    .zip(theirs)
                    .find(|(ours, theirs)| ours != theirs);
                let shown = apart
                    .map_or(String::from("another number of them"), |(ours, theirs)| {
                        format!("{ours:?}, in libhdf5 {theirs:?}")
                    });
                let message = format!("its chunks are others than in libhdf5: {shown}");
                self.note("libhdf5_chunks_differ", message, verification);
            }
        }
    }

    /// Our chunk table in the library's terms; none where something is inlined or cut in another way.
    fn table(&self) -> Option<Vec<StoredChunk>> {
        let grid = self.array.chunk_grid();
        let mut rows = Vec::new();
        for (number, entry) in self.array.chunks.iter() {
            let ChunkEntry::Virtual { range, .. } = entry else {
                return None;
            };
            let place = zarr::coordinates(&grid, number).into_iter();
            let offset = place.zip(&self.array.chunk_shape).map(|(at, len)| at * len);
            rows.push(StoredChunk {
                offset: offset.collect(),
                address: range.start,
                size: range.len,
                filter_mask: 0,
            });
        }
        rows.sort_unstable();
        (self.array.layout == Layout::Chunked).then_some(rows)
    }

    /// Whether a chunk has the library's values; an error says why that cannot be told.
    async fn compare_chunk(&self, number: u64, source: &dyn RangeSource) -> Result<bool, String> {
        let array = self.array;
        let told = |error: &dyn std::error::Error| crate::pipeline::chain(error);
        let bytes = match array.chunks.get(number) {
            ChunkEntry::Inline(bytes) => bytes,
            ChunkEntry::Virtual { range, .. } => {
                let ranges: [ByteRange; 1] = [range];
                let read = source.ranges(&ranges).await.map_err(|error| told(&error))?;
                read.into_iter().next().unwrap_or_default()
            }
            ChunkEntry::Missing => return Ok(true),
        };
        let size = array.chunk_nbytes().ok_or("its chunks are too large")?;
        let ours = decode_chunk(&bytes, &array.codecs, size).map_err(|error| told(&error))?;
        let place = zarr::coordinates(&array.chunk_grid(), number).into_iter();
        let start = place.zip(&array.chunk_shape).map(|(at, len)| at * len);
        let start: Vec<usize> = start.filter_map(|at| usize::try_from(at).ok()).collect();
        let lengths = |lengths: &[u64]| -> Vec<usize> {
            lengths
                .iter()
                .filter_map(|len| usize::try_from(*len).ok())
                .collect()
        };
        let (shape, chunk) = (lengths(&array.shape), lengths(&array.chunk_shape));
        let inside = shape.iter().zip(&chunk).zip(&start);
        let count: Vec<usize> = inside
            .map(|((len, chunk), at)| (*chunk).min(len - at))
            .collect();
        let theirs = read_slab(self.path, self.variable, &start, &count);
        let theirs = theirs.map_err(|error| told(&error))?;
        let ours = little_endian(clip(&ours, &chunk, &count), &array.data_type);
        match ours.len() == theirs.len() {
            true => Ok(ours == theirs),
            false => Err(String::from("its type is another one in the reference")),
        }
    }

    fn leave(&self, reason: &str, second: &mut Second) {
        let what = format!("{}: {}: {reason}", self.file, self.variable);
        second.not_covered.push(what);
    }

    fn note(&self, code: &'static str, message: String, verification: &mut Verification) {
        verification.report.mismatches += 1;
        verification.mismatches.push(Mismatch {
            code,
            file: self.file.to_owned(),
            variable: self.variable.to_owned(),
            message,
        });
    }
}

/// What of a chunk lies inside the array.
fn clip(chunk: &[u8], shape: &[usize], count: &[usize]) -> Vec<u8> {
    let Some((first, inner)) = shape.split_first() else {
        return chunk.to_vec();
    };
    let row = chunk.len().checked_div(*first).unwrap_or(0).max(1);
    let (rows, inner_count) = match count.split_first() {
        Some((rows, inner_count)) => (*rows, inner_count),
        None => (0, count),
    };
    let rows = chunk.chunks(row).take(rows);
    rows.flat_map(|row| clip(row, inner, inner_count)).collect()
}

fn little_endian(mut bytes: Vec<u8>, data_type: &DataType) -> Vec<u8> {
    if data_type.byte_order() == Some(ByteOrder::Big) {
        let size = usize::try_from(data_type.size()).unwrap_or(1).max(1);
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    bytes
}
