//! What bounds a request: its size, its time, and how often its address asks.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn sizes_are_bounded() {
    let (_, router) = edge();
    let large = vec![b' '; body::LIMIT + 1];
    let answer = ask(
        &router,
        post("/v1/doors/d/open", "application/json", large.clone()),
    )
    .await;
    assert_eq!(
        (answer.status(), answer.body["code"].as_str()),
        (413, Some("payload_too_large"))
    );
    // A stream that announces no length is cut as well.
    let chunks =
        futures::stream::iter((0..1_000).map(|_| Ok::<_, std::io::Error>(vec![b' '; 4096])));
    let answer = ask(
        &router,
        post(
            "/v1/doors/d/open",
            "application/json",
            Body::from_stream(chunks),
        ),
    )
    .await;
    assert_eq!(answer.status(), 413);
    let mut request = post("/v1/doors/d/open", "application/json", "");
    let value = "x".repeat(33 * 1024).parse().expect("a value");
    request.headers_mut().insert("x-large", value);
    assert_eq!(ask(&router, request).await.status(), 431);
    let path = "/v1/webhooks/intercom/key-openings";
    let event = r#"{"key_id":"k","opened_at":"2026-11-24T06:00:00Z"}"#;
    let batch = format!(
        r#"{{"events":[{event}],"pad":"{}"}}"#,
        "x".repeat(body::LIMIT)
    );
    let answer = ask(&router, post(path, "application/json", batch)).await;
    assert_eq!(answer.status(), 202);
    assert_eq!(
        answer.body,
        serde_json::json!({"accepted": 1, "duplicates": 0})
    );
    let answer = ask(
        &router,
        post(path, "application/json", vec![b' '; body::BATCH_LIMIT + 1]),
    )
    .await;
    assert_eq!(answer.status(), 413);
}

#[tokio::test]
async fn a_request_ends_in_time_whatever_it_waits_for() {
    let config = crate::config::sample();
    let short = Duration::from_millis(200);
    let router = router(Edge::new(Arc::new(Stand::default()), &config, short));
    let endless = || Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    for request in [
        post("/v1/doors/hang/open", "application/json", "{}"),
        post("/v1/doors/d/open", "application/json", endless()),
    ] {
        let answer = tokio::time::timeout(LONG, ask(&router, request));
        let answer = answer.await.expect("in time");
        assert_eq!(
            (answer.status(), answer.body["code"].as_str()),
            (503, Some("unavailable"))
        );
    }
    let mut request = token("");
    *request.body_mut() = endless();
    let answer = tokio::time::timeout(LONG, ask(&router, request));
    let answer = answer.await.expect("in time");
    assert_eq!(
        (answer.status(), answer.body["error"].as_str()),
        (503, Some("temporarily_unavailable"))
    );
}

/// Over HTTP/1.1 an answer in the middle of the body is lost with the connection.
#[tokio::test]
async fn a_body_that_nobody_wants_is_read_to_its_end_or_the_connection_ends() {
    let config = crate::config::sample();
    let short = Duration::from_millis(200);
    let router = router(Edge::new(Arc::new(Stand::default()), &config, short));
    let read = Arc::new(AtomicUsize::new(0));
    let counted = read.clone();
    let chunks = futures::stream::iter((0..100).map(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(vec![b' '; 1024])
    }));
    let endless = futures::stream::pending::<Result<Bytes, std::io::Error>>();
    for (body, connection) in [
        (Body::from_stream(chunks), ""),
        (Body::from_stream(endless), "close"),
    ] {
        let request = post("/nowhere", "application/json", body);
        let answer = tokio::time::timeout(LONG, ask(&router, request));
        let answer = answer.await.expect("in time");
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.header("connection"), connection);
    }
    assert_eq!(read.load(Ordering::Relaxed), 100);
}

#[tokio::test]
async fn an_address_that_hurries_is_told_when_to_come_back() {
    let mut config = crate::config::sample();
    config.limits.address_requests_per_second = 1.try_into().expect("not zero");
    config.limits.address_burst = 1.try_into().expect("not zero");
    let router = router(Edge::new(Arc::new(Stand::default()), &config, LONG));
    let from = |mut request: Request<Body>, address: &str| {
        request.extensions_mut().insert(crate::caller::Connection {
            address: address.parse().expect("an address"),
            certificates: Arc::new([]),
        });
        request
    };
    let first = ask(&router, from(token(CLIENT), "192.0.2.1")).await;
    assert_eq!(first.status(), 200);
    let second = ask(&router, from(token(CLIENT), "192.0.2.1")).await;
    assert_eq!(
        (second.status(), second.body["error"].as_str()),
        (429, Some("slow_down"))
    );
    assert_eq!(second.header("retry-after"), "1");
    assert_eq!(second.header("ratelimit"), "\"address\";r=0;t=1");
    assert_eq!(second.header("ratelimit-policy"), "\"address\";q=1;w=1");
    let problem = ask(
        &router,
        from(
            post("/v1/doors/d/open", "application/json", ""),
            "192.0.2.1",
        ),
    )
    .await;
    assert_eq!(
        (problem.status(), problem.body["code"].as_str()),
        (429, Some("rate_limited"))
    );
    assert_eq!(problem.header("retry-after"), "1");
    assert_eq!(
        ask(&router, from(token(CLIENT), "192.0.2.2"))
            .await
            .status(),
        200
    );
}
