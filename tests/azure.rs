//! Against Azure's storage as Azurite plays it: OAuth over https, bronze and silver in different accounts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::azurite::{Azurite, BRONZE, SILVER, azurite};
use crate::support::{
    PATIENCE, demo_series, fixture, free_port, landfall, name_of, read_with_xarray,
};

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// The settings of the program for the emulator.
fn settings(azurite: &Azurite, container: &str) -> Vec<(&'static str, String)> {
    vec![
        ("LANDFALL_BRONZE_ACCOUNT", BRONZE.to_owned()),
        ("LANDFALL_BRONZE_CONTAINER", container.to_owned()),
        ("LANDFALL_SILVER_ACCOUNT", SILVER.to_owned()),
        ("LANDFALL_SILVER_CONTAINER", format!("{container}-silver")),
        ("LANDFALL_QUEUE_ACCOUNT", SILVER.to_owned()),
        ("LANDFALL_BLOB_ENDPOINT", azurite.blob_endpoint()),
        ("LANDFALL_QUEUE_ENDPOINT", azurite.queue_endpoint()),
        ("LANDFALL_CREDENTIAL", String::from("token-file")),
        (
            "LANDFALL_TOKEN_FILE",
            azurite.token_file().display().to_string(),
        ),
        ("SSL_CERT_FILE", azurite.trust().display().to_string()),
    ]
}

/// Runs a command of the program on the emulator.
fn run(container: &str, arguments: &[&str]) -> (i32, Value, String) {
    let mut command = landfall();
    command.args(arguments).envs(settings(azurite(), container));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    (
        output.status.code().unwrap(),
        serde_json::from_str(last).unwrap_or(Value::Null),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// What a kerchunk document says, with the address of its source left out.
fn refs(file: &std::path::Path, source: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(source), "{source} in {text}");
    text.replace(source, "SOURCE")
}

/// Everything but the version of the source, which a store names in its own way.
fn without_version(text: &str) -> Value {
    let mut document: Value = serde_json::from_str(text).unwrap();
    document
        .as_object_mut()
        .unwrap()
        .retain(|key, _| key == "refs");
    document
}

#[test]
fn a_blob_is_referenced_as_the_file_is() {
    let (azurite, runtime) = (azurite(), runtime());
    let file = demo_series().remove(0);
    let name = name_of(&file);
    runtime.block_on(async {
        azurite.make_container(BRONZE, "cli").await;
        azurite
            .put(
                BRONZE,
                &format!("cli/cmip6/{name}"),
                std::fs::read(&file).unwrap(),
            )
            .await;
    });
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (
        folder.path().join("here.json"),
        folder.path().join("there.json"),
    );
    let output = |file: &std::path::Path| file.display().to_string();
    let local = file.display().to_string();
    let (code, _, errors) = run(
        "cli",
        &["virtualize", &local, "-o", &output(&here), "--json"],
    );
    assert_eq!(code, 0, "{errors}");
    let address = format!("az://cli/cmip6/{name}");
    let (code, told, errors) = run(
        "cli",
        &["virtualize", &address, "-o", &output(&there), "--json"],
    );
    assert_eq!(code, 0, "{errors}");
    // One request, which brings the length and the version as well.
    assert_eq!(told["io"]["requests"], json!(1), "{told}");
    assert_eq!(told["io"]["rounds"], json!(1), "{told}");
    let expected = without_version(&refs(&here, &format!("file://{local}")));
    assert_eq!(without_version(&refs(&there, &address)), expected);
}

/// Answers as the identity of a function app does, and gives what it was asked for.
fn identity_endpoint(token: &str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/msi/token", listener.local_addr().unwrap());
    let body = json!({"access_token": token, "expires_on": "4102444800", "token_type": "Bearer", "resource": ""});
    let body = body.to_string();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let head: Vec<String> = lines
            .by_ref()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        head.join("\n")
    });
    (url, asked)
}

/// A blob read as somebody: `settings` override those that hold the emulator's token.
fn read_as(settings_of_identity: &[(&str, &str)]) {
    let (azurite, runtime) = (azurite(), runtime());
    runtime.block_on(async {
        azurite.make_container(BRONZE, "identity").await;
        let bytes = std::fs::read(fixture("classic/cdf1.nc")).unwrap();
        azurite.put(BRONZE, "identity/a.nc", bytes).await;
    });
    let mut command = landfall();
    command.args(["validate", "az://identity/a.nc"]);
    command.envs(settings(azurite, "identity"));
    command.env_remove("LANDFALL_TOKEN_FILE");
    command.envs(settings_of_identity.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_identity_of_a_function_app_is_asked_once_for_its_client_id() {
    let token = std::fs::read_to_string(azurite().token_file()).unwrap();
    let (url, asked) = identity_endpoint(&token);
    read_as(&[
        ("LANDFALL_CREDENTIAL", "managed-identity"),
        ("LANDFALL_CLIENT_ID", "11111111-2222-3333-4444-555555555555"),
        ("IDENTITY_ENDPOINT", &url),
        ("IDENTITY_HEADER", "secret-of-the-host"),
    ]);
    let asked = asked.join().unwrap().to_lowercase();
    assert!(
        asked.contains("resource=https%3a%2f%2fstorage.azure.com"),
        "{asked}"
    );
    assert!(
        asked.contains("client_id=11111111-2222-3333-4444-555555555555"),
        "{asked}"
    );
    assert!(
        asked.contains("x-identity-header: secret-of-the-host"),
        "{asked}"
    );
}

#[test]
fn a_developer_is_who_is_signed_in_to_the_azure_cli() {
    let token = std::fs::read_to_string(azurite().token_file()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let answer =
        json!({"accessToken": token, "expires_on": 4_102_444_800_i64, "tokenType": "Bearer"});
    let script = format!("#!/bin/sh\necho '{answer}'\n");
    let program = folder.path().join("az");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    read_as(&[("LANDFALL_CREDENTIAL", "developer"), ("PATH", &path)]);
}

#[rstest]
#[case::absent("az://cli-errors/absent.nc", 1, "does not exist")]
#[case::no_container("az://nowhere/a.nc", 1, "container nowhere does not exist")]
#[case::no_netcdf("az://cli-errors/text.nc", 3, "not a NetCDF or HDF5 file")]
#[case::other_account(
    "abfs://cli-errors@silveraccount.dfs.core.windows.net/text.nc",
    1,
    "container cli-errors does not exist"
)]
#[case::signed_elsewhere(
    "abfs://c@acct.dfs.example.org/a.nc",
    3,
    "the host is no storage account"
)]
fn what_cannot_be_read_is_told(#[case] address: &str, #[case] code: i32, #[case] message: &str) {
    runtime().block_on(async {
        azurite().make_container(BRONZE, "cli-errors").await;
        let text = b"no such thing".to_vec();
        azurite().put(BRONZE, "cli-errors/text.nc", text).await;
    });
    let (actual, _, errors) = run("cli-errors", &["validate", address]);
    assert_eq!(actual, code, "{errors}");
    assert!(errors.contains(message), "{errors}");
}

#[test]
fn a_folder_of_a_container_is_joined() {
    let (azurite, runtime) = (azurite(), runtime());
    let files = demo_series();
    runtime.block_on(async {
        azurite.make_container(BRONZE, "join").await;
        for file in &files {
            let name = format!("join/cmip6/{}", name_of(file));
            azurite
                .put(BRONZE, &name, std::fs::read(file).unwrap())
                .await;
        }
        azurite
            .put(BRONZE, "join/cmip6/deeper/other.nc", b"not meant".to_vec())
            .await;
        azurite
            .put(BRONZE, "join/cmip6/README.txt", b"not meant".to_vec())
            .await;
    });
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("joined.json").display().to_string();
    let (code, told, errors) = run(
        "join",
        &["combine", "az://join/cmip6/", "-o", &output, "--json"],
    );
    assert_eq!(code, 0, "{errors}");
    let sources = told["source_files"].as_array().unwrap();
    let expected: Vec<Value> = files
        .iter()
        .map(|file| json!(format!("az://join/cmip6/{}", name_of(file))))
        .collect();
    assert_eq!(sources, &expected);
}

/// `landfall serve` as the Functions host starts it.
struct Handler {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Handler {
    fn start(container: &str, more: &[(&str, &str)]) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = landfall();
        command.arg("serve").envs(settings(azurite(), container));
        command
            .env("LANDFALL_DATABASE", folder.path().join("landfall.db"))
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
            .env("LANDFALL_OPEN_ACCESS", "true")
            .env("LANDFALL_STOP_WITH_STDIN", "true")
            .envs(more.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("\"Ready\"")));
        assert!(ready.is_some(), "the handler starts");
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            port,
            _folder: folder,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
        let request = client.build().unwrap().post(self.url(path)).json(body);
        let answer = request.send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    }

    async fn event(&self, account: &str, container: &str, blob: &str, etag: &str, length: usize) {
        let event = json!({
            "id": "1", "eventType": "Microsoft.Storage.BlobCreated",
            "topic": format!("/subscriptions/S/resourceGroups/R/providers/Microsoft.Storage/storageAccounts/{account}"),
            "subject": format!("/blobServices/default/containers/{container}/blobs/{blob}"),
            "eventTime": "2026-11-20T10:00:00Z", "dataVersion": "", "metadataVersion": "1",
            "data": {
                "api": "PutBlob", "eTag": etag, "contentLength": length, "blobType": "BlockBlob",
                "url": format!("https://{account}.blob.core.windows.net/{container}/{blob}"),
                "sequencer": "0000000000000000000000000000A1",
            },
        });
        let (status, answer) = self
            .post("/BlobEvent", &json!({"Data": {"event": event}}))
            .await;
        assert_eq!(status, 200, "{answer}");
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

async fn prepare(container: &str) {
    let azurite = azurite();
    azurite.make_container(BRONZE, container).await;
    azurite
        .make_container(SILVER, &format!("{container}-silver"))
        .await;
    for queue in ["reference-due", "combine-due"] {
        azurite.make_queue(SILVER, queue).await;
    }
}

/// Delivers what waits on `combine-due`, as the host would, until there is a message that nobody sent in vain.
async fn deliver_combines(handler: &Handler) {
    let start = std::time::Instant::now();
    let mut delivered = 0;
    while delivered == 0 {
        assert!(start.elapsed() < PATIENCE, "no message on combine-due");
        // Longer than the quiet period, and than the delay of the message.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        for text in azurite().take_messages(SILVER, "combine-due").await {
            let envelope = json!({"Data": {"msg": text}, "Metadata": {"DequeueCount": "1"}});
            let (status, answer) = handler.post("/CombineDue", &envelope).await;
            assert_eq!(status, 200, "{answer}");
            delivered += 1;
        }
    }
}

#[test]
fn events_become_references_and_a_served_series_in_another_account() {
    let (azurite, runtime) = (azurite(), runtime());
    let files = demo_series();
    runtime.block_on(prepare("events"));
    let handler = Handler::start(
        "events",
        &[
            ("LANDFALL_AUTO_GROUP", "true"),
            ("LANDFALL_QUIET_PERIOD", "PT1S"),
        ],
    );
    let release = runtime.block_on(async {
        for file in &files {
            let (blob, bytes) = (format!("cmip6/{}", name_of(file)), std::fs::read(file).unwrap());
            let length = bytes.len();
            let etag = azurite.put(BRONZE, &format!("events/{blob}"), bytes).await;
            handler.event(BRONZE, "events", &blob, &etag, length).await;
            let stem = blob.strip_suffix(".nc").unwrap();
            let name = format!("events-silver/refs/files/{BRONZE}/events/{stem}.json");
            let reference = azurite.get(SILVER, &name).await.expect("a reference");
            let reference: Value = serde_json::from_slice(&reference).unwrap();
            assert!(reference.to_string().contains(&format!("az://events/{blob}")));
        }
        deliver_combines(&handler).await;
        let asked = reqwest::get(handler.url("/api/platform/status?dataset_id=tas_Amon_DEMO-ESM_historical_r1i1p1f1_gn&resource_id=cmip6"));
        let status: Value = asked.await.unwrap().json().await.unwrap();
        status["release"]["release_id"].as_str().unwrap_or_else(|| panic!("{status}")).to_owned()
    });
    read_with_xarray(
        "served",
        &handler.url(&format!("/api/zarr/{release}/r1")),
        &files,
    );
}

#[test]
fn what_is_not_ours_is_not_read() {
    let (azurite, runtime) = (azurite(), runtime());
    runtime.block_on(async {
        prepare("foreign").await;
        azurite.make_container(SILVER, "private").await;
        let handler = Handler::start("foreign", &[]);
        let bytes = std::fs::read(fixture("classic/cdf1.nc")).unwrap();
        let etag = azurite.put(SILVER, "private/a.nc", bytes.clone()).await;
        handler
            .event(SILVER, "private", "a.nc", &etag, bytes.len())
            .await;
        handler
            .event("somebodyelse", "foreign", "a.nc", &etag, bytes.len())
            .await;
        for account in [SILVER, "somebodyelse"] {
            let name = format!("foreign-silver/refs/files/{account}/private/a.json");
            assert_eq!(azurite.get(SILVER, &name).await, None);
        }
        for (source, part) in [
            (
                "https://somebodyelse.blob.core.windows.net/bronze/",
                "account `somebodyelse` is not allowed",
            ),
            (
                "abfs://private@silveraccount.dfs.core.windows.net/",
                "account `silveraccount` is not allowed",
            ),
            ("abfs://other/x/", "not"),
            ("https://169.254.169.254/metadata/", "no storage account"),
            ("file:///etc/", "the scheme is not"),
            ("/etc/", "it has no scheme"),
        ] {
            let body = json!({"dataset_id": "a", "resource_id": "b", "source_url": source});
            let (status, answer) = handler.post("/api/platform/submit", &body).await;
            assert_eq!(status, 400, "{source}: {answer}");
            assert!(
                answer["error"].as_str().unwrap().contains(part),
                "{source}: {answer}"
            );
        }
    });
}
