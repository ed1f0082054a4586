//! Trying a queue out without anybody noticing: what is sent is never visible, and deleted at once.

use azure_core::http::headers::HeaderName;
use azure_storage_queue::QueueClient;
use azure_storage_queue::models::{
    QueueClientGetPropertiesResultHeaders as _, QueueClientPeekMessagesOptions,
    QueueClientSendMessageOptions, QueueMessage,
};

use super::AzureQueue;
use crate::stores::azure::{ConnectionError, Missing, Problem, Refusal};
use crate::stores::queue::Message;

/// The message of a trial is hidden for this long, and gone a second later if it could not be deleted.
const HIDDEN: i32 = 60;

/// A queue that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueTrial {
    /// Messages on it, about.
    pub waiting: u64,
    /// Whether the message that is next is one that we sent, as far as its encoding goes.
    pub is_readable: bool,
}

/// Why a queue did not.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {problem}")]
pub struct QueueTrouble {
    /// What was tried.
    pub doing: &'static str,
    /// What can be done about it.
    pub kind: QueueTroubleKind,
    problem: String,
}

/// What can be done about a queue that does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueTroubleKind {
    /// It has to be made.
    Missing,
    /// The identity needs a role, or the network has to let it in.
    Denied,
    /// The service cannot be reached, or fails.
    Other,
}

impl QueueTrouble {
    fn of(doing: &'static str, problem: &Problem) -> Self {
        let kind = match problem {
            Problem::NotFound(Missing::Queue) => QueueTroubleKind::Missing,
            Problem::Denied { .. } => QueueTroubleKind::Denied,
            _ => QueueTroubleKind::Other,
        };
        Self {
            doing,
            kind,
            problem: problem.to_string(),
        }
    }
}

impl AzureQueue {
    /// Looks at a queue, and takes one of ours through all that the app and its host do with messages.
    ///
    /// # Errors
    ///
    /// [`QueueTrouble`] with the first thing that did not work.
    pub async fn try_out(&self, queue: &str) -> Result<QueueTrial, QueueTrouble> {
        let client = self.make_client(queue).map_err(no_client)?;
        let waiting = self.count(&client).await?;
        let is_readable = self.look(&client).await?;
        if let Some(text) = harmless(queue) {
            self.send_and_take_back(&client, &text).await?;
        }
        Ok(QueueTrial {
            waiting,
            is_readable,
        })
    }

    async fn count(&self, client: &QueueClient) -> Result<u64, QueueTrouble> {
        let asked = self.connection.send(|| async {
            let properties = client.get_properties(None).await?;
            properties.approximate_messages_count()
        });
        let count = asked
            .await
            .map_err(|refusal| told("look at it", &refusal))?;
        Ok(count.and_then(|count| count.try_into().ok()).unwrap_or(0))
    }

    async fn look(&self, client: &QueueClient) -> Result<bool, QueueTrouble> {
        let peeked = self.connection.send(|| async {
            let options = QueueClientPeekMessagesOptions {
                number_of_messages: Some(1),
                ..QueueClientPeekMessagesOptions::default()
            };
            client.peek_messages(Some(options)).await?.into_model()
        });
        let peeked = peeked
            .await
            .map_err(|refusal| told("read its messages", &refusal))?;
        let mut texts = peeked.items.into_iter().flatten();
        let text = texts.find_map(|message| message.message_text);
        Ok(text.is_none_or(|text| text.trim_start().starts_with('{')))
    }

    async fn send_and_take_back(
        &self,
        client: &QueueClient,
        text: &str,
    ) -> Result<(), QueueTrouble> {
        let sent = self.connection.send(|| async {
            let message = QueueMessage {
                message_text: Some(text.to_owned()),
            };
            let options = QueueClientSendMessageOptions {
                message_time_to_live: Some(HIDDEN.saturating_add(1)),
                visibility_timeout: Some(HIDDEN),
                ..QueueClientSendMessageOptions::default()
            };
            let sent = client.send_message(message.try_into()?, Some(options));
            sent.await?.into_model()
        });
        let sent = sent.await.map_err(|refusal| told("send", &refusal))?;
        let sent = sent.items.unwrap_or_default().into_iter().next();
        let receipt = sent.and_then(|sent| sent.message_id.zip(sent.pop_receipt));
        let Some((id, receipt)) = receipt else {
            let problem = Problem::OtherBytes(String::from("no receipt"));
            return Err(QueueTrouble::of("send", &problem));
        };
        let kept = self.connection.send(|| async {
            let kept = client.update_message(&id, &receipt, HIDDEN, None).await?;
            let receipt = HeaderName::from_static("x-ms-popreceipt");
            kept.headers().get_str(&receipt).map(str::to_owned)
        });
        let kept = kept
            .await
            .map_err(|refusal| told("keep a message", &refusal));
        // It is taken back whether or not it could be kept.
        let latest = kept.as_ref().unwrap_or(&receipt);
        let deleted = self
            .connection
            .send(|| client.delete_message(&id, latest, None));
        let deleted = deleted.await;
        kept?;
        deleted
            .map(drop)
            .map_err(|refusal| told("delete a message", &refusal))
    }
}

/// A message that is passed over by whoever receives it all the same. None for poison queues: what is on them is told
/// as a failure.
fn harmless(queue: &str) -> Option<String> {
    let message = match queue {
        "reference-due" => Message::ReferenceDue {
            blob_url: String::from("abfs://landfall-doctor/trial"),
        },
        "combine-due" => Message::CombineDue {
            group_id: String::from("landfall-doctor"),
            generation: 0,
        },
        _ => return None,
    };
    serde_json::to_string(&message).ok()
}

fn told(doing: &'static str, refusal: &Refusal) -> QueueTrouble {
    QueueTrouble::of(doing, &refusal.problem)
}

fn no_client(error: ConnectionError) -> QueueTrouble {
    QueueTrouble {
        doing: "reach it",
        kind: QueueTroubleKind::Other,
        problem: crate::pipeline::chain(&error),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::stores::azure::fake::{Answer, Fake, azurite, emulated};
    use crate::stores::queue::{Queue as _, Receive as _};

    #[tokio::test]
    async fn nothing_is_left_on_a_queue_that_was_tried() {
        let queue = AzureQueue::try_new(emulated(), azurite::BRONZE).unwrap();
        queue.create("combine-due").await.unwrap();
        let empty = QueueTrial {
            waiting: 0,
            is_readable: true,
        };
        assert_eq!(queue.try_out("combine-due").await.unwrap(), empty);
        assert_eq!(queue.try_out("combine-due").await.unwrap().waiting, 0);
        let message = Message::CombineDue {
            group_id: String::from("g"),
            generation: 1,
        };
        let nothing = std::time::Duration::ZERO;
        queue.send(&message, nothing).await.unwrap();
        let tried = queue.try_out("combine-due").await.unwrap();
        assert_eq!((tried.waiting, tried.is_readable), (1, true));
        let found = queue.receive("combine-due", 32, nothing).await.unwrap();
        assert_eq!(found[0].dequeue_count, 1, "peeking took nothing");
    }

    #[tokio::test]
    async fn a_message_in_base64_is_noticed() {
        let queue = AzureQueue::try_new(emulated(), azurite::SILVER).unwrap();
        queue.create("reference-due-poison").await.unwrap();
        let text = "eyJibG9iX3VybCI6ImEifQ==";
        let sent = queue.send_text("reference-due-poison", text, std::time::Duration::ZERO);
        sent.await.unwrap();
        let tried = queue.try_out("reference-due-poison").await.unwrap();
        assert!(!tried.is_readable);
    }

    const COUNT: (&str, &str) = ("x-ms-approximate-messages-count", "0");
    const XML: (&str, &str) = ("content-type", "application/xml");
    const NONE: &[u8] = b"<QueueMessagesList></QueueMessagesList>";
    const SENT: &[u8] = b"<QueueMessagesList><QueueMessage><MessageId>7</MessageId><PopReceipt>r</PopReceipt></QueueMessage></QueueMessagesList>";

    /// The service refuses what comes after so many requests.
    #[rstest]
    #[case::look(0, "look at it")]
    #[case::read(1, "read its messages")]
    #[case::send(2, "send")]
    #[case::keep(3, "keep a message")]
    #[tokio::test]
    async fn what_is_not_allowed_is_named(#[case] allowed: usize, #[case] doing: &str) {
        let mut answers = vec![
            Answer::of(200, &[COUNT], b""),
            Answer::of(200, &[XML], NONE),
            Answer::of(201, &[XML], SENT),
        ];
        answers.truncate(allowed);
        answers.push(Answer::refusal(403, "AuthorizationPermissionMismatch"));
        let fake = Fake::start(answers).await;
        let queue = AzureQueue::try_new(fake.connection(), "acct").unwrap();
        let trouble = queue.try_out("reference-due").await.unwrap_err();
        assert_eq!(
            (trouble.doing, trouble.kind),
            (doing, QueueTroubleKind::Denied)
        );
        let requests = fake.requests();
        if allowed == 3 {
            let last = requests.last().unwrap();
            assert!(last.starts_with("delete "), "it is taken back: {last}");
        }
    }

    #[tokio::test]
    async fn a_queue_that_is_not_there_is_told_from_one_that_is_closed() {
        let fake = Fake::start(vec![Answer::refusal(404, "QueueNotFound")]).await;
        let queue = AzureQueue::try_new(fake.connection(), "acct").unwrap();
        let trouble = queue.try_out("reference-due").await.unwrap_err();
        assert_eq!(trouble.kind, QueueTroubleKind::Missing);
    }
}
