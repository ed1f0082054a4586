//! Event Grid: deliveries, retries, dead letters, the webhook.

use rstest::rstest;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::support::{FakeHandler, eventually, start};
use crate::{Chaos, DeadLetters, EventGridOptions};

fn event() -> Value {
    json!({"id": "e1", "topic": "/x/acct", "eventType": "Microsoft.Storage.BlobCreated", "data": {"url": "u"}})
}

#[tokio::test]
async fn an_event_arrives_as_the_host_sends_it() {
    let handler = FakeHandler::start(|_, _| 200).await;
    let host = start(handler.options()).await;
    host.event_grid().deliver(event()).await;
    let seen = eventually("the event", || handler.seen().into_iter().next()).await;
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/OnBlob")
    );
    assert_eq!(seen.json()["Data"]["event"], event());
    assert_eq!(seen.header("transfer-encoding"), Some("chunked"));
    assert_eq!(seen.header("content-length"), None);
    assert_eq!(
        seen.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    assert_eq!(
        seen.header("x-azure-functions-invocationid").map(str::len),
        Some(36)
    );
    assert_eq!(seen.header("traceparent").map(str::len), Some(55));
}

#[tokio::test]
async fn a_failed_delivery_is_repeated_until_it_succeeds() {
    let handler = FakeHandler::start(|nth, _| if nth < 2 { 500 } else { 200 }).await;
    let mut options = handler.options();
    options.event_grid.time_scale = 0.001;
    let host = start(options).await;
    host.event_grid().deliver(event()).await;
    eventually("three attempts", || {
        (handler.seen().len() == 3).then_some(())
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(handler.seen().len(), 3, "a success is not repeated");
}

#[tokio::test]
async fn an_event_that_nobody_takes_becomes_a_dead_letter() {
    let handler = FakeHandler::start(|_, _| 500).await;
    let (letters, mut received) = mpsc::unbounded_channel();
    let mut options = handler.options();
    options.event_grid = EventGridOptions {
        time_scale: 0.001,
        max_attempts: 3,
        dead_letters: DeadLetters::Channel(letters),
        ..EventGridOptions::default()
    };
    let host = start(options).await;
    host.event_grid().deliver(event()).await;
    let letter = received.recv().await.unwrap();
    assert_eq!(letter[0]["deliveryAttempts"], 3);
    assert_eq!(letter[0]["id"], "e1");
    assert_eq!(handler.seen().len(), 3);
}

#[tokio::test]
async fn an_event_that_waits_for_its_retry_holds_up_no_other() {
    let handler = FakeHandler::start(|_, seen| {
        if seen.json()["Data"]["event"]["id"] == "bad" {
            500
        } else {
            200
        }
    })
    .await;
    let mut options = handler.options();
    options.event_grid.max_in_flight = 1;
    let host = start(options).await;
    for id in ["bad", "good"] {
        let grid = host.event_grid();
        let accepted = grid.deliver(json!({ "id": id }));
        tokio::time::timeout(std::time::Duration::from_secs(5), accepted)
            .await
            .expect("a free slot");
    }
    eventually("both", || (handler.seen().len() == 2).then_some(())).await;
    assert_eq!(handler.seen()[1].json()["Data"]["event"]["id"], "good");
}

#[tokio::test]
async fn chaos_can_deliver_everything_twice() {
    let handler = FakeHandler::start(|_, _| 200).await;
    let mut options = handler.options();
    options.event_grid.chaos = Chaos {
        duplicate: 1.0,
        ..Chaos::default()
    };
    let host = start(options).await;
    host.event_grid().deliver(event()).await;
    eventually("two deliveries", || {
        (handler.seen().len() == 2).then_some(())
    })
    .await;
}

#[rstest]
#[case::handshake("OnBlob", "SubscriptionValidation", json!([{"data": {"validationCode": "C"}}]), 200)]
#[case::batch("OnBlob", "Notification", json!([event(), event()]), 202)]
#[case::one_of_them_fails("OnBlob", "Notification", json!([event(), {"id": "bad"}]), 500)]
#[case::single("onblob", "Notification", event(), 202)]
#[case::unsubscribe("OnBlob", "Unsubscribe", json!([]), 202)]
#[case::unknown_kind("OnBlob", "Other", json!([]), 400)]
#[case::unknown_function("Nobody", "Notification", event(), 404)]
#[case::not_an_event_function("OnMessage", "Notification", event(), 404)]
#[tokio::test]
async fn the_webhook_answers_as_azures(
    #[case] function: &str,
    #[case] kind: &str,
    #[case] body: Value,
    #[case] status: u16,
) {
    let handler = FakeHandler::start(|_, seen| {
        if seen.json()["Data"]["event"]["id"] == "bad" {
            500
        } else {
            200
        }
    })
    .await;
    let host = start(handler.options()).await;
    let url = format!(
        "http://127.0.0.1:{}/runtime/webhooks/eventgrid?functionName={function}",
        host.port().unwrap()
    );
    let request = reqwest::Client::new()
        .post(url)
        .header("aeg-event-type", kind)
        .json(&body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), status);
    if kind == "SubscriptionValidation" {
        assert_eq!(
            answer.json::<Value>().await.unwrap(),
            json!({"validationResponse": "C"})
        );
    }
}

#[rstest]
#[case("OnTick", json!({}), 202, "/OnTick")]
#[case("OnMessage", json!({"input": "{\"id\":7}"}), 202, "/OnMessage")]
#[case("OnBlob", json!({"input": event().to_string()}), 202, "/OnBlob")]
#[tokio::test]
async fn functions_can_be_started_by_hand(
    #[case] function: &str,
    #[case] body: Value,
    #[case] status: u16,
    #[case] target: &str,
) {
    let handler = FakeHandler::start(|_, _| 200).await;
    let host = start(handler.options()).await;
    let url = format!(
        "http://127.0.0.1:{}/admin/functions/{function}",
        host.port().unwrap()
    );
    let answer = reqwest::Client::new()
        .post(url)
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), status);
    let seen = eventually("the call", || handler.seen().into_iter().next()).await;
    assert_eq!(seen.target, target);
}
