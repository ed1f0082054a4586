//! Ids as the platform forms them: hashes of what a thing is, so that a repetition finds the same row.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Declaration, GroupId};
use crate::stores::blobs::BlobPath;

/// Type of every job that Landfall makes.
pub const JOB_TYPE: &str = "virtualzarr";

/// Id of the request for a dataset's resource, in a version if one is wished for.
pub fn request_id(dataset_id: &str, resource_id: &str, version_id: Option<&str>) -> String {
    let names = format!("{dataset_id}|{resource_id}");
    short(&version_id.map_or_else(|| names.clone(), |version| format!("{names}|{version}")))
}

/// Id of the Asset (platform, dataset, resource).
pub fn asset_id(platform_id: &str, dataset_id: &str, resource_id: &str) -> String {
    short(&format!("{platform_id}|{dataset_id}|{resource_id}"))
}

/// Id of a Release; `release_count` is that of its Asset before it is counted itself.
pub fn release_id(asset_id: &str, request_id: &str, release_count: i64) -> String {
    short(&format!("{asset_id}|{request_id}|{release_count}"))
}

/// Id of the store that serves one file's reference.
pub fn file_store_id(path: &BlobPath) -> String {
    short(&format!(
        "{}|{}|{}",
        path.account, path.container, path.blob
    ))
}

/// Id of the group that feeds an Asset.
pub fn group_id(asset_id: &str) -> GroupId {
    GroupId(short(&format!("group|{asset_id}")))
}

/// What a declaration is about, by id.
#[derive(Debug)]
pub(super) struct Subject {
    /// The Asset.
    pub(super) asset_id: String,
    /// The request.
    pub(super) request_id: String,
    /// The group that feeds the Asset.
    pub(super) group: GroupId,
}

/// The ids of what a declaration is about.
pub(super) fn subject(of: &Declaration) -> Subject {
    let asset_id = asset_id(&of.platform_id, &of.dataset_id, &of.resource_id);
    Subject {
        request_id: request_id(&of.dataset_id, &of.resource_id, of.version_id.as_deref()),
        group: group_id(&asset_id),
        asset_id,
    }
}

/// Id of the job that makes a revision of a Release.
pub fn job_id(declaration: &Declaration, version_ordinal: i64, revision: i64) -> String {
    hex(&canonical(&job_identity(
        declaration,
        version_ordinal,
        revision,
    )))
}

/// What a job is, by name; sorted, so that it has one text.
pub(super) fn job_identity(
    declaration: &Declaration,
    version_ordinal: i64,
    revision: i64,
) -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        ("job_type", JOB_TYPE.into()),
        ("dataset_id", declaration.dataset_id.as_str().into()),
        ("resource_id", declaration.resource_id.as_str().into()),
        ("version_id", declaration.version_id.as_deref().into()),
        ("version_ordinal", version_ordinal.into()),
        ("source_url", declaration.prefix.to_string().into()),
        ("revision", revision.into()),
    ])
}

/// Compact JSON with sorted keys, whatever order `serde_json` was built to keep.
fn canonical(fields: &BTreeMap<&'static str, Value>) -> String {
    let fields = fields
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn short(text: &str) -> String {
    hex(text).chars().take(32).collect()
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::stores::blobs::BlobPath;
    use crate::stores::ledger::{Extras, Origin, ProcessingOptions};

    const ASSET: &str = "97f387f8a83ff695febfda482689cc05";
    const REQUEST: &str = "5d9210e3f58e3e4b3b0b1ef0abb3e085";

    // Vectors made with the platform's own formulas (Python hashlib).
    #[test]
    fn names_give_the_ids_of_the_platform() {
        assert_eq!(
            request_id("era5-temperature", "global-daily-2020", None),
            REQUEST
        );
        assert_eq!(
            asset_id("ddh", "era5-temperature", "global-daily-2020"),
            ASSET
        );
    }

    #[rstest]
    #[case::first(0, "23b170b03cbdac658c3fbc7de0298f7f")]
    #[case::second(1, "5d9bc20dc0b3ed3e2d0594e7152648ff")]
    fn a_release_id_counts_the_releases_before(#[case] count: i64, #[case] id: &str) {
        assert_eq!(release_id(ASSET, REQUEST, count), id);
    }

    // printf '%s' 'era5-temperature|global-daily-2020|v2' | sha256sum; printf 'group|97f3…' | sha256sum
    #[test]
    fn a_version_and_a_group_have_ids_of_their_own() {
        assert_eq!(
            request_id("era5-temperature", "global-daily-2020", Some("v2")),
            "737612a4600d2c946bc4c206423f516a"
        );
        assert_eq!(group_id(ASSET).0, "85172b8a067651138753cfb7050a55a0");
    }

    // Expected value: Python json.dumps(sort_keys=True, separators=(",", ":")) and hashlib.
    #[test]
    fn a_job_id_is_the_hash_of_its_canonical_json() {
        let declaration = Declaration {
            origin: Origin::Submit,
            platform_id: String::from("ddh"),
            dataset_id: String::from("era5-temperature"),
            resource_id: String::from("global-daily-2020"),
            version_id: None,
            title: None,
            description: None,
            prefix: BlobPath::new("local", "bronze", "netcdf/era5/"),
            stem: String::new(),
            extras: Extras::default(),
            options: ProcessingOptions::default(),
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        assert_eq!(
            job_id(&declaration, 1, 1),
            "b07233cf821f0dd8c507b6a2af972bd7627855be06cbf4690e401d1bffe45fa7"
        );
        assert_ne!(job_id(&declaration, 1, 1), job_id(&declaration, 1, 2));
    }
}
