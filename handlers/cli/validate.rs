//! `landfall validate INPUT…`: how well a file reads virtually, from its metadata alone. SPEC §4.

use std::path::PathBuf;

use serde_json::{Value, json};
use virtualize::rules::{self, Grade, Verdict};
use virtualize::{DecodeOptions, VirtualDataset};

use super::failure::Failure;
use super::{input, virtualize as files};
use crate::read::IoCount;
use crate::stores::blobs::{Named, NamedSources};
use crate::stores::ledger::ProcessingOptions;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// NetCDF or HDF5 files, http(s) addresses of them, or folders of them.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Reject files with critical findings (exit code 3).
    #[arg(long)]
    fail_on_chunking_warnings: bool,
    /// One JSON line per file on stdout.
    #[arg(long)]
    pub(super) json: bool,
}

/// Judges the files. Every input is looked at; the last failure decides the exit code.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let (sources, mut worst) = (NamedSources::default(), None);
    for file in input::expand(&arguments.inputs)? {
        if let Err(mut failure) = one(&file, &sources, &arguments).await {
            failure.report(arguments.json);
            failure.reported = true;
            worst = Some(failure);
        }
    }
    worst.map_or(Ok(()), Err)
}

async fn one(file: &Named, sources: &NamedSources, arguments: &Arguments) -> Result<(), Failure> {
    let (dataset, io) = input::read_file(file, sources, DecodeOptions::default()).await?;
    let verdict = rules::judge(&dataset);
    match arguments.json {
        true => println!("{}", report(&dataset, &verdict, io)),
        false => print(file, &verdict),
    }
    let options = ProcessingOptions {
        fail_on_chunking_warnings: arguments.fail_on_chunking_warnings,
        ..ProcessingOptions::default()
    };
    match crate::validate::validate(&dataset, &options).1 {
        Some(fault) => Err(Failure::rejected(
            &fault.code,
            format!("{file}: {}", fault.message),
        )),
        None => Ok(()),
    }
}

fn report(dataset: &VirtualDataset, verdict: &Verdict, io: IoCount) -> Value {
    json!({
        "nc_url": dataset.sources.first().map(|source| source.url.as_str()),
        "status": verdict.status,
        "recommendation": verdict.recommendation,
        "format": dataset.format,
        "dimensions": files::dimensions(dataset),
        "variables": verdict.variables,
        "warnings": verdict.findings.iter().filter(|f| f.grade > Grade::Info).collect::<Vec<_>>(),
        "findings": verdict.findings,
        "io": io,
    })
}

fn print(file: &Named, verdict: &Verdict) {
    println!("{file}: {}", word(json!(verdict.recommendation)));
    for facts in verdict.variables.iter().filter(|facts| facts.is_data) {
        println!(
            "  {:<24} {} {:?} in chunks of {:?}, {}, {} chunks{}",
            facts.name.trim_start_matches('/'),
            facts.dtype,
            facts.shape,
            facts.chunks,
            facts.compression.as_deref().unwrap_or("not compressed"),
            facts.chunk_count,
            if facts.tile_friendly {
                ", tile-friendly"
            } else {
                ""
            },
        );
    }
    for finding in &verdict.findings {
        let variable = finding.variable.as_deref().unwrap_or("the file");
        println!(
            "  {}: {variable}: {} ({})",
            word(json!(finding.grade)),
            finding.message,
            finding.code
        );
    }
}

/// The word that a value is in JSON, for people.
fn word(value: Value) -> String {
    value.as_str().unwrap_or_default().replace('_', " ")
}
