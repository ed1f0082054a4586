//! What somebody submits, in a request or in a `landfall.json`. SPEC §8.

use jiff::Timestamp;
use serde::Deserialize;

use super::{AUTO_PLATFORM, span};
use crate::config::parse_duration;
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::{Declaration, Expected, Origin, ProcessingOptions};

/// What somebody submits, in a request or in a `landfall.json`. SPEC §8.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Dataset of the Asset.
    pub dataset_id: String,
    /// Resource of the Asset.
    pub resource_id: String,
    /// `zarr`, the only one.
    #[serde(default)]
    pub data_type: Option<String>,
    /// Folder or file of the sources.
    #[serde(default)]
    pub source_url: Option<String>,
    /// Container of the sources, in place of `source_url`.
    #[serde(default)]
    pub container_name: Option<String>,
    /// Name or names in that container.
    #[serde(default)]
    pub file_name: Option<OneOrMany>,
    /// Version wished for.
    #[serde(default)]
    pub version_id: Option<String>,
    /// Version that this one follows.
    #[serde(default)]
    pub previous_version_id: Option<String>,
    /// Title for people.
    #[serde(default)]
    pub title: Option<String>,
    /// Description for people.
    #[serde(default)]
    pub description: Option<String>,
    /// Tags for people.
    #[serde(default)]
    pub tags: Vec<String>,
    /// `public` or `ouo`.
    #[serde(default)]
    pub access_level: Option<String>,
    /// Platform of the Asset.
    #[serde(default)]
    pub client_id: Option<String>,
    /// How to combine.
    #[serde(default)]
    pub processing_options: ProcessingOptions,
}

/// A text, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// The fields of a submission, for the person who misspelt one.
pub const SUBMISSION_FIELDS: [&str; 14] = [
    "dataset_id",
    "resource_id",
    "data_type",
    "source_url",
    "container_name",
    "file_name",
    "version_id",
    "previous_version_id",
    "title",
    "description",
    "tags",
    "access_level",
    "client_id",
    "processing_options",
];

/// Why a submission is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct SubmissionError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl Submission {
    /// Checks a submission and turns it into a declaration; `home` is where it stands (a `landfall.json`'s
    /// folder), or what relative names count from.
    ///
    /// # Errors
    ///
    /// [`SubmissionError`] naming the field.
    pub fn into_declaration(
        self,
        origin: Origin,
        home: &BlobPath,
        at: Timestamp,
    ) -> Result<Declaration, SubmissionError> {
        check_name("dataset_id", &self.dataset_id)?;
        check_name("resource_id", &self.resource_id)?;
        check_choice(
            "data_type",
            self.data_type.as_deref().unwrap_or("zarr"),
            &["zarr"],
        )?;
        check_options(&self.processing_options)?;
        let prefix = self.prefix(home)?;
        let mut options = self.processing_options;
        if let (None, Some(files)) = (&options.expected, self.file_name) {
            let files = match files {
                OneOrMany::One(name) => vec![name],
                OneOrMany::Many(names) => names,
            };
            options.expected = Some(Expected::Files(files));
        }
        Ok(Declaration {
            origin,
            platform_id: self.client_id.unwrap_or_else(|| AUTO_PLATFORM.to_owned()),
            dataset_id: self.dataset_id,
            resource_id: self.resource_id,
            version_id: self.version_id,
            title: self.title,
            description: self.description,
            prefix,
            stem: String::new(),
            options,
            at,
        })
    }

    fn prefix(&self, home: &BlobPath) -> Result<BlobPath, SubmissionError> {
        let refuse = |field, problem: String| SubmissionError { field, problem };
        match (&self.source_url, &self.container_name) {
            (Some(_), Some(_)) => Err(refuse(
                "container_name",
                String::from("give this or source_url, not both"),
            )),
            (Some(url), None) => BlobPath::parse(url, &home.account)
                .map_err(|error| refuse("source_url", error.to_string())),
            (None, Some(container)) => {
                let prefix = BlobPath::new(home.account.clone(), container.clone(), "");
                let problem = || format!("`{container}` is not the name of a container");
                prefix
                    .is_address()
                    .then_some(prefix)
                    .ok_or_else(|| refuse("container_name", problem()))
            }
            (None, None) if home.container.is_empty() => Err(refuse(
                "source_url",
                String::from("is required: where the files are"),
            )),
            (None, None) => Ok(home.clone()),
        }
    }
}

fn check_name(field: &'static str, name: &str) -> Result<(), SubmissionError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && name.len() <= 255 && name.chars().all(fine) {
        return Ok(());
    }
    let problem = format!(
        "`{name}` is not 1 to 255 letters, digits, `.`, `_` and `-`, a letter or digit first"
    );
    Err(SubmissionError { field, problem })
}

fn check_choice(field: &'static str, value: &str, choices: &[&str]) -> Result<(), SubmissionError> {
    if choices.contains(&value) {
        return Ok(());
    }
    Err(SubmissionError {
        field,
        problem: format!("`{value}` is not one of {}", choices.join(", ")),
    })
}

fn check_options(options: &ProcessingOptions) -> Result<(), SubmissionError> {
    check_choice(
        "processing_options.pipeline",
        &options.pipeline,
        &["virtualzarr"],
    )?;
    check_choice(
        "processing_options.missing",
        &options.missing,
        &["refuse", "fill"],
    )?;
    glob::Pattern::new(&options.file_pattern).map_err(|error| SubmissionError {
        field: "processing_options.file_pattern",
        problem: error.to_string(),
    })?;
    match &options.expected {
        Some(Expected::QuietPeriod(text)) => {
            let problem = || format!("`{text}` is not an ISO 8601 duration such as PT10M");
            let field = "processing_options.expected.quiet_period";
            parse_duration(text).map(drop).map_err(|_| SubmissionError {
                field,
                problem: problem(),
            })
        }
        Some(Expected::TimeRange(start, end)) => {
            let field = "processing_options.expected.time_range";
            let bad = [start, end]
                .into_iter()
                .find(|text| span::parse_date(text).is_none());
            bad.map_or(Ok(()), |text| {
                Err(SubmissionError {
                    field,
                    problem: format!("`{text}` is not a date such as 2000-01-31"),
                })
            })
        }
        _ => Ok(()),
    }
}
