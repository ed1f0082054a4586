//! Merges the parts of a series that hold different variables: what several of them have must be the same in all.

use std::collections::{BTreeMap, BTreeSet};

use crate::cf::{Instant, TimeUnits};
use crate::combine::CombineError;
use crate::combine::agree::{Pair, decode_alike};
use crate::combine::concat;
use crate::combine::coordinates::{Comparison, Verdict, structure_faults, verdict_on};
use crate::combine::input::{Input, Series, has_axis, split};
use crate::combine::refusal::Disagreement;
use crate::combine::time::{is_time, time_values, units_of};
use crate::combine::values::Reader;
use crate::dataset::{Format, VirtualArray, VirtualDataset, VirtualGroup};

/// Decoded bytes up to which a variable that runs along the series in several parts is compared.
const SHARED_LIMIT: u64 = 64 << 20;

/// A part of the series and what came of joining it.
#[derive(Debug)]
pub(super) struct Joint<'a> {
    pub series: Series<'a>,
    pub arrays: BTreeMap<String, VirtualArray>,
}

impl Joint<'_> {
    /// Name of the first file that holds a variable.
    fn name(&self, path: &str) -> String {
        self.series
            .first(path)
            .map(|(file, _)| file.name.clone())
            .unwrap_or_default()
    }

    /// The file that has a step.
    fn name_at(&self, path: &str, step: Option<u64>) -> String {
        let Some(step) = step else {
            return self.name(path);
        };
        let mut end = 0u64;
        let files = self.series.files.iter().zip(self.series.lengths(path));
        for (file, len) in files {
            end = end.saturating_add(len);
            if step < end {
                return file.name.clone();
            }
        }
        self.name(path)
    }

    /// The units that a variable counts in: its own, or those of the time that it bounds.
    fn units(&self, path: &str) -> Option<TimeUnits> {
        let array = self.arrays.get(path)?;
        let owner = match is_time(array) {
            true => array,
            false => self
                .arrays
                .get(self.series.bounds.get(path)?)
                .filter(|owner| is_time(owner))?,
        };
        units_of(owner).ok()
    }
}

/// Paths that several parts hold.
fn shared(joints: &[Joint<'_>]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut shared = BTreeSet::new();
    for path in joints.iter().flat_map(|joint| joint.series.paths()) {
        if !seen.insert(path.clone()) {
            shared.insert(path);
        }
    }
    shared
}

/// Compares what several parts hold without the concat dimension, by the first file of each.
pub(super) fn compare_still(
    joints: &[Joint<'_>],
    comparison: &mut Comparison<'_, '_>,
) -> Result<(), CombineError> {
    for path in shared(joints) {
        let heads: Vec<&Input> = joints
            .iter()
            .filter_map(|joint| Some(joint.series.first(&path)?.0))
            .collect();
        let Some(dim) = joints.first().map(|joint| joint.series.dim) else {
            continue;
        };
        let along = |file: &&&Input| file.array(&path).is_some_and(|array| has_axis(array, dim));
        match heads.iter().filter(along).count() {
            0 => {
                let bases = vec![0; heads.len()];
                comparison.compare(&Series::new(heads, bases, dim), &path)?;
            }
            count if count < heads.len() => {
                comparison.faults.extend(half_along(&heads, &path, dim));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A variable that runs along the series in some parts only.
fn half_along(heads: &[&Input], path: &str, dim: &str) -> Option<Disagreement> {
    let (first, others) = heads.split_first()?;
    let own = has_axis(first.array(path)?, dim);
    let other = others.iter().find(|file| {
        file.array(path)
            .is_some_and(|array| has_axis(array, dim) != own)
    })?;
    let pair = Pair {
        path,
        first: first.array(path)?,
        file: other,
        other: other.array(path)?,
    };
    pair.dimensions("")
}

/// What comparing the joined variables of several parts needs.
pub(super) struct Merge<'r, 'p> {
    pub reader: &'r mut Reader<'p>,
    pub tolerance: f64,
    pub faults: &'r mut Vec<Disagreement>,
    /// For each source of the result, its number among those of all inputs.
    pub originals: &'r [u32],
}

impl Merge<'_, '_> {
    /// Compares what several parts hold along the concat dimension.
    pub(super) fn compare_along(&mut self, joints: &[Joint<'_>]) -> Result<(), CombineError> {
        for path in shared(joints) {
            let mut holders = joints.iter().filter(|joint| {
                let array = joint.arrays.get(&path);
                array.is_some_and(|array| has_axis(array, joint.series.dim))
            });
            let Some(first) = holders.next() else {
                continue;
            };
            for other in holders {
                let faults = self.compare(first, other, &path)?;
                self.faults.extend(faults);
            }
        }
        self.faults.extend(estranged_bounds(joints));
        Ok(())
    }

    fn compare(
        &mut self,
        first: &Joint<'_>,
        other: &Joint<'_>,
        path: &str,
    ) -> Result<Vec<Disagreement>, CombineError> {
        let (Some(a), Some(b)) = (self.original(first, path), self.original(other, path)) else {
            return Ok(Vec::new());
        };
        let (file_a, file_b) = (nameless(first.name(path)), nameless(other.name(path)));
        let pair = Pair {
            path,
            first: &a,
            file: &file_b,
            other: &b,
        };
        let (units_a, units_b) = (first.units(path), other.units(path));
        let timed = units_a.is_some() && units_b.is_some();
        let faults = match timed {
            true => pair.dimensions("").into_iter().collect(),
            false => structure_faults(&pair),
        };
        if !faults.is_empty() {
            return Ok(faults);
        }
        if same_chunks(&a, &b) {
            return Ok(Vec::new());
        }
        let inlined = a.chunks.is_inline() && b.chunks.is_inline();
        if !inlined && a.nbytes().is_none_or(|bytes| bytes > SHARED_LIMIT) {
            let problem = format!("is in {} too, and too large to be compared", file_a.name);
            let fault = Disagreement::new("coord_mismatch", &file_b.name, path, &problem);
            return Ok(vec![fault.with_cure(DROP)]);
        }
        let values_a = self.reader.values(&file_a, path, &a)?;
        let values_b = self.reader.values(&file_b, path, &b)?;
        let (Some(values_a), Some(values_b)) = (values_a, values_b) else {
            return Ok(Vec::new());
        };
        if let (Some(units_a), Some(units_b)) = (units_a, units_b) {
            let a = instants(&units_a, &values_a, &a);
            let b = instants(&units_b, &values_b, &b);
            if let (Some(a), Some(b)) = (a, b) {
                return Ok(times_fault(other, path, &file_a.name, &a, &b)
                    .into_iter()
                    .collect());
            }
            let faults = structure_faults(&pair);
            if !faults.is_empty() {
                return Ok(faults);
            }
        }
        match verdict_on(&pair, &values_a, &values_b, self.tolerance) {
            Verdict::Apart(difference) => {
                let axis = b
                    .dimension_names
                    .iter()
                    .position(|name| name == other.series.dim);
                let step = axis.and_then(|axis| difference.index.get(axis).copied());
                let name = other.name_at(path, step);
                let fault = difference.into_fault(&name, path);
                Ok(vec![fault.with_cure(DROP)])
            }
            Verdict::Equal | Verdict::Near(_) => Ok(Vec::new()),
        }
    }

    /// A joined variable with its sources numbered as those of the inputs.
    fn original(&self, joint: &Joint<'_>, path: &str) -> Option<VirtualArray> {
        let array = joint.arrays.get(path)?;
        let chunks = concat::renumbered(&array.chunks, |source| {
            let at = usize::try_from(source).ok();
            at.and_then(|at| self.originals.get(at).copied())
                .unwrap_or(u32::MAX)
        });
        Some(VirtualArray {
            chunks,
            ..array.clone()
        })
    }
}

const DROP: &str =
    "drop the variable (drop_variables), or combine the variables it belongs to on their own";

/// Whether two arrays point at the very same bytes.
fn same_chunks(a: &VirtualArray, b: &VirtualArray) -> bool {
    a.chunk_shape == b.chunk_shape
        && decode_alike(&a.codecs, &b.codecs)
        && a.data_type == b.data_type
        && a.chunks == b.chunks
        && !a.chunks.is_inline()
}

/// A file that stands for a whole part: its arrays number their sources like all inputs together.
fn nameless(name: String) -> Input {
    Input {
        dataset: VirtualDataset::new(Format::Netcdf4, VirtualGroup::default(), 0),
        name,
        base: 0,
    }
}

fn instants(units: &TimeUnits, values: &[u8], array: &VirtualArray) -> Option<Vec<Instant>> {
    units.decode(&time_values(values, &array.data_type)?).ok()
}

/// The first instant that differs between two parts.
fn times_fault(
    other: &Joint<'_>,
    path: &str,
    first_name: &str,
    a: &[Instant],
    b: &[Instant],
) -> Option<Disagreement> {
    let at = match a.iter().zip(b).position(|(a, b)| a != b) {
        Some(at) => at,
        None if a.len() == b.len() => return None,
        None => a.len().min(b.len()),
    };
    let shown = |all: &[Instant]| {
        all.get(at)
            .map_or(String::from("absent"), |time| time.date_time().to_iso())
    };
    let (first, differs) = (shown(a), shown(b));
    let inner = other.arrays.get(path).and_then(|array| {
        let behind = array.shape.get(1..)?;
        crate::dataset::product(behind)
    });
    let step = crate::combine::values::as_u64(at) / inner.unwrap_or(1).max(1);
    let problem = format!("is {differs} at step {step}, in the files of {first_name} {first}");
    let name = other.name_at(path, Some(step));
    Some(
        Disagreement::new("coord_mismatch", &name, path, &problem)
            .with_values(first, differs)
            .with_cure(DROP),
    )
}

/// Bounds that would come from one part while their time, in other units, comes from another.
fn estranged_bounds(joints: &[Joint<'_>]) -> Vec<Disagreement> {
    let holder = |path: &str| {
        joints
            .iter()
            .position(|joint| joint.arrays.contains_key(path))
    };
    let mut faults = Vec::new();
    for (at, joint) in joints.iter().enumerate() {
        for (path, owner) in &joint.series.bounds {
            let own = joint.arrays.get(path).filter(|array| !is_time(array));
            let donor = holder(owner).and_then(|at| joints.get(at));
            let (Some(_), Some(donor), true) = (own, donor, holder(path) == Some(at)) else {
                continue;
            };
            let (theirs, ours) = (donor.units(owner), joint.units(owner));
            let time_names = donor.arrays.get(owner).and_then(|time| {
                let named = ["bounds", "climatology"].map(|key| time.attributes.get(key)?.as_str());
                named.into_iter().flatten().next().map(str::to_owned)
            });
            let renamed = time_names.is_some_and(|name| name.trim() != split(path).1);
            if ours.is_some() && (theirs != ours || renamed) {
                let problem = format!(
                    "bounds {owner}, which {} has in other units or with other bounds",
                    donor.name(owner)
                );
                let fault =
                    Disagreement::new("packing_mismatch", &joint.name(path), path, &problem);
                faults.push(fault.with_cure(DROP));
            }
        }
    }
    faults
}
