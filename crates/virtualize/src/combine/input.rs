//! The files of a series, and how variables are found in them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::combine::CombineError;
use crate::dataset::{VirtualArray, VirtualDataset, VirtualGroup};
use crate::zarr::DataType;

/// One file of a series.
#[derive(Debug)]
pub(super) struct Input {
    pub dataset: VirtualDataset,
    /// Its name in messages: the last part of its URL.
    pub name: String,
    /// Number of its first source among the sources of all inputs.
    pub base: u32,
}

/// Inputs with their sources numbered through, and without the variables to be dropped.
pub(super) fn numbered(datasets: Vec<VirtualDataset>, drop: &[String]) -> Vec<Input> {
    let mut base = 0u32;
    let number = |(at, mut dataset): (usize, VirtualDataset)| {
        drop_variables(&mut dataset.root, "", drop);
        dataset
            .skipped
            .retain(|skipped| !is_named(skipped.variable.trim_start_matches('/'), drop));
        let name = dataset
            .sources
            .first()
            .map(|source| base_name(&source.url))
            .unwrap_or_default();
        let name = if name.is_empty() {
            format!("file {at}")
        } else {
            name
        };
        let input = Input {
            name,
            base,
            dataset,
        };
        base = base.saturating_add(u32::try_from(input.dataset.sources.len()).unwrap_or(u32::MAX));
        input
    };
    datasets.into_iter().enumerate().map(number).collect()
}

/// Refuses names that are to be dropped and are nowhere.
pub(super) fn check_dropped(
    datasets: &[VirtualDataset],
    drop: &[String],
) -> Result<(), CombineError> {
    if drop.is_empty() {
        return Ok(());
    }
    let mut known = BTreeSet::new();
    for dataset in datasets {
        known.extend(dataset.root.walk().into_iter().map(|(path, _)| path));
        let skipped = dataset.skipped.iter().map(|skipped| &skipped.variable);
        known.extend(skipped.map(|path| path.trim_start_matches('/').to_owned()));
    }
    for name in drop {
        let wanted = std::slice::from_ref(name);
        if !known.iter().any(|path| is_named(path, wanted)) {
            return Err(CombineError::UnknownVariable {
                name: name.clone(),
                known: known.into_iter().collect(),
            });
        }
    }
    Ok(())
}

fn drop_variables(group: &mut VirtualGroup, prefix: &str, drop: &[String]) {
    if drop.is_empty() {
        return;
    }
    let dropped = |name: &str| is_named(&format!("{prefix}{name}"), drop);
    group.arrays.retain(|name, _| !dropped(name));
    for array in group.arrays.values_mut() {
        forget_coordinates(array, dropped);
    }
    for (name, inner) in &mut group.groups {
        drop_variables(inner, &format!("{prefix}{name}/"), drop);
    }
}

/// Takes dropped names out of a list of coordinates: readers ignore a list that names what is not there.
fn forget_coordinates(array: &mut VirtualArray, dropped: impl Fn(&str) -> bool) {
    let Some(list) = text(array, "coordinates") else {
        return;
    };
    let kept: Vec<&str> = list
        .split_whitespace()
        .filter(|name| !dropped(name))
        .collect();
    let list = kept.join(" ");
    match list.is_empty() {
        true => drop(array.attributes.remove("coordinates")),
        false => drop(
            array
                .attributes
                .insert(String::from("coordinates"), list.into()),
        ),
    }
}

/// Whether a list names a variable, by its name or by its path.
pub(super) fn is_named(path: &str, list: &[String]) -> bool {
    list.iter().any(|wanted| {
        let wanted = wanted.trim_start_matches('/');
        wanted == path || wanted == split(path).1
    })
}

/// The last part of a URL, without a query.
pub(super) fn base_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// Folder (with its slash, empty for the root) and name of a path.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rfind('/')
        .map_or(("", path), |at| path.split_at(at + 1))
}

/// Of some concat coordinates, each with its path, that of the group a variable lies in, or of the nearest group above.
pub(super) fn clock_above<'a, T>(
    clocks: &'a [T],
    path_of: impl Fn(&T) -> &str,
    path: &str,
) -> Option<&'a T> {
    let folder = split(path).0;
    let above = clocks
        .iter()
        .filter(|clock| folder.starts_with(split(path_of(clock)).0));
    above.max_by_key(|clock| split(path_of(clock)).0.len())
}

impl Input {
    pub(super) fn array(&self, path: &str) -> Option<&VirtualArray> {
        array_at(&self.dataset.root, path)
    }

    /// Length of the concat dimension in a group, be it declared or only used there.
    fn length_in(&self, folder: &str, dim: &str) -> Option<u64> {
        declared_length(group_at(&self.dataset.root, folder)?, dim)
    }
}

/// The array at a path relative to a group.
pub(super) fn array_at<'a>(group: &'a VirtualGroup, path: &str) -> Option<&'a VirtualArray> {
    match path.split_once('/') {
        Some((name, rest)) => array_at(group.groups.get(name)?, rest),
        None => group.arrays.get(path),
    }
}

fn group_at<'a>(group: &'a VirtualGroup, folder: &str) -> Option<&'a VirtualGroup> {
    match folder.split_once('/') {
        Some((name, rest)) => group_at(group.groups.get(name)?, rest),
        None => Some(group),
    }
}

fn declared_length(group: &VirtualGroup, dim: &str) -> Option<u64> {
    let declared = group.dimensions.get(dim).map(|dimension| dimension.length);
    declared.or_else(|| {
        group
            .arrays
            .values()
            .find_map(|array| length_along(array, dim))
    })
}

/// Which axis of an array is the dimension; `None` if none is or several are.
pub(super) fn axis_along(array: &VirtualArray, dim: &str) -> Option<usize> {
    let mut axes = array
        .dimension_names
        .iter()
        .enumerate()
        .filter(|(_, name)| *name == dim);
    let axis = axes.next()?.0;
    axes.next().is_none().then_some(axis)
}

/// Length of an array along a dimension that it has once.
pub(super) fn length_along(array: &VirtualArray, dim: &str) -> Option<u64> {
    array.shape.get(axis_along(array, dim)?).copied()
}

/// An attribute that is text.
pub(super) fn text<'a>(array: &'a VirtualArray, attribute: &str) -> Option<&'a str> {
    array.attributes.get(attribute).and_then(Value::as_str)
}

/// Takes the array at a path out of a group.
pub(super) fn remove(group: &mut VirtualGroup, path: &str) {
    match path.split_once('/') {
        Some((name, rest)) => {
            if let Some(inner) = group.groups.get_mut(name) {
                remove(inner, rest);
            }
        }
        None => drop(group.arrays.remove(path)),
    }
}

/// Whether an array runs along a dimension.
pub(super) fn has_axis(array: &VirtualArray, dim: &str) -> bool {
    array.dimension_names.iter().any(|name| name == dim)
}

/// Whether a file has a dimension, declared or in use.
pub(super) fn has_dimension(input: &Input, dim: &str) -> bool {
    let root = &input.dataset.root;
    root.dimensions.contains_key(dim) || root.walk().iter().any(|(_, array)| has_axis(array, dim))
}

/// The files in the order of the series, and what can be said of them together.
#[derive(Debug)]
pub(super) struct Series<'a> {
    pub files: Vec<&'a Input>,
    /// Number of the first source of each file among those of the result.
    pub bases: Vec<u32>,
    pub dim: &'a str,
    /// Path of a bounds variable along the concat dimension → path of the coordinate that it belongs to.
    pub bounds: BTreeMap<String, String>,
    /// Paths of the variables that locate others: coordinates and bounds.
    pub coordinates: BTreeSet<String>,
}

impl<'a> Series<'a> {
    pub(super) fn new(files: Vec<&'a Input>, bases: Vec<u32>, dim: &'a str) -> Self {
        let mut series = Self {
            files,
            bases,
            dim,
            bounds: BTreeMap::new(),
            coordinates: BTreeSet::new(),
        };
        for file in series.files.clone() {
            series.note_roles(&file.dataset.root, "");
        }
        series
    }

    /// Every path of a variable in any file, sorted.
    pub(super) fn paths(&self) -> BTreeSet<String> {
        let arrays = self.files.iter().flat_map(|file| file.dataset.root.walk());
        arrays.map(|(path, _)| path).collect()
    }

    /// The first file that has a variable, and the variable there.
    pub(super) fn first(&self, path: &str) -> Option<(&'a Input, &'a VirtualArray)> {
        self.files
            .iter()
            .find_map(|file| Some((*file, file.array(path)?)))
    }

    /// The variable in each file of the series.
    pub(super) fn arrays(&self, path: &str) -> Vec<Option<&'a VirtualArray>> {
        self.files.iter().map(|file| file.array(path)).collect()
    }

    /// Number of steps of each file where `path` lies.
    pub(super) fn lengths(&self, path: &str) -> Vec<u64> {
        let length = |file: &&Input| {
            let own = file
                .array(path)
                .and_then(|array| length_along(array, self.dim));
            own.or_else(|| self.lent_length(file, path)).unwrap_or(0)
        };
        self.files.iter().map(length).collect()
    }

    /// Number of steps of a file where it lacks `path`: as in the nearest group that has as many steps as the
    /// variable in the files that hold it.
    fn lent_length(&self, file: &Input, path: &str) -> Option<u64> {
        let mut folder = split(path).0;
        loop {
            let fits = |other: &&Input| {
                let own = other.array(path).map(|array| length_along(array, self.dim));
                own.is_none_or(|own| own == other.length_in(folder, self.dim))
            };
            let length = file.length_in(folder, self.dim);
            if length.is_some() && self.files.iter().all(fits) {
                return length;
            }
            if folder.is_empty() {
                return None;
            }
            folder = split(folder.trim_end_matches('/')).0;
        }
    }

    fn note_roles(&mut self, group: &VirtualGroup, prefix: &str) {
        for (name, array) in &group.arrays {
            let path = format!("{prefix}{name}");
            if array.dimension_names.contains(name) {
                self.coordinates.insert(path.clone());
            }
            for attribute in ["bounds", "climatology"] {
                if let Some(bounds) = text(array, attribute) {
                    let bounds = format!("{prefix}{}", bounds.trim());
                    self.coordinates.insert(bounds.clone());
                    self.bounds.entry(bounds).or_insert_with(|| path.clone());
                }
            }
            let named = text(array, "coordinates")
                .into_iter()
                .flat_map(str::split_whitespace);
            self.coordinates
                .extend(named.map(|name| format!("{prefix}{name}")));
        }
        for (name, inner) in &group.groups {
            self.note_roles(inner, &format!("{prefix}{name}/"));
        }
    }

    /// Whether a variable locates or labels others, so that it may be read whole.
    pub(super) fn is_coordinate(&self, path: &str, array: &VirtualArray) -> bool {
        let is_text = matches!(array.data_type, DataType::FixedString(_));
        array.shape.len() <= 1 || is_text || self.coordinates.contains(path)
    }
}
