//! When the data are: real days for catalogues, beside the true dates of the data's own calendar.

use serde_json::{Map, Value, json};
use virtualize::cf::DateTime;

use super::{ItemError, ItemInput};

/// First and last instant on days that catalogues know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) start: String,
    pub(super) end: String,
}

impl Times {
    /// The times of a dataset; `None` where it has none.
    pub(super) fn of(input: &ItemInput<'_>) -> Result<Option<Self>, ItemError> {
        let real = |iso: &String| to_real_day(iso).ok_or_else(|| ItemError::Time(iso.clone()));
        let range = input.combined.time_range.as_ref();
        range
            .map(|(start, end)| {
                Ok(Self {
                    start: real(start)?,
                    end: real(end)?,
                })
            })
            .transpose()
    }
}

/// The date-time fields. Where the data have no time, `datetime` is that of creation and says so.
pub(super) fn properties(input: &ItemInput<'_>, times: Option<&Times>) -> Map<String, Value> {
    let created = input.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| out.insert(key.to_owned(), value);
    set("created", json!(created));
    set("updated", json!(created));
    let Some(times) = times else {
        set("datetime", json!(created));
        set("landfall:temporal_source", json!("created"));
        return out;
    };
    set("datetime", json!(times.start));
    set("start_datetime", json!(times.start));
    set("end_datetime", json!(times.end));
    set("landfall:time_range", json!(input.combined.time_range));
    set(
        "landfall:calendar",
        json!(input.combined.calendar.as_deref().unwrap_or("standard")),
    );
    out
}

/// An ISO 8601 instant on a day that the proleptic Gregorian calendar has: a 30 February is the 28th or 29th.
fn to_real_day(iso: &str) -> Option<String> {
    let (day, time) = iso.split_once('T').unwrap_or((iso, "00:00:00Z"));
    let clamped = parse_day(day)?.clamped().to_iso();
    let (day, _) = clamped.split_once('T')?;
    Some(format!("{day}T{time}"))
}

fn parse_day(text: &str) -> Option<DateTime> {
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or((1, text), |digits| (-1, digits));
    let mut parts = digits.splitn(3, '-');
    let year: i64 = parts.next()?.parse().ok()?;
    let mut next = || parts.next()?.parse::<u8>().ok();
    Some(DateTime::midnight(sign * year, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::real("2000-01-31T12:00:00Z", "2000-01-31T12:00:00Z")]
    #[case::leap_year("2000-02-30T12:00:00Z", "2000-02-29T12:00:00Z")]
    #[case::all_leap("1999-02-29T00:00:00.500000Z", "1999-02-28T00:00:00.500000Z")]
    #[case::date_only("2001-02-30", "2001-02-28T00:00:00Z")]
    #[case::before_year_one("-0005-02-30T00:00:00Z", "-0005-02-28T00:00:00Z")]
    fn days_become_real(#[case] iso: &str, #[case] real: &str) {
        assert_eq!(to_real_day(iso).as_deref(), Some(real));
    }
}
