//! Queues of a storage account, by the official SDK.
//!
//! `messageEncoding` is `none` in `host.json`, so texts are sent as they are: JSON, never base64. The queues
//! themselves belong to the deployment; only poison queues are made here, as the Functions host does.

mod trial;

pub use trial::{QueueTrial, QueueTrouble, QueueTroubleKind};

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::headers::HeaderName;
use azure_core::time::OffsetDateTime;
use azure_storage_queue::models::{
    QueueClientReceiveMessagesOptions, QueueClientSendMessageOptions, QueueMessage, ReceivedMessage,
};
use azure_storage_queue::{QueueClient, QueueClientOptions};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::{Message, Queue, QueueError, QueuedMessage, Receive, ReceivedAgain};
use crate::stores::azure::{AzureConnection, Clients, ConnectionError, Missing, Problem, Refusal};

/// The most that a message may hold.
const MOST_BYTES: usize = 64 << 10;

/// The longest that a message can be hidden.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Messages do not disappear by themselves: what is lost here is found by Sweep only.
const FOR_EVER: i32 = -1;

/// Most messages of one answer.
const MOST_MESSAGES: usize = 32;

/// Messages sent at the same time: each takes a connection with its buffers, and a crowd of events is handed over at once.
const SENT_AT_ONCE: usize = 16;

/// Queues of one storage account.
#[derive(Debug)]
pub struct AzureQueue {
    connection: AzureConnection,
    account: String,
    clients: Clients<QueueClient>,
    sending: Semaphore,
}

/// Why a queue of Azure does not work.
#[derive(Debug, thiserror::Error)]
enum AzureQueueError {
    #[error("there is no such queue in {0}: deploy it with the app (`infra/`)")]
    Missing(String),
    #[error("{0}")]
    Denied(String),
    #[error("the message has {0} bytes, more than a queue takes")]
    TooLarge(usize),
    #[error(transparent)]
    Other(Problem),
}

impl AzureQueue {
    /// The queues of an account.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] for an endpoint that is no address.
    pub fn try_new(
        connection: AzureConnection,
        account: impl Into<String>,
    ) -> Result<Self, ConnectionError> {
        let account = account.into();
        connection.queue_url(&account, "reference-due")?;
        Ok(Self {
            connection,
            account,
            clients: Clients::default(),
            sending: Semaphore::new(SENT_AT_ONCE),
        })
    }

    /// Makes a queue if it is not there: for development, where nothing is deployed.
    ///
    /// # Errors
    ///
    /// [`QueueError`] when the service does not let us.
    pub async fn create(&self, queue: &str) -> Result<(), QueueError> {
        let client = self.client(queue)?;
        let made = self.connection.send(|| client.create(None)).await;
        made.map(drop)
            .map_err(|refusal| self.failed(queue, refusal))
    }

    fn client(&self, queue: &str) -> Result<Arc<QueueClient>, QueueError> {
        let made = self
            .clients
            .get(&self.account, queue, || self.make_client(queue));
        made.map_err(|error| failure(queue, error))
    }

    fn make_client(&self, queue: &str) -> Result<QueueClient, ConnectionError> {
        let url = self.connection.queue_url(&self.account, queue)?;
        let options = QueueClientOptions {
            client_options: self.connection.client_options(),
            ..QueueClientOptions::default()
        };
        let client = QueueClient::new(url, self.connection.credential(), Some(options));
        client.map_err(|source| ConnectionError::Account {
            account: self.account.clone(),
            source,
        })
    }

    async fn send_text(&self, queue: &str, text: &str, delay: Duration) -> Result<(), Refusal> {
        let client = self
            .client(queue)
            .map_err(|error| Refusal::from(Problem::Unreachable(crate::pipeline::chain(&error))))?;
        let _turn = self.sending.acquire().await;
        let sent = self.connection.send(|| async {
            let message = QueueMessage {
                message_text: Some(text.to_owned()),
            };
            let options = QueueClientSendMessageOptions {
                message_time_to_live: Some(FOR_EVER),
                visibility_timeout: Some(seconds(delay)),
                ..QueueClientSendMessageOptions::default()
            };
            client
                .send_message(message.try_into()?, Some(options))
                .await
        });
        sent.await.map(drop)
    }

    /// Changes when a message is visible; its new receipt, or `None` if it is not ours any more.
    async fn show_after(
        &self,
        message: &QueuedMessage,
        delay: Duration,
    ) -> Result<Option<String>, QueueError> {
        let client = self.client(&message.queue)?;
        let (id, receipt) = (&message.id, &message.pop_receipt);
        let changed = self.connection.send(|| async {
            let changed = client
                .update_message(id, receipt, seconds(delay), None)
                .await?;
            let receipt = HeaderName::from_static("x-ms-popreceipt");
            changed.headers().get_str(&receipt).map(str::to_owned)
        });
        match changed.await {
            Ok(receipt) => Ok(Some(receipt)),
            Err(refusal) if is_taken(&refusal.problem) => Ok(None),
            Err(refusal) => Err(self.failed(&message.queue, refusal)),
        }
    }

    fn failed(&self, queue: &str, refusal: Refusal) -> QueueError {
        let error = match refusal.problem {
            Problem::NotFound(Missing::Queue) => AzureQueueError::Missing(self.account.clone()),
            problem @ Problem::Denied { .. } => AzureQueueError::Denied(format!(
                "{problem} (`Storage Queue Data Contributor` on {})",
                self.account
            )),
            problem => AzureQueueError::Other(problem),
        };
        failure(queue, error)
    }
}

fn failure(queue: &str, error: impl std::error::Error + Send + Sync + 'static) -> QueueError {
    QueueError {
        queue: queue.to_owned(),
        source: Box::new(error),
    }
}

/// Whole seconds, no fewer than asked for and no more than the service takes.
fn seconds(delay: Duration) -> i32 {
    let whole = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
    i32::try_from(whole.min(LONGEST.as_secs())).unwrap_or(i32::MAX)
}

/// Whether a message has been received again, or dealt with.
fn is_taken(problem: &Problem) -> bool {
    match problem {
        Problem::NotFound(Missing::Message) => true,
        Problem::Refused { code, .. } => code == "PopReceiptMismatch",
        _ => false,
    }
}

fn received(queue: &str, message: ReceivedMessage) -> Option<QueuedMessage> {
    let time = |time: Option<OffsetDateTime>| Timestamp::from_second(time?.unix_timestamp()).ok();
    Some(QueuedMessage {
        id: message.message_id?,
        queue: queue.to_owned(),
        text: message.message_text.unwrap_or_default(),
        dequeue_count: u32::try_from(message.dequeue_count?).ok()?,
        pop_receipt: message.pop_receipt?,
        inserted_at: time(message.insertion_time)?,
        visible_at: time(message.time_next_visible)?,
    })
}

#[async_trait]
impl Queue for AzureQueue {
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), QueueError> {
        let queue = message.queue();
        let text = serde_json::to_string(message).map_err(|error| failure(queue, error))?;
        if text.len() > MOST_BYTES {
            return Err(failure(queue, AzureQueueError::TooLarge(text.len())));
        }
        let sent = self.send_text(queue, &text, delay).await;
        sent.map_err(|refusal| self.failed(queue, refusal))
    }
}

#[async_trait]
impl Receive for AzureQueue {
    async fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<QueuedMessage>, QueueError> {
        let client = self.client(queue)?;
        let answer = self.connection.send(|| async {
            let options = QueueClientReceiveMessagesOptions {
                number_of_messages: i32::try_from(max.min(MOST_MESSAGES)).ok(),
                visibility_timeout: Some(seconds(visibility).max(1)),
                ..QueueClientReceiveMessagesOptions::default()
            };
            client.receive_messages(Some(options)).await?.into_model()
        });
        let messages = answer
            .await
            .map_err(|refusal| self.failed(queue, refusal))?;
        let messages = messages.items.unwrap_or_default().into_iter();
        Ok(messages
            .filter_map(|message| received(queue, message))
            .collect())
    }

    async fn delete(&self, message: &QueuedMessage) -> Result<bool, QueueError> {
        let client = self.client(&message.queue)?;
        let (id, receipt) = (&message.id, &message.pop_receipt);
        let deleted = self
            .connection
            .send(|| client.delete_message(id, receipt, None));
        match deleted.await {
            Ok(_) => Ok(true),
            Err(refusal) if is_taken(&refusal.problem) => Ok(false),
            Err(refusal) => Err(self.failed(&message.queue, refusal)),
        }
    }

    async fn release(&self, message: &QueuedMessage, delay: Duration) -> Result<bool, QueueError> {
        Ok(self.show_after(message, delay).await?.is_some())
    }

    async fn extend(
        &self,
        message: &QueuedMessage,
        visibility: Duration,
    ) -> Result<String, QueueError> {
        let receipt = self.show_after(message, visibility).await?;
        receipt.ok_or_else(|| failure(&message.queue, ReceivedAgain))
    }

    async fn move_to(&self, message: &QueuedMessage, queue: &str) -> Result<bool, QueueError> {
        // The message is on both queues for a moment: better twice than not at all.
        let sent = match self.send_text(queue, &message.text, Duration::ZERO).await {
            Err(refusal) if matches!(refusal.problem, Problem::NotFound(Missing::Queue)) => {
                self.create(queue).await?;
                self.send_text(queue, &message.text, Duration::ZERO).await
            }
            sent => sent,
        };
        sent.map_err(|refusal| self.failed(queue, refusal))?;
        self.delete(message).await
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::stores::azure::fake::{Answer, Fake, azurite, emulated};
    use crate::stores::queue::contract;

    fn message() -> Message {
        Message::ReferenceDue {
            blob_url: String::from("abfs://bronze@acct/a&b.nc"),
        }
    }

    #[tokio::test]
    async fn the_contract_holds() {
        let queue = AzureQueue::try_new(emulated(), azurite::SILVER).unwrap();
        queue.create("combine-due").await.unwrap();
        queue.create("combine-due").await.unwrap();
        contract::holds(&queue).await;
    }

    #[tokio::test]
    async fn a_queue_that_was_not_deployed_is_named() {
        let queue = AzureQueue::try_new(emulated(), azurite::BRONZE).unwrap();
        let error = queue.send(&message(), Duration::ZERO).await.unwrap_err();
        assert_eq!(
            crate::pipeline::chain(&error),
            "queue reference-due failed: there is no such queue in bronzeaccount: deploy it with the app (`infra/`)"
        );
    }

    const SENT: &str = "<?xml version=\"1.0\"?><QueueMessagesList></QueueMessagesList>";

    #[tokio::test]
    async fn a_message_is_sent_again_while_the_service_is_busy_and_stays_for_ever() {
        let sent = Answer::of(201, &[("content-type", "application/xml")], SENT.as_bytes());
        let fake = Fake::start(vec![Answer::refusal(503, "ServerBusy"), sent]).await;
        let queue = AzureQueue::try_new(fake.connection(), "acct").unwrap();
        queue
            .send(&message(), Duration::from_millis(1500))
            .await
            .unwrap();
        let requests = fake.requests();
        assert_eq!(requests.len(), 2);
        assert!(
            requests[1].starts_with("post /acct/reference-due/messages?"),
            "{requests:?}"
        );
        assert!(requests[1].contains("messagettl=-1"), "{requests:?}");
        assert!(requests[1].contains("visibilitytimeout=2"), "{requests:?}");
    }

    #[tokio::test]
    async fn who_may_not_send_learns_the_role_that_it_takes() {
        let fake = Fake::start(vec![Answer::refusal(
            403,
            "AuthorizationPermissionMismatch",
        )])
        .await;
        let queue = AzureQueue::try_new(fake.connection(), "acct").unwrap();
        let error = queue.send(&message(), Duration::ZERO).await.unwrap_err();
        let message = crate::pipeline::chain(&error);
        assert!(
            message.contains("`Storage Queue Data Contributor` on acct"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_message_that_no_queue_takes_is_not_sent() {
        let fake = Fake::start(vec![Answer::Stall]).await;
        let queue = AzureQueue::try_new(fake.connection(), "acct").unwrap();
        let message = Message::ReferenceDue {
            blob_url: "x".repeat(64 << 10),
        };
        assert!(queue.send(&message, Duration::ZERO).await.is_err());
        assert!(fake.requests().is_empty());
    }

    #[rstest]
    #[case(Duration::ZERO, 0)]
    #[case(Duration::from_millis(1), 1)]
    #[case(Duration::from_secs(60), 60)]
    #[case(Duration::from_secs(86_400 * 30), 604_800)]
    fn delays_are_whole_seconds_up_to_a_week(#[case] delay: Duration, #[case] whole: i32) {
        assert_eq!(seconds(delay), whole);
    }
}
