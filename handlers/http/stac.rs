//! `/api/stac…`: what approval has published, as pgSTAC holds it. SPEC §8.
//!
//! | route | answer |
//! | --- | --- |
//! | `GET /api/stac` | the catalogue, a STAC API landing page; also where there is no pgSTAC, and then it says so |
//! | `GET /api/stac/conformance` | `{conformsTo}` |
//! | `GET /api/stac/collections?limit=&token=` | `{collections, links, numberReturned}` |
//! | `GET /api/stac/collections/{c}` | the collection |
//! | `GET /api/stac/collections/{c}/items?limit=&token=&bbox=&datetime=` | `{type: "FeatureCollection", features, links, numberReturned}` |
//! | `GET /api/stac/collections/{c}/items/{i}` | the item |
//!
//! `limit` is 10 unless it is given, and 1000 at most; `token` is what the link `next` carries; `bbox` and `datetime` are
//! those of STAC API Features. What a catalogue conforms to is said where there is one. Documents come without the envelope, errors with `code` and `description` beside its fields. Links that tell where a document is are
//! made here, so that they are right under the address that the app has now.

mod query;

use std::sync::Arc;

use serde_json::{Value, json};
use warp::http::{HeaderValue, StatusCode, header};
use warp::{Filter, Rejection, Reply};

use super::App;
use super::error::{Answer, ApiError, json_answer};
use crate::catalog::published::Addresses;
use crate::stores::ledger::StacPage;
use query::{OF_ITEMS, OF_LISTS, Parameters, Query};

const JSON: &str = "application/json";
const GEOJSON: &str = "application/geo+json";

/// What the routes keep to where there is a catalogue; the first of them is what is left where there is none. Not
/// `oas30`, which goes with the others mostly: the API's document is of `OpenAPI` 3.1.
const CONFORMS_TO: [&str; 6] = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
];

/// Relations that are made anew for every answer.
const MADE: [&str; 5] = ["self", "root", "parent", "collection", "items"];

/// The routes.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let get = move || warp::get().and(super::with(Arc::clone(&app)));
    let landing = warp::path!("api" / "stac")
        .and(get())
        .then(|app: Arc<App>| async move { reply(landing(&app).await, JSON) });
    let conformance = warp::path!("api" / "stac" / "conformance")
        .and(get())
        .then(|app: Arc<App>| async move { reply(conformance(&app).await, JSON) });
    let collections = warp::path!("api" / "stac" / "collections")
        .and(get())
        .and(warp::query::<Parameters>())
        .then(|app: Arc<App>, asked: Parameters| async move {
            reply(collections(&app, &asked).await, JSON)
        });
    let collection = warp::path!("api" / "stac" / "collections" / String)
        .and(get())
        .then(|id: String, app: Arc<App>| async move {
            reply(collection(&app, &decoded(&id)).await, JSON)
        });
    let items = warp::path!("api" / "stac" / "collections" / String / "items")
        .and(get())
        .and(warp::query::<Parameters>())
        .then(|id: String, app: Arc<App>, asked: Parameters| async move {
            reply(items(&app, &decoded(&id), &asked).await, GEOJSON)
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

/// What the routes keep to as things are.
const fn conforms_to(has_catalogue: bool) -> &'static [&'static str] {
    let ([core, ..], all) = (&CONFORMS_TO, &CONFORMS_TO);
    match has_catalogue {
        true => all,
        false => std::slice::from_ref(core),
    }
}

async fn conformance(app: &App) -> Result<Value, ApiError> {
    let has_catalogue = app.ledger.has_catalogue().await?;
    Ok(json!({"conformsTo": conforms_to(has_catalogue)}))
}

async fn landing(app: &App) -> Result<Value, ApiError> {
    let root = root(app);
    let has_catalogue = app.ledger.has_catalogue().await?;
    let mut document = json!({
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "landfall",
        "title": "Landfall",
        "description": "Virtual Zarr datasets: NetCDF files, read where they lie",
        "conformsTo": conforms_to(has_catalogue),
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
    if !has_catalogue && let Some(fields) = document.as_object_mut() {
        fields.insert(String::from("landfall:catalogue"), json!("absent"));
    }
    Ok(document)
}

async fn collections(app: &App, asked: &Parameters) -> Result<Value, ApiError> {
    let query = Query::read(asked, OF_LISTS)?;
    let page = present(app.ledger.stac_collections(&query.window).await?)?;
    let own = format!("{}/collections", root(app));
    let links = paging(app, &own, &query, page.next.as_deref(), JSON);
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

async fn items(app: &App, id: &str, asked: &Parameters) -> Result<Value, ApiError> {
    let query = Query::read(asked, OF_ITEMS)?;
    collection(app, id).await?;
    let found = app.ledger.stac_items(id, &query.filter, &query.window);
    let page = present(found.await?)?;
    let own = format!("{}/items", addresses(app).collection(id));
    let mut links = paging(app, &own, &query, page.next.as_deref(), GEOJSON);
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

/// Links of a part of a list.
fn paging(app: &App, own: &str, query: &Query, next: Option<&str>, media_type: &str) -> Vec<Value> {
    let mut links = vec![
        json!({"rel": "self", "href": query.address(own), "type": media_type}),
        json!({"rel": "root", "href": root(app), "type": JSON}),
    ];
    if let Some(next) = next {
        let href = query.address_after(own, Some(next));
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
