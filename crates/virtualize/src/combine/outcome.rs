//! What a join results in: the groups with their attributes, and what can be said of the series.

use std::collections::{BTreeMap, HashMap};

use crate::cf;
use crate::combine::attributes;
use crate::combine::extent;
use crate::combine::input::{Series, has_axis, length_along};
use crate::combine::join::Notes;
use crate::combine::moments::Moments;
use crate::combine::parts::Part;
use crate::combine::time::Positions;
use crate::combine::timeline::{Mark, Timeline};
use crate::combine::{CombineError, Combined};
use crate::dataset::{Attributes, Format, VirtualArray, VirtualDataset, VirtualGroup};
use crate::rules::{Finding, Grade};

/// Gaps that are listed one by one.
const GAPS: usize = 20;

/// What the result is made from, beside the joined arrays.
pub(super) struct Outcome<'a> {
    pub series: &'a Series<'a>,
    pub timeline: Timeline<'a>,
    pub parts: &'a [Part],
    pub notes: Notes,
}

impl Outcome<'_> {
    /// The result, from the joined arrays.
    pub(super) fn finish(
        mut self,
        arrays: BTreeMap<String, VirtualArray>,
    ) -> Result<Combined, CombineError> {
        let mut dropped = Vec::new();
        let mut root = VirtualGroup::default();
        let groups: Vec<&VirtualGroup> = self
            .series
            .files
            .iter()
            .map(|file| &file.dataset.root)
            .collect();
        merge_groups(&mut root, &groups, "", &mut dropped);
        for (path, mut array) in arrays {
            self.merge_attributes(&path, &mut array, &mut dropped);
            insert(&mut root, &path, array);
        }
        set_lengths(&mut root, self.series.dim);
        let starts = self.starts();
        self.note_parts();
        let spatial_extent = extent::spatial_extent(&root);
        self.note_order();
        let axis = self.axis();
        self.note_gaps(&axis);
        let bounds = self.times(&axis).fold(None, |bounds, time| {
            Some((bounds.map_or(time, |(first, _)| first), time))
        });
        let date = |instant: &cf::Instant| instant.date_time().to_iso();
        let first = self.series.files.first();
        let format = first.map_or(Format::Netcdf4, |file| file.dataset.format);
        let mut skipped: Vec<_> = self
            .series
            .files
            .iter()
            .flat_map(|file| file.dataset.skipped.clone())
            .collect();
        skipped.sort_by(|a, b| a.variable.cmp(&b.variable));
        skipped.dedup_by(|a, b| a.variable == b.variable);
        let dataset = VirtualDataset {
            format,
            root,
            sources: self
                .series
                .files
                .iter()
                .flat_map(|file| file.dataset.sources.clone())
                .collect(),
            skipped,
            findings: self.notes.findings.clone(),
        };
        Ok(Combined {
            dataset,
            order: self.timeline.order.to_vec(),
            starts,
            time_range: bounds.map(|(first, last)| (date(&first), date(&last))),
            calendar: bounds.map(|(first, _)| first.calendar().name().to_owned()),
            step: cf::step_of(self.times(&axis)).map(cf::Step::to_iso),
            findings: self.notes.findings,
            dropped_attributes: dropped,
            spatial_extent,
        })
    }

    fn merge_attributes(&self, path: &str, array: &mut VirtualArray, dropped: &mut Vec<String>) {
        let arrays = self.series.arrays(path);
        let mut all: Vec<&Attributes> = arrays
            .into_iter()
            .flatten()
            .map(|array| &array.attributes)
            .collect();
        let own = array.attributes.clone();
        if let Some(first) = all.first_mut() {
            *first = &own;
        }
        let (merged, conflicts) = attributes::merge(&all);
        array.attributes = merged;
        dropped.extend(conflicts.iter().map(|name| format!("{path}:{name}")));
    }

    /// The first step of each file, along the shallowest concat coordinate or else the first variable.
    fn starts(&self) -> Vec<u64> {
        if self.parts.len() > 1 {
            return self.starts_by_time();
        }
        let clock = self.timeline.clocks.first().map(|clock| clock.path.clone());
        let along = |path: &String| {
            let first = self.series.first(path);
            first.is_some_and(|(_, array)| has_axis(array, self.series.dim))
        };
        let path = clock
            .or_else(|| self.series.paths().into_iter().find(along))
            .unwrap_or_default();
        let mut start = 0u64;
        let mut next = |len: u64| {
            let own = start;
            start = start.saturating_add(len);
            own
        };
        self.series
            .lengths(&path)
            .into_iter()
            .map(&mut next)
            .collect()
    }

    /// Where the first time of each file stands; files without times are there from the start.
    fn starts_by_time(&self) -> Vec<u64> {
        let Some(clock) = self.timeline.clocks.first() else {
            return vec![0; self.series.files.len()];
        };
        let steps = self.axis();
        let marks = steps
            .iter()
            .flat_map(|place| self.timeline.marks(clock, *place));
        let places: HashMap<Mark, u64> = marks.zip(0..).collect();
        let start = |place: usize| {
            let first = self.timeline.marks(clock, place).first().copied();
            first
                .and_then(|first| places.get(&first).copied())
                .unwrap_or(0)
        };
        (0..self.series.files.len()).map(start).collect()
    }

    /// Places of the files whose times make up the joined coordinate, which is every part's.
    fn axis(&self) -> Vec<usize> {
        let Some(clock) = self.timeline.clocks.first() else {
            return Vec::new();
        };
        let has_times = |places: &Vec<usize>| {
            let marks = |place: &usize| self.timeline.marks(clock, *place);
            places.iter().any(|place| !marks(place).is_empty())
        };
        let mut parts = self.parts.iter().map(Part::places);
        parts.find(has_times).unwrap_or_default()
    }

    /// Says which variables came from which files, where files were merged.
    fn note_parts(&mut self) {
        if self.parts.len() < 2 {
            return;
        }
        for part in self.parts {
            let names: Vec<&str> = part.variables.iter().map(String::as_str).collect();
            let message = format!(
                "{} comes from {} of {} files",
                names.join(", "),
                part.members.len(),
                self.series.files.len()
            );
            let finding = Finding::info("variables-merged", None, message);
            self.notes.findings.push(finding);
        }
    }

    /// Says that nothing tells the order of the files.
    fn note_order(&mut self) {
        if !self.timeline.clocks.is_empty() || self.timeline.order.len() < 2 {
            return;
        }
        let message = format!(
            "no coordinate along {} tells the order of the files; it is the order given",
            self.series.dim
        );
        self.notes.findings.push(Finding::graded(
            Grade::Warning,
            "no-concat-coordinate",
            None,
            message,
        ));
    }

    /// The times of the files at these places, if there is a concat coordinate that tells time.
    fn times<'s>(&'s self, places: &'s [usize]) -> impl Iterator<Item = cf::Instant> + Clone + 's {
        let clock = self.timeline.clocks.first();
        let order = places
            .iter()
            .filter_map(|place| self.timeline.order.get(*place));
        let positions =
            order.filter_map(move |at| clock.and_then(|clock| clock.positions.get(*at)));
        let moments = positions.filter_map(|positions| match positions {
            Positions::Instants(moments) => Some(moments),
            _ => None,
        });
        moments.flat_map(Moments::iter)
    }

    fn note_gaps(&mut self, axis: &[usize]) {
        let gaps = cf::gaps(self.times(axis));
        let Some(clock) = self.timeline.clocks.first() else {
            return;
        };
        let mut note = |message: String| {
            self.notes.findings.push(Finding::graded(
                Grade::Warning,
                "time-gap",
                Some(&clock.path),
                message,
            ));
        };
        for gap in gaps.iter().take(GAPS) {
            let (from, to) = (gap.from.date_time().to_iso(), gap.to.date_time().to_iso());
            note(format!(
                "nothing between {from} and {to}, at step {}",
                gap.index
            ));
        }
        if gaps.len() > GAPS {
            note(format!("and {} more gaps", gaps.len() - GAPS));
        }
    }
}

/// Groups, their attributes and dimensions, without arrays.
fn merge_groups(
    into: &mut VirtualGroup,
    all: &[&VirtualGroup],
    prefix: &str,
    dropped: &mut Vec<String>,
) {
    let attributes: Vec<&Attributes> = all.iter().map(|group| &group.attributes).collect();
    let (merged, conflicts) = attributes::merge(&attributes);
    into.attributes = merged;
    dropped.extend(conflicts.iter().map(|name| format!("{prefix}:{name}")));
    for group in all {
        for (name, dimension) in &group.dimensions {
            into.dimensions.entry(name.clone()).or_insert(*dimension);
        }
        for name in group.groups.keys() {
            into.groups.entry(name.clone()).or_default();
        }
    }
    for (name, inner) in &mut into.groups {
        let same: Vec<&VirtualGroup> = all
            .iter()
            .filter_map(|group| group.groups.get(name))
            .collect();
        merge_groups(inner, &same, &format!("{prefix}{name}/"), dropped);
    }
}

fn insert(group: &mut VirtualGroup, path: &str, array: VirtualArray) {
    match path.split_once('/') {
        Some((name, rest)) => insert(
            group.groups.entry(name.to_owned()).or_default(),
            rest,
            array,
        ),
        None => drop(group.arrays.insert(path.to_owned(), array)),
    }
}

/// The length of the concat dimension wherever it is declared, from an array that has it.
fn set_lengths(group: &mut VirtualGroup, dim: &str) {
    let below = group
        .walk()
        .into_iter()
        .find_map(|(_, array)| length_along(array, dim));
    if let (Some(dimension), Some(length)) = (group.dimensions.get_mut(dim), below) {
        dimension.length = length;
    }
    group
        .groups
        .values_mut()
        .for_each(|inner| set_lengths(inner, dim));
}
