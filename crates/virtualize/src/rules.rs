//! Validation rules: what the layout of a file means for those who read it virtually. SPEC §4.

use serde::{Deserialize, Serialize};

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
