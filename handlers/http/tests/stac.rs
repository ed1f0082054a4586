//! The STAC routes where there is no catalogue; `tests/lifecycle.rs` has them where there is one.

use rstest::rstest;
use serde_json::json;

use super::stage::Stage;
use super::*;

#[tokio::test]
async fn the_catalogue_says_that_it_is_absent() {
    let stage = Stage::published().await;
    let answer = stage.get("/api/stac").await;
    assert_eq!(answer.status(), 200);
    let landing = json_of(answer.body());
    assert_eq!(
        (&landing["type"], &landing["landfall:catalogue"]),
        (&json!("Catalog"), &json!("absent"))
    );
    let conformance = json_of(stage.get("/api/stac/conformance").await.body());
    assert_eq!(conformance, json!({"conformsTo": landing["conformsTo"]}));
}

#[rstest]
#[case::collections("/api/stac/collections")]
#[case::collection("/api/stac/collections/numbers")]
#[case::items("/api/stac/collections/numbers/items")]
#[case::item("/api/stac/collections/numbers/items/numbers-all-v1")]
#[tokio::test]
async fn nothing_is_found_in_an_absent_catalogue(#[case] path: &str) {
    let stage = Stage::published().await;
    let answer = stage.get(path).await;
    assert_eq!(answer.status(), 404);
    let document = json_of(answer.body());
    assert_eq!(document["code"], "NotFound");
    assert_eq!(document["catalogue"], "absent");
    assert_eq!(document["description"], document["error"]);
    let said = document["description"].as_str().unwrap();
    assert!(said.contains("pgSTAC"), "{said}");
}

#[rstest]
#[case::no_number("limit=ten", "limit is a whole number from 1")]
#[case::nothing("limit=0", "limit is a whole number from 1")]
#[case::negative("limit=-1", "limit is a whole number from 1")]
#[case::unknown("bbox=1,2,3,4", "there is no parameter `bbox`")]
#[tokio::test]
async fn a_window_that_makes_no_sense_is_refused(#[case] query: &str, #[case] error: &str) {
    let stage = Stage::published().await;
    for path in ["collections", "collections/numbers/items"] {
        let answer = stage.get(&format!("/api/stac/{path}?{query}")).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(json_of(answer.body())["description"], error);
    }
}
