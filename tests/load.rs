//! What an event costs, and what many at once cost: requests and places are counted in the suite, `just load` measures
//! processor time, memory and the time to the first answer of the release build.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::support::azurite::{Azurite, BRONZE, SILVER};
use crate::support::postgres::{Cluster, cluster};
use crate::support::proxy::Proxy;
use crate::support::rig::{Site, block_on};
use crate::support::{PATIENCE, demo_series, free_port, landfall};

/// `landfall serve` without a host.
struct Handler {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Handler {
    /// Starts it; gives it when it has answered, and how long that took.
    fn start(settings: &[(&str, String)]) -> (Self, Duration) {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command: Command = landfall();
        command
            .arg("serve")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .env("LANDFALL_DATABASE", folder.path().join("landfall.db"))
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
            .stdout(Stdio::null());
        let begun = Instant::now();
        let child = command.spawn().unwrap();
        let handler = Self {
            child,
            port,
            _folder: folder,
        };
        while !handler.answers() {
            assert!(begun.elapsed() < PATIENCE, "the handler does not answer");
            std::thread::sleep(Duration::from_millis(1));
        }
        (handler, begun.elapsed())
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<usize> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.write_all(b"GET / HTTP/1.0\r\nHost: landfall\r\n\r\n")?;
            stream.read(&mut [0; 16])
        };
        ask().is_ok_and(|read| read > 0)
    }

    fn proc(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// Processor time used so far, in hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// The most memory that it had since this was last asked, in kB.
    fn take_peak(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
        peak
    }

    /// Posts events, so many at a time.
    fn post(&self, events: Vec<Value>, at_once: usize) {
        let url = format!("http://127.0.0.1:{}/BlobEvent", self.port);
        block_on(async {
            let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
            let client = client.build().unwrap();
            let posts = events.into_iter().map(|event| {
                let body = json!({"Data": {"event": event}, "Metadata": {}});
                let request = client.post(&url).json(&body);
                async move { request.send().await.unwrap().status().as_u16() }
            });
            let statuses: Vec<u16> = stream::iter(posts)
                .buffer_unordered(at_once)
                .collect()
                .await;
            assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        });
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An app's surroundings with files in its container.
struct Place {
    azurite: Azurite,
    cluster: &'static Cluster,
    site: Site,
    blobs: Proxy,
    queues: Proxy,
}

impl Place {
    fn make() -> Self {
        let azurite = Azurite::in_memory();
        let (blobs, queues) = azurite.ports();
        let [blobs, queues] = [blobs, queues]
            .map(|port| Proxy::before(port, azurite.certificates(), 1, Duration::ZERO));
        let site = Site::make(&azurite, cluster(), ("load", "silver"), SILVER);
        Self {
            azurite,
            cluster: cluster(),
            site: site.through(&blobs, &queues),
            blobs,
            queues,
        }
    }

    fn settings(&self, further: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        let further = further
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        self.site
            .settings()
            .iter()
            .cloned()
            .chain(further)
            .collect()
    }

    /// Puts so many files below a folder and gives the events that announce them.
    fn land(&self, folder: &str, count: usize) -> Vec<Value> {
        let bytes = std::fs::read(&demo_series()[0]).unwrap();
        block_on(async {
            let puts = (0..count).map(|number| {
                let (blob, bytes) = (format!("{folder}/{number:05}.nc"), bytes.clone());
                async move {
                    let length = bytes.len();
                    let etag = self
                        .azurite
                        .put(BRONZE, &format!("load/{blob}"), bytes)
                        .await;
                    created(&blob, &etag, length)
                }
            });
            stream::iter(puts).buffered(4).collect().await
        })
    }

    fn count(&self, state: &str) -> usize {
        let sql = format!("SELECT count(*) FROM landfall.source_file WHERE state = '{state}'");
        self.site.sql(self.cluster, &sql).parse().unwrap()
    }
}

fn created(blob: &str, etag: &str, length: usize) -> Value {
    json!({
        "id": blob, "eventType": "Microsoft.Storage.BlobCreated",
        "topic": format!("/subscriptions/S/resourceGroups/R/providers/Microsoft.Storage/storageAccounts/{BRONZE}"),
        "subject": format!("/blobServices/default/containers/load/blobs/{blob}"),
        "eventTime": "2026-11-20T10:00:00Z", "dataVersion": "", "metadataVersion": "1",
        "data": {"api": "PutBlob", "eTag": etag, "contentLength": length, "sequencer": "01"},
    })
}

#[test]
fn an_event_costs_a_read_a_look_at_what_was_written_before_and_a_write() {
    let place = Place::make();
    let (handler, _) = Handler::start(&place.settings(&[]));
    // The first event may find something to look up for all that follow.
    handler.post(place.land("first", 1), 1);
    place.blobs.take_traffic();
    let events = place.land("one", 10);
    handler.post(events.clone(), 1);
    let traffic = place.blobs.take_traffic();
    let expected = [("GET 206", 10), ("GET 404", 10), ("PUT 201", 10)];
    let expected = expected.map(|(kind, count)| (kind.to_owned(), count));
    assert_eq!(traffic.answered, expected.into());
    // A duplicate costs nothing but a look into the ledger.
    handler.post(events, 1);
    assert!(place.blobs.take_traffic().answered.is_empty());
    assert!(place.queues.take_traffic().answered.is_empty());
    assert_eq!(place.count("referenced"), 11);
}

#[test]
fn however_many_events_come_at_once_so_many_files_are_read_and_the_others_become_messages() {
    let place = Place::make();
    let (handler, _) = Handler::start(&place.settings(&[("LANDFALL_FILES_IN_FLIGHT", "3")]));
    handler.post(place.land("many", 64), 64);
    let traffic = place.blobs.take_traffic();
    assert!((1..=3).contains(&traffic.most_reads), "{traffic:?}");
    let referenced = place.count("referenced");
    let messages = block_on(place.azurite.take_messages(SILVER, "reference-due"));
    let more = block_on(place.azurite.take_messages(SILVER, "reference-due"));
    assert_eq!(referenced + messages.len() + more.len(), 64);
    assert_eq!(
        place.count("landed"),
        64 - referenced,
        "persisted before they are handed over"
    );
}

/// Instances times their pool is what the database must allow (`max_connections`), whatever comes at once.
#[test]
fn an_instance_takes_no_more_connections_than_its_pool_has() {
    let place = Place::make();
    let settings = place.settings(&[("LANDFALL_DATABASE_CONNECTIONS", "2")]);
    let handlers: Vec<Handler> = (0..3).map(|_| Handler::start(&settings).0).collect();
    let batches: Vec<_> = (0..3).map(|n| place.land(&format!("i{n}"), 48)).collect();
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut most = 0;
    std::thread::scope(|scope| {
        let posts = handlers.iter().zip(batches);
        let posts = posts.map(|(handler, events)| scope.spawn(move || handler.post(events, 48)));
        let posts: Vec<_> = posts.collect();
        let mut at_work = true;
        while at_work {
            at_work = !posts.iter().all(|post| post.is_finished());
            let now: usize = place.site.sql(place.cluster, open).parse().unwrap();
            most = most.max(now);
        }
    });
    assert!((4..=6).contains(&most), "{most} connections");
    assert_eq!(place.count("referenced") + place.count("landed"), 3 * 48);
}

/// Run by `just load` on the release build. Figures are of our process alone: Azurite and PostgreSQL have theirs.
#[test]
#[ignore = "it measures time and memory: `just load` runs it"]
fn figures_of_the_release_build() {
    let place = Place::make();
    let settings = place.settings(&[("LANDFALL_FILES_IN_FLIGHT", "256")]);
    let starts: Vec<Duration> = (0..7).map(|_| Handler::start(&settings).1).collect();
    let start = starts.iter().min().unwrap();
    let (handler, _) = Handler::start(&settings);
    handler.post(place.land("warm", 16), 8);
    let count = 400;
    let events = place.land("cpu", count);
    let before = handler.ticks();
    handler.post(events, 8);
    let cpu = (handler.ticks() - before) as f64 * 10.0 / count as f64;
    let all_at_once = peaks(&place, &handler, "at-once");
    assert_eq!(place.count("referenced"), 16 + count + 2 * CROWD);
    let (handler, _) = Handler::start(&place.settings(&[]));
    handler.post(place.land("warm-too", 16), 8);
    let as_set = peaks(&place, &handler, "as-set");
    eprintln!(
        "first answer: {start:?} of {starts:?}\nprocessor time of an event with its reference: {cpu:.1} ms\n\
         memory at the most, in kB, of 64 and of 256 events at once: {as_set:?}; all of them read at once: {all_at_once:?}"
    );
    assert!(*start < Duration::from_millis(100), "{starts:?}");
    assert!(cpu <= 10.0, "{cpu} ms");
    assert!(as_set[1] < as_set[0] * 5 / 4, "{as_set:?}");
    assert!(all_at_once[1] < 200_000, "{all_at_once:?}");
}

/// Events of one go.
const CROWD: usize = 768;

/// The most memory that the handler had with 64 events at once, and with 256.
fn peaks(place: &Place, handler: &Handler, name: &str) -> [u64; 2] {
    [64, 256].map(|at_once| {
        let events = place.land(&format!("{name}-{at_once}"), CROWD);
        handler.take_peak();
        handler.post(events, at_once);
        handler.take_peak()
    })
}
