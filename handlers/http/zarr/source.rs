//! Bytes that lie in a blob: a chunk in its source, pinned to the version that was referenced, or the document.

use std::ops::Range;

use virtualize::ByteRange;

use super::body::Content;
use super::cache::document_error;
use super::store::VirtualChunk;
use crate::http::App;
use crate::http::error::ApiError;
use crate::stores::blobs::{BlobError, BlobPath};

/// More than this is passed on as it comes.
const AT_ONCE: u64 = 1 << 20;

/// Where the bytes of an answer lie.
#[derive(Debug)]
pub(super) struct Lying {
    path: BlobPath,
    etag: String,
    range: ByteRange,
    explain: fn(BlobError) -> ApiError,
}

impl Lying {
    /// A chunk of a source.
    pub(super) fn chunk(app: &App, chunk: VirtualChunk) -> Result<Self, ApiError> {
        let path = app.blobs.path_of(&chunk.url);
        Ok(Self {
            path: path
                .ok_or_else(|| ApiError::gone("the source file of this chunk is out of reach"))?,
            etag: chunk.etag,
            range: chunk.range,
            explain: source_error,
        })
    }

    /// The whole document.
    pub(super) async fn document(app: &App, at: &BlobPath) -> Result<Self, ApiError> {
        let info = app.blobs.head(at).await.map_err(document_error)?;
        Ok(Self {
            path: info.path,
            etag: info.etag,
            range: ByteRange::new(0, info.length),
            explain: document_error,
        })
    }

    pub(super) const fn length(&self) -> u64 {
        self.range.len
    }

    /// Says that it is there in the right version, without a byte of it.
    pub(super) async fn check(&self, app: &App) -> Result<(), ApiError> {
        let info = app.blobs.head(&self.path).await.map_err(self.explain)?;
        match info.etag == self.etag {
            true => Ok(()),
            false => Err((self.explain)(BlobError::Changed(self.path.clone()))),
        }
    }

    /// A part of it, by one ranged read.
    pub(super) async fn read(&self, app: &App, part: Range<u64>) -> Result<Content, ApiError> {
        let length = part.end.saturating_sub(part.start);
        let range = ByteRange::new(self.range.start.saturating_add(part.start), length);
        if length > AT_ONCE {
            let pieces = app.blobs.get_stream(&self.path, &self.etag, range).await;
            return Ok(Content::Stream(pieces.map_err(self.explain)?, length));
        }
        let parts = app.blobs.get_ranges(&self.path, &self.etag, &[range]).await;
        let part = parts.map_err(self.explain)?.into_iter().next();
        let missing = "a store answered without the range it was asked for";
        part.map(Content::Whole)
            .ok_or_else(|| ApiError::internal(missing))
    }
}

/// The status of the source is never passed on: a 404 would read as fill values.
pub(super) fn source_error(error: BlobError) -> ApiError {
    match error {
        BlobError::NotFound(path) => {
            ApiError::gone(format!("the source file {} is gone", path.short()))
        }
        BlobError::NoContainer(_) => ApiError::gone("the container of the source file is gone"),
        BlobError::Changed(path) | BlobError::OutOfRange { path, .. } => ApiError::gone(format!(
            "the source file {} has changed since it was referenced",
            path.short()
        )),
        error if error.is_missing() => ApiError::gone("the source file of this chunk is gone"),
        error if error.is_changed() => {
            ApiError::gone("the source file of this chunk has changed since it was referenced")
        }
        error => ApiError::unavailable(error),
    }
}
