//! `landfall verify REF`: what a reference says of its sources against what these are now. SPEC §7, §12.
//!
//! Every source is looked up (version, length, time of the last change), decoded afresh, and compared: where each chunk
//! lies, how it is decoded, and a sample of the values that covers both ends of every file; with `--all` every chunk.

mod document;
#[cfg(feature = "libhdf5")]
mod libhdf5;
mod report;

use std::path::PathBuf;

use virtualize::combine::verify::{Verification, VerifyOptions, varying_dimension};
use virtualize::{DecodeOptions, Source, VirtualDataset};

use super::failure::Failure;
use super::progress;
use crate::combine::{JoinError, Proof, SourceState, read_clocks, states};
use crate::config::NamingConfig;
use crate::read::IoCount;
use crate::stores::blobs::{AsTheyAre, NamedSources};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The reference: a kerchunk JSON document or a folder of Parquet tables, here or on a web server.
    reference: PathBuf,
    /// Read and compare every chunk.
    #[arg(long)]
    all: bool,
    /// Compare HDF5 sources with what the HDF5 C library finds in them, too.
    #[arg(long, value_enum)]
    against: Option<Against>,
    /// Dimension along which the files were joined, where the reference does not show it.
    #[arg(long)]
    concat_dim: Option<String>,
    /// Variables of the sources that the reference leaves out on purpose.
    #[arg(long, value_delimiter = ',')]
    drop_variables: Vec<String>,
    /// JSON lines on stdout: one for each mismatch, then a summary.
    #[arg(long)]
    pub(super) json: bool,
}

/// A second opinion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Against {
    /// The HDF5 C library.
    Libhdf5,
}

/// What was found, with all that the report tells of it.
#[derive(Debug)]
struct Outcome {
    reference: String,
    sources: Vec<Source>,
    /// Files whose version the reference does not record.
    unpinned: Vec<String>,
    verification: Verification,
    second: Option<Second>,
    io: IoCount,
}

/// What a second opinion came to.
#[derive(Debug, Default, serde::Serialize)]
struct Second {
    /// Files that the library has read.
    files: usize,
    /// Variables whose chunk tables agree.
    tables: usize,
    /// Chunks whose decoded values agree.
    chunks: usize,
    /// Files and variables that it does not cover, each with the reason.
    not_covered: Vec<String>,
}

/// Verifies, and reports; a mismatch is exit code 3.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    crate::telemetry::init_terminal();
    if arguments.against.is_some() && cfg!(not(feature = "libhdf5")) {
        let message = "this program was built without the HDF5 C library; build it with \
            `cargo build --release --features libhdf5` (it takes cmake and some minutes)";
        return Err(Failure::rejected("not_built_in", message.to_owned()));
    }
    let config = NamingConfig::from_env()
        .map_err(|error| Failure::failed("configuration", error.as_ref()))?;
    let sources = NamedSources::new(config.clone());
    let mut combined = document::read(&arguments.reference, &config, &sources).await?;
    let outcome = verify(&mut combined, &arguments, &sources).await?;
    match report::tell(&outcome, arguments.json) {
        0 => Ok(()),
        count => {
            let message = format!(
                "{count} mismatches between {} and its sources",
                outcome.reference
            );
            let mut failure = Failure::rejected("mismatch", message);
            failure.reported = arguments.json;
            Err(failure)
        }
    }
}

async fn verify(
    combined: &mut VirtualDataset,
    arguments: &Arguments,
    sources: &NamedSources,
) -> Result<Outcome, Failure> {
    let is_foreign = combined.sources.iter().all(|source| source.length == 0);
    let dim = arguments
        .concat_dim
        .clone()
        .or_else(|| varying_dimension(combined));
    let dim = dim.unwrap_or_else(|| String::from("time"));
    let mut io = IoCount::default();
    let recorded: Vec<&Source> = combined.sources.iter().collect();
    let found = states(sources, &recorded, &mut io).await;
    let (as_they_are, bar) = (AsTheyAre(sources), progress::bar(combined.sources.len()));
    if is_foreign {
        let read = read_clocks(combined, &as_they_are, &dim, &mut io).await;
        read.map_err(|error| Failure::failed("read_failed", &error))?;
    }
    let proof = Proof {
        sources: &as_they_are,
        decode: DecodeOptions::along(&dim, 1 << 20),
        verify: VerifyOptions {
            concat_dim: dim,
            drop_variables: arguments.drop_variables.clone(),
            every_chunk: arguments.all,
            is_foreign,
            ..VerifyOptions::default()
        },
        goes_on: true,
        progress: &|done| bar.set_position(u64::try_from(done).unwrap_or(u64::MAX)),
    };
    unreachable(combined, &found)?;
    let proven = proof.of(combined, &mut io).await;
    bar.finish_and_clear();
    let mut verification =
        proven.map_err(|error: JoinError| Failure::failed("read_failed", &error))?;
    let unpinned = report::add_states(combined, &found, &mut verification);
    let second = match arguments.against {
        None => None,
        Some(Against::Libhdf5) => second(combined, arguments, sources, &mut verification).await?,
    };
    Ok(Outcome {
        reference: arguments.reference.display().to_string(),
        sources: combined.sources.clone(),
        unpinned,
        verification,
        second,
        io,
    })
}

#[cfg(feature = "libhdf5")]
async fn second(
    combined: &VirtualDataset,
    arguments: &Arguments,
    sources: &NamedSources,
    verification: &mut Verification,
) -> Result<Option<Second>, Failure> {
    libhdf5::compare(combined, arguments.all, sources, verification)
        .await
        .map(Some)
}

#[cfg(not(feature = "libhdf5"))]
async fn second(
    _combined: &VirtualDataset,
    _arguments: &Arguments,
    _sources: &NamedSources,
    _verification: &mut Verification,
) -> Result<Option<Second>, Failure> {
    Ok(None)
}

/// A store that does not answer is nobody's mismatch: exit code 1.
fn unreachable(combined: &VirtualDataset, found: &[SourceState]) -> Result<(), Failure> {
    for (source, state) in combined.sources.iter().zip(found) {
        if let SourceState::Unreachable(error) = state {
            let message = format!("{}: {}", source.url, crate::pipeline::chain(error));
            return Err(Failure::failed(
                "read_failed",
                &std::io::Error::other(message),
            ));
        }
    }
    Ok(())
}
