//! The function app over PostgreSQL: migrated by its own command, used by the same handler.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::postgres::{Cluster, cluster};
use crate::support::{Dev, PATIENCE, demo_series, free_port, landfall, name_of, read_with_xarray};

fn migrate(url: &str, further: &[&str]) -> Output {
    landfall()
        .args(["migrate", "--database-url", url])
        .args(further)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_dropped_series_is_catalogued_in_postgresql() {
    let cluster: &Cluster = cluster();
    let name = cluster.create(None);
    let url = cluster.url(&name);
    assert!(migrate(&url, &[]).status.success());
    let dev = Dev::start_with(&[("LANDFALL_DATABASE_URL", &url)]);
    dev.submit("cmip6", 3);
    let files = demo_series();
    for file in files.iter().rev().chain(files.last()) {
        dev.land(file, &format!("cmip6/{}", name_of(file)));
    }
    let (release, revision) = dev.wait_combined(1);
    assert_eq!(revision, 1);
    let landed: Vec<_> = files
        .iter()
        .map(|file| dev.bronze().join("cmip6").join(name_of(file)))
        .collect();
    let store = dev.url(&format!("/api/zarr/{release}/r1"));
    read_with_xarray("served", &store, &landed);
    assert_eq!(dev.get("/api/readyz").0, 200);
    let status = dev.json(&format!("/api/platform/status/{release}"));
    assert_eq!(status["job_status"], "completed", "{status}");

    let cached = "SELECT r.processing_status, r.approval_state, r.stac_item_json ->> 'type', r.blob_path, j.status
                  FROM app.asset_releases r JOIN app.jobs j ON j.job_id = r.job_id";
    assert_eq!(
        cluster.sql(&name, cached),
        "completed|pending_review|Feature|refs/combined/cmip6/test/ord1/r1/combined.json|completed"
    );
    let files = "SELECT state, count(*) FROM landfall.source_file GROUP BY 1";
    assert_eq!(cluster.sql(&name, files), "referenced|3");
    let embedded = rusqlite::Connection::open(dev.root.path().join("landfall.db")).unwrap();
    let sql = "SELECT count(*) FROM landfall_source_file";
    let count: i64 = embedded.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 0, "SQLite keeps the queue alone");
}

#[test]
fn migrate_tells_what_it_did_and_what_is_left_to_do() {
    let cluster = cluster();
    let url = cluster.url(&cluster.create(None));
    let check = migrate(&url, &["--check", "--json"]);
    assert_eq!(check.status.code(), Some(1));
    let lines: Vec<Value> = text(&check.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["from"], &lines[0]["check"]),
        (&json!(0), &json!(true))
    );
    assert_eq!(lines[1]["error"]["code"], "not_migrated");
    let done = migrate(&url, &[]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let told = text(&done.stdout);
    assert!(
        told.contains("made the table app.asset_releases\n"),
        "{told}"
    );
    assert!(told.ends_with("migrated\n"), "{told}");
    let again = migrate(&url, &["--check"]);
    assert_eq!(again.status.code(), Some(0));
    assert_eq!(text(&again.stdout), "schema version 4: up to date\n");
    let nowhere = landfall()
        .arg("migrate")
        .env_remove("LANDFALL_DATABASE_URL")
        .output();
    let nowhere = nowhere.unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("LANDFALL_DATABASE_URL"));
}

/// As in Azure: TLS with a certificate that a root in `SSL_CERT_FILE` has signed.
#[test]
fn a_database_over_tls_is_proven_by_its_certificate() {
    let cluster = cluster();
    let (port, name) = (cluster.port(), cluster.create(None));
    let url = format!("postgresql://landfall@localhost:{port}/{name}?sslmode=verify-full");
    let strange = migrate(&url, &[]);
    assert_eq!(strange.status.code(), Some(1));
    let told = text(&strange.stderr);
    assert!(told.contains("certificate"), "{told}");
    let proven = landfall()
        .args(["migrate", "--database-url", &url])
        .env("SSL_CERT_FILE", cluster.root_certificate())
        .status();
    assert!(proven.unwrap().success());
}

#[test]
fn dev_does_not_start_on_a_database_that_was_not_migrated() {
    let cluster = cluster();
    let folder = tempfile::tempdir().unwrap();
    let refused = landfall()
        .arg("dev")
        .arg(folder.path())
        .args(["--database-url", &cluster.url(&cluster.create(None))])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(
        told.contains("landfall migrate") && told.contains("version 0"),
        "{told}"
    );
}

/// `landfall serve`, ended when dropped.
struct Handler {
    child: Child,
    port: u16,
}

impl Handler {
    fn start(folder: &std::path::Path, database_url: &str) -> Self {
        let port = free_port();
        let mut command: Command = landfall();
        command
            .arg("serve")
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
            .env("LANDFALL_BRONZE_DIR", folder.join("bronze"))
            .env("LANDFALL_SILVER_DIR", folder.join("silver"))
            .env("LANDFALL_DATABASE", folder.join("landfall.db"))
            .env("LANDFALL_DATABASE_URL", database_url)
            .stdout(Stdio::null());
        for name in ["bronze", "silver"] {
            std::fs::create_dir(folder.join(name)).unwrap();
        }
        let child = command.spawn().unwrap();
        Self { child, port }
    }

    /// The answer of readyz once there is one.
    fn readyz(&self) -> (u16, Value) {
        let start = Instant::now();
        loop {
            if let Ok(answer) = self.ask() {
                let (head, body) = answer.split_once("\r\n\r\n").unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return (status, serde_json::from_str(body).unwrap());
            }
            assert!(start.elapsed() < PATIENCE, "the handler does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask(&self) -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(b"GET /api/readyz HTTP/1.0\r\nHost: landfall\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn the_app_is_not_ready_until_the_database_is_migrated() {
    let cluster = cluster();
    let url = cluster.url(&cluster.create(None));
    let folder = tempfile::tempdir().unwrap();
    let handler = Handler::start(folder.path(), &url);
    let (status, answer) = handler.readyz();
    assert_eq!(
        (status, answer["reason"].as_str()),
        (503, Some("database_version_too_old"))
    );
    assert!(migrate(&url, &[]).status.success());
    assert_eq!(handler.readyz().0, 200, "no restart is needed");
}
