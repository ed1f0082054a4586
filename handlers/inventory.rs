//! What lies in a container: its series by their names, how large they are, and a submission for each. SPEC §8.
//!
//! Pure: a [`Scan`] is shown the blobs of a listing, one after the other, and reads none of them.

mod series;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::group;
use crate::stores::blobs::{BlobInfo, BlobPath};

use series::{Found, Place};
pub use series::{Proposal, Series};

/// Series that an inventory lists; of further ones it tells the number.
pub const MOST_SERIES: usize = 10_000;

/// Which blobs an inventory is of.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The folder.
    pub prefix: BlobPath,
    /// Whether the folders in it count too.
    pub recursive: bool,
    /// Shell pattern on the names of files.
    pub file_pattern: glob::Pattern,
}

/// How far a scan is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Data files so far.
    pub files: u64,
    /// Their bytes.
    pub total_bytes: u64,
    /// Blobs that are no data files by their names, or that the pattern leaves out.
    pub others: u64,
    /// Series so far.
    pub series: u64,
}

/// An inventory.
#[derive(Debug, Clone, Serialize)]
pub struct Inventory {
    /// What was found.
    pub progress: Progress,
    /// The series, by folder and name.
    pub groups: Vec<Series>,
    /// Series that are not listed, because there are too many.
    pub groups_left_out: u64,
}

/// A listing on its way to an inventory.
#[derive(Debug)]
pub struct Scan {
    wanted: Wanted,
    progress: Progress,
    found: BTreeMap<Place, Found>,
}

impl Scan {
    /// Nothing seen yet.
    pub fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            progress: Progress::default(),
            found: BTreeMap::new(),
        }
    }

    /// Takes a blob of the listing.
    pub fn add(&mut self, info: &BlobInfo) {
        let path = &info.path;
        if !self.is_below(path) {
            return;
        }
        if !group::is_data_file(path) || !self.wanted.file_pattern.matches(path.file_name()) {
            self.progress.others += 1;
            return;
        }
        self.progress.files += 1;
        self.progress.total_bytes = self.progress.total_bytes.saturating_add(info.length);
        let found = self.found.entry(Place::of(path)).or_default();
        found.add(path.file_name(), info.length);
        self.progress.series = u64::try_from(self.found.len()).unwrap_or(u64::MAX);
    }

    /// Whether a blob lies in the folder: a listing goes by the beginning of names.
    fn is_below(&self, path: &BlobPath) -> bool {
        let folder = self.wanted.prefix.blob.trim_end_matches('/');
        let rest = match folder.is_empty() {
            true => Some(path.blob.as_str()),
            false => path
                .blob
                .strip_prefix(folder)
                .and_then(|rest| rest.strip_prefix('/')),
        };
        rest.is_some_and(|rest| self.wanted.recursive || !rest.contains('/'))
    }

    /// How far it is.
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// What was seen, as series with a submission for each.
    pub fn finish(self) -> Inventory {
        let mut groups = series::proposals(&self.wanted.prefix, &self.found);
        let left_out = groups.len().saturating_sub(MOST_SERIES);
        groups.truncate(MOST_SERIES);
        Inventory {
            progress: self.progress,
            groups,
            groups_left_out: u64::try_from(left_out).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rstest::rstest;

    use super::*;

    fn inventory(prefix: &str, recursive: bool, pattern: &str, names: &[&str]) -> Inventory {
        let mut scan = Scan::new(Wanted {
            prefix: BlobPath::new("acct", "bronze", prefix),
            recursive,
            file_pattern: glob::Pattern::new(pattern).unwrap(),
        });
        for name in names {
            scan.add(&BlobInfo {
                path: BlobPath::new("acct", "bronze", *name),
                etag: String::from("e"),
                length: 10,
                last_modified: Timestamp::UNIX_EPOCH,
            });
        }
        scan.finish()
    }

    const NAMES: [&str; 7] = [
        "cmip6/tas_Amon_X_ssp585_r1i1p1f1_gn_201501-201912.nc",
        "cmip6/tas_Amon_X_ssp585_r1i1p1f1_gn_202001-202412.nc",
        "cmip6/pr_Amon_X_ssp585_r1i1p1f1_gn_201501-201912.nc",
        "obs/deep/station_2000.nc",
        "obs/deep/station_2001.nc",
        "obs/readme.txt",
        "observed_2000.nc",
    ];

    #[test]
    fn files_are_grouped_by_folder_and_name() {
        let found = inventory("", true, "*", &NAMES);
        let ids: Vec<(&str, &str, u64)> = found
            .groups
            .iter()
            .map(|series| {
                let proposal = &series.submission;
                (
                    proposal.dataset_id.as_str(),
                    proposal.resource_id.as_str(),
                    series.files,
                )
            })
            .collect();
        assert_eq!(
            ids,
            [
                ("observed", "root", 1),
                ("pr_Amon_X_ssp585_r1i1p1f1_gn", "cmip6", 1),
                ("tas_Amon_X_ssp585_r1i1p1f1_gn", "cmip6", 2),
                ("station", "obs-deep", 2),
            ]
        );
        let expected = Progress {
            files: 6,
            total_bytes: 60,
            others: 1,
            series: 4,
        };
        assert_eq!(found.progress, expected);
    }

    #[rstest]
    #[case::folder("obs", true, "*", 2)]
    #[case::folder_with_slash("obs/", true, "*", 2)]
    #[case::not_the_folders_in_it("obs", false, "*", 0)]
    #[case::top_only("", false, "*", 1)]
    #[case::pattern("", true, "tas*.nc", 2)]
    #[case::beginning_of_a_name("ob", true, "*", 0)]
    fn an_inventory_is_of_what_was_asked_for(
        #[case] prefix: &str,
        #[case] recursive: bool,
        #[case] pattern: &str,
        #[case] files: u64,
    ) {
        let found = inventory(prefix, recursive, pattern, &NAMES);
        assert_eq!(found.progress.files, files);
    }
}
