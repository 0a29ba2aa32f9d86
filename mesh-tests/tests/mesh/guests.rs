//! Guests open what they may until their end, and nothing of them is left after it.

use devmesh::{
    estate::{BARRIER, DOOR, probe},
    operator::Operator,
};
use mesh::{Clock, SystemClock};
use mesh_tests::{Mesh, ProcessMesh, on_both_databases};
use propdev_proto::{
    access::{
        CreateGuestRequest, DeviceKind, DeviceName, EndGuestRequest, Erasure, ErasureReason,
        ErasureReceipt, ErasureStep, ExtendGuestRequest, GetErasureRequest, GetGuestRequest,
        GetResidentRequest, GrantTarget, Guest, ListGrantsRequest, ListGuestsRequest,
        ListHoldingsRequest, SetSubscriptionRequest, Subscription, get_erasure_request::Whom,
    },
    auth::PlateReading,
};
use tonic::{Code, Status};

use crate::{
    eventually,
    households::{enrol, household, moment, new_face, operator, reason},
};

on_both_databases!(
    a_guest_opens_until_the_end_and_is_erased,
    an_extended_guest_stays_and_an_ended_one_goes,
    a_guest_is_refused_as_a_whole,
);

const PLATE: &str = "K321MP197";
const AN_HOUR: i64 = 3_600;

/// Where guests come to: a household that has paid.
async fn host(mesh: &Mesh) -> String {
    let operator = operator(mesh, "operator");
    let site = mesh.estate.site_id.clone();
    let home = household(&operator, &site).await;
    for kind in [DeviceKind::Door, DeviceKind::Barrier] {
        let request = SetSubscriptionRequest {
            subscription: Some(Subscription {
                household_id: home.household_id.clone(),
                site_id: site.clone(),
                kind: kind.into(),
                paid_until: Some(moment(mesh, 30 * 24 * AN_HOUR)),
                ..Subscription::default()
            }),
        };
        let set = operator.subscriptions().set_subscription(request).await;
        set.expect("paid");
    }
    home.household_id
}

fn device(partner: &str, id: &str) -> GrantTarget {
    GrantTarget {
        device: Some(DeviceName {
            partner_id: partner.into(),
            device_id: id.into(),
        }),
        device_group_id: String::new(),
    }
}

async fn invite(operator: &Operator, request: CreateGuestRequest) -> Result<Guest, Status> {
    let created = operator.guests().create_guest(request).await?.into_inner();
    assert!(!created.grants.is_empty());
    Ok(created.guest.expect("a guest"))
}

fn invitation(mesh: &Mesh, household: &str) -> CreateGuestRequest {
    let partner = &mesh.estate.partner_id;
    CreateGuestRequest {
        household_id: household.into(),
        name: "Gleb Example".into(),
        ends_at: Some(moment(mesh, AN_HOUR)),
        plate: Some(PlateReading {
            number: PLATE.into(),
            country: String::new(),
        }),
        targets: vec![device(partner, DOOR), device(partner, BARRIER)],
        windows: vec![],
    }
}

async fn erasure_of(operator: &Operator, guest: &Guest) -> Option<Erasure> {
    let request = GetErasureRequest {
        whom: Some(Whom::ResidentId(guest.guest_id.clone())),
    };
    let answer = operator.erasures().get_erasure(request).await.ok()?;
    let erasure = answer.into_inner().erasure?;
    (erasure.step >= ErasureStep::ReceiptGiven as i32).then_some(erasure)
}

async fn until_erased(operator: &Operator, guest: &Guest) -> Erasure {
    let mut erasure = None;
    eventually("the guest is erased", async || {
        erasure = erasure_of(operator, guest).await;
        erasure.is_some()
    })
    .await;
    erasure.expect("an erasure")
}

/// What the barrier says, once the services have taken in whatever time it is.
async fn by_plate(mesh: &Mesh) -> (u16, String) {
    let partner = mesh.partner();
    let mut said = (503, String::new());
    eventually("the barrier answers", async || {
        let token = partner.token().await;
        let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
        let (status, code) = answer.told();
        said = (status, code.to_owned());
        status < 500 && status != 401
    })
    .await;
    said
}

fn unknown() -> (u16, String) {
    (403, "subject_not_recognized".to_owned())
}

async fn a_guest_opens_until_the_end_and_is_erased(mesh: Mesh) {
    let (clerk, privacy) = (operator(&mesh, "operator"), operator(&mesh, "privacy"));
    let home = host(&mesh).await;
    let guest = invite(&clerk, invitation(&mesh, &home))
        .await
        .expect("a guest");
    assert_eq!(guest.name, "", "names are not the operator's to see");
    let identity = new_face();
    enrol(
        &privacy,
        &guest.guest_id,
        identity,
        "form 9",
        moment(&mesh, 0),
    )
    .await
    .expect("enrolled");
    let partner = mesh.partner();
    let token = partner.face_token(&probe(identity)).await;
    let opened = partner.open_door(DOOR, &token).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    assert_eq!(by_plate(&mesh).await.0, 200);
    let held = partner.face_token(&probe(identity)).await;
    let listed = ListGuestsRequest {
        household_id: home.clone(),
        ..ListGuestsRequest::default()
    };
    let listed = privacy.guests().list_guests(listed).await.expect("listed");
    let listed = listed.into_inner().guests;
    assert_eq!((listed.len(), listed[0].name.as_str()), (1, "Gleb Example"));
    let as_resident = GetResidentRequest {
        resident_id: guest.guest_id.clone(),
        external_id: None,
    };
    let as_resident = clerk.residents().get_resident(as_resident).await;
    let as_resident = as_resident.expect("there").into_inner().resident;
    assert_eq!(as_resident.expect("one").guest_until, guest.ends_at);

    // Rights end at the end, whenever the erasure comes by.
    mesh.clock.advance(AN_HOUR);
    assert_eq!(by_plate(&mesh).await, unknown());
    assert_ne!(partner.open_door(DOOR, &held).await.status, 200);
    eventually("the face is nobody's", async || {
        partner.ask_face_token(&probe(identity)).await.status == 400
    })
    .await;
    let asked = GetGuestRequest {
        guest_id: guest.guest_id.clone(),
    };
    let gone = clerk.guests().get_guest(asked).await.expect_err("gone");
    assert_eq!(reason(&gone), "GUEST_NOT_FOUND");

    let erasure = until_erased(&clerk, &guest).await;
    assert_eq!(erasure.reason(), ErasureReason::RetentionEnded);
    assert_eq!(erasure.requested_by, "svc/access-svc");
    let counts = erasure.counts.unwrap_or_default();
    assert_eq!(
        (counts.templates, counts.vehicles, counts.grants),
        (1, 1, 2)
    );
    assert!(
        erasure
            .receipts
            .iter()
            .any(|one| one.service == "biometric-svc")
    );
    let grants = ListGrantsRequest {
        resident_id: guest.guest_id.clone(),
        ..ListGrantsRequest::default()
    };
    let grants = clerk.grants().list_grants(grants).await.expect("listed");
    assert!(grants.into_inner().grants.is_empty());
    let holdings = ListHoldingsRequest {
        resident_id: guest.guest_id.clone(),
        ..ListHoldingsRequest::default()
    };
    let holdings = clerk.holdings().list_holdings(holdings).await;
    assert!(holdings.expect("listed").into_inner().holdings.is_empty());
}

async fn an_extended_guest_stays_and_an_ended_one_goes(mesh: Mesh) {
    let clerk = operator(&mesh, "operator");
    let home = host(&mesh).await;
    let guest = invite(&clerk, invitation(&mesh, &home))
        .await
        .expect("a guest");
    let extend = async |etag: &str| {
        let request = ExtendGuestRequest {
            guest_id: guest.guest_id.clone(),
            ends_at: Some(moment(&mesh, 3 * AN_HOUR)),
            etag: etag.into(),
        };
        clerk.guests().extend_guest(request).await
    };
    let wrong = extend("\"77\"").await.expect_err("another state");
    assert_eq!(reason(&wrong), "ETAG_MISMATCH");
    let extended = extend(&guest.etag).await.expect("extended").into_inner();
    let extended = extended.guest.expect("a guest");
    assert!(extended.ends_at.map(|end| end.seconds) > guest.ends_at.map(|end| end.seconds));
    mesh.clock.advance(AN_HOUR + 60);
    assert_eq!(by_plate(&mesh).await.0, 200);

    let end = async || {
        let request = EndGuestRequest {
            guest_id: guest.guest_id.clone(),
        };
        clerk.guests().end_guest(request).await
    };
    end().await.expect("ended");
    assert_eq!(by_plate(&mesh).await, unknown());
    assert_eq!(extend("").await.expect_err("gone").code(), Code::NotFound);
    let erasure = until_erased(&clerk, &guest).await;
    assert_eq!(erasure.requested_by, "operator/operator/dev");
    // The same again.
    end().await.expect("ended");
}

async fn a_guest_is_refused_as_a_whole(mesh: Mesh) {
    let clerk = operator(&mesh, "operator");
    let home = host(&mesh).await;
    let good = invitation(&mesh, &home);
    let foreign = devmesh::estate::OTHER_DOOR;
    let with = |targets| CreateGuestRequest {
        targets,
        ..good.clone()
    };
    let neither = GrantTarget::default();
    let late = CreateGuestRequest {
        ends_at: Some(moment(&mesh, 400 * 24 * AN_HOUR)),
        ..good.clone()
    };
    let over = CreateGuestRequest {
        ends_at: Some(moment(&mesh, -1)),
        ..good.clone()
    };
    let other = device(&mesh.estate.other_partner_id, foreign);
    for wrong in [
        with(vec![]),
        with(vec![neither]),
        with(vec![other]),
        late,
        over,
    ] {
        let refused = invite(&clerk, wrong).await.expect_err("refused");
        assert_eq!(reason(&refused), "INVALID_FIELD", "{refused:?}");
    }
    let absent = with(vec![device(&mesh.estate.partner_id, "no-such-door")]);
    let refused = invite(&clerk, absent).await.expect_err("refused");
    assert_eq!(reason(&refused), "DEVICE_NOT_FOUND");
    let homeless = CreateGuestRequest {
        household_id: uuid::Uuid::new_v4().to_string(),
        ..good.clone()
    };
    let refused = invite(&clerk, homeless).await.expect_err("refused");
    assert_eq!(reason(&refused), "HOUSEHOLD_NOT_FOUND");
    assert_eq!(by_plate(&mesh).await, unknown());
    let mut guests = clerk.guests();
    let listed = guests.list_guests(ListGuestsRequest::default());
    let listed = listed.await.expect("listed").into_inner().guests;
    assert!(listed.is_empty());
    // By face alone, and without a name.
    let bare = CreateGuestRequest {
        name: String::new(),
        plate: None,
        ..good
    };
    invite(&clerk, bare).await.expect("a guest");
}

/// Where the process dies that ends a guest.
const POINTS: [&str; 3] = [
    "erasure.after_rights",
    "erasure.after_biometrics",
    "erasure.after_columns",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guests_end_outlives_a_crash() {
    let mut mesh = ProcessMesh::start(None).await;
    let clerk = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let home = household(&clerk, &mesh.estate.site_id).await.household_id;
    for point in POINTS {
        let request = CreateGuestRequest {
            household_id: home.clone(),
            ends_at: Some(prost_types::Timestamp {
                seconds: SystemClock.now().as_second() + AN_HOUR,
                nanos: 0,
            }),
            targets: vec![device(&mesh.estate.partner_id, DOOR)],
            ..CreateGuestRequest::default()
        };
        let guest = invite(&clerk, request).await.expect("a guest");
        let processes = &mut mesh.processes;
        processes.terminate("access-svc").await.expect("stopped");
        let started = processes.restart_to_die("access-svc", point).await;
        started.expect("started");
        let end = EndGuestRequest {
            guest_id: guest.guest_id.clone(),
        };
        // Its answer may be lost with the process.
        let _ = clerk.guests().end_guest(end).await;
        processes.wait_for_end("access-svc").await.expect("dead");
        processes.restart("access-svc").await.expect("restarted");
        let erasure = until_erased(&clerk, &guest).await;
        assert_eq!(erasure.counts.unwrap_or_default().grants, 1, "{point}");
        let own = |receipt: &&ErasureReceipt| receipt.service == "access-svc";
        assert_eq!(erasure.receipts.iter().filter(own).count(), 1, "{point}");
    }
    mesh.processes.stop().await.expect("stopped");
}
