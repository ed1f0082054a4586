//! The served stores: combined datasets, and the references of single files, as plain read-only Zarr over HTTP. SPEC §9.
//!
//! | address | is |
//! | --- | --- |
//! | `GET\|HEAD /api/zarr/{release_id}/r{revision}/{key}` | a key of a Zarr v2 store (`.zmetadata`, `tas/0.0.1`), `combined.json`, or `thumbnail.png` |
//! | `…/r{revision}/~v3/{key}` | a key of the same as Zarr v3 (`zarr.json`, `tas/c/0/0/1`) |
//! | `…/r{revision}/~{token}/…` | either with a read token |
//! | `GET\|HEAD /api/zarr/files/{file}/{etag}/…` | the reference of one version of one file, in either form |
//! | `POST /api/releases/{release_id}/token` | makes an address with a token, see [`grant`] |
//!
//! Metadata and inlined chunks come from the stored document, any other chunk is one ranged read of its source, pinned
//! to the version that was referenced. 404 means a key that the manifest does not have, which readers take for the fill
//! value; everything else that cannot be answered is 401, 410 or 503, which they do not.

mod access;
mod address;
mod body;
mod cache;
pub mod grant;
mod lone;
mod source;
mod store;
pub(crate) mod token;

use std::sync::Arc;

use bytes::Bytes;
use warp::http::{HeaderMap, Method};
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

use super::App;
use super::error::ApiError;
use crate::catalog::quicklook;
use crate::stores::blobs::{BlobError, BlobPath};
use access::{Permit, authorize, permit};
use address::{Address, Place};
use body::{About, BINARY, Caching, Content, JSON, PNG};
use source::Lying;
use store::Entry;

pub(super) use body::{etag_of, is_known};
pub use cache::Stores;
pub use lone::{NAME, routes as lone_routes};

/// The routes of the served stores.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let cors_origin = app.config.http.cors_origin.clone();
    let preflight = warp::path!("api" / "zarr" / ..)
        .and(warp::options())
        .map(body::preflight);
    warp::path!("api" / "zarr" / ..)
        .and(warp::get().or(warp::head()).unify())
        .and(warp::path::full())
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(super::with(app))
        .then(
            |path: FullPath, method: Method, headers: HeaderMap, app: Arc<App>| async move {
                let answered = serve(&app, path.as_str(), &method, &headers).await;
                answered.unwrap_or_else(|error| error.into_answer().into_response())
            },
        )
        .or(preflight)
        .unify()
        .map(move |answer: Response| body::with_cors(answer, cors_origin.as_deref()))
}

async fn serve(
    app: &App,
    path: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let address = Address::parse(path)?;
    let permit = authorize(app, &address, headers).await?;
    let store = app.stores.get(app, &address.place, &permit).await?;
    let entry = store.find(address.version, &address.key);
    let resource = Resource::of(app, &address, &permit, entry).await?;
    resource.answer_to(app, method, headers).await
}

/// The picture of a revision, for somebody who was let in by another door: the key of the API. The path is that of the
/// revision below `/api/zarr/`.
pub(super) async fn serve_picture(
    app: &App,
    revision: &str,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let address = Address::parse(&format!("/api/zarr/{revision}/{}", quicklook::FILE))?;
    let permit = permit(app, &address).await?;
    let resource = Resource::of(app, &address, &permit, Entry::Picture).await?;
    resource.answer_to(app, &Method::GET, headers).await
}

/// The picture of a revision. There need not be one.
async fn picture(app: &App, permit: &Permit) -> Result<Lying, ApiError> {
    let absent = || ApiError::not_found("there is no picture of this dataset");
    let document = permit.document.as_ref().ok_or_else(absent)?;
    let folder = document.blob.rsplit_once('/').ok_or_else(absent)?.0;
    let at = BlobPath {
        blob: format!("{folder}/{}", quicklook::FILE),
        ..document.clone()
    };
    match app.blobs.head(&at).await {
        Err(BlobError::NotFound(_)) => Err(absent()),
        _ => Lying::document(app, &at).await,
    }
}

/// What a key stands for, ready to be sent.
struct Resource {
    about: About,
    origin: Origin,
}

enum Origin {
    Held(Bytes),
    Chunk(Lying),
    Document(Lying),
}

impl Resource {
    async fn of(
        app: &App,
        address: &Address,
        permit: &Permit,
        entry: Entry,
    ) -> Result<Self, ApiError> {
        let (origin, version, media_type) = match entry {
            Entry::Metadata(bytes) => (Origin::Held(bytes), String::new(), JSON),
            Entry::Inline(bytes) => (Origin::Held(bytes), String::new(), BINARY),
            Entry::Virtual(chunk) => {
                let version = chunk.etag.clone();
                (Origin::Chunk(Lying::chunk(app, chunk)?), version, BINARY)
            }
            Entry::Document => {
                let at = permit.document.as_ref();
                let at = at.ok_or_else(|| ApiError::not_found("there is no such key"))?;
                let lying = Lying::document(app, at).await?;
                (Origin::Document(lying), String::new(), JSON)
            }
            Entry::Picture => {
                let lying = picture(app, permit).await?;
                (Origin::Document(lying), String::new(), PNG)
            }
            Entry::Absent(reason) => return Err(ApiError::not_found(reason)),
            Entry::Refused(reason) => return Err(ApiError::gone(reason)),
        };
        let about = About {
            etag: etag(address, &version, &origin),
            media_type,
            length: origin.length(),
            caching: match permit.is_open {
                true => Caching::ForAll,
                false => Caching::ForOne,
            },
        };
        Ok(Self { about, origin })
    }

    async fn answer_to(
        &self,
        app: &App,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let read = |part| self.read(app, part);
        let answer = self.about.answer_to(method, headers, self.check(app), read);
        answer.await
    }

    /// Says that the bytes are there.
    async fn check(&self, app: &App) -> Result<(), ApiError> {
        match &self.origin {
            Origin::Chunk(lying) => lying.check(app).await,
            Origin::Held(_) | Origin::Document(_) => Ok(()),
        }
    }

    async fn read(&self, app: &App, part: std::ops::Range<u64>) -> Result<Content, ApiError> {
        match &self.origin {
            Origin::Chunk(lying) | Origin::Document(lying) => lying.read(app, part).await,
            Origin::Held(bytes) => Ok(Content::Whole(body::part_of(bytes, &part))),
        }
    }
}

impl Origin {
    fn length(&self) -> u64 {
        match self {
            Self::Held(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Chunk(lying) | Self::Document(lying) => lying.length(),
        }
    }
}

/// What is held here is known by its bytes, since another version of this program may render it otherwise; the rest by
/// its address and the version of its source.
fn etag(address: &Address, version: &str, origin: &Origin) -> String {
    if let Origin::Held(bytes) = origin {
        return body::etag_of(bytes);
    }
    let place = match &address.place {
        Place::Revision {
            release_id,
            revision,
        } => format!("{release_id}/r{revision}"),
        Place::File { id, etag } => format!("files/{id}/{etag}"),
    };
    let key = &address.key;
    body::etag_of(format!("{place}/{:?}/{key}/{version}", address.version).as_bytes())
}
