//! What a request to the app may have read from the web: allow-listed https hosts at public addresses, also where
//! redirects lead. SPEC §1.
//!
//! A host is judged by its name, and again by the addresses that the name stands for when the connection is made:
//! a name that comes to mean an address in here is not followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Url, redirect};

use super::{HttpClient, HttpProblem, REDIRECTS};
use crate::config::HttpsHosts;

/// Where an address may lead.
#[derive(Debug, Clone)]
pub(in crate::stores::blobs) struct Fence {
    hosts: Arc<HttpsHosts>,
    addresses: Addresses,
}

/// Which addresses hosts may have.
#[derive(Debug, Clone)]
enum Addresses {
    /// Those that the whole world reaches.
    Public,
    /// Every name is a server of a test.
    #[cfg(test)]
    At(SocketAddr),
}

/// Why an address is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAllowed {
    /// Its scheme is not https.
    #[error("only https addresses are read")]
    Scheme,
    /// Its host is not listed.
    #[error("the host `{0}` is not allowed (LANDFALL_HTTPS_HOSTS)")]
    Host(String),
    /// Its host is, or stands for, an address that is not public.
    #[error("the host `{0}` has no public address")]
    Private(String),
}

impl Fence {
    pub(in crate::stores::blobs) fn new(hosts: HttpsHosts) -> Self {
        Self {
            hosts: Arc::new(hosts),
            addresses: Addresses::Public,
        }
    }

    #[cfg(test)]
    fn around(hosts: HttpsHosts, server: SocketAddr) -> Self {
        Self {
            hosts: Arc::new(hosts),
            addresses: Addresses::At(server),
        }
    }

    /// Whether an address may be asked, as far as it tells.
    pub(in crate::stores::blobs) fn check(&self, url: &Url) -> Result<(), NotAllowed> {
        if url.scheme() != "https" {
            return Err(NotAllowed::Scheme);
        }
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.parse().is_ok_and(|address| !is_public(address)) {
            return Err(NotAllowed::Private(bare.to_owned()));
        }
        let port = url.port_or_known_default().unwrap_or(0);
        match self.hosts.allow(host, port) {
            true => Ok(()),
            false => Err(NotAllowed::Host(host.to_owned())),
        }
    }

    /// A client that stays inside.
    pub(in crate::stores::blobs) fn client(&self) -> Result<HttpClient, HttpProblem> {
        HttpClient::over(self.builder())
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        let fence = self.clone();
        let follow = move |attempt: redirect::Attempt<'_>| {
            if attempt.previous().len() > REDIRECTS {
                return attempt.error("too many redirects");
            }
            match fence.check(attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(refused) => attempt.error(refused),
            }
        };
        // Through a proxy nobody knows where a name leads.
        HttpClient::builder()
            .no_proxy()
            .redirect(redirect::Policy::custom(follow))
            .dns_resolver(Arc::new(self.clone()))
    }
}

impl Resolve for Fence {
    fn resolve(&self, name: Name) -> Resolving {
        let fence = self.clone();
        Box::pin(async move {
            let found = fence.addresses_of(name.as_str()).await?;
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

impl Fence {
    /// The addresses of a name that may be asked; an error where there is none.
    async fn addresses_of(
        &self,
        name: &str,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found = match self.addresses {
            Addresses::Public => tokio::net::lookup_host((name, 0)).await?,
            #[cfg(test)]
            Addresses::At(server) => return Ok(vec![server]),
        };
        let public: Vec<SocketAddr> = found.filter(|found| is_public(found.ip())).collect();
        match public.is_empty() {
            true => Err(NotAllowed::Private(name.to_owned()).into()),
            false => Ok(public),
        }
    }
}

/// Whether an address is one that the whole world reaches.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    let is_special = match (a, b, c, d) {
        (0 | 10 | 127, ..) | (169, 254, ..) | (192, 168, ..) => true,
        (100, 64..=127, ..) | (172, 16..=31, ..) | (198, 18..=19, ..) => true,
        // Protocol assignments, documentation, the old anycast of 6to4.
        (192, 0, 0 | 2, _) | (198, 51, 100, _) | (203, 0, 113, _) | (192, 88, 99, _) => true,
        // Where machines in Azure reach their platform.
        (168, 63, 129, 16) => true,
        // Multicast and reserved.
        (224..=255, ..) => true,
        _ => false,
    };
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let last = || {
        let [x, y] = g.to_be_bytes();
        let [z, w] = h.to_be_bytes();
        Ipv4Addr::new(x, y, z, w)
    };
    match (a, b) {
        // An address of version 4, in its several disguises.
        (0, 0) if (c, d, e) == (0, 0, 0) && matches!(f, 0 | 0xffff) => is_public_v4(last()),
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => is_public_v4(last()),
        (0x2002, _) => {
            let ([x, y], [z, w]) = (b.to_be_bytes(), c.to_be_bytes());
            is_public_v4(Ipv4Addr::new(x, y, z, w))
        }
        // Teredo, benchmarks, ORCHID and the like, documentation.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0xfff) => false,
        // Only this eighth is given out to the world.
        _ => a & 0xe000 == 0x2000,
    }
}

/// The refusal behind an error of the client, if there is one.
pub(super) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<NotAllowed> {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut refused = chain.filter_map(|error| error.downcast_ref::<NotAllowed>());
    refused.next().cloned()
}

#[cfg(test)]
mod tests;
