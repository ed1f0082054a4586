//! Stage 4: publishes the reference of one file. SPEC §5.

mod draft;
mod tables;

pub use draft::{Draft, Form, read_tables};
pub use tables::wants_tables;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use virtualize::{VirtualDataset, kerchunk};

use crate::stores::blobs::{BlobError, BlobPath, Blobs, PutCondition};
use crate::stores::ledger::TimeSpan;

/// Why a reference could not be published or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The store failed.
    #[error("could not store the reference")]
    Store(#[from] BlobError),
    /// The document could not be written.
    #[error("could not write the reference")]
    Write(#[source] std::io::Error),
    /// The document cannot be read back.
    #[error("the reference {path} cannot be read")]
    Read {
        /// Where it is.
        path: BlobPath,
        /// What is wrong with it.
        #[source]
        source: Box<kerchunk::KerchunkError>,
    },
}

/// Blob name of a file's reference in silver: the layout mirrors bronze.
pub fn reference_name(path: &BlobPath) -> String {
    let stem = path.blob.strip_suffix(".nc").unwrap_or(&path.blob);
    format!("refs/files/{}/{}/{stem}.json", path.account, path.container)
}

/// The kerchunk document of a dataset.
///
/// # Errors
///
/// [`ReferenceError::Write`].
pub fn render(dataset: &VirtualDataset) -> Result<Bytes, ReferenceError> {
    let mut document = Vec::new();
    kerchunk::json::write(dataset, &mut document).map_err(ReferenceError::Write)?;
    Ok(document.into())
}

/// A dataset as its document says it.
///
/// # Errors
///
/// [`ReferenceError::Write`].
pub fn written(dataset: &VirtualDataset) -> Result<VirtualDataset, ReferenceError> {
    let read = kerchunk::json::read(&render(dataset)?);
    read.map_err(|error| ReferenceError::Write(std::io::Error::other(error)))
}

/// Publishes a dataset: its document, with the Parquet set of a large one beside it (`tas.parq/` beside `tas.json`);
/// `false` if the writer is not entitled any more.
///
/// The document is what makes a reference visible, so it is written last, and a document that stands there already
/// means that everything does. `is_entitled` is asked before each write, as in [`write`].
///
/// # Errors
///
/// As [`write`].
pub async fn publish<E: From<ReferenceError>, F>(
    blobs: &Arc<dyn Blobs>,
    at: &BlobPath,
    dataset: &VirtualDataset,
    document: &Bytes,
    is_entitled: impl Fn() -> F + Send + Sync,
) -> Result<bool, E>
where
    F: Future<Output = Result<bool, E>> + Send,
{
    let (condition, replaces) = match blobs.get(at).await {
        Ok((present, _)) if present == *document => return is_entitled().await,
        Ok((_, info)) => (PutCondition::IfMatch(info.etag), true),
        Err(BlobError::NotFound(_)) => (PutCondition::IfAbsent, false),
        Err(error) => return Err(ReferenceError::from(error).into()),
    };
    if !is_entitled().await? {
        return Ok(false);
    }
    let folder = tables::folder(at);
    if wants_tables(dataset) {
        if !tables::put(blobs, &folder, dataset, &is_entitled).await? || !is_entitled().await? {
            return Ok(false);
        }
    } else if replaces {
        let removed = tables::remove_but(blobs, &folder, &BTreeSet::new()).await;
        removed.map_err(ReferenceError::from)?;
    }
    blobs
        .put(at, document.clone(), condition)
        .await
        .map_err(ReferenceError::from)?;
    Ok(true)
}

/// Publishes a draft on the terms of [`publish`]: file by file, none of which is held in memory.
///
/// # Errors
///
/// As [`publish`].
pub async fn publish_draft<E: From<ReferenceError>, F>(
    blobs: &Arc<dyn Blobs>,
    at: &BlobPath,
    draft: &Draft,
    is_entitled: impl Fn() -> F + Send + Sync,
) -> Result<bool, E>
where
    F: Future<Output = Result<bool, E>> + Send,
{
    let store = |error: BlobError| E::from(ReferenceError::from(error));
    let lost = || ReferenceError::Write(std::io::ErrorKind::NotFound.into());
    let document = draft.document().ok_or_else(lost)?;
    let (condition, replaces) = match blobs.head(at).await {
        Ok(info)
            if tables::is_same(blobs, &info, document)
                .await
                .map_err(store)? =>
        {
            return is_entitled().await;
        }
        Ok(info) => (PutCondition::IfMatch(info.etag), true),
        Err(BlobError::NotFound(_)) => (PutCondition::IfAbsent, false),
        Err(error) => return Err(store(error)),
    };
    if !is_entitled().await? {
        return Ok(false);
    }
    let folder = tables::folder(at);
    if let Some(files) = draft.tables() {
        let done = tables::put_files(blobs, &folder, files, &is_entitled).await?;
        if !done || !is_entitled().await? {
            return Ok(false);
        }
    } else if replaces {
        let removed = tables::remove_but(blobs, &folder, &BTreeSet::new()).await;
        removed.map_err(store)?;
    }
    let written = blobs.put_file(at, document, condition).await;
    written.map_err(store)?;
    Ok(true)
}

/// Writes a document to its path, unless it stands there already; `false` if the writer is not entitled any more.
///
/// `is_entitled` is asked between looking at what is there and replacing exactly that: a late writer either learns
/// that it is late, or loses the conditional write to whoever took over (decision 0007).
///
/// # Errors
///
/// [`ReferenceError`], or what `is_entitled` fails with; a lost race is [`BlobError::Changed`] or
/// [`BlobError::Exists`] inside it.
async fn write<E: From<ReferenceError>>(
    blobs: &Arc<dyn Blobs>,
    at: &BlobPath,
    document: &Bytes,
    is_entitled: impl Future<Output = Result<bool, E>> + Send,
) -> Result<bool, E> {
    let condition = match blobs.get(at).await {
        Ok((present, _)) if present == *document => return is_entitled.await,
        Ok((_, info)) => PutCondition::IfMatch(info.etag),
        Err(BlobError::NotFound(_)) => PutCondition::IfAbsent,
        Err(error) => return Err(ReferenceError::from(error).into()),
    };
    if !is_entitled.await? {
        return Ok(false);
    }
    blobs
        .put(at, document.clone(), condition)
        .await
        .map_err(ReferenceError::from)?;
    Ok(true)
}

/// Reads a reference back.
///
/// # Errors
///
/// [`ReferenceError`].
pub async fn load(
    silver: &Arc<dyn Blobs>,
    at: &BlobPath,
) -> Result<VirtualDataset, ReferenceError> {
    let (document, _) = silver.get(at).await?;
    kerchunk::json::read(&document).map_err(|source| ReferenceError::Read {
        path: at.clone(),
        source: Box::new(source),
    })
}

/// What the concat coordinate of a dataset covers; `None` where it has none that is inlined and a CF time.
pub fn time_span(dataset: &VirtualDataset, concat_dim: &str) -> Option<TimeSpan> {
    let instants = virtualize::combine::time_instants(dataset.root.arrays.get(concat_dim)?)?;
    let (first, last) = {
        let by_time = |instant: &&virtualize::cf::Instant| instant.micros();
        (
            *instants.iter().min_by_key(by_time)?,
            *instants.iter().max_by_key(by_time)?,
        )
    };
    let steps = instants
        .windows(2)
        .filter_map(|pair| pair.last()?.micros_since(*pair.first()?));
    Some(TimeSpan {
        first: first.micros(),
        last: last.micros(),
        largest_step: steps.max().unwrap_or(0),
        calendar: first.calendar().name().to_owned(),
        start: first.date_time().to_iso(),
        end: last.date_time().to_iso(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rstest::rstest;
    use virtualize::dataset::{Format, Layout};
    use virtualize::zarr::DataType;
    use virtualize::{ByteRange, ChunkManifest, SourceId, VirtualArray, VirtualGroup};

    use super::*;
    use crate::stores::blobs::LocalBlobs;

    fn dataset(chunks: u64) -> VirtualDataset {
        let rows = (0..chunks).map(|number| (number, ByteRange::new(number, 1)));
        let array = VirtualArray {
            shape: vec![chunks],
            chunk_shape: vec![1],
            data_type: DataType::Bool,
            fill_value: None,
            codecs: Vec::new(),
            dimension_names: vec![String::from("x")],
            attributes: virtualize::dataset::Attributes::new(),
            chunks: ChunkManifest::from_rows(SourceId(0), rows).0,
            layout: Layout::Chunked,
        };
        let mut root = VirtualGroup::default();
        root.arrays.insert(String::from("v"), array);
        VirtualDataset::new(Format::Hdf5, root, chunks)
    }

    struct Silver {
        _folder: tempfile::TempDir,
        blobs: Arc<dyn Blobs>,
        asked: AtomicUsize,
    }

    impl Silver {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let blobs = LocalBlobs::new(folder.path().join("bronze"), folder.path().join("silver"));
            Self {
                _folder: folder,
                blobs: Arc::new(blobs),
                asked: AtomicUsize::new(0),
            }
        }

        /// Publishes with a claim that is lost when it has been asked for so often.
        async fn publish(&self, chunks: u64, entitled: usize) -> bool {
            self.asked.store(0, Ordering::Relaxed);
            let dataset = dataset(chunks);
            let document = render(&dataset).unwrap();
            let is_entitled = || async {
                Ok::<_, ReferenceError>(self.asked.fetch_add(1, Ordering::Relaxed) < entitled)
            };
            let at = self.blobs.silver("refs/v.json");
            publish(&self.blobs, &at, &dataset, &document, is_entitled)
                .await
                .unwrap()
        }

        async fn names(&self) -> Vec<String> {
            let found = self.blobs.list(&self.blobs.silver("refs/")).await.unwrap();
            found.into_iter().map(|info| info.path.blob).collect()
        }
    }

    const ALWAYS: usize = usize::MAX;

    #[tokio::test]
    async fn a_large_reference_has_tables_beside_it() {
        let silver = Silver::new();
        assert!(silver.publish(100_000, ALWAYS).await);
        assert_eq!(silver.names().await, ["refs/v.json"]);
        assert!(silver.publish(200_001, ALWAYS).await);
        let mut expected = vec![
            "refs/v.json",
            "refs/v.parq/.zmetadata",
            "refs/v.parq/v/refs.0.parq",
            "refs/v.parq/v/refs.1.parq",
            "refs/v.parq/v/refs.2.parq",
        ];
        assert_eq!(silver.names().await, expected);
        assert!(silver.publish(200_000, ALWAYS).await);
        expected.pop();
        assert_eq!(
            silver.names().await,
            expected,
            "a table too many is removed"
        );
        assert!(silver.publish(1, ALWAYS).await);
        assert_eq!(silver.names().await, ["refs/v.json"], "they are not of it");
    }

    #[tokio::test]
    async fn the_document_is_written_last_and_by_the_entitled_alone() {
        for entitled in 0..5 {
            let silver = Silver::new();
            assert!(!silver.publish(100_001, entitled).await);
            let names = silver.names().await;
            assert!(!names.contains(&String::from("refs/v.json")), "{names:?}");
            assert_eq!(names.len(), entitled.saturating_sub(1));
        }
        assert!(Silver::new().publish(100_001, 5).await);
    }

    #[rstest]
    #[case("cmip6/tas.nc", "refs/files/acct/bronze/cmip6/tas.json")]
    #[case("tas.nc4", "refs/files/acct/bronze/tas.nc4.json")]
    #[case("a.nc/b.h5", "refs/files/acct/bronze/a.nc/b.h5.json")]
    fn references_mirror_bronze(#[case] blob: &str, #[case] name: &str) {
        assert_eq!(reference_name(&BlobPath::new("acct", "bronze", blob)), name);
    }
}
