//! The claims of an access token, as far as an opening looks at them.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{device::Means, limits::ClientLimits, signature::SigningSecret};

/// Claims as auth-svc writes them; an unknown claim changes nothing.
#[derive(Clone, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) sub: String,
    pub(crate) client_id: String,
    pub(crate) partner: Uuid,
    pub(crate) scope: String,
    #[serde(default)]
    pub(crate) sites: Vec<Uuid>,
    pub(crate) jti: String,
    pub(crate) iat: i64,
    #[serde(default)]
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) device: Option<String>,
    pub(crate) amr: Option<Vec<String>>,
    pub(crate) evidence: Option<String>,
    pub(crate) cnf: Option<Confirmation>,
}

/// What the token is bound to (RFC 7800, RFC 8705 section 3.1). A method of
/// confirmation that is not understood binds to something that cannot be seen.
#[derive(Clone, Deserialize)]
pub(crate) struct Confirmation {
    #[serde(rename = "x5t#S256")]
    thumbprint: Option<String>,
}

impl Confirmation {
    pub(crate) fn is_met_by(&self, certificate_sha256: &[u8]) -> bool {
        let wanted = self
            .thumbprint
            .as_ref()
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        wanted.is_some_and(|wanted| wanted.len() == 32 && wanted == certificate_sha256)
    }
}

/// A token as it was presented.
pub(crate) struct Presented {
    pub(crate) token: Zeroizing<String>,
    /// Of the certificate that the edge saw; empty for none.
    pub(crate) certificate_sha256: Vec<u8>,
}

/// For whom a verified token speaks.
pub(crate) struct Bearer {
    pub(crate) client_id: String,
    pub(crate) partner: Uuid,
    /// The client's sites now, as far as the token names them.
    pub(crate) sites: Vec<Uuid>,
    pub(crate) scopes: Vec<String>,
    /// `subject:face`, `subject:plate`.
    pub(crate) permissions: Vec<String>,
    pub(crate) jti: String,
    pub(crate) device: Option<String>,
    pub(crate) subject: Option<BearerSubject>,
    pub(crate) limits: ClientLimits,
    /// With which its webhooks must be signed; none where they need not.
    pub(crate) signing_secrets: Arc<[SigningSecret]>,
}

pub(crate) struct BearerSubject {
    pub(crate) pseudonym: String,
    pub(crate) means: Means,
    pub(crate) evidence: Option<String>,
    pub(crate) issued_at: Timestamp,
}

impl Bearer {
    pub(crate) fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|s| s == scope)
    }
}

impl Claims {
    /// The subject, if the token speaks for more than its client. Nothing
    /// infers a person from `sub` without `amr`.
    pub(crate) fn subject(&self) -> Option<BearerSubject> {
        let means = match self.amr.as_deref()? {
            [one] if one == "face" => Means::Face,
            [one] if one == "plate" => Means::Plate,
            _ => return None,
        };
        Some(BearerSubject {
            pseudonym: self.sub.clone(),
            means,
            evidence: self.evidence.clone(),
            issued_at: Timestamp::from_second(self.iat).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_token_needs_its_certificate() {
        let read = |text: &str| serde_json::from_str::<Confirmation>(text).expect("a claim");
        let bound = format!(r#"{{"x5t#S256":"{}"}}"#, URL_SAFE_NO_PAD.encode([7; 32]));
        assert!(read(&bound).is_met_by(&[7; 32]));
        for other in [&[][..], &[8; 32], &[7; 31]] {
            assert!(!read(&bound).is_met_by(other));
        }
        for strange in [
            r#"{"jkt":"x"}"#,
            r#"{"x5t#S256":""}"#,
            r#"{"x5t#S256":"!"}"#,
        ] {
            assert!(!read(strange).is_met_by(&[]), "{strange}");
        }
    }
}
