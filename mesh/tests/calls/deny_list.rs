//! A certificate on the deny-list is refused by both ends: for new connections
//! and for calls on those that are there.

use std::fs;

use mesh::client::never_sent;
use tonic::Code;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{Running, site};

const CALLER: &str = "operator/operator/x";

impl Running {
    fn deny(&self, list: &str) {
        fs::write(self.authority.folder.path().join("denied"), list).unwrap();
    }

    /// The DER of a certificate issued before.
    fn certificate(&self, identity: &str) -> Vec<u8> {
        let path = self.authority.file(identity, "crt");
        mesh::tls::read_certificates(&path).unwrap()[0].to_vec()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn thumbprint(certificate: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, certificate).as_ref())
}

fn serial(certificate: &[u8]) -> String {
    let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
    parsed.raw_serial_as_string()
}

#[tokio::test]
async fn a_denied_caller_is_refused_on_its_connection_and_on_new_ones() {
    let mesh = Running::start().await;
    let mut client = mesh.client(CALLER);
    client.create_site(site("x")).await.unwrap();
    let shown = mesh.certificate(CALLER);
    for list in [thumbprint(&shown), serial(&shown)] {
        mesh.deny(&format!("# left with its laptop\n{list}\n"));
        assert!(mesh.credentials.reload().unwrap());
        let refused = client.create_site(site("x")).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        // The same certificate from its files, on a new connection.
        let again = mesh.authority.load(CALLER);
        let refused = mesh.client_of(again).create_site(site("x")).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
        mesh.deny("");
        assert!(mesh.credentials.reload().unwrap());
        client.create_site(site("x")).await.unwrap();
    }
    assert_eq!(mesh.calls(), 3);
}

#[tokio::test]
async fn a_denied_server_is_not_called() {
    let mesh = Running::start().await;
    let credentials = mesh.authority.credentials(CALLER);
    let mut client = mesh.client_of(credentials.clone());
    client.create_site(site("x")).await.unwrap();
    mesh.deny(&thumbprint(&mesh.certificate("svc/access-svc")));
    assert!(credentials.reload().unwrap());
    let refused = client.create_site(site("x")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(never_sent(&refused));
    assert_eq!(mesh.calls(), 1);
}

#[tokio::test]
async fn a_broken_list_is_named_and_the_old_one_stays() {
    let mesh = Running::start().await;
    let mut client = mesh.client(CALLER);
    mesh.deny(&thumbprint(&mesh.certificate(CALLER)));
    assert!(mesh.credentials.reload().unwrap());
    mesh.deny("01\nnonsense\n");
    let fault = mesh.credentials.reload().unwrap_err().to_string();
    assert!(
        fault.contains("denied") && fault.contains("line 2"),
        "{fault}"
    );
    assert!(client.create_site(site("x")).await.is_err());
    assert_eq!(mesh.calls(), 0);
}
