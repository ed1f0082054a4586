//! What decoding costs, for each file that is named: the time without any I/O, and the requests, dependent rounds and bytes
//! that the same file costs over an object store.
//!
//! Whole files are held in memory, so a file that is fetched in one piece shows the decoder alone.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use landfall::read::{IoCount, ReadPolicy, read_metadata};
use landfall::stores::blobs::{BlobError, RangeSource};
use virtualize::{ByteRange, DecodeOptions, Source, VirtualDataset, kerchunk};

/// How long each measurement is repeated; the least of its times counts.
const REPEAT: Duration = Duration::from_millis(500);

fn main() -> anyhow::Result<()> {
    println!("| file | chunks | decode | write | requests | rounds | bytes |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    // Cargo adds `--bench` to what it was given.
    for file in std::env::args().skip(1).filter(|word| word != "--bench") {
        println!("{}", row(Path::new(&file)).with_context(|| file.clone())?);
    }
    Ok(())
}

fn row(path: &Path) -> anyhow::Result<String> {
    let parent = path.parent().and_then(Path::file_name).unwrap_or_default();
    let name = Path::new(parent).join(path.file_name().unwrap_or_default());
    let file = Held(std::fs::read(path)?.into());
    let (dataset, io) = decode(&file)?;
    let decoding = least(|| decode(&file).map(drop))?;
    let writing = least(|| Ok(kerchunk::json::write(&dataset, std::io::sink()).map(drop)?))?;
    let arrays = dataset.root.walk();
    let chunks: usize = arrays.iter().map(|(_, array)| array.chunks.len()).sum();
    Ok(format!(
        "| {} | {chunks} | {:.3} ms | {:.3} ms | {} | {} | {} |",
        name.display(),
        decoding.as_secs_f64() * 1e3,
        writing.as_secs_f64() * 1e3,
        io.requests,
        io.rounds,
        io.bytes
    ))
}

fn decode(file: &Held) -> anyhow::Result<(VirtualDataset, IoCount)> {
    let reading = read_metadata(file, DecodeOptions::default(), ReadPolicy::default());
    let read = reading.now_or_never();
    Ok(read.context("the bytes were there, yet something was waited for")??)
}

fn least(mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut least = Duration::MAX;
    while start.elapsed() < REPEAT {
        let round = Instant::now();
        work()?;
        least = least.min(round.elapsed());
    }
    Ok(least)
}

/// A file in memory.
struct Held(Bytes);

#[async_trait]
impl RangeSource for Held {
    fn describe(&self) -> Source {
        Source {
            url: String::from("az://bench/file.nc"),
            length: u64::try_from(self.0.len()).unwrap_or(u64::MAX),
            ..Source::default()
        }
    }

    async fn ranges(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, BlobError> {
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let part = |range: &ByteRange| self.0.slice(index(range.start)..index(range.end()));
        Ok(ranges.iter().map(part).collect())
    }
}
