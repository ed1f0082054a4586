//! Redirects, by a server that takes every name and sends its clients wherever they ask to be sent.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;

use rcgen::{CertificateParams, KeyPair};
use rstest::rstest;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::super::{HttpFile, RangeSource as _};
use super::*;

/// Every name is this server.
#[derive(Debug)]
struct Everywhere(SocketAddr);

impl Resolve for Everywhere {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(async move { Ok(addresses) })
    }
}

/// An https server for every name, which redirects `/to/…` to `https://…`; the hosts that it was asked as.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    certificate: Vec<u8>,
}

impl Server {
    fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let names = ["data.example.org", "cdn.example.org", "other.example.org"];
        let certificate = CertificateParams::new(names.map(String::from)).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            certificate: certificate.pem().into_bytes(),
        };
        let asked = Arc::clone(&server.asked);
        std::thread::spawn(move || {
            let config = Arc::new(config);
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                answer(StreamOwned::new(connection, stream), &asked);
            }
        });
        server
    }

    /// A guarded client for which every name is this server.
    fn client(&self) -> HttpClient {
        let hosts: Arc<[String]> = ["data.example.org", "cdn.example.org"]
            .map(String::from)
            .into();
        let trust = reqwest::Certificate::from_pem(&self.certificate).unwrap();
        let client = builder(&hosts)
            .tls_certs_only([trust])
            .dns_resolver(Arc::new(Everywhere(self.address)));
        HttpClient {
            client: client.build().unwrap(),
            permits: Arc::new(Semaphore::new(IN_ALL)),
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: StreamOwned<ServerConnection, std::net::TcpStream>,
    asked: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_exact(&mut byte) {
            Ok(()) => head.push(byte[0]),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let host = head.lines().find_map(|line| line.strip_prefix("host: "));
    asked.lock().unwrap().push(host.unwrap().to_owned());
    let path = head.split(' ').nth(1).unwrap();
    let text = match path.strip_prefix("/to/") {
        Some(elsewhere) => format!(
            "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n",
            elsewhere.replacen('/', "://", 1)
        ),
        None => String::from("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 3\r\n"),
    };
    let body = if path.starts_with("/to/") { "" } else { "abc" };
    let whole = format!("{text}Connection: close\r\n\r\n{body}");
    stream.write_all(whole.as_bytes()).ok();
    stream.conn.send_close_notify();
    stream.flush().ok();
}

async fn open(client: HttpClient, url: &str) -> Result<u64, HttpProblem> {
    let opened = HttpFile::open(client, HttpUrl::parse(url).unwrap(), 100, 0).await;
    let file = opened.map_err(|error| error.problem)?;
    Ok(file.describe().length)
}

#[tokio::test]
async fn redirects_are_followed_to_hosts_that_are_listed() {
    let server = Server::start();
    let url = "https://data.example.org/to/https/cdn.example.org/a.nc";
    assert_eq!(open(server.client(), url).await.unwrap(), 3);
    let asked = server.asked();
    assert!(
        asked.contains(&String::from("cdn.example.org")),
        "{asked:?}"
    );
}

#[rstest]
#[case::other_host("https/other.example.org/a.nc")]
#[case::other_port("https/cdn.example.org:8443/a.nc")]
#[case::no_tls("http/cdn.example.org/a.nc")]
#[case::in_here("https/127.0.0.1/a.nc")]
#[case::in_here_of_version_6("https/[::1]/a.nc")]
#[case::metadata("http/169.254.169.254/metadata/identity")]
#[tokio::test]
async fn redirects_to_elsewhere_are_not(#[case] to: &str) {
    let server = Server::start();
    let url = format!("https://data.example.org/to/{to}?token=secret");
    let refused = open(server.client(), &url).await.unwrap_err();
    assert!(matches!(refused, HttpProblem::Redirect), "{refused:?}");
    assert!(
        !refused.is_transient(),
        "another try would be refused as well"
    );
    let asked = server.asked();
    assert!(
        asked.iter().all(|host| host == "data.example.org"),
        "{asked:?}"
    );
}
