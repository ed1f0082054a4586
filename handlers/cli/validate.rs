//! `landfall validate INPUT…`: how well a file reads virtually, from its metadata alone. SPEC §4.

use std::path::PathBuf;

use serde_json::{Value, json};
use virtualize::rules::{self, Finding, Grade, VariableFacts, Verdict};
use virtualize::{DecodeOptions, VirtualDataset};

use super::failure::Failure;
use super::{input, virtualize as files};
use crate::read::IoCount;
use crate::stores::blobs::{Named, NamedSources};
use crate::stores::ledger::ProcessingOptions;
use crate::validate;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// NetCDF or HDF5 files, http(s) and az:// addresses of them, or folders of them.
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
    let (files, sources) = input::expand(&arguments.inputs).await?;
    let mut worst = None;
    for file in files {
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
        false => print!("{}", text(&file.to_string(), &dataset, &verdict)),
    }
    let options = ProcessingOptions {
        fail_on_chunking_warnings: arguments.fail_on_chunking_warnings,
        ..ProcessingOptions::default()
    };
    match validate::validate(&dataset, &options).1 {
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

/// The verdict, a table of the variables that were judged, and what was found with what to do about it.
fn text(file: &str, dataset: &VirtualDataset, verdict: &Verdict) -> String {
    let mut out = format!(
        "{file}: {}, {} ({})\n",
        word(json!(verdict.status)),
        word(json!(verdict.recommendation)),
        word(json!(dataset.format)),
    );
    let judged = verdict.variables.iter().filter(|facts| facts.is_data);
    let rows: Vec<[String; 7]> = judged.map(row).collect();
    if !rows.is_empty() {
        let titles = [
            "variable",
            "type",
            "shape",
            "chunks",
            "count",
            "mean size",
            "codecs",
        ];
        out.push_str(&table(&titles.map(String::from), &rows));
    }
    for finding in &verdict.findings {
        out.push_str(&told(finding));
    }
    out
}

fn told(finding: &Finding) -> String {
    let about = finding.variable.as_deref().unwrap_or("the file");
    let grade = word(json!(finding.grade));
    let mut out = format!(
        "  {grade}: {about}: {} ({})\n",
        finding.message, finding.code
    );
    if let Some(advice) = validate::advice(finding) {
        out.push_str(&format!("    → {advice}\n"));
    }
    out
}

fn row(facts: &VariableFacts) -> [String; 7] {
    let sides = |lengths: &[u64]| {
        let lengths: Vec<String> = lengths.iter().map(u64::to_string).collect();
        lengths.join("×")
    };
    let codecs: Vec<&str> = facts
        .filters
        .iter()
        .chain(&facts.compression)
        .map(String::as_str)
        .collect();
    let mean = facts.mean_stored_chunk_bytes;
    let friendly = if facts.tile_friendly {
        ", tile-friendly"
    } else {
        ""
    };
    let codecs = match codecs.is_empty() {
        true => String::from("none"),
        false => codecs.join(" + "),
    };
    [
        facts.name.trim_start_matches('/').to_owned(),
        facts.dtype.clone(),
        sides(&facts.shape),
        sides(&facts.chunks),
        facts.chunk_count.to_string(),
        mean.map_or_else(|| String::from("–"), |bytes| format!("{bytes} B")),
        format!("{codecs}{friendly}"),
    ]
}

/// Rows below their titles, numbers to the right.
fn table(titles: &[String; 7], rows: &[[String; 7]]) -> String {
    let all = || std::iter::once(titles).chain(rows);
    let mut widths = [0; 7];
    for cells in all() {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for cells in all() {
        let cells = cells.iter().zip(widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            4 | 5 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(&format!("  {}\n", line.trim_end()));
    }
    out
}

/// The word that a value is in JSON, for people.
fn word(value: Value) -> String {
    value.as_str().unwrap_or_default().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up() {
        let cells = |texts: [&str; 7]| texts.map(String::from);
        let titles = cells([
            "variable", "type", "shape", "chunks", "count", "mean", "codecs",
        ]);
        let rows = [
            cells([
                "tas",
                "float32",
                "12×32×64",
                "1×32×64",
                "12",
                "1743 B",
                "shuffle + gzip",
            ]),
            cells(["precipitation", "int16", "3×3", "3×3", "1", "–", "none"]),
        ];
        assert_eq!(
            table(&titles, &rows),
            "  variable       type     shape     chunks   count    mean  codecs\n  \
               tas            float32  12×32×64  1×32×64     12  1743 B  shuffle + gzip\n  \
               precipitation  int16    3×3       3×3          1       –  none\n"
        );
    }
}
