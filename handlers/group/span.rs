//! Whether the times of files cover a range.

use virtualize::cf::{Calendar, DateTime};

use crate::stores::ledger::{SourceFile, TimeSpan};

/// Whether the members' times cover a range without a gap of more than a step. Overlapping ones count as
/// complete, so that the combine refuses them by name.
pub(super) fn covers(members: &[SourceFile], start: &str, end: &str) -> bool {
    let mut spans: Vec<&TimeSpan> = members
        .iter()
        .filter_map(|file| file.span.as_ref())
        .collect();
    spans.sort_by_key(|span| span.first);
    if spans.len() < members.len() {
        return false;
    }
    let distances = || {
        spans
            .windows(2)
            .filter_map(|pair| Some(pair.last()?.first - pair.first()?.last))
    };
    if distances().any(|distance| distance <= 0) {
        return true;
    }
    let inside = spans
        .iter()
        .map(|span| span.largest_step)
        .max()
        .filter(|step| *step > 0);
    let Some(step) = inside.or_else(|| distances().min()) else {
        return false;
    };
    let bounds = spans.first().zip(spans.last()).and_then(|(first, last)| {
        let calendar = Calendar::parse(Some(&first.calendar)).ok()?;
        Some((
            first.first - micros(start, calendar, false)?,
            micros(end, calendar, true)? - last.last,
        ))
    });
    let slack = step / 10;
    bounds.is_some_and(|(lead, trail)| lead < step && trail <= step)
        && distances().all(|distance| distance <= step + slack)
}

/// A date as an instant of a calendar; one without a time of day is its first moment, or as an end the first
/// moment after it.
pub(crate) fn micros(text: &str, calendar: Calendar, is_end: bool) -> Option<i64> {
    let (date, has_time) = parse_date(text)?;
    let instant = calendar.instant(&date).ok()?.micros();
    Some(if is_end && !has_time {
        instant + 86_400_000_000
    } else {
        instant
    })
}

/// `YYYY-MM-DD`, optionally `THH[:MM[:SS]][Z]`; calendar days such as 30 February are let through.
pub(super) fn parse_date(text: &str) -> Option<(DateTime, bool)> {
    let (date, time) = text
        .split_once(['T', ' '])
        .map_or((text, None), |(date, time)| (date, Some(time)));
    let mut parts = date.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let mut small = |missing: u8| parts.next().map_or(Some(missing), |part| part.parse().ok());
    let mut out = DateTime::midnight(year, small(1)?, small(1)?);
    if let Some(time) = time {
        let mut parts = time.trim_end_matches('Z').splitn(3, ':');
        let mut small = || parts.next().map_or(Some(0), |part| part.parse().ok());
        (out.hour, out.minute, out.second) = (small()?, small()?, small()?);
    }
    let fine = (1..=12).contains(&out.month) && (1..=31).contains(&out.day);
    (fine && out.hour < 24 && out.minute < 60 && out.second < 60).then_some((out, time.is_some()))
}
