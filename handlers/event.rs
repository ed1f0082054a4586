//! Stage 1: what the Functions host posts becomes typed events.
//!
//! The host wraps every trigger as `{"Data": {binding: value}, "Metadata": {…}}`, where the value is an object, or
//! JSON in a string, or JSON in a string in a string; all are accepted. Event Grid's own schema and `CloudEvents`
//! 1.0 both are read. SPEC §2.

mod blob_event;

pub use blob_event::{BlobEvent, BlobEventKind};

use serde_json::Value;

use crate::stores::queue::Message;

/// Why a payload is no event of ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The body is not JSON.
    #[error("the invocation's body is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// The envelope lacks a binding.
    #[error("the invocation has no binding `{0}` under Data")]
    NoBinding(&'static str),
    /// A field is missing or of the wrong kind.
    #[error("the event's `{0}` is missing or not what it should be")]
    Field(&'static str),
    /// The queue message is none of ours.
    #[error("the message is neither reference-due nor combine-due")]
    NotOurMessage(#[source] serde_json::Error),
}

/// The value of a binding, whatever the host has wrapped it in.
///
/// # Errors
///
/// [`EventError`] when the body is no envelope with that binding.
pub fn binding(body: &[u8], name: &'static str) -> Result<Value, EventError> {
    let envelope: Value = serde_json::from_slice(body).map_err(EventError::NotJson)?;
    let value = envelope.get("Data").and_then(|data| data.get(name));
    value
        .cloned()
        .map(unwrap_text)
        .ok_or(EventError::NoBinding(name))
}

/// Takes JSON out of a string, at most twice; other strings stay as they are.
fn unwrap_text(mut value: Value) -> Value {
    for _ in 0..2 {
        let inner = value
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok());
        match inner {
            Some(inner) => value = inner,
            None => break,
        }
    }
    value
}

/// The events of an Event Grid trigger: one, or an array of them.
///
/// # Errors
///
/// [`EventError`] for a payload that is no storage event.
pub fn blob_events(body: &[u8]) -> Result<Vec<BlobEvent>, EventError> {
    match binding(body, "event")? {
        Value::Array(events) => events.iter().map(BlobEvent::from_event_grid).collect(),
        event => Ok(vec![BlobEvent::from_event_grid(&event)?]),
    }
}

/// The message of a queue trigger.
///
/// # Errors
///
/// [`EventError`] for a payload that is none of our messages.
pub fn message(body: &[u8]) -> Result<Message, EventError> {
    serde_json::from_value(binding(body, "msg")?).map_err(EventError::NotOurMessage)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::object(json!({"blob_url": "abfs://b@a/x.nc"}))]
    #[case::text(json!("{\"blob_url\":\"abfs://b@a/x.nc\"}"))]
    #[case::text_in_text(json!("\"{\\\"blob_url\\\":\\\"abfs://b@a/x.nc\\\"}\""))]
    fn a_message_is_read_however_it_is_wrapped(#[case] value: Value) {
        let body = json!({"Data": {"msg": value}, "Metadata": {"DequeueCount": "1"}}).to_string();
        let expected = Message::ReferenceDue {
            blob_url: String::from("abfs://b@a/x.nc"),
        };
        assert_eq!(message(body.as_bytes()).unwrap(), expected);
    }

    #[rstest]
    #[case::not_json(b"nonsense".as_slice())]
    #[case::no_data(br#"{"Metadata":{}}"#)]
    #[case::other_binding(br#"{"Data":{"timer":{}}}"#)]
    #[case::not_ours(br#"{"Data":{"msg":{"hello":1}}}"#)]
    fn anything_else_is_an_error(#[case] body: &[u8]) {
        assert!(message(body).is_err());
    }
}
