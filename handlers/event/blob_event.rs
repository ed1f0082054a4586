//! Storage events: created, deleted, renamed.

use serde_json::Value;

use super::EventError;
use crate::stores::blobs::BlobPath;

/// What happened to a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobEventKind {
    /// A version was written.
    Created,
    /// The blob is gone.
    Deleted,
    /// The blob is gone under its old name and there under the new one (accounts with hierarchical namespace).
    Renamed {
        /// The new name.
        destination: BlobPath,
    },
    /// An event of no interest to us: its type.
    Other(String),
}

/// A storage event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobEvent {
    /// Id of the event, for the log.
    pub event_id: String,
    /// What happened.
    pub kind: BlobEventKind,
    /// To which blob.
    pub path: BlobPath,
    /// Version that was written, without quotes.
    pub etag: Option<String>,
    /// Its length, where the event tells a trustworthy one (not 0).
    pub length: Option<u64>,
    /// Order of writes to one blob.
    pub sequencer: Option<String>,
    /// Whether this only announces an empty file that is about to be written (ADLS Gen2 `CreateFile`).
    pub is_placeholder: bool,
}

const SUBJECT_PREFIX: &str = "blobServices/default/containers/";

impl BlobEvent {
    /// Reads one event in Event Grid's schema or as `CloudEvents` 1.0.
    ///
    /// Account and blob are taken from `topic`/`source` and `subject`; the `url`'s host may be that of the DFS
    /// endpoint.
    ///
    /// # Errors
    ///
    /// [`EventError::Field`] naming what is missing.
    pub fn from_event_grid(event: &Value) -> Result<Self, EventError> {
        let text = |key: &'static str| event.get(key).and_then(Value::as_str);
        let kind = text("eventType")
            .or_else(|| text("type"))
            .ok_or(EventError::Field("eventType"))?;
        let data = event
            .get("data")
            .filter(|data| data.is_object())
            .ok_or(EventError::Field("data"))?;
        let account = account(event, data)?;
        let path = path(
            &account,
            text("subject").ok_or(EventError::Field("subject"))?,
        )?;
        let field = |key: &str| data.get(key).and_then(Value::as_str);
        let length = data.get("contentLength").and_then(number);
        Ok(Self {
            event_id: text("id").unwrap_or_default().to_owned(),
            kind: kind_of(kind, data, &account)?,
            path,
            etag: field("eTag")
                .map(|etag| etag.trim_matches('"').to_owned())
                .filter(|etag| !etag.is_empty()),
            length: length.filter(|length| *length > 0),
            sequencer: field("sequencer")
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            is_placeholder: field("api") == Some("CreateFile") && length.unwrap_or(0) == 0,
        })
    }
}

/// A number, or a number in a string.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn kind_of(kind: &str, data: &Value, account: &str) -> Result<BlobEventKind, EventError> {
    match kind.rsplit('.').next().unwrap_or(kind) {
        "BlobCreated" => Ok(BlobEventKind::Created),
        "BlobDeleted" => Ok(BlobEventKind::Deleted),
        "BlobRenamed" => {
            let url = data.get("destinationUrl").and_then(Value::as_str);
            let url = url.ok_or(EventError::Field("data.destinationUrl"))?;
            let destination = BlobPath::parse(url, account)
                .map_err(|_| EventError::Field("data.destinationUrl"))?;
            Ok(BlobEventKind::Renamed { destination })
        }
        _ => Ok(BlobEventKind::Other(kind.to_owned())),
    }
}

/// The storage account: last segment of the topic, else the first label of the url's host.
fn account(event: &Value, data: &Value) -> Result<String, EventError> {
    let topic = event
        .get("topic")
        .or_else(|| event.get("source"))
        .and_then(Value::as_str);
    let named = topic
        .and_then(|topic| topic.split_once("/storageAccounts/"))
        .map(|(_, rest)| rest);
    if let Some(account) = named
        .and_then(|rest| rest.split('/').next())
        .filter(|name| !name.is_empty())
    {
        return Ok(account.to_owned());
    }
    let url = data
        .get("url")
        .and_then(Value::as_str)
        .ok_or(EventError::Field("data.url"))?;
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let account = host
        .split(['.', '/'])
        .next()
        .filter(|name| !name.is_empty());
    account
        .map(str::to_owned)
        .ok_or(EventError::Field("data.url"))
}

/// `/blobServices/default/containers/{container}/blobs/{blob}`, with or without the leading slash. The subject is
/// raw, not percent-encoded.
fn path(account: &str, subject: &str) -> Result<BlobPath, EventError> {
    let rest = subject
        .trim_start_matches('/')
        .strip_prefix(SUBJECT_PREFIX)
        .ok_or(EventError::Field("subject"))?;
    let (container, blob) = rest
        .split_once("/blobs/")
        .ok_or(EventError::Field("subject"))?;
    let path = BlobPath::new(account, container, blob);
    match path.is_address() {
        true => Ok(path),
        false => Err(EventError::Field("subject")),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn event_grid() -> Value {
        json!({
            "id": "b3a1", "topic": "/subscriptions/S/resourceGroups/R/providers/Microsoft.Storage/storageAccounts/acct",
            "subject": "/blobServices/default/containers/bronze/blobs/grp 1/f#01.nc",
            "eventType": "Microsoft.Storage.BlobCreated", "eventTime": "2026-11-20T10:00:00.1234567Z",
            "data": {"api": "PutBlockList", "eTag": "\"0x8DD0\"", "contentLength": 1_048_576, "blobType": "BlockBlob",
                "url": "https://acct.dfs.core.windows.net/bronze/grp%201/f%2301.nc", "sequencer": "00A1"},
        })
    }

    #[test]
    fn the_blob_is_taken_from_the_subject() {
        let event = BlobEvent::from_event_grid(&event_grid()).unwrap();
        assert_eq!(event.path, BlobPath::new("acct", "bronze", "grp 1/f#01.nc"));
        assert_eq!(event.etag.as_deref(), Some("0x8DD0"));
        assert_eq!(
            (event.length, event.kind),
            (Some(1_048_576), BlobEventKind::Created)
        );
    }

    #[test]
    fn cloud_events_are_read_too() {
        let mut event = event_grid();
        let fields = event.as_object_mut().unwrap();
        let (topic, kind) = (
            fields.remove("topic").unwrap(),
            fields.remove("eventType").unwrap(),
        );
        fields.insert("source".into(), topic);
        fields.insert("type".into(), kind);
        fields.insert("specversion".into(), json!("1.0"));
        fields.insert(
            "subject".into(),
            json!("blobServices/default/containers/bronze/blobs/a.nc"),
        );
        let event = BlobEvent::from_event_grid(&event).unwrap();
        assert_eq!(event.path, BlobPath::new("acct", "bronze", "a.nc"));
    }

    #[rstest]
    #[case::length_zero(json!({"contentLength": 0}), None, false)]
    #[case::announced_empty(json!({"contentLength": 0, "api": "CreateFile"}), None, true)]
    #[case::length_as_text(json!({"contentLength": "12"}), Some(12), false)]
    fn a_length_of_zero_tells_nothing(
        #[case] data: Value,
        #[case] length: Option<u64>,
        #[case] placeholder: bool,
    ) {
        let mut event = event_grid();
        event["data"]
            .as_object_mut()
            .unwrap()
            .extend(data.as_object().unwrap().clone());
        let event = BlobEvent::from_event_grid(&event).unwrap();
        assert_eq!((event.length, event.is_placeholder), (length, placeholder));
    }

    #[rstest]
    #[case::no_subject("subject", Value::Null)]
    #[case::foreign_subject("subject", json!("/queues/x"))]
    #[case::way_up("subject", json!("/blobServices/default/containers/bronze/blobs/../x.nc"))]
    // Fuzzing: such a container or account was taken, and the address in the queue read as another blob.
    #[case::folder_as_container("subject", json!("/blobServices/default/containers/a/b/blobs/x.nc"))]
    #[case::at_in_container("subject", json!("/blobServices/default/containers/a@b/blobs/x.nc"))]
    #[case::no_data("data", json!("text"))]
    #[case::no_type("eventType", Value::Null)]
    fn a_broken_event_names_its_field(#[case] field: &'static str, #[case] value: Value) {
        let mut event = event_grid();
        event[field] = value;
        let error = BlobEvent::from_event_grid(&event).unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }

    #[test]
    fn a_rename_has_both_names() {
        let mut event = event_grid();
        event["eventType"] = json!("Microsoft.Storage.BlobRenamed");
        event["data"]["destinationUrl"] =
            json!("https://acct.dfs.core.windows.net/bronze/new%20name.nc");
        let event = BlobEvent::from_event_grid(&event).unwrap();
        let destination = BlobPath::new("acct", "bronze", "new name.nc");
        assert_eq!(event.kind, BlobEventKind::Renamed { destination });
    }
}
