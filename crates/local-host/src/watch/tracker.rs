//! What is known of a folder's files, and what is worth announcing. No IO: the watcher says what it saw.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::filter::Filter;

/// Something to announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) blob: String,
    pub(super) kind: Kind,
    pub(super) at: Timestamp,
}

/// What happened to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// It landed, or a new version of it.
    Created { etag: String, length: u64 },
    /// It went.
    Deleted,
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Print {
    pub(super) length: u64,
    pub(super) modified_ns: i128,
    pub(super) inode: u64,
}

/// A file as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) print: Print,
    pub(super) etag: String,
    /// Whether it can be taken for finished: closed, renamed into place, or old enough.
    pub(super) landed: bool,
}

/// The state of a watch. Paths are relative to the root.
#[derive(Debug)]
pub(super) struct Tracker {
    filter: Filter,
    settle: Duration,
    announced: BTreeMap<PathBuf, Version>,
    pending: BTreeMap<PathBuf, Pending>,
}

/// The version of a file that was announced last.
#[derive(Debug)]
enum Version {
    /// By an earlier watch; all that is known is its `ETag`.
    Known(String),
    /// By this one.
    Seen(Print),
}

impl Version {
    fn is(&self, seen: &Seen) -> bool {
        match self {
            Self::Known(etag) => *etag == seen.etag,
            Self::Seen(print) => *print == seen.print,
        }
    }
}

#[derive(Debug)]
struct Pending {
    print: Print,
    since: Instant,
}

impl Tracker {
    /// A tracker for a folder of which earlier watches announced the `known` blobs, with these `ETag`s.
    pub(super) fn new(filter: Filter, settle: Duration, known: BTreeMap<String, String>) -> Self {
        let announced = known
            .into_iter()
            .map(|(blob, etag)| (PathBuf::from(blob), Version::Known(etag)));
        Self {
            filter,
            settle,
            announced: announced.collect(),
            pending: BTreeMap::new(),
        }
    }

    /// Takes note of a file; gives what there is to announce. A file that may still be written has to be seen again
    /// unchanged first.
    pub(super) fn see(&mut self, path: &Path, seen: Seen, now: Instant) -> Option<Change> {
        let blob = self.filter.blob_name(path)?;
        if let Some(version) = self
            .announced
            .get_mut(path)
            .filter(|version| version.is(&seen))
        {
            *version = Version::Seen(seen.print);
            self.pending.remove(path);
            return None;
        }
        if !seen.landed && !self.is_still(path, seen.print, now) {
            return None;
        }
        self.pending.remove(path);
        self.announced
            .insert(path.to_path_buf(), Version::Seen(seen.print));
        let kind = Kind::Created {
            etag: seen.etag,
            length: seen.print.length,
        };
        Some(Change {
            blob,
            kind,
            at: Timestamp::now(),
        })
    }

    fn is_still(&mut self, path: &Path, print: Print, now: Instant) -> bool {
        match self.pending.get(path) {
            Some(pending) if pending.print == print => {
                now.duration_since(pending.since) >= self.settle
            }
            _ => {
                self.pending
                    .insert(path.to_path_buf(), Pending { print, since: now });
                false
            }
        }
    }

    /// Takes note that a file, or a folder with all that was in it, is no more.
    pub(super) fn gone(&mut self, path: &Path) -> Vec<Change> {
        self.pending.retain(|known, _| !known.starts_with(path));
        // Paths compare part by part, so what lies below a path follows it directly.
        let gone: Vec<PathBuf> = self
            .announced
            .range(path.to_path_buf()..)
            .map(|(known, _)| known)
            .take_while(|known| known.starts_with(path))
            .cloned()
            .collect();
        gone.iter()
            .filter_map(|known| {
                self.announced.remove(known);
                Some(Change {
                    blob: self.filter.blob_name(known)?,
                    kind: Kind::Deleted,
                    at: Timestamp::now(),
                })
            })
            .collect()
    }

    /// Files that have been announced, for comparison with a listing.
    pub(super) fn announced(&self) -> impl Iterator<Item = &PathBuf> {
        self.announced.keys()
    }

    /// Files that may still be written, of which it is time to take another look.
    pub(super) fn to_look_at(&self, now: Instant) -> Vec<PathBuf> {
        let due = |pending: &Pending| now.duration_since(pending.since) >= self.settle;
        self.pending
            .iter()
            .filter(|(_, pending)| due(pending))
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// Whether any file may still be written.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(1);

    fn tracker() -> Tracker {
        Tracker::new(Filter::new(&[".nc".to_owned()]), SETTLE, BTreeMap::new())
    }

    fn seen(length: u64, landed: bool) -> Seen {
        let print = Print {
            length,
            modified_ns: 1,
            inode: 1,
        };
        Seen {
            print,
            etag: length.to_string(),
            landed,
        }
    }

    #[test]
    fn a_landed_file_is_announced_once_and_again_when_it_changes() {
        let (mut tracker, now) = (tracker(), Instant::now());
        let path = Path::new("a.nc");
        assert!(tracker.see(path, seen(1, true), now).is_some());
        assert_eq!(tracker.see(path, seen(1, true), now), None);
        assert!(tracker.see(path, seen(2, true), now).is_some());
    }

    #[test]
    fn an_open_file_is_announced_when_it_has_been_still() {
        let (mut tracker, start) = (tracker(), Instant::now());
        let path = Path::new("a.nc");
        assert_eq!(tracker.see(path, seen(1, false), start), None);
        assert!(tracker.to_look_at(start + SETTLE / 2).is_empty());
        assert_eq!(
            tracker.see(path, seen(2, false), start + SETTLE),
            None,
            "it grew"
        );
        assert_eq!(tracker.see(path, seen(2, false), start + SETTLE), None);
        assert_eq!(tracker.to_look_at(start + SETTLE * 2), [path]);
        assert!(
            tracker
                .see(path, seen(2, false), start + SETTLE * 2)
                .is_some()
        );
        assert!(!tracker.has_pending());
    }

    #[test]
    fn with_a_folder_goes_what_was_in_it_and_nothing_else() {
        let (mut tracker, now) = (tracker(), Instant::now());
        for path in ["d/a.nc", "d/e/b.nc", "d-x/c.nc", "d.nc"] {
            assert!(tracker.see(Path::new(path), seen(1, true), now).is_some());
        }
        let gone: Vec<String> = tracker
            .gone(Path::new("d"))
            .into_iter()
            .map(|change| change.blob)
            .collect();
        assert_eq!(gone, ["d/a.nc", "d/e/b.nc"]);
        assert_eq!(tracker.announced().count(), 2);
    }

    #[test]
    fn what_was_never_announced_is_not_deleted() {
        let (mut tracker, now) = (tracker(), Instant::now());
        let path = Path::new("a.nc");
        assert_eq!(tracker.see(path, seen(1, false), now), None);
        assert_eq!(tracker.gone(path), []);
        assert!(!tracker.has_pending());
    }

    #[test]
    fn what_an_earlier_watch_announced_is_news_only_if_it_changed_or_went() {
        let known =
            ["same.nc", "other.nc", "gone.nc"].map(|name| (name.to_owned(), "1".to_owned()));
        let mut tracker = Tracker::new(Filter::new(&[]), SETTLE, known.into());
        let now = Instant::now();
        assert_eq!(tracker.see(Path::new("same.nc"), seen(1, true), now), None);
        assert!(
            tracker
                .see(Path::new("same.nc"), seen(2, true), now)
                .is_some()
        );
        assert!(
            tracker
                .see(Path::new("other.nc"), seen(3, true), now)
                .is_some()
        );
        assert_eq!(tracker.gone(Path::new("gone.nc")).len(), 1);
    }
}
