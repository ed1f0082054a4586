//! Kerchunk references: JSON version 1 with Zarr v2 metadata. SPEC §5.
//!
//! A reference document maps the keys of a Zarr store to the store's own bytes (metadata, inlined chunks) or to a
//! range of another file. How the documents look is [`json`]'s matter; what goes into them comes from
//! [`zarr`](crate::zarr).

pub mod json;

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
