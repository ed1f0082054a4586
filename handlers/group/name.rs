//! What the name of a file says of its series when nobody declares one. SPEC §6, §10.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use virtualize::VirtualDataset;
use virtualize::cmip6::{Cmip6Name, slug, stem_without_dates};

use crate::stores::blobs::BlobPath;
use crate::stores::ledger::{Declaration, Expected, Extras, Origin, ProcessingOptions};

/// The longest id: those that people declare are no longer, and a folder of object stores is named by it.
const MAX_ID: usize = 255;

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
    let or = |id: String, otherwise: &str| match id.is_empty() {
        true => otherwise.to_owned(),
        false => shortened(id),
    };
    NameOfSeries {
        dataset_id: or(dataset_id, "unnamed"),
        resource_id: or(slug(path.folder()), "root"),
        stem: stem.to_owned(),
    }
}

/// An id of at most [`MAX_ID`] letters, all of them ASCII: the end of a longer one is replaced by a hash of it.
fn shortened(id: String) -> String {
    if id.len() <= MAX_ID {
        return id;
    }
    let hash: String = Sha256::digest(&id)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let kept: String = id.chars().take(MAX_ID - hash.len() - 1).collect();
    format!("{kept}-{hash}")
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
        extras: Extras::default(),
        options: ProcessingOptions {
            expected,
            ..ProcessingOptions::default()
        },
        at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fuzzing: a deep folder gave a resource id that no file system takes as the name of a folder.
    #[test]
    fn long_folders_have_ids_of_their_own_that_fit() {
        let folder = "a-folder/".repeat(60);
        let ids = ["x", "y"].map(|last| {
            let path = BlobPath::new("acct", "bronze", format!("{folder}{last}/f_2000.nc"));
            series_of(&path).resource_id
        });
        assert_eq!(ids.each_ref().map(String::len), [255, 255]);
        assert_ne!(ids[0], ids[1]);
    }
}
