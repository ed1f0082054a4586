//! Runs a join from the inputs to the joined arrays: order, comparison, and only then the chunks.

use std::collections::BTreeMap;

use crate::combine::columns::{self, Columns};
use crate::combine::concat;
use crate::combine::coordinates::{Comparison, Verdicts};
use crate::combine::input::{Input, Series, axis_along, has_axis, has_dimension};
use crate::combine::merge::{self, Joint, Merge};
use crate::combine::outcome::Outcome;
use crate::combine::parts::{self, Part, Timeline};
use crate::combine::plan::Plan;
use crate::combine::ragged::Member;
use crate::combine::refusal::{self, Disagreement};
use crate::combine::time::{self, Clock};
use crate::combine::values::Reader;
use crate::combine::{CombineError, CombineOptions, Combined};
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
    Ok(Some(all))
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
        let unreadable = |fault: &mut Disagreement| {
            matches!(fault.code, "time_units_invalid" | "calendar_mismatch")
        };
        for fault in self.faults.extract_if(.., unreadable) {
            let code = fault.code.replace('_', "-");
            let path = Some(fault.variable.as_str());
            self.findings
                .push(Finding::graded(Grade::Warning, &code, path, fault.message));
        }
    }
}

/// One attempt at joining the files of one part.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub series: Series<'a>,
    pub options: &'a CombineOptions,
    pub clocks: &'a [Clock],
}

impl Run<'_> {
    /// The joined variables; `None` while bytes are missing or when the files disagree, which is noted.
    fn arrays(
        &self,
        reader: &mut Reader<'_>,
        verdicts: &mut Verdicts,
        notes: &mut Notes,
    ) -> Result<Option<BTreeMap<String, VirtualArray>>, CombineError> {
        let (along, still) = self.partition();
        let inline_max = self.options.inline_max_bytes;
        let (faults, findings) = (&mut notes.faults, &mut notes.findings);
        let columns = columns::columns(&self.series, &along, inline_max, reader, faults)?;
        let mut comparison = Comparison::new(self.options, reader, verdicts, faults, findings);
        for path in &still {
            comparison.compare(&self.series, path)?;
        }
        let plans = self.plans(&along, &columns, &mut notes.faults);
        let mut arrays = self.inlined(&plans, reader)?;
        let lone_units = |fault: &Disagreement| {
            self.series.files.len() == 1
                && matches!(fault.code, "time_units_invalid" | "calendar_mismatch")
        };
        if reader.is_waiting() || !notes.faults.iter().all(lone_units) {
            return Ok(None);
        }
        self.add_virtual(&plans, &mut arrays)?;
        self.add_columns(&columns, &mut arrays);
        self.add_still(&still, &mut arrays);
        Ok(Some(arrays))
    }

    /// The paths of variables with and without the concat dimension.
    pub(super) fn partition(&self) -> (Vec<String>, Vec<String>) {
        let has = |path: &String| {
            let first = self.series.first(path);
            first.is_some_and(|(_, array)| has_axis(array, self.series.dim))
        };
        self.series.paths().into_iter().partition(has)
    }

    /// The variable in each file of the series.
    pub(super) fn members(&self, path: &str) -> Vec<Member<'_>> {
        let lengths = self.series.lengths(path);
        let files = self.series.files.iter().zip(lengths);
        files
            .map(|(file, len)| Member {
                file,
                array: file.array(path),
                len,
            })
            .collect()
    }

    fn inlined(
        &self,
        plans: &BTreeMap<String, Plan>,
        reader: &mut Reader<'_>,
    ) -> Result<BTreeMap<String, VirtualArray>, CombineError> {
        let mut arrays = BTreeMap::new();
        for (path, _) in plans.iter().filter(|(_, plan)| **plan == Plan::Inline) {
            if let Some(array) =
                concat::inlined_array(&self.series, path, &self.members(path), reader)?
            {
                arrays.insert(path.clone(), array);
            }
        }
        Ok(arrays)
    }

    fn add_virtual(
        &self,
        plans: &BTreeMap<String, Plan>,
        arrays: &mut BTreeMap<String, VirtualArray>,
    ) -> Result<(), CombineError> {
        for (path, plan) in plans {
            let Plan::Virtual { axis, chunk_shape } = plan else {
                continue;
            };
            let members = self.members(path);
            if let Some(array) =
                concat::virtual_array(path, *axis, chunk_shape, &members, &self.series.bases)?
            {
                arrays.insert(path.clone(), array);
            }
        }
        Ok(())
    }

    /// Times and bounds that were brought to one encoding.
    fn add_columns(&self, columns: &Columns, arrays: &mut BTreeMap<String, VirtualArray>) {
        for (path, column) in &columns.joined {
            let Some((_, first)) = self.series.first(path) else {
                continue;
            };
            let mut shape = first.shape.clone();
            if let Some(length) =
                axis_along(first, self.series.dim).and_then(|axis| shape.get_mut(axis))
            {
                *length = self
                    .series
                    .lengths(path)
                    .iter()
                    .fold(0, |sum: u64, len| sum.saturating_add(*len));
            }
            let mut like = first.clone();
            // Every value was read as a time, so none stands for a missing one.
            like.fill_value = None;
            like.attributes.remove("missing_value");
            like.attributes.remove("_FillValue");
            let mut array =
                concat::inline(&like, shape, column.data_type.clone(), column.bytes.clone());
            if array.attributes.contains_key("units") {
                array
                    .attributes
                    .insert(String::from("units"), column.units.clone().into());
            }
            arrays.insert(path.clone(), array);
        }
    }

    /// Variables without the concat dimension, from the first file that has them.
    fn add_still(&self, still: &[String], arrays: &mut BTreeMap<String, VirtualArray>) {
        for path in still {
            let place = self
                .series
                .files
                .iter()
                .position(|file| file.array(path).is_some());
            let found = place.and_then(|at| {
                Some((
                    self.series.bases.get(at)?,
                    self.series.files.get(at)?.array(path)?,
                ))
            });
            if let Some((base, array)) = found {
                let chunks = concat::rebased(&array.chunks, *base);
                arrays.insert(
                    path.clone(),
                    VirtualArray {
                        chunks,
                        ..array.clone()
                    },
                );
            }
        }
    }
}
