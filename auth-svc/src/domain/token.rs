//! The claims of an access token (RFC 9068, RFC 8176).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{certificate::Thumbprint, client::Client, scope};
use crate::config::TokenConfig;

/// Whom a token speaks for besides its client.
pub(crate) struct Subject {
    pub(crate) pseudonym: String,
    pub(crate) means: Means,
    pub(crate) device_ids: Vec<String>,
    pub(crate) truncated: bool,
    /// Random, shared by every token of one probe; for a face alone.
    pub(crate) evidence: Option<String>,
    /// Random name of the resident in logs; in no token.
    pub(crate) audit_pseudonym: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    Face,
    Plate,
}

impl Means {
    /// `amr` (RFC 8176, and our own `plate`).
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Face => "face",
            Self::Plate => "plate",
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    client_id: &'a str,
    partner: Uuid,
    scope: String,
    sites: &'a [Uuid],
    jti: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
    #[serde(flatten)]
    subject: Option<SubjectClaims<'a>>,
}

/// RFC 8705 section 3.1.
#[derive(Serialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}

#[derive(Serialize)]
struct SubjectClaims<'a> {
    amr: [&'static str; 1],
    auth_time: i64,
    grants: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    grants_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'a str>,
}

pub(crate) struct Grant<'a> {
    pub(crate) client: &'a Client,
    pub(crate) scopes: &'a [scope::Scope],
    pub(crate) device: Option<&'a str>,
    pub(crate) subject: Option<&'a Subject>,
    /// The certificate that the token is bound to.
    pub(crate) certificate: Option<Thumbprint>,
}

/// The claims and the lifetime in seconds.
pub(crate) fn claims<'a>(
    grant: &Grant<'a>,
    config: &'a TokenConfig,
    now: Timestamp,
    jti: Uuid,
) -> (Claims<'a>, u32) {
    let own = grant.client.settings.lifetimes;
    let lifetime = if grant.subject.is_some() {
        own.subject.unwrap_or(config.subject_lifetime_s)
    } else {
        own.client.unwrap_or(config.client_lifetime_s)
    };
    let issued = now.as_second();
    let claims = Claims {
        iss: &config.issuer,
        aud: &config.audience,
        sub: grant.subject.map_or(&grant.client.id, |s| &s.pseudonym),
        client_id: &grant.client.id,
        partner: grant.client.partner,
        scope: scope::join(grant.scopes),
        sites: &grant.client.settings.sites,
        jti,
        iat: issued,
        nbf: issued,
        exp: issued + i64::from(lifetime),
        device: grant.device,
        cnf: grant.certificate.map(|thumbprint| Confirmation {
            thumbprint: URL_SAFE_NO_PAD.encode(thumbprint),
        }),
        subject: grant.subject.map(|subject| SubjectClaims {
            amr: [subject.means.as_str()],
            auth_time: issued,
            grants: &subject.device_ids,
            grants_truncated: subject.truncated,
            evidence: subject.evidence.as_deref(),
        }),
    };
    (claims, lifetime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{client::Settings, scope::Scope};

    fn client() -> Client {
        Client {
            id: "client-1".into(),
            partner: Uuid::from_u128(1),
            settings: Settings {
                name: "n".into(),
                sites: vec![Uuid::from_u128(2)],
                scopes: vec![Scope::DoorOpen],
                ..Settings::default()
            },
            secrets: vec![],
            webhook_secrets: vec![],
            disabled: false,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn config() -> TokenConfig {
        TokenConfig {
            issuer: "https://edge.example".into(),
            audience: "https://edge.example/v1".into(),
            subject_lifetime_s: 60,
            client_lifetime_s: 600,
            signing: crate::config::SigningConfig::default(),
        }
    }

    #[test]
    fn a_client_only_token_names_the_client_and_no_person() {
        let (client, config) = (client(), config());
        let grant = Grant {
            client: &client,
            scopes: &[Scope::DoorOpen],
            device: None,
            subject: None,
            certificate: None,
        };
        let (claims, lifetime) = claims(&grant, &config, Timestamp::UNIX_EPOCH, Uuid::nil());
        let json = serde_json::to_value(claims).expect("JSON");
        assert_eq!((lifetime, &json["sub"]), (600, &json["client_id"]));
        for absent in [
            "amr",
            "auth_time",
            "grants",
            "evidence",
            "device",
            "grants_truncated",
            "cnf",
        ] {
            assert!(json.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn a_subject_token_names_the_pseudonym_and_how_it_was_known() {
        let (client, config) = (client(), config());
        let subject = Subject {
            pseudonym: "p".into(),
            means: Means::Face,
            device_ids: vec!["door-1".into()],
            truncated: false,
            evidence: Some("e".into()),
            audit_pseudonym: "a".into(),
        };
        let grant = Grant {
            client: &client,
            scopes: &[Scope::DoorOpen],
            device: Some("door-1"),
            subject: Some(&subject),
            certificate: Some([0; 32]),
        };
        let (claims, lifetime) = claims(&grant, &config, Timestamp::UNIX_EPOCH, Uuid::nil());
        let json = serde_json::to_value(claims).expect("JSON");
        assert_eq!(lifetime, 60);
        assert_eq!(json["amr"], serde_json::json!(["face"]));
        assert_eq!(json["grants"], serde_json::json!(["door-1"]));
        assert_eq!(json["sub"], "p");
        assert_eq!(json["cnf"]["x5t#S256"], "A".repeat(43));
        assert!(!json.to_string().contains("audit"));
        assert_eq!(json["exp"].as_i64(), Some(60));
        assert!(json.get("grants_truncated").is_none());
    }
}
