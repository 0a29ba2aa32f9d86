//! The final deletion of a resident: what goes in which order, and what is known of it.

mod receipt;

use audit_log::entry::code;
use jiff::Timestamp;
pub(crate) use receipt::{GivenReceipt, Issuer, Receipt, final_at};
use serde::{Deserialize, Serialize};
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
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Unspecified => None,
            Self::Requested => Some("requested"),
            Self::ConsentWithdrawn => Some("consent_withdrawn"),
            Self::MovedOut => Some("moved_out"),
            Self::RetentionEnded => Some("retention_ended"),
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

/// Who asked for an erasure, and why; neither is known where it is done again after a restore.
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

#[cfg(test)]
mod tests {
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

    pub(super) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    pub(super) fn erasure() -> Erasure {
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
    fn it_is_final_when_the_last_service_says_so() {
        let mut erasure = erasure();
        erasure.final_at = Some(at(20));
        assert_eq!(erasure.final_everywhere(), None);
        erasure.biometric_final_at = Some(at(30));
        assert_eq!(erasure.final_everywhere(), Some(at(30)));
    }
}
