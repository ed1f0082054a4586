//! Joins the files of one part: comparison, and only then the chunks.

use std::collections::BTreeMap;

use crate::combine::agree::{Pair, pairs};
use crate::combine::columns::{self, Columns};
use crate::combine::concat;
use crate::combine::coordinates::{Comparison, Verdicts};
use crate::combine::input::{Series, axis_along, has_axis};
use crate::combine::join::{Notes, is_about_units};
use crate::combine::plan::Plan;
use crate::combine::ragged::Member;
use crate::combine::refusal::Disagreement;
use crate::combine::time::Clock;
use crate::combine::values::Reader;
use crate::combine::{CombineError, CombineOptions};
use crate::dataset::VirtualArray;

/// Attributes that decide on values and do not say which are missing.
const NOT_FILLS: &[&str] = &[
    "scale_factor",
    "add_offset",
    "units",
    "_Unsigned",
    "dtype",
    "_Encoding",
];

/// One attempt at joining the files of one part.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub series: Series<'a>,
    pub options: &'a CombineOptions,
    pub clocks: &'a [Clock],
}

impl Run<'_> {
    /// The joined variables; `None` while bytes are missing or when the files disagree, which is noted.
    pub(super) fn arrays(
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
        let lone_units =
            |fault: &Disagreement| self.series.files.len() == 1 && is_about_units(fault);
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
            if let Some(mut array) =
                concat::inlined_array(&self.series, path, &self.members(path), reader)?
            {
                // No step of a concat coordinate is missing, and what stands for that in one file may be a time in another.
                let differs = |pair: Pair<'_>| !pair.packing(NOT_FILLS).is_empty();
                if self.is_clock(path)
                    && self
                        .series
                        .first(path)
                        .is_some_and(|(_, first)| pairs(&self.series, path, first).any(differs))
                {
                    forget_fill(&mut array);
                }
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
            forget_fill(&mut like);
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

fn forget_fill(array: &mut VirtualArray) {
    array.fill_value = None;
    array.attributes.remove("missing_value");
    array.attributes.remove("_FillValue");
}
