//! The STAC catalogue that may stand beside the ledger: pages of documents, and the extent of a collection.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::LedgerError;

/// Property that tells a collection of ours, which goes with its last item, from one that somebody else has made.
pub const MANAGED_BY: &str = "ddh:managed_by";

/// Value of [`MANAGED_BY`].
pub const MANAGER: &str = "landfall";

/// What the schema asks for where no item says where it is.
const WHOLE_EARTH: [f64; 4] = [-180.0, -90.0, 180.0, 90.0];

/// What is published in the STAC catalogue. `None` wherever there is none beside the ledger.
#[async_trait]
pub trait StacCatalog: Send + Sync {
    /// Whether there is a catalogue.
    async fn has_catalogue(&self) -> Result<bool, LedgerError>;

    /// Collections by id.
    async fn stac_collections(&self, window: &StacWindow) -> Result<Option<StacPage>, LedgerError>;

    /// A collection; a page of none where there is no such collection.
    async fn stac_collection(&self, id: &str) -> Result<Option<StacPage>, LedgerError>;

    /// Items of a collection by id, those that the filter lets through.
    async fn stac_items(
        &self,
        collection: &str,
        filter: &StacFilter,
        window: &StacWindow,
    ) -> Result<Option<StacPage>, LedgerError>;

    /// An item; a page of none where there is no such item.
    async fn stac_item(&self, collection: &str, id: &str) -> Result<Option<StacPage>, LedgerError>;
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StacWindow {
    /// So many documents at most.
    pub limit: u32,
    /// Those after the document with this id.
    pub after: Option<String>,
}

impl StacWindow {
    /// One row more than wanted, which shows whether there is more.
    pub(super) fn beyond(&self) -> i64 {
        i64::from(self.limit) + 1
    }
}

/// Where and when the wanted items are; one that says nothing lets everything through.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StacFilter {
    /// West, south, east, north, which the geometry meets; west is greater than east across the antimeridian.
    pub bbox: Option<[f64; 4]>,
    /// The item's time does not end before.
    pub from: Option<Timestamp>,
    /// The item's time does not begin after.
    pub until: Option<Timestamp>,
}

impl StacFilter {
    /// The box, in two where it goes across the antimeridian.
    pub(super) fn boxes(&self) -> Vec<[f64; 4]> {
        match self.bbox {
            None => Vec::new(),
            Some([west, south, east, north]) if west > east => {
                vec![[west, south, 180.0, north], [-180.0, south, east, north]]
            }
            Some(bbox) => vec![bbox],
        }
    }
}

/// A part of a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StacPage {
    /// The documents.
    pub documents: Vec<Value>,
    /// Id of the last one, where more follow.
    pub next: Option<String>,
}

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
        if self.bbox.is_none()
            && let Some(fields) = spatial.as_object_mut()
        {
            fields.insert(String::from("landfall:spatial_extent"), json!("unknown"));
        }
        json!({"spatial": spatial, "temporal": {"interval": [[self.start, self.end]]}})
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

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
}
