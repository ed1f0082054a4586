//! Runs a join from the inputs to the result: order, comparison, and only then the joined arrays.

use std::collections::BTreeMap;

use crate::cf;
use crate::combine::agree::{self, Pair, pairs};
use crate::combine::attributes;
use crate::combine::concat;
use crate::combine::coordinates::{Comparison, Verdicts};
use crate::combine::extent;
use crate::combine::input::{Input, Series, axis_along};
use crate::combine::ragged::{self, Member};
use crate::combine::refusal::Disagreement;
use crate::combine::time::{self, Clock, Columns, Positions};
use crate::combine::values::Reader;
use crate::combine::{CombineError, CombineOptions, Combined, Missing};
use crate::dataset::{Attributes, VirtualArray, VirtualDataset, VirtualGroup};
use crate::rules::{Finding, Grade};

/// Joined bytes of a coordinate beyond which it is not read only to be inlined.
const INLINE_TOTAL: u64 = 64 << 20;

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
struct Run<'a> {
    series: &'a Series<'a>,
    options: &'a CombineOptions,
    clocks: &'a [Clock],
    order: &'a [usize],
    faults: Vec<Disagreement>,
    findings: Vec<Finding>,
}

impl Run<'_> {
    fn join(
        &mut self,
        reader: &mut Reader<'_>,
        verdicts: &mut Verdicts,
    ) -> Result<Option<Combined>, CombineError> {
        let (along, still) = self.partition();
        let inline_max = self.options.inline_max_bytes;
        let columns = time::columns(self.series, &along, inline_max, reader, &mut self.faults)?;
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
    fn partition(&self) -> (Vec<String>, Vec<String>) {
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
    fn members(&self, path: &str) -> Vec<Member<'_>> {
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

    /// What becomes of each variable along the concat dimension; disagreements are noted.
    fn plans(&mut self, along: &[String], columns: &Columns) -> BTreeMap<String, Plan> {
        let mut plans = BTreeMap::new();
        for path in along {
            match self.plan(path, columns) {
                Ok(plan) => drop(plans.insert(path.clone(), plan)),
                Err(faults) => self.faults.extend(faults),
            }
        }
        plans
    }

    fn plan(&self, path: &str, columns: &Columns) -> Result<Plan, Vec<Disagreement>> {
        let Some((_, first)) = self.series.first(path) else {
            return Err(Vec::new());
        };
        let mut faults = self.missing(path, first);
        faults.extend(agree::shapes(self.series, path));
        let Some(axis) = axis_along(first, self.series.dim) else {
            let problem = format!("has the dimension {} more than once", self.series.dim);
            let name = self
                .series
                .first(path)
                .map(|(file, _)| file.name.as_str())
                .unwrap_or_default();
            faults.push(Disagreement::new("dims_mismatch", name, path, &problem));
            return Err(faults);
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        let members = self.members(path);
        let chunks = ragged::chunk_shape(path, axis, &members);
        let inline = self.is_to_inline(path, first, &members, chunks.is_err());
        let timed = columns.timed.contains(path);
        let same_type = |pair: &Pair<'_>| pair.data_type(inline);
        let all = || pairs(self.series, path, first);
        faults.extend(all().flat_map(|pair| pair.packing(timed)));
        if columns.joined.contains_key(path) {
            return if faults.is_empty() {
                Ok(Plan::Column)
            } else {
                Err(faults)
            };
        }
        faults.extend(all().filter_map(|pair| same_type(&pair)));
        let plan = match chunks {
            _ if inline => Plan::Inline,
            Ok(chunk_shape) => {
                faults.extend(all().filter_map(|pair| pair.codecs()));
                Plan::Virtual { axis, chunk_shape }
            }
            Err(ragged) => {
                faults.extend(all().filter_map(|pair| pair.codecs()));
                faults.extend(ragged);
                Plan::Inline
            }
        };
        if faults.is_empty() {
            Ok(plan)
        } else {
            Err(faults)
        }
    }

    /// Files that lack a variable, unless it may read as its fill value there.
    fn missing(&self, path: &str, first: &VirtualArray) -> Vec<Disagreement> {
        let fills = self.options.missing == Missing::Fill && first.fill_value.is_some();
        let clock = self.clocks.iter().any(|clock| clock.path == path);
        let lacking = |file: &&&Input| file.array(path).is_none() && (!fills || clock);
        let fault = |file: &&Input| {
            let skipped = file
                .dataset
                .skipped
                .iter()
                .find(|skipped| skipped.variable.trim_start_matches('/') == path);
            let problem = match skipped {
                Some(skipped) => format!("is missing: {}", skipped.reason),
                None => String::from("is missing"),
            };
            let fault = Disagreement::new("variable_missing", &file.name, path, &problem);
            match self.options.missing {
                Missing::Fill if !clock => fault.with_cure(
                    "add the variable or drop it; without a fill value it cannot be filled",
                ),
                _ => fault,
            }
        };
        self.series
            .files
            .iter()
            .filter(lacking)
            .map(fault)
            .collect()
    }

    /// Whether the values are read: concat coordinates always, others where all files have them inlined, or
    /// where they are small coordinates that cannot be joined virtually.
    fn is_to_inline(
        &self,
        path: &str,
        first: &VirtualArray,
        members: &[Member<'_>],
        ragged: bool,
    ) -> bool {
        let arrays = || members.iter().filter_map(|member| member.array);
        let clock = self.clocks.iter().any(|clock| clock.path == path);
        if clock || arrays().all(is_inlined) {
            return true;
        }
        let mixed = arrays().any(is_inlined);
        let each = arrays().all(|array| {
            array
                .nbytes()
                .is_some_and(|bytes| bytes <= self.options.inline_max_bytes)
        });
        let total = arrays().fold(0u64, |sum, array| {
            sum.saturating_add(array.nbytes().unwrap_or(u64::MAX))
        });
        let codecs = pairs(self.series, path, first).any(|pair| pair.codecs().is_some());
        let small = each && total <= INLINE_TOTAL;
        (ragged || mixed || codecs) && small && self.series.is_coordinate(path, first)
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

    fn finish(&mut self, arrays: BTreeMap<String, VirtualArray>) -> Result<Combined, CombineError> {
        let mut dropped = Vec::new();
        let mut root = VirtualGroup::default();
        let groups: Vec<&VirtualGroup> = self
            .series
            .files
            .iter()
            .map(|file| &file.dataset.root)
            .collect();
        merge_groups(&mut root, &groups, "", &mut dropped);
        for (path, mut array) in arrays {
            self.merge_attributes(&path, &mut array, &mut dropped);
            insert(&mut root, &path, array);
        }
        set_lengths(&mut root, self.series.dim);
        let starts = self.starts();
        let spatial_extent = extent::spatial_extent(&root);
        let times = self.times();
        self.note_gaps(&times);
        let date = |instant: &cf::Instant| instant.date_time().to_iso();
        let first = self.series.files.first();
        let format = first.map_or(crate::dataset::Format::Netcdf4, |file| file.dataset.format);
        let mut skipped: Vec<_> = self
            .series
            .files
            .iter()
            .flat_map(|file| file.dataset.skipped.clone())
            .collect();
        skipped.sort_by(|a, b| a.variable.cmp(&b.variable));
        skipped.dedup_by(|a, b| a.variable == b.variable);
        let dataset = VirtualDataset {
            format,
            root,
            sources: self
                .series
                .files
                .iter()
                .flat_map(|file| file.dataset.sources.clone())
                .collect(),
            skipped,
            findings: self.findings.clone(),
        };
        Ok(Combined {
            dataset,
            order: self.order.to_vec(),
            starts,
            time_range: times
                .first()
                .zip(times.last())
                .map(|(first, last)| (date(first), date(last))),
            calendar: times
                .first()
                .map(|instant| instant.calendar().name().to_owned()),
            step: cf::step_of(&times).map(cf::Step::to_iso),
            findings: std::mem::take(&mut self.findings),
            dropped_attributes: dropped,
            spatial_extent,
        })
    }

    fn merge_attributes(&self, path: &str, array: &mut VirtualArray, dropped: &mut Vec<String>) {
        let arrays = self.series.arrays(path);
        let mut all: Vec<&Attributes> = arrays
            .into_iter()
            .flatten()
            .map(|array| &array.attributes)
            .collect();
        let own = array.attributes.clone();
        if let Some(first) = all.first_mut() {
            *first = &own;
        }
        let (merged, conflicts) = attributes::merge(&all);
        array.attributes = merged;
        dropped.extend(conflicts.iter().map(|name| format!("{path}:{name}")));
    }

    /// The first step of each file, along the shallowest concat coordinate or else the first variable.
    fn starts(&self) -> Vec<u64> {
        let clock = self.clocks.first().map(|clock| clock.path.clone());
        let path = clock
            .or_else(|| self.partition().0.into_iter().next())
            .unwrap_or_default();
        let mut start = 0u64;
        let mut next = |len: u64| {
            let own = start;
            start = start.saturating_add(len);
            own
        };
        self.series
            .lengths(&path)
            .into_iter()
            .map(&mut next)
            .collect()
    }

    /// The times of the whole series, if it has a concat coordinate that tells time.
    fn times(&mut self) -> Vec<cf::Instant> {
        let Some(clock) = self.clocks.first() else {
            let message = format!(
                "no coordinate along {} tells the order of the files; it is the order given",
                self.series.dim
            );
            if self.order.len() > 1 {
                self.findings.push(Finding::graded(
                    Grade::Warning,
                    "no-concat-coordinate",
                    None,
                    message,
                ));
            }
            return Vec::new();
        };
        let positions = self.order.iter().filter_map(|at| clock.positions.get(*at));
        let instants = positions.filter_map(|positions| match positions {
            Positions::Instants(instants) => Some(instants),
            _ => None,
        });
        instants.flatten().copied().collect()
    }

    fn note_gaps(&mut self, times: &[cf::Instant]) {
        let Some(clock) = self.clocks.first() else {
            return;
        };
        for gap in cf::gaps(times) {
            let (from, to) = (gap.from.date_time().to_iso(), gap.to.date_time().to_iso());
            let message = format!("nothing between {from} and {to}, at step {}", gap.index);
            self.findings.push(Finding::graded(
                Grade::Warning,
                "time-gap",
                Some(&clock.path),
                message,
            ));
        }
    }
}

/// How a variable along the concat dimension is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plan {
    /// Its values are read and stand in the result.
    Inline,
    /// Its values were brought to one encoding already.
    Column,
    /// Its chunks stay where they are.
    Virtual { axis: usize, chunk_shape: Vec<u64> },
}

/// Whether all values of an array stand in its manifest, as one chunk without codecs that say otherwise.
fn is_inlined(array: &VirtualArray) -> bool {
    let plain = array.codecs.is_empty() || array.data_type == crate::zarr::DataType::VlenString;
    let whole = array.chunk_grid().iter().all(|count| *count <= 1);
    array.is_empty() || plain && whole && array.chunks.is_inline() && !array.chunks.is_empty()
}

/// Groups, their attributes and dimensions, without arrays.
fn merge_groups(
    into: &mut VirtualGroup,
    all: &[&VirtualGroup],
    prefix: &str,
    dropped: &mut Vec<String>,
) {
    let attributes: Vec<&Attributes> = all.iter().map(|group| &group.attributes).collect();
    let (merged, conflicts) = attributes::merge(&attributes);
    into.attributes = merged;
    dropped.extend(conflicts.iter().map(|name| format!("{prefix}:{name}")));
    for group in all {
        for (name, dimension) in &group.dimensions {
            into.dimensions.entry(name.clone()).or_insert(*dimension);
        }
        for name in group.groups.keys() {
            into.groups.entry(name.clone()).or_default();
        }
    }
    for (name, inner) in &mut into.groups {
        let same: Vec<&VirtualGroup> = all
            .iter()
            .filter_map(|group| group.groups.get(name))
            .collect();
        merge_groups(inner, &same, &format!("{prefix}{name}/"), dropped);
    }
}

fn insert(group: &mut VirtualGroup, path: &str, array: VirtualArray) {
    match path.split_once('/') {
        Some((name, rest)) => insert(
            group.groups.entry(name.to_owned()).or_default(),
            rest,
            array,
        ),
        None => drop(group.arrays.insert(path.to_owned(), array)),
    }
}

/// The length of the concat dimension wherever it is declared, from an array that has it.
fn set_lengths(group: &mut VirtualGroup, dim: &str) {
    let below = group
        .walk()
        .into_iter()
        .find_map(|(_, array)| crate::combine::input::length_along(array, dim));
    if let (Some(dimension), Some(length)) = (group.dimensions.get_mut(dim), below) {
        dimension.length = length;
    }
    group
        .groups
        .values_mut()
        .for_each(|inner| set_lengths(inner, dim));
}
