//! The status page and what it asks for.

use std::collections::BTreeSet;

use super::{Outcome, Scene, scene_of};
use crate::http::tests::stage::Stage;
use crate::http::tests::watched::Trouble;

const OVERVIEW: &str = "/api/status/overview";

pub(super) async fn page() -> BTreeSet<Outcome> {
    let stage = Stage::published().await;
    let mut scene = scene_of(&stage);
    for path in ["/api/status", OVERVIEW] {
        seen(&mut scene, path).await;
    }
    let nonsense = format!("{OVERVIEW}?section=nonsense");
    scene.get(&nonsense, (400, "ValidationError")).await;
    let picture = format!("/api/status/picture/{}/r1", stage.release_id);
    scene.get(&picture, (404, "NotFound")).await;
    let other = picture.replace("/r1", "/r9");
    scene.get(&other, (410, "Gone")).await;
    let file = stage.document().with_file_name("thumbnail.png");
    std::fs::write(file, b"a picture").unwrap();
    seen(&mut scene, &picture).await;
    for (range, status) in [("bytes=0-0", 206), ("bytes=99-", 416)] {
        let range = [("range", range)];
        let expected = (status, "");
        scene
            .ask_with(("GET", &picture), &range, "", expected)
            .await;
    }
    stage.watched.be_in(Some(Trouble::Down));
    scene.get(&picture, (503, "Unavailable")).await;
    stage.watched.be_in(None);
    stage.alter("UPDATE landfall_combine_run SET blob_path = x'00'");
    scene.get(&picture, (500, "InternalError")).await;
    scene.reached
}

/// Asked for, and asked for again by who has it.
async fn seen(scene: &mut Scene, path: &str) {
    let first = scene.ask(("GET", path), "", (200, "")).await;
    let known = [("if-none-match", first.headers()["etag"].to_str().unwrap())];
    scene.ask_with(("GET", path), &known, "", (304, "")).await;
}
