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
    let urls: Vec<Vec<u8>> = dataset
        .sources
        .iter()
        .map(|source| serde_json::to_vec(&source.url))
        .collect::<Result<_, _>>()?;
    for (path, array) in dataset.root.walk() {
        writer.chunks(&path, array, &urls)?;
    }
    writer.raw(b"},\n\"landfall\":");
    writer.json(&serde_json::to_string(&Extra::of(dataset))?)?;
    writer.raw(b"}\n");
    writer.finish()
}

/// The metadata documents, the root's `.zgroup` first: GDAL looks for it near the start.
fn documents(dataset: &VirtualDataset) -> Vec<(String, serde_json::Value)> {
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
    fn chunks(&mut self, path: &str, array: &VirtualArray, urls: &[Vec<u8>]) -> io::Result<()> {
        let mut prefix = serde_json::to_vec(path)?;
        prefix.pop();
        prefix.push(b'/');
        let mut coordinates = Coordinates::over(array.chunk_grid());
        for (number, entry) in array.chunks.iter() {
            self.raw(b",\n");
            self.raw(&prefix);
            coordinates.go_to(number);
            coordinates.render(&mut self.buffer);
            self.raw(b"\":");
            match entry {
                ChunkEntry::Missing => self.raw(b"null"),
                ChunkEntry::Inline(bytes) => {
                    self.raw(b"\"base64:");
                    let text = BASE64.encode(bytes);
                    self.raw(text.as_bytes());
                    self.raw(b"\"");
                }
                ChunkEntry::Virtual { source, range } => {
                    self.raw(b"[");
                    self.raw(url(urls, source)?);
                    self.raw(b",");
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

fn url(urls: &[Vec<u8>], source: SourceId) -> io::Result<&[u8]> {
    usize::try_from(source.0)
        .ok()
        .and_then(|at| urls.get(at))
        .map(Vec::as_slice)
        .ok_or_else(|| {
            let problem = format!("a chunk lies in source {}, which is not listed", source.0);
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })
}

fn decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The coordinates of a chunk, counted up rather than divided out.
struct Coordinates {
    grid: Vec<u64>,
    number: u64,
    current: Vec<u64>,
}

impl Coordinates {
    fn over(grid: Vec<u64>) -> Self {
        let current = vec![0; grid.len()];
        Self {
            grid,
            number: 0,
            current,
        }
    }

    fn go_to(&mut self, number: u64) {
        if self.number.checked_add(1) == Some(number) {
            self.step();
        } else if self.number != number {
            self.current = zarr::coordinates(&self.grid, number);
        }
        self.number = number;
    }

    fn step(&mut self) {
        for (index, count) in self.current.iter_mut().zip(&self.grid).rev() {
            *index = index.saturating_add(1);
            if *index < *count {
                return;
            }
            *index = 0;
        }
    }

    fn render(&self, out: &mut Vec<u8>) {
        let Some((first, rest)) = self.current.split_first() else {
            out.push(b'0');
            return;
        };
        decimal(out, *first);
        for index in rest {
            out.push(b'.');
            decimal(out, *index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_that_zarr_names_for_each_number() {
        let grid = vec![3, 2, 11];
        let mut coordinates = Coordinates::over(grid.clone());
        for number in [0, 1, 2, 10, 11, 12, 21, 22, 43, 44, 65, 7] {
            coordinates.go_to(number);
            let mut key = Vec::new();
            coordinates.render(&mut key);
            assert_eq!(
                String::from_utf8(key).unwrap(),
                zarr::chunk_key(&grid, number)
            );
        }
    }
}
