//! Random series, joined by the program and compared with what netCDF4 and numpy read in their files: equal, or refused by
//! file and variable. `./just series COUNT` draws more of them.

use std::process::Command;

use serde_json::Value;

use crate::support::{python, repository};

#[test]
fn random_series_are_joined_as_their_files_have_it_or_refused_by_name() {
    let output = Command::new(python())
        .arg(repository().join("tests/support/check_series.py"))
        .arg(env!("CARGO_BIN_EXE_landfall"))
        .args(["--count", "60", "--seed", "7"])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let verdict: Value = serde_json::from_str(&printed).unwrap_or_default();
    assert!(output.status.success(), "{verdict:#}\n{errors}");
    // A generator that draws only what is refused would prove nothing and still pass.
    assert!(verdict["joined"].as_u64() > Some(20), "{verdict}");
    assert!(verdict["refused"].as_u64() > Some(10), "{verdict}");
}
