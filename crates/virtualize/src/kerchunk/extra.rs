//! What a plain reference set cannot say: the version of each file, what was skipped, how values were laid out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{join, metadata};
use crate::dataset::{Dimension, Format, Layout, Skipped, Source, VirtualDataset, VirtualGroup};
use crate::rules::Finding;

/// The `landfall` member of a reference set.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Extra {
    pub(super) format: Format,
    pub(super) sources: Vec<Source>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) findings: Vec<Finding>,
    /// By path of the array.
    pub(super) layouts: BTreeMap<String, Layout>,
    /// By path of the group; the root's is empty.
    pub(super) dimensions: BTreeMap<String, BTreeMap<String, Dimension>>,
    /// Base64 of the fill values whose JSON form loses bits (NaNs with a payload), by path of the array.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) fill_values: BTreeMap<String, String>,
}

impl Extra {
    pub(super) fn of(dataset: &VirtualDataset) -> Self {
        let mut dimensions = BTreeMap::new();
        collect_dimensions("", &dataset.root, &mut dimensions);
        let arrays = dataset.root.walk();
        let layouts = arrays
            .iter()
            .map(|(path, array)| (path.clone(), array.layout))
            .collect();
        let fill_values = arrays
            .iter()
            .filter_map(|(path, array)| Some((path.clone(), metadata::lossy_fill_value(array)?)))
            .collect();
        Self {
            format: dataset.format,
            sources: dataset.sources.clone(),
            skipped: dataset.skipped.clone(),
            findings: dataset.findings.clone(),
            layouts,
            dimensions,
            fill_values,
        }
    }
}

fn collect_dimensions(
    path: &str,
    group: &VirtualGroup,
    out: &mut BTreeMap<String, BTreeMap<String, Dimension>>,
) {
    if !group.dimensions.is_empty() {
        out.insert(path.to_owned(), group.dimensions.clone());
    }
    for (name, child) in &group.groups {
        collect_dimensions(&join(path, name), child, out);
    }
}
