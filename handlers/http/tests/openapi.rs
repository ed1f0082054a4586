//! `docs/openapi.json` against the code: every route is in it, all that is in it has a route, and every answer of these
//! tests is one that it describes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use rstest::rstest;
use serde_json::{Value, json};
use warp::http::Response;

use super::schema::{faults, target};
use super::stage::Stage;
use crate::group::{SUBMISSION_FIELDS, option_fields};
use crate::http::openapi::DOCUMENT;

pub(super) static OPENAPI: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(DOCUMENT).unwrap());

/// A key of a served store.
const STORE: &str = "/api/zarr/{release_id}/{revision}/{key}";

pub(super) fn paths() -> &'static serde_json::Map<String, Value> {
    OPENAPI["paths"].as_object().unwrap()
}

/// The documented address that a path is one of: the one with the most words of its own.
fn template_of(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let fitting = paths().keys().filter(|template| is_one_of(path, template));
    fitting
        .max_by_key(|template| {
            template
                .split('/')
                .filter(|part| !part.contains('{'))
                .count()
        })
        .map(String::as_str)
}

fn is_one_of(path: &str, template: &str) -> bool {
    let mut parts = path.split('/');
    for wanted in template.split('/') {
        match (wanted, parts.next()) {
            // Keys of a store have slashes.
            ("{key}", Some(_)) => return true,
            (wanted, Some(part)) if wanted.starts_with('{') && !part.is_empty() => {}
            (wanted, Some(part)) if wanted == part => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

/// The documented address of a path; whatever is below is asked of the served stores.
pub(super) fn address_of(path: &str) -> Option<&'static str> {
    let store = path.starts_with("/api/zarr/").then_some(STORE);
    template_of(path).or(store)
}

/// What a document says, or what it refers to.
pub(super) fn resolved(part: &'static Value) -> &'static Value {
    match part.get("$ref") {
        Some(reference) => target(&OPENAPI, reference),
        None => part,
    }
}

/// Fails where an answer is not one that the document describes. The host's own routes are none of its matter.
pub(super) fn check(method: &str, path: &str, answer: &Response<bytes::Bytes>) {
    // What a browser may ask is settled by the Functions host, where there is one.
    if !path.starts_with("/api/") || method == "OPTIONS" {
        return;
    }
    let asked = format!("{method} {path} -> {}", answer.status());
    let method = method.to_lowercase();
    let operation = address_of(path).and_then(|template| paths()[template].get(&method));
    let Some(operation) = operation else {
        let status = answer.status().as_u16();
        assert!([404, 405].contains(&status), "{asked} is not documented");
        let tells = answer.headers().contains_key("allow");
        assert_eq!(tells, status == 405, "{asked}: a 405 has `Allow`");
        return;
    };
    let response = operation["responses"].get(answer.status().as_str());
    let response = resolved(response.unwrap_or_else(|| panic!("{asked} is not documented")));
    let headers = response.get("headers").and_then(Value::as_object);
    for (name, header) in headers.into_iter().flatten() {
        let is_there = answer.headers().contains_key(name.as_str());
        assert!(is_there || header["required"] != true, "{asked}: no {name}");
    }
    let Some(content) = response.get("content") else {
        return;
    };
    let media_type = answer.headers()["content-type"].to_str().unwrap();
    let schema = &content
        .get(media_type)
        .unwrap_or_else(|| panic!("{asked}: {media_type} is not documented"))["schema"];
    if media_type.contains("json") && method != "head" && *schema != json!({}) {
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        let found = faults(&OPENAPI, schema, &body, "the answer");
        assert!(found.is_empty(), "{asked}:\n{}\n{body:#}", found.join("\n"));
    }
}

/// What stands in `warp::path!(…)` of the sources, with `{}` for what is variable.
fn routes_of_the_code() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("handlers/http")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.extend(routes_in(&std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

fn routes_in(source: &str) -> Vec<String> {
    let macros = source.split("warp::path!(").skip(1);
    let routes = macros.filter_map(|rest| {
        let inside = rest.split(')').next()?.trim();
        inside.starts_with("\"api\"").then(|| {
            let parts = inside.split(" / ").map(str::trim);
            let parts = parts.map(|part| match part.strip_prefix('"') {
                Some(word) => word.trim_end_matches('"'),
                None if part == ".." => "..",
                None => "{}",
            });
            format!("/{}", parts.collect::<Vec<_>>().join("/"))
        })
    });
    routes.collect()
}

/// The address without the names of its variables.
fn shape(template: &str) -> String {
    let parts = template.split('/').map(|part| match part.starts_with('{') {
        true => "{}",
        false => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_of_the_code_is_documented_and_no_other() {
    // The served stores are one route, whatever comes after.
    let documented: BTreeSet<String> = paths()
        .keys()
        .map(|template| match template.starts_with("/api/zarr/") {
            true => String::from("/api/zarr/.."),
            false => shape(template),
        })
        .collect();
    assert_eq!(routes_of_the_code(), documented);
}

/// A path of a documented address, with something in place of each variable.
pub(super) fn example(template: &str) -> String {
    let parts = template.split('/').map(|part| match part {
        "{job_id}" => "0".repeat(64),
        "{revision}" => String::from("r1"),
        part if part.starts_with('{') => "0".repeat(32),
        part => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_documented_method_is_taken_and_no_other() {
    let stage = Stage::published().await;
    for (template, operations) in paths() {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let answer = stage.send(method, &example(template), &[], "{}").await;
            let is_documented = operations.get(method.to_lowercase()).is_some();
            let is_taken = answer.status() != 405 && {
                let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
                body["error"] != "there is nothing at this address"
            };
            assert_eq!(
                is_taken,
                is_documented,
                "{method} {template}: {}",
                answer.status()
            );
        }
    }
}

#[test]
fn the_document_has_the_fields_of_the_code() {
    let schemas = &OPENAPI["components"]["schemas"];
    let fields = |schema: &str| -> BTreeSet<String> {
        let properties = schemas[schema]["properties"].as_object().unwrap();
        properties.keys().cloned().collect()
    };
    assert_eq!(
        fields("Submission"),
        SUBMISSION_FIELDS.map(String::from).into()
    );
    let mut options: BTreeSet<String> = option_fields().into_iter().collect();
    assert_eq!(fields("ProcessingOptions"), options);
    options.insert(String::from("expected_data_type"));
    assert_eq!(fields("ProcessingOptionsRequest"), options);
    let defaults = crate::stores::ledger::ProcessingOptions::default();
    for (name, value) in json!(defaults).as_object().unwrap() {
        let documented = &schemas["ProcessingOptions"]["properties"][name]["default"];
        let numbers = documented.as_f64().zip(value.as_f64());
        let is_same = documented == value || numbers.is_some_and(|(one, other)| one == other);
        assert!(documented.is_null() || is_same, "{name}: {documented}");
    }
    assert_eq!(OPENAPI["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(OPENAPI["openapi"], "3.1.0");
}

#[tokio::test]
async fn the_document_is_served_as_it_stands_in_the_repository() {
    let answer = Stage::published().await.get("/api/openapi.json").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body().as_ref(), DOCUMENT.as_bytes());
}

/// A service behind the app that does not answer is 503 everywhere, and says when to come again.
#[rstest]
#[case::submit(
    "POST",
    "/api/platform/submit",
    r#"{"dataset_id": "a", "resource_id": "b", "source_url": "abfs://bronze/"}"#
)]
#[case::status("GET", "/api/platform/status/x", "")]
#[case::overview("GET", "/api/status/overview", "")]
#[case::by_names("GET", "/api/platform/status?dataset_id=a&resource_id=b", "")]
#[case::releases("GET", "/api/releases", "")]
#[case::release("GET", "/api/releases/x", "")]
#[case::job(
    "GET",
    "/api/jobs/status/0000000000000000000000000000000000000000000000000000000000000000",
    ""
)]
#[case::tasks(
    "GET",
    "/api/dbadmin/tasks/0000000000000000000000000000000000000000000000000000000000000000",
    ""
)]
#[case::ready("GET", "/api/readyz", "")]
#[case::health("GET", "/api/health", "")]
#[tokio::test]
async fn a_ledger_that_fails_is_503(#[case] method: &str, #[case] path: &str, #[case] body: &str) {
    let stage = Stage::published().await;
    stage.break_ledger();
    assert_eq!(stage.send(method, path, &[], body).await.status(), 503);
}

// The statuses of every operation that the tests beside do not come to anyway.
#[rstest]
#[case(
    "POST",
    "/api/validate",
    r#"{"nc_url": "abfs://bronze/nothing.nc"}"#,
    404
)]
#[case("POST", "/api/validate", r#"{"nc_url": "abfs://silver/a.nc"}"#, 400)]
#[case(
    "POST",
    "/api/validate",
    r#"{"nc_url": "abfs://bronze@other.dfs.core.windows.net/a.nc"}"#,
    400
)]
#[case(
    "POST",
    "/api/validate",
    r#"{"nc_url": "https://example.org/a.nc"}"#,
    400
)]
#[case(
    "POST",
    "/api/validate",
    r#"{"nc_url": "http://169.254.169.254/metadata"}"#,
    400
)]
#[case("POST", "/api/validate", r#"{"nc_url": "file:///etc/passwd"}"#, 400)]
#[case("POST", "/api/validate", r#"{"nc_url": "/etc/passwd"}"#, 400)]
#[case("POST", "/api/validate", r#"{"nc_url": "a.nc", "colour": 1}"#, 400)]
#[case("POST", "/api/validate", "[]", 400)]
#[case(
    "POST",
    "/api/reference",
    r#"{"nc_url": "abfs://bronze/nothing.nc"}"#,
    404
)]
#[case("POST", "/api/reference", r#"{"nc_url": "abfs://bronze/a.nc"}"#, 400)]
#[case("POST", "/api/reference", "{}", 400)]
#[case("POST", "/api/replay", "{}", 400)]
#[case("POST", "/api/inventory", "{}", 400)]
#[case("GET", "/api/inventory/0", "", 404)]
#[case("GET", "/api/platform/status/x?detail=some", "", 400)]
#[case(
    "GET",
    "/api/jobs/status/0000000000000000000000000000000000000000000000000000000000000000",
    "",
    404
)]
#[case(
    "GET",
    "/api/dbadmin/tasks/0000000000000000000000000000000000000000000000000000000000000000",
    "",
    404
)]
#[tokio::test]
async fn an_error_is_a_documented_one(
    #[case] method: &str,
    #[case] path: &str,
    #[case] body: &str,
    #[case] status: u16,
) {
    let answer = Stage::published().await.send(method, path, &[], body).await;
    assert_eq!(answer.status().as_u16(), status, "{:?}", answer.body());
}

#[rstest]
#[case("/api/platform/submit")]
#[case("/api/validate")]
#[case("/api/reference")]
#[case("/api/inventory")]
#[case("/api/replay")]
#[tokio::test]
async fn a_body_of_more_than_the_cap_is_413(#[case] path: &str) {
    let body = format!("\"{}\"", "x".repeat(4 << 20));
    let answer = Stage::published()
        .await
        .send("POST", path, &[], &body)
        .await;
    assert_eq!(answer.status(), 413);
}

/// What the file's own bytes say: classic NetCDF, by the format's grammar.
#[tokio::test]
async fn one_file_is_judged_and_referenced_at_once() {
    let stage = Stage::published().await;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::copy(
        fixtures.join("classic/cdf1.nc"),
        stage.bronze().join("good.nc"),
    )
    .unwrap();
    let asked = json!({"nc_url": "abfs://bronze/good.nc"});
    let judged: Value =
        serde_json::from_slice(stage.post("/api/validate", &asked).await.body()).unwrap();
    assert_eq!(
        (&judged["format"], &judged["fault"]),
        (&json!("CDF1"), &Value::Null),
        "{judged}"
    );
    let referred: Value =
        serde_json::from_slice(stage.post("/api/reference", &asked).await.body()).unwrap();
    let expected = std::fs::read(fixtures.join("expected/classic.cdf1.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let variables = expected["netcdf"]["variables"].as_object().unwrap();
    let expected: BTreeSet<&str> = variables
        .keys()
        .map(|name| name.trim_matches('/'))
        .collect();
    let refs = referred["reference"]["refs"].as_object().unwrap();
    let arrays = refs.keys().filter_map(|key| key.strip_suffix("/.zarray"));
    assert_eq!(arrays.collect::<BTreeSet<_>>(), expected, "{referred}");
    // The other file of the stage is no NetCDF file: that is an answer for the one, and an error for the other.
    let asked = json!({"nc_url": "abfs://bronze/a.nc"});
    let judged: Value =
        serde_json::from_slice(stage.post("/api/validate", &asked).await.body()).unwrap();
    assert_eq!(
        (&judged["status"], &judged["fault"]["code"]),
        (&json!("error"), &json!("not_netcdf"))
    );
    assert!(
        !stage.document().with_file_name("good.json").exists(),
        "nothing is written"
    );
}
