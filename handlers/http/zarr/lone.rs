//! One dataset by itself, without a catalogue: what `landfall combine --serve` shows to those who reach its port.
//!
//! | address | is |
//! | --- | --- |
//! | `GET\|HEAD /combined.zarr/{key}` | a key of the dataset as Zarr v2 |
//! | `GET\|HEAD /combined.zarr/~v3/{key}` | a key of the same as Zarr v3 |
//!
//! The statuses mean what they mean for a Release: 404 is the fill value, 410 a source that has changed or gone.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use virtualize::{ByteRange, Source, VirtualDataset};
use warp::http::{HeaderMap, Method};
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::address::{Version, parse_key};
use super::body::{self, About, BINARY, Caching, Content, JSON};
use super::source::source_error;
use super::store::{Entry, Store};
use crate::http::error::{self, ApiError};
use crate::stores::blobs::Sources;

/// Name of the store, the first segment of every path.
pub const NAME: &str = "combined.zarr";

/// A dataset with what reads its sources.
struct Served {
    store: Store,
    by_url: BTreeMap<String, Source>,
    sources: Box<dyn Sources>,
}

/// The routes of one dataset.
pub fn routes(
    dataset: VirtualDataset,
    sources: impl Sources + 'static,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    let of_url = |source: &Source| (source.url.clone(), source.clone());
    let served = Arc::new(Served {
        by_url: dataset.sources.iter().map(of_url).collect(),
        store: Store::new(dataset),
        sources: Box::new(sources),
    });
    warp::path(NAME)
        .and(warp::get().or(warp::head()).unify())
        .and(warp::path::full())
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .then(move |path: FullPath, method: Method, headers: HeaderMap| {
            let served = Arc::clone(&served);
            async move {
                let answered = served.answer(path.as_str(), &method, &headers).await;
                answered.unwrap_or_else(|error| error.into_answer().into_response())
            }
        })
        .recover(error::recover)
}

/// What a key stands for.
enum Found<'a> {
    Held(Bytes, &'static str),
    Lying(&'a Source, ByteRange),
}

impl Served {
    async fn answer(
        &self,
        path: &str,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let below = path.trim_start_matches('/').strip_prefix(NAME);
        let below = below.and_then(|rest| rest.strip_prefix('/'));
        let (version, key) = parse_key(below.unwrap_or_default())?;
        let found = self.find(version, &key)?;
        let about = found.about(&key);
        let read = |part| self.read(&found, part);
        let answer = about.answer_to(method, headers, self.check(&found), read);
        answer.await
    }

    fn find(&self, version: Version, key: &str) -> Result<Found<'_>, ApiError> {
        match self.store.find(version, key) {
            Entry::Metadata(bytes) => Ok(Found::Held(bytes, JSON)),
            Entry::Inline(bytes) => Ok(Found::Held(bytes, BINARY)),
            Entry::Virtual(chunk) => {
                let source = self.by_url.get(&chunk.url);
                let source = source.ok_or_else(|| ApiError::internal("a chunk has no source"))?;
                Ok(Found::Lying(source, chunk.range))
            }
            Entry::Document | Entry::Picture => Err(ApiError::not_found("there is no such key")),
            Entry::Absent(reason) => Err(ApiError::not_found(reason)),
            Entry::Refused(reason) => Err(ApiError::gone(reason)),
        }
    }

    async fn check(&self, found: &Found<'_>) -> Result<(), ApiError> {
        match found {
            Found::Held(..) => Ok(()),
            Found::Lying(source, _) => {
                let opened = self.sources.open(source).await;
                opened.map(drop).map_err(source_error)
            }
        }
    }

    async fn read(&self, found: &Found<'_>, part: Range<u64>) -> Result<Content, ApiError> {
        let (source, range) = match found {
            Found::Held(bytes, _) => return Ok(Content::Whole(body::part_of(bytes, &part))),
            Found::Lying(source, range) => (source, range),
        };
        let start = range.start.saturating_add(part.start);
        let range = ByteRange::new(start, part.end.saturating_sub(part.start));
        let file = self.sources.open(source).await.map_err(source_error)?;
        let parts = file.ranges(&[range]).await.map_err(source_error)?;
        let missing = "a source answered without the range it was asked for";
        let part = parts.into_iter().next().map(Content::Whole);
        part.ok_or_else(|| ApiError::internal(missing))
    }
}

impl Found<'_> {
    fn about(&self, key: &str) -> About {
        let (etag, media_type, length) = match self {
            Self::Held(bytes, media_type) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                (body::etag_of(bytes), *media_type, length)
            }
            Self::Lying(source, range) => {
                let version = source.etag.as_deref().unwrap_or_default();
                let place = format!("{key}/{}/{version}/{range:?}", source.url);
                (body::etag_of(place.as_bytes()), BINARY, range.len)
            }
        };
        About {
            etag,
            media_type,
            length,
            // Another dataset may be under the same address tomorrow.
            caching: Caching::Never,
        }
    }
}
