//! What the STAC catalogue is to hold of an approved Release. SPEC §8.
//!
//! Pure: the Release with its cached item and the facts of the approval in, documents out.

use jiff::Timestamp;
use serde_json::{Value, json};
use virtualize::cmip6::slug;

use crate::stores::ledger::{Clearance, Release, StacDocuments};

/// Why a Release has nothing to publish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicationError {
    /// The cached item is not there, or not an item of ours.
    #[error("the cached item has no `{0}`")]
    Missing(&'static str),
}

/// What is known of an approval.
#[derive(Debug, Clone, Copy)]
pub struct ApprovalFacts<'a> {
    /// The version that the Release has from then on.
    pub version_id: &'a str,
    /// Who may see it.
    pub clearance: Clearance,
    /// Who approved it.
    pub reviewer: &'a str,
    /// When.
    pub approved_at: Timestamp,
}

/// The item and the collection of an approved Release.
///
/// # Errors
///
/// [`PublicationError`] if no item is cached on the Release.
pub fn documents(
    release: &Release,
    facts: &ApprovalFacts<'_>,
) -> Result<StacDocuments, PublicationError> {
    let cached = release.stac_item_json.as_ref();
    let cached = cached.ok_or(PublicationError::Missing("type"))?;
    let name = [&release.dataset_id, &release.resource_id, facts.version_id];
    let item_id = slug(&name.join("-"));
    let collection_id = release.stac_collection_id.clone();
    let collection_id = collection_id.ok_or(PublicationError::Missing("collection"))?;
    let mut item = published_item(cached, facts)?;
    item["id"] = json!(item_id);
    item["properties"]["ddh:release_id"] = json!(release.release_id);
    Ok(StacDocuments {
        collection: collection_for(&item),
        item_id,
        collection_id,
        item,
    })
}

/// The item that is published: stamped with the approval, without what only operators need.
fn published_item(cached: &Value, facts: &ApprovalFacts<'_>) -> Result<Value, PublicationError> {
    let mut item = cached.clone();
    let properties = item.get_mut("properties").and_then(Value::as_object_mut);
    let properties = properties.ok_or(PublicationError::Missing("properties"))?;
    properties.retain(|name, _| !name.starts_with("geoetl:") && !name.starts_with("processing:"));
    let stamps = [
        ("ddh:status", json!("approved")),
        ("ddh:approved_by", json!(facts.reviewer)),
        ("ddh:approved_at", json!(facts.approved_at)),
        ("ddh:access_level", json!(facts.clearance)),
        ("ddh:version_id", json!(facts.version_id)),
    ];
    properties.extend(stamps.map(|(name, value)| (name.to_owned(), value)));
    Ok(item)
}

/// The collection of an item, for where there is none.
fn collection_for(item: &Value) -> Value {
    let id = &item["collection"];
    let properties = &item["properties"];
    json!({
        "type": "Collection", "stac_version": "1.1.0", "id": id, "title": id,
        "description": format!("Collection: {}", id.as_str().unwrap_or_default()),
        "license": "other", "links": [],
        "extent": {
            "spatial": {"bbox": [item.get("bbox").unwrap_or(&json!([-180, -90, 180, 90]))]},
            "temporal": {"interval": [[properties["start_datetime"], properties["end_datetime"]]]},
        },
    })
}
