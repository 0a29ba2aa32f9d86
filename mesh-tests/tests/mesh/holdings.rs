//! Vehicles, keys and fobs: who holds them, from when to when.

use devmesh::{
    estate::{BARRIER, Person},
    operator::Operator,
};
use mesh::{Clock, SystemClock};
use mesh_tests::{Mesh, on_both_databases};
use propdev_proto::{
    access::{
        AddCredentialRequest, AddVehicleRequest, CredentialKind, EndHoldingRequest, ExternalId,
        GetHoldingRequest, Holding, ListEventsRequest, UpdateHoldingRequest,
        holding_service_client::HoldingServiceClient,
    },
    auth::PlateReading,
};
use prost_types::{FieldMask, Timestamp};
use serde_json::json;
use tonic::{Code, Status, transport::Channel};

use crate::payments::channel_as;

on_both_databases!(
    one_person_holds_a_key_at_a_time,
    an_event_of_the_future_is_whose_the_key_is_as_it_comes,
    a_resident_holds_a_vehicle_once_at_a_time,
    a_vehicle_opens_while_it_is_held,
    a_holding_is_found_by_its_name_and_corrected_as_it_was_read,
);

const PLATE: &str = "E321KX99";
const DAY: i64 = 24 * 3_600;

fn refusal(status: &Status) -> (Code, String) {
    let reason = mesh::error::reason(status).map(|(reason, _)| reason);
    (status.code(), reason.unwrap_or_default())
}

/// So many days from now.
fn days(days: i64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: SystemClock.now().as_second() + days * DAY,
        nanos: 0,
    })
}

async fn holdings(mesh: &Mesh) -> HoldingServiceClient<Channel> {
    HoldingServiceClient::new(channel_as(mesh, "system/registry/erp").await)
}

async fn one_person_holds_a_key_at_a_time(mesh: Mesh) {
    let mut holdings = holdings(&mesh).await;
    let (first, second) = (&mesh.estate.resident, &mesh.estate.leaver);
    let key = |person: &Person, held_from, held_to| AddCredentialRequest {
        resident_id: person.resident_id.clone(),
        partner_id: mesh.estate.partner_id.clone(),
        kind: CredentialKind::Key.into(),
        credential_id: "key-of-the-attic".into(),
        site_id: mesh.estate.site_id.clone(),
        held_from,
        held_to,
        ..AddCredentialRequest::default()
    };
    let exists = (Code::AlreadyExists, "HOLDING_EXISTS".to_owned());
    let held = holdings.add_credential(key(first, days(-10), None)).await;
    let held = held.expect("held").into_inner().holding.expect("one");
    let refused = holdings.add_credential(key(second, None, None)).await;
    assert_eq!(refusal(&refused.expect_err("held")), exists);
    let backwards = holdings.add_credential(key(second, days(2), days(1))).await;
    let backwards = backwards.expect_err("an end before its beginning");
    assert_eq!(backwards.code(), Code::InvalidArgument);
    let before = key(second, days(-20), days(-11));
    let before = holdings.add_credential(before).await;
    before.expect("whoever held it before");

    let request = EndHoldingRequest {
        holding_id: held.holding_id.clone(),
    };
    let ended = holdings.end_holding(request).await.expect("ended");
    let ended = ended.into_inner().holding.expect("one");
    assert!(ended.held_to.is_some());
    assert_ne!(ended.etag, held.etag);
    let passed_on = holdings.add_credential(key(second, None, None)).await;
    passed_on.expect("passed on");
    let request = UpdateHoldingRequest {
        holding: Some(Holding {
            held_to: None,
            ..ended
        }),
        update_mask: Some(FieldMask {
            paths: vec!["held_to".into()],
        }),
    };
    let refused = holdings.update_holding(request).await;
    assert_eq!(refusal(&refused.expect_err("passed on")), exists);
}

async fn an_event_of_the_future_is_whose_the_key_is_as_it_comes(mesh: Mesh) {
    let mut holdings = holdings(&mesh).await;
    let handed_over = days(1);
    for (person, held_from, held_to) in [
        (&mesh.estate.resident, days(-10), handed_over),
        (&mesh.estate.leaver, handed_over, None),
    ] {
        let key = AddCredentialRequest {
            resident_id: person.resident_id.clone(),
            partner_id: mesh.estate.partner_id.clone(),
            kind: CredentialKind::Key.into(),
            credential_id: "key-of-the-cellar".into(),
            site_id: mesh.estate.site_id.clone(),
            held_from,
            held_to,
            ..AddCredentialRequest::default()
        };
        holdings.add_credential(key).await.expect("held");
    }
    let partner = mesh.partner();
    let tell = async |opened_at: Timestamp| {
        let time = jiff::Timestamp::from_second(opened_at.seconds).expect("a time");
        let event = json!({"key_id": "key-of-the-cellar", "opened_at": time.to_string()});
        let token = partner.token().await;
        let path = "/v1/webhooks/intercom/key-openings";
        let told = partner.post(path, &token, Some(&event)).await;
        assert_eq!(told.body, json!({"accepted": 1, "duplicates": 0}));
        let viewer = Operator::connect(&mesh.layout, "viewer").expect("a viewer");
        let mut events = viewer.events();
        let reply = events.list_events(ListEventsRequest::default()).await;
        let events = reply.expect("the events").into_inner().events;
        let found = events.into_iter().find(|event| {
            let at = event.opened_at.as_ref();
            at.is_some_and(|at| at.seconds == opened_at.seconds)
        });
        let event = found.expect("kept as it was told");
        assert!(event.holder_known);
        event.audit_pseudonym
    };
    let past = tell(days(-1).expect("a time")).await;
    let ahead = tell(days(2).expect("a time")).await;
    assert_eq!(ahead, past, "whose it is, not whose it will be");
    mesh.clock.advance(2 * DAY);
    let later = tell(days(1).expect("a time")).await;
    assert_ne!(later, past, "whose it has become");
}

async fn a_resident_holds_a_vehicle_once_at_a_time(mesh: Mesh) {
    let mut holdings = holdings(&mesh).await;
    let vehicle = |person: &Person, number: &str, held_from, held_to| AddVehicleRequest {
        resident_id: person.resident_id.clone(),
        plate: Some(PlateReading {
            number: number.into(),
            country: String::new(),
        }),
        held_from,
        held_to,
        ..AddVehicleRequest::default()
    };
    let (first, second) = (&mesh.estate.resident, &mesh.estate.leaver);
    let held = holdings.add_vehicle(vehicle(first, PLATE, days(-10), days(10)));
    held.await.expect("held");
    // Another spelling is no other vehicle.
    let twin = holdings.add_vehicle(vehicle(first, "e 321 kx 99", None, None));
    let exists = (Code::AlreadyExists, "HOLDING_EXISTS".to_owned());
    assert_eq!(refusal(&twin.await.expect_err("held")), exists);
    let later = holdings.add_vehicle(vehicle(first, PLATE, days(11), None));
    later.await.expect("at another time");
    let shared = holdings.add_vehicle(vehicle(second, PLATE, None, None));
    shared.await.expect("somebody else's too");
}

async fn a_vehicle_opens_while_it_is_held(mesh: Mesh) {
    let mut holdings = holdings(&mesh).await;
    let partner = mesh.partner();
    let opens = async || {
        // Tokens do not live so long.
        let token = partner.token().await;
        let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
        (answer.status, answer.text("code"))
    };
    let unknown = (403, "subject_not_recognized".to_owned());
    let request = AddVehicleRequest {
        resident_id: mesh.estate.resident.resident_id.clone(),
        plate: Some(PlateReading {
            number: PLATE.into(),
            country: String::new(),
        }),
        held_from: days(1),
        held_to: days(3),
        ..AddVehicleRequest::default()
    };
    let added = holdings.add_vehicle(request).await.expect("added");
    let vehicle = added.into_inner().holding.expect("one");
    assert_eq!(opens().await, unknown);
    mesh.clock.advance(2 * DAY);
    assert_eq!(opens().await, (200, String::new()));
    mesh.clock.advance(2 * DAY);
    assert_eq!(opens().await, unknown);
    let request = UpdateHoldingRequest {
        holding: Some(Holding {
            held_to: None,
            ..vehicle
        }),
        update_mask: Some(FieldMask {
            paths: vec!["held_to".into()],
        }),
    };
    holdings.update_holding(request).await.expect("corrected");
    assert_eq!(opens().await, (200, String::new()));
}

async fn a_holding_is_found_by_its_name_and_corrected_as_it_was_read(mesh: Mesh) {
    let mut holdings = holdings(&mesh).await;
    let request = AddVehicleRequest {
        resident_id: mesh.estate.leaver.resident_id.clone(),
        plate: Some(PlateReading {
            number: PLATE.into(),
            country: String::new(),
        }),
        external_ids: [("erp".to_owned(), "car-1".to_owned())].into(),
        ..AddVehicleRequest::default()
    };
    let added = holdings.add_vehicle(request).await.expect("added");
    let added = added.into_inner().holding.expect("one");
    let by_name = |id: &str| GetHoldingRequest {
        external_id: Some(ExternalId {
            system: "erp".into(),
            id: id.into(),
        }),
        ..GetHoldingRequest::default()
    };
    let found = holdings.get_holding(by_name("car-1")).await.expect("found");
    assert_eq!(found.into_inner().holding, Some(added.clone()));

    let update = |paths: &[&str], holding: &Holding| UpdateHoldingRequest {
        holding: Some(holding.clone()),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
    };
    let renamed = Holding {
        external_ids: [("erp".to_owned(), "car-2".to_owned())].into(),
        held_from: days(-1),
        ..added.clone()
    };
    let request = update(&["external_ids", "held_from"], &renamed);
    let changed = holdings.update_holding(request).await.expect("changed");
    let changed = changed.into_inner().holding.expect("one");
    assert_eq!(changed.external_ids, renamed.external_ids);
    assert_eq!(changed.held_from, renamed.held_from);
    assert_eq!(changed.held_to, None);
    let gone = holdings.get_holding(by_name("car-1")).await;
    assert_eq!(gone.expect_err("renamed").code(), Code::NotFound);

    let request = update(&["held_from"], &renamed);
    let stale = holdings.update_holding(request).await;
    let stale = stale.expect_err("a stale etag");
    assert_eq!(refusal(&stale), (Code::Aborted, "ETAG_MISMATCH".into()));
    let foreign = Holding {
        external_ids: [("other".to_owned(), "car-3".to_owned())].into(),
        ..changed
    };
    let request = update(&["external_ids"], &foreign);
    let foreign = holdings.update_holding(request).await;
    let foreign = foreign.expect_err("another system's");
    assert_eq!(
        refusal(&foreign),
        (Code::InvalidArgument, "INVALID_FIELD".into())
    );
}
