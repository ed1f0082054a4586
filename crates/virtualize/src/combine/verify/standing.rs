//! Verdicts that are kept: a file need not be compared again while neither it nor what a reference says of it has
//! changed. SPEC §7.
//!
//! What a reference says of a file goes into a digest: metadata that decoding depends on, inlined values of the file's
//! steps, and the place of each of its chunks counted from the file's own first step, so that files that come before
//! it change nothing. A verdict holds for one version of the file; whether that is the current one is for the caller
//! to ask the store.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::arrays::is_whole_inline;
use super::times::marks_of;
use super::{Verifier, VerifyOptions, source_id};
use crate::combine::agree::PACKING;
use crate::combine::input::{array_at, axis_along, clock_above, is_named};
use crate::combine::time::clock_paths;
use crate::combine::timeline::Mark;
use crate::dataset::{Source, VirtualArray, VirtualDataset, product};
use crate::manifest::ChunkEntry;
use crate::zarr::DataType;

/// Raised when digests, or what a verification covers, are made in another way.
const VERSION: u32 = 1;

/// What a verification found right, for the next one to go on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    version: u32,
    concat_dim: String,
    drop_variables: Vec<String>,
    /// In the order of the sources.
    pub files: Vec<FileVerdict>,
    /// Digests of variables without the concat dimension, with the URL of the file that they were compared with.
    still: BTreeMap<String, (String, String)>,
}

/// What was found right of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVerdict {
    /// The file at the version that was compared.
    pub source: Source,
    /// Its first step and their number, by the path of the concat coordinate.
    spans: BTreeMap<String, (String, u64)>,
    /// Digest of what the reference said of it.
    digest: String,
}

/// What of a reference need not be compared again.
#[derive(Debug)]
pub struct Standing {
    /// By place among the sources: a verdict that stands if the file is still that version.
    files: BTreeMap<usize, FileVerdict>,
    spans: Vec<Option<Steps>>,
    still: BTreeMap<String, usize>,
}

/// First step and number of steps of one file, by the path of the concat coordinate.
type Steps = BTreeMap<String, (u64, u64)>;

impl Standing {
    /// The places of the files whose verdict may stand.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.files.keys().copied()
    }
}

/// What of `verdict` stands for `combined`. Files beside one that must be compared are compared as well, so that both
/// sides of every boundary that is new are read.
pub fn standing(combined: &VirtualDataset, options: &VerifyOptions, verdict: Verdict) -> Standing {
    let mut standing = Standing {
        files: BTreeMap::new(),
        spans: vec![None; combined.sources.len()],
        still: BTreeMap::new(),
    };
    let is_same = verdict.version == VERSION
        && verdict.concat_dim == options.concat_dim
        && verdict.drop_variables == options.drop_variables;
    if !is_same {
        return standing;
    }
    let places = Places::of(combined, &options.concat_dim);
    let mut known: BTreeMap<&str, &FileVerdict> = BTreeMap::new();
    known.extend(
        verdict
            .files
            .iter()
            .map(|file| (file.source.url.as_str(), file)),
    );
    let candidates: Vec<Option<&FileVerdict>> = combined
        .sources
        .iter()
        .map(|source| known.get(source.url.as_str()).copied())
        .map(|file| file.filter(|file| places.steps(file).is_some()))
        .collect();
    let spans: Vec<Option<Steps>> = candidates
        .iter()
        .map(|file| file.and_then(|file| places.steps(file)))
        .collect();
    let digests = Digests::of(combined, options, &spans);
    for (at, (file, digest)) in candidates.into_iter().zip(digests.files).enumerate() {
        let source = combined.sources.get(at);
        let stands = file.filter(|file| {
            source.is_some_and(|source| is_same_version(source, &file.source))
                && digest.as_ref() == Some(&file.digest)
        });
        standing.files.extend(stands.map(|file| (at, file.clone())));
    }
    standing.spans = spans;
    standing.keep_still(combined, &verdict.still, &digests.still);
    standing.read_neighbours();
    standing
}

impl Standing {
    /// Variables without the concat dimension stand with the file that they were compared with; where one does not,
    /// the first file is compared again, and if that does not hold it, every file.
    fn keep_still(
        &mut self,
        combined: &VirtualDataset,
        recorded: &BTreeMap<String, (String, String)>,
        now: &BTreeMap<String, String>,
    ) {
        for (path, digest) in now {
            let owner = recorded.get(path).filter(|(_, known)| known == digest);
            let url = owner.map(|(url, _)| url.as_str());
            let at = combined
                .sources
                .iter()
                .position(|source| Some(source.url.as_str()) == url);
            match at.filter(|at| self.files.contains_key(at)) {
                Some(at) => drop(self.still.insert(path.clone(), at)),
                None => drop(self.files.remove(&0)),
            }
        }
        // The first file vouched for some of them, and is compared again now.
        let files = &self.files;
        self.still.retain(|_, at| files.contains_key(at));
    }

    /// A file whose steps touch or share those of a file that is compared is compared too.
    fn read_neighbours(&mut self) {
        let reads: BTreeSet<usize> = (0..self.spans.len())
            .filter(|at| !self.files.contains_key(at))
            .collect();
        let mut beside: BTreeSet<usize> = BTreeSet::new();
        for at in &reads {
            beside.extend(at.checked_sub(1));
            beside.insert(at + 1);
        }
        let covered = covered(reads.iter().filter_map(|at| self.spans.get(*at)?.as_ref()));
        for at in self.files.keys() {
            let steps = self.spans.get(*at).and_then(Option::as_ref);
            if steps.is_some_and(|steps| shares(steps, &covered)) {
                beside.insert(*at);
            }
        }
        self.files.retain(|at, _| !beside.contains(at));
        let files = &self.files;
        self.still.retain(|_, at| files.contains_key(at));
    }

    /// The verdict on a file, if it stands.
    pub fn of(&self, at: usize) -> Option<&FileVerdict> {
        self.files.get(&at)
    }
}

/// By concat coordinate the steps that any of some files covers: disjoint stretches from and to, in order.
fn covered<'a>(files: impl Iterator<Item = &'a Steps>) -> BTreeMap<&'a str, Vec<(u64, u64)>> {
    let mut covered: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for (clock, (start, len)) in files.flatten() {
        let stretch = (*start, start.saturating_add(*len));
        covered.entry(clock).or_default().push(stretch);
    }
    for stretches in covered.values_mut() {
        stretches.sort_unstable();
        stretches.dedup_by(|next, last| {
            let joins = next.0 <= last.1;
            if joins {
                last.1 = last.1.max(next.1);
            }
            joins
        });
    }
    covered
}

/// Whether a file has one of those steps.
fn shares(steps: &Steps, covered: &BTreeMap<&str, Vec<(u64, u64)>>) -> bool {
    steps.iter().any(|(clock, (start, len))| {
        let stretches = covered.get(clock.as_str()).map_or(&[][..], Vec::as_slice);
        let at = stretches.partition_point(|(_, end)| end <= start);
        let first = stretches.get(at);
        first.is_some_and(|(from, _)| *from < start.saturating_add(*len))
    })
}

fn is_same_version(a: &Source, b: &Source) -> bool {
    a.etag.is_some() && a.etag == b.etag && a.length == b.length
}

impl Verifier<'_> {
    /// Begins with what stands of an earlier verification.
    #[must_use]
    pub fn going_on_from(mut self, standing: &Standing) -> Self {
        self.still.extend(standing.still.clone());
        self
    }

    /// Lets the recorded verdict on the next source stand; the caller has seen that the source is that version.
    pub fn stands(&mut self, standing: &Standing) {
        let at = self.spans.len();
        self.report.files += 1;
        self.report.files_standing += 1;
        let steps = standing.spans.get(at).and_then(Option::as_ref);
        let mut spans = super::Spans::new();
        for (clock, (start, len)) in steps.into_iter().flatten() {
            if let Some(first) = self.mark_at(clock, *start) {
                spans.insert(clock.clone(), (first, *start, *len));
            }
        }
        self.note_order(at, &spans);
        self.spans.push(Some(spans));
        for (path, array) in self.arrays.clone() {
            self.tally_standing(&path, array, at);
        }
    }

    /// Counts what a verdict that stands says of one variable.
    fn tally_standing(&mut self, path: &str, array: &VirtualArray, at: usize) {
        let Some(axis) = axis_along(array, &self.options.concat_dim) else {
            if self.still.get(path) == Some(&at) {
                self.found.insert(path.to_owned());
                self.tally(path).chunks += u64::try_from(array.chunks.len()).unwrap_or(u64::MAX);
            }
            return;
        };
        let clock = self.clock_of(path);
        let spans = self.spans.get(at).and_then(Option::as_ref);
        let span = clock.and_then(|clock| spans?.get(&clock).copied());
        let Some((_, start, len)) = span else {
            return;
        };
        let given = match is_whole_inline(array) {
            true => 1,
            false => given_by(array, axis, (start, len), at),
        };
        if given > 0 {
            self.found.insert(path.to_owned());
        }
        let tally = self.tally(path);
        tally.shared |= given > 0 && start < tally.end;
        tally.end = tally.end.max(start.saturating_add(len));
        tally.chunks = tally.chunks.saturating_add(given);
    }

    /// A file in the order of its first time.
    fn note_order(&mut self, at: usize, spans: &super::Spans) {
        let Some(path) = self.clocks.first().cloned() else {
            return;
        };
        let first = match spans.get(&path) {
            Some((Mark::Time(first), ..)) => *first,
            _ => return,
        };
        if self.last.is_some_and(|last| first < last) {
            let message = String::from("its times do not follow those of the files before");
            self.note("order", at, &path, message);
        }
        self.last = Some(first);
    }

    fn mark_at(&self, clock: &str, step: u64) -> Option<Mark> {
        self.steps.get(clock)?.mark(step)
    }

    /// What may be recorded; `None` where files cannot be told apart by their steps or versions.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        let spans: Vec<Option<Steps>> = self
            .spans
            .iter()
            .map(|spans| {
                let steps = spans.as_ref()?.iter();
                Some(
                    steps
                        .map(|(clock, (_, start, len))| (clock.clone(), (*start, *len)))
                        .collect(),
                )
            })
            .collect();
        let digests = Digests::of(self.combined, &self.options, &spans);
        let sources = self.combined.sources.iter().zip(&self.spans);
        let files = sources.zip(digests.files).map(|((source, spans), digest)| {
            let steps = spans.as_ref()?.iter();
            let steps = steps.map(|(clock, (first, _, len))| (clock.clone(), (key(*first), *len)));
            Some(FileVerdict {
                source: source.clone(),
                spans: steps.collect(),
                digest: digest?,
            })
        });
        let owner = |(path, at): (&String, &usize)| {
            let url = self.combined.sources.get(*at)?.url.clone();
            let digest = digests.still.get(path)?.clone();
            Some((path.clone(), (url, digest)))
        };
        Some(Verdict {
            version: VERSION,
            concat_dim: self.options.concat_dim.clone(),
            drop_variables: self.options.drop_variables.clone(),
            files: files.collect::<Option<Vec<_>>>()?,
            still: self.still.iter().filter_map(owner).collect(),
        })
    }
}

/// A step in a form that is kept.
fn key(mark: Mark) -> String {
    match mark {
        Mark::Time(instant) => format!("{} {}", instant.calendar().name(), instant.micros()),
        Mark::Number(bits) => format!("{bits:016x}"),
    }
}

/// Where the steps of the concat coordinates stand, by their kept form.
struct Places(BTreeMap<String, BTreeMap<String, u64>>);

impl Places {
    fn of(combined: &VirtualDataset, dim: &str) -> Self {
        let clocks = clock_paths(std::iter::once(combined), dim).into_iter();
        let is_whole = |path: &String| array_at(&combined.root, path).is_some_and(is_whole_inline);
        let places = clocks.filter(is_whole).filter_map(|path| {
            let marks = marks_of(combined, &path)?.into_iter().map(key);
            Some((path, marks.zip(0..).collect()))
        });
        Self(places.collect())
    }

    /// The steps of a file; `None` where it has none, or one is gone.
    fn steps(&self, file: &FileVerdict) -> Option<Steps> {
        let mut steps = Steps::new();
        for (clock, (first, len)) in &file.spans {
            let start = *self.0.get(clock)?.get(first)?;
            steps.insert(clock.clone(), (start, *len));
        }
        (!steps.is_empty()).then_some(steps)
    }
}

/// Chunks of a variable in the steps of a file that come from it, or stand in the reference.
fn given_by(array: &VirtualArray, axis: usize, span: (u64, u64), at: usize) -> u64 {
    let mut count = 0u64;
    each_chunk(array, axis, span, |_, entry| {
        let is_own = match entry {
            ChunkEntry::Virtual { source, .. } => *source == source_id(at),
            ChunkEntry::Inline(_) => true,
            ChunkEntry::Missing => false,
        };
        count = count.saturating_add(u64::from(is_own));
    });
    count
}

/// Calls `visit` with every chunk in the steps of a file, numbered within them; `None` where a chunk is not in them
/// alone at its start.
fn each_chunk(
    array: &VirtualArray,
    axis: usize,
    (start, len): (u64, u64),
    mut visit: impl FnMut(u64, &ChunkEntry),
) -> Option<()> {
    let chunk = *array.chunk_shape.get(axis)?;
    if start.checked_rem(chunk)? != 0 {
        return None;
    }
    let grid = array.chunk_grid();
    let inner = grid.get(axis + 1..).and_then(product)?;
    let (outer, along) = (grid.get(..axis).and_then(product)?, *grid.get(axis)?);
    let (first, count) = (start / chunk, len.div_ceil(chunk));
    let mut own = 0u64;
    for outer in 0..outer {
        let from = outer
            .checked_mul(along)?
            .checked_add(first)?
            .checked_mul(inner)?;
        for rest in 0..count.checked_mul(inner)? {
            visit(own, &array.chunks.get(from.checked_add(rest)?));
            own = own.saturating_add(1);
        }
    }
    Some(())
}

/// What a reference says of each file, and of the variables without the concat dimension.
struct Digests {
    files: Vec<Option<String>>,
    still: BTreeMap<String, String>,
}

impl Digests {
    fn of(combined: &VirtualDataset, options: &VerifyOptions, spans: &[Option<Steps>]) -> Self {
        let mut hashes: Vec<Option<Sha256>> = spans
            .iter()
            .map(|steps| steps.as_ref().map(|_| Sha256::new()))
            .collect();
        let version = |source: &Source| format!("{} {:?}", source.url, source.etag);
        let versions: Vec<String> = combined.sources.iter().map(version).collect();
        let mut still = BTreeMap::new();
        let clocks = clock_paths(std::iter::once(combined), &options.concat_dim);
        for (path, array) in combined.root.walk() {
            if is_named(&path, &options.drop_variables) {
                continue;
            }
            let head = head_of(&path, array, &options.concat_dim);
            let Some(axis) = axis_along(array, &options.concat_dim) else {
                still.insert(path, still_digest(&versions, array, &head));
                continue;
            };
            let clock = clock_above(&clocks, String::as_str, &path);
            let values = is_whole_inline(array)
                .then(|| super::times::plain_bytes(array))
                .flatten();
            for (hash, steps) in hashes.iter_mut().zip(spans) {
                let span = steps
                    .as_ref()
                    .zip(clock)
                    .and_then(|(steps, clock)| steps.get(clock));
                let fed = hash.take().zip(span).and_then(|(mut hash, span)| {
                    hash.update(&head);
                    let part = Part {
                        versions: &versions,
                        array,
                        axis,
                        span: *span,
                    };
                    match (&values, is_whole_inline(array)) {
                        (Some(values), true) => part.feed_values(values, &mut hash)?,
                        (None, true) => return None,
                        (_, false) => part.feed_chunks(&mut hash)?,
                    }
                    Some(hash)
                });
                *hash = fed;
            }
        }
        let files = hashes.into_iter().map(|hash| hash.map(shown)).collect();
        Self { files, still }
    }
}

/// The part of one variable that a file's steps are.
struct Part<'a> {
    versions: &'a [String],
    array: &'a VirtualArray,
    axis: usize,
    span: (u64, u64),
}

impl Part<'_> {
    fn feed_chunks(&self, hash: &mut Sha256) -> Option<()> {
        each_chunk(self.array, self.axis, self.span, |number, entry| {
            feed_entry(self.versions, number, entry, hash);
        })
    }

    /// The bytes of inlined values in the steps; strings are too odd to be worth it.
    fn feed_values(&self, values: &[u8], hash: &mut Sha256) -> Option<()> {
        let shape = &self.array.shape;
        let is_text = self.array.data_type == DataType::VlenString;
        let element = Some(self.array.data_type.size()).filter(|size| *size > 0 && !is_text)?;
        let row = shape
            .get(self.axis + 1..)
            .and_then(product)?
            .checked_mul(element)?;
        let total = shape.get(self.axis)?.checked_mul(row)?;
        let (start, len) = self.span;
        for outer in 0..shape.get(..self.axis).and_then(product)? {
            let from = outer
                .checked_mul(total)?
                .checked_add(start.checked_mul(row)?)?;
            let until = from.checked_add(len.checked_mul(row)?)?;
            let part = usize::try_from(from).ok()?..usize::try_from(until).ok()?;
            hash.update(values.get(part)?);
        }
        Some(())
    }
}

/// What decoding a variable depends on, its length along the concat dimension left aside.
fn head_of(path: &str, array: &VirtualArray, dim: &str) -> String {
    let lengths = array.dimension_names.iter().zip(&array.shape);
    let lengths: Vec<(&str, u64)> = lengths
        .map(|(name, len)| (name.as_str(), if name == dim { 0 } else { *len }))
        .collect();
    let is_plain = is_whole_inline(array);
    let chunks = if is_plain {
        None
    } else {
        Some(&array.chunk_shape)
    };
    let codecs: Vec<String> = array
        .codecs
        .iter()
        .map(|codec| codec.to_json().to_string())
        .collect();
    let meanings = PACKING.iter().chain(&["calendar", "bounds", "climatology"]);
    let meanings: Vec<_> = meanings.map(|name| array.attributes.get(*name)).collect();
    let data_type = array.data_type.to_json();
    let fill = &array.fill_value;
    format!("{path} {lengths:?} {chunks:?} {codecs:?} {data_type} {fill:?} {meanings:?}\n")
}

fn still_digest(versions: &[String], array: &VirtualArray, head: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(head);
    for (number, entry) in array.chunks.iter() {
        feed_entry(versions, number, &entry, &mut hash);
    }
    shown(hash)
}

fn feed_entry(versions: &[String], number: u64, entry: &ChunkEntry, hash: &mut Sha256) {
    hash.update(number.to_le_bytes());
    match entry {
        ChunkEntry::Missing => hash.update([0]),
        ChunkEntry::Inline(bytes) => {
            hash.update([1]);
            hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(bytes);
        }
        ChunkEntry::Virtual { source, range } => {
            hash.update([2]);
            let version = usize::try_from(source.0)
                .ok()
                .and_then(|at| versions.get(at));
            hash.update(version.map_or("", String::as_str));
            hash.update(range.start.to_le_bytes());
            hash.update(range.len.to_le_bytes());
        }
    }
}

fn shown(hash: Sha256) -> String {
    let digest = hash.finalize();
    digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
