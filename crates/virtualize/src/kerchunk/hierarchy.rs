//! The groups and arrays that metadata documents describe, whatever form of reference set they came in.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::extra::Extra;
use super::sources::Sources;
use super::{KerchunkError, join, metadata};
use crate::dataset::{
    Attributes, Dimension, Format, Layout, VirtualArray, VirtualDataset, VirtualGroup,
};
use crate::manifest::ChunkManifest;

const MAX_DEPTH: usize = 64;

/// Metadata documents by key.
pub(super) type Documents = BTreeMap<String, String>;

/// Everything of a dataset but its chunks.
pub(super) struct Hierarchy {
    documents: Documents,
    arrays: BTreeMap<String, VirtualArray>,
    extra: Option<Extra>,
}

impl Hierarchy {
    pub(super) fn new(documents: Documents, extra: Option<Extra>) -> Result<Self, KerchunkError> {
        let mut arrays = arrays(&documents)?;
        if let Some(extra) = &extra {
            restore(&mut arrays, extra)?;
        }
        Ok(Self {
            documents,
            arrays,
            extra,
        })
    }

    /// The arrays by path, without chunks.
    pub(super) fn arrays(&self) -> impl Iterator<Item = (&str, &VirtualArray)> {
        self.arrays
            .iter()
            .map(|(path, array)| (path.as_str(), array))
    }

    /// The sources that are listed.
    pub(super) fn sources(&self) -> Sources {
        let listed = self.extra.as_ref().map(|extra| extra.sources.clone());
        Sources::new(listed.unwrap_or_default())
    }

    /// The dataset, with the chunks of each array by its path.
    pub(super) fn finish(
        mut self,
        mut manifests: BTreeMap<String, ChunkManifest>,
        sources: Sources,
    ) -> Result<VirtualDataset, KerchunkError> {
        for (path, array) in &mut self.arrays {
            array.chunks = manifests.remove(path).unwrap_or_default();
        }
        let mut root = tree(&self.documents, self.arrays)?;
        match &self.extra {
            Some(extra) => set_dimensions("", &mut root, extra),
            None => infer_dimensions(&mut root, &mut Vec::new()),
        }
        let extra = self.extra;
        Ok(VirtualDataset {
            format: extra.as_ref().map_or(Format::Netcdf4, |extra| extra.format),
            root,
            sources: sources.into_list(),
            skipped: extra
                .as_ref()
                .map_or_else(Vec::new, |extra| extra.skipped.clone()),
            findings: extra.map_or_else(Vec::new, |extra| extra.findings),
        })
    }
}

/// Every array, without chunks, by path.
fn arrays(documents: &Documents) -> Result<BTreeMap<String, VirtualArray>, KerchunkError> {
    let mut arrays = BTreeMap::new();
    for (key, document) in documents {
        let v3 = key == "zarr.json" || key.ends_with("/zarr.json");
        if v3 || key == ".zarray" {
            let problem = "only a Zarr v2 hierarchy below a root group is supported";
            return Err(KerchunkError::metadata(key, problem));
        }
        let Some(path) = key.strip_suffix("/.zarray") else {
            continue;
        };
        let attributes = attributes_of(documents, &format!("{path}/.zattrs"))?;
        arrays.insert(path.to_owned(), metadata::array(key, document, attributes)?);
    }
    Ok(arrays)
}

fn attributes_of(documents: &Documents, key: &str) -> Result<Attributes, KerchunkError> {
    let document = documents.get(key);
    document.map_or_else(
        || Ok(Attributes::new()),
        |text| metadata::attributes(key, text),
    )
}

/// Gives the arrays what their metadata documents cannot say.
fn restore(
    arrays: &mut BTreeMap<String, VirtualArray>,
    extra: &Extra,
) -> Result<(), KerchunkError> {
    for (path, array) in arrays {
        let layout = extra.layouts.get(path).copied();
        array.layout = layout.unwrap_or(Layout::Contiguous);
        if let Some(text) = extra.fill_values.get(path) {
            let element = BASE64.decode(text).ok();
            let sized =
                element.filter(|e| u64::try_from(e.len()).ok() == Some(array.data_type.size()));
            let problem = || KerchunkError::metadata("landfall", format!("fill value of `{path}`"));
            array.fill_value = Some(sized.ok_or_else(problem)?);
        }
    }
    Ok(())
}

/// The hierarchy of groups with the arrays in their places.
fn tree(
    documents: &Documents,
    arrays: BTreeMap<String, VirtualArray>,
) -> Result<VirtualGroup, KerchunkError> {
    let mut root = VirtualGroup::default();
    for key in documents.keys() {
        let path = match key.rsplit_once('/') {
            Some((path, ".zgroup" | ".zattrs")) if !arrays.contains_key(path) => path,
            None if key == ".zattrs" => "",
            _ => continue,
        };
        let attributes = attributes_of(documents, &join(path, ".zattrs"))?;
        group_at(&mut root, path, key)?.attributes = attributes;
    }
    for (path, array) in arrays {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let group = group_at(&mut root, parent, &path)?;
        if name.is_empty() || group.groups.contains_key(name) {
            return Err(KerchunkError::metadata(&path, "an array cannot stand here"));
        }
        group.arrays.insert(name.to_owned(), array);
    }
    Ok(root)
}

/// The group at `path`, made with all above it if it is not there yet.
fn group_at<'g>(
    root: &'g mut VirtualGroup,
    path: &str,
    key: &str,
) -> Result<&'g mut VirtualGroup, KerchunkError> {
    if path.is_empty() {
        return Ok(root);
    }
    let mut group = root;
    for (depth, name) in path.split('/').enumerate() {
        if depth >= MAX_DEPTH || name.is_empty() || group.arrays.contains_key(name) {
            return Err(KerchunkError::metadata(
                key,
                "its path is not that of a group",
            ));
        }
        group = group.groups.entry(name.to_owned()).or_default();
    }
    Ok(group)
}

fn set_dimensions(path: &str, group: &mut VirtualGroup, extra: &Extra) {
    group.dimensions = extra.dimensions.get(path).cloned().unwrap_or_default();
    for (name, child) in &mut group.groups {
        set_dimensions(&join(path, name), child, extra);
    }
}

/// Declares the dimensions that the arrays show, unless the nearest declaration above says the same.
fn infer_dimensions(group: &mut VirtualGroup, above: &mut Vec<BTreeMap<String, Dimension>>) {
    for array in group.arrays.values() {
        for (name, length) in array.dimension_names.iter().zip(&array.shape) {
            let dimension = Dimension {
                length: *length,
                unlimited: false,
            };
            let mut declared = above.iter().rev().filter_map(|level| level.get(name));
            if declared.next() != Some(&dimension) {
                group.dimensions.insert(name.clone(), dimension);
            }
        }
    }
    above.push(group.dimensions.clone());
    for child in group.groups.values_mut() {
        infer_dimensions(child, above);
    }
    above.pop();
}
