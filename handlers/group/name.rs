//! What the name of a file says of its series when nobody declares one. SPEC §6, §10.

use std::time::Duration;

use jiff::Timestamp;
use virtualize::VirtualDataset;
use virtualize::cmip6::{Cmip6Name, slug, stem_without_dates};

use crate::stores::blobs::BlobPath;
use crate::stores::ledger::{Declaration, Expected, Origin, ProcessingOptions};

/// Platform of Assets that nobody declares.
pub const AUTO_PLATFORM: &str = "ddh";

/// What the name of a file says of its series when nobody declares one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameOfSeries {
    /// Dataset: the CMIP6 id, or the slugged stem.
    pub dataset_id: String,
    /// Resource: the slugged folder.
    pub resource_id: String,
    /// Stem of the name without its date range.
    pub stem: String,
}

/// The series that a file belongs to by its name.
pub fn series_of(path: &BlobPath) -> NameOfSeries {
    let name = path.file_name();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let stem = stem_without_dates(stem).0;
    let dataset_id =
        Cmip6Name::parse(name).map_or_else(|| slug(stem), |parsed| parsed.dataset_id());
    let or = |id: String, otherwise: &str| {
        if id.is_empty() {
            otherwise.to_owned()
        } else {
            id
        }
    };
    NameOfSeries {
        dataset_id: or(dataset_id, "unnamed"),
        resource_id: or(slug(path.folder()), "root"),
        stem: stem.to_owned(),
    }
}

/// The group that a file belongs to by its name and variables, when nobody declares one.
pub fn auto_declaration(
    path: &BlobPath,
    dataset: &VirtualDataset,
    quiet_period: Duration,
    at: Timestamp,
) -> Declaration {
    let name = series_of(path);
    let variables: Vec<String> = dataset
        .root
        .walk()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let quiet =
        jiff::SignedDuration::try_from(quiet_period).unwrap_or(jiff::SignedDuration::from_mins(10));
    let expected = Some(Expected::QuietPeriod(quiet.to_string()));
    Declaration {
        origin: Origin::Auto,
        platform_id: String::from(AUTO_PLATFORM),
        dataset_id: name.dataset_id,
        resource_id: name.resource_id,
        version_id: None,
        title: None,
        description: None,
        prefix: path.sibling(path.folder()),
        stem: format!("{}|{}", name.stem, variables.join(",")),
        options: ProcessingOptions {
            expected,
            ..ProcessingOptions::default()
        },
        at,
    }
}
