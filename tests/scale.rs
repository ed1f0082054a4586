//! What combining costs in memory, and that it stays within the budget it is given. Counts and bytes, never seconds.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{landfall, python, repository};

/// A series of so many files of 365 chunks each.
fn series(files: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(python())
        .arg(repository().join("benches/make_inputs.py"))
        .arg(folder.path())
        .args(["--indexed", "0", "--years", "0", "--months", "0"])
        .args(["--long", &files.to_string()])
        .status()
        .unwrap();
    assert!(made.success());
    folder
}

fn combine(folder: &Path, budget: Option<u64>) -> Output {
    let mut command = landfall();
    if let Some(budget) = budget {
        command.env("LANDFALL_MEMORY_MB", budget.to_string());
    }
    let command = command.arg("combine").arg(folder.join("long")).arg("-o");
    let output = command.arg(folder.join("joined.json")).arg("--json");
    output.output().unwrap()
}

/// Peak memory of the same, in megabytes.
fn memory_of_combine(folder: &Path, budget: Option<u64>) -> f64 {
    let mut command = Command::new(python());
    if let Some(budget) = budget {
        command.env("LANDFALL_MEMORY_MB", budget.to_string());
    }
    let output = command
        .arg(repository().join("benches/measure.py"))
        .arg(env!("CARGO_BIN_EXE_landfall"))
        .arg("combine")
        .arg(folder.join("long"))
        .arg("-o")
        .arg(folder.join("joined.json"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The joined values and their time bounds are 24 bytes a step, a row of the manifest is 12, and both are there twice:
/// in the files and joined. A document or a decode of all files that is held as a whole would be 150 and more on top.
#[test]
fn a_chunk_more_costs_little_memory() {
    let (few, many) = (series(60), series(260));
    let more = memory_of_combine(many.path(), None) - memory_of_combine(few.path(), None);
    let bytes = more * 1e6 / (200.0 * 365.0);
    assert!(bytes < 220.0, "{bytes} bytes of memory a chunk");
}

#[test]
fn a_budget_is_kept_or_the_run_ends_with_the_size_that_it_needs() {
    let folder = series(120);
    let mut refused = 0;
    for budget in [40, 52, 58, 200] {
        let output = combine(folder.path(), Some(budget));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        if output.status.success() {
            let memory = memory_of_combine(folder.path(), Some(budget));
            assert!(memory < budget as f64 * 1.048_576, "{memory} of {budget}");
            continue;
        }
        refused += 1;
        assert_eq!(output.status.code(), Some(1), "{said}");
        let error = &said["error"];
        assert_eq!(error["code"], "MemoryBudgetExceeded", "{said}");
        assert_eq!(error["budget_mb"], budget);
        assert!(!folder.path().join("joined.json").exists() || refused > 1);
        let needed = error["needed_mb"].as_u64().unwrap();
        assert!(needed > budget, "{said}");
        let memory = memory_of_combine(folder.path(), Some(needed));
        assert!(memory < needed as f64 * 1.048_576, "{memory} of {needed}");
    }
    assert!(
        (1..4).contains(&refused),
        "{refused} of 4 budgets were too small"
    );
}

/// Long tables store their numbers in another encoding than short ones.
#[test]
fn long_tables_say_what_the_document_says() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(python())
        .arg(repository().join("benches/make_inputs.py"))
        .arg(folder.path())
        .args(["--indexed", "2500", "--years", "0", "--months", "0"])
        .status()
        .unwrap();
    assert!(made.success());
    let input = folder.path().join("indexed/btree2.nc");
    let outputs = ["whole.json", "whole.parq"].map(|name| folder.path().join(name));
    for output in &outputs {
        let mut command = landfall();
        let command = command.arg("virtualize").arg(&input).arg("-o").arg(output);
        let done = command.args(["--record-size", "1100"]).output().unwrap();
        assert!(done.status.success());
    }
    let checked = Command::new(python())
        .arg(repository().join("tests/support/check_tables.py"))
        .args(&outputs)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&checked.stdout).trim(), "2503");
}
