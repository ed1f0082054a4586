//! Disagreements between files: what a refusal says.

use serde::Serialize;

/// At most so many disagreements stand in an error's text; the list itself is complete.
const SHOWN: usize = 20;

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
        "variable_missing" => "add the variable, drop it, or set missing to fill",
        _ => "combine the files that agree on their own, or drop the variable",
    }
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
