//! What is read of a pgSTAC catalogue, and the extents of its collections.

use rstest::rstest;
use serde_json::{Value, json};

use super::super::stac::{Remaining, refresh_extent, storable};
use super::*;
use crate::stores::ledger::{StacFilter, StacWindow};

/// A ledger beside a catalogue.
fn catalogue() -> InDatabase {
    let name = pgstac::with_pgstac();
    InDatabase {
        ledger: ledger_in(&name),
        name,
    }
}

impl InDatabase {
    /// Calls a function of pgSTAC with a document.
    pub(super) fn call(&self, function: &str, document: &Value) {
        self.sql(&format!(
            "SET search_path TO pgstac, public; SELECT {function}($json${document}$json$)"
        ));
    }

    fn make_collection(&self, id: &str, managed_by: Option<&str>) {
        let extent =
            json!({"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [[null, null]]}});
        self.call(
            "create_collection",
            &json!({
                "type": "Collection", "stac_version": "1.1.0", "id": id, "description": "d", "license": "other",
                "links": [], "extent": extent, "ddh:managed_by": managed_by, "title": "by hand",
            }),
        );
    }

    /// Makes an item that lies nowhere known, unless the fields say where, and gives it back.
    fn make_item(&self, collection: &str, id: &str, fields: &Value) -> Value {
        let mut item = json!({
            "type": "Feature", "stac_version": "1.1.0", "id": id, "collection": collection, "links": [], "assets": {},
            "geometry": null,
            "properties": {"datetime": "2000-01-01T00:00:00Z"},
        });
        for (name, value) in fields.as_object().unwrap() {
            item[name] = value.clone();
        }
        self.call("create_item", &storable(&item));
        item
    }

    async fn refresh(&self, collection: &str) -> Remaining {
        let mut client = self.ledger.database.client().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        let remaining = refresh_extent(&transaction, collection).await.unwrap();
        transaction.commit().await.unwrap();
        remaining
    }

    async fn one(&self, collection: &str) -> Value {
        let found = self.ledger.stac_collection(collection).await.unwrap();
        found.unwrap().documents.remove(0)
    }
}

fn window(limit: u32, after: Option<&str>) -> StacWindow {
    StacWindow {
        limit,
        after: after.map(str::to_owned),
    }
}

fn ids(documents: &[Value]) -> Vec<&str> {
    documents
        .iter()
        .map(|found| found["id"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_database_without_pgstac_has_no_catalogue() {
    let bare = InDatabase::new().ledger;
    assert!(!bare.has_catalogue().await.unwrap());
    assert_eq!(bare.stac_collections(&window(1, None)).await.unwrap(), None);
    assert_eq!(bare.stac_collection("a").await.unwrap(), None);
    let (all, window) = (StacFilter::default(), window(1, None));
    assert_eq!(bare.stac_items("a", &all, &window).await.unwrap(), None);
    assert_eq!(bare.stac_item("a", "b").await.unwrap(), None);
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let catalogue = catalogue();
    let ledger = &catalogue.ledger;
    assert!(ledger.has_catalogue().await.unwrap());
    for id in ["b", "B", "c"] {
        catalogue.make_collection(id, None);
    }
    for id in ["3", "10", "é"] {
        catalogue.make_item("b", id, &json!({"bbox": [0, 0, 1, 1]}));
    }
    let first = ledger
        .stac_collections(&window(2, None))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (ids(&first.documents), first.next.as_deref()),
        (vec!["B", "b"], Some("b"))
    );
    let last = ledger
        .stac_collections(&window(2, Some("b")))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((ids(&last.documents), last.next), (vec!["c"], None));
    let first = ledger
        .stac_items("b", &StacFilter::default(), &window(2, None))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (ids(&first.documents), first.next.as_deref()),
        (vec!["10", "3"], Some("3"))
    );
    let last = ledger
        .stac_items("b", &StacFilter::default(), &window(2, Some("3")))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((ids(&last.documents), last.next), (vec!["é"], None));
    let whole = ledger
        .stac_items("b", &StacFilter::default(), &window(3, None))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((whole.documents.len(), whole.next), (3, None));
    let item = ledger
        .stac_item("b", "10")
        .await
        .unwrap()
        .unwrap()
        .documents
        .remove(0);
    assert_eq!(item["collection"], "b");
    assert_eq!(item["bbox"], json!([0, 0, 1, 1]));
    assert_eq!(
        ledger
            .stac_item("c", "10")
            .await
            .unwrap()
            .unwrap()
            .documents,
        Vec::<Value>::new()
    );
    assert_eq!(
        ledger
            .stac_collection("z")
            .await
            .unwrap()
            .unwrap()
            .documents,
        Vec::<Value>::new()
    );
}

/// Items of the year 2000 in Europe, of 2001 across the antimeridian, of one instant in 2002 nowhere, and of 2003 on the
/// equator.
fn make_spread(catalogue: &InDatabase) {
    catalogue.make_collection("c", None);
    let year = |year: u32| {
        let (start, end) = (
            format!("{year}-01-01T00:00:00Z"),
            format!("{year}-12-31T00:00:00Z"),
        );
        json!({"datetime": start, "start_datetime": start, "end_datetime": end})
    };
    let polygon = |west: i32, south: i32, east: i32, north: i32| {
        json!([[
            [west, south],
            [east, south],
            [east, north],
            [west, north],
            [west, south]
        ]])
    };
    let europe = json!({"type": "Polygon", "coordinates": polygon(0, 40, 10, 50)});
    let pacific = json!({"type": "MultiPolygon", "coordinates": [
        polygon(170, -20, 180, 10), polygon(-180, -20, -170, 10)]});
    let equator = json!({"type": "LineString", "coordinates": [[-30, 0], [-20, 0]]});
    let made = [
        (
            "europe",
            json!({"geometry": europe, "properties": year(2000)}),
        ),
        (
            "pacific",
            json!({"geometry": pacific, "properties": year(2001)}),
        ),
        (
            "nowhere",
            json!({"properties": {"datetime": "2002-06-01T00:00:00Z"}}),
        ),
        (
            "equator",
            json!({"geometry": equator, "properties": year(2003)}),
        ),
    ];
    for (id, fields) in made {
        catalogue.make_item("c", id, &fields);
    }
}

fn instant(text: &str) -> Option<jiff::Timestamp> {
    (!text.is_empty()).then(|| text.parse().unwrap())
}

#[rstest]
#[case::all(None, "", "", &["equator", "europe", "nowhere", "pacific"])]
#[case::inside(Some([2.0, 42.0, 3.0, 43.0]), "", "", &["europe"])]
#[case::touching(Some([10.0, 50.0, 20.0, 60.0]), "", "", &["europe"])]
#[case::beside(Some([10.5, 40.0, 20.0, 50.0]), "", "", &[])]
#[case::a_point(Some([5.0, 45.0, 5.0, 45.0]), "", "", &["europe"])]
#[case::a_line(Some([-25.0, -5.0, -25.0, 5.0]), "", "", &["equator"])]
#[case::the_whole_earth(Some([-180.0, -90.0, 180.0, 90.0]), "", "", &["equator", "europe", "pacific"])]
#[case::across_the_antimeridian(Some([175.0, -5.0, -175.0, 5.0]), "", "", &["pacific"])]
#[case::east_of_it(Some([-179.0, -5.0, -175.0, 5.0]), "", "", &["pacific"])]
#[case::around_the_antimeridian(Some([5.0, -90.0, -160.0, 90.0]), "", "", &["europe", "pacific"])]
#[case::one_instant(None, "2000-06-01T00:00:00Z", "2000-06-01T00:00:00Z", &["europe"])]
#[case::its_last_instant(None, "2000-12-31T00:00:00Z", "2000-12-31T00:00:00Z", &["europe"])]
#[case::after_it(None, "2000-12-31T00:00:01Z", "2000-12-31T23:00:00Z", &[])]
#[case::since(None, "2002-06-01T00:00:00Z", "", &["equator", "nowhere"])]
#[case::until(None, "", "2001-01-01T00:00:00Z", &["europe", "pacific"])]
#[case::both(Some([-180.0, -90.0, 180.0, 90.0]), "2001-01-01T00:00:00Z", "", &["equator", "pacific"])]
#[tokio::test]
async fn items_are_found_by_place_and_time(
    #[case] bbox: Option<[f64; 4]>,
    #[case] from: &str,
    #[case] until: &str,
    #[case] expected: &[&str],
) {
    let catalogue = catalogue();
    make_spread(&catalogue);
    let filter = StacFilter {
        bbox,
        from: instant(from),
        until: instant(until),
    };
    let window = window(9, None);
    let found = catalogue.ledger.stac_items("c", &filter, &window).await;
    assert_eq!(ids(&found.unwrap().unwrap().documents), expected);
}

#[tokio::test]
async fn what_is_found_is_read_page_by_page() {
    let catalogue = catalogue();
    make_spread(&catalogue);
    let filter = StacFilter {
        from: instant("2001-01-01T00:00:00Z"),
        ..StacFilter::default()
    };
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let window = window(1, after.as_deref());
        let page = catalogue.ledger.stac_items("c", &filter, &window).await;
        let page = page.unwrap().unwrap();
        found.extend(ids(&page.documents).into_iter().map(str::to_owned));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, ["equator", "nowhere", "pacific"]);
}

fn placed(west: f64, east: f64, start: &str, end: &str) -> Value {
    json!({
        "bbox": [west, -10.0, east, 10.0],
        "properties": {"datetime": start, "start_datetime": start, "end_datetime": end},
    })
}

const UNDATED: &str = "landfall:temporal_source";

#[rstest]
#[case::one(
    &[placed(5.0, 8.0, "2000-01-01T00:00:00Z", "2001-01-01T12:00:00Z")],
    json!([5.0, -10.0, 8.0, 10.0]),
    json!(["2000-01-01T00:00:00Z", "2001-01-01T12:00:00Z"])
)]
#[case::union(
    &[placed(5.0, 8.0, "2000-01-01T00:00:00Z", "2001-01-01T12:00:00Z"),
      placed(-5.0, 6.0, "2000-06-01T00:00:00Z", "2000-07-01T00:00:00Z")],
    json!([-5.0, -10.0, 8.0, 10.0]),
    json!(["2000-01-01T00:00:00Z", "2001-01-01T12:00:00Z"])
)]
#[case::all_across_the_antimeridian(
    &[placed(170.0, -170.0, "2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z"),
      placed(160.0, -175.0, "2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z")],
    json!([160.0, -10.0, -170.0, 10.0]),
    json!(["2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z"])
)]
#[case::some_across_the_antimeridian(
    &[placed(170.0, -170.0, "2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z"),
      placed(1.0, 2.0, "2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z")],
    json!([-180.0, -10.0, 180.0, 10.0]),
    json!(["2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z"])
)]
#[case::of_others_with_heights_and_one_time(
    &[json!({"bbox": [1.0, 2.0, -100.0, 3.0, 4.0, 100.0]})],
    json!([1.0, 2.0, 3.0, 4.0]),
    json!(["2000-01-01T00:00:00Z", "2000-01-01T00:00:00Z"])
)]
#[case::nowhere_and_never(
    &[json!({"properties": {"datetime": "2026-11-21T00:00:00Z", UNDATED: "created"}})],
    json!([-180.0, -90.0, 180.0, 90.0]),
    json!([null, null])
)]
#[tokio::test]
async fn an_extent_is_that_of_the_items(
    #[case] items: &[Value],
    #[case] bbox: Value,
    #[case] interval: Value,
) {
    let catalogue = catalogue();
    catalogue.make_collection("c", Some("landfall"));
    for (number, fields) in items.iter().enumerate() {
        catalogue.make_item("c", &number.to_string(), fields);
    }
    assert_eq!(catalogue.refresh("c").await, Remaining::Items);
    let collection = catalogue.one("c").await;
    assert_eq!(collection["extent"]["spatial"]["bbox"], json!([bbox]));
    assert_eq!(
        collection["extent"]["temporal"]["interval"],
        json!([interval])
    );
    assert_eq!(collection["title"], "by hand", "nothing else is touched");
}

#[tokio::test]
async fn the_extent_shrinks_when_an_item_goes() {
    let catalogue = catalogue();
    catalogue.make_collection("c", Some("landfall"));
    catalogue.make_collection("theirs", None);
    let wide = placed(-50.0, 50.0, "1990-01-01T00:00:00Z", "2001-01-01T00:00:00Z");
    let narrow = placed(1.0, 2.0, "2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z");
    catalogue.make_item("c", "wide", &wide);
    catalogue.make_item("c", "narrow", &narrow);
    catalogue.refresh("c").await;
    catalogue.sql("SET search_path TO pgstac, public; DELETE FROM pgstac.items WHERE id = 'wide'");
    assert_eq!(catalogue.refresh("c").await, Remaining::Items);
    let extent = &catalogue.one("c").await["extent"];
    assert_eq!(extent["spatial"]["bbox"], json!([[1.0, -10.0, 2.0, 10.0]]));
    catalogue
        .sql("SET search_path TO pgstac, public; DELETE FROM pgstac.items WHERE id = 'narrow'");
    assert_eq!(
        catalogue.refresh("c").await,
        Remaining::Empty { is_ours: true }
    );
    assert_eq!(
        catalogue.refresh("theirs").await,
        Remaining::Empty { is_ours: false }
    );
    assert_eq!(catalogue.refresh("none").await, Remaining::Nothing);
}

#[tokio::test]
async fn an_item_is_read_as_it_was_written() {
    let catalogue = catalogue();
    catalogue.make_collection("c", None);
    let february = json!({
        "datetime": "2000-02-01T00:00:00Z", "start_datetime": "2000-02-01T00:00:00Z",
        "end_datetime": "2000-02-29T00:00:00Z", "landfall:calendar": "360_day",
        "landfall:time_range": ["2000-02-01T00:00:00Z", "2000-02-30T00:00:00Z"],
    });
    let cut = json!({"type": "MultiPolygon", "coordinates": [
        [[[170, -20], [180, -20], [180, 10], [170, 10], [170, -20]]],
        [[[-180, -20], [-170, -20], [-170, 10], [-180, 10], [-180, -20]]]]});
    let nowhere = catalogue.make_item("c", "nowhere", &json!({"properties": february}));
    let fields = json!({"geometry": cut, "bbox": [170, -20, -170, 10], "properties": february});
    let somewhere = catalogue.make_item("c", "somewhere", &fields);
    for (id, written) in [("nowhere", nowhere), ("somewhere", somewhere)] {
        let found = catalogue.ledger.stac_item("c", id).await.unwrap().unwrap();
        assert_eq!(found.documents, [written]);
    }
}
