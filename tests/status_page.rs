//! The status page as people see it: Chromium on the page of a running `landfall dev`. SPEC §11.

use std::process::Command;

use crate::support::{Dev, fixture, node_folder, repository};

/// Folder for pictures of the page, for whoever wants to look at them.
const SHOTS: &str = "LANDFALL_TEST_SHOTS";

#[test]
fn the_status_page_tells_what_happens_and_takes_an_approval() {
    let dev = Dev::start();
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new("node");
    command
        .arg(repository().join("tests/support/node/status_page.mjs"))
        .arg(node_folder())
        .arg(dev.url(""))
        .arg(dev.bronze())
        .arg(fixture("cmip6"))
        .arg(profile.path())
        .args(std::env::var_os(SHOTS));
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
