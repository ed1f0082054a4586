//! TLS, which warp has not: certificates and handshakes by tokio-rustls. SPEC §9.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::connections::BREATHER;

/// Who has not said hello by then is let go of.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or is none of PEM.
    #[error("no {what} can be read from {}", path.display())]
    Unreadable {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The file has no certificate in it.
    #[error("{} has no certificate in it", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// Both can be read but do not make a server.
    #[error("the certificate {} and the key {} cannot be used together", cert.display(), key.display())]
    Unusable {
        /// File of the certificate.
        cert: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
}

/// HTTP/2 and HTTP/1.1, whichever the client prefers.
pub const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

/// HTTP/1.1 alone, which is all that a plain server behind [`forward`] speaks.
pub const HTTP_1: &[&[u8]] = &[b"http/1.1"];

/// The acceptor for a certificate with its chain, and its key, both PEM, which offers these protocols.
///
/// # Errors
///
/// [`TlsError`], which names the file.
pub fn acceptor(cert: &Path, key: &Path, protocols: &[&[u8]]) -> Result<TlsAcceptor, TlsError> {
    let unreadable = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Unreadable { what, path, source }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(unreadable("certificate", cert))?;
    if chain.is_empty() {
        let path = cert.to_owned();
        return Err(TlsError::NoCertificate { path });
    }
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(unreadable("unencrypted private key", key))?;
    let unusable = |source| TlsError::Unusable {
        cert: cert.to_owned(),
        key: key.to_owned(),
        source,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The stream of a client that has said hello.
pub(super) async fn handshake(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let shaken = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
    let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    shaken
        .inspect_err(|error| tracing::debug!(%error, "A handshake failed"))
        .ok()
}

/// Takes TLS off and passes what it finds on to a plain server on this machine, until dropped.
pub async fn forward(listener: TcpListener, acceptor: TlsAcceptor, to: std::net::SocketAddr) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BREATHER).await;
            continue;
        };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let mut outer = handshake(stream, &acceptor).await?;
            let mut inner = TcpStream::connect(to).await.ok()?;
            tokio::io::copy_bidirectional(&mut outer, &mut inner)
                .await
                .ok()
        });
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use warp::Filter as _;

    use super::super::connections::{Protocol, serve};
    use super::*;

    struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for name in ["a", "b"] {
                let made = rcgen::generate_simple_self_signed([String::from("localhost")]).unwrap();
                let path = |end: &str| folder.path().join(format!("{name}.{end}"));
                std::fs::write(path("crt"), made.cert.pem()).unwrap();
                std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
            }
            std::fs::write(folder.path().join("empty"), "").unwrap();
            std::fs::write(
                folder.path().join("broken"),
                "-----BEGIN CERTIFICATE-----\n!",
            )
            .unwrap();
            Self { folder }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }
    }

    /// What a client that speaks HTTP/1.1 and trusts the certificate is answered.
    async fn ask(files: &Files, address: std::net::SocketAddr, path: &str) -> String {
        let mut trusted = rustls::RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(files.path("a.crt")).unwrap();
        trusted.add(certificate).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(trusted)
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = TcpStream::connect(address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn an_answer_that_has_begun_is_finished_before_the_server_ends() {
        let files = Files::new();
        let acceptor = acceptor(&files.path("a.crt"), &files.path("a.key"), BOTH).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (begun, has_begun) = tokio::sync::mpsc::channel(1);
        let routes = warp::any().then(move || {
            let begun = begun.clone();
            async move {
                begun.send(()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(300)).await;
                "finished"
            }
        });
        let stop = async move {
            let mut has_begun = has_begun;
            has_begun.recv().await;
        };
        let server = tokio::spawn(serve(listener, Protocol::Tls(acceptor), routes, stop));
        let answer = ask(&files, address, "/").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.ends_with("finished"), "{answer}");
        server.await.unwrap();
        assert!(
            TcpStream::connect(address).await.is_err(),
            "nobody listens any more"
        );
    }

    #[rstest]
    #[case::of_one_pair("a.crt", "a.key", None)]
    #[case::of_two_pairs("a.crt", "b.key", Some("cannot be used together"))]
    #[case::key_for_certificate("a.key", "a.key", Some("a.key has no certificate in it"))]
    #[case::certificate_for_key(
        "a.crt",
        "a.crt",
        Some("no unencrypted private key can be read from")
    )]
    #[case::empty("empty", "a.key", Some("empty has no certificate in it"))]
    #[case::broken("broken", "a.key", Some("no certificate can be read from"))]
    #[case::not_there("none", "a.key", Some("no certificate can be read from"))]
    #[case::no_key("a.crt", "none", Some("no unencrypted private key can be read from"))]
    fn what_makes_no_server_is_named(
        #[case] cert: &str,
        #[case] key: &str,
        #[case] problem: Option<&str>,
    ) {
        let files = Files::new();
        let made = acceptor(&files.path(cert), &files.path(key), BOTH);
        match (made, problem) {
            (Ok(_), None) => {}
            (Err(error), Some(problem)) => assert!(error.to_string().contains(problem), "{error}"),
            (made, _) => panic!("{:?}", made.err()),
        }
    }
}
