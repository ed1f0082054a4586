//! Duplicates, reordering, replaced files and crashes change nothing that they should not.

use std::path::PathBuf;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Dev, demo_series, fixture, name_of, read_with_xarray};

/// Events as Event Grid delivers them, made by the host's own watch of the folder; here by hand.
fn event(dev: &Dev, name: &str, sequencer: &str) -> Value {
    let url = format!("https://local.blob.core.windows.net/bronze/{name}");
    json!({
        "id": format!("replay-{name}-{sequencer}"),
        "topic": "/subscriptions/s/resourceGroups/r/providers/Microsoft.Storage/storageAccounts/local",
        "subject": format!("/blobServices/default/containers/bronze/blobs/{name}"),
        "eventType": "Microsoft.Storage.BlobCreated", "eventTime": "2026-01-01T00:00:00Z",
        "dataVersion": "", "metadataVersion": "1",
        "data": {"api": "PutBlob", "contentLength": 0, "sequencer": sequencer, "url": url,
            "blobType": "BlockBlob", "eTag": format!("old-{}", dev.port)},
    })
}

#[test]
fn a_replay_of_old_events_changes_nothing() {
    let dev = Dev::start();
    let files = demo_series();
    dev.submit("cmip6", 3);
    dev.land_all(&files, "cmip6");
    let (release, _) = dev.wait_combined(1);
    let (before, item) = (
        dev.silver_files(),
        dev.json(&format!("/api/releases/{release}")),
    );
    let mut events: Vec<Value> = files
        .iter()
        .flat_map(|f| {
            [
                event(&dev, &format!("cmip6/{}", name_of(f)), "00"),
                event(&dev, &format!("cmip6/{}", name_of(f)), "01"),
            ]
        })
        .collect();
    events.reverse();
    let (status, _) = dev.post(
        "/runtime/webhooks/eventgrid?functionName=BlobEvent",
        &json!(events),
    );
    assert!(
        (200..300).contains(&status),
        "the webhook answered {status}"
    );
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(dev.silver_files(), before);
    assert_eq!(dev.json(&format!("/api/releases/{release}")), item);
    assert_eq!(dev.steps("combined").len(), 1);
}

/// Over HTTP only allowed accounts and containers are taken; whoever can reach the webhook could name any.
#[test]
fn an_event_for_a_foreign_account_or_container_is_ignored() {
    let dev = Dev::start();
    let mut foreign = event(&dev, "x.nc", "01");
    foreign["topic"] = json!(
        "/subscriptions/s/resourceGroups/r/providers/Microsoft.Storage/storageAccounts/foreign"
    );
    let mut elsewhere = event(&dev, "x.nc", "01");
    elsewhere["subject"] = json!("/blobServices/default/containers/silver/blobs/refs/x.nc");
    let events = json!([foreign, elsewhere]);
    let (status, _) = dev.post(
        "/runtime/webhooks/eventgrid?functionName=BlobEvent",
        &events,
    );
    assert!(
        (200..300).contains(&status),
        "the webhook answered {status}"
    );
    let ignored = dev.wait_for("two warnings", || {
        let lines = dev.messages("Ignored an event");
        (lines.len() == 2).then_some(lines)
    });
    assert!(ignored.iter().all(|line| line["level"] == "WARN"));
    assert!(dev.silver_files().is_empty());
    assert_eq!(dev.json("/api/releases")["count"], 0);
}

#[test]
fn a_replaced_file_makes_the_next_revision_and_the_old_one_says_so() {
    let dev = Dev::start();
    let files = demo_series();
    dev.submit("cmip6", 3);
    let landed = dev.land_all(&files, "cmip6");
    let (release, _) = dev.wait_combined(1);
    let metadata = dev.get(&format!("/api/zarr/{release}/r1/.zmetadata"));
    // The same values under another version: an attribute differs.
    replace_with_other_bytes(&landed[1]);
    let (again, revision) = dev.wait_combined(2);
    assert_eq!((again.as_str(), revision), (release.as_str(), 2));
    assert_eq!(
        dev.get(&format!("/api/zarr/{release}/r1/.zmetadata")),
        metadata
    );
    let manifest: Value =
        serde_json::from_slice(&dev.get(&format!("/api/zarr/{release}/r1/combined.json")).1)
            .unwrap();
    let mut seen = [0u32; 2];
    for (key, entry) in manifest["refs"].as_object().unwrap() {
        let Some(url) = entry.get(0).and_then(Value::as_str) else {
            continue;
        };
        let replaced = url.ends_with(&name_of(&landed[1]));
        let (status, _) = dev.get(&format!("/api/zarr/{release}/r1/{key}"));
        assert_eq!(status, if replaced { 410 } else { 200 }, "{key} in {url}");
        seen[usize::from(replaced)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    read_with_xarray(
        "served",
        &dev.url(&format!("/api/zarr/{release}/r2")),
        &landed,
    );
}

/// Writes a copy in whose global attribute `history` stands another text of the same length.
fn replace_with_other_bytes(file: &PathBuf) {
    let script = "import netCDF4, sys\nwith netCDF4.Dataset(sys.argv[1], 'a') as ds: ds.setncattr('comment', 'replaced')";
    let copy = file.with_extension("copy");
    std::fs::copy(file, &copy).unwrap();
    let done = std::process::Command::new(crate::support::python())
        .args(["-c", script])
        .arg(&copy)
        .status()
        .unwrap();
    assert!(done.success());
    std::fs::rename(copy, file).unwrap();
}

#[rstest]
#[case("after-persist")]
#[case("after-reference")]
#[case("after-enqueue")]
#[case("mid-combine")]
fn a_handler_killed_at_any_step_is_as_if_nothing_happened(#[case] step: &str) {
    let files = demo_series();
    let quiet = Dev::start();
    quiet.submit("cmip6", 3);
    quiet.land_all(&files, "cmip6");
    quiet.wait_combined(1);
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("paused");
    let dev = Dev::start_with(&[
        ("LANDFALL_PAUSE_AT", step),
        ("LANDFALL_PAUSE_FILE", marker.to_str().unwrap()),
        ("LANDFALL_LEASE", "PT2S"),
        ("LANDFALL_STUCK_AFTER", "PT2S"),
        ("LANDFALL_SWEEP_SCHEDULE", "*/2 * * * * *"),
    ]);
    dev.submit("cmip6", 3);
    dev.land_all(&files, "cmip6");
    dev.wait_for("the step", || marker.exists().then_some(()));
    dev.kill_handler();
    let (release, revision) = dev.wait_combined(1);
    assert_eq!(revision, 1);
    let files: Vec<PathBuf> = files
        .iter()
        .map(|file| dev.bronze().join("cmip6").join(name_of(file)))
        .collect();
    read_with_xarray(
        "served",
        &dev.url(&format!("/api/zarr/{release}/r1")),
        &files,
    );
    let names = |dev: &Dev| dev.silver_files().into_keys().collect::<Vec<_>>();
    assert_eq!(names(&dev), names(&quiet));
    let story = |dev: &Dev| {
        dev.json(&format!("/api/platform/status/{release}"))["progress"]["files"].clone()
    };
    assert_eq!(story(&dev), story(&quiet));
}

#[test]
fn a_file_that_goes_is_told_and_nothing_of_ours_is_lost() {
    let dev = Dev::start();
    dev.submit("cmip6", 3);
    let landed = dev.land_all(&demo_series(), "cmip6");
    let (release, _) = dev.wait_combined(1);
    std::fs::remove_file(&landed[2]).unwrap();
    dev.wait_for("the deletion", || {
        (!dev.steps("gone").is_empty()).then_some(())
    });
    assert_eq!(
        dev.get(&format!("/api/zarr/{release}/r1/.zmetadata")).0,
        200
    );
    assert_eq!(dev.get(&format!("/api/zarr/{release}/r1/tas/0.0.0")).0, 200);
    let last = dev.wait_for("the last chunk", || {
        let (status, body) = dev.get(&format!("/api/zarr/{release}/r1/combined.json"));
        assert_eq!(status, 200);
        let manifest: Value = serde_json::from_slice(&body).unwrap();
        let refs = manifest["refs"].as_object().unwrap().clone();
        refs.into_iter()
            .find(|(_, e)| {
                e.get(0)
                    .and_then(Value::as_str)
                    .is_some_and(|u| u.ends_with(&name_of(&landed[2])))
            })
            .map(|(k, _)| k)
    });
    assert_eq!(dev.get(&format!("/api/zarr/{release}/r1/{last}")).0, 410);
}

#[test]
fn a_series_of_another_folder_is_another_series() {
    let dev = Dev::start();
    dev.land_all(&demo_series()[..1], "one");
    dev.land_all(&demo_series()[..1], "two");
    dev.land(&fixture("classic/cdf2.nc"), "two/cdf2.nc");
    dev.wait_combined(3);
    let ids: std::collections::BTreeSet<String> = dev
        .steps("combined")
        .iter()
        .map(|line| line["release.id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 3);
}
