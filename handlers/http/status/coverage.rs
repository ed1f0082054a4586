//! What the files of a series cover of time, as a line to draw: shares of its length, and dates of its own calendar.

use serde_json::{Value, json};
use virtualize::cf::{Calendar, DateTime, Instant};

use crate::group::micros;
use crate::stores::ledger::overview::{MOST_PARTS, Part, Series};

/// The time line of a series; nothing if none of its files has times.
///
/// `{calendar, start, end, parts: [[from, to]], gaps: [{after, before}], is_shortened}`: the parts as shares of what lies
/// between `start` and `end`, which are what the series expects where it says so.
pub(super) fn coverage(series: &Series) -> Option<Value> {
    let parts = series.parts.as_slice();
    let (first, last) = parts.first().zip(parts.last())?;
    let calendar = Calendar::parse(Some(&first.calendar)).ok()?;
    let wanted = wanted(series, calendar);
    let start = wanted.map_or(first.first, |(start, _)| start.min(first.first));
    let end = wanted.map_or(end_of(last), |(_, end)| end.max(end_of(last)));
    let share = |at: i64| share(at, start, end);
    let drawn = parts
        .iter()
        .map(|part| [share(part.first), share(end_of(part))]);
    let date = |micros: i64| date(calendar, micros);
    let gaps = parts.windows(2).filter_map(|pair| {
        let [one, next] = pair else { return None };
        Some(json!({"after": date(one.last), "before": date(next.first)}))
    });
    Some(json!({
        "calendar": calendar.name(),
        "start": date(start),
        "end": said(series, wanted, last).or_else(|| date(last.last)),
        "parts": drawn.collect::<Vec<_>>(),
        "gaps": gaps.collect::<Vec<_>>(),
        "is_shortened": parts.len() >= MOST_PARTS as usize,
    }))
}

/// What the series is to cover, its end being the first moment after it.
fn wanted(series: &Series, calendar: Calendar) -> Option<(i64, i64)> {
    let (start, end) = series.expects.time_range.as_ref()?;
    Some((
        micros(start, calendar, false)?,
        micros(end, calendar, true)?,
    ))
}

/// The end that the series is to have, in the words that were used, unless the files go beyond it.
fn said(series: &Series, wanted: Option<(i64, i64)>, last: &Part) -> Option<String> {
    wanted.filter(|(_, end)| *end >= last.last)?;
    let range = series.expects.time_range.as_ref();
    range.map(|(_, end)| end.clone())
}

/// The last step counts as long as the others.
fn end_of(part: &Part) -> i64 {
    part.last.saturating_add(part.step.max(1))
}

/// How far a point lies between two others, to five digits.
#[expect(
    clippy::cast_precision_loss,
    reason = "a share of a line needs no more digits than a float has"
)]
fn share(at: i64, start: i64, end: i64) -> f64 {
    let all = end.saturating_sub(start).max(1) as f64;
    let share = at.saturating_sub(start) as f64 / all;
    (share.clamp(0.0, 1.0) * 1e5).round() / 1e5
}

/// A point of time in words; the day alone where nothing is lost by it.
fn date(calendar: Calendar, micros: i64) -> Option<String> {
    let origin: Instant = calendar.instant(&DateTime::midnight(2000, 1, 1)).ok()?;
    let at = origin.checked_add_micros(micros.checked_sub(origin.micros())?)?;
    let text = at.date_time().to_iso();
    let day = text.strip_suffix("T00:00:00Z");
    Some(day.map_or_else(|| text.clone(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn at(calendar: Calendar, year: i64, month: u8, day: u8) -> i64 {
        let date = DateTime::midnight(year, month, day);
        calendar.instant(&date).unwrap().micros()
    }

    fn part(calendar: Calendar, from: (i64, u8, u8), to: (i64, u8, u8)) -> Part {
        Part {
            first: at(calendar, from.0, from.1, from.2),
            last: at(calendar, to.0, to.1, to.2),
            step: DAY,
            calendar: calendar.name().to_owned(),
        }
    }

    fn series(parts: Vec<Part>, time_range: Option<(&str, &str)>) -> Series {
        let mut series = super::super::series::tests::series();
        series.parts = parts;
        series.expects.time_range =
            time_range.map(|(start, end)| (start.to_owned(), end.to_owned()));
        series
    }

    // A year of 360 days: the first 90, then a gap of 90, then 180. 30 February is a day of it.
    #[test]
    fn a_gap_is_seen_where_it_lies_in_the_calendar_of_the_series() {
        let calendar = Calendar::parse(Some("360_day")).unwrap();
        let parts = vec![
            part(calendar, (2000, 1, 1), (2000, 3, 30)),
            part(calendar, (2000, 7, 1), (2000, 12, 30)),
        ];
        let line = coverage(&series(parts, None)).unwrap();
        assert_eq!(
            line,
            json!({
                "calendar": "360_day", "start": "2000-01-01", "end": "2000-12-30",
                "parts": [[0.0, 0.25], [0.5, 1.0]],
                "gaps": [{"after": "2000-03-30", "before": "2000-07-01"}], "is_shortened": false,
            })
        );
    }

    #[test]
    fn what_is_still_to_come_is_left_empty() {
        let calendar = Calendar::parse(Some("noleap")).unwrap();
        let parts = vec![part(calendar, (2001, 1, 1), (2001, 12, 31))];
        let line = coverage(&series(parts, Some(("2000-01-01", "2003-12-31")))).unwrap();
        assert_eq!(line["parts"], json!([[0.25, 0.5]]));
        assert_eq!(line["start"], "2000-01-01");
        assert_eq!(line["end"], "2003-12-31");
    }

    #[test]
    fn one_step_is_a_line_too_and_no_times_are_none() {
        let calendar = Calendar::parse(Some("standard")).unwrap();
        let mut one = part(calendar, (2000, 1, 1), (2000, 1, 1));
        one.step = 0;
        let line = coverage(&series(vec![one], None)).unwrap();
        assert_eq!(line["parts"], json!([[0.0, 1.0]]));
        assert_eq!(coverage(&series(Vec::new(), None)), None);
    }
}
