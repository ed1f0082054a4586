//! File names that follow no convention: their date range, and slugs.

/// A run of digits, and the separator before it if it follows another.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: usize,
    length: usize,
    separator: Option<u8>,
}

/// A stem without its trailing date or date range, and that range.
///
/// A date has 4 to 14 digits, which `-`, `_`, `T` and `:` may separate; it begins with a run of at least four
/// (the year, or all of a compact date), and what follows is in runs of one or two, or a compact time of day
/// after eight digits. So the `06` of `v06_20200101` stays. The two dates of a range have equally many digits,
/// with `-` or `_` between them. One `.`, `_` or `-` before the date goes with it.
#[must_use]
pub fn stem_without_dates(stem: &str) -> (&str, Option<&str>) {
    let runs = trailing_runs(stem.as_bytes());
    let starts = (0..runs.len()).filter_map(|at| runs.get(at..));
    let found = starts
        .into_iter()
        .find(|runs| is_date(runs) || is_range(runs));
    let Some((name, dates)) = found.and_then(|runs| stem.split_at_checked(runs.first()?.start))
    else {
        return (stem, None);
    };
    (
        name.strip_suffix(['.', '_', '-']).unwrap_or(name),
        Some(dates),
    )
}

/// The runs of digits that end a text, single separators between them.
fn trailing_runs(text: &[u8]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut end = text.len();
    loop {
        let head = text.get(..end).unwrap_or_default();
        let length = head
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if length == 0 {
            break;
        }
        let start = end - length;
        let separator = start.checked_sub(1).and_then(|at| text.get(at)).copied();
        let separator = separator.filter(|byte| matches!(byte, b'-' | b'_' | b'T' | b':'));
        runs.push(Run {
            start,
            length,
            separator,
        });
        if separator.is_none() {
            break;
        }
        end = start - 1;
    }
    runs.reverse();
    runs
}

fn digits(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.length).sum()
}

fn is_date(runs: &[Run]) -> bool {
    let Some((first, rest)) = runs.split_first() else {
        return false;
    };
    let mut before = first.length;
    let follows = rest.iter().all(|run| {
        let time_of_day = before == 8
            && matches!(run.length, 4 | 6)
            && matches!(run.separator, Some(b'T' | b'_'));
        before += run.length;
        run.length <= 2 || time_of_day
    });
    first.length >= 4 && follows && before <= 14
}

fn is_range(runs: &[Run]) -> bool {
    (1..runs.len())
        .filter_map(|at| runs.split_at_checked(at))
        .any(|(from, to)| {
            let joined = matches!(to.first().and_then(|run| run.separator), Some(b'-' | b'_'));
            joined && is_date(from) && is_date(to) && digits(from) == digits(to)
        })
}

/// Lower case, every run outside `[a-z0-9.]` one `-`, none of those and no dot at either end.
#[must_use]
pub fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for letter in text.chars().flat_map(char::to_lowercase) {
        if matches!(letter, 'a'..='z' | '0'..='9' | '.') {
            slug.push(letter);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::year("air.2m.1948", "air.2m", Some("1948"))]
    #[case::no_separator("sst2020", "sst", Some("2020"))]
    #[case::month("era5_t2m_2020_01", "era5_t2m", Some("2020_01"))]
    #[case::dashed_day("precip-2020-01-31", "precip", Some("2020-01-31"))]
    #[case::compact_range("tas_day_M_20000101-20001231", "tas_day_M", Some("20000101-20001231"))]
    #[case::underscore_range("t2m_200001_200012", "t2m", Some("200001_200012"))]
    #[case::year_range("pr_1980-1989", "pr", Some("1980-1989"))]
    #[case::dashed_range("pr_2000-01-01_2000-12-31", "pr", Some("2000-01-01_2000-12-31"))]
    #[case::time("goes_2020-01-01T06:30:00", "goes", Some("2020-01-01T06:30:00"))]
    #[case::compact_time("wrf_20200101T0600", "wrf", Some("20200101T0600"))]
    #[case::compact_times(
        "wrf_20200101_060000-20200102_060000",
        "wrf",
        Some("20200101_060000-20200102_060000")
    )]
    #[case::fourteen_digits("x_20200101063000", "x", Some("20200101063000"))]
    #[case::version_stays("GPM_v06_20200101", "GPM_v06", Some("20200101"))]
    #[case::member_stays("run2_2000", "run2", Some("2000"))]
    #[case::level_stays("u_850_1000_20200101", "u_850_1000", Some("20200101"))]
    #[case::cesm("b.e21.cam.h0.2000-01", "b.e21.cam.h0", Some("2000-01"))]
    #[case::fifteen_digits("x_202001010630001", "x_202001010630001", None)]
    #[case::three_digits("ssp585", "ssp585", None)]
    #[case::date_in_the_middle("a_2020_b", "a_2020_b", None)]
    #[case::only_a_date("20200101", "", Some("20200101"))]
    #[case::not_ascii("températures_2020", "températures", Some("2020"))]
    #[case::empty("", "", None)]
    fn trailing_dates_are_cut(#[case] stem: &str, #[case] name: &str, #[case] dates: Option<&str>) {
        assert_eq!(stem_without_dates(stem), (name, dates));
    }

    #[rstest]
    #[case("ERA5 / Hourly__T2m", "era5-hourly-t2m")]
    #[case("air.2m.", "air.2m")]
    #[case("_données_", "donn-es")]
    #[case("../..", "")]
    fn slugs_are_ids(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(slug(text), expected);
    }
}
