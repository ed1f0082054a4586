//! `landfall inspect`: its text and its documents as they are, and its facts against those that h5py and netCDF4 find.
//!
//! `LANDFALL_REWRITE_GOLDEN=1` writes `tests/golden/inspect/` anew instead of comparing; the diff is then to be read.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{fixture, landfall, repository};

/// Fixtures whose text and document are kept.
const SHOWN: [&str; 9] = [
    "classic/cdf1.nc",
    "classic/cdf5_types.nc",
    "cmip6/tas_Amon_DEMO-ESM_historical_r1i1p1f1_gn_200001-200012.nc",
    "hdf5/enum_and_bool.h5",
    "hdf5/filter_mask.h5",
    "hdf5/links.h5",
    "hdf5/lzf.h5",
    "mismatch/codec.nc",
    "netcdf4/dimensions.nc",
];

fn inspect(arguments: &[&str]) -> Command {
    let mut command = landfall();
    command.current_dir(repository()).arg("inspect");
    command.args(arguments);
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn document(file: &Path) -> Value {
    let output = inspect(&["--json", &file.display().to_string()])
        .output()
        .unwrap();
    serde_json::from_str(&stdout(&output)).unwrap()
}

fn compare(name: &str, found: &str) {
    let golden = repository().join("tests/golden/inspect").join(name);
    if std::env::var_os("LANDFALL_REWRITE_GOLDEN").is_some() {
        fs::create_dir_all(golden.parent().unwrap()).unwrap();
        fs::write(&golden, found).unwrap();
    }
    let kept = fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(
        found, kept,
        "{name} differs; LANDFALL_REWRITE_GOLDEN=1 writes it anew"
    );
}

#[test]
fn text_and_documents_are_as_they_were() {
    for name in SHOWN {
        let path = format!("tests/fixtures/{name}");
        let text = inspect(&[&path]).output().unwrap();
        assert!(text.status.success(), "{name}");
        let golden = name.replace('/', ".");
        compare(&format!("{golden}.txt"), &stdout(&text));
        let json = inspect(&["--json", &path]).output().unwrap();
        let json: Value = serde_json::from_str(&stdout(&json)).unwrap();
        let json = serde_json::to_string_pretty(&json).unwrap() + "\n";
        let here = format!("file://{}", repository().display());
        compare(
            &format!("{golden}.json"),
            &json.replace(&here, "file:///repository"),
        );
    }
}

#[test]
fn text_fits_a_hundred_columns() {
    for name in SHOWN {
        let output = inspect(&[&format!("tests/fixtures/{name}")])
            .output()
            .unwrap();
        for line in stdout(&output).lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
        }
    }
}

/// The fields of `tests/fixtures/expected/`, which h5py and a header reader of its own found, as `inspect` tells them.
fn expected_facts(variable: &Value) -> Value {
    let layout = variable["layout"].as_str().unwrap();
    let elsewhere = ["virtual", "external"].contains(&layout);
    let rows = variable["chunks"].as_array().cloned().unwrap_or_default();
    let filters = variable["filters"].as_array();
    let filters = filters.into_iter().flatten();
    let filters: Vec<Value> = filters
        .map(|filter| serde_json::json!([filter[0], filter[2]]))
        .collect();
    let stored = rows.iter().map(|row| row[2].as_u64().unwrap()).sum::<u64>();
    let masked = rows.iter().filter(|row| row[3] != 0).count();
    serde_json::json!({
        "layout": if elsewhere { Value::Null } else { layout.into() },
        "chunk_shape": if layout == "chunked" { variable["chunk_shape"].clone() } else { Value::Null },
        "chunks": rows.len(),
        "stored": stored,
        "masked": masked,
        "filters": filters,
    })
}

fn told_facts(storage: &Value) -> Value {
    let filters = storage["filters"].as_array().unwrap().iter();
    let filters: Vec<Value> = filters
        .map(|filter| serde_json::json!([filter["id"], filter["parameters"]]))
        .collect();
    serde_json::json!({
        "layout": storage["layout"],
        "chunk_shape": storage["chunk_shape"],
        "chunks": storage["chunks_allocated"],
        "stored": storage["stored_bytes"],
        "masked": storage["chunks_masked"],
        "filters": filters,
    })
}

#[test]
fn facts_are_those_that_other_tools_find() {
    let mut compared = 0;
    for entry in fs::read_dir(fixture("expected")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let (folder, stem) = name.split_once('.').unwrap();
        let found = fs::read_dir(fixture(folder)).unwrap();
        let file = found
            .map(|entry| entry.unwrap().path())
            .find(|file| file.file_stem().unwrap() == stem)
            .unwrap();
        let told = document(&file);
        let expected: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for (path, variable) in expected["variables"].as_object().unwrap() {
            let shown = path.replace("_nc4_non_coord_", "");
            let rows = told["variables"].as_array().unwrap();
            let row = rows.iter().rfind(|row| row["path"] == shown);
            // A dimension without a variable is a dataset too, which nobody wants to see.
            let Some(row) = row else {
                let named = is_dimension(&told, path) || is_second_name(&told, path);
                assert!(named, "{name} {path} is missing");
                continue;
            };
            assert_eq!(row["shape"], variable["shape"], "{name} {path}");
            // h5py has no places for compact data, and nothing at all for a null dataspace.
            match variable["layout"].as_str() {
                None => assert_eq!(row["storage"]["stored_bytes"], 0, "{name} {path}"),
                Some("compact") => {
                    assert_eq!(row["storage"]["layout"], "compact", "{name} {path}");
                }
                Some(_) => {
                    let facts = told_facts(&row["storage"]);
                    assert_eq!(facts, expected_facts(variable), "{name} {path}");
                }
            }
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}

fn is_second_name(told: &Value, path: &str) -> bool {
    let mut findings = told["findings"].as_array().unwrap().iter();
    findings.any(|finding| finding["code"] == "hard-link" && finding["variable"] == path)
}

fn is_dimension(told: &Value, path: &str) -> bool {
    let (group, name) = path.rsplit_once('/').unwrap();
    let group = if group.is_empty() { "/" } else { group };
    let groups = told["groups"].as_array().unwrap().iter();
    let mut here = groups.filter(|row| row["path"] == group);
    here.any(|row| {
        let dimensions = row["dimensions"].as_array().unwrap();
        dimensions.iter().any(|dimension| dimension["name"] == name)
    })
}

#[test]
fn a_file_without_its_end_is_shown_with_its_error() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(fixture("hdf5/contiguous.h5")).unwrap();
    let cut = folder.path().join("cut.h5");
    fs::write(&cut, &whole[..whole.len() - 8]).unwrap();
    let path = cut.display().to_string();
    let output = inspect(&["--json", &path]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(told["error"]["code"], "truncated");
    let message = told["error"]["message"].as_str().unwrap();
    let lengths = format!(
        "has {} bytes, its header says {}",
        whole.len() - 8,
        whole.len()
    );
    assert!(message.contains(&lengths), "{message}");
    let variables = told["variables"].as_array().unwrap();
    let refused = variables.iter().find(|row| row["refused"].is_string());
    let reason = refused.unwrap()["refused"].as_str().unwrap();
    assert!(reason.contains("past the end of the file"), "{reason}");
}

#[test]
fn what_is_no_netcdf_file_is_named_and_rejected() {
    let output = inspect(&["README.md"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stdout(&output).contains("not a NetCDF or HDF5 file"),
        "{output:?}"
    );
    let output = inspect(&["there-is-none.nc"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

/// A file larger than is read whole: 128 KiB from its head and 32 KiB from its tail come in one round.
#[test]
fn a_cold_read_is_reckoned_for_an_object_store() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(fixture("classic/cdf1.nc")).unwrap();
    bytes.resize(1 << 20, 0);
    let file = folder.path().join("large.nc");
    fs::write(&file, bytes).unwrap();
    let path = file.display().to_string();
    let output = inspect(&["--json", "--round-trip-ms", "50", &path])
        .output()
        .unwrap();
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let expected = serde_json::json!({
        "requests": 2, "rounds": 1, "bytes": 288 << 10, "round_trip_ms": 50, "milliseconds": 50
    });
    assert_eq!(told["cold_read"], expected);
    assert_eq!(told["metadata"]["extents"], serde_json::json!([[0, 488]]));
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let path = "tests/fixtures/hdf5/lzf.h5";
    let colours = |key: &str| {
        let mut command = inspect(&[path]);
        command.env_remove("NO_COLOR").env(key, "1");
        stdout(&command.output().unwrap()).contains('\u{1b}')
    };
    assert!(!colours("NO_COLOR"));
    assert!(!colours("LANDFALL_NOTHING"));
    assert!(colours("CLICOLOR_FORCE"));
}
