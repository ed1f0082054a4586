//! Who is asking. Easy Auth says so in headers, which count only where it stands before the app: it takes off what a
//! client sends under the same names. SPEC §8, §9.

use warp::http::HeaderMap;

use super::App;
use super::error::ApiError;

/// Names of the signed-in principal, the readable one first.
const HEADERS: [&str; 2] = ["x-ms-client-principal-name", "x-ms-client-principal-id"];

/// The signed-in principal; `None` where nobody is, or nothing says who.
pub(crate) fn principal<'a>(app: &App, headers: &'a HeaderMap) -> Option<&'a str> {
    if !app.config.http.easy_auth {
        return None;
    }
    let named = HEADERS
        .iter()
        .filter_map(|name| headers.get(*name)?.to_str().ok());
    named.map(str::trim).find(|name| !name.is_empty())
}

/// Who answers for a decision: with Easy Auth the signed-in principal, else whom the body names.
///
/// # Errors
///
/// 401 where Easy Auth stands before the app and nobody is signed in: a name in a body would be anybody's.
pub(super) fn actor(
    app: &App,
    headers: &HeaderMap,
    named: Option<String>,
) -> Result<Option<String>, ApiError> {
    match principal(app, headers) {
        Some(principal) => Ok(Some(principal.to_owned())),
        None if app.config.http.easy_auth => Err(ApiError::unauthorized(
            "sign in: who decides about a Release is the signed-in principal",
        )),
        None => Ok(named),
    }
}
