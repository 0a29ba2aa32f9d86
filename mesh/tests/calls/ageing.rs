//! Connections that come of age under load.

use std::time::Instant;

use super::*;

/// None of these calls may be tried again once it has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_at_its_age_fails_no_call() {
    let mesh = Running::start_with(1).await;
    let client = mesh.client("operator/operator/x");
    let until = Instant::now() + Duration::from_secs(4);
    let callers = (0..48).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move {
            let mut calls = 0;
            while Instant::now() < until {
                client.create_site(site("x")).await.unwrap();
                calls += 1;
            }
            calls
        })
    });
    let mut answered = 0;
    for caller in callers.collect::<Vec<_>>() {
        answered += caller.await.unwrap();
    }
    assert_eq!(mesh.calls(), answered, "each once");
}
