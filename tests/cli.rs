//! The command line: outputs, `--json` lines and exit codes.

use std::process::Output;

use serde_json::Value;

use crate::support::{demo_series, fixture, landfall, name_of, read_with_xarray};

fn line(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "exactly one line: {text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn virtualize_writes_a_reference_that_reads_as_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (file, reference) = (&demo_series()[0], folder.path().join("one.json"));
    let output = landfall()
        .arg("virtualize")
        .arg(file)
        .arg("-o")
        .arg(&reference)
        .arg("--json")
        .output()
        .unwrap();
    assert!(output.status.success());
    let line = line(&output);
    assert_eq!(line["format"], "NETCDF4");
    assert!(
        line["variables"]
            .as_array()
            .unwrap()
            .contains(&Value::from("tas")),
        "{line}"
    );
    assert_eq!(
        line["ref_size_bytes"],
        std::fs::metadata(&reference).unwrap().len()
    );
    read_with_xarray(
        "raw",
        &reference.display().to_string(),
        std::slice::from_ref(file),
    );
}

#[test]
fn several_inputs_go_into_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let output = landfall()
        .arg("virtualize")
        .arg(fixture("cmip6"))
        .arg("-o")
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    for file in demo_series() {
        let reference = folder.path().join(format!(
            "{}.json",
            name_of(&file).strip_suffix(".nc").unwrap()
        ));
        assert!(reference.exists(), "{}", reference.display());
    }
}

#[test]
fn the_same_file_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let documents: Vec<Vec<u8>> = ["a.json", "b.json"]
        .iter()
        .map(|name| {
            let reference = folder.path().join(name);
            let done = landfall()
                .arg("virtualize")
                .arg(&demo_series()[0])
                .arg("-o")
                .arg(&reference)
                .output()
                .unwrap();
            assert!(done.status.success());
            std::fs::read(reference).unwrap()
        })
        .collect();
    assert_eq!(documents[0], documents[1]);
}

#[test]
fn rejected_input_is_exit_code_3_and_a_missing_file_1() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.nc");
    std::fs::write(&bad, b"no NetCDF at all").unwrap();
    let reference = folder.path().join("out.json");
    for (file, exit, code) in [
        (bad, 3, "not_netcdf"),
        (folder.path().join("absent.nc"), 1, "not_found"),
    ] {
        let output = landfall()
            .arg("virtualize")
            .arg(&file)
            .arg("-o")
            .arg(&reference)
            .arg("--json")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(exit));
        let line = line(&output);
        assert_eq!(line["error"]["code"], code);
        assert!(
            line["error"]["message"]
                .as_str()
                .unwrap()
                .contains(&name_of(&file)),
            "{line}"
        );
        assert!(!reference.exists());
    }
    assert_eq!(
        landfall().arg("virtualize").output().unwrap().status.code(),
        Some(2)
    );
}

/// A view of other files is refused, and with it the file whose data variable it is.
#[test]
fn validate_judges_by_the_metadata_alone() {
    let good = demo_series()[0].clone();
    let output = landfall()
        .arg("validate")
        .arg(&good)
        .arg("--json")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let line = line(&output);
    assert_eq!(line["recommendation"], "suitable_for_virtualization");
    let variables = line["variables"].as_array().unwrap();
    let tas = variables
        .iter()
        .find(|variable| variable["name"] == "/tas")
        .unwrap();
    assert_eq!(
        (&tas["compression"], &tas["dtype"]),
        (&Value::from("gzip"), &Value::from("float32"))
    );
    let refused = landfall()
        .arg("validate")
        .arg(fixture("hdf5/virtual_dataset.h5"))
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("virtual layout"));
}

#[test]
fn combine_takes_files_or_their_references() {
    let folder = tempfile::tempdir().unwrap();
    let mut references = Vec::new();
    for file in demo_series() {
        let reference = folder.path().join(format!("{}.json", name_of(&file)));
        let done = landfall()
            .arg("virtualize")
            .arg(&file)
            .arg("-o")
            .arg(&reference)
            .output()
            .unwrap();
        assert!(done.status.success());
        references.push(reference);
    }
    let mut documents = Vec::new();
    for (name, inputs) in [
        ("files.json", demo_series()),
        ("references.json", references),
    ] {
        let combined = folder.path().join(name);
        let output = landfall()
            .arg("combine")
            .args(&inputs)
            .arg("-o")
            .arg(&combined)
            .arg("--json")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        assert_eq!(line(&output)["dimensions"]["time"], 36);
        read_with_xarray("kerchunk", &combined.display().to_string(), &demo_series());
        documents.push(std::fs::read(combined).unwrap());
    }
    assert_eq!(documents[0], documents[1]);
}
