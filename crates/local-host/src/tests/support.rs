//! A handler that answers as it is told and remembers what it was asked.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use warp::{Filter, http::HeaderMap};

use crate::{Handler, Host, HostConfig, HostOptions, Settings};

/// A request as the handler saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// The server.
pub(super) struct FakeHandler {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl FakeHandler {
    /// Answers with the status that `status` gives for the n-th call, and `{}`.
    pub(super) async fn start(
        status: impl Fn(usize, &Seen) -> u16 + Clone + Send + Sync + 'static,
    ) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let record = Arc::clone(&seen);
        let query = warp::query::raw()
            .map(|q: String| format!("?{q}"))
            .or(warp::any().map(String::new))
            .unify();
        let routes = warp::method()
            .and(warp::path::full())
            .and(query)
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .map(
                move |method: warp::http::Method,
                      path: warp::path::FullPath,
                      query: String,
                      headers,
                      body: bytes::Bytes| {
                    let request = Seen {
                        method: method.to_string(),
                        target: format!("{}{query}", path.as_str()),
                        headers,
                        body: body.to_vec(),
                    };
                    let mut seen = record.lock().unwrap();
                    let code = status(seen.len(), &request);
                    seen.push(request);
                    let code = warp::http::StatusCode::from_u16(code).unwrap();
                    let reply = warp::reply::with_status(warp::reply::json(&json!({})), code);
                    warp::reply::with_header(reply, "x-from", "handler")
                },
            );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(warp::serve(routes).incoming(listener).run());
        Self { port, seen }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn options(&self) -> HostOptions {
        HostOptions {
            handler: Handler::External { port: self.port },
            http: Some(([127, 0, 0, 1], 0).into()),
            ..HostOptions::default()
        }
    }
}

/// A root with one function of each kind.
pub(super) fn write_root(root: &Path, custom_handler: &Value) {
    let write = |path: &str, value: &Value| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.to_string()).unwrap();
    };
    let function = |name: &str, bindings: Value| {
        write(
            &format!("{name}/function.json"),
            &json!({ "bindings": bindings }),
        )
    };
    let http = |route: &str, methods: Value, level: &str| {
        json!([{"type": "httpTrigger", "name": "req", "direction": "in", "route": route, "methods": methods, "authLevel": level},
               {"type": "http", "name": "res", "direction": "out"}])
    };
    write(
        "host.json",
        &json!({"version": "2.0", "customHandler": custom_handler,
            "extensions": {"queues": {"batchSize": 2, "newBatchThreshold": 0, "maxDequeueCount": 3,
                "visibilityTimeout": "00:00:30", "messageEncoding": "none"}}}),
    );
    function(
        "OnBlob",
        json!([{"type": "eventGridTrigger", "name": "event", "direction": "in"}]),
    );
    function(
        "OnMessage",
        json!([{"type": "queueTrigger", "name": "msg", "direction": "in", "queueName": "due", "connection": "C"}]),
    );
    function(
        "OnTick",
        json!([{"type": "timerTrigger", "name": "timer", "direction": "in", "schedule": "%TICK%"}]),
    );
    function("All", http("{*path}", json!(["get", "post"]), "function"));
    function(
        "Store",
        http("store/{*key}", json!(["get", "head"]), "anonymous"),
    );
}

/// The configuration of such a root; its timer is due once a year.
pub(super) fn config() -> HostConfig {
    config_with_tick("0 0 0 1 1 *")
}

pub(super) fn config_with_tick(schedule: &str) -> HostConfig {
    let root = tempfile::tempdir().unwrap();
    let handler = json!({"description": {"defaultExecutablePath": "none"}, "enableProxyingHttpRequest": true});
    write_root(root.path(), &handler);
    HostConfig::load(
        root.path(),
        Settings::from([("TICK".to_owned(), schedule.to_owned())]),
    )
    .unwrap()
}

pub(super) async fn start(options: HostOptions) -> Host {
    Host::start(config(), options).await.unwrap()
}

/// Waits until something holds; fails the test if it does not within ten seconds.
pub(super) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{what}: not within ten seconds"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
