//! Changes as events of Azure Blob Storage, in Event Grid's schema.

use jiff::{Timestamp, fmt::strtime, tz::TimeZone};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::tracker::{Change, Kind};
use crate::guid::Guid;

/// What stays as it is in the path of a blob's URL.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The account and container that events name.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) account: String,
    pub(super) container: String,
}

/// Numbers the events so that later ones are greater, also after a restart.
#[derive(Debug, Default)]
pub(super) struct Sequencer(i128);

impl Sequencer {
    /// The next number: the time in ns, or one more than the last where that is not greater.
    pub(super) fn next(&mut self, at: Timestamp) -> String {
        self.0 = at.as_nanosecond().max(self.0 + 1);
        format!("{:030X}", self.0)
    }
}

impl Account {
    /// The event that announces a change.
    pub(super) fn event(&self, change: &Change, sequencer: &str) -> Value {
        let Self { account, container } = self;
        let blob = &change.blob;
        let encoded = utf8_percent_encode(blob, PATH);
        let mut data = json!({
            "clientRequestId": Guid::new().to_string(),
            "requestId": Guid::new().to_string(),
            "contentType": content_type(blob),
            "blobType": "BlockBlob",
            "url": format!("https://{account}.blob.core.windows.net/{container}/{encoded}"),
            "sequencer": sequencer,
            "storageDiagnostics": {"batchId": Guid::new().to_string()},
        });
        let (event_type, facts) = match &change.kind {
            Kind::Created { etag, length } => (
                "Microsoft.Storage.BlobCreated",
                json!({"api": "PutBlob", "eTag": etag, "contentLength": length}),
            ),
            Kind::Deleted => (
                "Microsoft.Storage.BlobDeleted",
                json!({"api": "DeleteBlob"}),
            ),
        };
        if let (Some(data), Value::Object(facts)) = (data.as_object_mut(), facts) {
            data.extend(facts);
        }
        json!({
            "id": Guid::new().to_string(),
            "topic": format!("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local/providers/Microsoft.Storage/storageAccounts/{account}"),
            "subject": format!("/blobServices/default/containers/{container}/blobs/{blob}"),
            "eventType": event_type,
            "eventTime": ticks(change.at),
            "data": data,
            "dataVersion": "",
            "metadataVersion": "1",
        })
    }
}

/// Times in events have seven digits after the second, .NET's ticks.
fn ticks(at: Timestamp) -> String {
    let seconds =
        strtime::format("%Y-%m-%dT%H:%M:%S", &at.to_zoned(TimeZone::UTC)).unwrap_or_default();
    format!(
        "{seconds}.{:07}Z",
        at.subsec_nanosecond().unsigned_abs() / 100
    )
}

fn content_type(blob: &str) -> &'static str {
    let extension = blob
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    match extension.as_str() {
        "nc" | "nc4" | "cdf" => "application/x-netcdf",
        "h5" | "hdf5" => "application/x-hdf5",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: Kind) -> Value {
        let account = Account {
            account: "local".to_owned(),
            container: "bronze".to_owned(),
        };
        let change = Change {
            blob: "grp 1/f#\u{e9}.nc".to_owned(),
            kind,
            at: "2026-11-20T10:00:00.1234567Z".parse().unwrap(),
        };
        account.event(&change, &Sequencer::default().next(change.at))
    }

    #[test]
    fn a_landed_file_is_a_created_blob() {
        let event = event(Kind::Created {
            etag: "a-b-c".to_owned(),
            length: 5,
        });
        assert_eq!(event["eventType"], "Microsoft.Storage.BlobCreated");
        assert_eq!(
            event["subject"],
            "/blobServices/default/containers/bronze/blobs/grp 1/f#\u{e9}.nc"
        );
        assert_eq!(event["eventTime"], "2026-11-20T10:00:00.1234567Z");
        let data = &event["data"];
        assert_eq!(
            data["url"],
            "https://local.blob.core.windows.net/bronze/grp%201/f%23%C3%A9.nc"
        );
        assert_eq!(
            (&data["api"], &data["eTag"], &data["contentLength"]),
            (&json!("PutBlob"), &json!("a-b-c"), &json!(5))
        );
        assert_eq!(data["contentType"], "application/x-netcdf");
    }

    #[test]
    fn a_file_that_went_is_a_deleted_blob_without_an_etag() {
        let event = event(Kind::Deleted);
        assert_eq!(event["eventType"], "Microsoft.Storage.BlobDeleted");
        assert_eq!(event["data"]["api"], "DeleteBlob");
        assert_eq!(event["data"].get("eTag"), None);
    }

    #[test]
    fn sequencers_grow_even_when_the_clock_does_not() {
        let at: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let mut sequencer = Sequencer::default();
        let (first, second, third) = (
            sequencer.next(at),
            sequencer.next(at),
            sequencer.next(at - jiff::Span::new().hours(1)),
        );
        assert!(first < second && second < third, "{first} {second} {third}");
        assert_eq!(first.len(), 30);
        assert!(Sequencer::default().next(at + jiff::Span::new().seconds(1)) > third);
    }
}
