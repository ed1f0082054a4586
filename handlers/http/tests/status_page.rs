//! The status page and what it asks for.

use std::sync::Arc;

use bytes::Bytes;
use rstest::rstest;
use serde_json::{Value, json};
use warp::http::Response;

use super::flow::Flow;
use super::stage::Stage;
use super::{json_of, openapi};

const OVERVIEW: &str = "/api/status/overview";

fn header<'a>(answer: &'a Response<Bytes>, name: &str) -> &'a str {
    answer.headers()[name].to_str().unwrap()
}

/// The series of a section.
fn series<'a>(overview: &'a Value, section: &str) -> &'a [Value] {
    let sections = overview["sections"].as_array().unwrap();
    let found = sections.iter().find(|one| one["section"] == section);
    found.unwrap()["series"].as_array().unwrap()
}

#[tokio::test]
async fn the_page_may_do_nothing_but_what_it_was_written_for() {
    let answer = Stage::closed().await.get("/api/status").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
    assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
    let policy = header(&answer, "content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "`{part}` is missing in {policy}");
    }
    assert!(
        !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    let page = String::from_utf8_lossy(answer.body());
    assert!(
        !page.contains("https:") && !page.contains("style=\""),
        "nothing from elsewhere"
    );
}

#[rstest]
#[case::page("/api/status")]
#[case::overview(OVERVIEW)]
#[tokio::test]
async fn what_a_browser_has_is_not_sent_again(#[case] path: &str) {
    let stage = Stage::closed().await;
    let first = stage.get(path).await;
    let etag = header(&first, "etag");
    assert_eq!(header(&first, "cache-control"), "private, no-cache");
    let again = stage
        .send("GET", path, &[("if-none-match", etag)], "")
        .await;
    assert_eq!((again.status().as_u16(), again.body().len()), (304, 0));
    assert_eq!(header(&again, "etag"), etag);
    let other = [("if-none-match", "\"other\"")];
    assert_eq!(stage.send("GET", path, &other, "").await.status(), 200);
}

#[tokio::test]
async fn the_overview_is_another_when_something_happened() {
    let stage = Stage::published().await;
    let first = stage.get(OVERVIEW).await;
    stage.decide("approved", "public");
    let second = stage.get(OVERVIEW).await;
    assert_ne!(header(&first, "etag"), header(&second, "etag"));
    let (first, second) = (json_of(first.body()), json_of(second.body()));
    assert_eq!(series(&first, "review")[0]["release"]["can_review"], true);
    assert_eq!(
        series(&second, "published")[0]["release"]["can_review"],
        false
    );
}

#[tokio::test]
async fn whoever_may_not_read_a_store_is_told_so_beside_its_address() {
    for (stage, is_open) in [
        (Stage::closed().await, false),
        (Stage::published().await, true),
    ] {
        let overview = json_of(stage.get(OVERVIEW).await.body());
        let dataset = &series(&overview, "review")[0]["dataset"];
        assert_eq!(dataset["is_open"], is_open);
        let address = format!("http://127.0.0.1:7071/api/zarr/{}/r1", stage.release_id);
        assert_eq!(dataset["zarr_url"], address);
    }
}

#[rstest]
#[case::unknown("?limit=3", "unknown parameter `limit`")]
#[case::no_section("?section=all", "section is none of those that there are")]
#[tokio::test]
async fn what_the_overview_does_not_know_is_refused(#[case] query: &str, #[case] message: &str) {
    let stage = Stage::published().await;
    let answer = stage.get(&format!("{OVERVIEW}{query}")).await;
    let told = json_of(answer.body());
    assert_eq!(
        (answer.status().as_u16(), &told["error"]),
        (400, &json!(message))
    );
    let with_key = stage
        .get(&format!("{OVERVIEW}?code=k&search=numbers&section=review"))
        .await;
    assert_eq!(series(&json_of(with_key.body()), "review").len(), 1);
}

/// The demo series, from its first file to a picture of it.
#[tokio::test]
async fn a_series_is_told_from_its_first_file_to_its_picture() {
    let flow = Flow::new();
    let name = "cmip6/<img src=x onerror=alert(1)>.nc";
    flow.land("cmip6/2000.nc", 2000);
    flow.land_bytes(name, b"no NetCDF");
    flow.submit(&json!({"count": 3})).await;
    flow.drain().await;
    let overview = flow.get(OVERVIEW).await;
    let [told] = series(&overview, "attention") else {
        panic!("{overview:#}")
    };
    let counts = json!({"expected": 3, "arrived": 2, "referenced": 1, "waiting": 0, "rejected": 1, "failed": 0, "gone": 0});
    for (name, count) in counts.as_object().unwrap() {
        assert_eq!(&told["progress"][name], count, "{name}");
    }
    let file = &told["files_at_fault"][0];
    assert_eq!(file["url"], format!("abfs://bronze/{name}"));
    assert_eq!(file["fault"]["code"], "not_netcdf");
    assert_eq!(file["fault"]["remediation"], "upload a NetCDF or HDF5 file");
    assert_eq!(told["dataset"], Value::Null);
    // Good copies land: the third year and the second.
    flow.land(name, 2002);
    flow.announce(name).await;
    flow.land("cmip6/2001.nc", 2001);
    flow.announce("cmip6/2001.nc").await;
    flow.drain().await;
    let overview = flow.get(OVERVIEW).await;
    let [told] = series(&overview, "review") else {
        panic!("{overview:#}")
    };
    assert_eq!(
        (&told["fault"], &told["files_at_fault"]),
        (&Value::Null, &json!([]))
    );
    let coverage = &told["coverage"];
    assert_eq!(coverage["parts"], json!([[0.0, 1.0]]));
    assert_eq!(coverage["start"], "2000-01-16T12:00:00Z");
    let look = &told["dataset"]["quicklook"];
    assert_eq!(
        (&look["variable"], &look["unit"]),
        (&json!("tas"), &json!("K"))
    );
    let path = format!("/api/status/{}", look["picture"].as_str().unwrap());
    let picture = ask(&flow, &path, &[]).await;
    assert_eq!(header(&picture, "content-type"), "image/png");
    assert!(picture.body().starts_with(b"\x89PNG"));
    assert!(header(&picture, "cache-control").starts_with("private"));
    let etag = header(&picture, "etag").to_owned();
    assert_eq!(
        ask(&flow, &path, &[("if-none-match", &etag)])
            .await
            .status(),
        304
    );
    let (code, _) = flow
        .ask("GET", &format!("{path}1"), &[], &Value::Null)
        .await;
    assert_eq!(code, 410, "there is no such revision");
}

async fn ask(flow: &Flow, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
    let mut request = warp::test::request().path(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request
        .reply(&crate::http::routes(Arc::clone(&flow.app)))
        .await;
    openapi::check("GET", path, &answer);
    answer
}

#[tokio::test]
async fn a_dataset_without_a_map_has_no_picture() {
    let stage = Stage::published().await;
    let path = format!("/api/status/picture/{}/r1", stage.release_id);
    assert_eq!(stage.get(&path).await.status(), 404);
    stage.decide("rejected", "uncleared");
    assert_eq!(stage.get(&path).await.status(), 410);
}

/// A browser that opens a page has its key in the address; everything else is asked for with the header.
#[rstest]
#[case::page("/api/status?code=a%20key", None, 200)]
#[case::page_by_header("/api/status", Some("a key"), 200)]
#[case::page_without("/api/status", None, 401)]
#[case::page_with_another("/api/status?code=other", None, 401)]
#[case::overview(OVERVIEW, Some("a key"), 200)]
#[case::overview_by_address("/api/status/overview?code=a%20key", None, 401)]
#[case::picture("/api/status/picture/0/r1", None, 401)]
#[tokio::test]
async fn a_server_of_its_own_asks_for_its_key(
    #[case] path: &str,
    #[case] key: Option<&str>,
    #[case] status: u16,
) {
    let stage = Stage::with(|config| config.http.api_key = Some(String::from("a key"))).await;
    let mut request = warp::test::request().path(path);
    if let Some(key) = key {
        request = request.header("x-functions-key", key);
    }
    let answer = request
        .reply(&crate::http::standalone_routes(stage.app()))
        .await;
    assert_eq!(answer.status(), status);
}

#[tokio::test]
async fn a_server_without_a_key_shows_nobody_the_page() {
    let stage = Stage::closed().await;
    let routes = crate::http::standalone_routes(stage.app());
    let answer = warp::test::request()
        .path("/api/status?code=")
        .reply(&routes)
        .await;
    assert_eq!(answer.status(), 404);
}

/// Ten thousand series of five files beside the one of the stage, a quarter of them in each of four states.
const MANY: &str = "
    CREATE TEMP TABLE n AS
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
        SELECT i, printf('%032d', i) AS id FROM n;
    INSERT INTO app_assets (asset_id, dataset_id, resource_id, platform_refs, created_at, updated_at)
        SELECT n.id, 'series', 'no-' || i, platform_refs, created_at, updated_at FROM n, app_assets;
    INSERT INTO app_asset_releases (release_id, asset_id, version_ordinal, job_id, blob_path, stac_item_json,
            processing_status, created_at, updated_at)
        SELECT n.id, n.id, 1, job_id, blob_path, stac_item_json, processing_status, created_at, updated_at
        FROM n, app_asset_releases;
    INSERT INTO landfall_source_group (id, asset_id, release_id, job_id, origin, account, container, prefix,
            declaration, state, generation, fault, created_at, updated_at)
        SELECT n.id, n.id, n.id, job_id, origin, account, container, 'many/' || i || '/', declaration,
            CASE i % 4 WHEN 0 THEN 'collecting' WHEN 1 THEN 'blocked' WHEN 2 THEN 'due' ELSE 'combined' END,
            1, CASE i % 4 WHEN 1 THEN json_object('code', 'x', 'message', printf('%.2000c', 'm')) END,
            created_at, updated_at
        FROM n, landfall_source_group;
    INSERT INTO landfall_source_file (account, container, blob, etag, size, state, span, landed_at, updated_at)
        SELECT account, container, 'many/' || i || '/' || five.value || '.nc', etag, 1000, 'referenced',
            json_object('first', five.value * 100, 'last', five.value * 100 + 50, 'largest_step', 10,
                        'calendar', 'standard', 'start', '', 'end', ''), landed_at, updated_at
        FROM n, json_each('[0, 1, 2, 3, 4]') five, landfall_source_file WHERE blob = 'a.nc';
    INSERT INTO landfall_group_member (group_id, file_id)
        SELECT n.id, f.id FROM n JOIN landfall_source_file f ON f.account = 'local' AND f.container = 'bronze'
            AND f.blob >= 'many/' || n.i || '/' AND f.blob < 'many/' || n.i || '0';
";

#[tokio::test]
async fn ten_thousand_series_are_told_in_a_small_document() {
    let stage = Stage::closed().await;
    stage.alter(MANY);
    let begun = std::time::Instant::now();
    let answer = stage.get(OVERVIEW).await;
    println!("{} bytes after {:?}", answer.body().len(), begun.elapsed());
    assert!(
        answer.body().len() < 150_000,
        "{} bytes",
        answer.body().len()
    );
    let overview = json_of(answer.body());
    let counts: Vec<_> = overview["sections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["count"].as_u64())
        .collect();
    assert_eq!(counts, [2500, 2501, 2500, 2500, 0, 0].map(Some));
    assert!(
        overview["sections"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["series"].as_array().unwrap().len() <= 12)
    );
    let gaps = series(&overview, "collecting")[0]["coverage"]["gaps"]
        .as_array()
        .unwrap();
    assert_eq!(gaps.len(), 4);
    let found = json_of(
        stage
            .get(&format!("{OVERVIEW}?search=no-777&section=attention"))
            .await
            .body(),
    );
    let found = series(&found, "attention");
    assert_eq!(found[0]["resource_id"], "no-777");
    assert!(
        found[0]["fault"]["message"]
            .as_str()
            .unwrap()
            .chars()
            .count()
            < 1300
    );
}
