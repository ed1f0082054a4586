//! Apps in the states that the answers need.

mod life;
mod page;
mod trouble;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Outcome, Scene, operations_with};
use crate::http::tests::flow::Flow;
use crate::http::tests::openapi::example;
use crate::http::tests::stage::Stage;

/// A request that the document has, but for what it is about.
const NOBODY: &str = "00000000000000000000000000000000";

/// What all scenes come to.
pub(super) async fn all() -> Vec<BTreeSet<Outcome>> {
    let (life, files, faults, page, trouble) = tokio::join!(
        tokio::spawn(life::life()),
        tokio::spawn(files()),
        tokio::spawn(faults()),
        tokio::spawn(page::page()),
        tokio::spawn(trouble::all())
    );
    let mut all = trouble.unwrap();
    all.extend([life, files, faults, page].map(Result::unwrap));
    all
}

/// What a Release is asked about, whichever it is.
fn about(release: &str, job: &str) -> Vec<(&'static str, String, Value)> {
    let decision =
        json!({"release_id": release, "reviewer": "ada", "reason": "a test", "dry_run": false});
    let approval = json!({"release_id": release, "reviewer": "ada", "clearance_state": "public"});
    let mut unpublication = decision.clone();
    unpublication["force_approved"] = json!(true);
    let none = Value::Null;
    vec![
        (
            "GET",
            format!("/api/platform/status/{release}"),
            none.clone(),
        ),
        (
            "GET",
            String::from("/api/platform/status?dataset_id=numbers&resource_id=all"),
            none.clone(),
        ),
        ("GET", format!("/api/jobs/status/{job}"), none.clone()),
        ("GET", format!("/api/dbadmin/tasks/{job}"), none.clone()),
        ("GET", format!("/api/releases/{release}"), none.clone()),
        (
            "GET",
            format!("/api/platform/approvals/{release}"),
            none.clone(),
        ),
        ("PUT", format!("/api/releases/{release}/stac"), none.clone()),
        ("POST", format!("/api/releases/{release}/token"), json!({})),
        ("POST", String::from("/api/platform/approve"), approval),
        (
            "POST",
            String::from("/api/platform/reject"),
            decision.clone(),
        ),
        ("POST", String::from("/api/platform/revoke"), decision),
        (
            "POST",
            String::from("/api/platform/unpublish"),
            unpublication,
        ),
    ]
}

/// Addresses without variables that are read and have an answer of a status; not those that need a query, and not those
/// of the catalogue, which is asked in scenes of its own.
fn lists_with(status: &str) -> Vec<&'static str> {
    let all = operations_with(status).into_iter();
    let lists = all.filter(|(method, template)| {
        let is_apart = template.starts_with("/api/stac") || *template == "/api/platform/status";
        method == "GET" && !template.contains('{') && !is_apart
    });
    lists.map(|(_, template)| template).collect()
}

/// A body as it is sent; none for `null`.
fn text(body: &Value) -> String {
    match body {
        Value::Null => String::new(),
        body => body.to_string(),
    }
}

/// Requests that are at fault, or ask for what is not there.
async fn faults() -> BTreeSet<Outcome> {
    let stage = Stage::published().await;
    let mut scene = scene_of(&stage);
    let bad = (400, "ValidationError");
    for action in ["approve", "reject", "revoke", "unpublish", "submit"] {
        let path = format!("/api/platform/{action}");
        scene.post(&path, &json!({"colour": "red"}), bad).await;
    }
    let token = format!("/api/releases/{}/token", stage.release_id);
    scene
        .post(&token, &json!({"expires_in": "soon"}), bad)
        .await;
    for path in [
        "/api/inventory",
        "/api/replay",
        "/api/validate",
        "/api/reference",
    ] {
        scene.post(path, &json!({}), bad).await;
    }
    for path in [
        "/api/platform/status/x?detail=some",
        "/api/platform/status",
        "/api/jobs/status/12",
        "/api/dbadmin/tasks/12",
        "/api/platform/approvals?status=nonsense",
        "/api/stac/collections?limit=0",
        "/api/stac/collections/c/items?bbox=1",
    ] {
        scene.get(path, bad).await;
    }
    let absent = (404, "NotFound");
    for (method, path, body) in about(NOBODY, &"0".repeat(64)) {
        let path = path.replace("numbers", "none");
        scene.ask((method, &path), &text(&body), absent).await;
    }
    for path in ["/api/validate", "/api/reference"] {
        let nothing = json!({"nc_url": "abfs://bronze/nothing.nc"});
        scene.post(path, &nothing, absent).await;
    }
    // There is no catalogue either.
    let inventory = format!("/api/inventory/{NOBODY}");
    for path in [inventory.as_str(), "/api/stac/collections"] {
        scene.get(path, absent).await;
    }
    scene.read(&stage.path("w/0"), absent).await;
    scene
        .read(&stage.path("x/0").replace("/r1/", "/r9/"), (410, "Gone"))
        .await;
    let large = format!("\"{}\"", "x".repeat(4 << 20));
    for (method, template) in operations_with("413") {
        let path = example(template);
        scene
            .ask((&method, &path), &large, (413, "ValidationError"))
            .await;
    }
    scene.reached
}

/// Single files: looked at, found in an inventory, replayed, and read as stores of their own.
async fn files() -> BTreeSet<Outcome> {
    let flow = Flow::new();
    flow.land("a/2000.nc", 2000);
    flow.land("b/2000.nc", 2000);
    for name in ["a/2000.nc", "b/2000.nc"] {
        flow.announce(name).await;
    }
    let mut scene = Scene::of(&flow.app);
    let url = json!({"nc_url": "abfs://bronze/a/2000.nc"});
    scene.post("/api/validate", &url, (200, "")).await;
    scene.post("/api/reference", &url, (200, "")).await;
    scene
        .post("/api/replay", &json!({"events": []}), (200, ""))
        .await;
    let folder = json!({"source_url": "abfs://bronze/a/"});
    let begun = scene.post("/api/inventory", &folder, (202, "")).await;
    // One that goes on for as long as it takes to ask.
    std::fs::write(
        flow.path("silver/inventory").join(format!("{NOBODY}.json")),
        begun.to_string(),
    )
    .unwrap();
    scene
        .get(&format!("/api/inventory/{NOBODY}"), (202, ""))
        .await;
    let ended = json!({"state": "failed", "error": "a test"});
    let mut document = begun;
    document
        .as_object_mut()
        .unwrap()
        .extend(ended.as_object().unwrap().clone());
    std::fs::write(
        flow.path("silver/inventory").join(format!("{NOBODY}.json")),
        document.to_string(),
    )
    .unwrap();
    scene
        .get(&format!("/api/inventory/{NOBODY}"), (200, ""))
        .await;
    read_store(&mut scene, &store_of(&flow, "a/2000.nc").await).await;
    scene
        .read(
            &format!("/api/zarr/files/{NOBODY}/e/.zgroup"),
            (410, "Gone"),
        )
        .await;
    // Not yet read, and damaged since it was written.
    let reference = flow.path("silver/refs/files/local/bronze/b/2000.json");
    std::fs::write(reference, b"{").unwrap();
    let damaged = format!("{}/.zgroup", store_of(&flow, "b/2000.nc").await);
    scene.read(&damaged, (500, "InternalError")).await;
    scene.reached
}

/// The address of a file's own store.
async fn store_of(flow: &Flow, name: &str) -> String {
    let file = flow.file(name).await.unwrap();
    let id = store_id(name);
    let etag =
        percent_encoding::utf8_percent_encode(&file.etag, percent_encoding::NON_ALPHANUMERIC);
    format!("/api/zarr/files/{id}/{etag}")
}

fn store_id(name: &str) -> String {
    let digest = Sha256::digest(format!("local|bronze|{name}"));
    let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// A store as a client reads it: whole, what it has already, a part, past the end, and what is not in it.
async fn read_store(scene: &mut Scene, store: &str) {
    let key = format!("{store}/.zmetadata");
    scene.read(&key, (200, "")).await;
    let whole = scene.ask(("GET", &key), "", (200, "")).await;
    let etag = whole.headers()["etag"].to_str().unwrap().to_owned();
    let length = whole.body().len();
    for method in ["GET", "HEAD"] {
        let known = [("if-none-match", etag.as_str())];
        scene.ask_with((method, &key), &known, "", (304, "")).await;
    }
    let part = [("range", "bytes=0-0")];
    scene.ask_with(("GET", &key), &part, "", (206, "")).await;
    let outside = format!("bytes={length}-");
    let outside = [("range", outside.as_str())];
    scene.ask_with(("GET", &key), &outside, "", (416, "")).await;
    scene
        .read(&format!("{store}/nothing/0"), (404, "NotFound"))
        .await;
}

/// A stage as a scene.
fn scene_of(stage: &Stage) -> Scene {
    Scene::of(&stage.app())
}
