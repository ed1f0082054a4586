//! The reverse of `openapi::check`: every answer that `docs/openapi.json` has, with every `error_type` of it, is come to
//! by a request here. What no request comes to fails the test: it is to be reached, or to be taken out of the document.
//!
//! The scenes hold every answer against the document as well, so that none is counted for what it is not.

mod scenes;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use warp::http::Response;

use super::openapi::{address_of, check, paths, resolved};
use crate::http::{App, routes, standalone_routes};

/// An operation, the status of an answer, and its `error_type` where it has one.
type Outcome = (String, u16, String);

/// An app in some state, and what it was brought to answer.
struct Scene {
    app: Arc<App>,
    /// Without a Functions host, which is asked with a key.
    is_standalone: bool,
    reached: BTreeSet<Outcome>,
}

impl Scene {
    fn of(app: &Arc<App>) -> Self {
        Self {
            app: Arc::clone(app),
            is_standalone: false,
            reached: BTreeSet::new(),
        }
    }

    /// Asks, and fails unless the answer is this one and a documented one.
    async fn ask(
        &mut self,
        request: (&str, &str),
        body: &str,
        expected: (u16, &str),
    ) -> Response<Bytes> {
        self.ask_with(request, &[], body, expected).await
    }

    async fn ask_with(
        &mut self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &str,
        (status, error_type): (u16, &str),
    ) -> Response<Bytes> {
        let mut request = warp::test::request().method(method).path(path).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let app = Arc::clone(&self.app);
        let answer = match self.is_standalone {
            true => request.reply(&standalone_routes(app)).await,
            false => request.reply(&routes(app)).await,
        };
        check(method, path, &answer);
        // Answers to HEAD have no body that would say more.
        let found = match method {
            "HEAD" => error_type.to_owned(),
            _ => error_type_of(&answer),
        };
        assert_eq!(
            (answer.status().as_u16(), found.as_str()),
            (status, error_type),
            "{method} {path}: {:?}",
            answer.body()
        );
        let operation = format!("{method} {}", address_of(path).unwrap());
        self.reached.insert((operation, status, found));
        answer
    }

    async fn get(&mut self, path: &str, expected: (u16, &str)) -> Value {
        let answer = self.ask(("GET", path), "", expected).await;
        serde_json::from_slice(answer.body()).unwrap_or_default()
    }

    async fn post(&mut self, path: &str, body: &Value, expected: (u16, &str)) -> Value {
        let body = body.to_string();
        let answer = self.ask(("POST", path), &body, expected).await;
        serde_json::from_slice(answer.body()).unwrap_or_default()
    }

    /// Asks with both methods of a store.
    async fn read(&mut self, path: &str, expected: (u16, &str)) {
        for method in ["GET", "HEAD"] {
            self.ask((method, path), "", expected).await;
        }
    }
}

fn error_type_of(answer: &Response<Bytes>) -> String {
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    body["error_type"].as_str().unwrap_or_default().to_owned()
}

/// Every answer of the document.
fn documented() -> BTreeSet<Outcome> {
    let mut all = BTreeSet::new();
    for (template, operations) in paths() {
        for (method, operation) in operations.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let operation = format!("{} {template}", method.to_uppercase());
                let status: u16 = status.parse().unwrap();
                let types = error_types(resolved(response));
                all.extend(types.map(|error_type| (operation.clone(), status, error_type)));
            }
        }
    }
    all
}

/// The error types of an answer; one that is none for an answer without.
fn error_types(response: &'static Value) -> impl Iterator<Item = String> {
    let types = "/content/application~1json/schema/properties/error_type/enum";
    let types = response.pointer(types).cloned().unwrap_or(json!([""]));
    let types: Vec<String> = serde_json::from_value(types).unwrap();
    types.into_iter()
}

/// The operations that have an answer of a status.
fn operations_with(status: &str) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for (template, operations) in paths() {
        for (method, operation) in operations.as_object().unwrap() {
            if operation["responses"].get(status).is_some() {
                found.push((method.to_uppercase(), template.as_str()));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_answer_is_come_to() {
    let reached: BTreeSet<Outcome> = scenes::all().await.into_iter().flatten().collect();
    let documented = documented();
    let missing: Vec<_> = documented.difference(&reached).collect();
    assert!(
        missing.is_empty(),
        "nothing comes to these answers of docs/openapi.json: {missing:#?}"
    );
    let others: Vec<_> = reached.difference(&documented).collect();
    assert!(
        others.is_empty(),
        "docs/openapi.json does not have these: {others:#?}"
    );
}

/// SPEC §8.
#[test]
fn every_error_type_of_the_specification_is_documented_with_its_status() {
    let of_the_specification = [
        ("ValidationError", &[400, 413][..]),
        ("NotFound", &[404]),
        ("ReleaseExistsError", &[409]),
        ("ReleaseStateError", &[409]),
        ("VersionConflict", &[409]),
        ("ApprovalFailed", &[400]),
        ("RejectionFailed", &[400]),
        ("RevocationFailed", &[400]),
        // 500 where the catalogue fails; 409 where it has somebody else's item in the place.
        ("StacMaterializationError", &[409, 500]),
        ("InternalError", &[500]),
    ];
    let documented = documented();
    for (error_type, statuses) in of_the_specification {
        let found = documented
            .iter()
            .filter(|(_, _, found)| found == error_type);
        let found: BTreeSet<u16> = found.map(|(_, status, _)| *status).collect();
        assert_eq!(found, statuses.iter().copied().collect(), "{error_type}");
    }
}
