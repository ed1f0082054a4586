//! Joining: what can be joined is right, what cannot is refused by code, file and variable.

use std::path::PathBuf;

use rstest::rstest;
use serde_json::Value;

use crate::support::{fixture, landfall, read_with_xarray};

fn combine(second: &str) -> (Option<i32>, Value, PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let combined = folder.path().join("combined.json");
    let inputs = [
        fixture("mismatch/base.nc"),
        fixture(&format!("mismatch/{second}.nc")),
    ];
    let output = landfall()
        .arg("combine")
        .args(inputs)
        .arg("-o")
        .arg(&combined)
        .arg("--json")
        .output()
        .unwrap();
    let line = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code(), line, combined, folder)
}

#[rstest]
#[case::the_plain_next_file("next")]
#[case::another_epoch("time_units")]
#[case::another_level_of_compression("level")]
#[case::a_gap("gap")]
fn these_are_joined_as_the_files_have_it(#[case] second: &str) {
    let (code, line, combined, _folder) = combine(second);
    assert_eq!(code, Some(0), "{line}");
    let files = [
        fixture("mismatch/base.nc"),
        fixture(&format!("mismatch/{second}.nc")),
    ];
    read_with_xarray("kerchunk", &combined.display().to_string(), &files);
    let has_gap = line["findings"]
        .as_array()
        .unwrap()
        .iter()
        .any(|finding| finding["code"] == "time-gap");
    assert_eq!(has_gap, second == "gap", "{line}");
}

#[rstest]
#[case("packing", "packing_mismatch", "pr")]
#[case("fill_value", "packing_mismatch", "tas")]
#[case("calendar", "calendar_mismatch", "time")]
#[case("lat", "coord_mismatch", "lat")]
#[case("chunk_shape", "chunk_shape_mismatch", "tas")]
#[case("codec", "codec_mismatch", "tas")]
#[case("dtype", "dtype_mismatch", "tas")]
#[case("dims", "dims_mismatch", "tas")]
#[case("variable_missing", "variable_missing", "tas")]
#[case("overlap", "time_duplicate", "time")]
#[case("duplicate", "time_duplicate", "time")]
fn these_are_refused_by_name(#[case] second: &str, #[case] code: &str, #[case] variable: &str) {
    let (exit, line, combined, _folder) = combine(second);
    assert_eq!(exit, Some(3), "{line}");
    let disagreements = line["error"]["disagreements"].as_array().unwrap();
    let found = disagreements
        .iter()
        .find(|d| d["code"] == code && d["variable"] == variable);
    let found = found.unwrap_or_else(|| panic!("no {code} of {variable}: {line}"));
    let message = found["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("{second}.nc")) && message.contains(variable),
        "{message}"
    );
    assert!(!combined.exists());
}
