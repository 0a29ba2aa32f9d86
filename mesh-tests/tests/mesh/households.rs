//! Where people live is where they are recognised.

use devmesh::{
    estate::{DIMENSION, MODEL, probe},
    operator::Operator,
};
use mesh::Clock;
use mesh_tests::{Mesh, on_both_databases};
use partner_sim::face::Identity;
use propdev_proto::{
    access::{
        AddMemberRequest, CreateHouseholdRequest, CreateResidentRequest, DeleteHouseholdRequest,
        EnrolFaceRequest, ExternalId, GetHouseholdRequest, GetResidentRequest, Household,
        ListHouseholdsRequest, ListMembersRequest, ListResidentsRequest, RemoveMemberRequest,
        Resident, SearchEntriesRequest, UpdateHouseholdRequest, UpdateResidentRequest,
    },
    biometric::FaceVector,
};
use tonic::{Code, Status};

use crate::{
    audit_log::{entries, link},
    eventually,
};

on_both_databases!(
    a_member_is_recognised_at_the_households_site,
    what_the_biometric_store_missed_it_is_told_later,
    a_household_is_kept_as_it_was_read,
    a_resident_is_kept_as_it_was_read,
);

const REGISTRY: &str = "registry-1";

pub(crate) fn operator(mesh: &Mesh, role: &str) -> Operator {
    Operator::connect(&mesh.layout, role).expect("an operator")
}

pub(crate) fn reason(status: &Status) -> String {
    let reason = mesh::error::reason(status);
    reason.map(|(reason, _)| reason).unwrap_or_default()
}

pub(crate) async fn household(operator: &Operator, site: &str) -> Household {
    let request = CreateHouseholdRequest {
        household: Some(Household {
            site_id: site.into(),
            unit: "12".into(),
            ..Household::default()
        }),
    };
    let created = operator.households().create_household(request).await;
    let created = created.expect("created").into_inner();
    created.household.expect("a household")
}

pub(crate) async fn resident(operator: &Operator, site: &str) -> Resident {
    let request = CreateResidentRequest {
        name: "Nina Example".into(),
        site_ids: vec![site.into()],
        ..CreateResidentRequest::default()
    };
    let created = operator.residents().create_resident(request).await;
    let created = created.expect("created").into_inner();
    created.resident.expect("a resident")
}

/// By the privacy role.
pub(crate) async fn enrol(
    privacy: &Operator,
    resident: &str,
    identity: u64,
    consent: &str,
    consented_at: prost_types::Timestamp,
) -> Result<u32, Status> {
    let vector = Identity::new(identity, DIMENSION).enrolment();
    let request = EnrolFaceRequest {
        resident_id: resident.into(),
        face: Some(FaceVector {
            model: MODEL.into(),
            values: vector.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }),
        consent_reference: consent.into(),
        consented_at: Some(consented_at),
        template_id: String::new(),
    };
    let enrolled = privacy.residents().enrol_face(request).await?;
    Ok(enrolled.into_inner().templates)
}

/// As the services' clock has it, moved on by so many seconds.
pub(crate) fn moment(mesh: &Mesh, seconds: i64) -> prost_types::Timestamp {
    let now = mesh.clock.now();
    prost_types::Timestamp {
        seconds: now.as_second() + seconds,
        nanos: 0,
    }
}

/// Seed of a face that nobody has.
pub(crate) fn new_face() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

fn membership(household: &Household, resident: &Resident) -> AddMemberRequest {
    AddMemberRequest {
        household_id: household.household_id.clone(),
        resident_id: resident.resident_id.clone(),
    }
}

async fn put_sites(
    operator: &Operator,
    resident: &Resident,
    sites: &[&str],
) -> Result<Resident, Status> {
    let request = UpdateResidentRequest {
        resident: Some(Resident {
            resident_id: resident.resident_id.clone(),
            site_ids: sites.iter().map(ToString::to_string).collect(),
            ..Resident::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["site_ids".into()],
        }),
    };
    let updated = operator.residents().update_resident(request).await?;
    Ok(updated.into_inner().resident.expect("a resident"))
}

async fn a_member_is_recognised_at_the_households_site(mesh: Mesh) {
    let (privacy, viewer) = (operator(&mesh, "privacy"), operator(&mesh, "viewer"));
    let (here, there) = (&mesh.estate.site_id, &mesh.estate.other_site_id);
    let identity = new_face();
    let person = resident(&privacy, here).await;
    enrol(
        &privacy,
        &person.resident_id,
        identity,
        "form 7",
        moment(&mesh, 0),
    )
    .await
    .expect("enrolled");
    let (partner, other) = (mesh.partner(), mesh.other_partner());
    let status = async |of: &mesh_tests::Partner| of.ask_face_token(&probe(identity)).await.status;
    assert_eq!((status(&partner).await, status(&other).await), (200, 400));

    let home = household(&operator(&mesh, "operator"), there).await;
    for _ in 0..2 {
        let mut households = privacy.households();
        let added = households.add_member(membership(&home, &person));
        added.await.expect("added");
    }
    assert_eq!((status(&partner).await, status(&other).await), (200, 200));
    let request = ListMembersRequest {
        household_id: home.household_id.clone(),
        ..ListMembersRequest::default()
    };
    let members = viewer.households().list_members(request).await;
    let members = members.expect("members").into_inner().resident_ids;
    assert_eq!(members, std::slice::from_ref(&person.resident_id));
    eventually(
        "which household it is lies sealed beside the entry",
        async || {
            let ask = |request: &mut SearchEntriesRequest| {
                request.code = "household_member_added".into();
            };
            for entry in entries(&mesh, ask).await {
                assert!(entry["subject"].is_null(), "{entry}");
                let opened = link(&mesh, "privacy", &entry["number"]).await;
                let opened = opened.expect("opened");
                if (opened.kind.as_str(), &opened.held) == ("household", &home.household_id) {
                    return true;
                }
            }
            false
        },
    )
    .await;

    // The household's site stays, whatever is taken away.
    let moved = put_sites(&privacy, &person, &[]).await.expect("moved");
    assert_eq!(moved.site_ids, std::slice::from_ref(there));
    assert_eq!(
        moved.household_ids,
        std::slice::from_ref(&home.household_id)
    );
    assert_eq!((status(&partner).await, status(&other).await), (400, 200));

    let in_use = DeleteHouseholdRequest {
        household_id: home.household_id.clone(),
        etag: String::new(),
    };
    let delete = async || {
        let mut households = operator(&mesh, "operator").households();
        households.delete_household(in_use.clone()).await
    };
    let refused = delete().await.expect_err("in use");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "HOUSEHOLD_IN_USE");
    let removal = RemoveMemberRequest {
        household_id: home.household_id.clone(),
        resident_id: person.resident_id.clone(),
    };
    let removed = privacy.households().remove_member(removal).await;
    removed.expect("removed");
    delete().await.expect("deleted");
    assert_eq!(delete().await.expect_err("gone").code(), Code::NotFound);
    // Who moves out is recognised until somebody says otherwise.
    assert_eq!(status(&other).await, 200);
}

async fn what_the_biometric_store_missed_it_is_told_later(mut mesh: Mesh) {
    let privacy = operator(&mesh, "privacy");
    let (here, there) = (
        mesh.estate.site_id.clone(),
        mesh.estate.other_site_id.clone(),
    );
    let identity = new_face();
    let person = resident(&privacy, &here).await;
    enrol(
        &privacy,
        &person.resident_id,
        identity,
        "form 7",
        moment(&mesh, 0),
    )
    .await
    .expect("enrolled");
    mesh.stop("biometric-svc").await;
    let unfinished = put_sites(&privacy, &person, &[&there]).await;
    let unfinished = unfinished.expect_err("unfinished");
    assert_eq!(unfinished.code(), Code::Unavailable, "{unfinished:?}");
    assert_eq!(reason(&unfinished), "GALLERIES_UNFINISHED");
    mesh.restart("biometric-svc").await;
    let (partner, other) = (mesh.partner(), mesh.other_partner());
    eventually("the face is known at the other site alone", async || {
        let there = other.ask_face_token(&probe(identity)).await.status;
        let here = partner.ask_face_token(&probe(identity)).await.status;
        (here, there) == (400, 200)
    })
    .await;
}

async fn a_household_is_kept_as_it_was_read(mesh: Mesh) {
    let operator = operator(&mesh, "operator");
    let mut households = operator.households();
    let first = household(&operator, &mesh.estate.other_site_id).await;
    let change = |unit: &str, etag: &str| UpdateHouseholdRequest {
        household: Some(Household {
            household_id: first.household_id.clone(),
            unit: unit.into(),
            external_ids: [(REGISTRY.to_owned(), "flat-12".to_owned())].into(),
            etag: etag.into(),
            ..Household::default()
        }),
        update_mask: None,
    };
    let updated = households.update_household(change("12/1", &first.etag));
    let updated = updated.await.expect("updated").into_inner();
    let updated = updated.household.expect("a household");
    assert_eq!(updated.unit, "12/1");
    assert_ne!(updated.etag, first.etag);
    let outdated = households.update_household(change("13", &first.etag));
    let outdated = outdated.await.expect_err("outdated");
    assert_eq!(outdated.code(), Code::Aborted);
    assert_eq!(reason(&outdated), "ETAG_MISMATCH");
    let wrong = households.update_household(change("13@", ""));
    assert_eq!(
        wrong.await.expect_err("no unit").code(),
        Code::InvalidArgument
    );

    let by_name = GetHouseholdRequest {
        household_id: String::new(),
        external_id: Some(ExternalId {
            system: REGISTRY.into(),
            id: "flat-12".into(),
        }),
    };
    let found = households.get_household(by_name).await.expect("found");
    assert_eq!(found.into_inner().household, Some(updated.clone()));

    household(&operator, &mesh.estate.other_site_id).await;
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListHouseholdsRequest {
            page_size: 1,
            page_token,
            site_id: mesh.estate.other_site_id.clone(),
        };
        let page = households.list_households(request).await.expect("listed");
        let page = page.into_inner();
        listed.extend(page.households);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert!(listed.len() >= 2, "{listed:?}");
    assert!(listed.contains(&updated));
}

async fn a_resident_is_kept_as_it_was_read(mesh: Mesh) {
    let privacy = operator(&mesh, "privacy");
    let person = resident(&privacy, &mesh.estate.other_site_id).await;
    let change = |name: &str| UpdateResidentRequest {
        resident: Some(Resident {
            resident_id: person.resident_id.clone(),
            name: name.into(),
            external_ids: [(REGISTRY.to_owned(), "person-9".to_owned())].into(),
            etag: person.etag.clone(),
            ..Resident::default()
        }),
        update_mask: None,
    };
    let mut residents = privacy.residents();
    let updated = residents.update_resident(change("Nina Other"));
    let updated = updated.await.expect("updated").into_inner();
    let updated = updated.resident.expect("a resident");
    assert_eq!(updated.name, "Nina Other");
    assert_eq!(
        updated.site_ids,
        std::slice::from_ref(&mesh.estate.other_site_id)
    );
    let outdated = residents.update_resident(change("Nina Third"));
    assert_eq!(
        reason(&outdated.await.expect_err("outdated")),
        "ETAG_MISMATCH"
    );

    let by_name = GetResidentRequest {
        resident_id: String::new(),
        external_id: Some(ExternalId {
            system: REGISTRY.into(),
            id: "person-9".into(),
        }),
    };
    let mut asked = operator(&mesh, "viewer").residents();
    let found = asked
        .get_resident(by_name)
        .await
        .expect("found")
        .into_inner();
    let found = found.resident.expect("a resident");
    assert_eq!(found.resident_id, person.resident_id);
    assert_eq!((found.name.as_str(), &found.etag), ("", &updated.etag));
    let there = ListResidentsRequest {
        site_id: mesh.estate.other_site_id.clone(),
        ..ListResidentsRequest::default()
    };
    let listed = asked
        .list_residents(there)
        .await
        .expect("listed")
        .into_inner();
    let mut listed = listed.residents.iter();
    let listed = listed.find(|one| one.resident_id == person.resident_id);
    assert_eq!(listed.expect("listed").external_ids[REGISTRY], "person-9");
}
