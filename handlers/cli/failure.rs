//! How a command fails: a code, a message, and who is at fault.

use std::process::ExitCode;

use serde_json::{Value, json};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    /// Stable code.
    pub code: String,
    /// What is wrong and where.
    pub message: String,
    /// Further fields for `--json`.
    pub details: Option<Value>,
    /// Whether the input is at fault (exit code 3, else 1).
    pub rejected: bool,
    /// Whether it has been reported already, line by line.
    pub reported: bool,
}

impl Failure {
    /// Something else than the input is at fault.
    pub(super) fn failed(code: &str, error: &dyn std::error::Error) -> Self {
        Self::new(code, crate::pipeline::chain(error), false)
    }

    /// The input is at fault.
    pub(super) fn rejected(code: &str, message: String) -> Self {
        Self::new(code, message, true)
    }

    fn new(code: &str, message: String, rejected: bool) -> Self {
        Self {
            code: code.to_owned(),
            message,
            details: None,
            rejected,
            reported: false,
        }
    }

    /// The `{"error": …}` object of `--json`.
    pub(super) fn to_json(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let (Some(Value::Object(details)), Value::Object(fields)) = (&self.details, &mut error) {
            fields.extend(details.clone());
        }
        json!({"error": error})
    }

    /// Tells the person or the program that called, and gives the exit code.
    pub(super) fn report(&self, as_json: bool) -> ExitCode {
        if !self.reported {
            match as_json {
                true => println!("{}", self.to_json()),
                false => eprintln!("error: {}", self.message),
            }
        }
        ExitCode::from(if self.rejected { 3 } else { 1 })
    }
}
