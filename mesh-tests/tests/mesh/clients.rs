//! Clients that show a certificate, and what becomes of those that change.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use devmesh::{
    estate::{BARRIER, PLATE},
    operator::Operator,
};
use mesh_tests::{Answer, Mesh, Partner, on_both_databases};
use propdev_proto::auth::{
    Client, ClientCertificate, DeleteClientRequest, GetClientRequest, IssuedCertificate,
    RegisterClientRequest, RegisterClientResponse, SetClientStateRequest, UpdateClientRequest,
    client_certificate::KnownBy,
};
use prost_types::FieldMask;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use serde_json::json;
use tonic::Code;

use crate::within_the_promise;

on_both_databases!(
    a_bound_token_needs_its_certificate,
    a_client_that_is_disabled_or_deleted_stops,
    settings_change_in_place,
);

pub(crate) async fn register(
    mesh: &Mesh,
    change: impl FnOnce(&mut RegisterClientRequest),
) -> RegisterClientResponse {
    let estate = &mesh.estate;
    let mut request = RegisterClientRequest {
        partner_id: estate.partner_id.clone(),
        name: "another".into(),
        site_ids: vec![estate.site_id.clone()],
        scopes: vec!["door:open".into(), "barrier:open".into()],
        permissions: vec!["subject:face".into(), "subject:plate".into()],
        ..RegisterClientRequest::default()
    };
    change(&mut request);
    operator(mesh)
        .clients()
        .register_client(request)
        .await
        .expect("registered")
        .into_inner()
}

pub(crate) fn operator(mesh: &Mesh) -> Operator {
    Operator::connect(&mesh.layout, "operator").expect("an operator")
}

pub(crate) struct Leaf {
    pub(crate) der: Vec<u8>,
    pem: String,
}

pub(crate) fn ca() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

pub(crate) fn leaf(ca: &CertifiedIssuer<'static, KeyPair>, name: &str) -> Leaf {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, ca).expect("a leaf");
    Leaf {
        der: certificate.der().to_vec(),
        pem: format!("{}{}", certificate.pem(), key.serialize_pem()),
    }
}

pub(crate) fn showing(mesh: &Mesh, partner: &Partner, leaf: &Leaf) -> Partner {
    let ca = std::fs::read(mesh.layout.ca()).expect("the CA");
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&ca).expect("a CA")])
        .identity(reqwest::Identity::from_pem(leaf.pem.as_bytes()).expect("an identity"))
        .build();
    partner.over(http.expect("a client"))
}

async fn a_bound_token_needs_its_certificate(mesh: Mesh) {
    let plain = mesh.partner();
    let (ca, stranger) = (ca(), ca());
    let mine = leaf(&ca, "controller");
    let digest = ring::digest::digest(&ring::digest::SHA256, &mine.der);
    let known = [
        KnownBy::Thumbprint(URL_SAFE_NO_PAD.encode(digest)),
        KnownBy::Issued(IssuedCertificate {
            subject: "CN=controller".into(),
            ca_pem: ca.pem(),
        }),
    ];
    for known_by in known {
        let registered = register(&mesh, |request| {
            request.certificate = Some(ClientCertificate {
                known_by: Some(known_by),
            });
            request.without_secret = true;
        })
        .await;
        let id = registered.client.expect("a client").client_id;
        let ask = async |partner: &Partner| -> Answer {
            partner
                .ask_token_unauthenticated(&[("client_id", &id)])
                .await
        };
        let bound = showing(&mesh, &plain, &mine);
        let issued = ask(&bound).await;
        assert_eq!(issued.status, 200, "{issued:?}");
        assert_eq!(ask(&plain).await.told(), (401, "invalid_client"));
        let forged = showing(&mesh, &plain, &leaf(&stranger, "controller"));
        assert_eq!(ask(&forged).await.told(), (401, "invalid_client"));
        let other_name = showing(&mesh, &plain, &leaf(&ca, "another"));
        assert_eq!(ask(&other_name).await.told(), (401, "invalid_client"));

        let token = issued.text("access_token");
        let opened = bound.open_by_plate(BARRIER, &token, PLATE).await;
        assert_eq!(opened.status, 200, "{opened:?}");
        for thief in [&plain, &forged] {
            let stolen = thief.open_by_plate(BARRIER, &token, PLATE).await;
            assert_eq!(stolen.told(), (401, "invalid_token"));
            let path = format!("/v1/openings/{}", opened.text("opening_id"));
            assert_eq!(
                thief.get(&path, &token).await.told(),
                (401, "invalid_token")
            );
            let event = json!({"key_id": "k", "opened_at": "2026-11-24T06:00:00Z"});
            let told = thief
                .post("/v1/webhooks/intercom/key-openings", &token, Some(&event))
                .await;
            assert_eq!(told.told(), (401, "invalid_token"));
        }
    }
}

async fn a_client_that_is_disabled_or_deleted_stops(mesh: Mesh) {
    let partner = mesh.partner();
    let other = register(&mesh, |_| ()).await;
    let id = other.client.expect("a client").client_id;
    let mut second = partner.clone();
    second.client_id.clone_from(&id);
    second.client_secret = other.client_secret;
    let token = second.token().await;
    assert_eq!(
        partner.open_by_plate(BARRIER, &token, PLATE).await.status,
        200
    );
    let mut clients = operator(&mesh).clients();
    let set = |disabled| SetClientStateRequest {
        client_id: id.clone(),
        disabled,
    };

    clients.set_client_state(set(true)).await.expect("disabled");
    assert_eq!(second.ask_token(&[]).await.told(), (401, "invalid_client"));
    within_the_promise("its token is refused", async || {
        partner.open_by_plate(BARRIER, &token, PLATE).await.told() == (401, "invalid_token")
    })
    .await;
    clients.set_client_state(set(false)).await.expect("enabled");
    within_the_promise("its token is good again", async || {
        partner.open_by_plate(BARRIER, &token, PLATE).await.status == 200
    })
    .await;

    let request = DeleteClientRequest {
        client_id: id.clone(),
    };
    clients
        .delete_client(request.clone())
        .await
        .expect("deleted");
    clients
        .delete_client(request)
        .await
        .expect("deleted before");
    assert_eq!(second.ask_token(&[]).await.told(), (401, "invalid_client"));
    within_the_promise("its token is refused", async || {
        partner.open_by_plate(BARRIER, &token, PLATE).await.told() == (401, "invalid_token")
    })
    .await;
    let absent = clients.get_client(GetClientRequest { client_id: id }).await;
    assert_eq!(absent.expect_err("deleted").code(), Code::NotFound);
}

async fn settings_change_in_place(mesh: Mesh) {
    let partner = mesh.partner();
    let mut clients = operator(&mesh).clients();
    let update = |client: Client, paths: &[&str]| UpdateClientRequest {
        client_id: mesh.estate.client_id.clone(),
        client: Some(client),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
    };
    let narrowed = Client {
        scopes: vec!["door:open".into()],
        lifetimes: Some(propdev_proto::auth::TokenLifetimes {
            client_s: 30,
            subject_s: 10,
        }),
        ..Client::default()
    };
    let before = partner.token().await;
    let updated = clients
        .update_client(update(narrowed.clone(), &["scopes", "lifetimes"]))
        .await
        .expect("updated")
        .into_inner()
        .client
        .expect("a client");
    assert_eq!(updated.scopes, ["door:open"]);
    assert_eq!(updated.name, "domofon", "the rest stays");
    let issued = partner.ask_token(&[]).await;
    assert_eq!(issued.body["scope"], "door:open");
    assert_eq!(issued.body["expires_in"], 30);
    let asked = partner.ask_token(&[("scope", "barrier:open")]).await;
    assert_eq!(asked.told(), (400, "invalid_scope"));
    within_the_promise("an older token has lost the scope too", async || {
        partner.open_by_plate(BARRIER, &before, PLATE).await.told() == (403, "insufficient_scope")
    })
    .await;

    for (client, paths, field) in [
        (Client::default(), vec!["name"], "name"),
        (Client::default(), vec!["scopes"], "scopes"),
        (Client::default(), vec!["site_ids"], "site_ids"),
        (
            Client {
                jwks: "{}".into(),
                ..Client::default()
            },
            vec!["jwks"],
            "jwks",
        ),
        (Client::default(), vec!["client_id"], "update_mask"),
        (Client::default(), vec![], "update_mask"),
    ] {
        let refused = clients.update_client(update(client, &paths)).await;
        let refused = refused.expect_err(field);
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(
            refused.message().starts_with(field),
            "{}",
            refused.message()
        );
    }
    let kept = clients
        .get_client(GetClientRequest {
            client_id: mesh.estate.client_id.clone(),
        })
        .await
        .expect("the client")
        .into_inner()
        .client
        .expect("a client");
    assert_eq!((kept.name.as_str(), kept.scopes.len()), ("domofon", 1));
}
