//! Writes the kerchunk references of a local file: `refs INPUT OUTPUT`.
//!
//! Shows the two halves of the crate at work: the decoder asks for byte ranges, the caller (here a file opened for
//! reading) hands them over, and the dataset that comes out is written as a reference document.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use virtualize::{ByteRange, DecodeOptions, Decoded, MetadataDecoder, VirtualDataset, kerchunk};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(input), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err("usage: refs INPUT OUTPUT".into());
    };
    let mut dataset = decode(Path::new(&input))?;
    for source in &mut dataset.sources {
        source.url = format!("file://{}", std::path::absolute(&input)?.display());
    }
    let written = kerchunk::json::write(&dataset, BufWriter::new(File::create(output)?))?;
    let skipped = serde_json::json!({"skipped": dataset.skipped, "bytes": written});
    println!("{skipped}");
    Ok(())
}

fn decode(path: &Path) -> Result<VirtualDataset, Box<dyn Error>> {
    let mut file = File::open(path)?;
    let mut decoder = MetadataDecoder::new(file.metadata()?.len(), DecodeOptions::default());
    loop {
        match decoder.decode()? {
            Decoded::Done(dataset) => return Ok(dataset),
            Decoded::NeedsData(ranges) => {
                for range in ranges {
                    decoder.push(range, read(&mut file, range)?);
                }
            }
        }
    }
}

fn read(file: &mut File, range: ByteRange) -> Result<Bytes, Box<dyn Error>> {
    let mut bytes = vec![0; usize::try_from(range.len)?];
    file.seek(SeekFrom::Start(range.start))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes.into())
}
