//! Who is signed in, as Easy Auth tells. SPEC §9.

use warp::http::HeaderMap;

use super::App;

/// The name, or else the id, of the principal of a request.
///
/// The headers count only where the platform sets them, and takes away those that a client sends: anybody can send them
/// to a server without Easy Auth.
pub(crate) fn principal(app: &App, headers: &HeaderMap) -> Option<String> {
    if !app.config.http.easy_auth {
        return None;
    }
    let names = ["x-ms-client-principal-name", "x-ms-client-principal-id"];
    let texts = names
        .iter()
        .filter_map(|name| headers.get(*name)?.to_str().ok());
    texts
        .map(str::trim)
        .find(|text| !text.is_empty())
        .map(str::to_owned)
}
