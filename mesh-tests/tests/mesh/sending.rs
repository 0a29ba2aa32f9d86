//! Commands on their way out: once at most, wherever the process dies, and past
//! a partner that hangs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use devmesh::{
    estate::{self, BARRIER, DOOR, Estate, OTHER_PARTNER, PLATE, Person},
    operator::Operator,
};
use mesh_tests::{Answer, Database, Mesh, Partner, ProcessMesh, on_both_databases};
use propdev_proto::access::{
    CommandStatus, CreateDeviceRequest, Device, DeviceKind, ListOpeningsRequest,
    SearchEntriesRequest,
};
use sea_orm::{ConnectionTrait, DbBackend};
use serde_json::{Value, json};

use crate::{database, eventually, propctl, within};

/// Long after a command's expiry.
const GIVEN_UP: Duration = Duration::from_secs(120);

on_both_databases!(
    a_partner_that_hangs_slows_no_other,
    an_outcome_that_is_not_taken_is_stored_once_it_is,
);

const ACCESS: &str = "access-svc";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_goes_out_once_wherever_the_process_dies_on_sqlite() {
    a_command_goes_out_once_wherever_the_process_dies(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_goes_out_once_wherever_the_process_dies_on_postgres() {
    a_command_goes_out_once_wherever_the_process_dies(Database::Postgres).await;
}

/// Where the process dies, how many commands have left by then, and what
/// whoever asks again with the same key is told.
const POINTS: [(&str, usize, (u16, &str)); 5] = [
    ("opening.before_intent", 0, (200, "")),
    ("opening.after_intent", 0, (504, "partner_timeout")),
    ("opening.before_call", 0, (504, "partner_timeout")),
    ("opening.after_call", 1, (504, "partner_timeout")),
    ("opening.after_outcome", 1, (200, "")),
];

async fn a_command_goes_out_once_wherever_the_process_dies(database: Database) {
    let mut mesh = ProcessMesh::start_with(database, |_, text| text).await;
    let partner = mesh.partner();
    let viewer = Operator::connect(&mesh.layout, "viewer").expect("an operator");
    let token = partner.token().await;
    let mut outcomes = Vec::new();
    for (point, sent, told) in POINTS {
        let before = commands(&mesh).await;
        die_at(&mut mesh, point, || press(&partner, &token, Some(point))).await;
        assert_eq!(commands(&mesh).await - before, sent, "{point}");

        let mut decided = None;
        within(GIVEN_UP, point, async || {
            let answer = press(&partner, &token, Some(point)).await;
            let is_decided = !answer.text("opening_id").is_empty();
            decided = is_decided.then_some(answer);
            is_decided
        })
        .await;
        let answer = decided.expect("an answer");
        assert_eq!(answer.told(), told, "{point}: {answer:?}");
        // What had not even been decided was decided now.
        let replayed = answer.headers.contains_key("idempotent-replayed");
        assert_eq!(replayed, point != "opening.before_intent", "{point}");
        let of_this = if told.0 == 200 { 1 } else { sent };
        assert_eq!(commands(&mesh).await - before, of_this, "{point}");
        let status = if told.0 == 200 {
            "delivered"
        } else {
            "unknown"
        };
        let id = answer.text("opening_id");
        assert_eq!(status_of(&partner, &token, &id).await, status, "{point}");
        outcomes.push((id, status));
    }

    // Nobody asks again: it is given up all the same.
    let before = commands(&mesh).await;
    die_at(&mut mesh, "opening.after_intent", || {
        press(&partner, &token, None)
    })
    .await;
    let request = ListOpeningsRequest::default();
    let listed = viewer.openings().list_openings(request).await;
    let listed = listed.expect("openings").into_inner().openings;
    let lost = listed.iter().find(|opening| {
        let command = opening.command.as_ref();
        command.is_some_and(|command| command.status() == CommandStatus::Pending)
    });
    let id = lost.expect("one without an outcome").opening_id.clone();
    within(GIVEN_UP, "it is unknown", async || {
        status_of(&partner, &token, &id).await == "unknown"
    })
    .await;
    assert_eq!(commands(&mesh).await, before);
    outcomes.push((id, "unknown"));

    // The log tells each outcome once.
    for (id, status) in &outcomes {
        eventually("its outcome is in the log", async || {
            let told = outcomes_of(&viewer, id).await;
            assert!(told.len() <= 1, "{id}: {told:?}");
            told == [*status]
        })
        .await;
    }
    let all = mesh.sim.commands().await.expect("commands");
    let good = |command: &Value| command["late"] == false && command["duplicate"] == false;
    assert!(all.iter().all(good), "{all:?}");
    let verified = propctl(&mesh.layout, "viewer", &["audit", "verify"]).await;
    assert!(verified.status.success(), "{verified:?}");
    mesh.processes.stop().await.expect("stopped");
}

/// Of a partner's answer: well before a command's expiry, after it but before
/// nobody waits any more, and after that.
const DELAYS_MS: [u64; 3] = [500, 5_500, 9_000];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_is_awaited_for_a_while_and_no_command_is_late() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let partner = mesh.partner();
    let token = partner.token().await;
    let mut ends = Vec::new();
    for delay_ms in DELAYS_MS {
        let slow = json!({"mode": "slow", "delay_ms": delay_ms});
        mesh.sim.behave(&slow).await.expect("told");
        let answer = press(&partner, &token, None).await;
        let status = status_of(&partner, &token, &answer.text("opening_id")).await;
        let told = match status.as_str() {
            "delivered" => (200, ""),
            "unknown" => (504, "partner_timeout"),
            _ => panic!("after {delay_ms} ms: {status}"),
        };
        assert_eq!(answer.told(), told, "after {delay_ms} ms: {answer:?}");
        ends.push(status);
    }
    // The second is as near to the end of the wait as the machine is quick.
    assert_eq!([&*ends[0], &*ends[2]], ["delivered", "unknown"]);
    let commands = mesh.commands_to(BARRIER).await;
    assert_eq!(commands.len(), DELAYS_MS.len());
    let good = |command: &Value| command["late"] == false && command["duplicate"] == false;
    assert!(commands.iter().all(good), "{commands:?}");
}

/// Presses until access-svc has died at that point, and starts it again.
async fn die_at<F: Future<Output = Answer>>(
    mesh: &mut ProcessMesh,
    point: &str,
    press: impl Fn() -> F,
) {
    let processes = &mut mesh.processes;
    processes.terminate(ACCESS).await.expect("stopped");
    let started = processes.restart_to_die(ACCESS, point).await;
    started.expect("started");
    eventually(point, async || {
        // 503 while it has yet to hear of auth-svc.
        let answer = press().await;
        assert_ne!(answer.status, 200, "{point}: {answer:?}");
        processes.check_alive().is_err()
    })
    .await;
    processes.wait_for_end(ACCESS).await.expect("dead");
    processes.restart(ACCESS).await.expect("restarted");
}

async fn press(partner: &Partner, token: &str, key: Option<&str>) -> Answer {
    let path = format!("/v1/barriers/{BARRIER}/open");
    let mut request = partner
        .request(reqwest::Method::POST, &path)
        .bearer_auth(token)
        .json(&json!({"plate": {"number": PLATE}}));
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    Partner::send(request).await
}

async fn commands(mesh: &ProcessMesh) -> usize {
    mesh.sim.commands().await.expect("commands").len()
}

async fn status_of(partner: &Partner, token: &str, id: &str) -> String {
    let answer = partner.get(&format!("/v1/openings/{id}"), token).await;
    let status = answer.body["command"]["status"].as_str();
    status.unwrap_or_default().to_owned()
}

/// Codes of the entries that tell how an opening's command came out.
async fn outcomes_of(viewer: &Operator, id: &str) -> Vec<String> {
    let request = SearchEntriesRequest {
        opening_id: id.to_owned(),
        ..SearchEntriesRequest::default()
    };
    let found = viewer.audit_log().search_entries(request).await;
    let entries = found.expect("entries").into_inner().entries.into_iter();
    entries
        .map(|entry| serde_json::from_slice::<Value>(&entry.payload).expect("an entry"))
        .filter(|entry| entry["kind"] == "outcome")
        .map(|entry| entry["code"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// That the database takes no outcome, and that it does again.
fn refusing(backend: DbBackend) -> (&'static [&'static str], &'static str) {
    match backend {
        DbBackend::Sqlite => (
            &[
                "CREATE TRIGGER away BEFORE UPDATE OF answered_status ON openings \
               BEGIN SELECT RAISE(ABORT, 'away'); END",
            ],
            "DROP TRIGGER away",
        ),
        _ => (
            &[
                "CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql \
                 AS 'BEGIN RAISE EXCEPTION ''away''; END'",
                "CREATE TRIGGER away BEFORE UPDATE OF answered_status ON openings \
                 FOR EACH ROW EXECUTE FUNCTION away()",
            ],
            "DROP TRIGGER away ON openings",
        ),
    }
}

async fn an_outcome_that_is_not_taken_is_stored_once_it_is(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let db = database(&mesh.layout, ACCESS).await;
    let (refuse, take) = refusing(db.get_database_backend());
    for statement in refuse {
        let refused = db.execute_unprepared(statement).await;
        refused.expect("refused from now on");
    }
    let opened = press(&partner, &token, Some("away")).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let id = opened.text("opening_id");
    assert_eq!(status_of(&partner, &token, &id).await, "pending");

    let taken = db.execute_unprepared(take).await;
    taken.expect("taken from now on");
    eventually("it is stored", async || {
        status_of(&partner, &token, &id).await == "delivered"
    })
    .await;
    let viewer = Operator::connect(&mesh.layout, "viewer").expect("an operator");
    eventually("the log tells it", async || {
        outcomes_of(&viewer, &id).await == ["delivered"]
    })
    .await;
    let again = press(&partner, &token, Some("away")).await;
    assert_eq!((again.status, again.text("opening_id")), (200, id));
    assert_eq!(mesh.commands_to(BARRIER).await.len(), 1);
    db.close().await.expect("closed");
}

/// More than go to one partner at once.
const HANGING: usize = 100;
/// `egress.concurrency_per_partner`, as it is unless configured.
const AT_ONCE: usize = 64;

async fn a_partner_that_hangs_slows_no_other(mesh: Mesh) {
    let person = resident_of_the_other(&mesh).await;
    let behaviour = json!({"mode": "hang", "partner": OTHER_PARTNER});
    mesh.sim.behave(&behaviour).await.expect("told");
    let over = Arc::new(AtomicBool::new(false));
    let other = mesh.other_partner();
    let token = other.token().await;
    let presses: Vec<_> = (0..HANGING)
        .map(|_| {
            let (other, token) = (other.clone(), token.clone());
            let (person, over) = (person.clone(), over.clone());
            // There is always one under way, however long the rest takes.
            tokio::spawn(async move {
                let mut heard = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let probe = person.probe();
                    heard.push(other.open_by_face(DOOR, &token, &probe).await);
                }
                heard
            })
        })
        .collect();
    let of = async |partner: &str| {
        let mut commands = mesh.sim.commands().await.expect("commands");
        commands.retain(|command| command["partner"] == partner);
        commands.len()
    };
    eventually("all places of the other are taken", async || {
        of(OTHER_PARTNER).await >= AT_ONCE
    })
    .await;

    let partner = mesh.partner();
    let token = partner.token().await;
    for _ in 0..20 {
        let opened = partner.open_by_plate(BARRIER, &token, PLATE).await;
        assert_eq!(opened.status, 200, "{opened:?}");
    }
    assert_eq!(of(estate::PARTNER).await, 20);
    over.store(true, Ordering::Relaxed);
    for press in presses {
        let heard = press.await.expect("pressed");
        // Never answered, or never reached: never granted.
        let told = |answer: &Answer| matches!(answer.status, 503 | 504);
        assert!(heard.iter().all(told), "{heard:?}");
        assert!(!heard.is_empty());
    }
}

/// Somebody with a right to a door of the second partner, paid for.
pub(crate) async fn resident_of_the_other(mesh: &Mesh) -> Person {
    let estate = Estate {
        partner_id: mesh.estate.other_partner_id.clone(),
        site_id: mesh.estate.other_site_id.clone(),
        ..mesh.estate.clone()
    };
    let request = CreateDeviceRequest {
        device: Some(Device {
            device_id: DOOR.into(),
            partner_id: estate.partner_id.clone(),
            site_id: estate.site_id.clone(),
            kind: DeviceKind::Door.into(),
            name: DOOR.into(),
            time_zone: "Europe/Moscow".into(),
            ..Device::default()
        }),
    };
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let created = operator.devices().create_device(request).await;
    created.expect("a device");
    let people = estate::populate(&mesh.layout, &estate, 1).await;
    people.expect("people").remove(0)
}
