//! Inventories and replays.

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};

use super::flow::Flow;

async fn inventory(flow: &Flow, body: &Value) -> Value {
    let answer = flow.post("/api/inventory", body).await;
    assert_eq!(answer.status(), 202, "{:?}", answer.body());
    let begun: Value = serde_json::from_slice(answer.body()).unwrap();
    let path = format!("/api/inventory/{}", begun["inventory_id"].as_str().unwrap());
    loop {
        let document = flow.get(&path).await;
        if document["state"] != "running" && document["state"] != "submitting" {
            return document;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_inventory_proposes_and_submits_what_the_pipeline_then_combines() {
    let flow = Flow::new();
    for (name, year) in [
        ("a/demo_2000.nc", 2000),
        ("a/demo_2001.nc", 2001),
        ("demo_2002.nc", 2002),
    ] {
        flow.land(name, year);
    }
    let found = inventory(&flow, &json!({"source_url": "abfs://bronze/"})).await;
    assert_eq!(found["state"], "completed", "{found}");
    assert_eq!(found["progress"]["files"], 3);
    let groups = found["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2);
    assert_eq!(
        groups[1]["submission"]["processing_options"]["expected"]["count"],
        2
    );
    assert_eq!(flow.drain().await, 0, "nothing is submitted unasked");
    let submitted = json!({"source_url": "abfs://bronze/", "submit": true});
    let found = inventory(&flow, &submitted).await;
    assert_eq!(found["groups"][1]["submitted"]["accepted"], true, "{found}");
    flow.drain().await;
    let status = flow
        .get("/api/platform/status?dataset_id=demo&resource_id=a")
        .await;
    assert_eq!(
        status["release"]["processing_status"], "completed",
        "{status}"
    );
    assert_eq!(status["outputs"]["result"]["source_files"], 2);
}

#[rstest]
#[case::container_that_is_not("/api/inventory", json!({"source_url": "abfs://nope/"}))]
#[case::foreign_account("/api/inventory", json!({"source_url": "abfs://bronze@other/"}))]
#[case::silver("/api/replay", json!({"source_url": "abfs://silver/"}))]
#[case::file("/api/replay", json!({"source_url": "file:///etc"}))]
#[case::pattern("/api/inventory", json!({"source_url": "abfs://bronze/", "file_pattern": "[a"}))]
#[case::unknown_field("/api/inventory", json!({"source_url": "abfs://bronze/", "depth": 1}))]
#[case::nothing("/api/replay", json!({}))]
#[case::both("/api/replay", json!({"source_url": "abfs://bronze/", "dead_letters": true}))]
#[case::no_time("/api/replay", json!({"dead_letters": true, "since": "yesterday"}))]
#[case::no_events("/api/replay", json!({"events": "x"}))]
#[tokio::test]
async fn a_bad_request_is_the_callers_fault(#[case] path: &str, #[case] body: Value) {
    let flow = Flow::new();
    let answer = flow.post(path, &body).await;
    assert_eq!(answer.status(), 400, "{:?}", answer.body());
    assert_eq!(std::fs::read_dir(flow.path("silver")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_inventory_that_never_was_is_not_found() {
    let flow = Flow::new();
    for id in ["0".repeat(32), String::from("..%2f..%2fx")] {
        let document = flow.get(&format!("/api/inventory/{id}")).await;
        assert_eq!(document["error_type"], "NotFound");
    }
}

async fn replay(flow: &Flow, body: &Value) -> Value {
    let answer = flow.post("/api/replay", body).await;
    assert_eq!(answer.status(), 200, "{:?}", answer.body());
    serde_json::from_slice(answer.body()).unwrap()
}

#[tokio::test]
async fn a_container_is_replayed_since_a_time() {
    let flow = Flow::new();
    let old = flow.land("a/old_2000.nc", 2000);
    let file = std::fs::File::options().append(true).open(old).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    flow.land("a/new_2000.nc", 2000);
    flow.land_bytes("a/readme.txt", b"no data");
    let since = Timestamp::now() - std::time::Duration::from_secs(3600);
    let body = json!({"source_url": "abfs://bronze/a/", "since": since.to_string()});
    let expected = json!({"success": true, "found": 3, "sent": 1, "passed_over": 2});
    assert_eq!(replay(&flow, &body).await, expected);
    flow.drain().await;
    assert_eq!(flow.state("a/new_2000.nc").await, "referenced");
    assert_eq!(flow.state("a/old_2000.nc").await, "unknown");
    let all = replay(&flow, &json!({"source_url": "abfs://bronze/"})).await;
    assert_eq!(all["sent"], 2);
    flow.drain().await;
    assert_eq!(flow.state("a/old_2000.nc").await, "referenced");
}

#[tokio::test]
async fn kept_events_are_driven_again() {
    let flow = Flow::new();
    flow.land("a/x_2000.nc", 2000);
    let gone = flow.land("a/gone_2000.nc", 2000);
    flow.announce("a/gone_2000.nc").await;
    std::fs::remove_file(gone).unwrap();
    let events = json!([
        Flow::event("BlobCreated", "a/x_2000.nc", &json!({})),
        Flow::event("BlobDeleted", "a/gone_2000.nc", &json!({})),
        Flow::event("BlobCreated", "a/readme.txt", &json!({})),
    ]);
    let expected = json!({"success": true, "found": 3, "sent": 2, "passed_over": 1});
    assert_eq!(replay(&flow, &json!({"events": events})).await, expected);
    flow.drain().await;
    assert_eq!(flow.state("a/x_2000.nc").await, "referenced");
    assert_eq!(flow.state("a/gone_2000.nc").await, "gone");
}
