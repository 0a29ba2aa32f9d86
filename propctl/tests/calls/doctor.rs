//! What the doctor finds over a whole mesh, and how it exits.

use serde_json::Value;

use crate::{
    erasures::{Registry, receipt},
    house::{House, propctl, text},
    store::Store,
};

struct Patient {
    house: House,
    auth: Store,
    biometric: Store,
    registry: Registry,
}

/// Three services that agree, each with a backup.
async fn patient() -> Patient {
    let mut house = House::new();
    let stores = ["auth-svc", "access-svc", "biometric-svc"].map(Store::new);
    let [auth, access, biometric] = stores;
    let registry = Registry::default();
    registry.erase(vec![receipt(&biometric, 7)]);
    biometric.state().ledger_number = Some(7);
    house.serve("auth-svc", auth.routes()).await;
    house.serve("access-svc", registry.routes(&access)).await;
    house.serve("biometric-svc", biometric.routes()).await;
    let settings = house.settings("operator/operator/olga");
    let made = propctl(&settings, &["backup", "create"]).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    Patient {
        house,
        auth,
        biometric,
        registry,
    }
}

impl Patient {
    /// The exit code, and each finding that is not well.
    async fn looked_at(&self, arguments: &[&str]) -> (Option<i32>, Vec<[String; 3]>) {
        let settings = self.house.settings("operator/viewer/anna");
        let arguments = [&["doctor", "--output", "json"][..], arguments].concat();
        let found = propctl(&settings, &arguments).await;
        let told: Value = serde_json::from_slice(&found.stdout).expect("JSON");
        let findings = told["findings"].as_array().expect("findings");
        let bad = findings
            .iter()
            .filter(|finding| finding["verdict"] != "ok")
            .map(|finding| {
                ["subject", "check", "verdict"]
                    .map(|key| finding[key].as_str().expect("a text").to_owned())
            })
            .collect();
        (found.status.code(), bad)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_that_is_well_exits_zero() {
    let patient = patient().await;
    assert_eq!(patient.looked_at(&[]).await, (Some(0), Vec::new()));
    assert_eq!(patient.looked_at(&["--strict"]).await.0, Some(0));
    let settings = patient.house.settings("operator/viewer/anna");
    let table = propctl(&settings, &["doctor"]).await;
    let told = text(&table.stdout);
    for wanted in ["SUBJECT", "propctl", "certificate", "clocks", "ru-moscow"] {
        assert!(told.contains(wanted), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_and_exits_one() {
    let patient = patient().await;
    patient.auth.state().region = "ru-other".into();
    patient.auth.state().backups.clear();
    patient.biometric.state().ledger_number = Some(6);
    let (code, bad) = patient.looked_at(&[]).await;
    assert_eq!(code, Some(1));
    let wanted = [
        ["auth-svc", "backup", "wrong"],
        ["mesh", "region", "wrong"],
        ["biometric-svc", "ledger", "wrong"],
    ];
    assert_eq!(bad, wanted.map(|finding| finding.map(str::to_owned)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_waits_for_its_operator_is_a_warning() {
    let patient = patient().await;
    {
        let mut state = patient.auth.state();
        state.managed = false;
        state.current = 2;
        state.left = Some(0);
    }
    let (code, bad) = patient.looked_at(&[]).await;
    assert_eq!(code, Some(0));
    assert_eq!(bad, [["auth-svc", "keys", "warning"].map(str::to_owned)]);
    assert_eq!(patient.looked_at(&["--strict"]).await.0, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away_and_receipts_that_are_forged_are_wrong() {
    let mut patient = patient().await;
    patient.house.at("auth-svc", "https://127.0.0.1:1");
    let forged = receipt(&Store::new("biometric-svc"), 9);
    patient.registry.erase(vec![forged]);
    let (code, bad) = patient.looked_at(&[]).await;
    assert_eq!(code, Some(1));
    let wanted = [
        ["auth-svc", "reachable", "wrong"],
        ["mesh", "receipts", "wrong"],
    ];
    assert_eq!(bad, wanted.map(|finding| finding.map(str::to_owned)));
}
