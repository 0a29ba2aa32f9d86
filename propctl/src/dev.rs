//! A CA and certificates for development and tests: short names, short lives,
//! the CA's key in a file. Production has a CA of its own.

mod files;
mod parameters;

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use mesh::{Caller, Clock, SpiffeId, SystemClock, tls::read_certificates};
use parameters::{alternative_names, check_trust_domain, checked, parameters};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::Zeroizing;

pub const CA_CERTIFICATE: &str = "ca.crt";
pub const CA_KEY: &str = "ca.key";
pub const CERTIFICATE: &str = "tls.crt";
pub const PRIVATE_KEY: &str = "tls.key";
pub const DEFAULT_TRUST_DOMAIN: &str = "propdev.example";
pub const DEFAULT_DAYS: u32 = 90;

const CA_DAYS: u32 = 3_650;

#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error("{0} exists already; a CA is never overwritten")]
    Exists(PathBuf),
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not of a CA made by `propctl dev ca`: {detail}")]
    Ca { path: PathBuf, detail: String },
    #[error("'{0}' is no trust domain: lower-case letters, digits, dots, dashes, underscores")]
    TrustDomain(String),
    #[error(
        "'{0}' is no identity: svc/<name>, operator/<viewer|operator|privacy>/<name> or \
         system/<billing|registry>/<name>"
    )]
    Identity(String),
    #[error("'{0}' is no DNS name")]
    DnsName(String),
    #[error("a server's certificate needs a DNS name or an address")]
    Nameless,
    #[error("a certificate lives 1 to 825 days, not {0}")]
    Days(u32),
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Names under which a server is dialled.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
}

impl Names {
    pub fn localhost() -> Self {
        Self {
            dns: vec!["localhost".into()],
            ips: vec![IpAddr::from([127, 0, 0, 1])],
        }
    }
}

/// A certificate is good from the day before `from`, for clocks that are late.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    pub from: Timestamp,
    pub days: u32,
}

impl Validity {
    pub fn days_from_now(days: u32) -> Self {
        Self {
            from: SystemClock.now(),
            days,
        }
    }
}

/// Files written.
#[derive(Clone, Debug)]
pub struct Issued {
    pub certificate: PathBuf,
    pub private_key: PathBuf,
    /// Of a mesh certificate.
    pub id: Option<SpiffeId>,
}

/// Makes `ca.crt` and `ca.key` in `out`. Never overwrites either.
pub fn create_ca(out: &Path, trust_domain: &str) -> Result<Issued, DevError> {
    check_trust_domain(trust_domain)?;
    let paths = Issued {
        certificate: out.join(CA_CERTIFICATE),
        private_key: out.join(CA_KEY),
        id: None,
    };
    for path in [&paths.certificate, &paths.private_key] {
        if path.exists() {
            return Err(DevError::Exists(path.clone()));
        }
    }
    let mut params = parameters("propdev development CA", Validity::days_from_now(CA_DAYS))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // How issuing knows the trust domain; X.509-SVID, section 4.1.
    params.subject_alt_names = vec![SanType::URI(format!("spiffe://{trust_domain}").try_into()?)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let pem = Zeroizing::new(key.serialize_pem());
    files::create(&paths.private_key, pem.as_bytes(), files::PRIVATE)?;
    files::create(
        &paths.certificate,
        certificate.pem().as_bytes(),
        files::PUBLIC,
    )?;
    Ok(paths)
}

/// Writes `tls.crt` and `tls.key` for an identity of the mesh, such as
/// `svc/auth-svc` or `operator/viewer/anna`, good for both ends of mTLS. Files
/// of these names in `out` are replaced.
pub fn issue_mesh(
    ca: &Path,
    identity: &str,
    names: &Names,
    validity: Validity,
    out: &Path,
) -> Result<Issued, DevError> {
    let caller: Caller = identity
        .parse()
        .map_err(|_| DevError::Identity(identity.into()))?;
    let id = SpiffeId {
        trust_domain: trust_domain(ca)?,
        caller,
    };
    let mut params = parameters(identity, checked(validity)?)?;
    params.subject_alt_names = alternative_names(names)?;
    params
        .subject_alt_names
        .push(SanType::URI(id.to_string().try_into()?));
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    issue(ca, params, out, Some(id))
}

/// Writes `tls.crt` and `tls.key` of a plain HTTPS server, without an identity
/// of the mesh. Files of these names in `out` are replaced.
pub fn issue_server(
    ca: &Path,
    names: &Names,
    validity: Validity,
    out: &Path,
) -> Result<Issued, DevError> {
    let first = names.dns.first().cloned();
    let common_name = first
        .or_else(|| names.ips.first().map(IpAddr::to_string))
        .ok_or(DevError::Nameless)?;
    let mut params = parameters(&common_name, checked(validity)?)?;
    params.subject_alt_names = alternative_names(names)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(ca, params, out, None)
}

/// The trust domain that a CA of [`create_ca`] issues for.
pub fn trust_domain(ca: &Path) -> Result<String, DevError> {
    let path = ca.join(CA_CERTIFICATE);
    let fault = |detail: String| DevError::Ca {
        path: path.clone(),
        detail,
    };
    let chain = read_certificates(&path).map_err(|error| fault(error.to_string()))?;
    let der = chain.first().ok_or_else(|| fault("it is empty".into()))?;
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| fault(error.to_string()))?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| fault(error.to_string()))?;
    names
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .find_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix("spiffe://"),
            _ => None,
        })
        .filter(|domain| check_trust_domain(domain).is_ok())
        .map(str::to_owned)
        .ok_or_else(|| fault("it names no trust domain".into()))
}

fn issue(
    ca: &Path,
    mut params: CertificateParams,
    out: &Path,
    id: Option<SpiffeId>,
) -> Result<Issued, DevError> {
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer(ca)?)?;
    let issued = Issued {
        certificate: out.join(CERTIFICATE),
        private_key: out.join(PRIVATE_KEY),
        id,
    };
    let pem = Zeroizing::new(key.serialize_pem());
    files::replace(&issued.private_key, pem.as_bytes(), files::PRIVATE)?;
    files::replace(
        &issued.certificate,
        certificate.pem().as_bytes(),
        files::PUBLIC,
    )?;
    Ok(issued)
}

fn issuer(ca: &Path) -> Result<Issuer<'static, KeyPair>, DevError> {
    let read = |name: &str| {
        let path = ca.join(name);
        fs::read_to_string(&path)
            .map(Zeroizing::new)
            .map_err(|source| DevError::Io { path, source })
    };
    let fault = |name: &str, error: rcgen::Error| DevError::Ca {
        path: ca.join(name),
        detail: error.to_string(),
    };
    let key = KeyPair::from_pem(&read(CA_KEY)?).map_err(|error| fault(CA_KEY, error))?;
    Issuer::from_ca_cert_pem(&read(CA_CERTIFICATE)?, key)
        .map_err(|error| fault(CA_CERTIFICATE, error))
}
