//! `landfall combine --serve`: from files to a URL in one command.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{demo_series, landfall, name_of, read_with_xarray};

/// The command at work.
struct Served {
    child: Child,
    summary: Value,
}

impl Served {
    fn start(files: &[PathBuf]) -> Self {
        let mut command = landfall();
        command.arg("combine").args(files);
        command.args(["--serve", "--port", "0", "--json"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        Self {
            child,
            summary: serde_json::from_str(&line).unwrap(),
        }
    }

    fn url(&self) -> &str {
        self.summary["zarr_url"].as_str().unwrap()
    }

    /// Status, entity tag and length of a key.
    fn ask(&self, method: reqwest::Method, key: &str) -> (u16, String, usize) {
        let url = format!("{}/{key}", self.url());
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap().block_on(async {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let answer = client.request(method, url).send().await.unwrap();
            let header = |name: &str| {
                let value = answer.headers().get(name);
                value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
            };
            let (status, etag) = (answer.status().as_u16(), header("etag"));
            let length = header("content-length").parse().unwrap();
            (status, etag, length)
        })
    }

    fn status(&self, key: &str) -> u16 {
        self.ask(reqwest::Method::GET, key).0
    }

    /// Asks it to end, and tells whether it did so well.
    fn ends(mut self) -> bool {
        let told = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        told.unwrap().success() && self.child.wait().unwrap().success()
    }
}

fn landed(folder: &Path) -> Vec<PathBuf> {
    let copy = |file: &PathBuf| {
        let copied = folder.join(name_of(file));
        std::fs::copy(file, &copied).unwrap();
        copied
    };
    demo_series().iter().map(copy).collect()
}

#[test]
fn joined_files_are_served_until_the_command_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let files = landed(folder.path());
    let served = Served::start(&files);
    assert_eq!(served.summary["combined_ref_url"], Value::Null);
    read_with_xarray("served", served.url(), &files);
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, files.len(), "nothing is written beside the files");

    let (get, head) = (
        served.ask(reqwest::Method::GET, "tas/0.0.0"),
        served.ask(reqwest::Method::HEAD, "tas/0.0.0"),
    );
    assert_eq!(get, head);
    for (key, status) in [
        ("tas/35.0.0", 200),
        ("tas/36.0.0", 404),
        ("~v3/zarr.json", 200),
        ("zarr.json", 404),
        ("combined.json", 404),
        ("../tas/0.0.0", 404),
    ] {
        assert_eq!(served.status(key), status, "{key}");
    }
    std::fs::write(&files[2], "another file").unwrap();
    assert_eq!(served.status("tas/35.0.0"), 410);
    assert_eq!(served.ask(reqwest::Method::HEAD, "tas/35.0.0").0, 410);
    assert_eq!(served.status("tas/0.0.0"), 200);
    assert!(served.ends());
}

#[test]
fn a_port_that_is_taken_ends_the_command_before_its_work() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = landfall()
        .args(["combine", "no such file.nc", "--serve", "--port", &port])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("choose another --port"), "{errors}");
}
