//! What every queue must keep, run against each of them.

use std::time::Duration;

use super::{Message, QueuedMessage, Receive};

const NOW: Duration = Duration::ZERO;
const MINUTE: Duration = Duration::from_secs(60);
const QUEUE: &str = "combine-due";
const POISON: &str = "combine-due-poison";

/// Runs it all on a queue that nobody else uses.
pub(super) async fn holds(queue: &dyn Receive) {
    a_message_comes_once_while_it_is_hidden_and_as_it_was_sent(queue).await;
    messages_come_oldest_first_and_no_more_than_asked_for(queue).await;
    a_message_whose_receiver_died_comes_again_and_only_the_latest_receipt_counts(queue).await;
    a_released_message_comes_after_its_delay_and_counts_on(queue).await;
    an_extended_message_stays_hidden(queue).await;
    a_poisoned_message_is_on_its_new_queue_alone(queue).await;
    a_delayed_message_waits(queue).await;
}

fn message(generation: i64) -> Message {
    Message::CombineDue {
        group_id: String::from("g <&> \u{e9}"),
        generation,
    }
}

fn of(received: &QueuedMessage) -> Message {
    serde_json::from_str(&received.text).unwrap()
}

async fn send(queue: &dyn Receive, generation: i64, delay: Duration) {
    queue.send(&message(generation), delay).await.unwrap();
}

async fn receive(queue: &dyn Receive, visibility: Duration) -> Vec<QueuedMessage> {
    queue.receive(QUEUE, 32, visibility).await.unwrap()
}

async fn one(queue: &dyn Receive, visibility: Duration) -> QueuedMessage {
    let mut received = queue.receive(QUEUE, 1, visibility).await.unwrap();
    received.pop().expect("a message")
}

/// Services count in seconds.
async fn second() {
    tokio::time::sleep(Duration::from_millis(1100)).await;
}

async fn clear(queue: &dyn Receive) {
    for message in receive(queue, MINUTE).await {
        assert!(queue.delete(&message).await.unwrap());
    }
}

async fn a_message_comes_once_while_it_is_hidden_and_as_it_was_sent(queue: &dyn Receive) {
    send(queue, 3, NOW).await;
    let received = one(queue, MINUTE).await;
    assert_eq!(of(&received), message(3));
    assert_eq!(
        (received.queue.as_str(), received.dequeue_count),
        (QUEUE, 1)
    );
    assert!(receive(queue, MINUTE).await.is_empty());
    assert!(queue.delete(&received).await.unwrap());
    assert!(!queue.delete(&received).await.unwrap(), "it is gone");
}

async fn messages_come_oldest_first_and_no_more_than_asked_for(queue: &dyn Receive) {
    for generation in 1..=3 {
        send(queue, generation, NOW).await;
    }
    let received = queue.receive(QUEUE, 2, MINUTE).await.unwrap();
    let messages: Vec<_> = received.iter().map(of).collect();
    assert_eq!(messages, [message(1), message(2)]);
    for message in &received {
        assert!(queue.delete(message).await.unwrap());
    }
    clear(queue).await;
}

async fn a_message_whose_receiver_died_comes_again_and_only_the_latest_receipt_counts(
    queue: &dyn Receive,
) {
    send(queue, 1, NOW).await;
    let first = one(queue, Duration::from_secs(1)).await;
    second().await;
    let second = one(queue, MINUTE).await;
    assert_eq!((&first.id, second.dequeue_count), (&second.id, 2));
    assert!(!queue.delete(&first).await.unwrap());
    assert!(!queue.release(&first, NOW).await.unwrap());
    assert!(queue.extend(&first, MINUTE).await.is_err());
    assert!(queue.delete(&second).await.unwrap());
}

async fn a_released_message_comes_after_its_delay_and_counts_on(queue: &dyn Receive) {
    send(queue, 1, NOW).await;
    let first = one(queue, MINUTE).await;
    assert!(queue.release(&first, Duration::from_secs(1)).await.unwrap());
    assert!(receive(queue, MINUTE).await.is_empty());
    assert!(!queue.delete(&first).await.unwrap());
    second().await;
    let again = one(queue, MINUTE).await;
    assert_eq!(again.dequeue_count, 2);
    assert!(queue.release(&again, NOW).await.unwrap());
    assert_eq!(one(queue, NOW).await.dequeue_count, 3);
    second().await;
    clear(queue).await;
}

async fn an_extended_message_stays_hidden(queue: &dyn Receive) {
    send(queue, 1, NOW).await;
    let mut received = one(queue, Duration::from_secs(1)).await;
    received.pop_receipt = queue.extend(&received, MINUTE).await.unwrap();
    second().await;
    assert!(receive(queue, MINUTE).await.is_empty());
    assert!(queue.delete(&received).await.unwrap());
}

async fn a_poisoned_message_is_on_its_new_queue_alone(queue: &dyn Receive) {
    send(queue, 1, NOW).await;
    let received = one(queue, Duration::from_secs(1)).await;
    assert!(queue.move_to(&received, POISON).await.unwrap());
    second().await;
    assert!(receive(queue, MINUTE).await.is_empty());
    let poisoned = queue.receive(POISON, 32, MINUTE).await.unwrap();
    let poisoned: Vec<_> = poisoned
        .iter()
        .map(|message| (message.text.as_str(), message.dequeue_count))
        .collect();
    assert_eq!(poisoned, [(received.text.as_str(), 1)]);
}

async fn a_delayed_message_waits(queue: &dyn Receive) {
    send(queue, 1, MINUTE).await;
    assert!(receive(queue, MINUTE).await.is_empty());
    send(queue, 2, Duration::from_millis(900)).await;
    assert!(receive(queue, MINUTE).await.is_empty());
    second().await;
    let received = receive(queue, MINUTE).await;
    assert_eq!(received.iter().map(of).collect::<Vec<_>>(), [message(2)]);
}
