//! The whole mesh over real mTLS and HTTPS.

mod assertions;
mod audit_log;
mod audit_takeover;
mod audit_tampering;
mod bad_input;
mod causes;
mod client_secrets;
mod clients;
mod consents;
mod crowds;
mod custody;
mod ecosystems;
mod erasure;
mod erasure_crashes;
mod faces;
mod flood;
mod flows;
mod following;
mod foreign;
mod forensics;
mod forgery;
mod guests;
mod holdings;
mod households;
mod imports;
mod limits;
mod matrix;
mod near_miss;
mod outages;
mod partners;
mod passage;
mod payments;
mod personal_data;
mod places;
mod processes;
mod proxies;
mod reenrolment;
mod refusals;
mod replicas;
mod revocation;
mod rights;
mod rolling;
mod rotation;
mod sending;
mod signatures;
mod signing_keys;
mod startup;
mod telemetry;
mod templates;
mod together;
mod token_audit;
mod transit;
mod transport;
mod webhooks;
mod witness;

use std::{process::Output, time::Duration};

use devmesh::{layout::Layout, processes::built_binaries};
use sea_orm::{Database as Connection, DatabaseConnection};

fn database_url(layout: &Layout, service: &str) -> String {
    let file = layout.config_file(service);
    let text = std::fs::read_to_string(file).expect("a configuration");
    let section = text.split("[database]").nth(1).expect("its section");
    section.split('"').nth(1).expect("a URL").to_owned()
}

/// A service's own database, to look into and to disturb.
async fn database(layout: &Layout, service: &str) -> DatabaseConnection {
    let url = database_url(layout, service);
    Connection::connect(url).await.expect("the database")
}

/// propctl as built, with an operator's settings of this mesh.
fn propctl_command(layout: &Layout, role: &str, arguments: &[&str]) -> tokio::process::Command {
    let program = built_binaries()
        .expect("a folder of programs")
        .join("propctl");
    let mut command = tokio::process::Command::new(program);
    command
        .env_clear()
        .arg("--config")
        .arg(layout.config_file(&format!("propctl-{role}")))
        .args(arguments);
    command
}

async fn propctl(layout: &Layout, role: &str, arguments: &[&str]) -> Output {
    let output = propctl_command(layout, role, arguments).output().await;
    output.expect("propctl, which make test builds first")
}

/// Waits for what comes by itself, however long the machine takes for it.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "in vain: {what}");
}

/// Within which a change counts everywhere.
const PROMISED: Duration = Duration::from_secs(2);
/// For a machine that runs whole meshes side by side, and stands still at times.
const ALLOWANCE: Duration = Duration::from_secs(10);

/// Waits for what is promised within two seconds of the call just answered.
async fn within_the_promise(what: &str, condition: impl AsyncFnMut() -> bool) {
    within(PROMISED, what, condition).await;
}

async fn within(promised: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(promised + ALLOWANCE, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "not in time: {what}");
}
