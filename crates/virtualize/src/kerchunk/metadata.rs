//! Zarr v2 metadata documents, read back.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::dataset::{Attributes, Layout, VirtualArray};
use crate::kerchunk::KerchunkError;
use crate::manifest::ChunkManifest;
use crate::zarr::{Codec, DataType};

/// The `.zarray` document.
#[derive(Deserialize)]
struct Zarray {
    shape: Vec<u64>,
    chunks: Vec<u64>,
    dtype: Value,
    #[serde(default)]
    fill_value: Value,
    order: Option<String>,
    filters: Option<Vec<Value>>,
    compressor: Option<Value>,
    dimension_separator: Option<String>,
}

/// The array that the documents under `key` (`tas/.zarray`) describe, without chunks.
pub(super) fn array(
    key: &str,
    zarray: &str,
    attributes: Attributes,
) -> Result<VirtualArray, KerchunkError> {
    let problem = |problem: &str| KerchunkError::metadata(key, problem);
    let document: Zarray = parse(key, zarray)?;
    check_shape(&document).map_err(problem)?;
    let data_type = DataType::from_json(&document.dtype)
        .ok_or_else(|| problem("its dtype is not supported"))?;
    let fill_value = match &document.fill_value {
        Value::Null => None,
        value => Some(
            fill_value(&data_type, value)
                .ok_or_else(|| problem("its fill_value is none of its dtype"))?,
        ),
    };
    let codecs =
        codecs(&document).map_err(|id| problem(&format!("its codec {id} is not supported")))?;
    let (attributes, dimension_names) = split_names(attributes, document.shape.len())
        .ok_or_else(|| problem("_ARRAY_DIMENSIONS does not name its dimensions"))?;
    Ok(VirtualArray {
        layout: match codecs.is_empty() && document.shape == document.chunks {
            true => Layout::Contiguous,
            false => Layout::Chunked,
        },
        shape: document.shape,
        chunk_shape: document.chunks,
        data_type,
        fill_value,
        codecs,
        dimension_names,
        attributes,
        chunks: ChunkManifest::new(),
    })
}

/// Base64 of a fill value that its JSON form does not give back bit by bit.
pub(super) fn lossy_fill_value(array: &VirtualArray) -> Option<String> {
    let element = array.fill_value.as_deref()?;
    let json = array.data_type.element_to_json(element);
    let back = array.data_type.element_from_json(&json);
    (back.as_deref() != Some(element)).then(|| BASE64.encode(element))
}

/// Attributes of a `.zattrs` document.
pub(super) fn attributes(key: &str, document: &str) -> Result<Attributes, KerchunkError> {
    parse::<serde_json::Map<String, Value>>(key, document).map(Attributes::from)
}

/// A document as JSON; what Python's writers leave bare in it counts as a string.
pub(super) fn parse<T: DeserializeOwned>(key: &str, document: &str) -> Result<T, KerchunkError> {
    let strict = serde_json::from_str(document);
    strict
        .or_else(|_| serde_json::from_str(&quote_non_finite(document)))
        .map_err(|error| KerchunkError::metadata(key, error.to_string()))
}

/// Puts `NaN`, `Infinity` and `-Infinity`, which Python's writers leave bare, into quotes.
fn quote_non_finite(document: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(document.len());
    let mut rest = document;
    while let Some(at) = rest.find(['"', 'N', 'I', '-']) {
        let (before, here) = rest.split_at(at);
        out.push_str(before);
        let token = ["NaN", "Infinity", "-Infinity"]
            .into_iter()
            .find(|token| here.starts_with(token));
        let length = match token {
            Some(token) => {
                out.extend(["\"", token, "\""]);
                token.len()
            }
            None => {
                let length = if here.starts_with('"') {
                    string_length(here)
                } else {
                    1
                };
                out.push_str(here.get(..length).unwrap_or(here));
                length
            }
        };
        rest = here.get(length..).unwrap_or("");
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Length of the JSON string at the start of `text`, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at.saturating_add(1),
            _ => {}
        }
    }
    text.len()
}

fn check_shape(document: &Zarray) -> Result<(), &'static str> {
    if document.shape.len() != document.chunks.len() {
        return Err("shape and chunks differ in length");
    }
    if document.chunks.contains(&0) {
        return Err("a chunk has length 0");
    }
    let several = document.shape.len() > 1;
    match (
        document.order.as_deref(),
        document.dimension_separator.as_deref(),
    ) {
        (Some("F"), _) if several => Err("order F is not supported"),
        (_, Some("/")) if several => Err("dimension_separator / is not supported"),
        _ => Ok(()),
    }
}

fn fill_value(data_type: &DataType, value: &Value) -> Option<Vec<u8>> {
    let element = data_type.element_from_json(value)?;
    let sized = u64::try_from(element.len()).ok() == Some(data_type.size());
    // Integers that do not fit the type lose their upper bytes, which shows when they are read again.
    let whole = match data_type {
        DataType::Int(..) | DataType::UInt(..) => data_type.element_to_json(&element) == *value,
        _ => true,
    };
    (whole && (sized || *data_type == DataType::VlenString)).then_some(element)
}

/// Filters, then the compressor; else the id of the first that is unknown.
fn codecs(document: &Zarray) -> Result<Vec<Codec>, String> {
    let compressor = document.compressor.iter().filter(|value| !value.is_null());
    let filters = document.filters.iter().flatten();
    filters
        .chain(compressor)
        .map(|config| {
            let id = config.get("id").unwrap_or(&Value::Null);
            Codec::from_json(config).ok_or_else(|| id.to_string())
        })
        .collect()
}

fn split_names(mut attributes: Attributes, rank: usize) -> Option<(Attributes, Vec<String>)> {
    let names: Vec<String> = match attributes.remove("_ARRAY_DIMENSIONS") {
        Some(names) => serde_json::from_value(names).ok()?,
        None => Vec::new(),
    };
    (names.len() == rank).then_some((attributes, names))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::bare(
        r#"{"a": NaN, "b": [-Infinity, Infinity]}"#,
        r#"{"a": "NaN", "b": ["-Infinity", "Infinity"]}"#
    )]
    #[case::in_a_string(r#"{"a": "NaN \" NaN", "b": -1}"#, r#"{"a": "NaN \" NaN", "b": -1}"#)]
    #[case::open_string(r#"{"a\"#, r#"{"a\"#)]
    fn only_bare_tokens_are_quoted(#[case] document: &str, #[case] quoted: &str) {
        assert_eq!(quote_non_finite(document), quoted);
    }

    fn zarray(change: &str, value: Value) -> String {
        let mut document = json!({"zarr_format": 2, "shape": [4, 4], "chunks": [2, 4], "dtype": "<i2",
            "fill_value": null, "order": "C", "filters": null, "compressor": {"id": "zlib", "level": 1}});
        document[change] = value;
        document.to_string()
    }

    #[rstest]
    #[case::zero_chunk("chunks", json!([0, 4]), "a chunk has length 0")]
    #[case::ranks("chunks", json!([4]), "shape and chunks differ in length")]
    #[case::negative("shape", json!([-1, 4]), "invalid value: integer `-1`, expected u64")]
    #[case::dtype("dtype", json!("<M8[ns]"), "its dtype is not supported")]
    #[case::fill_too_large("fill_value", json!(70000), "its fill_value is none of its dtype")]
    #[case::codec("compressor", json!({"id": "lzma"}), "its codec \"lzma\" is not supported")]
    #[case::order("order", json!("F"), "order F is not supported")]
    fn bad_metadata_is_named(#[case] change: &str, #[case] value: Value, #[case] problem: &str) {
        let names = json!({"_ARRAY_DIMENSIONS": ["y", "x"]});
        let attributes = names.as_object().unwrap().clone().into();
        let error = array("g/v/.zarray", &zarray(change, value), attributes).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("metadata `g/v/.zarray`: {problem}")),
            "{text}"
        );
    }
}
