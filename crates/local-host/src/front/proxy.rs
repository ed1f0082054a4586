//! HTTP functions: the request goes to the handler at its original path, and its answer comes back unchanged.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::{Body as _, Incoming},
    header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, RETRY_AFTER},
};
use tokio::time::{Instant, sleep, timeout};

use super::{Body, Front, full, header, text};
use crate::{
    config::HttpMode,
    event::chain,
    guid::{Guid, traceparent},
    invoke::{HOST_VERSION, Report},
};

/// Azure's limit for the beginning of an HTTP answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(230);

/// Pause before a request is repeated at a handler that died under it.
const REPEAT_PAUSE: Duration = Duration::from_millis(50);

/// Headers of one connection, which a proxy does not pass on.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A body on its way to the handler.
enum Upload {
    Nothing,
    Buffered(Bytes),
    Streamed(Incoming),
}

/// Why there is no answer from the handler.
struct NoAnswer {
    status: StatusCode,
    reason: String,
}

impl Front {
    /// Hands a request to the handler.
    pub(super) async fn forward(
        &self,
        function: &str,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let id = Guid::new().to_string();
        let report = Report::start(&self.invoker.events, &id, function);
        match self.try_forward(&id, request).await {
            Ok(response) => {
                report.succeeded();
                response
            }
            Err(no_answer) => {
                report.failed(no_answer.reason.clone());
                let mut response = text(no_answer.status, &no_answer.reason);
                if no_answer.status == StatusCode::SERVICE_UNAVAILABLE {
                    response
                        .headers_mut()
                        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
                }
                response
            }
        }
    }

    async fn try_forward(
        &self,
        id: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, NoAnswer> {
        let (uri, method) = (request.uri().clone(), request.method().clone());
        let headers = forwarded_headers(&request, id);
        let mut upload = self.upload(request).await?;
        let deadline = Instant::now() + self.ready_limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let port = self
                .invoker
                .handler
                .ready(left)
                .await
                .map_err(|failure| NoAnswer {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    reason: failure.to_string(),
                })?;
            let (body, repeatable) = match &mut upload {
                Upload::Nothing => (
                    reqwest::Body::default(),
                    matches!(method, Method::GET | Method::HEAD),
                ),
                Upload::Buffered(bytes) => (bytes.clone().into(), false),
                Upload::Streamed(_) => match std::mem::replace(&mut upload, Upload::Nothing) {
                    Upload::Streamed(incoming) => (reqwest::Body::wrap(incoming), false),
                    Upload::Nothing | Upload::Buffered(_) => (reqwest::Body::default(), false),
                },
            };
            let send = self
                .client
                .request(method.clone(), target(port, &uri))
                .headers(headers.clone())
                .body(body)
                .send();
            match timeout(ANSWER_LIMIT, send).await {
                Ok(Ok(response)) => return self.download(response).await,
                // The handler died; reading is safe to repeat at the next one.
                Ok(Err(_)) if repeatable && Instant::now() < deadline => sleep(REPEAT_PAUSE).await,
                Ok(Err(error)) => return Err(bad_gateway(&error)),
                Err(_) => {
                    return Err(NoAnswer {
                        status: StatusCode::GATEWAY_TIMEOUT,
                        reason: "the handler did not answer within 230 s".to_owned(),
                    });
                }
            }
        }
    }

    /// The body as this mode passes it on: forwarding drops what comes without a `Content-Length`.
    async fn upload(&self, request: Request<Incoming>) -> Result<Upload, NoAnswer> {
        let declared = request
            .headers()
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length != "0");
        let body = request.into_body();
        if body.is_end_stream() {
            return Ok(Upload::Nothing);
        }
        match self.mode {
            HttpMode::Proxying => Ok(Upload::Streamed(body)),
            HttpMode::Forwarding if declared => match body.collect().await {
                Ok(collected) => Ok(Upload::Buffered(collected.to_bytes())),
                Err(error) => Err(NoAnswer {
                    status: StatusCode::BAD_REQUEST,
                    reason: chain(&error),
                }),
            },
            HttpMode::Forwarding => Ok(Upload::Nothing),
        }
    }

    /// The handler's answer: streamed, or buffered when forwarding.
    async fn download(&self, response: reqwest::Response) -> Result<Response<Body>, NoAnswer> {
        let (parts, body) = hyper::Response::<reqwest::Body>::from(response).into_parts();
        let body = match self.mode {
            HttpMode::Proxying => body.map_err(Into::into).boxed_unsync(),
            HttpMode::Forwarding => full(
                body.collect()
                    .await
                    .map_err(|e| bad_gateway(&e))?
                    .to_bytes(),
            ),
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = parts.status;
        *answer.headers_mut() = end_to_end(&parts.headers);
        Ok(answer)
    }
}

fn bad_gateway(error: &reqwest::Error) -> NoAnswer {
    NoAnswer {
        status: StatusCode::BAD_GATEWAY,
        reason: chain(error),
    }
}

fn target(port: u16, uri: &Uri) -> String {
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    format!("http://127.0.0.1:{port}{path}")
}

/// The client's headers, those of a proxy, and those of an invocation.
fn forwarded_headers(request: &Request<Incoming>, id: &str) -> HeaderMap {
    let mut headers = end_to_end(request.headers());
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    if let Some(host) = header(request, HOST.as_str()) {
        set("x-forwarded-host", &host);
    }
    set("x-forwarded-proto", "http");
    set("x-azure-functions-hostversion", HOST_VERSION);
    set("x-azure-functions-invocationid", id);
    if request.headers().get("traceparent").is_none() {
        set("traceparent", &traceparent());
    }
    headers.remove(HOST);
    headers
}

/// All headers but those of the connection, and those that the connection names as its own.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| {
            value
                .split(',')
                .map(|name| name.trim().to_ascii_lowercase())
        })
        .collect();
    let stays = |name: &HeaderName| {
        !HOP_BY_HOP.contains(&name.as_str()) && !named.iter().any(|n| n == name.as_str())
    };
    headers
        .iter()
        .filter(|(name, _)| stays(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_connection_stay_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("etag", "\"a\""),
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers.append("vary", HeaderValue::from_static("a"));
        headers.append("vary", HeaderValue::from_static("b"));
        let passed = end_to_end(&headers);
        assert_eq!(passed.get_all("vary").iter().count(), 2);
        assert_eq!(
            passed
                .keys()
                .map(HeaderName::as_str)
                .collect::<Vec<_>>()
                .len(),
            2
        );
        assert!(passed.contains_key("etag"));
    }
}
