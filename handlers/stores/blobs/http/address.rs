//! The address of a file on a web server, and which part of it may be written down.

use std::fmt;

use reqwest::Url;

/// How addresses are signed: the parameter that holds the signature, and those that go with it. They say who may
/// read and until when, not what is read; without the signature the others may mean anything.
const SIGNATURES: [(&str, &[&str]); 7] = [
    (
        "sig",
        &[
            "sv", "ss", "srt", "sp", "se", "st", "spr", "sr", "sip", "skoid", "sktid", "skt",
            "ske", "sks", "skv", "sdd", "saoid", "suoid", "scid", "si", "rscc", "rscd", "rsce",
            "rscl", "rsct", "ses",
        ],
    ),
    (
        "signature",
        &[
            "awsaccesskeyid",
            "googleaccessid",
            "expires",
            "policy",
            "key-pair-id",
        ],
    ),
    ("x-amz-signature", &[]),
    ("x-goog-signature", &[]),
    ("token", &[]),
    ("access_token", &[]),
    ("api_key", &[]),
];

/// Where a file is on the web. Prints without its query, which may hold a secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpUrl(Url);

/// Why a text is not the address of a file on the web.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the address of a file: {problem}")]
pub struct ParseHttpUrlError {
    /// What was given, without its query and its user.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl HttpUrl {
    /// Whether a text means an address on the web at all.
    pub fn is_meant(text: &str) -> bool {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| {
            scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
        })
    }

    /// Parses `http://…` and `https://…`; a fragment is left out.
    ///
    /// # Errors
    ///
    /// [`ParseHttpUrlError`] for another scheme, an address without a host, and one with a user and password.
    pub fn parse(text: &str) -> Result<Self, ParseHttpUrlError> {
        let fail = |problem| ParseHttpUrlError {
            text: without_secrets(text),
            problem,
        };
        if !Self::is_meant(text) {
            return Err(fail("the scheme is not http or https"));
        }
        let mut url = Url::parse(text).map_err(|_| fail("it is no URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fail("a user and password in an address are not taken"));
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    pub(super) const fn url(&self) -> &Url {
        &self.0
    }

    /// The last segment of the path, as it stands in the address.
    pub fn file_name(&self) -> &str {
        let path = self.0.path();
        path.rsplit_once('/').map_or(path, |(_, name)| name)
    }

    /// The address as references name it: without what signs it, which grants access and expires.
    pub fn reference(&self) -> String {
        let kept: Vec<&str> = self.parameters().filter(|one| !self.signs(one)).collect();
        let mut url = self.0.clone();
        url.set_query((!kept.is_empty()).then(|| kept.join("&")).as_deref());
        url.to_string()
    }

    /// Whether the reference's address lacks something of this one.
    pub fn is_signed(&self) -> bool {
        self.parameters().any(|parameter| self.signs(parameter))
    }

    fn signs(&self, parameter: &str) -> bool {
        let name = name_of(parameter);
        let present = |marker: &str| self.parameters().any(|other| name_of(other) == marker);
        let listed = SIGNATURES.iter().any(|(marker, others)| {
            name == *marker || (others.contains(&name.as_str()) && present(marker))
        });
        listed || name.starts_with("x-amz-") || name.starts_with("x-goog-")
    }

    fn parameters(&self) -> impl Iterator<Item = &str> {
        let query = self.0.query().unwrap_or_default();
        query.split('&').filter(|parameter| !parameter.is_empty())
    }
}

fn name_of(parameter: &str) -> String {
    let name = parameter
        .split_once('=')
        .map_or(parameter, |(name, _)| name);
    name.to_ascii_lowercase()
}

/// The text of an address without query, fragment and user, for messages.
pub(super) fn without_secrets(text: &str) -> String {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let bare = text.get(..end).unwrap_or_default();
    let Some((scheme, rest)) = bare.split_once("://") else {
        return bare.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_secrets(self.0.as_str()))
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("https://h.org/a/b%20c.nc", "https://h.org/a/b%20c.nc", false)]
    #[case::query_is_part_of_it(
        "https://h.org/get?file=a.nc&v=2",
        "https://h.org/get?file=a.nc&v=2",
        false
    )]
    #[case::azure(
        "https://a.blob.core.windows.net/c/b.nc?sv=2024-01-01&se=2026-01-01T00%3A00%3A00Z&sr=b&sp=r&sig=abc%3D",
        "https://a.blob.core.windows.net/c/b.nc",
        true
    )]
    #[case::s3(
        "https://b.s3.amazonaws.com/k.nc?versionId=7&X-Amz-Signature=abc&X-Amz-Expires=60",
        "https://b.s3.amazonaws.com/k.nc?versionId=7",
        true
    )]
    #[case::no_signature("https://h.org/get?sr=1&st=2", "https://h.org/get?sr=1&st=2", false)]
    #[case::fragment("http://h.org/a.nc#mode=bytes", "http://h.org/a.nc", false)]
    fn a_reference_names_the_file_without_its_signature(
        #[case] text: &str,
        #[case] reference: &str,
        #[case] is_signed: bool,
    ) {
        let url = HttpUrl::parse(text).unwrap();
        assert_eq!(
            (url.reference().as_str(), url.is_signed()),
            (reference, is_signed)
        );
    }

    #[rstest]
    #[case("ftp://h.org/a.nc")]
    #[case("https://")]
    #[case("a.nc")]
    #[case("https://user:secret@h.org/a.nc")]
    fn what_is_no_address_is_refused_without_repeating_a_secret(#[case] text: &str) {
        let error = HttpUrl::parse(text).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn an_address_prints_without_its_query() {
        let url = HttpUrl::parse("https://h.org:8443/a.nc?sig=secret&x=1#secret").unwrap();
        assert_eq!(url.to_string(), "https://h.org:8443/a.nc");
        assert_eq!(format!("{url:?}"), "HttpUrl(https://h.org:8443/a.nc)");
        assert_eq!(url.file_name(), "a.nc");
    }
}
