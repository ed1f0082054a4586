//! The address of a blob: account, container and name, in every form that people write it.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

/// Where a blob is. Prints as `abfs://container@account/name`; [`short`](Self::short) leaves the account out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobPath {
    /// Storage account; `local` for the embedded default.
    pub account: String,
    /// Container.
    pub container: String,
    /// Name inside the container, without a leading slash.
    pub blob: String,
}

/// Why a text is not the address of a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the address of a blob: {problem}")]
pub struct ParseBlobPathError {
    /// What was given, without its query.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl BlobPath {
    /// The blob `blob` of a container.
    pub fn new(
        account: impl Into<String>,
        container: impl Into<String>,
        blob: impl Into<String>,
    ) -> Self {
        Self {
            account: account.into(),
            container: container.into(),
            blob: blob.into(),
        }
    }

    /// Another blob of the same container.
    #[must_use]
    pub fn sibling(&self, blob: impl Into<String>) -> Self {
        Self::new(self.account.clone(), self.container.clone(), blob)
    }

    /// Parses `abfs://container/path`, `abfs://container@account.dfs.core.windows.net/path`, `abfss://…`,
    /// `az://container/path` and `https://account.blob.core.windows.net/container/path`; where no account is
    /// named, `default_account` is meant.
    ///
    /// # Errors
    ///
    /// [`ParseBlobPathError`] for another scheme, a missing container, or a name with `.` or `..` segments.
    pub fn parse(text: &str, default_account: &str) -> Result<Self, ParseBlobPathError> {
        let bare = text.split_once('?').map_or(text, |(before, _)| before);
        let fail = |problem| ParseBlobPathError {
            text: bare.to_owned(),
            problem,
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| fail("it has no scheme"))?;
        // Only an https address has a query; elsewhere a `?` belongs to the name.
        let rest = match scheme {
            "https" => rest.split_once('?').map_or(rest, |(before, _)| before),
            _ => rest,
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let parsed = match scheme {
            "abfs" | "abfss" | "az" => match authority.split_once('@') {
                Some((container, host)) => {
                    let account = account_of(host).ok_or_else(|| fail(NO_ACCOUNT))?;
                    Self::new(account, container, path)
                }
                None => Self::new(default_account, authority, path),
            },
            "https" => {
                let (container, blob) = path.split_once('/').unwrap_or((path, ""));
                let decoded = percent_decode_str(blob)
                    .decode_utf8()
                    .map_err(|_| fail("its name is not UTF-8"))?;
                let account = account_of(authority).filter(|account| *account != authority);
                Self::new(account.ok_or_else(|| fail(NO_ACCOUNT))?, container, decoded)
            }
            _ => return Err(fail("the scheme is not abfs, abfss, az or https")),
        };
        parsed.check().map_err(fail)?;
        Ok(parsed)
    }

    fn check(&self) -> Result<(), &'static str> {
        let bad = |segment: &str| segment == "." || segment == "..";
        if self.container.is_empty() || self.account.is_empty() {
            return Err("it names no container");
        }
        if self.container.contains(['/', '\\', '\0', '@']) || bad(&self.container) {
            return Err("its container is not a name");
        }
        if self.account.contains(['/', '\\', '\0', '@', '.']) {
            return Err("its account is not a name");
        }
        if self.blob.contains('\\') || self.blob.split('/').any(bad) {
            return Err("its name has a segment `.` or `..`, or a backslash");
        }
        // Addresses on the web drop some of them, and would name another blob.
        if self.blob.contains(char::is_control) {
            return Err("its name has a control character");
        }
        Ok(())
    }

    /// Whether what is printed reads as the same path, so that no part of it can pass for another.
    pub fn is_address(&self) -> bool {
        Self::parse(&self.to_string(), "").is_ok_and(|again| again == *self)
    }

    /// The folder of the blob, without a trailing slash; empty at the top.
    pub fn folder(&self) -> &str {
        self.blob.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The last segment of the name.
    pub fn file_name(&self) -> &str {
        self.blob
            .rsplit_once('/')
            .map_or(self.blob.as_str(), |(_, name)| name)
    }

    /// `abfs://container/name`, the form that people read.
    pub fn short(&self) -> String {
        format!("abfs://{}/{}", self.container, self.blob)
    }
}

/// What a host is that is none of Azure's.
const NO_ACCOUNT: &str = "the host is no storage account";

/// Azure's clouds.
const CLOUDS: [&str; 3] = [
    ".core.windows.net",
    ".core.usgovcloudapi.net",
    ".core.chinacloudapi.cn",
];

/// The account of a host such as `account.dfs.core.windows.net`, or of the name of an account alone.
fn account_of(host: &str) -> Option<&str> {
    if !host.contains('.') {
        return Some(host);
    }
    let service = CLOUDS.iter().find_map(|cloud| host.strip_suffix(cloud))?;
    let account = service.strip_suffix(".blob");
    account.or_else(|| service.strip_suffix(".dfs"))
}

impl fmt::Display for BlobPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "abfs://{}@{}/{}",
            self.container, self.account, self.blob
        )
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("abfs://bronze/a/b.nc", "home", "bronze", "a/b.nc")]
    #[case("az://bronze/a/b c.nc", "home", "bronze", "a/b c.nc")]
    #[case(
        "abfs://bronze@acct.dfs.core.windows.net/b.nc",
        "acct",
        "bronze",
        "b.nc"
    )]
    #[case("abfss://bronze@acct.dfs.core.windows.net/a/", "acct", "bronze", "a/")]
    #[case(
        "https://acct.blob.core.windows.net/bronze/a%20b.nc?sv=secret",
        "acct",
        "bronze",
        "a b.nc"
    )]
    #[case(
        "https://acct.dfs.core.windows.net/bronze/b.nc",
        "acct",
        "bronze",
        "b.nc"
    )]
    #[case(
        "https://acct.blob.core.usgovcloudapi.net/bronze/b.nc",
        "acct",
        "bronze",
        "b.nc"
    )]
    #[case("abfs://bronze@local/b.nc", "local", "bronze", "b.nc")]
    #[case("abfs://bronze", "home", "bronze", "")]
    fn every_form_is_read(
        #[case] text: &str,
        #[case] account: &str,
        #[case] container: &str,
        #[case] blob: &str,
    ) {
        assert_eq!(
            BlobPath::parse(text, "home"),
            Ok(BlobPath::new(account, container, blob))
        );
    }

    #[rstest]
    #[case("a b/c#d/50%/e%20f.nc")]
    #[case("p+q?&/a.nc")]
    #[case("dönées/x@y/a:b.nc")]
    fn what_is_printed_reads_as_the_same(#[case] blob: &str) {
        let path = BlobPath::new("acct", "bronze", blob);
        assert_eq!(BlobPath::parse(&path.to_string(), "home"), Ok(path.clone()));
        assert_eq!(BlobPath::parse(&path.short(), "acct"), Ok(path));
    }

    #[rstest]
    #[case("bronze/a.nc")]
    #[case("file:///etc/passwd")]
    #[case("https://example.org/bronze/a.nc")]
    #[case("abfs:///a.nc")]
    #[case("abfs://bronze/../silver/a.nc")]
    #[case("https://acct.blob.core.windows.net/bronze/%2e%2e/a.nc")]
    // Fuzzing: they were printed as addresses of other blobs.
    #[case("https://acct.blob.core.windows.net/b@c/a.nc")]
    #[case("https://a.b.blob.core.windows.net/bronze/a.nc")]
    #[case("https://acct/bronze/a.nc")]
    #[case("abfs://bronze@acct.dfs.example.org/a.nc")]
    #[case("https://acct.blob.core.windows.net/bronze/a%0A.nc")]
    fn what_is_no_address_is_refused(#[case] text: &str) {
        assert!(BlobPath::parse(text, "home").is_err());
    }

    #[rstest]
    #[case("acct", "bronze", "a/b@c.nc", true)]
    #[case("acct", "a/b", "x.nc", false)]
    #[case("acct", "a@b", "x.nc", false)]
    #[case("acct.b", "bronze", "x.nc", false)]
    #[case("acct", "..", "x.nc", false)]
    #[case("acct", "bronze", "../x.nc", false)]
    fn parts_of_an_address_stay_apart(
        #[case] account: &str,
        #[case] container: &str,
        #[case] blob: &str,
        #[case] is_address: bool,
    ) {
        let path = BlobPath::new(account, container, blob);
        assert_eq!(path.is_address(), is_address);
    }

    #[test]
    fn an_error_does_not_repeat_a_secret() {
        let error = BlobPath::parse("https://example.org/x?sig=secret", "home").unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
