//! Clients that prove themselves by a key (RFC 7523).

use devmesh::estate::{BARRIER, PLATE};
use futures::future::join_all;
use mesh_tests::{Answer, ClientKey, Mesh, Partner, on_both_databases};
use propdev_proto::auth::{Client, ClientLimits, UpdateClientRequest};
use prost_types::FieldMask;

use crate::{
    clients::{operator, register},
    eventually,
};

on_both_databases!(
    an_assertion_proves_a_client_once,
    a_client_that_hurries_keeps_its_assertion,
);

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

async fn ask(partner: &Partner, assertion: &str) -> Answer {
    let parameters = [
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion),
    ];
    partner.ask_token_unauthenticated(&parameters).await
}

async fn an_assertion_proves_a_client_once(mesh: Mesh) {
    let partner = mesh.partner();
    let key = ClientKey::generate("first");
    let registered = register(&mesh, |request| {
        request.jwks = key.jwks();
        request.without_secret = true;
    })
    .await;
    assert!(registered.client_secret.is_empty());
    let id = registered.client.expect("a client").client_id;
    let ask = async |assertion: String| ask(&partner, &assertion).await;
    for audience in [
        partner.edge.clone(),
        format!("{}/oauth2/token", partner.edge),
    ] {
        let assertion = key.assertion(&id, &audience);
        let issued = ask(assertion.clone()).await;
        assert_eq!(issued.status, 200, "{issued:?}");
        let token = issued.text("access_token");
        assert_eq!(
            partner.open_by_plate(BARRIER, &token, PLATE).await.status,
            200
        );
        assert_eq!(
            ask(assertion).await.told(),
            (401, "invalid_client"),
            "a replay"
        );
    }
    let strange = ClientKey::generate("first").assertion(&id, &partner.edge);
    assert_eq!(ask(strange).await.told(), (401, "invalid_client"));
    let elsewhere = key.assertion(&id, "https://other.example");
    assert_eq!(ask(elsewhere).await.told(), (401, "invalid_client"));
    let of_another = key.assertion(&mesh.estate.client_id, &partner.edge);
    assert_eq!(ask(of_another).await.told(), (401, "invalid_client"));
    let both = key.assertion(&id, &partner.edge);
    let answer = partner
        .ask_token(&[
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", &both),
        ])
        .await;
    assert_eq!(answer.told(), (400, "invalid_request"));

    // Keys rotate: the new set takes the old one's place.
    let next = ClientKey::generate("second");
    let request = UpdateClientRequest {
        client_id: id.clone(),
        client: Some(Client {
            jwks: next.jwks(),
            ..Client::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["jwks".into()],
        }),
    };
    operator(&mesh)
        .clients()
        .update_client(request)
        .await
        .expect("updated");
    assert_eq!(ask(next.assertion(&id, &partner.edge)).await.status, 200);
    assert_eq!(
        ask(key.assertion(&id, &partner.edge)).await.told(),
        (401, "invalid_client")
    );
}

async fn a_client_that_hurries_keeps_its_assertion(mesh: Mesh) {
    let partner = mesh.partner();
    let key = ClientKey::generate("k");
    let registered = register(&mesh, |request| {
        request.jwks = key.jwks();
        request.without_secret = true;
        request.limits = Some(ClientLimits {
            requests_per_second: 1,
            burst: 1,
            ..ClientLimits::default()
        });
    })
    .await;
    let id = registered.client.expect("a client").client_id;
    let tries = join_all((0..20).map(|_| async {
        let assertion = key.assertion(&id, &partner.edge);
        let answer = ask(&partner, &assertion).await;
        (assertion, answer.status)
    }))
    .await;
    let refused = tries.iter().find(|(_, status)| *status == 429);
    let (assertion, _) = refused.expect("twenty at once are too many");
    eventually("it is good when its turn comes", async || {
        let answer = ask(&partner, assertion).await;
        assert!([200, 429].contains(&answer.status), "{answer:?}");
        answer.status == 200
    })
    .await;
    eventually("it is used up then", async || {
        let answer = ask(&partner, assertion).await;
        assert!([401, 429].contains(&answer.status), "{answer:?}");
        answer.status == 401
    })
    .await;
}
