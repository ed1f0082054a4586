//! One version of one file, read by ranges: a blob of a store, or a file that the command line names.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use virtualize::{ByteRange, Source};

use super::{BlobError, BlobInfo, BlobPath, Blobs, LocalBlobs};

/// A file whose version is pinned: a read of another version is an error.
#[async_trait]
pub trait RangeSource: Send + Sync {
    /// Its address as references name it, its version and length.
    fn describe(&self) -> Source;

    /// Ranges of it, in the order asked for.
    async fn ranges(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, BlobError>;
}

/// A blob at one version.
#[derive(Debug, Clone)]
pub struct PinnedBlob {
    blobs: Arc<dyn Blobs>,
    info: BlobInfo,
}

impl PinnedBlob {
    /// The blob as `info` has it.
    pub fn new(blobs: Arc<dyn Blobs>, info: BlobInfo) -> Self {
        Self { blobs, info }
    }

    /// A local file anywhere, as it is now, for the command line: its folder stands for the container.
    ///
    /// # Errors
    ///
    /// [`BlobError`] when it is not there or not a file.
    pub async fn open_file(file: &Path) -> Result<Self, BlobError> {
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let folder = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        let name = absolute
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let blobs = Arc::new(LocalBlobs::new(folder.clone(), folder));
        let info = blobs.head(&BlobPath::new("local", "bronze", name)).await?;
        Ok(Self::new(blobs, info))
    }
}

#[async_trait]
impl RangeSource for PinnedBlob {
    fn describe(&self) -> Source {
        Source {
            url: self.blobs.reference_url(&self.info.path),
            etag: Some(self.info.etag.clone()),
            length: self.info.length,
            last_modified: Some(self.info.last_modified.to_string()),
        }
    }

    async fn ranges(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, BlobError> {
        self.blobs
            .get_ranges(&self.info.path, &self.info.etag, ranges)
            .await
    }
}

/// Opens the sources that references name, at the version they name.
#[async_trait]
pub trait Sources: Send + Sync {
    /// The source, pinned to its recorded version.
    async fn open(&self, source: &Source) -> Result<Arc<dyn RangeSource>, BlobError>;
}

/// Sources that are blobs of a store.
#[derive(Debug, Clone)]
pub struct BlobSources(pub Arc<dyn Blobs>);

#[async_trait]
impl Sources for BlobSources {
    async fn open(&self, source: &Source) -> Result<Arc<dyn RangeSource>, BlobError> {
        let path = self
            .0
            .path_of(&source.url)
            .ok_or_else(|| BlobError::NoContainer(source.url.clone()))?;
        let last_modified = source
            .last_modified
            .as_deref()
            .and_then(|text| text.parse().ok());
        let info = BlobInfo {
            path,
            etag: source.etag.clone().unwrap_or_default(),
            length: source.length,
            last_modified: last_modified.unwrap_or(jiff::Timestamp::UNIX_EPOCH),
        };
        Ok(Arc::new(PinnedBlob::new(Arc::clone(&self.0), info)))
    }
}

/// Sources that are local files anywhere, for the command line.
#[derive(Debug, Clone, Copy)]
pub struct LocalSources;

#[async_trait]
impl Sources for LocalSources {
    async fn open(&self, source: &Source) -> Result<Arc<dyn RangeSource>, BlobError> {
        let name = source.url.strip_prefix("file://").unwrap_or(&source.url);
        let file = PinnedBlob::open_file(Path::new(name)).await?;
        let recorded = source.etag.as_deref();
        if recorded.is_some_and(|etag| etag != file.info.etag) {
            return Err(BlobError::Changed(file.info.path));
        }
        Ok(Arc::new(file))
    }
}
