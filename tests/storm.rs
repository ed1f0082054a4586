//! Storms: many things happening to a folder at once, and what must be true when they are over.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{Dev, demo_series, fixture, landfall, name_of};

/// Names that tempt to be encoded, decoded or cut.
const FOLDERS: [&str; 4] = ["cmip6", "a b/dönées", "h#sh/50%", "p+q?&"];

/// Repeatable chance (xorshift); the seed is printed by the assertion that fails.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// The ledger as another program sees it.
fn rows(dev: &Dev, sql: &str) -> Vec<(String, String)> {
    let database = Connection::open(dev.root.path().join("landfall.db")).unwrap();
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

/// Waits until nothing is under way any more, and has not been for a while.
fn wait_quiet(dev: &Dev) {
    let busy = "SELECT blob, state FROM landfall_source_file WHERE state IN ('landed', 'reading')
         UNION ALL SELECT id, state FROM landfall_source_group
             WHERE state IN ('due', 'combining', 'failed') OR quiet_until IS NOT NULL
         UNION ALL SELECT queue, text FROM landfall_queue_message";
    let mut calm = None;
    let start = Instant::now();
    loop {
        let under_way = rows(dev, busy);
        calm = match (under_way.is_empty(), calm) {
            (true, None) => Some(Instant::now()),
            (true, since) => since,
            (false, _) => None,
        };
        if calm.is_some_and(|since| since.elapsed() > Duration::from_millis(1500)) {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "still under way: {under_way:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One thing that happens to one file of bronze.
fn disturb(dev: &Dev, chance: &mut Chance, source: &Path, target: &Path) {
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    let elsewhere = dev.root.path().join("elsewhere.nc");
    match chance.below(9) {
        0..=2 => drop(fs::copy(source, target).unwrap()),
        3 => fs::write(target, b"not a NetCDF file").unwrap(),
        4 => drop(fs::remove_file(target)),
        5 => {
            fs::copy(source, &elsewhere).unwrap();
            fs::rename(&elsewhere, target).unwrap();
        }
        6 => {
            let moved = target.with_file_name(format!("moved_{}", name_of(target)));
            if fs::rename(target, &moved).is_ok() {
                fs::rename(&moved, target).unwrap();
            }
        }
        7 => {
            let bytes = fs::read(source).unwrap();
            for piece in 1..=4 {
                fs::write(target, &bytes[..bytes.len() * piece / 4]).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        _ => {
            let file = fs::File::options().append(true).open(target);
            if let Ok(file) = file {
                file.set_modified(std::time::SystemTime::now()).unwrap();
            }
        }
    }
    std::thread::sleep(Duration::from_millis(*chance.pick(&[0, 0, 10, 150])));
}

/// Every file on disk has the state that its bytes deserve, and no other is thought to be there.
fn assert_files(dev: &Dev, seed: u64) {
    let sql = "SELECT blob, state FROM landfall_source_file WHERE state <> 'gone' ORDER BY blob";
    let recorded: BTreeMap<String, String> = rows(dev, sql).into_iter().collect();
    let mut on_disk = BTreeMap::new();
    let mut folders = vec![dev.bronze()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let blob = path.strip_prefix(dev.bronze()).unwrap();
            let is_good = fs::read(&path).unwrap().starts_with(b"\x89HDF");
            let state = if is_good { "referenced" } else { "rejected" };
            on_disk.insert(blob.display().to_string(), state.to_owned());
        }
    }
    assert_eq!(recorded, on_disk, "seed {seed}");
}

/// What each combined series refers to is what `landfall combine` makes of the files on disk.
fn assert_combined(dev: &Dev, seed: u64) {
    let sql = "SELECT r.blob_path, g.prefix FROM landfall_source_group g
               JOIN app_asset_releases r USING (release_id) WHERE g.state = 'combined'";
    for (blob_path, prefix) in rows(dev, sql) {
        let published = fs::read(dev.silver().join(&blob_path)).unwrap();
        let output = dev.root.path().join("again.json");
        let again = landfall()
            .arg("combine")
            .arg(dev.bronze().join(&prefix))
            .arg("-o")
            .arg(&output)
            .output()
            .unwrap();
        assert!(again.status.success(), "seed {seed}: {again:?}");
        let refs = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["refs"].take();
        let again = fs::read(output).unwrap();
        assert_eq!(refs(&published), refs(&again), "seed {seed}: {blob_path}");
    }
}

fn series(folder: &str) -> Vec<(PathBuf, String)> {
    let named = |file: PathBuf| {
        let name = format!("{folder}/{}", name_of(&file));
        (file, name)
    };
    demo_series().into_iter().map(named).collect()
}

#[test]
fn after_a_storm_the_ledger_tells_what_is_there() {
    let seed = 7;
    let mut chance = Chance(seed);
    let dev = Dev::start_with(&[
        ("LANDFALL_QUIET_PERIOD", "PT1S"),
        ("LANDFALL_SETTLE_PERIOD", "PT1S"),
        ("LANDFALL_LEASE", "PT2S"),
        ("LANDFALL_STUCK_AFTER", "PT2S"),
        ("LANDFALL_SWEEP_SCHEDULE", "*/2 * * * * *"),
    ]);
    let files: Vec<_> = FOLDERS.iter().flat_map(|folder| series(folder)).collect();
    for step in 0..60 {
        let (source, name) = chance.pick(&files).clone();
        disturb(&dev, &mut chance, &source, &dev.bronze().join(name));
        if step == 20 || step == 40 {
            dev.kill_handler();
        }
    }
    wait_quiet(&dev);
    assert_files(&dev, seed);
    assert_combined(&dev, seed);
    // A good copy of everything mends whatever the storm has left behind.
    for (source, name) in &files {
        dev.land(source, name);
    }
    wait_quiet(&dev);
    assert_files(&dev, seed);
    assert_combined(&dev, seed);
    let states = rows(&dev, "SELECT prefix, state FROM landfall_source_group");
    let combined = states.iter().filter(|(_, state)| state == "combined");
    assert_eq!(combined.count(), FOLDERS.len(), "seed {seed}: {states:?}");
}

#[test]
fn a_restart_sees_what_changed_meanwhile_and_reads_nothing_else_again() {
    let mut dev = Dev::start();
    let landed = dev.land_all(&demo_series(), "cmip6");
    dev.wait_combined(1);
    wait_quiet(&dev);
    let sql = "SELECT blob, updated_at FROM landfall_source_file ORDER BY blob";
    let before = rows(&dev, sql);

    dev = dev.kill_and_start(|| fs::remove_file(&landed[0]).unwrap());
    dev.wait_combined(1);
    wait_quiet(&dev);
    assert_eq!(rows(&dev, sql)[1..], before[1..], "they were not touched");
    let states = "SELECT blob, state FROM landfall_source_file ORDER BY blob";
    let states: Vec<String> = rows(&dev, states)
        .into_iter()
        .map(|(_, state)| state)
        .collect();
    assert_eq!(states, ["gone", "referenced", "referenced"]);
    assert_combined(&dev, 0);
}

#[test]
fn no_handler_outlives_a_host_that_was_killed() {
    let dev = Dev::start();
    let handler = dev.handler_pid().unwrap();
    let process = PathBuf::from(format!("/proc/{handler}/cmdline"));
    assert!(process.exists());
    let _dev = dev.kill_and_start(|| {
        let start = Instant::now();
        while fs::read(&process).is_ok_and(|command| !command.is_empty()) {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "it is still there"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}

#[test]
fn a_truncated_file_is_rejected_in_time_whatever_its_folder_is_called() {
    let dev = Dev::start_with(&[("LANDFALL_SETTLE_PERIOD", "PT1S")]);
    let whole = fs::read(fixture("mismatch/base.nc")).unwrap();
    let folder = dev.bronze().join("what?/100%#1");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("half.nc"), &whole[..whole.len() / 2]).unwrap();
    dev.wait_for("a rejected file", || dev.steps("rejected").pop());
    wait_quiet(&dev);
    assert_files_are(&dev, &[("what?/100%#1/half.nc", "rejected")]);
}

#[test]
fn the_status_shows_a_file_that_could_not_be_read_however_often_it_was_tried() {
    let dev = Dev::start();
    // What is in the way of a reference is no fault of the file.
    let in_the_way = dev.silver().join("refs/files/local/bronze/d/a.json");
    fs::create_dir_all(in_the_way.join("x")).unwrap();
    let submission = serde_json::json!({
        "dataset_id": "d", "resource_id": "r", "source_url": "abfs://bronze/d/",
        "processing_options": {"expected": {"count": 1}},
    });
    assert_eq!(dev.post("/api/platform/submit", &submission).0, 202);
    let file = dev.land(&fixture("mismatch/base.nc"), "d/a.nc");
    dev.wait_for("a file that failed", || dev.steps("failed").pop());
    let status = dev.wait_for("a status that shows it", || {
        let status = dev.json("/api/platform/status?dataset_id=d&resource_id=r");
        (status["progress"]["files"]["failed"] == 1).then_some(status)
    });
    assert_eq!(
        status["files"][0]["reason"]["code"], "retries_exhausted",
        "{status}"
    );

    fs::remove_dir_all(in_the_way).unwrap();
    fs::File::open(file)
        .and_then(|file| file.set_modified(std::time::SystemTime::now()))
        .unwrap();
    dev.wait_combined(1);
}

fn assert_files_are(dev: &Dev, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(blob, state)| ((*blob).to_owned(), (*state).to_owned()))
        .collect();
    let found = rows(
        dev,
        "SELECT blob, state FROM landfall_source_file ORDER BY blob",
    );
    assert_eq!(found, expected);
}
