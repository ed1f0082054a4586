//! The whole job: six series dropped out of order into Azurite, with duplicated and lost events, corrupt files, a corrected
//! one and one taken away; what is published afterwards is what netCDF4 and xarray read from the files that are left.
//!
//! `just e2e` drops sixty files; the suite drops fewer. `LANDFALL_E2E_FILES` says how many.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::corpus::{corpus, series as public_series};
use crate::support::azurite::{Azurite, BRONZE, SILVER};
use crate::support::postgres::{Cluster, cluster};
use crate::support::rig::{Site, block_on, wait_until};
use crate::support::{Dev, name_of, python, read_with_xarray, repository};

/// How long everything may take to come to rest.
const LIMIT: Duration = Duration::from_secs(120);

/// The series that somebody has corrected and cut.
const EDITED: &str = "edited";

/// The series that lacks a file which cannot be read.
const BROKEN: &str = "broken";

/// A series: its folder, which is its dataset too, and its files in the order of time.
struct Series {
    name: String,
    files: Vec<PathBuf>,
}

/// Makes a series with the script of the tests.
fn make(folder: &Path, name: &str, count: usize, further: &[&str]) -> Vec<PathBuf> {
    let folder = folder.join(name);
    let done = Command::new(python())
        .arg(repository().join("tests/support/make_drops.py"))
        .arg(&folder)
        .args([name, &count.to_string()])
        .args(further)
        .status();
    assert!(done.unwrap().success());
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

/// The four public series where the corpus is present, else four of our own; two more to come to so many files.
fn all_series(folder: &Path, count: usize) -> Vec<Series> {
    let public = [
        ("pr_Amon_HadGEM3-GC31-MM_dcppA-hindcast", 4),
        ("siconc_SImon_MPI-ESM1-2-HR", 4),
        ("ta_day_MIROC6", 3),
        ("tas_AFR-22", 2),
    ];
    let corpus = corpus();
    let found = public.map(|(start, length)| Series {
        name: start.to_lowercase(),
        files: match &corpus {
            Some(corpus) => public_series(corpus, start),
            None => make(folder, start, length, &[]),
        },
    });
    let ours = count - found.iter().map(|series| series.files.len()).sum::<usize>();
    let classic = ["--format", "NETCDF3_64BIT_OFFSET"];
    let edited = make(folder, EDITED, ours / 2, &[]);
    let broken = make(folder, BROKEN, ours - ours / 2, &classic);
    let mut series = Vec::from(found);
    for (name, files) in [(EDITED, edited), (BROKEN, broken)] {
        let name = name.to_owned();
        series.push(Series { name, files });
    }
    series
}

/// What a series is declared with: one kind of completeness each.
fn submission(series: &Series, place: usize) -> Value {
    let names: Vec<String> = series.files.iter().map(|file| name_of(file)).collect();
    let expected = match place {
        0 => json!({"count": names.len()}),
        1 | 3 => json!({"files": names}),
        5 => json!({"count": names.len()}),
        _ => json!({"quiet_period": "PT3S"}),
    };
    json!({
        "dataset_id": series.name, "resource_id": "e2e", "processing_options": {"expected": expected},
        "source_url": format!("abfs://drops/{}/", series.name),
    })
}

/// Where the test stands.
struct Run {
    azurite: Azurite,
    cluster: &'static Cluster,
    site: Site,
    dev: Dev,
    /// What lies in the container now, by name.
    landed: BTreeMap<String, Vec<u8>>,
}

impl Run {
    fn put(&mut self, series: &str, file: &Path, bytes: Vec<u8>) {
        let name = format!("{series}/{}", name_of(file));
        let path = format!("drops/{name}");
        block_on(self.azurite.put(BRONZE, &path, bytes.clone()));
        self.landed.insert(name, bytes);
    }

    fn status(&self, series: &str) -> Value {
        let path = format!("/api/platform/status?dataset_id={series}&resource_id=e2e");
        self.dev.json(&path)
    }

    /// A file that cannot be read is told with its name and the reason, and its series says why it does not go on.
    fn assert_refusal_shows(&self, series: &str, file: &Path) {
        let name = name_of(file);
        let is_told = |status: &Value| {
            let files = status["files"].as_array().into_iter().flatten();
            let mut of_name = files.filter(|file| file["url"].as_str().unwrap().ends_with(&name));
            let is_listed = of_name
                .any(|file| file["state"] == "rejected" && file["reason"]["message"].is_string());
            let why = status["error"]["message"].as_str().unwrap_or_default();
            is_listed && why.contains(&name) && status["progress"]["files"]["rejected"] == 1
        };
        wait_until(LIMIT, || {
            let status = self.status(series);
            is_told(&status).then_some(()).ok_or(status.to_string())
        });
    }
}

/// Drops everything in a chance order; gives the files that came to nothing, of the edited and of the broken series.
fn drop_all(run: &mut Run, series: &[Series]) -> (PathBuf, PathBuf) {
    let mut chance = fastrand::Rng::with_seed(11);
    let mut order: Vec<(&str, &PathBuf)> = series
        .iter()
        .flat_map(|series| series.files.iter().map(|file| (series.name.as_str(), file)))
        .collect();
    chance.shuffle(&mut order);
    let of = |name: &str| {
        &series
            .iter()
            .find(|series| series.name == name)
            .unwrap()
            .files
    };
    let (garbage, cut) = (of(EDITED)[2].clone(), of(BROKEN)[1].clone());
    for (place, (name, file)) in order.iter().enumerate() {
        let mut bytes = fs::read(file).unwrap();
        if **file == garbage {
            bytes = b"<html>503 Service Unavailable</html>".to_vec();
        } else if **file == cut {
            bytes.truncate(bytes.len() / 2);
        }
        run.put(name, file, bytes);
        if place == order.len() / 3 {
            let declared = submission(&series[1], 1).to_string();
            run.put(&series[1].name, Path::new("landfall.json"), declared.into());
        }
        std::thread::sleep(Duration::from_millis(chance.u64(..100)));
    }
    (garbage, cut)
}

fn start(azurite: Azurite) -> Run {
    let site = Site::make(&azurite, cluster(), ("drops", "silver"), SILVER);
    // The seed has several of the first thirty events lost.
    let faults = [
        "--duplicate",
        "0.3",
        "--lose",
        "0.05",
        "--reorder",
        "0.3",
        "--delay",
        "200",
        "--seed",
        "5",
    ];
    // As a deployed app has it, and not as `dev` has.
    let dev = site.start(&faults, &[("LANDFALL_AUTO_GROUP", "false")]);
    Run {
        azurite,
        cluster: cluster(),
        site,
        dev,
        landed: BTreeMap::new(),
    }
}

#[test]
fn whatever_happens_to_the_events_what_is_published_is_what_the_files_say() {
    let count = std::env::var("LANDFALL_E2E_FILES").map_or(30, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let series = all_series(folder.path(), count);
    let corrected = make(
        &folder.path().join("second"),
        EDITED,
        2,
        &["--edition", "2"],
    );
    let mut run = start(Azurite::in_memory());
    for (place, series) in series.iter().enumerate().filter(|(place, _)| *place != 1) {
        let (status, answer) = run
            .dev
            .post("/api/platform/submit", &submission(series, place));
        assert_eq!(status, 202, "{answer}");
    }
    let (garbage, cut) = drop_all(&mut run, &series);
    run.assert_refusal_shows(EDITED, &garbage);
    run.assert_refusal_shows(BROKEN, &cut);
    // In the midst of it: one file is corrected, one taken away, one sent again whole.
    run.put(EDITED, &corrected[0], fs::read(&corrected[0]).unwrap());
    let last = series[4].files.last().unwrap();
    let taken = format!("{EDITED}/{}", name_of(last));
    block_on(run.azurite.delete(BRONZE, &format!("drops/{taken}")));
    run.landed.remove(&taken).unwrap();
    run.put(EDITED, &garbage, fs::read(&garbage).unwrap());
    run.site.wait_for_rest(&run.azurite, run.cluster, LIMIT);

    run.assert_refusal_shows(BROKEN, &cut);
    assert_published(&run, &series, folder.path());
    let states = "SELECT state, count(*) FROM landfall.source_file GROUP BY 1 ORDER BY 1";
    let referenced = count + 1 - 2;
    assert_eq!(
        run.site.sql(run.cluster, states),
        format!("gone|1\nreferenced|{referenced}\nrejected|1")
    );
    assert!(!run.dev.steps("lost").is_empty(), "no event was lost");
    let found = run.dev.steps("swept").into_iter();
    let found = found.filter_map(|line| line["unannounced.count"].as_u64());
    assert!(found.sum::<u64>() > 0, "Sweep found nothing");
}

/// Each series but the broken one is published, with the files that lie in the container and nothing else.
fn assert_published(run: &Run, series: &[Series], folder: &Path) {
    let written = block_on(run.azurite.list(SILVER, "silver"));
    for Series { name, .. } in series {
        let left = folder.join("left").join(name);
        fs::create_dir_all(&left).unwrap();
        let mut files = Vec::new();
        for (blob, bytes) in &run.landed {
            let Some(file) = blob.strip_prefix(&format!("{name}/")) else {
                continue;
            };
            if file.ends_with(".nc") {
                fs::write(left.join(file), bytes).unwrap();
                files.push(left.join(file));
            }
        }
        let status = run.status(name);
        let combined = format!("refs/combined/{name}/");
        let is_written = written.keys().any(|blob| blob.starts_with(&combined));
        if name == BROKEN {
            assert!(!is_written, "{written:?}");
            assert_eq!(status["job_status"], "failed", "{status}");
            assert_eq!(status["outputs"], Value::Null, "{status}");
            continue;
        }
        assert_eq!(status["job_status"], "completed", "{status}");
        assert_eq!(
            status["outputs"]["result"]["source_files"],
            files.len(),
            "{status}"
        );
        let store = status["outputs"]["zarr_url"].as_str().unwrap();
        read_with_xarray("served", store, &files);
    }
}
