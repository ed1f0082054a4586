//! Blobs that count what is asked of them, and fail when they are told to.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use virtualize::ByteRange;

use crate::stores::blobs::{BlobError, BlobInfo, BlobPath, Blobs, PutCondition};

/// Other blobs, watched.
#[derive(Debug)]
pub(super) struct Watched {
    inner: Arc<dyn Blobs>,
    asked: Mutex<Vec<String>>,
    trouble: Mutex<Option<Trouble>>,
}

/// What a store may answer instead.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    /// It does not answer.
    Down,
    /// A role assignment is missing.
    Denied,
    /// Every blob is another version than it just was.
    Changing,
}

impl Watched {
    pub(super) fn new(inner: Arc<dyn Blobs>) -> Self {
        Self {
            inner,
            asked: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// What was asked since the last time, as `head b.nc` and `get b.nc 2+2`.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// From now on nothing is answered, or is again.
    pub(super) fn be_down(&self, is_down: bool) {
        self.be_in(is_down.then_some(Trouble::Down));
    }

    /// From now on this is answered.
    pub(super) fn be_in(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap() = trouble;
    }

    fn ask(&self, what: &str, path: &BlobPath, part: &str) -> Result<(), BlobError> {
        let text = format!("{what} {}{part}", path.file_name());
        self.asked.lock().unwrap().push(text);
        let (path, source) = (path.clone(), std::io::Error::other("of the store"));
        match *self.trouble.lock().unwrap() {
            None => Ok(()),
            Some(Trouble::Down) => Err(BlobError::Unavailable { path, source }),
            Some(Trouble::Denied) => Err(BlobError::Denied { path, source }),
            Some(Trouble::Changing) => Err(BlobError::Changed(path)),
        }
    }
}

fn parts(ranges: &[ByteRange]) -> String {
    let parts = ranges
        .iter()
        .map(|range| format!(" {}+{}", range.start, range.len));
    parts.collect()
}

#[async_trait]
impl Blobs for Watched {
    async fn head(&self, path: &BlobPath) -> Result<BlobInfo, BlobError> {
        self.ask("head", path, "")?;
        self.inner.head(path).await
    }

    async fn get_ranges(
        &self,
        path: &BlobPath,
        etag: &str,
        ranges: &[ByteRange],
    ) -> Result<Vec<Bytes>, BlobError> {
        self.ask("get", path, &parts(ranges))?;
        self.inner.get_ranges(path, etag, ranges).await
    }

    async fn get_stream(
        &self,
        path: &BlobPath,
        etag: &str,
        range: ByteRange,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        self.ask("stream", path, &parts(&[range]))?;
        self.inner.get_stream(path, etag, range).await
    }

    async fn get_first(
        &self,
        path: &BlobPath,
        etag: Option<&str>,
        len: u64,
    ) -> Result<(BlobInfo, Bytes), BlobError> {
        self.ask("first", path, "")?;
        self.inner.get_first(path, etag, len).await
    }

    async fn get(&self, path: &BlobPath) -> Result<(Bytes, BlobInfo), BlobError> {
        self.ask("whole", path, "")?;
        self.inner.get(path).await
    }

    async fn put(
        &self,
        path: &BlobPath,
        bytes: Bytes,
        condition: PutCondition,
    ) -> Result<String, BlobError> {
        self.ask("put", path, "")?;
        self.inner.put(path, bytes, condition).await
    }

    fn is_source(&self, path: &BlobPath) -> bool {
        self.inner.is_source(path)
    }

    fn reference_url(&self, path: &BlobPath) -> String {
        self.inner.reference_url(path)
    }

    fn path_of(&self, url: &str) -> Option<BlobPath> {
        self.inner.path_of(url)
    }

    fn account(&self) -> &str {
        self.inner.account()
    }

    fn silver(&self, name: &str) -> BlobPath {
        self.inner.silver(name)
    }

    fn list_pages<'a>(
        &'a self,
        prefix: &'a BlobPath,
    ) -> BoxStream<'a, Result<Vec<BlobInfo>, BlobError>> {
        match self.ask("list", prefix, "") {
            Ok(()) => self.inner.list_pages(prefix),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn delete(&self, path: &BlobPath) -> Result<(), BlobError> {
        self.inner.delete(path).await
    }
}
