//! Who may read which store, in which form, and what it costs.

use rstest::rstest;
use serde_json::json;

use super::json_of;
use super::stage::Stage;
use crate::config::Config;
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::ids;

/// Every sort of key of the published revision.
const KEYS: [&str; 7] = [
    ".zmetadata",
    "v/.zarray",
    "v/0",
    "x/0",
    "combined.json",
    "~v3/zarr.json",
    "~v3/v/c/0",
];

#[tokio::test]
async fn the_same_revision_is_a_store_of_version_3() {
    let stage = Stage::published().await;
    let array = json_of(stage.zarr("~v3/v/zarr.json").await.body());
    assert_eq!(array["data_type"], "uint8");
    assert_eq!(array["fill_value"], 255);
    assert_eq!(
        array["attributes"],
        json!({"units": "1", "_FillValue": 255})
    );
    assert_eq!(array["dimension_names"], json!(["x"]));
    let root = json_of(stage.zarr("~v3/zarr.json").await.body());
    assert_eq!(root["attributes"], json!({"title": "numbers"}));
    let nodes = &root["consolidated_metadata"]["metadata"];
    assert_eq!(nodes["v"], array);
    assert_eq!(nodes.as_object().unwrap().len(), 2);
    for (key, bytes) in [
        ("v/c/0", b"ab".as_slice()),
        ("v/c/1", b"yz"),
        ("x/c/0", &[0, 1, 2, 3, 4, 5]),
    ] {
        let answer = stage.zarr(&format!("~v3/{key}")).await;
        assert_eq!(
            (answer.status().as_u16(), answer.body().as_ref()),
            (200, bytes)
        );
    }
}

#[rstest]
#[case::not_stored("~v3/v/c/2")]
#[case::outside_the_grid("~v3/v/c/3")]
#[case::key_of_version_2("~v3/v/0")]
#[case::metadata_of_version_2("~v3/.zmetadata")]
#[case::document("~v3/combined.json")]
#[case::root("~v3")]
#[case::key_of_version_3("v/c/0")]
#[tokio::test]
async fn a_key_of_the_other_version_is_404(#[case] key: &str) {
    assert_eq!(Stage::published().await.zarr(key).await.status(), 404);
}

#[rstest]
#[case("pending_review", "uncleared", 401)]
#[case("approved", "ouo", 401)]
#[case("approved", "public", 200)]
#[case("rejected", "uncleared", 410)]
#[case("revoked", "public", 410)]
#[tokio::test]
async fn who_may_read_follows_from_the_state_of_the_release(
    #[case] approval: &str,
    #[case] clearance: &str,
    #[case] status: u16,
) {
    let stage = Stage::closed().await;
    stage.decide(approval, clearance);
    for key in KEYS {
        for method in ["GET", "HEAD"] {
            let answer = stage.request(method, key, &[]).await;
            assert_eq!(answer.status().as_u16(), status, "{method} {key}");
            if status != 200 && method == "GET" {
                let reason = json_of(answer.body());
                assert!(
                    reason["error"]
                        .as_str()
                        .is_some_and(|text| !text.is_empty()),
                    "{key}"
                );
                assert_eq!(answer.headers()["cache-control"], "no-store");
            }
        }
    }
}

#[tokio::test]
async fn what_was_taken_back_is_gone_at_once_also_for_who_has_it_open() {
    let stage = Stage::closed().await;
    stage.decide("approved", "public");
    assert_eq!(stage.zarr("v/0").await.status(), 200);
    let etag = stage.zarr(".zmetadata").await.headers()["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    stage.decide("revoked", "public");
    let again = stage
        .request("GET", ".zmetadata", &[("if-none-match", &etag)])
        .await;
    assert_eq!(again.status(), 410);
}

// Its references are deleted, and the Release has none any more.
#[tokio::test]
async fn an_unpublished_release_is_gone() {
    let stage = Stage::published().await;
    stage.alter("UPDATE app_asset_releases SET blob_path = NULL");
    for key in KEYS {
        assert_eq!(stage.zarr(key).await.status(), 410, "{key}");
    }
}

#[tokio::test]
async fn an_older_revision_stays_readable() {
    let stage = Stage::published().await;
    stage.alter(
        "UPDATE app_asset_releases SET revision = 2;
         INSERT INTO landfall_combine_run (group_id, release_id, generation, runner, state, revision, lease_until, blob_path,
                                           started_at, finished_at)
         SELECT group_id, release_id, generation + 1, runner, state, 2, lease_until, blob_path, started_at, finished_at
         FROM landfall_combine_run;",
    );
    for revision in ["/r1/", "/r2/"] {
        let path = stage.path("v/0").replace("/r1/", revision);
        assert_eq!(stage.get(&path).await.status(), 200, "{path}");
    }
    assert_eq!(
        stage
            .get(&stage.path("v/0").replace("/r1/", "/r3/"))
            .await
            .status(),
        410
    );
}

async fn token(stage: &Stage, body: &str) -> (u16, serde_json::Value) {
    let path = format!("/api/releases/{}/token", stage.release_id);
    let answer = stage.send("POST", &path, &[], body).await;
    (answer.status().as_u16(), json_of(answer.body()))
}

#[tokio::test]
async fn a_token_opens_one_revision_in_both_forms() {
    let stage = Stage::closed().await;
    let (status, granted) = token(&stage, r#"{"expires_in": "P7D"}"#).await;
    assert_eq!((status, &granted["revision"]), (200, &json!(1)));
    let url = granted["zarr_url"].as_str().unwrap();
    let path = url.strip_prefix("http://127.0.0.1:7071").unwrap();
    let start = format!("/api/zarr/{}/r1/~", stage.release_id);
    assert!(path.starts_with(&start), "{path}");
    assert_eq!(granted["zarr_v3_url"], format!("{url}/~v3"));
    let expiry: jiff::Timestamp = granted["expires_at"].as_str().unwrap().parse().unwrap();
    let week = jiff::SignedDuration::from_hours(7 * 24);
    let left = expiry.duration_since(jiff::Timestamp::now());
    assert!(left <= week && left > week - jiff::SignedDuration::from_mins(1));
    for key in KEYS {
        let answer = stage.get(&format!("{path}/{key}")).await;
        assert_eq!(answer.status(), 200, "{key}");
        assert_eq!(
            answer.headers()["cache-control"],
            "private, max-age=31536000, immutable",
            "not for caches that others read from"
        );
    }
    assert_eq!(stage.get(&format!("{path}/w/0")).await.status(), 404);
    let damaged = format!("{}0/v/0", path.get(..path.len() - 1).unwrap());
    let answer = stage.get(&damaged).await;
    assert_eq!(answer.status(), if path.ends_with('0') { 200 } else { 401 });
    stage.decide("revoked", "uncleared");
    assert_eq!(stage.get(&format!("{path}/v/0")).await.status(), 410);
}

#[rstest]
#[case::nothing_said("", 200, "")]
#[case::revision(r#"{"revision": 1}"#, 200, "")]
#[case::other_revision(r#"{"revision": 2}"#, 404, "no such published revision")]
#[case::unknown_field(r#"{"expires": "P1D"}"#, 400, "unknown field `expires`")]
#[case::no_period(r#"{"expires_in": "soon"}"#, 400, "not an ISO 8601 period")]
#[case::too_long(r#"{"expires_in": "P2000D"}"#, 400, "longer than 366 days")]
#[case::no_json("P7D", 400, "not a request for a token")]
#[tokio::test]
async fn a_wish_for_a_token_is_read(#[case] body: &str, #[case] status: u16, #[case] error: &str) {
    let (found, answer) = token(&Stage::closed().await, body).await;
    assert_eq!(found, status, "{answer}");
    assert!(
        answer["error"].as_str().unwrap_or_default().contains(error),
        "{answer}"
    );
    assert_eq!(
        answer.get("valid_parameters").is_some(),
        error.contains("unknown") || body == "P7D"
    );
}

#[tokio::test]
async fn there_is_no_token_for_what_cannot_be_read() {
    let stage = Stage::closed().await;
    let unknown = stage
        .send("POST", "/api/releases/unknown/token", &[], "{}")
        .await;
    assert_eq!(unknown.status(), 404);
    stage.decide("revoked", "public");
    let (status, answer) = token(&stage, "{}").await;
    assert_eq!(
        (status, &answer["error_type"]),
        (409, &json!("ReleaseStateError"))
    );
}

// Anybody can send the header; only App Service takes it away from those who are not signed in.
#[rstest]
#[case::with_easy_auth(true, "Ada", 200)]
#[case::nobody(true, " ", 401)]
#[case::without_easy_auth(false, "Ada", 401)]
#[tokio::test]
async fn who_is_signed_in_counts_where_the_platform_says_so(
    #[case] easy_auth: bool,
    #[case] name: &str,
    #[case] status: u16,
) {
    let stage = Stage::with(|config| config.http.easy_auth = easy_auth).await;
    let signed_in = [("x-ms-client-principal-name", name)];
    let answer = stage.request("GET", "v/0", &signed_in).await;
    assert_eq!(answer.status().as_u16(), status);
    let of_file = file_store(&stage).await;
    let answer = stage
        .send("GET", &format!("{of_file}/v/0"), &signed_in, "")
        .await;
    assert_eq!(answer.status().as_u16(), status);
}

/// Publishes the reference of `a.nc`, and gives the path of its store.
async fn file_store(stage: &Stage) -> String {
    let app = stage.app();
    let file = BlobPath::new("local", "bronze", "a.nc");
    let etag = app.blobs.head(&file).await.unwrap().etag;
    let silver = stage.bronze().with_file_name("silver");
    let document: serde_json::Value =
        serde_json::from_slice(&std::fs::read(stage.document()).unwrap()).unwrap();
    let mut document = document;
    document["refs"].as_object_mut().unwrap().remove("v/1");
    let mut extra = json_of(document["landfall"].as_str().unwrap().as_bytes());
    extra["sources"].as_array_mut().unwrap().truncate(1);
    document["landfall"] = json!(extra.to_string());
    let at = silver.join("refs/files/local/bronze/a.json");
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    std::fs::write(at, document.to_string()).unwrap();
    format!("/api/zarr/files/{}/{etag}", ids::file_store_id(&file))
}

#[tokio::test]
async fn the_reference_of_one_file_is_a_store() {
    let stage = Stage::published().await;
    let path = file_store(&stage).await;
    for (key, status) in [
        (".zmetadata", 200),
        ("v/0", 200),
        ("x/0", 200),
        ("~v3/v/c/0", 200),
        ("v/1", 404),
        ("combined.json", 404),
    ] {
        let answer = stage.get(&format!("{path}/{key}")).await;
        assert_eq!(answer.status().as_u16(), status, "{key}");
    }
    assert_eq!(
        stage.get(&format!("{path}/v/0")).await.body().as_ref(),
        b"ab"
    );
    let other = format!("{path}0/.zmetadata");
    assert_eq!(stage.get(&other).await.status(), 410, "another version");
    let unknown = "/api/zarr/files/00000000000000000000000000000000/1/.zmetadata";
    assert_eq!(stage.get(unknown).await.status(), 410);
    std::fs::write(stage.bronze().join("a.nc"), b"another version").unwrap();
    assert_eq!(stage.get(&format!("{path}/v/0")).await.status(), 410);
    assert_eq!(stage.get(&format!("{path}/x/0")).await.status(), 200);
}

#[tokio::test]
async fn the_store_of_a_file_is_never_open_to_everybody() {
    let stage = Stage::closed().await;
    stage.decide("approved", "public");
    let path = file_store(&stage).await;
    for key in [".zmetadata", "v/0", "w/0"] {
        assert_eq!(
            stage.get(&format!("{path}/{key}")).await.status(),
            401,
            "{key}"
        );
    }
}

#[tokio::test]
async fn a_chunk_costs_one_ranged_read_and_the_rest_nothing() {
    let stage = Stage::published().await;
    stage.watched.asked();
    for key in [
        ".zmetadata",
        "v/.zarray",
        "x/0",
        "v/2",
        "~v3/zarr.json",
        "w/0",
    ] {
        stage.zarr(key).await;
    }
    assert_eq!(
        stage.watched.asked(),
        ["first combined.json"],
        "once for all"
    );
    stage.zarr("v/0").await;
    assert_eq!(stage.watched.asked(), ["get a.nc 4+2"]);
    stage.request("GET", "v/1", &[("range", "bytes=1-")]).await;
    assert_eq!(
        stage.watched.asked(),
        ["get b.nc 3+1"],
        "no more than is asked for"
    );
    stage.request("HEAD", "v/1", &[]).await;
    assert_eq!(stage.watched.asked(), ["head b.nc"]);
    let etag = stage.zarr("v/1").await.headers()["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    stage.watched.asked();
    stage
        .request("GET", "v/1", &[("if-none-match", &etag)])
        .await;
    assert_eq!(stage.watched.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_large_chunk_is_passed_on_piece_by_piece() {
    let stage = Stage::published().await;
    let bytes: Vec<u8> = (0..3_000_004_u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(stage.bronze().join("a.nc"), &bytes).unwrap();
    let file = BlobPath::new("local", "bronze", "a.nc");
    let info = stage.app().blobs.head(&file).await.unwrap();
    let mut document = json_of(&std::fs::read(stage.document()).unwrap());
    document["refs"]["v/0"][2] = json!(3_000_000);
    let mut extra = json_of(document["landfall"].as_str().unwrap().as_bytes());
    extra["sources"][0]["etag"] = json!(info.etag);
    document["landfall"] = json!(extra.to_string());
    std::fs::write(stage.document(), document.to_string()).unwrap();
    let whole = stage.zarr("v/0").await;
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.headers()["content-length"], "3000000");
    assert!(whole.body() == &bytes[4..3_000_004]);
    let part = stage
        .request("GET", "v/0", &[("range", "bytes=7-2000006")])
        .await;
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], "bytes 7-2000006/3000000");
    assert!(part.body() == &bytes[11..2_000_011]);
    let asked = stage.watched.asked();
    let read = ["stream a.nc 4+3000000", "stream a.nc 11+2000000"];
    assert_eq!(asked.get(asked.len() - 2..).unwrap(), read);
    std::fs::write(stage.bronze().join("a.nc"), b"another version").unwrap();
    assert_eq!(stage.zarr("v/0").await.status(), 410);
}

#[tokio::test]
async fn what_does_not_fit_the_memory_is_read_again() {
    let stage = Stage::with(|config: &mut Config| {
        config.http.open_access = true;
        config.http.stores_bytes = 1;
    })
    .await;
    let of_file = file_store(&stage).await;
    stage.watched.asked();
    for _ in 0..2 {
        stage.zarr(".zmetadata").await;
        stage.zarr("v/.zarray").await;
        stage.get(&format!("{of_file}/.zmetadata")).await;
    }
    let asked = stage.watched.asked();
    let turn = ["first combined.json", "first a.json"];
    assert_eq!(asked, [turn, turn].concat());
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_503_and_may_be_asked_again() {
    let stage = Stage::published().await;
    stage.watched.be_down(true);
    for key in [".zmetadata", "v/0"] {
        let answer = stage.zarr(key).await;
        assert_eq!(answer.status(), 503, "{key}");
        assert!(answer.headers().contains_key("retry-after"));
        let reason = json_of(answer.body());
        assert_eq!(reason["error_type"], "Unavailable");
        assert!(
            !reason.to_string().contains("503 of the store"),
            "causes stay inside"
        );
    }
    stage.watched.be_down(false);
    assert_eq!(stage.zarr("v/0").await.status(), 200);
    stage.watched.be_down(true);
    assert_eq!(stage.zarr("v/0").await.status(), 503);
    assert_eq!(stage.request("HEAD", "v/0", &[]).await.status(), 503);
    for key in [".zmetadata", "x/0", "~v3/zarr.json"] {
        assert_eq!(stage.zarr(key).await.status(), 200, "{key} is held here");
    }
}

#[tokio::test]
async fn browsers_of_the_origin_that_is_set_may_read() {
    let origin = "https://maps.example.org";
    let stage = Stage::with(|config| {
        config.http.open_access = true;
        config.http.cors_origin = Some(origin.to_owned());
    })
    .await;
    for key in ["v/0", "w/0"] {
        let answer = stage.zarr(key).await;
        assert_eq!(answer.headers()["access-control-allow-origin"], origin);
        assert_eq!(answer.headers()["vary"], "Origin");
    }
    let preflight = stage.request("OPTIONS", "v/0", &[]).await;
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-origin"], origin);
    assert!(
        preflight.headers()["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("Range")
    );
    let plain = Stage::published().await.zarr("v/0").await;
    assert!(!plain.headers().contains_key("access-control-allow-origin"));
}

#[rstest]
#[case::zarr_for_everybody(None, "GET", "zarr", None, 200)]
#[case::probes(None, "GET", "/api/livez", None, 200)]
#[case::no_api_without_a_key(None, "GET", "/api/releases", Some("k"), 404)]
#[case::the_key_is_needed(Some("k"), "GET", "/api/releases", None, 401)]
#[case::another_key(Some("k"), "GET", "/api/releases", Some("kk"), 401)]
#[case::with_the_key(Some("k"), "GET", "/api/releases", Some("k"), 200)]
#[case::details_need_it_too(Some("k"), "GET", "/api/health/details", None, 401)]
#[case::no_details_without_a_key(None, "GET", "/api/health/details", None, 404)]
#[case::what_a_host_sends(Some("k"), "POST", "/BlobEvent", Some("k"), 404)]
#[tokio::test]
async fn a_server_without_a_host_asks_for_its_own_key(
    #[case] set: Option<&str>,
    #[case] method: &str,
    #[case] path: &str,
    #[case] given: Option<&str>,
    #[case] status: u16,
) {
    let stage = Stage::with(|config| config.http.api_key = set.map(str::to_owned)).await;
    stage.decide("approved", "public");
    let path = match path {
        "zarr" => stage.path("v/0"),
        path => path.to_owned(),
    };
    let mut request = warp::test::request().method(method).path(&path);
    if let Some(key) = given {
        request = request.header("x-functions-key", key);
    }
    let answer = request
        .reply(&crate::http::standalone_routes(stage.app()))
        .await;
    super::openapi::check(method, &path, &answer);
    assert_eq!(answer.status().as_u16(), status, "{:?}", answer.body());
}
