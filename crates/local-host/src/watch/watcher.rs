//! The thread behind a watch: turns the system's notices and listings of the folder into what the tracker needs.

use std::{
    collections::{BTreeMap, HashSet},
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant, SystemTime},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    FolderWatchOptions,
    filter::Filter,
    open_files::OpenFiles,
    tracker::{Change, Print, Seen, Tracker},
};

/// With notices the folder is still listed this often, as notices can be lost.
const SAFETY_LISTING: Duration = Duration::from_secs(30);

/// A listing may take up no more than one part in this many of the time.
const LISTING_SHARE: u32 = 20;

/// Longest sleep, after which the thread looks whether anybody still listens.
const TICK: Duration = Duration::from_millis(500);

/// A folder that has just come is walked again after this: files that came into it before notices of them were asked for
/// would else wait for the listing.
const SECOND_WALK: Duration = Duration::from_millis(100);

/// What a notice asks for.
enum Notice {
    /// This file is complete.
    Landed(PathBuf),
    /// Something happened here.
    Touched(PathBuf),
    /// Notices were lost.
    Lost,
}

pub(super) struct Watcher {
    root: PathBuf,
    options: FolderWatchOptions,
    tracker: Tracker,
    /// Folders that have just come, and when to walk them again.
    new_folders: BTreeMap<PathBuf, Instant>,
    fresh: UnboundedSender<Change>,
    backlog: UnboundedSender<Change>,
}

impl Watcher {
    pub(super) fn new(
        root: PathBuf,
        mut options: FolderWatchOptions,
        filter: Filter,
        fresh: UnboundedSender<Change>,
        backlog: UnboundedSender<Change>,
    ) -> Self {
        Self {
            root,
            tracker: Tracker::new(filter, options.settle, std::mem::take(&mut options.known)),
            options,
            new_folders: BTreeMap::new(),
            fresh,
            backlog,
        }
    }

    /// Runs until nobody listens any more.
    pub(super) fn run(mut self) {
        let (sender, notices) = channel();
        // The watch comes before the first listing, so that nothing falls between the two.
        let watch = self.ask_for_notices(sender);
        let interval = if watch.is_some() {
            SAFETY_LISTING
        } else {
            self.options.poll_interval
        };
        let mut next_listing = Instant::now();
        // The first listing is soon repeated: what came while the watch was set up has been seen to slip through both.
        let mut pause = self.options.settle.min(interval);
        while !self.fresh.is_closed() {
            if Instant::now() >= next_listing {
                let started = Instant::now();
                self.list();
                next_listing = Instant::now() + pause.max(started.elapsed() * LISTING_SHARE);
                pause = interval;
            }
            if self.take_notices(&notices, next_listing) {
                next_listing = Instant::now();
            }
            for path in self.tracker.to_look_at(Instant::now()) {
                self.look(&path, false);
            }
            self.walk_again(Instant::now());
        }
    }

    fn walk_again(&mut self, now: Instant) {
        let due: Vec<PathBuf> = self
            .new_folders
            .extract_if(.., |_, at| *at <= now)
            .map(|(folder, _)| folder)
            .collect();
        for folder in due {
            self.walk_new(&folder);
        }
    }

    fn ask_for_notices(&self, sender: Sender<Notice>) -> Option<RecommendedWatcher> {
        if !self.options.notices {
            return None;
        }
        let on_event = move |event: notify::Result<Event>| {
            for notice in event.map_or_else(|_| vec![Notice::Lost], read_notices) {
                drop(sender.send(notice));
            }
        };
        // The listing does not follow links to folders, so notices from behind them would be half the story.
        let config = notify::Config::default().with_follow_symlinks(false);
        let watch = RecommendedWatcher::new(on_event, config).and_then(|mut watch| {
            watch.watch(&self.root, RecursiveMode::Recursive)?;
            Ok(watch)
        });
        watch
            .inspect_err(|error| {
                tracing::warn!("The folder is polled, as it cannot be watched: {error}")
            })
            .ok()
    }

    /// Waits for notices and follows them; true if a listing is needed.
    fn take_notices(&mut self, notices: &Receiver<Notice>, until: Instant) -> bool {
        let mut wait = until.saturating_duration_since(Instant::now()).min(TICK);
        if self.tracker.has_pending() {
            wait = wait.min(self.options.settle / 4);
        }
        if !self.new_folders.is_empty() {
            wait = wait.min(SECOND_WALK / 4);
        }
        let first = match notices.recv_timeout(wait) {
            Ok(notice) => notice,
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(wait);
                return false;
            }
        };
        let mut lost = false;
        for notice in std::iter::once(first).chain(notices.try_iter()) {
            match notice {
                Notice::Landed(path) => self.follow(&path, true),
                Notice::Touched(path) => self.follow(&path, false),
                Notice::Lost => lost = true,
            }
        }
        lost
    }

    fn follow(&mut self, path: &Path, landed: bool) {
        let Ok(relative) = path.strip_prefix(&self.root).map(Path::to_path_buf) else {
            return;
        };
        // The root itself being gone is an unmounted disk rather than a deletion of everything.
        if !relative.as_os_str().is_empty() && Filter::enters(&relative) {
            self.look(&relative, landed);
        }
    }

    /// Looks at one path now, as something happened there.
    fn look(&mut self, relative: &Path, landed: bool) {
        let metadata = match std::fs::metadata(self.root.join(relative)) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                for change in self.tracker.gone(relative) {
                    drop(self.fresh.send(change));
                }
                return;
            }
            Err(error) => {
                return tracing::warn!("Could not look at {}: {error}", relative.display());
            }
        };
        if metadata.is_dir() {
            // A folder that was moved or made here brings files of which no notice tells.
            self.walk_new(relative);
            self.new_folders
                .insert(relative.to_path_buf(), Instant::now() + SECOND_WALK);
        } else if metadata.is_file() {
            let seen = self.seen(&metadata, landed);
            if let Some(change) = self.tracker.see(relative, seen, Instant::now()) {
                drop(self.fresh.send(change));
            }
        }
    }

    /// Lists the whole folder; what is not there any more is gone.
    fn list(&mut self) {
        let mut found = HashSet::new();
        self.walk(Path::new(""), |watcher, relative, metadata| {
            let seen = watcher.seen(&metadata, false);
            if let Some(change) = watcher.tracker.see(&relative, seen, Instant::now()) {
                drop(watcher.backlog.send(change));
            }
            found.insert(relative);
        });
        if std::fs::read_dir(&self.root).is_err() {
            return;
        }
        let missing: Vec<PathBuf> = self
            .tracker
            .announced()
            .filter(|path| !found.contains(*path))
            .cloned()
            .collect();
        for path in missing {
            // Only a look proves that it is gone: a part of the folder may have been unreadable.
            self.look(&path, false);
        }
    }

    /// Takes note of the files of a folder that has just come. Each is looked at after it was asked which are open: what
    /// was closed by then shows its whole version, and whoever opens it later gives a notice of its own.
    fn walk_new(&mut self, folder: &Path) {
        let mut found = Vec::new();
        self.walk(folder, |_, relative, _| found.push(relative));
        if found.is_empty() {
            return;
        }
        let open = OpenFiles::now();
        for relative in found {
            let Ok(metadata) = std::fs::metadata(self.root.join(&relative)) else {
                continue;
            };
            let is_closed = open.as_ref().is_some_and(|open| open.is_closed(&metadata));
            let seen = self.seen(&metadata, is_closed);
            if let Some(change) = self.tracker.see(&relative, seen, Instant::now()) {
                drop(self.fresh.send(change));
            }
        }
    }

    /// Walks a folder and hands over its files.
    fn walk(&mut self, folder: &Path, mut found: impl FnMut(&mut Self, PathBuf, Metadata)) {
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let entries = match std::fs::read_dir(self.root.join(&folder)) {
                Ok(entries) => entries,
                Err(error) => {
                    tracing::warn!("Could not list {}: {error}", folder.display());
                    continue;
                }
            };
            for entry in entries.flatten() {
                let relative = folder.join(entry.file_name());
                // Links to folders are not followed: they could lead in circles.
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && Filter::enters(&relative) => {
                        folders.push(relative)
                    }
                    Ok(kind) if kind.is_file() || kind.is_symlink() => {
                        match std::fs::metadata(self.root.join(&relative)) {
                            Ok(metadata) if metadata.is_file() => found(self, relative, metadata),
                            _ => {}
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn seen(&self, metadata: &std::fs::Metadata, landed: bool) -> Seen {
        let age = metadata
            .modified()
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        Seen {
            print: Print {
                length: metadata.len(),
                modified_ns: i128::from(metadata.mtime()) * 1_000_000_000
                    + i128::from(metadata.mtime_nsec()),
                inode: metadata.ino(),
            },
            etag: (self.options.etag)(metadata),
            landed: landed || age.is_some_and(|age| age >= self.options.settle),
        }
    }
}

fn read_notices(event: Event) -> Vec<Notice> {
    if event.need_rescan() {
        return vec![Notice::Lost];
    }
    let landed = matches!(
        event.kind,
        EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To))
    );
    let reading = matches!(event.kind, EventKind::Access(_)) && !landed;
    let notice = if landed {
        Notice::Landed
    } else {
        Notice::Touched
    };
    let paths = if reading { Vec::new() } else { event.paths };
    paths.into_iter().map(notice).collect()
}
