//! The files that requests to the app name: blobs of sources, and files of allow-listed https hosts. SPEC §1.
//!
//! Who asks over HTTP may be anybody with a key, so nothing else is opened: no other account or container, no address
//! in here, no file of this machine but those of a bronze that is a folder.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::http::{Fence, HttpClient, HttpError, HttpFile, HttpUrl, NotAllowed, ParseHttpUrlError};
use super::{BlobError, BlobPath, Blobs, ParseBlobPathError, PinnedBlob, RangeSource};
use crate::config::HttpsHosts;

/// A file that may be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A blob of a source.
    Blob(BlobPath),
    /// A file of an allow-listed host.
    Url(HttpUrl),
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(path) => path.fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// Why an address is not opened: the request is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseAskedError {
    /// It is no address of a blob.
    #[error(transparent)]
    Blob(#[from] ParseBlobPathError),
    /// It is no address on the web.
    #[error(transparent)]
    Url(#[from] ParseHttpUrlError),
    /// It is a blob of an account or a container that is not a source.
    #[error("container `{container}` of account `{account}` is not allowed")]
    NoSource {
        /// The account.
        account: String,
        /// The container.
        container: String,
    },
    /// It is on a host that is not allowed.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// It is a file of this machine.
    #[error("files of this machine are for the command line")]
    Local,
}

/// Opens what requests name.
#[derive(Debug)]
pub struct AskedSources {
    blobs: Arc<dyn Blobs>,
    fence: Fence,
    client: OnceLock<HttpClient>,
}

impl AskedSources {
    /// The sources of a store, and files of these hosts.
    pub fn new(blobs: Arc<dyn Blobs>, hosts: HttpsHosts) -> Self {
        Self {
            blobs,
            fence: Fence::new(hosts),
            client: OnceLock::new(),
        }
    }

    /// The file that an address names, if it may be opened.
    ///
    /// # Errors
    ///
    /// [`ParseAskedError`], which the client may see: it repeats no secret of the address.
    pub fn parse(&self, text: &str) -> Result<Asked, ParseAskedError> {
        let Some((scheme, _)) = text.split_once("://") else {
            return Err(ParseAskedError::Local);
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => self.of_this_machine(text),
            "http" | "https" => self.on_the_web(text),
            _ => self.source(BlobPath::parse(text, self.blobs.account())?),
        }
    }

    fn of_this_machine(&self, text: &str) -> Result<Asked, ParseAskedError> {
        let path = self.blobs.path_of(text).filter(BlobPath::is_address);
        let path = path.filter(|path| self.blobs.is_local() && self.blobs.is_source(path));
        path.map(Asked::Blob).ok_or(ParseAskedError::Local)
    }

    /// A blob of an account of ours is read with the identity; of another one as any other file on the web.
    fn on_the_web(&self, text: &str) -> Result<Asked, ParseAskedError> {
        let url = HttpUrl::parse(text)?;
        let blob = BlobPath::parse(&url.to_string(), self.blobs.account()).ok();
        match (self.fence.check(url.url()), blob) {
            (_, Some(path)) if self.blobs.is_source(&path) => Ok(Asked::Blob(path)),
            (Ok(()), _) => Ok(Asked::Url(url)),
            (Err(_), Some(path)) => self.source(path),
            (Err(refused), None) => Err(refused.into()),
        }
    }

    fn source(&self, path: BlobPath) -> Result<Asked, ParseAskedError> {
        match self.blobs.is_source(&path) {
            true => Ok(Asked::Blob(path)),
            false => Err(ParseAskedError::NoSource {
                account: path.account,
                container: path.container,
            }),
        }
    }

    /// The file as it is now; up to `head` and `tail` bytes come with the first round.
    ///
    /// # Errors
    ///
    /// [`BlobError`]; with [`HttpProblem::NotAllowed`](super::HttpProblem::NotAllowed) in it where a redirect leads
    /// elsewhere, or the host turns out to be in here.
    pub async fn open(
        &self,
        asked: &Asked,
        head: u64,
        tail: u64,
    ) -> Result<Arc<dyn RangeSource>, BlobError> {
        let url = match asked {
            Asked::Blob(path) => {
                let blobs = Arc::clone(&self.blobs);
                let opened = PinnedBlob::open(blobs, path, None, head, tail).await?;
                return Ok(Arc::new(opened));
            }
            Asked::Url(url) => url,
        };
        let client = self.client().map_err(|problem| HttpError {
            url: Box::new(url.clone()),
            problem,
        })?;
        let file = HttpFile::open(client, url.clone(), head, tail).await?;
        Ok(Arc::new(file))
    }

    /// Made when the first address is met: loading the system's certificates takes its time.
    fn client(&self) -> Result<HttpClient, super::HttpProblem> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = self.fence.client()?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::stores::blobs::LocalBlobs;

    fn sources(folder: &str) -> AskedSources {
        let blobs = LocalBlobs::new(format!("{folder}/bronze"), format!("{folder}/silver"));
        AskedSources::new(
            Arc::new(blobs),
            HttpsHosts::parse("data.example.org,10.0.0.7,open.blob.core.windows.net").unwrap(),
        )
    }

    #[rstest]
    #[case::source("az://bronze/a/b.nc", "abfs://bronze@local/a/b.nc")]
    #[case::source_over_https(
        "https://local.blob.core.windows.net/bronze/b%20.nc?sig=x",
        "abfs://bronze@local/b .nc"
    )]
    #[case::in_the_folder("file:///data/bronze/a.nc", "abfs://bronze@local/a.nc")]
    #[case::listed(
        "https://data.example.org/a.nc?token=secret",
        "https://data.example.org/a.nc"
    )]
    #[case::open_container(
        "https://open.blob.core.windows.net/c/a.nc",
        "https://open.blob.core.windows.net/c/a.nc"
    )]
    fn what_is_allowed_is_opened(#[case] text: &str, #[case] asked: &str) {
        assert_eq!(sources("/data").parse(text).unwrap().to_string(), asked);
    }

    #[rstest]
    #[case::silver("az://silver/a.nc", "container `silver` of account `local`")]
    #[case::other_account(
        "https://other.blob.core.windows.net/c/a.nc?sig=secret",
        "container `c` of account `other`"
    )]
    #[case::other_host("https://example.org/a.nc?sig=secret", "`example.org` is not allowed")]
    #[case::metadata(
        "https://169.254.169.254/metadata/identity",
        "`169.254.169.254` has no public address"
    )]
    #[case::private_although_listed("https://10.0.0.7/a.nc", "no public address")]
    #[case::loopback_as_a_number("https://2130706433/a.nc", "no public address")]
    #[case::loopback_in_version_6("https://[::ffff:127.0.0.1]/a.nc", "no public address")]
    #[case::no_tls("http://data.example.org/a.nc", "only https")]
    #[case::other_port("https://data.example.org:8443/a.nc", "is not allowed")]
    #[case::user("https://me:secret@data.example.org/a.nc", "user and password")]
    #[case::file("file:///etc/passwd", "command line")]
    #[case::out_of_the_folder("file:///data/bronze/../silver/a.nc", "command line")]
    #[case::bare("/data/bronze/a.nc", "command line")]
    #[case::climbing("az://bronze/../silver/a.nc", "`.` or `..`")]
    #[case::other_scheme("gopher://data.example.org/a.nc", "the scheme is not")]
    fn what_is_not_is_refused_without_repeating_a_secret(#[case] text: &str, #[case] part: &str) {
        let error = sources("/data").parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
