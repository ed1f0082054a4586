//! One file looked at for somebody who asks, synchronously: nothing is recorded and nothing is written.

use std::sync::Arc;

use bytes::Bytes;
use virtualize::{DecodeOptions, VirtualDataset};

use super::{Pipeline, PipelineError};
use crate::read::{self, IoCount, ReadError, ReadPolicy};
use crate::reference;
use crate::stores::blobs::{
    BlobError, BlobPath, HttpFile, HttpUrl, PinnedBlob, PublicWeb, RangeSource,
};
use crate::stores::ledger::Fault;
use crate::validate;

/// The file that somebody asks about.
#[derive(Debug, Clone)]
pub enum Asked {
    /// A blob of ours to read.
    Blob(BlobPath),
    /// A file on a web server that may be asked.
    Web(HttpUrl),
}

/// What a look at a file came to.
#[derive(Debug)]
pub enum Looked {
    /// It was read.
    Read(Box<VirtualDataset>, IoCount),
    /// The file is at fault.
    AtFault(Fault),
}

impl Pipeline {
    /// Reads the metadata of one file.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Blob`] where it cannot be reached.
    pub async fn look(
        &self,
        asked: &Asked,
        web: &PublicWeb,
        options: DecodeOptions,
    ) -> Result<Looked, PipelineError> {
        // Those who ask wait in the same line as files that land.
        let _permit = self.reading.acquire().await;
        let policy = ReadPolicy::for_reads(self.blobs.is_local());
        let source: Box<dyn RangeSource> = match asked {
            Asked::Blob(path) => {
                let blobs = Arc::clone(&self.blobs);
                Box::new(PinnedBlob::open(blobs, path, None, policy.head, policy.tail).await?)
            }
            Asked::Web(url) => {
                let client = web.client(url).map_err(BlobError::from)?;
                let opened = HttpFile::open(client, url.clone(), policy.head, policy.tail).await;
                Box::new(opened.map_err(BlobError::from)?)
            }
        };
        match read::read_metadata(source.as_ref(), options, policy).await {
            Ok((dataset, io)) => Ok(Looked::Read(Box::new(dataset), io)),
            Err(ReadError::Fetch(error)) => Err(error.into()),
            Err(error) => validate::fault_of(&error).map_or_else(
                || Ok(Looked::AtFault(unreadable(&error))),
                |fault| Ok(Looked::AtFault(fault)),
            ),
        }
    }

    /// The kerchunk document of a dataset.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Reference`] when it cannot be written.
    pub fn document(dataset: &VirtualDataset) -> Result<Bytes, PipelineError> {
        Ok(reference::render(dataset)?)
    }
}

fn unreadable(error: &ReadError) -> Fault {
    Fault {
        code: String::from("unreadable"),
        message: super::chain(error),
        remediation: None,
    }
}
