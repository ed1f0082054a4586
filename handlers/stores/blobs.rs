//! Blob storage as the stages need it, and the address of a blob.

mod azure;
#[cfg(test)]
mod contract;
mod http;
mod local;
mod named;
mod path;
mod pinned;

pub use azure::{AzureBlobs, Containers};
pub use http::{
    HttpClient, HttpError, HttpFile, HttpProblem, HttpUrl, ParseHttpUrlError, PublicWeb,
};
pub use local::LocalBlobs;
pub use named::{AsTheyAre, Named, NamedSources, ParseNamedError};
pub use path::{BlobPath, ParseBlobPathError};
pub use pinned::{BlobSources, Opened, PinnedBlob, RangeSource, Sources};

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use virtualize::ByteRange;

/// Why a blob operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// There is no such blob.
    #[error("{0} does not exist")]
    NotFound(BlobPath),
    /// There is no such container.
    #[error("container {0} does not exist")]
    NoContainer(String),
    /// The address is of a store that is not reached from here.
    #[error("{0} is in a store that the command line does not reach")]
    Elsewhere(String),
    /// The blob is not, or no longer, the version that was asked for.
    #[error("{0} has changed")]
    Changed(BlobPath),
    /// The blob exists already.
    #[error("{0} exists already")]
    Exists(BlobPath),
    /// A range lies outside the blob.
    #[error("{path} has no bytes {start}+{len}")]
    OutOfRange {
        /// The blob.
        path: BlobPath,
        /// First byte asked for.
        start: u64,
        /// Number of bytes asked for.
        len: u64,
    },
    /// The store is throttling or failing; worth another try.
    #[error("could not reach {path}")]
    Unavailable {
        /// The blob.
        path: BlobPath,
        /// What the store said.
        #[source]
        source: std::io::Error,
    },
    /// Access is refused: a missing role assignment, or file permissions.
    #[error("access to {path} is refused")]
    Denied {
        /// The blob.
        path: BlobPath,
        /// What the store said.
        #[source]
        source: std::io::Error,
    },
    /// A file on a web server could not be read.
    #[error(transparent)]
    Http(#[from] HttpError),
}

impl BlobError {
    /// Whether the same call may succeed later.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Http(error) => error.problem.is_transient(),
            _ => false,
        }
    }

    /// Whether it is not, or no longer, the version that was asked for.
    pub const fn is_changed(&self) -> bool {
        match self {
            Self::Changed(_) => true,
            Self::Http(error) => matches!(error.problem, HttpProblem::Changed),
            _ => false,
        }
    }

    /// Whether there is nothing at that address.
    pub const fn is_missing(&self) -> bool {
        match self {
            Self::NotFound(_) => true,
            Self::Http(error) => matches!(error.problem, HttpProblem::NotFound),
            _ => false,
        }
    }
}

/// What a store knows of a blob without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobInfo {
    /// Where it is.
    pub path: BlobPath,
    /// Its version, without quotes.
    pub etag: String,
    /// Length in bytes.
    pub length: u64,
    /// Time of the last change.
    pub last_modified: jiff::Timestamp,
}

/// On what condition a blob is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutCondition {
    /// Whatever is there is replaced.
    Always,
    /// Only where nothing is (`If-None-Match: *`).
    IfAbsent,
    /// Only over this version (`If-Match`).
    IfMatch(String),
}

/// The handful of blob operations that the stages call.
#[async_trait]
pub trait Blobs: Send + Sync + std::fmt::Debug {
    /// What is known of a blob.
    async fn head(&self, path: &BlobPath) -> Result<BlobInfo, BlobError>;

    /// Ranges of one version of a blob, in the order asked for; [`BlobError::Changed`] if it is another version.
    async fn get_ranges(
        &self,
        path: &BlobPath,
        etag: &str,
        ranges: &[ByteRange],
    ) -> Result<Vec<Bytes>, BlobError>;

    /// One range of one version, piece by piece as it comes, by one request; [`BlobError::Changed`] if it is another
    /// version, also as the last piece where that shows only then. What a store cannot give in pieces is one.
    async fn get_stream(
        &self,
        path: &BlobPath,
        etag: &str,
        range: ByteRange,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let parts = self.get_ranges(path, etag, &[range]).await?;
        Ok(futures_util::stream::iter(parts.into_iter().map(Ok)).boxed())
    }

    /// The first `len` bytes of a blob, or all of a shorter one, with what is known of it; [`BlobError::Changed`] if
    /// it is another version than the one asked for. One round trip where the store allows it.
    async fn get_first(
        &self,
        path: &BlobPath,
        etag: Option<&str>,
        len: u64,
    ) -> Result<(BlobInfo, Bytes), BlobError> {
        let info = self.head(path).await?;
        if etag.is_some_and(|etag| etag != info.etag) {
            return Err(BlobError::Changed(path.clone()));
        }
        let first = ByteRange::new(0, len.min(info.length));
        let parts = self.get_ranges(path, &info.etag, &[first]).await?;
        Ok((info, parts.into_iter().next().unwrap_or_default()))
    }

    /// A whole blob with its version.
    async fn get(&self, path: &BlobPath) -> Result<(Bytes, BlobInfo), BlobError>;

    /// Writes a whole blob at once and returns its version; readers see the old or the new one.
    async fn put(
        &self,
        path: &BlobPath,
        bytes: Bytes,
        condition: PutCondition,
    ) -> Result<String, BlobError>;

    /// As [`put`](Self::put), from a local file. A store that can write piece by piece does so: the file may be larger
    /// than memory.
    async fn put_file(
        &self,
        path: &BlobPath,
        file: &Path,
        condition: PutCondition,
    ) -> Result<String, BlobError> {
        let bytes = tokio::fs::read(file).await;
        let bytes = bytes.map_err(|source| BlobError::Unavailable {
            path: path.clone(),
            source,
        })?;
        self.put(path, bytes.into(), condition).await
    }

    /// Whether a read costs next to nothing.
    fn is_local(&self) -> bool {
        false
    }

    /// Whether a blob lies where sources are taken from: an allowed account and container.
    fn is_source(&self, path: &BlobPath) -> bool;

    /// The address under which references name a blob of this store: `az://container/blob`, or `file:///…`.
    fn reference_url(&self, path: &BlobPath) -> String;

    /// The blob that such an address names; `None` if it is none of this store.
    fn path_of(&self, url: &str) -> Option<BlobPath>;

    /// The account that is meant where an address names none.
    fn account(&self) -> &str;

    /// The blob of a name in the container that is ours to write.
    fn silver(&self, name: &str) -> BlobPath;

    /// Blobs whose name starts with the path's, as they come: some at a time, in the order of the store.
    fn list_pages<'a>(
        &'a self,
        prefix: &'a BlobPath,
    ) -> BoxStream<'a, Result<Vec<BlobInfo>, BlobError>>;

    /// Blobs whose name starts with the path's, sorted by name.
    async fn list(&self, prefix: &BlobPath) -> Result<Vec<BlobInfo>, BlobError> {
        let mut found: Vec<BlobInfo> = self.list_pages(prefix).try_concat().await?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Deletes a blob; deleting what is not there is fine. Sources are never deleted: implementations refuse
    /// outside the containers that are ours.
    async fn delete(&self, path: &BlobPath) -> Result<(), BlobError>;
}
