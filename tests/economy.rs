//! What reading a file costs, in bytes, requests and memory; never in seconds, which are the benchmarks' to measure.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{demo_series, landfall, python, repository};

const CHUNKS: u64 = 50_000;

/// One file of [`CHUNKS`] chunks for each kind of chunk index.
fn indexed() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(python())
        .arg(repository().join("benches/make_inputs.py"))
        .arg(folder.path())
        .args(["--indexed", &CHUNKS.to_string()])
        .args(["--years", "0", "--months", "0"])
        .status()
        .unwrap();
    assert!(made.success());
    folder
}

/// What `--json` says of reading a file.
fn io_of(file: &Path, folder: &Path) -> Value {
    let output = landfall()
        .arg("virtualize")
        .arg(file)
        .arg("-o")
        .arg(folder.join("out.json"))
        .arg("--json")
        .output()
        .unwrap();
    assert!(output.status.success());
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    line["io"].clone()
}

/// Peak memory of making the reference of a file, in bytes.
fn memory_of(file: &Path, folder: &Path) -> f64 {
    let output = Command::new(python())
        .arg(repository().join("benches/measure.py"))
        .arg(env!("CARGO_BIN_EXE_landfall"))
        .arg("virtualize")
        .arg(file)
        .arg("-o")
        .arg(folder.join("out.json"))
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let megabytes: f64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    megabytes * 1e6
}

/// Bytes: the index as it is stored, 20 to 56 bytes a chunk, and 8 of its time. Memory: those, the entries read from them, and
/// the manifest's columns; a document kept as a whole would be 80 bytes more.
#[test]
fn many_chunks_cost_little_more_than_their_index() {
    let folder = indexed();
    let least = memory_of(&demo_series()[0], folder.path());
    for (kind, rounds, bytes) in [
        ("btree1", 6, 72),
        ("btree2", 6, 60),
        ("earray", 6, 36),
        ("farray", 5, 36),
    ] {
        let file = folder.path().join("indexed").join(format!("{kind}.nc"));
        let io = io_of(&file, folder.path());
        assert!(io["rounds"].as_u64().unwrap() <= rounds, "{kind}: {io}");
        assert!(
            io["bytes"].as_u64().unwrap() <= bytes * CHUNKS,
            "{kind}: {io}"
        );
        let memory = (memory_of(&file, folder.path()) - least) / CHUNKS as f64;
        assert!(memory < 150.0, "{kind}: {memory} bytes of memory a chunk");
    }
}

/// A round trip costs more than the bytes of a small file.
#[test]
fn a_small_file_takes_one_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = &demo_series()[0];
    let io = io_of(file, folder.path());
    let length = std::fs::metadata(file).unwrap().len();
    assert_eq!(
        io,
        serde_json::json!({"requests": 1, "rounds": 1, "bytes": length})
    );
}
