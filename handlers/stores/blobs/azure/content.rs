//! What is written: bytes at hand, or a file that is read piece by piece.

use std::io::SeekFrom;
use std::path::PathBuf;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use virtualize::ByteRange;

use crate::stores::azure::Problem;

/// The bytes of one blob.
#[derive(Debug)]
pub(super) enum Content {
    Bytes(Bytes),
    /// A file and its length.
    File(PathBuf, u64),
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::File(_, length) => *length,
        }
    }

    /// A range that lies inside.
    pub(super) async fn piece(&self, range: ByteRange) -> Result<Bytes, Problem> {
        let fail = |error: std::io::Error| Problem::Draft(error.to_string());
        let index = |at: u64| usize::try_from(at).map_err(|_| Problem::OutOfRange);
        match self {
            Self::Bytes(bytes) => {
                let (start, end) = (index(range.start)?, index(range.end())?);
                let is_inside = start <= end && end <= bytes.len();
                is_inside
                    .then(|| bytes.slice(start..end))
                    .ok_or(Problem::OutOfRange)
            }
            Self::File(file, _) => {
                let mut file = tokio::fs::File::open(file).await.map_err(fail)?;
                file.seek(SeekFrom::Start(range.start))
                    .await
                    .map_err(fail)?;
                let mut piece = vec![0; index(range.len)?];
                file.read_exact(&mut piece).await.map_err(fail)?;
                Ok(piece.into())
            }
        }
    }
}
