//! Stores that fail, and servers that let nobody in.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::{NOBODY, Outcome, Scene, about, lists_with, scene_of, store_id, store_of, text};
use crate::http::tests::documented::operations_with;
use crate::http::tests::flow::Flow;
use crate::http::tests::openapi::example;
use crate::http::tests::stage::{self, Stage};
use crate::http::tests::watched::Trouble;
use crate::stores::ledger::BesideCatalogue;

pub(super) async fn all() -> Vec<BTreeSet<Outcome>> {
    vec![
        corrupt_ledger().await,
        missing_ledger().await,
        unreachable_ledger().await,
        failing_blobs().await,
        changed_sources().await,
        locked().await,
        closed().await,
    ]
}

/// Everything that is asked of the ledger alone, and the answer to it; of probes it has no type.
async fn ask_the_ledger(scene: &mut Scene, stage: &Stage, (status, error_type): (u16, &str)) {
    for (method, path, body) in about(&stage.release_id, &stage.job_id) {
        let expected = (status, error_type);
        scene.ask((method, &path), &text(&body), expected).await;
    }
    for path in lists_with(&status.to_string()) {
        let is_probe = ["/api/readyz", "/api/health"].contains(&path);
        let error_type = if is_probe { "" } else { error_type };
        scene.get(path, (status, error_type)).await;
    }
}

/// Rows that say what cannot be, and a document that was damaged.
async fn corrupt_ledger() -> BTreeSet<Outcome> {
    let stage = Stage::published().await;
    let mut scene = scene_of(&stage);
    let internal = (500, "InternalError");
    std::fs::write(stage.document(), b"{").unwrap();
    scene.read(&stage.path("x/0"), internal).await;
    stage.alter("UPDATE app_asset_releases SET created_at = 'x'");
    stage.alter("UPDATE app_jobs SET created_at = 'x'");
    stage.alter("UPDATE landfall_source_group SET updated_at = 'x'");
    ask_the_ledger(&mut scene, &stage, internal).await;
    scene.reached
}

/// A database without its tables.
async fn missing_ledger() -> BTreeSet<Outcome> {
    let stage = Stage::published().await;
    let mut scene = scene_of(&stage);
    stage.break_ledger();
    ask_the_ledger(&mut scene, &stage, (503, "Unavailable")).await;
    scene.reached
}

/// A database server that does not answer, asked about the catalogue in it.
async fn unreachable_ledger() -> BTreeSet<Outcome> {
    let folder = tempfile::tempdir().unwrap();
    let config = stage::config(&folder, true);
    let blobs = stage::local_blobs(&config);
    let app = stage::app_over(config, blobs, BesideCatalogue::unreachable());
    let mut scene = Scene::of(&Arc::new(app));
    for (method, template) in operations_with("503") {
        if template.starts_with("/api/stac") {
            let path = example(template);
            let unavailable = (503, "Unavailable");
            scene.ask((&method, &path), "", unavailable).await;
        }
    }
    scene.reached
}

/// A store of blobs that refuses, and one that does not answer.
async fn failing_blobs() -> BTreeSet<Outcome> {
    let stage = Stage::published().await;
    let mut scene = scene_of(&stage);
    let folder = json!({"source_url": "abfs://bronze/"});
    let file = json!({"nc_url": "abfs://bronze/a.nc"});
    let series = json!({"dataset_id": "a", "resource_id": "b", "source_url": "abfs://bronze/"});
    let inventory = format!("/api/inventory/{NOBODY}");
    for (trouble, expected) in [
        (Trouble::Denied, (500, "InternalError")),
        (Trouble::Down, (503, "Unavailable")),
    ] {
        stage.watched.be_in(Some(trouble));
        for (path, body) in [
            ("/api/platform/submit", &series),
            ("/api/validate", &file),
            ("/api/reference", &file),
            ("/api/inventory", &folder),
            ("/api/replay", &folder),
        ] {
            scene.post(path, body, expected).await;
        }
        scene.get(&inventory, expected).await;
    }
    let of_file = format!("/api/zarr/files/{}/e/.zgroup", store_id("a.nc"));
    for path in [stage.path("v/0"), of_file] {
        scene.read(&path, (503, "Unavailable")).await;
    }
    scene.reached
}

/// Files that are written anew while they are looked at.
async fn changed_sources() -> BTreeSet<Outcome> {
    let stage = Stage::published().await;
    let mut scene = scene_of(&stage);
    stage.watched.be_in(Some(Trouble::Changing));
    for path in ["/api/validate", "/api/reference"] {
        let file = json!({"nc_url": "abfs://bronze/a.nc"});
        scene.post(path, &file, (410, "Gone")).await;
    }
    scene.reached
}

/// A server without a Functions host: nothing without its key, and nothing at all where it has none.
async fn locked() -> BTreeSet<Outcome> {
    let stage = Stage::with(|config| config.http.api_key = Some(String::from("key"))).await;
    let mut scene = scene_of(&stage);
    scene.is_standalone = true;
    for (method, template) in operations_with("401") {
        if !template.starts_with("/api/zarr/") {
            let path = example(template);
            let unauthorized = (401, "Unauthorized");
            scene.ask((&method, &path), "", unauthorized).await;
        }
    }
    let keyless = Stage::closed().await;
    let mut without = scene_of(&keyless);
    without.is_standalone = true;
    for path in ["/api/health/details", "/api/releases"] {
        without.get(path, (404, "NotFound")).await;
    }
    scene.reached.extend(without.reached);
    scene.reached
}

/// Stores that are not for everybody.
async fn closed() -> BTreeSet<Outcome> {
    let stage = Stage::closed().await;
    let mut scene = scene_of(&stage);
    let unauthorized = (401, "Unauthorized");
    scene.read(&stage.path(".zgroup"), unauthorized).await;
    let flow = Flow::with(|config| config.http.open_access = false);
    flow.land("a/2000.nc", 2000);
    flow.announce("a/2000.nc").await;
    let mut of_files = Scene::of(&flow.app);
    let key = format!("{}/.zgroup", store_of(&flow, "a/2000.nc").await);
    of_files.read(&key, unauthorized).await;
    scene.reached.extend(of_files.reached);
    scene.reached
}
