//! The claims of an access token, as far as an opening looks at them.

use serde::Deserialize;
use uuid::Uuid;

use super::device::Means;

/// Claims as auth-svc writes them; an unknown claim changes nothing.
#[derive(Deserialize)]
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
}

pub(crate) struct BearerSubject {
    pub(crate) pseudonym: String,
    pub(crate) means: Means,
    pub(crate) evidence: Option<String>,
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
        })
    }
}
