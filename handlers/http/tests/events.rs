//! What the host posts to `BlobEvent`, and what becomes of it.

use rstest::rstest;
use serde_json::{Value, json};

use super::flow::Flow;

const YEAR: &str = "cmip6/2000.nc";

#[tokio::test]
async fn a_created_blob_is_referenced_and_answered_as_the_host_needs() {
    let flow = Flow::new();
    flow.land(YEAR, 2000);
    let answer = flow
        .deliver(&Flow::event("BlobCreated", YEAR, &json!({})))
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(
        body,
        json!({"Outputs": {}, "Logs": [], "ReturnValue": null})
    );
    assert_eq!(flow.state(YEAR).await, "referenced");
}

/// One delivery may hold many events, and a bad one among them does not have the others delivered again for a day.
#[tokio::test]
async fn a_batch_is_taken_whole_but_for_what_is_no_event() {
    let flow = Flow::new();
    flow.land(YEAR, 2000);
    flow.land("cmip6/2001.nc", 2001);
    flow.land_bytes("cmip6/bad.nc", b"not a NetCDF file");
    let created = |name| Flow::event("BlobCreated", name, &json!({}));
    let mut broken = created(YEAR);
    broken["subject"] = Value::Null;
    let batch = json!([
        broken,
        created(YEAR),
        created("cmip6/2001.nc"),
        created("cmip6/bad.nc")
    ]);
    assert_eq!(flow.deliver(&batch).await.status(), 200);
    // There are fewer permits than events.
    flow.drain().await;
    assert_eq!(flow.state(YEAR).await, "referenced");
    assert_eq!(flow.state("cmip6/2001.nc").await, "referenced");
    assert_eq!(flow.state("cmip6/bad.nc").await, "rejected");
}

#[rstest]
#[case::create_file("BlobCreated", json!({"api": "CreateFile", "contentLength": 0, "eTag": "0x1", "sequencer": "1"}))]
#[case::directory("DirectoryCreated", json!({}))]
#[tokio::test]
async fn what_is_no_file_yet_is_passed_over(#[case] kind: &str, #[case] data: Value) {
    let flow = Flow::new();
    flow.land(YEAR, 2000);
    assert_eq!(
        flow.deliver(&Flow::event(kind, YEAR, &data)).await.status(),
        200
    );
    assert_eq!(flow.state(YEAR).await, "unknown");
}

/// The version that is read and recorded is the one that is there, not the one that an unreliable event names.
#[rstest]
#[case::no_sequencer(json!({"eTag": "0x1", "contentLength": 5}))]
#[case::length_zero(json!({"eTag": "0x1", "contentLength": 0, "sequencer": "1", "api": "FlushWithClose"}))]
#[case::copied(json!({"eTag": "0x1", "contentLength": 5, "sequencer": "1", "api": "CopyBlob"}))]
#[tokio::test]
async fn a_head_settles_what_the_event_does_not(#[case] data: Value) {
    let flow = Flow::new();
    let file = flow.land(YEAR, 2000);
    assert_eq!(
        flow.deliver(&Flow::event("BlobCreated", YEAR, &data))
            .await
            .status(),
        200
    );
    let recorded = flow.file(YEAR).await.unwrap();
    assert_eq!(recorded.size, std::fs::metadata(file).unwrap().len());
    assert_ne!(recorded.etag, "0x1");
    assert_eq!(flow.state(YEAR).await, "referenced");
}

#[tokio::test]
async fn a_renamed_blob_is_gone_under_its_old_name() {
    let flow = Flow::new();
    let old = flow.land(YEAR, 2000);
    flow.announce(YEAR).await;
    std::fs::rename(old, flow.path("bronze/cmip6/new name.nc")).unwrap();
    let data = json!({
        "api": "RenameFile", "sequencer": "0000000000000000000000000000A2",
        "sourceUrl": "https://local.dfs.core.windows.net/bronze/cmip6/2000.nc",
        "destinationUrl": "https://local.dfs.core.windows.net/bronze/cmip6/new%20name.nc",
    });
    let event = Flow::event("BlobRenamed", "cmip6/new name.nc", &data);
    assert_eq!(flow.deliver(&event).await.status(), 200);
    assert_eq!(flow.state(YEAR).await, "gone");
    assert_eq!(flow.state("cmip6/new name.nc").await, "referenced");
}

/// Without a permit the event becomes a message at once; the message waits for one.
#[tokio::test]
async fn more_events_than_permits_end_in_the_queue() {
    let flow = Flow::with(|config| config.pipeline.files_in_flight = 1);
    let names: Vec<String> = (0..12).map(|n| format!("many/{n}_2000.nc")).collect();
    for name in &names {
        flow.land(name, 2000);
    }
    let batch: Vec<Value> = names
        .iter()
        .map(|name| Flow::event("BlobCreated", name, &json!({})))
        .collect();
    assert_eq!(flow.deliver(&json!(batch)).await.status(), 200);
    assert!(flow.drain().await > 0, "nothing was handed over");
    for name in &names {
        assert_eq!(flow.state(name).await, "referenced", "{name}");
    }
}

#[rstest]
#[case::not_json("/BlobEvent", "nonsense", 400)]
#[case::no_envelope("/BlobEvent", "[]", 400)]
#[case::no_event("/BlobEvent", r#"{"Data":{"event":7}}"#, 400)]
#[case::no_message("/ReferenceDue", r#"{"Data":{"msg":{"x":1}}}"#, 400)]
#[case::no_address(
    "/ReferenceDue",
    r#"{"Data":{"msg":{"blob_url":"file:///etc/passwd"}}}"#,
    400
)]
#[case::way_up(
    "/ReferenceDue",
    r#"{"Data":{"msg":{"blob_url":"abfs://bronze/../x.nc"}}}"#,
    400
)]
#[case::foreign(
    "/ReferenceDue",
    r#"{"Data":{"msg":{"blob_url":"abfs://bronze@other/x.nc"}}}"#,
    200
)]
#[case::unknown_function("/Nothing", "{}", 404)]
#[tokio::test]
async fn what_cannot_be_understood_is_refused(
    #[case] path: &str,
    #[case] body: &str,
    #[case] status: u16,
) {
    let flow = Flow::new();
    let answer = flow.send(path, body).await;
    assert_eq!(answer.status().as_u16(), status);
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert!(body.is_object(), "a null body would hang the invocation");
    assert_eq!(flow.drain().await, 0);
}

#[tokio::test]
async fn a_huge_body_is_refused() {
    let flow = Flow::new();
    let body = json!({"Data": {"event": "x".repeat(2 << 20)}});
    assert_eq!(flow.post("/BlobEvent", &body).await.status(), 413);
}
