//! Verdicts beside the documents that they are about: `combined.verified.json` beside `combined.json`. SPEC §7.
//!
//! A verdict only saves work. One that is lost or cannot be read means that everything is compared afresh.

use std::sync::Arc;

use virtualize::combine::verify::Verdict;

use crate::stores::blobs::{BlobError, BlobPath, Blobs, PutCondition};

/// Name of the verdict on a document.
pub fn verdict_name(document: &str) -> String {
    let stem = document.strip_suffix(".json").unwrap_or(document);
    format!("{stem}.verified.json")
}

fn beside(document: &BlobPath) -> BlobPath {
    document.sibling(verdict_name(&document.blob))
}

/// The verdict on a document; `None` where there is none that can be read.
pub async fn load_verdict(blobs: &Arc<dyn Blobs>, document: &BlobPath) -> Option<Verdict> {
    let (bytes, _) = blobs.get(&beside(document)).await.ok()?;
    parse_verdict(&bytes)
}

/// A verdict from its bytes.
pub fn parse_verdict(bytes: &[u8]) -> Option<Verdict> {
    let parsed = serde_json::from_slice(bytes);
    parsed
        .inspect_err(|error| tracing::warn!("Ignored a verdict that cannot be read: {error}"))
        .ok()
}

/// The bytes of a verdict.
pub fn render_verdict(verdict: &Verdict) -> Vec<u8> {
    serde_json::to_vec(verdict).unwrap_or_default()
}

/// Keeps the verdict on a document.
///
/// # Errors
///
/// [`BlobError`].
pub async fn store_verdict(
    blobs: &Arc<dyn Blobs>,
    document: &BlobPath,
    verdict: &Verdict,
) -> Result<(), BlobError> {
    let (at, bytes) = (beside(document), render_verdict(verdict).into());
    blobs.put(&at, bytes, PutCondition::Always).await.map(drop)
}
