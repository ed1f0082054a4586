//! What the command line names: NetCDF files here, on web servers and in storage accounts, folders of them, and references.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use virtualize::{DecodeOptions, VirtualDataset, kerchunk};

use super::failure::Failure;
use super::parquet;
use crate::config::NamingConfig;
use crate::read::{self, IoCount, ReadError, ReadPolicy};
use crate::stores::blobs::{BlobError, BlobPath, HttpProblem, Named, NamedSources, RangeSource};
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
    file: &Named,
    sources: &NamedSources,
    options: DecodeOptions,
) -> Result<(VirtualDataset, IoCount), Failure> {
    let source = open(file, sources).await?;
    let policy = ReadPolicy::of(source.as_ref());
    read::read_metadata(source.as_ref(), options, policy)
        .await
        .map_err(|error| failure(file, &error))
}

/// A file as it is now.
pub(super) async fn open(
    file: &Named,
    sources: &NamedSources,
) -> Result<Arc<dyn RangeSource>, Failure> {
    // A local file is opened without reading; what is read ahead of another is what the first round reads.
    let ahead = ReadPolicy::default();
    let opened = sources.open_now(file, ahead.head, ahead.tail).await;
    opened.map_err(|error| failure(file, &error.into()))
}

/// What an error of reading means for the command.
pub(super) fn failure(file: &Named, error: &ReadError) -> Failure {
    let message = format!(
        "{file}: {}{}",
        crate::pipeline::chain(error),
        hint(file, error)
    );
    match (validate::fault_of(error), error) {
        (Some(fault), _) => Failure::rejected(&fault.code, message),
        (None, ReadError::Fetch(error)) => {
            Failure::failed(code_of(error), &std::io::Error::other(message))
        }
        (None, _) => Failure::failed("read_failed", &std::io::Error::other(message)),
    }
}

/// What somebody can do who is refused a blob that was asked for as a file on the web.
fn hint(file: &Named, error: &ReadError) -> &'static str {
    let (Named::Url(url), ReadError::Fetch(BlobError::Http(error))) = (file, error) else {
        return "";
    };
    // This is how private containers answer strangers.
    let is_refused = matches!(
        error.problem,
        HttpProblem::Denied(_) | HttpProblem::NotFound | HttpProblem::Status(409)
    );
    match is_refused && BlobPath::parse(&url.to_string(), "").is_ok() {
        true => "; set LANDFALL_CREDENTIAL=developer to read it as who is signed in",
        false => "",
    }
}

fn code_of(error: &BlobError) -> &'static str {
    match error {
        error if error.is_missing() => "not_found",
        error if error.is_changed() => "source_changed",
        BlobError::Denied { .. } => "access_denied",
        BlobError::NoContainer(_) => "not_found",
        BlobError::Http(error) => match error.problem {
            HttpProblem::NoRanges(_) => "no_byte_ranges",
            HttpProblem::Denied(_) => "access_denied",
            HttpProblem::Certificate(_) => "certificate_invalid",
            _ => "read_failed",
        },
        _ => "read_failed",
    }
}

/// A dataset from a NetCDF file or from its reference, whichever the file is.
pub(super) async fn read_file_or_reference(
    named: &Named,
    sources: &NamedSources,
    options: DecodeOptions,
) -> Result<(VirtualDataset, IoCount), Failure> {
    let file = match named {
        Named::File(file) => file,
        Named::Blob(path) if path.file_name().ends_with(".json") => {
            return read_stored_reference(named, path, sources).await;
        }
        _ => return read_file(named, sources, options).await,
    };
    let fail = |error: &dyn std::error::Error| {
        Failure::rejected(
            "reference_invalid",
            format!("{}: {}", file.display(), crate::pipeline::chain(error)),
        )
    };
    if parquet::is_set(file) {
        let dataset = crate::reference::read_tables(file).map_err(|error| fail(&error))?;
        return Ok((dataset, IoCount::default()));
    }
    if !is_reference(named) {
        return read_file(named, sources, options).await;
    }
    let bytes = tokio::fs::read(file).await.map_err(|error| fail(&error))?;
    let dataset = kerchunk::json::read(&bytes).map_err(|error| fail(&error))?;
    Ok((dataset, IoCount::default()))
}

/// Whether an input is a reference, by its name or as a Parquet set.
pub(super) fn is_reference(named: &Named) -> bool {
    match named {
        Named::File(file) => {
            let extension = file.extension();
            extension.is_some_and(|extension| extension == "json") || parquet::is_set(file)
        }
        Named::Blob(path) => path.file_name().ends_with(".json"),
        Named::Url(_) => false,
    }
}

/// The dataset of a reference that is a blob.
async fn read_stored_reference(
    named: &Named,
    path: &BlobPath,
    sources: &NamedSources,
) -> Result<(VirtualDataset, IoCount), Failure> {
    let read = async { sources.blobs(path)?.get(path).await };
    let (bytes, _) = read.await.map_err(|error| failure(named, &error.into()))?;
    let dataset = kerchunk::json::read(&bytes).map_err(|error| {
        let message = format!("{named}: {}", crate::pipeline::chain(&error));
        Failure::rejected("reference_invalid", message)
    })?;
    let count = IoCount {
        requests: 1,
        rounds: 1,
        bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
    };
    Ok((dataset, count))
}

/// The files that arguments mean, and how they are opened: a folder stands for the data files in it, unless it is a
/// Parquet reference.
pub(super) async fn expand(inputs: &[PathBuf]) -> Result<(Vec<Named>, NamedSources), Failure> {
    let config = NamingConfig::from_env()
        .map_err(|error| Failure::failed("configuration", error.as_ref()))?;
    let sources = NamedSources::new(config.clone());
    let mut files = Vec::new();
    for input in inputs {
        let named = Named::parse(input, &config)
            .map_err(|error| Failure::rejected("address_invalid", error.to_string()))?;
        match &named {
            Named::File(folder) if folder.is_dir() && !parquet::is_set(folder) => {
                files.extend(data_files(folder)?.into_iter().map(Named::File));
            }
            Named::Blob(folder) if folder.file_name().is_empty() => {
                let found = data_blobs(folder, &sources).await;
                files.extend(found.map_err(|error| failure(&named, &error.into()))?);
            }
            _ => files.push(named),
        }
    }
    match files.is_empty() {
        true => Err(Failure::rejected(
            "no_input",
            String::from("there is no NetCDF file in what was given"),
        )),
        false => Ok((files, sources)),
    }
}

/// The data files right in a folder of a container.
async fn data_blobs(folder: &BlobPath, sources: &NamedSources) -> Result<Vec<Named>, BlobError> {
    let found = sources.blobs(folder)?.list(folder).await?;
    let is_wanted =
        |path: &BlobPath| path.folder() == folder.folder() && crate::group::is_data_file(path);
    let paths = found.into_iter().map(|info| info.path).filter(is_wanted);
    Ok(paths.map(Named::Blob).collect())
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
        path.is_file() && crate::group::is_data_file(&BlobPath::new("local", "bronze", name))
    };
    files.retain(is_data);
    files.sort();
    Ok(files)
}
