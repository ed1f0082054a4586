//! Writes a reference document, key by key: the document is never in memory as a whole.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::Extra;
use crate::dataset::{VirtualArray, VirtualDataset};
use crate::manifest::{ChunkEntry, SourceId};
use crate::zarr;

const FLUSH_AT: usize = 1 << 16;

/// Bytes that are encoded at once: a multiple of three, so that only the last piece is padded.
const PIECE: usize = 3 << 14;

/// Writes `dataset` as a reference document and returns how many bytes that took; equal datasets give equal bytes.
///
/// # Errors
///
/// Whatever `out` answers; [`io::ErrorKind::InvalidData`] when a chunk names a source that the dataset has not.
pub fn write(dataset: &VirtualDataset, out: impl io::Write) -> io::Result<u64> {
    let mut writer = Writer {
        out,
        buffer: Vec::with_capacity(2 * FLUSH_AT),
        written: 0,
    };
    writer.raw(b"{\"version\":1,\"refs\":{");
    for (position, (key, document)) in documents(dataset).into_iter().enumerate() {
        if position > 0 {
            writer.raw(b",\n");
        }
        writer.json(&key)?;
        writer.raw(b":");
        writer.json(&serde_json::to_string(&document)?)?;
        writer.flush_when_full()?;
    }
    let sources = dataset
        .sources
        .iter()
        .map(|source| Ok(format!("\":[{},", serde_json::to_string(&source.url)?)))
        .collect::<io::Result<Vec<String>>>()?;
    for (path, array) in dataset.root.walk() {
        writer.chunks(&path, array, &sources)?;
    }
    writer.raw(b"},\n\"landfall\":");
    writer.json(&serde_json::to_string(&Extra::of(dataset))?)?;
    writer.raw(b"}\n");
    writer.finish()
}

/// The metadata documents, the root's `.zgroup` first: GDAL looks for it near the start.
fn documents(dataset: &VirtualDataset) -> Vec<(String, zarr::Document<'_>)> {
    let mut documents = zarr::metadata_documents(&dataset.root);
    documents.sort_by_key(|(key, _)| key != ".zgroup");
    documents
}

struct Writer<W> {
    out: W,
    buffer: Vec<u8>,
    written: u64,
}

impl<W: io::Write> Writer<W> {
    /// The chunks of an array; `sources` has what stands between a chunk's key and its offset, by source.
    fn chunks(&mut self, path: &str, array: &VirtualArray, sources: &[String]) -> io::Result<()> {
        let mut prefix = format!(",\n{}", serde_json::to_string(path)?);
        prefix.pop();
        prefix.push('/');
        let mut key = Key::over(array.chunk_grid());
        for (number, entry) in array.chunks.iter() {
            self.raw(prefix.as_bytes());
            self.raw(key.of(number));
            match entry {
                ChunkEntry::Missing => self.raw(b"\":null"),
                ChunkEntry::Inline(bytes) => {
                    self.raw(b"\":\"base64:");
                    self.base64(&bytes)?;
                    self.raw(b"\"");
                }
                ChunkEntry::Virtual { source, range } => {
                    self.raw(of_source(sources, source)?);
                    decimal(&mut self.buffer, range.start);
                    self.raw(b",");
                    decimal(&mut self.buffer, range.len);
                    self.raw(b"]");
                }
            }
            self.flush_when_full()?;
        }
        Ok(())
    }

    fn base64(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE) {
            self.raw(BASE64.encode(piece).as_bytes());
            self.flush_when_full()?;
        }
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn json(&mut self, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
        serde_json::to_writer(&mut self.buffer, value).map_err(io::Error::from)
    }

    fn flush_when_full(&mut self) -> io::Result<()> {
        if self.buffer.len() < FLUSH_AT {
            return Ok(());
        }
        self.out.write_all(&self.buffer)?;
        let length = u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        self.written = self.written.saturating_add(length);
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<u64> {
        self.out.write_all(&self.buffer)?;
        self.out.flush()?;
        let length = u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        Ok(self.written.saturating_add(length))
    }
}

fn of_source(sources: &[String], source: SourceId) -> io::Result<&[u8]> {
    usize::try_from(source.0)
        .ok()
        .and_then(|at| sources.get(at))
        .map(String::as_bytes)
        .ok_or_else(|| {
            let problem = format!("a chunk lies in source {}, which is not listed", source.0);
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })
}

fn decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The key of a chunk: counted up rather than divided out, and rendered anew from the first index that changed.
struct Key {
    grid: Vec<u64>,
    number: u64,
    indices: Vec<u64>,
    text: Vec<u8>,
    /// Where each index begins in the text, its dot included.
    starts: Vec<usize>,
}

impl Key {
    fn over(grid: Vec<u64>) -> Self {
        let mut key = Self {
            number: 0,
            indices: vec![0; grid.len()],
            text: Vec::new(),
            starts: vec![0; grid.len()],
            grid,
        };
        key.render_from(0);
        key
    }

    fn of(&mut self, number: u64) -> &[u8] {
        if self.number != number {
            let first = if self.number.checked_add(1) == Some(number) {
                self.step()
            } else {
                self.indices = zarr::coordinates(&self.grid, number);
                0
            };
            self.number = number;
            self.render_from(first);
        }
        &self.text
    }

    /// Counts up and returns the first dimension that it changed.
    fn step(&mut self) -> usize {
        let dimensions = self.indices.iter_mut().zip(&self.grid).enumerate();
        for (dimension, (index, count)) in dimensions.rev() {
            *index = index.saturating_add(1);
            if *index < *count {
                return dimension;
            }
            *index = 0;
        }
        0
    }

    fn render_from(&mut self, first: usize) {
        let kept = self.starts.get(first).copied().unwrap_or_default();
        self.text.truncate(kept);
        for (start, index) in self.starts.iter_mut().zip(&self.indices).skip(first) {
            *start = self.text.len();
            if *start > 0 {
                self.text.push(b'.');
            }
            decimal(&mut self.text, *index);
        }
        if self.indices.is_empty() {
            self.text.push(b'0');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_that_zarr_names_for_each_number() {
        let grid = vec![3, 2, 11];
        let mut key = Key::over(grid.clone());
        for number in [0, 1, 2, 10, 11, 12, 21, 22, 43, 44, 65, 7] {
            let text = String::from_utf8(key.of(number).to_vec()).unwrap();
            assert_eq!(text, zarr::chunk_key(&grid, number));
        }
        assert_eq!(Key::over(Vec::new()).of(0), b"0");
    }
}
