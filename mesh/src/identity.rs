//! SPIFFE-style identities of services, operators and the operator's own systems.

use std::{fmt, str::FromStr};

use x509_parser::prelude::*;

/// `spiffe://<trust domain>/<path>`, where the path is `svc/<name>`,
/// `operator/<role>/<name>` or `system/<kind>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    pub trust_domain: String,
    pub caller: Caller,
}

/// Who stands behind a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    Service(String),
    Operator { role: String, name: String },
    System { kind: String, name: String },
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("not a SPIFFE id of a service, an operator or a system")]
    Malformed,
    #[error("the certificate cannot be parsed")]
    Certificate,
    #[error("the certificate has {0} SPIFFE ids in place of one")]
    Count(usize),
}

impl Caller {
    /// The identity without the instance's name, as RPC policies write it.
    pub fn class(&self) -> String {
        match self {
            Self::Service(name) => format!("svc/{name}"),
            Self::Operator { role, .. } => format!("operator/{role}"),
            Self::System { kind, .. } => format!("system/{kind}"),
        }
    }

    pub fn has_role(&self, wanted: &str) -> bool {
        matches!(self, Self::Operator { role, .. } if role == wanted)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "svc/{name}"),
            Self::Operator { role, name } => write!(f, "operator/{role}/{name}"),
            Self::System { kind, name } => write!(f, "system/{kind}/{name}"),
        }
    }
}

impl FromStr for Caller {
    type Err = IdentityError;

    fn from_str(path: &str) -> Result<Self, IdentityError> {
        let valid = |s: &str| {
            !s.is_empty()
                && s.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let parts: Vec<&str> = path.split('/').collect();
        if !parts.iter().all(|part| valid(part)) {
            return Err(IdentityError::Malformed);
        }
        match parts[..] {
            ["svc", name] => Ok(Self::Service(name.into())),
            ["operator", role @ ("viewer" | "operator" | "privacy"), name] => Ok(Self::Operator {
                role: role.into(),
                name: name.into(),
            }),
            ["system", kind @ ("billing" | "registry"), name] => Ok(Self::System {
                kind: kind.into(),
                name: name.into(),
            }),
            _ => Err(IdentityError::Malformed),
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}", self.trust_domain, self.caller)
    }
}

impl FromStr for SpiffeId {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        let rest = uri
            .strip_prefix("spiffe://")
            .ok_or(IdentityError::Malformed)?;
        let (domain, path) = rest.split_once('/').ok_or(IdentityError::Malformed)?;
        if domain.is_empty() {
            return Err(IdentityError::Malformed);
        }
        Ok(Self {
            trust_domain: domain.into(),
            caller: path.parse()?,
        })
    }
}

impl SpiffeId {
    /// The one SPIFFE id among a certificate's URI names (X.509-SVID, section 2).
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| IdentityError::Certificate)?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| IdentityError::Certificate)?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::URI(uri) if uri.starts_with("spiffe://") => Some(*uri),
                _ => None,
            })
            .collect();
        match uris[..] {
            [uri] => uri.parse(),
            _ => Err(IdentityError::Count(uris.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_is_read_and_written_back() {
        for uri in [
            "spiffe://propdev.example/svc/auth-svc",
            "spiffe://propdev.example/operator/privacy/anna",
            "spiffe://propdev.example/system/billing/ledger-1",
        ] {
            let id: SpiffeId = uri.parse().expect(uri);
            assert_eq!(id.to_string(), uri);
        }
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        for uri in [
            "https://propdev.example/svc/auth-svc",
            "spiffe:///svc/a",
            "spiffe://d/svc/",
            "spiffe://d/svc/a/b",
            "spiffe://d/operator/root/x",
            "spiffe://d/operator/viewer",
            "spiffe://d/system/door/x",
            "spiffe://d/svc/../auth-svc",
        ] {
            assert_eq!(
                uri.parse::<SpiffeId>(),
                Err(IdentityError::Malformed),
                "{uri}"
            );
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(uri in ".*") {
            let _ = uri.parse::<SpiffeId>();
        }
    }
}
