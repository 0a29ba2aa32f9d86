//! An OAuth client of a partner.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    certificate::RequiredCertificate,
    key_set::ClientKeys,
    limits::Limits,
    scope::{Permission, Scope},
    webhook_secret::WebhookSecret,
};
use crate::error::Error;

/// Seconds that a token may live at most, whoever asks.
pub(crate) const LONGEST_LIFETIME_S: u32 = 3_600;
const SHORTEST_LIFETIME_S: u32 = 10;

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) partner: Uuid,
    pub(crate) settings: Settings,
    pub(crate) secrets: Vec<Secret>,
    /// With any, live or ended, its webhooks must be signed.
    pub(crate) webhook_secrets: Vec<WebhookSecret>,
    pub(crate) disabled: bool,
    pub(crate) created_at: Timestamp,
}

/// What an operator registers and may change.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) sites: Vec<Uuid>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) permissions: Vec<Permission>,
    pub(crate) keys: Option<ClientKeys>,
    pub(crate) certificate: Option<RequiredCertificate>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) limits: Limits,
}

/// Seconds; none is the server's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    pub(crate) client: Option<u32>,
    pub(crate) subject: Option<u32>,
}

/// A secret as it is kept: never its value.
#[derive(Clone)]
pub(crate) struct Secret {
    pub(crate) id: Uuid,
    pub(crate) hash: Vec<u8>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Secret {
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

impl Settings {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let fault = |field, detail| Err(Error::InvalidField { field, detail });
        if !(1..=100).contains(&self.name.chars().count()) {
            return fault("name", "must have 1 to 100 characters");
        }
        if self.name.chars().any(char::is_control) {
            return fault("name", "must not hold control characters");
        }
        if !(1..=1_000).contains(&self.sites.len()) {
            return fault("site_ids", "must name 1 to 1,000 sites");
        }
        if self.scopes.is_empty() {
            return fault("scopes", "must name at least one");
        }
        let lifetimes = [
            ("lifetimes.client_s", self.lifetimes.client),
            ("lifetimes.subject_s", self.lifetimes.subject),
        ];
        for (field, lifetime) in lifetimes {
            if lifetime.is_some_and(|s| !(SHORTEST_LIFETIME_S..=LONGEST_LIFETIME_S).contains(&s)) {
                return fault(field, "must be 10 to 3,600 seconds");
            }
        }
        self.limits.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Settings {
        Settings {
            name: "door".into(),
            sites: vec![Uuid::nil()],
            scopes: vec![Scope::DoorOpen],
            ..Settings::default()
        }
    }

    fn field_of(settings: &Settings) -> Option<&'static str> {
        match settings.validate() {
            Err(Error::InvalidField { field, .. }) => Some(field),
            _ => None,
        }
    }

    #[test]
    fn a_fault_names_its_field() {
        assert!(good().validate().is_ok());
        let named = Settings {
            name: "a\nb".into(),
            ..good()
        };
        assert_eq!(field_of(&named), Some("name"));
        let nowhere = Settings {
            sites: vec![],
            ..good()
        };
        assert_eq!(field_of(&nowhere), Some("site_ids"));
        let useless = Settings {
            scopes: vec![],
            ..good()
        };
        assert_eq!(field_of(&useless), Some("scopes"));
        for seconds in [0, 9, 3_601] {
            let lifetimes = Lifetimes {
                client: None,
                subject: Some(seconds),
            };
            let odd = Settings {
                lifetimes,
                ..good()
            };
            assert_eq!(field_of(&odd), Some("lifetimes.subject_s"), "{seconds}");
        }
    }

    #[test]
    fn a_secret_ends_when_it_says() {
        let at = |s| Timestamp::from_second(s).expect("a time");
        let secret = |expires_at| Secret {
            id: Uuid::nil(),
            hash: vec![],
            created_at: at(0),
            expires_at,
        };
        assert!(secret(None).is_live(at(1_000_000)));
        assert!(secret(Some(at(10))).is_live(at(9)));
        assert!(!secret(Some(at(10))).is_live(at(10)));
    }
}
