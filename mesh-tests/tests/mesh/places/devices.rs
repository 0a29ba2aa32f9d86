//! Devices, their groups, and lists of all that is at a place.

use devmesh::estate::{DOOR, DOOR2};
use mesh_tests::{Mesh, on_both_databases};
use propdev_proto::access::{
    Building, DeleteDeviceGroupRequest, Device, DeviceGroup, GetDeviceGroupRequest,
    ListBuildingsRequest, ListDeviceGroupsRequest, ListDevicesRequest, ListEntrancesRequest,
    ListOpeningsRequest, ListSitesRequest, SetDeviceStateRequest, UpdateDeviceGroupRequest,
    UpdateDeviceRequest,
};
use tonic::{Code, Response};
use uuid::Uuid;

use super::{Places, mask, reason, refused};

on_both_databases!(
    a_device_is_changed_as_it_was_read,
    a_deleted_device_opens_no_more_and_its_grants_end,
    a_group_lists_what_it_holds,
    lists_are_of_one_place_and_come_in_pages,
);

async fn a_device_is_changed_as_it_was_read(mesh: Mesh) {
    let places = Places::of(&mesh);
    let operator = &places.operator;
    let site = places.site("s-1").await;
    let building = places.building(&site.site_id, "b-1").await;
    let entrance = places.entrance(&building.building_id, "e-1").await;
    let made = places.device(&site.site_id, &entrance.entrance_id, "gate-1");
    let made = made.await.expect("a device").into_inner();
    let update = |device: Device, paths: &[&str]| UpdateDeviceRequest {
        device: Some(Device {
            partner_id: made.partner_id.clone(),
            device_id: made.device_id.clone(),
            ..device
        }),
        update_mask: mask(paths),
    };
    let change = Device {
        time_zone: "Asia/Yekaterinburg".into(),
        etag: made.etag.clone(),
        ..Device::default()
    };
    let updated = operator
        .devices()
        .update_device(update(change, &["time_zone", "entrance_id"]))
        .await;
    let updated = updated.expect("updated").into_inner().device;
    let updated = updated.expect("the device");
    assert_eq!(updated.time_zone, "Asia/Yekaterinburg");
    assert_eq!(updated.name, made.name);
    assert_eq!(updated.entrance_id, "");
    let no_zone = Device {
        time_zone: "Nowhere/Else".into(),
        ..Device::default()
    };
    let refusal = operator
        .devices()
        .update_device(update(no_zone, &["time_zone"]))
        .await;
    assert_eq!(
        refused(refusal),
        reason(Code::InvalidArgument, "INVALID_FIELD")
    );
    let state = SetDeviceStateRequest {
        partner_id: made.partner_id.clone(),
        device_id: made.device_id.clone(),
        disabled: true,
    };
    let state = operator.devices().set_device_state(state).await;
    let state = state.expect("disabled").into_inner().device;
    let state = state.expect("the device");
    assert_ne!(state.etag, updated.etag);
    let late = places.delete_device("gate-1", &updated.etag).await;
    assert_eq!(
        refused(late.map(Response::new)),
        reason(Code::Aborted, "ETAG_MISMATCH")
    );
}

async fn a_deleted_device_opens_no_more_and_its_grants_end(mesh: Mesh) {
    let places = Places::of(&mesh);
    let partner = mesh.partner();
    let token = partner.token().await;
    let opens = async || {
        let probe = mesh.estate.resident.probe();
        partner.open_by_face(DOOR2, &token, &probe).await
    };
    let opened = opens().await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let gone = places.delete_device(DOOR2, "").await;
    gone.expect("the device is deleted");
    assert_eq!(opens().await.told(), (404, "device_not_found"));
    let again = places.delete_device(DOOR2, "").await;
    assert_eq!(
        refused(again.map(Response::new)),
        reason(Code::NotFound, "DEVICE_NOT_FOUND")
    );

    // What was opened stays told.
    let request = ListOpeningsRequest {
        device_id: DOOR2.into(),
        partner_id: mesh.estate.partner_id.clone(),
        ..ListOpeningsRequest::default()
    };
    let listed = places.operator.openings().list_openings(request).await;
    let listed = listed.expect("openings").into_inner().openings;
    assert!(
        listed
            .iter()
            .any(|opening| opening.opening_id == opened.text("opening_id"))
    );

    // Another of the same id is another device.
    let made = places.device(&mesh.estate.site_id, "", DOOR2).await;
    made.expect("a device");
    let taken = places.device(&mesh.estate.site_id, "", DOOR2).await;
    assert_eq!(refused(taken), reason(Code::AlreadyExists, "DEVICE_EXISTS"));
    assert_eq!(opens().await.told(), (403, "no_grant"));
}

async fn a_group_lists_what_it_holds(mesh: Mesh) {
    let places = Places::of(&mesh);
    let site = &mesh.estate.site_id;
    let mut groups = places.operator.device_groups();
    let made = places.group(site, &[DOOR2, DOOR, DOOR]).await;
    let made = made.expect("a group").into_inner();
    assert_eq!(made.devices, [places.named(DOOR), places.named(DOOR2)]);
    let absent = places.group(site, &[DOOR, "nowhere"]).await;
    assert_eq!(refused(absent), reason(Code::NotFound, "DEVICE_NOT_FOUND"));
    let foreign = places.group(&mesh.estate.other_site_id, &[DOOR]).await;
    assert_eq!(
        refused(foreign),
        reason(Code::InvalidArgument, "INVALID_FIELD")
    );

    let gone = places.delete_device(DOOR2, "").await;
    gone.expect("the device is deleted");
    let get = |id: &str| GetDeviceGroupRequest {
        device_group_id: id.into(),
        external_id: None,
    };
    let found = groups.get_device_group(get(&made.device_group_id)).await;
    let found = found.expect("found").into_inner().device_group;
    let found = found.expect("the group");
    assert_eq!(found.devices, [places.named(DOOR)]);
    assert_ne!(found.etag, made.etag, "it holds one less");
    let emptied = UpdateDeviceGroupRequest {
        device_group: Some(DeviceGroup {
            device_group_id: found.device_group_id.clone(),
            etag: found.etag,
            ..DeviceGroup::default()
        }),
        update_mask: mask(&["devices"]),
    };
    let emptied = groups.update_device_group(emptied).await;
    let emptied = emptied.expect("emptied").into_inner().device_group;
    let emptied = emptied.expect("the group");
    assert!(emptied.devices.is_empty());
    assert_eq!(emptied.name, made.name);

    let listed = ListDeviceGroupsRequest {
        site_id: site.clone(),
        ..ListDeviceGroupsRequest::default()
    };
    let listed = groups.list_device_groups(listed).await;
    let listed = listed.expect("groups").into_inner().device_groups;
    assert!(listed.contains(&emptied));
    let delete = DeleteDeviceGroupRequest {
        device_group_id: made.device_group_id.clone(),
        etag: made.etag,
    };
    let late = groups.delete_device_group(delete.clone()).await;
    assert_eq!(refused(late), reason(Code::Aborted, "ETAG_MISMATCH"));
    let delete = DeleteDeviceGroupRequest {
        etag: String::new(),
        ..delete
    };
    let gone = groups.delete_device_group(delete).await;
    gone.expect("the group is deleted");
    let absent = groups.get_device_group(get(&made.device_group_id)).await;
    assert_eq!(
        refused(absent),
        reason(Code::NotFound, "DEVICE_GROUP_NOT_FOUND")
    );
}

async fn lists_are_of_one_place_and_come_in_pages(mesh: Mesh) {
    let places = Places::of(&mesh);
    let operator = &places.operator;
    let site = places.site("s-1").await;
    let mut buildings = Vec::new();
    for id in ["b-1", "b-2", "b-3"] {
        buildings.push(places.building(&site.site_id, id).await);
    }
    let entrance = places.entrance(&buildings[0].building_id, "e-1").await;
    let at_entrance = places.device(&site.site_id, &entrance.entrance_id, "gate-1");
    let at_entrance = at_entrance.await.expect("a device").into_inner();
    let elsewhere = places.device(&site.site_id, "", "gate-2").await;
    elsewhere.expect("a device");
    let foreign = places
        .device(&mesh.estate.site_id, &entrance.entrance_id, "gate-3")
        .await;
    assert_eq!(
        refused(foreign),
        reason(Code::InvalidArgument, "INVALID_FIELD")
    );

    let mut request = ListBuildingsRequest {
        page_size: 2,
        site_id: site.site_id.clone(),
        ..ListBuildingsRequest::default()
    };
    let first = operator.buildings().list_buildings(request.clone()).await;
    let first = first.expect("a page").into_inner();
    assert_eq!(first.buildings, buildings[..2]);
    request.page_token = first.next_page_token;
    let last = operator.buildings().list_buildings(request).await;
    let last = last.expect("a page").into_inner();
    assert_eq!(last.buildings, buildings[2..]);
    assert_eq!(last.next_page_token, "");
    let of = |building: &Building| ListEntrancesRequest {
        building_id: building.building_id.clone(),
        ..ListEntrancesRequest::default()
    };
    let mut entrances = operator.entrances();
    let listed = entrances.list_entrances(of(&buildings[0])).await;
    assert_eq!(
        listed.expect("a page").into_inner().entrances,
        std::slice::from_ref(&entrance)
    );
    let listed = entrances.list_entrances(of(&buildings[1])).await;
    assert!(listed.expect("a page").into_inner().entrances.is_empty());

    let devices = async |request: ListDevicesRequest| {
        let listed = operator.devices().list_devices(request).await;
        listed.expect("a page").into_inner().devices
    };
    let of_entrance = ListDevicesRequest {
        entrance_id: entrance.entrance_id.clone(),
        ..ListDevicesRequest::default()
    };
    assert_eq!(devices(of_entrance).await, [at_entrance]);
    let of_site = ListDevicesRequest {
        site_id: site.site_id.clone(),
        ..ListDevicesRequest::default()
    };
    assert_eq!(devices(of_site.clone()).await.len(), 2);
    let of_another = ListDevicesRequest {
        partner_id: mesh.estate.other_partner_id.clone(),
        ..of_site
    };
    assert!(devices(of_another).await.is_empty());
    let nowhere = ListDevicesRequest {
        site_id: Uuid::now_v7().to_string(),
        ..ListDevicesRequest::default()
    };
    assert!(devices(nowhere).await.is_empty());
    let sites = operator
        .sites()
        .list_sites(ListSitesRequest::default())
        .await;
    let sites = sites.expect("a page").into_inner().sites;
    assert!(sites.contains(&site));
}
