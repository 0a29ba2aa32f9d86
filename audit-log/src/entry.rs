//! One entry: codes and random names, never a person's. What is hashed is the
//! JSON text exactly as it was written.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use uuid::{NoContext, Uuid};

use crate::Hash;

/// What an entry tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A request to open, granted or denied.
    Decision,
    /// What a reading that named nobody may have been.
    Suggestion,
    /// What became of a command.
    Outcome,
    /// An opening by key or fob, told by the partner.
    Event,
    /// The partner's word on a command.
    Confirmation,
    /// A token issued, refused or revoked.
    Token,
    /// Failed proofs of clients, summed up.
    Authentication,
    /// What limits refused, summed up.
    Limit,
    /// A client of a partner, changed.
    Client,
    /// A key that signs tokens, changed.
    SigningKey,
    /// What an operator or a system of the operator's did.
    Act,
    /// A resident's erasure.
    Erasure,
    /// What time has destroyed of this log.
    Retention,
    /// Of a later release.
    #[serde(other)]
    Other,
}

/// Codes that a verification goes by.
pub mod code {
    /// Of a suggestion: the plate that was read is nearly one of the resident's,
    /// whose erasure therefore takes that reading's link too.
    pub const NEAR_MISS: &str = "near_miss";
    /// Of an erasure: the resident's links are gone from here on.
    pub const FINISHED: &str = "finished";
    /// Of a retention: entries before the number in `subject` are gone.
    pub const ENTRIES_DESTROYED: &str = "entries_destroyed";
}

/// An entry as its JSON has it. Fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Version 7; its time is that of `at`.
    pub id: Uuid,
    /// When it was written down.
    pub at: Timestamp,
    pub kind: Kind,
    /// How it came out, or what was done.
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Uuid>,
    /// The partner's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The partner's OAuth client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// `face`, `plate`, `key` or `fob`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub means: Option<String>,
    /// The resident's random name in logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Uuid>,
    /// Identity of the caller who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Whose store it was done to, where every service has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What was acted on, by its own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Of a summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// When the partner says that it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub happened_at: Option<Timestamp>,
    /// Each check of a decision and whether it passed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<String, bool>,
    /// Of a near miss, how the plate that was read differs from the one that is
    /// registered: `confused`, `substituted`, `inserted` or `omitted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<String>,
    /// SHA-256, base64, of the sealed link that is kept beside the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

impl Entry {
    pub fn new(kind: Kind, code: impl Into<String>, at: Timestamp) -> Self {
        Self::with_id(new_id(at), kind, code, at)
    }

    /// Of something that has an id already, so that it is never told twice.
    pub fn with_id(id: Uuid, kind: Kind, code: impl Into<String>, at: Timestamp) -> Self {
        Self {
            id,
            at,
            kind,
            code: code.into(),
            opening: None,
            command: None,
            partner: None,
            site: None,
            device: None,
            client: None,
            means: None,
            who: None,
            actor: None,
            service: None,
            request: None,
            subject: None,
            count: None,
            happened_at: None,
            checks: BTreeMap::new(),
            differs: None,
            sealed: None,
        }
    }

    /// The text that is stored and hashed.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    pub fn parse(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}

/// What stands in `sealed`.
pub fn digest(sealed: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, sealed);
    let mut hash = Hash::default();
    hash.0.copy_from_slice(digest.as_ref());
    hash.to_string()
}

/// A UUID of version 7 with that time.
fn new_id(at: Timestamp) -> Uuid {
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    let nanos = u32::try_from(at.subsec_nanosecond()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos))
}

/// Ids of version 7 before this time are below it, later ones above.
pub fn first_id(at: Timestamp) -> Uuid {
    let millis = u128::try_from(at.as_millisecond()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}

/// The month in UTC, such as `2026-11`: strangers' links of each are sealed
/// under a key of its own.
pub fn month(at: Timestamp) -> String {
    let date = TimeZone::UTC.to_datetime(at).date();
    format!("{:04}-{:02}", date.year(), date.month())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn an_entry_is_one_line_without_what_is_absent() {
        let id = Uuid::from_u128(7);
        let time = at("2026-11-24T06:00:00.25Z");
        let entry = Entry {
            device: Some("door-1".into()),
            checks: [("subject".to_owned(), true)].into(),
            ..Entry::with_id(id, Kind::Decision, "granted", time)
        };
        let text = entry.to_text().expect("a text");
        assert_eq!(
            text,
            "{\"id\":\"00000000-0000-0000-0000-000000000007\",\"at\":\"2026-11-24T06:00:00.25Z\",\
             \"kind\":\"decision\",\"code\":\"granted\",\"device\":\"door-1\",\
             \"checks\":{\"subject\":true}}"
        );
        assert_eq!(Entry::parse(text.as_bytes()), Some(entry));
    }

    #[test]
    fn a_later_releases_entry_is_read() {
        let text = "{\"id\":\"00000000-0000-0000-0000-000000000007\",\
                    \"at\":\"2026-11-24T06:00:00Z\",\"kind\":\"meteor\",\"code\":\"seen\",\"size\":3}";
        let entry = Entry::parse(text.as_bytes()).expect("an entry");
        assert_eq!((entry.kind, entry.code.as_str()), (Kind::Other, "seen"));
        assert_eq!(Entry::parse(b"{}"), None);
    }

    #[test]
    fn ids_are_ordered_by_their_time() {
        let (earlier, later) = (at("2026-11-24T06:00:00Z"), at("2026-11-24T06:00:00.001Z"));
        assert!(new_id(earlier) < first_id(later));
        assert!(first_id(later) < new_id(later));
        assert!(first_id(earlier) < new_id(earlier));
    }

    #[test]
    fn months_are_those_of_utc() {
        assert_eq!(month(at("2026-11-30T23:59:59Z")), "2026-11");
        assert_eq!(month(at("2026-12-01T02:30:00+03:00")), "2026-11");
        assert_eq!(month(at("2026-12-01T03:00:00+03:00")), "2026-12");
    }

    /// RFC 6234 section 8.5.
    #[test]
    fn a_links_digest_is_sha_256() {
        assert_eq!(
            digest(b"abc"),
            "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
        );
    }
}
