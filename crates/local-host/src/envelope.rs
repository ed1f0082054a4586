//! The bodies that the Functions host posts to a custom handler for every trigger but HTTP, quirks included. Pure.
//!
//! A body is `{"Data": {binding: value}, "Metadata": {…}}`. Values are encoded by their .NET type:
//!
//! | value | becomes |
//! | --- | --- |
//! | bytes | a base64 string |
//! | date | an ISO 8601 string |
//! | object | an object |
//! | string, number, boolean, array | a string that holds its JSON text, so that strings are quoted twice |
//!
//! Metadata keys that end in `trigger` are dropped. If a message is the text of a JSON object, its properties are added to
//! Metadata, over the host's own: a message field `Id` hides the message's id.

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::{Timestamp, fmt::strtime, tz::TimeZone};
use serde_json::{Map, Value, json};

use crate::{QueueMessage, guid::Guid};

/// A value on its way into an envelope.
#[derive(Debug, Clone, PartialEq)]
pub enum BindingValue {
    /// .NET `byte[]`.
    Bytes(Vec<u8>),
    /// .NET `DateTimeOffset`.
    Date(Timestamp),
    /// Anything else.
    Json(Value),
}

impl BindingValue {
    /// The value as the host writes it.
    #[must_use]
    pub fn encode(&self) -> Value {
        match self {
            Self::Bytes(bytes) => Value::String(BASE64_STANDARD.encode(bytes)),
            Self::Date(at) => Value::String(iso_offset(*at)),
            Self::Json(object @ Value::Object(_)) => object.clone(),
            Self::Json(other) => Value::String(other.to_string()),
        }
    }
}

/// What the host says of the call itself, under `sys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFacts {
    /// Name of the function.
    pub function: String,
    /// Now.
    pub now: Timestamp,
    /// A fresh id.
    pub guid: Guid,
}

impl CallFacts {
    /// The facts of a call that happens now.
    #[must_use]
    pub fn now(function: &str) -> Self {
        Self {
            function: function.to_owned(),
            now: Timestamp::now(),
            guid: Guid::new(),
        }
    }

    fn sys(&self) -> Value {
        json!({"MethodName": self.function, "UtcNow": iso(self.now), "RandGuid": self.guid.to_string()})
    }
}

/// When a timer last ran and will run next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduleStatus {
    /// Last run.
    pub last: Timestamp,
    /// Next run.
    pub next: Timestamp,
}

/// Envelope of an Event Grid event.
#[must_use]
pub fn event_grid(binding: &str, event: &Value, facts: &CallFacts) -> Value {
    let mut metadata = Metadata::new(facts);
    if let Some(data) = event.get("data") {
        metadata.set("data", BindingValue::Json(data.clone()));
    }
    metadata.into_envelope(binding, &BindingValue::Json(event.clone()))
}

/// Envelope of a queue message.
#[must_use]
pub fn queue(binding: &str, message: &QueueMessage, facts: &CallFacts) -> Value {
    let text = |text: &str| BindingValue::Json(Value::String(text.to_owned()));
    let mut metadata = Metadata::new(facts);
    metadata.set("QueueTrigger", text(&message.text));
    metadata.set(
        "DequeueCount",
        BindingValue::Json(message.dequeue_count.into()),
    );
    metadata.set("ExpirationTime", BindingValue::Date(message.expires));
    metadata.set("Id", text(&message.id));
    metadata.set("InsertionTime", BindingValue::Date(message.inserted));
    metadata.set("NextVisibleTime", BindingValue::Date(message.next_visible));
    metadata.set("PopReceipt", text(&message.pop_receipt));
    metadata.add_properties(&message.text);
    metadata.into_envelope(binding, &text(&message.text))
}

/// Envelope of a timer tick.
#[must_use]
pub fn timer(
    binding: &str,
    status: Option<ScheduleStatus>,
    past_due: bool,
    facts: &CallFacts,
) -> Value {
    let status = status.map(|s| json!({"Last": iso_offset(s.last), "Next": iso_offset(s.next), "LastUpdated": iso_offset(s.last)}));
    let timer = json!({"Schedule": {"AdjustForDST": true}, "ScheduleStatus": status, "IsPastDue": past_due});
    Metadata::new(facts).into_envelope(binding, &BindingValue::Json(timer))
}

struct Metadata(Map<String, Value>);

impl Metadata {
    fn new(facts: &CallFacts) -> Self {
        Self([("sys".to_owned(), facts.sys())].into_iter().collect())
    }

    fn set(&mut self, key: &str, value: BindingValue) {
        if !key.to_ascii_lowercase().ends_with("trigger") {
            self.0.insert(key.to_owned(), value.encode());
        }
    }

    /// Adds what the host takes from a message that is the text of an object: nulls and arrays are left out, objects stay,
    /// and everything else first becomes a .NET string.
    fn add_properties(&mut self, text: &str) {
        let Ok(Value::Object(properties)) = serde_json::from_str(text) else {
            return;
        };
        for (key, value) in properties {
            let value = match value {
                Value::Null | Value::Array(_) => continue,
                Value::Bool(true) => json!("True"),
                Value::Bool(false) => json!("False"),
                Value::Number(number) => Value::String(number.to_string()),
                other => other,
            };
            self.set(&key, BindingValue::Json(value));
        }
    }

    fn into_envelope(self, binding: &str, value: &BindingValue) -> Value {
        json!({"Data": {binding: value.encode()}, "Metadata": self.0})
    }
}

/// `2026-11-20T10:00:01.5Z`.
pub(crate) fn iso(at: Timestamp) -> String {
    at.to_string()
}

/// `2026-11-20T10:00:01+00:00`, as .NET prints a `DateTimeOffset`.
fn iso_offset(at: Timestamp) -> String {
    strtime::format("%Y-%m-%dT%H:%M:%S%.f+00:00", &at.to_zoned(TimeZone::UTC))
        .unwrap_or_else(|_| iso(at))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn facts(function: &str) -> CallFacts {
        CallFacts {
            function: function.to_owned(),
            now: "2026-11-20T10:00:01Z".parse().unwrap(),
            guid: Guid::from_u128(0x6f0c),
        }
    }

    fn sys(function: &str) -> Value {
        json!({"MethodName": function, "UtcNow": "2026-11-20T10:00:01Z", "RandGuid": Guid::from_u128(0x6f0c).to_string()})
    }

    fn message(text: &str) -> QueueMessage {
        QueueMessage {
            id: "6f0c".to_owned(),
            text: text.to_owned(),
            dequeue_count: 1,
            pop_receipt: "AgAA".to_owned(),
            inserted: "2026-11-20T10:00:00Z".parse().unwrap(),
            expires: "2026-11-27T10:00:00Z".parse().unwrap(),
            next_visible: "2026-11-20T10:10:00Z".parse().unwrap(),
        }
    }

    #[rstest]
    #[case::text(BindingValue::Json(json!("abc")), json!("\"abc\""))]
    #[case::number(BindingValue::Json(json!(1)), json!("1"))]
    #[case::boolean(BindingValue::Json(json!(true)), json!("true"))]
    #[case::array(BindingValue::Json(json!([1, "a"])), json!("[1,\"a\"]"))]
    #[case::object(BindingValue::Json(json!({"a": null})), json!({"a": null}))]
    #[case::bytes(BindingValue::Bytes(vec![0xff, 0, 1]), json!("/wAB"))]
    #[case::date(BindingValue::Date("2026-11-20T10:00:00.25Z".parse().unwrap()), json!("2026-11-20T10:00:00.25+00:00"))]
    fn values_are_encoded_by_their_type(#[case] value: BindingValue, #[case] encoded: Value) {
        assert_eq!(value.encode(), encoded);
    }

    #[test]
    fn a_queue_message_is_quoted_twice_and_its_fields_leak_into_metadata() {
        let envelope = queue(
            "msg",
            &message(r#"{"group":"g1","n":3}"#),
            &facts("Combine"),
        );
        let expected: Value = serde_json::from_str(
            r#"{"Data":{"msg":"\"{\\\"group\\\":\\\"g1\\\",\\\"n\\\":3}\""},
                "Metadata":{"DequeueCount":"1","ExpirationTime":"2026-11-27T10:00:00+00:00","Id":"\"6f0c\"",
                "InsertionTime":"2026-11-20T10:00:00+00:00","NextVisibleTime":"2026-11-20T10:10:00+00:00",
                "PopReceipt":"\"AgAA\"","group":"\"g1\"","n":"\"3\""}}"#,
        )
        .unwrap();
        let mut expected = expected;
        expected["Metadata"]["sys"] = sys("Combine");
        assert_eq!(envelope, expected);
    }

    #[rstest]
    #[case::own_id_hides_the_hosts(r#"{"Id":"mine"}"#, "Id", Some(json!("\"mine\"")))]
    #[case::object_stays(r#"{"o":{"k":[1]}}"#, "o", Some(json!({"k": [1]})))]
    #[case::null_is_skipped(r#"{"x":null}"#, "x", None)]
    #[case::array_is_skipped(r#"{"x":[1]}"#, "x", None)]
    #[case::trigger_is_dropped(r#"{"myTrigger":"x"}"#, "myTrigger", None)]
    #[case::own_text_is_dropped("plain", "QueueTrigger", None)]
    #[case::no_object_no_leak("[{\"a\":1}]", "a", None)]
    fn message_fields_in_metadata(
        #[case] text: &str,
        #[case] key: &str,
        #[case] value: Option<Value>,
    ) {
        let envelope = queue("msg", &message(text), &facts("F"));
        assert_eq!(envelope["Metadata"].get(key), value.as_ref());
    }

    #[test]
    fn an_event_is_an_object_and_its_data_is_repeated() {
        let event = json!({"id": "b3a1", "eventType": "Microsoft.Storage.BlobCreated", "data": {"api": "PutBlob", "n": 1}});
        let envelope = event_grid("event", &event, &facts("BlobEvent"));
        let expected = json!({"Data": {"event": event},
            "Metadata": {"data": {"api": "PutBlob", "n": 1}, "sys": sys("BlobEvent")}});
        assert_eq!(envelope, expected);
    }

    #[test]
    fn a_tick_says_its_schedule() {
        let envelope = timer("timer", None, false, &facts("Sweep"));
        let expected = json!({"Data": {"timer": {"Schedule": {"AdjustForDST": true}, "ScheduleStatus": null, "IsPastDue": false}},
            "Metadata": {"sys": sys("Sweep")}});
        assert_eq!(envelope, expected);
    }
}
