//! Compares the variables without the concat dimension, which the result takes from the first file.
//!
//! Inlined values are compared at once. Of virtual ones the stored bytes are read, a bounded amount at a time,
//! and decoded only where they differ.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cf::geographic_of;
use crate::combine::agree::{Pair, decode_alike, pairs};
use crate::combine::input::{Input, Series, split};
use crate::combine::refusal::Disagreement;
use crate::combine::values::{Reader, as_u64, as_usize};
use crate::combine::{CombineError, CombineOptions};
use crate::dataset::VirtualArray;
use crate::decode::ByteRange;
use crate::manifest::{ChunkEntry, SourceId};
use crate::rules::{Finding, Grade};
use crate::zarr::{ByteOrder, DataType, float, signed, unsigned};

/// Bytes of later files that are asked for in one round.
const ROUND: u64 = 32 << 20;
/// Bytes, over all files, up to which a variable that is no coordinate is compared.
const DATA_LIMIT: u64 = 16 << 20;
/// Decoded bytes up to which a coordinate is compared.
const COORDINATE_LIMIT: u64 = 128 << 20;

/// Comparisons that are done, so that their bytes need not be kept.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    known: BTreeMap<(u32, String), Verdict>,
    spent: Vec<(SourceId, ByteRange)>,
}

impl Verdicts {
    /// Ranges whose bytes are not needed any more, once.
    pub(super) fn take_spent(&mut self) -> Vec<(SourceId, ByteRange)> {
        std::mem::take(&mut self.spent)
    }
}

/// What comparing values came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// They are the same.
    Equal,
    /// They differ by so much at most, which the tolerance allows.
    Near(f64),
    /// They differ.
    Apart(Difference),
}

/// How values differ from the first file's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    problem: String,
    first: String,
    other: String,
    /// Where they differ first.
    pub index: Vec<u64>,
}

impl Difference {
    pub(super) fn into_fault(self, file: &str, path: &str) -> Disagreement {
        Disagreement::new("coord_mismatch", file, path, &self.problem)
            .with_values(self.first, self.other)
    }
}

/// What comparing found.
pub(super) struct Comparison<'r, 'p> {
    pub options: &'r CombineOptions,
    pub reader: &'r mut Reader<'p>,
    pub verdicts: &'r mut Verdicts,
    pub faults: &'r mut Vec<Disagreement>,
    pub findings: &'r mut Vec<Finding>,
    /// Whether data must agree like coordinates, since it comes from files of different variables.
    pub strict: bool,
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
            strict: false,
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
        let is_coordinate = self.strict || is_coordinate(series, path, first);
        let mut near = Vec::new();
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
                near.extend(self.compare_values(first_file, &pair, is_coordinate)?);
            }
        }
        self.note_tolerated(path, &near);
        Ok(())
    }

    /// Says how far coordinates are apart that count as equal.
    fn note_tolerated(&mut self, path: &str, near: &[f64]) {
        if near.is_empty() {
            return;
        }
        let most = near.iter().copied().fold(0.0, f64::max);
        let message = format!(
            "{path} differs by up to {most:e} in {} files, within coord_tolerance {:e}; the first file's values are kept",
            near.len(),
            self.options.coord_tolerance
        );
        self.findings.push(Finding::graded(
            Grade::Warning,
            "within-tolerance",
            Some(path),
            message,
        ));
    }

    fn compare_values(
        &mut self,
        first_file: &Input,
        pair: &Pair<'_>,
        is_coordinate: bool,
    ) -> Result<Option<f64>, CombineError> {
        let key = (pair.file.base, pair.path.to_owned());
        if !self.verdicts.known.contains_key(&key) {
            let Some(verdict) = self.verdict(first_file, pair)? else {
                return Ok(None);
            };
            self.verdicts.spent.extend(ranges(pair.file, pair.other));
            self.verdicts.known.insert(key.clone(), verdict);
        }
        let difference = match self.verdicts.known.get(&key) {
            Some(Verdict::Apart(difference)) => difference.clone(),
            Some(Verdict::Near(most)) => return Ok(Some(*most)),
            _ => return Ok(None),
        };
        let fault = difference.into_fault(&pair.file.name, pair.path);
        if self.strict {
            let cure = format!(
                "drop it (drop_variables {}), or combine the variables that it belongs to on their own",
                split(pair.path).1
            );
            self.faults.push(fault.with_cure(&cure));
        } else if is_coordinate {
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
        Ok(None)
    }

    /// The verdict on one file; `None` while bytes are missing.
    fn verdict(
        &mut self,
        first_file: &Input,
        pair: &Pair<'_>,
    ) -> Result<Option<Verdict>, CombineError> {
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
            return Ok(Some(Verdict::Equal));
        }
        let first = self.reader.values(first_file, pair.path, pair.first)?;
        let other = self.reader.values(pair.file, pair.path, pair.other)?;
        Ok(match (first, other) {
            (Some(first), Some(other)) => Some(verdict_on(
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

/// Dimensions, type and packing of a variable whose chunks come from one file only.
pub(super) fn structure_faults(pair: &Pair<'_>) -> Vec<Disagreement> {
    if let Some(fault) = pair.dimensions("") {
        return vec![fault];
    }
    let inlined = pair.first.chunks.is_inline() || pair.other.chunks.is_inline();
    pair.data_type(inlined)
        .into_iter()
        .chain(pair.packing(&[]))
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

/// Compares decoded values; numbers may differ by the tolerance, which is meant of what packed ones stand for.
pub(super) fn verdict_on(pair: &Pair<'_>, first: &[u8], other: &[u8], tolerance: f64) -> Verdict {
    if first == other {
        return Verdict::Equal;
    }
    let data_type = pair.first.data_type.to_little_endian();
    let size = as_usize(data_type.size()).max(1);
    let elements = || first.chunks_exact(size).zip(other.chunks_exact(size));
    let factor = pair.first.attributes.get("scale_factor");
    let factor = factor.and_then(Value::as_f64).unwrap_or(1.0).abs();
    let apart = |(a, b)| distance(&data_type, a, b).map(|distance| distance * factor);
    let Some(most) = elements().try_fold(0.0, |most, pair| Some(f64::max(most, apart(pair)?)))
    else {
        return Verdict::Apart(Difference {
            problem: String::from("differs from the first file's"),
            first: String::new(),
            other: String::new(),
            index: Vec::new(),
        });
    };
    let differs = |distance: f64| distance.is_nan() || distance > tolerance;
    let Some(at) = elements().position(|pair| apart(pair).is_some_and(differs)) else {
        return match most > 0.0 {
            true => Verdict::Near(most),
            false => Verdict::Equal,
        };
    };
    let index = crate::zarr::coordinates(&pair.first.shape, as_u64(at));
    let (first, other) = elements().nth(at).map_or_else(Default::default, |(a, b)| {
        (shown(&data_type, a), shown(&data_type, b))
    });
    Verdict::Apart(Difference {
        problem: format!(
            "differs by up to {most:e}, first at index {index:?}: it is {other}, first file has {first}"
        ),
        first,
        other,
        index,
    })
}

/// How far two little-endian numbers are apart, which is exactly zero only for equal ones; `None` for what is no number.
#[expect(
    clippy::cast_precision_loss,
    reason = "the difference of two integers is rounded, which makes no zero of it"
)]
fn distance(data_type: &DataType, a: &[u8], b: &[u8]) -> Option<f64> {
    let order = ByteOrder::Little;
    match data_type {
        DataType::Int(..) => Some(signed(a, order).abs_diff(signed(b, order)) as f64),
        DataType::UInt(..) | DataType::Bool => {
            Some(unsigned(a, order).abs_diff(unsigned(b, order)) as f64)
        }
        DataType::Float(..) => {
            let (a, b) = (float(a, order), float(b, order));
            let same = a == b || a.is_nan() && b.is_nan();
            Some(if same { 0.0 } else { (a - b).abs() })
        }
        _ => None,
    }
}

/// A little-endian number for a person.
fn shown(data_type: &DataType, element: &[u8]) -> String {
    let order = ByteOrder::Little;
    match data_type {
        DataType::Int(..) => signed(element, order).to_string(),
        DataType::Float(..) => float(element, order).to_string(),
        _ => unsigned(element, order).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ORDER: ByteOrder = ByteOrder::Little;

    #[rstest]
    #[case::sixty_bits(DataType::Int(8, ORDER), (1_i64 << 60).to_le_bytes(), ((1_i64 << 60) + 1).to_le_bytes(), 1.0)]
    #[case::across_zero(DataType::Int(8, ORDER), (-2_i64).to_le_bytes(), 3_i64.to_le_bytes(), 5.0)]
    #[case::largest(DataType::UInt(8, ORDER), u64::MAX.to_le_bytes(), (u64::MAX - 2).to_le_bytes(), 2.0)]
    #[case::zeros(DataType::Float(8, ORDER), 0_f64.to_le_bytes(), (-0_f64).to_le_bytes(), 0.0)]
    #[case::missing(DataType::Float(8, ORDER), f64::NAN.to_le_bytes(), f64::NAN.to_le_bytes(), 0.0)]
    #[case::infinite(DataType::Float(8, ORDER), f64::INFINITY.to_le_bytes(), f64::INFINITY.to_le_bytes(), 0.0)]
    fn only_equal_numbers_are_no_distance_apart(
        #[case] data_type: DataType,
        #[case] a: [u8; 8],
        #[case] b: [u8; 8],
        #[case] apart: f64,
    ) {
        assert_eq!(distance(&data_type, &a, &b), Some(apart));
    }

    #[test]
    fn a_number_and_a_missing_one_are_apart() {
        let (data_type, number) = (DataType::Float(4, ORDER), 1_f32.to_le_bytes());
        let distance = distance(&data_type, &number, &f32::NAN.to_le_bytes());
        assert!(distance.is_some_and(f64::is_nan));
    }
}
