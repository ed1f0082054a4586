//! An app over empty folders, driven as the Functions host drives it: by envelopes, with the queues emptied by hand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use warp::http::Response;

use super::{openapi, stage};
use crate::config::{Config, DeadLettersConfig};
use crate::http::{App, routes};
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::{Ledger, SourceFile};
use crate::stores::queue::{EmbeddedQueue, Message, Receive as _};

pub(super) struct Flow {
    pub(super) app: Arc<App>,
    queue: EmbeddedQueue,
    folder: tempfile::TempDir,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::made(change, stage::app)
    }

    /// Over a ledger elsewhere.
    pub(super) fn over(ledger: Arc<dyn Ledger>) -> Self {
        let app = |config: Config| {
            let blobs = stage::local_blobs(&config);
            stage::app_over(config, blobs, ledger)
        };
        Self::made(|_| {}, app)
    }

    fn made(change: impl FnOnce(&mut Config), app: impl FnOnce(Config) -> App) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["bronze", "silver", "letters"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut config = stage::config(&folder, true);
        config.pipeline.stuck_after = Duration::ZERO;
        config.storage.dead_letters =
            Some(DeadLettersConfig::Folder(folder.path().join("letters")));
        change(&mut config);
        let queue = EmbeddedQueue::open(config.storage.embedded_database().unwrap()).unwrap();
        let app = Arc::new(app(config));
        Self { app, queue, folder }
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Puts a year of the demo series into bronze.
    pub(super) fn land(&self, name: &str, year: u32) -> PathBuf {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cmip6");
        let file = format!("tas_Amon_DEMO-ESM_historical_r1i1p1f1_gn_{year}01-{year}12.nc");
        self.land_bytes(name, &std::fs::read(fixtures.join(file)).unwrap())
    }

    pub(super) fn land_bytes(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let target = self.path("bronze").join(name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(&target, bytes).unwrap();
        target
    }

    /// An event as Event Grid sends it, without what a HEAD has to settle.
    pub(super) fn event(kind: &str, name: &str, data: &Value) -> Value {
        let mut event = json!({
            "id": "e1", "eventType": format!("Microsoft.Storage.{kind}"), "eventTime": "2026-11-20T10:00:00.1234567Z",
            "topic": "/subscriptions/S/resourceGroups/R/providers/Microsoft.Storage/storageAccounts/local",
            "subject": format!("/blobServices/default/containers/bronze/blobs/{name}"),
            "data": {"api": "PutBlockList", "blobType": "BlockBlob"}, "dataVersion": "", "metadataVersion": "1",
        });
        let fields = data.as_object().unwrap().clone();
        event["data"].as_object_mut().unwrap().extend(fields);
        event
    }

    pub(super) async fn deliver(&self, event: &Value) -> Response<Bytes> {
        self.post(
            "/BlobEvent",
            &json!({"Data": {"event": event}, "Metadata": {"sys": {}}}),
        )
        .await
    }

    pub(super) async fn announce(&self, name: &str) {
        let answer = self
            .deliver(&Self::event("BlobCreated", name, &json!({})))
            .await;
        assert_eq!(answer.status(), 200);
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Response<Bytes> {
        self.send(path, &body.to_string()).await
    }

    pub(super) async fn send(&self, path: &str, body: &str) -> Response<Bytes> {
        let request = warp::test::request().method("POST").path(path).body(body);
        let answer = request.reply(&routes(Arc::clone(&self.app))).await;
        openapi::check("POST", path, &answer);
        answer
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let answer = warp::test::request()
            .path(path)
            .reply(&routes(Arc::clone(&self.app)))
            .await;
        openapi::check("GET", path, &answer);
        serde_json::from_slice(answer.body()).unwrap()
    }

    /// Asks with a method and headers; status and document of the answer.
    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> (u16, Value) {
        let mut request = warp::test::request().method(method).path(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let answer = request.reply(&routes(Arc::clone(&self.app))).await;
        openapi::check(method, path, &answer);
        let document = serde_json::from_slice(answer.body()).unwrap_or_default();
        (answer.status().as_u16(), document)
    }

    pub(super) async fn sweep(&self) {
        let tick = json!({"Data": {"timer": {"IsPastDue": false}}, "Metadata": {"sys": {}}});
        assert_eq!(self.post("/Sweep", &tick).await.status(), 200);
    }

    /// Delivers what is visible in the queues until nothing is; returns how many messages that were.
    pub(super) async fn drain(&self) -> usize {
        let mut delivered = 0;
        loop {
            let before = delivered;
            for (queue, function) in Message::QUEUES.iter().zip(["/ReferenceDue", "/CombineDue"]) {
                let hidden = Duration::from_secs(60);
                for message in self.queue.receive(queue, 32, hidden).await.unwrap() {
                    // The host's double encoding of a string.
                    let text = Value::String(message.text.clone()).to_string();
                    let answer = self.post(function, &json!({"Data": {"msg": text}})).await;
                    assert_eq!(answer.status(), 200, "{}", message.text);
                    assert!(self.queue.delete(&message).await.unwrap());
                    delivered += 1;
                }
            }
            if delivered == before {
                return delivered;
            }
        }
    }

    /// Loses what is visible in the queues; returns how many messages that were.
    pub(super) async fn drain_away(&self) -> usize {
        let mut lost = 0;
        for queue in Message::QUEUES {
            let hidden = Duration::from_secs(60);
            for message in self.queue.receive(queue, 32, hidden).await.unwrap() {
                assert!(self.queue.delete(&message).await.unwrap());
                lost += 1;
            }
        }
        lost
    }

    pub(super) async fn file(&self, name: &str) -> Option<SourceFile> {
        let path = BlobPath::new("local", "bronze", name);
        self.app.ledger.file(&path).await.unwrap()
    }

    /// State of a file as the ledger has it, `unknown` for one that it has not.
    pub(super) async fn state(&self, name: &str) -> String {
        let file = self.file(name).await;
        file.map_or_else(
            || String::from("unknown"),
            |file| format!("{:?}", file.state).to_lowercase(),
        )
    }

    /// Declares the demo series in `cmip6/` and returns its status.
    pub(super) async fn submit(&self, expected: &Value) -> Value {
        let body = json!({
            "dataset_id": "tas", "resource_id": "demo", "source_url": "abfs://bronze/cmip6/",
            "processing_options": {"expected": expected},
        });
        let answer = self.post("/api/platform/submit", &body).await;
        assert!(answer.status().is_success(), "{:?}", answer.body());
        serde_json::from_slice(answer.body()).unwrap()
    }

    pub(super) async fn status(&self) -> Value {
        self.get("/api/platform/status?dataset_id=tas&resource_id=demo")
            .await
    }
}
