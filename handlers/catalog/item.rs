//! The cached STAC item of a combined dataset, and the result object of its combine. SPEC §7, §8, §10.
//!
//! Everything follows from the dataset and the arguments, the time of creation included: the same combine gives
//! the same item. Published schemas are the measure: STAC 1.1.0, datacube 2.3.0, zarr 1.1.0, storage 2.0.0,
//! projection 2.0.0 and file 2.1.0. The `cmip6:*` and `xarray:*` fields are used without declaring an extension.

mod asset;
mod cube;
mod footprint;
mod instant;
mod license;
pub(super) mod role;
pub(super) mod values;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use virtualize::cmip6::{Cmip6Name, slug};
use virtualize::combine::Combined;
use virtualize::{Source, VirtualGroup};

use super::quicklook::{self, Quicklook};
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::{Declaration, Release};

use instant::Times;

const EXTENSIONS: [&str; 5] = [
    "https://stac-extensions.github.io/datacube/v2.3.0/schema.json",
    "https://stac-extensions.github.io/zarr/v1.1.0/schema.json",
    "https://stac-extensions.github.io/storage/v2.0.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
];

/// Why an item cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// The combined dataset tells a time in another form.
    #[error("`{0}` is not an ISO 8601 instant")]
    Time(String),
}

/// What an item is built from.
#[derive(Debug, Clone, Copy)]
pub struct ItemInput<'a> {
    /// The joined series.
    pub combined: &'a Combined,
    /// How the series was declared.
    pub declaration: &'a Declaration,
    /// The Release that the item is cached on.
    pub release: &'a Release,
    /// The revision that is published.
    pub revision: i64,
    /// Address under which users reach the app, without a trailing slash.
    pub public_url: &'a str,
    /// Where the combined reference is, in silver.
    pub reference: &'a BlobPath,
    /// Its size in bytes.
    pub ref_size_bytes: u64,
    /// SHA-256 of it.
    pub ref_sha256: &'a [u8],
    /// When the item was made.
    pub created: Timestamp,
    /// The first look at it, where there is a picture.
    pub quicklook: Option<&'a Quicklook>,
}

impl ItemInput<'_> {
    fn root(&self) -> &VirtualGroup {
        &self.combined.dataset.root
    }

    fn sources(&self) -> &[Source] {
        &self.combined.dataset.sources
    }

    /// The declared folder, or the file itself where that is all there is.
    fn source_url(&self) -> String {
        let prefix = &self.declaration.prefix;
        let is_file = matches!(self.sources(), [only] if !prefix.blob.is_empty() && only.url.ends_with(&prefix.blob));
        let url = prefix.short();
        if is_file || url.ends_with('/') {
            url
        } else {
            format!("{url}/")
        }
    }

    /// Id of the item: `{dataset_id}-{resource_id}-ord{N}` in lower case.
    pub fn item_id(&self) -> String {
        let release = self.release;
        slug(&format!(
            "{}-{}-ord{}",
            release.dataset_id, release.resource_id, release.version_ordinal
        ))
    }

    /// Id of its collection: the declared one, else the dataset's.
    pub fn collection_id(&self) -> &str {
        self.declaration
            .options
            .collection_id
            .as_deref()
            .unwrap_or(&self.release.dataset_id)
    }

    /// Root of the served Zarr store.
    pub fn zarr_url(&self) -> String {
        zarr_url(self.public_url, &self.release.release_id, self.revision)
    }

    /// The picture over HTTP.
    pub fn thumbnail_url(&self) -> String {
        format!("{}/{}", self.zarr_url(), quicklook::FILE)
    }

    /// The kerchunk document over HTTP.
    pub fn reference_url(&self) -> String {
        format!("{}/combined.json", self.zarr_url())
    }
}

/// Root of the served Zarr store of a revision.
pub fn zarr_url(public_url: &str, release_id: &str, revision: i64) -> String {
    format!("{public_url}/api/zarr/{release_id}/r{revision}")
}

/// Builds the item.
///
/// # Errors
///
/// [`ItemError`] when the dataset tells its time in another form than ISO 8601.
pub fn build_item(input: &ItemInput<'_>) -> Result<Value, ItemError> {
    let extent = input.combined.spatial_extent;
    let times = Times::of(input)?;
    let mut item = Map::new();
    item.insert(String::from("type"), json!("Feature"));
    item.insert(String::from("stac_version"), json!("1.1.0"));
    item.insert(String::from("stac_extensions"), json!(EXTENSIONS));
    item.insert(String::from("id"), json!(input.item_id()));
    item.insert(String::from("collection"), json!(input.collection_id()));
    item.insert(String::from("geometry"), footprint::geometry(extent));
    if let Some(bbox) = extent {
        item.insert(String::from("bbox"), json!(bbox));
    }
    item.insert(
        String::from("properties"),
        Value::Object(properties(input, times.as_ref())),
    );
    item.insert(String::from("links"), asset::links(input));
    item.insert(String::from("assets"), asset::assets(input));
    Ok(Value::Object(item))
}

fn properties(input: &ItemInput<'_>, times: Option<&Times>) -> Map<String, Value> {
    let mut out = instant::properties(input, times);
    let declaration = input.declaration;
    let name = format!("{} {}", input.release.dataset_id, input.release.resource_id);
    out.insert(
        String::from("title"),
        json!(declaration.title.as_deref().unwrap_or(&name)),
    );
    if let Some(description) = &declaration.description {
        out.insert(String::from("description"), json!(description));
    }
    if let Some(license) = license::of(input.root()) {
        out.insert(String::from("license"), json!(license));
    }
    out.extend(cube::properties(input, times));
    out.extend(footprint::projection(input));
    out.extend(cmip6(input.sources()));
    out.extend(provenance(input));
    out.insert(String::from("storage:schemes"), asset::schemes(input));
    if let Some(found) = input.quicklook {
        out.insert(String::from(Quicklook::PROPERTY), json!(found));
    }
    out.insert(
        String::from("xarray:open_kwargs"),
        json!({"engine": "zarr", "consolidated": true, "chunks": {}}),
    );
    let chunks = input
        .root()
        .walk()
        .into_iter()
        .map(|(path, array)| (path, json!(array.chunk_shape)));
    out.insert(String::from("zarr:chunks"), Value::Object(chunks.collect()));
    out
}

/// Fields of a CMIP6 file name; none where the sources are named otherwise.
fn cmip6(sources: &[Source]) -> Map<String, Value> {
    let name = sources
        .first()
        .and_then(|source| Cmip6Name::parse(&source.url));
    let fields = name.map(|name| name.cmip6_fields()).unwrap_or_default();
    fields
        .into_iter()
        .map(|(key, text)| (key.to_owned(), json!(text)))
        .collect()
}

/// What a person needs to trace the item back; dropped when the item is published.
fn provenance(input: &ItemInput<'_>) -> Map<String, Value> {
    let release = input.release;
    let files = input.sources().len();
    let lineage = format!(
        "Virtual Zarr over {files} source file(s) of {}, which are not copied; made by Landfall {}",
        input.source_url(),
        env!("CARGO_PKG_VERSION"),
    );
    let fields = [
        ("geoetl:data_type", json!("zarr")),
        ("geoetl:pipeline", json!(input.declaration.options.pipeline)),
        ("geoetl:job_id", json!(release.job_id)),
        ("geoetl:release_id", json!(release.release_id)),
        ("geoetl:revision", json!(input.revision)),
        ("geoetl:dataset_id", json!(release.dataset_id)),
        ("geoetl:resource_id", json!(release.resource_id)),
        ("geoetl:source_files", json!(files)),
        ("processing:lineage", json!(lineage)),
        (
            "processing:software",
            json!({"landfall": env!("CARGO_PKG_VERSION")}),
        ),
    ];
    fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// The result object of a combine. SPEC §7.
pub fn result_object(input: &ItemInput<'_>) -> Value {
    let release = input.release;
    let roles = role::Roles::of(input.root());
    let arrays = input.root().walk();
    let variables: Vec<&String> = arrays
        .iter()
        .map(|(path, _)| path)
        .filter(|path| roles.is_data(path))
        .collect();
    let day = |text: &str| text.split_once('T').map_or(text, |(day, _)| day).to_owned();
    json!({
        "dataset_id": format!("{}_{}", release.dataset_id, release.resource_id),
        "combined_ref_url": input.reference.short(),
        "source_files": input.sources().len(),
        "dimensions": cube::lengths(input.root()),
        "variables": variables,
        "time_range": input.combined.time_range.as_ref().map(|(start, end)| [day(start), day(end)]),
        "spatial_extent": input.combined.spatial_extent,
        "ref_size_bytes": input.ref_size_bytes,
    })
}

#[cfg(test)]
mod tests;
