//! Stage 5, second half: joins the references of a series, writes the document, and proves it. SPEC §7.

mod intake;
mod prove;
mod sources;
mod verdict;

pub use intake::Intake;
pub use prove::{Proof, read_clocks};
pub use sources::{SourceState, ensure_unchanged, states};
pub use verdict::{load_verdict, parse_verdict, render_verdict, store_verdict, verdict_name};

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use virtualize::combine::verify::{Mismatch, Verdict, VerifyOptions, VerifyReport};
use virtualize::combine::{CombineError, CombineOptions, Combined, Combiner, Missing, Step};
use virtualize::kerchunk::KerchunkError;
use virtualize::{ByteRange, DecodeOptions, Source, SourceId, VirtualDataset, VirtualGroup};

use crate::read::{self, IoCount, ReadError, ReadPolicy};
use crate::reference::{self, Draft, Form, ReferenceError};
use crate::stores::blobs::{BlobError, Blobs, RangeSource, Sources};
use crate::stores::ledger::{Fault, ProcessingOptions, SourceFile};

/// Files that are read at the same time by one combine.
const FILES_AT_ONCE: usize = 8;

/// Why a series could not be joined, or the join not be proven.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The files cannot be joined.
    #[error(transparent)]
    Combine(#[from] CombineError),
    /// A reference could not be read or written.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A reference describes another version of its file than the series has.
    #[error("the reference of {file} describes another version of it")]
    Superseded {
        /// The file.
        file: String,
    },
    /// The options of the series do not let a file in.
    #[error("{file}: {}", .fault.message)]
    Refused {
        /// The file.
        file: String,
        /// What speaks against it.
        fault: Box<Fault>,
    },
    /// A source could not be read.
    #[error("could not read {file}")]
    Source {
        /// The file.
        file: String,
        /// What the store said.
        #[source]
        source: BlobError,
    },
    /// A source could not be decoded again.
    #[error("could not decode {file} again")]
    Decode {
        /// The file.
        file: String,
        /// Why not.
        #[source]
        source: ReadError,
    },
    /// Files are not what was recorded of them.
    #[error("the sources have changed: {}", files.join("; "))]
    SourceChanged {
        /// Each file with what has changed.
        files: Vec<String>,
    },
    /// A concat coordinate that lies in the files cannot be decoded.
    #[error("{variable} cannot be decoded")]
    Clock {
        /// Its path.
        variable: String,
        /// Why not.
        #[source]
        source: virtualize::zarr::CodecError,
    },
    /// The join would take more memory than it may.
    #[error("MemoryBudgetExceeded: the join needs {needed} MB, LANDFALL_MEMORY_MB is {budget}")]
    MemoryBudgetExceeded {
        /// Megabytes that it needs.
        needed: u64,
        /// Megabytes that it may take.
        budget: u64,
    },
    /// The document does not say what the sources say.
    #[error("the joined reference is wrong: {}", first_of(.0))]
    Unproven(Vec<Mismatch>),
    /// The written document cannot be read back.
    #[error("the joined reference cannot be read back")]
    ReadBack(#[from] KerchunkError),
}

fn first_of(mismatches: &[Mismatch]) -> String {
    let first = mismatches
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    match mismatches.len() {
        0 | 1 => first,
        more => format!("{first} (and {} more)", more - 1),
    }
}

impl JoinError {
    /// The fault of the input; `None` when something else is at fault and another try may do.
    pub fn fault(&self) -> Option<Fault> {
        let (code, remediation) = match self {
            Self::Combine(CombineError::Refused(disagreements)) => {
                let first = disagreements.first();
                (
                    first.map_or("refused", |d| d.code),
                    first.map(|d| d.cure.clone()),
                )
            }
            Self::Refused { fault, .. } => (fault.code.as_str(), fault.remediation.clone()),
            Self::Combine(CombineError::UnknownVariable { .. }) => ("variable_missing", None),
            Self::Combine(_) => ("malformed", None),
            _ => return None,
        };
        Some(Fault {
            code: code.to_owned(),
            message: self.to_string(),
            remediation,
        })
    }

    /// Whether a source is no longer the version that the series has: a newer event comes.
    pub fn is_superseded(&self) -> bool {
        let changed = |error: &BlobError| error.is_changed() || error.is_missing();
        match self {
            Self::Superseded { .. } | Self::SourceChanged { .. } => true,
            Self::Source { source, .. } => changed(source),
            Self::Decode {
                source: ReadError::Fetch(error),
                ..
            } => changed(error),
            _ => false,
        }
    }
}

/// A joined series with its draft.
#[derive(Debug)]
pub struct Joined {
    /// The join; its dataset is what the draft says, if that was read back.
    pub combined: Combined,
    /// What was written.
    pub draft: Draft,
    /// What the verification covered; `None` if it was left out.
    pub report: Option<VerifyReport>,
    /// What the next verification may go on from.
    pub verdict: Option<Verdict>,
    /// What reading cost.
    pub io: IoCount,
}

/// How a join is verified.
#[derive(Debug)]
pub enum Verify {
    /// Not at all.
    No,
    /// Every file.
    Afresh,
    /// What has changed since an earlier verdict.
    Since(Verdict),
}

/// How the pure combiner is told what a person has asked for.
pub fn combine_options(options: &ProcessingOptions) -> CombineOptions {
    CombineOptions {
        concat_dim: options.concat_dim.clone(),
        coord_tolerance: options.coord_tolerance,
        drop_variables: options.drop_variables.clone(),
        missing: if options.missing == "fill" {
            Missing::Fill
        } else {
            Missing::Refuse
        },
        merge_variables: options.merge_variables,
        inline_max_bytes: options.inline_max_bytes,
    }
}

/// Takes in the files of a series, a few at a time, as they are loaded.
///
/// # Errors
///
/// [`JoinError::MemoryBudgetExceeded`] when the join would take more than the budget (in bytes), else that of a load.
pub async fn load_members(
    loads: Vec<BoxFuture<'_, Result<VirtualDataset, JoinError>>>,
    budget: Option<u64>,
) -> Result<Vec<VirtualDataset>, JoinError> {
    let mut intake = Intake::new(loads.len(), budget);
    let mut loads = stream::iter(loads).buffered(FILES_AT_ONCE * 4);
    while let Some(dataset) = loads.try_next().await? {
        intake.take(dataset)?;
    }
    Ok(intake.finish())
}

/// The reference of a member.
///
/// # Errors
///
/// [`JoinError::Superseded`] when it describes another version than the series has, else [`JoinError::Reference`].
pub async fn load_member(
    blobs: &Arc<dyn Blobs>,
    member: &SourceFile,
) -> Result<VirtualDataset, JoinError> {
    let at = blobs.silver(&reference::reference_name(&member.path));
    let dataset = reference::load(blobs, &at).await?;
    let described = dataset
        .sources
        .first()
        .and_then(|source| source.etag.as_deref());
    if described != Some(member.etag.as_str()) {
        return Err(JoinError::Superseded {
            file: member.path.file_name().to_owned(),
        });
    }
    Ok(dataset)
}

/// Joins datasets, writes the reference, and proves what it says against its sources.
///
/// The joined dataset is gone when the reference is read back: there is never more than one of it.
///
/// # Errors
///
/// [`JoinError`].
pub async fn join(
    inputs: Vec<VirtualDataset>,
    sources: &dyn Sources,
    options: CombineOptions,
    form: Form,
    verify: Verify,
) -> Result<Joined, JoinError> {
    let mut io = IoCount::default();
    let decode = DecodeOptions::along(&options.concat_dim, options.inline_max_bytes);
    let verified = VerifyOptions {
        concat_dim: options.concat_dim.clone(),
        drop_variables: options.drop_variables.clone(),
        ..VerifyOptions::default()
    };
    let mut combined = run(inputs, sources, options, &mut io).await?;
    let draft = Draft::write(form, &combined.dataset).map_err(ReferenceError::Write)?;
    let proof = Proof {
        sources,
        decode,
        verify: verified,
        goes_on: false,
        progress: &|_| {},
    };
    let proven = match verify {
        Verify::No => None,
        verify => {
            combined.dataset.root = VirtualGroup::default();
            combined.dataset = draft.read()?;
            proof.after_join(&combined.dataset, verify, &mut io).await?
        }
    };
    let (report, verdict) = proven.unzip();
    Ok(Joined {
        combined,
        draft,
        report,
        verdict: verdict.flatten(),
        io,
    })
}

/// What can be said of a joined dataset that was read back: its extent, its times, their calendar and step.
///
/// # Errors
///
/// [`JoinError`].
pub async fn describe(
    joined: VirtualDataset,
    sources: &dyn Sources,
    options: &ProcessingOptions,
) -> Result<Combined, JoinError> {
    let options = CombineOptions {
        // What was to be left out is not in it, and what was merged is one by now.
        drop_variables: Vec::new(),
        merge_variables: false,
        ..combine_options(options)
    };
    run(vec![joined], sources, options, &mut IoCount::default()).await
}

async fn run(
    inputs: Vec<VirtualDataset>,
    sources: &dyn Sources,
    options: CombineOptions,
    io: &mut IoCount,
) -> Result<Combined, JoinError> {
    let all: Vec<Source> = inputs
        .iter()
        .flat_map(|input| input.sources.iter().cloned())
        .collect();
    let mut combiner = Combiner::new(inputs, options)?;
    loop {
        match combiner.combine()? {
            Step::Done(combined) => return Ok(*combined),
            Step::NeedsData(needs) => {
                for (id, range, bytes) in fetch(&all, sources, &needs, io).await? {
                    combiner.push(id, range, bytes);
                }
            }
        }
    }
}

/// Bytes of one of several sources.
type Fetched = (SourceId, ByteRange, Bytes);

/// Fetches ranges of several sources, a few sources at a time.
/// Reads parts of the sources of a dataset.
///
/// # Errors
///
/// [`JoinError`] when a source cannot be read, or is not the version that the dataset names.
pub async fn read_parts(
    dataset: &VirtualDataset,
    sources: &dyn Sources,
    parts: &[(SourceId, ByteRange)],
) -> Result<Vec<Fetched>, JoinError> {
    fetch(&dataset.sources, sources, parts, &mut IoCount::default()).await
}

async fn fetch(
    all: &[Source],
    sources: &dyn Sources,
    needs: &[(SourceId, ByteRange)],
    io: &mut IoCount,
) -> Result<Vec<Fetched>, JoinError> {
    let mut by_source: std::collections::BTreeMap<SourceId, Vec<ByteRange>> =
        std::collections::BTreeMap::new();
    for (id, range) in needs {
        by_source.entry(*id).or_default().push(*range);
    }
    let mut fetches = Vec::with_capacity(by_source.len());
    for (id, ranges) in by_source {
        if let Some(source) = usize::try_from(id.0).ok().and_then(|id| all.get(id)) {
            fetches.push(fetch_source(id, source, sources, ranges).boxed());
        }
    }
    let fetched: Vec<(Vec<Fetched>, IoCount)> = stream::iter(fetches)
        .buffer_unordered(FILES_AT_ONCE)
        .try_collect()
        .await?;
    add_beside(io, fetched.iter().map(|(_, count)| *count));
    Ok(fetched.into_iter().flat_map(|(parts, _)| parts).collect())
}

async fn fetch_source(
    id: SourceId,
    source: &Source,
    sources: &dyn Sources,
    ranges: Vec<ByteRange>,
) -> Result<(Vec<Fetched>, IoCount), JoinError> {
    let fail = |error| JoinError::Source {
        file: file_name(&source.url).to_owned(),
        source: error,
    };
    let opened = sources.open(source).await.map_err(fail)?;
    let read = read::read_ranges(opened.as_ref(), &ranges).await;
    let (parts, count) = read.map_err(fail)?;
    let parts = ranges.into_iter().zip(parts);
    Ok((
        parts.map(|(range, bytes)| (id, range, bytes)).collect(),
        count,
    ))
}

/// Adds what reading several files at the same time has cost: its rounds are those of the deepest.
fn add_beside(io: &mut IoCount, counts: impl Iterator<Item = IoCount>) {
    let mut rounds = 0;
    for count in counts {
        io.add_beside(count);
        rounds = count.rounds.max(rounds);
    }
    io.rounds += rounds;
}

fn file_name(url: &str) -> &str {
    url.rsplit_once('/').map_or(url, |(_, name)| name)
}

async fn decode_again(
    source: &Source,
    sources: &dyn Sources,
    options: DecodeOptions,
) -> Result<(VirtualDataset, IoCount), JoinError> {
    let file = || file_name(&source.url).to_owned();
    let opened: Arc<dyn RangeSource> =
        sources
            .open(source)
            .await
            .map_err(|source| JoinError::Source {
                file: file(),
                source,
            })?;
    let policy = ReadPolicy::of(opened.as_ref());
    let read = read::read_metadata(opened.as_ref(), options, policy).await;
    read.map_err(|source| JoinError::Decode {
        file: file(),
        source,
    })
}

/// Path of a combined document inside silver. SPEC §7.
pub fn combined_name(dataset_id: &str, resource_id: &str, ordinal: i64, revision: i64) -> String {
    format!("refs/combined/{dataset_id}/{resource_id}/ord{ordinal}/r{revision}/combined.json")
}
