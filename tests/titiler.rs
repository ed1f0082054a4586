//! An unmodified TiTiler over https: the links of a published item show what is in the files, and nothing once it is revoked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use landfall::catalog::published::{Addresses, Approval, published_item};
use serde_json::Value;

use crate::support::standalone::{Standalone, approve, revoke};
use crate::support::{Dev, python, repository, titiler_python};

/// Where the links are said to lead before it is known on which port TiTiler is.
const TITILER: &str = "https://titiler.example.org/xarray";

/// The item that approval for the public makes of the cached one.
fn published(dev: &Dev, release_id: &str, public_url: &str) -> Value {
    let release = dev.json(&format!("/api/releases/{release_id}"));
    let release = &release["release"];
    let text = |name: &str| release[name].as_str().unwrap();
    let approval = Approval {
        release_id,
        dataset_id: text("dataset_id"),
        resource_id: text("resource_id"),
        version_id: "v1",
        clearance: "public",
        reviewer: "ada@example.org",
        approved_at: jiff::Timestamp::UNIX_EPOCH,
    };
    let addresses = Addresses {
        public_url,
        titiler_url: Some(TITILER),
    };
    published_item(&release["stac_item_json"], &approval, &addresses).unwrap()
}

#[test]
fn every_link_shows_the_files_until_the_release_is_revoked() {
    let port = Standalone::port();
    let public_url = format!("https://127.0.0.1:{port}");
    let dev = Dev::start_with(&[("LANDFALL_PUBLIC_URL", &public_url)]);
    dev.submit("global", 2);
    let made = tempfile::tempdir().unwrap();
    let written = Command::new(python())
        .arg(repository().join("tests/support/make_global_series.py"))
        .arg(made.path())
        .status();
    assert!(written.unwrap().success());
    let files =
        ["tas_20000101-20000103.nc", "tas_20010101-20010103.nc"].map(|name| made.path().join(name));
    dev.land_all(&files, "global");
    let (release, _) = dev.wait_combined(1);
    let item = made.path().join("item.json");
    let document = published(&dev, &release, &public_url);
    std::fs::write(&item, document.to_string()).unwrap();
    let server = Standalone::start(&dev, port);
    approve(&dev, &release);

    let mut follower = Command::new(titiler_python())
        .arg(repository().join("tests/support/titiler_links.py"))
        .args([&item, std::path::Path::new(TITILER), &files[0]])
        .env("SSL_CERT_FILE", server.certificates.file("ca.pem"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut verdict = |when: &str| {
        let log = || std::fs::read_to_string(made.path().join("item.json.titiler.log"));
        let line = said
            .next()
            .unwrap_or_else(|| Ok(String::from("{}")))
            .unwrap();
        assert!(
            line.contains("\"ok\": true"),
            "{when}: {line}\n{}",
            log().unwrap_or_default()
        );
    };
    verdict("published");
    revoke(&dev, &release);
    follower
        .stdin
        .take()
        .unwrap()
        .write_all(b"revoked\n")
        .unwrap();
    verdict("revoked");
    assert!(follower.wait().unwrap().success());
    assert!(server.ends(), "it ends when it is told to");
}
