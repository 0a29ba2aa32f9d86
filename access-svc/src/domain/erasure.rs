//! The final deletion of a resident: what goes in which order, and what a
//! receipt says of it. A receipt names the person by the audit pseudonym alone.

use audit_log::entry::code;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The steps of an erasure in their order; each is durable before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Rights,
    Biometrics,
    /// Before all that it sealed.
    Key,
    Tokens,
    Vehicles,
    Credentials,
    Columns,
    Ledger,
    Receipt,
    Final,
}

impl Step {
    const ALL: [Self; 10] = [
        Self::Rights,
        Self::Biometrics,
        Self::Key,
        Self::Tokens,
        Self::Vehicles,
        Self::Credentials,
        Self::Columns,
        Self::Ledger,
        Self::Receipt,
        Self::Final,
    ];

    /// As the database and the contract number it.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Rights => 1,
            Self::Biometrics => 2,
            Self::Key => 3,
            Self::Tokens => 4,
            Self::Vehicles => 5,
            Self::Credentials => 6,
            Self::Columns => 7,
            Self::Ledger => 8,
            Self::Receipt => 9,
            Self::Final => 10,
        }
    }

    pub(crate) fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.code() == code)
    }

    /// None after the last.
    pub(crate) fn next(self) -> Option<Self> {
        Self::from_code(self.code() + 1)
    }

    /// As the audit log calls it once it is taken. With the columns go the links
    /// that the log keeps to the person.
    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::Rights => "begun",
            Self::Biometrics => "biometrics_erased",
            Self::Key => "key_destroyed",
            Self::Tokens => "tokens_erased",
            Self::Vehicles => "vehicles_erased",
            Self::Credentials => "credentials_erased",
            Self::Columns => code::FINISHED,
            Self::Ledger => "in_ledger",
            Self::Receipt => "receipted",
            Self::Final => "final",
        }
    }

    /// Where a test lets the process die once the step is durable.
    pub(crate) fn fault_point(self) -> &'static str {
        match self {
            Self::Rights => "erasure.after_rights",
            Self::Biometrics => "erasure.after_biometrics",
            Self::Key => "erasure.after_key",
            Self::Tokens => "erasure.after_tokens",
            Self::Vehicles => "erasure.after_vehicles",
            Self::Credentials => "erasure.after_credentials",
            Self::Columns => "erasure.after_columns",
            Self::Ledger => "erasure.after_ledger",
            Self::Receipt => "erasure.after_receipt",
            Self::Final => "erasure.after_final",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reason {
    #[default]
    Unspecified,
    Requested,
    ConsentWithdrawn,
    MovedOut,
    RetentionEnded,
}

impl Reason {
    const ALL: [Self; 5] = [
        Self::Unspecified,
        Self::Requested,
        Self::ConsentWithdrawn,
        Self::MovedOut,
        Self::RetentionEnded,
    ];

    /// As the database and the contract number it.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Unspecified => 0,
            Self::Requested => 1,
            Self::ConsentWithdrawn => 2,
            Self::MovedOut => 3,
            Self::RetentionEnded => 4,
        }
    }

    pub(crate) fn from_code(code: i16) -> Self {
        Self::ALL
            .into_iter()
            .find(|reason| reason.code() == code)
            .unwrap_or_default()
    }

    /// As a receipt names it.
    fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Requested => "requested",
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::MovedOut => "moved_out",
            Self::RetentionEnded => "retention_ended",
        }
    }
}

/// Rows destroyed, by category.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    /// biometric-svc's to receipt.
    pub(crate) templates: u32,
    pub(crate) names: u64,
    pub(crate) partner_pseudonyms: u64,
    pub(crate) vehicles: u64,
    pub(crate) credentials: u64,
    pub(crate) grants: u64,
    /// Of erasures that began before households paid.
    pub(crate) subscriptions: u64,
    pub(crate) sites: u64,
    pub(crate) households: u64,
    pub(crate) consents: u64,
    /// Other systems' names of the person and of what was the person's.
    pub(crate) external_ids: u64,
    /// Events that named a key or a fob of the person.
    pub(crate) events: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, more: &Self) {
        self.templates += more.templates;
        self.names += more.names;
        self.partner_pseudonyms += more.partner_pseudonyms;
        self.vehicles += more.vehicles;
        self.credentials += more.credentials;
        self.grants += more.grants;
        self.subscriptions += more.subscriptions;
        self.sites += more.sites;
        self.households += more.households;
        self.consents += more.consents;
        self.external_ids += more.external_ids;
        self.events += more.events;
    }
}

/// Who asked for an erasure, and why.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(crate) reason: Reason,
    pub(crate) requested_by: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Erasure {
    pub(crate) resident: Uuid,
    /// As the audit log and receipts name the person.
    pub(crate) pseudonym: Uuid,
    /// As the biometric store knows the person, until it has erased them.
    pub(crate) subject: Option<Uuid>,
    /// Done last.
    pub(crate) step: Step,
    pub(crate) order: Order,
    /// Done again after a restore.
    pub(crate) replayed: bool,
    pub(crate) begun_at: Timestamp,
    pub(crate) erased_at: Option<Timestamp>,
    pub(crate) counts: Counts,
    /// The newest epoch of which a copy may hold the person.
    pub(crate) epoch: Option<i64>,
    pub(crate) ledger_number: Option<u64>,
    /// Since when no older copy of this store can be read.
    pub(crate) final_at: Option<Timestamp>,
    /// The same of the biometric store, as far as it has said so.
    pub(crate) biometric_final_at: Option<Timestamp>,
}

impl Erasure {
    /// Since when no older copy can be read anywhere.
    pub(crate) fn final_everywhere(&self) -> Option<Timestamp> {
        Some(self.final_at?.max(self.biometric_final_at?))
    }
}

/// A receipt, as one of the services has given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GivenReceipt {
    pub(crate) service: String,
    pub(crate) jws: String,
}

/// Whose store a receipt is about.
#[derive(Clone, Copy)]
pub(crate) struct Issuer<'a> {
    pub(crate) service: &'a str,
    pub(crate) deployment: &'a str,
    pub(crate) region: &'a str,
}

/// What a receipt of this service says: all that an act of destruction names,
/// with the pseudonym in place of the person.
#[derive(Serialize)]
pub(crate) struct Receipt<'a> {
    iss: &'a str,
    sub: Uuid,
    iat: i64,
    deployment: &'a str,
    region: &'a str,
    erased_at: Timestamp,
    categories: Categories,
    method: &'static str,
    reason: &'static str,
    requested_by: &'a str,
    epoch: i64,
    ledger_number: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    /// Null: a copy of the epoch may be left, and a second receipt will follow.
    final_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Categories {
    names: u64,
    partner_pseudonyms: u64,
    vehicles: u64,
    keys_and_fobs: u64,
    rights: u64,
    payments: u64,
    sites: u64,
    households: u64,
    consents: u64,
    external_ids: u64,
    event_credentials: u64,
}

impl<'a> Receipt<'a> {
    /// None of an erasure that has not come so far.
    pub(crate) fn of(erasure: &'a Erasure, issuer: Issuer<'a>, now: Timestamp) -> Option<Self> {
        let counts = &erasure.counts;
        Some(Self {
            iss: issuer.service,
            sub: erasure.pseudonym,
            iat: now.as_second(),
            deployment: issuer.deployment,
            region: issuer.region,
            erased_at: erasure.erased_at?,
            categories: Categories {
                names: counts.names,
                partner_pseudonyms: counts.partner_pseudonyms,
                vehicles: counts.vehicles,
                keys_and_fobs: counts.credentials,
                rights: counts.grants,
                payments: counts.subscriptions,
                sites: counts.sites,
                households: counts.households,
                consents: counts.consents,
                external_ids: counts.external_ids,
                event_credentials: counts.events,
            },
            method: "encryption keys destroyed, rows deleted",
            reason: erasure.order.reason.name(),
            requested_by: &erasure.order.requested_by,
            epoch: erasure.epoch?,
            ledger_number: erasure.ledger_number?,
            replayed: erasure.replayed,
            final_at: erasure.final_at,
        })
    }
}

/// Since when a receipt calls itself final, as its service has given it; its
/// signature is not looked at here.
pub(crate) fn final_at(claims: &[u8]) -> Option<Timestamp> {
    let claims: Value = serde_json::from_slice(claims).ok()?;
    match claims.get("final_at")? {
        Value::String(text) => text.parse().ok(),
        Value::Number(seconds) => Timestamp::from_second(seconds.as_i64()?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_step_has_the_next_number_and_a_point_of_its_own() {
        let mut step = Step::Rights;
        let mut points = vec![step.fault_point()];
        for (code, expected) in (1..).zip(Step::ALL) {
            assert_eq!(expected.code(), code);
            assert_eq!(Step::from_code(code), Some(expected));
        }
        while let Some(next) = step.next() {
            assert!(next > step);
            step = next;
            points.push(step.fault_point());
        }
        assert_eq!(step, Step::Final);
        points.dedup();
        assert_eq!(points.len(), Step::ALL.len());
        assert_eq!(Step::from_code(0), None);
    }

    #[test]
    fn a_reason_survives_its_number() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), reason);
        }
        assert_eq!(Reason::from_code(99), Reason::Unspecified);
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn erasure() -> Erasure {
        Erasure {
            resident: Uuid::from_u128(1),
            pseudonym: Uuid::from_u128(2),
            subject: None,
            step: Step::Ledger,
            order: Order {
                reason: Reason::MovedOut,
                requested_by: "operator/privacy/x".into(),
            },
            replayed: false,
            begun_at: at(10),
            erased_at: Some(at(11)),
            counts: Counts {
                vehicles: 2,
                ..Counts::default()
            },
            epoch: Some(3),
            ledger_number: Some(4),
            final_at: None,
            biometric_final_at: None,
        }
    }

    #[test]
    fn a_receipt_says_what_an_act_must_and_names_nobody() {
        let issuer = Issuer {
            service: "access-svc",
            deployment: "d",
            region: "ru-msk",
        };
        let mut erasure = erasure();
        let claims = |erasure: &Erasure| {
            let receipt = Receipt::of(erasure, issuer, at(12)).expect("a receipt");
            serde_json::to_value(receipt).expect("claims")
        };
        let first = claims(&erasure);
        assert_eq!(first["sub"], json!(erasure.pseudonym));
        assert_eq!(first["categories"]["vehicles"], 2);
        assert_eq!(first["reason"], "moved_out");
        assert_eq!(first["final_at"], Value::Null);
        assert!(!first.to_string().contains(&erasure.resident.to_string()));
        assert_eq!(final_at(first.to_string().as_bytes()), None);

        erasure.final_at = Some(at(99));
        let second = claims(&erasure);
        assert_eq!(final_at(second.to_string().as_bytes()), Some(at(99)));

        erasure.ledger_number = None;
        assert!(Receipt::of(&erasure, issuer, at(12)).is_none());
    }

    #[test]
    fn it_is_final_when_the_last_service_says_so() {
        let mut erasure = erasure();
        erasure.final_at = Some(at(20));
        assert_eq!(erasure.final_everywhere(), None);
        erasure.biometric_final_at = Some(at(30));
        assert_eq!(erasure.final_everywhere(), Some(at(30)));
    }

    #[test]
    fn final_at_is_read_as_text_and_as_seconds() {
        assert_eq!(
            final_at(br#"{"final_at":"1970-01-01T00:00:07Z"}"#),
            Some(at(7))
        );
        assert_eq!(final_at(br#"{"final_at":7}"#), Some(at(7)));
        for none in [
            &b"{}"[..],
            b"x",
            br#"{"final_at":null}"#,
            br#"{"final_at":"x"}"#,
        ] {
            assert_eq!(final_at(none), None);
        }
    }
}
