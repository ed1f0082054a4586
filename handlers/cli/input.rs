//! What the command line names: NetCDF files, folders of them, and references.

use std::path::{Path, PathBuf};

use virtualize::{DecodeOptions, VirtualDataset, kerchunk};

use super::failure::Failure;
use super::parquet;
use crate::read::{self, IoCount, ReadError, ReadPolicy};
use crate::stores::blobs::{BlobError, PinnedBlob};
use crate::validate;

/// How files are read, the same for every command that reads them.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ReadArguments {
    /// Dimension along which files are, or will be, joined; its coordinate is inlined.
    #[arg(long, default_value = "time")]
    pub(super) concat_dim: String,
    /// Largest variable that is inlined, in bytes.
    #[arg(long, default_value_t = 1 << 20)]
    pub(super) inline_max_bytes: u64,
}

impl ReadArguments {
    /// The decoder's options.
    pub(super) fn decode_options(&self) -> DecodeOptions {
        DecodeOptions::along(&self.concat_dim, self.inline_max_bytes)
    }
}

/// The virtual dataset of a NetCDF or HDF5 file, with what reading it cost.
pub(super) async fn read_file(
    file: &Path,
    options: DecodeOptions,
) -> Result<(VirtualDataset, IoCount), Failure> {
    let source = open(file).await?;
    read::read_metadata(&source, options, ReadPolicy::local())
        .await
        .map_err(|error| failure(file, &error))
}

/// A file as it is now.
pub(super) async fn open(file: &Path) -> Result<PinnedBlob, Failure> {
    PinnedBlob::open_file(file)
        .await
        .map_err(|error| failure(file, &error.into()))
}

/// What an error of reading means for the command.
pub(super) fn failure(file: &Path, error: &ReadError) -> Failure {
    let message = format!("{}: {}", file.display(), crate::pipeline::chain(error));
    match validate::fault_of(error) {
        Some(fault) => Failure::rejected(&fault.code, message),
        None => {
            let code = match error {
                ReadError::Fetch(BlobError::NotFound(_)) => "not_found",
                ReadError::Fetch(BlobError::Changed(_)) => "source_changed",
                _ => "read_failed",
            };
            let source = std::io::Error::other(message);
            Failure::failed(code, &source)
        }
    }
}

/// A dataset from a NetCDF file or from its reference, whichever the file is.
pub(super) async fn read_file_or_reference(
    file: &Path,
    options: DecodeOptions,
) -> Result<(VirtualDataset, IoCount), Failure> {
    let fail = |error: &dyn std::error::Error| {
        Failure::rejected(
            "reference_invalid",
            format!("{}: {}", file.display(), crate::pipeline::chain(error)),
        )
    };
    if parquet::is_set(file) {
        let dataset = parquet::read(file).map_err(|error| fail(&error))?;
        return Ok((dataset, IoCount::default()));
    }
    let is_reference = file
        .extension()
        .is_some_and(|extension| extension == "json");
    if !is_reference {
        return read_file(file, options).await;
    }
    let bytes = tokio::fs::read(file).await.map_err(|error| fail(&error))?;
    let dataset = kerchunk::json::read(&bytes).map_err(|error| fail(&error))?;
    Ok((dataset, IoCount::default()))
}

/// The files that arguments mean: a folder stands for the data files in it, unless it is a Parquet reference.
pub(super) fn expand(inputs: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for input in inputs {
        match input.is_dir() && !parquet::is_set(input) {
            true => files.extend(data_files(input)?),
            false => files.push(input.clone()),
        }
    }
    match files.is_empty() {
        true => Err(Failure::rejected(
            "no_input",
            String::from("there is no NetCDF file in what was given"),
        )),
        false => Ok(files),
    }
}

fn data_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries =
        std::fs::read_dir(folder).map_err(|error| Failure::failed("read_failed", &error))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    let is_data = |path: &PathBuf| {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        path.is_file()
            && crate::group::is_data_file(&crate::stores::blobs::BlobPath::new(
                "local", "bronze", name,
            ))
    };
    files.retain(is_data);
    files.sort();
    Ok(files)
}
