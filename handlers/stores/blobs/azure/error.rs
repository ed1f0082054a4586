//! Refusals of the service as errors of blobs.

use std::io;

use azure_core::time::OffsetDateTime;
use jiff::Timestamp;

use crate::stores::azure::{AccessRefused, Missing, Problem, Refusal};
use crate::stores::blobs::{BlobError, BlobPath};

/// What was tried, which decides the role that it needs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Doing {
    Read,
    Write,
}

impl Doing {
    const fn role(self) -> &'static str {
        match self {
            Self::Read => "Storage Blob Data Reader",
            Self::Write => "Storage Blob Data Contributor",
        }
    }

    pub(super) fn failed(self, path: &BlobPath, refusal: Refusal) -> BlobError {
        let at = path.clone();
        match refusal.problem {
            Problem::NotFound(Missing::Container) => BlobError::NoContainer(at.container),
            Problem::NotFound(_) => BlobError::NotFound(at),
            Problem::Changed => BlobError::Changed(at),
            Problem::Exists => BlobError::Exists(at),
            Problem::OutOfRange => BlobError::OutOfRange {
                path: at,
                start: 0,
                len: 0,
            },
            Problem::Denied { status, code } => {
                let BlobPath {
                    account, container, ..
                } = path;
                let role = self.role();
                let wanted = format!("`{role}` on {account}, or on its container {container}");
                let refused = AccessRefused::new(status, code, wanted);
                BlobError::Denied {
                    path: at,
                    source: io::Error::new(io::ErrorKind::PermissionDenied, refused),
                }
            }
            problem if problem.is_transient() => BlobError::Unavailable {
                path: at,
                source: io::Error::other(problem),
            },
            problem => BlobError::Denied {
                path: at,
                source: io::Error::other(problem),
            },
        }
    }
}

/// A version without its quotes.
pub(super) fn bare(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

pub(super) fn timestamp(time: OffsetDateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.unix_timestamp()).ok()
}
