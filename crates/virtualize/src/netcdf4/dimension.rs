//! Names of dimensions: dimension scales, the hidden attributes of netCDF-4, and phony dimensions.
//!
//! The numbering of phony dimensions is netCDF-C's: groups in order of creation, a group's children before its own
//! variables, and within a group one phony dimension per length that a variable has not used yet.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::dataset::Dimension;
use crate::hdf5::{Attribute, AttributeValue, Dataset, Datatype, DatatypeClass, Group, Node};

const PURE_DIMENSION: &[u8] = b"This is a netCDF dimension but not a netCDF variable";
const NON_COORDINATE: &str = "_nc4_non_coord_";

/// The name that netCDF shows for a dataset: that of a variable with the name of a dimension it does not describe is
/// stored with a prefix.
pub(super) fn netcdf_name(stored: &str) -> &str {
    match stored.strip_prefix(NON_COORDINATE) {
        Some(name) if !name.is_empty() => name,
        _ => stored,
    }
}

/// The attribute `name`.
pub(super) fn attribute<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name == name)
}

/// The lengths of a dataset as an array of its base type: extent and, for array types, the lengths of the type.
pub(super) fn full_shape(dataset: &Dataset) -> Vec<u64> {
    let mut shape = dataset.dataspace.shape().unwrap_or_default().to_vec();
    let mut datatype = &dataset.datatype;
    while let DatatypeClass::Array { dims, base } = &datatype.class {
        shape.extend_from_slice(dims);
        datatype = base;
    }
    shape
}

/// The dimensions of a whole file.
#[derive(Debug, Default)]
pub(super) struct Dimensions {
    variables: HashMap<u64, Vec<Used>>,
    groups: HashMap<u64, BTreeMap<String, Dimension>>,
    pure: HashSet<u64>,
    /// Whether the file has a dimension scale.
    pub(super) has_scales: bool,
}

/// A dimension as a variable uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Used {
    /// Its name.
    pub(super) name: String,
    /// Its length, which a variable may fall short of along an unlimited dimension.
    pub(super) length: u64,
}

impl Dimensions {
    /// Finds the dimensions of every dataset below `root`.
    pub(super) fn of(root: &Group) -> Self {
        let mut scan = Scan::default();
        scan.group(root, None);
        scan.resolve(0, Pass::Known);
        scan.resolve(0, Pass::Rest);
        scan.finish()
    }

    /// The dimensions of the dataset whose header is at `address`.
    pub(super) fn of_variable(&self, address: u64) -> &[Used] {
        self.variables.get(&address).map_or(&[], Vec::as_slice)
    }

    /// The dimensions declared in the group whose header is at `address`.
    pub(super) fn of_group(&self, address: u64) -> BTreeMap<String, Dimension> {
        self.groups.get(&address).cloned().unwrap_or_default()
    }

    /// Whether the dataset is a dimension and nothing else.
    pub(super) fn is_pure(&self, address: u64) -> bool {
        self.pure.contains(&address)
    }
}

/// netCDF-C leaves out what has a type it does not know, so such datasets come last in the numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Known,
    Rest,
}

#[derive(Debug, Default)]
struct Scan<'a> {
    groups: Vec<Level<'a>>,
    dims: Vec<Dim>,
    /// The first dimension of each id, that of each scale, and those of a group by length and whether they can grow.
    by_id: HashMap<i64, usize>,
    by_scale: HashMap<u64, usize>,
    by_length: HashMap<(usize, u64, bool), Vec<usize>>,
    next_id: i64,
    resolved: HashMap<u64, Vec<usize>>,
    pure: HashSet<u64>,
}

#[derive(Debug, Default)]
struct Level<'a> {
    address: u64,
    children: Vec<usize>,
    datasets: Vec<&'a Dataset>,
    dims: Vec<usize>,
}

#[derive(Debug)]
struct Dim {
    name: String,
    length: u64,
    unlimited: bool,
    scale: Option<u64>,
    id: i64,
}

impl<'a> Scan<'a> {
    /// Takes in a group: its datasets first, then its child groups, each in order of creation.
    fn group(&mut self, group: &'a Group, parent: Option<usize>) {
        let at = self.groups.len();
        self.groups.push(Level {
            address: group.address,
            ..Level::default()
        });
        if let Some(parent) = parent.and_then(|parent| self.groups.get_mut(parent)) {
            parent.children.push(at);
        }
        let mut links: Vec<_> = group.links.iter().collect();
        if links.iter().all(|link| link.creation_order.is_some()) {
            links.sort_by_key(|link| link.creation_order);
        }
        for link in &links {
            if let Node::Dataset(dataset) = &link.target {
                self.dataset(at, &link.name, dataset);
            }
        }
        for link in links {
            if let Node::Group(child) = &link.target {
                self.group(child, Some(at));
            }
        }
    }

    fn dataset(&mut self, group: usize, name: &str, dataset: &'a Dataset) {
        if let Some(level) = self.groups.get_mut(group) {
            level.datasets.push(dataset);
        }
        let first = dataset.dataspace.shape().and_then(<[u64]>::first);
        let (true, Some(length)) = (is_scale(dataset), first) else {
            return;
        };
        let dim = Dim {
            name: netcdf_name(name).to_owned(),
            length: *length,
            unlimited: is_unlimited(dataset, 0),
            scale: Some(dataset.address),
            id: integers(&dataset.attributes, "_Netcdf4Dimid")
                .first()
                .copied()
                .unwrap_or(self.next_id),
        };
        self.add(group, dim);
        if is_pure_dimension(dataset) {
            self.pure.insert(dataset.address);
        }
    }

    fn add(&mut self, group: usize, dim: Dim) -> usize {
        self.next_id = self.next_id.max(dim.id.saturating_add(1));
        let at = self.dims.len();
        self.by_id.entry(dim.id).or_insert(at);
        if let Some(scale) = dim.scale {
            self.by_scale.insert(scale, at);
        }
        let alike = (group, dim.length, dim.unlimited);
        self.by_length.entry(alike).or_default().push(at);
        self.dims.push(dim);
        if let Some(level) = self.groups.get_mut(group) {
            level.dims.push(at);
        }
        at
    }

    /// Names the dimensions of all variables of a group, its children's first.
    fn resolve(&mut self, group: usize, pass: Pass) {
        let (children, datasets) = match self.groups.get(group) {
            Some(level) => (level.children.clone(), level.datasets.clone()),
            None => return,
        };
        for child in children {
            self.resolve(child, pass);
        }
        for dataset in datasets {
            let known = is_known(&dataset.datatype);
            if known == (pass == Pass::Known) && !self.pure.contains(&dataset.address) {
                let dims = self.variable(group, dataset);
                self.resolved.insert(dataset.address, dims);
            }
        }
    }

    fn variable(&mut self, group: usize, dataset: &Dataset) -> Vec<usize> {
        let shape = full_shape(dataset);
        let ids = integers(&dataset.attributes, "_Netcdf4Coordinates");
        let own = is_scale(dataset)
            .then(|| self.by_scale.get(&dataset.address).copied())
            .flatten();
        let lists = attribute(&dataset.attributes, "DIMENSION_LIST").map(references);
        let mut dims: Vec<usize> = Vec::with_capacity(shape.len());
        for (axis, length) in shape.iter().enumerate() {
            let hidden = || self.by_id.get(ids.get(axis)?).copied();
            let listed = || {
                self.by_scale
                    .get(lists.as_ref()?.get(axis)?.last()?)
                    .copied()
            };
            let own = own.filter(|_| axis == 0);
            let found = match ids.len() == shape.len() && (own.is_none() || shape.len() > 1) {
                true => hidden(),
                false => own.or_else(listed),
            };
            let dim = found
                .filter(|dim| self.holds(*dim, *length))
                .unwrap_or_else(|| self.phony(group, *length, is_unlimited(dataset, axis), &dims));
            dims.push(dim);
        }
        dims
    }

    /// Whether a variable may have `length` along the dimension: shorter along an unlimited one.
    fn holds(&self, dim: usize, length: u64) -> bool {
        let dim = self.dims.get(dim);
        dim.is_some_and(|dim| dim.unlimited || dim.length == length)
    }

    /// A dimension of the group with this length that the variable has not used, or a new one.
    fn phony(&mut self, group: usize, length: u64, unlimited: bool, used: &[usize]) -> usize {
        let alike = self.by_length.get(&(group, length, unlimited));
        let free = alike.and_then(|alike| alike.iter().find(|at| !used.contains(at)));
        if let Some(found) = free {
            return *found;
        }
        let dim = Dim {
            name: format!("phony_dim_{}", self.next_id),
            length,
            unlimited,
            scale: None,
            id: self.next_id,
        };
        self.add(group, dim)
    }

    fn finish(mut self) -> Dimensions {
        self.stretch();
        let used = |at: &usize| {
            self.dims.get(*at).map(|dim| Used {
                name: dim.name.clone(),
                length: dim.length,
            })
        };
        let variables = self
            .resolved
            .iter()
            .map(|(address, dims)| (*address, dims.iter().filter_map(used).collect()))
            .collect();
        let declared = |level: &Level<'_>| {
            let dims = level.dims.iter().filter_map(|at| self.dims.get(*at));
            dims.map(|dim| {
                let dimension = Dimension {
                    length: dim.length,
                    unlimited: dim.unlimited,
                };
                (dim.name.clone(), dimension)
            })
            .collect()
        };
        Dimensions {
            variables,
            groups: self
                .groups
                .iter()
                .map(|level| (level.address, declared(level)))
                .collect(),
            has_scales: self.dims.iter().any(|dim| dim.scale.is_some()),
            pure: self.pure,
        }
    }

    /// An unlimited dimension is as long as the longest variable along it.
    fn stretch(&mut self) {
        let longest = |dims: &[Dim], at: usize| dims.get(at).map_or(0, |dim| dim.length);
        for level in &self.groups {
            for dataset in &level.datasets {
                let dims = self.resolved.get(&dataset.address);
                for (at, length) in dims.into_iter().flatten().zip(full_shape(dataset)) {
                    let length = length.max(longest(&self.dims, *at));
                    if let Some(dim) = self.dims.get_mut(*at).filter(|dim| dim.unlimited) {
                        dim.length = length;
                    }
                }
            }
        }
    }
}

/// Whether netCDF-C (4.10) shows datasets of the type.
const fn is_known(datatype: &Datatype) -> bool {
    !matches!(
        datatype.class,
        DatatypeClass::Reference { .. }
            | DatatypeClass::Array { .. }
            | DatatypeClass::Bitfield { .. }
            | DatatypeClass::Time
    )
}

fn is_scale(dataset: &Dataset) -> bool {
    text(&dataset.attributes, "CLASS") == Some(b"DIMENSION_SCALE")
}

fn is_pure_dimension(dataset: &Dataset) -> bool {
    text(&dataset.attributes, "NAME").is_some_and(|name| name.starts_with(PURE_DIMENSION))
}

fn is_unlimited(dataset: &Dataset, axis: usize) -> bool {
    match &dataset.dataspace {
        crate::hdf5::Dataspace::Simple { max_dims, .. } => {
            matches!(max_dims.get(axis), Some(None))
        }
        _ => false,
    }
}

fn text<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a [u8]> {
    match &attribute(attributes, name)?.value {
        AttributeValue::Strings(values) => values.first().map(|value| value.as_ref()),
        _ => None,
    }
}

fn integers(attributes: &[Attribute], name: &str) -> Vec<i64> {
    match attribute(attributes, name).map(|attribute| &attribute.value) {
        Some(AttributeValue::Integers(values)) => values.clone(),
        Some(AttributeValue::Unsigned(values)) => values
            .iter()
            .filter_map(|value| i64::try_from(*value).ok())
            .collect(),
        _ => Vec::new(),
    }
}

/// One list of scales for each axis.
fn references(attribute: &Attribute) -> Vec<Vec<u64>> {
    match &attribute.value {
        AttributeValue::ReferenceLists(lists) => lists.clone(),
        AttributeValue::References(scales) => scales.iter().map(|scale| vec![*scale]).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::hdf5::{Dataspace, Link};
    use crate::netcdf4::sample::{self, dataset, group, link, references_to, text};

    fn names(dimensions: &Dimensions, address: u64) -> Vec<&str> {
        let used = dimensions.of_variable(address).iter();
        used.map(|dimension| dimension.name.as_str()).collect()
    }

    /// What netCDF4-python 1.7.5 (netCDF-C 4.10.1) shows for the same file, made with h5py.
    #[test]
    fn phony_dimensions_are_numbered_as_netcdf_c_does() {
        let mut unlimited = dataset(3, &[3]);
        unlimited.dataspace = Dataspace::Simple {
            dims: vec![3],
            max_dims: vec![None],
        };
        let inner = group(20, vec![link("e", dataset(21, &[4]))]);
        let mut middle = group(10, vec![link("d", dataset(11, &[4, 2]))]);
        middle.links.push(sample::group_link("h", inner));
        let links: Vec<Link> = vec![
            link("a", dataset(1, &[3, 4])),
            link("b", dataset(2, &[4, 4])),
            link("bo", dataset(5, &[7])),
            link("c", unlimited),
            sample::group_link("g", middle),
            link("z", dataset(4, &[5])),
        ];
        let dimensions = Dimensions::of(&group(0, links));
        assert_eq!(names(&dimensions, 21), ["phony_dim_0"]);
        assert_eq!(names(&dimensions, 11), ["phony_dim_1", "phony_dim_2"]);
        assert_eq!(names(&dimensions, 1), ["phony_dim_3", "phony_dim_4"]);
        assert_eq!(names(&dimensions, 2), ["phony_dim_4", "phony_dim_5"]);
        assert_eq!(names(&dimensions, 5), ["phony_dim_6"]);
        assert_eq!(names(&dimensions, 3), ["phony_dim_7"]);
        assert_eq!(names(&dimensions, 4), ["phony_dim_8"]);
        assert!(dimensions.of_group(0)["phony_dim_7"].unlimited);
        assert!(!dimensions.has_scales);
    }

    fn scale(address: u64, length: u64) -> Dataset {
        let mut scale = dataset(address, &[length]);
        scale.attributes.push(text("CLASS", &["DIMENSION_SCALE"]));
        scale
    }

    fn along(address: u64, shape: &[u64], scales: &[u64]) -> Dataset {
        let mut variable = dataset(address, shape);
        variable
            .attributes
            .push(references_to("DIMENSION_LIST", scales));
        variable
    }

    /// What netCDF4-python 1.7.5 shows for the same file, made with h5py.
    #[test]
    fn scales_name_dimensions_here_and_in_groups_below() {
        let below = group(10, vec![link("w", along(11, &[2, 3], &[2, 1]))]);
        let links = vec![
            sample::group_link("g", below),
            link("u", dataset(4, &[3, 9])),
            link("v", along(3, &[3, 2], &[1, 2])),
            link("x", scale(1, 3)),
            link("y", scale(2, 2)),
        ];
        let dimensions = Dimensions::of(&group(0, links));
        assert_eq!(names(&dimensions, 3), ["x", "y"]);
        assert_eq!(names(&dimensions, 11), ["y", "x"]);
        assert_eq!(names(&dimensions, 1), ["x"]);
        assert_eq!(names(&dimensions, 4), ["x", "phony_dim_2"]);
        assert!(dimensions.has_scales && dimensions.of_group(10).is_empty());
    }

    #[test]
    fn a_coordinate_of_two_dimensions_has_them_by_id() {
        let mut time = scale(1, 4);
        time.attributes
            .push(sample::integers("_Netcdf4Dimid", &[7]));
        let mut bounds = scale(2, 4);
        bounds.dataspace = Dataspace::Simple {
            dims: vec![4, 2],
            max_dims: vec![Some(4), Some(2)],
        };
        bounds
            .attributes
            .push(sample::integers("_Netcdf4Dimid", &[3]));
        bounds
            .attributes
            .push(sample::integers("_Netcdf4Coordinates", &[7, 5]));
        let mut pure = scale(3, 2);
        pure.attributes
            .push(sample::integers("_Netcdf4Dimid", &[5]));
        let name = "This is a netCDF dimension but not a netCDF variable.         2";
        pure.attributes.push(text("NAME", &[name]));
        let links = vec![link("b", bounds), link("nv", pure), link("t", time)];
        let dimensions = Dimensions::of(&group(0, links));
        assert_eq!(names(&dimensions, 2), ["t", "nv"]);
        assert!(dimensions.is_pure(3) && !dimensions.is_pure(1));
    }

    #[rstest]
    #[case::as_long(5, &["time"], &[5])]
    #[case::shorter(2, &["time"], &[5])]
    fn an_unlimited_dimension_is_as_long_as_its_longest_variable(
        #[case] length: u64,
        #[case] expected: &[&str],
        #[case] lengths: &[u64],
    ) {
        let mut time = scale(1, 0);
        time.dataspace = Dataspace::Simple {
            dims: vec![0],
            max_dims: vec![None],
        };
        let links = vec![
            link("a", along(2, &[5], &[1])),
            link("b", along(3, &[length], &[1])),
            link("time", time),
        ];
        let dimensions = Dimensions::of(&group(0, links));
        assert_eq!(names(&dimensions, 3), expected);
        let used = dimensions.of_variable(3).iter().map(|used| used.length);
        assert_eq!(used.collect::<Vec<_>>(), lengths);
    }

    #[test]
    fn a_scale_of_another_length_names_nothing() {
        let links = vec![link("v", along(2, &[9], &[1])), link("x", scale(1, 3))];
        let dimensions = Dimensions::of(&group(0, links));
        assert_eq!(names(&dimensions, 2), ["phony_dim_1"]);
    }
}
