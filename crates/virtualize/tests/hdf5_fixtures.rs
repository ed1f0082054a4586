//! Every HDF5 fixture against what h5py found in it: shapes, where the chunks are, and the values they decode to.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail by panicking, as tests do"
)]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use virtualize::{
    ByteRange, ChunkEntry, DecodeOptions, Decoded, MetadataDecoder, VirtualArray, VirtualDataset,
    zarr,
};

/// Variables that are not there, and a part of the reason; pure dimensions and second names of an object need none.
const LEFT_OUT: [(&str, &str, &str); 15] = [
    (
        "tas_Amon_DEMO-ESM_historical_r1i1p1f1_gn_200001-200012.nc",
        "/bnds",
        "",
    ),
    (
        "tas_Amon_DEMO-ESM_historical_r1i1p1f1_gn_200101-200112.nc",
        "/bnds",
        "",
    ),
    (
        "tas_Amon_DEMO-ESM_historical_r1i1p1f1_gn_200201-200212.nc",
        "/bnds",
        "",
    ),
    ("external_storage.h5", "/data", "other files"),
    ("links.h5", "/second_name", ""),
    ("scalar.h5", "/null", "null dataspace"),
    ("scaleoffset.h5", "/data", "scaleoffset"),
    ("virtual_dataset.h5", "/data", "virtual layout"),
    ("codec.nc", "/pr", "lzf"),
    ("codec.nc", "/tas", "lzf"),
    ("dimensions.nc", "/time", ""),
    ("tas_ragged_1.nc", "/lat", ""),
    ("tas_ragged_1.nc", "/lon", ""),
    ("tas_ragged_2.nc", "/lat", ""),
    ("tas_ragged_2.nc", "/lon", ""),
];

/// The fixtures of HDF5 and NetCDF-4.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let folders = ["hdf5", "netcdf4", "cmip6", "ragged", "mismatch"];
    let files = folders.iter().flat_map(|folder| {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path())
    });
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    files
}

fn expected(file: &Path) -> Value {
    let folder = file.parent().unwrap();
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let name = folder.file_name().unwrap().to_str().unwrap();
    let path = folder.join(format!("../expected/{name}.{stem}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn decode(file: &[u8]) -> VirtualDataset {
    let mut decoder = MetadataDecoder::new(file.len() as u64, DecodeOptions::default());
    for _ in 0..60 {
        match decoder.decode().unwrap() {
            Decoded::Done(dataset) => return dataset,
            Decoded::NeedsData(ranges) => {
                for range in ranges {
                    decoder.push(range, Bytes::copy_from_slice(slice(file, range)));
                }
            }
        }
    }
    panic!("more than 60 rounds");
}

fn slice(file: &[u8], range: ByteRange) -> &[u8] {
    &file[usize::try_from(range.start).unwrap()..usize::try_from(range.end()).unwrap()]
}

fn usizes(numbers: &[u64]) -> Vec<usize> {
    let numbers = numbers.iter().map(|number| usize::try_from(*number));
    numbers.collect::<Result<_, _>>().unwrap()
}

/// All values in C order, numbers little-endian.
fn values(array: &VirtualArray, file: &[u8]) -> Vec<u8> {
    let element = usize::try_from(array.data_type.size()).unwrap();
    let (shape, chunk) = (usizes(&array.shape), usizes(&array.chunk_shape));
    let count: usize = shape.iter().product();
    let zero = vec![0; element];
    let mut out = array.fill_value.as_ref().unwrap_or(&zero).repeat(count);
    let grid = array.chunk_grid();
    let chunk_bytes: usize = chunk.iter().product::<usize>() * element;
    for (number, entry) in array.chunks.iter() {
        let stored = match &entry {
            ChunkEntry::Virtual { range, .. } => slice(file, *range),
            ChunkEntry::Inline(bytes) => bytes,
            ChunkEntry::Missing => continue,
        };
        let decoded = zarr::decode_chunk(stored, &array.codecs, chunk_bytes as u64).unwrap();
        let origin = usizes(&zarr::coordinates(&grid, number));
        for (at, value) in decoded.chunks_exact(element).enumerate() {
            if let Some(index) = place(at, &origin, &chunk, &shape) {
                out[index * element..(index + 1) * element].copy_from_slice(value);
            }
        }
    }
    to_little_endian(array, &mut out);
    out
}

/// The linear index in the array of element `at` of the chunk at `origin`; none behind the edge.
fn place(at: usize, origin: &[usize], chunk: &[usize], shape: &[usize]) -> Option<usize> {
    let (mut rest, mut index, mut step) = (at, 0, 1);
    for axis in (0..shape.len()).rev() {
        let position = origin[axis] * chunk[axis] + rest % chunk[axis];
        rest /= chunk[axis];
        if position >= shape[axis] {
            return None;
        }
        index += position * step;
        step *= shape[axis];
    }
    Some(index)
}

fn to_little_endian(array: &VirtualArray, bytes: &mut [u8]) {
    if array.data_type != array.data_type.to_little_endian() {
        let size = usize::try_from(array.data_type.size()).unwrap();
        for element in bytes.chunks_exact_mut(size) {
            element.reverse();
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = Sha256::digest(bytes);
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The rows of the chunk table; none where something is inlined, which has no place in the file.
fn rows(array: &VirtualArray) -> Option<Value> {
    let grid = array.chunk_grid();
    let rows = array.chunks.iter().map(|(number, entry)| match entry {
        ChunkEntry::Virtual { range, .. } => Some(json!([
            zarr::coordinates(&grid, number),
            range.start,
            range.len
        ])),
        _ => None,
    });
    rows.collect::<Option<Vec<Value>>>().map(Value::Array)
}

fn without_masks(chunks: &Value) -> Value {
    let rows = chunks.as_array().unwrap().iter();
    rows.map(|row| json!([row[0], row[1], row[2]])).collect()
}

fn check(array: &VirtualArray, expected: &Value, file: &[u8], what: &str) {
    assert_eq!(json!(array.shape), expected["shape"], "{what}");
    let same_chunks = json!(array.chunk_shape) == expected["chunk_shape"];
    if let (Some(rows), true) = (rows(array), same_chunks) {
        assert_eq!(rows, without_masks(&expected["chunks"]), "{what}");
    }
    if let Some(sha256) = expected["sha256"].as_str() {
        assert_eq!(hex(&values(array, file)), sha256, "{what}");
    }
}

#[test]
fn shapes_chunks_and_values_are_those_that_h5py_finds() {
    let mut left_out = Vec::new();
    let mut checked = 0;
    for path in files() {
        let file = fs::read(&path).unwrap();
        let dataset = decode(&file);
        let name = path.file_name().unwrap().to_str().unwrap();
        let walked = dataset.root.walk();
        for (variable, facts) in expected(&path)["variables"].as_object().unwrap() {
            let array = walked
                .iter()
                .find(|(at, _)| variable.trim_start_matches('/') == at);
            if let Some((_, array)) = array {
                check(array, facts, &file, &format!("{name}{variable}"));
                checked += 1;
                continue;
            }
            let skipped = dataset.skipped.iter().find(|row| row.variable == *variable);
            let told = skipped.map_or("", |row| row.reason.as_str());
            left_out.push((name.to_owned(), variable.clone(), told.to_owned()));
        }
    }
    assert!(checked > 100, "{checked}");
    let listed = |(file, variable, reason): &(String, String, String)| {
        LEFT_OUT.iter().any(|row| {
            row.0 == file
                && row.1 == variable
                && reason.contains(row.2)
                && reason.is_empty() == row.2.is_empty()
        })
    };
    let unlisted: Vec<_> = left_out.iter().filter(|row| !listed(row)).collect();
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    assert_eq!(left_out.len(), LEFT_OUT.len());
}

/// Where the second reader differs: file, a part of how it does, and why it is at fault or shows something else.
const THEIRS: [(&str, &str, &str); 6] = [
    (
        "chunk_fixed_array_padded.h5/data",
        "duplicate chunk output",
        "it numbers the chunks over the current extent, not the largest",
    ),
    (
        "chunk_implicit_padded.h5/data",
        "other bytes",
        "it numbers the chunks over the current extent, not the largest",
    ),
    (
        "committed_type.h5/data",
        "is not listed",
        "a committed type keeps it from listing the group",
    ),
    (
        "strings.h5/variable",
        "other bytes",
        "it hands out references into the heap where we hold the texts",
    ),
    (
        "virtual_dataset.h5/good",
        "is not listed",
        "a virtual dataset keeps it from listing the group",
    ),
    (
        "dimensions.nc/inner/innermost/names",
        "other bytes",
        "it hands out references into the heap where we hold the texts",
    ),
];

/// The datasets below a group, by path; links are followed by it too, so circles end at a depth.
fn second_list(group: &hdf5_reader::group::Group, path: &str, depth: usize) -> Vec<String> {
    let (groups, datasets) = group.member_names().unwrap_or_default();
    let mut found: Vec<String> = datasets
        .iter()
        .map(|name| format!("{path}{name}"))
        .collect();
    for name in groups.iter().filter(|_| depth > 0) {
        if let Ok(inner) = group.group(name) {
            found.extend(second_list(&inner, &format!("{path}{name}/"), depth - 1));
        }
    }
    found
}

#[test]
fn a_second_reader_lists_the_same_datasets_with_the_same_bytes() {
    let (mut listed, mut compared, mut differing) = (0, 0, Vec::new());
    for path in files() {
        let bytes = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let second = hdf5_reader::Hdf5File::from_vec(bytes.clone()).unwrap();
        let theirs = second_list(&second.root_group().unwrap(), "", 4);
        for (variable, array) in decode(&bytes).root.walk() {
            let what = format!("{name}/{variable}");
            listed += 1;
            if !theirs.contains(&variable) {
                differing.push((what, String::from("is not listed")));
                continue;
            }
            let read = second.dataset(&variable).and_then(|dataset| {
                let values = dataset.read_raw_bytes()?;
                Ok((dataset.shape().to_vec(), values))
            });
            match read {
                Ok((shape, values)) if same(array, &shape, &values, &bytes) => compared += 1,
                Ok((shape, _)) => differing.push((what, format!("other bytes, shape {shape:?}"))),
                Err(error) => differing.push((what, error.to_string())),
            }
        }
    }
    let known = |(what, how): &&(String, String)| {
        THEIRS
            .iter()
            .any(|row| what == row.0 && how.contains(row.1))
    };
    let unknown: Vec<_> = differing.iter().filter(|row| !known(row)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert_eq!(
        (differing.len(), compared),
        (THEIRS.len(), listed - THEIRS.len())
    );
    assert!(compared > 100, "{compared}");
}

/// Equal shapes, array types' lengths apart, and equal bytes.
fn same(array: &VirtualArray, shape: &[u64], theirs: &[u8], file: &[u8]) -> bool {
    let mut theirs = theirs.to_vec();
    to_little_endian(array, &mut theirs);
    array.shape.starts_with(shape) && values(array, file) == theirs
}
