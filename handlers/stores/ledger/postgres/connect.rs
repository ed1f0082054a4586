//! Opening connections: TLS by rustls, and a password that may be a token which is asked for each time.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What every session needs: times without a zone are UTC, and nothing waits for ever.
const SESSION: &str = "SET TIME ZONE 'UTC'; SET default_transaction_isolation = 'read committed'; \
    SET statement_timeout = '60s'; SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s'";

/// Gives the password of a new connection: a token that an identity provider issues for a while.
///
/// PostgreSQL checks it at login alone, so open connections outlive it.
#[async_trait]
pub trait TokenSource: Send + Sync + std::fmt::Debug {
    /// A token that is valid now.
    ///
    /// # Errors
    ///
    /// Why there is none.
    async fn token(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is not one of PostgreSQL.
    #[error("the database's URL cannot be read")]
    Url(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The certificates that TLS is to trust cannot be used.
    #[error("the root certificates {0} cannot be used")]
    Roots(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// No token was issued.
    #[error("the identity got no token for the database")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// PostgreSQL refuses, or is not there.
    #[error("the database does not let us in")]
    Database(#[from] tokio_postgres::Error),
}

/// A connection, and how many answers are still to come on it.
///
/// Answers come in the order of the questions. Where one was not waited for, because the work was given up or the
/// network broke, the next one would be waited for behind it: such a connection is not used again.
#[derive(Debug)]
pub(super) struct Connection {
    client: ClientWrapper,
    owed: AtomicUsize,
}

impl Connection {
    fn new(client: ClientWrapper) -> Self {
        Self {
            client,
            owed: AtomicUsize::new(0),
        }
    }

    /// Something is asked.
    pub(super) fn ask(&self) {
        self.owed.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer to what was asked has come.
    pub(super) fn answered(&self) {
        self.owed.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_usable(&self) -> bool {
        self.owed.load(Ordering::Relaxed) == 0 && !self.client.is_closed()
    }
}

impl Deref for Connection {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        &mut self.client
    }
}

/// Makes the connections of the pool.
#[derive(Debug)]
pub(super) struct Connections {
    config: Config,
    tls: Option<Tls>,
    tokens: Option<Arc<dyn TokenSource>>,
}

impl Connections {
    /// Connections to the database at `url`, with the password in it or with tokens.
    ///
    /// `sslmode` and `sslrootcert` may stand in its query. TLS always proves the server's certificate and name,
    /// whatever the mode is called. Without `sslmode` it is asked for, but on this machine.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if the URL or the root certificates cannot be used.
    pub(super) fn new(
        url: &str,
        tokens: Option<Arc<dyn TokenSource>>,
    ) -> Result<Self, ConnectError> {
        let (url, security) = Security::take_from(url);
        let mut config: Config = url
            .parse()
            .map_err(|error: tokio_postgres::Error| ConnectError::Url(error.into()))?;
        config.ssl_mode(security.mode(&config)?);
        config.application_name("landfall");
        config.connect_timeout(Duration::from_secs(10));
        // Before a firewall on the way forgets the connection, and soon after the other side is gone.
        config.keepalives_idle(Duration::from_secs(60));
        config.keepalives_interval(Duration::from_secs(10));
        config.keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(30));
        let tls = (config.get_ssl_mode() != SslMode::Disable)
            .then(|| tls(security.roots.as_deref()))
            .transpose()?;
        Ok(Self {
            config,
            tls,
            tokens,
        })
    }

    async fn open(&self) -> Result<ClientWrapper, ConnectError> {
        let mut config = self.config.clone();
        if let Some(tokens) = &self.tokens {
            config.password(tokens.token().await.map_err(ConnectError::Token)?);
        }
        let client = match &self.tls {
            Some(Tls(tls)) => open(&config, tls.clone()).await?,
            None => open(&config, NoTls).await?,
        };
        client.batch_execute(SESSION).await?;
        Ok(client)
    }
}

async fn open<T>(config: &Config, tls: T) -> Result<ClientWrapper, tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket> + Send,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = config.connect(tls).await?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(%error, "A connection to the database was lost");
        }
    });
    Ok(ClientWrapper::new(client, driver))
}

impl Manager for Connections {
    type Type = Connection;
    type Error = ConnectError;

    async fn create(&self) -> Result<Connection, ConnectError> {
        // On the heap, because everyone who waits for a connection could be the one to open it.
        Box::pin(self.open()).await.map(Connection::new)
    }

    /// A lost connection is noticed as it is lost, so that no round trip is needed to find out.
    async fn recycle(
        &self,
        connection: &mut Connection,
        _: &Metrics,
    ) -> RecycleResult<ConnectError> {
        match connection.is_usable() {
            true => Ok(()),
            false => Err(RecycleError::message("the connection was lost")),
        }
    }
}

/// What a URL says about TLS; `tokio-postgres` knows some of the modes and no root certificates.
#[derive(Debug, Default)]
struct Security {
    mode: Option<String>,
    roots: Option<PathBuf>,
}

impl Security {
    /// Splits the URL into what `tokio-postgres` reads and the rest.
    fn take_from(url: &str) -> (String, Self) {
        let mut security = Self::default();
        let Some((place, query)) = url.split_once('?') else {
            return (url.to_owned(), security);
        };
        let decoded = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8_lossy()
                .into_owned()
        };
        let mut others = Vec::new();
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("sslmode", mode)) => security.mode = Some(decoded(mode)),
                Some(("sslrootcert", file)) => security.roots = Some(decoded(file).into()),
                _ => others.push(pair),
            }
        }
        (format!("{place}?{}", others.join("&")), security)
    }

    fn mode(&self, config: &Config) -> Result<SslMode, ConnectError> {
        match self.mode.as_deref() {
            Some("disable") => Ok(SslMode::Disable),
            Some("allow" | "prefer") => Ok(SslMode::Prefer),
            Some("require" | "verify-ca" | "verify-full") => Ok(SslMode::Require),
            Some(other) => Err(ConnectError::Url(
                format!("there is no sslmode `{other}`").into(),
            )),
            None if config.get_hosts().iter().all(is_this_machine) => Ok(SslMode::Disable),
            None => Ok(SslMode::Require),
        }
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

#[derive(Clone)]
struct Tls(MakeRustlsConnect);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

fn tls(roots: Option<&Path>) -> Result<Tls, ConnectError> {
    let store = match roots {
        Some(file) => store_from(file)?,
        None => native_store()?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Roots(String::from("of TLS"), error.into()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Tls(MakeRustlsConnect::new(config)))
}

fn store_from(file: &Path) -> Result<RootCertStore, ConnectError> {
    let unusable = |error: rustls::pki_types::pem::Error| {
        ConnectError::Roots(file.display().to_string(), error.into())
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(unusable)? {
        store
            .add(certificate.map_err(unusable)?)
            .map_err(|error| ConnectError::Roots(file.display().to_string(), error.into()))?;
    }
    Ok(store)
}

/// Those of the system, or of `SSL_CERT_FILE`.
fn native_store() -> Result<RootCertStore, ConnectError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    match found.errors.into_iter().next() {
        Some(error) if store.is_empty() => Err(ConnectError::Roots(
            String::from("of the system"),
            error.into(),
        )),
        _ => Ok(store),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::far("postgresql://u:p@db.example.org/landfall", SslMode::Require)]
    #[case::loopback("postgresql://u@127.0.0.1/landfall", SslMode::Disable)]
    #[case::by_name("postgresql://u@localhost/landfall", SslMode::Disable)]
    #[case::socket("postgresql://u@%2Ftmp/landfall", SslMode::Disable)]
    #[case::said(
        "postgresql://u@localhost/landfall?sslmode=verify-full",
        SslMode::Require
    )]
    #[case::with_others(
        "postgresql://u@db/l?sslmode=disable&target_session_attrs=any",
        SslMode::Disable
    )]
    #[case::wished_for("postgres://u@db/l?sslmode=prefer", SslMode::Prefer)]
    fn tls_is_asked_for_but_on_this_machine(#[case] url: &str, #[case] mode: SslMode) {
        let connections = Connections::new(url, None).unwrap();
        assert_eq!(connections.config.get_ssl_mode(), mode);
        assert_eq!(connections.tls.is_some(), mode != SslMode::Disable);
    }

    #[rstest]
    #[case::mode("postgresql://u@db/l?sslmode=verify-sometimes", "sslmode")]
    #[case::no_url("not a url", "URL")]
    #[case::no_roots("postgresql://u@db/l?sslrootcert=/none.pem", "/none.pem")]
    fn what_cannot_be_used_is_named(#[case] url: &str, #[case] named: &str) {
        let error = Connections::new(url, None).unwrap_err();
        let chain = crate::pipeline::chain(&error).to_string();
        assert!(chain.contains(named), "{chain}");
    }
}
