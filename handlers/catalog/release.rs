//! What the STAC catalogue is to hold of an approved Release: its item and its collection. SPEC §8.
//!
//! Pure: the Release with its cached item and the facts of the approval in, documents out.

use jiff::Timestamp;

use super::collection::new_collection;
use super::published::{Addresses, Approval, PublicationError, published_item};
use crate::stores::ledger::{Clearance, Release, StacDocuments};

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
/// [`PublicationError`] if no item is cached on the Release, or what is cached is none.
pub fn documents(
    release: &Release,
    facts: &ApprovalFacts<'_>,
    addresses: &Addresses<'_>,
) -> Result<StacDocuments, PublicationError> {
    let approval = Approval {
        release_id: &release.release_id,
        dataset_id: &release.dataset_id,
        resource_id: &release.resource_id,
        version_id: facts.version_id,
        clearance: facts.clearance.as_str(),
        reviewer: facts.reviewer,
        approved_at: facts.approved_at,
    };
    let missing = PublicationError::Missing;
    let cached = release.stac_item_json.as_ref().ok_or(missing("type"))?;
    let item = published_item(cached, &approval, addresses)?;
    let collection_id = item.get("collection").and_then(|id| id.as_str());
    Ok(StacDocuments {
        item_id: approval.item_id(),
        collection_id: collection_id.ok_or(missing("collection"))?.to_owned(),
        collection: new_collection(&item, &approval, addresses),
        item,
    })
}
