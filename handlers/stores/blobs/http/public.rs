//! Files on the web that a client of the API asks about: named hosts only, over https, at public addresses. SPEC §1.
//!
//! Who can make a server fetch any address reaches what only that server reaches: the network that it stands in, the
//! identity service of its host. So the host is one of a list, a redirect leads to another of them or nowhere, and
//! what a name resolves to has to be an address of the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Url, redirect};
use tokio::sync::Semaphore;

use super::error::PrivateAddress;
use super::{HttpClient, HttpError, HttpProblem, HttpUrl, IN_ALL, REDIRECTS};

/// The hosts on the web whose files may be asked about.
#[derive(Debug, Default)]
pub struct PublicWeb {
    hosts: Arc<[String]>,
    client: OnceLock<HttpClient>,
}

impl PublicWeb {
    /// These hosts, by their names; none takes nothing at all.
    pub fn new(hosts: &[String]) -> Self {
        Self {
            hosts: hosts.iter().map(|host| host.to_lowercase()).collect(),
            client: OnceLock::new(),
        }
    }

    /// Why a file may not be asked about.
    pub fn refusal(&self, url: &HttpUrl) -> Option<&'static str> {
        refusal(&self.hosts, url.url())
    }

    /// The client for a file, which refuses what [`refusal`](Self::refusal) does, redirects included.
    ///
    /// # Errors
    ///
    /// [`HttpError`] for a file that may not be asked about.
    pub fn client(&self, url: &HttpUrl) -> Result<HttpClient, HttpError> {
        let fail = |problem| HttpError {
            url: Box::new(url.clone()),
            problem,
        };
        if let Some(why) = self.refusal(url) {
            return Err(fail(HttpProblem::Refused(why)));
        }
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = guarded(&self.hosts).map_err(fail)?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

fn guarded(hosts: &Arc<[String]>) -> Result<HttpClient, HttpProblem> {
    Ok(HttpClient {
        client: builder(hosts).build().map_err(HttpProblem::of)?,
        permits: Arc::new(Semaphore::new(IN_ALL)),
    })
}

fn builder(hosts: &Arc<[String]>) -> reqwest::ClientBuilder {
    let hosts = Arc::clone(hosts);
    let follow = move |attempt: redirect::Attempt<'_>| {
        let is_elsewhere = refusal(&hosts, attempt.url()).is_some();
        match is_elsewhere || attempt.previous().len() > REDIRECTS {
            true => attempt.error("not followed"),
            false => attempt.follow(),
        }
    };
    reqwest::Client::builder()
        .user_agent(concat!("landfall/", env!("CARGO_PKG_VERSION")))
        .https_only(true)
        // A proxy would resolve the name itself.
        .no_proxy()
        .redirect(redirect::Policy::custom(follow))
        .dns_resolver(PublicOnly)
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(30))
}

/// Why an address is not one of the listed hosts over https.
fn refusal(hosts: &[String], url: &Url) -> Option<&'static str> {
    let host = url.host_str().unwrap_or_default().to_lowercase();
    if url.scheme() != "https" {
        return Some("only https addresses are taken");
    }
    if url.port().is_some() {
        return Some("only the port of https is taken");
    }
    if !hosts.contains(&host) {
        return Some("its host is not allowed");
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    match literal.parse::<IpAddr>() {
        Ok(address) if !is_public(address) => Some("its host is a private address"),
        _ => None,
    }
}

/// Resolves names to addresses of the public internet, and to nothing where one of them is not.
#[derive(Debug, Clone, Copy)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            if !found.iter().all(|address| is_public(address.ip())) {
                return Err(PrivateAddress.into());
            }
            Ok::<Addrs, _>(Box::new(found.into_iter()))
        })
    }
}

/// Whether an address is one of the public internet, by the special-purpose registries of IANA.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(embedded) => is_public_v4(embedded),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = matches!(
        (a, b, c),
        (0 | 10 | 127, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224.., ..)
    );
    // Where Azure's hosts answer their guests.
    !is_special && address != Ipv4Addr::new(168, 63, 129, 16)
}

/// Global unicast, without what is for documentation, tunnels and benchmarks.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let is_global = first & 0xe000 == 0x2000;
    let is_special = first == 0x2001 && (second < 0x0200 || second == 0x0db8);
    is_global && !is_special && first != 0x3fff
}

/// The address of the older kind that one of the newer carries: mapped, translated, or by 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] => of(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => of(high, low),
        [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod redirects;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // The special-purpose address registries of IANA.
    #[rstest]
    #[case::public("93.184.216.34", true)]
    #[case::loopback("127.0.0.1", false)]
    #[case::this_network("0.0.0.0", false)]
    #[case::private_10("10.1.2.3", false)]
    #[case::private_172("172.31.255.255", false)]
    #[case::beside_private_172("172.32.0.1", true)]
    #[case::private_192("192.168.1.1", false)]
    #[case::metadata_service("169.254.169.254", false)]
    #[case::wire_server("168.63.129.16", false)]
    #[case::carrier("100.64.0.1", false)]
    #[case::multicast("224.0.0.1", false)]
    #[case::broadcast("255.255.255.255", false)]
    #[case::public_v6("2606:2800:220:1:248:1893:25c8:1946", true)]
    #[case::loopback_v6("::1", false)]
    #[case::unspecified_v6("::", false)]
    #[case::unique_local("fd00::1", false)]
    #[case::link_local("fe80::1", false)]
    #[case::mapped_private("::ffff:10.0.0.1", false)]
    #[case::mapped_public("::ffff:93.184.216.34", true)]
    #[case::translated_private("64:ff9b::a00:1", false)]
    #[case::six_to_four_private("2002:a00:1::", false)]
    #[case::documentation("2001:db8::1", false)]
    #[case::teredo("2001::1", false)]
    fn special_addresses_are_not_public(#[case] address: &str, #[case] public: bool) {
        assert_eq!(is_public(address.parse().unwrap()), public);
    }

    #[rstest]
    #[case::listed("https://data.example.org/a.nc", None)]
    #[case::other_case("https://DATA.example.org/a.nc", None)]
    #[case::not_listed("https://other.example.org/a.nc", Some("its host is not allowed"))]
    #[case::suffix("https://evil-data.example.org/a.nc", Some("its host is not allowed"))]
    #[case::no_tls("http://data.example.org/a.nc", Some("only https addresses are taken"))]
    #[case::port(
        "https://data.example.org:8443/a.nc",
        Some("only the port of https is taken")
    )]
    #[case::listed_but_private("https://10.0.0.1/a.nc", Some("its host is a private address"))]
    #[case::number("https://2130706433/a.nc", Some("its host is not allowed"))]
    #[case::listed_but_private_v6("https://[::1]/a.nc", Some("its host is a private address"))]
    fn hosts_are_listed(#[case] url: &str, #[case] why: Option<&str>) {
        let hosts = ["data.example.org", "10.0.0.1", "[::1]"].map(String::from);
        let web = PublicWeb::new(&hosts);
        assert_eq!(web.refusal(&HttpUrl::parse(url).unwrap()), why);
    }

    #[tokio::test]
    async fn a_name_of_a_private_address_is_not_resolved() {
        let resolved = PublicOnly.resolve("localhost".parse().unwrap()).await;
        let error = resolved.map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "the name resolves to a private address");
    }

    #[tokio::test]
    async fn a_listed_host_at_a_private_address_is_refused_once_and_for_all() {
        let url = HttpUrl::parse("https://localhost/a.nc").unwrap();
        let client = PublicWeb::new(&[String::from("localhost")]).client(&url);
        let opened = super::super::HttpFile::open(client.unwrap(), url, 8, 0).await;
        let problem = opened.unwrap_err().problem;
        assert!(
            matches!(problem, HttpProblem::Refused(why) if why.contains("private")),
            "{problem:?}"
        );
        assert!(!problem.is_transient());
    }
}
