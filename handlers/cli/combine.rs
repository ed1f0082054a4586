//! `landfall combine INPUT… -o OUTPUT`, or `--serve`: joins the files of a series, or their references, into one.

mod served;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tempfile::TempDir;
use virtualize::combine::verify::Verdict;
use virtualize::combine::{CombineError, CombineOptions};
use virtualize::{Source, VirtualDataset};

use super::failure::Failure;
use super::output::{OutputArguments, Written};
use super::{input, progress, virtualize as files};
use crate::combine::{
    Intake, JoinError, Joined, Verify, combine_options, ensure_unchanged, parse_verdict,
    render_verdict, verdict_name,
};
use crate::read::IoCount;
use crate::reference::{Form, ReferenceError};
use crate::stores::blobs::{Named, NamedSources};
use crate::stores::ledger::ProcessingOptions;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// NetCDF files, http(s) and az:// addresses of them, folders of them, or their references.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// The reference to write, Parquet where its name ends in .parq.
    #[arg(short, long, required_unless_present = "serve")]
    output: Option<PathBuf>,
    #[command(flatten)]
    form: OutputArguments,
    #[command(flatten)]
    served: served::ServeArguments,
    #[command(flatten)]
    read: input::ReadArguments,
    /// Variables to leave out.
    #[arg(long, value_delimiter = ',')]
    drop_variables: Vec<String>,
    /// Largest absolute difference of coordinates that still counts as equal.
    #[arg(long, default_value_t = 0.0)]
    coord_tolerance: f64,
    /// What to do when a variable is absent in some files.
    #[arg(long, default_value = "refuse", value_parser = ["refuse", "fill"])]
    missing: String,
    /// Merge files that hold different variables over the same coordinates.
    #[arg(long)]
    merge_variables: bool,
    /// Do not prove the result against the sources.
    #[arg(long)]
    no_verify: bool,
    /// Keep the verdict beside the output (OUTPUT.verified.json), and verify only what has changed since the last one.
    #[arg(long, conflicts_with = "no_verify", requires = "output")]
    incremental: bool,
    /// One JSON line on stdout.
    #[arg(long)]
    pub(super) json: bool,
}

/// Joins the inputs, proves the join, writes it and serves it, as asked.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    crate::telemetry::init_terminal();
    let server = arguments.served.listen().await?;
    let (files, sources) = input::expand(&arguments.inputs).await?;
    let place = Place::of(&arguments)?;
    let inputs = take(&files, &sources, &arguments, &place.target).await?;
    check_references(&files, &inputs, &sources, &place.target).await?;
    let verdict = PathBuf::from(verdict_name(&place.target.to_string_lossy()));
    let verify = match (arguments.no_verify, arguments.incremental) {
        (true, _) => Verify::No,
        (false, true) => earlier(&verdict).map_or(Verify::Afresh, Verify::Since),
        (false, false) => Verify::Afresh,
    };
    let options = arguments.options();
    let joined = crate::combine::join(inputs, &sources, options, place.form.clone(), verify).await;
    let joined = joined.map_err(|error| failure(&error, &place.target))?;
    let written = match &arguments.output {
        Some(output) => Some(arguments.form.keep(output, &joined.draft)?),
        None => None,
    };
    if let Some(found) = joined.verdict.as_ref().filter(|_| arguments.incremental) {
        let kept = std::fs::write(&verdict, render_verdict(found));
        kept.map_err(|error| Failure::failed("write_failed", &error))?;
    }
    let outcome = Outcome {
        joined: &joined,
        written: arguments.output.as_deref().zip(written.as_ref()),
        url: server.as_ref().map(|server| server.url.as_str()),
    };
    match arguments.json {
        true => println!("{}", outcome.to_json()),
        false => outcome.print(),
    }
    if let Some(server) = server {
        server.run(joined.combined.dataset, sources).await;
    }
    Ok(())
}

impl Arguments {
    fn options(&self) -> CombineOptions {
        combine_options(&ProcessingOptions {
            concat_dim: self.read.concat_dim.clone(),
            coord_tolerance: self.coord_tolerance,
            drop_variables: self.drop_variables.clone(),
            missing: self.missing.clone(),
            merge_variables: self.merge_variables,
            inline_max_bytes: self.read.inline_max_bytes,
            ..ProcessingOptions::default()
        })
    }
}

/// Where the reference goes before it has its name: beside that, or into a folder that is gone at the end where it is
/// only served.
struct Place {
    target: PathBuf,
    form: Form,
    _folder: Option<TempDir>,
}

impl Place {
    fn of(arguments: &Arguments) -> Result<Self, Failure> {
        if let Some(output) = &arguments.output {
            return Ok(Self {
                target: output.clone(),
                form: arguments.form.form(output)?,
                _folder: None,
            });
        }
        let folder = TempDir::new().map_err(|error| Failure::failed("write_failed", &error))?;
        let target = folder.path().join("combined.json");
        Ok(Self {
            form: Form::of_document(target.clone()),
            target,
            _folder: Some(folder),
        })
    }
}

/// Reads the inputs, several at a time.
async fn take(
    files: &[Named],
    sources: &NamedSources,
    arguments: &Arguments,
    target: &Path,
) -> Result<Vec<VirtualDataset>, Failure> {
    let decode = arguments.read.decode_options();
    let reads = files
        .iter()
        .map(|file| input::read_file_or_reference(file, sources, decode.clone()).boxed());
    let mut reads = stream::iter(reads).buffered(8);
    let mut intake = Intake::new(files.len(), memory_budget()?);
    let bar = progress::bar(files.len());
    while let Some((dataset, _)) = reads.try_next().await? {
        let taken = intake.take(dataset);
        taken.map_err(|error| failure(&error, target))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(intake.finish())
}

/// References must describe their files as these are now; a file that is read itself is what it is.
async fn check_references(
    files: &[Named],
    inputs: &[VirtualDataset],
    sources: &NamedSources,
    output: &Path,
) -> Result<(), Failure> {
    let references = files
        .iter()
        .zip(inputs)
        .filter(|(file, _)| input::is_reference(file));
    let recorded: Vec<&Source> = references
        .flat_map(|(_, dataset)| &dataset.sources)
        .collect();
    let mut io = IoCount::default();
    let checked = ensure_unchanged(sources, &recorded, &mut io).await;
    checked.map_err(|error| failure(&error, output))
}

/// The verdict on what was written there before.
fn earlier(verdict: &Path) -> Option<Verdict> {
    parse_verdict(&std::fs::read(verdict).ok()?)
}

/// In a terminal there is no budget unless one is set.
fn memory_budget() -> Result<Option<u64>, Failure> {
    let budget = crate::config::memory_budget();
    budget.map_err(|error| Failure::failed("configuration", error.as_ref()))
}

fn failure(error: &JoinError, output: &Path) -> Failure {
    let message = crate::pipeline::chain(error);
    match error {
        JoinError::Combine(CombineError::Refused(disagreements)) => {
            let code = disagreements.first().map_or("refused", |first| first.code);
            let mut lines: Vec<String> = disagreements.iter().map(|d| d.message.clone()).collect();
            let cures: BTreeSet<&str> = disagreements.iter().map(|d| d.cure.as_str()).collect();
            lines.extend(cures.into_iter().map(|cure| format!("to cure it: {cure}")));
            let message = format!("the files cannot be joined:\n  {}", lines.join("\n  "));
            let mut failure = Failure::rejected(code, message);
            failure.details = Some(json!({"disagreements": disagreements}));
            failure
        }
        JoinError::Combine(CombineError::UnknownVariable { .. }) => {
            Failure::rejected("variable_missing", message)
        }
        JoinError::Combine(_) => Failure::rejected("malformed", message),
        JoinError::SourceChanged { .. } => Failure::rejected("source_changed", message),
        JoinError::Reference(ReferenceError::Write(error)) => super::output::failure(output, error),
        JoinError::MemoryBudgetExceeded { needed, budget } => {
            let mut failure = Failure::failed("MemoryBudgetExceeded", error);
            failure.details = Some(json!({"needed_mb": needed, "budget_mb": budget}));
            failure
        }
        JoinError::Unproven(_) => Failure::failed("unproven", error),
        _ => Failure::failed("combine_failed", error),
    }
}

/// What became of the inputs.
struct Outcome<'a> {
    joined: &'a Joined,
    /// The reference, where it was to be written.
    written: Option<(&'a Path, &'a Written)>,
    /// The store, where it is served.
    url: Option<&'a str>,
}

impl Outcome<'_> {
    fn to_json(&self) -> Value {
        let joined = self.joined;
        let dataset = &joined.combined.dataset;
        let at = |output| format!("file://{}", files::absolute(output).display());
        json!({
            "combined_ref_url": self.written.map(|(output, _)| at(output)),
            "parquet_ref_url": self.written.and_then(|(_, written)| files::url_of(written)),
            "zarr_url": self.url,
            "source_files": dataset.sources.iter().map(|source| source.url.as_str()).collect::<Vec<_>>(),
            "dimensions": files::dimensions(dataset),
            "variables": dataset.root.walk().into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "skipped": dataset.skipped,
            "findings": joined.combined.findings,
            "dropped_attributes": joined.combined.dropped_attributes,
            "time_range": joined.combined.time_range,
            "spatial_extent": joined.combined.spatial_extent,
            "verified": joined.report,
            "ref_size_bytes": joined.draft.size(),
            "io": joined.io,
        })
    }

    fn print(&self) {
        let combined = &self.joined.combined;
        let files = combined.dataset.sources.len();
        let (start, end) = combined.time_range.clone().unwrap_or_default();
        let size = self.joined.draft.size();
        match self.written {
            Some((output, _)) => print!("{}: ", output.display()),
            None => print!("not written: "),
        }
        println!("{files} files, {start} to {end}, {size} bytes");
        if let Some((_, written)) = self.written {
            files::print_beside(written);
        }
        for finding in &combined.findings {
            println!("  {}: {}", finding.code, finding.message);
        }
        println!("\nimport xarray as xr");
        match (self.url, self.written) {
            (Some(url), _) => println!("ds = xr.open_zarr(\"{url}\")\n\nserved until ctrl-C"),
            (None, Some((output, _))) => {
                println!(
                    "ds = xr.open_dataset(\"{}\", engine=\"kerchunk\")",
                    output.display()
                );
            }
            (None, None) => {}
        }
    }
}
