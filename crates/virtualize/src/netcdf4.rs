//! NetCDF-4's conventions on top of HDF5, and HDF5's types, filters and fill values as Zarr has them.

mod attribute;
mod data_type;
mod dimension;
mod elements;
mod fill;
mod inspect;
mod recast;
#[cfg(test)]
mod sample;
mod storage;
mod text;
mod variable;

use std::collections::BTreeSet;

use crate::dataset::{Format, Skipped, VirtualArray, VirtualDataset, VirtualGroup};
use crate::decode::{DecodeError, DecodeOptions, SourceBuffer, settle};
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
    if let Some(probe) = &options.probe {
        inspect::note(&file, &dimensions, probe);
    }
    let mut tree = Tree::new(&dimensions);
    let root = tree.group("", &file.root);
    let scene = Scene {
        geometry: file.geometry,
        bounds: &tree.bounds,
        buffer,
        options,
    };
    let arrays = settle(tree.variables.iter().map(|variable| variable.array(&scene))).await;
    let mut dataset = VirtualDataset::new(format, root, buffer.file_len());
    dataset.skipped = tree.skipped;
    dataset.findings = tree.findings;
    for (variable, outcome) in tree.variables.iter().zip(arrays) {
        dataset.findings.extend(outcome.findings);
        match outcome.array {
            Ok(array) => {
                insert(&mut dataset.root, variable, array);
                dataset.skipped.extend(renamed(variable));
            }
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

/// The name that a variable has in the file, where that is another one.
fn renamed(variable: &Variable<'_>) -> Option<Skipped> {
    let is_other = !variable.path.ends_with(&format!("/{}", variable.name));
    is_other.then(|| Skipped {
        variable: variable.path.clone(),
        reason: format!("it is here under its netCDF name, {}", variable.name),
        is_data: false,
    })
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
        let doubled = doubled(&group.links);
        for link in &group.links {
            let path = format!("{path}/{}", link.name);
            match &link.target {
                target if !is_key(&link.name) => {
                    self.leave_out(path, target, "its name cannot stand in a Zarr key");
                }
                target if doubled.contains(link.name.as_str()) => {
                    self.leave_out(path, target, "its group has another object of that name");
                }
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

    /// Names an object, and everything below it, that no Zarr key can lead to.
    fn leave_out(&mut self, path: String, node: &Node, reason: &str) {
        if let Node::Group(group) = node {
            for link in &group.links {
                self.leave_out(format!("{path}/{}", link.name), &link.target, reason);
            }
        }
        self.skip(path, reason);
    }

    fn skip(&mut self, variable: String, reason: &str) {
        self.skipped.push(Skipped {
            variable,
            reason: String::from(reason),
            is_data: false,
        });
    }
}

/// Names that several links of a group have: the file is damaged, or they differ in bytes that are not UTF-8.
fn doubled(links: &[Link]) -> BTreeSet<&str> {
    let mut seen = BTreeSet::new();
    let names = links.iter().map(|link| link.name.as_str());
    names.filter(|name| !seen.insert(*name)).collect()
}

/// Whether a name can be a part of a Zarr key; zarr-python takes a backslash for a slash.
fn is_key(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::decode::ByteRange;
    use crate::hdf5::{Dataset, Dataspace, Geometry, Storage};
    use sample::{dataset, group, group_link, link, node, text};

    fn run(links: Vec<Link>) -> VirtualDataset {
        let file = Hdf5File {
            superblock_version: 2,
            geometry: Geometry::default(),
            root: group(0, links),
        };
        let buffer = SourceBuffer::new(1 << 20, 1 << 20);
        let options = DecodeOptions::default();
        let read = interpret(file, &buffer, &options);
        read.now_or_never().expect("nothing is to be read").unwrap()
    }

    fn skipped(dataset: &VirtualDataset) -> Vec<(&str, bool)> {
        let rows = dataset.skipped.iter();
        rows.map(|row| (row.variable.as_str(), row.is_data))
            .collect()
    }

    fn stored(address: u64, shape: &[u64]) -> Dataset {
        let bytes = shape.iter().product::<u64>() * 4;
        Dataset {
            storage: Storage::Contiguous(Some(ByteRange::new(address, bytes))),
            ..dataset(address, shape)
        }
    }

    #[test]
    fn groups_stay_groups_and_variables_their_arrays() {
        let dataset = run(vec![
            group_link("g", group(9, vec![link("v", stored(10, &[2]))])),
            link(
                "s",
                Dataset {
                    dataspace: Dataspace::Scalar,
                    ..stored(20, &[])
                },
            ),
        ]);
        let paths: Vec<String> = dataset
            .root
            .walk()
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        assert_eq!(paths, ["s", "g/v"]);
        assert_eq!(
            dataset.root.groups["g"].arrays["v"].dimension_names,
            ["phony_dim_0"]
        );
        assert_eq!(dataset.format, Format::Hdf5);
        assert!(dataset.skipped.is_empty());
    }

    #[test]
    fn a_fill_value_leaves_the_attributes_and_a_scale_makes_it_netcdf() {
        let mut variable = stored(10, &[2]);
        variable
            .attributes
            .push(sample::floats("_FillValue", &[-1.0]));
        variable.attributes.push(text("units", &["K"]));
        let mut scale = stored(30, &[3]);
        scale.attributes.push(text("CLASS", &["DIMENSION_SCALE"]));
        let dataset = run(vec![link("v", variable), link("x", scale)]);
        let v = &dataset.root.arrays["v"];
        assert_eq!(v.fill_value, Some((-1f32).to_le_bytes().to_vec()));
        assert_eq!(v.attributes.keys().collect::<Vec<_>>(), ["units"]);
        assert_eq!(dataset.root.arrays["x"].dimension_names, ["x"]);
        assert_eq!(dataset.format, Format::Netcdf4);
    }

    #[rstest]
    #[case::virtual_layout(Dataset { storage: Storage::Virtual, ..dataset(1, &[2]) }, true)]
    #[case::no_value(Dataset { dataspace: Dataspace::Null, ..dataset(1, &[]) }, false)]
    #[case::cut_off(Dataset { storage: Storage::Contiguous(Some(ByteRange::new(1 << 20, 8))), ..dataset(1, &[2]) }, true)]
    fn a_variable_that_cannot_be_expressed_is_named(#[case] bad: Dataset, #[case] is_data: bool) {
        let dataset = run(vec![link("bad", bad), link("good", stored(8, &[2]))]);
        assert_eq!(skipped(&dataset), [("/bad", is_data)]);
        assert!(dataset.root.arrays.contains_key("good"));
    }

    /// zarr-python reads `a\b` as `a/b` and found no array there; datasets below `..` were lost unnamed.
    #[test]
    fn names_that_no_key_can_hold_are_told_with_all_below_them() {
        let dataset = run(vec![
            link("a\\b", stored(8, &[2])),
            group_link("..", group(9, vec![link("v", stored(16, &[2]))])),
        ]);
        let names = skipped(&dataset);
        assert_eq!(names, [("/..", false), ("/../v", false), ("/a\\b", false)]);
        assert!(dataset.root.arrays.is_empty());
    }

    #[test]
    fn what_shares_its_name_with_another_object_is_told_with_all_below_it() {
        let dataset = run(vec![
            link("a", stored(8, &[2])),
            group_link("a", group(9, vec![link("v", stored(16, &[2]))])),
            link("b", stored(24, &[2])),
        ]);
        let names = skipped(&dataset);
        assert_eq!(names, [("/a", false), ("/a", false), ("/a/v", false)]);
        assert_eq!(dataset.root.arrays.keys().collect::<Vec<_>>(), ["b"]);
        assert!(dataset.root.groups.is_empty());
    }

    #[test]
    fn links_are_told_and_not_followed() {
        let path = String::from("/v");
        let file = String::from("other.h5");
        let dataset = run(vec![
            node("broken", Node::Broken(String::from("no header"))),
            node(
                "elsewhere",
                Node::External {
                    file,
                    path: path.clone(),
                },
            ),
            node(
                "hard",
                Node::HardLink {
                    address: 8,
                    path: path.clone(),
                },
            ),
            node("soft", Node::Soft(path)),
            link("v", stored(8, &[2])),
        ]);
        assert_eq!(
            skipped(&dataset),
            [("/broken", false), ("/elsewhere", false)]
        );
        let codes: Vec<&str> = dataset.findings.iter().map(|f| f.code.as_str()).collect();
        assert_eq!(codes, ["hard-link", "soft-link"]);
        assert_eq!(dataset.root.arrays.len(), 1);
    }

    /// Whole files were rejected because one variable lags behind the others along `time`.
    #[test]
    fn a_variable_behind_its_unlimited_dimension_has_a_dimension_of_its_own() {
        let unlimited = |address, length: u64, attribute| {
            let mut variable = stored(address, &[length]);
            variable.dataspace = Dataspace::Simple {
                dims: vec![length],
                max_dims: vec![None],
            };
            variable.attributes.push(attribute);
            variable
        };
        let along = || sample::references_to("DIMENSION_LIST", &[64]);
        let dataset = run(vec![
            link("all", unlimited(8, 5, along())),
            link("none", unlimited(16, 0, along())),
            link("some", unlimited(32, 2, along())),
            link(
                "time",
                unlimited(64, 5, text("CLASS", &["DIMENSION_SCALE"])),
            ),
        ]);
        let arrays = dataset.root.arrays.iter();
        let named: Vec<(&str, &str)> = arrays
            .map(|(name, array)| (name.as_str(), array.dimension_names[0].as_str()))
            .collect();
        let expected = [
            ("all", "time"),
            ("none", "time_first_0"),
            ("some", "time_first_2"),
            ("time", "time"),
        ];
        assert_eq!(named, expected);
        assert_eq!(dataset.root.dimensions["time"].length, 5);
        let findings = dataset.findings.iter();
        let told: Vec<&str> = findings.map(|finding| finding.code.as_str()).collect();
        assert_eq!(told, ["shorter-than-dimension"; 2]);
    }

    #[test]
    fn a_variable_with_the_name_of_a_foreign_dimension_has_it_back() {
        let dataset = run(vec![link("_nc4_non_coord_x", stored(8, &[2]))]);
        assert!(dataset.root.arrays.contains_key("x"));
        assert_eq!(skipped(&dataset), [("/_nc4_non_coord_x", false)]);
    }
}
