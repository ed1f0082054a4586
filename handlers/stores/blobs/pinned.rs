//! One version of one file, read by ranges: a blob of a store, or a file that the command line names.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use virtualize::rules::Finding;
use virtualize::{ByteRange, Source};

use super::{BlobError, BlobInfo, BlobPath, Blobs, LocalBlobs};

/// A file whose version is pinned: a read of another version is an error.
#[async_trait]
pub trait RangeSource: Send + Sync {
    /// Its address as references name it, its version and length.
    fn describe(&self) -> Source;

    /// Ranges of it, in the order asked for.
    async fn ranges(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, BlobError>;

    /// Whether a read costs next to nothing, so that reading ahead does not pay.
    fn is_local(&self) -> bool {
        false
    }

    /// What opening it has brought already.
    fn opened(&self) -> Opened {
        Opened::default()
    }

    /// What readers of its reference should know of it.
    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// What opening a source brought: where that costs a round trip, it reads ahead.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    /// Ranges with their bytes.
    pub parts: Vec<(ByteRange, Bytes)>,
    /// Requests that it took.
    pub requests: u64,
    /// Dependent round trips that it took.
    pub rounds: u32,
}

/// A blob at one version.
#[derive(Debug, Clone)]
pub struct PinnedBlob {
    blobs: Arc<dyn Blobs>,
    info: BlobInfo,
    opened: Opened,
}

impl PinnedBlob {
    /// The blob as `info` has it.
    pub fn new(blobs: Arc<dyn Blobs>, info: BlobInfo) -> Self {
        Self {
            blobs,
            info,
            opened: Opened::default(),
        }
    }

    /// The blob at the version and length that are known, or else as it is now. Where a round trip costs something
    /// it also brings up to `head` bytes of its start, and `tail` of its end where that is known.
    ///
    /// # Errors
    ///
    /// [`BlobError::Changed`] if it is another version by now; others.
    pub async fn open(
        blobs: Arc<dyn Blobs>,
        path: &BlobPath,
        known: Option<(&str, u64)>,
        head: u64,
        tail: u64,
    ) -> Result<Self, BlobError> {
        let etag = known.map(|(etag, _)| etag);
        if blobs.is_local() {
            let info = blobs.head(path).await?;
            return Self::new(blobs, info).at_version(etag);
        }
        let start = match known {
            Some((_, length)) if length <= head.saturating_add(tail) => head.saturating_add(tail),
            _ => head,
        };
        let end = known.filter(|(_, length)| *length > start && tail > 0);
        let end =
            end.map(|(etag, length)| (etag, ByteRange::new(length.saturating_sub(tail), tail)));
        let last = async {
            match end {
                Some((etag, range)) => blobs.get_ranges(path, etag, &[range]).await,
                None => Ok(Vec::new()),
            }
        };
        let (first, last) = tokio::try_join!(blobs.get_first(path, etag, start), last)?;
        let (info, bytes) = first;
        let first = ByteRange::new(0, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let ends = end.map(|(_, range)| range).into_iter().zip(last);
        let opened = Opened {
            requests: 1 + u64::from(end.is_some()),
            parts: std::iter::once((first, bytes)).chain(ends).collect(),
            rounds: 1,
        };
        Ok(Self {
            blobs,
            info,
            opened,
        })
    }

    /// What is known of it.
    pub const fn info(&self) -> &BlobInfo {
        &self.info
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

    /// The same, if it is the version that was recorded.
    ///
    /// # Errors
    ///
    /// [`BlobError::Changed`] if it is another.
    pub fn at_version(self, recorded: Option<&str>) -> Result<Self, BlobError> {
        match recorded.is_none_or(|etag| etag == self.info.etag) {
            true => Ok(self),
            false => Err(BlobError::Changed(self.info.path)),
        }
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

    fn is_local(&self) -> bool {
        self.blobs.is_local()
    }

    fn opened(&self) -> Opened {
        self.opened.clone()
    }
}

/// Opens the sources that references name, at the version they name.
#[async_trait]
pub trait Sources: Send + Sync {
    /// The source, pinned to its recorded version.
    async fn open(&self, source: &Source) -> Result<Arc<dyn RangeSource>, BlobError>;

    /// What the store says of the source now, without reading it.
    async fn current(&self, source: &Source) -> Result<Source, BlobError>;
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

    async fn current(&self, source: &Source) -> Result<Source, BlobError> {
        let path = self.0.path_of(&source.url);
        let path = path.ok_or_else(|| BlobError::NoContainer(source.url.clone()))?;
        let info = self.0.head(&path).await?;
        Ok(PinnedBlob::new(Arc::clone(&self.0), info).describe())
    }
}
