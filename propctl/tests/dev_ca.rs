//! A CA made, certificates issued, and the mesh's own code reading them.

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use mesh::{
    SpiffeId,
    config::TlsConfig,
    tls::{CredentialError, Credentials, read_certificates},
};
use propctl::dev::{self, DevError, Issued, Names, Validity};
use tempfile::TempDir;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const DOMAIN: &str = "propdev.test";

fn ca() -> (TempDir, PathBuf) {
    mesh::jose::install_crypto();
    let dir = tempfile::tempdir().expect("a folder");
    let ca = dir.path().join("ca");
    dev::create_ca(&ca, DOMAIN).expect("a CA");
    (dir, ca)
}

fn load(issued: &Issued, bundle: &Path) -> Result<Arc<Credentials>, CredentialError> {
    Credentials::load(TlsConfig {
        certificate: issued.certificate.clone(),
        private_key: issued.private_key.clone(),
        trust_bundle: bundle.join(dev::CA_CERTIFICATE),
        trust_domain: DOMAIN.into(),
        deny_list: None,
    })
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").mode() & 0o777
}

#[test]
fn an_identity_is_issued_and_loaded() {
    let (dir, ca) = ca();
    for identity in [
        "svc/auth-svc",
        "operator/viewer/anna",
        "system/billing/ledger",
    ] {
        let out = dir.path().join(identity);
        let issued = dev::issue_mesh(
            &ca,
            identity,
            &Names::localhost(),
            Validity::days_from_now(1),
            &out,
        )
        .expect(identity);
        let chain = read_certificates(&issued.certificate).expect("a certificate");
        let id = SpiffeId::of_certificate(&chain[0]).expect("a SPIFFE id");
        assert_eq!(id.to_string(), format!("spiffe://{DOMAIN}/{identity}"));
        assert_eq!(issued.id.as_ref(), Some(&id));
        assert_eq!(
            load(&issued, &ca)
                .map_err(|e| e.to_string())
                .expect("loads")
                .id(),
            id
        );

        let (_, certificate) = X509Certificate::from_der(&chain[0]).expect("X.509");
        let usage = certificate
            .extended_key_usage()
            .expect("parsed")
            .expect("present")
            .value;
        assert!(usage.client_auth && usage.server_auth);
        assert_eq!(mode(&issued.private_key), 0o600);
    }
}

#[test]
fn a_server_certificate_has_names_and_no_identity() {
    let (dir, ca) = ca();
    let names = Names {
        dns: vec!["edge.example".into()],
        ips: vec![IpAddr::from([127, 0, 0, 1])],
    };
    let issued = dev::issue_server(
        &ca,
        &names,
        Validity::days_from_now(1),
        &dir.path().join("edge"),
    )
    .expect("issued");
    let chain = read_certificates(&issued.certificate).expect("a certificate");
    assert!(SpiffeId::of_certificate(&chain[0]).is_err());
    let (_, certificate) = X509Certificate::from_der(&chain[0]).expect("X.509");
    let found = certificate
        .subject_alternative_name()
        .expect("parsed")
        .expect("present")
        .value;
    assert!(
        found
            .general_names
            .contains(&GeneralName::DNSName("edge.example"))
    );
    assert!(
        found
            .general_names
            .contains(&GeneralName::IPAddress(&[127, 0, 0, 1]))
    );
    assert!(matches!(
        dev::issue_server(
            &ca,
            &Names::default(),
            Validity::days_from_now(1),
            dir.path()
        ),
        Err(DevError::Nameless)
    ));
}

#[test]
fn a_ca_is_never_overwritten_and_its_key_is_private() {
    let (_dir, ca) = ca();
    assert_eq!(mode(&ca.join(dev::CA_KEY)), 0o600);
    let before = fs::read(ca.join(dev::CA_KEY)).expect("a key");
    assert!(matches!(
        dev::create_ca(&ca, DOMAIN),
        Err(DevError::Exists(_))
    ));
    fs::remove_file(ca.join(dev::CA_CERTIFICATE)).expect("removed");
    assert!(matches!(
        dev::create_ca(&ca, DOMAIN),
        Err(DevError::Exists(_))
    ));
    assert_eq!(fs::read(ca.join(dev::CA_KEY)).expect("a key"), before);
}

#[test]
fn a_certificate_is_replaced_by_a_newer_one() {
    let (dir, ca) = ca();
    let out = dir.path().join("svc");
    let issue = || {
        dev::issue_mesh(
            &ca,
            "svc/a",
            &Names::default(),
            Validity::days_from_now(1),
            &out,
        )
        .expect("issued")
    };
    let first = fs::read(issue().certificate).expect("a certificate");
    let second = issue();
    assert_ne!(fs::read(&second.certificate).expect("a certificate"), first);
    assert!(load(&second, &ca).is_ok());
    assert_eq!(
        fs::read_dir(&out).expect("a folder").count(),
        2,
        "no drafts are left"
    );
}

#[test]
fn validity_is_as_asked() {
    let (dir, ca) = ca();
    let from: Timestamp = "2020-03-01T12:00:00Z".parse().expect("a time");
    let issued = dev::issue_mesh(
        &ca,
        "svc/a",
        &Names::default(),
        Validity { from, days: 10 },
        dir.path(),
    )
    .expect("issued");
    let chain = read_certificates(&issued.certificate).expect("a certificate");
    let (_, certificate) = X509Certificate::from_der(&chain[0]).expect("X.509");
    let day = 24 * 3600;
    let midnight = from.as_second() - day / 2;
    assert_eq!(
        certificate.validity().not_before.timestamp(),
        midnight - day
    );
    assert_eq!(
        certificate.validity().not_after.timestamp(),
        midnight + 11 * day
    );
}

#[test]
fn wrong_parameters_are_named() {
    let (dir, ca) = ca();
    let out = dir.path();
    let day = Validity::days_from_now(1);
    let none = Names::default();
    let fault = |result: Result<Issued, DevError>| result.expect_err("refused").to_string();
    assert!(fault(dev::issue_mesh(&ca, "operator/root/x", &none, day, out)).contains("root/x"));
    for days in [0, 826] {
        let validity = Validity::days_from_now(days);
        let text = fault(dev::issue_mesh(&ca, "svc/a", &none, validity, out));
        assert!(text.contains(&days.to_string()), "{text}");
    }
    let bad = Names {
        dns: vec!["no name".into()],
        ips: vec![],
    };
    assert!(fault(dev::issue_server(&ca, &bad, day, out)).contains("no name"));
    assert!(fault(dev::create_ca(&out.join("new"), "Not A Domain")).contains("Not A Domain"));
    assert!(!out.join("new").exists());
    let absent = out.join("absent");
    assert!(fault(dev::issue_mesh(&absent, "svc/a", &none, day, out)).contains("absent"));
}
