//! From errors to answers: the one place that knows which status and which envelope an error gets. SPEC §8.
//!
//! The client learns what it can act upon; causes go to the log.

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use warp::http::{Response, StatusCode, header};
use warp::reject::Rejection;

use crate::group::SubmissionError;
use crate::pipeline::PipelineError;
use crate::stores::blobs::BlobError;
use crate::stores::ledger::{Action, Conflict, LedgerError, Reason, Refusal};

/// What every handler answers with.
pub type Answer = Response<Bytes>;

type Cause = Box<dyn Error + Send + Sync>;

/// What an operator may want to know was asked for in vain. Keys that are not there are asked for all the time.
const REFUSALS: [StatusCode; 3] = [
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::PAYLOAD_TOO_LARGE,
];

/// An error on its way to the client.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    error_type: &'static str,
    message: String,
    extra: Map<String, Value>,
    cause: Option<Cause>,
}

impl ApiError {
    fn new(status: StatusCode, error_type: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            error_type,
            message: message.into(),
            extra: Map::new(),
            cause: None,
        }
    }

    /// 400: the request is at fault.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ValidationError", message)
    }

    /// 404: no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// 410: it was there, or could have been, and does not come back under this address.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Gone", message)
    }

    /// 401: not without permission.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    /// 413: the body is above the cap.
    pub fn too_large(cap: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "ValidationError",
            format!("the body is larger than {cap} bytes"),
        )
    }

    /// 503: worth another try.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        let message = "a service behind this one does not answer; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", message).caused_by(cause)
    }

    /// 500: a fault of ours.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        let message = "an internal error; the log has the details";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message).caused_by(cause)
    }

    /// 409: the Release is in a state that does not allow it.
    pub fn release_state(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "ReleaseStateError", message)
    }

    fn conflict(error_type: &'static str, message: String) -> Self {
        Self::new(StatusCode::CONFLICT, error_type, message)
    }

    /// 400: what is asked for is not to be had of this Release.
    pub fn refused(error_type: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error_type, message)
    }

    /// What cannot be done to a Release as it is: 400 in the platform's word for it, 409 where that has none.
    pub(super) fn not_possible(action: Action, message: impl Into<String>) -> Self {
        match failure_of(action) {
            Some(error_type) => Self::refused(error_type, message),
            None => Self::conflict("ReleaseStateError", message.into()),
        }
    }

    /// 500: the STAC catalogue failed, and so nothing was changed.
    pub fn materialization(message: impl Into<String>, cause: impl Into<Cause>) -> Self {
        let error_type = "StacMaterializationError";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error_type, message).caused_by(cause)
    }

    fn caused_by(self, cause: impl Into<Cause>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..self
        }
    }

    /// The same with a further field in the envelope.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.extra.insert(field.to_owned(), value);
        self
    }

    /// What is refused, in words; an error that is nobody's decision stays one.
    ///
    /// # Errors
    ///
    /// The error itself where a service failed.
    pub(super) fn into_refusal(self) -> Result<String, Self> {
        match self.status.is_server_error() {
            true => Err(self),
            false => Ok(self.message),
        }
    }

    /// The same with the fields that errors have in STAC and in OGC's APIs.
    #[must_use]
    pub fn in_words_of_stac(self) -> Self {
        let (code, description) = (json!(self.error_type), json!(self.message));
        self.with("code", code).with("description", description)
    }

    fn log(&self) {
        let chain = self.cause.as_deref().map(chain_of).unwrap_or_default();
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error.chain = %chain, http.status = self.status.as_u16(), "{}", self.message);
        } else if self.status.is_server_error() {
            tracing::warn!(error.chain = %chain, http.status = self.status.as_u16(), "{}", self.message);
        } else if REFUSALS.contains(&self.status) {
            tracing::info!(error.chain = %chain, http.status = self.status.as_u16(), "Refused a request: {}", self.message);
        } else {
            tracing::debug!(error.chain = %chain, http.status = self.status.as_u16(), "{}", self.message);
        }
    }

    /// The answer; the cause is logged here and nowhere else.
    pub fn into_answer(self) -> Answer {
        self.log();
        let mut body = self.extra;
        body.insert(String::from("success"), json!(false));
        body.insert(String::from("error"), json!(self.message));
        body.insert(String::from("error_type"), json!(self.error_type));
        let mut answer = json_answer(self.status, &Value::Object(body));
        let headers = answer.headers_mut();
        headers.insert(
            header::CACHE_CONTROL,
            header::HeaderValue::from_static("no-store"),
        );
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        answer
    }
}

fn chain_of(error: &(dyn Error + Send + Sync + 'static)) -> String {
    let mut parts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        parts.push(error.to_string());
        next = error.source();
    }
    parts.join(": ")
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Conflict(conflict) => conflict.into(),
            LedgerError::Refusal(refusal) => refusal.into(),
            LedgerError::Catalogue { .. } => {
                Self::materialization(format!("{error}; nothing was changed"), error).with(
                    "remediation",
                    json!("the log has the cause; then approve or revoke again"),
                )
            }
            LedgerError::Unavailable(_) => Self::unavailable(error),
            LedgerError::Refused(_) => Self::validation(error.to_string()),
            _ => Self::internal(error),
        }
    }
}

impl From<Conflict> for ApiError {
    fn from(conflict: Conflict) -> Self {
        match &conflict {
            Conflict::OtherOptions { difference, .. } => {
                let difference = json!(difference);
                Self::conflict("ReleaseExistsError", conflict.to_string())
                    .with("difference", difference)
            }
            Conflict::Approved { .. } | Conflict::StillOpen { .. } => {
                Self::conflict("ReleaseStateError", conflict.to_string())
            }
            Conflict::Version { .. } => Self::conflict("VersionConflict", conflict.to_string()),
            Conflict::OwnedByOther { .. } => {
                Self::conflict("ReleaseExistsError", conflict.to_string())
            }
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Unknown => Self::not_found(message),
            Refusal::Version {
                conflicting_release_id,
                ..
            } => Self::conflict("VersionConflict", message)
                .with("conflicting_release_id", json!(conflicting_release_id))
                .with("remediation", json!("give another version_id")),
            Refusal::Occupied {
                item_id,
                collection_id,
            } => Self::conflict("StacMaterializationError", message)
                .with("stac_item_id", json!(item_id))
                .with("stac_collection_id", json!(collection_id))
                .with(
                    "remediation",
                    json!("give another version_id, or have the item removed by whoever wrote it"),
                ),
            Refusal::State {
                reason: Reason::Moved,
                ..
            } => Self::conflict("ReleaseStateError", message),
            Refusal::State { action, .. } => Self::not_possible(action, message),
        }
    }
}

/// The platform's word for what a Release is not in the state for; none where that is a conflict like any other.
const fn failure_of(action: Action) -> Option<&'static str> {
    match action {
        Action::Approve => Some("ApprovalFailed"),
        Action::Reject => Some("RejectionFailed"),
        Action::Revoke => Some("RevocationFailed"),
        Action::Unpublish | Action::CacheItem | Action::Materialize => None,
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::NoContainer(name) => {
                Self::validation("Container does not exist").with("container", json!(name))
            }
            BlobError::NotFound(_) => Self::not_found(error.to_string()),
            BlobError::Changed(_) => Self::gone(error.to_string()),
            BlobError::Unavailable { .. } => Self::unavailable(error),
            error @ BlobError::Http(_) if error.is_missing() => Self::not_found(error.to_string()),
            error @ BlobError::Http(_) if error.is_transient() => Self::unavailable(error),
            BlobError::Http(error) => Self::validation(crate::pipeline::chain(&error)),
            _ => Self::internal(error),
        }
    }
}

impl From<PipelineError> for ApiError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Ledger(error) => error.into(),
            PipelineError::Blob(error) => error.into(),
            PipelineError::Submission(error) => error.into(),
            error => Self::internal(error),
        }
    }
}

impl From<SubmissionError> for ApiError {
    fn from(error: SubmissionError) -> Self {
        Self::validation(error.to_string()).with("field", json!(error.field))
    }
}

/// A JSON document as an answer.
pub fn json_answer(status: StatusCode, document: &Value) -> Answer {
    let mut answer = Response::new(Bytes::from(document.to_string()));
    *answer.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

/// What a handler came to, as an answer.
pub fn answer(result: Result<Answer, ApiError>) -> Answer {
    result.unwrap_or_else(ApiError::into_answer)
}

/// Answers requests that no route took.
pub async fn recover(rejection: Rejection) -> Result<Answer, Infallible> {
    let error = if rejection.is_not_found() {
        ApiError::not_found("there is nothing at this address")
    } else if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        let message = "this address does not take this method";
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "ValidationError", message)
    } else {
        ApiError::validation("the request cannot be read")
    };
    Ok(error.into_answer())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::stores::blobs::BlobPath;

    fn path() -> BlobPath {
        BlobPath::new("local", "bronze", "a.nc")
    }

    #[rstest]
    #[case(BlobError::NoContainer(String::from("nope")).into(), 400, "ValidationError")]
    #[case(BlobError::NotFound(path()).into(), 404, "NotFound")]
    #[case(BlobError::Changed(path()).into(), 410, "Gone")]
    #[case(BlobError::Unavailable { path: path(), source: std::io::Error::other("boom") }.into(), 503, "Unavailable")]
    #[case(LedgerError::Unavailable("boom".into()).into(), 503, "Unavailable")]
    #[case(LedgerError::Refused("boom".into()).into(), 400, "ValidationError")]
    #[case(
        LedgerError::Catalogue { step: "writing the item", source: "boom".into() }.into(), 500, "StacMaterializationError"
    )]
    #[case(Refusal::Unknown.into(), 404, "NotFound")]
    #[case(Refusal::State { action: Action::Approve, reason: Reason::NothingPublished }.into(), 400, "ApprovalFailed")]
    #[case(Refusal::State { action: Action::Approve, reason: Reason::Moved }.into(), 409, "ReleaseStateError")]
    #[case(Refusal::State { action: Action::Reject, reason: Reason::NothingPublished }.into(), 400, "RejectionFailed")]
    #[case(Refusal::State { action: Action::Revoke, reason: Reason::NothingPublished }.into(), 400, "RevocationFailed")]
    #[case(Refusal::State { action: Action::Unpublish, reason: Reason::StillApproved }.into(), 409, "ReleaseStateError")]
    #[case(
        Refusal::Version { version_id: String::from("v1"), conflicting_release_id: String::from("r") }.into(),
        409,
        "VersionConflict"
    )]
    #[case(
        Refusal::Occupied { item_id: String::from("i"), collection_id: String::from("c") }.into(),
        409,
        "StacMaterializationError"
    )]
    #[case(LedgerError::SchemaTooOld { found: 1, needed: 2 }.into(), 500, "InternalError")]
    #[case(
        LedgerError::Conflict(Conflict::OwnedByOther { asset: String::from("a/b"), owner: String::from("file") }).into(),
        409,
        "ReleaseExistsError"
    )]
    fn errors_have_status_and_envelope(
        #[case] error: ApiError,
        #[case] status: u16,
        #[case] error_type: &str,
    ) {
        let answer = error.into_answer();
        assert_eq!(answer.status().as_u16(), status);
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(
            (&body["success"], &body["error_type"]),
            (&json!(false), &json!(error_type))
        );
        assert!(!body.to_string().contains("boom"), "causes stay inside");
        assert_eq!(answer.headers().contains_key("retry-after"), status == 503);
    }
}
