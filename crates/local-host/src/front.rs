//! The host's own HTTP front: the routes of HTTP functions, Event Grid's webhook, and the few administration paths that
//! are of use on one machine.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    config::{AuthLevel, Function, HostConfig, HttpMode, HttpTrigger, Trigger},
    envelope::{self, CallFacts},
    event_grid::{
        EventGrid, Subscriber,
        webhook::{WebhookCall, read_call},
    },
    invoke::Invoker,
    stop::StopSignal,
};

mod keys;
mod proxy;

pub use keys::HostKeys;
use keys::{Needed, is_allowed};

/// Largest body of the host's own endpoints; Event Grid's batches are at most 1 MB.
const BODY_LIMIT: usize = 4 << 20;

/// Time that open requests have to finish when the host stops.
const DRAIN: Duration = Duration::from_secs(2);

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Answers requests.
pub(crate) struct Front {
    pub(crate) config: Arc<HostConfig>,
    pub(crate) mode: HttpMode,
    pub(crate) keys: Option<HostKeys>,
    pub(crate) invoker: Invoker,
    pub(crate) grid: EventGrid,
    /// Client for HTTP functions: it follows no redirects and has no limit of its own.
    pub(crate) client: reqwest::Client,
    /// How long a request waits for a handler that is being started.
    pub(crate) ready_limit: Duration,
}

/// Accepts connections until told to stop.
pub(crate) async fn serve(front: Arc<Front>, listener: TcpListener, stop: StopSignal) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(serve_connection(Arc::clone(&front), stream, stop.clone()));
                }
                // Out of file descriptors, most likely: waiting is all that helps.
                Err(error) => {
                    tracing::warn!("Could not accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            () = stop.given() => return,
        }
    }
}

async fn serve_connection(front: Arc<Front>, stream: TcpStream, stop: StopSignal) {
    // Small answers must not wait for acknowledgements.
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { Ok::<_, Infallible>(front.answer(request).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.given() => {
            connection.as_mut().graceful_shutdown();
            timeout(DRAIN, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!("A connection ended early: {error}");
    }
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if let Some((function, http)) = self.route(request.method(), &path) {
            let needed = match http.auth_level {
                AuthLevel::Anonymous => Needed::Nothing,
                AuthLevel::Function => Needed::Function,
                AuthLevel::Admin => Needed::Master,
            };
            if !is_allowed(self.keys.as_ref(), needed, &request) {
                return text(StatusCode::UNAUTHORIZED, "");
            }
            return self.forward(&function.name, request).await;
        }
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (request.method(), segments.as_slice()) {
            (&Method::GET | &Method::HEAD, [""]) => text(StatusCode::OK, "The host is up.\n"),
            (&Method::POST, ["runtime", "webhooks", "eventgrid"]) => self.webhook(request).await,
            (&Method::POST, ["admin", "functions", name]) => {
                self.start_by_hand(name, request).await
            }
            (&Method::GET, ["admin", "host", "status"]) => self.status(),
            _ => text(StatusCode::NOT_FOUND, ""),
        }
    }

    /// The most specific HTTP function for a request.
    fn route(&self, method: &Method, path: &str) -> Option<(&Function, &HttpTrigger)> {
        let below = below_prefix(path, &self.config.route_prefix)?;
        self.config
            .functions
            .iter()
            .filter_map(|function| match &function.trigger {
                Trigger::Http(http) => Some((function, http)),
                _ => None,
            })
            .filter(|(_, http)| {
                http.methods.is_empty() || http.methods.iter().any(|m| m == method.as_str())
            })
            .filter(|(_, http)| http.route.matches(below))
            .min_by_key(|(_, http)| http.route.precedence())
    }

    async fn webhook(&self, request: Request<Incoming>) -> Response<Body> {
        if !is_allowed(self.keys.as_ref(), Needed::EventGrid, &request) {
            return text(StatusCode::UNAUTHORIZED, "");
        }
        let Some(subscriber) =
            query_value(&request, "functionName").and_then(|name| self.subscriber(&name))
        else {
            return text(
                StatusCode::NOT_FOUND,
                "there is no such Event Grid function",
            );
        };
        let event_type = header(&request, "aeg-event-type").unwrap_or_default();
        let body = match read_body(request).await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        match read_call(&event_type, &body) {
            Ok(WebhookCall::Validation(code)) => {
                json_answer(StatusCode::OK, &json!({ "validationResponse": code }))
            }
            Ok(WebhookCall::Unsubscribe) => text(StatusCode::ACCEPTED, ""),
            Ok(WebhookCall::Notification(events)) => self.notify(&subscriber, &events).await,
            Err(problem) => text(StatusCode::BAD_REQUEST, &problem),
        }
    }

    /// Calls the function for all events at once; the host says 500 if one of them fails.
    async fn notify(&self, subscriber: &Subscriber, events: &[Value]) -> Response<Body> {
        let calls = events
            .iter()
            .map(|event| self.grid.invoke(subscriber, event));
        let outcomes = futures_util::future::join_all(calls).await;
        if outcomes.iter().all(crate::InvocationOutcome::is_success) {
            text(StatusCode::ACCEPTED, "")
        } else {
            text(StatusCode::INTERNAL_SERVER_ERROR, "an invocation failed")
        }
    }

    fn subscriber(&self, name: &str) -> Option<Subscriber> {
        let function = self.config.function(name)?;
        matches!(function.trigger, Trigger::EventGrid).then(|| Subscriber {
            function: function.name.clone(),
            binding: function.binding.clone(),
        })
    }

    /// `POST /admin/functions/<Name>` with `{"input": "…"}`: accepted at once, run in the background.
    async fn start_by_hand(&self, name: &str, request: Request<Incoming>) -> Response<Body> {
        if !is_allowed(self.keys.as_ref(), Needed::Master, &request) {
            return text(StatusCode::UNAUTHORIZED, "");
        }
        let Some(function) = self.config.function(name) else {
            return text(StatusCode::NOT_FOUND, "there is no such function");
        };
        let body = match read_body(request).await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let envelope = match envelope_by_hand(function, &body) {
            Ok(envelope) => envelope,
            Err(problem) => return text(StatusCode::BAD_REQUEST, &problem),
        };
        let (invoker, name) = (self.invoker.clone(), function.name.clone());
        tokio::spawn(async move { invoker.invoke(&name, &envelope).await });
        text(StatusCode::ACCEPTED, "")
    }

    fn status(&self) -> Response<Body> {
        let ready = self.invoker.handler.port().is_some();
        let functions: Vec<&str> = self
            .config
            .functions
            .iter()
            .map(|f| f.name.as_str())
            .collect();
        let state = if ready { "Running" } else { "Initialized" };
        json_answer(
            StatusCode::OK,
            &json!({"state": state, "functions": functions}),
        )
    }
}

/// The envelope of a call by hand, from `{"input": "…"}`.
fn envelope_by_hand(function: &Function, body: &[u8]) -> Result<Value, String> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let input = match body.get("input") {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    let facts = CallFacts::now(&function.name);
    match &function.trigger {
        Trigger::EventGrid => {
            let event = serde_json::from_str(&input)
                .map_err(|error| format!("the input is not an event: {error}"))?;
            Ok(envelope::event_grid(&function.binding, &event, &facts))
        }
        Trigger::Queue { .. } => Ok(envelope::queue(
            &function.binding,
            &message_by_hand(input, &facts),
            &facts,
        )),
        Trigger::Timer { .. } => Ok(envelope::timer(&function.binding, None, false, &facts)),
        Trigger::Http(_) => Err("an HTTP function is called at its route".to_owned()),
    }
}

fn message_by_hand(text: String, facts: &CallFacts) -> crate::QueueMessage {
    crate::QueueMessage {
        id: facts.guid.to_string(),
        text,
        dequeue_count: 1,
        pop_receipt: String::new(),
        inserted: facts.now,
        expires: facts.now,
        next_visible: facts.now,
    }
}

/// The path below the prefix, if it is below it.
fn below_prefix<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    if prefix.is_empty() {
        // Without a prefix the host's own paths still come first.
        let own = path.is_empty() || path.starts_with("admin/") || path.starts_with("runtime/");
        return (!own).then_some(path);
    }
    let head = path
        .get(..prefix.len())
        .filter(|head| head.eq_ignore_ascii_case(prefix))?;
    let rest = path.get(head.len()..)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// A value of the query, percent-decoded.
fn query_value<B>(request: &Request<B>, name: &str) -> Option<String> {
    request.uri().query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let decoded = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
        key.eq_ignore_ascii_case(name).then(|| decoded.into_owned())
    })
}

fn header<B>(request: &Request<B>, name: &str) -> Option<String> {
    Some(request.headers().get(name)?.to_str().ok()?.to_owned())
}

async fn read_body(request: Request<Incoming>) -> Result<Bytes, Response<Body>> {
    let limited = Limited::new(request.into_body(), BODY_LIMIT);
    let collected = limited.collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| {
            text(
                StatusCode::BAD_REQUEST,
                &format!("the body could not be read: {error}"),
            )
        })
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(full(Bytes::from(text.to_owned())));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = text(status, &value.to_string());
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/api/livez", "api", Some("/livez"))]
    #[case("/API/livez", "api", Some("/livez"))]
    #[case("/api", "api", Some(""))]
    #[case("/apis/x", "api", None)]
    #[case("/x", "api", None)]
    #[case("/x/y", "", Some("x/y"))]
    #[case("/admin/functions/F", "", None)]
    fn routes_lie_below_the_prefix(
        #[case] path: &str,
        #[case] prefix: &str,
        #[case] below: Option<&str>,
    ) {
        assert_eq!(below_prefix(path, prefix), below);
    }
}
