//! What a handler's answer to an envelope means to the host, traps included.

use serde::Deserialize;
use serde_json::Value;

/// How an invocation ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum InvocationOutcome {
    /// The handler accepted it.
    Succeeded(HandlerAnswer),
    /// It failed: the trigger decides what becomes of it.
    Failed(InvocationFailure),
}

impl InvocationOutcome {
    /// Whether the handler accepted it.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Succeeded(_))
    }
}

/// What the handler said when it succeeded.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
pub struct HandlerAnswer {
    /// Lines for the host's log.
    #[serde(default, alias = "logs")]
    #[serde(rename = "Logs")]
    pub logs: Option<Vec<String>>,
}

/// Why an invocation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvocationFailure {
    /// The status was not 2xx.
    #[error("the handler answered {status}: {body}")]
    Status {
        /// The status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
    /// The body is not declared as JSON.
    #[error("the handler's answer has content type `{0}`, the host takes JSON only")]
    ContentType(String),
    /// The body is declared as JSON and is not, or not an answer.
    #[error("the handler's answer is not valid")]
    Malformed(#[source] serde_json::Error),
    /// The body is empty or `null`.
    #[error(
        "the handler's answer is empty or null: in Azure this invocation would HANG until functionTimeout"
    )]
    Hangs,
    /// No answer within `functionTimeout`.
    #[error("the handler did not answer within functionTimeout")]
    TimedOut,
    /// The connection broke, usually because the handler died.
    #[error("the connection to the handler broke")]
    Connection(#[source] reqwest::Error),
    /// There is no handler to call.
    #[error("the handler is not running: {0}")]
    NotRunning(String),
}

impl InvocationFailure {
    /// Whether the handler went away rather than said no.
    #[must_use]
    pub fn is_lost_handler(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::NotRunning(_))
    }
}

/// Longest part of a body that is repeated in a failure.
const SHOWN: usize = 300;

/// Reads an answer as the host does.
#[must_use]
pub(crate) fn read_answer(
    status: u16,
    content_type: Option<&str>,
    body: &[u8],
) -> InvocationOutcome {
    match try_read(status, content_type, body) {
        Ok(answer) => InvocationOutcome::Succeeded(answer),
        Err(failure) => InvocationOutcome::Failed(failure),
    }
}

fn try_read(
    status: u16,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<HandlerAnswer, InvocationFailure> {
    if !(200..300).contains(&status) {
        let body = String::from_utf8_lossy(body).chars().take(SHOWN).collect();
        return Err(InvocationFailure::Status { status, body });
    }
    if body.trim_ascii().is_empty() {
        return Err(InvocationFailure::Hangs);
    }
    let media = content_type.unwrap_or_default();
    let essence = media
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if essence != "application/json" && essence != "text/json" && !essence.ends_with("+json") {
        return Err(InvocationFailure::ContentType(media.to_owned()));
    }
    match serde_json::from_slice(body).map_err(InvocationFailure::Malformed)? {
        Value::Null => Err(InvocationFailure::Hangs),
        // Serde would take an array for the struct's fields in order.
        Value::Array(_) => Err(InvocationFailure::Malformed(serde::de::Error::custom(
            "an array, not an object",
        ))),
        value => serde_json::from_value(value).map_err(InvocationFailure::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const JSON: Option<&str> = Some("application/json; charset=utf-8");

    #[rstest]
    #[case::object(200, JSON, "{}", "")]
    #[case::accepted(202, JSON, r#"{"Outputs":{},"logs":["a"],"ReturnValue":null}"#, "")]
    #[case::server_error(500, JSON, "{}", "answered 500")]
    #[case::redirect(302, JSON, "{}", "answered 302")]
    #[case::wrong_type(200, Some("text/plain"), "{}", "text/plain")]
    #[case::no_type(200, None, "{}", "content type")]
    #[case::empty(200, JSON, "", "HANG")]
    #[case::empty_no_type(200, None, "", "HANG")]
    #[case::null(200, JSON, " null ", "HANG")]
    #[case::garbage(200, JSON, "{", "not valid")]
    #[case::not_an_answer(200, JSON, "[1]", "not valid")]
    fn answers_mean_what_they_mean_to_the_host(
        #[case] status: u16,
        #[case] content_type: Option<&str>,
        #[case] body: &str,
        #[case] failure: &str,
    ) {
        match read_answer(status, content_type, body.as_bytes()) {
            InvocationOutcome::Succeeded(_) => assert_eq!(failure, ""),
            InvocationOutcome::Failed(f) => {
                assert!(
                    !failure.is_empty() && f.to_string().contains(failure),
                    "{f}"
                );
            }
        }
    }

    #[test]
    fn logs_are_kept_whatever_their_case() {
        let outcome = read_answer(200, JSON, br#"{"logs":["stored"]}"#);
        let InvocationOutcome::Succeeded(answer) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(answer.logs.unwrap(), ["stored"]);
    }
}
