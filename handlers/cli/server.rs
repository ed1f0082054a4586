//! A running app, for commands that ask it to do something.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::failure::Failure;
use crate::config::ClientConfig;

/// An app that does not begin to answer by then is not there.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Azure cuts an answer off after 230 seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(240);

/// Where the app is, the same for every command that talks to one.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ServerArguments {
    /// Address of the running app; `LANDFALL_SERVER`, or else that of `landfall dev`, by default.
    #[arg(long, value_name = "URL")]
    pub(super) server: Option<String>,
    /// Function key of the app; `LANDFALL_KEY` by default.
    #[arg(long)]
    pub(super) key: Option<String>,
}

/// A running app.
#[derive(Debug)]
pub(super) struct Server {
    client: reqwest::Client,
    address: String,
    key: Option<String>,
}

impl Server {
    /// The app that the arguments name.
    pub(super) fn new(arguments: &ServerArguments) -> Result<Self, Failure> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(ANSWER_LIMIT)
            .build();
        let config = ClientConfig::from_env();
        let address = arguments.server.as_ref().unwrap_or(&config.server);
        Ok(Self {
            client: client.map_err(|error| Failure::failed("client", &error))?,
            address: address.trim_end_matches('/').to_owned(),
            key: arguments.key.clone().or(config.key),
        })
    }

    /// What the app answers to a document.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.request(Method::POST, path).json(body);
        self.answer(request).await
    }

    /// What the app tells.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.answer(self.request(Method::GET, path)).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self
            .client
            .request(method, format!("{}{path}", self.address));
        match &self.key {
            Some(key) => request.header("x-functions-key", key),
            None => request,
        }
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, Failure> {
        let unreachable = |error: reqwest::Error| {
            let message = format!(
                "{} does not answer: {}",
                self.address,
                crate::pipeline::chain(&error.without_url())
            );
            Failure::failed("server_unreachable", &std::io::Error::other(message))
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(unreachable)?;
        let document = serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(document);
        }
        Err(self.refusal(status, &document))
    }

    /// What the app said it did not do, and why.
    fn refusal(&self, status: StatusCode, document: &Value) -> Failure {
        let said = document.get("error").and_then(Value::as_str);
        let why = said.unwrap_or(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "it wants a key: give --key",
            _ => "it says nothing more",
        });
        let message = format!("{} answers {status}: {why}", self.address);
        match status.is_client_error() {
            true => Failure::rejected("refused", message),
            false => Failure::failed("server_failed", &std::io::Error::other(message)),
        }
    }
}
