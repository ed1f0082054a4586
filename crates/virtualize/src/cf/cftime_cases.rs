//! What cftime answers, for every calendar: `tests/data/make_cf_cases.py` asked it.

use crate::cf::{Calendar, Instant, TimePart, TimeUnits, TimeValues, join_times};

const CASES: &str = include_str!("../../tests/data/cf_cases.csv");

fn rows(kind: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let rows = CASES
        .lines()
        .map(|line| line.split('|').collect::<Vec<_>>());
    rows.filter(move |row| row[0] == kind)
}

fn decoded(calendar: &str, units: &str, kind: &str, value: &str) -> Option<Instant> {
    let units = TimeUnits::parse(units, Calendar::parse(Some(calendar)).unwrap()).ok()?;
    match kind {
        "i" => units.decode_int(value.parse().unwrap()),
        _ => units.decode_float(value.parse().unwrap()),
    }
}

#[test]
fn values_decode_as_in_cftime() {
    let mut wrong = Vec::new();
    for row in rows("decode") {
        let date =
            decoded(row[1], row[2], row[3], row[4]).map(|instant| instant.date_time().to_iso());
        if date.as_deref().unwrap_or("error") != row[5] {
            wrong.push(format!("{row:?}: {date:?}"));
        }
    }
    assert!(rows("decode").count() > 1_200);
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn dates_lead_back_to_their_instants() {
    for row in rows("decode") {
        if let Some(instant) = decoded(row[1], row[2], row[3], row[4]) {
            assert_eq!(
                instant.calendar().instant(&instant.date_time()),
                Ok(instant),
                "{row:?}"
            );
        }
    }
}

#[test]
fn values_move_to_other_units_as_in_cftime() {
    for row in rows("encode") {
        let calendar = Calendar::parse(Some(row[1])).unwrap();
        let part = |units, value| TimePart {
            values: TimeValues::Float(vec![value]),
            units,
            calendar,
        };
        let joined =
            join_times(&[part(row[4], 0.0), part(row[2], row[3].parse().unwrap())]).unwrap();
        assert_eq!(
            (joined.values, joined.units.as_str()),
            (
                TimeValues::Float(vec![0.0, row[5].parse().unwrap()]),
                row[4]
            ),
            "{row:?}"
        );
    }
    assert!(rows("encode").count() > 200);
}
