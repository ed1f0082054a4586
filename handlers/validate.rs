//! Stage 3: findings on one file, and whether they reject it. SPEC §4.

use virtualize::rules::{self, Finding, Grade};
use virtualize::{DecodeError, VirtualDataset};

use crate::read::ReadError;
use crate::stores::ledger::{Fault, ProcessingOptions};

/// Judges a dataset: its findings, and the fault that rejects it, if any.
pub fn validate(
    dataset: &VirtualDataset,
    options: &ProcessingOptions,
) -> (Vec<Finding>, Option<Fault>) {
    let findings = rules::findings(dataset);
    let fault = fault_in(&findings, options);
    (findings, fault)
}

/// The fault for which a series with these options rejects a file that has these findings, if any.
///
/// A refused data variable rejects the file unless the series drops that variable; critical findings do only where the
/// series asks for it. What is said of a dropped variable counts for nothing.
pub fn fault_in(findings: &[Finding], options: &ProcessingOptions) -> Option<Fault> {
    let dropped = |finding: &Finding| {
        let variable = finding.variable.as_deref().unwrap_or_default();
        let name = variable.trim_start_matches('/');
        options.drop_variables.iter().any(|dropped| dropped == name)
    };
    let critical = findings
        .iter()
        .filter(|finding| finding.grade == Grade::Critical && !dropped(finding));
    let lost = critical.clone().find(|finding| finding.code == UNSUPPORTED);
    lost.map(lost_variable)
        .or_else(|| Some(bad_chunks(critical.clone().next()?)))
        .filter(|fault| fault.code == LOST || options.fail_on_chunking_warnings)
}

/// Code of the finding that a variable was refused.
const UNSUPPORTED: &str = "unsupported";

/// Code of the fault that a data variable was refused.
const LOST: &str = "variable_unsupported";

fn lost_variable(finding: &Finding) -> Fault {
    let variable = finding.variable.as_deref().unwrap_or_default();
    let message = finding.message.as_str();
    let reason = message.strip_prefix("left out: ").unwrap_or(message);
    Fault {
        code: String::from(LOST),
        message: format!("variable {variable} cannot be referenced: {reason}"),
        remediation: Some(String::from(
            "convert the variable physically, or list it in drop_variables",
        )),
    }
}

fn bad_chunks(finding: &Finding) -> Fault {
    Fault {
        code: String::from("ChunkingWarning"),
        message: finding.message.clone(),
        remediation: Some(String::from(
            "rechunk the file, or submit without fail_on_chunking_warnings",
        )),
    }
}

/// What a person can do about a finding, where there is something.
pub fn advice(finding: &Finding) -> Option<&'static str> {
    match finding.code.as_str() {
        "contiguous-large" => Some("rewrite it in chunks, such as one time step each"),
        "single-pixel-chunks" => {
            Some("rewrite it in chunks that are wide in space, or convert it physically")
        }
        "huge-spatial-chunks" => Some("rewrite it in chunks of 256 to 1000 cells a side"),
        "tiny-chunks" => Some("rewrite it in larger chunks, 256 cells a side or the whole map"),
        "huge-chunk" => Some("rewrite it in chunks of 1 to 10 MB"),
        UNSUPPORTED if finding.grade == Grade::Critical => {
            Some("convert the variable physically, or list it in drop_variables")
        }
        "reference-heavy" => {
            Some("nothing has to be done; chunks of 100 kB or more would make references small")
        }
        _ => None,
    }
}

/// The fault of a file that cannot be decoded; `None` when something else than the file is at fault.
pub fn fault_of(error: &ReadError) -> Option<Fault> {
    let (code, remediation) = match error {
        ReadError::Decode(DecodeError::NotNetcdf(_)) => {
            ("not_netcdf", "upload a NetCDF or HDF5 file")
        }
        ReadError::Decode(DecodeError::Truncated { .. } | DecodeError::PastEnd { .. }) => {
            ("truncated", "upload the whole file again")
        }
        ReadError::Decode(DecodeError::Unsupported(_)) => {
            ("unsupported", "convert the file physically")
        }
        ReadError::Decode(DecodeError::Budget { .. }) => {
            ("too_large", "convert the file physically")
        }
        ReadError::Decode(_) | ReadError::TooDeep(_) => ("malformed", "upload an undamaged copy"),
        ReadError::Fetch(_) => return None,
    };
    let remediation = Some(remediation.to_owned());
    Some(Fault {
        code: code.to_owned(),
        message: error.to_string(),
        remediation,
    })
}
