//! What must agree between files for one array to describe them all.

use serde_json::Value;

use crate::combine::input::{Input, Series};
use crate::combine::refusal::Disagreement;
use crate::dataset::{Attributes, VirtualArray};
use crate::zarr::{Codec, DataType};

/// Attributes that change what stored values mean.
///
/// `dtype` makes booleans and durations of numbers in xarray, `_Encoding` text of characters.
pub(super) const PACKING: [&str; 8] = [
    "scale_factor",
    "add_offset",
    "units",
    "_FillValue",
    "missing_value",
    "_Unsigned",
    "dtype",
    "_Encoding",
];

/// Compares a variable in one file with the same in the first file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub path: &'a str,
    pub first: &'a VirtualArray,
    pub file: &'a Input,
    pub other: &'a VirtualArray,
}

impl Pair<'_> {
    fn fault(&self, code: &'static str, first: String, other: String) -> Disagreement {
        let problem = format!("is {other}, first file has {first}");
        Disagreement::new(code, &self.file.name, self.path, &problem).with_values(first, other)
    }

    /// Dimensions: the same names in the same order, and the same lengths but along `dim`.
    pub(super) fn dimensions(&self, dim: &str) -> Option<Disagreement> {
        let same = |array: &VirtualArray| -> Vec<(String, u64)> {
            let lengths = array.dimension_names.iter().zip(&array.shape);
            lengths
                .map(|(name, len)| (name.clone(), if name == dim { 0 } else { *len }))
                .collect()
        };
        if same(self.first) == same(self.other) {
            return None;
        }
        let shown = |array: &VirtualArray| {
            let lengths = array.dimension_names.iter().zip(&array.shape);
            let parts: Vec<String> = lengths.map(|(name, len)| format!("{name}={len}")).collect();
            format!("({})", parts.join(", "))
        };
        let (first, other) = (shown(self.first), shown(self.other));
        let problem = format!("has the dimensions {other}, first file {first}");
        let fault = Disagreement::new("dims_mismatch", &self.file.name, self.path, &problem);
        Some(fault.with_values(first, other))
    }

    /// Type and byte order; the order does not count for values that are inlined, which are all little-endian.
    pub(super) fn data_type(&self, inlined: bool) -> Option<Disagreement> {
        let shown = |array: &VirtualArray| {
            let data_type = if inlined {
                array.data_type.to_little_endian()
            } else {
                array.data_type.clone()
            };
            type_name(&data_type)
        };
        let (first, other) = (shown(self.first), shown(self.other));
        (first != other).then(|| self.fault("dtype_mismatch", first, other))
    }

    /// Codecs, as far as decoding depends on them.
    pub(super) fn codecs(&self) -> Option<Disagreement> {
        if decode_alike(&self.first.codecs, &self.other.codecs) {
            return None;
        }
        let (first, other) = (
            codec_names(&self.first.codecs),
            codec_names(&self.other.codecs),
        );
        let problem = format!(
            "is stored with {other}, first file with {first}; a reference has one decoder per variable"
        );
        let fault = Disagreement::new("codec_mismatch", &self.file.name, self.path, &problem);
        Some(fault.with_values(first, other))
    }

    /// Attributes that change what values mean, absence included, but those that are exempt.
    pub(super) fn packing(&self, exempt: &[&str]) -> Vec<Disagreement> {
        let differs = |name: &&&str| {
            let (a, b) = (
                packing_value(self.first, name),
                packing_value(self.other, name),
            );
            !same_value(a.as_ref(), b.as_ref())
        };
        PACKING
            .iter()
            .filter(|name| !exempt.contains(name))
            .filter(differs)
            .map(|name| {
                let shown = |array| {
                    packing_value(array, name).map_or(String::from("absent"), |v| v.to_string())
                };
                let (first, other) = (shown(self.first), shown(self.other));
                let problem =
                    format!("has {name} {other}, first file has {first}; values would be wrong");
                Disagreement::new("packing_mismatch", &self.file.name, self.path, &problem)
                    .with_values(first, other)
            })
            .collect()
    }
}

/// The type with its byte order, as numpy writes it, behind its usual name.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(_) => format!("compound {}", data_type.to_json()),
        other => format!(
            "{} ({})",
            other.name(),
            other.to_json().as_str().unwrap_or_default()
        ),
    }
}

/// Whether what one list of codecs encodes the other decodes.
pub(super) fn decode_alike(a: &[Codec], b: &[Codec]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.decodes_like(b))
}

fn codec_names(codecs: &[Codec]) -> String {
    if codecs.is_empty() {
        return String::from("no codec");
    }
    let name = |codec: &Codec| match codec {
        Codec::Shuffle { element_size } => format!("shuffle({element_size})"),
        other => other.name().to_owned(),
    };
    codecs.iter().map(name).collect::<Vec<_>>().join(" + ")
}

/// A packing attribute; the fill value stands in the array's metadata.
pub(super) fn packing_value(array: &VirtualArray, name: &str) -> Option<Value> {
    let attribute = array.attributes.get(name).cloned();
    if name != "_FillValue" {
        return attribute;
    }
    let fill = array
        .fill_value
        .as_ref()
        .map(|fill| array.data_type.element_to_json(fill));
    fill.or(attribute)
}

/// Whether two attributes say the same: numbers by value, a list of one like its element, text trimmed.
pub(super) fn same_value(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => match (single(a), single(b)) {
            (Value::Number(a), Value::Number(b)) => {
                a == b || a.as_f64() == b.as_f64() && !(a.is_i64() && b.is_i64())
            }
            (Value::String(a), Value::String(b)) => a.trim() == b.trim(),
            (a, b) => a == b,
        },
        _ => false,
    }
}

fn single(value: &Value) -> &Value {
    match value.as_array().map(Vec::as_slice) {
        Some([only]) => only,
        _ => value,
    }
}

/// Everything that can be compared of a variable along the concat dimension before its chunks are looked at.
pub(super) fn shapes(series: &Series<'_>, path: &str) -> Vec<Disagreement> {
    let Some((_, first)) = series.first(path) else {
        return Vec::new();
    };
    pairs(series, path, first)
        .filter_map(|pair| pair.dimensions(series.dim))
        .collect()
}

/// The variable in every file that has it, beside the first one's.
pub(super) fn pairs<'a>(
    series: &'a Series<'_>,
    path: &'a str,
    first: &'a VirtualArray,
) -> impl Iterator<Item = Pair<'a>> {
    series.files.iter().filter_map(move |file| {
        let other = file.array(path)?;
        Some(Pair {
            path,
            first,
            file,
            other,
        })
    })
}

/// Names of attributes whose value must be kept as the first file has it.
pub(super) fn is_protected(name: &str, attributes: &Attributes) -> bool {
    PACKING.contains(&name) || (name == "calendar" && attributes.contains_key("units"))
}
