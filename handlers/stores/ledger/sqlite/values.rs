//! Values as columns hold them: times, words of an enum, JSON.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::stores::ledger::LedgerError;

/// A time as RFC 3339 in UTC with nine decimals: texts of one length sort as the times do.
pub(crate) fn time_text(at: Timestamp) -> String {
    format!("{at:.9}")
}

/// Reads a time back.
pub(crate) fn time(what: &'static str, text: &str) -> Result<Timestamp, LedgerError> {
    text.parse()
        .map_err(|error: jiff::Error| corrupt(what, error))
}

/// A time that may be absent.
pub(super) fn optional_time(
    what: &'static str,
    text: Option<String>,
) -> Result<Option<Timestamp>, LedgerError> {
    text.map(|text| time(what, &text)).transpose()
}

/// A value as JSON text.
pub(super) fn json_text<T: Serialize>(
    what: &'static str,
    value: &T,
) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|error| corrupt(what, error))
}

/// Reads JSON text back.
pub(super) fn json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|error| corrupt(what, error))
}

/// JSON that may be absent.
pub(super) fn optional_json<T: DeserializeOwned>(
    what: &'static str,
    text: Option<String>,
) -> Result<Option<T>, LedgerError> {
    text.map(|text| json(what, &text)).transpose()
}

/// The word that serde has for a variant.
pub(super) fn word<T: Serialize>(what: &'static str, value: &T) -> Result<String, LedgerError> {
    Ok(json_text(what, value)?.trim_matches('"').to_owned())
}

/// The variant that a word means.
pub(super) fn variant<T: DeserializeOwned>(
    what: &'static str,
    word: String,
) -> Result<T, LedgerError> {
    serde_json::from_value(Value::String(word)).map_err(|error| corrupt(what, error))
}

/// A count that a column keeps as a signed number.
pub(super) fn unsigned(what: &'static str, value: i64) -> Result<u64, LedgerError> {
    u64::try_from(value).map_err(|error| corrupt(what, error))
}

/// A count as a column keeps it.
pub(super) fn signed(what: &'static str, value: u64) -> Result<i64, LedgerError> {
    i64::try_from(value).map_err(|error| corrupt(what, error))
}

fn corrupt(
    what: &'static str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> LedgerError {
    LedgerError::Corrupt {
        what,
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::stores::ledger::{FileState, Origin};

    #[rstest]
    #[case::whole_seconds("2026-11-21T10:00:00Z", "2026-11-21T10:00:00.5Z")]
    #[case::nanoseconds("2026-11-21T10:00:00.000000001Z", "2026-11-21T10:00:00.01Z")]
    fn texts_of_times_sort_as_the_times_and_come_back(
        #[case] earlier: Timestamp,
        #[case] later: Timestamp,
    ) {
        assert!(time_text(earlier) < time_text(later));
        assert_eq!(time("time", &time_text(later)).unwrap(), later);
    }

    #[test]
    fn variants_are_single_words() {
        assert_eq!(word("state", &FileState::Referenced).unwrap(), "referenced");
        assert_eq!(
            variant::<Origin>("origin", String::from("file")).unwrap(),
            Origin::File
        );
        assert!(variant::<Origin>("origin", String::from("else")).is_err());
    }
}
