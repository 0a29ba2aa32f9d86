use std::{fs, path::Path};

use axum::routing::get;
use reqwest::Certificate as Root;

use super::*;

struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a CA").pem();
        Self {
            issuer: rcgen::Issuer::new(params, key),
            pem,
        }
    }

    fn write_leaf(&self, folder: &Path) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let leaf = rcgen::CertificateParams::new(vec!["localhost".into()])
            .and_then(|params| params.signed_by(&key, &self.issuer))
            .expect("a leaf");
        fs::write(folder.join("leaf.pem"), leaf.pem()).expect("written");
        fs::write(folder.join("leaf.key"), key.serialize_pem()).expect("written");
    }
}

fn client(authority: &Authority) -> reqwest::ClientBuilder {
    mesh::jose::install_crypto();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([Root::from_pem(authority.pem.as_bytes()).expect("a root")])
}

fn config(folder: &Path) -> PublicConfig {
    PublicConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        certificate: folder.join("leaf.pem"),
        private_key: folder.join("leaf.key"),
        base_url: "https://localhost".to_owned().try_into().expect("a URL"),
        max_connections: 16.try_into().expect("not zero"),
        max_connections_of_one_address: 16.try_into().expect("not zero"),
        request_client_certificates: true,
        trusted_proxies: vec![],
        client_certificate_header: None,
    }
}

#[tokio::test]
async fn both_versions_are_served_headers_bounded_and_requests_drained() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    authority.write_leaf(folder.path());
    let config = config(folder.path());
    let certificate = Certificate::load(&config).expect("a certificate");
    let listener = TcpListener::bind(config.listen).await.expect("a port");
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().expect("an address").port()
    );
    let router = Router::new().route("/", get(|| async { "hello" })).route(
        "/slow",
        get(|| async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            "late"
        }),
    );
    let shutdown = Shutdown::new();
    let public = Public {
        config,
        certificate,
        drain: Duration::from_secs(5),
    };
    let serving = tokio::spawn(public.serve(listener, router, shutdown.clone()));

    let modern = client(&authority).build().expect("a client");
    let answer = modern.get(&url).send().await.expect("an answer");
    assert_eq!(answer.version(), http::Version::HTTP_2);
    let old = client(&authority).http1_only().build().expect("a client");
    let answer = old.get(&url).send().await.expect("an answer");
    assert_eq!(answer.version(), http::Version::HTTP_11);

    let large = "x".repeat(200 * 1024);
    let answer = old
        .get(&url)
        .header("x-large", large)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 431);

    let slow = tokio::spawn(modern.get(format!("{url}/slow")).send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    shutdown.cancel();
    let answer = slow
        .await
        .expect("joined")
        .expect("an answer after the drain");
    assert_eq!(answer.text().await.expect("a body"), "late");
    serving.await.expect("drained");
}

#[test]
fn a_new_certificate_takes_effect_and_a_broken_one_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    authority.write_leaf(folder.path());
    let certificate = Certificate::load(&config(folder.path())).expect("a certificate");
    assert!(!certificate.reload().expect("read"));
    let before = certificate.server_config();
    fs::write(folder.path().join("leaf.pem"), "broken").expect("written");
    assert!(certificate.reload().is_err());
    assert!(Arc::ptr_eq(&before, &certificate.server_config()));
    authority.write_leaf(folder.path());
    assert!(certificate.reload().expect("read"));
    assert!(!Arc::ptr_eq(&before, &certificate.server_config()));
}
