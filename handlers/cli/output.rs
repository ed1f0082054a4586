//! Where and in which form the command line writes references.

use std::io;
use std::path::{Path, PathBuf};

use virtualize::VirtualDataset;
use virtualize::kerchunk::parquet::{DEFAULT_RECORD_SIZE, MAX_RECORD_SIZE};

use super::failure::Failure;
use super::parquet;
use crate::reference::{Draft, Form};

/// What is written, the same for every command that writes references.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OutputArguments {
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
        let draft = Draft::write(self.form(target)?, dataset);
        let draft = draft.map_err(|error| failure(target, &error))?;
        self.keep(target, &draft)
    }

    /// Under which names the reference is written before it gets its own.
    pub(super) fn form(&self, target: &Path) -> Result<Form, Failure> {
        let temporary =
            |path: &Path| path.with_added_extension(format!("{}.tmp", std::process::id()));
        let (document, tables) = match (self.format_of(target), self.format) {
            (Format::Parquet, _) => (None, Some(target.to_owned())),
            (Format::Json, None) => (Some(target), Some(beside(target))),
            (Format::Json, Some(_)) => (Some(target), None),
        };
        if let (None, Some(tables)) = (document, &tables) {
            parquet::check_target(tables)?;
        }
        Ok(Form {
            document: document.map(temporary),
            tables: tables.as_deref().map(temporary),
            record_size: self.record_size,
        })
    }

    /// Puts what was written in its place: the document last, so that nobody finds it without its tables.
    pub(super) fn keep(&self, target: &Path, draft: &Draft) -> Result<Written, Failure> {
        let fail = |error| failure(target, &error);
        let is_table = self.format_of(target) == Format::Parquet;
        let mut written = Written {
            size: draft.size(),
            beside: None,
        };
        if let Some(tables) = draft.tables() {
            let place = if is_table {
                target.to_owned()
            } else {
                beside(target)
            };
            parquet::check_target(&place)?;
            parquet::replace(tables, &place).map_err(fail)?;
            written.beside = Some(place).filter(|_| !is_table);
        }
        if let Some(document) = draft.document() {
            std::fs::rename(document, target).map_err(fail)?;
        }
        Ok(written)
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

pub(super) fn failure(target: &Path, error: &io::Error) -> Failure {
    let message = format!("could not write {}: {error}", target.display());
    Failure::failed("write_failed", &io::Error::other(message))
}
