//! `/api/stac…`: what approval has published, as pgSTAC holds it. SPEC §8.
//!
//! | route | answer |
//! | --- | --- |
//! | `GET /api/stac` | the catalogue, a STAC API landing page; also where there is no pgSTAC, and then it says so |
//! | `GET /api/stac/conformance` | `{conformsTo}` |
//! | `GET /api/stac/collections?limit=&token=` | `{collections, links, numberReturned}` |
//! | `GET /api/stac/collections/{c}` | the collection |
//! | `GET /api/stac/collections/{c}/items?limit=&token=` | `{type: "FeatureCollection", features, links, numberReturned}` |
//! | `GET /api/stac/collections/{c}/items/{i}` | the item |
//!
//! `limit` is 10 unless it is given, and 1000 at most; `token` is what the link `next` carries. Documents come
//! without the envelope, errors with `code` and `description` beside its fields. Links that tell where a document is are
//! made here, so that they are right under the address that the app has now.

use std::collections::HashMap;
use std::sync::Arc;

use percent_encoding::NON_ALPHANUMERIC;
use serde_json::{Value, json};
use warp::http::{HeaderValue, StatusCode, header};
use warp::{Filter, Rejection, Reply};

use super::App;
use super::error::{Answer, ApiError, json_answer};
use crate::catalog::published::Addresses;
use crate::stores::ledger::{StacPage, StacWindow};

/// Documents on a page, unless another number is asked for.
const LIMIT: u32 = 10;

/// Most documents on a page.
const MOST: u32 = 1000;

const JSON: &str = "application/json";
const GEOJSON: &str = "application/geo+json";

/// What the routes keep to.
const CONFORMS_TO: [&str; 4] = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
];

/// Relations that are made anew for every answer.
const MADE: [&str; 5] = ["self", "root", "parent", "collection", "items"];

type Query = HashMap<String, String>;

/// The routes.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let get = move || warp::get().and(super::with(Arc::clone(&app)));
    let landing = warp::path!("api" / "stac")
        .and(get())
        .then(|app: Arc<App>| async move { reply(landing(&app).await, JSON) });
    let conformance = warp::path!("api" / "stac" / "conformance")
        .and(warp::get())
        .map(|| reply(Ok(json!({"conformsTo": CONFORMS_TO})), JSON));
    let collections =
        warp::path!("api" / "stac" / "collections")
            .and(get())
            .and(warp::query::<Query>())
            .then(|app: Arc<App>, query: Query| async move {
                reply(collections(&app, &query).await, JSON)
            });
    let collection = warp::path!("api" / "stac" / "collections" / String)
        .and(get())
        .then(|id: String, app: Arc<App>| async move {
            reply(collection(&app, &decoded(&id)).await, JSON)
        });
    let items = warp::path!("api" / "stac" / "collections" / String / "items")
        .and(get())
        .and(warp::query::<Query>())
        .then(|id: String, app: Arc<App>, query: Query| async move {
            reply(items(&app, &decoded(&id), &query).await, GEOJSON)
        });
    let item = warp::path!("api" / "stac" / "collections" / String / "items" / String)
        .and(get())
        .then(|collection: String, id: String, app: Arc<App>| async move {
            reply(
                item(&app, &decoded(&collection), &decoded(&id)).await,
                GEOJSON,
            )
        });
    landing
        .or(conformance)
        .unify()
        .or(collections)
        .unify()
        .or(collection)
        .unify()
        .or(items)
        .unify()
        .or(item)
        .unify()
}

/// A document as it is; an error in the words of both STAC and this API.
fn reply(result: Result<Value, ApiError>, media_type: &'static str) -> Answer {
    match result {
        Ok(document) => {
            let mut answer = json_answer(StatusCode::OK, &document);
            let media_type = HeaderValue::from_static(media_type);
            answer
                .headers_mut()
                .insert(header::CONTENT_TYPE, media_type);
            answer
        }
        Err(error) => error.in_words_of_stac().into_answer(),
    }
}

async fn landing(app: &App) -> Result<Value, ApiError> {
    let root = root(app);
    let mut document = json!({
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "landfall",
        "title": "Landfall",
        "description": "Virtual Zarr datasets: NetCDF files, read where they lie",
        "conformsTo": CONFORMS_TO,
        "links": [
            {"rel": "self", "href": root, "type": JSON},
            {"rel": "root", "href": root, "type": JSON},
            {"rel": "conformance", "href": format!("{root}/conformance"), "type": JSON},
            {"rel": "data", "href": format!("{root}/collections"), "type": JSON},
            {
                "rel": "service-desc",
                "href": format!("{}/api/openapi.json", app.config.http.public_url),
                "type": "application/vnd.oai.openapi+json;version=3.1",
            },
        ],
    });
    if !app.ledger.has_catalogue().await?
        && let Some(fields) = document.as_object_mut()
    {
        fields.insert(String::from("landfall:catalogue"), json!("absent"));
    }
    Ok(document)
}

async fn collections(app: &App, query: &Query) -> Result<Value, ApiError> {
    let window = window(query)?;
    let page = present(app.ledger.stac_collections(&window).await?)?;
    let own = format!("{}/collections", root(app));
    let links = paging(app, &own, &window, page.next.as_deref(), JSON);
    let documents = page.documents.into_iter();
    let documents: Vec<Value> = documents.map(|found| with_links(app, found)).collect();
    Ok(json!({"numberReturned": documents.len(), "collections": documents, "links": links}))
}

async fn collection(app: &App, id: &str) -> Result<Value, ApiError> {
    let page = present(app.ledger.stac_collection(id).await?)?;
    let found = page.documents.into_iter().next();
    let found =
        found.ok_or_else(|| ApiError::not_found(format!("there is no collection `{id}`")))?;
    Ok(with_links(app, found))
}

async fn items(app: &App, id: &str, query: &Query) -> Result<Value, ApiError> {
    let window = window(query)?;
    collection(app, id).await?;
    let page = present(app.ledger.stac_items(id, &window).await?)?;
    let own = format!("{}/items", addresses(app).collection(id));
    let mut links = paging(app, &own, &window, page.next.as_deref(), GEOJSON);
    links.push(json!({"rel": "collection", "href": addresses(app).collection(id), "type": JSON}));
    let documents = page.documents.into_iter();
    let documents: Vec<Value> = documents.map(|found| with_links(app, found)).collect();
    Ok(json!({
        "type": "FeatureCollection", "numberReturned": documents.len(), "features": documents, "links": links,
    }))
}

async fn item(app: &App, collection: &str, id: &str) -> Result<Value, ApiError> {
    let page = present(app.ledger.stac_item(collection, id).await?)?;
    let found = page.documents.into_iter().next().ok_or_else(|| {
        ApiError::not_found(format!(
            "there is no item `{id}` in the collection `{collection}`"
        ))
    })?;
    Ok(with_links(app, found))
}

/// What the catalogue holds, or the answer that there is none.
fn present(found: Option<StacPage>) -> Result<StacPage, ApiError> {
    found.ok_or_else(|| {
        ApiError::not_found(
            "there is no STAC catalogue beside this app's database: install pgSTAC 0.9.8 or newer in it, then publish \
             what is approved with `landfall approve --rematerialize`",
        )
        .with("catalogue", json!("absent"))
    })
}

fn window(query: &Query) -> Result<StacWindow, ApiError> {
    let known = ["limit", "token", "code"];
    if let Some(name) = query.keys().find(|name| !known.contains(&name.as_str())) {
        let message = format!("there is no parameter `{name}`");
        return Err(
            ApiError::validation(message).with("valid_parameters", json!(["limit", "token"]))
        );
    }
    let limit = query.get("limit").map_or(Ok(LIMIT), |text| text.parse());
    let limit = limit.ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| ApiError::validation("limit is a whole number from 1"))?;
    Ok(StacWindow {
        limit: limit.min(MOST),
        after: query.get("token").cloned(),
    })
}

/// Links of a part of a list.
fn paging(
    app: &App,
    own: &str,
    window: &StacWindow,
    next: Option<&str>,
    media_type: &str,
) -> Vec<Value> {
    let mut links = vec![
        json!({"rel": "self", "href": own, "type": media_type}),
        json!({"rel": "root", "href": root(app), "type": JSON}),
    ];
    if let Some(next) = next {
        let token = percent_encoding::utf8_percent_encode(next, NON_ALPHANUMERIC);
        let href = format!("{own}?limit={}&token={token}", window.limit);
        links.push(json!({"rel": "next", "href": href, "type": media_type, "method": "GET"}));
    }
    links
}

/// A document of the catalogue with the links that tell where it is.
fn with_links(app: &App, mut document: Value) -> Value {
    let Some(fields) = document.as_object_mut() else {
        return document;
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_item = text("type") == "Feature";
    let addresses = addresses(app);
    let own = text("id");
    let mut links = vec![json!({"rel": "root", "href": root(app), "type": JSON})];
    if is_item {
        let collection = addresses.collection(text("collection"));
        let own = addresses.item(text("collection"), own);
        links.push(json!({"rel": "self", "href": own, "type": GEOJSON}));
        links.push(json!({"rel": "parent", "href": collection, "type": JSON}));
        links.push(json!({"rel": "collection", "href": collection, "type": JSON}));
    } else {
        let own = addresses.collection(own);
        links.push(json!({"rel": "self", "href": own, "type": JSON}));
        links.push(json!({"rel": "parent", "href": root(app), "type": JSON}));
        links.push(json!({"rel": "items", "href": format!("{own}/items"), "type": GEOJSON}));
    }
    let stored = fields.get("links").and_then(Value::as_array);
    let kept = stored.into_iter().flatten().filter(|link| {
        let rel = link.get("rel").and_then(Value::as_str);
        !rel.is_some_and(|rel| MADE.contains(&rel))
    });
    links.extend(kept.cloned());
    fields.insert(String::from("links"), Value::Array(links));
    document
}

fn addresses(app: &App) -> Addresses<'_> {
    Addresses {
        public_url: &app.config.http.public_url,
        titiler_url: app.config.http.titiler_url.as_deref(),
    }
}

fn root(app: &App) -> String {
    format!("{}/api/stac", app.config.http.public_url)
}

/// A segment of a path as it was meant; `warp` gives it as it came.
fn decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment)
        .decode_utf8_lossy()
        .into_owned()
}
