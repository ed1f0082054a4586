//! Bad input is an answer: recorded, visible, by name, and nothing half is published.

use serde_json::json;

use crate::support::{Dev, demo_series, fixture, name_of};

#[test]
fn a_corrupt_file_blocks_its_series_until_a_good_copy_lands() {
    let dev = Dev::start();
    let files = demo_series();
    let declaration = json!({
        "dataset_id": "demo", "resource_id": "blocked", "processing_options": {"expected": {"count": 3}},
    });
    std::fs::create_dir_all(dev.bronze().join("x")).unwrap();
    std::fs::write(
        dev.bronze().join("x/landfall.json"),
        declaration.to_string(),
    )
    .unwrap();
    dev.wait_for("the declaration", || {
        (!dev.steps("declared").is_empty()).then_some(())
    });
    dev.land_all(&files[..2], "x");
    let bad = dev.bronze().join("x").join(name_of(&files[2]));
    std::fs::write(&bad, b"this is no NetCDF file, whatever its name says").unwrap();
    let status = dev.wait_for("the block", || {
        let status = dev.json("/api/platform/status?dataset_id=demo&resource_id=blocked");
        (status["progress"]["stage"] == "blocked").then_some(status)
    });
    assert_eq!(status["progress"]["files"]["rejected"], 1, "{status}");
    let message = status["error"]["message"].as_str().unwrap();
    assert!(message.contains(&name_of(&files[2])), "{message}");
    assert!(!dev.silver().join("refs/combined").exists());
    dev.land(&files[2], &format!("x/{}", name_of(&files[2])));
    dev.wait_combined(1);
    let status = dev.json("/api/platform/status?dataset_id=demo&resource_id=blocked");
    assert_eq!(status["job_status"], "completed");
}

/// Set F of the peers' corpus in small: steps that are no multiple of the chunk length, compressed.
#[test]
fn a_ragged_series_is_refused_with_files_variable_and_lengths() {
    let dev = Dev::start();
    dev.land(&fixture("ragged/tas_ragged_1.nc"), "ragged/tas_ragged_1.nc");
    dev.land(&fixture("ragged/tas_ragged_2.nc"), "ragged/tas_ragged_2.nc");
    let declaration = json!({
        "dataset_id": "ragged", "resource_id": "daily", "source_url": "abfs://bronze/ragged",
        "processing_options": {"expected": {"count": 2}},
    });
    let (status, reply) = dev.post("/api/platform/submit", &declaration);
    assert_eq!(status, 202, "{reply}");
    let release = reply["release_id"].as_str().unwrap();
    let status = dev.wait_for("the refusal", || {
        let status = dev.json(&format!("/api/platform/status/{release}"));
        (status["progress"]["stage"] == "blocked").then_some(status)
    });
    let message = status["error"]["message"].as_str().unwrap();
    for part in ["tas_ragged_1.nc", "tas", "chunk"] {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    assert_eq!(status["error"]["code"], "chunk_shape_mismatch");
    assert!(!dev.silver().join("refs/combined").exists());
}

#[test]
fn a_bad_declaration_is_rejected_by_name() {
    let dev = Dev::start();
    std::fs::create_dir_all(dev.bronze().join("x")).unwrap();
    std::fs::write(
        dev.bronze().join("x/landfall.json"),
        r#"{"dataset_id": "a", "resource_id": "b", "colour": 1}"#,
    )
    .unwrap();
    let line = dev.wait_for("the rejection", || dev.steps("rejected").first().cloned());
    let message = line["message"].as_str().unwrap();
    assert!(
        message.contains("landfall.json") && message.contains("colour"),
        "{message}"
    );
}

#[test]
fn a_foreign_format_is_rejected_by_its_name() {
    let dev = Dev::start();
    std::fs::write(
        dev.bronze().join("picture.nc"),
        b"GRIB\0\0\0\x02and more bytes than a magic number has",
    )
    .unwrap();
    let line = dev.wait_for("the rejection", || dev.steps("rejected").first().cloned());
    assert_eq!(line["error.code"], "not_netcdf", "{line}");
    assert!(line["message"].as_str().unwrap().contains("GRIB"), "{line}");
}
