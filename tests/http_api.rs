//! The HTTP API as a client meets it through the host.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Dev, demo_series};

#[test]
fn the_store_is_a_zarr_store() {
    let dev = Dev::start();
    dev.submit("cmip6", 3);
    dev.land_all(&demo_series(), "cmip6");
    let (release, _) = dev.wait_combined(1);
    let store = format!("/api/zarr/{release}/r1");
    let consolidated: Value =
        serde_json::from_slice(&dev.get(&format!("{store}/.zmetadata")).1).unwrap();
    let array = &consolidated["metadata"]["tas/.zarray"];
    assert_eq!(array["shape"][0], 36, "{consolidated}");
    assert_eq!(dev.json(&format!("{store}/tas/.zarray")), *array);
    assert_eq!(dev.get(&format!("{store}/zarr.json")).0, 404);
    assert_eq!(dev.get(&format!("{store}/tas/99.0.0")).0, 404);
    assert_eq!(dev.get(&format!("{store}/nothing/.zarray")).0, 404);
    assert_eq!(
        dev.get("/api/zarr/00000000000000000000000000000000/r1/.zmetadata")
            .0,
        410
    );
    assert_eq!(
        dev.get(&format!("/api/zarr/{release}/r2/.zmetadata")).0,
        410
    );
}

#[rstest]
#[case::unknown_field(json!({"dataset_id": "a", "resource_id": "b", "source_url": "abfs://bronze/x", "colour": 1}), "colour")]
#[case::no_dataset(json!({"resource_id": "b", "source_url": "abfs://bronze/x"}), "dataset_id")]
#[case::bad_name(json!({"dataset_id": "a/b", "resource_id": "b", "source_url": "abfs://bronze/x"}), "dataset_id")]
#[case::no_such_container(json!({"dataset_id": "a", "resource_id": "b", "source_url": "abfs://gold/x"}), "Container does not exist")]
#[case::a_local_file(json!({"dataset_id": "a", "resource_id": "b", "source_url": "file:///etc/passwd"}), "source_url")]
#[case::another_account(json!({"dataset_id": "a", "resource_id": "b", "source_url": "abfs://bronze@foreign.dfs.core.windows.net/x"}), "foreign")]
fn a_bad_submission_is_400_and_says_why(#[case] body: Value, #[case] names: &str) {
    let dev = Dev::start();
    let (status, reply) = dev.post("/api/platform/submit", &body);
    assert_eq!(status, 400, "{reply}");
    assert_eq!(reply["success"], json!(false));
    assert_eq!(reply["error_type"], "ValidationError");
    assert!(reply["error"].as_str().unwrap().contains(names), "{reply}");
}

#[test]
fn what_is_not_there_is_404_in_the_envelope() {
    let dev = Dev::start();
    for path in [
        "/api/platform/status/0123",
        "/api/releases/0123",
        "/api/no/such/route",
    ] {
        let (status, body) = dev.get(path);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (status, &body["error_type"]),
            (404, &json!("NotFound")),
            "{path}: {body}"
        );
    }
}

#[test]
fn the_probes_tell_the_state() {
    let dev = Dev::start();
    assert_eq!(dev.json("/api/livez")["status"], "alive");
    assert_eq!(dev.json("/api/readyz")["status"], "ready");
    assert_eq!(dev.get("/api/health").0, 200);
}
