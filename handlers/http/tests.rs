//! Requests to the whole app over folders and an embedded ledger.

mod approval;
mod backfill;
mod documented;
mod events;
mod flow;
mod openapi;
mod schema;
mod serving;
mod stac;
mod stage;
mod status_page;
mod submit;
mod sweep;
mod watched;

use rstest::rstest;
use serde_json::{Value, json};

use stage::Stage;

fn json_of(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

/// What the Zarr v2 specification says of the array that the stage publishes.
fn array_metadata() -> Value {
    json!({
        "zarr_format": 2, "shape": [6], "chunks": [2], "dtype": "|u1", "fill_value": 255, "order": "C",
        "filters": null, "compressor": null, "dimension_separator": ".",
    })
}

#[tokio::test]
async fn metadata_is_that_of_a_zarr_v2_store() {
    let stage = Stage::published().await;
    assert_eq!(
        json_of(stage.zarr(".zgroup").await.body()),
        json!({"zarr_format": 2})
    );
    assert_eq!(
        json_of(stage.zarr(".zattrs").await.body()),
        json!({"title": "numbers"})
    );
    assert_eq!(
        json_of(stage.zarr("v/.zarray").await.body()),
        array_metadata()
    );
    assert_eq!(
        json_of(stage.zarr("v/.zattrs").await.body()),
        json!({"_ARRAY_DIMENSIONS": ["x"], "units": "1"})
    );
    let consolidated = json_of(stage.zarr(".zmetadata").await.body());
    assert_eq!(consolidated["zarr_consolidated_format"], 1);
    assert_eq!(consolidated["metadata"]["v/.zarray"], array_metadata());
    assert_eq!(
        consolidated["metadata"][".zgroup"],
        json!({"zarr_format": 2})
    );
    assert_eq!(consolidated["metadata"].as_object().unwrap().len(), 6);
}

#[rstest]
#[case::in_the_first_file("v/0", 200, b"ab")]
#[case::in_the_second_file("v/1", 200, b"yz")]
#[case::inlined("x/0", 200, &[0, 1, 2, 3, 4, 5])]
#[tokio::test]
async fn a_chunk_is_its_stored_bytes(#[case] key: &str, #[case] status: u16, #[case] bytes: &[u8]) {
    let answer = Stage::published().await.zarr(key).await;
    assert_eq!(
        (answer.status().as_u16(), answer.body().as_ref()),
        (status, bytes)
    );
    assert_eq!(
        answer.headers()["cache-control"],
        "public, max-age=31536000, immutable"
    );
}

#[rstest]
#[case::not_stored("v/2")]
#[case::outside_the_grid("v/3")]
#[case::no_such_variable("w/0")]
#[case::version_3("zarr.json")]
#[case::version_3_of_an_array("v/zarr.json")]
#[case::no_folder_is_listed("v")]
#[case::root("")]
#[case::up("%2e%2e/%2e%2e/landfall.db")]
#[tokio::test]
async fn a_key_that_is_not_there_is_404(#[case] key: &str) {
    let answer = Stage::published().await.zarr(key).await;
    assert_eq!(answer.status(), 404);
    assert_eq!(json_of(answer.body())["error_type"], "NotFound");
    assert_eq!(answer.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn a_changed_source_takes_only_its_own_chunks_along() {
    let stage = Stage::published().await;
    std::fs::write(stage.bronze().join("b.nc"), b"another version").unwrap();
    let answer = stage.zarr("v/1").await;
    assert_eq!(answer.status(), 410);
    let reason = json_of(answer.body());
    assert_eq!(
        reason["error"],
        "the source file abfs://bronze/b.nc has changed since it was referenced"
    );
    assert_eq!(stage.request("HEAD", "v/1", &[]).await.status(), 410);
    std::fs::remove_file(stage.bronze().join("b.nc")).unwrap();
    assert_eq!(stage.zarr("v/1").await.status(), 410);
    for key in ["v/0", "x/0", ".zmetadata", "v/.zarray", "combined.json"] {
        assert_eq!(stage.zarr(key).await.status(), 200, "{key}");
    }
}

#[rstest]
#[case::unknown_release("/api/zarr/00000000000000000000000000000000/r1/.zmetadata")]
#[case::no_revision("/api/zarr/00000000000000000000000000000000/.zmetadata")]
#[tokio::test]
async fn what_was_never_published_is_410(#[case] path: &str) {
    let stage = Stage::published().await;
    let answer = stage.get(path).await;
    assert_eq!(
        (
            answer.status().as_u16(),
            &json_of(answer.body())["error_type"]
        ),
        (410, &json!("Gone"))
    );
}

#[tokio::test]
async fn another_revision_is_410() {
    let stage = Stage::published().await;
    let path = stage.path(".zmetadata").replace("/r1/", "/r2/");
    assert_eq!(stage.get(&path).await.status(), 410);
}

#[tokio::test]
async fn the_document_is_served_as_it_is_stored() {
    let stage = Stage::published().await;
    let answer = stage.zarr("combined.json").await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(
        answer.body().as_ref(),
        std::fs::read(stage.document()).unwrap()
    );
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let stage = Stage::published().await;
    for key in ["v/0", "x/0", ".zmetadata", "combined.json"] {
        let first = stage.zarr(key).await;
        let etag = first.headers()["etag"].to_str().unwrap().to_owned();
        assert!(
            etag.starts_with('"') && etag.ends_with('"'),
            "a strong entity tag: {etag}"
        );
        let again = stage.request("GET", key, &[("if-none-match", &etag)]).await;
        assert_eq!(
            (again.status().as_u16(), again.body().len()),
            (304, 0),
            "{key}"
        );
        assert_eq!(
            stage
                .request("GET", key, &[("if-none-match", "\"other\"")])
                .await
                .status(),
            200
        );
    }
    assert_ne!(
        stage.zarr("v/0").await.headers()["etag"],
        stage.zarr("v/1").await.headers()["etag"]
    );
}

#[rstest]
#[case("v/0", "2")]
#[case("x/0", "6")]
#[tokio::test]
async fn a_head_tells_the_length(#[case] key: &str, #[case] length: &str) {
    let answer = Stage::published().await.request("HEAD", key, &[]).await;
    assert_eq!((answer.status().as_u16(), answer.body().len()), (200, 0));
    assert_eq!(answer.headers()["content-length"], length);
}

#[tokio::test]
async fn a_range_of_a_chunk_is_sent_alone() {
    let answer = Stage::published()
        .await
        .request("GET", "x/0", &[("range", "bytes=2-3")])
        .await;
    assert_eq!(
        (answer.status().as_u16(), answer.body().as_ref()),
        (206, [2, 3].as_slice())
    );
    assert_eq!(answer.headers()["content-range"], "bytes 2-3/6");
}

#[tokio::test]
async fn what_is_not_public_needs_permission() {
    let stage = Stage::closed().await;
    let answer = stage.zarr(".zmetadata").await;
    assert_eq!(
        (
            answer.status().as_u16(),
            &json_of(answer.body())["error_type"]
        ),
        (401, &json!("Unauthorized"))
    );
    assert_eq!(
        stage
            .get(&stage.path("x").replace("/r1/", "/r9/"))
            .await
            .status(),
        410
    );
}

#[tokio::test]
async fn the_status_tells_the_story() {
    let stage = Stage::published().await;
    for id in [
        &stage.release_id,
        &stage.job_id,
        &stage.asset_id,
        &stage.request_id,
    ] {
        let answer = stage.get(&format!("/api/platform/status/{id}")).await;
        assert_eq!(answer.status(), 200);
        let story = json_of(answer.body());
        assert_eq!(story["job_status"], "completed");
        assert_eq!(story["progress"]["files"]["referenced"], 2);
        let zarr = format!("http://127.0.0.1:7071/api/zarr/{}/r1", stage.release_id);
        assert_eq!(story["outputs"]["zarr_url"], zarr);
        assert_eq!(
            story["outputs"]["reference_url"],
            format!("{zarr}/combined.json")
        );
        assert_eq!(story["outputs"]["container"], "silver");
        assert_eq!(story["versions"].as_array().unwrap().len(), 1);
    }
    let by_names = stage
        .get("/api/platform/status?dataset_id=numbers&resource_id=all")
        .await;
    assert_eq!(
        json_of(by_names.body())["release"]["release_id"],
        json!(stage.release_id)
    );
}

#[tokio::test]
async fn a_release_shows_its_item() {
    let stage = Stage::published().await;
    let answer = stage
        .get(&format!("/api/releases/{}", stage.release_id))
        .await;
    assert_eq!(
        json_of(answer.body())["release"]["stac_item_json"]["id"],
        "numbers-all-ord1"
    );
    let all = json_of(stage.get("/api/releases").await.body());
    assert_eq!(
        (&all["count"], &all["releases"][0]["release_id"]),
        (&json!(1), &json!(stage.release_id))
    );
}

#[tokio::test]
async fn a_job_shows_its_stages() {
    let stage = Stage::published().await;
    let job = json_of(
        stage
            .get(&format!("/api/jobs/status/{}", stage.job_id))
            .await
            .body(),
    );
    assert_eq!(
        (&job["jobId"], &job["status"]),
        (&json!(stage.job_id), &json!("completed"))
    );
    assert_eq!(
        job["taskSummary"]["byStage"]["2"]["completed"], 2,
        "two files were validated"
    );
    let tasks = json_of(
        stage
            .get(&format!("/api/dbadmin/tasks/{}", stage.job_id))
            .await
            .body(),
    );
    let types: Vec<&str> = tasks["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|t| t["task_type"].as_str())
        .collect();
    assert_eq!(types.first(), Some(&"scan"));
    assert_eq!(types.last(), Some(&"register_stac"));
}

fn body(source_url: &str) -> Value {
    json!({"dataset_id": "era5", "resource_id": "global", "data_type": "zarr", "source_url": source_url})
}

#[tokio::test]
async fn a_submission_is_accepted_once() {
    let stage = Stage::published().await;
    let mut submission = body("abfs://bronze/era5/");
    submission["processing_options"] = json!({"expected": {"count": 12}});
    let first = stage.post("/api/platform/submit", &submission).await;
    assert_eq!(first.status(), 202, "{:?}", first.body());
    let first = json_of(first.body());
    // printf 'era5|global' | sha256sum | cut -c-32
    assert_eq!(first["request_id"], "cde392289346e998880163825577fdc7");
    assert_eq!(
        (&first["job_type"], &first["status"]),
        (&json!("virtualzarr"), &json!("queued"))
    );
    let second = stage.post("/api/platform/submit", &submission).await;
    assert_eq!(second.status(), 200);
    assert_eq!(json_of(second.body())["job_id"], first["job_id"]);
    let running = stage
        .get(&format!(
            "/api/platform/status/{}",
            first["release_id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        (running.status().as_u16(), &running.headers()["retry-after"]),
        (202, &"5".parse().unwrap())
    );
    assert_eq!(json_of(running.body())["progress"]["files"]["expected"], 12);
    submission["processing_options"] = json!({"expected": {"count": 13}});
    let other = stage.post("/api/platform/submit", &submission).await;
    assert_eq!(
        (
            other.status().as_u16(),
            &json_of(other.body())["error_type"]
        ),
        (409, &json!("ReleaseExistsError"))
    );
}

#[tokio::test]
async fn a_dry_run_leaves_nothing_behind() {
    let stage = Stage::published().await;
    let answer = stage
        .post(
            "/api/platform/submit?dry_run=true",
            &body("abfs://bronze/era5/"),
        )
        .await;
    assert_eq!(
        (
            answer.status().as_u16(),
            &json_of(answer.body())["would_create_job_type"]
        ),
        (200, &json!("virtualzarr"))
    );
    let status = stage
        .get("/api/platform/status?dataset_id=era5&resource_id=global")
        .await;
    assert_eq!(status.status(), 404);
}

#[rstest]
#[case::not_json(json!("text"), "JSON object")]
#[case::unknown_field(json!({"dataset_id": "a", "resource_id": "b", "color": 1}), "unknown field `color`")]
#[case::unknown_option(json!({"dataset_id": "a", "processing_options": {"speed": 1}}), "`processing_options.speed`")]
#[case::no_dataset(json!({"resource_id": "b"}), "missing field `dataset_id`")]
#[case::bad_name(json!({"dataset_id": "../a", "resource_id": "b", "source_url": "abfs://bronze/"}), "dataset_id")]
#[case::no_source(json!({"dataset_id": "a", "resource_id": "b"}), "source_url")]
#[case::no_container(body("abfs://nowhere/x/"), "Container does not exist")]
#[case::container_of_ours(body("abfs://silver/refs/"), "`silver` is not allowed")]
#[case::foreign_account(
    body("abfs://bronze@other.dfs.core.windows.net/x/"),
    "`other` is not allowed"
)]
#[case::file_url(body("file:///etc/"), "source_url")]
#[tokio::test]
async fn a_bad_submission_is_refused(#[case] body: Value, #[case] message: &str) {
    let answer = Stage::published()
        .await
        .post("/api/platform/submit", &body)
        .await;
    let envelope = json_of(answer.body());
    assert_eq!(
        (answer.status().as_u16(), &envelope["error_type"]),
        (400, &json!("ValidationError"))
    );
    assert!(
        envelope["error"].as_str().unwrap().contains(message),
        "{envelope}"
    );
    if message.contains("unknown field") {
        assert!(
            envelope["valid_parameters"]
                .as_array()
                .unwrap()
                .contains(&json!("source_url"))
        );
    }
}

#[tokio::test]
async fn a_body_above_the_cap_is_413() {
    let stage = Stage::published().await;
    let mut large = body("abfs://bronze/x/");
    large["description"] = json!("x".repeat(4 << 20));
    let answer = stage.post("/api/platform/submit", &large).await;
    assert_eq!(
        (
            answer.status().as_u16(),
            &json_of(answer.body())["error_type"]
        ),
        (413, &json!("ValidationError"))
    );
}

#[rstest]
#[case("GET", "/", 200)]
#[case("GET", "/api/livez", 200)]
#[case("GET", "/api/readyz", 200)]
#[case("GET", "/api/health", 200)]
#[case("GET", "/api/nothing", 404)]
#[case("GET", "/api/platform/status/unknown", 404)]
#[case("GET", "/api/releases/unknown", 404)]
#[case("GET", "/api/platform/status", 400)]
#[case("GET", "/api/jobs/status/12", 400)]
#[case("PUT", "/api/platform/submit", 405)]
#[tokio::test]
async fn every_request_has_its_answer(
    #[case] method: &str,
    #[case] path: &str,
    #[case] status: u16,
) {
    let answer = Stage::published().await.send(method, path, &[], "").await;
    assert_eq!(answer.status().as_u16(), status, "{:?}", answer.body());
    let body = json_of(answer.body());
    assert_eq!(body.get("error_type").is_some(), status >= 400);
}
