//! What announces the files that land: a watch of the folder that is bronze, or of Azure's containers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use local_host::{
    ContainerListing, ContainerWatch, ContainerWatchOptions, EventSource, FolderWatch,
    FolderWatchOptions, ListedBlob, ListingError,
};

use super::super::stores::{self, AzureSources};
use crate::stores::blobs::{BlobInfo, BlobPath, Blobs, LocalBlobs};
use crate::stores::ledger::{FileState, Ledger, SourceFile};

/// Endings of the names that the event subscription lets through.
const SUFFIXES: [&str; 6] = [".nc", ".nc4", ".cdf", ".h5", ".hdf5", "landfall.json"];

/// What is watched.
pub(super) struct Sources {
    pub(super) watches: Vec<Box<dyn EventSource>>,
    /// Where to drop files, for a person.
    pub(super) bronze: String,
    /// Where references are kept, for a person.
    pub(super) silver: String,
}

/// Watches of the containers that are configured, else of the folder that is bronze.
pub(super) async fn start(
    bronze: &Path,
    silver: &Path,
    list_every: Duration,
    ledger: &dyn Ledger,
) -> anyhow::Result<Sources> {
    let Some(AzureSources { blobs, containers }) = stores::sources_in_azure()? else {
        let options = FolderWatchOptions {
            known: known(ledger, &BlobPath::new("local", "bronze", "")).await?,
            ..FolderWatchOptions::new(bronze, LocalBlobs::etag).with_suffixes(SUFFIXES)
        };
        return Ok(Sources {
            watches: vec![Box::new(FolderWatch::start(options)?)],
            bronze: bronze.display().to_string(),
            silver: silver.display().to_string(),
        });
    };
    let named: Vec<String> = containers.iter().map(BlobPath::to_string).collect();
    let mut watches: Vec<Box<dyn EventSource>> = Vec::new();
    for container in containers {
        let options = ContainerWatchOptions {
            account: container.account.clone(),
            container: container.container.clone(),
            suffixes: SUFFIXES.map(String::from).into(),
            known: known(ledger, &container).await?,
            interval: list_every,
        };
        let blobs = Arc::clone(&blobs);
        let listing = Listing { blobs, container };
        watches.push(Box::new(ContainerWatch::new(Box::new(listing), options)));
    }
    Ok(Sources {
        watches,
        bronze: named.join(", "),
        silver: blobs.silver("").to_string(),
    })
}

/// The files of earlier runs with the version that came to an end, so that a start announces only what changed
/// since, and what went. One that was left halfway has a version that no file has: it is announced again.
async fn known(
    ledger: &dyn Ledger,
    container: &BlobPath,
) -> anyhow::Result<BTreeMap<String, String>> {
    let files = ledger.files_below(container).await;
    let version = |file: SourceFile| match file.state {
        FileState::Referenced | FileState::Rejected => (file.path.blob, file.etag),
        _ => (file.path.blob, String::new()),
    };
    let files = files.context("reading the catalogue")?;
    Ok(files.into_iter().map(version).collect())
}

/// A container of Azure.
struct Listing {
    blobs: Arc<dyn Blobs>,
    container: BlobPath,
}

#[async_trait]
impl ContainerListing for Listing {
    async fn list(&self) -> Result<Vec<ListedBlob>, ListingError> {
        let found: Vec<BlobInfo> = self.blobs.list_pages(&self.container).try_concat().await?;
        let listed = found.into_iter().map(|info| ListedBlob {
            name: info.path.blob,
            etag: info.etag,
            length: info.length,
        });
        Ok(listed.collect())
    }
}
