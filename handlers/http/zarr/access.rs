//! Who may read which store. SPEC §9.

use jiff::Timestamp;
use warp::http::HeaderMap;

use super::address::{Address, Place};
use super::token::Scope;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::principal::principal;
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::Revision;

/// Why the reader is let in, and to what.
#[derive(Debug)]
pub(super) struct Permit {
    /// Where the document of a revision lies; that of a file is looked for when it is needed.
    pub(super) document: Option<BlobPath>,
    /// Whether anybody is let in.
    pub(super) is_open: bool,
}

/// Lets a reader in.
///
/// # Errors
///
/// 410 where there is nothing to be read, else 401 where this reader may not.
pub(super) async fn authorize(
    app: &App,
    address: &Address,
    headers: &HeaderMap,
) -> Result<Permit, ApiError> {
    let everybody = app.config.http.open_access;
    match &address.place {
        Place::File { .. } if everybody || principal(app, headers).is_some() => Ok(Permit {
            document: None,
            is_open: everybody,
        }),
        Place::File { .. } => Err(ApiError::unauthorized(
            "the stores of single files are for those who are signed in",
        )),
        Place::Revision {
            release_id,
            revision,
        } => {
            let found = live(app, release_id, *revision).await?;
            let is_open = everybody || found.is_public;
            if !is_open && principal(app, headers).is_none() {
                let scope = Scope {
                    release_id,
                    revision: *revision,
                };
                check_token(app, scope, address.token.as_deref()).await?;
            }
            Ok(Permit {
                document: Some(app.blobs.silver(&found.blob_path)),
                is_open,
            })
        }
    }
}

/// What somebody may read who may read everything: a live revision.
///
/// # Errors
///
/// 410 where there is nothing to be read.
pub(super) async fn permit(app: &App, address: &Address) -> Result<Permit, ApiError> {
    let Place::Revision {
        release_id,
        revision,
    } = &address.place
    else {
        return Err(ApiError::gone("there is no such revision"));
    };
    let found = live(app, release_id, *revision).await?;
    Ok(Permit {
        document: Some(app.blobs.silver(&found.blob_path)),
        is_open: false,
    })
}

async fn live(app: &App, release_id: &str, revision: i64) -> Result<Revision, ApiError> {
    let found = app.ledger.revision(release_id, revision).await?;
    found
        .filter(|found| found.is_live)
        .ok_or_else(|| ApiError::gone("this revision is not, or no longer, published"))
}

async fn check_token(app: &App, scope: Scope<'_>, token: Option<&str>) -> Result<(), ApiError> {
    let token = token.ok_or_else(|| {
        ApiError::unauthorized(
            "this Release is not public: sign in, or use an address with a read token",
        )
    })?;
    let ledger = app.ledger.as_ref();
    app.keyring
        .check(ledger, scope, token, Timestamp::now())
        .await
}
