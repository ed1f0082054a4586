//! Kerchunk references with Zarr v2 metadata: JSON version 1, and Parquet. SPEC §5.
//!
//! A reference set maps the keys of a Zarr store to the store's own bytes (metadata, inlined chunks) or to a
//! range of another file. How a set looks is the matter of [`json`], one document, and [`parquet`], a directory of
//! tables that readers open one by one; what goes into either comes from [`zarr`](crate::zarr).

mod extra;
mod hierarchy;
pub mod json;
mod metadata;
pub mod parquet;
#[cfg(test)]
mod sample;
mod sources;

/// Why a reference document cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KerchunkError {
    /// The bytes are no JSON, or JSON of another shape.
    #[error("not a kerchunk document")]
    Json(#[source] serde_json::Error),
    /// The document is of a version that is not read here.
    #[error("kerchunk version {0} is not supported, only 0 and 1 are")]
    Version(u64),
    /// The references are to be computed from a recipe.
    #[error("unsupported: kerchunk `{0}`; write the references out in full")]
    Recipe(&'static str),
    /// A file of a set cannot be had.
    #[error("could not read `{name}`")]
    Fetch {
        /// Its name inside the set.
        name: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A table of a set is not what it should be.
    #[error("`{name}` is not a table of references")]
    Table {
        /// Its name inside the set.
        name: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A metadata document cannot be used.
    #[error("metadata `{key}`: {problem}")]
    Metadata {
        /// Key of the document.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A chunk's entry cannot be used.
    #[error("chunk `{key}`: {problem}")]
    Chunk {
        /// Key of the chunk.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl KerchunkError {
    pub(crate) fn metadata(key: &str, problem: impl Into<String>) -> Self {
        Self::Metadata {
            key: key.to_owned(),
            problem: problem.into(),
        }
    }

    pub(crate) fn chunk(key: &str, problem: impl Into<String>) -> Self {
        Self::Chunk {
            key: key.to_owned(),
            problem: problem.into(),
        }
    }
}

/// The path of a child; the root's path is empty.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}/{name}")
    }
}
