//! An edge behind a proxy that ends TLS: what it believes of the proxy, and
//! what becomes of certificates it cannot see.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use devmesh::estate::{BARRIER, PLATE};
use mesh_tests::{Answer, Database, Mesh, Partner};
use propdev_proto::auth::{ClientCertificate, client_certificate::KnownBy};
use reqwest::Method;
use serde_json::json;

use crate::clients::{Leaf, ca, leaf, register, showing};

const METADATA: &str = "/.well-known/oauth-authorization-server";
const KEYS: &str = "/v1/webhooks/intercom/key-openings";

/// A mesh whose edge takes whoever calls from this machine for its proxy.
async fn behind_proxy(public: &str, limits: &str) -> Mesh {
    Mesh::start_with(Database::Sqlite, |service, text| {
        if service != edge_rest::SERVICE {
            return text;
        }
        let public = format!("[public]\ntrusted_proxies = [\"127.0.0.0/8\"]\n{public}");
        text.replace("[public]\n", &public).replace(
            "address_requests_per_second = 1000\naddress_burst = 2000\n",
            limits,
        )
    })
    .await
}

/// A client that is known by its certificate alone.
async fn bound_client(mesh: &Mesh, certificate: &Leaf) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, &certificate.der);
    let registered = register(mesh, |request| {
        request.certificate = Some(ClientCertificate {
            known_by: Some(KnownBy::Thumbprint(URL_SAFE_NO_PAD.encode(digest))),
        });
        request.without_secret = true;
    })
    .await;
    registered.client.expect("a client").client_id
}

/// A request, with the certificate as a proxy tells it (RFC 9440).
async fn forwarded(request: reqwest::RequestBuilder, certificate: Option<&Leaf>) -> Answer {
    let request = request.header("X-Forwarded-For", "203.0.113.7");
    Partner::send(match certificate {
        None => request,
        Some(leaf) => request.header("Client-Cert", format!(":{}:", STANDARD.encode(&leaf.der))),
    })
    .await
}

async fn ask_token(partner: &Partner, id: &str, certificate: Option<&Leaf>) -> Answer {
    let form = [("grant_type", "client_credentials"), ("client_id", id)];
    let request = partner.request(Method::POST, "/oauth2/token");
    forwarded(request.form(&form[..]), certificate).await
}

async fn open(partner: &Partner, token: &str, certificate: Option<&Leaf>) -> Answer {
    let path = format!("/v1/barriers/{BARRIER}/open");
    let body = json!({"plate": {"number": PLATE}});
    let request = partner.request(Method::POST, &path).bearer_auth(token);
    forwarded(request.json(&body), certificate).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_client_is_known_by_what_the_proxy_tells_and_by_nothing_else() {
    let mesh = behind_proxy("client_certificate_header = \"client-cert\"\n", "").await;
    let partner = mesh.partner();
    let ca = ca();
    let (mine, another) = (leaf(&ca, "controller"), leaf(&ca, "controller"));
    let id = bound_client(&mesh, &mine).await;
    // The connection's own certificate is the proxy's.
    let through = showing(&mesh, &partner, &mine);

    let issued = ask_token(&partner, &id, Some(&mine)).await;
    assert_eq!(issued.status, 200, "{issued:?}");
    let token = issued.text("access_token");
    for (caller, shown) in [
        (&partner, None),
        (&partner, Some(&another)),
        (&through, None),
        (&through, Some(&another)),
    ] {
        let refused = ask_token(caller, &id, shown).await;
        assert_eq!(refused.told(), (401, "invalid_client"));
        let refused = open(caller, &token, shown).await;
        assert_eq!(refused.told(), (401, "invalid_token"));
        let event = json!({"key_id": "k", "opened_at": "2026-11-24T06:00:00Z"});
        let request = caller.request(Method::POST, KEYS).bearer_auth(&token);
        let refused = forwarded(request.json(&event), shown).await;
        assert_eq!(refused.told(), (401, "invalid_token"));
    }
    let opened = open(&partner, &token, Some(&mine)).await;
    assert_eq!(opened.status, 200, "{opened:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_certificate_can_be_seen_nothing_is_bound() {
    let mesh = behind_proxy("", "").await;
    let partner = mesh.partner();
    let mine = leaf(&ca(), "controller");
    let id = bound_client(&mesh, &mine).await;
    let through = showing(&mesh, &partner, &mine);
    for caller in [&partner, &through] {
        // A header that nobody configured is a stranger's word.
        for shown in [None, Some(&mine)] {
            let refused = ask_token(caller, &id, shown).await;
            assert_eq!(refused.told(), (401, "invalid_client"));
        }
    }
    let metadata = partner.get(METADATA, "").await.body;
    let methods = &metadata["token_endpoint_auth_methods_supported"];
    assert!(!methods.to_string().contains("tls_client_auth"));
    assert_eq!(
        metadata["tls_client_certificate_bound_access_tokens"],
        false
    );
    // Tokens that are bound to nothing work through the proxy.
    let opened = open(&partner, &partner.token().await, None).await;
    assert_eq!(opened.status, 200, "{opened:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_count_the_address_that_the_proxy_tells() {
    let limits = "address_requests_per_second = 1\naddress_burst = 50\n";
    let mesh = behind_proxy("", limits).await;
    let partner = mesh.partner();
    let ask = |forwarded: String| {
        let request = partner.request(Method::GET, METADATA);
        Partner::send(request.header("X-Forwarded-For", forwarded))
    };
    let limited = async |forwarded: Vec<String>| {
        let answers = futures::future::join_all(forwarded.into_iter().map(ask)).await;
        answers.iter().filter(|answer| answer.status == 429).count()
    };
    assert!(limited(vec!["203.0.113.7".into(); 100]).await > 0);
    // What stands before it in the list is the sender's own invention.
    let invented = (0..40).map(|i| format!("198.51.100.{i}, 203.0.113.7"));
    assert!(limited(invented.collect()).await > 0);
    assert_eq!(limited(vec!["203.0.113.8".into(); 40]).await, 0);
}
