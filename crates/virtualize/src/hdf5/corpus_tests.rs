//! Every HDF5 file of the corpus against its oracle, and against cuts and flipped bytes.
//!
//! The corpus is found through `LANDFALL_CORPUS`, else beside the repository; without it these tests say so and end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bytes::Bytes;
use rstest::rstest;
use serde_json::Value;

use super::*;
use crate::dataset::{Magic, sniff};
use crate::decode::{Decoded, Walk};

/// Read although the library refuses it: what is damaged is the record of free space, which a reader does not need.
const READ_ALL_THE_SAME: &str = "hostile/brtnfld__hdf5/cve_2020_10812.h5";

/// More rounds than any file needs: the deepest chain is bounded by the limits of the decoder.
const MAX_ROUNDS: usize = 200;

fn corpus() -> Option<PathBuf> {
    let dir = match std::env::var_os("LANDFALL_CORPUS") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../shared/corpus"
        )),
    };
    let found = dir.join("MANIFEST.json").is_file();
    if !found {
        println!("skipped: no corpus at {}", dir.display());
    }
    found.then_some(dir)
}

/// Name, bytes and oracle of a file.
type Case = (String, Vec<u8>, Value);

fn files() -> Vec<Case> {
    let Some(dir) = corpus() else {
        return Vec::new();
    };
    let read_json =
        |path: PathBuf| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let manifest = read_json(dir.join("MANIFEST.json"));
    let mut files = Vec::new();
    for file in manifest["files"].as_array().unwrap() {
        let oracle = read_json(dir.join(file["oracle"].as_str().unwrap()));
        let name = file["file"].as_str().unwrap();
        let is_hdf5 = oracle["format"] == "HDF5" || file["hostile"] == true;
        if is_hdf5 {
            let bytes = std::fs::read(dir.join(name)).unwrap();
            files.push((String::from(name), bytes, oracle));
        }
    }
    files
}

/// Decodes a file, serving exactly what is asked for; also the number of rounds.
fn decode_bytes(file: &[u8]) -> (Result<Hdf5File, DecodeError>, usize) {
    decode_in_pages(file, 0, 1)
}

/// The same with the first `head` bytes there from the start, and ranges widened to whole pages.
fn decode_in_pages(file: &[u8], head: usize, page: u64) -> (Result<Hdf5File, DecodeError>, usize) {
    let options = DecodeOptions::default();
    let buffer = SourceBuffer::new(file.len() as u64, options.max_bytes);
    let head = &file[..head.min(file.len())];
    buffer.push(0, Bytes::copy_from_slice(head));
    let inner = buffer.clone();
    let mut walk = Walk::new(async move {
        match sniff(&inner).await? {
            Magic::Hdf5 { superblock_at } => decode(&inner, &options, superblock_at).await,
            Magic::Classic => Err(DecodeError::NotNetcdf(String::from("classic"))),
        }
    });
    let mut rounds = 0;
    loop {
        match walk.advance(&buffer) {
            Ok(Decoded::Done(decoded)) => return (Ok(decoded), rounds),
            Err(error) => return (Err(error), rounds),
            Ok(Decoded::NeedsData(ranges)) => {
                rounds += 1;
                assert!(rounds <= MAX_ROUNDS, "more than {MAX_ROUNDS} rounds");
                assert!(!ranges.is_empty(), "waits for nothing");
                for range in ranges {
                    let start = range.start - range.start % page;
                    let until = range.end().next_multiple_of(page).min(file.len() as u64);
                    let from = usize::try_from(start).unwrap();
                    let until = usize::try_from(until).unwrap();
                    buffer.push(start, Bytes::copy_from_slice(&file[from..until]));
                }
            }
        }
    }
}

/// Attributes that were read, and names and reasons of those that were not.
type Attributes<'a> = (&'a [Attribute], &'a [(String, String)]);

/// The objects of a file by path.
#[derive(Default)]
struct Listing<'a> {
    datasets: BTreeMap<String, &'a Dataset>,
    attributes: BTreeMap<String, Attributes<'a>>,
    soft: BTreeMap<String, String>,
    hard: BTreeMap<String, String>,
    broken: BTreeMap<String, String>,
    types: BTreeSet<String>,
}

impl<'a> Listing<'a> {
    fn of(root: &'a Group) -> Self {
        let mut listing = Self::default();
        listing.group("", root);
        listing
    }

    fn group(&mut self, path: &str, group: &'a Group) {
        let name = if path.is_empty() { "/" } else { path };
        self.attributes.insert(
            String::from(name),
            (&group.attributes, &group.broken_attributes),
        );
        for link in &group.links {
            let path = format!("{path}/{}", link.name);
            match &link.target {
                Node::Group(group) => self.group(&path, group),
                Node::Dataset(dataset) => {
                    self.attributes.insert(
                        path.clone(),
                        (&dataset.attributes, &dataset.broken_attributes),
                    );
                    self.datasets.insert(path, dataset);
                }
                Node::NamedType(_) => drop(self.types.insert(path)),
                Node::HardLink { path: first, .. } => {
                    self.hard.insert(path, first.clone());
                }
                Node::Soft(target) => drop(self.soft.insert(path, target.clone())),
                Node::External { .. } => {}
                Node::Broken(reason) => drop(self.broken.insert(path, reason.clone())),
            }
        }
    }

    /// The dataset at a path, also where the path is a second name of it.
    fn dataset(&self, path: &str) -> Option<&'a Dataset> {
        let mut path = String::from(path);
        for _ in 0..8 {
            if let Some(dataset) = self.datasets.get(&path) {
                return Some(dataset);
            }
            let (prefix, first) = self
                .hard
                .iter()
                .find(|(second, _)| path.starts_with(&format!("{second}/")) || path == **second)?;
            path = format!("{first}{}", &path[prefix.len()..]);
        }
        None
    }
}

fn integers(value: &Value) -> Vec<u64> {
    let items = value.as_array().into_iter().flatten();
    items.map(|item| item.as_u64().unwrap()).collect()
}

fn compare_dataset(path: &str, dataset: &Dataset, oracle: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: &str, ours: String, theirs: String| {
        if ours != theirs {
            wrong.push(format!("{path} {what}: {ours}, the oracle has {theirs}"));
        }
    };
    let shape = dataset.dataspace.shape().map(<[u64]>::to_vec);
    let theirs = oracle["shape"]
        .as_array()
        .map(|_| integers(&oracle["shape"]));
    check("shape", format!("{shape:?}"), format!("{theirs:?}"));
    let filters: Vec<(u64, Vec<u64>)> = dataset
        .filters
        .iter()
        .map(|f| {
            let values = f.values.iter().map(|v| u64::from(*v)).collect();
            (u64::from(f.id), values)
        })
        .collect();
    let items = oracle["filters"].as_array().into_iter().flatten();
    let theirs: Vec<(u64, Vec<u64>)> = items
        .map(|f| (f["id"].as_u64().unwrap(), integers(&f["cd_values"])))
        .collect();
    check("filters", format!("{filters:?}"), format!("{theirs:?}"));
    let (layout, index) = layout_of(&dataset.storage);
    let theirs = oracle["layout"].as_str().unwrap_or("none");
    let external = oracle["external"].as_array().is_some_and(|e| !e.is_empty());
    let theirs = if external { "external" } else { theirs };
    check("layout", layout.clone(), String::from(theirs));
    if let Some(theirs) = oracle["chunk_index"].as_str() {
        check("index", index, String::from(theirs));
    }
    if matches!(layout.as_str(), "chunked" | "contiguous") && !external {
        compare_chunks(dataset, oracle, &mut check);
    }
    wrong
}

fn layout_of(storage: &Storage) -> (String, String) {
    let (layout, index) = match storage {
        Storage::Compact { .. } => ("compact", ""),
        Storage::Contiguous(_) => ("contiguous", ""),
        Storage::Chunked { index, .. } => ("chunked", *index),
        Storage::External(_) => ("external", ""),
        Storage::Virtual => ("virtual", ""),
        Storage::Unsupported(reason) => (reason.as_str(), ""),
    };
    (String::from(layout), String::from(index))
}

fn compare_chunks(dataset: &Dataset, oracle: &Value, check: &mut impl FnMut(&str, String, String)) {
    let shape = dataset.dataspace.shape().unwrap_or_default();
    let (rows, outside) = match &dataset.storage {
        Storage::Contiguous(range) => {
            let rows = range
                .filter(|range| range.len > 0)
                .map(|range| (vec![0; shape.len()], range.start, range.len, 0));
            (rows.into_iter().collect::<Vec<_>>(), 0)
        }
        Storage::Chunked {
            chunk_shape,
            chunks,
            outside,
            broken,
            ..
        } => {
            check("broken", format!("{broken:?}"), String::from("None"));
            check(
                "chunk shape",
                format!("{chunk_shape:?}"),
                format!("{:?}", integers(&oracle["chunk_shape"])),
            );
            let rows = chunks.iter().map(|chunk| {
                let mut rest = chunk.number;
                let mut place = vec![0; shape.len()];
                for (i, (len, chunk)) in shape.iter().zip(chunk_shape).enumerate().rev() {
                    let count = len.div_ceil(*chunk);
                    place[i] = rest % count;
                    rest /= count;
                }
                let mask = u64::from(chunk.filter_mask);
                (place, chunk.range.start, chunk.range.len, mask)
            });
            (rows.collect(), *outside)
        }
        _ => return,
    };
    let theirs = oracle["n_chunks"].as_u64().unwrap_or_default();
    check(
        "number of chunks",
        rows.len().to_string(),
        theirs.to_string(),
    );
    let theirs = oracle["chunks_outside_extent"].as_u64().unwrap_or_default();
    check("chunks outside", outside.to_string(), theirs.to_string());
    if let Some(theirs) = oracle["chunks"].as_array() {
        let theirs: Vec<(Vec<u64>, u64, u64, u64)> = theirs
            .iter()
            .map(|row| {
                let number = |i: usize| row[i].as_u64().unwrap();
                (integers(&row[0]), number(1), number(2), number(3))
            })
            .collect();
        let first = rows.iter().zip(&theirs).find(|(a, b)| a != b);
        check(
            "chunks",
            format!("{:?}", first.map(|p| p.0)),
            format!("{:?}", first.map(|p| p.1)),
        );
    }
}

fn compare_attributes(
    path: &str,
    listing: &Listing<'_>,
    oracle: &Value,
    errors: &Value,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some((attributes, broken)) = listing.attributes.get(path) else {
        return wrong;
    };
    wrong.extend(
        broken
            .iter()
            .map(|(name, reason)| format!("{path}@{name}: {reason}")),
    );
    let theirs = oracle.as_object().unwrap();
    // The oracle has none that h5py cannot read: opaque ones and times.
    let odd =
        |class: &DatatypeClass| matches!(class, DatatypeClass::Opaque { .. } | DatatypeClass::Time);
    let names: BTreeSet<&str> = attributes
        .iter()
        .filter(|a| theirs.contains_key(&a.name) || !odd(&a.datatype.class))
        .filter(|a| errors.get(&a.name).is_none())
        .map(|a| a.name.as_str())
        .collect();
    let their_names: BTreeSet<&str> = theirs.keys().map(String::as_str).collect();
    if names != their_names {
        wrong.push(format!(
            "{path} attributes: {names:?}, the oracle has {their_names:?}"
        ));
    }
    for attribute in *attributes {
        let Some(theirs) = theirs.get(&attribute.name) else {
            continue;
        };
        let mut flat = Vec::new();
        flatten(&theirs["value"], &mut flat);
        if let Some(ours) = values(&attribute.value) {
            let same = ours.len() == flat.len() && ours.iter().zip(&flat).all(|(a, b)| alike(a, b));
            if !same && !flat.iter().any(|text| text == "?") {
                wrong.push(format!(
                    "{path}@{}: {ours:?}, the oracle has {flat:?}",
                    attribute.name
                ));
            }
        }
    }
    wrong
}

/// Equal, or floats that differ in the last bit: the oracle's JSON is not parsed to the last bit.
fn alike(ours: &str, theirs: &str) -> bool {
    let floats = ours.parse::<f64>().ok().zip(theirs.parse::<f64>().ok());
    ours == theirs || floats.is_some_and(|(a, b)| (a - b).abs() <= 4e-16 * a.abs())
}

fn flatten(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, out)),
        Value::String(text) => out.push(text.clone()),
        Value::Bool(flag) => out.push(u8::from(*flag).to_string()),
        Value::Number(number) => out.push(match number.as_f64() {
            Some(float) if number.is_f64() => format!("{float:?}"),
            _ => number.to_string(),
        }),
        Value::Null | Value::Object(_) => out.push(String::from("?")),
    }
}

fn values(value: &AttributeValue) -> Option<Vec<String>> {
    let float = |float: &f64| match *float {
        nan if nan.is_nan() => String::from("NaN"),
        f64::INFINITY => String::from("Infinity"),
        f64::NEG_INFINITY => String::from("-Infinity"),
        float => format!("{float:?}"),
    };
    match value {
        AttributeValue::Integers(numbers) => Some(numbers.iter().map(i64::to_string).collect()),
        AttributeValue::Unsigned(numbers) => Some(numbers.iter().map(u64::to_string).collect()),
        AttributeValue::Floats(numbers) => Some(numbers.iter().map(float).collect()),
        AttributeValue::Strings(texts) => Some(
            texts
                .iter()
                .map(|text| String::from_utf8_lossy(text).into_owned())
                .collect(),
        ),
        _ => None,
    }
}

fn compare(name: &str, bytes: &[u8], oracle: &Value) -> Vec<String> {
    let (decoded, rounds) = decode_bytes(bytes);
    let readable = oracle["readable"] == true && oracle["format"] == "HDF5";
    let file = match decoded {
        Ok(file) if readable => file,
        Ok(_) if name == READ_ALL_THE_SAME => return Vec::new(),
        Ok(_) => return vec![String::from("is read, but the oracle says it cannot be")],
        Err(_) if oracle["errors"].get("list:/").is_some() => return Vec::new(),
        Err(error) if readable => return vec![format!("is not read: {error}")],
        Err(error) => {
            println!("{name}: {error}");
            return Vec::new();
        }
    };
    println!("{name}: {rounds} rounds");
    let listing = Listing::of(&file.root);
    let mut wrong: Vec<String> = Vec::new();
    let attribute_errors = |path: &str| &oracle["errors"][format!("attrs:{path}")];
    let in_error = |path: &str| oracle["errors"].get(path).is_some();
    for (path, reason) in &listing.broken {
        if !in_error(path) {
            wrong.push(format!("{path} is broken: {reason}"));
        }
    }
    for (path, theirs) in oracle["variables"].as_object().unwrap() {
        match listing.dataset(path) {
            Some(dataset) => {
                wrong.extend(compare_dataset(path, dataset, theirs));
                wrong.extend(compare_attributes(
                    path,
                    &listing,
                    &theirs["attrs"],
                    attribute_errors(path),
                ));
            }
            None => wrong.push(format!("{path} is not found")),
        }
    }
    let known = |path: &String| {
        oracle["variables"].get(path).is_some() || oracle["links"].get(path).is_some()
    };
    for path in listing
        .datasets
        .keys()
        .filter(|path| !known(path) && !in_error(path))
    {
        wrong.push(format!("{path} is not in the oracle"));
    }
    for (path, theirs) in oracle["attrs"].as_object().into_iter().flatten() {
        wrong.extend(compare_attributes(
            path,
            &listing,
            theirs,
            attribute_errors(path),
        ));
    }
    for (path, theirs) in oracle["links"].as_object().into_iter().flatten() {
        let ours = listing.soft.get(path).map(String::as_str);
        if theirs["soft"].is_string() && theirs["soft"].as_str() != ours {
            wrong.push(format!("{path} is the soft link {ours:?}"));
        }
    }
    wrong
}

#[test]
fn every_corpus_file_agrees_with_its_oracle() {
    let mut wrong = Vec::new();
    for (name, bytes, oracle) in files() {
        for what in compare(&name, &bytes, &oracle) {
            wrong.push(format!("{name}: {what}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// As a caller reads them: 64 KiB at first, then what is asked for in pages of 16 KiB.
#[test]
fn netcdf_files_take_few_rounds_behind_their_heads() {
    for (name, bytes, _) in files() {
        let (_, rounds) = decode_in_pages(&bytes, 64 << 10, 16 << 10);
        if name.contains("_Amon_") || name.contains("_day_") {
            assert!(rounds <= 3, "{name}: {rounds} rounds");
        }
        assert!(rounds <= 6, "{name}: {rounds} rounds");
    }
}

/// A generator of numbers that are always the same (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

/// Checksums would catch nearly every flipped byte before the parsers see it, so half of the runs do without.
#[rstest]
#[case::with_checksums(false)]
#[case::past_the_checksums(true)]
fn cut_and_flipped_files_end_in_an_answer(#[case] ignore_checksums: bool) {
    let _ignored = ignore_checksums.then(super::checksum::ignore);
    let mut random = Random(7);
    for (_, bytes, _) in files().into_iter().filter(|file| file.1.len() < 100_000) {
        for _ in 0..40 {
            let cut = random.below(bytes.len());
            let _ = decode_bytes(&bytes[..cut]);
            let mut flipped = bytes.clone();
            for _ in 0..=random.below(8) {
                let at = random.below(flipped.len());
                flipped[at] = match random.below(3) {
                    0 => 0xff,
                    1 => 0,
                    _ => flipped[at] ^ (1 << random.below(8)),
                };
            }
            let _ = decode_bytes(&flipped);
        }
    }
}
