//! `POST /api/releases/{release_id}/token`: an address under which a revision can be read for a while. SPEC §9.
//!
//! Takes `{"expires_in": "P7D", "revision": 3}`, both optional: seven days, the revision published last. Answers
//! `{"success", "release_id", "revision", "zarr_url", "zarr_v3_url", "expires_at"}`; 400 for a period that is none, is
//! longer than a year or ends, 404 for a Release or revision that is not there, 409 for one that was withdrawn.

use std::sync::Arc;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde::Deserialize;
use serde_json::json;
use warp::http::StatusCode;
use warp::{Filter, Rejection, Reply};

use super::token::Scope;
use crate::catalog::item::zarr_url;
use crate::http::App;
use crate::http::error::{Answer, ApiError, answer, json_answer};
use crate::http::platform::collect;

/// The longest that a token holds.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

const FIELDS: [&str; 2] = ["expires_in", "revision"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default = "a_week")]
    expires_in: String,
    revision: Option<i64>,
}

fn a_week() -> String {
    String::from("P7D")
}

/// The route.
pub fn routes(app: Arc<App>) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    warp::path!("api" / "releases" / String / "token")
        .and(warp::post())
        .and(warp::body::stream())
        .and(crate::http::with(app))
        .then(|release_id: String, body, app: Arc<App>| async move {
            let answered = async {
                let body = collect(body).await?;
                grant(&app, &release_id, &body, Timestamp::now()).await
            };
            answer(answered.await)
        })
}

async fn grant(
    app: &App,
    release_id: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<Answer, ApiError> {
    let wish = wish(body)?;
    let expiry = now
        .checked_add(period(&wish.expires_in)?)
        .map_err(|_| ApiError::validation("expires_in is too long"))?;
    let no_release = || ApiError::not_found("there is no such Release");
    let release = app
        .ledger
        .release(release_id)
        .await?
        .ok_or_else(no_release)?;
    let revision = wish.revision.unwrap_or(release.revision);
    let published = app.ledger.revision(release_id, revision).await?;
    let published =
        published.ok_or_else(|| ApiError::not_found("there is no such published revision"))?;
    if !published.is_live {
        return Err(ApiError::release_state(
            "this Release is not, or no longer, published",
        ));
    }
    let scope = Scope {
        release_id,
        revision,
    };
    let token = app
        .keyring
        .issue(app.ledger.as_ref(), scope, expiry)
        .await?;
    let plain = zarr_url(&app.config.http.public_url, release_id, revision);
    let document = json!({
        "success": true,
        "release_id": release_id,
        "revision": revision,
        "zarr_url": format!("{plain}/~{token}"),
        "zarr_v3_url": format!("{plain}/~{token}/~v3"),
        "expires_at": Timestamp::from_second(expiry.as_second()).unwrap_or(expiry),
    });
    Ok(json_answer(StatusCode::OK, &document))
}

fn wish(body: &[u8]) -> Result<Wish, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        ApiError::validation(format!("the body is not a request for a token: {error}"))
            .with("valid_parameters", json!(FIELDS))
    })
}

/// An ISO 8601 period of weeks, days and smaller units.
fn period(text: &str) -> Result<SignedDuration, ApiError> {
    let span = text
        .parse::<Span>()
        .ok()
        .filter(|_| text.starts_with('P'))
        .and_then(|span| {
            let days = SpanRelativeTo::days_are_24_hours();
            span.to_duration(days).ok()
        });
    let problem = |what: &str| {
        ApiError::validation(format!("expires_in is `{text}`, {what}"))
            .with("field", json!("expires_in"))
    };
    match span {
        Some(span) if span > LONGEST => Err(problem("longer than 366 days")),
        Some(span) if span >= SignedDuration::from_secs(1) => Ok(span),
        Some(_) => Err(problem("less than a second")),
        None => Err(problem("not an ISO 8601 period such as P7D or PT12H")),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("P7D", Some(7 * 86_400))]
    #[case("PT12H", Some(43_200))]
    #[case("P1DT1S", Some(86_401))]
    #[case("P2W", Some(14 * 86_400))]
    #[case("P366D", Some(366 * 86_400))]
    #[case("P367D", None)]
    #[case("PT0S", None)]
    #[case("-P1D", None)]
    #[case("P1M", None)]
    #[case("7 days", None)]
    #[case("", None)]
    fn periods_are_bounded(#[case] text: &str, #[case] seconds: Option<i64>) {
        assert_eq!(period(text).ok().map(|period| period.as_secs()), seconds);
    }
}
