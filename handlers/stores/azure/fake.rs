//! A storage service that answers as a test tells it to, and connections to it and to Azurite.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::AzureConnection;
use crate::config::{AzureAccess, CredentialKind, IdentityConfig};
use crate::stores::retry::RetryPolicy;

#[path = "../../../tests/support/azurite.rs"]
#[expect(dead_code, reason = "the behaviour tests use the rest of it")]
pub(crate) mod azurite;

/// Tries as in production, without their waits.
const RETRY: RetryPolicy = RetryPolicy {
    tries: 6,
    first_wait: Duration::from_millis(2),
    longest_wait: Duration::from_millis(50),
};

/// What is done about a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// These bytes are sent, and the connection closed.
    Send(Vec<u8>),
    /// Nothing is sent for longer than anybody waits.
    Stall,
}

impl Answer {
    /// A whole answer.
    pub(crate) fn of(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self::said_to_be(status, headers, body, body.len())
    }

    /// An answer whose body has another length than it says.
    pub(crate) fn said_to_be(
        status: u16,
        headers: &[(&str, &str)],
        body: &[u8],
        length: usize,
    ) -> Self {
        let mut text =
            format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n");
        for (name, value) in headers {
            text = format!("{text}{name}: {value}\r\n");
        }
        Self::Send([format!("{text}\r\n").as_bytes(), body].concat())
    }

    /// A refusal, as the service codes it.
    pub(crate) fn refusal(status: u16, code: &str) -> Self {
        Self::of(status, &[("x-ms-error-code", code)], b"")
    }
}

/// The service: gives its answers in turn, the last one again and again.
#[derive(Debug, Clone)]
pub(crate) struct Fake {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, answers) = (Arc::clone(&seen), answers.clone());
                tokio::spawn(answer(stream, seen, answers));
            }
        });
        Self { port, requests }
    }

    /// The requests so far, their heads in lower case.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn connection(&self) -> AzureConnection {
        let endpoint = format!("http://127.0.0.1:{}/{{account}}", self.port);
        let access = access(endpoint.clone(), endpoint, CredentialKind::Anonymous);
        let client = reqwest::Client::builder()
            .no_proxy()
            .read_timeout(Duration::from_millis(100));
        AzureConnection::over(client, &access, RETRY).unwrap()
    }
}

async fn answer(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>, answers: Vec<Answer>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(head);
        seen.len()
    };
    match answers.get(number - 1).or(answers.last()).unwrap() {
        Answer::Send(bytes) => stream.write_all(bytes).await.unwrap_or_default(),
        Answer::Stall => tokio::time::sleep(Duration::from_secs(60)).await,
    }
}

fn access(
    blob_endpoint: String,
    queue_endpoint: String,
    credential: CredentialKind,
) -> AzureAccess {
    AzureAccess {
        blob_endpoint,
        queue_endpoint,
        identity: IdentityConfig {
            credential,
            client_id: None,
        },
    }
}

/// A connection to the emulator.
pub(crate) fn emulated() -> AzureConnection {
    let azurite = azurite::azurite();
    let credential = CredentialKind::TokenFile(azurite.token_file());
    let access = access(
        azurite.blob_endpoint(),
        azurite.queue_endpoint(),
        credential,
    );
    AzureConnection::over(azurite.trusting(), &access, RETRY).unwrap()
}
