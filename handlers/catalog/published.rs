//! The item as it is published: the cached one, with what an approval adds and what outsiders need not see removed.
//! SPEC §8.
//!
//! Pure: the cached item and the facts of the approval in, the document out. What is cached on the Release stays as
//! it is, so that a Release can be published again.

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use virtualize::cmip6::slug;

use super::tiles;

/// Property prefixes that are for the operators of the pipeline alone.
const INTERNAL: [&str; 2] = ["geoetl:", "processing:"];

/// What a segment of a path keeps as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why a cached item cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicationError {
    /// The cached item is not an item of ours.
    #[error("the cached item has no `{0}`")]
    Missing(&'static str),
}

/// What is known of a Release once a person has approved it.
#[derive(Debug, Clone, Copy)]
pub struct Approval<'a> {
    /// The Release.
    pub release_id: &'a str,
    /// Dataset of its Asset.
    pub dataset_id: &'a str,
    /// Resource of its Asset.
    pub resource_id: &'a str,
    /// The version that the approval gave it.
    pub version_id: &'a str,
    /// Who may see it: `ouo` or `public`.
    pub clearance: &'a str,
    /// Who approved it.
    pub reviewer: &'a str,
    /// When.
    pub approved_at: Timestamp,
}

impl Approval<'_> {
    /// Whether everybody may see it.
    pub fn is_public(&self) -> bool {
        self.clearance == "public"
    }

    /// Id of the published item: `{dataset_id}-{resource_id}-{version_id}` in lower case, where the cached one ends
    /// with the ordinal.
    pub fn item_id(&self) -> String {
        slug(&format!(
            "{}-{}-{}",
            self.dataset_id, self.resource_id, self.version_id
        ))
    }
}

/// Addresses that are written into what is published.
#[derive(Debug, Clone, Copy)]
pub struct Addresses<'a> {
    /// Where users reach the app, without a trailing slash.
    pub public_url: &'a str,
    /// Where TiTiler's xarray routes are, without a trailing slash.
    pub titiler_url: Option<&'a str>,
}

impl Addresses<'_> {
    /// Where a collection is.
    pub fn collection(&self, id: &str) -> String {
        let id = utf8_percent_encode(id, SEGMENT);
        format!("{}/api/stac/collections/{id}", self.public_url)
    }

    /// Where an item is.
    pub fn item(&self, collection: &str, id: &str) -> String {
        let id = utf8_percent_encode(id, SEGMENT);
        format!("{}/items/{id}", self.collection(collection))
    }
}

/// The item that is written to the catalogue.
///
/// The id carries the version, the approval is stamped on as `ddh:*`, internal properties are dropped, and for
/// `public` the links to TiTiler are added. Where the data are stays as it was cached.
///
/// # Errors
///
/// [`PublicationError`] if the cached document is not an item.
pub fn published_item(
    cached: &Value,
    approval: &Approval<'_>,
    addresses: &Addresses<'_>,
) -> Result<Value, PublicationError> {
    let mut item = cached
        .as_object()
        .ok_or(PublicationError::Missing("type"))?
        .clone();
    let collection = item
        .get("collection")
        .and_then(Value::as_str)
        .ok_or(PublicationError::Missing("collection"))?
        .to_owned();
    item.insert(String::from("id"), json!(approval.item_id()));
    let properties = item
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .ok_or(PublicationError::Missing("properties"))?;
    drop_internal(properties);
    properties.extend(stamps(approval));
    if let Some(Value::Object(assets)) = item.get_mut("assets") {
        let assets = assets.values_mut().filter_map(Value::as_object_mut);
        assets.for_each(drop_internal);
    }
    let added = match addresses.titiler_url {
        Some(titiler) if approval.is_public() => tiles::links(&item, titiler),
        _ => Vec::new(),
    };
    let links = published_links(&item, &collection, addresses, added);
    item.insert(String::from("links"), Value::Array(links));
    Ok(Value::Object(item))
}

/// Where TiTiler at `titiler_url` shows an item: the addresses for its first variable, by relation; none where TiTiler
/// can draw nothing of it.
pub fn titiler_links(item: &Value, titiler_url: &str) -> Map<String, Value> {
    let mut out = Map::new();
    let links = item.as_object().map(|item| tiles::links(item, titiler_url));
    for link in links.into_iter().flatten() {
        if let (Some(Value::String(rel)), Some(href)) = (link.get("rel"), link.get("href")) {
            out.entry(rel.clone()).or_insert_with(|| href.clone());
        }
    }
    out
}

fn drop_internal(fields: &mut Map<String, Value>) {
    fields.retain(|name, _| !INTERNAL.iter().any(|prefix| name.starts_with(prefix)));
}

/// What the platform looks for on a published item.
fn stamps(approval: &Approval<'_>) -> Map<String, Value> {
    let at = json!(
        approval
            .approved_at
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    );
    let fields = [
        ("updated", at.clone()),
        ("ddh:status", json!("approved")),
        ("ddh:approved_by", json!(approval.reviewer)),
        ("ddh:approved_at", at),
        ("ddh:access_level", json!(approval.clearance)),
        ("ddh:dataset_id", json!(approval.dataset_id)),
        ("ddh:resource_id", json!(approval.resource_id)),
        ("ddh:version_id", json!(approval.version_id)),
        ("ddh:release_id", json!(approval.release_id)),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// The cached links with the address of the collection as it is now, and what was added to them.
fn published_links(
    item: &Map<String, Value>,
    collection: &str,
    addresses: &Addresses<'_>,
    added: Vec<Value>,
) -> Vec<Value> {
    let cached = item.get("links").and_then(Value::as_array);
    let kept = cached.into_iter().flatten();
    let kept = kept.filter(|link| {
        let rel = link.get("rel").and_then(Value::as_str);
        rel.is_none_or(|rel| rel != "collection" && !tiles::RELS.contains(&rel))
    });
    let collection = json!({
        "rel": "collection",
        "href": addresses.collection(collection),
        "type": "application/json",
    });
    std::iter::once(collection)
        .chain(kept.cloned())
        .chain(added)
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn cached() -> Value {
        json!({
            "type": "Feature",
            "id": "era5-global-ord1",
            "collection": "ERA5",
            "properties": {
                "title": "ERA5", "updated": "2020-01-01T00:00:00Z", "geoetl:job_id": "j", "processing:lineage": "l",
                "cube:dimensions": {
                    "lat": {"type": "spatial", "axis": "y", "extent": [-1.0, 1.0]},
                    "lon": {"type": "spatial", "axis": "x", "extent": [-1.0, 1.0]},
                },
                "cube:variables": {"t": {"type": "data", "dimensions": ["lat", "lon"]}},
            },
            "links": [
                {"rel": "collection", "href": "http://elsewhere/ERA5"},
                {"rel": "store", "href": "https://zarr.example/api/zarr/0a/r1"},
            ],
            "assets": {
                "zarr-store": {"href": "https://zarr.example/api/zarr/0a/r1", "roles": ["data"]},
                "reference": {"href": "abfs://silver/c.json", "processing:level": "L3", "storage:refs": ["a"]},
            },
        })
    }

    fn approval(clearance: &'static str) -> Approval<'static> {
        Approval {
            release_id: "0a",
            dataset_id: "ERA5",
            resource_id: "global",
            version_id: "V2",
            clearance,
            reviewer: "someone@example",
            approved_at: Timestamp::from_second(951_782_400).unwrap(),
        }
    }

    const ADDRESSES: Addresses<'_> = Addresses {
        public_url: "https://zarr.example",
        titiler_url: Some("https://tiles.example"),
    };

    #[test]
    fn a_public_item_is_shown_by_its_first_variable() {
        let links = titiler_links(&cached(), "https://tiles.example");
        let mut rels = tiles::RELS;
        rels.sort_unstable();
        assert_eq!(links.keys().collect::<Vec<_>>(), rels);
        let viewer = links["viewer"].as_str().unwrap();
        assert!(
            viewer.starts_with("https://tiles.example/WebMercatorQuad/map.html?"),
            "{viewer}"
        );
        assert!(titiler_links(&json!({}), "https://tiles.example").is_empty());
    }

    fn rels(item: &Value) -> Vec<&str> {
        let links = item["links"].as_array().unwrap();
        links
            .iter()
            .map(|link| link["rel"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn the_approval_is_stamped_and_the_internal_is_gone() {
        let item = published_item(&cached(), &approval("ouo"), &ADDRESSES).unwrap();
        assert_eq!(item["id"], "era5-global-v2");
        let properties = json!({
            "title": "ERA5",
            "updated": "2000-02-29T00:00:00Z",
            "ddh:status": "approved",
            "ddh:approved_by": "someone@example",
            "ddh:approved_at": "2000-02-29T00:00:00Z",
            "ddh:access_level": "ouo",
            "ddh:dataset_id": "ERA5",
            "ddh:resource_id": "global",
            "ddh:version_id": "V2",
            "ddh:release_id": "0a",
            "cube:dimensions": cached()["properties"]["cube:dimensions"],
            "cube:variables": cached()["properties"]["cube:variables"],
        });
        assert_eq!(item["properties"], properties);
        assert_eq!(
            item["assets"]["zarr-store"],
            cached()["assets"]["zarr-store"]
        );
        let reference = json!({"href": "abfs://silver/c.json", "storage:refs": ["a"]});
        assert_eq!(item["assets"]["reference"], reference);
        assert_eq!(rels(&item), ["collection", "store"]);
        assert_eq!(
            item["links"][0]["href"],
            "https://zarr.example/api/stac/collections/ERA5"
        );
    }

    #[rstest]
    #[case::cleared("public", Some("https://tiles.example"), 5)]
    #[case::official_use_only("ouo", Some("https://tiles.example"), 0)]
    #[case::no_titiler("public", None, 0)]
    fn titiler_is_linked_for_everybody_or_nobody(
        #[case] clearance: &'static str,
        #[case] titiler_url: Option<&'static str>,
        #[case] links: usize,
    ) {
        let addresses = Addresses {
            titiler_url,
            ..ADDRESSES
        };
        let item = published_item(&cached(), &approval(clearance), &addresses).unwrap();
        assert_eq!(rels(&item).len(), 2 + links);
        // Publishing what is published already adds no second set.
        let again = published_item(&item, &approval(clearance), &addresses).unwrap();
        assert_eq!(again, item);
    }

    #[test]
    fn what_is_no_item_is_refused() {
        let error = published_item(&json!({"collection": "a"}), &approval("ouo"), &ADDRESSES);
        assert_eq!(error, Err(PublicationError::Missing("properties")));
    }

    #[test]
    fn names_are_segments_of_an_address() {
        assert_eq!(
            ADDRESSES.item("a b/c", "ü"),
            "https://zarr.example/api/stac/collections/a%20b%2Fc/items/%C3%BC"
        );
    }
}
