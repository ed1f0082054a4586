//! Why a file on the web could not be read.

use super::address::HttpUrl;

/// A name resolves to an address that is not one of the public internet.
#[derive(Debug, thiserror::Error)]
#[error("the name resolves to a private address")]
pub(super) struct PrivateAddress;

/// What went wrong with a file, by its address.
#[derive(Debug, thiserror::Error)]
#[error("could not read {url}")]
pub struct HttpError {
    /// The file.
    pub url: Box<HttpUrl>,
    /// What went wrong.
    #[source]
    pub problem: HttpProblem,
}

/// What can go wrong with a file on the web.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpProblem {
    /// 404 or 410.
    #[error("it does not exist")]
    NotFound,
    /// 412, or an answer of another version than the first.
    #[error("it has changed while it was read")]
    Changed,
    /// 401 or 403.
    #[error("access is refused: the server answers {0}")]
    Denied(u16),
    /// The server sends whole files only.
    #[error("the server ignores byte ranges, and more than {0} bytes are not fetched whole")]
    NoRanges(u64),
    /// 416: there are no such bytes.
    #[error("it has no bytes {start}+{len}")]
    OutOfRange {
        /// First byte asked for.
        start: u64,
        /// Number of bytes asked for.
        len: u64,
    },
    /// The server does not tell how long the file is.
    #[error("the server's Content-Range does not tell its length")]
    NoLength,
    /// The answer is not the bytes that were asked for.
    #[error("the server sent other bytes than were asked for: {0}")]
    OtherBytes(String),
    /// The server compresses what it sends.
    #[error(
        "the server sent it with Content-Encoding `{0}`, so its byte ranges are not those of the file"
    )]
    Encoded(String),
    /// It may not be asked about.
    #[error("{0}")]
    Refused(&'static str),
    /// The address redirects to where it is not followed.
    #[error("its address redirects too often, or from https to http")]
    Redirect,
    /// The server fails or throttles, also after several tries.
    #[error("the server answers {0}")]
    Status(u16),
    /// The server proves itself with a certificate that is not trusted, or is for another name.
    #[error(
        "the server's certificate is not trusted ({0}); SSL_CERT_FILE can name a file of authorities to trust"
    )]
    Certificate(String),
    /// The server cannot be reached, or the connection broke, also after several tries.
    #[error("the server cannot be reached")]
    Transport(#[source] reqwest::Error),
}

impl HttpProblem {
    pub(super) fn of(error: reqwest::Error) -> Self {
        if error.is_redirect() {
            return Self::Redirect;
        }
        let mut causes =
            std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        if causes.any(|cause| cause.is::<PrivateAddress>()) {
            return Self::Refused("its host is at a private address");
        }
        // The address in the error has its query.
        let error = error.without_url();
        match certificate_problem(&error) {
            Some(problem) => Self::Certificate(problem),
            None => Self::Transport(error),
        }
    }

    /// Whether the same request may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Status(408 | 429 | 500..) | Self::Transport(_))
    }
}

/// What is wrong with a certificate, which rustls says in the innermost of its errors.
fn certificate_problem(error: &dyn std::error::Error) -> Option<String> {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain
        .filter_map(|error| {
            let told = error.to_string();
            let (_, problem) = told.split_once("invalid peer certificate: ")?;
            Some(problem.to_owned())
        })
        .last()
}
