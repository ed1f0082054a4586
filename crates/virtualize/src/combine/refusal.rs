//! Disagreements between files: what a refusal says.

use std::collections::BTreeMap;

use serde::Serialize;

/// At most so many disagreements stand in an error's text; the list itself is complete.
const SHOWN: usize = 20;

/// Examples that stand for disagreements of one kind about one variable.
const EXAMPLES: usize = 5;
/// What to do with files that hold different variables.
pub(super) const MERGE: &str =
    "set merge_variables (--merge-variables) to merge files that hold different variables";

/// One reason why two files cannot be joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// Stable code, such as `dtype_mismatch`.
    pub code: &'static str,
    /// Name of the file that disagrees, without its folder.
    pub file: String,
    /// Path of the variable, or the name of a dimension.
    pub variable: String,
    /// The disagreement in a sentence that names the file and the variable.
    pub message: String,
    /// What can be done about it.
    pub cure: String,
    /// What the first file has.
    pub first: String,
    /// What this file has.
    pub other: String,
    /// How many further files disagree in the same way about the same variable; they are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Disagreement {
    /// A disagreement about `variable` in `file`; `problem` completes the sentence "file: variable …".
    pub(super) fn new(code: &'static str, file: &str, variable: &str, problem: &str) -> Self {
        Self {
            code,
            file: file.to_owned(),
            variable: variable.to_owned(),
            message: format!("{file}: {variable} {problem}"),
            cure: cure_of(code).to_owned(),
            first: String::new(),
            other: String::new(),
            more: 0,
        }
    }

    /// With what the first file and this one have.
    pub(super) fn with_values(
        mut self,
        first: impl Into<String>,
        other: impl Into<String>,
    ) -> Self {
        self.first = first.into();
        self.other = other.into();
        self
    }

    /// With a cure of its own.
    pub(super) fn with_cure(mut self, cure: &str) -> Self {
        cure.clone_into(&mut self.cure);
        self
    }
}

fn cure_of(code: &str) -> &'static str {
    match code {
        "calendar_mismatch" => "combine the files of each calendar on their own",
        "time_units_invalid" => "correct the units attribute in the file",
        "time_not_increasing" | "time_duplicate" => {
            "remove one of the overlapping files, or cut it before the overlap"
        }
        "packing_mismatch" | "dtype_mismatch" | "codec_mismatch" => {
            "rewrite the file with the encoding of the first, drop the variable, or convert the series physically"
        }
        "chunk_shape_mismatch" => {
            "rewrite the files with a chunk length that divides their lengths (1 always does), or convert the series physically"
        }
        "coord_mismatch" => {
            "regrid or correct the file; if the difference is rounding, set coord_tolerance"
        }
        "variable_missing" => "add the variable, drop it (drop_variables), or set missing to fill",
        _ => "combine the files that agree on their own, or drop the variable",
    }
}

/// The disagreements with a few examples of each kind about each variable; the last example counts the others.
pub(super) fn condensed(all: Vec<Disagreement>) -> Vec<Disagreement> {
    let key = |one: &Disagreement| (one.code, one.variable.clone());
    let mut counts = BTreeMap::<_, usize>::new();
    for one in &all {
        *counts.entry(key(one)).or_default() += 1;
    }
    let mut seen = BTreeMap::<_, usize>::new();
    let mut out = Vec::new();
    for mut one in all {
        let place = seen.entry(key(&one)).or_default();
        *place += 1;
        let count = counts.get(&key(&one)).copied().unwrap_or(0);
        if *place == EXAMPLES && count > EXAMPLES {
            one.more = count - EXAMPLES;
            one.message
                .push_str(&format!(" (and {} more like it)", one.more));
        }
        if *place <= EXAMPLES {
            out.push(one);
        }
    }
    out
}

/// All disagreements as the text of an error, the first ones in full.
pub(super) fn summary(all: &[Disagreement]) -> String {
    let mut text = String::from("the files cannot be joined");
    for disagreement in all.iter().take(SHOWN) {
        text.push_str(&format!(
            "\n  {} ({})",
            disagreement.message, disagreement.code
        ));
    }
    if all.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", all.len() - SHOWN));
    }
    text
}
