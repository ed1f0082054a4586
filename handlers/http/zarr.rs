//! The served stores: combined datasets as plain read-only Zarr v2 over HTTP. SPEC §9.
//!
//! `GET|HEAD /api/zarr/{release_id}/r{revision}/{key}`. Metadata and inlined chunks come from the stored document of
//! the revision, any other chunk is one ranged read of its source, pinned to the version that was referenced.
//! 404 means a key that the manifest does not have, which readers take for the fill value; everything else that
//! cannot be answered is 401, 410 or 503, which they do not.

mod address;
mod body;
mod store;

use std::sync::Arc;

use bytes::Bytes;
use warp::http::{HeaderMap, Method};
use warp::path::FullPath;
use warp::{Filter, Rejection, Reply};

use super::App;
use super::error::{Answer, ApiError, answer};
use crate::stores::blobs::{BlobError, BlobPath};
use address::Address;
use body::{BINARY, Body, JSON};
use store::{Entry, VirtualChunk};

pub use store::Stores;

/// The routes of the served stores.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let cors_origin = app.config.http.cors_origin.clone();
    warp::path!("api" / "zarr" / ..)
        .and(warp::get().or(warp::head()).unify())
        .and(warp::path::full())
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(super::with(app))
        .then(
            |path: FullPath, method: Method, headers: HeaderMap, app: Arc<App>| async move {
                answer(serve(&app, path.as_str(), &method, &headers).await)
            },
        )
        .map(move |answer: Answer| body::with_cors(answer, cors_origin.as_deref()))
}

async fn serve(
    app: &App,
    path: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Answer, ApiError> {
    let address = Address::parse(path)?;
    let at = authorize(app, &address).await?;
    let found = app.stores.get(app, &address, &at).await?.find(&address.key);
    if let Entry::Absent(reason) = found {
        return Err(ApiError::not_found(reason));
    }
    let Address {
        release_id,
        revision,
        key,
    } = &address;
    let etag = body::etag_of(&format!(
        "{release_id}/r{revision}/{key}/{}",
        found.source_version()
    ));
    if body::is_known(headers, &etag) {
        return Ok(body::not_modified(&etag));
    }
    if method == Method::HEAD {
        return Ok(measure(app, found, &at).await?.into_head(&etag));
    }
    Ok(read(app, found, &at).await?.into_answer(headers, &etag))
}

/// Where the document of a revision lies, if it may be read at all.
async fn authorize(app: &App, address: &Address) -> Result<BlobPath, ApiError> {
    let not_there = || ApiError::gone("this revision is not, or no longer, published");
    let revision = app
        .ledger
        .revision(&address.release_id, address.revision)
        .await?;
    let revision = revision
        .filter(|revision| revision.is_live)
        .ok_or_else(not_there)?;
    if !app.config.http.open_access {
        let release = app
            .ledger
            .release(&address.release_id)
            .await?
            .ok_or_else(not_there)?;
        if release.approval_state != "approved" || release.clearance_state != "public" {
            return Err(ApiError::unauthorized("this Release is not public"));
        }
    }
    Ok(app.blobs.silver(&revision.blob_path))
}

/// The bytes of an entry.
async fn read(app: &App, entry: Entry, at: &BlobPath) -> Result<Body, ApiError> {
    Ok(match entry {
        Entry::Metadata(bytes) => Body::new(bytes, JSON),
        Entry::Inline(bytes) => Body::new(bytes, BINARY),
        Entry::Document => Body::new(
            app.blobs.get(at).await.map_err(store::document_error)?.0,
            JSON,
        ),
        Entry::Virtual(chunk) => Body::new(read_source(app, &chunk).await?, BINARY),
        Entry::Absent(reason) => return Err(ApiError::not_found(reason)),
    })
}

/// The length of an entry; of a source no byte is read, but its version is checked.
async fn measure(app: &App, entry: Entry, at: &BlobPath) -> Result<Body, ApiError> {
    Ok(match entry {
        Entry::Document => {
            let info = app.blobs.head(at).await.map_err(store::document_error)?;
            Body::length_only(info.length, JSON)
        }
        Entry::Virtual(chunk) => {
            check_source(app, &chunk).await?;
            Body::length_only(chunk.range.len, BINARY)
        }
        entry => return read(app, entry, at).await,
    })
}

/// One ranged read of the version that was referenced.
async fn read_source(app: &App, chunk: &VirtualChunk) -> Result<Bytes, ApiError> {
    let path = source_path(app, chunk)?;
    let parts = app
        .blobs
        .get_ranges(&path, &chunk.etag, &[chunk.range])
        .await
        .map_err(source_error)?;
    parts
        .into_iter()
        .next()
        .ok_or_else(|| ApiError::internal("a store answered without the range it was asked for"))
}

async fn check_source(app: &App, chunk: &VirtualChunk) -> Result<(), ApiError> {
    let path = source_path(app, chunk)?;
    let info = app.blobs.head(&path).await.map_err(source_error)?;
    if info.etag == chunk.etag {
        Ok(())
    } else {
        Err(source_error(BlobError::Changed(path)))
    }
}

fn source_path(app: &App, chunk: &VirtualChunk) -> Result<BlobPath, ApiError> {
    let path = app.blobs.path_of(&chunk.url);
    path.ok_or_else(|| ApiError::gone("the source file of this chunk is out of reach"))
}

/// The status of the source is never passed on: a 404 would read as fill values.
fn source_error(error: BlobError) -> ApiError {
    match error {
        BlobError::NotFound(path) => {
            ApiError::gone(format!("the source file {} is gone", path.short()))
        }
        BlobError::NoContainer(_) => ApiError::gone("the container of the source file is gone"),
        BlobError::Changed(path) | BlobError::OutOfRange { path, .. } => ApiError::gone(format!(
            "the source file {} has changed since it was referenced",
            path.short()
        )),
        error => ApiError::unavailable(error),
    }
}
