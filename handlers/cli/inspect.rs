//! `landfall inspect INPUT…`: what is in a file, how it is stored, and what a cold read of its metadata costs.
//!
//! `survey` reads the file as an object store would be read and counts, `report` is the result and the `--json`
//! document, `text` shows it to a person.

mod cdl;
mod report;
mod survey;
mod text;

use std::io::Write as _;
use std::path::PathBuf;

use super::failure::Failure;
use super::input;
use crate::stores::blobs::{Named, NamedSources};
use report::{ErrorReport, Report};
use survey::Survey;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// NetCDF or HDF5 files, http(s) and az:// addresses of them, or folders of them.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Show long attributes and the list of metadata ranges whole.
    #[arg(long)]
    full: bool,
    /// Time of one round trip to the object store, in milliseconds, for the cost of a cold read.
    #[arg(long, default_value_t = 30, value_name = "MS")]
    round_trip_ms: u64,
    #[command(flatten)]
    read: input::ReadArguments,
    /// One JSON document per file on stdout, each on a line of its own.
    #[arg(long)]
    pub(super) json: bool,
}

/// Shows the files. Every input is looked at; the last failure decides the exit code.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let (files, sources) = input::expand(&arguments.inputs).await?;
    let mut worst = None;
    for file in files {
        if let Err(mut failure) = one(&file, &sources, &arguments).await {
            if !failure.reported {
                failure.report(arguments.json);
                failure.reported = true;
            }
            worst = Some(failure);
        }
    }
    worst.map_or(Ok(()), Err)
}

/// A damaged file is shown as far as it can be read, with its error; the exit code tells as well.
async fn one(file: &Named, sources: &NamedSources, arguments: &Arguments) -> Result<(), Failure> {
    let source = input::open(file, sources).await?;
    let survey = Survey::of(source.as_ref(), &arguments.read.decode_options()).await;
    let (survey, error) = match survey {
        Ok(survey) => (survey, None),
        Err((survey, error)) => (survey, Some(error)),
    };
    let failure = error.as_ref().map(|error| input::failure(file, error));
    let told = failure
        .as_ref()
        .zip(error.as_ref())
        .map(|(failure, error)| ErrorReport {
            code: failure.code.clone(),
            message: crate::pipeline::chain(error),
        });
    let name = file.to_string();
    let report = Report::new(name, survey, told, arguments.round_trip_ms);
    show(&report, arguments).map_err(|error| Failure::failed("write_failed", &error))?;
    match failure {
        None => Ok(()),
        Some(failure) => Err(Failure {
            reported: arguments.json,
            ..failure
        }),
    }
}

fn show(report: &Report, arguments: &Arguments) -> std::io::Result<()> {
    // Styles are left out where stdout is no terminal, or where `NO_COLOR` asks for that.
    let mut out = anstream::stdout().lock();
    match arguments.json {
        true => writeln!(out, "{}", serde_json::to_string(report)?),
        false => write!(out, "{}", text::render(report, arguments.full)),
    }
}
