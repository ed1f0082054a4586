//! Calendars and time units: what stored values mean is what cftime says, and stays so in other units.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};
use virtualize::cf::{Calendar, TimePart, TimeUnits, TimeValues, join_times};

use crate::support::{python, repository};

/// What cftime said about the values of one `units` attribute.
#[derive(Deserialize, Debug)]
struct Case {
    calendar: String,
    units: String,
    #[serde(flatten)]
    stored: Stored,
    dates: Vec<Option<String>>,
    /// Whether cftime would skip part of the text, which may be refused.
    may_refuse: bool,
    /// Whether a date is so far away that 64 bits of microseconds may not reach it.
    far: Vec<bool>,
}

/// Stored values; floats by their bits, so that JSON does not round them.
#[derive(Deserialize, Debug)]
struct Stored {
    kind: String,
    values: Vec<serde_json::Number>,
}

#[derive(Deserialize)]
struct Series {
    calendar: String,
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    units: String,
    #[serde(flatten)]
    stored: Stored,
}

#[derive(Deserialize)]
struct Questions {
    cases: Vec<Case>,
    series: Vec<Series>,
}

impl Stored {
    fn values(&self) -> TimeValues {
        match self.kind.as_str() {
            "i" => TimeValues::Int(self.values.iter().map(|v| v.as_i64().unwrap()).collect()),
            _ => {
                let float = |v: &serde_json::Number| f64::from_bits(v.as_u64().unwrap());
                TimeValues::Float(self.values.iter().map(float).collect())
            }
        }
    }
}

impl Case {
    /// The dates that we read, one by one.
    fn ours(&self) -> Option<Vec<Option<String>>> {
        let calendar = Calendar::parse(Some(&self.calendar)).unwrap();
        let units = TimeUnits::parse(&self.units, calendar).ok()?;
        let instants: Vec<_> = match self.stored.values() {
            TimeValues::Int(values) => values.iter().map(|v| units.decode_int(*v)).collect(),
            TimeValues::Float(values) => values.iter().map(|v| units.decode_float(*v)).collect(),
        };
        let date = |instant: Option<virtualize::cf::Instant>| Some(instant?.date_time().to_iso());
        Some(instants.into_iter().map(date).collect())
    }

    fn is_right(&self) -> bool {
        let Some(ours) = self.ours() else {
            return self.may_refuse || self.dates.iter().all(Option::is_none);
        };
        let mut dates = ours.iter().zip(&self.dates).zip(&self.far);
        dates.all(|((ours, theirs), far)| ours == theirs || *far && ours.is_none())
    }
}

/// The joined encoding as the script reads it; `null` when the series is refused.
fn joined(series: &Series) -> Value {
    let calendar = Calendar::parse(Some(&series.calendar)).unwrap();
    let parts = series.parts.iter().map(|part| TimePart {
        values: part.stored.values(),
        units: &part.units,
        calendar,
    });
    let parts: Vec<_> = parts.collect();
    let Ok(joined) = join_times(&parts) else {
        return Value::Null;
    };
    match joined.values {
        TimeValues::Int(values) => json!({"units": joined.units, "kind": "i", "values": values}),
        TimeValues::Float(values) => {
            let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
            json!({"units": joined.units, "kind": "f", "values": bits})
        }
    }
}

/// Random units, dates and values of every calendar. `LANDFALL_SEED` and `LANDFALL_CASES` ask for others and for more.
#[test]
fn times_mean_what_cftime_says() {
    let setting = |name: &str, usual: &str| std::env::var(name).unwrap_or_else(|_| usual.into());
    let (seed, count) = (
        setting("LANDFALL_SEED", "1582"),
        setting("LANDFALL_CASES", "4000"),
    );
    let mut script = Command::new(python())
        .arg(repository().join("tests/support/cftime_answers.py"))
        .args([&seed, &count])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(script.stdout.take().unwrap()).lines();
    let questions: Questions = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();

    let wrong: Vec<String> = questions
        .cases
        .iter()
        .filter(|case| !case.is_right())
        .map(|case| format!("{case:?}: {:?}", case.ours()))
        .collect();
    let answers: Vec<Value> = questions.series.iter().map(joined).collect();
    writeln!(script.stdin.take().unwrap(), "{}", json!(answers)).unwrap();
    let differences: Vec<String> = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(script.wait().unwrap().success());

    let read = questions.cases.iter().filter(|case| case.ours().is_some());
    assert!(read.count() * 2 > questions.cases.len(), "most are refused");
    let refused = answers.iter().filter(|answer| answer.is_null()).count();
    assert!(refused * 10 < answers.len(), "{refused} series are refused");
    let shown = |all: &[String]| all.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        wrong.is_empty(),
        "seed {seed}, {} differ:\n{}",
        wrong.len(),
        shown(&wrong)
    );
    assert!(
        differences.is_empty(),
        "seed {seed}:\n{}",
        shown(&differences)
    );
}
