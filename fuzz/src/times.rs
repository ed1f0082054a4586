//! Calendars, time units and stored times: what is read means the same when it is said again.

use virtualize::cf::{
    Calendar, Step, TimePart, TimeUnits, TimeValues, check_increasing, gaps, join_times, step_of,
};

/// Takes the bytes for a calendar, two `units`, and values in them: a line each, then eight bytes a value.
pub fn run(bytes: &[u8]) {
    let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
    let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (calendar, units, others) = (text(), text(), text());
    let stored = lines.next().unwrap_or_default();
    let named = (!calendar.is_empty()).then_some(calendar.as_str());
    let Ok(calendar) = Calendar::parse(named) else {
        return;
    };
    assert_eq!(Calendar::parse(Some(calendar.name())).ok(), Some(calendar));
    let words = stored.chunks_exact(8).map(|word| {
        let word = <[u8; 8]>::try_from(word).unwrap_or_default();
        u64::from_le_bytes(word)
    });
    let words: Vec<u64> = words.take(1000).collect();
    let integers = TimeValues::Int(words.iter().map(|word| word.cast_signed()).collect());
    let floats = TimeValues::Float(words.iter().copied().map(f64::from_bits).collect());
    for values in [integers, floats] {
        read(&units, calendar, &values);
        join(&units, &others, calendar, &values);
    }
}

fn read(units: &str, calendar: Calendar, values: &TimeValues) {
    let Ok(units) = TimeUnits::parse(units, calendar) else {
        return;
    };
    let reference = units.reference();
    let start = calendar.instant(&reference).expect("a date that was read");
    assert_eq!(start.date_time(), reference, "{}", units.as_str());
    let Ok(instants) = units.decode(values) else {
        return;
    };
    assert_eq!(instants.len(), values.len());
    for instant in &instants {
        let date = instant.date_time();
        let again = calendar.instant(&date).expect("a date of this calendar");
        assert_eq!(again, *instant, "{}", date.to_iso());
    }
    let _ = check_increasing(&instants);
    let _ = step_of(instants.iter().copied()).map(Step::to_iso);
    assert!(gaps(instants.iter().copied()).len() <= instants.len());
}

/// Joined values mean the instants that the parts meant.
fn join(units: &str, others: &str, calendar: Calendar, values: &TimeValues) {
    let parts = [units, others].map(|units| TimePart {
        values: values.clone(),
        units,
        calendar,
    });
    let Ok(joined) = join_times(&parts) else {
        return;
    };
    assert_eq!(joined.values.len(), 2 * values.len());
    if !joined.reencoded {
        return;
    }
    let decoded = |values: &TimeValues, units: &str| {
        let units = TimeUnits::parse(units, calendar).ok()?;
        units.decode(values).ok()
    };
    let expected: Option<Vec<_>> = parts
        .iter()
        .map(|part| decoded(&part.values, part.units))
        .collect();
    let expected = expected.map(|parts| parts.concat());
    assert_eq!(
        decoded(&joined.values, &joined.units),
        expected,
        "{units} and {others}"
    );
}
