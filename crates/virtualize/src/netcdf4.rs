//! NetCDF-4's conventions on top of HDF5, and HDF5's types, filters and fill values as Zarr has them.

mod attribute;
mod data_type;
mod dimension;
mod fill;
mod storage;
mod text;
mod variable;

use std::collections::BTreeSet;

use futures_util::future::join_all;

use crate::dataset::{Format, Skipped, VirtualArray, VirtualDataset, VirtualGroup};
use crate::decode::{DecodeError, DecodeOptions, SourceBuffer};
use crate::hdf5::{AttributeValue, Group, Hdf5File, Link, Node};
use crate::rules::Finding;

use dimension::{Dimensions, netcdf_name};
use variable::{Scene, Variable};

/// Turns an HDF5 object tree into a virtual dataset; a variable that cannot be expressed is skipped by name.
///
/// # Errors
///
/// [`DecodeError`] when the budget is exceeded.
pub(crate) async fn interpret(
    file: Hdf5File,
    buffer: &SourceBuffer,
    options: &DecodeOptions,
) -> Result<VirtualDataset, DecodeError> {
    let dimensions = Dimensions::of(&file.root);
    let format = match dimensions.has_scales || has_properties(&file.root) {
        true => Format::Netcdf4,
        false => Format::Hdf5,
    };
    let mut tree = Tree::new(&dimensions);
    let root = tree.group("", &file.root);
    let scene = Scene {
        geometry: file.geometry,
        bounds: &tree.bounds,
        buffer,
        options,
    };
    let arrays = join_all(tree.variables.iter().map(|variable| variable.array(&scene))).await;
    let mut dataset = VirtualDataset::new(format, root, buffer.file_len());
    dataset.skipped = tree.skipped;
    dataset.findings = tree.findings;
    for (variable, outcome) in tree.variables.iter().zip(arrays) {
        dataset.findings.extend(outcome.findings);
        match outcome.array {
            Ok(array) => insert(&mut dataset.root, variable, array),
            Err(reason) => dataset.skipped.push(Skipped {
                variable: variable.path.clone(),
                reason,
                is_data: outcome.is_data,
            }),
        }
    }
    dataset.skipped.sort_by(|a, b| a.variable.cmp(&b.variable));
    Ok(dataset)
}

fn has_properties(root: &Group) -> bool {
    dimension::attribute(&root.attributes, "_NCProperties").is_some()
        || dimension::attribute(&root.attributes, "_nc3_strict").is_some()
}

fn insert(root: &mut VirtualGroup, variable: &Variable<'_>, array: VirtualArray) {
    let mut group = root;
    for name in &variable.group {
        group = group.groups.entry(name.clone()).or_default();
    }
    group.arrays.insert(variable.name.clone(), array);
}

/// Walks the object tree: groups become groups, datasets wait for their turn, everything else is named.
struct Tree<'a> {
    dimensions: &'a Dimensions,
    variables: Vec<Variable<'a>>,
    bounds: BTreeSet<String>,
    skipped: Vec<Skipped>,
    findings: Vec<Finding>,
    group: Vec<String>,
}

impl<'a> Tree<'a> {
    const fn new(dimensions: &'a Dimensions) -> Self {
        Self {
            dimensions,
            variables: Vec::new(),
            bounds: BTreeSet::new(),
            skipped: Vec::new(),
            findings: Vec::new(),
            group: Vec::new(),
        }
    }

    fn group(&mut self, path: &str, group: &'a Group) -> VirtualGroup {
        let (attributes, broken) = (&group.attributes, &group.broken_attributes);
        let mut out = VirtualGroup {
            attributes: attribute::to_json(path, attributes, broken, &mut self.findings),
            dimensions: self.dimensions.of_group(group.address),
            ..VirtualGroup::default()
        };
        for link in &group.links {
            let path = format!("{path}/{}", link.name);
            match &link.target {
                _ if !is_key(&link.name) => self.skip(path, "its name cannot stand in a Zarr key"),
                Node::Group(child) => {
                    self.group.push(link.name.clone());
                    let child = self.group(&path, child);
                    self.group.pop();
                    out.groups.insert(link.name.clone(), child);
                }
                Node::Dataset(dataset) => self.dataset(path, link, dataset, group),
                other => self.other(path, other),
            }
        }
        out
    }

    fn dataset(
        &mut self,
        path: String,
        link: &Link,
        dataset: &'a crate::hdf5::Dataset,
        group: &Group,
    ) {
        if self.dimensions.is_pure(dataset.address) {
            return;
        }
        for key in ["bounds", "climatology"] {
            let named = dimension::attribute(&dataset.attributes, key);
            if let Some(AttributeValue::Strings(names)) = named.map(|named| &named.value) {
                let names = names
                    .iter()
                    .map(|name| String::from_utf8_lossy(name).into_owned());
                self.bounds.extend(names);
            }
        }
        let name = netcdf_name(&link.name).to_owned();
        if name != link.name {
            let shown = group.links.iter().any(|other| {
                let pure =
                    matches!(&other.target, Node::Dataset(d) if self.dimensions.is_pure(d.address));
                other.name == name && !pure
            });
            if shown {
                return self.skip(path, "its netCDF name is taken by another object");
            }
            self.skip(
                path.clone(),
                &format!("it is here under its netCDF name, {name}"),
            );
        }
        self.variables.push(Variable {
            path,
            group: self.group.clone(),
            name,
            dataset,
            dimensions: self.dimensions.of_variable(dataset.address),
        });
    }

    fn other(&mut self, path: String, node: &Node) {
        match node {
            Node::HardLink { path: first, .. } => {
                let message = format!("another name of {first}, under which it is listed");
                self.findings
                    .push(Finding::info("hard-link", Some(&path), message));
            }
            Node::Soft(target) => {
                let message = format!("a symbolic link to {target}, not followed");
                self.findings
                    .push(Finding::info("soft-link", Some(&path), message));
            }
            Node::External { file, path: object } => {
                self.skip(
                    path,
                    &format!("it is the object {object} of another file, {file}"),
                );
            }
            Node::Broken(why) => self.skip(path, why),
            Node::Group(_) | Node::Dataset(_) | Node::NamedType(_) => {}
        }
    }

    fn skip(&mut self, variable: String, reason: &str) {
        self.skipped.push(Skipped {
            variable,
            reason: String::from(reason),
            is_data: false,
        });
    }
}

/// Whether a name can be a part of a Zarr key.
fn is_key(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains('/')
}
