//! Where and in which form the command line writes references.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use virtualize::VirtualDataset;
use virtualize::kerchunk::json;
use virtualize::kerchunk::parquet::{DEFAULT_RECORD_SIZE, MAX_RECORD_SIZE};

use super::failure::Failure;
use super::parquet;
use crate::reference;

/// What is written, the same for every command that writes references.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OutputArguments {
    /// The reference to write, Parquet where its name ends in .parq; a folder when each of several inputs gets one.
    #[arg(short, long)]
    pub(super) output: PathBuf,
    /// Form of the reference, whatever its name. Not given, Parquet is written beside JSON past 100000 chunks.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Chunks in one table of Parquet.
    #[arg(long, default_value_t = DEFAULT_RECORD_SIZE, value_parser = clap::value_parser!(u64).range(1..=MAX_RECORD_SIZE))]
    record_size: u64,
}

/// Form of a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One JSON document.
    Json,
    /// A folder of Parquet tables.
    Parquet,
}

/// What was written.
#[derive(Debug)]
pub(super) struct Written {
    /// Size of what was asked for, in bytes.
    pub(super) size: u64,
    /// The Parquet set that stands beside a large JSON document.
    pub(super) beside: Option<PathBuf>,
}

impl OutputArguments {
    /// The ending of references in a folder.
    pub(super) fn extension(&self) -> &'static str {
        match self.format {
            Some(Format::Parquet) => "parq",
            Some(Format::Json) | None => "json",
        }
    }

    /// Writes the reference of a dataset.
    pub(super) fn write(
        &self,
        target: &Path,
        dataset: &VirtualDataset,
    ) -> Result<Written, Failure> {
        if self.format_of(target) == Format::Parquet {
            let size = parquet::write(target, dataset, self.record_size)?;
            return Ok(Written { size, beside: None });
        }
        let beside = match self.format.is_none() && reference::wants_tables(dataset) {
            true => Some(beside(target)),
            false => None,
        };
        if let Some(beside) = &beside {
            parquet::write(beside, dataset, self.record_size)?;
        }
        let size = write_document(target, dataset)?;
        Ok(Written { size, beside })
    }

    fn format_of(&self, target: &Path) -> Format {
        let extension = target.extension().and_then(|extension| extension.to_str());
        match (self.format, extension) {
            (Some(format), _) => format,
            (None, Some("parq" | "parquet")) => Format::Parquet,
            (None, _) => Format::Json,
        }
    }
}

/// `….parq` for `….json`, as in silver.
fn beside(document: &Path) -> PathBuf {
    match document.extension() {
        Some(extension) if extension == "json" => document.with_extension("parq"),
        _ => document.with_added_extension("parq"),
    }
}

/// Writes beside the target and renames, so that nobody reads a part of it.
fn write_document(output: &Path, dataset: &VirtualDataset) -> Result<u64, Failure> {
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
    let written = File::create(&temporary).and_then(|out| json::write(dataset, out));
    let renamed = written.and_then(|size| {
        std::fs::rename(&temporary, output)?;
        Ok(size)
    });
    renamed.map_err(|error| {
        std::fs::remove_file(&temporary).ok();
        fail(error)
    })
}
