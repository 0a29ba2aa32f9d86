//! What a receipt says of an erasure. It names the person by the audit pseudonym alone.

use jiff::Timestamp;
use mesh::custody::config::Particulars;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::Erasure;

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
    pub(crate) particulars: &'a Particulars,
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
    #[serde(flatten)]
    particulars: &'a Particulars,
    erased_at: Timestamp,
    categories: Categories,
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_by: Option<&'a str>,
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
            particulars: issuer.particulars,
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
            requested_by: Some(erasure.order.requested_by.as_str()).filter(|who| !who.is_empty()),
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
    use crate::domain::erasure::{
        Order,
        tests::{at, erasure},
    };

    #[test]
    fn a_receipt_says_what_an_act_must_and_names_nobody() {
        let particulars = json!({
            "operator": { "name": "o", "address": "a street" },
            "processor": { "name": "p", "address": "another street" },
            "destroyed_by": { "name": "n", "post": "officer" },
            "information_system": "access",
        });
        let configured: Particulars =
            serde_json::from_value(particulars.clone()).expect("particulars");
        let issuer = Issuer {
            service: "access-svc",
            deployment: "d",
            region: "ru-msk",
            particulars: &configured,
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
        assert_eq!(first["requested_by"], "operator/privacy/x");
        for name in [
            "operator",
            "processor",
            "destroyed_by",
            "information_system",
        ] {
            assert_eq!(first[name], particulars[name]);
        }
        assert_eq!(first["final_at"], Value::Null);
        assert!(!first.to_string().contains(&erasure.resident.to_string()));
        assert_eq!(final_at(first.to_string().as_bytes()), None);

        erasure.final_at = Some(at(99));
        let second = claims(&erasure);
        assert_eq!(final_at(second.to_string().as_bytes()), Some(at(99)));

        // What is not known is left out.
        erasure.order = Order::default();
        let nothing = Particulars::default();
        let issuer = Issuer {
            particulars: &nothing,
            ..issuer
        };
        let receipt = Receipt::of(&erasure, issuer, at(12)).expect("a receipt");
        let third = serde_json::to_value(receipt).expect("claims");
        for name in ["reason", "requested_by", "operator", "processor"] {
            assert!(third.get(name).is_none(), "{third}");
        }

        erasure.ledger_number = None;
        assert!(Receipt::of(&erasure, issuer, at(12)).is_none());
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
