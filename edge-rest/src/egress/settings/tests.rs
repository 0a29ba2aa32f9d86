use std::time::Duration;

use propdev_proto::access::Partner;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring,
    pki_types::{ServerName, UnixTime},
};

use super::*;

fn read(change: impl FnOnce(&mut Partner)) -> Result<Settings, SettingsFault> {
    let mut partner = Partner {
        token_url: "https://auth.partner.example/token".into(),
        api_base: "https://api.partner.example/base/".into(),
        ..Partner::default()
    };
    change(&mut partner);
    let client = PartnerClientCredentials {
        client_id: "a".into(),
        client_secret: "b".into(),
    };
    let answer = GetEgressSettingsResponse {
        partner: Some(partner),
        intercom: Some(client.clone()),
        barrier: Some(client),
    };
    Settings::read(
        answer,
        Addresses {
            allow_private: false,
        },
    )
}

#[test]
fn commands_go_below_the_base_and_stay_one_segment() {
    let settings = read(|_| {}).expect("settings");
    let url = |id| {
        settings
            .command_url(OurClient::Intercom, id)
            .map(String::from)
    };
    assert_eq!(
        url("door:1").as_deref(),
        Some("https://api.partner.example/base/v1/doors/door%3A1/open")
    );
    assert_eq!(
        settings
            .command_url(OurClient::Barrier, "b..2")
            .map(String::from)
            .as_deref(),
        Some("https://api.partner.example/base/v1/barriers/b..2/open")
    );
    assert_eq!((url("."), url("..")), (None, None));
    assert_eq!(
        url("../x?").as_deref(),
        Some("https://api.partner.example/base/v1/doors/..%2Fx%3F/open")
    );
}

#[test]
fn settings_that_lead_astray_are_refused() {
    use SettingsFault::{Ca, NotHttps, NotPublic, Path};
    let fault = |change: fn(&mut Partner)| read(change).err();
    assert_eq!(
        fault(|p| p.token_url = "http://a.example/".into()),
        Some(NotHttps("token_url"))
    );
    assert_eq!(
        fault(|p| p.token_url = "nonsense".into()),
        Some(NotHttps("token_url"))
    );
    assert_eq!(
        fault(|p| p.api_base = "https://u:p@a.example".into()),
        Some(NotHttps("api_base"))
    );
    assert_eq!(
        fault(|p| p.api_base = "https://a.example?x".into()),
        Some(NotHttps("api_base"))
    );
    assert_eq!(
        fault(|p| p.api_base = "https://10.0.0.1".into()),
        Some(NotPublic("api_base"))
    );
    assert_eq!(
        fault(|p| p.door_path = "@evil.example/{device_id}".into()),
        Some(Path("door_path"))
    );
    assert_eq!(
        fault(|p| p.barrier_path = "/open".into()),
        Some(Path("barrier_path"))
    );
    assert_eq!(fault(|p| p.ca_pem = "none".into()), Some(Ca));
}

const HOST: &str = "gate.partner.example";

/// Whether a server that shows this certificate alone is taken for the host,
/// where `ca_pem` is that other one.
fn is_trusted(ca_pem: &rcgen::Certificate, shown: &rcgen::Certificate, host: &'static str) -> bool {
    let roots = own_roots(&ca_pem.pem()).expect("roots").expect("its own");
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
    let host = ServerName::try_from(host).expect("a name");
    // In November 2026.
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_795_000_000));
    let verified =
        verifier
            .expect("a verifier")
            .verify_server_cert(shown.der(), &[], &host, &[], now);
    verified.is_ok()
}

fn certificate(is_ca: IsCa) -> CertificateParams {
    let mut params = CertificateParams::new(vec![HOST.into()]).expect("a name");
    params.is_ca = is_ca;
    params
}

#[test]
fn a_self_signed_certificate_as_the_ca_is_trusted_alone() {
    let key = KeyPair::generate().expect("a key");
    let signed = |is_ca, key: &KeyPair| certificate(is_ca).self_signed(key).expect("signed");
    let own = signed(IsCa::NoCa, &key);
    assert!(is_trusted(&own, &own, HOST));
    assert!(!is_trusted(&own, &own, "gate.other.example"));
    let renewed = signed(IsCa::ExplicitNoCa, &key);
    assert!(is_trusted(&own, &renewed, HOST), "of the same key");
    let another = KeyPair::generate().expect("a key");
    assert!(!is_trusted(&own, &signed(IsCa::NoCa, &another), HOST));
    // As `openssl req -x509` makes it unless told otherwise.
    let ca = signed(IsCa::Ca(BasicConstraints::Unconstrained), &key);
    assert!(!is_trusted(&ca, &ca, HOST), "a CA is no server");
}

#[test]
fn a_certificate_that_a_ca_issued_is_trusted_by_that_ca_alone() {
    let mut authority = certificate(IsCa::Ca(BasicConstraints::Unconstrained));
    authority
        .distinguished_name
        .push(DnType::CommonName, "a CA");
    let key = KeyPair::generate().expect("a key");
    let ca = authority.self_signed(&key).expect("a CA");
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().expect("a key");
    let issued = certificate(IsCa::NoCa).signed_by(&key, &issuer);
    let issued = issued.expect("issued");
    assert!(is_trusted(&ca, &issued, HOST));
    assert!(!is_trusted(&issued, &issued, HOST), "it is no anchor");
}
