//! What a list is asked for: `limit`, `token`, `bbox` and `datetime`, as OGC API Features (17-069r4, §7.15) has them. What
//! they do not allow is 400.

use std::collections::HashMap;

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::http::error::ApiError;
use crate::stores::ledger::{StacFilter, StacWindow};

/// Documents on a page, unless another number is asked for.
const LIMIT: u32 = 10;

/// Most documents on a page.
const MOST: u32 = 1000;

/// What every list takes.
pub(super) const OF_LISTS: &[&str] = &["limit", "token"];

/// What a list of items takes.
pub(super) const OF_ITEMS: &[&str] = &["limit", "token", "bbox", "datetime"];

/// The parameters of a request.
pub(super) type Parameters = HashMap<String, String>;

/// A request for a part of a list.
#[derive(Debug, PartialEq)]
pub(super) struct Query {
    pub(super) window: StacWindow,
    pub(super) filter: StacFilter,
    /// What was said of the filter, for the links to this part and the next.
    said: Vec<(&'static str, String)>,
}

impl Query {
    /// Reads the parameters, none but those that are known.
    pub(super) fn read(parameters: &Parameters, known: &[&'static str]) -> Result<Self, ApiError> {
        let is_known = |name: &String| known.contains(&name.as_str()) || name == "code";
        if let Some(name) = parameters.keys().find(|name| !is_known(name)) {
            let message = format!("there is no parameter `{name}`");
            return Err(ApiError::validation(message).with("valid_parameters", json!(known)));
        }
        let (from, until) = parameters
            .get("datetime")
            .map_or(Ok((None, None)), |text| interval(text))?;
        let bbox = parameters.get("bbox").map(|text| bbox(text)).transpose()?;
        let said = ["bbox", "datetime"].into_iter();
        let said = said.filter_map(|name| Some((name, parameters.get(name)?.clone())));
        Ok(Self {
            window: StacWindow {
                limit: limit(parameters.get("limit"))?,
                after: parameters.get("token").cloned(),
            },
            filter: StacFilter { bbox, from, until },
            said: said.collect(),
        })
    }

    /// The address of this part of the list at `own`.
    pub(super) fn address(&self, own: &str) -> String {
        self.address_after(own, self.window.after.as_deref())
    }

    /// The address of the part after a document.
    pub(super) fn address_after(&self, own: &str, after: Option<&str>) -> String {
        let mut address = format!("{own}?limit={}", self.window.limit);
        let said = self.said.iter().map(|(name, text)| (*name, text.as_str()));
        for (name, text) in said.chain(after.map(|after| ("token", after))) {
            let text = utf8_percent_encode(text, NON_ALPHANUMERIC);
            address = format!("{address}&{name}={text}");
        }
        address
    }
}

/// A number above the most there are is that many, as OGC's rule is.
fn limit(text: Option<&String>) -> Result<u32, ApiError> {
    let limit = text.map_or(Ok(u64::from(LIMIT)), |text| text.parse());
    let limit = limit.ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| ApiError::validation("limit is a whole number from 1"))?;
    Ok(u32::try_from(limit).unwrap_or(MOST).min(MOST))
}

/// `west,south,east,north`, or with heights `west,south,low,east,north,high`, in degrees.
fn bbox(text: &str) -> Result<[f64; 4], ApiError> {
    let refuse =
        |why: &str| ApiError::validation(format!("bbox: {why}")).with("field", json!("bbox"));
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    let numbers = numbers.map_err(|_| refuse("it has 4 or 6 numbers with commas between them"))?;
    let bbox = match numbers.as_slice() {
        [west, south, east, north] => [*west, *south, *east, *north],
        [_, _, low, _, _, high] if low > high => {
            return Err(refuse("its lowest height is above its highest"));
        }
        [west, south, _, east, north, _] => [*west, *south, *east, *north],
        _ => return Err(refuse("it has 4 or 6 numbers with commas between them")),
    };
    let [west, south, east, north] = bbox;
    let is_longitude = |degrees: f64| (-180.0..=180.0).contains(&degrees);
    let is_latitude = |degrees: f64| (-90.0..=90.0).contains(&degrees);
    if !(is_longitude(west) && is_longitude(east) && is_latitude(south) && is_latitude(north)) {
        return Err(refuse(
            "longitudes are from -180 to 180, latitudes from -90 to 90",
        ));
    }
    match south > north {
        true => Err(refuse("its south is north of its north")),
        false => Ok(bbox),
    }
}

/// An instant, or two with `/` between them; one of the two may be open: `..` or nothing.
fn interval(text: &str) -> Result<(Option<Timestamp>, Option<Timestamp>), ApiError> {
    let refuse = |why: &str| {
        ApiError::validation(format!("datetime is `{text}`; {why}"))
            .with("field", json!("datetime"))
    };
    let form = "it is an instant such as 2000-01-01T00:00:00Z, or an interval of two with / between them, one of which may be ..";
    let end = |text: &str| match text {
        "" | ".." => Ok(None),
        text => instant(text).map(Some).ok_or_else(|| refuse(form)),
    };
    match text.split_once('/') {
        None => {
            let at = instant(text).ok_or_else(|| refuse(form))?;
            Ok((Some(at), Some(at)))
        }
        Some((from, until)) => match (end(from)?, end(until)?) {
            (None, None) => Err(refuse("one end has to be an instant")),
            (Some(from), Some(until)) if from > until => Err(refuse("it ends before it begins")),
            ends => Ok(ends),
        },
    }
}

/// An RFC 3339 date-time, whole.
fn instant(text: &str) -> Option<Timestamp> {
    let is_shaped =
        text.bytes()
            .zip(*b"0000-00-00T00:00:00")
            .filter(|(found, wanted)| match wanted {
                b'0' => found.is_ascii_digit(),
                wanted => found.to_ascii_uppercase() == *wanted,
            });
    // What follows is a fraction and an offset; the rest of what the parser takes is another standard's.
    let is_date_time = is_shaped.count() == 19 && !text.contains('[');
    is_date_time.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(parameters: &[(&str, &str)]) -> Result<Query, ApiError> {
        let parameters = parameters.iter();
        let parameters = parameters.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Query::read(&parameters.collect(), OF_ITEMS)
    }

    #[rstest]
    #[case::none(&[], 10)]
    #[case::one(&[("limit", "1")], 1)]
    #[case::more_than_there_are(&[("limit", "1001")], 1000)]
    #[case::far_more(&[("limit", "10000000000")], 1000)]
    fn a_limit_is_kept_to_the_most(#[case] parameters: &[(&str, &str)], #[case] limit: u32) {
        assert_eq!(read(parameters).unwrap().window.limit, limit);
    }

    #[rstest]
    #[case::flat("-10.5,40,20,50", [-10.5, 40.0, 20.0, 50.0])]
    #[case::with_heights("-10,40,0,20,50,8000", [-10.0, 40.0, 20.0, 50.0])]
    #[case::across_the_antimeridian("170,-10,-170,10", [170.0, -10.0, -170.0, 10.0])]
    #[case::a_point("5,5,5,5", [5.0, 5.0, 5.0, 5.0])]
    fn a_box_is_read(#[case] text: &str, #[case] expected: [f64; 4]) {
        assert_eq!(read(&[("bbox", text)]).unwrap().filter.bbox, Some(expected));
    }

    // Seconds since 1970, as `date -u -d … +%s` tells them.
    #[rstest]
    #[case::instant("2000-01-01T00:00:00Z", Some(946_684_800), Some(946_684_800))]
    #[case::with_offset("2000-01-01T01:00:00+01:00", Some(946_684_800), Some(946_684_800))]
    #[case::in_small_letters("2000-01-01t00:00:00z", Some(946_684_800), Some(946_684_800))]
    #[case::interval(
        "2000-01-01T00:00:00Z/2001-01-01T00:00:00Z",
        Some(946_684_800),
        Some(978_307_200)
    )]
    #[case::open_start("../2001-01-01T00:00:00Z", None, Some(978_307_200))]
    #[case::open_end("2000-01-01T00:00:00.000Z/", Some(946_684_800), None)]
    fn a_time_is_read(#[case] text: &str, #[case] from: Option<i64>, #[case] until: Option<i64>) {
        let filter = read(&[("datetime", text)]).unwrap().filter;
        let seconds = |at: Option<Timestamp>| at.map(Timestamp::as_second);
        assert_eq!((seconds(filter.from), seconds(filter.until)), (from, until));
    }

    #[rstest]
    #[case("bbox", "")]
    #[case("bbox", "1,2,3")]
    #[case("bbox", "1,2,3,4,5")]
    #[case("bbox", "1,2,3,north")]
    #[case("bbox", "1,2,3,NaN")]
    #[case("bbox", "1,2,3,inf")]
    #[case("bbox", "0,-90,360,90")]
    #[case("bbox", "0,10,20,5")]
    #[case("bbox", "0,0,9,1,1,8")]
    #[case("datetime", "")]
    #[case("datetime", "2000-01-01")]
    #[case("datetime", "2000")]
    #[case("datetime", "2000-02-30T00:00:00Z")]
    #[case("datetime", "2000-01-01T00:00:00")]
    #[case("datetime", "2000-01-01T00:00:00+01:00[Europe/Paris]")]
    #[case("datetime", "../..")]
    #[case("datetime", "/")]
    #[case("datetime", "2001-01-01T00:00:00Z/2000-01-01T00:00:00Z")]
    #[case("datetime", "2000-01-01T00:00:00Z/2000-01-01T00:00:00Z/..")]
    #[case("limit", "0")]
    #[case("limit", "-1")]
    #[case("limit", "1.5")]
    #[case("ids", "a")]
    fn what_makes_no_sense_is_refused(#[case] name: &str, #[case] text: &str) {
        assert!(read(&[(name, text)]).is_err());
    }

    #[test]
    fn the_next_part_is_asked_for_in_the_same_words() {
        let time = "2000-01-01T00:00:00+01:00/..";
        let query = read(&[("bbox", "1,2,3,4"), ("datetime", time), ("limit", "2")]).unwrap();
        let next = query.address_after("http://host/items", Some("é 1"));
        let asked = next.strip_prefix("http://host/items?").unwrap();
        let parameters: Parameters = asked
            .split('&')
            .map(|pair| {
                let (name, text) = pair.split_once('=').unwrap();
                let text = percent_encoding::percent_decode_str(text).decode_utf8();
                (name.to_owned(), text.unwrap().into_owned())
            })
            .collect();
        let again = Query::read(&parameters, OF_ITEMS).unwrap();
        assert_eq!(again.filter, query.filter);
        assert_eq!(
            (again.window.limit, again.window.after.as_deref()),
            (2, Some("é 1"))
        );
        assert_eq!(again.address("http://host/items"), next);
    }
}
