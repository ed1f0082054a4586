//! Brings the times of a series, and their bounds, to one encoding where those of the files differ.

use std::collections::{BTreeMap, BTreeSet};

use crate::cf::{self, Calendar, CfError, TimePart, TimeUnits, TimeValues};
use crate::combine::CombineError;
use crate::combine::input::{Input, Series, axis_along, split, text};
use crate::combine::refusal::Disagreement;
use crate::combine::time::{is_time, time_values, units_of, unreadable};
use crate::combine::values::{Reader, first_masked};
use crate::dataset::VirtualArray;
use crate::zarr::{ByteOrder, DataType};

/// Values of one variable over the whole series, in one encoding.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub data_type: DataType,
    pub bytes: Vec<u8>,
    /// The units of a coordinate; bounds have none of their own.
    pub units: String,
}

/// What becomes of the variables that count time.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// Those that were brought to one encoding.
    pub joined: BTreeMap<String, Column>,
    /// Every variable whose units are known to agree or were made to: times and their bounds.
    pub timed: BTreeSet<String>,
}

/// Brings times that differ in units or type, and their bounds, to one encoding; `None` while bytes are missing.
pub(super) fn columns(
    series: &Series<'_>,
    along: &[String],
    inline_max: u64,
    reader: &mut Reader<'_>,
    faults: &mut Vec<Disagreement>,
) -> Result<Columns, CombineError> {
    let mut columns = Columns::default();
    for path in along {
        let arrays: Vec<&VirtualArray> = series.arrays(path).into_iter().flatten().collect();
        let belongs = series
            .bounds
            .get(path)
            .and_then(|owner| series.first(owner));
        if belongs.is_some_and(|(_, owner)| is_time(owner))
            || !arrays.iter().all(|array| is_time(array))
        {
            continue;
        }
        let bounds = bounds_of(series, path, along);
        let agreement = match agreement(series, path, faults) {
            Agreement::Same | Agreement::Types if !bounds_agree(series, bounds.as_deref()) => {
                Agreement::None
            }
            other => other,
        };
        columns.timed.insert(path.clone());
        columns.timed.extend(bounds.clone());
        let small = arrays
            .iter()
            .all(|array| is_small(array, series.dim, inline_max));
        match agreement {
            Agreement::Same => {}
            Agreement::Types if small => {
                join_into(&mut columns, series, &[path.as_str()], reader, faults)?
            }
            Agreement::None if small => {
                let mut paths = vec![path.as_str()];
                paths.extend(bounds.as_deref());
                faults.extend(bounds_left_behind(series, &paths));
                faults.extend(unnamed_bounds(series, path, bounds.as_deref()));
                join_into(&mut columns, series, &paths, reader, faults)?;
            }
            // Too large to be re-expressed: the units must agree like those of any other variable.
            Agreement::Types | Agreement::None => drop(columns.timed.remove(path)),
        }
    }
    join_bounds_types(&mut columns, series, reader, faults)?;
    Ok(columns)
}

/// Whether values may be read to be re-expressed, and follow each other in the order of the files.
fn is_small(array: &VirtualArray, dim: &str, inline_max: u64) -> bool {
    let small = array.nbytes().is_some_and(|bytes| bytes <= inline_max);
    array.shape.len() == 1 || small && axis_along(array, dim) == Some(0)
}

/// Bounds that would keep the units that their times have lost.
fn bounds_left_behind(series: &Series<'_>, joined: &[&str]) -> Vec<Disagreement> {
    let owner = joined.first().copied().unwrap_or_default();
    let left = series.bounds.iter().filter(|(path, of)| {
        *of == owner && !joined.contains(&path.as_str()) && series.first(path).is_some()
    });
    left.filter_map(|(path, _)| {
        let file = series
            .files
            .iter()
            .rev()
            .find(|file| file.array(path).is_some())?;
        let problem = format!("cannot be re-expressed in the joined units of {owner}");
        Some(Disagreement::new(
            "packing_mismatch",
            &file.name,
            path,
            &problem,
        ))
    })
    .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agreement {
    /// Units and types are equal.
    Same,
    /// Only the width of the type differs.
    Types,
    /// Units or the kind of numbers differ.
    None,
}

fn agreement(series: &Series<'_>, path: &str, faults: &mut Vec<Disagreement>) -> Agreement {
    let mut first: Option<(TimeUnits, &VirtualArray)> = None;
    let mut result = Agreement::Same;
    for file in &series.files {
        let Some(array) = file.array(path) else {
            continue;
        };
        let units = match units_of(array) {
            Ok(units) => units,
            Err(error) => {
                // The concat coordinates have been reported when they were read.
                let fault = unreadable(file, path, &error);
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
                continue;
            }
        };
        match &first {
            None => first = Some((units, array)),
            Some((first_units, _)) if first_units.calendar() != units.calendar() => {
                report_calendar(file, path, first_units, &units, faults);
            }
            Some((first_units, first_array)) => {
                let float = |array: &VirtualArray| matches!(array.data_type, DataType::Float(..));
                if *first_units != units || float(first_array) != float(array) {
                    result = Agreement::None;
                } else if first_array.data_type.to_little_endian()
                    != array.data_type.to_little_endian()
                    && result == Agreement::Same
                {
                    result = Agreement::Types;
                }
            }
        }
    }
    result
}

fn report_calendar(
    file: &Input,
    path: &str,
    first: &TimeUnits,
    other: &TimeUnits,
    faults: &mut Vec<Disagreement>,
) {
    let (first, other) = (first.calendar().name(), other.calendar().name());
    let known = |fault: &Disagreement| fault.code == "calendar_mismatch" && fault.variable == path;
    if !faults.iter().any(known) {
        let problem = format!("has the calendar '{other}', first file has '{first}'");
        faults.push(
            Disagreement::new("calendar_mismatch", &file.name, path, &problem)
                .with_values(first, other),
        );
    }
}

/// The bounds of a time that run along the concat dimension first.
fn bounds_of(series: &Series<'_>, owner: &str, along: &[String]) -> Option<String> {
    let mut bounds = series
        .bounds
        .iter()
        .filter(|(_, of)| *of == owner)
        .map(|(path, _)| path);
    bounds
        .find(|path| {
            let leading = |array: &&VirtualArray| axis_along(array, series.dim) == Some(0);
            along.contains(path) && series.arrays(path).iter().flatten().all(leading)
        })
        .cloned()
}

/// Whether bounds count in the same units in all files, be it their own or those of their times.
fn bounds_agree(series: &Series<'_>, bounds: Option<&str>) -> bool {
    let Some((path, owner)) = bounds.and_then(|path| Some((path, series.bounds.get(path)?))) else {
        return true;
    };
    let units = |file: &&Input| {
        let own = file.array(path)?;
        let counts = match is_time(own) {
            true => own,
            false => file.array(owner)?,
        };
        units_of(counts).ok()
    };
    let mut all = series.files.iter().filter_map(units);
    let first = all.next();
    all.all(|units| Some(units) == first)
}

/// Bounds whose times agree, but whose own types differ.
fn join_bounds_types(
    columns: &mut Columns,
    series: &Series<'_>,
    reader: &mut Reader<'_>,
    faults: &mut Vec<Disagreement>,
) -> Result<(), CombineError> {
    for path in series.bounds.keys() {
        if !columns.timed.contains(path) || columns.joined.contains_key(path) {
            continue;
        }
        let mut types = series
            .arrays(path)
            .into_iter()
            .flatten()
            .map(|array| array.data_type.to_little_endian());
        let first = types.next();
        if types.any(|other| Some(&other) != first.as_ref()) {
            join_into(columns, series, &[path.as_str()], reader, faults)?;
        }
    }
    Ok(())
}

/// Joins a time, and its bounds when they are the second path.
fn join_into(
    columns: &mut Columns,
    series: &Series<'_>,
    paths: &[&str],
    reader: &mut Reader<'_>,
    faults: &mut Vec<Disagreement>,
) -> Result<(), CombineError> {
    let mut read = Vec::new();
    for path in paths {
        let mut parts = Vec::new();
        for file in &series.files {
            let Some(array) = file.array(path) else {
                continue;
            };
            let Some(bytes) = reader.values(file, path, array)? else {
                continue;
            };
            faults.extend(masked(file, path, array, &bytes));
            parts.extend(part(series, file, path, array, &bytes));
        }
        read.push(parts);
    }
    if reader.is_waiting() {
        return Ok(());
    }
    let first = series.first(paths.first().copied().unwrap_or_default());
    let joined = match read.as_slice() {
        [times, bounds] => {
            cf::join_times_with_bounds(times, bounds).map(|(time, bounds)| (time, Some(bounds)))
        }
        [times] => cf::join_times(times).map(|time| (time, None)),
        _ => return Ok(()),
    };
    match (joined, first) {
        (Ok((time, bounds)), _) => {
            let values = std::iter::once(time.values).chain(bounds);
            for (path, values) in paths.iter().zip(values) {
                let like = series.first(path).map(|(_, array)| &array.data_type);
                let (data_type, bytes) = encode(&values, like);
                let units = time.units.clone();
                columns.joined.insert(
                    (*path).to_owned(),
                    Column {
                        data_type,
                        bytes,
                        units,
                    },
                );
            }
        }
        // Different calendars have been reported, file by file.
        (Err(CfError::CalendarMismatch { .. }), _) | (_, None) => {}
        (Err(error), Some((file, _))) => {
            let path = paths.first().copied().unwrap_or_default();
            faults.push(unreadable(file, path, &error));
        }
    }
    Ok(())
}

/// Missing values have no time, so that they cannot be re-expressed.
fn masked(file: &Input, path: &str, array: &VirtualArray, bytes: &[u8]) -> Option<Disagreement> {
    first_masked(array, bytes)?;
    let problem = "has missing values, which cannot be re-expressed in other time units";
    Some(Disagreement::new(
        "packing_mismatch",
        &file.name,
        path,
        problem,
    ))
}

/// Bounds to be re-expressed in a file whose time does not name them, so that nothing tells their units.
fn unnamed_bounds(series: &Series<'_>, owner: &str, bounds: Option<&str>) -> Vec<Disagreement> {
    let Some(path) = bounds else {
        return Vec::new();
    };
    let is_unnamed = |file: &&&Input| {
        let time = file.array(owner);
        let named = time.is_some_and(|time| {
            let mut names = ["bounds", "climatology"].iter();
            names.any(|key| text(time, key).map(str::trim) == Some(split(path).1))
        });
        file.array(path).is_some_and(|array| !is_time(array)) && !named
    };
    let fault = |file: &&Input| {
        let problem =
            format!("is not named as the bounds of {owner}, so that nothing tells its units");
        let fault = Disagreement::new("packing_mismatch", &file.name, path, &problem);
        fault.with_cure("name the bounds in the file, or drop them (drop_variables)")
    };
    series.files.iter().filter(is_unnamed).map(fault).collect()
}

fn part<'a>(
    series: &Series<'_>,
    file: &'a Input,
    path: &str,
    array: &'a VirtualArray,
    bytes: &[u8],
) -> Option<TimePart<'a>> {
    let own = is_time(array).then_some(array);
    let owner = own.or_else(|| file.array(series.bounds.get(path)?))?;
    Some(TimePart {
        values: time_values(bytes, &array.data_type)?,
        units: text(owner, "units")?,
        calendar: Calendar::parse(text(owner, "calendar")).ok()?,
    })
}

/// Joined values as bytes, in the first file's integer type where they fit it.
fn encode(values: &TimeValues, like: Option<&DataType>) -> (DataType, Vec<u8>) {
    let order = ByteOrder::Little;
    match values {
        TimeValues::Float(values) => {
            let bytes = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            (DataType::Float(8, order), bytes)
        }
        TimeValues::Int(values) => {
            let four = matches!(like, Some(DataType::Int(4, _)));
            let narrow: Option<Vec<i32>> = values
                .iter()
                .map(|value| i32::try_from(*value).ok())
                .collect();
            match narrow.filter(|_| four) {
                Some(narrow) => (
                    DataType::Int(4, order),
                    narrow
                        .iter()
                        .flat_map(|value| value.to_le_bytes())
                        .collect(),
                ),
                None => (
                    DataType::Int(8, order),
                    values
                        .iter()
                        .flat_map(|value| value.to_le_bytes())
                        .collect(),
                ),
            }
        }
    }
}
