//! What somebody submits, in a request or in a `landfall.json`. SPEC §8.
//!
//! Two shapes are taken: the contract's (`source_url`) and the platform's (`container_name` and `file_name`, `operation`).

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use virtualize::cf::DateTime;

use super::{AUTO_PLATFORM, span};
use crate::config::parse_duration;
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::{Declaration, Expected, Extras, Origin, ProcessingOptions};

/// Largest `max_files`: what one combine can be expected to join.
const MOST_FILES: u64 = 1_000_000;

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
    /// `CREATE`, the only one; the platform's word for a submission.
    #[serde(default)]
    pub operation: Option<String>,
    /// Folder or file of the sources.
    #[serde(default)]
    pub source_url: Option<String>,
    /// Container of the sources, in place of `source_url` or the one that this names.
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
    /// `public` or `ouo`, in either case.
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
pub const SUBMISSION_FIELDS: [&str; 15] = [
    "dataset_id",
    "resource_id",
    "data_type",
    "operation",
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

type Checked = Result<(), SubmissionError>;

/// The names of the options that a submission has.
pub fn option_fields() -> Vec<String> {
    let options = serde_json::to_value(ProcessingOptions::default());
    match options {
        Ok(Value::Object(options)) => options.into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    }
}

impl Submission {
    /// Reads the body of a request or a `landfall.json`: options that are `null` are those not given, and the one of
    /// the platform's that only says what kind of data is expected is checked and left out.
    ///
    /// # Errors
    ///
    /// [`SubmissionError`] naming what cannot be read.
    pub fn parse(mut document: Value) -> Result<Self, SubmissionError> {
        if let Some(Value::Object(options)) = document.get_mut("processing_options") {
            if let Some(kind) = options.remove("expected_data_type")
                && ![json!("zarr"), Value::Null].contains(&kind)
            {
                let problem = format!("{kind} is not \"zarr\"");
                return Err(refusal("processing_options.expected_data_type", problem));
            }
            options.retain(|_, value| !value.is_null());
        }
        if let Value::Object(fields) = &mut document {
            fields.retain(|_, value| !value.is_null());
        }
        serde_json::from_value(document).map_err(|error| refusal("body", error.to_string()))
    }

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
        self.check()?;
        let mut prefix = self.prefix(home)?;
        let mut options = self.processing_options;
        if let Some(names) = self.file_name {
            if options.expected.is_some() {
                let problem = "names the files that are expected: leave out `expected`";
                return Err(refusal("file_name", problem.to_owned()));
            }
            let (common, files) = files_of(&prefix, names)?;
            prefix = common;
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
            extras: Extras {
                previous_version_id: self.previous_version_id,
                access_level: self.access_level.map(|level| level.to_lowercase()),
                tags: self.tags,
                is_scanned: false,
            },
            at,
        })
    }

    fn check(&self) -> Checked {
        check_name("dataset_id", &self.dataset_id, 255)?;
        check_name("resource_id", &self.resource_id, 255)?;
        if let Some(client) = &self.client_id {
            check_name("client_id", client, 50)?;
        }
        let version = [
            ("version_id", &self.version_id),
            ("previous_version_id", &self.previous_version_id),
        ];
        for (field, version) in version {
            if let Some(version) = version {
                check_name(field, version, 50)?;
            }
        }
        if self.previous_version_id.is_some() && self.version_id.is_none() {
            let problem = "goes with the version_id that follows it";
            return Err(refusal("previous_version_id", problem.to_owned()));
        }
        let given = |text: &Option<String>, otherwise: &str| {
            text.clone().unwrap_or_else(|| otherwise.to_owned())
        };
        check_choice("data_type", &given(&self.data_type, "zarr"), &["zarr"])?;
        check_choice("operation", &given(&self.operation, "CREATE"), &["CREATE"])?;
        let level = given(&self.access_level, "public").to_lowercase();
        check_choice("access_level", &level, &["public", "ouo"])?;
        check_options(&self.processing_options)
    }

    /// The folder or container; one named twice has to be the same.
    fn prefix(&self, home: &BlobPath) -> Result<BlobPath, SubmissionError> {
        let container = self.container_name.as_ref().map(|container| {
            let prefix = BlobPath::new(home.account.clone(), container.clone(), "");
            let problem = format!("`{container}` is not the name of a container");
            prefix
                .is_address()
                .then_some(prefix)
                .ok_or_else(|| refusal("container_name", problem))
        });
        let container = container.transpose()?;
        let Some(url) = &self.source_url else {
            return match container {
                Some(container) => Ok(container),
                None if home.container.is_empty() => {
                    let problem = "is required: where the files are";
                    Err(refusal("source_url", problem.to_owned()))
                }
                None => Ok(home.clone()),
            };
        };
        let prefix = BlobPath::parse(url, &home.account)
            .map_err(|error| refusal("source_url", error.to_string()))?;
        match container {
            Some(other) if other.container != prefix.container => {
                let problem = format!("source_url names the container `{}`", prefix.container);
                Err(refusal("container_name", problem))
            }
            _ => Ok(prefix),
        }
    }
}

/// The named files, as addresses, and the folder that they have in common: a file alone is its own.
fn files_of(
    below: &BlobPath,
    names: OneOrMany,
) -> Result<(BlobPath, Vec<String>), SubmissionError> {
    let names = match names {
        OneOrMany::One(name) => vec![name],
        OneOrMany::Many(names) => names,
    };
    let folder = below.blob.trim_end_matches('/');
    let mut files = Vec::new();
    for name in &names {
        let file = match folder.is_empty() {
            true => below.sibling(name.clone()),
            false => below.sibling(format!("{folder}/{name}")),
        };
        if name.contains("://") || name.ends_with('/') || !file.is_address() {
            let problem = format!("`{name}` is no name of a file");
            return Err(refusal("file_name", problem));
        }
        files.push(file);
    }
    let common = match files.as_slice() {
        [] => return Err(refusal("file_name", String::from("names no file"))),
        [only] => only.clone(),
        [first, rest @ ..] => rest
            .iter()
            .fold(first.sibling(first.folder()), |common, file| {
                common.sibling(common_folder(&common.blob, file.folder()))
            }),
    };
    Ok((common, files.iter().map(BlobPath::to_string).collect()))
}

/// The folders that two paths of folders begin with.
fn common_folder(one: &str, other: &str) -> String {
    let pairs = one.split('/').zip(other.split('/'));
    let same: Vec<&str> = pairs.take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    same.join("/")
}

fn refusal(field: &'static str, problem: String) -> SubmissionError {
    SubmissionError { field, problem }
}

fn check_name(field: &'static str, name: &str, longest: usize) -> Checked {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && name.len() <= longest && name.chars().all(fine) {
        return Ok(());
    }
    let problem = format!(
        "`{name}` is not 1 to {longest} letters, digits, `.`, `_` and `-`, a letter or digit first"
    );
    Err(refusal(field, problem))
}

fn check_choice(field: &'static str, value: &str, choices: &[&str]) -> Checked {
    if choices.contains(&value) {
        return Ok(());
    }
    let problem = format!("`{value}` is not one of {}", choices.join(", "));
    Err(refusal(field, problem))
}

fn check_options(options: &ProcessingOptions) -> Checked {
    check_pipeline(&options.pipeline)?;
    check_choice(
        "processing_options.missing",
        &options.missing,
        &["refuse", "fill"],
    )?;
    if options.concat_dim.is_empty() {
        let problem = String::from("is empty: name the dimension to join along");
        return Err(refusal("processing_options.concat_dim", problem));
    }
    if let Some(collection) = &options.collection_id {
        check_name("processing_options.collection_id", collection, 200)?;
    }
    if !(1..=MOST_FILES).contains(&options.max_files) {
        let problem = format!("{} is not 1 to {MOST_FILES}", options.max_files);
        return Err(refusal("processing_options.max_files", problem));
    }
    if !(options.coord_tolerance >= 0.0 && options.coord_tolerance.is_finite()) {
        let problem = format!("{} is no distance", options.coord_tolerance);
        return Err(refusal("processing_options.coord_tolerance", problem));
    }
    glob::Pattern::new(&options.file_pattern)
        .map_err(|error| refusal("processing_options.file_pattern", error.to_string()))?;
    options.expected.as_ref().map_or(Ok(()), check_expected)
}

/// The platform's other pipelines rewrite the data.
fn check_pipeline(pipeline: &str) -> Checked {
    let field = "processing_options.pipeline";
    match pipeline {
        "netcdf_to_zarr" | "ingest_zarr" => {
            let problem = format!("`{pipeline}` writes the data anew; here is `virtualzarr` only");
            Err(refusal(field, problem))
        }
        other => check_choice(field, other, &["virtualzarr"]),
    }
}

fn check_expected(expected: &Expected) -> Checked {
    match expected {
        Expected::Files(names) if names.is_empty() => {
            let problem = String::from("names no file");
            Err(refusal("processing_options.expected.files", problem))
        }
        Expected::Count(0) => {
            let problem = String::from("0 files are no series");
            Err(refusal("processing_options.expected.count", problem))
        }
        Expected::QuietPeriod(text) => {
            let problem = format!("`{text}` is not an ISO 8601 duration such as PT10M");
            let parsed = parse_duration(text);
            parsed
                .map(drop)
                .map_err(|_| refusal("processing_options.expected.quiet_period", problem))
        }
        Expected::TimeRange(start, end) => check_range(start, end),
        Expected::Files(_) | Expected::Count(_) => Ok(()),
    }
}

fn check_range(start: &str, end: &str) -> Checked {
    let field = "processing_options.expected.time_range";
    let date = |text: &str| {
        let problem = format!("`{text}` is not a date such as 2000-01-31");
        span::parse_date(text).ok_or_else(|| refusal(field, problem))
    };
    let day = |(date, _): (DateTime, bool)| (date.year, date.month, date.day);
    if day(date(start)?) > day(date(end)?) {
        let problem = format!("{end} is before {start}");
        return Err(refusal(field, problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn declared(mut fields: Value) -> Result<Declaration, SubmissionError> {
        let object = fields.as_object_mut().unwrap();
        object.entry("dataset_id").or_insert(json!("era5"));
        object.entry("resource_id").or_insert(json!("daily"));
        let home = BlobPath::new("local", "", "");
        Submission::parse(fields)?.into_declaration(Origin::Submit, &home, Timestamp::UNIX_EPOCH)
    }

    #[rstest]
    #[case::contract(json!({"source_url": "abfs://bronze/era5/"}), "abfs://bronze/era5/", None)]
    #[case::platform(json!({"operation": "CREATE", "container_name": "bronze", "file_name": "era5/a.nc"}),
        "abfs://bronze/era5/a.nc", Some(vec!["era5/a.nc"]))]
    #[case::platform_list(json!({"container_name": "bronze", "file_name": ["x/y/a.nc", "x/z/b.nc"]}),
        "abfs://bronze/x", Some(vec!["x/y/a.nc", "x/z/b.nc"]))]
    #[case::below_a_folder(json!({"source_url": "abfs://bronze/x/", "file_name": "a.nc"}),
        "abfs://bronze/x/a.nc", Some(vec!["x/a.nc"]))]
    #[case::both(json!({"container_name": "bronze", "source_url": "abfs://bronze/era5"}), "abfs://bronze/era5", None)]
    #[case::nulls(json!({"source_url": "abfs://bronze/x", "container_name": null, "title": null,
        "processing_options": {"collection_id": null, "expected": null, "expected_data_type": "zarr"}}),
        "abfs://bronze/x", None)]
    fn both_shapes_declare(
        #[case] fields: Value,
        #[case] url: &str,
        #[case] files: Option<Vec<&str>>,
    ) {
        let declared = declared(fields).unwrap();
        assert_eq!(declared.prefix.short(), url);
        let url = |name| BlobPath::new("local", "bronze", name).to_string();
        let names = files.map(|names| names.into_iter().map(url).collect());
        assert_eq!(declared.options.expected, names.map(Expected::Files));
    }

    #[test]
    fn a_level_is_kept_in_lower_case() {
        let declared = declared(json!({"source_url": "abfs://bronze/x", "access_level": "OUO"}));
        assert_eq!(
            declared.unwrap().extras.access_level.as_deref(),
            Some("ouo")
        );
    }

    #[rstest]
    #[case::level(json!({"access_level": "secret"}), "access_level")]
    #[case::operation(json!({"operation": "DELETE"}), "operation")]
    #[case::data_type(json!({"data_type": "raster"}), "data_type")]
    #[case::client(json!({"client_id": ""}), "client_id")]
    #[case::previous_alone(json!({"previous_version_id": "v1"}), "previous_version_id")]
    #[case::other_container(json!({"container_name": "silver"}), "container_name")]
    #[case::no_files(json!({"file_name": []}), "file_name")]
    #[case::a_url_as_name(json!({"file_name": "abfs://bronze/a.nc"}), "file_name")]
    #[case::conversion(json!({"processing_options": {"pipeline": "netcdf_to_zarr"}}), "processing_options.pipeline")]
    #[case::kind(json!({"processing_options": {"expected_data_type": "raster"}}), "processing_options.expected_data_type")]
    #[case::no_dimension(json!({"processing_options": {"concat_dim": ""}}), "processing_options.concat_dim")]
    #[case::no_file_at_all(json!({"processing_options": {"max_files": 0}}), "processing_options.max_files")]
    #[case::negative(json!({"processing_options": {"coord_tolerance": -1.0}}), "processing_options.coord_tolerance")]
    #[case::collection(json!({"processing_options": {"collection_id": "a/b"}}), "processing_options.collection_id")]
    #[case::none_expected(json!({"processing_options": {"expected": {"count": 0}}}), "processing_options.expected.count")]
    #[case::no_names(json!({"processing_options": {"expected": {"files": []}}}), "processing_options.expected.files")]
    #[case::no_duration(json!({"processing_options": {"expected": {"quiet_period": "ten"}}}),
        "processing_options.expected.quiet_period")]
    #[case::no_date(json!({"processing_options": {"expected": {"time_range": ["2000", "soon"]}}}),
        "processing_options.expected.time_range")]
    #[case::pattern(json!({"processing_options": {"file_pattern": "[a"}}), "processing_options.file_pattern")]
    #[case::no_such_form(json!({"processing_options": {"expected": {"days": 3}}}), "body")]
    #[case::no_text(json!({"title": 3}), "body")]
    #[case::files_twice(json!({"file_name": "a.nc", "processing_options": {"expected": {"count": 1}}}), "file_name")]
    #[case::backwards(json!({"processing_options": {"expected": {"time_range": ["2001-01-01", "2000-01-01"]}}}),
        "processing_options.expected.time_range")]
    fn a_bad_field_is_named(#[case] mut fields: Value, #[case] field: &str) {
        fields["source_url"] = json!("abfs://bronze/era5/");
        assert_eq!(declared(fields).unwrap_err().field, field);
    }
}
