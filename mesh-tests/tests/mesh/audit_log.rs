//! The audit log: what it holds after the flows, and what leads from it to a
//! person.

use std::collections::HashSet;

use devmesh::{
    estate::{BARRIER, DOOR, FOB, KEY, PLATE, UNPAID_PLATE},
    operator::Operator,
};
use futures::future::join_all;
use mesh_tests::{Database, Mesh, Partner, on_both_databases};
use propdev_proto::access::{
    EraseResidentRequest, GetLogRequest, GetLogResponse, OpenLinkRequest, OpenLinkResponse,
    SearchEntriesRequest, SetLockdownRequest,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tonic::Code;
use uuid::Uuid;

use crate::{audit_tampering::verify, eventually, propctl};

on_both_databases!(
    all_flows_are_in_the_log_and_it_verifies,
    entries_are_found_and_followed,
    a_link_goes_with_its_resident,
    time_destroys_what_it_must_and_the_log_verifies,
);

const KEYS: &str = "/v1/webhooks/intercom/key-openings";
const FOBS: &str = "/v1/webhooks/barrier/fob-openings";
const A_DAY: i64 = 24 * 3_600;

fn operator(mesh: &Mesh, role: &str) -> Operator {
    Operator::connect(&mesh.layout, role).expect("an operator")
}

pub(crate) async fn state(mesh: &Mesh) -> GetLogResponse {
    let mut log = operator(mesh, "viewer").audit_log();
    let answer = log.get_log(GetLogRequest {}).await;
    answer.expect("the log's state").into_inner()
}

/// Entries as they say themselves, newest first, each with its number.
pub(crate) async fn entries(
    mesh: &Mesh,
    ask: impl FnOnce(&mut SearchEntriesRequest),
) -> Vec<Value> {
    let mut request = SearchEntriesRequest {
        page_size: 1_000,
        ..SearchEntriesRequest::default()
    };
    ask(&mut request);
    let mut log = operator(mesh, "viewer").audit_log();
    let found = log.search_entries(request).await.expect("entries");
    let found = found.into_inner().entries.into_iter();
    found
        .map(|entry| {
            let mut said: Value = serde_json::from_slice(&entry.payload).expect("an entry");
            said["number"] = json!(entry.number);
            said
        })
        .collect()
}

/// Until each of these has its number, by kind and code.
async fn until_told(mesh: &Mesh, wanted: &[(&str, &str)]) {
    eventually(&format!("entries of {wanted:?}"), async || {
        let found = entries(mesh, |_| ()).await;
        wanted.iter().all(|(kind, code)| {
            found
                .iter()
                .any(|entry| entry["kind"] == *kind && entry["code"] == *code)
        })
    })
    .await;
}

async fn tell_key(partner: &Partner, path: &str, token: &str, id: &str) {
    let name = if path == KEYS { "key_id" } else { "fob_id" };
    let mut event = json!({"opened_at": "2026-11-24T06:00:00Z", "device_id": DOOR});
    event[name] = json!(id);
    let told = partner.post(path, token, Some(&event)).await;
    assert_eq!(told.status, 202, "{told:?}");
}

/// One of each flow; the id of an opening that was granted.
pub(crate) async fn all_flows(mesh: &Mesh) -> String {
    let partner = mesh.partner();
    let token = partner.token().await;
    let by_face = partner.face_token(&mesh.estate.resident.probe()).await;
    let opened = partner.open_door(DOOR, &by_face).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let by_plate = partner.plate_token(PLATE).await;
    let barrier = partner.open_barrier(BARRIER, &by_plate).await;
    assert_eq!(barrier.status, 200, "{barrier:?}");
    let probe = mesh.estate.resident.probe();
    assert_eq!(partner.open_by_face(DOOR, &token, &probe).await.status, 200);
    for (plate, code) in [
        (PLATE, ""),
        (UNPAID_PLATE, "service_unpaid"),
        ("X999XX99", "subject_not_recognized"),
    ] {
        let answer = partner.open_by_plate(BARRIER, &token, plate).await;
        assert_eq!(answer.told().1, code, "{answer:?}");
    }
    // The fob last: once it has its number, all before it have theirs.
    for (path, id) in [(KEYS, KEY), (KEYS, "key-of-nobody"), (FOBS, FOB)] {
        tell_key(&partner, path, &token, id).await;
    }
    let confirmation = json!({
        "command_id": opened.body["command"]["id"],
        "opening_id": opened.body["opening_id"],
        "status": "opened",
        "at": "2026-11-24T06:00:01Z",
    });
    let path = "/v1/webhooks/commands";
    let told = partner.post(path, &token, Some(&confirmation)).await;
    assert_eq!(told.status, 202, "{told:?}");
    let stranger = devmesh::estate::probe(mesh.estate.stranger);
    assert_eq!(partner.ask_face_token(&stranger).await.status, 400);
    opened.text("opening_id")
}

async fn all_flows_are_in_the_log_and_it_verifies(mesh: Mesh) {
    let opening = all_flows(&mesh).await;
    let request = SetLockdownRequest {
        site_id: mesh.estate.site_id.clone(),
        lockdown: true,
    };
    let mut sites = operator(&mesh, "operator").sites();
    sites.set_lockdown(request).await.expect("locked down");
    until_told(
        &mesh,
        &[
            ("decision", "granted"),
            ("decision", "service_unpaid"),
            ("decision", "subject_not_recognized"),
            ("outcome", "delivered"),
            ("confirmation", "opened"),
            ("event", "key_opened"),
            ("event", "fob_opened"),
            ("token", "issued"),
            ("token", "invalid_grant"),
            ("client", "registered"),
            ("act", "partner_created"),
            ("act", "site_created"),
            ("act", "device_created"),
            ("act", "resident_created"),
            ("act", "consent_recorded"),
            ("act", "face_enrolled"),
            ("act", "grant_created"),
            ("act", "vehicle_added"),
            ("act", "key_added"),
            ("act", "payment_set"),
            ("act", "lockdown_on"),
        ],
    )
    .await;

    let of_opening = entries(&mesh, |request| request.opening_id = opening.clone()).await;
    let kinds: Vec<&str> = of_opening
        .iter()
        .filter_map(|e| e["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["confirmation", "outcome", "decision"]);
    let decision = &of_opening[2];
    assert_eq!(decision["device"], DOOR);
    assert_eq!(decision["means"], "face");
    assert_eq!(decision["checks"]["grant"], true);
    assert_eq!(decision["client"], json!(mesh.estate.client_id));
    let lockdown = entries(&mesh, |request| request.code = "lockdown_on".into()).await;
    assert_eq!(lockdown[0]["actor"], "operator/operator/dev");

    // Nothing is told twice, and nothing personal at all.
    let all = entries(&mesh, |_| ()).await;
    let ids: HashSet<&str> = all.iter().filter_map(|e| e["id"].as_str()).collect();
    assert_eq!(ids.len(), all.len());
    let numbers: HashSet<u64> = all.iter().filter_map(|e| e["number"].as_u64()).collect();
    assert_eq!(numbers, (0..all.len() as u64).collect());
    let text = json!(all).to_string();
    for personal in [
        PLATE,
        UNPAID_PLATE,
        "X999XX99",
        KEY,
        FOB,
        "key-of-nobody",
        "Anna",
        &mesh.estate.resident.resident_id,
        &mesh.estate.client_secret,
    ] {
        assert!(!text.contains(personal), "{personal}");
    }

    let (code, report) = verify(&mesh, &[]).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["good"], true);
    assert!(report["size"].as_u64() >= Some(all.len() as u64));
    let (code, report) = verify(&mesh, &["--opening", &opening]).await;
    assert_eq!(code, 0, "{report}");
    let absent = Uuid::now_v7().to_string();
    assert_eq!(verify(&mesh, &["--opening", &absent]).await.0, 5);
}

async fn entries_are_found_and_followed(mesh: Mesh) {
    all_flows(&mesh).await;
    until_told(&mesh, &[("event", "fob_opened"), ("token", "issued")]).await;
    let resident = mesh.estate.resident.resident_id.clone();
    let of_resident = entries(&mesh, |request| request.resident_id = resident.clone()).await;
    let codes: HashSet<&str> = of_resident
        .iter()
        .filter_map(|e| e["code"].as_str())
        .collect();
    assert!(codes.is_superset(&HashSet::from(["granted", "key_opened", "vehicle_added"])));
    let who = of_resident[0]["who"].as_str().expect("a name").to_owned();
    let by_name = entries(&mesh, |request| request.audit_pseudonym = who.clone()).await;
    // Meanwhile more may have come.
    assert!(by_name.len() >= of_resident.len());
    assert!(by_name.iter().all(|entry| entry["who"] == who.as_str()));

    let at_barrier = entries(&mesh, |request| {
        request.device_id = BARRIER.into();
        request.code = "granted".into();
        request.oldest_first = true;
    })
    .await;
    assert_eq!(at_barrier.len(), 2);
    let ids = |found: &[Value]| -> Vec<String> {
        found.iter().map(|entry| entry["id"].to_string()).collect()
    };
    let at = at_barrier[1]["at"].as_str().expect("a time");
    let at: jiff::Timestamp = at.parse().expect("a time");
    let time = prost_types::Timestamp {
        seconds: at.as_second() + 1,
        nanos: 0,
    };
    let before = entries(&mesh, |request| {
        request.until = Some(time);
        request.device_id = BARRIER.into();
        request.code = "granted".into();
    })
    .await;
    let mut newest_first = ids(&at_barrier);
    newest_first.reverse();
    assert_eq!(ids(&before), newest_first);

    // The same by propctl, as JSON and as CSV.
    let found = propctl(
        &mesh.layout,
        "viewer",
        &[
            "audit", "search", "--device", BARRIER, "--code", "granted", "--output", "json",
        ],
    )
    .await;
    let found: Value = serde_json::from_slice(&found.stdout).expect("JSON");
    assert_eq!(found.as_array().map(Vec::len), Some(2));
    assert_eq!(found[0]["entry"]["device"], BARRIER);
    let found = propctl(
        &mesh.layout,
        "viewer",
        &[
            "audit",
            "search",
            "--resident",
            &resident,
            "--code",
            "vehicle_added",
            "--output",
            "json",
        ],
    )
    .await;
    let found: Value = serde_json::from_slice(&found.stdout).expect("JSON");
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    assert_eq!(found[0]["entry"]["who"], who.as_str());
    let csv = propctl(
        &mesh.layout,
        "viewer",
        &[
            "audit", "export", "--device", BARRIER, "--form", "csv", "--to", "-",
        ],
    )
    .await;
    let csv = String::from_utf8(csv.stdout).expect("text");
    assert!(csv.starts_with("number,id,at,kind,code,opening"), "{csv}");
    assert_eq!(csv.matches(",granted,").count(), 2, "{csv}");

    let mut tail = crate::propctl_command(
        &mesh.layout,
        "viewer",
        &[
            "audit",
            "tail",
            "--last",
            "0",
            "--code",
            "key_opened",
            "--output",
            "json",
        ],
    )
    .stdout(std::process::Stdio::piped())
    .kill_on_drop(true)
    .spawn()
    .expect("it runs");
    let stdout = tail.stdout.take().expect("its output");
    let mut lines = BufReader::new(stdout).lines();
    let partner = mesh.partner();
    let token = partner.token().await;
    let followed = async {
        loop {
            // Told again until the other program looks.
            tell_key(&partner, KEYS, &token, &Uuid::new_v4().to_string()).await;
            let line = tokio::time::timeout(std::time::Duration::from_secs(3), lines.next_line());
            if let Ok(line) = line.await {
                return line.expect("a line").expect("not the end");
            }
        }
    };
    let line = tokio::time::timeout(std::time::Duration::from_secs(60), followed);
    let line: Value = serde_json::from_str(&line.await.expect("in time")).expect("JSON");
    assert_eq!(line["entry"]["code"], "key_opened");
}

pub(crate) async fn link(
    mesh: &Mesh,
    role: &str,
    number: &Value,
) -> Result<OpenLinkResponse, Code> {
    let request = OpenLinkRequest {
        number: number.as_u64().expect("a number"),
    };
    let answer = operator(mesh, role).audit_log().open_link(request).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| status.code())
}

async fn a_link_goes_with_its_resident(mesh: Mesh) {
    all_flows(&mesh).await;
    until_told(
        &mesh,
        &[("event", "fob_opened"), ("decision", "service_unpaid")],
    )
    .await;
    let by_plate = async |code: &str| {
        let found = entries(&mesh, |request| {
            request.code = code.into();
            request.device_id = BARRIER.into();
        })
        .await;
        let linked = found.into_iter().find(|entry| !entry["sealed"].is_null());
        linked.expect("an entry with a link")
    };
    let granted = by_plate("granted").await;
    let opened = link(&mesh, "privacy", &granted["number"])
        .await
        .expect("opened");
    let resident = mesh.estate.resident.resident_id.clone();
    assert_eq!(
        (
            opened.kind.as_str(),
            opened.held.as_str(),
            opened.country.as_str()
        ),
        ("plate", PLATE, "RU")
    );
    assert_eq!(opened.resident_id, resident);
    for role in ["viewer", "operator"] {
        let refused = link(&mesh, role, &granted["number"]).await;
        assert_eq!(refused.err(), Some(Code::PermissionDenied));
    }
    let stranger = by_plate("subject_not_recognized").await;
    let opened = link(&mesh, "privacy", &stranger["number"])
        .await
        .expect("opened");
    assert_eq!(
        (opened.held.as_str(), opened.resident_id.as_str()),
        ("X999XX99", "")
    );
    let keys = entries(&mesh, |request| request.code = "key_opened".into()).await;
    let mut held = HashSet::new();
    for key in &keys {
        let opened = link(&mesh, "privacy", &key["number"])
            .await
            .expect("opened");
        held.insert((opened.held, opened.resident_id));
    }
    let nobody = ("key-of-nobody".to_owned(), String::new());
    assert_eq!(
        held,
        HashSet::from([(KEY.to_owned(), resident.clone()), nobody])
    );
    until_told(&mesh, &[("act", "link_opened")]).await;

    let request = EraseResidentRequest {
        resident_id: resident.clone(),
        ..EraseResidentRequest::default()
    };
    let mut residents = operator(&mesh, "privacy").residents();
    residents.erase_resident(request).await.expect("erased");
    let opened = link(&mesh, "privacy", &granted["number"])
        .await
        .expect("opened");
    assert_eq!(
        (opened.held.as_str(), opened.resident_id.as_str()),
        ("", "")
    );
    // Told at once, though the erasure's own entries wait for their numbers.
    let (code, report) = verify(&mesh, &[]).await;
    assert_eq!(code, 0, "{report}");
    assert!(
        report["links_gone_by_erasure"].as_u64() >= Some(3),
        "{report}"
    );
    until_told(&mesh, &[("erasure", "begun"), ("erasure", "finished")]).await;
    let erasures = entries(&mesh, |request| request.code = "finished".into()).await;
    assert_eq!(erasures[0]["who"], granted["who"]);
    let search = SearchEntriesRequest {
        resident_id: resident,
        ..SearchEntriesRequest::default()
    };
    let absent = operator(&mesh, "viewer")
        .audit_log()
        .search_entries(search)
        .await;
    assert_eq!(absent.expect_err("nobody").code(), Code::NotFound);
    // A stranger's is another matter.
    let opened = link(&mesh, "privacy", &stranger["number"])
        .await
        .expect("opened");
    assert_eq!(opened.held, "X999XX99");
}

async fn time_destroys_what_it_must_and_the_log_verifies(mesh: Mesh) {
    all_flows(&mesh).await;
    until_told(&mesh, &[("event", "fob_opened"), ("token", "issued")]).await;
    let stranger = entries(&mesh, |request| {
        request.code = "subject_not_recognized".into();
    })
    .await
    .remove(0);
    let size = state(&mesh).await.size;

    mesh.clock.advance(100 * A_DAY);
    until_told(&mesh, &[("retention", "month_ended")]).await;
    let opened = link(&mesh, "privacy", &stranger["number"])
        .await
        .expect("opened");
    assert_eq!(opened.held, "", "its month is over");
    let (code, report) = verify(&mesh, &[]).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["destroyed_by_retention"], 0);

    mesh.clock.advance(3 * 366 * A_DAY);
    until_told(&mesh, &[("retention", "entries_destroyed")]).await;
    let gone = link(&mesh, "privacy", &stranger["number"]).await;
    assert_eq!(gone.err(), Some(Code::NotFound));
    let (code, report) = verify(&mesh, &[]).await;
    assert_eq!(code, 0, "{report}");
    assert!(
        report["destroyed_by_retention"].as_u64() >= Some(size),
        "{report}"
    );
}

/// Both write, one gives numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_write_one_log() {
    let mut mesh = Mesh::start(Database::Postgres).await;
    let first = mesh.partner();
    let second = mesh.replicate().await;
    let token = first.token().await;
    let batch = |of: usize| {
        let events: Vec<Value> = (0..100)
            .map(|i| json!({"key_id": "k", "opened_at": "2026-11-24T06:00:00Z", "event_id": format!("{of}-{i}")}))
            .collect();
        json!({"events": events})
    };
    let calls = (0..20).map(|i| {
        let (partner, body) = (if i % 2 == 0 { &first } else { &second }, batch(i));
        let token = &token;
        async move {
            let told = partner.post(KEYS, token, Some(&body)).await;
            assert_eq!(told.status, 202, "{told:?}");
            let opened = partner.open_by_plate(BARRIER, token, PLATE).await;
            assert_eq!(opened.status, 200, "{opened:?}");
        }
    });
    join_all(calls).await;
    let all = async |code: &str| {
        let mut found = 0;
        let mut page_token = String::new();
        loop {
            let request = SearchEntriesRequest {
                page_size: 1_000,
                page_token,
                code: code.into(),
                ..SearchEntriesRequest::default()
            };
            let mut log = operator(&mesh, "viewer").audit_log();
            let page = log
                .search_entries(request)
                .await
                .expect("entries")
                .into_inner();
            found += page.entries.len();
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return found;
            }
        }
    };
    eventually("all of it has numbers", async || {
        all("key_opened").await == 2_000 && all("delivered").await == 20
    })
    .await;
    let (code, report) = verify(&mesh, &[]).await;
    assert_eq!(code, 0, "{report}");
    // Both replicas tell of the same log.
    let mut log = Operator::connect(&mesh.replica(), "viewer")
        .expect("an operator")
        .audit_log();
    let there = log
        .get_log(GetLogRequest {})
        .await
        .expect("its state")
        .into_inner();
    assert_eq!(there.verifier_key, state(&mesh).await.verifier_key);
}
