//! Classic files that others made, against what an independent reader found in them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail by panicking, as tests do"
)]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;
use virtualize::{
    ByteRange, ChunkEntry, DecodeError, DecodeOptions, Decoded, MetadataDecoder, VirtualArray,
    VirtualDataset, zarr,
};

/// The folder of the corpus: `LANDFALL_CORPUS`, or beside the repository.
fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let root = std::env::var_os("LANDFALL_CORPUS").map_or(beside, PathBuf::from);
    if !root.join("MANIFEST.json").exists() {
        println!("the corpus is absent: set LANDFALL_CORPUS");
        return None;
    }
    Some(root)
}

/// Name, bytes and oracle of every classic file; those that the reference library refuses have no variables there.
fn classic_files(root: &Path) -> Vec<(String, Vec<u8>, Value)> {
    let read = |path: &str| fs::read(root.join(path)).unwrap();
    let manifest: Value = serde_json::from_slice(&read("MANIFEST.json")).unwrap();
    let files = manifest["files"].as_array().unwrap();
    let classic = files.iter().filter(|file| {
        let format = file["format"].as_str().unwrap_or_default();
        format.starts_with("CDF")
    });
    let all: Vec<_> = classic
        .map(|file| {
            let name = file["file"].as_str().unwrap();
            let oracle = read(file["oracle"].as_str().unwrap());
            let oracle = serde_json::from_slice(&oracle).unwrap();
            (name.to_owned(), read(name), oracle)
        })
        .collect();
    assert!(!all.is_empty());
    all
}

fn decode(file: &[u8]) -> Result<VirtualDataset, DecodeError> {
    let mut decoder = MetadataDecoder::new(file.len() as u64, DecodeOptions::default());
    for _ in 0..40 {
        match decoder.decode()? {
            Decoded::Done(dataset) => return Ok(dataset),
            Decoded::NeedsData(ranges) => {
                for range in ranges {
                    decoder.push(range, slice(file, range));
                }
            }
        }
    }
    panic!("more than 40 rounds");
}

fn slice(file: &[u8], range: ByteRange) -> Bytes {
    let end = usize::try_from(range.end()).unwrap();
    Bytes::copy_from_slice(&file[usize::try_from(range.start).unwrap()..end])
}

#[test]
fn variables_are_those_of_the_oracle() {
    let Some(root) = corpus() else { return };
    for (name, file, oracle) in classic_files(&root) {
        if oracle["readable"] == false {
            assert!(decode(&file).is_err(), "{name}");
            continue;
        }
        let dataset = decode(&file).unwrap();
        let empty = serde_json::Map::new();
        let variables = oracle["variables"].as_object().unwrap_or(&empty);
        assert_eq!(dataset.root.arrays.len(), variables.len(), "{name}");
        for (path, expected) in variables {
            let array = &dataset.root.arrays[path.trim_start_matches('/')];
            check(array, expected, &file, &format!("{name}{path}"));
        }
    }
}

fn check(array: &VirtualArray, expected: &Value, file: &[u8], what: &str) {
    let document = zarr::array_metadata(array);
    assert_eq!(document["shape"], expected["shape"], "{what}");
    assert_eq!(
        serde_json::json!(array.dimension_names),
        expected["dims"],
        "{what}"
    );
    // What is inlined is little-endian, and one-byte types have no order.
    let dtype = |value: &Value| {
        value
            .as_str()
            .unwrap()
            .trim_start_matches(['<', '>', '|'])
            .to_owned()
    };
    assert_eq!(
        dtype(&document["dtype"]),
        dtype(&expected["dtype"]),
        "{what}"
    );
    if array.chunk_shape
        == expected["chunk_shape"]
            .as_array()
            .map_or(vec![], |c| numbers(c))
    {
        check_chunks(array, expected, file, what);
    }
    for (name, attribute) in expected["attrs"].as_object().unwrap() {
        check_attribute(array, name, attribute, what);
    }
}

fn numbers(values: &[Value]) -> Vec<u64> {
    values.iter().filter_map(Value::as_u64).collect()
}

fn check_chunks(array: &VirtualArray, expected: &Value, file: &[u8], what: &str) {
    let mut bytes = 0;
    let grid = array.chunk_grid();
    let found: Vec<Value> = array
        .chunks
        .iter()
        .map(|(number, entry)| match entry {
            ChunkEntry::Virtual { range, .. } => {
                let coordinates = zarr::coordinates(&grid, number);
                serde_json::json!([coordinates, range.start, range.len, 0])
            }
            ChunkEntry::Inline(inline) => {
                bytes += inline.len();
                Value::Null
            }
            ChunkEntry::Missing => Value::Null,
        })
        .collect();
    if bytes == 0 {
        assert_eq!(Value::Array(found), expected["chunks"], "{what}");
    }
    assert!(bytes <= file.len(), "{what}");
}

fn check_attribute(array: &VirtualArray, name: &str, attribute: &Value, what: &str) {
    let value = &attribute["value"];
    let text = attribute["nc_type"] == 2;
    let Some(found) = array.attributes.get(name) else {
        assert_eq!(name, "_FillValue", "{what}: {name} is absent");
        let element = array.fill_value.as_ref().unwrap();
        let first = if text { value } else { &value[0] };
        if !text {
            assert_eq!(
                array.data_type.element_to_json(element).as_f64(),
                first.as_f64(),
                "{what}"
            );
        }
        return;
    };
    match value {
        Value::String(value) => assert_eq!(found, &value.replace('\0', ""), "{what}: {name}"),
        Value::Array(values) if values.len() == 1 => {
            assert_eq!(found.as_f64(), values[0].as_f64(), "{what}: {name}");
        }
        Value::Array(values) => {
            let floats = |values: &[Value]| values.iter().map(Value::as_f64).collect::<Vec<_>>();
            assert_eq!(
                floats(found.as_array().unwrap()),
                floats(values),
                "{what}: {name}"
            );
        }
        other => assert!(other.get("b64").is_some(), "{what}: {name}"),
    }
}

#[test]
fn a_file_cut_at_any_length_is_refused_or_has_no_data_there() {
    let Some(root) = corpus() else { return };
    for (name, file, oracle) in classic_files(&root) {
        if file.len() > 5_000 || oracle["readable"] == false {
            continue;
        }
        let whole = decode(&file).unwrap();
        for length in 0..file.len() {
            if let Ok(mut part) = decode(&file[..length]) {
                part.sources.clone_from(&whole.sources);
                assert_eq!(part, whole, "{name} cut at {length}");
            }
        }
    }
}
