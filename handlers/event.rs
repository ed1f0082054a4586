//! Stage 1: what the Functions host posts becomes typed events.
//!
//! The host wraps every trigger as `{"Data": {binding: value}, "Metadata": {…}}`, where the value is an object, or
//! JSON in a string, or JSON in a string in a string; all are accepted. Event Grid's own schema and `CloudEvents`
//! 1.0 both are read. SPEC §2.

mod blob_event;

pub use blob_event::{BlobEvent, BlobEventKind};

use serde_json::Value;
use tracing::{debug, error};

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

/// The events of an Event Grid trigger: one, or an array of them. One that cannot be read is logged and passed over:
/// to deliver it again would not mend it, and would hold up the others.
///
/// # Errors
///
/// [`EventError`] for a payload that holds no events.
pub fn blob_events(body: &[u8]) -> Result<Vec<BlobEvent>, EventError> {
    read_events(binding(body, "event")?)
}

/// Events that somebody kept: one, or an array of them, as Event Grid sends them and leaves them as dead letters.
///
/// # Errors
///
/// [`EventError`] for what holds no events.
pub fn stored_events(text: &[u8]) -> Result<Vec<BlobEvent>, EventError> {
    read_events(serde_json::from_slice(text).map_err(EventError::NotJson)?)
}

fn read_events(value: Value) -> Result<Vec<BlobEvent>, EventError> {
    let events = match value {
        Value::Array(events) => events.into_iter().map(unwrap_text).collect(),
        event @ Value::Object(_) => vec![event],
        _ => return Err(EventError::Field("event")),
    };
    Ok(events.iter().filter_map(one_of_ours).collect())
}

fn one_of_ours(event: &Value) -> Option<BlobEvent> {
    let field = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
    match BlobEvent::from_event_grid(event) {
        Ok(Some(event)) => Some(event),
        Ok(None) => {
            debug!(
                event.id = field("id"),
                "Passed over an event of type {}",
                field("eventType")
            );
            None
        }
        Err(error) => {
            error!(
                event.id = field("id"),
                event.subject = field("subject"),
                "Refused an event: {error}"
            );
            None
        }
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

    fn created(name: &str) -> Value {
        json!({
            "id": name, "eventType": "Microsoft.Storage.BlobCreated", "topic": "/x/storageAccounts/acct",
            "subject": format!("/blobServices/default/containers/bronze/blobs/{name}"), "data": {"api": "PutBlob"},
        })
    }

    #[rstest]
    #[case::alone(json!(created("a.nc")), &["a.nc"])]
    #[case::batch(json!([created("a.nc"), created("b.nc")]), &["a.nc", "b.nc"])]
    #[case::batch_in_text(json!(json!([created("a.nc"), created("b.nc")]).to_string()), &["a.nc", "b.nc"])]
    #[case::texts_in_a_batch(json!([created("a.nc").to_string()]), &["a.nc"])]
    #[case::bad_one_among_good(json!([created("a.nc"), {"eventType": "Microsoft.Storage.BlobCreated"}, 7]), &["a.nc"])]
    #[case::nothing(json!([]), &[])]
    fn events_come_alone_or_in_batches(#[case] value: Value, #[case] expected: &[&str]) {
        let body = json!({"Data": {"event": value}, "Metadata": {"sys": {}}}).to_string();
        let events = blob_events(body.as_bytes()).unwrap();
        let names: Vec<&str> = events
            .iter()
            .map(|event| event.path.blob.as_str())
            .collect();
        assert_eq!(names, expected);
    }

    #[rstest]
    #[case::text(br#"{"Data":{"event":"hello"}}"#.as_slice())]
    #[case::number(br#"{"Data":{"event":7}}"#)]
    #[case::bare(br#"[{"id":"1"}]"#)]
    fn what_holds_no_events_is_an_error(#[case] body: &[u8]) {
        assert!(blob_events(body).is_err());
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
