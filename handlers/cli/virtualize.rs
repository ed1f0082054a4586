//! `landfall virtualize INPUT… -o OUTPUT`: the kerchunk reference of each file.

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde::Serialize;
use serde_json::{Value, json};
use virtualize::VirtualDataset;
use virtualize::dataset::{Format, Skipped};
use virtualize::rules::{self, Finding, Grade};

use super::failure::Failure;
use super::input;
use super::output::{OutputArguments, Written};
use crate::read::IoCount;
use crate::stores::blobs::{Named, NamedSources};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// NetCDF or HDF5 files, http(s) and az:// addresses of them, or folders of them.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// The reference to write, Parquet where its name ends in .parq; a folder when each of several inputs gets one.
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    form: OutputArguments,
    #[command(flatten)]
    read: input::ReadArguments,
    /// One JSON line per file on stdout.
    #[arg(long)]
    pub(super) json: bool,
}

/// Files elsewhere that are read at the same time.
const FILES_AT_ONCE: usize = 8;

/// Writes the references. Every input is tried; the last failure decides the exit code.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let (files, sources) = input::expand(&arguments.inputs).await?;
    let into_folder = files.len() > 1 || arguments.inputs.iter().any(|input| is_folder(input));
    let is_remote = files.iter().any(Named::is_remote);
    let works: Vec<_> = files
        .iter()
        .map(|file| {
            let output = match into_folder {
                true => arguments
                    .output
                    .join(name_of(file, arguments.form.extension())),
                false => arguments.output.clone(),
            };
            one(file, &sources, output, &arguments).boxed_local()
        })
        .collect();
    let mut done = stream::iter(works).buffered(if is_remote { FILES_AT_ONCE } else { 1 });
    let mut worst = None;
    while let Some(result) = done.next().await {
        if let Err(mut failure) = result {
            if into_folder {
                failure.report(arguments.json);
                failure.reported = true;
            }
            worst = Some(failure);
        }
    }
    worst.map_or(Ok(()), Err)
}

/// A folder of this machine, or of a container.
fn is_folder(input: &Path) -> bool {
    input.is_dir() || input.to_string_lossy().ends_with('/')
}

/// As in silver: `a.nc` becomes `a.json`, any other name gets `.json` appended.
fn name_of(file: &Named, extension: &str) -> PathBuf {
    let name = file.file_name();
    PathBuf::from(format!(
        "{}.{extension}",
        name.strip_suffix(".nc").unwrap_or(&name)
    ))
}

async fn one(
    file: &Named,
    sources: &NamedSources,
    output: PathBuf,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let options = arguments.read.decode_options();
    let (dataset, io) = input::read_file(file, sources, options).await?;
    let written = arguments.form.write(&output, &dataset)?;
    match arguments.json {
        true => Summary::of(&dataset, &output, &written, io).print()?,
        false => print(&dataset, &output, &written),
    }
    Ok(())
}

/// The line of a file. It is written as it stands: as a value it would take a kilobyte for each of many variables.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    dimensions: Value,
    findings: Vec<Finding>,
    format: Format,
    io: IoCount,
    nc_url: Option<&'a str>,
    parquet_ref_url: Option<String>,
    ref_size_bytes: u64,
    ref_url: String,
    skipped: &'a [Skipped],
    variables: Vec<String>,
}

impl<'a> Summary<'a> {
    fn of(dataset: &'a VirtualDataset, output: &Path, written: &Written, io: IoCount) -> Self {
        let arrays = dataset.root.walk().into_iter();
        Self {
            dimensions: dimensions(dataset),
            findings: rules::findings(dataset),
            format: dataset.format,
            io,
            nc_url: dataset.sources.first().map(|source| source.url.as_str()),
            parquet_ref_url: url_of(written),
            ref_size_bytes: written.size,
            ref_url: format!("file://{}", absolute(output).display()),
            skipped: &dataset.skipped,
            variables: arrays.map(|(name, _)| name).collect(),
        }
    }

    fn print(&self) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = serde_json::to_writer(&mut out, self).map_err(io::Error::from);
        let written = written
            .and_then(|()| writeln!(out))
            .and_then(|()| out.flush());
        written.map_err(|error| Failure::failed("write_failed", &error))
    }
}

/// Lengths of the dimensions of the root group.
pub(super) fn dimensions(dataset: &VirtualDataset) -> Value {
    dataset
        .root
        .dimensions
        .iter()
        .map(|(name, dimension)| (name.clone(), json!(dimension.length)))
        .collect()
}

pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The Parquet set that was written beside JSON, as a URL.
pub(super) fn url_of(written: &Written) -> Option<String> {
    let beside = written.beside.as_deref()?;
    Some(format!("file://{}", absolute(beside).display()))
}

pub(super) fn print_beside(written: &Written) {
    if let Some(beside) = &written.beside {
        println!("  beside it, as Parquet: {}", beside.display());
    }
}

fn print(dataset: &VirtualDataset, output: &Path, written: &Written) {
    println!(
        "{}: {} variables, {} chunks, {} bytes",
        output.display(),
        dataset.root.walk().len(),
        dataset.chunk_count(),
        written.size
    );
    print_beside(written);
    for skipped in &dataset.skipped {
        println!("  without {}: {}", skipped.variable, skipped.reason);
    }
    for finding in dataset.findings.iter().filter(|f| f.grade > Grade::Info) {
        println!("  {}: {}", finding.code, finding.message);
    }
}
