//! The whole mesh over real mTLS and HTTPS.

mod bad_input;
mod causes;
mod clients;
mod ecosystems;
mod flows;
mod foreign;
mod forgery;
mod limits;
mod matrix;
mod outages;
mod personal_data;
mod processes;
mod proxies;
mod refusals;
mod replicas;
mod revocation;
mod rotation;
mod signing_keys;
mod startup;
mod telemetry;
mod token_audit;
mod transport;
mod webhooks;

use std::time::Duration;

/// Waits for what comes by itself, however long the machine takes for it.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "in vain: {what}");
}
