//! Sites, buildings, entrances, devices and groups, as operators and a registry of the operator's
//! own keep them.

mod changes;
mod devices;

use std::{collections::HashMap, fmt::Debug};

use devmesh::operator::Operator;
use mesh_tests::{Mesh, on_both_databases};
use propdev_proto::access::{
    Building, CreateBuildingRequest, CreateDeviceGroupRequest, CreateDeviceRequest,
    CreateEntranceRequest, CreateSiteRequest, DeleteBuildingRequest, DeleteDeviceRequest,
    DeleteEntranceRequest, DeleteSiteRequest, Device, DeviceGroup, DeviceKind, DeviceName,
    Entrance, ExternalId, GetBuildingRequest, GetDeviceRequest, GetEntranceRequest, GetSiteRequest,
    Site,
};
use prost_types::FieldMask;
use tonic::{Code, Response, Status};

use crate::{audit_log::entries, clients::operator, eventually};

on_both_databases!(places_are_kept_from_the_first_to_the_last);

const CRM: &str = "crm";

fn called(id: &str) -> HashMap<String, String> {
    HashMap::from([(CRM.to_owned(), id.to_owned())])
}

fn external(id: &str) -> Option<ExternalId> {
    Some(ExternalId {
        system: CRM.into(),
        id: id.into(),
    })
}

fn mask(paths: &[&str]) -> Option<FieldMask> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    Some(FieldMask { paths })
}

fn refused<T: Debug>(answer: Result<Response<T>, Status>) -> (Code, String) {
    let status = answer.expect_err("a refusal");
    let (reason, _) = mesh::error::reason(&status).unwrap_or_default();
    (status.code(), reason)
}

fn reason(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

struct Places {
    operator: Operator,
    partner_id: String,
}

impl Places {
    fn of(mesh: &Mesh) -> Self {
        Self {
            operator: operator(mesh),
            partner_id: mesh.estate.partner_id.clone(),
        }
    }

    async fn site(&self, id: &str) -> Site {
        let request = CreateSiteRequest {
            name: "Lakeside".into(),
            external_ids: called(id),
        };
        let made = self.operator.sites().create_site(request).await;
        made.expect("a site").into_inner().site.expect("a site")
    }

    async fn building(&self, site: &str, id: &str) -> Building {
        let request = CreateBuildingRequest {
            building: Some(Building {
                site_id: site.into(),
                name: "Block 3".into(),
                external_ids: called(id),
                ..Building::default()
            }),
        };
        let made = self.operator.buildings().create_building(request).await;
        let made = made.expect("a building").into_inner();
        made.building.expect("a building")
    }

    async fn entrance(&self, building: &str, id: &str) -> Entrance {
        let request = CreateEntranceRequest {
            entrance: Some(Entrance {
                building_id: building.into(),
                name: "Entrance 2".into(),
                external_ids: called(id),
                ..Entrance::default()
            }),
        };
        let made = self.operator.entrances().create_entrance(request).await;
        let made = made.expect("an entrance").into_inner();
        made.entrance.expect("an entrance")
    }

    async fn device(
        &self,
        site: &str,
        entrance: &str,
        id: &str,
    ) -> Result<Response<Device>, Status> {
        let request = CreateDeviceRequest {
            device: Some(Device {
                device_id: id.into(),
                partner_id: self.partner_id.clone(),
                site_id: site.into(),
                entrance_id: entrance.into(),
                kind: DeviceKind::Door.into(),
                name: id.into(),
                time_zone: "Europe/Moscow".into(),
                external_ids: called(id),
                ..Device::default()
            }),
        };
        let made = self.operator.devices().create_device(request).await?;
        Ok(made.map(|made| made.device.expect("a device")))
    }

    fn named(&self, id: &str) -> DeviceName {
        DeviceName {
            partner_id: self.partner_id.clone(),
            device_id: id.into(),
        }
    }

    async fn group(&self, site: &str, devices: &[&str]) -> Result<Response<DeviceGroup>, Status> {
        let request = CreateDeviceGroupRequest {
            device_group: Some(DeviceGroup {
                site_id: site.into(),
                name: "All doors".into(),
                devices: devices.iter().map(|id| self.named(id)).collect(),
                ..DeviceGroup::default()
            }),
        };
        let mut groups = self.operator.device_groups();
        let made = groups.create_device_group(request).await?;
        Ok(made.map(|made| made.device_group.expect("a group")))
    }

    async fn delete_device(&self, id: &str, etag: &str) -> Result<(), Status> {
        let request = DeleteDeviceRequest {
            device: Some(self.named(id)),
            etag: etag.into(),
        };
        let gone = self.operator.devices().delete_device(request).await;
        gone.map(|_| ())
    }

    async fn delete_site(&self, site: &str) -> (Code, String) {
        let request = DeleteSiteRequest {
            site_id: site.into(),
            etag: String::new(),
        };
        match self.operator.sites().delete_site(request).await {
            Ok(_) => reason(Code::Ok, ""),
            refusal => refused(refusal),
        }
    }
}

async fn places_are_kept_from_the_first_to_the_last(mesh: Mesh) {
    let places = Places::of(&mesh);
    let operator = &places.operator;
    let site = places.site("s-1").await;
    let building = places.building(&site.site_id, "b-1").await;
    let entrance = places.entrance(&building.building_id, "e-1").await;
    let device = places.device(&site.site_id, &entrance.entrance_id, "gate-1");
    let device = device.await.expect("a device").into_inner();
    assert_eq!(device.entrance_id, entrance.entrance_id);

    // Each is found by our id and by the other system's, as it was made.
    for request in [
        GetSiteRequest {
            site_id: site.site_id.clone(),
            external_id: None,
        },
        GetSiteRequest {
            site_id: String::new(),
            external_id: external("s-1"),
        },
    ] {
        let found = operator.sites().get_site(request).await;
        assert_eq!(found.expect("found").into_inner().site, Some(site.clone()));
    }
    let request = GetBuildingRequest {
        building_id: String::new(),
        external_id: external("b-1"),
    };
    let found = operator.buildings().get_building(request).await;
    let found = found.expect("found").into_inner();
    assert_eq!(found.building, Some(building.clone()));
    let request = GetEntranceRequest {
        entrance_id: entrance.entrance_id.clone(),
        external_id: None,
    };
    let found = operator.entrances().get_entrance(request).await;
    let found = found.expect("found").into_inner();
    assert_eq!(found.entrance, Some(entrance.clone()));
    for request in [
        GetDeviceRequest {
            device: Some(places.named("gate-1")),
            external_id: None,
        },
        GetDeviceRequest {
            device: None,
            external_id: external("gate-1"),
        },
    ] {
        let found = operator.devices().get_device(request).await;
        let found = found.expect("found").into_inner();
        assert_eq!(found.device, Some(device.clone()));
    }
    let neither = operator
        .devices()
        .get_device(GetDeviceRequest::default())
        .await;
    assert_eq!(
        refused(neither),
        reason(Code::InvalidArgument, "INVALID_FIELD")
    );
    let nobody = GetSiteRequest {
        site_id: String::new(),
        external_id: external("s-9"),
    };
    let nobody = operator.sites().get_site(nobody).await;
    assert_eq!(
        refused(nobody),
        reason(Code::NotFound, "EXTERNAL_ID_NOT_FOUND")
    );

    // What is in use stays.
    let in_use = reason(Code::FailedPrecondition, "SITE_IN_USE");
    assert_eq!(places.delete_site(&site.site_id).await, in_use);
    let delete_building = || DeleteBuildingRequest {
        building_id: building.building_id.clone(),
        etag: String::new(),
    };
    let kept = operator
        .buildings()
        .delete_building(delete_building())
        .await;
    assert_eq!(
        refused(kept),
        reason(Code::FailedPrecondition, "BUILDING_IN_USE")
    );
    let delete_entrance = || DeleteEntranceRequest {
        entrance_id: entrance.entrance_id.clone(),
        etag: String::new(),
    };
    let kept = operator
        .entrances()
        .delete_entrance(delete_entrance())
        .await;
    assert_eq!(
        refused(kept),
        reason(Code::FailedPrecondition, "ENTRANCE_IN_USE")
    );

    let gone = places.delete_device("gate-1", &device.etag).await;
    gone.expect("the device is deleted");
    let gone = operator
        .entrances()
        .delete_entrance(delete_entrance())
        .await;
    gone.expect("the entrance is deleted");
    let again = operator
        .entrances()
        .delete_entrance(delete_entrance())
        .await;
    assert_eq!(refused(again), reason(Code::NotFound, "ENTRANCE_NOT_FOUND"));
    let gone = operator
        .buildings()
        .delete_building(delete_building())
        .await;
    gone.expect("the building is deleted");
    let done = reason(Code::Ok, "");
    assert_eq!(places.delete_site(&site.site_id).await, done);
    let absent = reason(Code::NotFound, "SITE_NOT_FOUND");
    assert_eq!(places.delete_site(&site.site_id).await, absent);
    // The estate's have devices and residents.
    assert_eq!(places.delete_site(&mesh.estate.site_id).await, in_use);

    // And all of it is told.
    let codes = [
        "site_created",
        "building_created",
        "entrance_created",
        "device_created",
        "device_deleted",
        "entrance_deleted",
        "building_deleted",
        "site_deleted",
    ];
    eventually("entries of each", async || {
        let of_site = entries(&mesh, |_| ()).await;
        let told = |code: &&str| {
            of_site
                .iter()
                .any(|entry| entry["code"] == **code && entry["site"] == site.site_id.as_str())
        };
        codes.iter().all(told)
    })
    .await;
}
