//! Templates: kept, followed by every replica, renewed and forgotten.

mod replaced;
mod threshold;

use devmesh::{estate::MODEL, layout::Layout, operator::Operator};
use mesh::{policy::Policy, tls::Credentials};
use mesh_tests::{Database, Mesh, ProcessMesh, on_both_databases};
use propctl::dev::{self, Names, Validity};
use propdev_proto::{
    access::EraseResidentRequest,
    biometric::{
        FaceVector, ForgetModelRequest, GetStatusRequest, GetStatusResponse, IdentifyBatchRequest,
        IdentifyRequest, IdentifyResponse, RenewRotationRequest,
        biometric_service_client::BiometricServiceClient, identify_response::Outcome,
        identify_result,
    },
    mesh::{CreateBackupRequest, RestoreBackupRequest},
};
use sea_orm::ConnectionTrait;
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{audit_log::entries, database, eventually};

const BIOMETRIC: &str = "biometric-svc";

on_both_databases!(
    a_renewed_rotation_knows_the_same_people,
    damaged_rows_are_left_out_and_counted,
    a_row_damaged_while_serving_is_left_out_once_it_is_read,
    who_cannot_read_the_feed_recognises_nobody,
    models_are_forgotten_once_nobody_serves_them,
    a_restored_store_knows_all_but_the_erased,
);

/// Of the first template in order, what opens and what does not.
const SWAP: &str = "UPDATE templates SET sealed = consent_sealed, consent_sealed = sealed \
                    WHERE id = (SELECT id FROM templates ORDER BY id LIMIT 1)";
/// As another replica would tell of its subject.
const TELL: &str = "INSERT INTO changes (subject_id, replica, at) \
                    SELECT subject_id, subject_id, 0 FROM templates ORDER BY id LIMIT 1";

/// biometric-svc as auth-svc asks it, at the addresses of the layout.
fn channel(layout: &Layout) -> mesh::client::MeshChannel {
    channel_as(layout, "auth-svc")
}

fn channel_as(layout: &Layout, service: &str) -> mesh::client::MeshChannel {
    let folder = layout.root.join("callers");
    let folder = folder.join(format!("{service}-of-the-test"));
    let (identity, names) = (format!("svc/{service}"), Names::default());
    let validity = Validity::days_from_now(1);
    dev::issue_mesh(&layout.pki(), &identity, &names, validity, &folder).expect("a certificate");
    let credentials = Credentials::load(layout.tls(&folder)).expect("credentials");
    let policy = Policy::built_in().expect("contracts");
    let endpoint = format!("https://{}", layout.addresses.grpc(BIOMETRIC));
    let channel = mesh::client::connect(BIOMETRIC, &endpoint, credentials, policy);
    channel.expect("a channel")
}

fn asked(layout: &Layout) -> BiometricServiceClient<mesh::client::MeshChannel> {
    BiometricServiceClient::new(channel(layout))
}

/// The health of the service, or of a part of it.
async fn health(layout: &Layout, component: &str) -> ServingStatus {
    let request = HealthCheckRequest {
        service: component.into(),
    };
    let answer = HealthClient::new(channel(layout)).check(request).await;
    answer.expect("a health").into_inner().status()
}

/// Until the audit log has what the privacy officer did, once.
async fn until_told(mesh: &Mesh, code: &str, subject: &str) {
    eventually(code, async || {
        let found = entries(mesh, |request| request.code = code.into()).await;
        let [entry] = &found[..] else {
            return false;
        };
        assert_eq!(entry["kind"], "act", "{entry}");
        assert_eq!(entry["service"], BIOMETRIC, "{entry}");
        assert_eq!(entry["subject"], subject, "{entry}");
        assert_eq!(entry["actor"], "operator/privacy/dev", "{entry}");
        assert!(entry["request"].is_string(), "{entry}");
        true
    })
    .await;
}

async fn status(layout: &Layout) -> GetStatusResponse {
    let viewer = Operator::connect(layout, "viewer").expect("an operator");
    let status = viewer.biometric().get_status(GetStatusRequest {}).await;
    status.expect("a status").into_inner()
}

fn question(site: &str, probe: &[f32]) -> IdentifyRequest {
    IdentifyRequest {
        face: Some(FaceVector {
            model: MODEL.into(),
            values: probe.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }),
        gallery_ids: vec![site.into()],
    }
}

async fn identify(layout: &Layout, site: &str, probe: &[f32]) -> Result<IdentifyResponse, Status> {
    let answer = asked(layout).identify(question(site, probe)).await?;
    Ok(answer.into_inner())
}

/// What waits past the bound is refused at once, and what does not is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_past_the_queue_are_refused() {
    let mesh = Mesh::start_with(Database::Sqlite, |service, text| match service {
        BIOMETRIC => format!("{text}[search]\nqueue = 1\n"),
        _ => text,
    })
    .await;
    let resident = &mesh.estate.resident;
    let requests: Vec<_> = (0..64)
        .map(|_| question(&mesh.estate.site_id, &resident.probe()))
        .collect();
    let request = IdentifyBatchRequest { requests };
    let answer = asked(&mesh.layout).identify_batch(request).await;
    let (mut answered, mut refused) = (0, 0);
    for result in answer.expect("an answer").into_inner().results {
        match result.result.expect("a result") {
            identify_result::Result::Identified(found) => {
                assert_eq!(found.outcome(), Outcome::Match);
                answered += 1;
            }
            identify_result::Result::Refusal(refusal) => {
                let told = (Code::from_i32(refusal.code), refusal.reason.as_str());
                assert_eq!(told, (Code::ResourceExhausted, "BUSY"));
                refused += 1;
            }
        }
    }
    assert!(answered >= 1 && refused >= 1, "{answered} and {refused}");
    let later = identify(&mesh.layout, &mesh.estate.site_id, &resident.probe()).await;
    assert_eq!(later.expect("room again").outcome(), Outcome::Match);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_follow_each_other() {
    let mut mesh = Mesh::start(Database::Postgres).await;
    mesh.replicate_services(&[BIOMETRIC]).await;
    let (first, second) = (mesh.layout.clone(), mesh.replica());
    let (site, leaver) = (mesh.estate.site_id.clone(), mesh.estate.leaver.clone());
    let at_second = async |probe: Vec<f32>| {
        let found = identify(&second, &site, &probe).await.expect("an answer");
        found.outcome()
    };
    // What was there when it started.
    assert_eq!(at_second(leaver.probe()).await, Outcome::Match);
    // What is enrolled at the first one later.
    let enrolled = devmesh::estate::populate(&first, &mesh.estate, 1).await;
    let newcomer = &enrolled.expect("enrolled")[0];
    eventually("the second one knows the newcomer", async || {
        at_second(newcomer.probe()).await == Outcome::Match
    })
    .await;
    // Erased means erased everywhere: the answer waits for the other one.
    let privacy = Operator::connect(&first, "privacy").expect("an operator");
    let request = EraseResidentRequest {
        resident_id: leaver.resident_id.clone(),
        ..EraseResidentRequest::default()
    };
    privacy
        .residents()
        .erase_resident(request)
        .await
        .expect("erased");
    assert_eq!(at_second(leaver.probe()).await, Outcome::Nobody);
    // A rotation is not drawn anew under another replica's feet.
    let request = RenewRotationRequest {
        model: MODEL.into(),
    };
    let refused = privacy.biometric().renew_rotation(request).await;
    assert_eq!(
        refused.expect_err("refused").code(),
        Code::FailedPrecondition
    );
}

async fn a_renewed_rotation_knows_the_same_people(mut mesh: Mesh) {
    let privacy = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    let request = RenewRotationRequest {
        model: MODEL.into(),
    };
    let renewed = privacy.biometric().renew_rotation(request).await;
    assert_eq!(renewed.expect("renewed").into_inner().renewals, 1);
    // It drains by itself, to start over.
    mesh.stop(BIOMETRIC).await;
    mesh.restart(BIOMETRIC).await;
    until_told(&mesh, "rotation_renewed", MODEL).await;
    let site = &mesh.estate.site_id;
    let found = identify(&mesh.layout, site, &mesh.estate.resident.probe()).await;
    assert_eq!(found.expect("an answer").outcome(), Outcome::Match);
    let stranger = devmesh::estate::probe(mesh.estate.stranger);
    let found = identify(&mesh.layout, site, &stranger).await;
    assert_eq!(found.expect("an answer").outcome(), Outcome::Nobody);
    let db = database(&mesh.layout, BIOMETRIC).await;
    let numbers = db
        .query_all_raw(sea_orm::Statement::from_string(
            db.get_database_backend(),
            "SELECT DISTINCT number FROM rotations UNION SELECT DISTINCT rotation FROM templates",
        ))
        .await
        .expect("rows");
    assert_eq!(numbers.len(), 1, "the old rotation is gone");
    db.close().await.expect("closed");
}

async fn damaged_rows_are_left_out_and_counted(mut mesh: Mesh) {
    mesh.stop(BIOMETRIC).await;
    let db = database(&mesh.layout, BIOMETRIC).await;
    db.execute_unprepared(SWAP).await.expect("damaged");
    db.close().await.expect("closed");
    mesh.restart(BIOMETRIC).await;
    let status = status(&mesh.layout).await;
    assert_eq!(status.corrupt_rows, 1);
    assert!(status.templates >= 2, "{status:?}");
    eventually("its health tells", async || {
        health(&mesh.layout, "templates").await == ServingStatus::NotServing
    })
    .await;
    // And nobody is sent elsewhere for it.
    assert_eq!(health(&mesh.layout, "").await, ServingStatus::Serving);
}

async fn a_row_damaged_while_serving_is_left_out_once_it_is_read(mesh: Mesh) {
    let layout = &mesh.layout;
    let before = status(layout).await;
    assert_eq!(before.corrupt_rows, 0);
    let db = database(layout, BIOMETRIC).await;
    let touch = async |what: &str, corrupt: u64, component: ServingStatus| {
        db.execute_unprepared(SWAP).await.expect("written");
        // Twice: what is counted already is not counted again.
        for _ in 0..2 {
            db.execute_unprepared(TELL).await.expect("told");
        }
        eventually(what, async || {
            status(layout).await.corrupt_rows == corrupt
                && health(layout, "templates").await == component
        })
        .await;
    };
    touch("it is counted", 1, ServingStatus::NotServing).await;
    assert_eq!(status(layout).await.templates, before.templates - 1);
    assert_eq!(health(layout, "").await, ServingStatus::Serving);
    touch("it is mended", 0, ServingStatus::Serving).await;
    assert_eq!(status(layout).await.templates, before.templates);
    db.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_rows_are_a_metric() {
    let mut mesh = ProcessMesh::start(None).await;
    const METRIC: &str = "biometric_templates_corrupt";
    eventually("it is told while there is none", async || {
        mesh.metrics(BIOMETRIC).await.contains(METRIC)
    })
    .await;
    assert_eq!(mesh.counted(BIOMETRIC, METRIC).await, 0.0);
    let stopped = mesh.processes.terminate(BIOMETRIC).await;
    stopped.expect("stopped");
    let db = database(&mesh.layout, BIOMETRIC).await;
    db.execute_unprepared(SWAP).await.expect("damaged");
    db.close().await.expect("closed");
    let started = mesh.processes.restart(BIOMETRIC).await;
    started.expect("ready all the same");
    assert_eq!(mesh.counted(BIOMETRIC, METRIC).await, 1.0);
    mesh.processes.stop().await.expect("stopped");
}

async fn who_cannot_read_the_feed_recognises_nobody(mesh: Mesh) {
    let (layout, site) = (&mesh.layout, mesh.estate.site_id.as_str());
    let resident = &mesh.estate.resident;
    let found = identify(layout, site, &resident.probe()).await;
    assert_eq!(found.expect("an answer").outcome(), Outcome::Match);

    let db = database(layout, BIOMETRIC).await;
    db.execute_unprepared("ALTER TABLE changes RENAME TO changes_away")
        .await
        .expect("taken away");
    eventually("it refuses", async || {
        let Err(refused) = identify(layout, site, &resident.probe()).await else {
            return false;
        };
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        let (reason, _) = mesh::error::reason(&refused).expect("a reason");
        assert_eq!(reason, "NOT_READY");
        true
    })
    .await;
    // And goes on refusing.
    let refused = identify(layout, site, &resident.probe()).await;
    assert_eq!(refused.expect_err("stale").code(), Code::Unavailable);

    db.execute_unprepared("ALTER TABLE changes_away RENAME TO changes")
        .await
        .expect("brought back");
    eventually("it recognises again", async || {
        let found = identify(layout, site, &resident.probe()).await;
        found.is_ok_and(|found| found.outcome() == Outcome::Match)
    })
    .await;
    db.close().await.expect("closed");
}

async fn a_restored_store_knows_all_but_the_erased(mut mesh: Mesh) {
    let privacy = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    let mut custody = privacy.custody(BIOMETRIC);
    let taken = custody.create_backup(CreateBackupRequest {}).await;
    let backup = taken.expect("taken").into_inner().backup.expect("a backup");
    let request = EraseResidentRequest {
        resident_id: mesh.estate.leaver.resident_id.clone(),
        ..EraseResidentRequest::default()
    };
    let erased = privacy.residents().erase_resident(request).await;
    erased.expect("erased");

    mesh.stop(BIOMETRIC).await;
    mesh.empty_store(BIOMETRIC);
    mesh.restart(BIOMETRIC).await;
    let (layout, site) = (mesh.layout.clone(), mesh.estate.site_id.clone());
    let who = async |probe: Vec<f32>| {
        let found = identify(&layout, &site, &probe).await.expect("an answer");
        found.outcome()
    };
    let (resident, leaver) = (mesh.estate.resident.clone(), mesh.estate.leaver.clone());
    assert_eq!(who(resident.probe()).await, Outcome::Nobody);
    let path = backup.path;
    let restored = custody.restore_backup(RestoreBackupRequest { path }).await;
    restored.expect("restored");
    mesh.stop(BIOMETRIC).await;
    mesh.restart(BIOMETRIC).await;
    assert_eq!(who(resident.probe()).await, Outcome::Match);
    assert_eq!(who(leaver.probe()).await, Outcome::Nobody);
}

async fn models_are_forgotten_once_nobody_serves_them(mut mesh: Mesh) {
    let privacy = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    let request = ForgetModelRequest {
        name: MODEL.into(),
        version: "1".into(),
    };
    let served = privacy.biometric().forget_model(request.clone()).await;
    assert_eq!(served.expect_err("served").code(), Code::FailedPrecondition);

    mesh.stop(BIOMETRIC).await;
    let file = mesh.layout.config_file(BIOMETRIC);
    let text = std::fs::read_to_string(&file).expect("a configuration");
    let model = "[[models]]\nname = \"arcface-r200\"\nversion = \"1\"\ndimension = 512\n\
                 threshold = 0.45\nmargin = 0.05\n";
    std::fs::write(&file, format!("{text}{model}")).expect("written");
    mesh.restart(BIOMETRIC).await;
    let status = privacy.biometric().get_status(GetStatusRequest {}).await;
    let status = status.expect("a status").into_inner();
    let served: Vec<&str> = status
        .models
        .iter()
        .filter(|model| model.served)
        .map(|model| model.name.as_str())
        .collect();
    assert_eq!(served, ["arcface-r200"]);
    let sleeping: u64 = status.models.iter().map(|model| model.templates).sum();
    assert!(sleeping >= 3);
    let forgotten = privacy.biometric().forget_model(request).await;
    assert_eq!(
        forgotten.expect("forgotten").into_inner().templates,
        sleeping
    );
    let status = privacy.biometric().get_status(GetStatusRequest {}).await;
    let models = status.expect("a status").into_inner().models;
    assert!(
        models
            .iter()
            .all(|model| model.name == "arcface-r200" && model.templates == 0)
    );
    until_told(&mesh, "model_forgotten", &format!("{MODEL} 1")).await;
}
