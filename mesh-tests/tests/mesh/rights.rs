//! Rights of residents and of households, on devices and on groups, and who pays.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use devmesh::estate::{DOOR, DOOR2, Person};
use jiff::{SignedDuration, tz::TimeZone};
use mesh::{Clock, SystemClock};
use mesh_tests::{Mesh, Partner, on_both_databases};
use propdev_proto::access::{
    AddMemberRequest, CreateDeviceGroupRequest, CreateGrantRequest, Device, DeviceGroup,
    DeviceKind, DeviceName, ExternalId, GetGrantRequest, Grant, ListGrantsRequest,
    ListOpeningsRequest, RemoveMemberRequest, RevokeGrantRequest, SetSubscriptionRequest,
    Subscription, UpdateDeviceRequest, UpdateGrantRequest, WeeklyWindow,
    device_group_service_client::DeviceGroupServiceClient,
    grant_service_client::GrantServiceClient,
};
use prost_types::FieldMask;
use serde_json::Value;
use tonic::{Code, Status, transport::Channel};

use crate::{clients::operator, payments::channel_as};

on_both_databases!(
    a_households_right_on_a_group_opens_for_its_members,
    who_is_of_two_households_is_paid_for_by_the_better,
    a_grant_is_found_changed_and_revoked_as_it_was_read,
    a_right_holds_by_the_devices_own_clock,
);

/// Twenty-five hours apart: never on one day.
const EAST: &str = "Pacific/Kiritimati";
const WEST: &str = "Pacific/Pago_Pago";

/// The resident system of the developer.
async fn registry(mesh: &Mesh) -> Channel {
    channel_as(mesh, "system/registry/erp").await
}

async fn grants(mesh: &Mesh, ask: impl FnOnce(&mut ListGrantsRequest)) -> Vec<Grant> {
    let mut request = ListGrantsRequest::default();
    ask(&mut request);
    let listed = operator(mesh).grants().list_grants(request).await;
    listed.expect("listed").into_inner().grants
}

/// Takes every right of one's own away.
async fn strip(mesh: &Mesh, person: &Person) {
    for grant in grants(mesh, |ask| ask.resident_id = person.resident_id.clone()).await {
        let request = RevokeGrantRequest {
            grant_id: grant.grant_id,
            etag: grant.etag,
        };
        let revoked = operator(mesh).grants().revoke_grant(request).await;
        revoked.expect("revoked");
    }
}

async fn told(partner: &Partner, token: &str, person: &Person) -> (u16, String) {
    let answer = partner.open_by_face(DOOR, token, &person.probe()).await;
    (answer.status, answer.text("code"))
}

fn granted() -> (u16, String) {
    (200, String::new())
}

fn refused(code: &str) -> (u16, String) {
    (403, code.to_owned())
}

fn refusal(status: &Status) -> (Code, String) {
    let reason = mesh::error::reason(status).map(|(reason, _)| reason);
    (status.code(), reason.unwrap_or_default())
}

/// What a token names that its subject may open.
async fn named(partner: &Partner, person: &Person) -> Value {
    let token = partner.face_token(&person.probe()).await;
    let payload = token.split('.').nth(1).expect("a payload");
    let json = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    let claims: Value = serde_json::from_slice(&json).expect("JSON");
    claims["grants"].clone()
}

fn device(mesh: &Mesh, id: &str) -> DeviceName {
    DeviceName {
        partner_id: mesh.estate.partner_id.clone(),
        device_id: id.into(),
    }
}

async fn a_households_right_on_a_group_opens_for_its_members(mesh: Mesh) {
    let (partner, leaver) = (mesh.partner(), &mesh.estate.leaver);
    let token = partner.token().await;
    strip(&mesh, leaver).await;
    assert_eq!(told(&partner, &token, leaver).await, refused("no_grant"));
    assert_eq!(named(&partner, leaver).await, serde_json::json!([]));

    let channel = registry(&mesh).await;
    let group = DeviceGroup {
        site_id: mesh.estate.site_id.clone(),
        name: "doors".into(),
        devices: vec![device(&mesh, DOOR), device(&mesh, DOOR2)],
        ..DeviceGroup::default()
    };
    let request = CreateDeviceGroupRequest {
        device_group: Some(group),
    };
    let mut groups = DeviceGroupServiceClient::new(channel.clone());
    let group = groups.create_device_group(request).await;
    let group = group.expect("created").into_inner().device_group;
    let group_id = group.expect("a group").device_group_id;
    let grant = Grant {
        household_id: leaver.household_id.clone(),
        device_group_id: group_id.clone(),
        ..Grant::default()
    };
    let request = CreateGrantRequest { grant: Some(grant) };
    let mut client = GrantServiceClient::new(channel);
    let created = client.create_grant(request).await;
    let grant = created.expect("created").into_inner().grant;
    let grant = grant.expect("a grant");
    assert!(grant.device_id.is_empty() && grant.resident_id.is_empty());

    assert_eq!(told(&partner, &token, leaver).await, granted());
    let doors = serde_json::json!([DOOR, DOOR2]);
    assert_eq!(named(&partner, leaver).await, doors);
    for listed in [
        grants(&mesh, |ask| ask.household_id = leaver.household_id.clone()).await,
        grants(&mesh, |ask| ask.device_group_id = group_id.clone()).await,
    ] {
        assert_eq!(listed.as_slice(), std::slice::from_ref(&grant));
    }
    let own = |ask: &mut ListGrantsRequest| ask.resident_id = leaver.resident_id.clone();
    assert!(grants(&mesh, own).await.is_empty());

    // Whoever is no member any more has no right any more.
    let request = RemoveMemberRequest {
        household_id: leaver.household_id.clone(),
        resident_id: leaver.resident_id.clone(),
    };
    let removed = operator(&mesh).households().remove_member(request).await;
    removed.expect("removed");
    assert_eq!(told(&partner, &token, leaver).await, refused("no_grant"));
}

async fn who_is_of_two_households_is_paid_for_by_the_better(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let (payer, other) = (&mesh.estate.unpaid, &mesh.estate.resident);
    assert_eq!(
        told(&partner, &token, payer).await,
        refused("service_unpaid")
    );
    let request = AddMemberRequest {
        household_id: other.household_id.clone(),
        resident_id: payer.resident_id.clone(),
    };
    let added = operator(&mesh).households().add_member(request).await;
    added.expect("added");
    assert_eq!(told(&partner, &token, payer).await, granted());

    let suspension = Subscription {
        household_id: other.household_id.clone(),
        site_id: mesh.estate.site_id.clone(),
        kind: DeviceKind::Door.into(),
        paid_until: Some(prost_types::Timestamp {
            seconds: 4_102_444_800,
            nanos: 0,
        }),
        suspended: true,
        ..Subscription::default()
    };
    let request = SetSubscriptionRequest {
        subscription: Some(suspension),
    };
    let set = operator(&mesh)
        .subscriptions()
        .set_subscription(request)
        .await;
    set.expect("suspended");
    let answer = partner.open_by_face(DOOR, &token, &payer.probe()).await;
    assert_eq!(answer.told(), (403, "service_unpaid"));
    // The audit knows more than the partner.
    assert!(!answer.body.to_string().contains("suspended"));
    let request = ListOpeningsRequest::default();
    let listed = operator(&mesh).openings().list_openings(request).await;
    let openings = listed.expect("listed").into_inner().openings;
    let id = answer.text("opening_id");
    let opening = openings.iter().find(|opening| opening.opening_id == id);
    let checks = &opening.expect("the opening").checks;
    let payment = checks.iter().find(|check| check.name == "payment");
    let payment = payment.expect("a check");
    assert_eq!(
        (payment.passed, payment.cause.as_str()),
        (false, "suspended")
    );
}

async fn a_grant_is_found_changed_and_revoked_as_it_was_read(mesh: Mesh) {
    let (partner, leaver) = (mesh.partner(), &mesh.estate.leaver);
    let token = partner.token().await;
    strip(&mesh, leaver).await;
    let mut client = GrantServiceClient::new(registry(&mesh).await);
    let name = device(&mesh, DOOR);
    let grant = Grant {
        resident_id: leaver.resident_id.clone(),
        partner_id: name.partner_id.clone(),
        device_id: name.device_id.clone(),
        external_ids: [("erp".to_owned(), "right-1".to_owned())].into(),
        ..Grant::default()
    };
    let request = CreateGrantRequest {
        grant: Some(grant.clone()),
    };
    let created = client.create_grant(request.clone()).await;
    let created = created.expect("created").into_inner().grant.expect("one");
    let taken = client.create_grant(request).await.expect_err("a taken id");
    let expected = (Code::AlreadyExists, "EXTERNAL_ID_EXISTS".to_owned());
    assert_eq!(refusal(&taken), expected);
    let request = GetGrantRequest {
        external_id: Some(ExternalId {
            system: "erp".into(),
            id: "right-1".into(),
        }),
        ..GetGrantRequest::default()
    };
    let found = client.get_grant(request).await.expect("found");
    assert_eq!(found.into_inner().grant, Some(created.clone()));
    let on_door = grants(&mesh, |ask| ask.device = Some(name)).await;
    assert!(on_door.contains(&created));
    assert!(on_door.len() > 1, "of others too");
    assert_eq!(told(&partner, &token, leaver).await, granted());

    let mut update = async |grant: Grant, paths: &[&str]| {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdateGrantRequest {
            grant: Some(grant),
            update_mask: Some(FieldMask { paths }),
        };
        let reply = client.update_grant(request).await?;
        Ok::<_, Status>(reply.into_inner().grant.expect("one"))
    };
    let ended = Grant {
        ends_at: Some(prost_types::Timestamp {
            seconds: 1_577_836_800,
            nanos: 0,
        }),
        ..created.clone()
    };
    let ended = update(ended, &["ends_at"]).await.expect("ended");
    assert_ne!(ended.etag, created.etag);
    assert_eq!(ended.external_ids, created.external_ids);
    assert_eq!(told(&partner, &token, leaver).await, refused("no_grant"));
    let stale = update(created.clone(), &["ends_at"])
        .await
        .expect_err("stale");
    assert_eq!(refusal(&stale), (Code::Aborted, "ETAG_MISMATCH".into()));
    let open = Grant {
        ends_at: None,
        etag: String::new(),
        ..ended.clone()
    };
    update(open, &["ends_at"]).await.expect("without an end");
    assert_eq!(told(&partner, &token, leaver).await, granted());
    for (change, paths) in [
        (
            Grant {
                windows: vec![WeeklyWindow::default()],
                ..ended.clone()
            },
            "windows",
        ),
        (ended.clone(), "resident_id"),
    ] {
        let change = Grant {
            etag: String::new(),
            ..change
        };
        let wrong = update(change, &[paths]).await.expect_err("refused");
        assert_eq!(
            refusal(&wrong),
            (Code::InvalidArgument, "INVALID_FIELD".into())
        );
    }

    let both = ListGrantsRequest {
        resident_id: leaver.resident_id.clone(),
        household_id: leaver.household_id.clone(),
        ..ListGrantsRequest::default()
    };
    let wrong = operator(&mesh).grants().list_grants(both).await;
    assert_eq!(wrong.expect_err("two").code(), Code::InvalidArgument);
    let mut revoke = async |etag: &str| {
        let request = RevokeGrantRequest {
            grant_id: created.grant_id.clone(),
            etag: etag.into(),
        };
        client.revoke_grant(request).await
    };
    let stale = revoke(&ended.etag).await.expect_err("stale");
    assert_eq!(refusal(&stale), (Code::Aborted, "ETAG_MISMATCH".into()));
    revoke("").await.expect("revoked");
    assert_eq!(told(&partner, &token, leaver).await, refused("no_grant"));
    let again = revoke("").await.expect_err("gone");
    assert_eq!(refusal(&again), (Code::NotFound, "GRANT_NOT_FOUND".into()));
    // With it went its name.
    let request = CreateGrantRequest { grant: Some(grant) };
    client.create_grant(request).await.expect("free again");
}

async fn put_into(mesh: &Mesh, zone: &str) {
    let name = device(mesh, DOOR);
    let request = UpdateDeviceRequest {
        device: Some(Device {
            partner_id: name.partner_id,
            device_id: name.device_id,
            time_zone: zone.into(),
            ..Device::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["time_zone".to_owned()],
        }),
    };
    let updated = operator(mesh).devices().update_device(request).await;
    updated.expect("updated");
}

async fn a_right_holds_by_the_devices_own_clock(mesh: Mesh) {
    let (partner, leaver) = (mesh.partner(), &mesh.estate.leaver);
    let token = partner.token().await;
    strip(&mesh, leaver).await;
    let (east, now) = (TimeZone::get(EAST).expect("a zone"), SystemClock.now());
    // The day may end meanwhile.
    let weekday = |at| {
        let day = east.to_datetime(at).weekday();
        u32::from(day.to_monday_one_offset().unsigned_abs())
    };
    let mut weekdays = vec![weekday(now), weekday(now + SignedDuration::from_hours(1))];
    weekdays.dedup();
    let name = device(&mesh, DOOR);
    let grant = Grant {
        resident_id: leaver.resident_id.clone(),
        partner_id: name.partner_id,
        device_id: name.device_id,
        windows: vec![WeeklyWindow {
            weekdays,
            from_minute: 0,
            to_minute: 1_440,
        }],
        ..Grant::default()
    };
    let request = CreateGrantRequest { grant: Some(grant) };
    let created = operator(&mesh).grants().create_grant(request).await;
    created.expect("created");
    for (zone, expected) in [
        (EAST, granted()),
        (WEST, refused("outside_schedule")),
        (EAST, granted()),
    ] {
        put_into(&mesh, zone).await;
        assert_eq!(told(&partner, &token, leaver).await, expected, "{zone}");
    }
}
