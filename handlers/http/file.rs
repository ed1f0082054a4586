//! `POST /api/validate` and `POST /api/reference`: one file, synchronously; nothing is recorded. SPEC §4, §5, §8.
//!
//! | route | body | answer |
//! | --- | --- | --- |
//! | `POST /api/validate` | `nc_url`, `fail_on_chunking_warnings?` | `nc_url, status, recommendation, format, dimensions, variables, warnings, findings, fault, io`; of a file that cannot be read `status: error` and the `fault` |
//! | `POST /api/reference` | `nc_url`, `concat_dim?`, `inline_max_bytes?` | `nc_url, reference, ref_size_bytes, chunk_count, findings, io`; 400 for a file that cannot be read |
//!
//! `nc_url` is a blob in an account and container that sources are taken from, or an `https` address on a host of
//! `LANDFALL_HTTPS_HOSTS`.

use std::sync::Arc;

use futures_util::FutureExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use virtualize::rules::{self, Grade};
use virtualize::{DecodeOptions, VirtualDataset};
use warp::http::StatusCode;
use warp::{Filter, Rejection, Reply};

use super::App;
use super::error::{Answer, ApiError, answer, json_answer};
use super::inventory::read;
use super::platform::collect;
use super::submit::check_source;
use crate::pipeline::{Asked, Looked, Pipeline};
use crate::read::IoCount;
use crate::stores::blobs::{BlobPath, HttpUrl};
use crate::stores::ledger::{Fault, ProcessingOptions};
use crate::validate;

/// Most chunks of a reference that is answered at once; what has more is submitted, and read from silver.
const MOST_CHUNKS: usize = 100_000;

/// The routes.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let validate = warp::path!("api" / "validate")
        .and(warp::post())
        .and(warp::body::stream())
        .and(super::with(Arc::clone(&app)))
        .then(|body, app: Arc<App>| {
            let done = async move { judge(&app, &collect(body).await?).await };
            done.map(answer).boxed()
        });
    let reference = warp::path!("api" / "reference")
        .and(warp::post())
        .and(warp::body::stream())
        .and(super::with(app))
        .then(|body, app: Arc<App>| {
            let done = async move { refer(&app, &collect(body).await?).await };
            done.map(answer).boxed()
        });
    validate.or(reference)
}

#[derive(Debug, Deserialize)]
struct ValidateBody {
    nc_url: String,
    #[serde(default)]
    fail_on_chunking_warnings: bool,
}

async fn judge(app: &App, body: &[u8]) -> Result<Answer, ApiError> {
    let body: ValidateBody = read(body, &["nc_url", "fail_on_chunking_warnings"])?;
    let asked = asked(app, &body.nc_url).await?;
    let looked = app
        .pipeline
        .look(&asked, &app.web, DecodeOptions::default())
        .await?;
    let document = match looked {
        Looked::Read(dataset, io) => {
            let options = ProcessingOptions {
                fail_on_chunking_warnings: body.fail_on_chunking_warnings,
                ..ProcessingOptions::default()
            };
            judged(&name(&asked), &dataset, &options, io)
        }
        Looked::AtFault(fault) => unread(&name(&asked), &fault),
    };
    Ok(json_answer(StatusCode::OK, &document))
}

fn judged(
    nc_url: &str,
    dataset: &VirtualDataset,
    options: &ProcessingOptions,
    io: IoCount,
) -> Value {
    let verdict = rules::judge(dataset);
    let warnings: Vec<_> = verdict
        .findings
        .iter()
        .filter(|finding| finding.grade > Grade::Info)
        .collect();
    let fault = validate::validate(dataset, options).1;
    json!({
        "success": true,
        "nc_url": nc_url,
        "status": match &fault {
            Some(_) => json!("error"),
            None => json!(verdict.status),
        },
        "recommendation": verdict.recommendation,
        "format": dataset.format,
        "dimensions": dimensions(dataset),
        "variables": verdict.variables,
        "warnings": warnings,
        "findings": verdict.findings,
        "fault": fault,
        "io": io,
    })
}

fn dimensions(dataset: &VirtualDataset) -> Value {
    let dimensions = dataset.root.dimensions.iter();
    dimensions
        .map(|(name, dimension)| (name.clone(), json!(dimension.length)))
        .collect()
}

/// A file that cannot be read is an answer too.
fn unread(nc_url: &str, fault: &Fault) -> Value {
    json!({
        "success": true,
        "nc_url": nc_url,
        "status": "error",
        "recommendation": null,
        "format": null,
        "dimensions": {},
        "variables": [],
        "warnings": [],
        "findings": [],
        "fault": fault,
        "io": null,
    })
}

#[derive(Debug, Deserialize)]
struct ReferenceBody {
    nc_url: String,
    #[serde(default)]
    concat_dim: Option<String>,
    #[serde(default)]
    inline_max_bytes: Option<u64>,
}

async fn refer(app: &App, body: &[u8]) -> Result<Answer, ApiError> {
    let body: ReferenceBody = read(body, &["nc_url", "concat_dim", "inline_max_bytes"])?;
    let asked = asked(app, &body.nc_url).await?;
    let defaults = ProcessingOptions::default();
    let dimension = body.concat_dim.as_deref().unwrap_or(&defaults.concat_dim);
    let inline_max = body.inline_max_bytes.unwrap_or(defaults.inline_max_bytes);
    // What is inlined is in memory and in the answer.
    let options = DecodeOptions::along(dimension, inline_max.min(defaults.inline_max_bytes));
    match app.pipeline.look(&asked, &app.web, options).await? {
        Looked::Read(dataset, io) => referred(&name(&asked), &dataset, io),
        Looked::AtFault(fault) => Err(ApiError::validation(&fault.message)
            .with("code", json!(fault.code))
            .with("remediation", json!(fault.remediation))),
    }
}

fn referred(nc_url: &str, dataset: &VirtualDataset, io: IoCount) -> Result<Answer, ApiError> {
    let chunks = dataset.chunk_count();
    if chunks > MOST_CHUNKS {
        let message = format!(
            "the file has {chunks} chunks, more than the {MOST_CHUNKS} that are answered at once: submit it"
        );
        return Err(ApiError::validation(message).with("code", json!("too_large")));
    }
    let document = Pipeline::document(dataset)?;
    let reference: Value = serde_json::from_slice(&document).map_err(ApiError::internal)?;
    let (findings, fault) = validate::validate(dataset, &ProcessingOptions::default());
    let answer = json!({
        "success": true,
        "nc_url": nc_url,
        "reference": reference,
        "ref_size_bytes": document.len(),
        "chunk_count": chunks,
        "findings": findings,
        "fault": fault,
        "io": io,
    });
    Ok(json_answer(StatusCode::OK, &answer))
}

/// The file of an address, if it may be asked about.
async fn asked(app: &App, nc_url: &str) -> Result<Asked, ApiError> {
    let refuse =
        |why: &str| ApiError::validation(format!("nc_url: {why}")).with("field", json!("nc_url"));
    match BlobPath::parse(nc_url, app.blobs.account()) {
        Ok(path) => {
            check_source(app, &path).await?;
            Ok(Asked::Blob(path))
        }
        Err(_) if HttpUrl::is_meant(nc_url) => {
            let url = HttpUrl::parse(nc_url).map_err(|error| refuse(&error.to_string()))?;
            match app.web.refusal(&url) {
                Some(why) => Err(refuse(why)),
                None => Ok(Asked::Web(url)),
            }
        }
        Err(error) => Err(refuse(&error.to_string())),
    }
}

fn name(asked: &Asked) -> String {
    match asked {
        Asked::Blob(path) => path.short(),
        Asked::Web(url) => url.reference(),
    }
}
