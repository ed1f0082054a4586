//! Reads the reference that is to be verified, from here or from a web server.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use virtualize::kerchunk::{KerchunkError, json, parquet};
use virtualize::{ByteRange, VirtualDataset};

use crate::cli::failure::Failure;
use crate::cli::{input, parquet as folder};
use crate::stores::blobs::{BlobError, HttpUrl, Named, NamedSources, RangeSource};

/// Bytes of a document that are fetched by one request.
const AHEAD: u64 = 8 << 20;

/// The dataset that a reference describes.
pub(super) async fn read(
    reference: &Path,
    sources: &NamedSources,
) -> Result<VirtualDataset, Failure> {
    let named = Named::parse(reference);
    let named = named.map_err(|error| Failure::rejected("address_invalid", error.to_string()))?;
    let invalid = |error: KerchunkError| {
        let message = format!("{named}: {}", crate::pipeline::chain(&error));
        Failure::rejected("reference_invalid", message)
    };
    match &named {
        Named::File(file) if folder::is_set(file) => {
            crate::reference::read_tables(file).map_err(invalid)
        }
        Named::File(file) => {
            let bytes = tokio::fs::read(file).await.map_err(|error| {
                let message = format!("{}: {error}", file.display());
                let code = match error.kind() {
                    io::ErrorKind::NotFound => "not_found",
                    _ => "read_failed",
                };
                Failure::failed(code, &io::Error::other(message))
            })?;
            json::read(&bytes).map_err(invalid)
        }
        Named::Url(url) if is_folder(url) => tables(url, sources).map_err(invalid),
        Named::Url(_) => {
            let bytes = whole(&named, sources).await;
            let bytes = bytes.map_err(|error| input::failure(&named, &error.into()))?;
            json::read(&bytes).map_err(invalid)
        }
    }
}

/// Whether an address is meant as that of a folder of tables.
fn is_folder(url: &HttpUrl) -> bool {
    let address = url.to_string();
    let name = address.trim_end_matches('/');
    name.ends_with(".parq") || name.ends_with(".parquet")
}

/// The tables are asked for one by one, as the reader meets them.
fn tables(url: &HttpUrl, sources: &NamedSources) -> Result<VirtualDataset, KerchunkError> {
    let base = url.to_string();
    let base = base.trim_end_matches('/');
    parquet::read(|name| {
        let file = Named::parse(Path::new(&format!("{base}/{name}"))).map_err(io::Error::other)?;
        let read = || Handle::current().block_on(whole(&file, sources));
        match tokio::task::block_in_place(read) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    })
}

/// All bytes of a file on a web server.
async fn whole(file: &Named, sources: &NamedSources) -> Result<Bytes, BlobError> {
    let source: Arc<dyn RangeSource> = sources.open_now(file, AHEAD, 1).await?;
    let length = source.describe().length;
    let opened = source.opened().parts.into_iter().next();
    let head = opened.map(|(_, bytes)| bytes).unwrap_or_default();
    let have = u64::try_from(head.len()).unwrap_or(u64::MAX);
    if have >= length {
        return Ok(head);
    }
    let rest = source
        .ranges(&[ByteRange::new(have, length - have)])
        .await?;
    let parts: Vec<Bytes> = std::iter::once(head).chain(rest).collect();
    Ok(Bytes::from(parts.concat()))
}
