//! Bytes of one blob: ranges of it, its beginning, and the whole of it in one piece or in blocks.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};

use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{Etag, RequestContent};
use azure_storage_blob::BlobClient;
use azure_storage_blob::models::{
    BlobClientDownloadOptions, BlobClientUploadOptions, BlockBlobClientCommitBlockListOptions,
    BlockBlobClientCommitBlockListResultHeaders as _, BlockLookupList,
};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _, stream};
use virtualize::ByteRange;

use super::content::Content;
use super::error::{Doing, bare, timestamp};
use crate::stores::azure::{AzureConnection, Problem, Refusal};
use crate::stores::blobs::http::ContentRange;
use crate::stores::blobs::{BlobError, BlobInfo, BlobPath, PutCondition};

/// What is read or written by one request. Larger documents are written in blocks.
pub(super) const PIECE: u64 = 8 << 20;

/// Blocks of one blob that are written at the same time.
const BLOCKS_AT_ONCE: usize = 4;

/// What one ranged GET brought.
struct Part {
    info: BlobInfo,
    range: ByteRange,
    bytes: Bytes,
}

/// One range of one version.
pub(super) async fn range(
    connection: &AzureConnection,
    client: &BlobClient,
    path: &BlobPath,
    etag: &str,
    range: ByteRange,
) -> Result<Bytes, BlobError> {
    if range.len == 0 {
        return Ok(Bytes::new());
    }
    let read = read(connection, client, path, Some(etag), range).await;
    let outside = || BlobError::OutOfRange {
        path: path.clone(),
        start: range.start,
        len: range.len,
    };
    match read {
        // The service cuts a range at the end of the blob.
        Ok(part) if part.range != range => Err(outside()),
        Ok(part) => Ok(part.bytes),
        Err(refusal) if matches!(refusal.problem, Problem::OutOfRange) => Err(outside()),
        Err(refusal) => Err(Doing::Read.failed(path, refusal)),
    }
}

/// One range of one version, as its pieces come. What the answer says is checked before the first of them, and their
/// number behind the last.
pub(super) async fn stream(
    connection: &AzureConnection,
    client: &BlobClient,
    path: &BlobPath,
    etag: &str,
    range: ByteRange,
) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
    let get = || async {
        let answer = client.download(Some(ranged(Some(etag), range))).await?;
        Ok((answer.headers, answer.body))
    };
    let check = |(headers, body): (Headers, _)| {
        let text = |name| headers.get_optional_str(&HeaderName::from_static(name));
        match text("content-range").and_then(ContentRange::parse) {
            Some(content) if content.range == range => {}
            Some(content) if content.range.start == range.start => return Err(Problem::OutOfRange),
            _ => return Err(Problem::OtherBytes(String::from("another range"))),
        }
        match text("etag").map(bare) {
            Some(version) if version == etag => Ok(body),
            _ => Err(Problem::Changed),
        }
    };
    let body = connection.try_send(get, check).await;
    let body = body.map_err(|refusal| Doing::Read.failed(path, refusal))?;
    let at = path.clone();
    let pieces =
        body.map(move |piece| piece.map_err(|error| Doing::Read.failed(&at, Refusal::of(&error))));
    Ok(whole(pieces.boxed(), path.clone(), range.len).boxed())
}

/// Pieces that are an error at their end if they are not so many bytes together.
fn whole(
    pieces: BoxStream<'static, Result<Bytes, BlobError>>,
    path: BlobPath,
    length: u64,
) -> impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static {
    stream::try_unfold((pieces, length), move |(mut pieces, rest)| {
        let short = || BlobError::Unavailable {
            path: path.clone(),
            source: std::io::ErrorKind::UnexpectedEof.into(),
        };
        let (short, long) = (short(), short());
        async move {
            let Some(piece) = pieces.try_next().await? else {
                return if rest == 0 { Ok(None) } else { Err(short) };
            };
            let after = rest.checked_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            Ok(Some((piece, (pieces, after.ok_or(long)?))))
        }
    })
}

/// The first bytes, with what the answer tells of the blob.
pub(super) async fn first(
    connection: &AzureConnection,
    client: &BlobClient,
    path: &BlobPath,
    etag: Option<&str>,
    len: u64,
) -> Result<(BlobInfo, Bytes), BlobError> {
    let first = ByteRange::new(0, len.max(1));
    let part = read(connection, client, path, etag, first).await;
    let part = part.map_err(|refusal| Doing::Read.failed(path, refusal))?;
    Ok((part.info, part.bytes))
}

/// The ranges of what follows the first bytes.
pub(super) fn pieces(from: usize, length: u64) -> Vec<ByteRange> {
    let from = u64::try_from(from).unwrap_or(u64::MAX);
    let starts = (from..length).step_by(usize::try_from(PIECE).unwrap_or(usize::MAX));
    starts
        .map(|start| ByteRange::new(start, PIECE.min(length.saturating_sub(start))))
        .collect()
}

async fn read(
    connection: &AzureConnection,
    client: &BlobClient,
    path: &BlobPath,
    etag: Option<&str>,
    range: ByteRange,
) -> Result<Part, Refusal> {
    let get = || async {
        let answer = client.download(Some(ranged(etag, range))).await?;
        let bytes = answer.body.collect().await?;
        Ok((answer.headers, answer.properties.last_modified, bytes))
    };
    let check = |(headers, modified, bytes): (Headers, _, Bytes)| {
        part(path, range, etag, &headers, modified, bytes)
    };
    connection.try_send(get, check).await
}

fn ranged(etag: Option<&str>, range: ByteRange) -> BlobClientDownloadOptions<'static> {
    BlobClientDownloadOptions {
        if_match: etag.map(quoted),
        // One request, whatever the length: the caller has cut what it wants in parts.
        partition_size: usize::try_from(range.len).ok().and_then(NonZero::new),
        parallel: Some(NonZero::<usize>::MIN),
        range: Some((range.start..range.end()).into()),
        ..BlobClientDownloadOptions::default()
    }
}

/// Proves that the bytes are those that were asked for.
fn part(
    path: &BlobPath,
    wanted: ByteRange,
    etag: Option<&str>,
    headers: &Headers,
    modified: Option<azure_core::time::OffsetDateTime>,
    bytes: Bytes,
) -> Result<Part, Problem> {
    let other = |what: String| Problem::OtherBytes(what);
    let text = |name| headers.get_optional_str(&HeaderName::from_static(name));
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let (range, length) = match text("content-range").map(ContentRange::parse) {
        Some(Some(content)) => (content.range, content.length),
        // Emulators answer so where the service has 416.
        Some(None) if len == 0 => return Err(Problem::OutOfRange),
        Some(None) => return Err(other(String::from("a Content-Range that cannot be read"))),
        // An empty blob has no range that could be satisfied and is sent whole.
        None if len == 0 => (ByteRange::new(0, 0), Some(0)),
        None => return Err(other(String::from("the whole blob"))),
    };
    let is_wanted = range.start == wanted.start && range.len <= wanted.len;
    if !is_wanted || range.len != len {
        let ByteRange { start, len: said } = range;
        return Err(other(format!("{len} bytes, said to be {start}+{said}")));
    }
    let version = text("etag").map(bare);
    let known = version.zip(length).zip(modified.and_then(timestamp));
    let ((version, length), last_modified) =
        known.ok_or_else(|| other(String::from("no version, length or time")))?;
    if etag.is_some_and(|etag| etag != version) {
        return Err(Problem::Changed);
    }
    let info = BlobInfo {
        path: path.clone(),
        etag: version,
        length,
        last_modified,
    };
    Ok(Part { info, range, bytes })
}

fn quoted(etag: &str) -> Etag {
    Etag::from(format!("\"{etag}\""))
}

/// One write of one blob, in as many requests as its length asks for.
pub(super) struct Put<'a> {
    connection: &'a AzureConnection,
    client: &'a BlobClient,
    media_type: &'static str,
    if_match: Option<Etag>,
    if_none_match: Option<Etag>,
    may_be_done: AtomicBool,
}

impl<'a> Put<'a> {
    pub(super) fn new(
        connection: &'a AzureConnection,
        client: &'a BlobClient,
        path: &BlobPath,
        condition: &PutCondition,
    ) -> Self {
        let (if_match, if_none_match) = match condition {
            PutCondition::Always => (None, None),
            PutCondition::IfAbsent => (None, Some(Etag::from("*"))),
            PutCondition::IfMatch(etag) => (Some(quoted(etag)), None),
        };
        Self {
            connection,
            client,
            media_type: media_type(path),
            if_match,
            if_none_match,
            may_be_done: AtomicBool::new(false),
        }
    }

    /// Whether a request that failed may have been carried out all the same.
    pub(super) fn may_be_done(&self) -> bool {
        self.may_be_done.load(Ordering::Relaxed)
    }

    /// Writes the bytes and gives their version.
    pub(super) async fn write(&self, content: &Content) -> Result<String, Refusal> {
        match content.len() <= PIECE {
            true => {
                let bytes = content.piece(ByteRange::new(0, content.len())).await?;
                self.write_at_once(&bytes).await
            }
            false => self.write_in_blocks(content).await,
        }
    }

    async fn write_at_once(&self, bytes: &Bytes) -> Result<String, Refusal> {
        let upload = || async {
            let options = BlobClientUploadOptions {
                blob_content_type: Some(self.media_type.to_owned()),
                if_match: self.if_match.clone(),
                if_none_match: self.if_none_match.clone(),
                partition_size: NonZero::new(PIECE),
                ..BlobClientUploadOptions::default()
            };
            let sent = self
                .client
                .upload(RequestContent::from(bytes.to_vec()), Some(options));
            Ok(sent.await.inspect_err(|error| self.note(error))?.etag)
        };
        self.connection.try_send(upload, version).await
    }

    async fn write_in_blocks(&self, content: &Content) -> Result<String, Refusal> {
        // Others may write blocks of the same blob at the same time.
        let writer = fastrand::u64(..);
        let mut blocks = Vec::new();
        let mut writes = Vec::new();
        for piece in pieces(0, content.len()) {
            let id = format!("{writer:016x}{:016x}", piece.start).into_bytes();
            blocks.push(id.clone());
            let write = async move { self.stage(id, content.piece(piece).await?).await };
            writes.push(write.boxed());
        }
        let written = stream::iter(writes).buffer_unordered(BLOCKS_AT_ONCE);
        written.try_collect::<()>().await?;
        self.commit(blocks).await
    }

    async fn stage(&self, id: Vec<u8>, block: Bytes) -> Result<(), Refusal> {
        let client = self.client.block_blob_client();
        let len = u64::try_from(block.len()).unwrap_or(u64::MAX);
        let stage = || async {
            let body = RequestContent::from(block.to_vec());
            client.stage_block(&id, len, body, None).await.map(drop)
        };
        self.connection.send(stage).await
    }

    async fn commit(&self, blocks: Vec<Vec<u8>>) -> Result<String, Refusal> {
        let client = self.client.block_blob_client();
        let commit = || async {
            let list = BlockLookupList {
                latest: Some(blocks.clone()),
                ..BlockLookupList::default()
            };
            let options = BlockBlobClientCommitBlockListOptions {
                blob_content_type: Some(self.media_type.to_owned()),
                if_match: self.if_match.clone(),
                if_none_match: self.if_none_match.clone(),
                ..BlockBlobClientCommitBlockListOptions::default()
            };
            let sent = client.commit_block_list(list.try_into()?, Some(options));
            sent.await.inspect_err(|error| self.note(error))?.etag()
        };
        self.connection.try_send(commit, version).await
    }

    fn note(&self, error: &azure_core::Error) {
        if Refusal::of(error).problem.is_ambiguous() {
            self.may_be_done.store(true, Ordering::Relaxed);
        }
    }
}

fn version(etag: Option<Etag>) -> Result<String, Problem> {
    let etag = etag.ok_or_else(|| Problem::OtherBytes(String::from("no version")))?;
    Ok(bare(etag.as_ref()))
}

fn media_type(path: &BlobPath) -> &'static str {
    match path.file_name().rsplit_once('.') {
        Some((_, "json" | "zmetadata")) => "application/json",
        Some((_, "parq")) => "application/vnd.apache.parquet",
        _ => "application/octet-stream",
    }
}
