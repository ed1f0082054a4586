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
    /// The blob is there under its new name, and gone under the old one (accounts with hierarchical namespace).
    Renamed {
        /// The old name.
        source: BlobPath,
    },
}

/// A storage event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobEvent {
    /// Id of the event, for the log.
    pub event_id: String,
    /// What happened.
    pub kind: BlobEventKind,
    /// To which blob; of a renamed one, under its new name.
    pub path: BlobPath,
    /// Version that was written, without quotes.
    pub etag: Option<String>,
    /// Its length, where the event tells a trustworthy one (not 0).
    pub length: Option<u64>,
    /// Order of writes to one blob.
    pub sequencer: Option<String>,
    /// Whether this only announces an empty file that is about to be written (ADLS Gen2 `CreateFile`, SFTP's
    /// `SftpCreate`); what is written then is announced by an event of its own.
    pub is_placeholder: bool,
}

const SUBJECT_PREFIX: &str = "blobServices/default/containers/";

/// Calls that make an empty file before its bytes are written.
const PLACEHOLDERS: [&str; 2] = ["CreateFile", "SftpCreate"];

/// Calls whose event may come before the bytes are all there: what it says of the version is not final.
const EARLY: [&str; 1] = ["CopyBlob"];

impl BlobEvent {
    /// Reads one event in Event Grid's schema or as `CloudEvents` 1.0; `None` for a type that is none of ours, such
    /// as `DirectoryCreated`.
    ///
    /// Account and blob are taken from `topic`/`source` and `subject`; the `url`'s host may be that of the DFS
    /// endpoint.
    ///
    /// # Errors
    ///
    /// [`EventError::Field`] naming what is missing.
    pub fn from_event_grid(event: &Value) -> Result<Option<Self>, EventError> {
        let text = |key: &'static str| event.get(key).and_then(Value::as_str);
        let kind = text("eventType")
            .or_else(|| text("type"))
            .ok_or(EventError::Field("eventType"))?;
        let kind = kind.rsplit('.').next().unwrap_or(kind);
        if !["BlobCreated", "BlobDeleted", "BlobRenamed"].contains(&kind) {
            return Ok(None);
        }
        let data = event.get("data").cloned().map(super::unwrap_text);
        let data = data
            .filter(Value::is_object)
            .ok_or(EventError::Field("data"))?;
        let account = account(event, &data)?;
        let subject = text("subject").ok_or(EventError::Field("subject"))?;
        let path = path(&account, subject)?;
        let kind = match kind {
            "BlobCreated" => BlobEventKind::Created,
            "BlobDeleted" => BlobEventKind::Deleted,
            _ => renamed(&data, &account)?,
        };
        let event_id = text("id").unwrap_or_default().to_owned();
        Ok(Some(Self::with_facts(event_id, kind, path, &data)))
    }

    fn with_facts(event_id: String, kind: BlobEventKind, path: BlobPath, data: &Value) -> Self {
        let field = |key: &str| data.get(key).and_then(Value::as_str);
        let length = data.get("contentLength").and_then(number);
        let api = field("api").unwrap_or_default();
        let etag = field("eTag").map(bare_etag);
        let is_final = !EARLY.contains(&api);
        Self {
            event_id,
            kind,
            path,
            etag: etag.filter(|etag| is_final && !etag.is_empty()),
            length: length.filter(|length| *length > 0),
            sequencer: field("sequencer")
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            is_placeholder: PLACEHOLDERS.contains(&api) && length.unwrap_or(0) == 0,
        }
    }
}

/// `0x8D…` of `"0x8D…"` and of `W/"0x8D…"`.
fn bare_etag(etag: &str) -> String {
    let etag = etag.trim();
    let etag = etag.strip_prefix("W/").unwrap_or(etag);
    etag.trim_matches('"').to_owned()
}

/// A number, or a number in a string.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Both names of a renamed blob: its event's subject is the new one.
fn renamed(data: &Value, account: &str) -> Result<BlobEventKind, EventError> {
    let url = data.get("sourceUrl").and_then(Value::as_str);
    let source = url.and_then(|url| BlobPath::parse(url, account).ok());
    let source = source.ok_or(EventError::Field("data.sourceUrl"))?;
    Ok(BlobEventKind::Renamed { source })
}

/// The storage account: last segment of the topic, else the first label of the url's host.
fn account(event: &Value, data: &Value) -> Result<String, EventError> {
    let topic = event
        .get("topic")
        .or_else(|| event.get("source"))
        .and_then(Value::as_str);
    let named = topic.and_then(below_accounts);
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

/// What follows `/storageAccounts/`, in whatever case Azure's resource ids come.
fn below_accounts(topic: &str) -> Option<&str> {
    const MARK: &str = "/storageaccounts/";
    let at = topic.to_ascii_lowercase().find(MARK)?;
    topic.get(at + MARK.len()..)
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

    /// An event that is one of ours.
    fn read(event: &Value) -> BlobEvent {
        BlobEvent::from_event_grid(event).unwrap().unwrap()
    }

    fn with(event: &mut Value, data: Value) {
        let Value::Object(data) = data else {
            panic!("not fields: {data}")
        };
        event["data"].as_object_mut().unwrap().extend(data);
    }

    #[test]
    fn the_blob_is_taken_from_the_subject() {
        let event = read(&event_grid());
        assert_eq!(event.path, BlobPath::new("acct", "bronze", "grp 1/f#01.nc"));
        assert_eq!(event.etag.as_deref(), Some("0x8DD0"));
        assert_eq!(
            (event.length, event.kind),
            (Some(1_048_576), BlobEventKind::Created)
        );
    }

    fn as_cloud_event(mut event: Value) -> Value {
        let fields = event.as_object_mut().unwrap();
        for (from, to) in [
            ("topic", "source"),
            ("eventType", "type"),
            ("eventTime", "time"),
        ] {
            let value = fields.remove(from).unwrap();
            fields.insert(to.to_owned(), value);
        }
        fields.insert("specversion".into(), json!("1.0"));
        event
    }

    #[rstest]
    #[case::as_it_is("/blobServices/default/containers/bronze/blobs/grp 1/f#01.nc")]
    #[case::without_slash("blobServices/default/containers/bronze/blobs/grp 1/f#01.nc")]
    fn cloud_events_say_the_same(#[case] subject: &str) {
        let mut event = as_cloud_event(event_grid());
        event["subject"] = json!(subject);
        assert_eq!(read(&event), read(&event_grid()));
        event["data"] = json!(event["data"].to_string());
        assert_eq!(read(&event), read(&event_grid()));
    }

    #[rstest]
    #[case::length_zero(json!({"contentLength": 0}), None, false)]
    #[case::announced_empty(json!({"contentLength": 0, "api": "CreateFile"}), None, true)]
    #[case::announced_by_sftp(json!({"contentLength": 0, "api": "SftpCreate"}), None, true)]
    #[case::written_at_once(json!({"contentLength": 5, "api": "CreateFile"}), Some(5), false)]
    #[case::flushed_empty(json!({"contentLength": 0, "api": "FlushWithClose"}), None, false)]
    #[case::length_as_text(json!({"contentLength": "12"}), Some(12), false)]
    fn a_length_of_zero_tells_nothing(
        #[case] data: Value,
        #[case] length: Option<u64>,
        #[case] placeholder: bool,
    ) {
        let mut event = event_grid();
        with(&mut event, data);
        let event = read(&event);
        assert_eq!((event.length, event.is_placeholder), (length, placeholder));
    }

    #[rstest]
    #[case::bare("PutBlob", "0x8DD0", Some("0x8DD0"))]
    #[case::quoted("FlushWithClose", "\"0x8DD0\"", Some("0x8DD0"))]
    #[case::weak("SftpCommit", "W/\"0x8DD0\"", Some("0x8DD0"))]
    #[case::empty("PutBlockList", "", None)]
    // A copy is announced when it begins; its last version is another one.
    #[case::copied("CopyBlob", "0x8DD0", None)]
    fn an_etag_is_bare_and_final(
        #[case] api: &str,
        #[case] etag: &str,
        #[case] expected: Option<&str>,
    ) {
        let mut event = event_grid();
        with(&mut event, json!({"api": api, "eTag": etag}));
        assert_eq!(read(&event).etag.as_deref(), expected);
    }

    #[rstest]
    #[case("Microsoft.Storage.DirectoryRenamed")]
    #[case("Microsoft.Storage.BlobTierChanged")]
    #[case("Microsoft.EventGrid.SubscriptionValidationEvent")]
    fn other_events_are_passed_over(#[case] kind: &str) {
        let event = json!({"eventType": kind, "subject": "", "data": {}});
        assert_eq!(BlobEvent::from_event_grid(&event).unwrap(), None);
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

    #[rstest]
    #[case("/subscriptions/S/resourcegroups/r/providers/microsoft.storage/storageaccounts/acct")]
    #[case(
        "/subscriptions/S/resourceGroups/R/providers/Microsoft.Storage/storageAccounts/acct/more"
    )]
    #[case("elsewhere, so the address says it")]
    fn the_account_is_that_of_the_topic_or_the_address(#[case] topic: &str) {
        let mut event = event_grid();
        event["topic"] = json!(topic);
        assert_eq!(read(&event).path.account, "acct");
    }

    // The event of Microsoft's documentation, with other names: its subject is the new name, not the old one.
    #[test]
    fn a_renamed_blob_is_known_by_its_new_name() {
        let event = json!({
            "topic": "/subscriptions/S/resourceGroups/Storage/providers/Microsoft.Storage/storageAccounts/acct",
            "subject": "/blobServices/default/containers/bronze/blobs/new name.nc",
            "eventType": "Microsoft.Storage.BlobRenamed", "eventTime": "2026-06-26T18:41:00.9584103Z", "id": "831e",
            "data": {"api": "RenameFile", "requestId": "831e",
                "destinationUrl": "https://acct.dfs.core.windows.net/bronze/new%20name.nc",
                "sourceUrl": "https://acct.dfs.core.windows.net/bronze/old%20name.nc",
                "sequencer": "00000000000004420000000000028963"},
            "dataVersion": "1", "metadataVersion": "1"
        });
        let event = read(&event);
        let source = BlobPath::new("acct", "bronze", "old name.nc");
        assert_eq!(event.path, BlobPath::new("acct", "bronze", "new name.nc"));
        assert_eq!(event.kind, BlobEventKind::Renamed { source });
    }
}
