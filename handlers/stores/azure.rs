//! What blobs and queues of Azure have in common: the connection, who we are, and what their answers mean.

mod clients;
mod error;
#[cfg(test)]
pub(crate) mod fake;

pub(super) use clients::Clients;
pub(crate) use error::{AccessRefused, Barrier};
pub(super) use error::{Missing, Problem, Refusal};

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{ClientOptions, Context, Request, RetryOptions, Transport, Url};
use tokio::sync::Semaphore;

use super::identity::{Identity, STORAGE_SCOPE};
use super::retry::RetryPolicy;
use crate::config::AzureAccess;

/// Requests in flight for all files of a process.
const IN_ALL: usize = 64;

/// The way to storage accounts; cheap to clone, connections are shared.
#[derive(Debug, Clone)]
pub struct AzureConnection {
    transport: Transport,
    identity: Option<Arc<Identity>>,
    blob_endpoint: String,
    queue_endpoint: String,
    retry: RetryPolicy,
    permits: Arc<Semaphore>,
}

/// Why there is no way to Azure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The HTTP client cannot be made: the system's certificates cannot be loaded.
    #[error("the HTTP client could not be made")]
    Client(#[from] reqwest::Error),
    /// The identity cannot be set up.
    #[error("the identity could not be set up")]
    Identity(#[source] azure_core::Error),
    /// A configured endpoint is no address.
    #[error("`{0}` is not the address of an account")]
    Endpoint(String),
    /// The SDK refuses to make a client.
    #[error("no client for `{account}`")]
    Account {
        /// The account.
        account: String,
        /// What the SDK says.
        #[source]
        source: azure_core::Error,
    },
}

impl AzureConnection {
    /// The way that the configuration describes. Tokens are fetched when the first one is needed, or by
    /// [`Identity::keep_fresh`].
    ///
    /// # Errors
    ///
    /// [`ConnectionError`].
    pub fn try_new(access: &AzureAccess) -> Result<Self, ConnectionError> {
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(20));
        Self::over(client, access, RetryPolicy::default())
    }

    fn over(
        client: reqwest::ClientBuilder,
        access: &AzureAccess,
        retry: RetryPolicy,
    ) -> Result<Self, ConnectionError> {
        // No storage service redirects; what does is none.
        let client = client.redirect(reqwest::redirect::Policy::none()).build()?;
        let transport = Transport::new(Arc::new(client));
        let identity = Identity::try_new(&access.identity, transport.clone());
        Ok(Self {
            identity: identity.map_err(ConnectionError::Identity)?,
            transport,
            blob_endpoint: access.blob_endpoint.clone(),
            queue_endpoint: access.queue_endpoint.clone(),
            retry,
            permits: Arc::new(Semaphore::new(IN_ALL)),
        })
    }

    /// The same with other waits between tries.
    #[must_use]
    pub fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    /// Who we are; `None` for nobody.
    pub const fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// Fetches the tokens for storage, and for other scopes, before they are needed.
    pub fn keep_fresh(&self, others: &[&'static str]) {
        if let Some(identity) = &self.identity {
            identity.keep_fresh(&[STORAGE_SCOPE]);
            identity.keep_fresh(others);
        }
    }

    pub(super) fn credential(&self) -> Option<Arc<dyn TokenCredential>> {
        let identity = self.identity.clone()?;
        Some(identity)
    }

    /// What every client is made with: our tries, not the SDK's besides them.
    pub(super) fn client_options(&self) -> ClientOptions {
        ClientOptions {
            transport: Some(self.transport.clone()),
            retry: RetryOptions::none(),
            per_call_policies: vec![Arc::new(CarryTrace)],
            ..ClientOptions::default()
        }
    }

    /// The address of a container.
    pub(super) fn container_url(
        &self,
        account: &str,
        container: &str,
    ) -> Result<Url, ConnectionError> {
        address(&self.blob_endpoint, account, container)
    }

    /// The address of a queue.
    pub(super) fn queue_url(&self, account: &str, queue: &str) -> Result<Url, ConnectionError> {
        address(&self.queue_endpoint, account, queue)
    }

    /// Runs one request, once there is a place for it, and again while its failure may pass.
    pub(super) async fn send<T, F>(&self, request: impl Fn() -> F) -> Result<T, Refusal>
    where
        F: Future<Output = azure_core::Result<T>>,
    {
        self.try_send(request, Ok).await
    }

    /// The same where an answer may turn out not to be one.
    pub(super) async fn try_send<A, T, F>(
        &self,
        request: impl Fn() -> F,
        check: impl Fn(A) -> Result<T, Problem>,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = azure_core::Result<A>>,
    {
        let attempt = |_| async {
            let _permit = self.permits.acquire().await;
            let answer = request().await.map_err(|error| Refusal::of(&error))?;
            check(answer).map_err(Refusal::from)
        };
        self.retry.run(attempt).await
    }
}

/// Names the trace that a request is part of to the service, whose own logs then show it.
#[derive(Debug)]
struct CarryTrace;

#[async_trait]
impl Policy for CarryTrace {
    async fn send(
        &self,
        context: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        if let Some(trace) = crate::telemetry::trace() {
            request.insert_header("traceparent", trace);
        }
        match next.split_first() {
            Some((first, rest)) => first.send(context, request, rest).await,
            None => Err(azure_core::Error::with_message(
                azure_core::error::ErrorKind::Other,
                "nothing sends the request",
            )),
        }
    }
}

fn address(template: &str, account: &str, name: &str) -> Result<Url, ConnectionError> {
    let account = template.replace("{account}", account);
    let fail = || ConnectionError::Endpoint(account.clone());
    let mut url = Url::parse(&account).map_err(|_| fail())?;
    url.path_segments_mut()
        .map_err(|()| fail())?
        .pop_if_empty()
        .push(name);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[tokio::test]
    async fn requests_carry_the_trace_that_they_are_part_of() {
        use crate::stores::blobs::{AzureBlobs, BlobPath, Blobs as _};

        let fake = fake::Fake::start(vec![fake::Answer::refusal(404, "BlobNotFound")]).await;
        let blobs = AzureBlobs::any(fake.connection(), "acct");
        let path = BlobPath::new("acct", "bronze", "a.nc");
        let trace = String::from("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let asked = crate::telemetry::within_trace(Some(trace.clone()), blobs.head(&path));
        asked.await.unwrap_err();
        blobs.head(&path).await.unwrap_err();
        let carried: Vec<bool> = fake
            .requests()
            .iter()
            .map(|request| request.contains(&format!("traceparent: {trace}")))
            .collect();
        assert_eq!(carried, [true, false]);
    }

    #[rstest]
    #[case(
        "https://{account}.blob.core.windows.net",
        "https://acct.blob.core.windows.net/bronze"
    )]
    #[case(
        "https://127.0.0.1:10000/{account}",
        "https://127.0.0.1:10000/acct/bronze"
    )]
    fn an_endpoint_becomes_an_address(#[case] template: &str, #[case] url: &str) {
        let address = address(template, "acct", "bronze").unwrap();
        assert_eq!(address.as_str(), url);
    }
}
