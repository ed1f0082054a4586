//! The embedded queue: a table in the ledger's SQLite file, shared by the handler and the local host.
//!
//! It keeps Azure's promises: at least once, a message that was received is invisible for a while, and only its
//! latest receiver, by pop receipt, may delete it.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Row, Transaction};

use super::{Message, Queue, QueueError, QueuedMessage, Receive, ReceivedAgain};
use crate::stores::ledger::LedgerError;
use crate::stores::ledger::sqlite::{Database, time, time_text};

/// A message that waits no longer than this past the time asked for stands for another one sent for that time.
const SAME_TIME: SignedDuration = SignedDuration::from_secs(1);

/// A queue in a SQLite file.
#[derive(Debug, Clone)]
pub struct EmbeddedQueue {
    database: Database,
}

impl EmbeddedQueue {
    /// Opens the queue in the ledger's file at `path`.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] if the file cannot be opened or stays locked.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Ok(Self {
            database: Database::open(path)?,
        })
    }

    /// Number of messages on a queue, hidden ones included.
    ///
    /// # Errors
    ///
    /// [`QueueError`] if the file is not available.
    pub async fn len(&self, queue: &str) -> Result<u64, QueueError> {
        let name = queue.to_owned();
        let sql = "SELECT count(*) FROM landfall_queue_message WHERE queue = ?1";
        let count = self
            .database
            .read(move |tx| Ok(tx.query_row(sql, [name], |row| row.get::<_, i64>(0))?))
            .await;
        count
            .map(i64::unsigned_abs)
            .map_err(|error| failed(queue, error))
    }

    /// Changes a message if the receipt is its latest.
    async fn change<F>(&self, message: &QueuedMessage, change: F) -> Result<bool, QueueError>
    where
        F: FnOnce(&Transaction<'_>, i64, &str) -> rusqlite::Result<usize> + Send + 'static,
    {
        let id = &message.id;
        let number: i64 = id.parse().map_err(|error| failed_message(id, error))?;
        let receipt = message.pop_receipt.clone();
        let changed = self
            .database
            .write(move |tx| Ok(change(tx, number, &receipt)? == 1))
            .await;
        changed.map_err(|error| failed_message(id, error))
    }
}

#[async_trait]
impl Receive for EmbeddedQueue {
    async fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<QueuedMessage>, QueueError> {
        let now = Timestamp::now();
        let name = queue.to_owned();
        let waiting = self
            .database
            .read(move |tx| any_visible(tx, &name, now))
            .await;
        if !waiting.map_err(|error| failed(queue, error))? {
            return Ok(Vec::new());
        }
        let (name, until) = (queue.to_owned(), later(now, visibility));
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let received = self
            .database
            .write(move |tx| receive(tx, &name, max, now, until))
            .await;
        received.map_err(|error| failed(queue, error))
    }

    async fn delete(&self, message: &QueuedMessage) -> Result<bool, QueueError> {
        let sql = "DELETE FROM landfall_queue_message WHERE id = ?1 AND pop_receipt = ?2";
        self.change(message, move |tx, id, receipt| {
            tx.execute(sql, (id, receipt))
        })
        .await
    }

    async fn release(&self, message: &QueuedMessage, delay: Duration) -> Result<bool, QueueError> {
        let visible = time_text(later(Timestamp::now(), delay));
        let sql = "UPDATE landfall_queue_message SET visible_at = ?3, pop_receipt = NULL
                   WHERE id = ?1 AND pop_receipt = ?2";
        self.change(message, move |tx, id, receipt| {
            tx.execute(sql, (id, receipt, &visible))
        })
        .await
    }

    async fn extend(
        &self,
        message: &QueuedMessage,
        visibility: Duration,
    ) -> Result<String, QueueError> {
        let visible = time_text(later(Timestamp::now(), visibility));
        let sql =
            "UPDATE landfall_queue_message SET visible_at = ?3 WHERE id = ?1 AND pop_receipt = ?2";
        let held = self.change(message, move |tx, id, receipt| {
            tx.execute(sql, (id, receipt, &visible))
        });
        match held.await? {
            true => Ok(message.pop_receipt.clone()),
            false => Err(failed_message(&message.id, ReceivedAgain)),
        }
    }

    async fn move_to(&self, message: &QueuedMessage, queue: &str) -> Result<bool, QueueError> {
        let (queue, now) = (queue.to_owned(), time_text(Timestamp::now()));
        let sql = "UPDATE landfall_queue_message
                   SET queue = ?3, inserted_at = ?4, visible_at = ?4, dequeue_count = 0, pop_receipt = NULL
                   WHERE id = ?1 AND pop_receipt = ?2";
        self.change(message, move |tx, id, receipt| {
            tx.execute(sql, (id, receipt, &queue, &now))
        })
        .await
    }
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), QueueError> {
        let queue = message.queue();
        let text = serde_json::to_string(message).map_err(|error| failed(queue, error))?;
        let now = Timestamp::now();
        let visible = later(now, delay);
        let sent = self
            .database
            .write(move |tx| send(tx, queue, &text, now, visible))
            .await;
        sent.map_err(|error| failed(queue, error))
    }
}

fn later(now: Timestamp, delay: Duration) -> Timestamp {
    now.checked_add(delay).unwrap_or(Timestamp::MAX)
}

fn failed(queue: &str, error: impl std::error::Error + Send + Sync + 'static) -> QueueError {
    QueueError {
        queue: queue.to_owned(),
        source: Box::new(error),
    }
}

fn failed_message(id: &str, error: impl std::error::Error + Send + Sync + 'static) -> QueueError {
    QueueError {
        queue: format!("of message {id}"),
        source: Box::new(error),
    }
}

/// Stores a message, unless one with the same text waits untouched and comes at the same time: whoever receives
/// that sees all that was recorded before this one was sent. One that was received before does not count, since
/// its receiver may still delete it.
fn send(
    tx: &Transaction<'_>,
    queue: &str,
    text: &str,
    now: Timestamp,
    visible: Timestamp,
) -> Result<(), LedgerError> {
    let earliest = if visible <= now {
        Timestamp::MIN
    } else {
        visible
    };
    let latest = if visible <= now {
        now
    } else {
        visible.checked_add(SAME_TIME).unwrap_or(Timestamp::MAX)
    };
    tx.execute(
        "INSERT INTO landfall_queue_message (queue, text, inserted_at, visible_at)
         SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (
             SELECT 1 FROM landfall_queue_message
             WHERE queue = ?1 AND text = ?2 AND dequeue_count = 0 AND visible_at BETWEEN ?5 AND ?6)",
        (queue, text, time_text(now), time_text(visible), time_text(earliest), time_text(latest)),
    )?;
    Ok(())
}

fn any_visible(tx: &Transaction<'_>, queue: &str, now: Timestamp) -> Result<bool, LedgerError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM landfall_queue_message WHERE queue = ?1 AND visible_at <= ?2)";
    Ok(tx
        .prepare_cached(sql)?
        .query_row((queue, time_text(now)), |row| row.get(0))?)
}

fn receive(
    tx: &Transaction<'_>,
    queue: &str,
    max: i64,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<QueuedMessage>, LedgerError> {
    // Every receipt counts up, so id and count together are a receipt that no other one equals.
    let sql = "UPDATE landfall_queue_message
               SET dequeue_count = dequeue_count + 1, pop_receipt = id || '-' || (dequeue_count + 1), visible_at = ?4
               WHERE id IN (SELECT id FROM landfall_queue_message WHERE queue = ?1 AND visible_at <= ?2
                            ORDER BY visible_at, id LIMIT ?3)
               RETURNING *";
    let mut statement = tx.prepare_cached(sql)?;
    let rows =
        statement.query_and_then((queue, time_text(now), max, time_text(until)), from_row)?;
    let mut messages = rows.collect::<Result<Vec<_>, LedgerError>>()?;
    messages.sort_by_key(|message| message.inserted_at);
    Ok(messages)
}

fn from_row(row: &Row<'_>) -> Result<QueuedMessage, LedgerError> {
    Ok(QueuedMessage {
        id: row.get::<_, i64>("id")?.to_string(),
        queue: row.get("queue")?,
        text: row.get("text")?,
        dequeue_count: row.get("dequeue_count")?,
        pop_receipt: row.get("pop_receipt")?,
        inserted_at: time("inserted_at", &row.get::<_, String>("inserted_at")?)?,
        visible_at: time("visible_at", &row.get::<_, String>("visible_at")?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::queue::contract;

    const NOW: Duration = Duration::ZERO;
    const MINUTE: Duration = Duration::from_secs(60);
    const QUEUE: &str = "combine-due";

    fn queue() -> (EmbeddedQueue, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (
            EmbeddedQueue::open(&folder.path().join("ledger.db")).unwrap(),
            folder,
        )
    }

    fn message(generation: i64) -> Message {
        Message::CombineDue {
            group_id: String::from("g"),
            generation,
        }
    }

    #[tokio::test]
    async fn the_contract_holds() {
        let (queue, _folder) = queue();
        contract::holds(&queue).await;
    }

    #[tokio::test]
    async fn a_repetition_is_stored_once_unless_the_first_one_may_be_dealt_with() {
        let (queue, _folder) = queue();
        for delay in [NOW, NOW, MINUTE + Duration::from_millis(500), MINUTE] {
            queue.send(&message(1), delay).await.unwrap();
        }
        assert_eq!(
            queue.len(QUEUE).await.unwrap(),
            2,
            "one for now, one for later"
        );
        queue.send(&message(2), NOW).await.unwrap();
        assert_eq!(
            queue.len(QUEUE).await.unwrap(),
            3,
            "another generation is another message"
        );
        let received = queue.receive(QUEUE, 2, NOW).await.unwrap();
        queue.send(&message(1), NOW).await.unwrap();
        assert_eq!(
            queue.len(QUEUE).await.unwrap(),
            4,
            "the first one is being dealt with"
        );
        assert!(queue.delete(&received[0]).await.unwrap());
        assert_eq!(queue.len(QUEUE).await.unwrap(), 3);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_processes_never_hold_one_message_together() {
        let (mine, folder) = queue();
        let theirs = EmbeddedQueue::open(&folder.path().join("ledger.db")).unwrap();
        for generation in 0..40 {
            mine.send(&message(generation), NOW).await.unwrap();
        }
        let drain = |queue: EmbeddedQueue| async move {
            let mut ids = Vec::new();
            loop {
                let received = queue.receive(QUEUE, 3, MINUTE).await.unwrap();
                if received.is_empty() {
                    return ids;
                }
                ids.extend(received.into_iter().map(|message| message.id));
            }
        };
        let (one, two) = tokio::join!(tokio::spawn(drain(mine)), tokio::spawn(drain(theirs)));
        let mut ids = [one.unwrap(), two.unwrap()].concat();
        ids.sort();
        let all = ids.len();
        ids.dedup();
        assert_eq!((all, ids.len()), (40, 40));
    }
}
