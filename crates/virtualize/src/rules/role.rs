//! Which variables hold data, and which of their dimensions are spatial or time, as CF tells.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cf::axis;
use crate::dataset::{VirtualArray, VirtualDataset, VirtualGroup};

/// What runs along a dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Axis {
    /// A horizontal coordinate.
    Spatial,
    /// Time.
    Time,
    /// The vertices of cells or the ends of intervals.
    Bounds,
    /// Something else or unknown.
    Other,
}

impl Axis {
    const fn of(axis: axis::Axis) -> Self {
        match axis {
            axis::Axis::X | axis::Axis::Y => Self::Spatial,
            axis::Axis::T => Self::Time,
            axis::Axis::Z => Self::Other,
        }
    }
}

/// A variable in its role.
#[derive(Debug)]
pub(super) struct Variable<'d> {
    /// Absolute path, such as `/group/name`.
    pub(super) path: String,
    pub(super) array: &'d VirtualArray,
    /// Whether it is neither a coordinate nor anything else that describes another variable.
    pub(super) is_data: bool,
    /// One entry a dimension.
    pub(super) axes: Vec<Axis>,
}

impl Variable<'_> {
    /// Length and chunk length of the dimensions along one axis, those of length 1 left out.
    pub(super) fn lengths(&self, axis: Axis) -> impl Iterator<Item = (u64, u64)> + '_ {
        let lengths = self.array.shape.iter().zip(&self.array.chunk_shape);
        let along = self
            .axes
            .iter()
            .zip(lengths)
            .filter(move |(a, _)| **a == axis);
        along
            .map(|(_, (length, chunk))| (*length, (*chunk).min(*length)))
            .filter(|(length, _)| *length > 1)
    }
}

/// Walks the groups and gives every variable its role.
pub(super) struct Roles<'d> {
    out: Vec<Variable<'d>>,
}

impl<'d> Roles<'d> {
    /// Every variable of a dataset, sorted as [`VirtualGroup::walk`] has them.
    pub(super) fn of(dataset: &'d VirtualDataset) -> Vec<Variable<'d>> {
        let mut roles = Self { out: Vec::new() };
        roles.group("", &dataset.root, &mut Vec::new());
        roles.out
    }

    fn group(&mut self, path: &str, group: &'d VirtualGroup, above: &mut Vec<Scope>) {
        above.push(Scope::of(group));
        for (name, array) in &group.arrays {
            let describes = above
                .last()
                .is_some_and(|scope| scope.describing.contains(name));
            self.out.push(Variable {
                path: format!("{path}/{name}"),
                array,
                is_data: !describes && !is_coordinate(name, array),
                axes: axes(array, above),
            });
        }
        for (name, child) in &group.groups {
            self.group(&format!("{path}/{name}"), child, above);
        }
        above.pop();
    }
}

/// What the variables of a group say about its names.
struct Scope {
    /// Variables that others refer to: coordinates, bounds, grid mappings, …
    describing: BTreeSet<String>,
    /// What runs along the dimensions.
    axes: BTreeMap<String, Axis>,
}

impl Scope {
    fn of(group: &VirtualGroup) -> Self {
        let mut describing = BTreeSet::new();
        let mut axes = BTreeMap::new();
        refer(group, &mut describing);
        for (name, array) in &group.arrays {
            for (dimension, axis) in axes_told(name, array) {
                let entry = axes.entry(dimension.to_owned()).or_insert(axis);
                *entry = axis.min(*entry);
            }
            let bounds = ["bounds", "climatology"].into_iter();
            for target in bounds.filter_map(|key| text(array, key)) {
                let target = group.arrays.get(target);
                let extra = target
                    .into_iter()
                    .flat_map(|target| &target.dimension_names);
                for dimension in extra.filter(|name| !array.dimension_names.contains(name)) {
                    axes.entry(dimension.clone()).or_insert(Axis::Bounds);
                }
            }
        }
        Self { describing, axes }
    }
}

/// Collects the names that the variables of a group, or of those below it, refer to.
fn refer(group: &VirtualGroup, out: &mut BTreeSet<String>) {
    let mut pending = vec![group];
    while let Some(group) = pending.pop() {
        for array in group.arrays.values() {
            let lists = [
                "coordinates",
                "bounds",
                "climatology",
                "grid_mapping",
                "cell_measures",
                "formula_terms",
                "ancillary_variables",
                "geometry",
            ];
            for list in lists.into_iter().filter_map(|key| text(array, key)) {
                let words = list.split_ascii_whitespace();
                let names = words.map(|word| word.rsplit_once('/').map_or(word, |(_, name)| name));
                out.extend(names.map(str::to_owned));
            }
        }
        pending.extend(group.groups.values());
    }
}

fn text<'a>(array: &'a VirtualArray, key: &str) -> Option<&'a str> {
    array.attributes.get(key).and_then(Value::as_str)
}

/// A variable that runs along itself, or that is a horizontal or time coordinate by its own account.
fn is_coordinate(name: &str, array: &VirtualArray) -> bool {
    let own = array.dimension_names.as_slice() == [name];
    own || matches!(axis_of(array), Some(Axis::Spatial | Axis::Time))
}

/// What a coordinate variable tells about dimensions: its own one, or all that a latitude or longitude runs along.
fn axes_told<'a>(name: &str, array: &'a VirtualArray) -> Vec<(&'a str, Axis)> {
    let dimensions = array.dimension_names.iter().map(String::as_str);
    let own = array.dimension_names.as_slice() == [name];
    match axis_of(array) {
        Some(axis) if own => dimensions.map(|dimension| (dimension, axis)).collect(),
        Some(Axis::Spatial) => {
            let last = dimensions.len().saturating_sub(2);
            dimensions
                .skip(last)
                .map(|dimension| (dimension, Axis::Spatial))
                .collect()
        }
        None if own => dimensions
            .map(|dimension| (dimension, by_name(dimension)))
            .collect(),
        _ => Vec::new(),
    }
}

/// The axis that a variable is a coordinate of by its own account, whatever its name.
fn axis_of(array: &VirtualArray) -> Option<Axis> {
    axis::axis_told(&array.attributes).map(Axis::of)
}

/// The axis of each dimension of a variable. Where CF marks none as spatial the last two are, unless one of them is
/// time or bounds.
fn axes(array: &VirtualArray, above: &[Scope]) -> Vec<Axis> {
    let mut axes: Vec<Axis> = array
        .dimension_names
        .iter()
        .map(|name| {
            let told = above.iter().rev().find_map(|scope| scope.axes.get(name));
            told.copied().unwrap_or_else(|| by_name(name))
        })
        .collect();
    if axes.contains(&Axis::Spatial) {
        return axes;
    }
    if let [.., y, x] = axes.as_mut_slice()
        && *y == Axis::Other
        && *x == Axis::Other
    {
        (*y, *x) = (Axis::Spatial, Axis::Spatial);
    }
    axes
}

/// What the name of a dimension suggests whose coordinate tells nothing.
fn by_name(name: &str) -> Axis {
    match name.to_ascii_lowercase().as_str() {
        "bnds" | "bounds" | "nbnd" | "nv" | "vertices" | "nvertex" | "axis_nbounds" => Axis::Bounds,
        lower if lower.starts_with("time") => Axis::Time,
        _ => axis::axis_named(name).map_or(Axis::Other, Axis::of),
    }
}
