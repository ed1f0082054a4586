//! References are for readers that we did not write: each of them opens what we wrote and finds the files' values.
//!
//! The series has a chunk of every kind: missing, inlined, cut by the shape, longer than its values.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    demo_series, landfall, name_of, node_folder, python, read_with_xarray, repository,
};

/// Chunks in a table: few enough that the variables have several, and that one ends inside a row of chunks.
const RECORD_SIZE: &str = "5";

struct Series {
    folder: TempDir,
    files: Vec<PathBuf>,
}

/// `a.nc` and `b.nc` with `combined.json` and `combined.parq`.
static SERIES: LazyLock<Series> = LazyLock::new(|| {
    // Nothing removes what a static holds: it stays in the target folder.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let made = Command::new(python())
        .arg(repository().join("tests/support/make_reader_files.py"))
        .arg(folder.path())
        .status()
        .unwrap();
    assert!(made.success());
    let files = ["a.nc", "b.nc"]
        .map(|name| folder.path().join(name))
        .to_vec();
    for name in ["combined.json", "combined.parq"] {
        combine(&files, &folder.path().join(name));
    }
    Series { folder, files }
});

fn combine(inputs: &[PathBuf], output: &Path) {
    let done = landfall()
        .arg("combine")
        .args(inputs)
        .arg("-o")
        .arg(output)
        .args(["--record-size", RECORD_SIZE, "--json"])
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
}

fn reference(name: &str) -> String {
    SERIES.folder.path().join(name).display().to_string()
}

#[rstest]
fn xarrays_kerchunk_engine_finds_the_values(
    #[values("combined.json", "combined.parq")] name: &str,
) {
    read_with_xarray("kerchunk", &reference(name), &SERIES.files);
}

#[rstest]
#[case::xarrays_zarr_engine("xarray-zarr", "combined.json")]
#[case::zarr_python("zarr", "combined.json")]
#[case::virtualizarr("virtualizarr", "combined.json")]
#[case::gdal("gdal", "combined.json")]
#[case::zarrita("zarrita", "combined.json")]
#[case::xarrays_zarr_engine_parquet("xarray-zarr", "combined.parq")]
#[case::zarr_python_parquet("zarr", "combined.parq")]
#[case::virtualizarr_parquet("virtualizarr", "combined.parq")]
#[case::fsspec_parquet("fsspec", "combined.parq")]
#[case::one_request_for_the_reference_and_none_for_what_it_holds("requests", "combined.json")]
fn others_find_the_values(#[case] reader: &str, #[case] name: &str) {
    let output = Command::new(python())
        .arg(repository().join("tests/support/read_with_others.py"))
        .arg(reader)
        .arg(reference(name))
        .args(&SERIES.files)
        .env("LANDFALL_TEST_NODE_FOLDER", node_folder())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{reader} {name}: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Decoding their times takes both ends of the bounds, which do not carry the units of the time they bound.
#[test]
fn bounds_that_are_not_inlined_cost_their_first_and_last_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(python())
        .arg(repository().join("tests/support/check_cold_bounds.py"))
        .arg(landfall().get_program())
        .arg(folder.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let found: Value = serde_json::from_slice(&output.stdout).expect(&errors);
    assert_eq!(found["opening"], found["ends"]);
    // Forty steps: they were not inlined, or this test would show nothing.
    assert_eq!(found["bounds"], 40);
}

/// The other way round: what kerchunk itself writes is read here, and says the same when it is written as JSON.
#[test]
fn parquet_that_kerchunk_wrote_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs.parq");
    let script = "import sys; from kerchunk.df import refs_to_dataframe as write; write(*sys.argv[1:], record_size=5)";
    let written = Command::new(python())
        .args(["-c", script, &reference("combined.json")])
        .arg(&theirs)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&written.stderr);
    assert!(written.status.success(), "{errors}");
    let ours = folder.path().join("ours.json");
    combine(&[theirs], &ours);
    read_with_xarray("kerchunk", &ours.display().to_string(), &SERIES.files);
}

#[test]
fn combine_takes_parquet_references() {
    let folder = tempfile::tempdir().unwrap();
    let done = landfall()
        .arg("virtualize")
        .args(demo_series())
        .arg("-o")
        .arg(folder.path())
        .args(["--format", "parquet", "--record-size", RECORD_SIZE])
        .status()
        .unwrap();
    assert!(done.success());
    let references: Vec<PathBuf> = demo_series()
        .iter()
        .map(|file| folder.path().join(name_of(file)).with_extension("parq"))
        .collect();
    let documents = [demo_series(), references].map(|inputs| {
        let combined = folder.path().join("combined.json");
        combine(&inputs, &combined);
        std::fs::read(combined).unwrap()
    });
    assert_eq!(documents[0], documents[1]);
}

/// A Zarr store has `.zmetadata` too, and is somebody's data.
#[test]
fn only_a_parquet_reference_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.parq");
    combine(&SERIES.files, &output);
    combine(&SERIES.files, &output);
    std::fs::write(output.join(".zmetadata"), r#"{"metadata": {}}"#).unwrap();
    let refused = landfall()
        .arg("combine")
        .args(&SERIES.files)
        .arg("-o")
        .arg(&output)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(output.join("tas/refs.0.parq").exists());
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing is left beside it: {names:?}");
}
