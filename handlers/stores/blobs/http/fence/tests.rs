use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;

use rcgen::{CertificateParams, KeyPair};
use rstest::rstest;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::super::{HttpFile, HttpUrl};
use super::*;

#[rstest]
#[case("8.8.8.8", true)]
#[case("127.0.0.1", false)]
#[case("10.1.2.3", false)]
#[case("172.16.0.1", false)]
#[case("172.32.0.1", true)]
#[case("192.168.1.1", false)]
#[case("169.254.169.254", false)]
#[case("100.100.0.1", false)]
#[case("0.0.0.0", false)]
#[case("168.63.129.16", false)]
#[case("224.0.0.1", false)]
#[case("255.255.255.255", false)]
#[case("192.0.2.1", false)]
#[case("2606:4700::1111", true)]
#[case("::1", false)]
#[case("::", false)]
#[case("::ffff:10.0.0.1", false)]
#[case("::ffff:8.8.8.8", true)]
#[case("::7f00:1", false)]
#[case("64:ff9b::a00:1", false)]
#[case("64:ff9b::808:808", true)]
#[case("2002:7f00:1::", false)]
#[case("2001:0:1::1", false)]
#[case("2001:4860:4860::8888", true)]
#[case("fd00::1", false)]
#[case("fe80::1", false)]
#[case("ff02::1", false)]
fn only_what_the_world_reaches_is_public(#[case] address: IpAddr, #[case] public: bool) {
    assert_eq!(is_public(address), public);
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

    /// A client inside a fence around these hosts, for which every name is the server.
    fn client(&self, hosts: &str) -> HttpClient {
        let hosts = HttpsHosts::parse(hosts).unwrap();
        let trust = reqwest::Certificate::from_pem(&self.certificate).unwrap();
        let fence = Fence::around(hosts, self.address);
        HttpClient::over(fence.builder().tls_certs_only([trust])).unwrap()
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
    Ok(super::super::RangeSource::describe(&file).length)
}

fn all(port: u16) -> String {
    format!("data.example.org:{port},cdn.example.org:{port}")
}

#[tokio::test]
async fn redirects_are_followed_to_hosts_that_are_listed() {
    let server = Server::start();
    let port = server.address.port();
    let url = format!("https://data.example.org:{port}/to/https/cdn.example.org:{port}/a.nc");
    assert_eq!(open(server.client(&all(port)), &url).await.unwrap(), 3);
    assert!(
        server.asked().contains(&format!("cdn.example.org:{port}")),
        "the redirect was followed"
    );
}

#[rstest]
#[case::other_host("https/other.example.org:PORT/a.nc", "`other.example.org` is not allowed")]
#[case::no_tls("http/cdn.example.org:PORT/a.nc", "only https addresses are read")]
#[case::in_here("https/127.0.0.1:PORT/a.nc", "`127.0.0.1` has no public address")]
#[case::metadata(
    "http/169.254.169.254/metadata/identity",
    "only https addresses are read"
)]
#[tokio::test]
async fn redirects_to_elsewhere_are_not(#[case] to: &str, #[case] why: &str) {
    let server = Server::start();
    let port = server.address.port().to_string();
    let to = to.replace("PORT", &port);
    let url = format!("https://data.example.org:{port}/to/{to}?token=secret");
    let client = server.client(&all(server.address.port()));
    let refused = open(client, &url).await.unwrap_err();
    assert!(
        matches!(refused, HttpProblem::NotAllowed(_)),
        "{refused:?} is a refusal"
    );
    assert!(refused.to_string().contains(why), "{refused}");
    assert!(
        !refused.is_transient(),
        "another try would be refused as well"
    );
    let asked = server.asked();
    assert!(
        asked.iter().all(|host| host.starts_with("data.example.org")),
        "{asked:?}"
    );
}

// The certificate's fault would be told otherwise: the connection is not even made.
#[tokio::test]
async fn a_listed_name_that_means_an_address_in_here_is_refused() {
    let fence = Fence::new(HttpsHosts::parse("localhost:9").unwrap());
    let refused = open(fence.client().unwrap(), "https://localhost:9/a.nc").await;
    let refused = refused.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the host `localhost` has no public address"
    );
}
