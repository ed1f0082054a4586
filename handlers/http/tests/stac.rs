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
    assert_eq!(
        landing["conformsTo"],
        json!(["https://api.stacspec.org/v1.0.0/core"])
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
#[case::unknown("ids=1", "there is no parameter `ids`")]
#[tokio::test]
async fn a_window_that_makes_no_sense_is_refused(#[case] query: &str, #[case] error: &str) {
    let stage = Stage::published().await;
    for path in ["collections", "collections/numbers/items"] {
        let answer = stage.get(&format!("/api/stac/{path}?{query}")).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(json_of(answer.body())["description"], error);
    }
}

/// What only a list of items is asked for.
#[rstest]
#[case::no_box("bbox=1,2,3", "bbox: it has 4 or 6 numbers with commas between them")]
#[case::upside_down("bbox=1,20,3,4", "bbox: its south is north of its north")]
#[case::no_time("datetime=2000", "datetime is `2000`; it is an instant such as")]
#[case::backwards(
    "datetime=2001-01-01T00:00:00Z/2000-01-01T00:00:00Z",
    "it ends before it begins"
)]
#[tokio::test]
async fn a_place_or_time_that_makes_no_sense_is_refused(#[case] query: &str, #[case] error: &str) {
    let stage = Stage::published().await;
    let path = format!("/api/stac/collections/numbers/items?{query}");
    let answer = stage.get(&path).await;
    assert_eq!(answer.status(), 400);
    let said = json_of(answer.body())["description"].clone();
    assert!(said.as_str().unwrap().contains(error), "{said}");
    let of_collections = format!("/api/stac/collections?{query}");
    assert_eq!(stage.get(&of_collections).await.status(), 400);
}
