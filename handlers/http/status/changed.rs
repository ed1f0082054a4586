//! Sources of approved Releases that are not what they were when they were combined. SPEC §6.

use serde_json::{Value, json};
use virtualize::rules::{Finding, Grade};

use crate::http::App;
use crate::stores::ledger::{FileState, LedgerError, Release, ReleaseSource, Which};

/// An approved Release with those of its sources that were overwritten or deleted.
#[derive(Debug)]
pub(super) struct Changed {
    release_id: String,
    version_id: Option<String>,
    sources: Vec<ReleaseSource>,
}

/// The approved ones of these Releases whose sources have changed.
pub(super) async fn changed(app: &App, releases: &[Release]) -> Result<Vec<Changed>, LedgerError> {
    let mut changed = Vec::new();
    for release in releases
        .iter()
        .filter(|release| release.approval_state == "approved")
    {
        let sources = app
            .ledger
            .release_sources(&release.release_id, Which::Changed);
        let sources = sources.await?;
        if !sources.is_empty() {
            changed.push(Changed {
                release_id: release.release_id.clone(),
                version_id: release.version_id.clone(),
                sources,
            });
        }
    }
    Ok(changed)
}

impl Changed {
    /// The Release with its files, as the status tells of them.
    pub(super) fn listed(&self) -> Value {
        let files = self.sources.iter().map(|source| {
            json!({
                "url": source.file.path.short(),
                "state": source.file.state,
                "combined_etag": source.etag,
                "etag": (source.file.state != FileState::Gone).then_some(&source.file.etag),
            })
        });
        json!({
            "release_id": self.release_id,
            "version_id": self.version_id,
            "files": files.collect::<Vec<_>>(),
        })
    }

    /// A finding for each file.
    pub(super) fn warnings(&self) -> impl Iterator<Item = Value> {
        let version = self.version_id.as_deref().unwrap_or(&self.release_id);
        self.sources.iter().map(move |source| {
            let happened = match source.file.state {
                FileState::Gone => "was deleted",
                _ => "was overwritten",
            };
            let message = format!("{happened} after {version}, which is made of it, was approved");
            let finding = Finding::graded(Grade::Critical, "source_changed", None, message);
            json!({"file": source.file.path.file_name(), "finding": finding})
        })
    }
}
