//! Values as columns hold them. Each kind fits every type of its family (`varchar` or an enum, `int4` or `int8`,
//! `timestamp` or `timestamptz`), because the tables of an attached platform need not be of our making.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, Json, Kind, ToSql, Type, to_sql_checked};

use crate::stores::ledger::LedgerError;

type Cause = Box<dyn Error + Sync + Send>;

/// 2000-01-01T00:00:00Z, from where PostgreSQL counts microseconds.
const EPOCH: Timestamp = Timestamp::constant(946_684_800, 0);

/// A time, to the microsecond. Columns without a time zone hold UTC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct At(pub(super) Timestamp);

impl ToSql for At {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        let since = self.0.duration_since(EPOCH);
        out.put_i64(i64::try_from(since.as_micros())?);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        is_time(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for At {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Cause> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(
            EPOCH.checked_add(SignedDuration::from_micros(micros))?,
        ))
    }

    fn accepts(ty: &Type) -> bool {
        is_time(ty)
    }
}

fn is_time(ty: &Type) -> bool {
    matches!(*ty, Type::TIMESTAMP | Type::TIMESTAMPTZ)
}

/// Text, or the word of an enum. PostgreSQL has no NUL character: it is replaced, as what cannot be decoded is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Text<T>(pub(super) T);

impl<T: AsRef<str> + std::fmt::Debug> ToSql for Text<T> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        out.put_slice(without_nul(self.0.as_ref()).as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        is_text(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Text<String> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Cause> {
        Ok(Self(std::str::from_utf8(raw)?.to_owned()))
    }

    fn accepts(ty: &Type) -> bool {
        is_text(ty)
    }
}

fn is_text(ty: &Type) -> bool {
    matches!(
        *ty,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN
    ) || matches!(ty.kind(), Kind::Enum(_))
}

fn without_nul(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}").into()
    } else {
        text.into()
    }
}

/// A whole number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Int(pub(super) i64);

impl ToSql for Int {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        match *ty {
            Type::INT2 => out.put_i16(self.0.try_into()?),
            Type::INT4 => out.put_i32(self.0.try_into()?),
            _ => out.put_i64(self.0),
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        is_int(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Int {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Cause> {
        Ok(Self(match *ty {
            Type::INT2 => i16::from_be_bytes(raw.try_into()?).into(),
            Type::INT4 => i32::from_be_bytes(raw.try_into()?).into(),
            _ => i64::from_be_bytes(raw.try_into()?),
        }))
    }

    fn accepts(ty: &Type) -> bool {
        is_int(ty)
    }
}

fn is_int(ty: &Type) -> bool {
    matches!(*ty, Type::INT2 | Type::INT4 | Type::INT8)
}

/// A value as JSON. NUL characters are replaced, see [`Text`].
pub(super) fn document<T: Serialize>(
    what: &'static str,
    value: &T,
) -> Result<Json<Value>, LedgerError> {
    let mut value = serde_json::to_value(value).map_err(|error| corrupt(what, error))?;
    clean(&mut value);
    Ok(Json(value))
}

fn clean(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = without_nul(text).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => {
            if fields.keys().any(|name| name.contains('\0')) {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(name, value)| (without_nul(&name).into_owned(), value))
                    .collect();
            }
            fields.values_mut().for_each(clean);
        }
        _ => {}
    }
}

/// The word that serde has for a variant.
pub(super) fn word<T: Serialize>(what: &'static str, value: &T) -> Result<String, LedgerError> {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => Ok(word),
        Ok(other) => Err(corrupt(what, format!("{other} is no word"))),
        Err(error) => Err(corrupt(what, error)),
    }
}

/// A count as a column keeps it.
pub(super) fn signed(what: &'static str, value: u64) -> Result<Int, LedgerError> {
    i64::try_from(value)
        .map(Int)
        .map_err(|error| corrupt(what, error))
}

/// A column that holds text.
pub(super) fn text(row: &Row, column: &'static str) -> Result<String, LedgerError> {
    get::<Text<String>>(row, column).map(|text| text.0)
}

/// A column that may hold text.
pub(super) fn optional_text(
    row: &Row,
    column: &'static str,
) -> Result<Option<String>, LedgerError> {
    Ok(get::<Option<Text<String>>>(row, column)?.map(|text| text.0))
}

/// A column that holds a whole number.
pub(super) fn int(row: &Row, column: &'static str) -> Result<i64, LedgerError> {
    get::<Int>(row, column).map(|int| int.0)
}

/// A column that holds a count.
pub(super) fn unsigned(row: &Row, column: &'static str) -> Result<u64, LedgerError> {
    u64::try_from(int(row, column)?).map_err(|error| corrupt(column, error))
}

/// A column that holds a number with fractions.
pub(super) fn number(row: &Row, column: &'static str) -> Result<f64, LedgerError> {
    get(row, column)
}

/// A column that holds a truth value.
pub(super) fn flag(row: &Row, column: &'static str) -> Result<bool, LedgerError> {
    get(row, column)
}

/// A column that holds a time.
pub(super) fn time(row: &Row, column: &'static str) -> Result<Timestamp, LedgerError> {
    get::<At>(row, column).map(|at| at.0)
}

/// A column that may hold a time.
pub(super) fn optional_time(
    row: &Row,
    column: &'static str,
) -> Result<Option<Timestamp>, LedgerError> {
    Ok(get::<Option<At>>(row, column)?.map(|at| at.0))
}

/// A column that holds JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row, column: &'static str) -> Result<T, LedgerError> {
    let Json(value) = get::<Json<Value>>(row, column)?;
    serde_json::from_value(value).map_err(|error| corrupt(column, error))
}

/// A column that may hold JSON.
pub(super) fn optional_json<T: DeserializeOwned>(
    row: &Row,
    column: &'static str,
) -> Result<Option<T>, LedgerError> {
    let value = get::<Option<Json<Value>>>(row, column)?;
    value
        .map(|Json(value)| serde_json::from_value(value))
        .transpose()
        .map_err(|error| corrupt(column, error))
}

/// A column that holds the word of a variant.
pub(super) fn variant<T: DeserializeOwned>(
    row: &Row,
    column: &'static str,
) -> Result<T, LedgerError> {
    let word = Value::String(text(row, column)?);
    serde_json::from_value(word).map_err(|error| corrupt(column, error))
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &'static str) -> Result<T, LedgerError> {
    row.try_get(column).map_err(|error| corrupt(column, error))
}

fn corrupt(what: &'static str, error: impl Into<Cause>) -> LedgerError {
    LedgerError::Corrupt {
        what,
        source: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::stores::ledger::{FileState, Origin};

    fn bytes_of(value: &dyn ToSql, ty: &Type) -> Result<Vec<u8>, Cause> {
        let mut out = BytesMut::new();
        value.to_sql_checked(ty, &mut out)?;
        Ok(out.to_vec())
    }

    // Microseconds since 2000, from PostgreSQL: SELECT extract(epoch FROM t - '2000-01-01Z') * 1000000.
    #[rstest]
    #[case::epoch("2000-01-01T00:00:00Z", 0)]
    #[case::before("1999-12-31T23:59:59.5Z", -500_000)]
    #[case::today("2026-11-21T10:00:00.000001Z", 848_570_400_000_001)]
    fn times_are_microseconds_since_2000(#[case] at: Timestamp, #[case] micros: i64) {
        for ty in [Type::TIMESTAMP, Type::TIMESTAMPTZ] {
            let raw = bytes_of(&At(at), &ty).unwrap();
            assert_eq!(raw, micros.to_be_bytes());
            assert_eq!(At::from_sql(&ty, &raw).unwrap(), At(at));
        }
    }

    #[rstest]
    #[case(Type::INT2, &[1, 2])]
    #[case(Type::INT4, &[0, 0, 1, 2])]
    #[case(Type::INT8, &[0, 0, 0, 0, 0, 0, 1, 2])]
    fn whole_numbers_fit_their_column(#[case] ty: Type, #[case] raw: &[u8]) {
        assert_eq!(bytes_of(&Int(258), &ty).unwrap(), raw);
        assert_eq!(Int::from_sql(&ty, raw).unwrap(), Int(258));
        assert_eq!(
            bytes_of(&Int(i64::MAX), &ty).is_err(),
            ty != Type::INT8,
            "nothing is cut off"
        );
    }

    #[test]
    fn nul_characters_are_replaced_wherever_they_stand() {
        assert_eq!(
            bytes_of(&Text("a\0b"), &Type::TEXT).unwrap(),
            "a\u{fffd}b".as_bytes()
        );
        let Json(clean) = document("value", &json!({"a\0": ["\0", {"b": "c\0"}], "d": 1})).unwrap();
        assert_eq!(
            clean,
            json!({"a\u{fffd}": ["\u{fffd}", {"b": "c\u{fffd}"}], "d": 1})
        );
    }

    #[test]
    fn variants_are_single_words() {
        assert_eq!(word("state", &FileState::Referenced).unwrap(), "referenced");
        assert_eq!(word("origin", &Origin::File).unwrap(), "file");
        assert!(word("count", &1).is_err());
    }
}
