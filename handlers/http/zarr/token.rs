//! Read tokens: who holds the address of a revision with one in it may read it until it runs out. SPEC §9.
//!
//! `{expiry}-{mac}`: seconds since 1970, and the HMAC-SHA256 over release, revision and expiry in hexadecimal digits.
//! The token is a part of the path, since clients of Zarr lose query strings. The key is made when it is first needed
//! and kept in the ledger, so that every instance has the same.

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;
use tokio::sync::OnceCell;

use crate::http::error::ApiError;
use crate::stores::ledger::Ledger;

/// Name of the key in the table of secrets.
const SECRET: &str = "zarr-read-token";

/// What a token lets be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) release_id: &'a str,
    pub(crate) revision: i64,
}

/// The key, once it was needed.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    key: OnceCell<Vec<u8>>,
}

impl Keyring {
    /// A token for `scope` that holds until `expiry`.
    pub(crate) async fn issue(
        &self,
        ledger: &dyn Ledger,
        scope: Scope<'_>,
        expiry: Timestamp,
    ) -> Result<String, ApiError> {
        let seconds = expiry.as_second();
        let mac = mac(self.key(ledger).await?, scope, seconds)?;
        let digits: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(format!("{seconds}-{digits}"))
    }

    /// Whether a token, without its `~`, lets `scope` be read now.
    ///
    /// # Errors
    ///
    /// 401 with the reason why it does not.
    pub(super) async fn check(
        &self,
        ledger: &dyn Ledger,
        scope: Scope<'_>,
        token: &str,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let wrong = || ApiError::unauthorized("the read token is not one for this revision");
        let (seconds, digits) = token.split_once('-').ok_or_else(wrong)?;
        let seconds: i64 = seconds.parse().map_err(|_| wrong())?;
        let given = unhex(digits).ok_or_else(wrong)?;
        // Takes the same time wherever the two differ.
        mac(self.key(ledger).await?, scope, seconds)?
            .verify_slice(&given)
            .map_err(|_| wrong())?;
        if seconds <= now.as_second() {
            return Err(ApiError::unauthorized("the read token has run out"));
        }
        Ok(())
    }

    async fn key(&self, ledger: &dyn Ledger) -> Result<&[u8], ApiError> {
        let key = self.key.get_or_try_init(|| async {
            let mut fresh = [0; 32];
            let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
            random
                .fill(&mut fresh)
                .map_err(|_| ApiError::internal("the system gives no random bytes"))?;
            Ok::<_, ApiError>(ledger.secret(SECRET, &fresh).await?)
        });
        key.await.map(Vec::as_slice)
    }
}

fn mac(key: &[u8], scope: Scope<'_>, seconds: i64) -> Result<Hmac<Sha256>, ApiError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(ApiError::internal)?;
    let text = format!("read\n{}\n{}\n{seconds}", scope.release_id, scope.revision);
    mac.update(text.as_bytes());
    Ok(mac)
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let is_hex = digits
        .bytes()
        .all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .filter(|_| is_hex && digits.len() == 64)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::stores::ledger::SqliteLedger;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);
    const SCOPE: Scope<'_> = Scope {
        release_id: "ab",
        revision: 1,
    };

    async fn ledger(folder: &tempfile::TempDir) -> SqliteLedger {
        let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
        let key = b"0123456789abcdef0123456789abcdef";
        let kept = crate::stores::ledger::ServingLedger::secret(&ledger, SECRET, key).await;
        assert_eq!(kept.unwrap(), key);
        ledger
    }

    // printf 'read\nab\n1\n1700000060' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
    const TOKEN: &str =
        "1700000060-6736306913e4484186acdf6b14c1fba4838f4a4f6ddec6488ea483982d2f4c49";

    #[tokio::test]
    async fn a_token_is_the_hmac_of_what_it_is_for() {
        let folder = tempfile::tempdir().unwrap();
        let expiry = Timestamp::constant(1_700_000_060, 0);
        let ledger = ledger(&folder).await;
        let issued = Keyring::default().issue(&ledger, SCOPE, expiry).await;
        assert_eq!(issued.unwrap(), TOKEN);
    }

    #[rstest]
    #[case::as_issued(TOKEN, SCOPE, 0, None)]
    #[case::run_out(TOKEN, SCOPE, 60, Some("has run out"))]
    #[case::another_release(TOKEN, Scope { release_id: "ac", ..SCOPE }, 0, Some("not one for this"))]
    #[case::another_revision(TOKEN, Scope { revision: 2, ..SCOPE }, 0, Some("not one for this"))]
    #[case::prolonged(&TOKEN.replace("1700000060", "1800000060"), SCOPE, 0, Some("not one for this"))]
    #[case::cut(TOKEN.get(..40).unwrap(), SCOPE, 0, Some("not one for this"))]
    #[case::no_mac("1700000060-", SCOPE, 0, Some("not one for this"))]
    #[case::capitals(&TOKEN.to_uppercase(), SCOPE, 0, Some("not one for this"))]
    #[case::no_token("v2", SCOPE, 0, Some("not one for this"))]
    #[tokio::test]
    async fn only_a_token_as_it_was_issued_lets_read(
        #[case] token: &str,
        #[case] scope: Scope<'_>,
        #[case] seconds: i64,
        #[case] reason: Option<&str>,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(&folder).await;
        let now = NOW + jiff::SignedDuration::from_secs(seconds);
        let checked = Keyring::default().check(&ledger, scope, token, now).await;
        match (checked, reason) {
            (Ok(()), None) => {}
            (Err(error), Some(reason)) => {
                let answer = error.into_answer();
                assert_eq!(answer.status(), 401);
                assert!(str::from_utf8(answer.body()).unwrap().contains(reason));
            }
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }
}
