//! Queue triggers, with a queue in memory.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::support::{FakeHandler, eventually, start};
use crate::{QueueError, QueueMessage, QueueSource};

#[derive(Default)]
struct MemoryQueue {
    waiting: Mutex<Vec<(Instant, QueueMessage)>>,
    log: Mutex<Vec<String>>,
    /// Time by which releases come sooner than asked for.
    hurry: bool,
}

impl MemoryQueue {
    fn send(&self, id: &str) {
        let message = QueueMessage {
            id: id.to_owned(),
            text: format!("{{\"file\":\"{id}\"}}"),
            dequeue_count: 0,
            pop_receipt: "p".to_owned(),
            inserted: Timestamp::UNIX_EPOCH,
            expires: Timestamp::UNIX_EPOCH,
            next_visible: Timestamp::UNIX_EPOCH,
        };
        self.waiting.lock().unwrap().push((Instant::now(), message));
    }

    fn note(&self, what: String) {
        self.log.lock().unwrap().push(what);
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

#[async_trait]
impl QueueSource for MemoryQueue {
    async fn receive(
        &self,
        queue: &str,
        max: usize,
        _visibility: Duration,
    ) -> Result<Vec<QueueMessage>, QueueError> {
        assert_eq!(queue, "due");
        let mut waiting = self.waiting.lock().unwrap();
        let (ready, later): (Vec<_>, Vec<_>) =
            waiting.drain(..).partition(|(at, _)| *at <= Instant::now());
        let mut ready = ready.into_iter();
        let taken = ready.by_ref().take(max).map(|(_, mut message)| {
            message.dequeue_count += 1;
            message
        });
        let taken = taken.collect();
        waiting.extend(ready.chain(later));
        Ok(taken)
    }

    async fn extend(
        &self,
        _: &str,
        message: &QueueMessage,
        _: Duration,
    ) -> Result<String, QueueError> {
        Ok(format!("{}+", message.pop_receipt))
    }

    async fn delete(&self, _: &str, message: &QueueMessage) -> Result<(), QueueError> {
        self.note(format!("delete {} {}", message.id, message.pop_receipt));
        Ok(())
    }

    async fn release(
        &self,
        _: &str,
        message: &QueueMessage,
        delay: Duration,
    ) -> Result<(), QueueError> {
        self.note(format!("release {} {}s", message.id, delay.as_secs()));
        let delay = if self.hurry { Duration::ZERO } else { delay };
        self.waiting
            .lock()
            .unwrap()
            .push((Instant::now() + delay, message.clone()));
        Ok(())
    }

    async fn poison(&self, _: &str, message: &QueueMessage) -> Result<(), QueueError> {
        self.note(format!("poison {}", message.id));
        Ok(())
    }
}

#[tokio::test]
async fn a_message_that_succeeds_is_deleted() {
    let handler = FakeHandler::start(|_, _| 200).await;
    let queue = Arc::new(MemoryQueue::default());
    queue.send("a");
    let mut options = handler.options();
    options.queues = Some(Arc::clone(&queue) as Arc<dyn QueueSource>);
    let host = start(options).await;
    eventually("the deletion", || {
        (queue.log() == ["delete a p"]).then_some(())
    })
    .await;
    let seen = handler.seen();
    assert_eq!(seen[0].target, "/OnMessage");
    assert_eq!(seen[0].json()["Data"]["msg"], r#""{\"file\":\"a\"}""#);
    assert_eq!(seen[0].json()["Metadata"]["file"], "\"a\"");
    host.stop().await;
}

#[tokio::test]
async fn a_message_that_fails_waits_and_ends_as_poison() {
    let handler = FakeHandler::start(|_, _| 500).await;
    let queue = Arc::new(MemoryQueue {
        hurry: true,
        ..MemoryQueue::default()
    });
    queue.send("a");
    let mut options = handler.options();
    options.queues = Some(Arc::clone(&queue) as Arc<dyn QueueSource>);
    let _host = start(options).await;
    let wanted = ["release a 30s", "release a 30s", "poison a"];
    eventually("the poison", || (queue.log() == wanted).then_some(())).await;
    assert_eq!(handler.seen().len(), 3);
}

#[tokio::test]
async fn a_message_whose_handler_died_is_released_at_once() {
    // Nobody listens on a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let handler = FakeHandler::start(|_, _| 200).await;
    let queue = Arc::new(MemoryQueue::default());
    queue.send("a");
    let mut options = handler.options();
    options.handler = crate::Handler::External { port };
    options.queues = Some(Arc::clone(&queue) as Arc<dyn QueueSource>);
    let _host = start(options).await;
    eventually("the release", || {
        queue
            .log()
            .first()
            .cloned()
            .filter(|line| line == "release a 0s")
    })
    .await;
}

#[tokio::test]
async fn no_more_messages_run_than_a_batch_and_its_threshold() {
    // Each call waits a little, so that calls that may overlap do.
    let running: Arc<Mutex<(usize, usize)>> = Arc::default();
    let counter = Arc::clone(&running);
    let app = warp::Filter::then(warp::any(), move || {
        let counter = Arc::clone(&counter);
        async move {
            {
                let mut running = counter.lock().unwrap();
                running.0 += 1;
                running.1 = running.1.max(running.0);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
            counter.lock().unwrap().0 -= 1;
            warp::reply::json(&serde_json::json!({}))
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(warp::serve(app).incoming(listener).run());
    let queue = Arc::new(MemoryQueue::default());
    for n in 0..7 {
        queue.send(&n.to_string());
    }
    let options = crate::HostOptions {
        handler: crate::Handler::External { port },
        queues: Some(Arc::clone(&queue) as Arc<dyn QueueSource>),
        ..crate::HostOptions::default()
    };
    let _host = start(options).await;
    eventually("all messages", || (queue.log().len() == 7).then_some(())).await;
    assert_eq!(
        running.lock().unwrap().1,
        2,
        "batchSize 2, newBatchThreshold 0"
    );
}

#[tokio::test]
async fn the_lease_of_a_long_run_is_renewed() {
    let app = warp::Filter::then(warp::any(), || async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        warp::reply::json(&serde_json::json!({}))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(warp::serve(app).incoming(listener).run());
    let queue = Arc::new(MemoryQueue::default());
    queue.send("a");
    let options = crate::HostOptions {
        handler: crate::Handler::External { port },
        queues: Some(Arc::clone(&queue) as Arc<dyn QueueSource>),
        queue_lease: Duration::from_millis(300),
        ..crate::HostOptions::default()
    };
    let _host = start(options).await;
    let deletion = eventually("the deletion", || queue.log().into_iter().next()).await;
    assert!(
        deletion.starts_with("delete a p+"),
        "with the receipt of the last renewal: {deletion}"
    );
}
