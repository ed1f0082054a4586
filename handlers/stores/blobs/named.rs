//! The files that a command line names: local ones, and those on web servers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use virtualize::Source;

use super::http::{HttpClient, HttpError, HttpFile, HttpUrl, ParseHttpUrlError};
use super::{BlobError, PinnedBlob, RangeSource, Sources};

/// What a command line names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A file of this machine.
    File(PathBuf),
    /// A file on a web server.
    Url(HttpUrl),
}

impl Named {
    /// What an argument means: an address where it is `http://…` or `https://…`, else a file.
    ///
    /// # Errors
    ///
    /// [`ParseHttpUrlError`] for an address that is none.
    pub fn parse(argument: &Path) -> Result<Self, ParseHttpUrlError> {
        match argument.to_str().filter(|text| HttpUrl::is_meant(text)) {
            Some(address) => HttpUrl::parse(address).map(Self::Url),
            None => Ok(Self::File(argument.to_owned())),
        }
    }

    /// The last segment of its path.
    pub fn file_name(&self) -> String {
        match self {
            Self::File(file) => file
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            Self::Url(url) => url.file_name().to_owned(),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// Opens local files and files on web servers, first as they are, later at the version that was seen.
#[derive(Debug, Default)]
pub struct NamedSources {
    client: OnceLock<HttpClient>,
    /// Addresses as they were given, by those that references name: what signs them is kept in memory only.
    given: Mutex<BTreeMap<String, HttpUrl>>,
}

impl NamedSources {
    /// A file as it is now; of one on a web server up to `head` and `tail` bytes are fetched by that.
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
            Named::Url(url) => url,
        };
        self.given().insert(url.reference(), url.clone());
        let file = HttpFile::open(self.client(url)?, url.clone(), head, tail).await?;
        Ok(Arc::new(file))
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
        let file = PinnedBlob::open_file(local(&source.url)?).await?;
        Ok(Arc::new(file.at_version(source.etag.as_deref())?))
    }

    async fn current(&self, source: &Source) -> Result<Source, BlobError> {
        let Some(url) = self.address_of(&source.url) else {
            return Ok(PinnedBlob::open_file(local(&source.url)?).await?.describe());
        };
        let mut now = HttpFile::current(self.client(&url)?, url).await?;
        now.url.clone_from(&source.url);
        Ok(now)
    }
}
