//! Every item is what the schemas of STAC and of its extensions ask for.
//!
//! The schemas are the published ones, in `tests/schemas`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::corpus::corpus;
use crate::support::pgstac::stac_python;
use crate::support::{Dev, name_of, python, repository};

/// The series of `make_catalogue_series.py`, in a folder of their own.
pub(crate) fn make_series() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let script = repository().join("tests/support/make_catalogue_series.py");
    let status = Command::new(python())
        .arg(script)
        .arg(folder.path())
        .status();
    assert!(status.unwrap().success());
    folder
}

/// The files of a folder, by name.
pub(crate) fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Checks documents against their schemas; fails with all that is wrong with any.
pub(crate) fn assert_valid(documents: &[(String, Value)]) {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (name, document) in documents {
        let file = folder.path().join(format!("{name}.json"));
        std::fs::write(&file, document.to_string()).unwrap();
        files.push(file);
    }
    let output = Command::new(stac_python())
        .arg(repository().join("tests/support/validate_stac.py"))
        .arg(repository().join("tests/schemas"))
        .args(files)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let verdicts: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let refused: Vec<_> = verdicts
        .iter()
        .filter(|found| !found["error"].is_null())
        .collect();
    assert!(refused.is_empty(), "{refused:#?}\n{errors}");
    assert_eq!(verdicts.len(), documents.len(), "{errors}");
    for (found, (_, document)) in verdicts.iter().zip(documents) {
        // The core schema, and one for each extension.
        let checked = found["checked"].as_array().unwrap().len();
        let declared = document["stac_extensions"].as_array().map_or(0, Vec::len);
        assert_eq!(checked, declared + 1, "{found}");
    }
}

/// Every series lands in a folder named like it; their items, by the names.
fn items_of(series: &[(String, Vec<PathBuf>)]) -> Vec<(String, Value)> {
    let dev = Dev::start();
    for (name, files) in series {
        dev.submit(name, files.len());
        dev.land_all(files, name);
    }
    let item = |name: &String| {
        let status = format!("/api/platform/status?dataset_id={name}&resource_id=test");
        dev.wait_for("an item", || {
            let release = dev.json(&status)["release"]["release_id"]
                .as_str()?
                .to_owned();
            let item =
                dev.json(&format!("/api/releases/{release}"))["release"]["stac_item_json"].take();
            item.is_object().then_some(item)
        })
    };
    series
        .iter()
        .map(|(name, _)| (name.clone(), item(name)))
        .collect()
}

#[test]
fn cached_items_are_valid() {
    let made = make_series();
    let mut series: Vec<(String, Vec<PathBuf>)> = ["global", "thirty", "nowhere"]
        .map(|name| (name.to_owned(), files_of(&made.path().join(name))))
        .to_vec();
    if let Some(corpus) = corpus() {
        series.extend(groups(&corpus));
    }
    let items = items_of(&series);
    assert_valid(&items);
    let of = |name: &str| &items.iter().find(|(found, _)| found == name).unwrap().1;
    let global = of("global");
    assert_eq!(global["bbox"], json!([-180.0, -90.0, 180.0, 90.0]));
    assert_eq!(global["properties"]["license"], "CC-BY-4.0");
    let thirty = &of("thirty")["properties"];
    assert_eq!(thirty["end_datetime"], "2000-02-29T00:00:00Z");
    assert_eq!(thirty["landfall:time_range"][1], "2000-02-30T00:00:00Z");
    assert_eq!(of("nowhere")["geometry"], Value::Null);
}

/// The series of the corpus, under names of their own.
fn groups(corpus: &Path) -> Vec<(String, Vec<PathBuf>)> {
    let manifest = std::fs::read(corpus.join("MANIFEST.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let groups = manifest["groups"].as_array().unwrap().iter().enumerate();
    groups
        .map(|(number, group)| {
            let files = group["files"].as_array().unwrap().iter();
            let files = files.map(|file| corpus.join(file.as_str().unwrap()));
            (format!("group{number}"), files.collect())
        })
        .collect()
}

/// Every file of the corpus is a series of its own: `just items` runs it, against the published schemas.
#[test]
#[ignore = "takes minutes; `just items` runs it"]
fn every_file_of_the_corpus_makes_a_valid_item() {
    let corpus = corpus().expect("the corpus");
    let manifest = std::fs::read(corpus.join("MANIFEST.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let files = manifest["files"].as_array().unwrap().iter();
    let files: Vec<PathBuf> = files
        .filter(|file| file["hostile"] == false)
        .map(|file| corpus.join(file["file"].as_str().unwrap()))
        .filter(|file| {
            [".nc", ".nc4", ".cdf", ".h5", ".hdf5"]
                .iter()
                .any(|end| name_of(file).ends_with(end))
        })
        .collect();
    let dev = Dev::start_told(&[], &[("LANDFALL_AUTO_GROUP", "true")]);
    for (number, file) in files.iter().enumerate() {
        dev.land(file, &format!("{number}/{}", name_of(file)));
    }
    // Until nothing more is combined for a while: some are refused, and tried again and again.
    let mut before = 0;
    while before == 0 || dev.steps("combined").len() > before {
        before = dev.steps("combined").len();
        std::thread::sleep(std::time::Duration::from_secs(15));
    }
    let releases = dev.json("/api/releases")["releases"].take();
    let releases = releases.as_array().unwrap();
    let items = releases
        .iter()
        .filter(|found| found["processing_status"] == "completed");
    let items: Vec<(String, Value)> = items
        .map(|found| {
            let id = found["release_id"].as_str().unwrap();
            let item = dev.json(&format!("/api/releases/{id}"))["release"]["stac_item_json"].take();
            (id.to_owned(), item)
        })
        .collect();
    eprintln!("{} items of {} files", items.len(), files.len());
    assert!(items.len() > files.len() / 2);
    assert_valid(&items);
}
