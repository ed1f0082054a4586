//! Decides how each variable along the concat dimension is joined, or why it cannot be.

use std::collections::BTreeMap;

use crate::combine::Missing;
use crate::combine::agree::{self, pairs};
use crate::combine::columns::Columns;
use crate::combine::input::{Input, axis_along};
use crate::combine::parts::data_variables;
use crate::combine::ragged::{self, Member};
use crate::combine::refusal::{Disagreement, MERGE};
use crate::combine::run::Run;
use crate::dataset::VirtualArray;

/// Joined bytes of a coordinate beyond which it is not read only to be inlined.
const INLINE_TOTAL: u64 = 64 << 20;

/// How a variable along the concat dimension is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// Its values are read and stand in the result.
    Inline,
    /// Its values were brought to one encoding already.
    Column,
    /// Its chunks stay where they are.
    Virtual { axis: usize, chunk_shape: Vec<u64> },
}

impl Run<'_> {
    /// What becomes of each variable along the concat dimension; disagreements are noted.
    pub(super) fn plans(
        &self,
        along: &[String],
        columns: &Columns,
        noted: &mut Vec<Disagreement>,
    ) -> BTreeMap<String, Plan> {
        let mut plans = BTreeMap::new();
        for path in along {
            match self.plan(path, columns) {
                Ok(plan) => drop(plans.insert(path.clone(), plan)),
                Err(faults) => noted.extend(faults),
            }
        }
        plans
    }

    fn plan(&self, path: &str, columns: &Columns) -> Result<Plan, Vec<Disagreement>> {
        let Some((_, first)) = self.series.first(path) else {
            return Err(Vec::new());
        };
        let mut faults = self.missing(path, first, columns);
        faults.extend(agree::shapes(&self.series, path));
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
        let joined = columns.joined.contains_key(path);
        let exempt: &[&str] = match columns.timed.contains(path) {
            true if joined || self.is_clock(path) => &["units", "_FillValue", "missing_value"],
            true => &["units"],
            false => &[],
        };
        let all = || pairs(&self.series, path, first);
        faults.extend(all().flat_map(|pair| pair.packing(exempt)));
        if joined {
            return if faults.is_empty() {
                Ok(Plan::Column)
            } else {
                Err(faults)
            };
        }
        faults.extend(all().filter_map(|pair| pair.data_type(inline)));
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

    /// Whether a file that lacks a variable has one instead that the first file with that variable lacks.
    fn is_split(&self, path: &str, file: &Input) -> bool {
        if self.options.merge_variables {
            return false;
        }
        let Some((holder, _)) = self.series.first(path) else {
            return false;
        };
        let mut own = data_variables(file, self.series.dim).into_iter();
        own.any(|path| holder.array(&path).is_none())
    }

    pub(super) fn is_clock(&self, path: &str) -> bool {
        self.clocks.iter().any(|clock| clock.path == path)
    }

    /// Files that lack a variable, unless it may read as its fill value there.
    fn missing(&self, path: &str, first: &VirtualArray, columns: &Columns) -> Vec<Disagreement> {
        let fills = self.options.missing == Missing::Fill && first.fill_value.is_some();
        let clock = self.is_clock(path) || columns.joined.contains_key(path);
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
            if skipped.is_none() && self.is_split(path, file) {
                return fault.with_cure(MERGE);
            }
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
        if self.is_clock(path) || arrays().all(is_inlined) {
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
        let codecs = pairs(&self.series, path, first).any(|pair| pair.codecs().is_some());
        // Where some files have it inlined, one size fits none: the others are read too.
        let small = (each || mixed) && total <= INLINE_TOTAL;
        (ragged || mixed || codecs) && small && self.series.is_coordinate(path, first)
    }
}

/// Whether all values of an array stand in its manifest, as one chunk without codecs that say otherwise.
fn is_inlined(array: &VirtualArray) -> bool {
    let plain = array.codecs.is_empty() || array.data_type == crate::zarr::DataType::VlenString;
    let whole = array.chunk_grid().iter().all(|count| *count <= 1);
    array.is_empty() || plain && whole && array.chunks.is_inline() && !array.chunks.is_empty()
}
