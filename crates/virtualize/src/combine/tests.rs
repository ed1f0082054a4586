//! Every row of the mismatch matrix: joined right, or refused under the right code.

mod chunks;
mod coordinates;
mod encoding;
mod merge_refusals;
mod merging;
mod series;
mod times;

use super::sample::*;
use super::*;

fn days(range: std::ops::Range<u32>) -> Vec<f64> {
    range.map(f64::from).collect()
}

fn options() -> CombineOptions {
    CombineOptions::default()
}

fn codes(files: &[File]) -> Vec<&'static str> {
    refusal(files, options())
        .into_iter()
        .map(|(code, _)| code)
        .collect()
}

/// Three days of January 2000 and two more.
fn pair() -> [File; 2] {
    [daily("a.nc", 0, 3), daily("b.nc", 3, 2)]
}

fn second_with(name: &str, edit: impl FnOnce(&mut crate::VirtualArray)) -> [File; 2] {
    let [a, b] = pair();
    [a, b.with(name, edit)]
}
