//! Stage 5, first half: which files belong together, and when a series is complete. SPEC §6.
//!
//! `submission` is what people declare, `name` what file names tell, `span` whether times cover a range.

mod name;
mod span;
mod submission;

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::parse_duration;
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::{
    Counts, Declaration, Expected, Fault, FileState, Judge, Snapshot, SourceFile, SourceGroup,
    Verdict,
};

pub use name::{AUTO_PLATFORM, NameOfSeries, auto_declaration, series_of};
pub(crate) use span::micros;
pub use submission::{OneOrMany, SUBMISSION_FIELDS, Submission, SubmissionError, option_fields};

/// Name of the file that declares the series beside it.
pub const DECLARATION_NAME: &str = "landfall.json";

/// Name endings that the event subscription lets through.
const DATA_SUFFIXES: [&str; 5] = [".nc", ".nc4", ".cdf", ".h5", ".hdf5"];

/// Whether a blob is a data file by its name.
pub fn is_data_file(path: &BlobPath) -> bool {
    let name = path.file_name().to_ascii_lowercase();
    DATA_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Whether a blob declares a series.
pub fn is_declaration(path: &BlobPath) -> bool {
    path.file_name() == DECLARATION_NAME
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
        Some(Expected::Files(names)) => {
            // As a scan names them. To read thousands of addresses for each file takes longer than the file.
            let address = path.to_string();
            names.contains(&address) || names.iter().any(|name| is_named(name, declaration, path))
        }
        _ => glob::Pattern::new(&declaration.options.file_pattern)
            .is_ok_and(|p| p.matches(path.file_name())),
    }
}

/// What a name in a list of files means.
struct Meaning<'a> {
    /// The blob, of a name that is an address.
    address: Option<BlobPath>,
    /// The blob, of a name that is a path below the prefix.
    below: String,
    /// The end of the blob's name, of a name without a folder.
    end: Option<&'a str>,
}

impl<'a> Meaning<'a> {
    fn of(name: &'a str, declaration: &Declaration) -> Self {
        let folder = declaration.prefix.blob.trim_end_matches('/');
        Self {
            address: BlobPath::parse(name, &declaration.prefix.account).ok(),
            below: match folder.is_empty() {
                true => name.to_owned(),
                false => format!("{folder}/{name}"),
            },
            end: (!name.contains('/')).then_some(name),
        }
    }

    fn is(&self, path: &BlobPath) -> bool {
        match &self.address {
            Some(address) => address == path,
            None => self.below == path.blob || self.end == Some(path.file_name()),
        }
    }
}

/// Whether `name` (a URL, a path below the prefix, or a bare file name) means the blob.
fn is_named(name: &str, declaration: &Declaration, path: &BlobPath) -> bool {
    Meaning::of(name, declaration).is(path)
}

/// How it is judged whether a series is complete.
pub const JUDGE: Judge = Judge {
    by_counts,
    by_members: judge,
};

fn by_counts(group: &SourceGroup, counts: &Counts, now: Timestamp) -> Option<Verdict> {
    if counts.rejected > 0 {
        // The verdict names the file.
        return None;
    }
    if counts.referenced < counts.members || counts.members == 0 {
        return Some(Verdict::Collecting);
    }
    let is_short_of = |count: u64| counts.referenced < count;
    match &group.declaration.options.expected {
        Some(Expected::Files(names)) => is_short_of(at_least(names)).then_some(Verdict::Collecting),
        Some(Expected::Count(count)) if is_short_of(*count) => Some(Verdict::Collecting),
        Some(Expected::Count(_)) => Some(Verdict::Due),
        Some(Expected::TimeRange(..)) => None,
        Some(Expected::QuietPeriod(text)) => Some(quiet(counts.last_landed, text, now)),
        None => Some(quiet(counts.last_landed, DEFAULT_QUIET_PERIOD, now)),
    }
}

/// How many files so many names mean at the least: what ends differently is another file, unless an address spells it
/// in another way.
fn at_least(names: &[String]) -> u64 {
    let ends: HashSet<&str> = names
        .iter()
        .filter(|name| !name.contains(['%', '?']))
        .filter_map(|name| name.rsplit('/').next())
        .collect();
    u64::try_from(ends.len()).unwrap_or(u64::MAX)
}

/// Completeness of a series that says nothing else.
const DEFAULT_QUIET_PERIOD: &str = "PT10M";

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
    let last_landed = || members.iter().map(|file| file.landed_at).max();
    let complete = match &declaration.options.expected {
        Some(Expected::Files(names)) => are_all_there(names, declaration, members),
        Some(Expected::Count(count)) => u64::try_from(referenced).unwrap_or(u64::MAX) >= *count,
        Some(Expected::TimeRange(start, end)) => span::covers(members, start, end),
        Some(Expected::QuietPeriod(text)) => return quiet(last_landed(), text, snapshot.now),
        None => return quiet(last_landed(), DEFAULT_QUIET_PERIOD, snapshot.now),
    };
    if complete {
        Verdict::Due
    } else {
        Verdict::Collecting
    }
}

/// Whether each name means a member.
fn are_all_there(names: &[String], declaration: &Declaration, members: &[SourceFile]) -> bool {
    let paths = || members.iter().map(|file| &file.path);
    let addresses: HashSet<&BlobPath> = paths().collect();
    let blobs: HashSet<&str> = paths().map(|path| path.blob.as_str()).collect();
    let ends: HashSet<&str> = paths().map(BlobPath::file_name).collect();
    names.iter().all(|name| {
        let Meaning {
            address,
            below,
            end,
        } = Meaning::of(name, declaration);
        match address {
            Some(address) => addresses.contains(&address),
            None => blobs.contains(below.as_str()) || end.is_some_and(|end| ends.contains(end)),
        }
    })
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

fn quiet(last_landed: Option<Timestamp>, period: &str, now: Timestamp) -> Verdict {
    let period = parse_duration(period).unwrap_or(Duration::from_secs(600));
    let until = last_landed
        .unwrap_or(now)
        .checked_add(period)
        .unwrap_or(Timestamp::MAX);
    if now >= until {
        Verdict::Due
    } else {
        Verdict::QuietUntil(until)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use virtualize::cf::{Calendar, DateTime};

    use super::*;
    use crate::stores::ledger::{FileId, GroupId, GroupState, Origin, SourceGroup, TimeSpan};

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

    /// The verdict on members, which is also that on their numbers where these tell it.
    fn verdict(expected: serde_json::Value, members: &[SourceFile], second: i64) -> Verdict {
        let group = group(expected);
        let now = Timestamp::from_second(second).unwrap();
        let verdict = judge(&Snapshot {
            group: &group,
            members,
            now,
        });
        let of_state = |state| members.iter().filter(|file| file.state == state).count() as u64;
        let counts = Counts {
            members: members.len() as u64,
            referenced: of_state(FileState::Referenced),
            rejected: of_state(FileState::Rejected),
            last_landed: members.iter().map(|file| file.landed_at).max(),
        };
        if let Some(by_counts) = by_counts(&group, &counts, now) {
            assert_eq!(by_counts, verdict);
        }
        verdict
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
    #[case::named_twice(json!({"files": ["a.nc", "abfs://bronze/cmip6/a.nc"]}), &["a.nc"], Verdict::Due)]
    #[case::spelled_in_two_ways(
        json!({"files": ["a b.nc", "https://local.blob.core.windows.net/bronze/cmip6/a%20b.nc"]}), &["a b.nc"], Verdict::Due
    )]
    #[case::as_a_scan_names_them(
        json!({"files": ["abfs://bronze@local/cmip6/a.nc", "abfs://bronze@local/cmip6/b.nc"]}), &["b.nc", "a.nc"], Verdict::Due
    )]
    #[case::nothing_yet(json!({"count": 1}), &[], Verdict::Collecting)]
    fn complete_when_the_expected_are_referenced(
        #[case] expected: serde_json::Value,
        #[case] names: &[&str],
        #[case] wanted: Verdict,
    ) {
        assert_eq!(verdict(expected, &ready(names), 1000), wanted);
    }

    #[test]
    fn numbers_tell_that_a_long_series_is_not_complete() {
        let names: Vec<String> = (0..5000)
            .map(|n| format!("abfs://bronze@local/cmip6/{n}.nc"))
            .collect();
        let mut group = group(json!({"files": names}));
        let mut counts = Counts {
            members: 4999,
            referenced: 4999,
            rejected: 0,
            last_landed: None,
        };
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(by_counts(&group, &counts, now), Some(Verdict::Collecting));
        (counts.members, counts.referenced) = (5000, 5000);
        assert_eq!(
            by_counts(&group, &counts, now),
            None,
            "which ones, they do not"
        );
        group.declaration.options.expected = Some(Expected::Count(5000));
        assert_eq!(by_counts(&group, &counts, now), Some(Verdict::Due));
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
