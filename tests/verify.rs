//! `landfall verify`: a reference is what its sources say, or what is wrong is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::web::{Fault, Web};
use crate::support::{Dev, demo_series, fixture, landfall, name_of, python, repository};

/// The demo series in a folder of its own, with its combined reference `c.json`.
struct Stage {
    folder: tempfile::TempDir,
    files: Vec<PathBuf>,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let copy = |file: &PathBuf| {
            let target = folder.path().join(name_of(file));
            fs::copy(file, &target).unwrap();
            target
        };
        let files: Vec<PathBuf> = demo_series().iter().map(copy).collect();
        let stage = Self { folder, files };
        stage.combine(&["-o", "c.json"]);
        stage
    }

    fn combine(&self, arguments: &[&str]) -> Value {
        let mut command = landfall();
        command.current_dir(self.folder.path()).arg("combine");
        let output = command
            .args(&self.files)
            .args(arguments)
            .arg("--json")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn document(&self) -> Value {
        serde_json::from_slice(&fs::read(self.folder.path().join("c.json")).unwrap()).unwrap()
    }

    fn write(&self, document: &Value) {
        fs::write(self.folder.path().join("c.json"), document.to_string()).unwrap();
    }

    /// Exit code, mismatches and summary.
    fn verify(&self, arguments: &[&str]) -> (Option<i32>, Vec<Value>, Value) {
        verify_in(self.folder.path(), arguments)
    }
}

fn verify_in(folder: &Path, arguments: &[&str]) -> (Option<i32>, Vec<Value>, Value) {
    let mut command = landfall();
    command.current_dir(folder).arg("verify").args(arguments);
    let output = command.arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = lines.pop().unwrap_or_default();
    let mismatches = lines.into_iter().map(|line| line["mismatch"].clone());
    (output.status.code(), mismatches.collect(), summary)
}

#[rstest]
#[case::a_sample(&[], 6)]
#[case::every_chunk(&["--all"], 36)]
fn a_reference_that_is_right_passes(#[case] arguments: &[&str], #[case] decoded: u64) {
    let stage = Stage::new();
    let (exit, mismatches, summary) = stage.verify(&[&["c.json"], arguments].concat());
    assert_eq!((exit, mismatches.len()), (Some(0), 0), "{summary}");
    let verified = &summary["verified"];
    assert_eq!(verified["files"], 3);
    assert_eq!(verified["chunks_compared"], 36);
    assert_eq!(verified["chunks_sampled"], decoded);
    assert_eq!(summary["unpinned"], json!([]));
}

#[test]
fn references_of_one_file_and_tables_pass() {
    let stage = Stage::new();
    for output in ["one.json", "one.parq"] {
        let mut command = landfall();
        command.current_dir(stage.folder.path()).arg("virtualize");
        let made = command
            .arg(&stage.files[0])
            .args(["-o", output])
            .output()
            .unwrap();
        assert!(made.status.success());
        let (exit, mismatches, summary) = stage.verify(&[output]);
        assert_eq!((exit, mismatches.len()), (Some(0), 0), "{summary}");
        assert_eq!(summary["verified"]["chunks_compared"], 12);
    }
}

fn refs(document: &mut Value) -> &mut serde_json::Map<String, Value> {
    document["refs"].as_object_mut().unwrap()
}

fn one_byte_off(document: &mut Value) {
    let entry = &mut refs(document)["tas/5.0.0"][1];
    *entry = json!(entry.as_u64().unwrap() + 1);
}

fn two_files_swapped(document: &mut Value) {
    let refs = refs(document);
    let (a, b) = (refs["tas/0.0.0"][0].clone(), refs["tas/12.0.0"][0].clone());
    for (key, entry) in refs.iter_mut().filter(|(key, _)| key.starts_with("tas/")) {
        match entry.get(0) {
            Some(url) if *url == a && !key.ends_with("ray") => entry[0] = b.clone(),
            Some(url) if *url == b => entry[0] = a.clone(),
            _ => {}
        }
    }
}

fn another_scale(document: &mut Value) {
    let text = refs(document)["tas/.zattrs"].as_str().unwrap().to_owned();
    let mut attributes: Value = serde_json::from_str(&text).unwrap();
    attributes["scale_factor"] = json!(2.0);
    refs(document)["tas/.zattrs"] = json!(attributes.to_string());
}

fn another_codec(document: &mut Value) {
    let text = refs(document)["tas/.zarray"].as_str().unwrap().to_owned();
    refs(document)["tas/.zarray"] = json!(text.replace("\"elementsize\":4", "\"elementsize\":2"));
}

/// The last byte of a time: another exponent.
fn another_time(document: &mut Value) {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    let text = refs(document)["time/0"].as_str().unwrap().to_owned();
    let mut bytes = engine
        .decode(text.strip_prefix("base64:").unwrap())
        .unwrap();
    let time = f64::from_le_bytes(bytes[160..168].try_into().unwrap()) + 1.0;
    bytes[160..168].copy_from_slice(&time.to_le_bytes());
    refs(document)["time/0"] = json!(format!("base64:{}", engine.encode(bytes)));
}

fn a_chunk_lost(document: &mut Value) {
    refs(document).remove("tas/35.0.0").unwrap();
}

fn a_variable_lost(document: &mut Value) {
    refs(document).retain(|key, _| !key.starts_with("height/"));
}

/// File 0 is the first, 1 the one that holds the twentieth month, 2 the last.
#[rstest]
#[case::one_byte_off(one_byte_off, "chunk_moved", 0, "tas")]
#[case::two_files_swapped(two_files_swapped, "chunk_moved", 1, "tas")]
#[case::another_scale(another_scale, "packing_mismatch", 0, "tas")]
#[case::another_codec(another_codec, "codec_mismatch", 2, "tas")]
#[case::another_time(another_time, "times_differ", 1, "time")]
#[case::a_chunk_lost(a_chunk_lost, "chunk_moved", 2, "tas")]
#[case::a_variable_lost(a_variable_lost, "variable_missing", 0, "height")]
fn damage_to_a_reference_is_named(
    #[case] damage: fn(&mut Value),
    #[case] code: &str,
    #[case] file: usize,
    #[case] variable: &str,
) {
    let stage = Stage::new();
    let mut document = stage.document();
    damage(&mut document);
    stage.write(&document);
    let (exit, mismatches, summary) = stage.verify(&["c.json"]);
    assert_eq!(exit, Some(3), "{summary}");
    let named = json!([code, name_of(&stage.files[file]), variable]);
    let found = mismatches
        .iter()
        .map(|one| json!([one["code"], one["file"], one["variable"]]));
    assert!(found.clone().any(|one| one == named), "{mismatches:?}");
    assert_eq!(summary["ok"], false);
}

fn touched(file: &Path) {
    let open = fs::File::options().append(true).open(file).unwrap();
    open.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1))
        .unwrap();
}

fn cut(file: &Path) {
    let open = fs::File::options().append(true).open(file).unwrap();
    open.set_len(30_000).unwrap();
}

fn gone(file: &Path) {
    fs::remove_file(file).unwrap();
}

/// A file that was only touched is another version, and has the same values still.
#[rstest]
#[case::touched(touched, &["source_changed"])]
#[case::cut(cut, &["source_changed", "source_damaged"])]
#[case::gone(gone, &["source_missing"])]
fn a_source_that_is_not_what_it_was_is_named(#[case] change: fn(&Path), #[case] codes: &[&str]) {
    let stage = Stage::new();
    change(&stage.files[1]);
    let (exit, mismatches, summary) = stage.verify(&["c.json"]);
    assert_eq!(exit, Some(3), "{summary}");
    let found: Vec<&str> = mismatches
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect();
    assert_eq!(found, codes, "{mismatches:?}");
    for mismatch in &mismatches {
        assert_eq!(mismatch["file"], name_of(&stage.files[1]).as_str());
    }
}

/// A bit of a compressed chunk: places and metadata agree, and only reading it shows.
#[test]
fn damage_to_a_chunk_is_found_where_every_chunk_is_read() {
    let stage = Stage::new();
    let entry = stage.document()["refs"]["tas/17.0.0"].clone();
    let at = usize::try_from(entry[1].as_u64().unwrap()).unwrap() + 200;
    let mut bytes = fs::read(&stage.files[1]).unwrap();
    bytes[at] ^= 0x10;
    fs::write(&stage.files[1], bytes).unwrap();
    let codes = |mismatches: &[Value]| -> Vec<String> {
        let codes = mismatches
            .iter()
            .map(|one| one["code"].as_str().unwrap().to_owned());
        codes.collect()
    };
    assert_eq!(codes(&stage.verify(&["c.json"]).1), ["source_changed"]);
    let (exit, mismatches, _) = stage.verify(&["c.json", "--all"]);
    assert_eq!(codes(&mismatches), ["source_changed", "chunk_damaged"]);
    assert_eq!(
        (exit, mismatches[1]["variable"].as_str()),
        (Some(3), Some("tas"))
    );
}

#[test]
fn references_of_changed_files_are_not_combined() {
    let stage = Stage::new();
    let mut references = Vec::new();
    for file in &stage.files {
        let reference = file.with_extension("json");
        let made = landfall()
            .arg("virtualize")
            .arg(file)
            .arg("-o")
            .arg(&reference)
            .output()
            .unwrap();
        assert!(made.status.success());
        references.push(reference);
    }
    touched(&stage.files[2]);
    for further in [&[][..], &["--no-verify"]] {
        let mut command = landfall();
        command
            .current_dir(stage.folder.path())
            .arg("combine")
            .args(&references);
        let output = command
            .args(["-o", "again.json", "--json"])
            .args(further)
            .output()
            .unwrap();
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(3), "{line}");
        assert_eq!(line["error"]["code"], "source_changed");
        let message = line["error"]["message"].as_str().unwrap();
        assert!(message.contains(&name_of(&stage.files[2])), "{message}");
        assert!(!message.contains(&name_of(&stage.files[1])), "{message}");
    }
}

/// Kerchunk leaves small coordinates in the file, inlines others encoded, and writes fill values of its own.
#[test]
fn references_of_kerchunk_are_compared_and_unpinned() {
    let stage = Stage::new();
    let script = repository().join("tests/support/make_kerchunk.py");
    let made = std::process::Command::new(python())
        .arg(script)
        .arg(stage.folder.path())
        .args(&stage.files)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    for (reference, files) in [("kerchunk_one.json", 1), ("kerchunk_all.json", 3)] {
        let (exit, mismatches, summary) = stage.verify(&[reference, "--all"]);
        assert_eq!((exit, mismatches.len()), (Some(0), 0), "{mismatches:?}");
        assert_eq!(summary["unpinned"].as_array().unwrap().len(), files);
        let path = stage.folder.path().join(reference);
        let mut document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        one_byte_off(&mut document);
        fs::write(&path, document.to_string()).unwrap();
        let (exit, mismatches, _) = stage.verify(&[reference]);
        assert_eq!(
            (exit, &mismatches[0]["code"]),
            (Some(3), &json!("chunk_moved"))
        );
    }
}

/// Chunks of every kind of filter that is a codec are decoded, but Blosc 2's, which is told.
#[rstest]
#[case("blosc_lz4", &[])]
#[case("lzf", &[])]
#[case("lz4", &[])]
#[case("szip_nn_8", &[])]
#[case("bzip2", &[])]
#[case("zstd", &[])]
#[case("blosc2_zstd", &["blosc2"])]
fn chunks_are_decoded_through_their_codecs(#[case] name: &str, #[case] alone: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new(python())
        .arg(repository().join("tests/support/codecs.py"))
        .arg("write")
        .arg(folder.path())
        .arg(name)
        .status()
        .unwrap();
    assert!(made.success());
    let mut command = landfall();
    command
        .current_dir(folder.path())
        .args(["virtualize", &format!("{name}.h5"), "-o", "r.json"]);
    command.args(["--inline-max-bytes", "0"]);
    assert!(command.output().unwrap().status.success());
    let (exit, mismatches, summary) = verify_in(folder.path(), &["r.json", "--all"]);
    assert_eq!((exit, mismatches.len()), (Some(0), 0), "{mismatches:?}");
    let bytes_alone = summary["verified"]["bytes_alone"].as_array().unwrap();
    assert_eq!(bytes_alone.is_empty(), alone.is_empty(), "{summary}");
    if alone.is_empty() {
        assert!(
            summary["verified"]["chunks_sampled"].as_u64().unwrap() > 100,
            "{summary}"
        );
    }
}

/// Monthly files of one series, in the order of time.
fn months(folder: &Path, count: usize) -> Vec<PathBuf> {
    let made = std::process::Command::new(python())
        .arg(repository().join("benches/make_inputs.py"))
        .arg(folder)
        .args([
            "--indexed",
            "0",
            "--years",
            "0",
            "--months",
            &count.to_string(),
        ])
        .status()
        .unwrap();
    assert!(made.success());
    let entries = fs::read_dir(folder.join("month")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), count);
    files
}

/// A revision that one more file makes is verified where it differs from the last one; a file that is replaced is
/// compared with the ones beside it, and the others stand.
#[test]
fn a_revision_goes_on_from_the_last_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let files = months(folder.path(), 7);
    let dev = Dev::start();
    dev.land_all(&files[..6], "months");
    dev.wait_combined(1);
    dev.land(&files[6], &format!("months/{}", name_of(&files[6])));
    dev.wait_combined(2);
    let middle = dev.bronze().join("months").join(name_of(&files[2]));
    let bytes = fs::read(&middle).unwrap();
    fs::remove_file(&middle).unwrap();
    fs::write(&middle, bytes).unwrap();
    dev.wait_combined(3);
    let combined = dev.steps("combined");
    let numbers = |name: &str| -> Vec<u64> {
        combined
            .iter()
            .map(|line| line[name].as_u64().unwrap())
            .collect()
    };
    assert_eq!(numbers("files.count"), [6, 7, 7]);
    assert_eq!(numbers("files.standing"), [0, 5, 4]);
    let bytes = numbers("bytes.read");
    assert!(bytes[1] * 2 < bytes[0], "{bytes:?}");
}

/// Fifty files, and one more: what is read is that one and the one before it, whose boundary is new; the others are
/// asked for their version.
#[test]
fn one_more_file_costs_what_it_costs() {
    let folder = tempfile::tempdir().unwrap();
    let files = months(folder.path(), 51);
    let web = Web::serve(folder.path().join("month"), Fault::None, Duration::ZERO);
    let references: Vec<PathBuf> = files
        .iter()
        .map(|file| {
            let reference = folder.path().join(name_of(file)).with_extension("json");
            let mut command = landfall();
            command.arg("virtualize").arg(web.url(&name_of(file)));
            assert!(
                command
                    .arg("-o")
                    .arg(&reference)
                    .output()
                    .unwrap()
                    .status
                    .success()
            );
            reference
        })
        .collect();
    let combine = |references: &[PathBuf]| -> Value {
        let mut command = landfall();
        command
            .current_dir(folder.path())
            .arg("combine")
            .args(references);
        let output = command
            .args(["-o", "c.json", "--incremental", "--json"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let whole = combine(&references[..50]);
    assert_eq!(whole["verified"]["files_standing"], 0);
    let before = web.requests().len();
    let more = combine(&references);
    assert_eq!(more["verified"]["files"], 51);
    assert_eq!(more["verified"]["files_standing"], 49);
    let requests = web.requests().split_off(before);
    let read = requests.iter().filter(|request| request.bytes > 1);
    let read: std::collections::BTreeSet<&str> =
        read.map(|one| one.path.trim_start_matches('/')).collect();
    let expected = [name_of(&files[49]), name_of(&files[50])];
    assert_eq!(read.into_iter().collect::<Vec<_>>(), expected);
    let others: usize = requests.iter().filter(|request| request.bytes <= 1).count();
    // Once for the references, once for the verdicts.
    assert_eq!(others, 51 + 49);
    let bytes = more["io"]["bytes"].as_u64().unwrap();
    assert!(
        bytes * 10 < whole["io"]["bytes"].as_u64().unwrap(),
        "{bytes}"
    );
}

/// Without the feature the flag says how to build it; with it the library agrees, and classic files are named.
#[test]
fn libhdf5_is_a_second_opinion() {
    let stage = Stage::new();
    let (exit, mismatches, summary) = stage.verify(&["c.json", "--against", "libhdf5", "--all"]);
    if cfg!(not(feature = "libhdf5")) {
        assert_eq!(exit, Some(3));
        assert_eq!(summary["error"]["code"], "not_built_in");
        return;
    }
    assert_eq!((exit, mismatches.len()), (Some(0), 0), "{mismatches:?}");
    let second = &summary["libhdf5"];
    assert_eq!(
        (&second["files"], &second["not_covered"]),
        (&json!(3), &json!([]))
    );
    assert!(second["chunks"].as_u64().unwrap() >= 36, "{second}");
    let classic = fixture("classic");
    let classic = fs::read_dir(classic)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let classic = classic
        .filter(|path| path.extension().is_some_and(|e| e == "nc"))
        .min()
        .unwrap();
    let mut command = landfall();
    command
        .current_dir(stage.folder.path())
        .arg("virtualize")
        .arg(classic)
        .args(["-o", "k.json"]);
    assert!(command.output().unwrap().status.success());
    let (exit, _, summary) = stage.verify(&["k.json", "--against", "libhdf5"]);
    let named = summary["libhdf5"]["not_covered"][0].as_str().unwrap();
    assert!(exit == Some(0) && named.contains("classic"), "{summary}");
}
