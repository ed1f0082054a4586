//! Every HDF5 fixture: chunk tables of our decoder against the library's, the library's values against h5py's.
#![cfg(feature = "static")]
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail by panicking, as tests do"
)]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use libhdf5_oracle::{StoredChunk, chunks_of, read_raw};
use serde_json::Value;
use sha2::{Digest, Sha256};
use virtualize::{ChunkEntry, DecodeOptions, Decoded, MetadataDecoder, VirtualArray, zarr};

/// Datasets whose chunks the library lists at wrong coordinates: the one unlimited dimension is not the first.
const LISTED_WRONG: [&str; 1] = ["chunk_extensible_array_last.h5/data"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

fn decode(file: &[u8]) -> virtualize::VirtualDataset {
    let mut decoder = MetadataDecoder::new(file.len() as u64, DecodeOptions::default());
    loop {
        match decoder.decode().unwrap() {
            Decoded::Done(dataset) => return dataset,
            Decoded::NeedsData(ranges) => {
                for range in ranges {
                    let place = range.start as usize..range.end() as usize;
                    decoder.push(range, Bytes::copy_from_slice(&file[place]));
                }
            }
        }
    }
}

/// Our chunk table in the library's terms; none where something is inlined or cut in another way.
fn table(array: &VirtualArray) -> Option<Vec<StoredChunk>> {
    let grid = array.chunk_grid();
    let mut rows = Vec::new();
    for (number, entry) in array.chunks.iter() {
        let ChunkEntry::Virtual { range, .. } = entry else {
            return None;
        };
        let place = zarr::coordinates(&grid, number).into_iter();
        let offset = place.zip(&array.chunk_shape).map(|(at, len)| at * len);
        rows.push(StoredChunk {
            offset: offset.collect(),
            address: range.start,
            size: range.len,
            filter_mask: 0,
        });
    }
    rows.sort_unstable();
    Some(rows)
}

fn hex(bytes: &[u8]) -> String {
    let digits = Sha256::digest(bytes);
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_library_agrees_on_chunks_and_on_values() {
    let (mut tables, mut values) = (0, 0);
    for entry in fs::read_dir(fixtures().join("hdf5")).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let expected = fixtures().join(format!("expected/hdf5.{stem}.json"));
        let expected: Value = serde_json::from_slice(&fs::read(expected).unwrap()).unwrap();
        let dataset = decode(&fs::read(&path).unwrap());
        for (name, array) in dataset.root.walk() {
            let what = format!("{stem}.h5/{name}");
            let theirs = chunks_of(&path, &name).unwrap();
            let same_masks = theirs.iter().all(|chunk| chunk.filter_mask == 0);
            if let Some(ours) = table(array).filter(|_| same_masks && !theirs.is_empty())
                && !LISTED_WRONG.contains(&what.as_str())
            {
                assert_eq!(ours, theirs, "{what}");
                tables += 1;
            }
            let sha256 = expected["variables"][format!("/{name}")]["sha256"].as_str();
            if let (Some(sha256), Ok(raw)) = (sha256, read_raw(&path, &name)) {
                assert_eq!(hex(&raw), sha256, "{what}");
                values += 1;
            }
        }
    }
    assert!(tables > 10 && values > 40, "{tables} {values}");
}
