//! `landfall serve` as the Functions host starts it, with settings of its own.

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use super::azurite::{Azurite, BRONZE, SILVER};
use super::output::Output;
use super::postgres::cluster;
use super::{PATIENCE, free_port, landfall};

/// Settings by name.
pub(crate) type Settings = BTreeMap<&'static str, String>;

/// The program without what the environment of the tests may say.
pub(crate) fn clean(settings: &Settings) -> Command {
    let mut command = landfall();
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LANDFALL_")) {
        command.env_remove(name);
    }
    command.envs(settings);
    command
}

/// Runs what is asynchronous.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// Settings for the emulator, with a ledger in PostgreSQL.
pub(crate) fn in_azure(azurite: &Azurite, container: &str, database: &str) -> Settings {
    BTreeMap::from([
        ("LANDFALL_BRONZE_ACCOUNT", BRONZE.to_owned()),
        ("LANDFALL_BRONZE_CONTAINER", container.to_owned()),
        ("LANDFALL_SILVER_ACCOUNT", SILVER.to_owned()),
        ("LANDFALL_SILVER_CONTAINER", format!("{container}-silver")),
        (
            "LANDFALL_DEAD_LETTERS",
            format!("{SILVER}/{container}-letters"),
        ),
        ("LANDFALL_QUEUE_ACCOUNT", SILVER.to_owned()),
        ("LANDFALL_BLOB_ENDPOINT", azurite.blob_endpoint()),
        ("LANDFALL_QUEUE_ENDPOINT", azurite.queue_endpoint()),
        ("LANDFALL_CREDENTIAL", String::from("token-file")),
        (
            "LANDFALL_TOKEN_FILE",
            azurite.token_file().display().to_string(),
        ),
        ("SSL_CERT_FILE", azurite.trust().display().to_string()),
        (
            "LANDFALL_PUBLIC_URL",
            String::from("https://app.example.org"),
        ),
        ("LANDFALL_DATABASE_URL", database.to_owned()),
        ("LANDFALL_INSTANCES", String::from("3")),
    ])
}

/// The name and the address of a database that is up to date.
pub(crate) fn migrated() -> (String, String) {
    let name = cluster().create(None);
    let url = cluster().url(&name);
    let done = landfall()
        .args(["migrate", "--database-url", &url])
        .output();
    assert!(done.unwrap().status.success());
    (name, url)
}

/// Settings for folders and a SQLite file that are there.
pub(crate) fn folders(root: &tempfile::TempDir) -> Settings {
    let at = |name: &str| root.path().join(name);
    for name in ["bronze", "silver"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    BTreeMap::from([
        ("LANDFALL_BRONZE_DIR", at("bronze").display().to_string()),
        ("LANDFALL_SILVER_DIR", at("silver").display().to_string()),
        ("LANDFALL_DATABASE", at("landfall.db").display().to_string()),
    ])
}

/// `landfall serve` as the Functions host starts it, with its log.
pub(crate) struct Handler {
    child: Child,
    port: u16,
    output: Output,
}

impl Handler {
    /// Starts it.
    pub(crate) fn start(settings: &Settings) -> Self {
        let port = free_port();
        let mut command = clean(settings);
        command
            .arg("serve")
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string());
        Self::spawn(command, port)
    }

    /// Starts it as a server without a host.
    pub(crate) fn standalone(settings: &Settings) -> Self {
        let port = free_port();
        let mut command = clean(settings);
        let address = format!("127.0.0.1:{port}");
        command.args(["serve", "--standalone", "--listen", &address]);
        Self::spawn(command, port)
    }

    fn spawn(mut command: Command, port: u16) -> Self {
        let output = Output::of(&mut command);
        let child = command.spawn().unwrap();
        Self {
            child,
            port,
            output,
        }
    }

    /// The status and the document at a path, once there is an answer.
    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.get_with(path, &[])
    }

    /// The same, asked for with headers.
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        self.ask(Method::GET, path, headers, &Value::Null)
    }

    /// The same of a document that is posted.
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
        self.ask(Method::POST, path, headers, body)
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> (u16, Value) {
        let start = Instant::now();
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        loop {
            let answered = runtime().block_on(async {
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                let request = client.request(method.clone(), &url);
                let request = headers.iter().fold(request, |request, (name, value)| {
                    request.header(*name, *value)
                });
                let request = match body {
                    Value::Null => request,
                    body => request.json(body),
                };
                let answer = request.send().await.ok()?;
                let status = answer.status().as_u16();
                Some((status, answer.json().await.unwrap_or(Value::Null)))
            });
            if let Some(answer) = answered {
                return answer;
            }
            assert!(start.elapsed() < PATIENCE, "no answer");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.output.lines()
    }

    /// Waits for a line with this in it.
    pub(crate) fn wait_for_line(&self, part: &str) {
        let start = Instant::now();
        loop {
            let lines = self.log();
            if lines.iter().any(|line| line.contains(part)) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "no {part} in {lines:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
