//! The files that a command line names: local ones, those on web servers, and blobs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use virtualize::Source;

use super::http::{HttpClient, HttpError, HttpFile, HttpUrl, ParseHttpUrlError};
use super::{
    AzureBlobs, BlobError, BlobPath, BlobSources, Blobs, ParseBlobPathError, PinnedBlob,
    RangeSource, Sources,
};
use crate::config::NamingConfig;
use crate::stores::azure::AzureConnection;

/// What a command line names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A file of this machine.
    File(PathBuf),
    /// A file on a web server.
    Url(HttpUrl),
    /// A blob of a storage account; with a name that ends in `/`, or with none, all that are in that folder.
    Blob(BlobPath),
}

/// Why an argument names nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseNamedError {
    /// It is no address on the web.
    #[error(transparent)]
    Url(#[from] ParseHttpUrlError),
    /// It is no address of a blob.
    #[error(transparent)]
    Blob(#[from] ParseBlobPathError),
    /// Nobody says which account is meant.
    #[error(
        "`{0}` names no account: set LANDFALL_BRONZE_ACCOUNT, or write abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/…"
    )]
    NoAccount(String),
}

impl Named {
    /// What an argument means: a blob where it is `abfs://…`, `abfss://…` or `az://…`, an address where it is
    /// `http://…` or `https://…`, else a file. With an identity `https` addresses of blobs are blobs, unless they are
    /// signed.
    ///
    /// # Errors
    ///
    /// [`ParseNamedError`] for an address that is none.
    pub fn parse(argument: &Path, config: &NamingConfig) -> Result<Self, ParseNamedError> {
        let file = || Ok(Self::File(argument.to_owned()));
        let Some(text) = argument.to_str() else {
            return file();
        };
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        match scheme {
            Some("abfs" | "abfss" | "az") => {
                let path = BlobPath::parse(text, config.account.as_deref().unwrap_or(UNNAMED))?;
                match path.account == UNNAMED {
                    true => Err(ParseNamedError::NoAccount(text.to_owned())),
                    false => Ok(Self::Blob(path)),
                }
            }
            Some("https") if config.with_identity && !text.contains('?') => {
                match BlobPath::parse(text, UNNAMED) {
                    Ok(path) => Ok(Self::Blob(path)),
                    Err(_) => Ok(Self::Url(HttpUrl::parse(text)?)),
                }
            }
            _ if HttpUrl::is_meant(text) => Ok(Self::Url(HttpUrl::parse(text)?)),
            _ => file(),
        }
    }

    /// Whether a read costs a round trip.
    pub const fn is_remote(&self) -> bool {
        !matches!(self, Self::File(_))
    }

    /// The last segment of its path.
    pub fn file_name(&self) -> String {
        match self {
            Self::File(file) => file
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            Self::Url(url) => url.file_name().to_owned(),
            Self::Blob(path) => path.file_name().to_owned(),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.display().fmt(f),
            Self::Url(url) => url.fmt(f),
            Self::Blob(path) => path.fmt(f),
        }
    }
}

/// Stands where an address names no account; no account is called so.
const UNNAMED: &str = "-";

/// Opens local files, files on web servers and blobs, first as they are, later at the version that was seen.
#[derive(Debug)]
pub struct NamedSources {
    config: NamingConfig,
    client: OnceLock<HttpClient>,
    azure: OnceLock<Arc<AzureBlobs>>,
    /// Addresses as they were given, by those that references name: what signs them is kept in memory only.
    given: Mutex<BTreeMap<String, HttpUrl>>,
}

impl NamedSources {
    /// Sources by this configuration.
    pub fn new(config: NamingConfig) -> Self {
        Self {
            config,
            client: OnceLock::new(),
            azure: OnceLock::new(),
            given: Mutex::default(),
        }
    }

    /// A file as it is now; of one elsewhere up to `head` and `tail` bytes are fetched by that.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    pub async fn open_now(
        &self,
        named: &Named,
        head: u64,
        tail: u64,
    ) -> Result<Arc<dyn RangeSource>, BlobError> {
        let url = match named {
            Named::File(file) => return Ok(Arc::new(PinnedBlob::open_file(file).await?)),
            Named::Blob(path) => {
                let blobs = self.blobs(path)?;
                return Ok(Arc::new(
                    PinnedBlob::open(blobs, path, None, head, tail).await?,
                ));
            }
            Named::Url(url) => url,
        };
        self.given().insert(url.reference(), url.clone());
        let file = HttpFile::open(self.client(url)?, url.clone(), head, tail).await?;
        Ok(Arc::new(file))
    }

    /// The blobs of storage accounts. The account that the first address names is meant by references that name none.
    ///
    /// # Errors
    ///
    /// [`BlobError`] when no connection can be made.
    pub fn blobs(&self, path: &BlobPath) -> Result<Arc<dyn Blobs>, BlobError> {
        if let Some(azure) = self.azure.get() {
            return Ok(Arc::<AzureBlobs>::clone(azure));
        }
        let connection = AzureConnection::try_new(&self.config.access);
        let connection = connection.map_err(|error| BlobError::Denied {
            path: path.clone(),
            source: std::io::Error::other(error),
        })?;
        let account = self.config.account.as_ref().unwrap_or(&path.account);
        let azure = Arc::new(AzureBlobs::any(connection, account.clone()));
        Ok(Arc::<AzureBlobs>::clone(self.azure.get_or_init(|| azure)))
    }

    /// Made when the first address is met: loading the system's certificates takes its time.
    fn client(&self, url: &HttpUrl) -> Result<HttpClient, BlobError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = HttpClient::try_new().map_err(|problem| HttpError {
            url: Box::new(url.clone()),
            problem,
        })?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    fn given(&self) -> MutexGuard<'_, BTreeMap<String, HttpUrl>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address behind one that a reference names.
    fn address_of(&self, reference: &str) -> Option<HttpUrl> {
        let given = self.given().get(reference).cloned();
        given.or_else(|| HttpUrl::parse(reference).ok())
    }

    /// The blob of a storage account that a reference names.
    fn blob_of(&self, reference: &str) -> Option<BlobPath> {
        if self.address_of(reference).is_some() {
            return None;
        }
        let home = self.azure.get().map(|azure| azure.account());
        let home = home.or(self.config.account.as_deref());
        BlobPath::parse(reference, home.unwrap_or(UNNAMED)).ok()
    }
}

/// The file of this machine that an address names.
fn local(url: &str) -> Result<&Path, BlobError> {
    let name = url.strip_prefix("file://").unwrap_or(url);
    match name.contains("://") {
        true => Err(BlobError::Elsewhere(url.to_owned())),
        false => Ok(Path::new(name)),
    }
}

/// Every source as it is now, whatever version a reference recorded.
#[derive(Debug)]
pub struct AsTheyAre<'a>(pub &'a NamedSources);

#[async_trait]
impl Sources for AsTheyAre<'_> {
    async fn open(&self, source: &Source) -> Result<Arc<dyn RangeSource>, BlobError> {
        let now = self.0.current(source).await?;
        self.0.open(&now).await
    }

    async fn current(&self, source: &Source) -> Result<Source, BlobError> {
        self.0.current(source).await
    }
}

#[async_trait]
impl Sources for NamedSources {
    async fn open(&self, source: &Source) -> Result<Arc<dyn RangeSource>, BlobError> {
        if let Some(url) = self.address_of(&source.url) {
            let client = self.client(&url)?;
            return Ok(Arc::new(HttpFile::pinned(client, url, source)));
        }
        if let Some(path) = self.blob_of(&source.url) {
            return BlobSources(self.blobs(&path)?).open(source).await;
        }
        let file = PinnedBlob::open_file(local(&source.url)?).await?;
        Ok(Arc::new(file.at_version(source.etag.as_deref())?))
    }

    async fn current(&self, source: &Source) -> Result<Source, BlobError> {
        if let Some(path) = self.blob_of(&source.url) {
            return BlobSources(self.blobs(&path)?).current(source).await;
        }
        let Some(url) = self.address_of(&source.url) else {
            return Ok(PinnedBlob::open_file(local(&source.url)?).await?.describe());
        };
        let mut now = HttpFile::current(self.client(&url)?, url).await?;
        now.url.clone_from(&source.url);
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::{AzureAccess, CredentialKind, IdentityConfig};

    fn config(account: Option<&str>, with_identity: bool) -> NamingConfig {
        NamingConfig {
            account: account.map(str::to_owned),
            access: AzureAccess {
                blob_endpoint: String::from("https://{account}.h.org"),
                queue_endpoint: String::from("https://{account}.h.org"),
                identity: IdentityConfig {
                    credential: CredentialKind::Anonymous,
                    client_id: None,
                },
            },
            with_identity,
        }
    }

    #[rstest]
    #[case::file("a/b.nc", false, "a/b.nc")]
    #[case::blob("az://bronze/b.nc", false, "abfs://bronze@home/b.nc")]
    #[case::other_account(
        "abfss://c@other.dfs.core.windows.net/b.nc",
        false,
        "abfs://c@other/b.nc"
    )]
    #[case::web("https://h.org/b.nc", true, "https://h.org/b.nc")]
    #[case::open_blob(
        "https://a.blob.core.windows.net/c/b.nc",
        false,
        "https://a.blob.core.windows.net/c/b.nc"
    )]
    #[case::with_identity("https://a.blob.core.windows.net/c/b%20.nc", true, "abfs://c@a/b .nc")]
    #[case::signed(
        "https://a.blob.core.windows.net/c/b.nc?sig=x",
        true,
        "https://a.blob.core.windows.net/c/b.nc"
    )]
    fn an_argument_has_its_meaning(
        #[case] argument: &str,
        #[case] with_identity: bool,
        #[case] meaning: &str,
    ) {
        let named = Named::parse(Path::new(argument), &config(Some("home"), with_identity));
        assert_eq!(named.unwrap().to_string(), meaning);
    }

    #[rstest]
    #[case("az://bronze/b.nc", "`az://bronze/b.nc` names no account")]
    #[case("abfs://", "names no container")]
    fn an_address_that_is_none_says_what_it_lacks(#[case] argument: &str, #[case] part: &str) {
        let error = Named::parse(Path::new(argument), &config(None, false)).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}
