//! An erasure goes on where a crash has left it.

use devmesh::{estate, operator::Operator};
use mesh_tests::{Database, ProcessMesh};
use propdev_proto::biometric::GetErasureReceiptsRequest;

use crate::{
    erasure::{erase, erasure_of, is_receipted, receipts_of, resident},
    eventually,
};

/// The end of each step, and the middle of one, where the process dies.
const POINTS: [&str; 10] = [
    "erasure.after_rights",
    "erasure.after_biometrics",
    "erasure.after_key",
    "erasure.after_tokens",
    "erasure.after_vehicles",
    "erasure.after_credentials",
    "erasure.after_columns",
    "ledger.before_copies",
    "erasure.after_ledger",
    "erasure.after_receipt",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_outlives_a_crash_after_any_step() {
    let mut mesh = ProcessMesh::start(None).await;
    let people = estate::populate(&mesh.layout, &mesh.estate, POINTS.len())
        .await
        .expect("people");
    let privacy = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    for (point, person) in POINTS.into_iter().zip(&people) {
        let processes = &mut mesh.processes;
        processes.terminate("access-svc").await.expect("stopped");
        let started = processes.restart_to_die("access-svc", point).await;
        started.expect("started");
        eventually(point, async || {
            erase(&privacy, person).await.expect_err(point);
            processes.check_alive().is_err()
        })
        .await;
        processes.wait_for_end("access-svc").await.expect("dead");
        processes.restart("access-svc").await.expect("restarted");
        eventually(point, async || {
            is_receipted(&erasure_of(&privacy, resident(person)).await)
        })
        .await;
        let erasure = erasure_of(&privacy, resident(person)).await;
        assert_eq!(
            (
                erasure.counts.unwrap_or_default().templates,
                erasure.counts.unwrap_or_default().grants
            ),
            (1, 1),
            "{point}"
        );
        let receipts = receipts_of(&privacy, &erasure, "access-svc").await;
        assert_eq!(receipts.len(), 1, "{point}");
    }
    // Each is written down once.
    let ledger = std::fs::read_to_string(mesh.layout.ledger_file("access-svc")).expect("a ledger");
    assert_eq!(ledger.lines().count(), 1 + POINTS.len());
    mesh.processes.stop().await.expect("stopped");
}

/// The same inside biometric-svc.
const BIOMETRIC_POINTS: [&str; 5] = [
    "biometric.erasure.after_key",
    "biometric.erasure.after_rows",
    "biometric.erasure.after_replicas",
    "ledger.before_copies",
    "biometric.erasure.after_ledger",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn biometric_svc_ends_at_its_next_start_what_it_began_on_sqlite() {
    biometric_svc_ends_at_its_next_start_what_it_began(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn biometric_svc_ends_at_its_next_start_what_it_began_on_postgres() {
    biometric_svc_ends_at_its_next_start_what_it_began(Database::Postgres).await;
}

async fn biometric_svc_ends_at_its_next_start_what_it_began(database: Database) {
    const BIOMETRIC: &str = "biometric-svc";
    let mut mesh = ProcessMesh::start_with(database, |_, text| text).await;
    let people = estate::populate(&mesh.layout, &mesh.estate, BIOMETRIC_POINTS.len())
        .await
        .expect("people");
    let privacy = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    for (point, person) in BIOMETRIC_POINTS.into_iter().zip(&people) {
        let processes = &mut mesh.processes;
        processes.terminate(BIOMETRIC).await.expect("stopped");
        let started = processes.restart_to_die(BIOMETRIC, point).await;
        started.expect("started");
        eventually(point, async || {
            erase(&privacy, person).await.expect_err(point);
            processes.check_alive().is_err()
        })
        .await;
        processes.wait_for_end(BIOMETRIC).await.expect("dead");
        let pseudonym = erasure_of(&privacy, resident(person)).await.pseudonym;

        // Nobody is there to ask it again.
        processes.terminate("access-svc").await.expect("stopped");
        processes.restart(BIOMETRIC).await.expect("restarted");
        let mut told = Vec::new();
        eventually(point, async || {
            let request = GetErasureReceiptsRequest {
                pseudonym: pseudonym.clone(),
            };
            let answer = privacy.biometric().get_erasure_receipts(request).await;
            told = answer.map_or(Vec::new(), |answer| answer.into_inner().receipts);
            !told.is_empty()
        })
        .await;

        processes.restart("access-svc").await.expect("restarted");
        eventually(point, async || {
            is_receipted(&erasure_of(&privacy, resident(person)).await)
        })
        .await;
        let erasure = erasure_of(&privacy, resident(person)).await;
        let handed_on = erasure.receipts.iter();
        let handed_on: Vec<&str> = handed_on
            .filter(|receipt| receipt.service == BIOMETRIC)
            .map(|receipt| receipt.jws.as_str())
            .collect();
        assert_eq!(handed_on, told, "{point}");
        let receipts = receipts_of(&privacy, &erasure, BIOMETRIC).await;
        assert_eq!(receipts.len(), 1, "{point}");
        assert_eq!(receipts[0]["templates"], 1, "{point}");
        assert_eq!(receipts[0]["sub"], pseudonym, "{point}");
    }
    let ledger = std::fs::read_to_string(mesh.layout.ledger_file(BIOMETRIC)).expect("a ledger");
    assert_eq!(ledger.lines().count(), 1 + BIOMETRIC_POINTS.len());
    mesh.processes.stop().await.expect("stopped");
}
