//! What nobody should send: malformed, oversized, misdirected. It gets the right status and a line in the log, and nothing
//! is written, read or asked for elsewhere.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::rig::block_on;
use crate::support::{Dev, fixture, landfall};

/// Everything that lies below a folder.
fn everything(root: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path);
        }
    }
    // The database makes and removes these as it likes.
    found.retain(|path| !path.to_string_lossy().contains("landfall.db"));
    found
}

/// How many files and series the ledger has.
fn recorded(dev: &Dev) -> (i64, i64) {
    let ledger = rusqlite::Connection::open(dev.root.path().join("landfall.db")).unwrap();
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        ledger.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    (
        count("landfall_source_file"),
        count("landfall_source_group"),
    )
}

/// The port of the handler, past the host in front of it.
fn handler_port(dev: &Dev) -> u64 {
    let ready = dev.wait_for("the handler", || dev.messages("Ready").pop());
    ready["port"].as_u64().unwrap()
}

fn send(port: u64, path: &str, body: Vec<u8>) -> (u16, Value) {
    block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        // As the host sends it: without a length.
        let body =
            reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(body)]));
        let request = client
            .post(format!("http://127.0.0.1:{port}{path}"))
            .body(body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    })
}

fn message(blob_url: &str) -> Vec<u8> {
    let text = json!({"blob_url": blob_url}).to_string();
    json!({"Data": {"msg": text}}).to_string().into()
}

fn event(kind: &str, account: &str, subject: &str, data: &Value) -> Value {
    json!({
        "id": "1", "eventType": format!("Microsoft.Storage.{kind}"), "subject": subject,
        "topic": format!("/subscriptions/s/resourceGroups/r/providers/Microsoft.Storage/storageAccounts/{account}"),
        "eventTime": "2026-01-01T00:00:00Z", "dataVersion": "", "metadataVersion": "1", "data": data,
    })
}

fn created(container: &str, blob: &str) -> Value {
    let subject = format!("/blobServices/default/containers/{container}/blobs/{blob}");
    let data = json!({"api": "PutBlob", "eTag": "e", "contentLength": 10, "sequencer": "01"});
    event("BlobCreated", "local", &subject, &data)
}

fn envelope(event: &Value) -> Vec<u8> {
    json!({"Data": {"event": event}}).to_string().into()
}

/// A body, the function it is for, the status it gets, and how its line in the log begins.
fn invocations() -> Vec<(&'static str, Vec<u8>, u16, &'static str)> {
    const REFUSED: &str = "An invocation's payload is refused";
    const NO_SOURCE: &str = "Ignored a message for a blob that is no source";
    let deep = [b"[".repeat(200_000), b"]".repeat(200_000)].concat();
    let text = |text: &str| text.as_bytes().to_vec();
    let mut bodies = Vec::new();
    let malformed = [
        text(""),
        text("null"),
        text("[]"),
        text("{}"),
        text("not JSON"),
        text(r#"{"Data": null}"#),
        text(r#"{"Data": {"event": 7, "msg": 7}}"#),
        text(r#"{"Data": {"event": "\"{\\\"id\\\":", "msg": "\"{\\\"blob_url\\\":"}}"#),
        text(r#"{"Data": {"other": {}}}"#),
        b"\xff\xfe{\0}".to_vec(),
        deep,
    ];
    for function in [
        "/BlobEvent",
        "/ReferenceDue",
        "/CombineDue",
        "/ReferencePoison",
        "/CombinePoison",
    ] {
        bodies.extend(
            malformed
                .iter()
                .map(|body| (function, body.clone(), 400, REFUSED)),
        );
        bodies.push((function, vec![b' '; 3 << 20], 413, REFUSED));
    }
    for address in [
        "file:///etc/passwd.nc",
        "/etc/passwd.nc",
        "http://169.254.169.254/metadata/a.nc",
        "https://169.254.169.254/metadata/a.nc",
        "https://127.0.0.1:8080/bronze/a.nc",
        "https://[::1]/bronze/a.nc",
        "https://local.blob.core.windows.net.example.org/bronze/a.nc",
        "abfs://bronze/../silver/a.nc",
        "abfs://bronze/a/./b.nc",
        "abfs://../a.nc",
        "abfs://bronze/a\\..\\b.nc",
        "https://local.blob.core.windows.net/bronze/%2e%2e/a.nc",
        "https://local.blob.core.windows.net/bronze/a%00.nc",
        "https://local.blob.core.windows.net/bronze/a%0a.nc",
    ] {
        bodies.push(("/ReferenceDue", message(address), 400, REFUSED));
        bodies.push(("/ReferencePoison", message(address), 400, REFUSED));
    }
    for address in [
        "abfs://silver/refs/a.nc",
        "abfs://bronze@foreign.dfs.core.windows.net/a.nc",
        "abfs://bronze/passwd",
        "abfs://bronze/a.nc.exe",
    ] {
        bodies.push(("/ReferenceDue", message(address), 200, NO_SOURCE));
    }
    let unknown = json!({"Data": {"msg": {"group_id": "../../etc", "generation": 1}}}).to_string();
    bodies.push((
        "/CombineDue",
        text(&unknown),
        200,
        "Ignored a message for an unknown group",
    ));
    bodies
}

/// Events that name what is no source of ours. They are answered, since to deliver them again mends nothing.
fn strange_events() -> Vec<(Value, &'static str)> {
    const REFUSED: &str = "Refused an event";
    const IGNORED: &str = "Ignored an event for a blob that is no source";
    let subject = |text: &str| event("BlobCreated", "local", text, &json!({"api": "PutBlob"}));
    let renamed = |from: &str| {
        let to = "/blobServices/default/containers/bronze/blobs/b.nc";
        event(
            "BlobRenamed",
            "local",
            to,
            &json!({"api": "RenameFile", "sourceUrl": from}),
        )
    };
    vec![
        (created("bronze", "../../../etc/passwd.nc"), REFUSED),
        (created("bronze", "a/../../b.nc"), REFUSED),
        (created("bronze", "./a.nc"), REFUSED),
        (created("bronze", "a\\..\\..\\b.nc"), REFUSED),
        (created("bronze", "a\0.nc"), REFUSED),
        (created("bronze", "a\n.nc"), REFUSED),
        (created("..", "a.nc"), REFUSED),
        (created("bronze/..", "a.nc"), REFUSED),
        (subject("bronze/a.nc"), REFUSED),
        (subject(""), REFUSED),
        (
            event(
                "BlobCreated",
                "../local",
                "/blobServices/default/containers/bronze/blobs/a.nc",
                &json!({}),
            ),
            REFUSED,
        ),
        (
            event(
                "BlobCreated",
                "local",
                "/blobServices/default/containers/bronze/blobs/a.nc",
                &json!("x"),
            ),
            REFUSED,
        ),
        (renamed("file:///etc/passwd.nc"), REFUSED),
        (renamed("https://169.254.169.254/bronze/a.nc"), REFUSED),
        (created("silver", "refs/a.nc"), IGNORED),
        (created("bronze", "a.exe"), IGNORED),
        (created("bronze", "landfall.json.nc.txt"), IGNORED),
        (
            event(
                "BlobCreated",
                "foreign",
                "/blobServices/default/containers/bronze/blobs/a.nc",
                &json!({}),
            ),
            IGNORED,
        ),
    ]
}

#[test]
fn what_no_host_sends_is_refused_and_told() {
    let dev = Dev::start();
    let port = handler_port(&dev);
    let before = everything(dev.root.path());
    let lines = |start: &str| dev.messages(start).len();
    for (function, body, status, line) in invocations() {
        let told = lines(line);
        let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let (answered, document) = send(port, function, body);
        assert_eq!(answered, status, "{function} {shown}: {document}");
        // An empty answer would hang the host.
        assert!(document.is_object(), "{function} {shown}: {document}");
        dev.wait_for(line, || (lines(line) > told).then_some(()));
    }
    for (event, line) in strange_events() {
        let told = lines(line);
        let (answered, document) = send(port, "/BlobEvent", envelope(&event));
        assert_eq!(answered, 200, "{event}: {document}");
        dev.wait_for(line, || (lines(line) > told).then_some(()));
    }
    let (status, answer) = send(port, "/NoSuchFunction", b"{}".to_vec());
    assert_eq!((status, &answer["error_type"]), (404, &json!("NotFound")));
    let webhook = "/runtime/webhooks/eventgrid?functionName=NoSuchFunction";
    assert_eq!(
        dev.post(webhook, &json!([created("bronze", "a.nc")])).0,
        404
    );
    assert_eq!(recorded(&dev), (0, 0));
    assert_eq!(everything(dev.root.path()), before);
}

/// Requests to the API that are at fault: path, body, status, and what the answer and the log say.
fn requests() -> Vec<(&'static str, Value, u16, &'static str)> {
    let submission =
        |source: &str| json!({"dataset_id": "a", "resource_id": "b", "source_url": source});
    let mut requests = Vec::new();
    for (source, said) in [
        ("file:///etc/", "the scheme is not"),
        ("/etc/", "it has no scheme"),
        ("http://169.254.169.254/metadata/", "the scheme is not"),
        ("https://169.254.169.254/metadata/", "no storage account"),
        ("https://10.0.0.1/bronze/", "no storage account"),
        ("https://localhost:8080/bronze/", "no storage account"),
        ("https://example.org/bronze/", "no storage account"),
        (
            "abfs://bronze@foreign.dfs.core.windows.net/",
            "account `foreign` is not allowed",
        ),
        ("abfs://silver/", "container `silver` is not allowed"),
        ("abfs://bronze/../silver/", "a segment"),
        ("abfs://bronze/a\0b/", "control character"),
    ] {
        requests.push(("/api/platform/submit", submission(source), 400, said));
        requests.push(("/api/inventory", json!({"source_url": source}), 400, said));
        requests.push(("/api/replay", json!({"source_url": source}), 400, said));
    }
    requests.push(("/api/platform/submit", json!([]), 400, "not a JSON object"));
    requests.push((
        "/api/platform/submit",
        json!("x".repeat(5 << 20)),
        413,
        "larger than",
    ));
    requests.push((
        "/api/replay",
        json!({"events": "x".repeat(5 << 20)}),
        413,
        "larger than",
    ));
    requests
}

#[test]
fn what_a_client_may_not_ask_for_is_refused_and_told() {
    let dev = Dev::start();
    let before = everything(dev.root.path());
    for (path, body, status, said) in requests() {
        let (answered, answer) = dev.post(path, &body);
        let shown = body.to_string().chars().take(200).collect::<String>();
        assert_eq!(answered, status, "{path} {shown}: {answer}");
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error.contains(said), "{path} {shown}: {answer}");
        assert_eq!(answer["error_type"], "ValidationError", "{path} {shown}");
        dev.wait_for("a line in the log", || {
            let told = dev
                .messages("")
                .into_iter()
                .filter(|line| line["level"] == "INFO");
            let mut told = told.map(|line| line["message"].as_str().unwrap().to_owned());
            told.any(|line| line.contains(said)).then_some(())
        });
    }
    for path in [
        "/api/zarr/../../../../etc/passwd",
        "/api/zarr/%2e%2e/%2e%2e/etc/passwd",
        "/api/zarr/x/r1/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/api/zarr/x/r99999999999999999999/.zmetadata",
        "/api/platform/status/..%2f..%2fetc",
        "/api/jobs/status/%00",
    ] {
        let (status, body) = dev.get(path);
        assert!(matches!(status, 400 | 404 | 410), "{path}: {status}");
        assert!(!String::from_utf8_lossy(&body).contains("root:"), "{path}");
    }
    assert_eq!(recorded(&dev), (0, 0));
    assert_eq!(everything(dev.root.path()), before);
}

/// A server that sends whoever asks elsewhere, and one that nobody should ask; gives the port of the first and what counts
/// the requests of the second.
fn redirecting() -> (u16, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let secret = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = secret.local_addr().unwrap();
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in secret.incoming() {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(stream);
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let answer = format!(
                "HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/secret\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, asked)
}

#[test]
fn a_storage_service_that_points_elsewhere_is_not_followed() {
    let (port, asked) = redirecting();
    let folder = tempfile::tempdir().unwrap();
    let endpoint = format!("http://127.0.0.1:{port}/{{account}}");
    let told = landfall()
        .args(["validate", "az://bronze/a.nc"])
        .env("LANDFALL_BRONZE_ACCOUNT", "acct")
        .env("LANDFALL_BLOB_ENDPOINT", &endpoint)
        .env("LANDFALL_CREDENTIAL", "anonymous")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&told.stderr);
    assert_eq!(told.status.code(), Some(1), "{errors}");
    assert!(errors.contains("302"), "{errors}");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert!(everything(folder.path()).is_empty());
}

/// A name is no way out of the folders: such files land under the names that they have.
#[test]
fn odd_names_stay_where_they_are() {
    let dev = Dev::start();
    let file = fixture("mismatch/base.nc");
    for name in [
        "%2e%2e/%2f.nc",
        "a b/c?d#e.nc",
        "~/$HOME.nc",
        "'; DROP TABLE x; --.nc",
    ] {
        dev.land(&file, name);
    }
    dev.wait_for("their references", || {
        (dev.steps("referenced").len() == 4).then_some(())
    });
    let references = dev
        .silver_files()
        .into_keys()
        .filter(|name| name.starts_with("refs/files/"));
    let references: BTreeSet<String> = references.collect();
    let expected = [
        "%2e%2e/%2f.json",
        "a b/c?d#e.json",
        "~/$HOME.json",
        "'; DROP TABLE x; --.json",
    ];
    let expected = expected.map(|name| format!("refs/files/local/bronze/{name}"));
    assert_eq!(references, expected.into());
}
