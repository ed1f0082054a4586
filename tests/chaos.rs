//! A storm over the whole app: files come, change, break and go while the handler is killed at random moments, its storage
//! and its database start again, its requests are throttled, refused, stalled and cut off, and so are its connections to
//! the database, its commits most of all. Afterwards the ledger, what was written and the Releases are those of an app
//! that saw the same files on a quiet day.
//!
//! The suite has a breeze of it; `just chaos` has two thousand events and two hundred kills. `LANDFALL_CHAOS_EVENTS`,
//! `LANDFALL_CHAOS_KILLS` and `LANDFALL_SEED` say how much of it, and which.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::azurite::{Azurite, BRONZE, OTHER, SILVER};
use crate::support::postgres::Cluster;
use crate::support::proxy::{Fault, Proxy};
use crate::support::rig::{Site, block_on};
use crate::support::wire::{Met, Wire, WireFault};
use crate::support::{Dev, python, read_with_xarray, repository};

/// Files of a series.
const FILES: usize = 8;

/// Editions of each file.
const EDITIONS: usize = 3;

/// How long everything may take to come to rest.
const LIMIT: Duration = Duration::from_secs(240);

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The bytes of each file in each edition, by name.
fn editions(folder: &Path) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut found: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for edition in 1..=EDITIONS {
        let folder = folder.join(edition.to_string());
        let done = Command::new(python())
            .arg(repository().join("tests/support/make_drops.py"))
            .arg(&folder)
            .args(["x", &FILES.to_string(), "--edition", &edition.to_string()])
            .status();
        assert!(done.unwrap().success());
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let bytes = fs::read(entry.path()).unwrap();
            found.entry(name).or_default().push(bytes);
        }
    }
    found
}

/// What happens to a file.
enum Change {
    Put(Vec<u8>),
    Delete,
}

/// The storm, and what must be there when it is over.
struct Storm {
    chance: fastrand::Rng,
    files: BTreeMap<String, Vec<Vec<u8>>>,
    /// Folders of series that are declared to have all files.
    declared: Vec<String>,
    /// Folders whose series make themselves known by their names.
    undeclared: Vec<String>,
    azurite: Azurite,
    cluster: Cluster,
    proxies: [Proxy; 2],
    wire: Wire,
    /// What lies in the container, by name.
    landed: BTreeMap<String, Vec<u8>>,
    events: usize,
}

/// The series that always lacks a file.
const BROKEN: &str = "broken";

impl Storm {
    fn gather(folder: &Path, events: usize, seed: u64, stall: Duration) -> Self {
        let azurite = Azurite::on_disk();
        let (blobs, queues) = azurite.ports();
        let proxies =
            [blobs, queues].map(|port| Proxy::before(port, azurite.certificates(), seed, stall));
        let cluster = Cluster::durable();
        let wire = Wire::before(cluster.port(), seed, stall);
        let pairs = (events / 150).clamp(1, 6);
        let folders = |start: &str| (0..pairs).map(|n| format!("{start}{n}")).collect();
        Self {
            chance: fastrand::Rng::with_seed(seed),
            files: editions(folder),
            declared: folders("declared"),
            undeclared: folders("named"),
            azurite,
            cluster,
            proxies,
            wire,
            landed: BTreeMap::new(),
            events: 0,
        }
    }

    fn names(&self) -> Vec<String> {
        let folders = self.declared.iter().chain(&self.undeclared);
        let names =
            folders.flat_map(|folder| self.files.keys().map(move |f| format!("{folder}/{f}")));
        names.collect()
    }

    fn edition(&mut self, name: &str) -> Vec<u8> {
        let file = name.rsplit_once('/').unwrap().1;
        self.files[file][self.chance.usize(..EDITIONS)].clone()
    }

    /// What happens next.
    fn next(&mut self, names: &[String]) -> (String, Change) {
        let name = names[self.chance.usize(..names.len())].clone();
        let good = self.edition(&name);
        let again = self.landed.get(&name).cloned();
        let change = match self.chance.u32(..20) {
            0 => Change::Put(b"<html>not a NetCDF file</html>".to_vec()),
            1 => Change::Put(good[..good.len() / 2].to_vec()),
            2..=3 => Change::Put(again.unwrap_or(good)),
            4..=5 => Change::Delete,
            _ => Change::Put(good),
        };
        (name, change)
    }

    fn happen(&mut self, name: &str, change: Change) {
        let path = format!("storm/{name}");
        match change {
            Change::Put(bytes) => {
                block_on(self.azurite.put(BRONZE, &path, bytes.clone()));
                self.landed.insert(name.to_owned(), bytes);
            }
            Change::Delete => {
                block_on(self.azurite.delete(BRONZE, &path));
                self.landed.remove(name);
            }
        }
        self.events += 1;
    }

    /// Something happens to what the app stands on.
    fn shake(&mut self, turn: usize) {
        match turn % 3 {
            0 => {
                let down = Duration::from_millis(self.chance.u64(..1500));
                self.azurite.restart(down);
                let (blobs, queues) = self.azurite.ports();
                self.proxies[0].set_service(blobs);
                self.proxies[1].set_service(queues);
            }
            1 => self.cluster.restart("QUIT"),
            _ => self.cluster.restart("INT"),
        }
    }

    fn set_faults(&self, per_mille: u32) {
        for proxy in &self.proxies {
            proxy.set_faults(per_mille);
        }
        self.wire.set_faults(per_mille);
    }

    /// Every file of the declared series is there and good, whatever it was; of the others what is there is good.
    fn mend(&mut self) {
        for name in self.names() {
            let is_good = |bytes: &Vec<u8>| self.files.values().flatten().any(|good| good == bytes);
            let is_mended = match self.landed.get(&name) {
                Some(bytes) => is_good(bytes),
                None => name.starts_with("named") && self.chance.bool(),
            };
            if !is_mended {
                let good = self.edition(&name);
                self.happen(&name, Change::Put(good));
            }
        }
    }

    fn site(&self, silver: &str, queues: &str) -> Site {
        Site::make(&self.azurite, &self.cluster, ("storm", silver), queues)
    }

    fn declare(&self, dev: &Dev) {
        for folder in self.declared.iter().map(String::as_str).chain([BROKEN]) {
            let body = json!({
                "dataset_id": folder, "resource_id": "storm", "source_url": format!("abfs://storm/{folder}/"),
                "processing_options": {"expected": {"count": FILES}},
            });
            let (status, answer) = dev.post("/api/platform/submit", &body);
            assert_eq!(status, 202, "{answer}");
        }
    }
}

/// Kills the handler so often, evenly over the events and at random moments; gives how often it was there to be killed.
fn kill_at_random(
    dev: &Dev,
    kills: usize,
    events: usize,
    happened: &AtomicUsize,
    seed: u64,
) -> usize {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut killed = 0;
    for kill in 0..kills {
        while happened.load(Ordering::Relaxed) < kill * events / kills {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(chance.u64(..1000)));
        while !dev.try_kill_handler() {
            std::thread::sleep(Duration::from_millis(5));
        }
        killed += 1;
    }
    killed
}

/// Two thirds of the events in the storm, the rest while it is mended.
fn rage(storm: &mut Storm, dev: &Dev, events: usize, happened: &AtomicUsize) {
    let names = storm.names();
    let (mut turns, every) = (0, (events / 6).max(1));
    while storm.events < events {
        let (name, change) = storm.next(&names);
        storm.happen(&name, change);
        happened.store(storm.events, Ordering::Relaxed);
        if storm.chance.u32(..15) == 0 {
            let faults = [0, 30, 100, 300][storm.chance.usize(..4)];
            storm.set_faults(faults);
        }
        if storm.events % every == every / 2 {
            storm.shake(turns);
            turns += 1;
        }
        std::thread::sleep(Duration::from_millis(storm.chance.u64(..400)));
    }
    assert_eq!(dev.get("/api/livez").0 / 100, 2, "the host is there");
}

#[test]
fn after_a_storm_everything_is_as_on_a_quiet_day() {
    let (events, kills) = (
        setting("LANDFALL_CHAOS_EVENTS", 60),
        setting("LANDFALL_CHAOS_KILLS", 6),
    );
    let seed = u64::try_from(setting("LANDFALL_SEED", 3)).unwrap();
    let is_whole = events > 500;
    // Longer than a client waits for an answer, where there is time for it.
    let stall = Duration::from_secs(if is_whole { 21 } else { 2 });
    let folder = tempfile::tempdir().unwrap();
    let mut storm = Storm::gather(folder.path(), events, seed, stall);
    let site = storm
        .site("silver", SILVER)
        .through(&storm.proxies[0], &storm.proxies[1])
        .over(&storm.wire);
    let faults = [
        "--duplicate",
        "0.3",
        "--lose",
        "0.05",
        "--reorder",
        "0.3",
        "--delay",
        "300",
        "--no-crash-limit",
        "--list-every",
        "PT0.3S",
    ];
    let dev = site.start(&faults, &NAMED);
    storm.declare(&dev);
    let garbage = storm.files.keys().next().unwrap().clone();
    storm.happen(
        &format!("{BROKEN}/{garbage}"),
        Change::Put(b"garbage".to_vec()),
    );
    let happened = AtomicUsize::new(0);
    let killed = std::thread::scope(|scope| {
        let killer = scope.spawn(|| kill_at_random(&dev, kills, events, &happened, seed));
        rage(&mut storm, &dev, events, &happened);
        killer.join().unwrap()
    });
    assert_eq!(killed, kills);
    storm.mend();
    storm.set_faults(0);
    site.wait_for_rest(&storm.azurite, &storm.cluster, LIMIT);
    assert_data(&storm, &dev, folder.path());
    assert!(!dev.steps("lost").is_empty(), "no event was lost");
    drop(dev);
    assert_every_fault_was_met(&storm, is_whole);

    let quiet = storm.site("quiet", OTHER);
    // Declared before any file is announced, as it was before the storm.
    let declaring = [
        ("LANDFALL_AUTO_GROUP", "false"),
        ("LANDFALL_SWEEP_SCHEDULE", "0 0 0 1 1 *"),
    ];
    storm.declare(&quiet.start(&["--lose", "1"], &declaring));
    let dev = quiet.start(&[], &NAMED);
    quiet.wait_for_rest(&storm.azurite, &storm.cluster, LIMIT);
    drop(dev);
    assert_ledgers_agree(&storm, &site, &quiet);
    assert_written_agrees(&storm, &site, &quiet);
}

#[test]
fn without_the_switch_the_third_crash_is_the_last() {
    let mut dev = Dev::start();
    for _ in 0..3 {
        let before = dev.wait_for("a handler", || dev.handler_pid());
        dev.kill_handler();
        let is_other = || dev.handler_pid() != Some(before);
        dev.wait_for("its end", || is_other().then_some(()));
    }
    assert_eq!(dev.wait_for_end(), Some(1));
}

/// Series make themselves known by the names of their files.
const NAMED: [(&str, &str); 1] = [("LANDFALL_AUTO_GROUP", "true")];

/// Every kind of fault that the proxies know; a breeze may not have each.
fn assert_every_fault_was_met(storm: &Storm, is_whole: bool) {
    let mut met: BTreeMap<Fault, u32> = BTreeMap::new();
    for (fault, count) in storm.proxies.iter().flat_map(Proxy::faults) {
        *met.entry(fault).or_default() += count;
    }
    eprintln!("faults of the storm: {met:?}");
    let kinds = if is_whole { Fault::ALL.len() } else { 3 };
    assert!(met.len() >= kinds, "{met:?}");
    let met: Met = storm.wire.faults();
    eprintln!("faults of the database, each with whether it met a commit: {met:?}");
    let has_met = |fault: &WireFault| met.keys().any(|(met, _)| met == fault);
    let kinds = if is_whole { WireFault::ALL.len() } else { 3 };
    assert!(WireFault::ALL.iter().filter(|fault| has_met(fault)).count() >= kinds);
    assert!(!is_whole || met.contains_key(&(WireFault::CutAfter, true)));
}

/// What one declared and one undeclared series serve is what xarray reads from the files that are there.
fn assert_data(storm: &Storm, dev: &Dev, folder: &Path) {
    let serves = [
        (&storm.declared[0], storm.declared[0].as_str(), "storm"),
        (&storm.undeclared[0], "x", storm.undeclared[0].as_str()),
    ];
    for (prefix, dataset, resource) in serves {
        let left = folder.join("left").join(prefix);
        fs::create_dir_all(&left).unwrap();
        let mut files = Vec::new();
        for (name, bytes) in &storm.landed {
            if let Some(file) = name.strip_prefix(&format!("{prefix}/")) {
                fs::write(left.join(file), bytes).unwrap();
                files.push(left.join(file));
            }
        }
        let path = format!("/api/platform/status?dataset_id={dataset}&resource_id={resource}");
        let status = dev.json(&path);
        let store = status["outputs"]["zarr_url"].as_str();
        assert!(store.is_some(), "{status}");
        read_with_xarray("served", store.unwrap_or_default(), &files);
    }
}

fn assert_ledgers_agree(storm: &Storm, site: &Site, quiet: &Site) {
    for sql in SAME {
        let (ours, theirs) = (
            site.sql(&storm.cluster, sql),
            quiet.sql(&storm.cluster, sql),
        );
        let theirs = theirs
            .replace("abfs://quiet", "abfs://silver")
            .replace("az://quiet", "az://silver");
        assert_eq!(ours, theirs, "{sql}");
    }
    let unfinished = "SELECT count(*) FROM landfall.combine_run WHERE state = 'running'";
    assert_eq!(site.sql(&storm.cluster, unfinished), "0");
}

/// What is the same however often work was begun again: all but times, and how many revisions it took.
const SAME: [&str; 4] = [
    "SELECT account, container, blob, etag, size, state, reference_path, findings, fault, span
     FROM landfall.source_file WHERE state <> 'gone' ORDER BY blob",
    "SELECT id, origin, prefix, state, is_refused, fault, findings FROM landfall.source_group ORDER BY prefix",
    "SELECT g.prefix, f.blob, m.etag FROM landfall.group_member m JOIN landfall.source_group g ON g.id = m.group_id
     JOIN landfall.source_file f ON f.id = m.file_id WHERE f.state <> 'gone' ORDER BY 1, 2",
    "SELECT a.dataset_id, a.resource_id, r.release_id, r.version_ordinal, r.processing_status, r.approval_state, j.status,
            regexp_replace(r.blob_path, '/r[0-9]+/', '/r/'), r.stac_item_id, r.stac_collection_id,
            regexp_replace(regexp_replace((r.stac_item_json #- '{properties,created}' #- '{properties,updated}'
                #- '{properties,geoetl:revision}')::text,
                '/r[0-9]+', '/r', 'g'), '127.0.0.1:[0-9]+', 'here', 'g')
     FROM app.asset_releases r JOIN app.assets a USING (asset_id) LEFT JOIN app.jobs j USING (job_id) ORDER BY 1, 2",
];

/// The references of the files and the latest combined document of each Release are the same bytes.
fn assert_written_agrees(storm: &Storm, site: &Site, quiet: &Site) {
    let blob = |site: &Site, name: &str| {
        let path = format!("{}/{name}", site.silver);
        let bytes = block_on(storm.azurite.get(SILVER, &path));
        assert!(bytes.is_some(), "no {path}");
        bytes.unwrap_or_default()
    };
    let references =
        "SELECT reference_path FROM landfall.source_file WHERE state = 'referenced' ORDER BY blob";
    let references = quiet.sql(&storm.cluster, references);
    assert!(!references.is_empty());
    for name in references.lines() {
        assert!(blob(site, name) == blob(quiet, name), "{name} differs");
    }
    let combined =
        "SELECT blob_path FROM app.asset_releases WHERE blob_path IS NOT NULL ORDER BY asset_id";
    let (ours, theirs) = (
        site.sql(&storm.cluster, combined),
        quiet.sql(&storm.cluster, combined),
    );
    assert_eq!(
        ours.lines().count(),
        storm.declared.len() + storm.undeclared.len()
    );
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        assert!(
            blob(site, ours) == blob(quiet, theirs),
            "{ours} differs from {theirs}"
        );
    }
    // Nothing was published that is not there: each run that ended well has its document, whole.
    let published = "SELECT blob_path FROM landfall.combine_run WHERE state = 'published'";
    for name in site.sql(&storm.cluster, published).lines() {
        let document: Value = serde_json::from_slice(&blob(site, name)).unwrap();
        assert!(document["refs"].is_object(), "{name}");
    }
}
