//! Openings and events followed as they come, over streams that break off.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use devmesh::{
    estate::{BARRIER, DOOR, PLATE, UNPAID_PLATE},
    operator::Operator,
};
use futures::future::join_all;
use mesh_tests::{Database, Mesh, Partner, on_both_databases};
use propdev_proto::access::{
    CommandStatus, Decision, Event, FollowEventsRequest, FollowEventsResponse,
    FollowOpeningsRequest, FollowOpeningsResponse, Opening,
};
use serde_json::json;
use tonic::{Code, Streaming};

use crate::clients::operator;

on_both_databases!(
    an_opening_is_told_and_what_became_of_it,
    nothing_is_missed_by_who_breaks_off_and_goes_on,
    each_event_is_told_once,
    a_follower_hears_of_what_it_asked_for,
    a_cursor_is_one_that_was_given,
    a_stream_ends_with_its_service_and_goes_on_after,
);

const KEYS: &str = "/v1/webhooks/intercom/key-openings";
const COMMANDS: &str = "/v1/webhooks/commands";

fn from(cursor: &str) -> FollowOpeningsRequest {
    FollowOpeningsRequest {
        cursor: cursor.into(),
        ..FollowOpeningsRequest::default()
    }
}

async fn follow(
    operator: &Operator,
    request: FollowOpeningsRequest,
) -> Streaming<FollowOpeningsResponse> {
    let answer = operator.openings().follow_openings(request).await;
    answer.expect("a stream").into_inner()
}

/// The next answer, whatever it tells.
async fn next<A>(stream: &mut Streaming<A>) -> A {
    let answer = tokio::time::timeout(Duration::from_secs(60), stream.message()).await;
    let answer = answer.expect("in time").expect("an answer");
    answer.expect("no end")
}

/// The next opening of this id, and the cursor after it.
async fn opening(stream: &mut Streaming<FollowOpeningsResponse>, id: &str) -> (Opening, String) {
    loop {
        let answer = next(stream).await;
        match answer.opening {
            Some(opening) if opening.opening_id == id => return (opening, answer.cursor),
            _ => {}
        }
    }
}

/// The next opening, whichever it is.
async fn first(stream: &mut Streaming<FollowOpeningsResponse>) -> Opening {
    loop {
        if let Some(opening) = next(stream).await.opening {
            return opening;
        }
    }
}

fn status(opening: &Opening) -> Option<CommandStatus> {
    opening.command.as_ref().map(|command| command.status())
}

async fn an_opening_is_told_and_what_became_of_it(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let before = partner.open_by_plate(BARRIER, &token, PLATE).await;
    let viewer = Operator::connect(&mesh.layout, "viewer").expect("a viewer");
    // Numbers are given behind; what came before is told to who asks for all.
    let mut all = follow(&viewer, from("0")).await;
    assert!(next(&mut all).await.opening.is_none(), "where it stands");
    opening(&mut all, &before.text("opening_id")).await;
    drop(all);

    let mut stream = follow(&viewer, from("")).await;
    let first = next(&mut stream).await;
    assert!(first.opening.is_none() && !first.cursor.is_empty());
    let opened = partner.open_by_plate(BARRIER, &token, PLATE).await;
    let id = opened.text("opening_id");
    let (mut told, mut cursor) = opening(&mut stream, &id).await;
    // Once it is decided, or not before it was delivered.
    while status(&told) != Some(CommandStatus::Delivered) {
        assert_eq!(status(&told), Some(CommandStatus::Pending));
        (told, cursor) = opening(&mut stream, &id).await;
    }
    assert_eq!(told.decision(), Decision::Granted);
    assert!(!told.audit_pseudonym.is_empty() && !told.checks.is_empty());
    let confirmed = json!({"command_id": opened.body["command"]["id"], "opening_id": id,
        "status": "opened", "at": "2026-11-24T06:00:01Z"});
    let answer = partner.post(COMMANDS, &token, Some(&confirmed)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let (told, after) = opening(&mut stream, &id).await;
    assert_eq!(status(&told), Some(CommandStatus::Opened));
    assert_ne!(cursor, after);

    let denied = partner.open_by_plate(BARRIER, &token, UNPAID_PLATE).await;
    let (told, _) = opening(&mut stream, &denied.text("opening_id")).await;
    assert_eq!(told.denial_code, "service_unpaid");
    assert_eq!(status(&told), None);
}

/// Opens so often, four at a time, and says which openings that were.
async fn open_often(partner: &Partner, times: usize) -> BTreeSet<String> {
    let token = partner.token().await;
    let mut ids = BTreeSet::new();
    for _ in 0..times / 4 {
        let openings = (0..4).map(|_| partner.open_by_plate(BARRIER, &token, PLATE));
        for answer in join_all(openings).await {
            assert_eq!(answer.status, 200, "{answer:?}");
            ids.insert(answer.text("opening_id"));
        }
    }
    ids
}

/// Follows from a cursor, hanging up after every third answer, until each of
/// these was told to be delivered; the last cursor.
async fn hear_of_all(operators: &[Operator], mut cursor: String, ids: &BTreeSet<String>) -> String {
    let mut delivered = BTreeSet::new();
    let mut position = 0;
    for turn in 0_usize.. {
        let operator = &operators[turn % operators.len()];
        let mut stream = follow(operator, from(&cursor)).await;
        for _ in 0..3 {
            let answer = next(&mut stream).await;
            let number: i64 = answer.cursor.parse().expect("a number");
            assert!(number >= position, "cursors go on");
            (position, cursor) = (number, answer.cursor);
            if let Some(opening) = answer.opening
                && status(&opening) == Some(CommandStatus::Delivered)
            {
                delivered.insert(opening.opening_id);
            }
            if ids.is_subset(&delivered) {
                return cursor;
            }
        }
    }
    unreachable!("there is always another turn")
}

async fn nothing_is_missed_by_who_breaks_off_and_goes_on(mesh: Mesh) {
    let (partner, operator) = (mesh.partner(), operator(&mesh));
    let mut stream = follow(&operator, from("")).await;
    let start = next(&mut stream).await.cursor;
    drop(stream);
    // More than are read at once.
    let ids = open_often(&partner, 120).await;
    let operators = [operator];
    let cursor = hear_of_all(&operators, start, &ids).await;
    // What was told is not told again.
    let later = open_often(&partner, 4).await;
    let mut stream = follow(&operators[0], from(&cursor)).await;
    let mut heard = BTreeSet::new();
    while !later.is_subset(&heard) {
        heard.extend(next(&mut stream).await.opening.map(|o| o.opening_id));
    }
    assert!(heard.is_disjoint(&ids), "what was delivered came again");
}

async fn events(
    operator: &Operator,
    cursor: &str,
    device_id: &str,
) -> Streaming<FollowEventsResponse> {
    let request = FollowEventsRequest {
        cursor: cursor.into(),
        device_id: device_id.into(),
        ..FollowEventsRequest::default()
    };
    let answer = operator.events().follow_events(request).await;
    answer.expect("a stream").into_inner()
}

async fn tell_keys(partner: &Partner, device: &str, count: usize) {
    let token = partner.token().await;
    let told: Vec<_> = (0..count)
        .map(|_| {
            let id = uuid::Uuid::new_v4().to_string();
            json!({"key_id": "k", "device_id": device, "opened_at": "2026-11-24T06:00:00Z",
                "event_id": id})
        })
        .collect();
    let body = json!({"events": told});
    let answer = partner.post(KEYS, &token, Some(&body)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

async fn each_event_is_told_once(mesh: Mesh) {
    let (partner, operator) = (mesh.partner(), operator(&mesh));
    let mut stream = events(&operator, "", "").await;
    let mut cursor = next(&mut stream).await.cursor;
    tell_keys(&partner, DOOR, 250).await;
    let mut heard: BTreeMap<String, Event> = BTreeMap::new();
    while heard.len() < 250 {
        // Breaks off in the middle of what is read at once.
        stream = events(&operator, &cursor, "").await;
        for _ in 0..40 {
            let answer = next(&mut stream).await;
            cursor = answer.cursor;
            if let Some(event) = answer.event {
                assert!(event.device_known && event.device_id == DOOR);
                let twice = heard.insert(event.event_uid.clone(), event);
                assert!(twice.is_none(), "{twice:?}");
            }
            if heard.len() == 250 {
                break;
            }
        }
    }
    tell_keys(&partner, DOOR, 1).await;
    let last = loop {
        if let Some(event) = next(&mut stream).await.event {
            break event;
        }
    };
    assert!(!heard.contains_key(&last.event_uid));
}

async fn a_follower_hears_of_what_it_asked_for(mesh: Mesh) {
    let (partner, operator) = (mesh.partner(), operator(&mesh));
    let token = partner.token().await;
    let request = |partner_id: &str, device: &str| FollowOpeningsRequest {
        cursor: "0".into(),
        partner_id: partner_id.into(),
        device_id: device.into(),
    };
    let by_plate = partner.open_by_plate(BARRIER, &token, PLATE).await;
    let probe = mesh.estate.resident.probe();
    let by_face = partner.open_by_face(DOOR, &token, &probe).await;
    let (ours, other) = (&mesh.estate.partner_id, &mesh.estate.other_partner_id);
    let mut of_door = follow(&operator, request(ours, DOOR)).await;
    let mut of_other = follow(&operator, request(other, "")).await;
    let mut of_all = follow(&operator, request("", "")).await;
    for id in [by_plate.text("opening_id"), by_face.text("opening_id")] {
        opening(&mut of_all, &id).await;
    }
    let told = first(&mut of_door).await;
    assert_eq!(told.opening_id, by_face.text("opening_id"));
    assert_eq!(told.device_id, DOOR);
    // Another's stream is silent until that other is opened for.
    let foreign = mesh.other_partner();
    let token = foreign.token().await;
    let probe = mesh.estate.resident.probe();
    let refused = foreign
        .open_by_face(devmesh::estate::OTHER_DOOR, &token, &probe)
        .await;
    let told = first(&mut of_other).await;
    assert_eq!(told.opening_id, refused.text("opening_id"));

    tell_keys(&partner, DOOR, 1).await;
    tell_keys(&partner, "elsewhere", 1).await;
    let mut stream = events(&operator, "0", "elsewhere").await;
    let told = loop {
        if let Some(told) = next(&mut stream).await.event {
            break told;
        }
    };
    assert_eq!(
        (told.device_id.as_str(), told.device_known),
        ("elsewhere", false)
    );
}

async fn a_cursor_is_one_that_was_given(mesh: Mesh) {
    let operator = operator(&mesh);
    for (cursor, code) in [
        ("x", Code::InvalidArgument),
        ("-1", Code::InvalidArgument),
        ("1000000000", Code::OutOfRange),
    ] {
        let refused = operator.openings().follow_openings(from(cursor)).await;
        assert_eq!(refused.expect_err(cursor).code(), code, "{cursor}");
        let request = FollowEventsRequest {
            cursor: cursor.into(),
            ..FollowEventsRequest::default()
        };
        let refused = operator.events().follow_events(request).await;
        assert_eq!(refused.expect_err(cursor).code(), code, "{cursor}");
    }
}

async fn a_stream_ends_with_its_service_and_goes_on_after(mut mesh: Mesh) {
    let operator = operator(&mesh);
    let mut stream = follow(&operator, from("")).await;
    let cursor = next(&mut stream).await.cursor;
    let partner = mesh.partner();
    let ids = open_often(&partner, 4).await;
    // The service does not wait for who would follow for ever.
    mesh.stop("access-svc").await;
    let ended = async { while let Ok(Some(_)) = stream.message().await {} };
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
    assert!(ended.is_ok(), "the stream goes on without its service");
    mesh.restart("access-svc").await;
    hear_of_all(&[operator], cursor, &ids).await;
}

/// Whichever replica opens, and whichever is asked: none is missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_tell_the_same_under_the_same_cursors() {
    let mut mesh = Mesh::start(Database::Postgres).await;
    let (first, second) = (mesh.partner(), mesh.replicate().await);
    let operators = [
        operator(&mesh),
        Operator::connect(&mesh.replica(), "operator").expect("an operator"),
    ];
    let mut stream = follow(&operators[0], from("")).await;
    let start = next(&mut stream).await.cursor;
    let following = async {
        let openings = tokio::join!(open_often(&first, 80), open_often(&second, 80));
        openings
            .0
            .into_iter()
            .chain(openings.1)
            .collect::<BTreeSet<_>>()
    };
    // Somebody follows while both write.
    let listening = async {
        let mut cursor = start.clone();
        for _ in 0..40 {
            cursor = next(&mut stream).await.cursor;
        }
        cursor
    };
    let (ids, heard_to) = tokio::join!(following, listening);
    let told = hear_of_all(&operators, start, &ids).await;
    let number = |cursor: &str| cursor.parse::<i64>().expect("a number");
    assert!(number(&heard_to) <= number(&told));
}
