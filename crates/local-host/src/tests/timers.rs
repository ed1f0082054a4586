//! Timer triggers, by the real clock.

use super::support::{FakeHandler, config_with_tick, eventually};
use crate::Host;

#[tokio::test]
async fn a_timer_ticks_and_tells_when_it_ticked_last() {
    let handler = FakeHandler::start(|_, _| 200).await;
    let host = Host::start(config_with_tick("* * * * * *"), handler.options())
        .await
        .unwrap();
    eventually("two ticks", || (handler.seen().len() == 2).then_some(())).await;
    host.stop().await;
    let ticks: Vec<_> = handler
        .seen()
        .iter()
        .map(|seen| seen.json()["Data"]["timer"].clone())
        .collect();
    assert_eq!(ticks[0]["ScheduleStatus"], serde_json::Value::Null);
    let (last, next) = (
        &ticks[1]["ScheduleStatus"]["Last"],
        &ticks[1]["ScheduleStatus"]["Next"],
    );
    assert!(
        last.as_str().unwrap() < next.as_str().unwrap(),
        "{last} {next}"
    );
}
