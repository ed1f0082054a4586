//! The series of an inventory, and the submission that would declare each: it takes its files and no others.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};
use virtualize::cmip6::{Cmip6Name, stem_without_dates};

use crate::group;
use crate::stores::blobs::BlobPath;

/// Where the files of a series lie and how their names begin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    folder: String,
    stem: String,
}

impl Place {
    pub(super) fn of(path: &BlobPath) -> Self {
        Self {
            folder: path.folder().to_owned(),
            stem: group::series_of(path).stem,
        }
    }
}

/// The files of one place.
#[derive(Debug, Default)]
pub(super) struct Found {
    names: Vec<String>,
    bytes: u64,
}

impl Found {
    pub(super) fn add(&mut self, name: &str, bytes: u64) {
        self.names.push(name.to_owned());
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The first and the last date that names tell, as they are written there.
    fn dates(&self) -> Option<[&str; 2]> {
        let dates = self.names.iter().filter_map(|name| {
            let stem = name
                .rsplit_once('.')
                .map_or(name.as_str(), |(stem, _)| stem);
            stem_without_dates(stem).1
        });
        let dates: BTreeSet<&str> = dates.collect();
        Some([*dates.first()?, *dates.last()?])
    }

    /// A shell pattern of all the names.
    fn pattern(&self, stem: &str) -> String {
        let ending = |name: &String| name.rsplit_once('.').map(|(_, ending)| ending.to_owned());
        let endings: BTreeSet<Option<String>> = self.names.iter().map(ending).collect();
        let stem = glob::Pattern::escape(stem);
        match (endings.len(), endings.first()) {
            (1, Some(Some(ending))) => format!("{stem}*.{}", glob::Pattern::escape(ending)),
            _ => format!("{stem}*"),
        }
    }
}

/// One series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// Its folder.
    pub folder: String,
    /// Number of its files.
    pub files: u64,
    /// Their bytes.
    pub total_bytes: u64,
    /// First and last date in their names, as they are written there.
    pub dates: Option<[String; 2]>,
    /// What CMIP6 names tell; empty for others.
    pub cmip6: BTreeMap<&'static str, String>,
    /// What would declare it.
    pub submission: Proposal,
    /// What became of that, where it was submitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submitted: Option<Value>,
}

/// The body of a submission.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proposal {
    /// Dataset of the Asset.
    pub dataset_id: String,
    /// Resource of the Asset.
    pub resource_id: String,
    /// `zarr`.
    pub data_type: &'static str,
    /// Folder of the files.
    pub source_url: String,
    /// Pattern and number of the files, or their names.
    pub processing_options: Value,
}

/// A submission for each place, by folder and name.
pub(super) fn proposals(container: &BlobPath, found: &BTreeMap<Place, Found>) -> Vec<Series> {
    let mut taken = BTreeSet::new();
    let series = found
        .iter()
        .map(|(place, files)| describe(container, place, files, found, &mut taken));
    series.collect()
}

fn describe(
    container: &BlobPath,
    place: &Place,
    files: &Found,
    all: &BTreeMap<Place, Found>,
    taken: &mut BTreeSet<(String, String)>,
) -> Series {
    let first = files.names.first().map(String::as_str).unwrap_or_default();
    let cmip6 = Cmip6Name::parse(first).map(|name| name.cmip6_fields());
    let folder = container.sibling(format!("{}/", place.folder).trim_start_matches('/'));
    let (dataset_id, resource_id) = ids(&folder.sibling(join(&place.folder, first)), taken);
    let submission = Proposal {
        dataset_id,
        resource_id,
        data_type: "zarr",
        source_url: folder.to_string(),
        processing_options: options(container, place, files, all),
    };
    Series {
        folder: place.folder.clone(),
        files: count(files.names.len()),
        total_bytes: files.bytes,
        dates: files.dates().map(|dates| dates.map(str::to_owned)),
        cmip6: cmip6.unwrap_or_default(),
        submission,
        submitted: None,
    }
}

/// A pattern and a number where the pattern fits no other file below the folder, else the files by name.
fn options(
    container: &BlobPath,
    place: &Place,
    files: &Found,
    all: &BTreeMap<Place, Found>,
) -> Value {
    let text = files.pattern(&place.stem);
    let fits = |name: &String| glob::Pattern::new(&text).is_ok_and(|pattern| pattern.matches(name));
    let is_theirs = |(other, found): (&Place, &Found)| {
        other != place
            && lies_below(&other.folder, &place.folder)
            && other.stem.starts_with(&place.stem)
            && found.names.iter().any(fits)
    };
    if all.iter().any(is_theirs) {
        let address = |name: &String| container.sibling(join(&place.folder, name)).to_string();
        let names: Vec<String> = files.names.iter().map(address).collect();
        return json!({"expected": {"files": names}});
    }
    json!({"file_pattern": text, "expected": {"count": files.names.len()}})
}

fn lies_below(folder: &str, above: &str) -> bool {
    let rest = folder.strip_prefix(above);
    above.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

/// The ids that auto-grouping would give, made valid and different from those of the series before.
fn ids(first: &BlobPath, taken: &mut BTreeSet<(String, String)>) -> (String, String) {
    let name = group::series_of(first);
    let valid = |id: &str| match id.trim_start_matches(['.', '_', '-']) {
        "" => String::from("unnamed"),
        id => id.to_owned(),
    };
    let (dataset_id, resource_id) = (valid(&name.dataset_id), valid(&name.resource_id));
    let mut ids = (dataset_id.clone(), resource_id);
    let mut number = 1;
    while taken.contains(&ids) {
        number += 1;
        ids.0 = format!("{dataset_id}-{number}");
    }
    taken.insert(ids.clone());
    ids
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::group::Submission;
    use crate::stores::ledger::{Declaration, Origin};

    fn of(names: &[&str]) -> Vec<Series> {
        let mut found: BTreeMap<Place, Found> = BTreeMap::new();
        for name in names {
            let path = BlobPath::new("acct", "bronze", *name);
            let files = found.entry(Place::of(&path)).or_default();
            files.add(path.file_name(), 1);
        }
        proposals(&BlobPath::new("acct", "bronze", ""), &found)
    }

    fn declaration(series: &Series) -> Declaration {
        let text = serde_json::to_string(&series.submission).unwrap();
        let submission: Submission = serde_json::from_str(&text).unwrap();
        let home = BlobPath::new("acct", "", "");
        let declared = submission.into_declaration(Origin::Submit, &home, Timestamp::UNIX_EPOCH);
        declared.unwrap()
    }

    /// Whatever names lie beside and below each other, each file is of the one series whose submission takes it.
    #[test]
    fn every_file_is_taken_by_its_own_submission_only() {
        let names = [
            "a/tas_2000.nc",
            "a/tas_2001.nc",
            "a/tasmax_2000.nc",
            "a/b/tas_2000.nc",
            "a/b/tas_2001.nc4",
            "top_2000.nc",
            "x/[1]*_2000.nc",
            "x/[1]*_2001.nc",
            "x/1_2000.nc",
            "x/plain.nc",
            "x/2000.nc",
            "dönées/é_2000.nc",
            "A/tas_2000.nc",
        ];
        let series = of(&names);
        for name in names {
            let path = BlobPath::new("acct", "bronze", name);
            let below = |series: &&Series| lies_below(path.folder(), &series.folder);
            let taking: Vec<&Series> = series
                .iter()
                .filter(below)
                .filter(|series| group::takes(&declaration(series), &path))
                .collect();
            assert_eq!(taking.len(), 1, "{name}: {taking:?}");
            assert_eq!(taking[0].folder, path.folder(), "{name}");
        }
        let ids: BTreeSet<_> = series
            .iter()
            .map(|series| {
                let proposal = &series.submission;
                (proposal.dataset_id.clone(), proposal.resource_id.clone())
            })
            .collect();
        assert_eq!(ids.len(), series.len(), "ids are given once");
    }

    #[test]
    fn a_series_tells_its_dates_and_what_cmip6_names_say() {
        let series = of(&[
            "c/tas_Amon_X_ssp585_r1i1p1f1_gn_202001-202412.nc",
            "c/tas_Amon_X_ssp585_r1i1p1f1_gn_201501-201912.nc",
        ]);
        let dates = [String::from("201501-201912"), String::from("202001-202412")];
        assert_eq!(series[0].dates, Some(dates));
        assert_eq!(series[0].cmip6["cmip6:scenario"], "ssp585");
        assert_eq!(
            series[0].submission.processing_options,
            json!({"file_pattern": "tas_Amon_X_ssp585_r1i1p1f1_gn*.nc", "expected": {"count": 2}})
        );
    }
}
