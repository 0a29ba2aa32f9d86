//! Lockdown and free passage, of sites and of devices.

use devmesh::{
    estate::{BARRIER, DOOR, DOOR2, OTHER_DOOR, PLATE, UNPAID_PLATE},
    operator::Operator,
};
use mesh_tests::{Database, Mesh, on_both_databases};
use propdev_proto::access::{
    AuthEvent, AuthEventKind, ListAuthEventsRequest, ListOpeningsRequest, Opening,
    SetDeviceFreePassageRequest, SetDeviceLockdownRequest, SetDeviceStateRequest,
    SetFreePassageRequest, SetLockdownRequest, SetResidentStateRequest,
};
use tonic::Code;

use crate::clients::operator;

on_both_databases!(
    an_order_over_a_device_is_its_own,
    free_passage_lets_in_whoever_is_known_and_nobody_else,
    each_change_is_told_once_and_by_whom,
);

/// Orders by an operator, over the first partner's site and devices.
struct Orders<'a> {
    mesh: &'a Mesh,
    operator: Operator,
}

impl Orders<'_> {
    async fn lock_site(&self, lockdown: bool) {
        let request = SetLockdownRequest {
            site_id: self.mesh.estate.site_id.clone(),
            lockdown,
        };
        let site = self.operator.sites().set_lockdown(request).await;
        let site = site.expect("ordered").into_inner().site.expect("the site");
        assert_eq!(site.lockdown, lockdown);
    }

    async fn free_site(&self, free_passage: bool) {
        let request = SetFreePassageRequest {
            site_id: self.mesh.estate.site_id.clone(),
            free_passage,
        };
        let site = self.operator.sites().set_free_passage(request).await;
        let site = site.expect("ordered").into_inner().site.expect("the site");
        assert_eq!(site.free_passage, free_passage);
    }

    async fn lock(&self, device: &str, lockdown: bool) {
        let request = SetDeviceLockdownRequest {
            partner_id: self.mesh.estate.partner_id.clone(),
            device_id: device.into(),
            lockdown,
        };
        let reply = self.operator.devices().set_device_lockdown(request).await;
        let device = reply.expect("ordered").into_inner().device;
        assert_eq!(device.expect("the device").lockdown, lockdown);
    }

    async fn free(&self, device: &str, free_passage: bool) {
        let request = SetDeviceFreePassageRequest {
            partner_id: self.mesh.estate.partner_id.clone(),
            device_id: device.into(),
            free_passage,
        };
        let mut devices = self.operator.devices();
        let reply = devices.set_device_free_passage(request).await;
        let device = reply.expect("ordered").into_inner().device;
        assert_eq!(device.expect("the device").free_passage, free_passage);
    }

    async fn disable(&self, device: &str, disabled: bool) {
        let request = SetDeviceStateRequest {
            partner_id: self.mesh.estate.partner_id.clone(),
            device_id: device.into(),
            disabled,
        };
        let reply = self.operator.devices().set_device_state(request).await;
        reply.expect("disabled");
    }
}

fn orders(mesh: &Mesh) -> Orders<'_> {
    Orders {
        mesh,
        operator: operator(mesh),
    }
}

async fn an_order_over_a_device_is_its_own(mesh: Mesh) {
    let (partner, orders) = (mesh.partner(), orders(&mesh));
    let token = partner.token().await;
    let opens = async |door: &str| {
        let probe = mesh.estate.resident.probe();
        let answer = partner.open_by_face(door, &token, &probe).await;
        (answer.status, answer.text("code"))
    };
    let locked = (403, "lockdown".to_owned());
    let granted = (200, String::new());

    orders.lock(DOOR, true).await;
    assert_eq!(opens(DOOR).await, locked);
    assert_eq!(opens(DOOR2).await, granted, "another door of the site");
    orders.free(DOOR2, true).await;
    assert_eq!(opens(DOOR).await, locked, "another door's free passage");
    orders.free(DOOR, true).await;
    assert_eq!(opens(DOOR).await, granted, "beats the device's lockdown");
    orders.lock_site(true).await;
    assert_eq!(opens(DOOR).await, granted, "and the site's");
    assert_eq!(
        partner.open_by_plate(BARRIER, &token, PLATE).await.told(),
        (403, "lockdown")
    );
    orders.free(DOOR, false).await;
    assert_eq!(opens(DOOR).await, locked);
    orders.lock_site(false).await;
    assert_eq!(opens(DOOR).await, locked, "the device's own is left");
    orders.lock(DOOR, false).await;
    assert_eq!(opens(DOOR).await, granted);

    // What is not there cannot be ordered about.
    let absent = SetDeviceLockdownRequest {
        partner_id: mesh.estate.partner_id.clone(),
        device_id: OTHER_DOOR.into(),
        lockdown: true,
    };
    let refused = orders.operator.devices().set_device_lockdown(absent).await;
    assert_eq!(refused.expect_err("another's").code(), Code::NotFound);
    let absent = SetFreePassageRequest {
        site_id: uuid::Uuid::now_v7().to_string(),
        free_passage: true,
    };
    let refused = orders.operator.sites().set_free_passage(absent).await;
    assert_eq!(refused.expect_err("no site").code(), Code::NotFound);
}

async fn free_passage_lets_in_whoever_is_known_and_nobody_else(mesh: Mesh) {
    let (partner, orders) = (mesh.partner(), orders(&mesh));
    let token = partner.token().await;
    let unpaid = &mesh.estate.unpaid;
    let suspension = SetResidentStateRequest {
        resident_id: unpaid.resident_id.clone(),
        suspended: true,
    };
    let mut residents = orders.operator.residents();
    let suspended = residents.set_resident_state(suspension).await;
    suspended.expect("suspended");
    orders.lock_site(true).await;
    let by_face = async || partner.open_by_face(DOOR, &token, &unpaid.probe()).await;
    assert_eq!(by_face().await.told(), (403, "lockdown"));

    orders.free_site(true).await;
    let opened = by_face().await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let by_token = partner.face_token(&unpaid.probe()).await;
    let with_token = partner.open_door(DOOR, &by_token).await;
    assert_eq!(with_token.status, 200, "{with_token:?}");
    let by_plate = partner.open_by_plate(BARRIER, &token, UNPAID_PLATE).await;
    assert_eq!(by_plate.status, 200, "{by_plate:?}");
    assert_eq!(mesh.commands_to(DOOR).await.len(), 2);

    // Token, device and recognition stay.
    assert_eq!(
        partner.open_door(DOOR, &by_token).await.told(),
        (401, "token_already_used")
    );
    let stranger = devmesh::estate::probe(mesh.estate.stranger);
    for told in [
        partner.open_by_face(DOOR, &token, &stranger).await,
        partner.open_by_plate(BARRIER, &token, "X999XX99").await,
    ] {
        assert_eq!(told.told(), (403, "subject_not_recognized"));
    }
    let forged = partner.open_by_face(DOOR, "forged", &unpaid.probe()).await;
    assert_eq!(forged.told(), (401, "invalid_token"));
    let probe = unpaid.probe();
    let foreign = partner.open_by_face(OTHER_DOOR, &token, &probe).await;
    assert_eq!(foreign.told(), (404, "device_not_found"));
    orders.disable(DOOR, true).await;
    assert_eq!(by_face().await.told(), (403, "device_disabled"));
    orders.disable(DOOR, false).await;

    // The audit says what was let pass.
    let listed = as_listed(&orders.operator, &opened.text("opening_id")).await;
    let waived: Vec<(&str, bool)> = listed
        .checks
        .iter()
        .filter(|check| check.cause == "free_passage")
        .map(|check| (check.name.as_str(), check.passed))
        .collect();
    assert_eq!(
        waived,
        [("lockdown", true), ("resident", true), ("payment", true)]
    );

    orders.free_site(false).await;
    assert_eq!(by_face().await.told(), (403, "lockdown"));
    orders.lock_site(false).await;
    assert_eq!(by_face().await.told(), (403, "resident_suspended"));
}

async fn as_listed(operator: &Operator, opening_id: &str) -> Opening {
    let request = ListOpeningsRequest {
        page_size: 100,
        ..ListOpeningsRequest::default()
    };
    let listed = operator.openings().list_openings(request).await;
    let openings = listed.expect("openings").into_inner().openings;
    openings
        .into_iter()
        .find(|opening| opening.opening_id == opening_id)
        .expect("the opening")
}

async fn changes(operator: &Operator) -> Vec<AuthEvent> {
    let request = ListAuthEventsRequest {
        page_size: 1_000,
        ..ListAuthEventsRequest::default()
    };
    let listed = operator.audit().list_auth_events(request).await;
    let mut events = listed.expect("events").into_inner().events;
    events.retain(|event| event.kind() == AuthEventKind::PassageChanged);
    events.reverse();
    events
}

async fn each_change_is_told_once_and_by_whom(mesh: Mesh) {
    let orders = orders(&mesh);
    assert!(changes(&orders.operator).await.is_empty());
    // Said again, it changes nothing.
    for _ in 0..2 {
        orders.lock_site(true).await;
        orders.free_site(true).await;
    }
    orders.lock(DOOR, true).await;
    orders.free(BARRIER, true).await;
    orders.free(BARRIER, false).await;
    orders.lock(DOOR, false).await;
    orders.free_site(false).await;
    orders.lock_site(false).await;
    let told = changes(&orders.operator).await;
    let said: Vec<(&str, &str)> = told
        .iter()
        .map(|event| (event.code.as_str(), event.device_id.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            ("lockdown_on", ""),
            ("free_passage_on", ""),
            ("lockdown_on", DOOR),
            ("free_passage_on", BARRIER),
            ("free_passage_off", BARRIER),
            ("lockdown_off", DOOR),
            ("free_passage_off", ""),
            ("lockdown_off", ""),
        ]
    );
    for event in &told {
        assert_eq!(event.site_id, mesh.estate.site_id);
        assert!(event.actor.starts_with("operator/operator/"), "{event:?}");
        assert!(!event.request_id.is_empty() && event.at.is_some());
        let of_device = !event.device_id.is_empty();
        assert_eq!(of_device, event.partner_id == mesh.estate.partner_id);
    }
    // Those who may look may not order.
    let viewer = Operator::connect(&mesh.layout, "viewer").expect("a viewer");
    let request = SetFreePassageRequest {
        site_id: mesh.estate.site_id.clone(),
        free_passage: true,
    };
    let refused = viewer.sites().set_free_passage(request).await;
    let refused = refused.expect_err("a viewer's order");
    assert_eq!(refused.code(), Code::PermissionDenied);
}

/// The order is given at one replica, the door tried at the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_holds_on_every_replica_at_once() {
    let mut mesh = Mesh::start(Database::Postgres).await;
    let second = mesh.replicate().await;
    let orders = orders(&mesh);
    let token = second.token().await;
    orders.lock_site(true).await;
    let told = second.open_by_plate(BARRIER, &token, PLATE).await;
    assert_eq!(told.told(), (403, "lockdown"));
    orders.free_site(true).await;
    let told = second.open_by_plate(BARRIER, &token, UNPAID_PLATE).await;
    assert_eq!(told.status, 200, "{told:?}");
}
