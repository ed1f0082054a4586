//! Runs a join from the inputs to the result: puts the files in order, joins each part, and merges the parts.

use std::collections::BTreeMap;

use crate::combine::concat;
use crate::combine::coordinates::{Comparison, Verdicts};
use crate::combine::input::{Input, Series, has_dimension, split};
use crate::combine::merge::{self, Joint, Merge};
use crate::combine::outcome::Outcome;
use crate::combine::parts::{self, Part};
use crate::combine::refusal::{self, Disagreement};
use crate::combine::run::Run;
use crate::combine::time;
use crate::combine::timeline::Timeline;
use crate::combine::values::Reader;
use crate::combine::{CombineError, CombineOptions, Combined, Missing};
use crate::dataset::VirtualArray;
use crate::rules::{Finding, Grade};

/// Joins the inputs; `None` while the reader waits for bytes.
pub(super) fn join(
    inputs: &[Input],
    options: &CombineOptions,
    reader: &mut Reader<'_>,
    verdicts: &mut Verdicts,
) -> Result<Option<Combined>, CombineError> {
    let dim = options.concat_dim.as_str();
    let mut notes = Notes::default();
    let Some(clocks) = time::read(inputs, dim, reader, &mut notes.faults)? else {
        return Ok(None);
    };
    let order = time::order(clocks.first(), inputs.len());
    let files: Vec<&Input> = order.iter().filter_map(|at| inputs.get(*at)).collect();
    let timeline = Timeline {
        files: &files,
        order: &order,
        clocks: &clocks,
        dim,
    };
    let parts = timeline.parts(options);
    let guests = guests(&timeline, &parts);
    let bases = concat::source_bases(&files);
    let mut runs = Vec::new();
    for (part, guests) in parts.iter().zip(&guests) {
        check_dimension(part, &files, &parts, dim, &mut notes);
        let places: Vec<usize> = part.places();
        let own: Vec<usize> = places
            .iter()
            .filter_map(|at| order.get(*at).copied())
            .collect();
        for clock in &clocks {
            time::check_increasing(clock, &own, inputs, &mut notes.faults);
        }
        let file = |place: &usize| guests.get(place).or_else(|| files.get(*place).copied());
        let series = Series::new(
            places.iter().filter_map(file).collect(),
            places
                .iter()
                .filter_map(|at| bases.get(*at).copied())
                .collect(),
            dim,
        );
        runs.push(Run {
            series,
            options,
            clocks: &clocks,
        });
    }
    timeline.check(&parts, &mut notes.faults);
    let Some(arrays) = arrays(runs, &files, options, reader, verdicts, &mut notes)? else {
        return Ok(None);
    };
    let result = Outcome {
        series: &Series::new(files.clone(), bases, dim),
        timeline,
        parts: &parts,
        notes,
    };
    result.finish(arrays).map(Some)
}

/// Files without what their hosts do not hold, by their place, for each part.
fn guests(timeline: &Timeline<'_>, parts: &[Part]) -> Vec<BTreeMap<usize, Input>> {
    let lent = |part: &Part| {
        let places = part.guests.iter();
        let files = places.filter_map(|place| Some((*place, *timeline.files.get(*place)?)));
        files
            .map(|(place, file)| (place, parts::guest(file, &part.variables, timeline.dim)))
            .collect()
    };
    parts.iter().map(lent).collect()
}

/// The joined arrays of all parts together; `None` while bytes are missing.
fn arrays(
    runs: Vec<Run<'_>>,
    files: &[&Input],
    options: &CombineOptions,
    reader: &mut Reader<'_>,
    verdicts: &mut Verdicts,
    notes: &mut Notes,
) -> Result<Option<BTreeMap<String, VirtualArray>>, CombineError> {
    let mut joints = Vec::new();
    for run in runs {
        let arrays = run.arrays(reader, verdicts, notes)?;
        joints.push(Joint {
            series: run.series,
            arrays: arrays.unwrap_or_default(),
        });
    }
    if reader.is_waiting() {
        return Ok(None);
    }
    if joints.len() > 1 {
        let mut comparison = Comparison::new(
            options,
            reader,
            verdicts,
            &mut notes.faults,
            &mut notes.findings,
        );
        comparison.strict = true;
        merge::compare_still(&joints, &mut comparison)?;
    }
    if joints.len() > 1 && notes.faults.is_empty() {
        let mut merge = Merge {
            reader,
            tolerance: options.coord_tolerance,
            faults: &mut notes.faults,
            originals: &originals(files),
        };
        merge.compare_along(&joints)?;
    }
    if reader.is_waiting() {
        return Ok(None);
    }
    if files.len() == 1 {
        notes.forgive_units();
    }
    if !notes.faults.is_empty() {
        let faults = std::mem::take(&mut notes.faults);
        return Err(CombineError::Refused(refusal::condensed(faults)));
    }
    let mut all = BTreeMap::new();
    for joint in joints {
        for (path, array) in joint.arrays {
            all.entry(path).or_insert(array);
        }
    }
    let faults = lengths_that_differ(&all, files);
    let may_differ = options.merge_variables || options.missing == Missing::Fill;
    match may_differ && !faults.is_empty() {
        true => Err(CombineError::Refused(refusal::condensed(faults))),
        false => Ok(Some(all)),
    }
}

/// Dimensions of one name and different lengths in one group, which different variables may bring along.
fn lengths_that_differ(
    arrays: &BTreeMap<String, VirtualArray>,
    files: &[&Input],
) -> Vec<Disagreement> {
    let mut known: BTreeMap<(&str, &str), (u64, &str)> = BTreeMap::new();
    let mut faults = Vec::new();
    for (path, array) in arrays {
        for (name, len) in array.dimension_names.iter().zip(&array.shape) {
            let (first, other) = *known
                .entry((split(path).0, name.as_str()))
                .or_insert((*len, path.as_str()));
            let file = files.iter().find(|file| file.array(path).is_some());
            if let Some(file) = file.filter(|_| first != *len) {
                let problem = format!("has {len} along {name}, where {other} has {first}");
                let fault = Disagreement::new("dims_mismatch", &file.name, path, &problem);
                faults.push(fault.with_values(first.to_string(), len.to_string()));
            }
        }
    }
    faults
}

/// For each source of the result, its number among those of all inputs.
fn originals(files: &[&Input]) -> Vec<u32> {
    let numbers = files.iter().flat_map(|file| {
        let count = u32::try_from(file.dataset.sources.len()).unwrap_or(u32::MAX);
        (0..count).map(|at| file.base.saturating_add(at))
    });
    numbers.collect()
}

/// Every file of a part must have the concat dimension, if there are several; a part without it is merged as it is.
fn check_dimension(part: &Part, files: &[&Input], parts: &[Part], dim: &str, notes: &mut Notes) {
    let members = || part.members.iter().filter_map(|place| files.get(*place));
    if let [only] = files {
        if !has_dimension(only, dim) {
            let message = format!("{} has no dimension {dim}", only.name);
            let finding = Finding::info("no-concat-dimension", None, message);
            notes.findings.push(finding);
        }
        return;
    }
    let has_none = !members().any(|file| has_dimension(file, dim));
    let elsewhere = files.iter().any(|file| has_dimension(file, dim));
    if parts.len() > 1 && has_none && elsewhere {
        return;
    }
    for input in members().filter(|file| !has_dimension(file, dim)) {
        let fault = Disagreement::new(
            "dims_mismatch",
            &input.name,
            dim,
            "is not among the dimensions of the file",
        );
        let cure = "choose a dimension that every file has as concat_dim";
        notes.faults.push(fault.with_cure(cure));
    }
}

/// What a join has found so far.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub faults: Vec<Disagreement>,
    pub findings: Vec<Finding>,
}

impl Notes {
    /// One file alone stays as it is, so that times nobody can read are only worth telling.
    fn forgive_units(&mut self) {
        for fault in self.faults.extract_if(.., |fault| is_about_units(fault)) {
            let code = fault.code.replace('_', "-");
            let path = Some(fault.variable.as_str());
            self.findings
                .push(Finding::graded(Grade::Warning, &code, path, fault.message));
        }
    }
}

/// Whether a fault says that times cannot be read.
pub(super) fn is_about_units(fault: &Disagreement) -> bool {
    matches!(fault.code, "time_units_invalid" | "calendar_mismatch")
}
