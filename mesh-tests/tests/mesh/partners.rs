//! How a partner is reached changes while doors open.

use devmesh::{
    estate::{BARRIER, DOOR, DOOR2, PARTNER, PLATE},
    sim::PartnerAccess,
};
use mesh_tests::{Mesh, on_both_databases};
use propdev_proto::access::{
    ListPartnersRequest, Partner, PartnerClientCredentials, ProbePartnerRequest,
    UpdatePartnerRequest, UpdatePartnerResponse,
};
use prost_types::FieldMask;
use serde_json::json;
use tonic::{Code, Status};

use crate::{audit_log::entries, clients::operator, eventually};

on_both_databases!(a_partner_is_reached_as_it_was_last_said);

/// Our client at the partner's, and its secret.
fn ours(kind: &str, secret: &str) -> (String, String) {
    (format!("renewed-{kind}"), secret.to_owned())
}

fn credentials((id, secret): &(String, String)) -> Option<PartnerClientCredentials> {
    Some(PartnerClientCredentials {
        client_id: id.clone(),
        client_secret: secret.clone(),
    })
}

async fn update(mesh: &Mesh, request: UpdatePartnerRequest) -> Result<Partner, Status> {
    let updated = operator(mesh).partners().update_partner(request).await?;
    let UpdatePartnerResponse { partner } = updated.into_inner();
    Ok(partner.expect("the partner"))
}

async fn a_partner_is_reached_as_it_was_last_said(mesh: Mesh) {
    let partner = mesh.partner();
    let token = partner.token().await;
    let press = async || partner.open_by_plate(BARRIER, &token, PLATE).await;
    assert_eq!(press().await.status, 200);
    let listed = operator(&mesh)
        .partners()
        .list_partners(ListPartnersRequest::default())
        .await;
    let listed = listed.expect("listed").into_inner().partners;
    let known = listed
        .into_iter()
        .find(|one| one.partner_id == mesh.estate.partner_id)
        .expect("the first");

    // The partner has given us other clients, and forgets its tokens.
    let (intercom, barrier) = (ours("intercom", "secret-1"), ours("barrier", "secret-2"));
    let access = PartnerAccess {
        name: PARTNER.into(),
        client_id: mesh.estate.client_id.clone(),
        client_secret: mesh.estate.client_secret.clone(),
        intercom: intercom.clone(),
        barrier: barrier.clone(),
        doors: vec![DOOR.into(), DOOR2.into()],
        barriers: vec![BARRIER.into()],
    };
    mesh.sim.put_partner(&access).await.expect("told");
    let forget = json!({"mode": "unauthorized_once"});
    mesh.sim.behave(&forget).await.expect("told");
    let probed = async || {
        let request = ProbePartnerRequest {
            partner_id: mesh.estate.partner_id.clone(),
        };
        let probed = operator(&mesh).partners().probe_partner(request).await;
        let probed = probed.expect("probed").into_inner();
        (probed.intercom_fault, probed.barrier_fault)
    };
    let (intercom_fault, barrier_fault) = probed().await;
    assert!(!intercom_fault.is_empty() && !barrier_fault.is_empty());
    assert_ne!(press().await.status, 200);

    let named = Partner {
        partner_id: known.partner_id.clone(),
        settings_version: known.settings_version,
        ..Partner::default()
    };
    let request = UpdatePartnerRequest {
        partner: Some(named.clone()),
        intercom: credentials(&intercom),
        barrier: credentials(&barrier),
        update_mask: None,
    };
    let updated = update(&mesh, request.clone()).await.expect("updated");
    let expected = Partner {
        settings_version: known.settings_version + 1,
        ..known.clone()
    };
    assert_eq!(updated, expected, "nothing else");
    assert_eq!(probed().await, (String::new(), String::new()));
    eventually("it opens again", async || press().await.status == 200).await;
    eventually("it is told", async || {
        let told = entries(&mesh, |ask| ask.code = "partner_updated".into()).await;
        told.len() == 1 && told[0]["partner"] == known.partner_id.as_str()
    })
    .await;

    let stale = update(&mesh, request).await.expect_err("as it was");
    assert_eq!(stale.code(), Code::Aborted);
    for (change, paths) in [
        (
            Partner {
                api_base: "http://x.example".into(),
                ..named.clone()
            },
            &["api_base"][..],
        ),
        (named.clone(), &["intercom"][..]),
        (named.clone(), &["partner_id"][..]),
        (named.clone(), &[][..]),
    ] {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let what = format!("{paths:?}");
        let request = UpdatePartnerRequest {
            partner: Some(Partner {
                settings_version: 0,
                ..change
            }),
            update_mask: Some(FieldMask { paths }),
            ..UpdatePartnerRequest::default()
        };
        let wrong = update(&mesh, request).await.expect_err("refused");
        assert_eq!(wrong.code(), Code::InvalidArgument, "{what}");
    }
    // The name alone: what was not named stays, our clients too.
    let renamed = Partner {
        name: "Renamed".into(),
        ca_pem: String::new(),
        ..expected
    };
    let request = UpdatePartnerRequest {
        partner: Some(renamed),
        update_mask: Some(FieldMask {
            paths: vec!["name".into()],
        }),
        ..UpdatePartnerRequest::default()
    };
    let updated = update(&mesh, request).await.expect("updated");
    assert_eq!(
        (updated.name.as_str(), &updated.ca_pem),
        ("Renamed", &known.ca_pem)
    );
    assert_eq!(press().await.status, 200);
}
