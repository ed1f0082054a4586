//! The report for a person: a hundred columns wide, aligned, coloured where the terminal wants colour.

mod page;
mod storage;

use serde_json::Value;
use virtualize::dataset::Format;
use virtualize::inspect::{Container, Values};
use virtualize::rules::Grade;

use super::cdl;
use super::report::{
    AttributeReport, ColdRead, GroupReport, MetadataReport, Report, VariableReport,
};
use page::{Page, WIDTH, bytes, counted};

/// The text of a report; `full` shows long values and lists whole.
pub(super) fn render(report: &Report, full: bool) -> String {
    let mut page = Page::default();
    page.heading(0, &cdl::printable(&report.file));
    page.line(0, &title(report));
    if let Some(error) = &report.error {
        page.alarm(
            0,
            &format!("{}: {}", error.code, cdl::printable(&error.message)),
        );
    }
    for group in &report.groups {
        render_group(&mut page, group, report, full);
    }
    if !report.left_out.is_empty() {
        page.blank();
        page.heading(0, "left out");
        for row in &report.left_out {
            page.wrapped(2, &cdl::printable(&row.path), &cdl::printable(&row.reason));
        }
    }
    render_findings(&mut page, report);
    if report.container.is_some() {
        render_reading(&mut page, report, full);
    }
    page.into_text()
}

fn title(report: &Report) -> String {
    let size = bytes(report.size_bytes);
    let name = match (&report.container, report.format) {
        (Some(Container::Classic { version, .. }), _) => format!("NetCDF classic, CDF-{version}"),
        (Some(container @ Container::Hdf5 { .. }), Some(Format::Netcdf4)) => {
            format!("NetCDF-4, {}", hdf5(container))
        }
        (Some(container), _) => hdf5(container),
        (None, _) => String::from("not a NetCDF or HDF5 file"),
    };
    format!("{name}, {size}")
}

fn hdf5(container: &Container) -> String {
    let Container::Hdf5 {
        superblock_version,
        user_block_bytes,
        offset_size,
        length_size,
    } = container
    else {
        return String::new();
    };
    let mut text = format!("HDF5 with superblock {superblock_version}");
    if *user_block_bytes > 0 {
        text.push_str(&format!(" behind a user block of {user_block_bytes} B"));
    }
    if (*offset_size, *length_size) != (8, 8) {
        text.push_str(&format!(
            ", addresses of {offset_size} and lengths of {length_size} bytes"
        ));
    }
    text
}

fn render_group(page: &mut Page, group: &GroupReport, report: &Report, full: bool) {
    let is_root = group.path == "/";
    let indent = if is_root { 0 } else { 2 };
    if !is_root {
        page.blank();
        page.heading(0, &format!("group {}", cdl::printable(&group.path)));
    }
    if !group.dimensions.is_empty() {
        page.section(indent, "dimensions", is_root);
        let rows = group.dimensions.iter().map(|dimension| {
            let unlimited = if dimension.unlimited { "unlimited" } else { "" };
            [
                cdl::printable(&dimension.name),
                dimension.length.to_string(),
                unlimited.to_owned(),
            ]
        });
        page.table(indent + 2, &rows.collect::<Vec<_>>());
    }
    let prefix = if is_root {
        "/"
    } else {
        &format!("{}/", group.path)
    };
    let variables = report.variables.iter().filter(|variable| {
        let name = variable.path.strip_prefix(prefix);
        name.is_some_and(|name| !name.contains('/'))
    });
    for (position, variable) in variables.enumerate() {
        if position == 0 {
            page.section(indent, "variables", is_root);
        } else {
            page.blank();
        }
        render_variable(page, indent + 2, variable, full);
    }
    if !group.attributes.is_empty() {
        let title = if is_root {
            "global attributes"
        } else {
            "attributes"
        };
        page.section(indent, title, is_root);
        render_attributes(page, indent + 2, &group.attributes, full);
    }
}

fn render_variable(page: &mut Page, indent: usize, variable: &VariableReport, full: bool) {
    let (_, name) = variable
        .path
        .rsplit_once('/')
        .unwrap_or(("", &variable.path));
    let data_type = shortened(&cdl::printable(&variable.data_type), 60, full);
    let name = cdl::printable(name);
    page.declaration(indent, &data_type, &name, &lengths(variable));
    render_attributes(page, indent + 4, &variable.attributes, full);
    for (label, text) in storage::lines(variable) {
        page.fact(indent + 4, label, &text);
    }
    if let Some(reason) = &variable.refused {
        page.alarm(indent + 4, &format!("refused: {}", cdl::printable(reason)));
    }
}

/// `(time=12, lat=32)`; nothing for a scalar.
fn lengths(variable: &VariableReport) -> String {
    let Some(shape) = &variable.shape else {
        return String::from(" without a value");
    };
    if shape.is_empty() {
        return String::new();
    }
    let mut names = variable.dimensions.iter();
    let sides = shape.iter().map(|length| match names.next() {
        Some(name) => format!("{}={length}", cdl::printable(name)),
        None => length.to_string(),
    });
    format!("({})", sides.collect::<Vec<_>>().join(", "))
}

fn render_attributes(page: &mut Page, indent: usize, attributes: &[AttributeReport], full: bool) {
    let names: Vec<String> = attributes
        .iter()
        .map(|attribute| cdl::printable(&attribute.name))
        .collect();
    let widest = names.iter().map(|name| name.chars().count()).max();
    let widest = widest.unwrap_or(0).min(24);
    for (attribute, name) in attributes.iter().zip(names) {
        let used = indent + name.chars().count().max(widest) + " = ".len();
        let room = WIDTH.saturating_sub(used).max(20);
        let value = match full {
            true => cdl::literals(&attribute.data_type, &attribute.values).join(", "),
            false => short_value(attribute, room),
        };
        page.attribute(indent, widest, &name, &value);
    }
}

/// The value in at most `room` columns; what was left out is told.
fn short_value(attribute: &AttributeReport, room: usize) -> String {
    let literals = cdl::literals(&attribute.data_type, &attribute.values);
    let whole = literals.join(", ");
    if whole.chars().count() <= room {
        return whole;
    }
    if let (Values::Text(texts), [literal]) = (&attribute.values, literals.as_slice()) {
        let length = texts.iter().map(|text| text.chars().count()).sum::<usize>();
        let note = format!("…\" ({length} characters)");
        return cut(literal, room.saturating_sub(note.chars().count())) + &note;
    }
    let note = format!("… ({} values)", literals.len());
    let mut out = String::new();
    for literal in &literals {
        if out.chars().count() + literal.chars().count() + 2 + note.chars().count() > room {
            break;
        }
        out.push_str(literal);
        out.push_str(", ");
    }
    out + &note
}

fn cut(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

fn shortened(text: &str, length: usize, full: bool) -> String {
    match full || text.chars().count() <= length {
        true => text.to_owned(),
        false => cut(text, length.saturating_sub(1)) + "…",
    }
}

fn render_findings(page: &mut Page, report: &Report) {
    if report.findings.is_empty() {
        return;
    }
    page.blank();
    page.heading(0, "findings");
    for finding in &report.findings {
        let about = finding.variable.as_deref().unwrap_or("the file");
        let text = format!("{} ({})", cdl::printable(&finding.message), finding.code);
        match finding.grade {
            Grade::Info => page.wrapped(2, &cdl::printable(about), &text),
            _ => page.alarm(2, &format!("{}: {text}", cdl::printable(about))),
        }
    }
}

fn render_reading(page: &mut Page, report: &Report, full: bool) {
    page.blank();
    page.heading(0, "reading");
    page.fact(2, "metadata", &metadata(&report.metadata));
    if full {
        let extents = report.metadata.extents.iter();
        let extents = extents.map(|(start, length)| format!("{start}+{length}"));
        page.fact(2, "ranges", &extents.collect::<Vec<_>>().join(", "));
    }
    page.fact(2, "cold read", &cold_read(&report.cold_read));
}

fn metadata(metadata: &MetadataReport) -> String {
    let places = [
        ("the head", metadata.head_bytes),
        ("the tail", metadata.tail_bytes),
        ("between", metadata.spread_bytes),
    ];
    let places = places.iter().filter(|(_, size)| *size > 0);
    let places: Vec<String> = places
        .map(|(place, size)| match *place {
            "between" => format!("{} between", bytes(*size)),
            place => format!("{} in {place}", bytes(*size)),
        })
        .collect();
    let ranges = counted(u64::try_from(metadata.extents.len()).unwrap_or(0), "range");
    let mut text = match places.as_slice() {
        [_] => {
            let only = places.concat();
            format!("{only}, {ranges}")
        }
        _ => format!(
            "{} in {ranges}: {}",
            bytes(metadata.bytes),
            places.join(", ")
        ),
    };
    if metadata.inlined_bytes > 0 {
        text.push_str(&format!(
            "; {} of coordinate values are read with it",
            bytes(metadata.inlined_bytes)
        ));
    }
    text
}

fn cold_read(cost: &ColdRead) -> String {
    format!(
        "{} in {}, {}; {} ms at {} ms a round trip",
        counted(cost.requests, "request"),
        counted(u64::from(cost.rounds), "round"),
        bytes(cost.bytes),
        cost.milliseconds,
        cost.round_trip_ms
    )
}

/// A JSON value as a person reads it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => cdl::printable(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn attribute(data_type: &str, values: Values) -> AttributeReport {
        AttributeReport {
            name: String::from("a"),
            data_type: String::from(data_type),
            value: json!(null),
            values,
        }
    }

    #[rstest]
    #[case::fits(attribute("char", Values::Text(vec!["short".into()])), "\"short\"")]
    #[case::text(
        attribute("char", Values::Text(vec!["x".repeat(99)])),
        "\"xxxxxxxxxxxx…\" (99 characters)"
    )]
    #[case::list(
        attribute("short", Values::Integers((0..50).collect())),
        "0s, 1s, 2s, 3s, … (50 values)"
    )]
    fn long_values_say_what_is_left_out(
        #[case] attribute: AttributeReport,
        #[case] expected: &str,
    ) {
        let short = short_value(&attribute, 31);
        assert_eq!(short, expected);
        assert!(short.chars().count() <= 31);
    }
}
