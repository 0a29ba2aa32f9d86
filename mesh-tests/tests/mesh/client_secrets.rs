//! Secrets of clients: two live at once, so that they change without a break.

use mesh::{Clock, SystemClock};
use mesh_tests::{Mesh, on_both_databases};
use propdev_proto::auth::{AddClientSecretRequest, DeleteClientSecretRequest};
use prost_types::Timestamp;
use tonic::Code;

use crate::clients::operator;

on_both_databases!(
    two_secrets_live_and_the_old_one_ends,
    a_secret_never_lives_longer_for_another,
);

async fn two_secrets_live_and_the_old_one_ends(mesh: Mesh) {
    let mut partner = mesh.partner();
    let mut clients = operator(&mesh).clients();
    let add = |others_expire_at| AddClientSecretRequest {
        client_id: mesh.estate.client_id.clone(),
        expires_at: None,
        others_expire_at,
    };
    let old = partner.client_secret.clone();
    let added = clients
        .add_client_secret(add(None))
        .await
        .expect("a second")
        .into_inner();
    let third = clients
        .add_client_secret(add(None))
        .await
        .expect_err("a third");
    assert_eq!(third.code(), Code::FailedPrecondition);
    // Both are good at once.
    assert_eq!(partner.ask_token(&[]).await.status, 200);
    partner.client_secret = added.client_secret.clone();
    assert_eq!(partner.ask_token(&[]).await.status, 200);

    let secrets = added.client.expect("the client").secrets;
    assert_eq!(secrets.len(), 2);
    let request = DeleteClientSecretRequest {
        client_id: mesh.estate.client_id.clone(),
        secret_id: secrets[0].secret_id.clone(),
    };
    clients
        .delete_client_secret(request)
        .await
        .expect("deleted");
    assert_eq!(partner.ask_token(&[]).await.status, 200);
    partner.client_secret = old;
    assert_eq!(partner.ask_token(&[]).await.told(), (401, "invalid_client"));

    // A new secret beside one that ends now.
    let now = SystemClock.now().as_second();
    let end = Timestamp {
        seconds: now - 1,
        nanos: 0,
    };
    let third = clients
        .add_client_secret(add(Some(end)))
        .await
        .expect("added")
        .into_inner();
    partner.client_secret = added.client_secret;
    assert_eq!(partner.ask_token(&[]).await.told(), (401, "invalid_client"));
    partner.client_secret = third.client_secret;
    assert_eq!(partner.ask_token(&[]).await.status, 200);
}

async fn a_secret_never_lives_longer_for_another(mesh: Mesh) {
    let mut clients = operator(&mesh).clients();
    let now = SystemClock.now().as_second();
    let hours = |hours: i64| {
        Some(Timestamp {
            seconds: now + 3_600 * hours,
            nanos: 0,
        })
    };
    let client_id = mesh.estate.client_id.clone();
    let mut add = async |expires_at, others_expire_at| {
        let request = AddClientSecretRequest {
            client_id: client_id.clone(),
            expires_at,
            others_expire_at,
        };
        let answer = clients.add_client_secret(request).await.expect("added");
        answer.into_inner().client.expect("the client").secrets
    };
    // One without an end gets one, and makes room.
    let secrets = add(hours(1), hours(-1)).await;
    assert_eq!(secrets[0].expires_at, hours(-1));
    let secrets = add(None, hours(2)).await;
    assert_eq!(secrets[0].expires_at, hours(1), "and not an hour more");
    assert_eq!((secrets.len(), secrets[1].expires_at), (2, None));
}
