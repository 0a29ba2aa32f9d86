//! The JSON of a key file. Version 1 had no `created_at`; what is written is
//! version 2.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::crypto::{CryptoError, Key};

const VERSION: u32 = 2;

/// What an epoch's text takes at most: no reallocation may leave a copy behind.
const EPOCH_TEXT: usize = 1_024;

/// An epoch's two keys.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) kek: Key,
    pub(super) lookup: Key,
}

impl Pair {
    pub(super) fn random() -> Result<Self, CryptoError> {
        Ok(Self {
            kek: Key::random()?,
            lookup: Key::random()?,
        })
    }
}

/// The same as Transit wrapped them.
#[derive(Clone)]
pub(super) struct WrappedPair {
    pub(super) kek: String,
    pub(super) lookup: String,
}

impl WrappedPair {
    /// Oldest and newest version of the Transit key under which they are.
    pub(super) fn versions(&self) -> Option<(u64, u64)> {
        let kek = transit_version(&self.kek)?;
        let lookup = transit_version(&self.lookup)?;
        Some((kek.min(lookup), kek.max(lookup)))
    }
}

pub(super) enum Keys {
    Plain(Pair),
    Wrapped(WrappedPair),
}

/// An epoch as the file holds it.
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) created_at: Timestamp,
    pub(super) keys: Keys,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    service: String,
    epochs: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kek: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lookup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kek_wrapped: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lookup_wrapped: Option<String>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.kek.zeroize();
        self.lookup.zeroize();
    }
}

impl Entry {
    fn read(&self, version: u32, modified: Timestamp) -> Result<Stored, &'static str> {
        let created_at = match self.created_at {
            Some(at) => at,
            None if version == 1 => modified,
            None => return Err("an epoch has no created_at"),
        };
        let entries = (
            &self.kek,
            &self.lookup,
            &self.kek_wrapped,
            &self.lookup_wrapped,
        );
        let keys = match entries {
            (Some(kek), Some(lookup), None, None) => Keys::Plain(Pair {
                kek: decode(kek).ok_or("a key is not 32 bytes")?,
                lookup: decode(lookup).ok_or("a key is not 32 bytes")?,
            }),
            (None, None, Some(kek), Some(lookup)) => Keys::Wrapped(WrappedPair {
                kek: kek.clone(),
                lookup: lookup.clone(),
            }),
            _ => return Err("an epoch needs kek and lookup, or kek_wrapped and lookup_wrapped"),
        };
        Ok(Stored {
            id: self.id,
            created_at,
            keys,
        })
    }
}

impl From<&Stored> for Entry {
    fn from(stored: &Stored) -> Self {
        let (plain, wrapped) = match &stored.keys {
            Keys::Plain(pair) => (Some(pair), None),
            Keys::Wrapped(pair) => (None, Some(pair)),
        };
        Self {
            id: stored.id,
            created_at: Some(stored.created_at),
            kek: plain.map(|pair| STANDARD.encode(pair.kek.expose())),
            lookup: plain.map(|pair| STANDARD.encode(pair.lookup.expose())),
            kek_wrapped: wrapped.map(|pair| pair.kek.clone()),
            lookup_wrapped: wrapped.map(|pair| pair.lookup.clone()),
        }
    }
}

/// The service and its epochs, oldest first; at least one. `modified` is when
/// the file was last written.
pub(super) fn parse(
    text: &[u8],
    modified: Timestamp,
) -> Result<(String, Vec<Stored>), &'static str> {
    let document: Document = serde_json::from_slice(text).map_err(|_| "not the JSON of one")?;
    if !(1..=VERSION).contains(&document.version) {
        return Err("a version this program does not know");
    }
    let mut epochs = document
        .epochs
        .iter()
        .map(|entry| entry.read(document.version, modified))
        .collect::<Result<Vec<_>, _>>()?;
    epochs.sort_by_key(|epoch| epoch.id);
    if epochs.is_empty() {
        return Err("no epoch");
    }
    if epochs.windows(2).any(|pair| pair[0].id == pair[1].id) {
        return Err("an epoch stands twice");
    }
    Ok((document.service, epochs))
}

pub(super) fn render(
    service: &str,
    epochs: &[Stored],
) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let document = Document {
        version: VERSION,
        service: service.into(),
        epochs: epochs.iter().map(Entry::from).collect(),
    };
    let mut text = Zeroizing::new(Vec::<u8>::with_capacity(EPOCH_TEXT * (epochs.len() + 1)));
    serde_json::to_writer_pretty(&mut *text, &document)?;
    Ok(text)
}

/// A key from base64.
pub(super) fn decode(text: &str) -> Option<Key> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    Key::from_slice(&bytes)
}

/// 3 for `vault:v3:…`.
fn transit_version(wrapped: &str) -> Option<u64> {
    wrapped
        .split(':')
        .nth(1)?
        .strip_prefix('v')?
        .parse()
        .ok()
        .filter(|version| *version > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &str) -> String {
        format!("{{\"service\":\"a-svc\",{body}}}")
    }

    fn fault(body: &str) -> &'static str {
        parse(text(body).as_bytes(), Timestamp::UNIX_EPOCH)
            .err()
            .expect("refused")
    }

    #[test]
    fn what_was_written_is_read() {
        let pair = Pair::random().expect("keys");
        let created_at: Timestamp = "2026-11-24T06:00:00Z".parse().expect("a time");
        let wrapped = WrappedPair {
            kek: "vault:v3:AAAA".into(),
            lookup: "vault:v2:AAAA".into(),
        };
        let epochs = [
            Stored {
                id: 2,
                created_at,
                keys: Keys::Wrapped(wrapped),
            },
            Stored {
                id: 1,
                created_at,
                keys: Keys::Plain(pair.clone()),
            },
        ];
        let text = render("a-svc", &epochs).expect("rendered");
        let (service, read) = parse(&text, Timestamp::UNIX_EPOCH).expect("parsed");
        assert_eq!(service, "a-svc");
        assert_eq!((read[0].id, read[1].id), (1, 2));
        assert_eq!(read[0].created_at, created_at);
        match (&read[0].keys, &read[1].keys) {
            (Keys::Plain(first), Keys::Wrapped(second)) => {
                assert_eq!(first.kek.expose(), pair.kek.expose());
                assert_eq!(first.lookup.expose(), pair.lookup.expose());
                assert_eq!(second.versions(), Some((2, 3)));
            }
            _ => panic!("other keys than were written"),
        }
    }

    #[test]
    fn what_is_no_keyring_is_named() {
        let key = STANDARD.encode([7; 32]);
        let keys = format!("\"kek\":\"{key}\",\"lookup\":\"{key}\"");
        let at = "\"created_at\":\"2026-11-24T06:00:00Z\"";
        let good = format!("{{\"id\":1,{at},{keys}}}");
        let short = keys.replace(&key, "AA==");
        for (version, epochs, wanted) in [
            (2, String::new(), "no epoch"),
            (3, good.clone(), "version"),
            (2, format!("{{\"id\":1,{keys}}}"), "created_at"),
            (2, format!("{good},{good}"), "twice"),
            (2, format!("{{\"id\":1,{at},\"kek\":\"{key}\"}}"), "needs"),
            (2, good.replace("}", ",\"kek_wrapped\":\"x\"}"), "needs"),
            (2, good.replace(&keys, &short), "32 bytes"),
            (2, good.replace("}", ",\"x\":1}"), "JSON"),
        ] {
            let body = format!("\"version\":{version},\"epochs\":[{epochs}]");
            let told = fault(&body);
            assert!(told.contains(wanted), "{told}: {wanted}");
        }
    }

    #[test]
    fn transit_versions_are_read() {
        assert_eq!(transit_version("vault:v12:abc"), Some(12));
        for wrong in [
            "",
            "vault",
            "vault:12:abc",
            "vault:v:abc",
            "vault:v0:abc",
            "vault:v-1:abc",
        ] {
            assert_eq!(transit_version(wrong), None, "{wrong}");
        }
    }
}
