//! Runs a join from the inputs to the joined arrays: order, comparison, and only then the chunks.

use std::collections::BTreeMap;

use crate::combine::columns::{self, Columns};
use crate::combine::concat;
use crate::combine::coordinates::{Comparison, Verdicts};
use crate::combine::input::{Input, Series, axis_along};
use crate::combine::plan::Plan;
use crate::combine::ragged::Member;
use crate::combine::refusal::Disagreement;
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
    let mut faults = Vec::new();
    let mut findings = Vec::new();
    check_dimension(inputs, dim, &mut faults, &mut findings);
    let Some(clocks) = time::read(inputs, dim, reader, &mut faults)? else {
        return Ok(None);
    };
    let order = time::order(clocks.first(), inputs.len());
    for clock in &clocks {
        time::check_increasing(clock, &order, inputs, &mut faults);
    }
    let files = order.iter().filter_map(|at| inputs.get(*at)).collect();
    let series = Series::new(files, dim);
    let mut run = Run {
        series: &series,
        options,
        clocks: &clocks,
        order: &order,
        faults,
        findings,
    };
    run.join(reader, verdicts)
}

/// Every file must have the concat dimension, if there are several.
fn check_dimension(
    inputs: &[Input],
    dim: &str,
    faults: &mut Vec<Disagreement>,
    findings: &mut Vec<Finding>,
) {
    let has = |input: &Input| {
        let root = &input.dataset.root;
        let declared = root.dimensions.contains_key(dim);
        declared
            || root
                .walk()
                .iter()
                .any(|(_, array)| array.dimension_names.iter().any(|name| name == dim))
    };
    if let [only] = inputs {
        if !has(only) {
            let message = format!("{} has no dimension {dim}", only.name);
            findings.push(Finding::info("no-concat-dimension", None, message));
        }
        return;
    }
    for input in inputs.iter().filter(|input| !has(input)) {
        let fault = Disagreement::new(
            "dims_mismatch",
            &input.name,
            dim,
            "is not among the dimensions of the file",
        );
        faults.push(fault.with_cure("choose a dimension that every file has as concat_dim"));
    }
}

/// One attempt at a join.
pub(super) struct Run<'a> {
    pub series: &'a Series<'a>,
    pub options: &'a CombineOptions,
    pub clocks: &'a [Clock],
    pub order: &'a [usize],
    pub faults: Vec<Disagreement>,
    pub findings: Vec<Finding>,
}

impl Run<'_> {
    fn join(
        &mut self,
        reader: &mut Reader<'_>,
        verdicts: &mut Verdicts,
    ) -> Result<Option<Combined>, CombineError> {
        let (along, still) = self.partition();
        let inline_max = self.options.inline_max_bytes;
        let columns = columns::columns(self.series, &along, inline_max, reader, &mut self.faults)?;
        let mut comparison = Comparison::new(
            self.options,
            reader,
            verdicts,
            &mut self.faults,
            &mut self.findings,
        );
        for path in &still {
            comparison.compare(self.series, path)?;
        }
        let plans = self.plans(&along, &columns);
        let inlined = self.inlined(&plans, reader)?;
        if reader.is_waiting() {
            return Ok(None);
        }
        self.forgive_units_of_one();
        if !self.faults.is_empty() {
            return Err(CombineError::Refused(std::mem::take(&mut self.faults)));
        }
        let mut arrays = inlined;
        self.add_virtual(&plans, &mut arrays)?;
        self.add_columns(&columns, &mut arrays);
        self.add_still(&still, &mut arrays);
        self.finish(arrays).map(Some)
    }

    /// One file alone stays as it is, so that times nobody can read are only worth telling.
    fn forgive_units_of_one(&mut self) {
        if self.series.files.len() > 1 {
            return;
        }
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

    /// The paths of variables with and without the concat dimension.
    pub(super) fn partition(&self) -> (Vec<String>, Vec<String>) {
        let has = |path: &String| {
            let first = self.series.first(path);
            first.is_some_and(|(_, array)| {
                array
                    .dimension_names
                    .iter()
                    .any(|name| name == self.series.dim)
            })
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
                concat::inlined_array(self.series, path, &self.members(path), reader)?
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
        let bases = concat::source_bases(&self.series.files);
        for (path, plan) in plans {
            let Plan::Virtual { axis, chunk_shape } = plan else {
                continue;
            };
            let members = self.members(path);
            if let Some(array) = concat::virtual_array(path, *axis, chunk_shape, &members, &bases)?
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
        let bases = concat::source_bases(&self.series.files);
        for path in still {
            let place = self
                .series
                .files
                .iter()
                .position(|file| file.array(path).is_some());
            let found = place
                .and_then(|at| Some((bases.get(at)?, self.series.files.get(at)?.array(path)?)));
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
