//! Files that hold different variables over the same coordinates: which of them belong together, and whether all
//! of them tell the same times.
//!
//! Files that hold the same data variables are one part, which is joined like any series. Parts that share a
//! variable but no step are one part too: there a variable is missing in some files, which is not a merge.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::cf::geographic_of;
use crate::combine::input::{Input, Series, has_dimension, split};
use crate::combine::refusal::Disagreement;
use crate::combine::time::Clock;
use crate::combine::timeline::{Mark, Timeline};
use crate::combine::{CombineOptions, Missing};

/// What to do about times that the files of one variable have and those of another lack.
const CURE: &str =
    "give the files of every variable for the same times, or combine the variables on their own";

/// Files that are joined with each other before they are merged with those of other variables.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    /// Paths of the data variables that its files hold.
    pub variables: BTreeSet<String>,
    /// Places of its files in the order of the series, ascending.
    pub members: Vec<usize>,
    /// Places of files of other parts that lend it their times, where its variables read as fill values.
    pub guests: Vec<usize>,
}

impl Part {
    /// A name for messages: its first variable.
    fn name(&self, clock: &str) -> String {
        self.variables
            .first()
            .cloned()
            .unwrap_or_else(|| clock.to_owned())
    }

    /// Places of members and guests, in the order of the series.
    pub(super) fn places(&self) -> Vec<usize> {
        let mut places: Vec<usize> = self.members.iter().chain(&self.guests).copied().collect();
        places.sort_unstable();
        places
    }
}

impl Timeline<'_> {
    /// The parts to join: one, unless files with different variables are to be merged.
    pub(super) fn parts(&self, options: &CombineOptions) -> Vec<Part> {
        if !options.merge_variables || self.files.len() < 2 {
            let members = (0..self.files.len()).collect();
            return vec![Part {
                members,
                ..Part::default()
            }];
        }
        let mut by_variables: BTreeMap<BTreeSet<String>, Vec<usize>> = BTreeMap::new();
        for (place, file) in self.files.iter().enumerate() {
            let variables = data_variables(file, self.dim);
            by_variables.entry(variables).or_default().push(place);
        }
        let parts = by_variables
            .into_iter()
            .map(|(variables, members)| Part {
                variables,
                members,
                guests: Vec::new(),
            })
            .collect();
        let mut parts = self.united(parts);
        if options.missing == Missing::Fill {
            self.invite(&mut parts);
        }
        // Bounds have the units of their time, so that both come from one part where any has bounds.
        parts.sort_by_key(|part| {
            (
                std::cmp::Reverse(self.bounds_count(part)),
                part.members.first().copied(),
            )
        });
        parts
    }

    fn bounds_count(&self, part: &Part) -> usize {
        let first = part
            .members
            .first()
            .and_then(|place| self.files.get(*place));
        let bounds = |clock: &&Clock| {
            let array = first.and_then(|file| file.array(&clock.path));
            array.is_some_and(|array| {
                ["bounds", "climatology"]
                    .iter()
                    .any(|key| array.attributes.contains_key(*key))
            })
        };
        self.clocks.iter().filter(bounds).count()
    }

    /// Parts that share a variable and no step are one series in which variables are missing here and there.
    fn united(&self, parts: Vec<Part>) -> Vec<Part> {
        let mut out: Vec<Part> = Vec::new();
        for part in parts {
            let continues = |other: &&mut Part| {
                !other.variables.is_disjoint(&part.variables) && self.follow(other, &part)
            };
            match out.iter_mut().find(continues) {
                Some(other) => {
                    other.variables.extend(part.variables);
                    other.members.extend(part.members);
                    other.members.sort_unstable();
                }
                None => out.push(part),
            }
        }
        out
    }

    /// Whether both parts have steps, and none in common.
    fn follow(&self, a: &Part, b: &Part) -> bool {
        let clock = self.clocks.first();
        let (a, b) = (self.steps(clock, &a.members), self.steps(clock, &b.members));
        let known: HashSet<&Mark> = a.iter().collect();
        !a.is_empty() && !b.is_empty() && !b.iter().any(|step| known.contains(step))
    }

    /// Lends a part the files of others whose steps it lacks altogether.
    fn invite(&self, parts: &mut [Part]) {
        let Some(clock) = self.clocks.first() else {
            return;
        };
        for part in parts {
            let mut known: HashSet<Mark> =
                self.steps(Some(clock), &part.members).into_iter().collect();
            for place in 0..self.files.len() {
                let steps = self.marks(clock, place);
                let is_new = !steps.is_empty() && steps.iter().all(|step| !known.contains(step));
                if !known.is_empty() && is_new {
                    known.extend(steps);
                    part.guests.push(place);
                }
            }
        }
    }

    /// All parts must have the same steps along each clock.
    pub(super) fn check(&self, parts: &[Part], faults: &mut Vec<Disagreement>) {
        if parts.len() < 2 {
            return;
        }
        if self.clocks.is_empty() {
            faults.extend(self.without_clock(parts));
        }
        for clock in self.clocks {
            let timed: Vec<&Part> = parts
                .iter()
                .filter(|part| self.runs_along(part, clock))
                .collect();
            let axis = |part: &Part| self.steps(Some(clock), &part.places());
            let Some(first) = timed.first().map(|part| axis(part)) else {
                continue;
            };
            if first.is_empty() || timed.iter().any(|part| axis(part) != first) {
                self.disagree(&timed, clock, faults);
            }
        }
    }

    /// Says of each part which steps of the others it lacks.
    fn disagree(&self, timed: &[&Part], clock: &Clock, faults: &mut Vec<Disagreement>) {
        for part in timed {
            let axis = self.steps(Some(clock), &part.places());
            if axis.is_empty() {
                faults.extend(self.untold(part, &clock.path));
                continue;
            }
            let known: HashSet<&Mark> = axis.iter().collect();
            let others = timed.iter().filter(|other| !std::ptr::eq(**other, *part));
            for place in others.flat_map(|other| other.members.iter()) {
                faults.extend(self.lacking(part, clock, *place, &known));
            }
        }
    }

    /// Whether a part has a variable whose steps a clock tells.
    fn runs_along(&self, part: &Part, clock: &Clock) -> bool {
        let files = part
            .members
            .iter()
            .filter_map(|place| self.files.get(*place));
        let mut arrays = files.flat_map(|file| file.dataset.root.walk());
        arrays.any(|(path, array)| {
            array.dimension_names.iter().any(|name| name == self.dim)
                && self
                    .clock_of(&path)
                    .is_some_and(|own| own.path == clock.path)
        })
    }

    fn without_clock(&self, parts: &[Part]) -> Option<Disagreement> {
        let mut along = parts.iter().filter(|part| {
            let first = part
                .members
                .first()
                .and_then(|place| self.files.get(*place));
            first.is_some_and(|file| has_dimension(file, self.dim))
        });
        along.next()?;
        self.untold(along.next()?, self.dim)
    }

    /// A part whose steps nobody can lay beside those of others.
    fn untold(&self, part: &Part, clock: &str) -> Option<Disagreement> {
        let file = self.files.get(*part.members.first()?)?;
        let problem =
            "is missing, so that nothing tells how its steps lie beside those of other variables";
        let fault = Disagreement::new("variable_missing", &file.name, clock, problem);
        Some(fault.with_cure("add the coordinate, or combine the variables on their own"))
    }

    /// Steps of a file that the files of another part do not have.
    fn lacking(
        &self,
        part: &Part,
        clock: &Clock,
        place: usize,
        known: &HashSet<&Mark>,
    ) -> Option<Disagreement> {
        let file = self.files.get(place)?;
        let steps = self.marks(clock, place);
        let mut absent = steps.iter().filter(|step| !known.contains(step));
        let first = absent.next()?;
        let count = absent.count().saturating_add(1);
        let name = part.name(&clock.path);
        let inside = count == steps.len() && lies_within(&steps, known);
        let fault = if inside {
            let problem = format!("has {}, which no file of {name} has", first.shown());
            Disagreement::new("coord_mismatch", &file.name, &clock.path, &problem)
        } else {
            let problem = format!(
                "is missing for {count} of {} steps, the first {}: no file that holds it has them",
                steps.len(),
                first.shown()
            );
            Disagreement::new("variable_missing", &file.name, &name, &problem)
        };
        Some(fault.with_cure(CURE).with_values("absent", first.shown()))
    }
}

/// Whether the steps of a file begin inside the span of others.
fn lies_within(steps: &[Mark], known: &HashSet<&Mark>) -> bool {
    let Some(Mark::Time(first)) = steps.first() else {
        return false;
    };
    let times = || {
        known.iter().filter_map(|mark| match mark {
            Mark::Time(instant) => Some(*instant),
            Mark::Number(_) => None,
        })
    };
    times().any(|time| time < *first) && times().any(|time| time > *first)
}

/// Paths of the variables of a file that are neither coordinates nor scalars; refused ones count.
pub(super) fn data_variables(file: &Input, dim: &str) -> BTreeSet<String> {
    let series = Series::new(vec![file], vec![0], dim);
    let is_data = |path: &str| {
        let Some(array) = file.array(path) else {
            return false;
        };
        let locates = series.coordinates.contains(path)
            || geographic_of(split(path).1, &array.attributes).is_some()
            || crate::combine::time::is_time(array);
        !locates && !array.shape.is_empty()
    };
    let mut paths: BTreeSet<String> = series
        .paths()
        .into_iter()
        .filter(|path| is_data(path))
        .collect();
    let skipped = file
        .dataset
        .skipped
        .iter()
        .filter(|skipped| skipped.is_data);
    paths.extend(skipped.map(|skipped| skipped.variable.trim_start_matches('/').to_owned()));
    paths
}

/// The file with nothing but what it shares with files of other variables, so that it can lend its times.
pub(super) fn guest(file: &Input, variables: &BTreeSet<String>, dim: &str) -> Input {
    let mut dataset = file.dataset.clone();
    for path in data_variables(file, dim) {
        if !variables.contains(&path) {
            crate::combine::input::remove(&mut dataset.root, &path);
        }
    }
    Input {
        dataset,
        name: file.name.clone(),
        base: file.base,
    }
}
