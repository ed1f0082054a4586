//! `landfall virtualize INPUT… -o OUTPUT`: the kerchunk reference of each file.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use virtualize::VirtualDataset;

use super::failure::Failure;
use super::input;
use super::output::{OutputArguments, Written};
use crate::read::IoCount;
use crate::validate;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// NetCDF or HDF5 files, or folders of them.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    read: input::ReadArguments,
    /// One JSON line per file on stdout.
    #[arg(long)]
    pub(super) json: bool,
}

/// Writes the references. Every input is tried; the last failure decides the exit code.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let files = input::expand(&arguments.inputs)?;
    let into_folder = files.len() > 1 || arguments.inputs.iter().any(|input| input.is_dir());
    let mut worst = None;
    for file in &files {
        let output = if into_folder {
            let output = &arguments.output;
            output.output.join(name_of(file, output.extension()))
        } else {
            arguments.output.output.clone()
        };
        if let Err(mut failure) = one(file, &output, &arguments).await {
            if into_folder {
                failure.report(arguments.json);
                failure.reported = true;
            }
            worst = Some(failure);
        }
    }
    worst.map_or(Ok(()), Err)
}

/// As in silver: `a.nc` becomes `a.json`, any other name gets `.json` appended.
fn name_of(file: &Path, extension: &str) -> PathBuf {
    let name = file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    PathBuf::from(format!(
        "{}.{extension}",
        name.strip_suffix(".nc").unwrap_or(&name)
    ))
}

async fn one(file: &Path, output: &Path, arguments: &Arguments) -> Result<(), Failure> {
    let (dataset, io) = input::read_file(file, arguments.read.decode_options()).await?;
    let written = arguments.output.write(output, &dataset)?;
    match arguments.json {
        true => println!("{}", summary(&dataset, output, &written, io)),
        false => print(&dataset, output, &written),
    }
    Ok(())
}

fn summary(dataset: &VirtualDataset, output: &Path, written: &Written, io: IoCount) -> Value {
    let (findings, _) = validate::validate(
        dataset,
        &crate::stores::ledger::ProcessingOptions::default(),
    );
    json!({
        "nc_url": dataset.sources.first().map(|source| source.url.as_str()),
        "ref_url": format!("file://{}", absolute(output).display()),
        "parquet_ref_url": url_of(written),
        "format": dataset.format,
        "dimensions": dimensions(dataset),
        "variables": dataset.root.walk().into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "skipped": dataset.skipped,
        "findings": findings,
        "ref_size_bytes": written.size,
        "io": io,
    })
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
}
