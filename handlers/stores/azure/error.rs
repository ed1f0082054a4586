//! What the answers of Azure's storage services mean.

use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::StatusCode;
use azure_core::http::headers::{HeaderName, Headers};

use crate::stores::retry::{Again, Failed};

/// Why a request was not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub(in crate::stores) enum Problem {
    #[error("there is no such {0}")]
    NotFound(Missing),
    #[error("it is another version")]
    Changed,
    #[error("it exists already")]
    Exists,
    #[error("there are no such bytes")]
    OutOfRange,
    #[error("{status} {code}: {}", Barrier::of(*status, code))]
    Denied { status: u16, code: String },
    #[error("the service answers {status} {code}")]
    Refused { status: u16, code: String },
    #[error("the service throttles: {status} {code}")]
    Throttled { status: u16, code: String },
    #[error("the service fails: {status} {code}")]
    Failing { status: u16, code: String },
    #[error("the service cannot be reached: {0}")]
    Unreachable(String),
    #[error("the identity gives no token: {0}")]
    NoToken(String),
    #[error("what is to be written cannot be read: {0}")]
    Draft(String),
    #[error("the service sent other bytes than were asked for: {0}")]
    OtherBytes(String),
}

/// What is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::stores) enum Missing {
    Blob,
    Container,
    Queue,
    Message,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Blob => "blob",
            Self::Container => "container",
            Self::Queue => "queue",
            Self::Message => "message",
        })
    }
}

/// One try that failed.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub(in crate::stores) struct Refusal {
    pub(in crate::stores) problem: Problem,
    /// How long the service asks to wait.
    wait: Option<Duration>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            wait: None,
        }
    }
}

impl Refusal {
    pub(in crate::stores) fn of(error: &azure_core::Error) -> Self {
        let ErrorKind::HttpResponse {
            status,
            error_code,
            raw_response,
        } = error.kind()
        else {
            return Self::from(problem_of(error));
        };
        let headers = raw_response.as_ref().map(|response| response.headers());
        let code = headers
            .and_then(|headers| text(headers, "x-ms-error-code"))
            .or(error_code.as_deref())
            .unwrap_or_default();
        Self {
            problem: answered(*status, code),
            wait: headers.and_then(retry_after),
        }
    }
}

impl Failed for Refusal {
    fn again(&self) -> Again {
        match (&self.problem, self.wait) {
            (Problem::Throttled { .. } | Problem::Failing { .. }, Some(wait)) => Again::After(wait),
            (
                Problem::Throttled { .. }
                | Problem::Failing { .. }
                | Problem::Unreachable(_)
                | Problem::OtherBytes(_),
                _,
            ) => Again::Soon,
            _ => Again::Never,
        }
    }
}

impl Problem {
    /// Whether the same request may succeed later.
    pub(in crate::stores) const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Throttled { .. }
                | Self::Failing { .. }
                | Self::Unreachable(_)
                | Self::NoToken(_)
                | Self::OtherBytes(_)
        )
    }

    /// Whether a request that failed so may have been carried out all the same.
    pub(in crate::stores) const fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Failing { .. } | Self::Unreachable(_))
    }
}

/// A failure without an answer.
fn problem_of(error: &azure_core::Error) -> Problem {
    let chain = crate::pipeline::chain(error);
    match error.kind() {
        ErrorKind::Credential => Problem::NoToken(chain),
        ErrorKind::Connection | ErrorKind::Io => Problem::Unreachable(chain),
        // Answers that are not what they should be.
        _ => Problem::OtherBytes(chain),
    }
}

fn answered(status: StatusCode, code: &str) -> Problem {
    let (number, owned) = (u16::from(status), code.to_owned());
    match (number, code) {
        (404, "ContainerNotFound" | "ContainerBeingDeleted") => {
            Problem::NotFound(Missing::Container)
        }
        (404, "QueueNotFound") => Problem::NotFound(Missing::Queue),
        (404, "MessageNotFound") => Problem::NotFound(Missing::Message),
        (404, _) => Problem::NotFound(Missing::Blob),
        (409, "BlobAlreadyExists") => Problem::Exists,
        // Blocks are dropped when somebody else writes the blob.
        (412, _) | (400, "InvalidBlockList") => Problem::Changed,
        (416, _) => Problem::OutOfRange,
        (401 | 403, _) | (409, "PublicAccessNotPermitted") => Problem::Denied {
            status: number,
            code: owned,
        },
        (429, _) | (503, "ServerBusy") => Problem::Throttled {
            status: number,
            code: owned,
        },
        (408 | 500.., _) => Problem::Failing {
            status: number,
            code: owned,
        },
        _ => Problem::Refused {
            status: number,
            code: owned,
        },
    }
}

/// What keeps somebody out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// A role assignment is missing.
    Role,
    /// The account's network rules, or the same.
    Network,
    /// It is asked for without an identity.
    Anonymous,
    /// The token is not taken.
    Token,
}

impl Barrier {
    fn of(status: u16, code: &str) -> Self {
        match (status, code) {
            (_, "AuthorizationPermissionMismatch") => Self::Role,
            (_, "AuthorizationFailure") => Self::Network,
            (
                _,
                "PublicAccessNotPermitted" | "NoAuthenticationInformation" | "ResourceNotFound",
            ) => Self::Anonymous,
            (401, _) => Self::Token,
            _ => Self::Role,
        }
    }
}

impl std::fmt::Display for Barrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Role => "the identity lacks a role assignment",
            Self::Network => {
                "the account's network rules keep us out, or the identity lacks a role assignment"
            }
            Self::Anonymous => "it is not open to everybody: set LANDFALL_CREDENTIAL",
            Self::Token => "the token is not taken: it is of another tenant, or has ended",
        })
    }
}

/// Access that a service refuses, and to whom it would be given.
#[derive(Debug, thiserror::Error)]
#[error("{problem} ({wanted})")]
pub(crate) struct AccessRefused {
    /// What keeps us out.
    pub(crate) barrier: Barrier,
    problem: String,
    wanted: String,
}

impl AccessRefused {
    /// A refusal with this status and code to somebody without what is wanted.
    pub(in crate::stores) fn new(status: u16, code: String, wanted: String) -> Self {
        Self {
            barrier: Barrier::of(status, &code),
            problem: Problem::Denied { status, code }.to_string(),
            wanted,
        }
    }
}

fn text<'a>(headers: &'a Headers, name: &'static str) -> Option<&'a str> {
    headers.get_optional_str(&HeaderName::from_static(name))
}

/// `x-ms-retry-after-ms`, `retry-after-ms` or `Retry-After` in seconds.
fn retry_after(headers: &Headers) -> Option<Duration> {
    let number = |name| text(headers, name)?.trim().parse::<u64>().ok();
    let milliseconds = number("x-ms-retry-after-ms").or_else(|| number("retry-after-ms"));
    let seconds = || number("retry-after").map(Duration::from_secs);
    milliseconds.map(Duration::from_millis).or_else(seconds)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(404, "BlobNotFound", "there is no such blob", false)]
    #[case(404, "ContainerNotFound", "there is no such container", false)]
    #[case(404, "QueueNotFound", "there is no such queue", false)]
    #[case(409, "BlobAlreadyExists", "it exists already", false)]
    #[case(412, "ConditionNotMet", "it is another version", false)]
    #[case(
        403,
        "AuthorizationPermissionMismatch",
        "403 AuthorizationPermissionMismatch: the identity lacks a role assignment",
        false
    )]
    #[case(409, "BlobArchived", "the service answers 409 BlobArchived", false)]
    #[case(503, "ServerBusy", "the service throttles: 503 ServerBusy", true)]
    #[case(429, "", "the service throttles: 429 ", true)]
    #[case(500, "InternalError", "the service fails: 500 InternalError", true)]
    fn an_answer_has_its_meaning(
        #[case] status: u16,
        #[case] code: &str,
        #[case] message: &str,
        #[case] passes: bool,
    ) {
        let problem = answered(StatusCode::from(status), code);
        assert_eq!(
            (problem.to_string().as_str(), problem.is_transient()),
            (message, passes)
        );
        assert_eq!(Refusal::from(problem).again() == Again::Soon, passes);
    }

    #[rstest]
    #[case("retry-after", "2", Some(2000))]
    #[case("x-ms-retry-after-ms", "50", Some(50))]
    #[case("retry-after", "soon", None)]
    fn the_time_to_wait_is_read(
        #[case] name: &'static str,
        #[case] value: &'static str,
        #[case] milliseconds: Option<u64>,
    ) {
        let mut headers = Headers::new();
        headers.insert(name, value);
        assert_eq!(
            retry_after(&headers),
            milliseconds.map(Duration::from_millis)
        );
    }
}
