//! Time along a series: the order of the files, whether it increases, and one encoding for all of it.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};

use crate::cf::{self, Axis, Calendar, CfError, Instant, TimeUnits, TimeValues, axis_of};
use crate::combine::CombineError;
use crate::combine::input::{Input, split, text};
use crate::combine::moments::Moments;
use crate::combine::refusal::{Disagreement, MERGE};
use crate::combine::values::{Reader, as_usize, first_masked, numbers};
use crate::dataset::{VirtualArray, VirtualDataset};
use crate::manifest::ChunkEntry;
use crate::zarr::{ByteOrder, DataType, float, signed, unsigned};

/// Where the steps of one file lie.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Positions {
    /// On a calendar.
    Instants(Moments),
    /// On an axis of plain numbers.
    Numbers(Vec<f64>),
    /// Nobody can say.
    Unknown,
}

impl Positions {
    fn first_cmp(&self, other: &Self) -> Ordering {
        let known = match (self, other) {
            (Self::Instants(a), Self::Instants(b)) => {
                let firsts = a.first().zip(b.first());
                firsts.and_then(|(a, b)| a.partial_cmp(&b))
            }
            (Self::Numbers(a), Self::Numbers(b)) => {
                let firsts = a.first().zip(b.first());
                firsts.and_then(|(a, b)| a.partial_cmp(b))
            }
            _ => return Ordering::Equal,
        };
        known.unwrap_or_else(|| self.is_empty().cmp(&other.is_empty()))
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Instants(moments) => moments.is_empty(),
            Self::Numbers(numbers) => numbers.is_empty(),
            Self::Unknown => true,
        }
    }
}

/// A concat coordinate and where each input's steps lie on it, in the order of the inputs.
#[derive(Debug)]
pub(super) struct Clock {
    pub path: String,
    pub positions: Vec<Positions>,
}

/// Whether a variable counts from a date; what is packed does not count as that.
pub(super) fn is_time(array: &VirtualArray) -> bool {
    let since =
        text(array, "units").is_some_and(|units| units.to_ascii_lowercase().contains(" since "));
    let number = matches!(
        array.data_type,
        DataType::Int(..) | DataType::UInt(..) | DataType::Float(..)
    );
    let packed = ["scale_factor", "add_offset"]
        .iter()
        .any(|key| array.attributes.contains_key(*key));
    since && number && !packed
}

/// The units and the calendar of a variable that [`is_time`].
pub(super) fn units_of(array: &VirtualArray) -> Result<TimeUnits, CfError> {
    let calendar = Calendar::parse(text(array, "calendar"))?;
    TimeUnits::parse(text(array, "units").unwrap_or_default(), calendar)
}

/// Reads the concat coordinates of all groups, the shallowest first; `None` while bytes are missing.
pub(super) fn read(
    inputs: &[Input],
    dim: &str,
    reader: &mut Reader<'_>,
    faults: &mut Vec<Disagreement>,
) -> Result<Option<Vec<Clock>>, CombineError> {
    let mut clocks = Vec::new();
    for path in clock_paths(inputs.iter().map(|input| &input.dataset), dim) {
        let mut positions = Vec::new();
        for input in inputs {
            positions.push(read_one(input, &path, reader, faults)?);
        }
        check_calendars(&path, inputs, &positions, faults);
        clocks.push(Clock { path, positions });
    }
    Ok((!reader.is_waiting()).then_some(clocks))
}

fn read_one(
    input: &Input,
    path: &str,
    reader: &mut Reader<'_>,
    faults: &mut Vec<Disagreement>,
) -> Result<Positions, CombineError> {
    let Some(array) = input.array(path).filter(|array| array.shape.len() == 1) else {
        return Ok(Positions::Unknown);
    };
    let Some(bytes) = reader.values(input, path, array)? else {
        return Ok(Positions::Unknown);
    };
    if let Some(index) = first_masked(array, &bytes) {
        let problem =
            format!("has a missing value at index {index}, which has no place in a series");
        let fault = Disagreement::new("time_units_invalid", &input.name, path, &problem);
        faults.push(fault.with_cure("cut the steps without a time out of the file"));
        return Ok(Positions::Unknown);
    }
    if !is_time(array) {
        return Ok(numbers(&bytes, &array.data_type).map_or(Positions::Unknown, Positions::Numbers));
    }
    let read = units_of(array).and_then(|units| {
        let values = time_values(&bytes, &array.data_type);
        let instants = values.map_or(Ok(Vec::new()), |values| units.decode(&values))?;
        Ok(Moments::new(units.calendar(), &instants))
    });
    Ok(read.map_or_else(
        |error| {
            faults.push(unreadable(input, path, &error));
            Positions::Unknown
        },
        Positions::Instants,
    ))
}

pub(super) fn unreadable(input: &Input, path: &str, error: &CfError) -> Disagreement {
    Disagreement::new(
        error.code(),
        &input.name,
        path,
        &format!("cannot be read: {error}"),
    )
}

/// Variables named like the dimension; where no group has one, a time along it in each that has.
pub(crate) fn clock_paths<'a>(
    datasets: impl Iterator<Item = &'a VirtualDataset>,
    dim: &str,
) -> Vec<String> {
    let mut named = BTreeSet::new();
    let mut timed = BTreeSet::new();
    for (path, array) in datasets.flat_map(|dataset| dataset.root.walk()) {
        if array.dimension_names != [dim] {
            continue;
        }
        let (folder, name) = split(&path);
        let depth = folder.matches('/').count();
        if name == dim {
            named.insert((depth, path));
        } else if is_time(array)
            && axis_of(name, &array.attributes) == Some(Axis::T)
            && is_named_time(name, array)
        {
            timed.insert((depth, path));
        }
    }
    if named.is_empty() {
        let mut folders = BTreeSet::new();
        let is_first = |(_, path): &(usize, String)| folders.insert(split(path).0.to_owned());
        named.extend(timed.into_iter().filter(is_first));
    }
    named.into_iter().map(|(_, path)| path).collect()
}

fn is_named_time(name: &str, array: &VirtualArray) -> bool {
    let standard = text(array, "standard_name") == Some("time");
    standard || text(array, "axis") == Some("T") || name.eq_ignore_ascii_case("time")
}

fn check_calendars(
    path: &str,
    inputs: &[Input],
    positions: &[Positions],
    faults: &mut Vec<Disagreement>,
) {
    let calendar_of = |positions: &Positions| match positions {
        Positions::Instants(moments) => moments.first().map(|first| first.calendar().name()),
        _ => None,
    };
    let Some(first) = positions.iter().find_map(calendar_of) else {
        return;
    };
    for (input, positions) in inputs.iter().zip(positions) {
        match (calendar_of(positions), positions) {
            (Some(calendar), _) if calendar != first => {
                let problem = format!(
                    "has the calendar '{calendar}', first file has '{first}'. Series with different calendars cannot be joined"
                );
                let fault = Disagreement::new("calendar_mismatch", &input.name, path, &problem);
                faults.push(fault.with_values(first, calendar));
            }
            (None, Positions::Numbers(_)) => {
                let problem = "has no time units, other files have";
                faults.push(Disagreement::new(
                    "time_units_invalid",
                    &input.name,
                    path,
                    problem,
                ));
            }
            _ => {}
        }
    }
}

/// The inputs in the order of their first step; those without one keep their place at the end.
pub(super) fn order(clock: Option<&Clock>, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    if let Some(clock) = clock {
        order.sort_by(
            |a, b| match (clock.positions.get(*a), clock.positions.get(*b)) {
                (Some(a), Some(b)) => a.first_cmp(b),
                _ => Ordering::Equal,
            },
        );
    }
    order
}

/// Checks that a coordinate strictly increases in every file and from file to file.
pub(super) fn check_increasing(
    clock: &Clock,
    order: &[usize],
    inputs: &[Input],
    faults: &mut Vec<Disagreement>,
) {
    let mut before: Option<(&Input, &Positions)> = None;
    for at in order {
        let (Some(input), Some(positions)) = (inputs.get(*at), clock.positions.get(*at)) else {
            continue;
        };
        faults.extend(fault_inside(&clock.path, input, positions));
        if positions.is_empty() {
            continue;
        }
        if let Some((earlier, last)) = before {
            faults.extend(fault_between(
                &clock.path,
                (earlier, last),
                (input, positions),
            ));
        }
        before = Some((input, positions));
    }
}

fn fault_inside(path: &str, input: &Input, positions: &Positions) -> Option<Disagreement> {
    let (index, equal, step) = match positions {
        Positions::Instants(moments) => {
            if moments.iter().is_sorted_by(|a, b| a < b) {
                return None;
            }
            let instants: Vec<Instant> = moments.iter().collect();
            let fault = cf::check_increasing(&instants)?;
            let step = instants.get(fault.index)?.date_time().to_iso();
            (fault.index, fault.order == cf::Order::Duplicate, step)
        }
        Positions::Numbers(numbers) => {
            let mut pairs = numbers.iter().zip(numbers.iter().skip(1));
            let index = pairs.position(|(a, b)| a.partial_cmp(b) != Some(Ordering::Less))? + 1;
            let (earlier, later) = (numbers.get(index - 1)?, numbers.get(index)?);
            (index, earlier.total_cmp(later).is_eq(), later.to_string())
        }
        Positions::Unknown => return None,
    };
    Some(match equal {
        true => Disagreement::new(
            "time_duplicate",
            &input.name,
            path,
            &format!("has {step} twice, again at index {index}"),
        ),
        false => {
            let problem = format!("does not increase at index {index} ({step})");
            Disagreement::new("time_not_increasing", &input.name, path, &problem)
        }
    })
}

fn fault_between(
    path: &str,
    (earlier, first): (&Input, &Positions),
    (later, second): (&Input, &Positions),
) -> Option<Disagreement> {
    let (end, start, shared) = match (first, second) {
        (Positions::Instants(a), Positions::Instants(b)) => {
            let (end, start) = (a.last()?, b.first()?);
            if end.partial_cmp(&start)? == Ordering::Less {
                return None;
            }
            let known: HashSet<Instant> = a.iter().collect();
            let shared = b.iter().find(|instant| known.contains(instant));
            let iso = |instant: Instant| instant.date_time().to_iso();
            (iso(end), iso(start), shared.map(iso))
        }
        (Positions::Numbers(a), Positions::Numbers(b)) => {
            let (end, start) = (a.last()?, b.first()?);
            if end < start {
                return None;
            }
            let known: HashSet<u64> = a.iter().map(|number| number.to_bits()).collect();
            let shared = b.iter().find(|number| known.contains(&number.to_bits()));
            (
                end.to_string(),
                start.to_string(),
                shared.map(f64::to_string),
            )
        }
        _ => return None,
    };
    let (code, problem) = match shared {
        Some(step) => (
            "time_duplicate",
            format!("has {step}, which is in {} too", earlier.name),
        ),
        None => (
            "time_not_increasing",
            format!("starts at {start}, before {} ends at {end}", earlier.name),
        ),
    };
    let fault = Disagreement::new(code, &later.name, path, &problem).with_values(end, start);
    let split = |a: &Input, b: &Input| {
        let paths = a.dataset.root.walk().into_iter();
        paths
            .map(|(path, _)| path)
            .any(|path| b.array(&path).is_none())
    };
    Some(match split(earlier, later) && split(later, earlier) {
        true => fault.with_cure(MERGE),
        false => fault,
    })
}

/// The instants of an inlined time coordinate; `None` where the array is no CF time or not inlined as one chunk.
pub fn time_instants(array: &VirtualArray) -> Option<Vec<Instant>> {
    let ChunkEntry::Inline(bytes) = array.chunks.get(0) else {
        return None;
    };
    let attribute = |name: &str| {
        array
            .attributes
            .get(name)
            .and_then(serde_json::Value::as_str)
    };
    let calendar = Calendar::parse(attribute("calendar")).ok()?;
    let units = TimeUnits::parse(attribute("units")?, calendar).ok()?;
    if array.shape != array.chunk_shape || !array.codecs.is_empty() {
        return None;
    }
    units.decode(&time_values(&bytes, &array.data_type)?).ok()
}

/// Little-endian numbers as time values; `None` for what is no number or too large for one.
pub(super) fn time_values(bytes: &[u8], data_type: &DataType) -> Option<TimeValues> {
    let order = ByteOrder::Little;
    let elements = bytes.chunks_exact(as_usize(data_type.size()).max(1));
    match data_type {
        DataType::Int(..) => Some(TimeValues::Int(
            elements.map(|e| signed(e, order)).collect(),
        )),
        DataType::UInt(..) => {
            TimeValues::from_unsigned(&elements.map(|e| unsigned(e, order)).collect::<Vec<_>>())
        }
        DataType::Float(..) => Some(TimeValues::Float(
            elements.map(|e| float(e, order)).collect(),
        )),
        _ => None,
    }
}
