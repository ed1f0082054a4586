//! The handler as a child process: this very test program, started again.

use std::{path::Path, time::Duration};

use serde_json::json;
use tokio::sync::mpsc;
use warp::Filter;

use super::support::{eventually, write_root};
use crate::{Handler, Host, HostConfig, HostEvent, HostOptions, Settings, SpawnOptions};

/// The child's part. It answers with its own process id, and dies when asked to.
#[tokio::test]
#[ignore = "is started by the other tests of this module"]
async fn child() {
    let Ok(port) = std::env::var("FUNCTIONS_CUSTOMHANDLER_PORT") else {
        return;
    };
    println!("listening for {}", std::env::var("GREETING").unwrap());
    let die = warp::path!("api" / "die").map(|| -> &'static str { std::process::abort() });
    let pid = warp::any().map(|| std::process::id().to_string());
    warp::serve(die.or(pid))
        .run(([127, 0, 0, 1], port.parse().unwrap()))
        .await;
}

fn config(root: &Path, executable: &str) -> HostConfig {
    let arguments = [
        "--exact",
        "tests::process::child",
        "--ignored",
        "--nocapture",
    ];
    let handler = json!({"description": {"defaultExecutablePath": executable, "arguments": arguments},
        "enableProxyingHttpRequest": true});
    write_root(root, &handler);
    let settings =
        [("GREETING", "hello"), ("TICK", "0 0 0 1 1 *")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    HostConfig::load(root, Settings::from(settings)).unwrap()
}

/// A host whose handler is ready. The child runs in the folder, so that has to stay.
async fn start(crash_limit: bool) -> (Host, mpsc::UnboundedReceiver<HostEvent>, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path(), "replaced below");
    let (events, received) = mpsc::unbounded_channel();
    let options = HostOptions {
        handler: Handler::Spawn(SpawnOptions {
            executable: Some(std::env::current_exe().unwrap()),
            crash_limit,
        }),
        http: Some(([127, 0, 0, 1], 0).into()),
        events: Some(events),
        ..HostOptions::default()
    };
    let host = Host::start(config, options).await.unwrap();
    host.ready(Duration::from_secs(20)).await.unwrap();
    (host, received, root)
}

async fn get(host: &Host, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://127.0.0.1:{}{path}", host.port().unwrap()))
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Makes the handler die. A POST is not repeated, so it is one crash.
async fn die(host: &Host) {
    let url = format!("http://127.0.0.1:{}/api/die", host.port().unwrap());
    reqwest::Client::new().post(url).send().await.unwrap();
}

fn is_running(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn the_handler_is_started_with_its_environment_and_ended_with_the_host() {
    let (host, mut events, _root) = start(true).await;
    let pid = host.handler_pid().unwrap();
    assert_eq!(get(&host, "/api/store/x").await, (200, pid.to_string()));
    host.stop().await;
    assert!(!is_running(pid));
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        told.push(event);
    }
    assert!(
        told.contains(&HostEvent::HandlerLine("listening for hello".to_owned())),
        "{told:?}"
    );
    assert!(matches!(told.first(), Some(HostEvent::HandlerStarted { pid: p, .. }) if *p == pid));
    let ended =
        |event: &HostEvent| matches!(event, HostEvent::HandlerExited { expected: true, .. });
    assert!(told.iter().any(ended), "{told:?}");
}

#[tokio::test]
async fn a_killed_handler_is_started_again_and_requests_wait_for_it() {
    let (host, _events, _root) = start(true).await;
    let first = host.handler_pid().unwrap();
    let killed = std::process::Command::new("sh")
        .args(["-c", "kill -9 \"$0\"", &first.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let (status, second) = get(&host, "/api/store/x").await;
    assert_eq!(status, 200);
    assert_ne!(second, first.to_string());
    host.stop().await;
}

#[tokio::test]
async fn a_restart_on_request_is_no_crash() {
    let (host, mut events, _root) = start(true).await;
    for _ in 0..3 {
        let before = host.handler_pid();
        host.restart_handler();
        eventually("another process", || {
            (host.handler_port().is_some() && host.handler_pid() != before).then_some(())
        })
        .await;
    }
    assert_eq!(get(&host, "/api/store/x").await.0, 200);
    host.stop().await;
    while let Ok(event) = events.try_recv() {
        assert!(
            !matches!(
                event,
                HostEvent::HandlerExited {
                    expected: false,
                    ..
                }
            ),
            "{event:?}"
        );
    }
}

#[tokio::test]
async fn three_crashes_are_the_end() {
    let (host, mut events, _root) = start(true).await;
    let mut gave_up = false;
    while !gave_up {
        die(&host).await;
        while let Ok(event) = events.try_recv() {
            gave_up |= matches!(event, HostEvent::HandlerGaveUp { .. });
        }
    }
    let (status, _) = get(&host, "/api/store/x").await;
    assert_eq!(status, 503);
    host.stop().await;
}

#[tokio::test]
async fn without_a_limit_a_handler_may_crash_often() {
    let (host, _events, _root) = start(false).await;
    for _ in 0..4 {
        die(&host).await;
    }
    assert_eq!(get(&host, "/api/store/x").await.0, 200);
    host.stop().await;
}

#[tokio::test]
async fn a_dropped_host_takes_its_handler_along() {
    let (host, _events, _root) = start(true).await;
    let pid = host.handler_pid().unwrap();
    drop(host);
    eventually("its end", || (!is_running(pid)).then_some(())).await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error_at_the_start() {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path(), "no-such-program");
    let error = Host::start(config, HostOptions::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no-such-program"), "{error}");
}
