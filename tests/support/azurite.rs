//! Azurite, the emulator of Azure's storage, over https and with OAuth, as production is.
//!
//! The certificates and the token are made when it starts. It listens on free ports of loopback, keeps everything in
//! memory or in a folder of its own, and ends with the process that started it: by the end of its standard input,
//! however that process ends.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder};
use serde_json::json;
use tempfile::TempDir;

/// The account of sources.
pub(crate) const BRONZE: &str = "bronzeaccount";

/// The account of what is written, and of the queues.
pub(crate) const SILVER: &str = "silveraccount";

/// Where a second app, for comparison, keeps what it writes and its queues.
pub(crate) const OTHER: &str = "otheraccount";

/// Runs the program until its standard input ends. What it has in memory it cannot save; what it keeps on disk it
/// writes there every few seconds and when it is asked to end, unlike the service, which has kept whatever it said it
/// had. So it is never killed while anybody still needs it.
const UNTIL_STDIN_ENDS: &str = r#"signal=$1; shift; "$@" & child=$!; cat >/dev/null; kill -"$signal" "$child"; { wait "$child"; } 2>/dev/null"#;

/// Where the packages for Node are.
pub(crate) fn node_folder() -> PathBuf {
    let folder = std::env::var_os("LANDFALL_TEST_NODE_FOLDER").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/node"));
    assert!(
        folder.join("node_modules").exists(),
        "no packages for Node in {}: run `./just setup`",
        folder.display()
    );
    folder
}

/// An emulator at work.
#[derive(Debug)]
pub(crate) struct Azurite {
    /// Holds what it and its clients need to trust each other.
    folder: TempDir,
    is_on_disk: bool,
    /// Its standard input keeps it alive.
    process: Child,
    blob_port: u16,
    queue_port: u16,
}

/// The one of this process, started when it is first asked for.
pub(crate) fn azurite() -> &'static Azurite {
    static STARTED: OnceLock<Azurite> = OnceLock::new();
    STARTED.get_or_init(Azurite::in_memory)
}

impl Azurite {
    /// One of the caller's own.
    pub(crate) fn in_memory() -> Self {
        Self::start(false)
    }

    /// One that survives its own end.
    pub(crate) fn on_disk() -> Self {
        Self::start(true)
    }

    fn start(is_on_disk: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        make_certificates(folder.path());
        std::fs::write(
            folder.path().join("token"),
            token(Duration::from_secs(7200)),
        )
        .unwrap();
        let (process, blob_port, queue_port) = run(folder.path(), is_on_disk);
        Self {
            folder,
            is_on_disk,
            process,
            blob_port,
            queue_port,
        }
    }

    /// Ends it, cutting off whoever talks to it, and starts it again on other ports after a while.
    pub(crate) fn restart(&mut self, after: Duration) {
        assert!(self.is_on_disk, "it would forget everything");
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
        std::thread::sleep(after);
        (self.process, self.blob_port, self.queue_port) = run(self.folder.path(), true);
    }

    /// The folder of its certificates: `ca.pem`, `leaf.pem`, `leaf.key`.
    pub(crate) fn certificates(&self) -> &Path {
        self.folder.path()
    }

    /// The ports of blobs and of queues.
    pub(crate) const fn ports(&self) -> (u16, u16) {
        (self.blob_port, self.queue_port)
    }

    /// The certificate that its clients have to trust, as `SSL_CERT_FILE` takes it.
    pub(crate) fn trust(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A file with a token that it takes.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// `LANDFALL_BLOB_ENDPOINT`.
    pub(crate) fn blob_endpoint(&self) -> String {
        format!("https://127.0.0.1:{}/{{account}}", self.blob_port)
    }

    /// `LANDFALL_QUEUE_ENDPOINT`.
    pub(crate) fn queue_endpoint(&self) -> String {
        format!("https://127.0.0.1:{}/{{account}}", self.queue_port)
    }

    /// A client that trusts it, and nobody else.
    pub(crate) fn trusting(&self) -> ClientBuilder {
        let trust = std::fs::read(self.trust()).unwrap();
        let trust = reqwest::Certificate::from_pem(&trust).unwrap();
        Client::builder().no_proxy().tls_certs_only([trust])
    }

    /// Makes a container, if it is not there.
    pub(crate) async fn make_container(&self, account: &str, container: &str) {
        let path = format!("{container}?restype=container");
        let request = self.request(Method::PUT, account, &path);
        let status = request.send().await.unwrap().status().as_u16();
        assert!(
            matches!(status, 201 | 409),
            "container {container}: {status}"
        );
    }

    /// Makes a queue, if it is not there.
    pub(crate) async fn make_queue(&self, account: &str, queue: &str) {
        let request = self.queue_request(Method::PUT, account, queue);
        let status = request.send().await.unwrap().status().as_u16();
        assert!(matches!(status, 201 | 204), "queue {queue}: {status}");
    }

    /// Takes the messages that are visible off a queue, and gives their texts.
    pub(crate) async fn take_messages(&self, account: &str, queue: &str) -> Vec<String> {
        let path = format!("{queue}/messages?numofmessages=32&visibilitytimeout=3600");
        let request = self.queue_request(Method::GET, account, &path);
        let answer = request.send().await.unwrap().text().await.unwrap();
        let texts = answer.split("<MessageText>").skip(1);
        let text = |part: &str| part.split("</MessageText>").next().unwrap().to_owned();
        texts
            .map(|part| text(part).replace("&quot;", "\"").replace("&amp;", "&"))
            .collect()
    }

    fn queue_request(&self, method: Method, account: &str, path: &str) -> RequestBuilder {
        self.request_to(self.queue_port, method, account, path)
    }

    /// Writes a blob and gives its version.
    pub(crate) async fn put(&self, account: &str, path: &str, bytes: Vec<u8>) -> String {
        let request = self.request(Method::PUT, account, path);
        // Of an empty body nothing else tells the length.
        let request = request.header("content-length", bytes.len());
        let request = request.header("x-ms-blob-type", "BlockBlob").body(bytes);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 201, "put {path}");
        let etag = answer.headers()["etag"].to_str().unwrap();
        etag.trim_matches('"').to_owned()
    }

    /// The bytes of a blob.
    pub(crate) async fn get(&self, account: &str, path: &str) -> Option<Vec<u8>> {
        let answer = self
            .request(Method::GET, account, path)
            .send()
            .await
            .unwrap();
        match answer.status().is_success() {
            true => Some(answer.bytes().await.unwrap().to_vec()),
            false => None,
        }
    }

    /// Deletes a blob.
    pub(crate) async fn delete(&self, account: &str, path: &str) {
        let request = self.request(Method::DELETE, account, path);
        let status = request.send().await.unwrap().status().as_u16();
        assert!(matches!(status, 202 | 404), "delete {path}: {status}");
    }

    /// The names and versions of the blobs of a container, fewer than 5 000.
    pub(crate) async fn list(&self, account: &str, container: &str) -> BTreeMap<String, String> {
        let path = format!("{container}?restype=container&comp=list");
        let answer = self.request(Method::GET, account, &path).send().await;
        let text = answer.unwrap().text().await.unwrap();
        let part = |blob: &str, tag: &str| {
            let rest = blob.split_once(&format!("<{tag}>")).unwrap().1;
            let text = rest.split_once(&format!("</{tag}>")).unwrap().0;
            text.trim_matches('"')
                .replace("&quot;", "")
                .replace("&amp;", "&")
        };
        let blobs = text.split("<Blob>").skip(1);
        blobs
            .map(|blob| (part(blob, "Name"), part(blob, "Etag")))
            .collect()
    }

    fn request(&self, method: Method, account: &str, path: &str) -> RequestBuilder {
        self.request_to(self.blob_port, method, account, path)
    }

    fn request_to(&self, port: u16, method: Method, account: &str, path: &str) -> RequestBuilder {
        let url = format!("https://127.0.0.1:{port}/{account}/{path}");
        let token = std::fs::read_to_string(self.token_file()).unwrap();
        let client = self.trusting().build().unwrap();
        let request = client.request(method, url).bearer_auth(token);
        request.header("x-ms-version", "2025-05-05")
    }
}

/// Starts it over a folder; gives the ports of blobs and of queues.
fn run(folder: &Path, is_on_disk: bool) -> (Child, u16, u16) {
    let program = node_folder().join("node_modules/azurite/dist/src/azurite.js");
    assert!(
        program.exists(),
        "no {}: run `./just setup`",
        program.display()
    );
    let signal = if is_on_disk { "TERM" } else { "KILL" };
    let mut command = Command::new("sh");
    command
        .args(["-c", UNTIL_STDIN_ENDS, "sh", signal, "node"])
        .arg(program);
    match is_on_disk {
        true => command.arg("--location").arg(folder.join("data")),
        false => command.arg("--inMemoryPersistence"),
    };
    command.args(["--skipApiVersionCheck", "--disableTelemetry"]);
    command.args(["--blobPort", "0", "--queuePort", "0", "--tablePort", "0"]);
    command.args(["--oauth", "basic"]);
    command.arg("--cert").arg(folder.join("leaf.pem"));
    command.arg("--key").arg(folder.join("leaf.key"));
    // It wants keys, which nobody uses.
    let accounts = [BRONZE, SILVER, OTHER].map(|account| format!("{account}:a2V5"));
    command.env("AZURITE_ACCOUNTS", accounts.join(";"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().expect("sh and node");
    let output = process.stdout.take().unwrap();
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let blob_port = port(&mut lines, "Blob");
    let queue_port = port(&mut lines, "Queue");
    std::thread::spawn(move || lines.for_each(drop));
    (process, blob_port, queue_port)
}

impl Drop for Azurite {
    fn drop(&mut self) {
        // It may still be writing into the folder.
        drop(self.process.stdin.take());
        self.process.wait().ok();
    }
}

/// The port that a service says it listens on.
fn port(lines: &mut impl Iterator<Item = String>, service: &str) -> u16 {
    let start = format!("Azurite {service} service is successfully listening at ");
    let line = lines.find(|line| line.starts_with(&start));
    let line = line.expect("Azurite starts");
    line.rsplit(':').next().unwrap().trim().parse().unwrap()
}

/// `ca.pem`, and `leaf.pem` with `leaf.key`, which it has signed: clients take no other kind.
fn make_certificates(folder: &Path) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = ca.self_signed(&ca_key).unwrap();
    std::fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let names = ["localhost", "127.0.0.1"].map(String::from);
    let leaf = CertificateParams::new(names).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("leaf.pem"), leaf.pem()).unwrap();
    std::fs::write(folder.join("leaf.key"), key.serialize_pem()).unwrap();
}

/// A token as Azurite takes it: it looks at the claims, not at the signature.
pub(crate) fn token(good_for: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = json!({
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
        "iat": now.as_secs() - 60,
        "nbf": now.as_secs() - 60,
        "exp": (now + good_for).as_secs(),
        "ver": "1.0",
    });
    let encode = |text: String| azure_core::base64::encode_url_safe(text);
    let header = encode(json!({"alg": "RS256", "typ": "JWT"}).to_string());
    format!(
        "{header}.{}.{}",
        encode(claims.to_string()),
        encode(String::from("unsigned"))
    )
}
