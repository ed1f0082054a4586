//! An Event Grid for a folder: announces files that land, change, move or go as the events of a storage container.
//!
//! A file has landed when it was closed after writing or renamed into place; in a folder that has just come, when nobody has
//! it open; where no notice comes (network mounts, hard links, a full table of watches), when it has not changed for a second. Files that are there at the start are announced as
//! well, unless they are known. A rename is a deletion and a creation.

use std::{
    collections::BTreeMap,
    fs::Metadata,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::EventSource;

mod blob_event;
pub(crate) mod container;
mod filter;
mod open_files;
mod tracker;
mod watcher;

use blob_event::{Account, Sequencer};
use filter::Filter;
use tracker::Change;

/// What is watched, and as what it is announced.
#[derive(Debug, Clone)]
pub struct FolderWatchOptions {
    /// The folder.
    pub root: PathBuf,
    /// Name of the storage account in events.
    pub account: String,
    /// Name of the container in events.
    pub container: String,
    /// Endings of the names that are announced, compared without regard to case; empty means all.
    pub suffixes: Vec<String>,
    /// Blobs that an earlier watch announced, with their `ETag`s: at the start only what differs from this is announced, and
    /// what of it is not there any more.
    pub known: BTreeMap<String, String>,
    /// Makes a file's `ETag`.
    pub etag: fn(&Metadata) -> String,
    /// A file that was not closed under our eyes has landed when it is unchanged for this long.
    pub settle: Duration,
    /// How often the folder is listed where notices do not work; with notices a safety net lists it much less often.
    pub poll_interval: Duration,
    /// Whether to ask the system for notices. Without, the folder is polled.
    pub notices: bool,
}

impl FolderWatchOptions {
    /// Watches `root` as container `bronze` of account `local`.
    #[must_use]
    pub fn new(root: &Path, etag: fn(&Metadata) -> String) -> Self {
        Self {
            root: root.to_path_buf(),
            account: "local".to_owned(),
            container: "bronze".to_owned(),
            suffixes: Vec::new(),
            known: BTreeMap::new(),
            etag,
            settle: Duration::from_secs(1),
            poll_interval: Duration::from_secs(1),
            notices: true,
        }
    }

    /// Announces only names with these endings.
    #[must_use]
    pub fn with_suffixes<S: Into<String>>(mut self, suffixes: impl IntoIterator<Item = S>) -> Self {
        self.suffixes = suffixes.into_iter().map(Into::into).collect();
        self
    }
}

/// Why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// It is not there, or not readable.
    #[error("could not watch {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// A watched folder. Dropping it ends the watch.
#[derive(Debug)]
pub struct FolderWatch {
    account: Account,
    sequencer: Sequencer,
    /// What happens now.
    fresh: mpsc::UnboundedReceiver<Change>,
    /// What a listing found; there may be millions, and they must not hold up what happens now.
    backlog: mpsc::UnboundedReceiver<Change>,
}

impl FolderWatch {
    /// Starts to watch; the folder is listed in the background.
    ///
    /// # Errors
    /// When the folder cannot be listed at all.
    pub fn start(options: FolderWatchOptions) -> Result<Self, WatchError> {
        let folder = options.root.clone();
        let failed = |source| WatchError::Folder {
            path: folder.clone(),
            source,
        };
        // Notices come with absolute paths, and the root may be a link.
        let root = folder.canonicalize().map_err(failed)?;
        std::fs::read_dir(&root).map_err(failed)?;
        let account = Account {
            account: options.account.clone(),
            container: options.container.clone(),
        };
        let filter = Filter::new(&options.suffixes);
        let (fresh_in, fresh) = mpsc::unbounded_channel();
        let (backlog_in, backlog) = mpsc::unbounded_channel();
        let watcher = watcher::Watcher::new(root, options, filter, fresh_in, backlog_in);
        std::thread::Builder::new()
            .name("folder-watch".to_owned())
            .spawn(move || watcher.run())
            .map_err(failed)?;
        Ok(Self {
            account,
            sequencer: Sequencer::default(),
            fresh,
            backlog,
        })
    }
}

#[async_trait]
impl EventSource for FolderWatch {
    async fn next(&mut self) -> Option<Value> {
        let change = tokio::select! {
            biased;
            Some(change) = self.fresh.recv() => change,
            Some(change) = self.backlog.recv() => change,
            else => return None,
        };
        Some(self.account.event(&change, &self.sequencer.next(change.at)))
    }
}
