//! Reads the reference that is to be verified, from here, from a web server or from a storage account.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use virtualize::kerchunk::{KerchunkError, json, parquet};
use virtualize::{ByteRange, VirtualDataset};

use crate::cli::failure::Failure;
use crate::cli::{input, parquet as folder};
use crate::config::NamingConfig;
use crate::stores::blobs::{
    BlobError, HttpUrl, Named, NamedSources, ParseHttpUrlError, RangeSource,
};

/// Bytes of a document that are fetched by one request.
const AHEAD: u64 = 8 << 20;

/// The dataset that a reference describes.
pub(super) async fn read(
    reference: &Path,
    config: &NamingConfig,
    sources: &NamedSources,
) -> Result<VirtualDataset, Failure> {
    let named = Named::parse(reference, config);
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
        remote if is_folder(remote) => tables(remote, sources).map_err(invalid),
        remote => {
            let bytes = whole(remote, sources).await;
            let bytes = bytes.map_err(|error| input::failure(remote, &error.into()))?;
            json::read(&bytes).map_err(invalid)
        }
    }
}

/// Whether an address is meant as that of a folder of tables.
fn is_folder(remote: &Named) -> bool {
    let address = remote.to_string();
    let name = address.trim_end_matches('/');
    name.ends_with(".parq") || name.ends_with(".parquet")
}

/// The tables are asked for one by one, as the reader meets them.
fn tables(folder: &Named, sources: &NamedSources) -> Result<VirtualDataset, KerchunkError> {
    parquet::read(|name| {
        let file = inside(folder, name).map_err(io::Error::other)?;
        let read = || Handle::current().block_on(whole(&file, sources));
        match tokio::task::block_in_place(read) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    })
}

/// A file in a folder.
fn inside(folder: &Named, name: &str) -> Result<Named, ParseHttpUrlError> {
    Ok(match folder {
        Named::File(folder) => Named::File(folder.join(name)),
        Named::Blob(folder) => {
            let blob = format!("{}/{name}", folder.blob.trim_end_matches('/'));
            Named::Blob(folder.sibling(blob))
        }
        Named::Url(folder) => {
            let folder = folder.to_string();
            Named::Url(HttpUrl::parse(&format!(
                "{}/{name}",
                folder.trim_end_matches('/')
            ))?)
        }
    })
}

/// All bytes of a file that is elsewhere.
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
