//! The collection that published items belong to, and its extent. SPEC §8.
//!
//! Pure, like [`published`](super::published). A collection is written once, when its first item is published;
//! afterwards its extent alone follows the items, so that what people write into it stays.

use serde_json::{Map, Value, json};

use super::published::{Addresses, Approval};

/// Property that tells a collection of ours, which goes with its last item, from one that somebody else has made.
pub const MANAGED_BY: &str = "ddh:managed_by";

/// Value of [`MANAGED_BY`].
pub const MANAGER: &str = "landfall";

/// What the schema asks for where no item says where it is.
const WHOLE_EARTH: [f64; 4] = [-180.0, -90.0, 180.0, 90.0];

/// Where and when the items of a collection are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extent {
    /// West, south, east, north; west is greater than east across the antimeridian.
    pub bbox: Option<[f64; 4]>,
    /// First instant, ISO 8601.
    pub start: Option<String>,
    /// Last instant, ISO 8601.
    pub end: Option<String>,
}

impl Extent {
    /// The extent of one item. A `datetime` that is only that of its creation says nothing.
    pub fn of_item(item: &Value) -> Self {
        let bbox = item.get("bbox").and_then(Value::as_array);
        let numbers: Vec<f64> = bbox
            .into_iter()
            .flatten()
            .filter_map(Value::as_f64)
            .collect();
        let time = |name: &str| {
            let text = item.get("properties")?.get(name)?.as_str()?;
            Some(text.to_owned())
        };
        Self {
            bbox: <[f64; 4]>::try_from(numbers).ok(),
            start: time("start_datetime"),
            end: time("end_datetime"),
        }
    }

    /// As a collection has it. Where no item says where it is the box is the whole Earth, which is what the schema
    /// leaves, and `landfall:spatial_extent` says that this is not known.
    pub fn to_json(&self) -> Value {
        let mut spatial = json!({"bbox": [self.bbox.unwrap_or(WHOLE_EARTH)]});
        if self.bbox.is_none() {
            spatial["landfall:spatial_extent"] = json!("unknown");
        }
        json!({"spatial": spatial, "temporal": {"interval": [[self.start, self.end]]}})
    }
}

/// The collection of an item that is about to be published, for where there is none yet.
///
/// What the item says of the data's licence goes for the collection; where it says nothing, the licence is
/// `other`, which is STAC's word for one that has to be looked up.
pub fn new_collection(item: &Value, approval: &Approval<'_>, addresses: &Addresses<'_>) -> Value {
    let id = item.get("collection").and_then(Value::as_str);
    let id = id.unwrap_or(approval.dataset_id);
    let license = item
        .get("properties")
        .and_then(|found| found.get("license"));
    let mut out = Map::new();
    let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
    set("type", json!("Collection"));
    set("stac_version", json!("1.1.0"));
    set("stac_extensions", json!([]));
    set("id", json!(id));
    set("title", json!(id));
    set(
        "description",
        json!(format!(
            "Virtual Zarr datasets of {id}: NetCDF files, read where they lie"
        )),
    );
    set(
        "license",
        license.cloned().unwrap_or_else(|| json!("other")),
    );
    set("keywords", json!(["zarr", "netcdf", "virtual"]));
    set("extent", Extent::of_item(item).to_json());
    set(MANAGED_BY, json!(MANAGER));
    set("links", links(id, addresses));
    Value::Object(out)
}

fn links(id: &str, addresses: &Addresses<'_>) -> Value {
    let root = format!("{}/api/stac", addresses.public_url);
    let own = addresses.collection(id);
    json!([
        {"rel": "root", "href": root, "type": "application/json"},
        {"rel": "parent", "href": root, "type": "application/json"},
        {"rel": "self", "href": own, "type": "application/json"},
        {"rel": "items", "href": format!("{own}/items"), "type": "application/geo+json"},
    ])
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rstest::rstest;

    use super::*;

    const ADDRESSES: Addresses<'_> = Addresses {
        public_url: "https://zarr.example",
        titiler_url: None,
    };

    fn approval() -> Approval<'static> {
        Approval {
            release_id: "0a",
            dataset_id: "ERA5",
            resource_id: "global",
            version_id: "v1",
            clearance: "public",
            reviewer: "someone@example",
            approved_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[rstest]
    #[case::known(
        json!({"bbox": [170.0, -20.0, -170.0, 10.0], "properties":
            {"start_datetime": "2000-01-01T00:00:00Z", "end_datetime": "2000-02-29T00:00:00Z"}}),
        json!({"spatial": {"bbox": [[170.0, -20.0, -170.0, 10.0]]},
            "temporal": {"interval": [["2000-01-01T00:00:00Z", "2000-02-29T00:00:00Z"]]}})
    )]
    #[case::unknown(
        json!({"geometry": null, "properties": {"datetime": "2026-01-01T00:00:00Z"}}),
        json!({"spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]], "landfall:spatial_extent": "unknown"},
            "temporal": {"interval": [[null, null]]}})
    )]
    fn the_extent_is_that_of_the_item(#[case] item: Value, #[case] extent: Value) {
        assert_eq!(Extent::of_item(&item).to_json(), extent);
    }

    #[test]
    fn a_collection_is_made_of_its_first_item() {
        let item = json!({"collection": "reanalysis", "properties": {"license": "CC-BY-4.0"}});
        let made = new_collection(&item, &approval(), &ADDRESSES);
        assert_eq!(
            (&made["id"], &made["title"]),
            (&json!("reanalysis"), &json!("reanalysis"))
        );
        assert_eq!(made["license"], "CC-BY-4.0");
        assert_eq!(made[MANAGED_BY], MANAGER);
        assert_eq!(
            made["links"][2]["href"],
            "https://zarr.example/api/stac/collections/reanalysis"
        );
        let unsaid = new_collection(&json!({"properties": {}}), &approval(), &ADDRESSES);
        assert_eq!(
            (&unsaid["id"], &unsaid["license"]),
            (&json!("ERA5"), &json!("other"))
        );
    }
}
