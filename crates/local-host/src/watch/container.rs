//! An Event Grid for a container that can be listed, as an emulator's: it lists it again and again, and announces what is
//! there in another version than before, and what went.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::sleep;

use jiff::Timestamp;

use super::{
    blob_event::{Account, Sequencer},
    tracker::{Change, Kind},
};
use crate::{EventSource, event::chain};

/// A blob as a listing tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedBlob {
    /// Its name in the container.
    pub name: String,
    /// Its version.
    pub etag: String,
    /// Its length in bytes.
    pub length: u64,
}

/// Why a container could not be listed.
pub type ListingError = Box<dyn std::error::Error + Send + Sync>;

/// A container that can be listed.
#[async_trait]
pub trait ContainerListing: Send + Sync {
    /// Every blob that is in it now.
    async fn list(&self) -> Result<Vec<ListedBlob>, ListingError>;
}

/// What is watched, and as what it is announced.
#[derive(Debug, Clone)]
pub struct ContainerWatchOptions {
    /// Name of the storage account in events.
    pub account: String,
    /// Name of the container in events.
    pub container: String,
    /// Endings of the names that are announced, compared without regard to case; empty means all.
    pub suffixes: Vec<String>,
    /// Blobs that an earlier watch announced, with their `ETag`s: at the start only what differs from this is announced, and
    /// what of it is not there any more.
    pub known: BTreeMap<String, String>,
    /// How long to wait between two listings.
    pub interval: Duration,
}

/// A watched container.
pub struct ContainerWatch {
    account: Account,
    listing: Box<dyn ContainerListing>,
    interval: Duration,
    suffixes: Vec<String>,
    announced: BTreeMap<String, String>,
    waiting: VecDeque<Change>,
    sequencer: Sequencer,
    has_listed: bool,
}

impl std::fmt::Debug for ContainerWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContainerWatch")
            .field("account", &self.account)
            .field("interval", &self.interval)
            .field("announced", &self.announced.len())
            .finish_non_exhaustive()
    }
}

impl ContainerWatch {
    /// Watches a container from the first time that an event is asked for.
    #[must_use]
    pub fn new(listing: Box<dyn ContainerListing>, options: ContainerWatchOptions) -> Self {
        let suffixes = options.suffixes.iter().map(|s| s.to_ascii_lowercase());
        Self {
            account: Account {
                account: options.account,
                container: options.container,
            },
            listing,
            interval: options.interval,
            suffixes: suffixes.collect(),
            announced: options.known,
            waiting: VecDeque::new(),
            sequencer: Sequencer::default(),
            has_listed: false,
        }
    }

    fn is_wanted(&self, name: &str) -> bool {
        let lower = name.to_ascii_lowercase();
        self.suffixes.is_empty() || self.suffixes.iter().any(|suffix| lower.ends_with(suffix))
    }

    /// Takes note of what is there now; what is new about it waits to be announced.
    fn compare(&mut self, listed: Vec<ListedBlob>, at: Timestamp) {
        let mut gone = std::mem::take(&mut self.announced);
        for blob in listed {
            if !self.is_wanted(&blob.name) {
                continue;
            }
            let before = gone.remove(&blob.name);
            self.announced.insert(blob.name.clone(), blob.etag.clone());
            if before.is_some_and(|etag| etag == blob.etag) {
                continue;
            }
            let kind = Kind::Created {
                etag: blob.etag,
                length: blob.length,
            };
            self.waiting.push_back(Change {
                blob: blob.name,
                kind,
                at,
            });
        }
        let deleted = gone.into_keys().map(|blob| Change {
            blob,
            kind: Kind::Deleted,
            at,
        });
        self.waiting.extend(deleted);
    }
}

#[async_trait]
impl EventSource for ContainerWatch {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(change) = self.waiting.pop_front() {
                let sequencer = self.sequencer.next(change.at);
                return Some(self.account.event(&change, &sequencer));
            }
            if std::mem::replace(&mut self.has_listed, true) {
                sleep(self.interval).await;
            }
            match self.listing.list().await {
                Ok(listed) => self.compare(listed, Timestamp::now()),
                Err(error) => tracing::warn!(
                    blob.container = self.account.container,
                    "Could not list a watched container: {}",
                    chain(&*error)
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Gives its listings in turn, then fails.
    struct Listings(Mutex<VecDeque<Vec<ListedBlob>>>);

    #[async_trait]
    impl ContainerListing for Listings {
        async fn list(&self) -> Result<Vec<ListedBlob>, ListingError> {
            let next = self.0.lock().unwrap().pop_front();
            next.ok_or_else(|| "no more".into())
        }
    }

    /// What is announced of these listings, as `created name etag` or `deleted name`.
    async fn announced(known: &[(&str, &str)], listings: &[&[(&str, &str)]]) -> Vec<String> {
        let blob = |&(name, etag): &(&str, &str)| ListedBlob {
            name: name.to_owned(),
            etag: etag.to_owned(),
            length: 1,
        };
        let listings = listings
            .iter()
            .map(|listing| listing.iter().map(blob).collect());
        let known = known
            .iter()
            .map(|(name, etag)| ((*name).to_owned(), (*etag).to_owned()));
        let options = ContainerWatchOptions {
            account: "account".to_owned(),
            container: "bronze".to_owned(),
            suffixes: vec![".nc".to_owned()],
            known: known.collect(),
            interval: Duration::from_millis(1),
        };
        let mut watch =
            ContainerWatch::new(Box::new(Listings(Mutex::new(listings.collect()))), options);
        let mut told = Vec::new();
        while let Ok(Some(event)) =
            tokio::time::timeout(Duration::from_millis(200), watch.next()).await
        {
            let subject = event["subject"].as_str().unwrap();
            let name = subject
                .strip_prefix("/blobServices/default/containers/bronze/blobs/")
                .unwrap();
            told.push(match event["data"]["eTag"].as_str() {
                Some(etag) => format!("created {name} {etag}"),
                None => format!("deleted {name}"),
            });
        }
        told
    }

    #[tokio::test]
    async fn a_blob_is_announced_when_it_comes_changes_and_goes() {
        let listings: [&[_]; 4] = [
            &[("b.nc", "1"), ("a.txt", "1")],
            &[("a.NC", "1"), ("b.nc", "1")],
            &[("a.NC", "1"), ("b.nc", "2")],
            &[("b.nc", "2")],
        ];
        let told = [
            "created b.nc 1",
            "created a.NC 1",
            "created b.nc 2",
            "deleted a.NC",
        ];
        assert_eq!(announced(&[], &listings).await, told);
    }

    #[tokio::test]
    async fn what_an_earlier_watch_announced_is_news_only_if_it_changed_or_went() {
        let known = [("same.nc", "1"), ("other.nc", "1"), ("gone.nc", "1")];
        let listing: &[_] = &[("other.nc", "2"), ("same.nc", "1")];
        let told = ["created other.nc 2", "deleted gone.nc"];
        assert_eq!(announced(&known, &[listing]).await, told);
    }
}
