//! The collection that published items belong to, and its extent. SPEC §8.
//!
//! Pure, like [`published`](super::published). A collection is written once, when its first item is published;
//! afterwards its extent alone follows the items, so that what people write into it stays.

use serde_json::{Map, Value, json};

use super::published::{Addresses, Approval};
use crate::stores::ledger::{Extent, MANAGED_BY, MANAGER};

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
