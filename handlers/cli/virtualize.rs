//! `landfall virtualize INPUT… -o OUTPUT`: the kerchunk reference of each file.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use virtualize::{VirtualDataset, kerchunk};

use super::failure::Failure;
use super::input;
use crate::read::IoCount;
use crate::validate;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// NetCDF or HDF5 files, or folders of them.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// The reference to write; a folder when there are several inputs.
    #[arg(short, long)]
    output: PathBuf,
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
            arguments.output.join(name_of(file))
        } else {
            arguments.output.clone()
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
fn name_of(file: &Path) -> PathBuf {
    let name = file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    PathBuf::from(format!(
        "{}.json",
        name.strip_suffix(".nc").unwrap_or(&name)
    ))
}

async fn one(file: &Path, output: &Path, arguments: &Arguments) -> Result<(), Failure> {
    let (dataset, io) = input::read_file(file, arguments.read.decode_options()).await?;
    let size = write_with(output, |out| kerchunk::json::write(&dataset, out))?;
    match arguments.json {
        true => println!("{}", summary(&dataset, output, size, io)),
        false => print(&dataset, output, size),
    }
    Ok(())
}

/// Writes a document as a whole.
pub(super) fn write(output: &Path, document: &[u8]) -> Result<(), Failure> {
    write_with(output, |mut file| file.write_all(document))
}

/// Writes beside the target and renames, so that nobody reads a part of it.
fn write_with<T>(
    output: &Path,
    document: impl FnOnce(File) -> io::Result<T>,
) -> Result<T, Failure> {
    let fail = |error: io::Error| {
        let message = format!("could not write {}: {error}", output.display());
        Failure::failed("write_failed", &io::Error::other(message))
    };
    if let Some(folder) = output
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    let temporary = output.with_added_extension("tmp");
    let written = File::create(&temporary).and_then(document);
    let renamed = written.and_then(|written| {
        std::fs::rename(&temporary, output)?;
        Ok(written)
    });
    renamed.map_err(|error| {
        std::fs::remove_file(&temporary).ok();
        fail(error)
    })
}

fn summary(dataset: &VirtualDataset, output: &Path, size: u64, io: IoCount) -> Value {
    let (findings, _) = validate::validate(
        dataset,
        &crate::stores::ledger::ProcessingOptions::default(),
    );
    json!({
        "nc_url": dataset.sources.first().map(|source| source.url.as_str()),
        "ref_url": format!("file://{}", absolute(output).display()),
        "format": dataset.format,
        "dimensions": dimensions(dataset),
        "variables": dataset.root.walk().into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "skipped": dataset.skipped,
        "findings": findings,
        "ref_size_bytes": size,
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

fn print(dataset: &VirtualDataset, output: &Path, size: u64) {
    let arrays = dataset.root.walk();
    let chunks: usize = arrays.iter().map(|(_, array)| array.chunks.len()).sum();
    println!(
        "{}: {} variables, {chunks} chunks, {size} bytes",
        output.display(),
        arrays.len()
    );
    for skipped in &dataset.skipped {
        println!("  without {}: {}", skipped.variable, skipped.reason);
    }
}
