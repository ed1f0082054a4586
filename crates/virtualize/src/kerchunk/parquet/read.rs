//! Reads a reference set, ours or that of others, table by table.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use parquet::errors::ParquetError;
use serde::Deserialize;
use serde_json::Value;

use super::table::{Row, for_each_row};
use super::{Landfall, MAX_RECORD_SIZE, ZMETADATA, checksum, stays_inside, table_name, tables_of};
use crate::dataset::{VirtualArray, VirtualDataset, product};
use crate::decode::ByteRange;
use crate::kerchunk::hierarchy::{Documents, Hierarchy};
use crate::kerchunk::sources::Sources;
use crate::kerchunk::{KerchunkError, metadata};
use crate::manifest::ChunkManifest;
use crate::zarr;

/// The `.zmetadata` document.
#[derive(Deserialize)]
struct Zmetadata {
    metadata: BTreeMap<String, Value>,
    record_size: u64,
    landfall: Option<Landfall>,
}

/// The dataset that a reference set describes; `fetch` gives the files of its directory by name, or `None` where
/// there is none of that name.
///
/// What [`files`](super::files) wrote comes back as it was, and a table of it that is lost is an error. Of a set that
/// others wrote, a lost table means missing chunks, as it does to fsspec; for the rest see
/// [`json::read`](crate::kerchunk::json::read).
///
/// # Errors
///
/// [`KerchunkError`], naming the file or the chunk, when something cannot be fetched or used.
pub fn read(
    mut fetch: impl FnMut(&str) -> io::Result<Option<Bytes>>,
) -> Result<VirtualDataset, KerchunkError> {
    let mut fetch = |name: &str| {
        fetch(name).map_err(|source| KerchunkError::Fetch {
            name: name.to_owned(),
            source,
        })
    };
    let document = fetch(ZMETADATA)?.ok_or_else(|| lost(ZMETADATA))?;
    let zmetadata = parse(&document)?;
    let record_size = zmetadata.record_size;
    let (extra, checksums) = zmetadata
        .landfall
        .map(|landfall| (landfall.extra, landfall.tables))
        .unzip();
    let hierarchy = Hierarchy::new(documents(zmetadata.metadata), extra)?;
    let mut sources = hierarchy.sources();
    let mut manifests = BTreeMap::new();
    for (path, array) in hierarchy.arrays() {
        let mut chunks = Chunks::of(path, array, record_size)?;
        for number in 0..chunks.tables {
            let name = table_name(path, number);
            match (fetch(&name)?, &checksums) {
                (Some(table), checksums) => {
                    check(&name, &table, checksums.as_ref())?;
                    chunks.add(&name, number, table, &mut sources)?;
                }
                (None, Some(_)) => return Err(lost(&name)),
                (None, None) => {}
            }
        }
        manifests.insert(path.to_owned(), chunks.manifest);
    }
    hierarchy.finish(manifests, sources)
}

fn lost(name: &str) -> KerchunkError {
    KerchunkError::Fetch {
        name: name.to_owned(),
        source: io::ErrorKind::NotFound.into(),
    }
}

/// Whether a table is the one that the metadata was written with.
fn check(
    name: &str,
    table: &[u8],
    checksums: Option<&BTreeMap<String, u32>>,
) -> Result<(), KerchunkError> {
    match checksums {
        Some(checksums) if checksums.get(name) != Some(&checksum(table)) => {
            Err(damaged(name, "its checksum is another one"))
        }
        _ => Ok(()),
    }
}

fn damaged(
    name: &str,
    problem: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> KerchunkError {
    KerchunkError::Table {
        name: name.to_owned(),
        source: problem.into(),
    }
}

fn parse(document: &[u8]) -> Result<Zmetadata, KerchunkError> {
    let text = std::str::from_utf8(document)
        .map_err(|error| KerchunkError::metadata(ZMETADATA, error.to_string()))?;
    let zmetadata: Zmetadata = metadata::parse(ZMETADATA, text)?;
    if zmetadata.record_size == 0 || zmetadata.record_size > MAX_RECORD_SIZE {
        let problem = format!("its record_size is not 1 to {MAX_RECORD_SIZE}");
        return Err(KerchunkError::metadata(ZMETADATA, problem));
    }
    Ok(zmetadata)
}

fn documents(metadata: BTreeMap<String, Value>) -> Documents {
    let texts = metadata.into_iter();
    texts
        .map(|(key, document)| (key, document.to_string()))
        .collect()
}

/// The chunks of one array, and what is known of its tables.
struct Chunks<'a> {
    path: &'a str,
    grid: Vec<u64>,
    chunks: u64,
    record_size: u64,
    tables: u64,
    manifest: ChunkManifest,
}

impl<'a> Chunks<'a> {
    fn of(path: &'a str, array: &VirtualArray, record_size: u64) -> Result<Self, KerchunkError> {
        let problem = |problem: &str| KerchunkError::metadata(&format!("{path}/.zarray"), problem);
        if !stays_inside(path) {
            return Err(problem("its path leads out of the directory"));
        }
        let grid = array.chunk_grid();
        let chunks = product(&grid).ok_or_else(|| problem("it has too many chunks"))?;
        let tables =
            tables_of(chunks, record_size).ok_or_else(|| problem("it has too many chunks"))?;
        Ok(Self {
            path,
            grid,
            chunks,
            record_size,
            tables,
            manifest: ChunkManifest::new(),
        })
    }

    /// Takes the rows of a table; those behind the end of the grid are padding.
    fn add(
        &mut self,
        name: &str,
        number: u64,
        table: Bytes,
        sources: &mut Sources,
    ) -> Result<(), KerchunkError> {
        let first = number.saturating_mul(self.record_size);
        let rows = self.chunks.saturating_sub(first).min(self.record_size);
        let limit = usize::try_from(rows).unwrap_or(usize::MAX);
        let found = for_each_row(table, limit, |row, entry| {
            let row = u64::try_from(row).unwrap_or(u64::MAX);
            let number = first.saturating_add(row);
            self.put(number, entry, sources).map_err(Fault::Chunk)
        });
        match found {
            Ok(found) if found == limit => Ok(()),
            Ok(found) => {
                let problem = format!("it has {found} of {rows} rows");
                Err(damaged(name, problem))
            }
            Err(Fault::Chunk(error)) => Err(error),
            Err(Fault::Table(source)) => Err(damaged(name, source)),
        }
    }

    fn put(&mut self, number: u64, row: Row, sources: &mut Sources) -> Result<(), KerchunkError> {
        let problem = |problem: &str| {
            let key = zarr::chunk_key(&self.grid, number);
            KerchunkError::chunk(&format!("{}/{key}", self.path), problem)
        };
        match row {
            Row::Missing => {}
            Row::Inline(bytes) => self.manifest.insert_inline(number, bytes),
            Row::Whole => return Err(problem("unsupported: a whole file as a chunk")),
            Row::Range { path, offset, size } => {
                let numbers = u64::try_from(offset).ok().zip(u64::try_from(size).ok());
                let range = numbers
                    .filter(|(offset, size)| offset.checked_add(*size).is_some())
                    .map(|(offset, size)| ByteRange::new(offset, size))
                    .ok_or_else(|| problem("its range is none"))?;
                let url = path
                    .as_utf8()
                    .map_err(|_| problem("its path is not UTF-8"))?;
                let source = sources.id(url).ok_or_else(|| problem("too many files"))?;
                self.manifest.push(number, source, range);
            }
        }
        Ok(())
    }
}

/// Why reading a table stopped.
enum Fault {
    Table(ParquetError),
    Chunk(KerchunkError),
}

impl From<ParquetError> for Fault {
    fn from(error: ParquetError) -> Self {
        Self::Table(error)
    }
}
