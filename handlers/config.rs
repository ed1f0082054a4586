//! Configuration: one struct per concern, read from the environment once, at start-up, and only here.

mod azure;
mod contradiction;
mod database;

pub use azure::{
    AzureAccess, AzureBlobsConfig, AzureQueueConfig, ContainerConfig, CredentialKind,
    IdentityConfig, NamingConfig,
};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

pub use contradiction::{Contradiction, contradictions};
pub use database::DatabaseConfig;

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where blobs are.
    pub storage: StorageConfig,
    /// Which database holds the ledger.
    pub database: DatabaseConfig,
    /// When and how series are combined.
    pub pipeline: PipelineConfig,
    /// Who is answered, and under which address.
    pub http: HttpConfig,
}

/// Where blobs and the queues are. The embedded default: folders and one SQLite file.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// Where blobs are.
    pub blobs: BlobsConfig,
    /// Where messages are.
    pub queues: QueuesConfig,
    /// Where Event Grid leaves the events that it gave up.
    pub dead_letters: Option<DeadLettersConfig>,
    /// SQLite file with the embedded queues, and the ledger unless a [`DatabaseConfig`] says where that is, from
    /// `LANDFALL_DATABASE`. Not needed where both are elsewhere.
    pub database: Option<PathBuf>,
}

/// Where Event Grid leaves the events that it gave up, from `LANDFALL_DEAD_LETTERS`: a folder where blobs are in
/// folders, `account/container` (or a container of the account of bronze) where they are in Azure. Nowhere if it is not
/// set.
#[derive(Debug, Clone)]
pub enum DeadLettersConfig {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A container of a storage account.
    Container(ContainerConfig),
}

/// Where blobs are: in Azure where `LANDFALL_BRONZE_ACCOUNT` is set.
#[derive(Debug, Clone)]
pub enum BlobsConfig {
    /// Folders of this machine.
    Folders {
        /// Folder that is the container `bronze`, from `LANDFALL_BRONZE_DIR`. Only ever read.
        bronze: PathBuf,
        /// Folder that is the container `silver`, from `LANDFALL_SILVER_DIR`.
        silver: PathBuf,
    },
    /// Containers of storage accounts.
    Azure(AzureBlobsConfig),
}

/// Where messages are: with the blobs.
#[derive(Debug, Clone)]
pub enum QueuesConfig {
    /// A table beside the ledger.
    Embedded,
    /// Queues of a storage account.
    Azure(AzureQueueConfig),
}

/// When and how series are combined.
#[derive(Debug, Clone)]
pub struct PipelineConfig {
    /// Whether files that nobody declared are grouped by name, from `LANDFALL_AUTO_GROUP` (default `false`).
    pub auto_group: bool,
    /// Completeness of series that say nothing else, from `LANDFALL_QUIET_PERIOD` (ISO 8601, default `PT10M`).
    pub quiet_period: Duration,
    /// How long a file that is shorter than its own header says may still be growing, from
    /// `LANDFALL_SETTLE_PERIOD` (ISO 8601, default `PT0S`: blobs land whole).
    pub settle_period: Duration,
    /// How long a claim holds without renewal, from `LANDFALL_LEASE` (ISO 8601, default `PT1M`).
    pub lease: Duration,
    /// How long work may rest before Sweep takes it up, from `LANDFALL_STUCK_AFTER` (ISO 8601, default `PT5M`).
    pub stuck_after: Duration,
    /// How often Sweep compares a container of sources with the ledger, from `LANDFALL_RECONCILE_EVERY` (ISO 8601,
    /// default `PT1H`).
    pub reconcile_every: Duration,
    /// Files read at the same time by one instance, from `LANDFALL_FILES_IN_FLIGHT` (default 8).
    pub files_in_flight: usize,
    /// Bytes that a combine may take, from `LANDFALL_MEMORY_MB` (default three quarters of the container's limit, and
    /// none where there is no limit).
    pub memory: Option<u64>,
    /// Name of a step at which the handler waits to be killed, from `LANDFALL_PAUSE_AT`; for crash tests.
    pub pause_at: Option<String>,
    /// File that the handler makes when it waits there, from `LANDFALL_PAUSE_FILE`.
    pub pause_file: Option<PathBuf>,
}

/// Who is answered, and under which address.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Port to listen on, from `FUNCTIONS_CUSTOMHANDLER_PORT`; the host sets it.
    pub port: u16,
    /// Address under which users reach the app, from `LANDFALL_PUBLIC_URL` (default `http://127.0.0.1:{port}`).
    pub public_url: String,
    /// Whether everything may be read without a token, from `LANDFALL_OPEN_ACCESS` (default `false`; `dev` sets it).
    pub open_access: bool,
    /// Whether to stop when the standard input ends, from `LANDFALL_STOP_WITH_STDIN` (default `false`; `dev` sets
    /// it, so that no handler outlives it).
    pub stop_with_stdin: bool,
    /// Key of the API where no Functions host asks for one (`serve --standalone`), from `LANDFALL_API_KEY` (default none:
    /// Zarr and the probes alone).
    pub api_key: Option<String>,
    /// Whether the platform says who is signed in, from `WEBSITE_AUTH_ENABLED`, which App Service sets with Easy Auth.
    pub easy_auth: bool,
    /// Bytes of memory for the manifests of served stores, from `LANDFALL_STORES_MB` (default 64).
    pub stores_bytes: u64,
    /// Address of TiTiler's xarray routes, from `LANDFALL_TITILER_URL`; without it no item links to TiTiler. An
    /// unmodified TiTiler opens `public_url` over https alone.
    pub titiler_url: Option<String>,
    /// Hosts on the web whose files may be validated and referenced, from `LANDFALL_HTTPS_HOSTS` (names with commas
    /// between them, default none).
    pub https_hosts: Vec<String>,
    /// `Access-Control-Allow-Origin` of the served Zarr, from `LANDFALL_CORS_ORIGIN` (default none).
    pub cors_origin: Option<String>,
}

/// The running app that commands talk to.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Its address, from `LANDFALL_SERVER` (default `http://127.0.0.1:7071`, where `landfall dev` is).
    pub server: String,
    /// Function key, from `LANDFALL_KEY`.
    pub key: Option<String>,
}

impl ClientConfig {
    /// Reads the environment.
    pub fn from_env() -> Self {
        Self {
            server: optional("LANDFALL_SERVER")
                .unwrap_or_else(|| String::from("http://127.0.0.1:7071")),
            key: optional("LANDFALL_KEY"),
        }
    }
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// Names the variable that is missing or cannot be read.
    pub fn from_env() -> Result<Self> {
        let http = HttpConfig::from_env()?;
        let (storage, database) = (StorageConfig::from_env()?, DatabaseConfig::from_env()?);
        if database.url.is_none() {
            storage.embedded_database().context(
                "the ledger has no other place: LANDFALL_DATABASE_URL and LANDFALL_DATABASE_HOST are not set either",
            )?;
        }
        Ok(Self {
            storage,
            database,
            pipeline: PipelineConfig::from_env()?,
            http,
        })
    }
}

/// Every concern for itself, so that what is wrong with one does not hide what is wrong with another.
#[derive(Debug)]
pub struct Concerns {
    /// Where blobs and queues are.
    pub storage: Result<StorageConfig>,
    /// Which database holds the ledger.
    pub database: Result<DatabaseConfig>,
    /// When and how series are combined.
    pub pipeline: Result<PipelineConfig>,
    /// Who is answered, and under which address.
    pub http: Result<HttpConfig>,
    /// Who we are in Azure.
    pub access: Result<AzureAccess>,
    /// Folder that the Functions host was started in, from `FUNCTIONS_APP_ROOT_PATH`.
    pub app: Option<PathBuf>,
    /// Settings that do not go together.
    pub contradictions: Vec<Contradiction>,
}

impl Concerns {
    /// Reads the environment.
    pub fn from_env() -> Self {
        Self {
            storage: StorageConfig::from_env(),
            database: DatabaseConfig::from_env(),
            pipeline: PipelineConfig::from_env(),
            http: HttpConfig::from_env(),
            access: AzureAccess::from_env(),
            app: optional("FUNCTIONS_APP_ROOT_PATH").map(PathBuf::from),
            contradictions: contradictions(&all()),
        }
    }
}

/// What stands in for variables that are not set.
static DEFAULTS: OnceLock<BTreeMap<&'static str, String>> = OnceLock::new();

/// Has `defaults` stand in for variables that are not set, if nothing says where blobs are: the layout of
/// `landfall dev`. Whether they do.
pub fn fall_back_to(defaults: BTreeMap<&'static str, String>) -> bool {
    let mut places = ["LANDFALL_BRONZE_ACCOUNT", "LANDFALL_BRONZE_DIR"].into_iter();
    places.all(|name| optional(name).is_none()) && DEFAULTS.set(defaults).is_ok()
}

/// Every setting of ours, and those of the host that we look at.
fn all() -> BTreeMap<String, String> {
    let set = std::env::vars().filter(|(_, value)| !value.is_empty());
    set.filter(|(name, _)| name.starts_with("LANDFALL_") || name.starts_with("AzureWebJobsStorage"))
        .collect()
}

impl QueuesConfig {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// Names the variable that is missing or cannot be read.
    pub fn from_env() -> Result<Self> {
        match AzureBlobsConfig::from_env()? {
            Some(_) => AzureQueueConfig::from_env().map(Self::Azure),
            None => Ok(Self::Embedded),
        }
    }
}

impl StorageConfig {
    fn from_env() -> Result<Self> {
        let blobs = match AzureBlobsConfig::from_env()? {
            Some(azure) => BlobsConfig::Azure(azure),
            None => BlobsConfig::folders()?,
        };
        let dead_letters = optional("LANDFALL_DEAD_LETTERS")
            .map(|text| DeadLettersConfig::parse(&text, &blobs))
            .transpose()?;
        let storage = Self {
            blobs,
            queues: QueuesConfig::from_env()?,
            dead_letters,
            database: optional("LANDFALL_DATABASE").map(PathBuf::from),
        };
        if matches!(storage.queues, QueuesConfig::Embedded) {
            storage.embedded_database()?;
        }
        Ok(storage)
    }

    /// The SQLite file, for who cannot do without.
    ///
    /// # Errors
    ///
    /// Says that it is not set.
    pub fn embedded_database(&self) -> Result<&Path> {
        let file = self.database.as_deref();
        file.context("LANDFALL_DATABASE is not set")
    }
}

impl DeadLettersConfig {
    fn parse(text: &str, blobs: &BlobsConfig) -> Result<Self> {
        let azure = match blobs {
            BlobsConfig::Azure(azure) => azure,
            BlobsConfig::Folders { bronze, silver } => {
                let folder = PathBuf::from(text);
                if [bronze, silver].contains(&&folder) {
                    bail!("LANDFALL_DEAD_LETTERS is the folder of bronze or silver");
                }
                return Ok(Self::Folder(folder));
            }
        };
        let (account, container) = text.split_once('/').unwrap_or((&azure.account, text));
        let container = ContainerConfig {
            account: account.to_owned(),
            container: container.to_owned(),
        };
        if account.is_empty() || container.container.contains('/') {
            bail!("LANDFALL_DEAD_LETTERS is `{text}`, not `account/container`");
        }
        // All that is there is moved aside once it was read.
        if azure.sources.contains(&container) || azure.silver == container {
            bail!("LANDFALL_DEAD_LETTERS is a container of sources or that of silver");
        }
        Ok(Self::Container(container))
    }
}

impl StorageConfig {
    /// The containers that sources are taken from.
    pub fn source_containers(&self) -> Vec<ContainerConfig> {
        match &self.blobs {
            BlobsConfig::Azure(azure) => azure.sources.iter().cloned().collect(),
            BlobsConfig::Folders { .. } => vec![ContainerConfig {
                account: String::from("local"),
                container: String::from("bronze"),
            }],
        }
    }
}

impl BlobsConfig {
    fn folders() -> Result<Self> {
        let folder = |name| {
            required(name)
                .context("LANDFALL_BRONZE_ACCOUNT is not set either")
                .map(PathBuf::from)
        };
        Ok(Self::Folders {
            bronze: folder("LANDFALL_BRONZE_DIR")?,
            silver: folder("LANDFALL_SILVER_DIR")?,
        })
    }
}

impl PipelineConfig {
    fn from_env() -> Result<Self> {
        let files_in_flight = match optional("LANDFALL_FILES_IN_FLIGHT") {
            Some(text) => text
                .parse()
                .ok()
                .filter(|n| *n > 0)
                .context("LANDFALL_FILES_IN_FLIGHT is not a count")?,
            None => 8,
        };
        Ok(Self {
            auto_group: flag("LANDFALL_AUTO_GROUP")?,
            quiet_period: duration("LANDFALL_QUIET_PERIOD", "PT10M")?,
            settle_period: duration("LANDFALL_SETTLE_PERIOD", "PT0S")?,
            lease: duration("LANDFALL_LEASE", "PT1M")?,
            stuck_after: duration("LANDFALL_STUCK_AFTER", "PT5M")?,
            reconcile_every: duration("LANDFALL_RECONCILE_EVERY", "PT1H")?,
            files_in_flight,
            memory: memory_budget()?.or_else(|| Some(container_limit()? / 4 * 3)),
            pause_at: optional("LANDFALL_PAUSE_AT"),
            pause_file: optional("LANDFALL_PAUSE_FILE").map(PathBuf::from),
        })
    }
}

impl HttpConfig {
    /// The port that the Functions host wants to find us at, if one has started us.
    pub fn port_of_host() -> Option<u16> {
        optional("FUNCTIONS_CUSTOMHANDLER_PORT")?.parse().ok()
    }

    fn from_env() -> Result<Self> {
        let port = match optional("FUNCTIONS_CUSTOMHANDLER_PORT") {
            Some(text) => text
                .parse()
                .context("FUNCTIONS_CUSTOMHANDLER_PORT is not a port")?,
            None => 7072,
        };
        let public_url =
            optional("LANDFALL_PUBLIC_URL").unwrap_or_else(|| format!("http://127.0.0.1:{port}"));
        Ok(Self {
            port,
            public_url: public_url.trim_end_matches('/').to_owned(),
            open_access: flag("LANDFALL_OPEN_ACCESS")?,
            stop_with_stdin: flag("LANDFALL_STOP_WITH_STDIN")?,
            api_key: optional("LANDFALL_API_KEY"),
            easy_auth: optional("WEBSITE_AUTH_ENABLED")
                .is_some_and(|text| text.eq_ignore_ascii_case("true")),
            stores_bytes: megabytes("LANDFALL_STORES_MB")?.unwrap_or(64 << 20),
            titiler_url: optional("LANDFALL_TITILER_URL")
                .map(|url| url.trim_end_matches('/').to_owned()),
            https_hosts: names("LANDFALL_HTTPS_HOSTS"),
            cors_origin: optional("LANDFALL_CORS_ORIGIN"),
        })
    }

    /// Takes the address that the server listens on for its public one, unless `LANDFALL_PUBLIC_URL` names that.
    pub fn be_at(&mut self, scheme: &str, address: std::net::SocketAddr) {
        if optional("LANDFALL_PUBLIC_URL").is_none() {
            self.public_url = format!("{scheme}://{address}");
        }
    }
}

/// Bytes that a combine may take, from `LANDFALL_MEMORY_MB`; none if it is not set.
///
/// # Errors
///
/// Says that it is no number.
pub fn memory_budget() -> Result<Option<u64>> {
    megabytes("LANDFALL_MEMORY_MB")
}

/// A setting in whole megabytes, in bytes.
fn megabytes(name: &str) -> Result<Option<u64>> {
    let Some(text) = optional(name) else {
        return Ok(None);
    };
    let megabytes: Option<u64> = text.parse().ok().filter(|n| *n > 0);
    let bytes = megabytes.and_then(|n| n.checked_mul(1 << 20));
    let bytes = bytes.with_context(|| format!("{name} is `{text}`, not a number of megabytes"))?;
    Ok(Some(bytes))
}

/// The memory limit of the container that this process runs in.
fn container_limit() -> Option<u64> {
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?;
    limit.trim().parse().ok()
}

/// Names with commas between them.
fn names(name: &str) -> Vec<String> {
    let text = optional(name).unwrap_or_default();
    let names = text.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn optional(name: &str) -> Option<String> {
    let set = std::env::var(name).ok().filter(|value| !value.is_empty());
    set.or_else(|| DEFAULTS.get()?.get(name).cloned())
}

fn required(name: &str) -> Result<String> {
    optional(name).with_context(|| format!("{name} is not set"))
}

fn flag(name: &str) -> Result<bool> {
    match optional(name).as_deref() {
        None | Some("false" | "0" | "off") => Ok(false),
        Some("true" | "1" | "on") => Ok(true),
        Some(other) => bail!("{name} is `{other}`, not true or false"),
    }
}

fn duration(name: &str, default: &str) -> Result<Duration> {
    let text = optional(name).unwrap_or_else(|| default.to_owned());
    parse_duration(&text)
        .with_context(|| format!("{name} is `{text}`, not an ISO 8601 duration such as PT10M"))
}

/// An ISO 8601 duration of whole or broken seconds, such as `PT10M`; not negative.
///
/// # Errors
///
/// Says what cannot be read.
pub fn parse_duration(text: &str) -> Result<Duration> {
    if !text.starts_with('P') {
        bail!("not an ISO 8601 duration");
    }
    let signed: jiff::SignedDuration = text.parse().context("not an ISO 8601 duration")?;
    Duration::try_from(signed).context("a negative duration")
}
