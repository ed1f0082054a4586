//! The life of a Release beside pgSTAC, from its submission to the end of its references.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Outcome, Scene, read_store};
use crate::http::tests::flow::Flow;
use crate::stores::ledger::BesideCatalogue;

const SUBMIT: &str = "/api/platform/submit";
const APPROVE: &str = "/api/platform/approve";
const REJECT: &str = "/api/platform/reject";
const REVOKE: &str = "/api/platform/revoke";
const UNPUBLISH: &str = "/api/platform/unpublish";
const BY_NAMES: &str = "/api/platform/status?dataset_id=tas&resource_id=demo";

/// The demo series, with further fields.
fn series(more: &Value) -> Value {
    let mut body = json!({
        "dataset_id": "tas", "resource_id": "demo", "source_url": "abfs://bronze/cmip6/",
        "processing_options": {"expected": {"count": 2}},
    });
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

fn approval(release: &str) -> Value {
    json!({"release_id": release, "reviewer": "ada", "clearance_state": "public"})
}

fn objection(release: &str) -> Value {
    json!({"release_id": release, "reviewer": "grace", "reason": "a test"})
}

fn unpublication(release: &str, force_approved: bool) -> Value {
    json!({"release_id": release, "dry_run": false, "force_approved": force_approved})
}

pub(super) async fn life() -> BTreeSet<Outcome> {
    let catalogue = BesideCatalogue::new().await;
    let flow = Flow::over(catalogue.ledger());
    let mut scene = Scene::of(&flow.app);
    let (release, job) = submitted(&mut scene).await;
    for (name, year) in [("cmip6/2000.nc", 2000), ("cmip6/2001.nc", 2001)] {
        flow.land(name, year);
        flow.announce(name).await;
    }
    flow.drain().await;
    followed(&mut scene, &release, &job).await;
    read_store(&mut scene, &format!("/api/zarr/{release}/r1")).await;
    hindered(&mut scene, &catalogue, &release).await;
    approved(&mut scene, &release).await;
    found(&mut scene).await;
    // Another file makes the next Release.
    flow.land("cmip6/2002.nc", 2002);
    flow.announce("cmip6/2002.nc").await;
    flow.drain().await;
    let next = scene.get(BY_NAMES, (200, "")).await;
    let next = next["release"]["release_id"].as_str().unwrap();
    let mut same = approval(next);
    same["version_id"] = json!("v1");
    scene.post(APPROVE, &same, (409, "VersionConflict")).await;
    scene.post(REJECT, &objection(next), (200, "")).await;
    taken_back(&mut scene, &catalogue, &release).await;
    scene.reached.extend(misread(&catalogue).await);
    scene.reached
}

/// A series is declared, and contradicted; nothing of it has landed yet.
async fn submitted(scene: &mut Scene) -> (String, String) {
    let body = series(&json!({}));
    let foreseen = format!("{SUBMIT}?dry_run=true");
    scene.post(&foreseen, &body, (200, "")).await;
    let reply = scene.post(SUBMIT, &body, (202, "")).await;
    scene.post(SUBMIT, &body, (200, "")).await;
    let overwriting = json!({"expected": {"count": 2}, "overwrite": true});
    for (fields, error_type) in [
        (json!({"title": "Another"}), "ReleaseExistsError"),
        (json!({"version_id": "v2"}), "ReleaseStateError"),
        (
            json!({"version_id": "v2", "previous_version_id": "v1", "processing_options": overwriting}),
            "VersionConflict",
        ),
    ] {
        scene
            .post(SUBMIT, &series(&fields), (409, error_type))
            .await;
    }
    let id = |name: &str| reply[name].as_str().unwrap().to_owned();
    let (release, job) = (id("release_id"), id("job_id"));
    let status = format!("/api/platform/status/{release}");
    scene.get(&status, (202, "")).await;
    scene.get(BY_NAMES, (202, "")).await;
    let item = format!("/api/releases/{release}/stac");
    let too_early = (409, "ReleaseStateError");
    scene.ask(("PUT", &item), "", too_early).await;
    let too_early = (400, "ApprovalFailed");
    scene.post(APPROVE, &approval(&release), too_early).await;
    (release, job)
}

/// A combined series.
async fn followed(scene: &mut Scene, release: &str, job: &str) {
    for path in [
        format!("/api/platform/status/{release}"),
        String::from(BY_NAMES),
        format!("/api/jobs/status/{job}?verbose=true"),
        format!("/api/dbadmin/tasks/{job}"),
        format!("/api/releases/{release}"),
        String::from("/api/releases"),
        String::from("/api/platform/approvals"),
        format!("/api/platform/approvals/{release}"),
    ] {
        scene.get(&path, (200, "")).await;
    }
    let item = format!("/api/releases/{release}/stac");
    scene.ask(("PUT", &item), "", (200, "")).await;
    let token = format!("/api/releases/{release}/token");
    scene.post(&token, &json!({}), (200, "")).await;
}

/// What stands in the way of an approval: its state, a catalogue that fails, somebody else's item in its place.
async fn hindered(scene: &mut Scene, catalogue: &BesideCatalogue, release: &str) {
    let again = json!({"rematerialize": true, "release_id": release});
    let not_approved = (409, "ReleaseStateError");
    scene.post(APPROVE, &again, not_approved).await;
    let not_approved = (400, "RevocationFailed");
    scene.post(REVOKE, &objection(release), not_approved).await;
    catalogue.break_function("create_item", "data jsonb");
    let failed = (500, "StacMaterializationError");
    scene.post(APPROVE, &approval(release), failed).await;
    catalogue.mend_function("create_item", "data jsonb");
    catalogue.sql(
        r#"SET search_path TO pgstac, public; SELECT create_collection('{"id": "tas", "type": "Collection"}');
           SELECT create_item('{"id": "tas-demo-v1", "collection": "tas", "type": "Feature",
               "geometry": {"type": "Point", "coordinates": [0, 0]}, "properties": {"datetime": "2000-01-01T00:00:00Z"}}')"#,
    );
    let occupied = (409, "StacMaterializationError");
    let refused = scene.post(APPROVE, &approval(release), occupied).await;
    assert_eq!(
        [&refused["stac_collection_id"], &refused["stac_item_id"]],
        [&json!("tas"), &json!("tas-demo-v1")]
    );
    let mut trial = approval(release);
    trial["dry_run"] = json!(true);
    let trial = scene.post(APPROVE, &trial, (200, "")).await;
    assert_eq!(trial["blocked_reason"], refused["error"], "foreseen");
    catalogue.sql("SET search_path TO pgstac, public; DELETE FROM items");
}

/// An approval, and what it excludes.
async fn approved(scene: &mut Scene, release: &str) {
    scene.post(APPROVE, &approval(release), (200, "")).await;
    let too_late = (400, "RejectionFailed");
    scene.post(REJECT, &objection(release), too_late).await;
    let unpublication = unpublication(release, false);
    let still_approved = (409, "ReleaseStateError");
    scene.post(UNPUBLISH, &unpublication, still_approved).await;
}

/// What is published, and what tells about the app.
async fn found(scene: &mut Scene) {
    for path in [
        "/api/stac",
        "/api/stac/conformance",
        "/api/stac/collections",
        "/api/stac/collections/tas",
        "/api/stac/collections/tas/items?bbox=-180,-90,180,90&datetime=2000-06-01T00:00:00Z",
        "/api/stac/collections/tas/items/tas-demo-v1",
        "/api/openapi.json",
        "/api/livez",
        "/api/readyz",
        "/api/health",
        "/api/health/details",
    ] {
        scene.get(path, (200, "")).await;
    }
    for path in ["none", "none/items", "tas/items/none"] {
        let path = format!("/api/stac/collections/{path}");
        scene.get(&path, (404, "NotFound")).await;
    }
}

/// Revoked and unpublished, against a catalogue that fails at first.
async fn taken_back(scene: &mut Scene, catalogue: &BesideCatalogue, release: &str) {
    let unpublication = unpublication(release, true);
    let failed = (500, "StacMaterializationError");
    catalogue.break_function("delete_item", "_id text, _collection text");
    scene.post(REVOKE, &objection(release), failed).await;
    scene.post(UNPUBLISH, &unpublication, failed).await;
    catalogue.mend_function("delete_item", "_id text, _collection text");
    scene.post(REVOKE, &objection(release), (200, "")).await;
    let token = format!("/api/releases/{release}/token");
    let withdrawn = (409, "ReleaseStateError");
    scene.post(&token, &json!({}), withdrawn).await;
    scene.post(UNPUBLISH, &unpublication, (200, "")).await;
}

/// A catalogue whose documents are not what they were.
async fn misread(catalogue: &BesideCatalogue) -> BTreeSet<Outcome> {
    catalogue.sql(
        "CREATE SCHEMA misread;
         CREATE TABLE misread.collections AS SELECT 'tas' AS id, 'x'::text AS content;
         CREATE TABLE misread.items AS SELECT id, collection, geometry, datetime, end_datetime
             FROM pgstac.items WHERE false;
         INSERT INTO misread.items VALUES ('tas-demo-v1', 'tas');
         CREATE FUNCTION misread.get_item(text, text) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
         ALTER SCHEMA pgstac RENAME TO kept; ALTER SCHEMA misread RENAME TO pgstac",
    );
    let flow = Flow::over(catalogue.ledger());
    let mut scene = Scene::of(&flow.app);
    for path in ["", "/tas", "/tas/items", "/tas/items/tas-demo-v1"] {
        let path = format!("/api/stac/collections{path}");
        scene.get(&path, (500, "InternalError")).await;
    }
    scene.reached
}
