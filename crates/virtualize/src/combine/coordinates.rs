//! Compares the variables without the concat dimension, which the result takes from the first file.
//!
//! Inlined values are compared at once. Of virtual ones the stored bytes are read, a bounded amount at a time,
//! and decoded only where they differ.

use std::collections::BTreeMap;

use crate::cf::geographic_of;
use crate::combine::agree::{Pair, decode_alike, pairs};
use crate::combine::input::{Input, Series, split};
use crate::combine::refusal::Disagreement;
use crate::combine::values::{Reader, numbers};
use crate::combine::{CombineError, CombineOptions};
use crate::dataset::VirtualArray;
use crate::decode::ByteRange;
use crate::manifest::{ChunkEntry, SourceId};
use crate::rules::{Finding, Grade};

/// Bytes of later files that are asked for in one round.
const ROUND: u64 = 32 << 20;
/// Bytes, over all files, up to which a variable that is no coordinate is compared.
const DATA_LIMIT: u64 = 16 << 20;
/// Decoded bytes up to which a coordinate is compared.
const COORDINATE_LIMIT: u64 = 128 << 20;

/// Comparisons that are done, so that their bytes need not be kept.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    known: BTreeMap<(u32, String), Option<Difference>>,
    spent: Vec<(SourceId, ByteRange)>,
}

impl Verdicts {
    /// Ranges whose bytes are not needed any more, once.
    pub(super) fn take_spent(&mut self) -> Vec<(SourceId, ByteRange)> {
        std::mem::take(&mut self.spent)
    }
}

/// How values differ from the first file's.
#[derive(Debug, Clone, PartialEq)]
struct Difference {
    problem: String,
    first: String,
    other: String,
}

/// What comparing found.
pub(super) struct Comparison<'r, 'p> {
    pub options: &'r CombineOptions,
    pub reader: &'r mut Reader<'p>,
    pub verdicts: &'r mut Verdicts,
    pub faults: &'r mut Vec<Disagreement>,
    pub findings: &'r mut Vec<Finding>,
    asked: u64,
}

impl<'r, 'p> Comparison<'r, 'p> {
    pub(super) fn new(
        options: &'r CombineOptions,
        reader: &'r mut Reader<'p>,
        verdicts: &'r mut Verdicts,
        faults: &'r mut Vec<Disagreement>,
        findings: &'r mut Vec<Finding>,
    ) -> Self {
        Self {
            options,
            reader,
            verdicts,
            faults,
            findings,
            asked: 0,
        }
    }

    /// Compares one variable in every file with the first file's.
    pub(super) fn compare(&mut self, series: &Series<'_>, path: &str) -> Result<(), CombineError> {
        let Some((first_file, first)) = series.first(path) else {
            return Ok(());
        };
        let absent = series
            .files
            .iter()
            .filter(|file| file.array(path).is_none())
            .count();
        if absent > 0 {
            let message = format!(
                "{path} is missing in {absent} of {} files; it is taken from {}",
                series.files.len(),
                first_file.name
            );
            self.findings
                .push(Finding::info("variable-missing", Some(path), message));
        }
        let is_coordinate = is_coordinate(series, path, first);
        if is_too_large(series, path, first, is_coordinate) {
            let message = format!(
                "{path} is too large to be compared between files; it is taken from {}",
                first_file.name
            );
            self.findings.push(Finding::graded(
                Grade::Warning,
                "not-compared",
                Some(path),
                message,
            ));
        }
        for pair in pairs(series, path, first) {
            if std::ptr::eq(pair.other, first) {
                continue;
            }
            let structure = structure_faults(&pair);
            if !structure.is_empty() {
                self.faults.extend(structure);
            } else if !is_too_large(series, path, first, is_coordinate) {
                self.compare_values(first_file, &pair, is_coordinate)?;
            }
        }
        Ok(())
    }

    fn compare_values(
        &mut self,
        first_file: &Input,
        pair: &Pair<'_>,
        is_coordinate: bool,
    ) -> Result<(), CombineError> {
        let key = (pair.file.base, pair.path.to_owned());
        if !self.verdicts.known.contains_key(&key) {
            let Some(verdict) = self.verdict(first_file, pair)? else {
                return Ok(());
            };
            self.verdicts.spent.extend(ranges(pair.file, pair.other));
            self.verdicts.known.insert(key.clone(), verdict);
        }
        if let Some(Some(difference)) = self.verdicts.known.get(&key) {
            let fault = Disagreement::new(
                "coord_mismatch",
                &pair.file.name,
                pair.path,
                &difference.problem,
            )
            .with_values(difference.first.clone(), difference.other.clone());
            if is_coordinate {
                self.faults.push(fault);
            } else {
                let message = format!(
                    "{}; the value of {} is kept",
                    fault.message, first_file.name
                );
                self.findings.push(Finding::graded(
                    Grade::Warning,
                    "values-differ",
                    Some(pair.path),
                    message,
                ));
            }
        }
        Ok(())
    }

    /// The verdict on one file; `None` while bytes are missing.
    fn verdict(
        &mut self,
        first_file: &Input,
        pair: &Pair<'_>,
    ) -> Result<Option<Option<Difference>>, CombineError> {
        if !pair.other.chunks.is_inline() {
            if self.asked >= ROUND {
                return Ok(None);
            }
            let mut ranges = ranges(pair.file, pair.other).into_iter();
            if ranges.any(|(source, range)| self.reader.stored(source, range).is_none()) {
                self.asked = self.asked.saturating_add(pair.other.chunks.stored_bytes());
            }
        }
        if stored_alike(self.reader, first_file, pair) == Some(true) {
            return Ok(Some(None));
        }
        let first = self.reader.values(first_file, pair.path, pair.first)?;
        let other = self.reader.values(pair.file, pair.path, pair.other)?;
        Ok(match (first, other) {
            (Some(first), Some(other)) => Some(difference(
                pair,
                &first,
                &other,
                self.options.coord_tolerance,
            )),
            _ => None,
        })
    }
}

/// Whether a variable locates others.
fn is_coordinate(series: &Series<'_>, path: &str, array: &VirtualArray) -> bool {
    series.coordinates.contains(path) || geographic_of(split(path).1, &array.attributes).is_some()
}

fn is_too_large(
    series: &Series<'_>,
    path: &str,
    first: &VirtualArray,
    is_coordinate: bool,
) -> bool {
    if is_coordinate {
        return first.nbytes().is_none_or(|bytes| bytes > COORDINATE_LIMIT);
    }
    let stored = series
        .arrays(path)
        .into_iter()
        .flatten()
        .map(|array| array.chunks.stored_bytes());
    stored.fold(0, u64::saturating_add) > DATA_LIMIT
        || first.nbytes().is_none_or(|bytes| bytes > COORDINATE_LIMIT)
}

fn structure_faults(pair: &Pair<'_>) -> Vec<Disagreement> {
    if let Some(fault) = pair.dimensions("") {
        return vec![fault];
    }
    let inlined = pair.first.chunks.is_inline() || pair.other.chunks.is_inline();
    pair.data_type(inlined)
        .into_iter()
        .chain(pair.packing(false))
        .collect()
}

/// Where the bytes of a variable lie, in the numbering of all sources.
fn ranges(file: &Input, array: &VirtualArray) -> Vec<(SourceId, ByteRange)> {
    let ranges = array.chunks.iter().filter_map(|(_, entry)| match entry {
        ChunkEntry::Virtual { source, range } => {
            Some((SourceId(source.0.saturating_add(file.base)), range))
        }
        _ => None,
    });
    ranges.collect()
}

/// Whether the stored bytes are equal, chunk by chunk; `None` where that says nothing about the values.
fn stored_alike(reader: &mut Reader<'_>, first_file: &Input, pair: &Pair<'_>) -> Option<bool> {
    let (a, b) = (pair.first, pair.other);
    let comparable = a.chunk_shape == b.chunk_shape
        && a.data_type == b.data_type
        && decode_alike(&a.codecs, &b.codecs)
        && a.chunks.len() == b.chunks.len();
    if !comparable {
        return None;
    }
    let mut bytes_of = |file: &Input, entry: ChunkEntry| match entry {
        ChunkEntry::Missing => Some(bytes::Bytes::new()),
        ChunkEntry::Inline(bytes) => Some(bytes),
        ChunkEntry::Virtual { source, range } => {
            reader.stored(SourceId(source.0.saturating_add(file.base)), range)
        }
    };
    let mut equal = true;
    for ((number, entry), (other_number, other_entry)) in a.chunks.iter().zip(b.chunks.iter()) {
        let (first, other) = (
            bytes_of(first_file, entry),
            bytes_of(pair.file, other_entry),
        );
        equal &= number == other_number && first.is_some() && first == other;
    }
    Some(equal)
}

fn difference(pair: &Pair<'_>, first: &[u8], other: &[u8], tolerance: f64) -> Option<Difference> {
    if first == other {
        return None;
    }
    let a = numbers(first, &pair.first.data_type);
    let b = numbers(other, &pair.other.data_type);
    let (Some(a), Some(b)) = (a, b) else {
        return Some(Difference {
            problem: String::from("differs from the first file's"),
            first: String::new(),
            other: String::new(),
        });
    };
    let apart = |(a, b): (&f64, &f64)| {
        if a == b || a.is_nan() && b.is_nan() {
            0.0
        } else {
            (a - b).abs()
        }
    };
    let differs = |distance: f64| distance.is_nan() || distance > tolerance;
    let at = a.iter().zip(&b).position(|pair| differs(apart(pair)))?;
    let most = a.iter().zip(&b).map(apart).fold(0.0, f64::max);
    let index = crate::zarr::coordinates(&pair.first.shape, crate::combine::values::as_u64(at));
    let (first, other) = (a.get(at)?, b.get(at)?);
    Some(Difference {
        problem: format!(
            "differs by up to {most:e}, first at index {index:?}: it is {other}, first file has {first}"
        ),
        first: first.to_string(),
        other: other.to_string(),
    })
}
