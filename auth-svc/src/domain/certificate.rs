//! Clients known by their certificate (RFC 8705): by its thumbprint, or by
//! its subject together with the CA that must have issued it.

use std::{str::FromStr, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use mesh::crypto::macs_equal;
use ring::digest;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_cert::{
    Certificate,
    der::{Decode, Encode},
    name::Name,
};

use crate::error::Error;

const LONGEST_PEM: usize = 16 * 1024;

/// SHA-256 over a certificate's DER form: `x5t#S256` is its base64url.
pub(crate) type Thumbprint = [u8; 32];

#[derive(Clone)]
pub(crate) enum RequiredCertificate {
    Thumbprint(Thumbprint),
    Issued(Issued),
}

#[derive(Clone)]
pub(crate) struct Issued {
    /// RFC 4514, as the operator wrote it.
    pub(crate) subject: String,
    pub(crate) ca_pem: String,
    normalized: String,
    verifier: Arc<dyn ClientCertVerifier>,
}

pub(crate) fn thumbprint(leaf: &[u8]) -> Thumbprint {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, leaf).as_ref());
    out
}

fn fault(field: &'static str, detail: &'static str) -> Error {
    Error::InvalidField { field, detail }
}

impl RequiredCertificate {
    pub(crate) fn by_thumbprint(text: &str) -> Result<Self, Error> {
        let field = "certificate.thumbprint";
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| fault(field, "is not base64url without padding"))?;
        let thumbprint = bytes
            .try_into()
            .map_err(|_| fault(field, "is not of 32 bytes"))?;
        Ok(Self::Thumbprint(thumbprint))
    }

    pub(crate) fn by_subject(subject: &str, ca_pem: &str) -> Result<Self, Error> {
        let field = "certificate.issued.subject";
        let normalized = Name::from_str(subject)
            .map_err(|_| fault(field, "is no RFC 4514 name"))?
            .to_string();
        if normalized.is_empty() {
            return Err(fault(field, "is empty"));
        }
        let field = "certificate.issued.ca_pem";
        if ca_pem.len() > LONGEST_PEM {
            return Err(fault(field, "is longer than 16 KiB"));
        }
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            let certificate = certificate.map_err(|_| fault(field, "is no PEM certificate"))?;
            roots
                .add(certificate)
                .map_err(|_| fault(field, "holds a certificate that cannot be a CA"))?;
        }
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
            .build()
            .map_err(|_| fault(field, "holds no certificate"))?;
        Ok(Self::Issued(Issued {
            subject: subject.to_owned(),
            ca_pem: ca_pem.to_owned(),
            normalized,
            verifier,
        }))
    }

    /// Whether the certificates shown, leaf first, are the client's.
    pub(crate) fn matches(&self, chain: &[Vec<u8>], now: UnixTime) -> bool {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return false;
        };
        match self {
            Self::Thumbprint(wanted) => macs_equal(&thumbprint(leaf), wanted),
            Self::Issued(issued) => {
                let leaf = CertificateDer::from(leaf.as_slice());
                let intermediates: Vec<_> = intermediates
                    .iter()
                    .map(|der| CertificateDer::from(der.as_slice()))
                    .collect();
                subject_of(&leaf).is_some_and(|subject| subject == issued.normalized)
                    && issued
                        .verifier
                        .verify_client_cert(&leaf, &intermediates, now)
                        .is_ok()
            }
        }
    }
}

fn subject_of(leaf: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(leaf).ok()?;
    let subject = certificate.tbs_certificate().subject();
    // A name that cannot be written again is none to compare.
    subject.to_der().ok()?;
    Some(subject.to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
        IsCa, KeyPair,
    };

    use super::*;

    fn ca() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
    }

    fn leaf(ca: &CertifiedIssuer<'static, KeyPair>, name: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Domofon");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        params.signed_by(&key, ca).expect("a leaf").der().to_vec()
    }

    fn now() -> UnixTime {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_795_000_000))
    }

    #[test]
    fn a_certificate_is_known_by_its_thumbprint() {
        let ca = ca();
        let (mine, other) = (leaf(&ca, "a"), leaf(&ca, "a"));
        let text = URL_SAFE_NO_PAD.encode(thumbprint(&mine));
        let required = RequiredCertificate::by_thumbprint(&text).expect("a thumbprint");
        assert!(required.matches(&[mine], now()));
        assert!(!required.matches(&[other], now()));
        assert!(!required.matches(&[], now()));
        for wrong in ["", "abc", "!"] {
            assert!(RequiredCertificate::by_thumbprint(wrong).is_err());
        }
    }

    #[test]
    fn a_certificate_is_known_by_subject_and_issuer_together() {
        let (mine, stranger) = (ca(), ca());
        let required =
            RequiredCertificate::by_subject("O=Domofon,CN=controller", &mine.pem()).expect("known");
        assert!(required.matches(&[leaf(&mine, "controller")], now()));
        assert!(!required.matches(&[leaf(&mine, "another")], now()));
        assert!(!required.matches(&[leaf(&stranger, "controller")], now()));
        assert!(!required.matches(&[b"no certificate".to_vec()], now()));
        let field = |result: Result<RequiredCertificate, Error>| match result {
            Err(Error::InvalidField { field, .. }) => field,
            _ => "",
        };
        let nameless = RequiredCertificate::by_subject("", &mine.pem());
        assert_eq!(field(nameless), "certificate.issued.subject");
        let anybody = RequiredCertificate::by_subject("CN=x", "");
        assert_eq!(field(anybody), "certificate.issued.ca_pem");
    }
}
