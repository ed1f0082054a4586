//! Containers that are folders of the local file system: the embedded default, and what tests run on.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use virtualize::ByteRange;

use super::{BlobError, BlobInfo, BlobPath, Blobs, PutCondition};

/// Folders as containers of the account `local`.
///
/// The version of a file is its size, change time and inode, checked before and after each batch of reads.
#[derive(Debug)]
pub struct LocalBlobs {
    containers: BTreeMap<String, Container>,
    /// One conditional write at a time: the file system has no compare-and-set.
    writing: Arc<Mutex<()>>,
}

#[derive(Debug, Clone)]
struct Container {
    folder: PathBuf,
    writable: bool,
}

/// The account of the embedded default.
const ACCOUNT: &str = "local";

/// Its container of sources.
const BRONZE: &str = "bronze";

/// Its container that is written.
const SILVER: &str = "silver";

static TEMPORARY: AtomicU64 = AtomicU64::new(0);

impl LocalBlobs {
    /// `bronze`, which is only read, and `silver`, which is written.
    pub fn new(bronze: impl Into<PathBuf>, silver: impl Into<PathBuf>) -> Self {
        let container = |folder, writable| Container { folder, writable };
        let containers = BTreeMap::from([
            (String::from(BRONZE), container(bronze.into(), false)),
            (String::from(SILVER), container(silver.into(), true)),
        ]);
        Self {
            containers,
            writing: Arc::default(),
        }
    }

    /// The version of a local file: size, change time in nanoseconds and inode.
    pub fn etag(metadata: &std::fs::Metadata) -> String {
        let nanoseconds =
            i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        format!("{:x}-{nanoseconds:x}-{:x}", metadata.size(), metadata.ino())
    }

    /// The file that a path stands for.
    ///
    /// # Errors
    ///
    /// [`BlobError::NoContainer`], or [`BlobError::NotFound`] for a name that would leave the container.
    pub fn file(&self, path: &BlobPath) -> Result<PathBuf, BlobError> {
        Ok(self.container(path)?.folder.join(relative(path)?))
    }

    fn container(&self, path: &BlobPath) -> Result<&Container, BlobError> {
        let known = self
            .containers
            .get(&path.container)
            .filter(|_| path.account == ACCOUNT);
        known.ok_or_else(|| BlobError::NoContainer(path.container.clone()))
    }

    fn writable(&self, path: &BlobPath) -> Result<PathBuf, BlobError> {
        let container = self.container(path)?;
        if !container.writable {
            let source = io::Error::new(
                io::ErrorKind::ReadOnlyFilesystem,
                "sources are never written",
            );
            return Err(BlobError::Denied {
                path: path.clone(),
                source,
            });
        }
        Ok(container.folder.join(relative(path)?))
    }
}

impl LocalBlobs {
    async fn put_content(
        &self,
        path: &BlobPath,
        content: Content,
        condition: PutCondition,
    ) -> Result<String, BlobError> {
        let (path, file) = (path.clone(), self.writable(path)?);
        let writing = Arc::clone(&self.writing);
        blocking(&path.clone(), move || {
            let _one_at_a_time = writing
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            put(&path, &file, &content, &condition)
        })
        .await
    }
}

/// The name as a relative path without any way up.
fn relative(path: &BlobPath) -> Result<&Path, BlobError> {
    let name = Path::new(&path.blob);
    let plain = name
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    plain
        .then_some(name)
        .ok_or_else(|| BlobError::NotFound(path.clone()))
}

fn failure(path: &BlobPath, source: io::Error) -> BlobError {
    let path = path.clone();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => BlobError::NotFound(path),
        io::ErrorKind::PermissionDenied => BlobError::Denied { path, source },
        _ => BlobError::Unavailable { path, source },
    }
}

fn info(path: &BlobPath, metadata: &std::fs::Metadata) -> BlobInfo {
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| jiff::Timestamp::try_from(time).ok());
    BlobInfo {
        path: path.clone(),
        etag: LocalBlobs::etag(metadata),
        length: metadata.size(),
        last_modified: modified.unwrap_or(jiff::Timestamp::UNIX_EPOCH),
    }
}

fn head(path: &BlobPath, file: &Path) -> Result<BlobInfo, BlobError> {
    let metadata = std::fs::metadata(file).map_err(|source| failure(path, source))?;
    if !metadata.is_file() {
        return Err(BlobError::NotFound(path.clone()));
    }
    Ok(info(path, &metadata))
}

/// Small ranges share an allocation of up to this size; thousands of their own cost more than reading them.
const SHARED: u64 = 1 << 20;

/// Reads ranges of a file of `length` bytes.
fn read_ranges(
    path: &BlobPath,
    file: &std::fs::File,
    length: u64,
    ranges: &[ByteRange],
) -> Result<Vec<Bytes>, BlobError> {
    let is_outside = |range: &&ByteRange| {
        let end = range.start.checked_add(range.len);
        end.is_none_or(|end| end > length) || usize::try_from(range.len).is_err()
    };
    if let Some(range) = ranges.iter().find(is_outside) {
        return Err(BlobError::OutOfRange {
            path: path.clone(),
            start: range.start,
            len: range.len,
        });
    }
    let mut parts = Vec::with_capacity(ranges.len());
    let mut rest = ranges;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(batch_len(rest));
        read_batch(file, batch, &mut parts).map_err(|source| failure(path, source))?;
        rest = after;
    }
    Ok(parts)
}

/// How many of the first ranges share an allocation: at least one.
fn batch_len(ranges: &[ByteRange]) -> usize {
    let mut total = 0u64;
    let fitting = ranges.iter().take_while(|range| {
        total = total.saturating_add(range.len);
        total <= SHARED
    });
    fitting.count().max(1)
}

fn read_batch(file: &std::fs::File, batch: &[ByteRange], parts: &mut Vec<Bytes>) -> io::Result<()> {
    let lengths = || batch.iter().map(|range| range.len as usize);
    let mut buffer = vec![0; lengths().sum()];
    let mut free = buffer.as_mut_slice();
    for (range, len) in batch.iter().zip(lengths()) {
        let (part, after) = free.split_at_mut(len);
        file.read_exact_at(part, range.start)?;
        free = after;
    }
    let mut buffer = Bytes::from(buffer);
    parts.extend(lengths().map(|len| buffer.split_to(len)));
    Ok(())
}

/// Ranges of the version `etag`; the version is checked on the open file, and by name after reading.
fn get_ranges(
    path: &BlobPath,
    name: &Path,
    etag: &str,
    ranges: &[ByteRange],
) -> Result<Vec<Bytes>, BlobError> {
    let file = std::fs::File::open(name).map_err(|source| failure(path, source))?;
    let check = |metadata: io::Result<std::fs::Metadata>| {
        let metadata = metadata.map_err(|source| failure(path, source))?;
        (LocalBlobs::etag(&metadata) == etag)
            .then(|| metadata.size())
            .ok_or_else(|| BlobError::Changed(path.clone()))
    };
    let length = check(file.metadata())?;
    let parts = read_ranges(path, &file, length, ranges);
    check(file.metadata())?;
    check(std::fs::metadata(name))?;
    parts
}

/// Bytes of a file that are read at once where it is passed on piece by piece.
const PIECE: u64 = 1 << 20;

/// A range of one version of a file that is read piece by piece.
struct Reading {
    path: BlobPath,
    name: PathBuf,
    etag: String,
    file: std::fs::File,
    rest: ByteRange,
}

impl Reading {
    fn begin(
        path: BlobPath,
        name: PathBuf,
        etag: String,
        range: ByteRange,
    ) -> Result<Self, BlobError> {
        let file = std::fs::File::open(&name).map_err(|source| failure(&path, source))?;
        let reading = Self {
            path,
            name,
            etag,
            file,
            rest: range,
        };
        let length = reading.check(reading.file.metadata())?;
        let end = range.start.checked_add(range.len);
        if end.is_none_or(|end| end > length) {
            return Err(BlobError::OutOfRange {
                path: reading.path,
                start: range.start,
                len: range.len,
            });
        }
        Ok(reading)
    }

    /// The length of the file, if it is still this version.
    fn check(&self, metadata: io::Result<std::fs::Metadata>) -> Result<u64, BlobError> {
        let metadata = metadata.map_err(|source| failure(&self.path, source))?;
        (LocalBlobs::etag(&metadata) == self.etag)
            .then(|| metadata.size())
            .ok_or_else(|| BlobError::Changed(self.path.clone()))
    }

    /// The next piece; the last one only if the file did not change meanwhile.
    fn next(mut self) -> Result<Option<(Bytes, Self)>, BlobError> {
        let len = self.rest.len.min(PIECE);
        if len == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; usize::try_from(len).unwrap_or_default()];
        let read = self.file.read_exact_at(&mut piece, self.rest.start);
        read.map_err(|source| failure(&self.path, source))?;
        self.rest = ByteRange::new(self.rest.start + len, self.rest.len - len);
        if self.rest.len == 0 {
            self.check(self.file.metadata())?;
            self.check(std::fs::metadata(&self.name))?;
        }
        Ok(Some((piece.into(), self)))
    }
}

/// What is written.
enum Content {
    Bytes(Bytes),
    File(PathBuf),
}

/// Writes beside the target and renames, so that nobody sees a part of it.
fn write_whole(path: &BlobPath, name: &Path, content: &Content) -> Result<String, BlobError> {
    let fail = |source| failure(path, source);
    if let Some(folder) = name.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
    let temporary = name.with_added_extension(format!("{}-{number}.tmp", std::process::id()));
    let written = match content {
        Content::Bytes(bytes) => std::fs::write(&temporary, bytes),
        Content::File(file) => std::fs::copy(file, &temporary).map(|_| ()),
    };
    let written = written.and_then(|()| std::fs::rename(&temporary, name));
    if let Err(source) = written {
        std::fs::remove_file(&temporary).ok();
        return Err(fail(source));
    }
    head(path, name).map(|info| info.etag)
}

fn put(
    path: &BlobPath,
    name: &Path,
    content: &Content,
    condition: &PutCondition,
) -> Result<String, BlobError> {
    let present = match head(path, name) {
        Ok(info) => Some(info.etag),
        Err(BlobError::NotFound(_)) => None,
        Err(error) => return Err(error),
    };
    match (condition, present) {
        (PutCondition::IfAbsent, Some(_)) => Err(BlobError::Exists(path.clone())),
        (PutCondition::IfMatch(wanted), present) if present.as_ref() != Some(wanted) => {
            Err(BlobError::Changed(path.clone()))
        }
        _ => write_whole(path, name, content),
    }
}

fn list(prefix: &BlobPath, root: &Path) -> Result<Vec<BlobInfo>, BlobError> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(prefix.folder())];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|source| failure(prefix, source))?,
        };
        for entry in entries {
            let entry = entry.map_err(|source| failure(prefix, source))?;
            let Ok(metadata) = std::fs::metadata(entry.path()) else {
                continue;
            };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if let Some(name) = entry.path().strip_prefix(root).ok().and_then(Path::to_str) {
                found.push(info(&prefix.sibling(name), &metadata));
            }
        }
    }
    found.retain(|info| {
        info.path.blob.starts_with(&prefix.blob) && !info.path.blob.ends_with(".tmp")
    });
    Ok(found)
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    path: &BlobPath,
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(BlobError::Unavailable {
            path: path.clone(),
            source: io::Error::other(error),
        }),
    }
}

#[async_trait]
impl Blobs for LocalBlobs {
    async fn head(&self, path: &BlobPath) -> Result<BlobInfo, BlobError> {
        let (path, file) = (path.clone(), self.file(path)?);
        blocking(&path.clone(), move || head(&path, &file)).await
    }

    async fn get_ranges(
        &self,
        path: &BlobPath,
        etag: &str,
        ranges: &[ByteRange],
    ) -> Result<Vec<Bytes>, BlobError> {
        let (path, file) = (path.clone(), self.file(path)?);
        let (etag, ranges) = (etag.to_owned(), ranges.to_vec());
        blocking(&path.clone(), move || {
            get_ranges(&path, &file, &etag, &ranges)
        })
        .await
    }

    async fn get_stream(
        &self,
        path: &BlobPath,
        etag: &str,
        range: ByteRange,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let (name, etag, path) = (self.file(path)?, etag.to_owned(), path.clone());
        let at = path.clone();
        let begun = blocking(&at, move || Reading::begin(path, name, etag, range)).await?;
        let pieces = futures_util::stream::try_unfold(begun, move |reading| {
            let at = at.clone();
            async move { blocking(&at, move || reading.next()).await }
        });
        Ok(pieces.boxed())
    }

    async fn get(&self, path: &BlobPath) -> Result<(Bytes, BlobInfo), BlobError> {
        let info = self.head(path).await?;
        let whole = ByteRange::new(0, info.length);
        let parts = self.get_ranges(path, &info.etag, &[whole]).await?;
        Ok((parts.into_iter().next().unwrap_or_default(), info))
    }

    async fn put(
        &self,
        path: &BlobPath,
        bytes: Bytes,
        condition: PutCondition,
    ) -> Result<String, BlobError> {
        self.put_content(path, Content::Bytes(bytes), condition)
            .await
    }

    async fn put_file(
        &self,
        path: &BlobPath,
        file: &Path,
        condition: PutCondition,
    ) -> Result<String, BlobError> {
        self.put_content(path, Content::File(file.to_owned()), condition)
            .await
    }

    fn is_local(&self) -> bool {
        true
    }

    fn is_source(&self, path: &BlobPath) -> bool {
        self.container(path)
            .is_ok_and(|container| !container.writable)
    }

    fn reference_url(&self, path: &BlobPath) -> String {
        let file = self
            .file(path)
            .map(|file| std::path::absolute(&file).unwrap_or(file));
        file.map_or_else(
            |_| path.to_string(),
            |file| format!("file://{}", file.display()),
        )
    }

    fn path_of(&self, url: &str) -> Option<BlobPath> {
        let file = Path::new(url.strip_prefix("file://")?);
        self.containers.iter().find_map(|(name, container)| {
            let folder = std::path::absolute(&container.folder).ok()?;
            let blob = file.strip_prefix(folder).ok()?.to_str()?;
            Some(BlobPath::new(ACCOUNT, name.clone(), blob))
        })
    }

    fn account(&self) -> &str {
        ACCOUNT
    }

    fn silver(&self, name: &str) -> BlobPath {
        BlobPath::new(ACCOUNT, SILVER, name)
    }

    fn list_pages<'a>(
        &'a self,
        prefix: &'a BlobPath,
    ) -> BoxStream<'a, Result<Vec<BlobInfo>, BlobError>> {
        let listed = async move {
            let root = self.container(prefix)?.folder.clone();
            let prefix = prefix.clone();
            blocking(&prefix.clone(), move || list(&prefix, &root)).await
        };
        futures_util::stream::once(listed).boxed()
    }

    async fn delete(&self, path: &BlobPath) -> Result<(), BlobError> {
        let (path, file) = (path.clone(), self.writable(path)?);
        blocking(&path.clone(), move || match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure(&path, error)),
            _ => Ok(()),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::stores::blobs::contract;

    fn store() -> (tempfile::TempDir, LocalBlobs) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bronze")).unwrap();
        let blobs = LocalBlobs::new(folder.path().join("bronze"), folder.path().join("silver"));
        (folder, blobs)
    }

    #[tokio::test]
    async fn the_contract_holds() {
        let (folder, blobs) = store();
        let bronze = folder.path().join("bronze");
        let land = |name: String, bytes: Vec<u8>| {
            let file = bronze.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
            std::future::ready(()).boxed()
        };
        let subject = contract::Subject {
            blobs: &blobs,
            source: BlobPath::new(ACCOUNT, BRONZE, ""),
            land: &land,
        };
        contract::holds(subject).await;
    }

    // Its length and inode stay the same: only the time tells.
    #[tokio::test]
    async fn a_file_that_changes_while_it_is_passed_on_ends_in_an_error() {
        use futures_util::TryStreamExt as _;

        let (folder, blobs) = store();
        let file = folder.path().join("bronze/a.nc");
        std::fs::write(&file, vec![1; 3 << 20]).unwrap();
        let path = BlobPath::new(ACCOUNT, BRONZE, "a.nc");
        let etag = blobs.head(&path).await.unwrap().etag;
        let range = ByteRange::new(0, 3 << 20);
        let mut pieces = blobs.get_stream(&path, &etag, range).await.unwrap();
        assert_eq!(pieces.try_next().await.unwrap().unwrap().len(), 1 << 20);
        std::fs::write(&file, vec![2; 3 << 20]).unwrap();
        let rest: Result<Vec<Bytes>, BlobError> = pieces.try_collect().await;
        assert!(matches!(rest, Err(BlobError::Changed(_))));
    }

    #[tokio::test]
    async fn nothing_outside_the_container_is_reached() {
        let (folder, blobs) = store();
        std::fs::write(folder.path().join("secret"), b"data").unwrap();
        for name in ["../secret", "/etc/passwd", "a/../../secret"] {
            let path = BlobPath::new("local", "bronze", name);
            assert!(
                matches!(blobs.head(&path).await, Err(BlobError::NotFound(_))),
                "{name}"
            );
        }
    }
}
