//! Who we are in Azure: tokens, fetched before they are needed and renewed before they expire.
//!
//! There are no keys. A managed identity in Azure, the signed-in developer elsewhere, and a token from a file for
//! emulators.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::{Error, ErrorKind};
use azure_core::http::{ClientOptions, Transport};
use azure_core::time::OffsetDateTime;
use azure_identity::{
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId,
};
use tokio::sync::Mutex;

use super::ledger::TokenSource;
use crate::config::{CredentialKind, IdentityConfig};

/// What tokens for blobs and queues are asked for.
pub const STORAGE_SCOPE: &str = "https://storage.azure.com/.default";

/// What tokens that open a PostgreSQL connection are asked for.
pub const POSTGRES_SCOPE: &str = "https://ossrdbms-aad.database.windows.net/.default";

/// A token that is still good for so long is used. The SDK asks for another one five minutes before the end.
const STILL_GOOD: i64 = 120;

/// A token is renewed when it is good for less than this: credentials hand out the old one until five minutes
/// before its end.
const RENEWED_AT: i64 = 280;

/// The longest wait between two tries to get a token in the background.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[error("no token for {scope}: {advice}")]
pub struct IdentityError {
    scope: String,
    advice: &'static str,
    #[source]
    source: Error,
}

/// Who a token speaks for, as far as it tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Principal {
    /// Its id in the directory, which role assignments name.
    pub object_id: Option<String>,
    /// A name that people know it by.
    pub name: Option<String>,
    /// The tenant that it belongs to.
    pub tenant: Option<String>,
    /// Whether it is a program and not a person.
    pub is_app: bool,
}

impl Principal {
    fn of(token: &str) -> Self {
        let claims = claims(token).unwrap_or_default();
        let text = |names: &[&str]| {
            let mut found = names.iter().filter_map(|name| claims.get(*name)?.as_str());
            found.next().map(str::to_owned)
        };
        Self {
            object_id: text(&["oid"]),
            name: text(&[
                "upn",
                "unique_name",
                "preferred_username",
                "xms_mirid",
                "app_displayname",
                "appid",
            ]),
            tenant: text(&["tid"]),
            is_app: text(&["idtyp"]).as_deref() == Some("app") || text(&["xms_mirid"]).is_some(),
        }
    }
}

/// Logs in to PostgreSQL with tokens of an identity.
#[derive(Debug)]
pub struct DatabaseLogin(pub Arc<Identity>);

#[async_trait]
impl TokenSource for DatabaseLogin {
    async fn token(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.token(POSTGRES_SCOPE).await?)
    }
}

/// Tokens by scope; each is fetched once, also when many ask for it at the same time.
#[derive(Debug)]
pub struct Identity {
    credential: Arc<dyn TokenCredential>,
    advice: &'static str,
    tokens: StdMutex<BTreeMap<String, Arc<Slot>>>,
}

/// The token of a scope. While it is renewed the one at hand goes on serving.
#[derive(Debug, Default)]
struct Slot {
    current: StdMutex<Option<AccessToken>>,
    fetching: Mutex<()>,
}

impl Slot {
    fn current(&self, seconds: i64) -> Option<AccessToken> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone().filter(|token| good_for(token) > seconds)
    }

    fn keep(&self, token: &AccessToken) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(token.clone());
    }
}

impl Identity {
    /// The identity of a configuration; `None` for an anonymous one.
    ///
    /// # Errors
    ///
    /// What the SDK cannot set up.
    pub fn try_new(
        config: &IdentityConfig,
        transport: Transport,
    ) -> Result<Option<Arc<Self>>, Error> {
        let (credential, advice): (Arc<dyn TokenCredential>, _) = match &config.credential {
            CredentialKind::Anonymous => return Ok(None),
            CredentialKind::ManagedIdentity => (
                managed_identity(config, transport)?,
                "the app has no managed identity, or LANDFALL_CLIENT_ID is not one of its identities",
            ),
            CredentialKind::Developer => (
                DeveloperToolsCredential::new(None)?,
                "sign in with `az login` or `azd auth login`, or set LANDFALL_CREDENTIAL",
            ),
            CredentialKind::TokenFile(file) => (
                Arc::new(TokenFile(file.clone())),
                "LANDFALL_TOKEN_FILE holds no token",
            ),
        };
        Ok(Some(Arc::new(Self::new(credential, advice))))
    }

    fn new(credential: Arc<dyn TokenCredential>, advice: &'static str) -> Self {
        Self {
            credential,
            advice,
            tokens: StdMutex::default(),
        }
    }

    /// A token for a scope, such as [`POSTGRES_SCOPE`].
    ///
    /// # Errors
    ///
    /// [`IdentityError`], which says what to do about it.
    pub async fn token(&self, scope: &str) -> Result<String, IdentityError> {
        let token = self.access_token(scope).await;
        let token = token.map_err(|source| IdentityError {
            scope: scope.to_owned(),
            advice: self.advice,
            source,
        })?;
        Ok(token.token.secret().to_owned())
    }

    /// Who a token for a scope speaks for.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] if there is no token.
    pub async fn principal(&self, scope: &str) -> Result<Principal, IdentityError> {
        Ok(Principal::of(&self.token(scope).await?))
    }

    /// Fetches tokens in the background from now on, so that nobody waits for one.
    pub fn keep_fresh(self: &Arc<Self>, scopes: &[&'static str]) {
        for scope in scopes.iter().copied() {
            // It ends with the last user of the identity.
            let identity = Arc::downgrade(self);
            tokio::spawn(async move {
                let mut failures = 0;
                loop {
                    let Some(identity) = identity.upgrade() else {
                        return;
                    };
                    let wait = identity.renew(scope, &mut failures).await;
                    drop(identity);
                    tokio::time::sleep(wait).await;
                }
            });
        }
    }

    /// Gets a token if the one at hand is about to end; how long there is nothing more to do.
    async fn renew(&self, scope: &str, failures: &mut u32) -> Duration {
        match self.fetch(scope, RENEWED_AT).await {
            Ok(token) => {
                *failures = 0;
                let left = good_for(&token).saturating_sub(RENEWED_AT);
                Duration::from_secs(u64::try_from(left).unwrap_or(0).max(5))
            }
            Err(error) => {
                *failures = failures.saturating_add(1);
                tracing::warn!(scope, error = %crate::pipeline::chain(&error), "Could not get a token: {}", self.advice);
                LONGEST_WAIT.min(Duration::from_secs(1) * 2u32.saturating_pow((*failures).min(6)))
            }
        }
    }

    async fn access_token(&self, scope: &str) -> Result<AccessToken, Error> {
        self.fetch(scope, STILL_GOOD).await
    }

    /// The token at hand if it is good for so many seconds, else a new one.
    async fn fetch(&self, scope: &str, seconds: i64) -> Result<AccessToken, Error> {
        let slot = {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tokens.entry(scope.to_owned()).or_default())
        };
        if let Some(token) = slot.current(seconds) {
            return Ok(token);
        }
        let _one_at_a_time = slot.fetching.lock().await;
        if let Some(token) = slot.current(seconds) {
            return Ok(token);
        }
        match self.credential.get_token(&[scope], None).await {
            Ok(token) => {
                slot.keep(&token);
                Ok(token)
            }
            // An old token serves as long as it holds.
            Err(error) => slot.current(0).ok_or(error),
        }
    }
}

/// Seconds until a token ends.
fn good_for(token: &AccessToken) -> i64 {
    (token.expires_on - OffsetDateTime::now_utc()).whole_seconds()
}

#[async_trait]
impl TokenCredential for Identity {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> Result<AccessToken, Error> {
        let [scope] = scopes else {
            return Err(credential_error("tokens are for one scope each"));
        };
        let token = self.access_token(scope).await;
        token.map_err(|error| error.with_context(self.advice))
    }
}

fn managed_identity(
    config: &IdentityConfig,
    transport: Transport,
) -> Result<Arc<ManagedIdentityCredential>, Error> {
    ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
        user_assigned_id: config.client_id.clone().map(UserAssignedId::ClientId),
        client_options: ClientOptions {
            transport: Some(transport),
            ..ClientOptions::default()
        },
    }))
}

fn credential_error(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::with_message(ErrorKind::Credential, message)
}

/// A token that somebody else keeps in a file: for emulators, which check its form alone.
#[derive(Debug)]
struct TokenFile(PathBuf);

#[async_trait]
impl TokenCredential for TokenFile {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> Result<AccessToken, Error> {
        let token = tokio::fs::read_to_string(&self.0).await;
        let token =
            token.map_err(|error| credential_error(format!("{}: {error}", self.0.display())))?;
        let token = token.trim().to_owned();
        let expires_on = expiry(&token).ok_or_else(|| not_a_token(&self.0))?;
        Ok(AccessToken::new(token, expires_on))
    }
}

fn not_a_token(file: &Path) -> Error {
    credential_error(format!(
        "{} holds no token that says when it ends",
        file.display()
    ))
}

/// What a JSON web token says: its second part.
fn claims(token: &str) -> Option<serde_json::Value> {
    let claims = token.split('.').nth(1)?;
    let claims = azure_core::base64::decode_url_safe(claims).ok()?;
    serde_json::from_slice(&claims).ok()
}

/// When a JSON web token ends.
fn expiry(token: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(claims(token)?.get("exp")?.as_i64()?).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use rstest::rstest;

    use super::*;

    /// Hands out tokens that are good for so many seconds, and fails for a while.
    #[derive(Debug)]
    struct Issuer {
        asked: AtomicU32,
        good_for: i64,
        fails: std::ops::Range<u32>,
    }

    #[async_trait]
    impl TokenCredential for Issuer {
        async fn get_token(
            &self,
            scopes: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> Result<AccessToken, Error> {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
            if self.fails.contains(&number) {
                return Err(credential_error("not now"));
            }
            let end = OffsetDateTime::now_utc().unix_timestamp() + self.good_for;
            let end = OffsetDateTime::from_unix_timestamp(end).unwrap();
            Ok(AccessToken::new(format!("{}-{number}", scopes[0]), end))
        }
    }

    fn identity(good_for: i64, fails: std::ops::Range<u32>) -> (Arc<Identity>, Arc<Issuer>) {
        let issuer = Arc::new(Issuer {
            asked: AtomicU32::new(0),
            good_for,
            fails,
        });
        let credential = Arc::<Issuer>::clone(&issuer);
        (Arc::new(Identity::new(credential, "sign in")), issuer)
    }

    #[tokio::test]
    async fn many_who_ask_at_once_share_one_token_of_their_scope() {
        let (identity, issuer) = identity(3600, 0..0);
        let ask = |scope| identity.token(scope);
        let (a, b, c) = tokio::join!(ask("x"), ask("x"), ask("y"));
        assert_eq!(a.unwrap(), b.unwrap());
        assert!(c.unwrap().starts_with("y-"));
        assert_eq!(issuer.asked.load(Ordering::Relaxed), 2);
    }

    #[rstest]
    #[case::fresh(3600, 1)]
    #[case::about_to_end(STILL_GOOD - 1, 2)]
    #[tokio::test]
    async fn a_token_is_renewed_before_it_ends(#[case] good_for: i64, #[case] asked: u32) {
        let (identity, issuer) = identity(good_for, 0..0);
        identity.token("x").await.unwrap();
        identity.token("x").await.unwrap();
        assert_eq!(issuer.asked.load(Ordering::Relaxed), asked);
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_renewed_serves_until_its_end() {
        let (identity, issuer) = identity(60, 1..9);
        let first = identity.token("x").await.unwrap();
        assert_eq!(identity.token("x").await.unwrap(), first);
        assert_eq!(issuer.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn what_to_do_about_a_missing_token_is_said() {
        let (identity, _) = identity(60, 0..9);
        let error = identity.token("x").await.unwrap_err();
        assert_eq!(error.to_string(), "no token for x: sign in");
    }

    #[tokio::test]
    async fn tokens_come_in_the_background() {
        let (identity, issuer) = identity(3600, 0..0);
        identity.keep_fresh(&["x"]);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(issuer.asked.load(Ordering::Relaxed), 1);
        identity.token("x").await.unwrap();
        assert_eq!(issuer.asked.load(Ordering::Relaxed), 1, "it was there");
    }

    // {"oid":"1-2","tid":"3-4","idtyp":"app","appid":"5-6"}
    #[test]
    fn a_token_says_whom_it_speaks_for() {
        let token =
            "e30.eyJvaWQiOiIxLTIiLCJ0aWQiOiIzLTQiLCJpZHR5cCI6ImFwcCIsImFwcGlkIjoiNS02In0.c2ln";
        let text = |text: &str| Some(text.to_owned());
        let expected = Principal {
            object_id: text("1-2"),
            name: text("5-6"),
            tenant: text("3-4"),
            is_app: true,
        };
        assert_eq!(Principal::of(token), expected);
        assert_eq!(Principal::of("nonsense"), Principal::default());
    }

    // {"exp":1700000000} and {"exp":1700000001,"a":"~"}, which has a character of the URL-safe alphabet.
    #[rstest]
    #[case("e30.eyJleHAiOjE3MDAwMDAwMDB9.c2ln", Some(1_700_000_000))]
    #[case("e30.eyJleHAiOjE3MDAwMDAwMDEsImEiOiI_In0.c2ln", Some(1_700_000_001))]
    #[case("e30.e30.c2ln", None)]
    #[case("nonsense", None)]
    #[case("", None)]
    fn a_token_says_when_it_ends(#[case] token: &str, #[case] end: Option<i64>) {
        assert_eq!(expiry(token).map(OffsetDateTime::unix_timestamp), end);
    }
}
