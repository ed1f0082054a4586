//! What the log says, and what it must never say.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::azurite::{BRONZE, SILVER, azurite};
use crate::support::postgres::cluster;
use crate::support::serve::{Handler, Settings, folders, in_azure, runtime};
use crate::support::{PATIENCE, demo_series, landfall, name_of};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The secrets that a run is given, by where they are planted.
const SIGNATURE: &str = "Pl4nt3dSignature";
const PASSWORD: &str = "Pl4nt3dPassword";
const KEY: &str = "Pl4nt3dFunctionKey";

/// The event of a blob, whose address somebody has signed.
fn event(container: &str, blob: &str, etag: &str, length: usize) -> Value {
    json!({"Data": {"event": {
        "id": "1", "eventType": "Microsoft.Storage.BlobCreated",
        "topic": format!("/subscriptions/S/resourceGroups/R/providers/Microsoft.Storage/storageAccounts/{BRONZE}"),
        "subject": format!("/blobServices/default/containers/{container}/blobs/{blob}"),
        "eventTime": "2026-11-20T10:00:00Z", "dataVersion": "", "metadataVersion": "1",
        "data": {
            "api": "PutBlob", "eTag": etag, "contentLength": length, "blobType": "BlockBlob",
            "url": format!("https://{BRONZE}.blob.core.windows.net/{container}/{blob}?sv=1&sig={SIGNATURE}"),
            "sequencer": "0000000000000000000000000000A1",
        },
    }}})
}

/// A database whose role has a password that is asked for.
fn with_password() -> String {
    let name = cluster().create(None);
    let url = cluster().url(&name);
    // The role `token` has to log in with a password; it belongs to the cluster, which other tests share.
    let role = "DO $$ BEGIN CREATE ROLE planted LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN NULL; END $$";
    cluster().sql(&name, role);
    cluster().sql(&name, &format!("ALTER ROLE planted PASSWORD '{PASSWORD}'"));
    let done = landfall()
        .args(["migrate", "--database-url", &url])
        .output();
    assert!(done.unwrap().status.success());
    let port = cluster().port();
    format!("postgresql://planted:{PASSWORD}@127.0.0.1:{port}/{name}?sslmode=disable")
}

fn settings(container: &str) -> Settings {
    let runtime = runtime();
    runtime.block_on(async {
        azurite().make_container(BRONZE, container).await;
        let silver = format!("{container}-silver");
        azurite().make_container(SILVER, &silver).await;
        for queue in ["reference-due", "combine-due"] {
            azurite().make_queue(SILVER, queue).await;
        }
    });
    let mut settings = in_azure(azurite(), container, &with_password());
    settings.remove("LANDFALL_DEAD_LETTERS");
    settings
}

/// Lands the demo series, and combines it once it is due.
fn run(handler: &Handler, container: &str) {
    let runtime = runtime();
    let submitted = json!({
        "dataset_id": "demo", "resource_id": container, "source_url": format!("abfs://{container}/"),
        "processing_options": {"expected": {"count": 3}},
    });
    let (status, answer) = handler.post("/api/platform/submit", &[], &submitted);
    assert_eq!(status, 202, "{answer}");
    for file in demo_series() {
        let (blob, bytes) = (name_of(&file), std::fs::read(&file).unwrap());
        let length = bytes.len();
        let etag = runtime.block_on(azurite().put(BRONZE, &format!("{container}/{blob}"), bytes));
        let headers = [("traceparent", TRACE), ("x-functions-key", KEY)];
        let event = event(container, &blob, &etag, length);
        let (status, answer) = handler.post("/BlobEvent", &headers, &event);
        assert_eq!(status, 200, "{answer}");
    }
    let start = Instant::now();
    while !handler
        .log()
        .iter()
        .any(|line| line.contains("\"combined\""))
    {
        assert!(start.elapsed() < PATIENCE, "nothing was combined");
        for text in runtime.block_on(azurite().take_messages(SILVER, "combine-due")) {
            let envelope = json!({"Data": {"msg": text}, "Metadata": {"DequeueCount": "1"}});
            let (status, answer) =
                handler.post("/CombineDue", &[("traceparent", TRACE)], &envelope);
            assert_eq!(status, 200, "{answer}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn parsed(lines: &[String]) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line);
    let parsed = lines.iter().map(parse).collect::<Result<_, _>>();
    parsed.expect("lines of JSON")
}

#[test]
fn a_file_and_a_combine_have_one_line_each_that_says_it_all() {
    let handler = Handler::start(&settings("logged"));
    run(&handler, "logged");
    let lines = parsed(&handler.log());
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        lines.iter().all(|line| line["landfall.version"] == version),
        "{lines:#?}"
    );
    let step =
        |step: &str| -> Vec<&Value> { lines.iter().filter(|line| line["step"] == step).collect() };
    let (files, combines) = (step("referenced"), step("combined"));
    assert_eq!((files.len(), combines.len()), (3, 1));
    let numbers = |line: &Value, names: &[&str]| {
        for name in names {
            assert!(
                line[name].as_u64().is_some_and(|number| number > 0),
                "{name} in {line}"
            );
        }
        assert_eq!(line["level"], "INFO");
        // The trace that the host named, so that its own log and ours are one.
        assert!(line["spans"].to_string().contains(TRACE), "{line}");
    };
    for file in files {
        let names = [
            "chunks.count",
            "reference.bytes",
            "bytes.read",
            "requests.count",
            "rounds.count",
            "elapsed_ms",
        ];
        numbers(file, &names);
        assert!(
            file["blob.url"]
                .as_str()
                .unwrap()
                .starts_with("abfs://logged"),
            "{file}"
        );
    }
    let names = [
        "files.count",
        "chunks.count",
        "reference.bytes",
        "bytes.read",
        "requests.count",
        "rounds.count",
        "elapsed_ms",
        "memory.peak_bytes",
    ];
    numbers(combines[0], &names);
}

#[test]
fn the_line_of_a_rejected_file_says_what_it_has_cost() {
    let handler = Handler::start(&settings("refused"));
    let bytes = b"<html>no NetCDF file</html>".to_vec();
    let length = bytes.len();
    let etag = runtime().block_on(azurite().put(BRONZE, "refused/a.nc", bytes));
    let event = event("refused", "a.nc", &etag, length);
    let (status, answer) = handler.post("/BlobEvent", &[("traceparent", TRACE)], &event);
    assert_eq!(status, 200, "{answer}");
    handler.wait_for_line("\"rejected\"");
    let lines = parsed(&handler.log());
    let line = lines
        .iter()
        .find(|line| line["step"] == "rejected")
        .unwrap();
    assert_eq!(
        (&line["level"], &line["error.code"]),
        (&json!("WARN"), &json!("not_netcdf"))
    );
    // The file is smaller than what is read ahead of any: it takes one request.
    let counts = [
        "bytes.read",
        "requests.count",
        "rounds.count",
        "findings.count",
    ];
    let counts = counts.map(|name| line[name].as_u64());
    assert_eq!(
        counts,
        [Some(length as u64), Some(1), Some(1), Some(0)],
        "{line}"
    );
    assert!(line["elapsed_ms"].is_u64(), "{line}");
    assert!(line["spans"].to_string().contains(TRACE), "{line}");
}

/// Its database is not there, so that it has something to say.
#[test]
fn a_server_without_a_host_says_which_request_a_line_belongs_to() {
    let root = tempfile::tempdir().unwrap();
    let mut settings = folders(&root);
    let nowhere = String::from("postgresql://nobody@127.0.0.1:9/nothing");
    settings.insert("LANDFALL_DATABASE_URL", nowhere);
    let server = Handler::standalone(&settings);
    let store = format!("/api/zarr/none/r1/~{SIGNATURE}/.zmetadata");
    for path in [store.as_str(), "/api/readyz"] {
        let (status, answer) = server.get_with(path, &[("traceparent", TRACE)]);
        assert_eq!(status, 503, "{answer}");
    }
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains(SIGNATURE)), "{log:#?}");
    for path in ["/api/zarr/none/r1/~***/.zmetadata", "/api/readyz"] {
        let lines = parsed(&log);
        let of_request = |line: &&Value| {
            let span = &line["spans"][0];
            (&span["http.path"], &span["traceparent"]) == (&json!(path), &json!(TRACE))
        };
        let line = lines.iter().find(of_request);
        assert_eq!(
            line.map(|line| &line["level"]),
            Some(&json!("WARN")),
            "{path} in {log:#?}"
        );
    }
}

/// At the finest level, where libraries tell what they send as well.
#[test]
fn no_secret_is_ever_logged() {
    let mut settings = settings("secrets");
    settings.insert("LANDFALL_LOG", String::from("trace"));
    settings.insert("LANDFALL_HTTPS_HOSTS", String::from("localhost"));
    let handler = Handler::start(&settings);
    run(&handler, "secrets");
    let signed = |host: &str| format!("https://{host}/secrets/a.nc?sv=1&sig={SIGNATURE}");
    let account = format!("{BRONZE}.blob.core.windows.net");
    for path in [
        "/api/replay",
        "/api/inventory",
        "/api/validate",
        "/api/reference",
    ] {
        for host in [account.as_str(), "localhost", "elsewhere.example.org"] {
            let named = json!({"source_url": signed(host), "nc_url": signed(host)});
            let one = match path {
                "/api/replay" | "/api/inventory" => json!({"source_url": named["source_url"]}),
                _ => json!({"nc_url": named["nc_url"]}),
            };
            handler.post(
                &format!("{path}?code={KEY}"),
                &[("x-functions-key", KEY)],
                &one,
            );
        }
    }
    handler.get(&format!("/api/readyz?code={KEY}&sig={SIGNATURE}"));
    handler.get(&format!("/api/zarr/none/r1/~{SIGNATURE}/.zmetadata"));
    handler.get("/api/health/details");
    let token = std::fs::read_to_string(azurite().token_file()).unwrap();
    let log = handler.log();
    assert!(log.len() > 1000, "{} lines at the finest level", log.len());
    for secret in [SIGNATURE, PASSWORD, KEY, token.trim()] {
        let told: Vec<&String> = log.iter().filter(|line| line.contains(secret)).collect();
        assert!(
            told.is_empty(),
            "{secret}: {:#?}",
            &told[..told.len().min(3)]
        );
    }
}
