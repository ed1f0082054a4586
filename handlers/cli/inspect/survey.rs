//! Reads the metadata of a file as that of an object is read, and finds where it lies and what reading it costs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use virtualize::inspect::{Container, Inspection, Probe, merged, without};
use virtualize::rules::Finding;
use virtualize::{ByteRange, DecodeError, DecodeOptions, Source, VirtualDataset};

use crate::read::{self, IoCount, ReadError, ReadPolicy};
use crate::stores::blobs::{BlobError, Opened, RangeSource};

/// Asks for what the decoder wants and nothing else: one request a range, no reading ahead.
const EXACT: ReadPolicy = ReadPolicy {
    whole: 0,
    head: 0,
    tail: 0,
    gap: 0,
    spare: 0,
    page: 0,
    ahead: 0,
    request: u64::MAX,
};

/// What reading a file brought.
#[derive(Debug)]
pub(super) struct Survey {
    /// The file.
    pub(super) source: Source,
    /// The dataset, where the file could be decoded.
    pub(super) dataset: Option<VirtualDataset>,
    /// What the decoder noted.
    pub(super) notes: Inspection,
    /// What reading cost with the policy for object stores.
    pub(super) cost: IoCount,
    /// Ranges that the decoder asked for, without those that hold data: merged.
    pub(super) metadata: Vec<ByteRange>,
    /// Bytes of data among what it asked for: the values of inlined variables.
    pub(super) values_bytes: u64,
    /// Bytes that the policy reads from the head and the tail of a file in the first round.
    pub(super) windows: (u64, u64),
}

impl Survey {
    /// Surveys a file.
    ///
    /// # Errors
    ///
    /// What was found, and the error that ended the decoding or stands for a file that is too short.
    pub(super) async fn of(
        source: &dyn RangeSource,
        options: &DecodeOptions,
    ) -> Result<Self, (Self, ReadError)> {
        let (probe, policy) = (Probe::default(), ReadPolicy::default());
        let noting = DecodeOptions {
            probe: Some(probe.clone()),
            ..options.clone()
        };
        let rehearsal = Rehearsal::of_opened(source);
        let outcome = read::read_metadata(&rehearsal, noting.clone(), policy).await;
        let (notes, cost) = (probe.take(), rehearsal.count());
        // The bytes are at hand now, so that this costs nothing even where the file is far away.
        let exact = Rehearsal {
            inner: &rehearsal,
            ..Rehearsal::new(source)
        };
        let noting = DecodeOptions {
            speculate: false,
            ..noting
        };
        let exact_outcome = read::read_metadata(&exact, noting, EXACT).await;
        drop(exact_outcome);
        let asked = exact.asked();
        let variables = notes.variables.iter();
        let data = merged(
            variables
                .flat_map(|variable| variable.storage.extents.clone())
                .collect(),
        );
        let metadata = match notes.container {
            // What else was read between the values fills them up.
            Some(Container::Classic { header_bytes, .. }) => vec![ByteRange::new(0, header_bytes)],
            _ => without(&asked, &data),
        };
        let expected = notes.expected_length;
        let actual = source.describe().length;
        let mut survey = Self {
            source: source.describe(),
            dataset: None,
            notes,
            cost,
            values_bytes: total(&asked).saturating_sub(total(&metadata)),
            metadata,
            windows: (policy.head.max(policy.whole_of(actual)), policy.tail),
        };
        // What else is wrong with a file that was cut off follows from that.
        let short = expected.map(|expected| DecodeError::Truncated { expected, actual }.into());
        let error = match outcome {
            Ok((dataset, _)) => {
                survey.dataset = Some(dataset);
                short
            }
            Err(error) => Some(short.unwrap_or(error)),
        };
        match error {
            None => Ok(survey),
            Some(error) => Err((survey, error)),
        }
    }
}

impl ReadPolicy {
    /// The length of a file that the first round reads whole, else 0.
    const fn whole_of(&self, length: u64) -> u64 {
        if length <= self.head + self.tail {
            length
        } else {
            0
        }
    }
}

/// Bytes of ranges that do not overlap.
pub(super) fn total(ranges: &[ByteRange]) -> u64 {
    ranges.iter().map(|range| range.len).sum()
}

/// A source that counts what is asked of it and asks no byte twice.
struct Rehearsal<'a> {
    inner: &'a dyn RangeSource,
    opened: Opened,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    count: IoCount,
    pages: BTreeMap<u64, Bytes>,
}

impl<'a> Rehearsal<'a> {
    fn new(inner: &'a dyn RangeSource) -> Self {
        Self {
            inner,
            opened: Opened::default(),
            log: Mutex::default(),
        }
    }

    /// The same, with what opening the source has brought.
    fn of_opened(inner: &'a dyn RangeSource) -> Self {
        let opened = inner.opened();
        let mut log = Log::default();
        log.count.requests = opened.requests;
        log.count.rounds = opened.rounds;
        for (range, bytes) in &opened.parts {
            log.count.bytes += range.len;
            log.keep(range.start, bytes.clone());
        }
        Self {
            inner,
            opened,
            log: Mutex::new(log),
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> IoCount {
        self.log().count
    }

    fn asked(&self) -> Vec<ByteRange> {
        let log = self.log();
        let ranges = log.pages.iter();
        merged(
            ranges
                .map(|(start, bytes)| page_range(*start, bytes))
                .collect(),
        )
    }
}

impl Log {
    /// What one of the pages that start nearest before a range has of it, if that is all.
    fn page(&self, range: ByteRange) -> Option<Bytes> {
        let mut near = self.pages.range(..=range.start).rev().take(8);
        let (start, bytes) =
            near.find(|(start, bytes)| range.end() <= page_range(**start, bytes).end())?;
        let from = usize::try_from(range.start.checked_sub(*start)?).ok()?;
        let until = from.checked_add(usize::try_from(range.len).ok()?)?;
        (until <= bytes.len()).then(|| bytes.slice(from..until))
    }

    fn keep(&mut self, start: u64, bytes: Bytes) {
        let kept = self.pages.entry(start).or_default();
        if kept.len() < bytes.len() {
            *kept = bytes;
        }
    }
}

fn page_range(start: u64, bytes: &Bytes) -> ByteRange {
    ByteRange::new(start, u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

#[async_trait]
impl RangeSource for Rehearsal<'_> {
    fn describe(&self) -> Source {
        self.inner.describe()
    }

    fn opened(&self) -> Opened {
        self.opened.clone()
    }

    fn findings(&self) -> Vec<Finding> {
        self.inner.findings()
    }

    async fn ranges(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, BlobError> {
        let known: Vec<Option<Bytes>> = {
            let log = self.log();
            ranges.iter().map(|range| log.page(*range)).collect()
        };
        let pairs = ranges.iter().zip(&known);
        let missing: Vec<ByteRange> = pairs
            .filter(|(_, bytes)| bytes.is_none())
            .map(|(range, _)| *range)
            .collect();
        let mut fetched = match missing.is_empty() {
            true => Vec::new(),
            false => self.inner.ranges(&missing).await?,
        }
        .into_iter();
        let parts: Vec<Bytes> = known
            .into_iter()
            .filter_map(|bytes| bytes.or_else(|| fetched.next()))
            .collect();
        let mut log = self.log();
        log.count.rounds += 1;
        log.count.requests += u64::try_from(ranges.len()).unwrap_or(u64::MAX);
        log.count.bytes += total(ranges);
        for (range, bytes) in ranges.iter().zip(&parts) {
            log.keep(range.start, bytes.clone());
        }
        Ok(parts)
    }
}
