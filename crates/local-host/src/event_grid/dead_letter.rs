//! Events that were given up, in the form in which Event Grid leaves them in a container.

use std::{io, path::PathBuf};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{envelope::iso, guid::Guid};

/// Where given-up events go.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DeadLetters {
    /// Nowhere.
    Dropped,
    /// Below this folder, laid out as in Azure: `<topic>/<function>/<yyyy>/<M>/<d>/<h>/<guid>.json`.
    Folder(PathBuf),
    /// To this channel, one document each.
    Channel(mpsc::UnboundedSender<Value>),
}

impl DeadLetters {
    pub(super) async fn put(&self, function: &str, letter: Value) -> io::Result<()> {
        match self {
            Self::Dropped => Ok(()),
            Self::Channel(sender) => sender.send(letter).map_err(io::Error::other),
            Self::Folder(folder) => {
                let at = Timestamp::now().to_zoned(TimeZone::UTC);
                let folder = folder
                    .join(topic_name(&letter))
                    .join(function)
                    .join(format!(
                        "{}/{}/{}/{}",
                        at.year(),
                        at.month(),
                        at.day(),
                        at.hour()
                    ));
                tokio::fs::create_dir_all(&folder).await?;
                let path = folder.join(format!("{}.json", Guid::new()));
                tokio::fs::write(path, letter.to_string()).await
            }
        }
    }
}

/// Last part of the topic of a letter, in a form that is one safe folder name.
fn topic_name(letter: &Value) -> String {
    let topic = letter
        .pointer("/0/topic")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let name: String = topic
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    if name.is_empty() {
        "topic".to_owned()
    } else {
        name
    }
}

/// The document: an array with the event and what became of it.
pub(super) fn dead_letter(
    event: &Value,
    reason: &str,
    attempts: u32,
    outcome: &str,
    published: Timestamp,
    last: Timestamp,
) -> Value {
    let mut event = event.clone();
    let facts = [
        ("deadLetterReason", json!(reason)),
        ("deliveryAttempts", json!(attempts)),
        ("lastDeliveryOutcome", json!(outcome)),
        ("publishTime", json!(iso(published))),
        ("lastDeliveryAttemptTime", json!(iso(last))),
    ];
    // CloudEvents allows lower-case attribute names only.
    let cloud_events = event.get("specversion").is_some();
    if let Some(fields) = event.as_object_mut() {
        for (name, value) in facts {
            let name = if cloud_events {
                name.to_ascii_lowercase()
            } else {
                name.to_owned()
            };
            fields.insert(name, value);
        }
    }
    json!([event])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(event: &Value) -> Value {
        let at = |text: &str| text.parse().unwrap();
        dead_letter(
            event,
            "MaxDeliveryAttemptsExceeded",
            3,
            "InternalServerError",
            at("2026-11-20T10:00:00Z"),
            at("2026-11-20T11:00:00Z"),
        )
    }

    #[test]
    fn a_dead_letter_is_the_event_and_what_became_of_it() {
        assert_eq!(
            letter(&json!({"id": "a", "topic": "/x/acct"})),
            json!([{"id": "a", "topic": "/x/acct", "deadLetterReason": "MaxDeliveryAttemptsExceeded", "deliveryAttempts": 3,
                "lastDeliveryOutcome": "InternalServerError", "publishTime": "2026-11-20T10:00:00Z",
                "lastDeliveryAttemptTime": "2026-11-20T11:00:00Z"}])
        );
    }

    #[test]
    fn cloud_events_have_lower_case_names() {
        let letter = letter(&json!({"specversion": "1.0", "id": "a"}));
        assert_eq!(
            letter.pointer("/0/deadletterreason"),
            Some(&json!("MaxDeliveryAttemptsExceeded"))
        );
    }

    #[tokio::test]
    async fn a_folder_of_dead_letters_is_laid_out_as_in_azure() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::Folder(folder.path().to_path_buf());
        letters
            .put(
                "BlobEvent",
                json!([{"topic": "/subscriptions/s/storageAccounts/acct"}]),
            )
            .await
            .unwrap();
        let hours = folder.path().join("acct/BlobEvent");
        let depth = |path: &std::path::Path| {
            std::fs::read_dir(path)
                .unwrap()
                .next()
                .unwrap()
                .unwrap()
                .path()
        };
        let file = depth(&depth(&depth(&depth(&depth(&hours)))));
        assert_eq!(file.extension().unwrap(), "json");
    }
}
