//! Stage 5, first half: which files belong together, and when a series is complete. SPEC §6.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use virtualize::VirtualDataset;
use virtualize::cf::{Calendar, DateTime};
use virtualize::cmip6::{Cmip6Name, slug, stem_without_dates};

use crate::config::parse_duration;
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::{
    Declaration, Expected, Fault, FileState, Origin, ProcessingOptions, Snapshot, SourceFile,
    TimeSpan, Verdict,
};

/// Name of the file that declares the series beside it.
pub const DECLARATION_NAME: &str = "landfall.json";

/// Name endings that the event subscription lets through.
const DATA_SUFFIXES: [&str; 5] = [".nc", ".nc4", ".cdf", ".h5", ".hdf5"];

/// Platform of Assets that nobody declares.
pub const AUTO_PLATFORM: &str = "ddh";

/// Whether a blob is a data file by its name.
pub fn is_data_file(path: &BlobPath) -> bool {
    let name = path.file_name().to_ascii_lowercase();
    DATA_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Whether a blob declares a series.
pub fn is_declaration(path: &BlobPath) -> bool {
    path.file_name() == DECLARATION_NAME
}

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
                Ok(BlobPath::new(home.account.clone(), container.clone(), ""))
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
                .find(|text| parse_date(text).is_none());
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

/// Whether a declared group takes a file: below its prefix, and named as its pattern or its list says.
pub fn takes(declaration: &Declaration, path: &BlobPath) -> bool {
    if !is_data_file(path) {
        return false;
    }
    if declaration.prefix.blob == path.blob {
        return true;
    }
    match &declaration.options.expected {
        Some(Expected::Files(names)) => names.iter().any(|name| is_named(name, declaration, path)),
        _ => glob::Pattern::new(&declaration.options.file_pattern)
            .is_ok_and(|p| p.matches(path.file_name())),
    }
}

/// Whether `name` (a URL, a path below the prefix, or a bare file name) means the blob.
fn is_named(name: &str, declaration: &Declaration, path: &BlobPath) -> bool {
    if let Ok(url) = BlobPath::parse(name, &declaration.prefix.account) {
        return url == *path;
    }
    let folder = declaration.prefix.blob.trim_end_matches('/');
    let below = if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    };
    below == path.blob || (!name.contains('/') && name == path.file_name())
}

/// What the name of a file says of its series when nobody declares one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameOfSeries {
    /// Dataset: the CMIP6 id, or the slugged stem.
    pub dataset_id: String,
    /// Resource: the slugged folder.
    pub resource_id: String,
    /// Stem of the name without its date range.
    pub stem: String,
}

/// The series that a file belongs to by its name.
pub fn series_of(path: &BlobPath) -> NameOfSeries {
    let name = path.file_name();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let stem = stem_without_dates(stem).0;
    let dataset_id =
        Cmip6Name::parse(name).map_or_else(|| slug(stem), |parsed| parsed.dataset_id());
    let or = |id: String, otherwise: &str| {
        if id.is_empty() {
            otherwise.to_owned()
        } else {
            id
        }
    };
    NameOfSeries {
        dataset_id: or(dataset_id, "unnamed"),
        resource_id: or(slug(path.folder()), "root"),
        stem: stem.to_owned(),
    }
}

/// The group that a file belongs to by its name and variables, when nobody declares one.
pub fn auto_declaration(
    path: &BlobPath,
    dataset: &VirtualDataset,
    quiet_period: Duration,
    at: Timestamp,
) -> Declaration {
    let name = series_of(path);
    let variables: Vec<String> = dataset
        .root
        .walk()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let quiet =
        jiff::SignedDuration::try_from(quiet_period).unwrap_or(jiff::SignedDuration::from_mins(10));
    let expected = Some(Expected::QuietPeriod(quiet.to_string()));
    Declaration {
        origin: Origin::Auto,
        platform_id: String::from(AUTO_PLATFORM),
        dataset_id: name.dataset_id,
        resource_id: name.resource_id,
        version_id: None,
        title: None,
        description: None,
        prefix: path.sibling(path.folder()),
        stem: format!("{}|{}", name.stem, variables.join(",")),
        options: ProcessingOptions {
            expected,
            ..ProcessingOptions::default()
        },
        at,
    }
}

/// Judges whether a series is complete on what its members are now. Pure: the ledger calls it in a transaction.
pub fn judge(snapshot: &Snapshot<'_>) -> Verdict {
    let members = snapshot.members;
    if let Some(fault) = members.iter().find_map(rejection) {
        return Verdict::Blocked(fault);
    }
    let referenced = members
        .iter()
        .filter(|file| file.state == FileState::Referenced)
        .count();
    if referenced < members.len() || members.is_empty() {
        return Verdict::Collecting;
    }
    let declaration = &snapshot.group.declaration;
    let complete = match &declaration.options.expected {
        Some(Expected::Files(names)) => names.iter().all(|name| {
            members
                .iter()
                .any(|file| is_named(name, declaration, &file.path))
        }),
        Some(Expected::Count(count)) => u64::try_from(referenced).unwrap_or(u64::MAX) >= *count,
        Some(Expected::TimeRange(start, end)) => covers(members, start, end),
        Some(Expected::QuietPeriod(text)) => return quiet(members, text, snapshot.now),
        None => return quiet(members, "PT10M", snapshot.now),
    };
    if complete {
        Verdict::Due
    } else {
        Verdict::Collecting
    }
}

/// What blocks a group: a member at fault, named.
fn rejection(file: &SourceFile) -> Option<Fault> {
    if file.state != FileState::Rejected {
        return None;
    }
    let (code, why, remediation) = match &file.fault {
        Some(fault) => (
            fault.code.clone(),
            fault.message.as_str(),
            fault.remediation.clone(),
        ),
        None => (String::from("rejected"), "it was rejected", None),
    };
    let message = format!("{}: {why}", file.path.file_name());
    let remediation = remediation.or_else(|| {
        Some(String::from(
            "upload a good copy; the series goes on by itself",
        ))
    });
    Some(Fault {
        code,
        message,
        remediation,
    })
}

fn quiet(members: &[SourceFile], period: &str, now: Timestamp) -> Verdict {
    let period = parse_duration(period).unwrap_or(Duration::from_secs(600));
    let last = members
        .iter()
        .map(|file| file.landed_at)
        .max()
        .unwrap_or(now);
    let until = last.checked_add(period).unwrap_or(Timestamp::MAX);
    if now >= until {
        Verdict::Due
    } else {
        Verdict::QuietUntil(until)
    }
}

/// Whether the members' times cover a range without a gap of more than a step. Overlapping ones count as
/// complete, so that the combine refuses them by name.
fn covers(members: &[SourceFile], start: &str, end: &str) -> bool {
    let mut spans: Vec<&TimeSpan> = members
        .iter()
        .filter_map(|file| file.span.as_ref())
        .collect();
    spans.sort_by_key(|span| span.first);
    if spans.len() < members.len() {
        return false;
    }
    let distances = || {
        spans
            .windows(2)
            .filter_map(|pair| Some(pair.last()?.first - pair.first()?.last))
    };
    if distances().any(|distance| distance <= 0) {
        return true;
    }
    let inside = spans
        .iter()
        .map(|span| span.largest_step)
        .max()
        .filter(|step| *step > 0);
    let Some(step) = inside.or_else(|| distances().min()) else {
        return false;
    };
    let bounds = spans.first().zip(spans.last()).and_then(|(first, last)| {
        let calendar = Calendar::parse(Some(&first.calendar)).ok()?;
        Some((
            first.first - micros(start, calendar, false)?,
            micros(end, calendar, true)? - last.last,
        ))
    });
    let slack = step / 10;
    bounds.is_some_and(|(lead, trail)| lead < step && trail <= step)
        && distances().all(|distance| distance <= step + slack)
}

/// A date as an instant of a calendar; one without a time of day is its first moment, or as an end the first
/// moment after it.
fn micros(text: &str, calendar: Calendar, is_end: bool) -> Option<i64> {
    let (date, has_time) = parse_date(text)?;
    let instant = calendar.instant(&date).ok()?.micros();
    Some(if is_end && !has_time {
        instant + 86_400_000_000
    } else {
        instant
    })
}

/// `YYYY-MM-DD`, optionally `THH[:MM[:SS]][Z]`; calendar days such as 30 February are let through.
fn parse_date(text: &str) -> Option<(DateTime, bool)> {
    let (date, time) = text
        .split_once(['T', ' '])
        .map_or((text, None), |(date, time)| (date, Some(time)));
    let mut parts = date.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let mut small = |missing: u8| parts.next().map_or(Some(missing), |part| part.parse().ok());
    let mut out = DateTime::midnight(year, small(1)?, small(1)?);
    if let Some(time) = time {
        let mut parts = time.trim_end_matches('Z').splitn(3, ':');
        let mut small = || parts.next().map_or(Some(0), |part| part.parse().ok());
        (out.hour, out.minute, out.second) = (small()?, small()?, small()?);
    }
    let fine = (1..=12).contains(&out.month) && (1..=31).contains(&out.day);
    (fine && out.hour < 24 && out.minute < 60 && out.second < 60).then_some((out, time.is_some()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::stores::ledger::{FileId, GroupId, GroupState, SourceGroup};

    const DAY: i64 = 86_400_000_000;

    fn file(name: &str, state: FileState, span: Option<(i64, i64)>) -> SourceFile {
        SourceFile {
            id: FileId(1),
            path: BlobPath::new("local", "bronze", format!("cmip6/{name}")),
            etag: String::from("e"),
            size: 1,
            sequencer: None,
            state,
            reference_path: None,
            findings: Vec::new(),
            fault: None,
            span: span.map(|(first, last)| TimeSpan {
                first: first * DAY + DAY / 2,
                last: last * DAY + DAY / 2,
                largest_step: DAY,
                calendar: String::from("standard"),
                start: String::new(),
                end: String::new(),
            }),
            landed_at: Timestamp::from_second(1000).unwrap(),
            updated_at: Timestamp::from_second(1000).unwrap(),
        }
    }

    fn group(expected: serde_json::Value) -> SourceGroup {
        let submission: Submission = serde_json::from_value(json!({
            "dataset_id": "tas", "resource_id": "x", "processing_options": {"expected": expected},
        }))
        .unwrap();
        let home = BlobPath::new("local", "bronze", "cmip6");
        let declaration = submission
            .into_declaration(Origin::File, &home, Timestamp::UNIX_EPOCH)
            .unwrap();
        SourceGroup {
            id: GroupId(String::from("g")),
            declaration,
            release_id: String::new(),
            job_id: String::new(),
            state: GroupState::Collecting,
            generation: 1,
            quiet_until: None,
            fault: None,
            findings: Vec::new(),
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn verdict(expected: serde_json::Value, members: &[SourceFile], second: i64) -> Verdict {
        let group = group(expected);
        judge(&Snapshot {
            group: &group,
            members,
            now: Timestamp::from_second(second).unwrap(),
        })
    }

    fn ready(names: &[&str]) -> Vec<SourceFile> {
        names
            .iter()
            .map(|name| file(name, FileState::Referenced, None))
            .collect()
    }

    #[rstest]
    #[case::one_of_two(json!({"count": 2}), &["a.nc"], Verdict::Collecting)]
    #[case::two_of_two(json!({"count": 2}), &["a.nc", "b.nc"], Verdict::Due)]
    #[case::all_named(json!({"files": ["a.nc", "b.nc"]}), &["b.nc", "a.nc"], Verdict::Due)]
    #[case::one_named_missing(json!({"files": ["a.nc", "c.nc"]}), &["b.nc", "a.nc"], Verdict::Collecting)]
    #[case::named_by_url(json!({"files": ["abfs://bronze/cmip6/a.nc"]}), &["a.nc"], Verdict::Due)]
    #[case::nothing_yet(json!({"count": 0}), &[], Verdict::Collecting)]
    fn complete_when_the_expected_are_referenced(
        #[case] expected: serde_json::Value,
        #[case] names: &[&str],
        #[case] wanted: Verdict,
    ) {
        assert_eq!(verdict(expected, &ready(names), 1000), wanted);
    }

    #[test]
    fn a_quiet_period_runs_from_the_last_landing() {
        let members = ready(&["a.nc"]);
        let until = Timestamp::from_second(1005).unwrap();
        assert_eq!(
            verdict(json!({"quiet_period": "PT5S"}), &members, 1004),
            Verdict::QuietUntil(until)
        );
        assert_eq!(
            verdict(json!({"quiet_period": "PT5S"}), &members, 1005),
            Verdict::Due
        );
    }

    #[test]
    fn a_file_still_to_be_read_holds_its_series() {
        let mut members = ready(&["a.nc", "b.nc"]);
        members.push(file("c.nc", FileState::Landed, None));
        assert_eq!(
            verdict(json!({"count": 2}), &members, 1000),
            Verdict::Collecting
        );
    }

    #[test]
    fn a_rejected_file_blocks_its_series_by_name() {
        let mut members = ready(&["a.nc"]);
        members.push(file("bad.nc", FileState::Rejected, None));
        let Verdict::Blocked(fault) = verdict(json!({"count": 1}), &members, 1000) else {
            panic!("not blocked")
        };
        assert!(fault.message.starts_with("bad.nc: "), "{}", fault.message);
    }

    // 2000-01-01 is day 730119 of the proleptic count from 0001-01-01; what counts here is the distance only.
    #[rstest]
    #[case::whole_year("2000-01-01", "2000-12-31", &[(0, 181), (182, 365)], true)]
    #[case::last_day_missing("2000-01-01", "2000-12-31", &[(0, 181), (182, 364)], false)]
    #[case::first_day_missing("2000-01-01", "2000-12-31", &[(1, 181), (182, 365)], false)]
    #[case::gap_of_a_day("2000-01-01", "2000-12-31", &[(0, 181), (183, 365)], false)]
    #[case::overlap_is_for_combine_to_refuse("2000-01-01", "2000-12-31", &[(0, 181), (181, 300)], true)]
    fn a_time_range_is_covered_without_gap(
        #[case] start: &str,
        #[case] end: &str,
        #[case] spans: &[(i64, i64)],
        #[case] due: bool,
    ) {
        let origin = Calendar::Standard
            .instant(&DateTime::midnight(2000, 1, 1))
            .unwrap()
            .micros()
            / DAY;
        let members: Vec<SourceFile> = spans
            .iter()
            .map(|(first, last)| {
                file(
                    "a.nc",
                    FileState::Referenced,
                    Some((origin + first, origin + last)),
                )
            })
            .collect();
        let wanted = if due {
            Verdict::Due
        } else {
            Verdict::Collecting
        };
        assert_eq!(
            verdict(json!({"time_range": [start, end]}), &members, 1000),
            wanted
        );
    }

    #[rstest]
    #[case::bad_name(json!({"dataset_id": "a b", "resource_id": "x"}), "dataset_id")]
    #[case::bad_pipeline(json!({"dataset_id": "a", "resource_id": "x", "processing_options": {"pipeline": "y"}}), "pipeline")]
    #[case::bad_duration(
        json!({"dataset_id": "a", "resource_id": "x", "processing_options": {"expected": {"quiet_period": "5s"}}}),
        "quiet_period"
    )]
    #[case::bad_url(json!({"dataset_id": "a", "resource_id": "x", "source_url": "file:///etc"}), "source_url")]
    fn a_bad_submission_names_its_field(#[case] body: serde_json::Value, #[case] field: &str) {
        let submission: Submission = serde_json::from_value(body).unwrap();
        let home = BlobPath::new("local", "bronze", "cmip6");
        let error = submission
            .into_declaration(Origin::Submit, &home, Timestamp::UNIX_EPOCH)
            .unwrap_err();
        assert!(error.field.contains(field), "{error}");
    }
}
