//! The HTTP front: routes, keys, proxying and forwarding.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::{Client, Method, StatusCode};
use rstest::rstest;

use super::support::{FakeHandler, start};
use crate::{Handler, HostKeys, HostOptions};

fn chunked(text: &'static str) -> reqwest::Body {
    reqwest::Body::wrap_stream(stream::iter([Ok::<_, Infallible>(Bytes::from_static(
        text.as_bytes(),
    ))]))
}

#[tokio::test]
async fn a_request_reaches_the_handler_unchanged() {
    let handler = FakeHandler::start(|_, _| 418).await;
    let host = start(handler.options()).await;
    let url = format!(
        "http://127.0.0.1:{}/api/jobs/a%20b?x=1&y=%2F",
        host.port().unwrap()
    );
    let answer = Client::new()
        .post(url)
        .header("x-mine", "1")
        .body("hello")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 418);
    assert_eq!(answer.headers()["x-from"], "handler");
    assert_eq!(answer.text().await.unwrap(), "{}");
    let seen = handler.seen().remove(0);
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/api/jobs/a%20b?x=1&y=%2F")
    );
    assert_eq!(seen.body, b"hello");
    assert_eq!(
        (seen.header("x-mine"), seen.header("content-length")),
        (Some("1"), Some("5"))
    );
    assert_eq!(
        seen.header("x-forwarded-host"),
        Some(format!("127.0.0.1:{}", host.port().unwrap()).as_str())
    );
    assert!(seen.header("x-azure-functions-invocationid").is_some());
}

#[rstest]
#[case::proxying_streams(false, b"data".as_slice())]
#[case::forwarding_drops_what_has_no_length(true, b"".as_slice())]
#[tokio::test]
async fn a_body_without_a_length(#[case] buffering: bool, #[case] arrives: &[u8]) {
    let handler = FakeHandler::start(|_, _| 200).await;
    let mut options = handler.options();
    options.buffering = buffering;
    let host = start(options).await;
    let url = format!("http://127.0.0.1:{}/api/x", host.port().unwrap());
    Client::new()
        .post(&url)
        .body(chunked("data"))
        .send()
        .await
        .unwrap();
    assert_eq!(handler.seen()[0].body, arrives);
    Client::new().post(&url).body("sized").send().await.unwrap();
    assert_eq!(handler.seen()[1].body, b"sized");
}

#[rstest]
#[case::specific_route_is_open(Method::GET, "/api/store/a/b", None, 200)]
#[case::head(Method::HEAD, "/api/store/a", None, 200)]
#[case::catch_all_needs_a_key(Method::GET, "/api/other", None, 401)]
#[case::key_in_the_query(Method::GET, "/api/other?code=f", None, 200)]
#[case::key_in_the_header(Method::GET, "/api/other", Some("f"), 200)]
#[case::other_method_falls_through_to_the_catch_all(Method::POST, "/api/store/a", None, 401)]
#[case::no_route_for_the_method(Method::DELETE, "/api/store/a", Some("f"), 404)]
#[case::outside_the_prefix(Method::GET, "/store/a", Some("f"), 404)]
#[case::hand_start_needs_the_master_key(Method::POST, "/admin/functions/OnTick", Some("f"), 401)]
#[tokio::test]
async fn routes_and_keys(
    #[case] method: Method,
    #[case] path: &str,
    #[case] key: Option<&str>,
    #[case] status: u16,
) {
    let handler = FakeHandler::start(|_, _| 200).await;
    let mut options = handler.options();
    options.keys = Some(HostKeys {
        master: "m".to_owned(),
        function: "f".to_owned(),
        event_grid: "e".to_owned(),
    });
    let host = start(options).await;
    let url = format!("http://127.0.0.1:{}{path}", host.port().unwrap());
    let mut request = Client::new().request(method, url);
    if let Some(key) = key {
        request = request.header("x-functions-key", key);
    }
    assert_eq!(request.send().await.unwrap().status(), status);
    assert_eq!(handler.seen().len(), usize::from(status == 200));
}

#[tokio::test]
async fn an_answer_is_streamed_as_it_comes() {
    let app = warp::Filter::map(warp::any(), || {
        let endless = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"first"))])
            .chain(stream::pending());
        warp::reply::stream(endless)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(warp::serve(app).incoming(listener).run());
    let host = start(HostOptions {
        handler: Handler::External { port },
        http: Some(([127, 0, 0, 1], 0).into()),
        ..HostOptions::default()
    })
    .await;
    let url = format!("http://127.0.0.1:{}/api/store/a", host.port().unwrap());
    let first = async {
        Client::new()
            .get(url)
            .send()
            .await
            .unwrap()
            .chunk()
            .await
            .unwrap()
    };
    let first = tokio::time::timeout(Duration::from_secs(5), first)
        .await
        .unwrap();
    assert_eq!(first.unwrap(), "first");
}

#[tokio::test]
async fn a_handler_that_is_gone_is_a_bad_gateway_after_some_time() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let host = start(HostOptions {
        handler: Handler::External { port },
        http: Some(([127, 0, 0, 1], 0).into()),
        ready_limit: Duration::from_millis(300),
        ..HostOptions::default()
    })
    .await;
    let url = format!("http://127.0.0.1:{}/api/store/a", host.port().unwrap());
    let start = std::time::Instant::now();
    assert_eq!(
        reqwest::get(url).await.unwrap().status(),
        StatusCode::BAD_GATEWAY
    );
    assert!(
        start.elapsed() >= Duration::from_millis(300),
        "it was repeated until then"
    );
}
