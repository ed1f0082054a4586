//! Which hosts the app takes files from over https.

use anyhow::{Result, bail};

/// Hosts that files are read from when a request to the app names them, from `LANDFALL_HTTPS_HOSTS`: names separated
/// by commas, `*.example.org` for all below a name, `:port` where it is not 443. None by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpsHosts(Vec<HostRule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct HostRule {
    /// In lower case; the part behind `*.` where all below it are meant.
    name: String,
    is_below: bool,
    port: u16,
}

impl HttpsHosts {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// Names what is no host.
    pub fn from_env() -> Result<Self> {
        Self::parse(&super::optional("LANDFALL_HTTPS_HOSTS").unwrap_or_default())
    }

    /// Hosts separated by commas.
    ///
    /// # Errors
    ///
    /// Names what is no host.
    pub fn parse(text: &str) -> Result<Self> {
        let parts = text.split(',').map(str::trim);
        let rules = parts.filter(|part| !part.is_empty()).map(HostRule::parse);
        rules.collect::<Result<_>>().map(Self)
    }

    /// Whether files are read from this host and port.
    pub fn allow(&self, host: &str, port: u16) -> bool {
        self.0.iter().any(|rule| rule.allows(host, port))
    }
}

impl HostRule {
    fn parse(text: &str) -> Result<Self> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, port.parse().ok()),
            None => (text, Some(443)),
        };
        let (name, is_below) = match name.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let is_name = |name: &str| {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let mut labels = name.split('.');
            labels.all(|label| !label.is_empty() && label.bytes().all(is_part))
        };
        match port.filter(|port| *port > 0 && is_name(name)) {
            Some(port) => Ok(Self {
                name: name.to_ascii_lowercase(),
                is_below,
                port,
            }),
            None => bail!("LANDFALL_HTTPS_HOSTS: `{text}` is no host, such as data.example.org"),
        }
    }

    fn allows(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let fits = match self.is_below {
            true => host
                .strip_suffix(&self.name)
                .is_some_and(|below| below.ends_with('.') && below.len() > 1),
            false => host == self.name,
        };
        fits && port == self.port
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::the_host("data.example.org", "data.example.org", 443, true)]
    #[case::in_capitals("Data.example.org", "data.EXAMPLE.org", 443, true)]
    #[case::with_the_root_dot("data.example.org", "data.example.org.", 443, true)]
    #[case::other_port("data.example.org", "data.example.org", 8443, false)]
    #[case::its_port("data.example.org:8443", "data.example.org", 8443, true)]
    #[case::below("*.example.org", "a.b.example.org", 443, true)]
    #[case::not_itself("*.example.org", "example.org", 443, false)]
    #[case::not_a_longer_name("*.example.org", "badexample.org", 443, false)]
    #[case::not_a_name_that_ends_so("data.example.org", "x.data.example.org", 443, false)]
    #[case::not_a_name_that_starts_so("data.example.org", "data.example.org.bad.net", 443, false)]
    #[case::second("a.org, b.org,", "b.org", 443, true)]
    #[case::nothing("", "a.org", 443, false)]
    fn only_listed_hosts_are_allowed(
        #[case] rules: &str,
        #[case] host: &str,
        #[case] port: u16,
        #[case] allowed: bool,
    ) {
        assert_eq!(HttpsHosts::parse(rules).unwrap().allow(host, port), allowed);
    }

    #[rstest]
    #[case("https://a.org")]
    #[case("a.org/path")]
    #[case("*")]
    #[case("a.*.org")]
    #[case("a.org:0")]
    #[case("a.org:https")]
    #[case("user@a.org")]
    fn what_is_no_host_is_named(#[case] text: &str) {
        let error = HttpsHosts::parse(text).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}
