//! Calls the handler with an envelope, the way the Functions host does: chunked, with the invocation's id and a trace.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    answer::{InvocationFailure, InvocationOutcome, read_answer},
    event::{EventSink, HostEvent, chain},
    guid::{Guid, traceparent},
    handler::HandlerHandle,
};

/// The version of the Functions host that this one stands in for.
pub(crate) const HOST_VERSION: &str = "4.1037.0.0";

/// How long a call waits for a handler that is being started.
pub(crate) const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long, and how often, refused connections are tried again.
const REFUSED_LIMIT: Duration = Duration::from_secs(1);
const REFUSED_PAUSE: Duration = Duration::from_millis(25);

/// Calls functions.
#[derive(Debug, Clone)]
pub(crate) struct Invoker {
    pub(crate) handler: HandlerHandle,
    pub(crate) events: EventSink,
    client: reqwest::Client,
    limit: Duration,
}

impl Invoker {
    pub(crate) fn new(handler: HandlerHandle, events: EventSink, limit: Duration) -> Self {
        Self {
            handler,
            events,
            client: reqwest::Client::new(),
            limit,
        }
    }

    /// Calls one function and reports how it ended.
    pub(crate) async fn invoke(&self, function: &str, envelope: &Value) -> InvocationOutcome {
        let id = Guid::new().to_string();
        let report = Report::start(&self.events, &id, function);
        let outcome = match timeout(self.limit, self.call(function, &id, envelope)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(failure)) => InvocationOutcome::Failed(failure),
            Err(_) => InvocationOutcome::Failed(InvocationFailure::TimedOut),
        };
        match &outcome {
            InvocationOutcome::Succeeded(answer) => {
                for line in answer.logs.iter().flatten() {
                    self.events.send(HostEvent::HandlerLine(line.clone()));
                }
                report.succeeded();
            }
            InvocationOutcome::Failed(failure) => report.failed(chain(failure)),
        }
        outcome
    }

    async fn call(
        &self,
        function: &str,
        id: &str,
        envelope: &Value,
    ) -> Result<InvocationOutcome, InvocationFailure> {
        let response = self.post(function, id, envelope).await?;
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = response
            .bytes()
            .await
            .map_err(InvocationFailure::Connection)?;
        Ok(read_answer(status, content_type.as_deref(), &body))
    }

    /// Sends an envelope. A refused connection means that the handler has just died and nobody has noticed: nothing was sent,
    /// so the next handler gets it.
    async fn post(
        &self,
        function: &str,
        id: &str,
        envelope: &Value,
    ) -> Result<reqwest::Response, InvocationFailure> {
        let deadline = Instant::now() + REFUSED_LIMIT;
        loop {
            let port = self.handler.ready(READY_LIMIT).await?;
            let body = Ok::<_, std::io::Error>(Bytes::from(envelope.to_string()));
            let sent = self
                .client
                .post(format!("http://127.0.0.1:{port}/{function}"))
                .header(CONTENT_TYPE, "application/json; charset=utf-8")
                .header(USER_AGENT, format!("Azure-Functions-Host/{HOST_VERSION}"))
                .header("x-azure-functions-hostversion", HOST_VERSION)
                .header("x-azure-functions-invocationid", id)
                .header("traceparent", traceparent())
                // A stream has no known length, so it goes out chunked.
                .body(reqwest::Body::wrap_stream(stream::iter([body])))
                .send()
                .await;
            match sent {
                Err(error) if error.is_connect() && Instant::now() < deadline => {
                    sleep(REFUSED_PAUSE).await
                }
                sent => return sent.map_err(InvocationFailure::Connection),
            }
        }
    }
}

/// Tells the terminal of one call, with its duration.
pub(crate) struct Report<'a> {
    events: &'a EventSink,
    id: String,
    function: String,
    since: Instant,
}

impl<'a> Report<'a> {
    pub(crate) fn start(events: &'a EventSink, id: &str, function: &str) -> Self {
        events.send(HostEvent::InvocationStarted {
            id: id.to_owned(),
            function: function.to_owned(),
        });
        Self {
            events,
            id: id.to_owned(),
            function: function.to_owned(),
            since: Instant::now(),
        }
    }

    pub(crate) fn succeeded(self) {
        self.events.send(HostEvent::InvocationSucceeded {
            elapsed: self.since.elapsed(),
            id: self.id,
            function: self.function,
        });
    }

    pub(crate) fn failed(self, reason: String) {
        self.events.send(HostEvent::InvocationFailed {
            elapsed: self.since.elapsed(),
            id: self.id,
            function: self.function,
            reason,
        });
    }
}
