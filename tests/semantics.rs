//! What xarray shows for a reference is what it shows for the file: types, conventions, and where the values lie.
//!
//! The files are made and compared by `tests/support/semantics`; each says there what it is an example of.

use std::path::Path;
use std::process::Command;

use rstest::rstest;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{landfall, python, repository};

/// A file of a topic.
#[derive(Deserialize)]
struct Made {
    name: String,
    without: Vec<String>,
    flags: Vec<String>,
}

#[rstest]
#[case::types("data_types")]
#[case::conventions("conventions")]
#[case::inlining_and_cutting("storage")]
fn references_show_what_the_files_show(#[case] topic: &str) {
    assert_equal_through_xarray(topic);
}

/// Makes the files of a topic, virtualizes each, and compares.
pub(crate) fn assert_equal_through_xarray(topic: &str) {
    let folder = tempfile::tempdir().unwrap();
    let made: Vec<Made> = serde_json::from_str(&semantics("make", topic, folder.path())).unwrap();
    assert!(!made.is_empty(), "{topic} has no files");
    for file in &made {
        let expected: Vec<String> = file.without.iter().map(|name| format!("/{name}")).collect();
        let mut skipped = virtualize(folder.path(), file);
        skipped.sort();
        assert_eq!(skipped, expected, "{} leaves out by name", file.name);
    }
    semantics("compare", topic, folder.path());
}

/// Runs the script; its output, or a failure with it.
fn semantics(command: &str, topic: &str, folder: &Path) -> String {
    let script = repository().join("tests/support/semantics");
    let mut python = Command::new(python());
    let output = python.arg(script).args([command, topic]).arg(folder);
    let output = output.output().unwrap();
    let (text, errors) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(text).unwrap();
    assert!(
        output.status.success(),
        "{command} {topic}: {text}\n{errors}"
    );
    text
}

/// The variables that the reference of a file lacks by name.
fn virtualize(folder: &Path, file: &Made) -> Vec<String> {
    let source = folder.join(format!("{}.nc", file.name));
    let mut program = landfall();
    program.arg("virtualize").arg(&source).arg("-o");
    program.arg(source.with_extension("json")).arg("--json");
    let output = program.args(&file.flags).output().unwrap();
    assert!(
        output.status.success(),
        "{}: {}",
        file.name,
        String::from_utf8_lossy(&output.stdout)
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let skipped = report["skipped"].as_array().unwrap();
    let names = skipped.iter().map(|row| row["variable"].as_str().unwrap());
    names.map(str::to_owned).collect()
}
