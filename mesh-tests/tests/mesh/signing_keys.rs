//! Keys that rotate under tokens that live.

use devmesh::{
    estate::{BARRIER, PLATE},
    operator::Operator,
};
use mesh_tests::{Database, Mesh};
use propdev_proto::auth::{ListSigningKeysRequest, RotateSigningKeyRequest};

use crate::eventually;

fn kid(token: &str) -> String {
    let header = jsonwebtoken::decode_header(token).expect("a header");
    header.kid.expect("a kid")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_published_before_it_signs() {
    for algorithm in ["ES256", "EdDSA"] {
        let signing = format!(
            "[tokens.signing]\nalgorithm = \"{algorithm}\"\npublish_before_s = 1\n\
             allow_fast_rotation_for_development = true\n"
        );
        let mesh = Mesh::start_with(Database::Sqlite, |service, text| match service {
            "auth-svc" => text + &signing,
            _ => text,
        })
        .await;
        let partner = mesh.partner();
        let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
        let published = async || {
            let answer = partner.get("/.well-known/jwks.json", "").await;
            assert_eq!(answer.headers["cache-control"], "public, max-age=300");
            let keys = answer.body["keys"].as_array().expect("keys").clone();
            let kids: Vec<String> = keys
                .iter()
                .map(|key| key["kid"].as_str().expect("a kid").to_owned())
                .collect();
            assert!(
                keys.iter()
                    .all(|key| key["alg"] == algorithm && key.get("d").is_none())
            );
            kids
        };
        let old = partner.token().await;
        let mut keys = operator.signing_keys();
        let made = keys
            .rotate_signing_key(RotateSigningKeyRequest {})
            .await
            .expect("rotated")
            .into_inner()
            .key
            .expect("a key");
        assert_eq!(made.algorithm, algorithm);
        assert!(published().await.contains(&made.kid), "at once");
        eventually("the new key signs", async || {
            kid(&partner.token().await) == made.kid
        })
        .await;
        // The old one's tokens live on.
        assert_eq!(
            partner.open_by_plate(BARRIER, &old, PLATE).await.status,
            200
        );
        assert!(published().await.contains(&kid(&old)));
        let new = partner.token().await;
        assert_eq!(
            partner.open_by_plate(BARRIER, &new, PLATE).await.status,
            200
        );

        let listed = keys
            .list_signing_keys(ListSigningKeysRequest {})
            .await
            .expect("keys")
            .into_inner()
            .keys;
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0].kid, made.kid);
        assert!(listed[0].published_until.is_none() && listed[1].published_until.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_waits_for_its_time_is_not_made_twice() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let mut keys = operator.signing_keys();
    let mut rotate = async || {
        let answer = keys.rotate_signing_key(RotateSigningKeyRequest {}).await;
        answer
            .expect("rotated")
            .into_inner()
            .key
            .expect("a key")
            .kid
    };
    assert_eq!(rotate().await, rotate().await);
}
