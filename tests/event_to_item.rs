//! From files in a folder to one served, catalogued Zarr.

use std::path::PathBuf;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Dev, demo_series, fixture, name_of, read_with_xarray};

/// Lands files out of order, the first one twice, and gives the Release.
fn serve(dev: &Dev, files: &[PathBuf], folder: &str) -> (String, u64) {
    let mut order: Vec<&PathBuf> = files.iter().rev().collect();
    order.push(files.last().unwrap());
    for file in order {
        dev.land(file, &format!("{folder}/{}", name_of(file)));
    }
    dev.wait_combined(1)
}

#[test]
fn a_dropped_series_is_served_as_the_netcdf_files_have_it() {
    // Nobody declares it: complete when nothing has landed for the quiet period.
    let dev = Dev::start_with(&[("LANDFALL_QUIET_PERIOD", "PT8S")]);
    let files = demo_series();
    let (release, revision) = serve(&dev, &files, "cmip6");
    assert_eq!(revision, 1);
    let landed: Vec<PathBuf> = files
        .iter()
        .map(|file| dev.bronze().join("cmip6").join(name_of(file)))
        .collect();
    let store = dev.url(&format!("/api/zarr/{release}/r1"));
    read_with_xarray("served", &store, &landed);
    read_with_xarray("kerchunk", &format!("{store}/combined.json"), &landed);
    let blob_path = dev.json(&format!("/api/releases/{release}"))["release"]["blob_path"]
        .as_str()
        .unwrap()
        .to_owned();
    read_with_xarray(
        "kerchunk",
        &dev.silver().join(blob_path).display().to_string(),
        &landed,
    );
}

#[test]
fn every_file_has_a_reference_of_its_own() {
    let dev = Dev::start();
    let files = demo_series();
    dev.submit("cmip6", 3);
    serve(&dev, &files, "cmip6");
    for file in files {
        let name = format!(
            "refs/files/local/bronze/cmip6/{}.json",
            name_of(&file).strip_suffix(".nc").unwrap()
        );
        let landed = dev.bronze().join("cmip6").join(name_of(&file));
        read_with_xarray(
            "raw",
            &dev.silver().join(name).display().to_string(),
            &[landed],
        );
    }
}

#[test]
fn files_that_join_a_declared_series_leave_no_other_behind() {
    let dev = Dev::start_with(&[("LANDFALL_QUIET_PERIOD", "PT10M")]);
    dev.land_all(&demo_series(), "cmip6");
    dev.wait_for("three references", || {
        (dev.steps("referenced").len() == 3).then_some(())
    });
    let count = || dev.json("/api/releases")["count"].clone();
    assert_eq!(count(), 1, "the series of their name");
    dev.submit("cmip6", 3);
    let (release, _) = dev.wait_combined(1);
    assert_eq!(count(), 1);
    let left = dev.json(&format!("/api/releases/{release}"));
    assert_eq!(left["release"]["resource_id"], "test", "{left}");
}

#[test]
fn the_status_tells_the_story() {
    let dev = Dev::start();
    dev.submit("cmip6", 3);
    let (release, _) = serve(&dev, &demo_series(), "cmip6");
    let status = dev.json(&format!("/api/platform/status/{release}"));
    assert_eq!(status["success"], json!(true));
    assert_eq!(status["job_status"], json!("completed"));
    for (count, wanted) in [("arrived", 3), ("referenced", 3), ("rejected", 0)] {
        assert_eq!(
            status["progress"]["files"][count],
            json!(wanted),
            "{count}: {status}"
        );
    }
    let served = status["outputs"]["zarr_url"].as_str().unwrap();
    assert_eq!(served, dev.url(&format!("/api/zarr/{release}/r1")));
}

/// What the demo's own script says of the series: 36 months over the globe.
#[test]
fn the_release_shows_its_item() {
    let dev = Dev::start();
    dev.submit("cmip6", 3);
    let (release, _) = serve(&dev, &demo_series(), "cmip6");
    let release = dev.json(&format!("/api/releases/{release}"))["release"].clone();
    let item = &release["stac_item_json"];
    assert_eq!(item["type"], "Feature");
    assert_eq!(item["properties"]["cmip6:variable"], "tas");
    let start = item["properties"]["start_datetime"].as_str().unwrap();
    let end = item["properties"]["end_datetime"].as_str().unwrap();
    assert!(
        start.starts_with("2000-01") && end.starts_with("2002-12"),
        "{start} {end}"
    );
    let bbox: Vec<f64> = serde_json::from_value(item["bbox"].clone()).unwrap();
    assert_eq!(bbox, [-180.0, -90.0, 180.0, 90.0]);
    assert_eq!(
        item["properties"]["cube:dimensions"]["time"]["type"],
        "temporal"
    );
    for asset in ["zarr-store", "reference", "netcdf_source"] {
        assert!(item["assets"][asset]["href"].is_string(), "{asset}: {item}");
    }
}

#[rstest]
#[case::count(json!({"count": 3}))]
#[case::files(json!({"files": demo_series().iter().map(|f| name_of(f)).collect::<Vec<_>>()}))]
#[case::time_range(json!({"time_range": ["2000-01-01", "2002-12-31"]}))]
#[case::quiet_period(json!({"quiet_period": "PT2S"}))]
fn a_declaration_beside_the_files_says_when_they_are_complete(#[case] expected: Value) {
    let dev = Dev::start();
    let declaration = json!({
        "dataset_id": "demo", "resource_id": "monthly", "processing_options": {"expected": expected},
    });
    std::fs::create_dir_all(dev.bronze().join("declared")).unwrap();
    std::fs::write(
        dev.bronze().join("declared/landfall.json"),
        declaration.to_string(),
    )
    .unwrap();
    dev.wait_for("the declaration", || {
        (!dev.steps("declared").is_empty()).then_some(())
    });
    dev.land_all(&demo_series(), "declared");
    let (release, _) = dev.wait_combined(1);
    let release = dev.json(&format!("/api/releases/{release}"))["release"].clone();
    assert_eq!(
        release["blob_path"],
        "refs/combined/demo/monthly/ord1/r1/combined.json"
    );
}

#[test]
fn a_submission_takes_what_is_there_and_waits_for_the_rest() {
    let dev = Dev::start_with(&[("LANDFALL_QUIET_PERIOD", "PT60S")]);
    let files = demo_series();
    dev.land_all(&files[..2], "submitted");
    dev.wait_for("two references", || {
        (dev.steps("referenced").len() == 2).then_some(())
    });
    let body = json!({
        "dataset_id": "demo", "resource_id": "submitted", "data_type": "zarr",
        "source_url": "abfs://bronze/submitted/", "processing_options": {"expected": {"count": 3}},
    });
    let (status, reply) = dev.post("/api/platform/submit", &body);
    assert_eq!(status, 202, "{reply}");
    let (again, same) = dev.post("/api/platform/submit", &body);
    assert_eq!((again, &same["job_id"]), (200, &reply["job_id"]));
    let release = reply["release_id"].as_str().unwrap();
    let running = dev.json(&format!("/api/platform/status/{release}"));
    assert_eq!(
        running["progress"]["files"]["referenced"],
        json!(2),
        "{running}"
    );
    assert_eq!(
        running["progress"]["files"]["expected"],
        json!(3),
        "{running}"
    );
    dev.land(&files[2], &format!("submitted/{}", name_of(&files[2])));
    assert_eq!(dev.wait_combined(1).0, release);
}

#[test]
fn a_classic_file_is_a_series_of_one() {
    let dev = Dev::start();
    let landed = dev.land(
        &fixture("classic/padded_records.nc"),
        "classic/padded_records.nc",
    );
    let (release, _) = dev.wait_combined(1);
    read_with_xarray(
        "served",
        &dev.url(&format!("/api/zarr/{release}/r1")),
        &[landed],
    );
}

#[test]
fn an_existing_folder_needs_no_copying() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("bronze")).unwrap();
    for file in demo_series() {
        std::fs::copy(&file, root.path().join("bronze").join(name_of(&file))).unwrap();
    }
    let dev = Dev::start_in(root, &[]);
    let (release, _) = dev.wait_combined(1);
    let release = dev.json(&format!("/api/releases/{release}"))["release"].clone();
    assert_eq!(release["resource_id"], "root");
}

/// A program that opens, appends and closes again and again leaves files that are shorter than they say.
#[test]
fn a_copy_in_twenty_slow_pieces_is_not_rejected() {
    let dev = Dev::start();
    dev.submit("slow", 3);
    for file in demo_series() {
        dev.land_slowly(&file, &format!("slow/{}", name_of(&file)), 20);
    }
    let (release, _) = dev.wait_combined(1);
    let status = dev.json(&format!("/api/platform/status/{release}"));
    assert_eq!(status["progress"]["files"]["referenced"], json!(3));
    assert!(dev.steps("rejected").is_empty());
}
