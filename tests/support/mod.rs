//! `landfall dev` in a temporary folder, and what tests ask of it.

pub(crate) mod azurite;
pub(crate) mod output;
pub(crate) mod pgstac;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod rig;
pub(crate) mod serve;
pub(crate) mod standalone;
pub(crate) mod web;
pub(crate) mod wire;

pub(crate) use azurite::node_folder;
use output::Output;
use postgres::cluster;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A fixture by its path below `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures").join(name)
}

/// The three files of the demo series, in the order of time.
pub(crate) fn demo_series() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(fixture("cmip6"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    files
}

/// The program; `LANDFALL_TEST_PROGRAM` names another build of it, where time and memory are measured.
pub(crate) fn landfall() -> Command {
    let other = std::env::var_os("LANDFALL_TEST_PROGRAM");
    Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_landfall").into()))
}

/// The readers' Python.
pub(crate) fn python() -> PathBuf {
    let python = std::env::var_os("LANDFALL_TEST_PYTHON").map(PathBuf::from);
    let python = python.unwrap_or_else(|| repository().join(".venv/py/bin/python"));
    assert!(
        python.exists(),
        "no Python with the readers at {}: run `./just setup`",
        python.display()
    );
    python
}

/// The Python of TiTiler.
pub(crate) fn titiler_python() -> PathBuf {
    let python = std::env::var_os("LANDFALL_TEST_TITILER_PYTHON").map(PathBuf::from);
    let python = python.unwrap_or_else(|| repository().join(".venv/titiler/bin/python"));
    assert!(
        python.exists(),
        "no Python with TiTiler at {}: run `./just setup`",
        python.display()
    );
    python
}

/// Compares with real readers (`tests/support/read_with_xarray.py`) and fails with what differs.
pub(crate) fn read_with_xarray(reader: &str, target: &str, files: &[PathBuf]) {
    let script = repository().join("tests/support/read_with_xarray.py");
    let output = Command::new(python())
        .arg(script)
        .arg(reader)
        .arg(target)
        .args(files)
        .output()
        .unwrap();
    let verdict = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{reader} {target}: {verdict}\n{errors}"
    );
}

/// What a script that draws random files, the same ones each time, says of the program's work on so many of them.
pub(crate) fn verdict_on_random(script: &str, count: u32) -> Value {
    let output = Command::new(python())
        .arg(repository().join("tests/support").join(script))
        .arg(env!("CARGO_BIN_EXE_landfall"))
        .args(["--count", &count.to_string(), "--seed", "7"])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let verdict: Value = serde_json::from_str(&printed).unwrap_or_default();
    assert!(output.status.success(), "{verdict:#}\n{errors}");
    verdict
}

/// `landfall dev` at work on a folder of its own.
pub(crate) struct Dev {
    pub(crate) root: TempDir,
    pub(crate) port: u16,
    child: Child,
    output: Output,
}

impl Dev {
    /// Starts it with a quiet period of three seconds: a file in a folder that was made with it may take one to be seen.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts it with further settings in its environment.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings)
    }

    /// Starts it with further arguments, and settings in its environment.
    pub(crate) fn start_told(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::start_as(tempfile::tempdir().unwrap(), arguments, settings)
    }

    /// Starts it on a folder that is there already.
    pub(crate) fn start_in(root: TempDir, settings: &[(&str, &str)]) -> Self {
        Self::start_as(root, &[], settings)
    }

    /// Starts it on a folder that is there already, with further arguments and settings.
    pub(crate) fn start_as(root: TempDir, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mut command = landfall();
        command
            .arg("dev")
            .arg(root.path())
            .args(["--port", &port.to_string()]);
        command.args(["--quiet-period", "PT3S", "--json"]);
        command.args(arguments).envs(settings.iter().copied());
        let output = Output::of(&mut command);
        let child = command.spawn().unwrap();
        let dev = Self {
            root,
            port,
            child,
            output,
        };
        dev.wait_for("the first answer", || {
            (dev.get("/api/livez").0 == 200).then_some(())
        });
        dev
    }

    /// Ends it without a warning, lets something happen, and starts it on the same folder again.
    pub(crate) fn kill_and_start(mut self, meanwhile: impl FnOnce()) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        meanwhile();
        let root = std::mem::replace(&mut self.root, tempfile::tempdir().unwrap());
        Self::start_in(root, &[])
    }

    /// The folder that is watched.
    pub(crate) fn bronze(&self) -> PathBuf {
        self.root.path().join("bronze")
    }

    /// The folder that is written.
    pub(crate) fn silver(&self) -> PathBuf {
        self.root.path().join("silver")
    }

    /// Copies a file to a name in bronze.
    pub(crate) fn land(&self, file: &Path, name: &str) -> PathBuf {
        let target = self.bronze().join(name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, &target).unwrap();
        target
    }

    /// Copies files under their own names into a folder of bronze.
    pub(crate) fn land_all(&self, files: &[PathBuf], folder: &str) -> Vec<PathBuf> {
        files
            .iter()
            .map(|file| self.land(file, &format!("{folder}/{}", name_of(file))))
            .collect()
    }

    /// Submits the series of a folder of bronze: complete with so many files, however slowly they come.
    pub(crate) fn submit(&self, folder: &str, count: usize) {
        let body = serde_json::json!({
            "dataset_id": folder, "resource_id": "test", "source_url": format!("abfs://bronze/{folder}/"),
            "processing_options": {"expected": {"count": count}},
        });
        let (status, reply) = self.post("/api/platform/submit", &body);
        assert_eq!(status, 202, "{reply}");
    }

    /// Writes a file into bronze in pieces, closing it after each.
    pub(crate) fn land_slowly(&self, file: &Path, name: &str, pieces: usize) {
        let bytes = fs::read(file).unwrap();
        let target = self.bronze().join(name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
            let mut open = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&target)
                .unwrap();
            open.write_all(piece).unwrap();
            drop(open);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The status and the body of a GET.
    pub(crate) fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.call(reqwest::Method::GET, path, None)
    }

    /// The status and the body of a POST of JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, body) = self.call(reqwest::Method::POST, path, Some(body));
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// The JSON document at a path.
    pub(crate) fn json(&self, path: &str) -> Value {
        let (_, body) = self.get(path);
        serde_json::from_slice(&body).unwrap_or(Value::Null)
    }

    fn call(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> (u16, Vec<u8>) {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let client = reqwest::Client::builder()
                .no_proxy()
                .timeout(PATIENCE)
                .build()
                .unwrap();
            let request = client.request(method, url);
            let request = match body {
                Some(body) => request.header("aeg-event-type", "Notification").json(body),
                None => request,
            };
            match request.send().await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    (
                        status,
                        response
                            .bytes()
                            .await
                            .map(|bytes| bytes.to_vec())
                            .unwrap_or_default(),
                    )
                }
                Err(_) => (0, Vec::new()),
            }
        })
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The log lines so far whose `step` is this.
    pub(crate) fn steps(&self, step: &str) -> Vec<Value> {
        let mut lines = self.log();
        lines.retain(|line| line["step"] == step);
        lines
    }

    /// The log lines so far whose message starts so.
    pub(crate) fn messages(&self, start: &str) -> Vec<Value> {
        let mut lines = self.log();
        lines.retain(|line| {
            let message = line["message"].as_str();
            message.is_some_and(|text| text.starts_with(start))
        });
        lines
    }

    /// The log so far.
    fn log(&self) -> Vec<Value> {
        let lines = self.output.lines();
        let parsed = lines.iter().map(|line| serde_json::from_str(line));
        parsed.filter_map(Result::ok).collect()
    }

    /// Waits until `check` gives something; fails with the log when it takes too long.
    pub(crate) fn wait_for<T>(&self, what: &str, check: impl Fn() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(value) = check() {
                return value;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "waited too long for {what}; the log:\n{}",
                self.output.lines().join("\n")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until so many combines are done, and gives the last one's release id and revision.
    pub(crate) fn wait_combined(&self, count: usize) -> (String, u64) {
        let last = self.wait_for("a combined series", || {
            let combined = self.steps("combined");
            (combined.len() >= count).then(|| combined.last().cloned().unwrap())
        });
        (
            last["release.id"].as_str().unwrap().to_owned(),
            last["revision"].as_u64().unwrap(),
        )
    }

    /// Process id of the handler.
    pub(crate) fn handler_pid(&self) -> Option<u32> {
        let parent = self.child.id();
        let processes = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        processes.into_iter().find(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let after_name = stat
                .rsplit_once(')')
                .map(|(_, rest)| rest.to_owned())
                .unwrap_or_default();
            let fields: Vec<&str> = after_name.split_whitespace().collect();
            fields.get(1).and_then(|field| field.parse::<u32>().ok()) == Some(parent)
                && fields[0] != "Z"
        })
    }

    /// Ends the handler without a warning.
    pub(crate) fn kill_handler(&self) {
        let pid = self.handler_pid().expect("a handler");
        assert!(
            Command::new("kill")
                .args(["-9", &pid.to_string()])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The same, if there is a handler and the signal meets it.
    pub(crate) fn try_kill_handler(&self) -> bool {
        let Some(pid) = self.handler_pid() else {
            return false;
        };
        let mut kill = Command::new("kill");
        kill.args(["-9", &pid.to_string()]).stderr(Stdio::null());
        kill.status().unwrap().success()
    }

    /// Waits until it has ended by itself, and gives its exit code.
    pub(crate) fn wait_for_end(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Files below silver with their bytes, by name.
    pub(crate) fn silver_files(&self) -> std::collections::BTreeMap<String, Vec<u8>> {
        let mut found = std::collections::BTreeMap::new();
        let mut folders = vec![self.silver()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path
                        .strip_prefix(self.silver())
                        .unwrap()
                        .display()
                        .to_string();
                    found.insert(name, fs::read(&path).unwrap());
                }
            }
        }
        found
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let stopped = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        let start = Instant::now();
        while stopped.is_ok() && start.elapsed() < Duration::from_secs(10) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The last segment of a path.
pub(crate) fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// A port that nobody listens on, another one each time, and below those that the system gives to connections: until
/// the program that is told of it listens, no other one takes it.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    loop {
        let next = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = 10_000 + u16::try_from(next).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
