//! Whether anybody still has a file open, for files whose closing no notice told of.

use std::{
    collections::HashSet,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// What the processes of one user have open.
#[derive(Debug)]
pub(super) struct OpenFiles {
    user: u32,
    held: HashSet<(u64, u64)>,
}

impl OpenFiles {
    /// What is open now, as far as this process may see it; nothing on systems that do not tell.
    pub(super) fn now() -> Option<Self> {
        let processes = Path::new("/proc");
        let user = fs::metadata(processes.join("self")).ok()?.uid();
        let held = fs::read_dir(processes)
            .ok()?
            .flatten()
            .filter_map(|process| fs::read_dir(process.path().join("fd")).ok())
            .flat_map(Iterator::flatten)
            .filter_map(|file| fs::metadata(file.path()).ok())
            .map(|file| (file.dev(), file.ino()))
            .collect();
        Some(Self { user, held })
    }

    /// Whether a file is closed for certain. One of another user may be held by a process that cannot be seen.
    pub(super) fn is_closed(&self, file: &Metadata) -> bool {
        file.uid() == self.user && !self.held.contains(&(file.dev(), file.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_closed_when_nobody_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nc");
        let open = fs::File::create(&path).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert!(!OpenFiles::now().unwrap().is_closed(&metadata));
        drop(open);
        assert!(OpenFiles::now().unwrap().is_closed(&metadata));
    }
}
