//! Files that mean harm: whatever the bytes, the program answers in one line, soon, and within little memory.

mod amplify;
mod damage;
mod file;
#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a crate of its own for the fuzzer")]
mod fuzz;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::support::{fixture, landfall, python, repository};
use damage::{Original, Random};

/// The most memory of a run, in MB, beside that of a run that reads next to nothing: 14 MB of a release build, and twice
/// that of one without optimisation, whose code alone is that large.
const MEMORY: u64 = 48;

/// The most processor time of a run, in seconds; a build without optimisation takes ten times as long.
const SECONDS: u64 = if cfg!(debug_assertions) { 20 } else { 2 };

/// Damaged files in a run of the tests, and how many go into one process.
const DAMAGED: usize = 4000;
const BATCH: usize = 100;

/// What must hold of an input, or it panics.
type Target = fn(&[u8]);

/// The corpora of the fuzz targets, and the functions that they are run through.
const TARGETS: [(&str, Target); 8] = [
    ("chunk", fuzz::chunk::run),
    ("classic", fuzz::classic::run),
    ("envelopes", fuzz::envelopes::run),
    ("hdf5", fuzz::hdf5::run),
    ("kerchunk", fuzz::kerchunk::run),
    ("names", fuzz::names::run),
    ("parquet", fuzz::parquet::run),
    ("times", fuzz::times::run),
];

/// Memory of a run that reads next to nothing, in MB.
static FLOOR: LazyLock<u64> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let runs = run(&[fixture("classic/cdf1.nc")], 1, folder.path());
    runs[0].memory
});

/// What a run of the program cost, and what it said.
struct Run {
    files: String,
    exit: i64,
    seconds: f64,
    memory: u64,
    lines: Vec<Value>,
    errors: String,
}

/// Runs the program on files, so many at a time.
fn run(files: &[PathBuf], batch: usize, folder: &Path) -> Vec<Run> {
    let output = Command::new(python())
        .arg(repository().join("tests/support/run_limited.py"))
        .args([(3 * SECONDS).to_string(), String::from("2048")])
        .arg(folder)
        .arg(batch.to_string())
        .arg(landfall().get_program())
        .args(files)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let runs: Vec<Run> = told.lines().map(parsed).collect();
    assert_eq!(runs.len(), files.len().div_ceil(batch), "{told}");
    runs
}

fn parsed(line: &str) -> Run {
    let told: Value = serde_json::from_str(line).unwrap();
    let lines = told["stdout"].as_str().unwrap().lines();
    Run {
        files: told["files"].to_string(),
        exit: told["exit"].as_i64().unwrap(),
        seconds: told["cpu"].as_f64().unwrap(),
        memory: told["rss"].as_u64().unwrap(),
        lines: lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        errors: told["stderr"].as_str().unwrap().to_owned(),
    }
}

/// What is wrong with a run: it must end with an exit code of the command line, a line of JSON for each file and nothing
/// on stderr; an error has a code and one line of text that says of which file.
fn problem(run: &Run, files: usize) -> Option<String> {
    if !matches!(run.exit, 0 | 3) || !run.errors.is_empty() {
        return Some(format!("exit code {}: {}", run.exit, run.errors));
    }
    if run.lines.len() != files {
        return Some(format!("{} lines for {files} files", run.lines.len()));
    }
    if run.memory >= MEMORY + *FLOOR {
        return Some(format!("{} MB of memory", run.memory));
    }
    let errors = run.lines.iter().filter_map(|line| line.get("error"));
    let mut wrong = errors.filter(|error| !is_clean(error));
    wrong.next().map(|error| format!("unclear: {error}"))
}

fn is_clean(error: &Value) -> bool {
    let (code, message) = (error["code"].as_str(), error["message"].as_str());
    let named = code.is_some_and(|code| !code.is_empty());
    named && message.is_some_and(|text| text.starts_with('/') && !text.contains(char::is_control))
}

#[test]
fn small_files_do_not_become_large_costs() {
    let folder = tempfile::tempdir().unwrap();
    let mut problems = Vec::new();
    for (name, bytes) in amplify::cases() {
        assert!(bytes.len() <= 1 << 20, "{name}: {} bytes", bytes.len());
        let path = folder.path().join(format!("{}.nc", name.replace(' ', "_")));
        fs::write(&path, bytes).unwrap();
        for run in run(&[path], 1, folder.path()) {
            let slow = run.seconds >= SECONDS as f64;
            let slow = slow.then(|| format!("{} seconds", run.seconds));
            let problem = problem(&run, 1).or(slow);
            problems.extend(problem.map(|problem| format!("{name}: {problem}")));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Each of these was refused as a whole: what many objects share was counted for each of them.
#[test]
fn honest_files_with_much_metadata_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(python())
        .arg(repository().join("tests/support/make_heavy_files.py"))
        .arg(folder.path())
        .output()
        .unwrap();
    let expected: Value = serde_json::from_slice(&made.stdout).unwrap();
    for (name, variables) in expected.as_object().unwrap() {
        let run = run(
            &[folder.path().join(format!("{name}.nc"))],
            1,
            folder.path(),
        );
        let line = &run[0].lines[0];
        assert_eq!(run[0].exit, 0, "{name}: {line}");
        let found = line["variables"].as_array().unwrap().len() as u64;
        assert_eq!(
            Some(found),
            variables.as_u64(),
            "{name}: {}",
            line["skipped"]
        );
    }
}

#[test]
fn damaged_files_are_answered_in_a_line_each() {
    let originals = originals();
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(seed());
    let paths: Vec<PathBuf> = (0..count())
        .map(|number| {
            let original = &originals[number % originals.len()];
            let bytes = original.damaged(&mut random, number / originals.len() % 2 == 1);
            let path = folder.path().join(format!("{number}_{}", original.name));
            fs::write(&path, bytes).unwrap();
            path
        })
        .collect();
    for some in paths.chunks(BATCH) {
        let whole = run(some, BATCH, folder.path());
        if whole
            .iter()
            .all(|whole| problem(whole, some.len()).is_none())
        {
            continue;
        }
        let alone = run(some, 1, folder.path());
        let problems: Vec<String> = alone
            .iter()
            .filter_map(|run| Some(format!("{}: {}", run.files, problem(run, 1)?)))
            .collect();
        let kept = folder.keep();
        panic!(
            "{problems:#?} alone, or all of them together; kept in {}",
            kept.display()
        );
    }
}

/// So many damaged files; `LANDFALL_DAMAGED` sets another number, for long runs.
fn count() -> usize {
    let count = std::env::var("LANDFALL_DAMAGED").ok();
    count.map_or(DAMAGED, |count| count.parse().unwrap())
}

/// The same damage every time, unless `LANDFALL_SEED` says otherwise.
fn seed() -> u64 {
    let seed = std::env::var("LANDFALL_SEED").ok();
    seed.map_or(1, |seed| seed.parse().unwrap())
}

/// Every fixture.
fn originals() -> Vec<Original> {
    let folders = ["hdf5", "netcdf4", "classic", "cmip6", "ragged", "mismatch"];
    let mut paths: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(fixture(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        Original::new(format!("{stem}.nc"), fs::read(path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn the_fuzz_corpora_hold_nothing_that_breaks_what_must_hold() {
    for (target, run) in TARGETS {
        let corpus = repository().join("fuzz/corpus").join(target);
        let mut inputs = 0;
        for entry in fs::read_dir(corpus).unwrap() {
            run(&fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 20, "{target}: {inputs}");
    }
    for target in ["classic", "hdf5"] {
        let corpus = repository().join("fuzz/corpus").join(target);
        for entry in fs::read_dir(corpus).unwrap() {
            fuzz::inspect::run(&fs::read(entry.unwrap().path()).unwrap());
        }
    }
}

/// The fuzzer finds more; this takes a second, and no other compiler.
#[test]
fn damaged_inputs_of_the_fuzz_corpora_break_nothing() {
    let mut random = Random(seed());
    for (target, run) in TARGETS {
        let corpus = fs::read_dir(repository().join("fuzz/corpus").join(target)).unwrap();
        let mut paths: Vec<PathBuf> = corpus.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for number in 0..count() / 10 {
            let bytes = fs::read(&paths[number % paths.len()]).unwrap();
            if bytes.iter().any(|byte| *byte != 0) {
                run(&Original::new(target.to_owned(), bytes).damaged(&mut random, false));
            }
        }
    }
}

/// A cut leaves the magic number and the claims of the header, and takes what they lead to.
#[test]
fn every_fixture_cut_at_every_length_is_refused_or_read() {
    for original in originals() {
        let bytes = &original.bytes;
        // Of long files most of the lengths lie in the data, where one is like another.
        let step = bytes.len() / 4096 + 1;
        for length in (0..bytes.len()).step_by(step) {
            let cut = bytes::Bytes::copy_from_slice(&bytes[..length]);
            let options = virtualize::DecodeOptions {
                verify_checksums: length % 2 == 0,
                ..virtualize::DecodeOptions::default()
            };
            let _ = fuzz::decoder::decode(&cut, &options);
        }
    }
}
