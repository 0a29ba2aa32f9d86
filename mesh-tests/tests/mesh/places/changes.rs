//! Who may change a place, and what of it.

use std::collections::HashMap;

use futures::future::join;
use mesh::policy::Policy;
use mesh_tests::{Mesh, on_both_databases};
use propdev_proto::access::{
    Building, CreateSiteRequest, DeleteSiteRequest, Entrance, SetLockdownRequest, Site,
    UpdateBuildingRequest, UpdateEntranceRequest, UpdateSiteRequest,
    site_service_client::SiteServiceClient,
};
use tonic::Code;

use super::{Places, called, mask, reason, refused};
use crate::{clients::operator, matrix::channel};

on_both_databases!(
    a_change_is_made_to_what_was_read,
    a_system_writes_its_own_ids_alone,
);

async fn a_change_is_made_to_what_was_read(mesh: Mesh) {
    let places = Places::of(&mesh);
    let operator = &places.operator;
    let site = places.site("s-1").await;
    let rename = |name: &str, etag: &str| UpdateSiteRequest {
        site: Some(Site {
            site_id: site.site_id.clone(),
            name: name.into(),
            etag: etag.into(),
            ..Site::default()
        }),
        update_mask: mask(&["name"]),
    };
    // Of two who read the same, one is too late.
    let (mut one, mut other) = (operator.sites(), operator.sites());
    let (first, second) = join(
        one.update_site(rename("One", &site.etag)),
        other.update_site(rename("Other", &site.etag)),
    )
    .await;
    let (good, late) = if first.is_ok() {
        (first, second)
    } else {
        (second, first)
    };
    let mismatch = reason(Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(refused(late), mismatch);
    let renamed = good.expect("one of the two").into_inner().site;
    let renamed = renamed.expect("the site");
    assert_ne!(renamed.etag, site.etag);
    assert_eq!(renamed.external_ids, called("s-1"), "not in the mask");

    // What changes nothing leaves the etag; an order of an operator does not.
    let same = one.update_site(rename(&renamed.name, "")).await;
    let same = same.expect("the same").into_inner().site;
    assert_eq!(same.expect("the site").etag, renamed.etag);
    let lock = SetLockdownRequest {
        site_id: site.site_id.clone(),
        lockdown: true,
    };
    let locked = operator.sites().set_lockdown(lock).await.expect("ordered");
    let locked = locked.into_inner().site.expect("the site");
    let late = operator
        .sites()
        .update_site(rename("Late", &renamed.etag))
        .await;
    assert_eq!(refused(late), mismatch);
    let deletion = DeleteSiteRequest {
        site_id: site.site_id.clone(),
        etag: renamed.etag,
    };
    let late = operator.sites().delete_site(deletion).await;
    assert_eq!(refused(late), mismatch);
    let good = one.update_site(rename("Good", &locked.etag)).await;
    let good = good.expect("renamed").into_inner().site;
    assert!(good.expect("the site").lockdown);

    // Without a mask what is set is changed; with one, what it names and nothing else.
    let building = places.building(&site.site_id, "b-1").await;
    let entrance = places.entrance(&building.building_id, "e-1").await;
    let update = UpdateBuildingRequest {
        building: Some(Building {
            building_id: building.building_id.clone(),
            name: "Block 4".into(),
            ..Building::default()
        }),
        update_mask: None,
    };
    let updated = operator.buildings().update_building(update).await;
    let updated = updated.expect("updated").into_inner().building;
    let updated = updated.expect("the building");
    assert_eq!(updated.name, "Block 4");
    assert_eq!(updated.external_ids, called("b-1"));
    let update = UpdateEntranceRequest {
        entrance: Some(Entrance {
            entrance_id: entrance.entrance_id.clone(),
            name: "ignored".into(),
            ..Entrance::default()
        }),
        update_mask: mask(&["external_ids"]),
    };
    let updated = operator.entrances().update_entrance(update).await;
    let updated = updated.expect("updated").into_inner().entrance;
    let updated = updated.expect("the entrance");
    assert_eq!(updated.name, entrance.name);
    assert!(updated.external_ids.is_empty());
    let moved = UpdateEntranceRequest {
        entrance: Some(updated),
        update_mask: mask(&["building_id"]),
    };
    let refusal = operator.entrances().update_entrance(moved).await;
    assert_eq!(
        refused(refusal),
        reason(Code::InvalidArgument, "INVALID_FIELD")
    );
}

async fn a_system_writes_its_own_ids_alone(mesh: Mesh) {
    let policy = Policy::built_in().expect("contracts");
    let registry = channel(&mesh.layout, "system/registry/crm", "access-svc", &policy);
    let mut registry = SiteServiceClient::new(registry);
    let foreign = || HashMap::from([("billing-1c".to_owned(), "7".to_owned())]);
    let invalid = reason(Code::InvalidArgument, "INVALID_FIELD");
    let create = |external_ids| CreateSiteRequest {
        name: "Lakeside".into(),
        external_ids,
    };
    let refusal = registry.create_site(create(foreign())).await;
    assert_eq!(refused(refusal), invalid);
    let made = registry.create_site(create(called("s-1"))).await;
    let made = made.expect("a site").into_inner().site.expect("a site");
    let twin = registry.create_site(create(called("s-1"))).await;
    assert_eq!(
        refused(twin),
        reason(Code::AlreadyExists, "EXTERNAL_ID_EXISTS")
    );

    let update = |external_ids| UpdateSiteRequest {
        site: Some(Site {
            site_id: made.site_id.clone(),
            external_ids,
            ..Site::default()
        }),
        update_mask: mask(&["external_ids"]),
    };
    let mut both = called("s-1");
    both.extend(foreign());
    let refusal = registry.update_site(update(both.clone())).await;
    assert_eq!(refused(refusal), invalid);
    let given = operator(&mesh).sites().update_site(update(both)).await;
    given.expect("an operator may");
    let own = registry.update_site(update(called("s-2"))).await;
    let own = own.expect("its own").into_inner().site.expect("the site");
    let mut expected = called("s-2");
    expected.extend(foreign());
    assert_eq!(own.external_ids, expected);
    // The name that was given up is free.
    let another = registry.create_site(create(called("s-1"))).await;
    another.expect("another of that name");
    let lock = SetLockdownRequest {
        site_id: made.site_id.clone(),
        lockdown: true,
    };
    let refusal = registry.set_lockdown(lock).await;
    let refusal = refusal.expect_err("an operator's order");
    assert_eq!(refusal.code(), Code::PermissionDenied);
}
