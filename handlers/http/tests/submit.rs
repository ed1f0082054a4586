//! The submit decision matrix over HTTP, and what status, job and tasks tell then.

use std::sync::Arc;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use warp::http::Response;

use super::flow::Flow;
use crate::http::routes;

const STATUS: &str = "/api/platform/status?dataset_id=tas&resource_id=demo";

/// The demo series in `cmip6/`, with further fields.
fn body(more: &Value) -> Value {
    let mut body =
        json!({"dataset_id": "tas", "resource_id": "demo", "source_url": "abfs://bronze/cmip6/"});
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

fn options(options: &Value) -> Value {
    body(&json!({"processing_options": options}))
}

async fn submit(flow: &Flow, body: &Value) -> (u16, Value) {
    read(flow.post("/api/platform/submit", body).await)
}

async fn get(flow: &Flow, path: &str) -> (u16, Value) {
    let request = warp::test::request().path(path);
    let answer = request.reply(&routes(Arc::clone(&flow.app))).await;
    super::openapi::check("GET", path, &answer);
    read(answer)
}

fn read(answer: Response<bytes::Bytes>) -> (u16, Value) {
    let document = serde_json::from_slice(answer.body()).unwrap();
    (answer.status().as_u16(), document)
}

/// A flow with two years of the demo series in `cmip6/`.
fn with_files() -> Flow {
    let flow = Flow::new();
    flow.land("cmip6/demo_2000.nc", 2000);
    flow.land("cmip6/demo_2001.nc", 2001);
    flow
}

#[tokio::test]
async fn a_submit_of_what_is_there_runs_at_once_and_its_repetition_does_not() {
    let flow = with_files();
    let (code, first) = submit(&flow, &body(&json!({}))).await;
    assert_eq!(code, 202, "{first}");
    assert_eq!(
        (&first["operation"], &first["status"]),
        (&json!("created"), &json!("queued"))
    );
    flow.drain().await;
    let (code, story) = get(&flow, STATUS).await;
    assert_eq!(
        (code, &story["job_status"]),
        (200, &json!("completed")),
        "{story}"
    );
    assert_eq!(story["outputs"]["result"]["source_files"], 2);
    assert_eq!(story["services"], Value::Null, "nothing is approved yet");
    assert_eq!(story["approval"]["release_id"], first["release_id"]);
    // A file that lands later was not asked for, and does not make the same submit another one.
    flow.land("cmip6/demo_2002.nc", 2002);
    let (code, again) = submit(&flow, &body(&json!({}))).await;
    assert_eq!(
        (code, &again["operation"]),
        (200, &json!("repeated")),
        "{again}"
    );
    for id in ["job_id", "release_id", "asset_id", "request_id"] {
        assert_eq!(again[id], first[id], "{id}");
    }
    flow.drain().await;
    let (_, story) = get(&flow, STATUS).await;
    assert_eq!(story["release"]["revision"], 1, "no second run: {story}");
}

#[tokio::test]
async fn a_submit_of_nothing_waits_for_the_first_file() {
    let flow = Flow::new();
    let (code, reply) = submit(&flow, &body(&json!({}))).await;
    assert_eq!(code, 202);
    let warning = reply["warnings"][0].as_str().unwrap();
    assert!(warning.contains("PT10M"), "{warning}");
    assert_eq!(flow.drain().await, 0);
    let (code, story) = get(&flow, STATUS).await;
    assert_eq!(
        (code, &story["progress"]["stage"]),
        (202, &json!("collecting files"))
    );
    flow.land("cmip6/demo_2000.nc", 2000);
    flow.announce("cmip6/demo_2000.nc").await;
    let (_, story) = get(&flow, STATUS).await;
    assert!(story["progress"]["quiet_until"].is_string(), "{story}");
}

// What comes of a submit while the one before is pending, by what differs.
#[rstest]
#[case::an_option(options(&json!({"missing": "fill"})), 409, "ReleaseExistsError", "`missing` is \"refuse\", not \"fill\"")]
#[case::a_place(body(&json!({"source_url": "abfs://bronze/other/"})), 409, "ReleaseExistsError", "`source_url`")]
#[case::a_title(body(&json!({"title": "Another"})), 409, "ReleaseExistsError", "`title`")]
#[case::tags(body(&json!({"tags": ["x"]})), 409, "ReleaseExistsError", "`tags`")]
#[case::a_version(body(&json!({"version_id": "v2"})), 409, "ReleaseStateError", "still pending_review")]
#[case::a_version_after_none(body(&json!({"version_id": "v2", "previous_version_id": "v1",
    "processing_options": {"overwrite": true}})), 409, "VersionConflict", "no version is approved yet")]
#[tokio::test]
async fn a_contradiction_is_409_and_names_what_differs(
    #[case] second: Value,
    #[case] status: u16,
    #[case] error_type: &str,
    #[case] message: &str,
) {
    let flow = Flow::new();
    let (_, first) = submit(&flow, &body(&json!({}))).await;
    for dry_run in ["", "?dry_run=true"] {
        let path = format!("/api/platform/submit{dry_run}");
        let (code, refused) = read(flow.post(&path, &second).await);
        assert_eq!(
            (code, &refused["error_type"]),
            (status, &json!(error_type)),
            "{refused}"
        );
        assert!(
            refused["error"].as_str().unwrap().contains(message),
            "{refused}"
        );
        let existing = &refused["existing_release"];
        assert_eq!(existing["release_id"], first["release_id"]);
        assert_eq!(existing["approval_state"], "pending_review");
    }
}

#[tokio::test]
async fn an_overwrite_makes_the_next_revision_of_the_same_release() {
    let flow = with_files();
    let (_, first) = submit(&flow, &body(&json!({}))).await;
    flow.drain().await;
    let other = options(&json!({"overwrite": true, "collection_id": "chosen"}));
    let (code, second) = submit(&flow, &other).await;
    assert_eq!(
        (code, &second["operation"]),
        (202, &json!("overwritten")),
        "{second}"
    );
    assert_eq!(second["release_id"], first["release_id"]);
    assert_ne!(second["job_id"], first["job_id"]);
    flow.drain().await;
    let (_, story) = get(&flow, STATUS).await;
    assert_eq!(
        (&story["release"]["revision"], &story["job_status"]),
        (&json!(2), &json!("completed"))
    );
    assert_eq!(story["outputs"]["stac_collection_id"], "chosen");
    let (_, old) = get(
        &flow,
        &format!("/api/jobs/status/{}", first["job_id"].as_str().unwrap()),
    )
    .await;
    assert_eq!(old["status"], "completed", "the job before stays: {old}");
}

#[tokio::test]
async fn a_dry_run_foresees_what_a_submit_then_does() {
    let flow = with_files();
    let (code, foreseen) = read(
        flow.post("/api/platform/submit?dry_run=true", &body(&json!({})))
            .await,
    );
    assert_eq!(
        (code, &foreseen["file_count"]),
        (200, &json!(2)),
        "{foreseen}"
    );
    assert_eq!(get(&flow, STATUS).await.0, 404);
    let (_, done) = submit(&flow, &body(&json!({}))).await;
    for id in [
        "job_id",
        "release_id",
        "asset_id",
        "request_id",
        "operation",
    ] {
        assert_eq!(foreseen[id], done[id], "{id}");
    }
}

#[tokio::test]
async fn fifty_submits_at_once_make_one_release_and_one_job() {
    let flow = with_files();
    let body = body(&json!({}));
    let all = (0..50).map(|_| submit(&flow, &body));
    let answers = futures_util::future::join_all(all).await;
    let accepted = answers.iter().filter(|(code, _)| *code == 202).count();
    let repeated = answers.iter().filter(|(code, _)| *code == 200).count();
    assert_eq!((accepted, repeated), (1, 49));
    let (_, one) = &answers[0];
    assert!(
        answers
            .iter()
            .all(|(_, answer)| answer["job_id"] == one["job_id"])
    );
    flow.drain().await;
    let (_, story) = get(&flow, STATUS).await;
    assert_eq!(story["versions"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&story["release"]["revision"], &story["progress"]["attempt"]),
        (&json!(1), &json!(1))
    );
}

#[rstest]
#[case::count(json!({"count": 2}), true)]
#[case::more(json!({"count": 3}), false)]
#[case::files(json!({"files": ["demo_2000.nc", "demo_2001.nc"]}), true)]
#[case::one_missing(json!({"files": ["demo_2000.nc", "demo_2002.nc"]}), false)]
#[case::time_range(json!({"time_range": ["2000-01-01", "2001-12-16"]}), true)]
#[case::a_longer_range(json!({"time_range": ["2000-01-01", "2002-12-16"]}), false)]
#[case::quiet(json!({"quiet_period": "PT0S"}), true)]
#[case::not_quiet_yet(json!({"quiet_period": "PT1H"}), false)]
#[tokio::test]
async fn a_series_is_complete_when_it_was_said_to_be(#[case] expected: Value, #[case] runs: bool) {
    let flow = with_files();
    submit(&flow, &options(&json!({"expected": expected}))).await;
    flow.drain().await;
    let (code, story) = get(&flow, STATUS).await;
    assert_eq!(
        (code, story["job_status"] == "completed"),
        (if runs { 200 } else { 202 }, runs),
        "{story}"
    );
}

#[tokio::test]
async fn the_platforms_own_shape_names_container_and_files() {
    let flow = with_files();
    let platform = json!({
        "dataset_id": "tas", "resource_id": "demo", "operation": "CREATE", "container_name": "bronze",
        "file_name": ["cmip6/demo_2000.nc", "cmip6/demo_2001.nc"], "access_level": "OUO", "client_id": "ddh",
        "tags": ["monthly"], "description": "made up", "title": "Demo",
        "processing_options": {"expected_data_type": "zarr", "collection_id": null},
    });
    let (code, reply) = submit(&flow, &platform).await;
    assert_eq!(code, 202, "{reply}");
    flow.drain().await;
    assert_eq!(get(&flow, STATUS).await.1["job_status"], "completed");
}

#[rstest]
#[case::too_many(json!({"max_files": 1}), "2 files were found, more than 1")]
#[case::unknown(json!({"zarr_format": 3}), "unknown field `processing_options.zarr_format`")]
#[case::another_pipeline(json!({"pipeline": "ingest_zarr"}), "writes the data anew")]
#[tokio::test]
async fn an_option_that_cannot_be_kept_is_400(#[case] given: Value, #[case] message: &str) {
    let flow = with_files();
    let (code, refused) = submit(&flow, &options(&given)).await;
    assert_eq!(
        (code, &refused["error_type"]),
        (400, &json!("ValidationError"))
    );
    assert!(
        refused["error"].as_str().unwrap().contains(message),
        "{refused}"
    );
    assert_eq!(get(&flow, STATUS).await.0, 404, "nothing is left behind");
}

#[tokio::test]
async fn a_pattern_chooses_among_the_files() {
    let flow = with_files();
    flow.land("cmip6/other_2002.nc", 2002);
    submit(&flow, &options(&json!({"file_pattern": "demo_*.nc"}))).await;
    flow.drain().await;
    let (_, story) = get(&flow, STATUS).await;
    assert_eq!(story["outputs"]["result"]["source_files"], 2, "{story}");
}

#[tokio::test]
async fn a_file_at_fault_fails_the_job_says_which_and_how_to_go_on() {
    let flow = with_files();
    flow.land_bytes("cmip6/demo_2002.nc", b"this is no NetCDF file");
    let (_, first) = submit(&flow, &body(&json!({}))).await;
    flow.drain().await;
    let (code, story) = get(&flow, STATUS).await;
    assert_eq!(
        (code, &story["job_status"]),
        (200, &json!("failed")),
        "{story}"
    );
    let error = &story["error"];
    assert_eq!(
        (&error["user_fixable"], &error["category"]),
        (&json!(true), &json!("input"))
    );
    assert_eq!(error["files"][0]["url"], "abfs://bronze/cmip6/demo_2002.nc");
    assert!(!error["remediation"].as_str().unwrap().is_empty());
    assert_eq!(story["outputs"], Value::Null, "nothing is committed");
    assert!(!flow.path("silver/refs/combined").exists());
    let job = first["job_id"].as_str().unwrap();
    let (_, told) = get(&flow, &format!("/api/dbadmin/tasks/{job}")).await;
    let failed: Vec<_> = told["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|task| task["status"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1, "{told}");
    assert_eq!(
        (
            &failed[0]["task_type"],
            &failed[0]["error_type"],
            &failed[0]["result_data"]["nc_url"]
        ),
        (
            &json!("validate"),
            &json!("not_netcdf"),
            &json!("abfs://bronze/cmip6/demo_2002.nc")
        )
    );
    let (_, job) = get(&flow, &format!("/api/jobs/status/{job}?verbose=true")).await;
    assert_eq!(
        (&job["status"], &job["taskSummary"]["failed"]),
        (&json!("failed"), &json!(1))
    );
    assert_eq!(job["taskSummary"]["tasks"].as_array().unwrap().len(), 9);
    // A repetition queues the job again; with a good copy in its place the job ends well.
    flow.land("cmip6/demo_2002.nc", 2002);
    let (code, again) = submit(&flow, &body(&json!({}))).await;
    assert_eq!(
        (code, &again["operation"], &again["attempt"]),
        (202, &json!("requeued"), &json!(2))
    );
    assert_eq!(again["job_id"], first["job_id"]);
    flow.drain().await;
    let (_, story) = get(&flow, STATUS).await;
    assert_eq!(
        (&story["job_status"], &story["error"]),
        (&json!("completed"), &Value::Null),
        "{story}"
    );
}

#[tokio::test]
async fn a_job_and_its_tasks_are_told_from_the_first_file_on() {
    let flow = Flow::new();
    let (_, reply) = submit(&flow, &options(&json!({"expected": {"count": 2}}))).await;
    let job = reply["job_id"].as_str().unwrap();
    flow.land("cmip6/demo_2000.nc", 2000);
    flow.announce("cmip6/demo_2000.nc").await;
    let (_, told) = get(&flow, &format!("/api/dbadmin/tasks/{job}")).await;
    let task = |kind: &str| {
        let tasks = told["tasks"].as_array().unwrap();
        tasks
            .iter()
            .find(|task| task["task_type"] == kind)
            .unwrap()
            .clone()
    };
    assert_eq!(task("scan")["status"], "processing");
    assert_eq!(
        task("scan")["result_data"]["nc_files"],
        json!(["abfs://bronze/cmip6/demo_2000.nc"])
    );
    assert_eq!(task("generate_ref")["status"], "completed");
    assert!(task("generate_ref")["execution_time_ms"].is_u64(), "{told}");
    flow.land("cmip6/demo_2001.nc", 2001);
    flow.announce("cmip6/demo_2001.nc").await;
    flow.drain().await;
    let (_, told) = get(&flow, &format!("/api/dbadmin/tasks/{job}")).await;
    let tasks = told["tasks"].as_array().unwrap();
    assert!(
        tasks.iter().all(|task| task["status"] == "completed"),
        "{told}"
    );
    assert!(
        tasks
            .iter()
            .all(|task| task["execution_started_at"].is_string()),
        "{told}"
    );
    let (_, brief) = get(&flow, &format!("/api/jobs/status/{job}")).await;
    assert_eq!(brief["taskSummary"]["tasks"], Value::Null);
    assert_eq!(
        (&brief["stage"], &brief["totalStages"]),
        (&json!(5), &json!(5))
    );
    assert_eq!(brief["resultData"]["source_files"], 2);
    let full = get(&flow, &format!("{STATUS}&detail=full")).await.1;
    assert_eq!(full["detail"]["taskSummary"]["total"], 7);
}

/// A file that one declaration rejects is read again for the next, which asks for less.
#[tokio::test]
async fn what_was_rejected_is_read_again_by_other_options() {
    let flow = Flow::new();
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read(
        fixture
            .join("tests/fixtures/cmip6")
            .join("tas_Amon_DEMO-ESM_historical_r1i1p1f1_gn_200001-200012.nc"),
    );
    flow.land_bytes("cmip6/demo_2000.nc", b"not yet whole");
    submit(&flow, &options(&json!({"expected": {"count": 1}}))).await;
    flow.drain().await;
    assert_eq!(flow.state("cmip6/demo_2000.nc").await, "rejected");
    let (_, reply) = submit(
        &flow,
        &options(&json!({"expected": {"count": 1}, "overwrite": true})),
    )
    .await;
    assert_eq!(reply["operation"], "overwritten", "{reply}");
    assert_eq!(flow.state("cmip6/demo_2000.nc").await, "landed");
    flow.land_bytes("cmip6/demo_2000.nc", &file.unwrap());
    flow.drain().await;
    assert_eq!(get(&flow, STATUS).await.1["job_status"], "completed");
}

/// Whichever of the two is first: the options count for files that are being read while they come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_series_declared_while_its_files_are_read_has_them_read_by_its_options() {
    let flow = Flow::new();
    for number in 0..20 {
        let name = format!("s{number}/demo_2000.nc");
        flow.land(&name, 2000);
        let body = json!({
            "dataset_id": "tas", "resource_id": format!("s{number}"), "source_url": format!("abfs://bronze/s{number}/"),
            "processing_options": {"expected": {"count": 1}, "inline_max_bytes": 8},
        });
        let declared = async {
            tokio::time::sleep(Duration::from_millis(number)).await;
            submit(&flow, &body).await.0
        };
        let ((), code) = tokio::join!(flow.announce(&name), declared);
        assert_eq!(code, 202);
        flow.drain().await;
        let reference = format!("silver/refs/files/local/bronze/s{number}/demo_2000.json");
        let reference = std::fs::read(flow.path(&reference)).unwrap();
        let reference: Value = serde_json::from_slice(&reference).unwrap();
        let latitudes = &reference["refs"]["lat/0"];
        assert!(latitudes.is_array(), "{number}: {latitudes} is inlined");
    }
}

#[tokio::test]
async fn after_an_approval_a_new_version_is_the_next_release() {
    let flow = with_files();
    let (_, first) = submit(&flow, &body(&json!({}))).await;
    flow.drain().await;
    let approve =
        json!({"release_id": first["release_id"], "reviewer": "A", "clearance_state": "public"});
    let (code, approved) = read(flow.post("/api/platform/approve", &approve).await);
    assert_eq!(
        (code, &approved["version_id"]),
        (200, &json!("v1")),
        "{approved}"
    );
    let (_, story) = get(&flow, STATUS).await;
    let item = "http://127.0.0.1:7071/api/stac/collections/tas/items/tas-demo-v1";
    assert_eq!(story["services"]["stac_item"], item, "{story}");
    assert_eq!(story["approval"], Value::Null);
    assert_eq!(
        submit(&flow, &body(&json!({}))).await.0,
        200,
        "the same is the same"
    );
    for (fields, error_type) in [
        (
            json!({"processing_options": {"overwrite": true}}),
            "ReleaseStateError",
        ),
        (json!({"version_id": "v1"}), "VersionConflict"),
        (
            json!({"version_id": "v3", "previous_version_id": "v2"}),
            "VersionConflict",
        ),
        (json!({"title": "Another"}), "ReleaseExistsError"),
    ] {
        let (code, refused) = submit(&flow, &body(&fields)).await;
        assert_eq!(
            (code, &refused["error_type"]),
            (409, &json!(error_type)),
            "{refused}"
        );
        assert_eq!(refused["existing_release"]["version_id"], "v1");
    }
    let next = body(&json!({"version_id": "v2", "previous_version_id": "v1"}));
    let (code, second) = submit(&flow, &next).await;
    assert_eq!(
        (code, &second["operation"]),
        (202, &json!("new_version")),
        "{second}"
    );
    assert_eq!(second["version_ordinal"], 2);
    assert_ne!(second["release_id"], first["release_id"]);
    flow.drain().await;
    let (_, story) = get(&flow, STATUS).await;
    let versions = story["versions"].as_array().unwrap();
    let told: Vec<_> = versions
        .iter()
        .map(|one| (&one["version_ordinal"], &one["approval_state"]))
        .collect();
    let (pending, approved) = (json!("pending_review"), json!("approved"));
    assert_eq!(told, [(&json!(2), &pending), (&json!(1), &approved)]);
    assert_eq!(story["release"]["previous_release_id"], first["release_id"]);
}
