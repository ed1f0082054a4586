//! How a variable is stored, in words.

use serde_json::Value;
use virtualize::dataset::Layout;
use virtualize::inspect::{Fill, Filter};

use super::super::cdl;
use super::super::report::{StorageReport, VariableReport};
use super::page::{bytes, counted};
use super::plain;

/// The facts of a variable's storage, each with its label.
pub(super) fn lines(variable: &VariableReport) -> Vec<(&'static str, String)> {
    let storage = &variable.storage;
    let mut lines = vec![("layout", layout(storage))];
    if storage.layout.is_some() {
        lines.push(("stored", stored(storage, variable.big_endian)));
    }
    if !storage.filters.is_empty() {
        let filters: Vec<String> = storage.filters.iter().map(filter).collect();
        lines.push(("codecs", filters.join(", ")));
    }
    match &storage.fill {
        Fill::None | Fill::Default => {}
        Fill::Undefined => lines.push(("fill", String::from("none is defined"))),
        Fill::Value(Value::Number(number)) if is_float(variable) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            lines.push(("fill", cdl::float(&variable.data_type, number)));
        }
        Fill::Value(value) => lines.push(("fill", plain(value))),
    }
    lines
}

fn is_float(variable: &VariableReport) -> bool {
    matches!(variable.data_type.as_str(), "half" | "float" | "double")
}

fn layout(storage: &StorageReport) -> String {
    let mut text = match storage.layout {
        None => String::from("none"),
        Some(Layout::Compact) => String::from("compact, in the object header"),
        Some(Layout::Contiguous) if storage.chunks_allocated == 0 => {
            String::from("contiguous, not allocated")
        }
        Some(Layout::Contiguous) => String::from("contiguous"),
        Some(Layout::Record) => {
            format!(
                "interleaved with others, {}",
                counted(storage.chunks, "record")
            )
        }
        Some(Layout::Chunked) => chunked(storage),
    };
    if storage.chunks_masked > 0 {
        let masked = counted(storage.chunks_masked, "chunk");
        text.push_str(&format!(", {masked} left out a filter"));
    }
    if let Some(problem) = &storage.problem {
        text.push_str(&format!(": {problem}"));
    }
    text
}

fn chunked(storage: &StorageReport) -> String {
    let shape = storage.chunk_shape.iter().flatten();
    let sides: Vec<String> = shape.map(u64::to_string).collect();
    let (count, sides) = (counted(storage.chunks, "chunk"), sides.join(" × "));
    let index = storage.chunk_index.unwrap_or("unknown");
    match storage.chunks_allocated {
        all if all == storage.chunks => format!("{count} of {sides}, {index} index"),
        some => format!("{some} of {count} of {sides} allocated, {index} index"),
    }
}

fn stored(storage: &StorageReport, big_endian: bool) -> String {
    let mut text = bytes(storage.stored_bytes);
    if let Some(decoded) = storage.decoded_bytes
        && decoded != storage.stored_bytes
    {
        text.push_str(&format!(" for {} of values", bytes(decoded)));
    }
    if let Some(ratio) = storage.compression_ratio
        && !storage.filters.is_empty()
    {
        text.push_str(&format!(", {ratio:.2} : 1"));
    }
    if big_endian {
        text.push_str(", big-endian");
    }
    text
}

/// A filter as the codec that decodes it, else as HDF5 has it.
fn filter(filter: &Filter) -> String {
    let Some(Value::Object(codec)) = &filter.codec else {
        return foreign(filter);
    };
    let parameters = codec.iter().filter(|(key, _)| key.as_str() != "id");
    let parameters: Vec<String> = parameters
        .map(|(key, value)| format!("{key}={}", plain(value)))
        .collect();
    let name = codec.get("id").map_or_else(|| filter.name.clone(), plain);
    match parameters.is_empty() {
        true => name,
        false => format!("{name}({})", parameters.join(" ")),
    }
}

fn foreign(filter: &Filter) -> String {
    let parameters: Vec<String> = filter.parameters.iter().map(u32::to_string).collect();
    let name = plain(&Value::from(filter.name.as_str()));
    let parameters = match parameters.is_empty() {
        true => String::new(),
        false => format!("({})", parameters.join(" ")),
    };
    format!("{name}{parameters} (HDF5 filter {})", filter.id)
}
