//! Routes that the Functions host calls for events, messages and ticks. The answer decides the retry.
//!
//! Every answer is a JSON object: an empty or null body would hang the invocation until its timeout.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use serde_json::json;
use tracing::{Instrument as _, error, warn};
use warp::http::StatusCode;
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection};

use super::App;
use crate::event::{self, EventError};
use crate::pipeline::{Pipeline, PipelineError};
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::GroupId;
use crate::stores::queue::Message;
use crate::telemetry;

/// Largest body of an invocation; events and messages are far smaller.
const MAX_BODY: usize = 1 << 20;

/// Events of one batch that are dealt with at once, so that the last of them is not answered for too late.
const EVENTS_AT_ONCE: usize = 32;

/// Why an invocation was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum TriggerError {
    #[error("the invocation's body is larger than {MAX_BODY} bytes")]
    TooLarge,
    #[error("the invocation's body did not arrive whole")]
    Body(#[source] warp::Error),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error("the message's blob_url is not an address")]
    Address(#[from] crate::stores::blobs::ParseBlobPathError),
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

impl TriggerError {
    /// 5xx has it delivered again. Where the payload is at fault that mends nothing: it ends as poison or as a dead
    /// letter.
    const fn status(&self) -> StatusCode {
        match self {
            Self::Body(_) | Self::Pipeline(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Event(_) | Self::Address(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// The routes of all functions without an HTTP trigger; each has the name of its folder.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    let functions = warp::path!("BlobEvent").map(|| Function::BlobEvent);
    let functions = functions
        .or(warp::path!("ReferenceDue").map(|| Function::ReferenceDue))
        .unify();
    let functions = functions
        .or(warp::path!("CombineDue").map(|| Function::CombineDue))
        .unify();
    let functions = functions
        .or(warp::path!("ReferencePoison").map(|| Function::ReferencePoison))
        .unify();
    let functions = functions
        .or(warp::path!("CombinePoison").map(|| Function::CombinePoison))
        .unify();
    let functions = functions
        .or(warp::path!("Sweep").map(|| Function::Sweep))
        .unify();
    // The path comes first: a method that does not fit says nothing about other paths.
    functions
        .and(warp::post())
        .and(warp::header::optional::<String>("traceparent"))
        .and(warp::body::stream())
        .then(move |function: Function, trace: Option<String>, body| {
            let pipeline = Arc::clone(&app.pipeline);
            let span = tracing::info_span!("invocation", function = ?function);
            let invoked = invoke(function, pipeline, body).instrument(span);
            telemetry::within_trace(trace, invoked)
        })
}

/// Boxed, so that the compiler need not look through all stages to see that it can change threads.
fn invoke<B: Buf + Send>(
    function: Function,
    pipeline: Arc<Pipeline>,
    body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static,
) -> BoxFuture<'static, Response> {
    Box::pin(async move {
        let done = match collect(body).await {
            Ok(body) => function.run(pipeline, body).await,
            Err(error) => Err(error),
        };
        answer(done)
    })
}

#[derive(Debug, Clone, Copy)]
enum Function {
    BlobEvent,
    ReferenceDue,
    CombineDue,
    ReferencePoison,
    CombinePoison,
    Sweep,
}

impl Function {
    async fn run(self, pipeline: Arc<Pipeline>, body: Bytes) -> Result<(), TriggerError> {
        match self {
            Self::BlobEvent => blob_event(pipeline, body).await,
            Self::ReferenceDue | Self::CombineDue => message(pipeline, body).await,
            Self::ReferencePoison | Self::CombinePoison => poison(pipeline, body).boxed().await,
            Self::Sweep => Ok(pipeline.sweep().boxed().await.map(drop)?),
        }
    }
}

/// The whole body. The host sends it chunked, so its length is not known before.
async fn collect<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>> + Send,
) -> Result<Bytes, TriggerError> {
    let mut body = std::pin::pin!(body);
    let mut whole = Vec::new();
    while let Some(part) = body.next().await {
        let mut part = part.map_err(TriggerError::Body)?;
        if whole.len() + part.remaining() > MAX_BODY {
            pass_over(body).await;
            return Err(TriggerError::TooLarge);
        }
        whole.extend_from_slice(&part.copy_to_bytes(part.remaining()));
    }
    Ok(whole.into())
}

/// Bytes that are taken of a body that is refused.
const PASSED_OVER: usize = 32 << 20;

/// Takes what still comes of a body that is refused: who is cut off while sending does not hear why.
pub(super) async fn pass_over<B: Buf>(
    mut body: impl Stream<Item = Result<B, warp::Error>> + Unpin,
) {
    let mut taken = 0;
    while let Some(Ok(part)) = body.next().await {
        taken += part.remaining();
        if taken > PASSED_OVER {
            return;
        }
    }
}

async fn blob_event(pipeline: Arc<Pipeline>, body: Bytes) -> Result<(), TriggerError> {
    let handled = stream::iter(event::blob_events(&body)?).map(|event| {
        let pipeline = Arc::clone(&pipeline);
        async move { pipeline.on_event(&event).await }.boxed()
    });
    // All are tried before the first failure has the batch delivered again.
    let handled: Vec<_> = handled.buffer_unordered(EVENTS_AT_ONCE).collect().await;
    Ok(handled.into_iter().collect::<Result<(), _>>()?)
}

async fn message(pipeline: Arc<Pipeline>, body: Bytes) -> Result<(), TriggerError> {
    match event::message(&body)? {
        Message::ReferenceDue { blob_url } => Ok(pipeline
            .on_reference_due(&BlobPath::parse(&blob_url, pipeline.account())?)
            .boxed()
            .await?),
        Message::CombineDue {
            group_id,
            generation,
        } => Ok(pipeline
            .on_combine_due(&GroupId(group_id), generation)
            .boxed()
            .await?),
    }
}

/// A message that failed too often: recorded on its file or group, so that the status shows it.
async fn poison(pipeline: Arc<Pipeline>, body: Bytes) -> Result<(), TriggerError> {
    match event::message(&body)? {
        Message::ReferenceDue { blob_url } => Ok(pipeline
            .on_reference_poison(&BlobPath::parse(&blob_url, pipeline.account())?)
            .await?),
        Message::CombineDue {
            group_id,
            generation,
        } => Ok(pipeline
            .on_combine_poison(&GroupId(group_id), generation)
            .await?),
    }
}

fn answer(result: Result<(), TriggerError>) -> Response {
    let Err(error) = result else {
        return warp::reply::json(&json!({"Outputs": {}, "Logs": [], "ReturnValue": null}))
            .into_response();
    };
    let chain = crate::pipeline::chain(&error);
    let status = error.status();
    match status.is_server_error() {
        true => warn!(error = chain, "An invocation failed and is tried again"),
        false => error!(error = chain, "An invocation's payload is refused"),
    }
    let body = warp::reply::json(&json!({"success": false, "error": error.to_string()}));
    warp::reply::with_status(body, status).into_response()
}
