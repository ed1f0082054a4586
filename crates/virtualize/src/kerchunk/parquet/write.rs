//! Writes a reference set table by table: no more than one is in memory.

use std::collections::BTreeMap;
use std::io;
use std::iter::Peekable;

use bytes::Bytes;
use parquet::data_type::ByteArray;
use serde::Serialize;
use serde_json::Value;

use super::table::Columns;
use super::{Landfall, MAX_RECORD_SIZE, ZMETADATA, checksum, stays_inside, table_name, tables_of};
use crate::dataset::{VirtualArray, VirtualDataset, product};
use crate::decode::ByteRange;
use crate::kerchunk::extra::Extra;
use crate::manifest::{ChunkEntry, SourceId};
use crate::zarr;

/// A file of a reference set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name inside the directory of the set, such as `tas/refs.0.parq`.
    pub name: String,
    /// What it holds.
    pub bytes: Bytes,
}

/// The files of `dataset` as a reference set of `record_size` chunks a table; equal datasets give equal bytes.
/// `.zmetadata` comes last: a set without it is none.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidData`] for a record size outside 1 to [`MAX_RECORD_SIZE`]; from the iterator when a chunk
/// names a source that the dataset has not, or the layout cannot hold a variable.
pub fn files(dataset: &VirtualDataset, record_size: u64) -> io::Result<Files<'_>> {
    if record_size == 0 || record_size > MAX_RECORD_SIZE {
        return Err(invalid(format!(
            "the record size {record_size} is not 1 to {MAX_RECORD_SIZE}"
        )));
    }
    let urls = dataset.sources.iter();
    Ok(Files {
        dataset,
        record_size,
        urls: urls
            .map(|source| ByteArray::from(source.url.as_str()))
            .collect(),
        arrays: dataset.root.walk().into_iter(),
        current: None,
        checksums: BTreeMap::new(),
        finished: false,
    })
}

/// Iterator of [`files`].
pub struct Files<'d> {
    dataset: &'d VirtualDataset,
    record_size: u64,
    urls: Vec<ByteArray>,
    arrays: std::vec::IntoIter<(String, &'d VirtualArray)>,
    current: Option<Tables<'d>>,
    checksums: BTreeMap<String, u32>,
    finished: bool,
}

impl std::fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files")
            .field("record_size", &self.record_size)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}

impl Iterator for Files<'_> {
    type Item = io::Result<File>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let file = self.next_file();
        self.finished = file.as_ref().map_or(true, |file| file.name == ZMETADATA);
        Some(file)
    }
}

impl Files<'_> {
    fn next_file(&mut self) -> io::Result<File> {
        loop {
            if let Some(tables) = &mut self.current
                && let Some(file) = tables.next(&self.urls)?
            {
                let checksum = checksum(&file.bytes);
                self.checksums.insert(file.name.clone(), checksum);
                return Ok(file);
            }
            let Some((path, array)) = self.arrays.next() else {
                return Ok(File {
                    name: String::from(ZMETADATA),
                    bytes: self.metadata()?,
                });
            };
            self.current = Some(Tables::new(path, array, self.record_size)?);
        }
    }

    fn metadata(&self) -> io::Result<Bytes> {
        let landfall = Landfall {
            extra: Extra::of(self.dataset),
            tables: self.checksums.clone(),
        };
        let document = Metadata {
            landfall: serde_json::to_value(landfall)?,
            metadata: zarr::Documents(&self.dataset.root),
            record_size: self.record_size,
            zarr_consolidated_format: 1,
        };
        Ok(serde_json::to_vec(&document)?.into())
    }
}

/// `.zmetadata`.
#[derive(Serialize)]
struct Metadata<'d> {
    landfall: Value,
    metadata: zarr::Documents<'d>,
    record_size: u64,
    zarr_consolidated_format: u32,
}

/// The tables of one array.
struct Tables<'d> {
    path: String,
    entries: Peekable<Box<dyn Iterator<Item = (u64, ChunkEntry)> + Send + 'd>>,
    /// Chunks of the grid.
    chunks: u64,
    record_size: u64,
    tables: u64,
    written: u64,
}

impl<'d> Tables<'d> {
    fn new(path: String, array: &'d VirtualArray, record_size: u64) -> io::Result<Self> {
        if !stays_inside(&path) {
            return Err(invalid(format!("`{path}` cannot be a directory")));
        }
        let chunks = product(&array.chunk_grid());
        let counted = chunks.and_then(|chunks| Some((chunks, tables_of(chunks, record_size)?)));
        let (chunks, tables) =
            counted.ok_or_else(|| invalid(format!("`{path}` has too many chunks")))?;
        let entries: Box<dyn Iterator<Item = _> + Send> = Box::new(array.chunks.iter());
        Ok(Self {
            path,
            entries: entries.peekable(),
            chunks,
            record_size,
            tables,
            written: 0,
        })
    }

    fn next(&mut self, urls: &[ByteArray]) -> io::Result<Option<File>> {
        if self.written == self.tables {
            return match self.entries.next() {
                None => Ok(None),
                Some((number, _)) => Err(self.problem(number, "lies outside the chunk grid")),
            };
        }
        let start = self.written.saturating_mul(self.record_size);
        let end = start.saturating_add(self.record_size).min(self.chunks);
        let mut columns = Columns::default();
        for number in start..end {
            let entry = self.entries.next_if(|(next, _)| *next == number);
            let entry = entry.map_or(ChunkEntry::Missing, |(_, entry)| entry);
            push(&mut columns, entry, urls).map_err(|problem| self.problem(number, problem))?;
        }
        let name = table_name(&self.path, self.written);
        self.written = self.written.saturating_add(1);
        let bytes = columns.encode().map_err(io::Error::other)?.into();
        Ok(Some(File { name, bytes }))
    }

    fn problem(&self, number: u64, problem: &str) -> io::Error {
        invalid(format!("chunk {number} of `{}` {problem}", self.path))
    }
}

fn push(columns: &mut Columns, entry: ChunkEntry, urls: &[ByteArray]) -> Result<(), &'static str> {
    match entry {
        ChunkEntry::Missing => columns.push_missing(),
        ChunkEntry::Inline(bytes) => columns.push_inline(bytes),
        // A range of 0 bytes at 0 would mean the whole file.
        ChunkEntry::Virtual { range, .. } if range.start == 0 && range.len == 0 => {
            columns.push_inline(Bytes::new());
        }
        ChunkEntry::Virtual { source, range } => push_range(columns, source, range, urls)?,
    }
    Ok(())
}

fn push_range(
    columns: &mut Columns,
    source: SourceId,
    range: ByteRange,
    urls: &[ByteArray],
) -> Result<(), &'static str> {
    let url = usize::try_from(source.0).ok().and_then(|at| urls.get(at));
    let url = url.ok_or("lies in a source that is not listed")?;
    let numbers = i64::try_from(range.start)
        .ok()
        .zip(i64::try_from(range.len).ok());
    let (offset, size) = numbers.ok_or("lies beyond what 63 bits can say")?;
    columns.push_range(url, offset, size);
    Ok(())
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
