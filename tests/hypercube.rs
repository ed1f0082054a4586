//! One variable a file, as CMIP6 has them: files dropped in any order become one Release with all variables.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Dev, name_of, python, repository};

/// Runs `tests/support/hypercube.py`, which fails with what differs.
fn hypercube(command: &str, target: &str, files: &[PathBuf]) {
    let output = Command::new(python())
        .arg(repository().join("tests/support/hypercube.py"))
        .args([command, target])
        .args(files)
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {found}\n{errors}");
}

/// Two variables over two years, the years of one variable not next to each other.
fn files() -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    hypercube("make", &folder.path().display().to_string(), &[]);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort_by_key(|file| std::cmp::Reverse(name_of(file)));
    files.swap(1, 2);
    assert_eq!(files.len(), 4);
    (folder, files)
}

fn options() -> Value {
    json!({"merge_variables": true, "expected": {"count": 4}})
}

#[test]
fn files_of_one_variable_each_become_one_release() {
    let dev = Dev::start();
    let (_folder, files) = files();
    let body = json!({
        "dataset_id": "cube", "resource_id": "monthly", "source_url": "abfs://bronze/cube/",
        "processing_options": options(),
    });
    let (status, reply) = dev.post("/api/platform/submit", &body);
    assert_eq!(status, 202, "{reply}");
    let landed = dev.land_all(&files, "cube");
    let (release, revision) = dev.wait_combined(1);
    let store = dev.url(&format!("/api/zarr/{release}/r{revision}"));
    hypercube("check", &store, &landed);
    hypercube("cost", &store, &[]);
}

#[test]
fn a_declaration_beside_the_files_asks_for_merging_too() {
    let dev = Dev::start();
    let (folder, files) = files();
    let declaration = folder.path().join("landfall.json");
    let body =
        json!({"dataset_id": "cube", "resource_id": "beside", "processing_options": options()});
    std::fs::write(&declaration, body.to_string()).unwrap();
    let first = dev.land_all(&files[..2], "cube");
    dev.land(&declaration, "cube/landfall.json");
    let landed = [first, dev.land_all(&files[2..], "cube")].concat();
    let (release, revision) = dev.wait_combined(1);
    let store = dev.url(&format!("/api/zarr/{release}/r{revision}"));
    hypercube("check", &store, &landed);
}
