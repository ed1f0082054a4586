//! Validation rules: what the layout of a file means for those who read it virtually. SPEC §4.
//!
//! Everything is judged from the metadata alone. `role` says which variables hold data and which of their
//! dimensions are spatial, `facts` describes a variable, `chunking` is the table of findings.

mod chunking;
mod facts;
mod role;

pub use facts::VariableFacts;

use serde::{Deserialize, Serialize};

use crate::dataset::VirtualDataset;
use role::Roles;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Worth knowing.
    Info,
    /// Reading will be slow or clumsy.
    Warning,
    /// Virtual reading is not advisable, or something is missing.
    Critical,
}

/// One result of validation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable name of the finding, such as `huge-chunk`.
    pub code: String,
    /// How grave it is.
    pub grade: Grade,
    /// Path of the variable it is about; `None` when it is about the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// The finding in a sentence.
    pub message: String,
}

impl Finding {
    /// A finding of grade info.
    pub fn info(code: &str, variable: Option<&str>, message: impl Into<String>) -> Self {
        Self::graded(Grade::Info, code, variable, message)
    }

    /// A finding of any grade.
    pub fn graded(
        grade: Grade,
        code: &str,
        variable: Option<&str>,
        message: impl Into<String>,
    ) -> Self {
        let variable = variable.map(str::to_owned);
        Self {
            code: code.to_owned(),
            grade,
            variable,
            message: message.into(),
        }
    }
}

/// What to do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recommendation {
    /// Reading it virtually works well enough.
    SuitableForVirtualization,
    /// Something critical was found: converting it may be better.
    ConsiderPhysicalConversion,
}

/// The gravest finding in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing above grade info.
    Success,
    /// Something of grade warning.
    Warning,
    /// Something critical.
    Error,
}

/// What validation says about a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Findings about the chunks by variable, then what was refused, then what decoding found.
    pub findings: Vec<Finding>,
    /// What to do with the file.
    pub recommendation: Recommendation,
    /// The gravest finding in a word.
    pub status: Status,
    /// Facts about every variable, sorted by path.
    pub variables: Vec<VariableFacts>,
}

/// Judges a dataset by its metadata.
pub fn judge(dataset: &VirtualDataset) -> Verdict {
    let mut variables = Vec::new();
    let findings = findings_and(dataset, |facts| variables.push(facts));
    let gravest = findings.iter().map(|finding| finding.grade).max();
    let (recommendation, status) = match gravest {
        Some(Grade::Critical) => (Recommendation::ConsiderPhysicalConversion, Status::Error),
        Some(Grade::Warning) => (Recommendation::SuitableForVirtualization, Status::Warning),
        Some(Grade::Info) | None => (Recommendation::SuitableForVirtualization, Status::Success),
    };
    Verdict {
        findings,
        recommendation,
        status,
        variables,
    }
}

/// The findings of [`judge`] alone.
pub fn findings(dataset: &VirtualDataset) -> Vec<Finding> {
    findings_and(dataset, drop)
}

fn findings_and(dataset: &VirtualDataset, mut each: impl FnMut(VariableFacts)) -> Vec<Finding> {
    let mut findings = Vec::new();
    for variable in Roles::of(dataset) {
        let facts = VariableFacts::of(&variable);
        if variable.is_data {
            findings.extend(chunking::finding(&variable, &facts));
        }
        each(facts);
    }
    findings.extend(dataset.skipped.iter().map(|skipped| {
        let grade = if skipped.is_data {
            Grade::Critical
        } else {
            Grade::Info
        };
        let message = format!("left out: {}", skipped.reason);
        Finding::graded(grade, "unsupported", Some(&skipped.variable), message)
    }));
    findings.extend(dataset.findings.iter().cloned());
    findings
}
