//! What verification found, for people and for programs.

use serde_json::json;
use virtualize::VirtualDataset;
use virtualize::combine::verify::{Mismatch, Verification};

use super::Outcome;
use crate::combine::SourceState;

/// Puts what the stores say of the sources before what their bytes say; answers which files are not pinned.
pub(super) fn add_states(
    combined: &VirtualDataset,
    found: &[SourceState],
    verification: &mut Verification,
) -> Vec<String> {
    let (mut changed, mut unpinned) = (Vec::new(), Vec::new());
    for (source, state) in combined.sources.iter().zip(found) {
        let file = source
            .url
            .rsplit('/')
            .next()
            .unwrap_or(&source.url)
            .to_owned();
        match state {
            SourceState::Unpinned => unpinned.push(file),
            SourceState::Changed(what) => changed.push(Mismatch {
                code: "source_changed",
                file,
                variable: String::new(),
                message: what.clone(),
            }),
            _ => {}
        }
    }
    let told: Vec<String> = changed.iter().map(|one| one.file.clone()).collect();
    let is_told = |one: &Mismatch| one.code == "source_changed" && told.contains(&one.file);
    let before = verification.mismatches.len();
    verification.mismatches.retain(|one| !is_told(one));
    let repeated = before - verification.mismatches.len();
    verification.report.mismatches += changed.len();
    verification.report.mismatches -= repeated;
    changed.append(&mut verification.mismatches);
    verification.mismatches = changed;
    unpinned
}

/// Prints everything; answers how many mismatches there are.
pub(super) fn tell(outcome: &Outcome, as_json: bool) -> usize {
    match as_json {
        true => lines(outcome),
        false => page(outcome),
    }
    outcome.verification.report.mismatches
}

fn lines(outcome: &Outcome) {
    for mismatch in &outcome.verification.mismatches {
        println!("{}", json!({"mismatch": mismatch}));
    }
    let report = &outcome.verification.report;
    let urls: Vec<&str> = outcome
        .sources
        .iter()
        .map(|source| source.url.as_str())
        .collect();
    let summary = json!({
        "reference": outcome.reference,
        "ok": report.mismatches == 0,
        "mismatches": report.mismatches,
        "verified": report,
        "source_files": urls,
        "unpinned": outcome.unpinned,
        "libhdf5": outcome.second,
        "io": outcome.io,
    });
    println!("{summary}");
}

fn page(outcome: &Outcome) {
    let (report, listed) = (
        &outcome.verification.report,
        &outcome.verification.mismatches,
    );
    println!(
        "{}: {} files, {} variables; {} chunks compared, {} of them decoded, {} bytes read",
        outcome.reference,
        report.files,
        report.variables,
        report.chunks_compared,
        report.chunks_sampled,
        outcome.io.bytes
    );
    for mismatch in listed {
        let variable = match mismatch.variable.as_str() {
            "" => String::new(),
            variable => format!(" {variable}:"),
        };
        println!(
            "  {} {}:{variable} {}",
            mismatch.code, mismatch.file, mismatch.message
        );
    }
    if report.mismatches > listed.len() {
        println!("  and {} more", report.mismatches - listed.len());
    }
    if report.capped {
        println!(
            "  {} chunks of the sample were left out by its limit; --all reads every chunk",
            report.chunks_left_out
        );
    }
    told(
        "compared by their bytes alone, as their codec is not decoded here",
        &report.bytes_alone,
    );
    told("compared by metadata alone", &report.not_compared);
    told("not in the reference", &report.left_out);
    told(
        "unpinned (the reference records no version of them)",
        &outcome.unpinned,
    );
    if let Some(second) = &outcome.second {
        println!(
            "  libhdf5: {} files, {} chunk tables and {} decoded chunks compared",
            second.files, second.tables, second.chunks
        );
        told("not covered by libhdf5", &second.not_covered);
    }
    if report.mismatches == 0 {
        println!("  it is what its sources say");
    }
}

/// A bounded list under its heading.
fn told<'a>(heading: &str, names: impl IntoIterator<Item = &'a String>) {
    const SHOWN: usize = 10;
    let names: Vec<&String> = names.into_iter().collect();
    if names.is_empty() {
        return;
    }
    let shown: Vec<&str> = names.iter().take(SHOWN).map(|name| name.as_str()).collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    println!("  {heading}: {}{more}", shown.join(", "));
}
