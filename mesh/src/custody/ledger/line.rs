//! The lines of a ledger, written and read.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::custody::{
    CustodyError, Identity,
    signer::{Jwk, Signer, Verifier},
};

const FORMAT: &str = "propdev erasure ledger";
const VERSION: u32 = 1;
const PURPOSE: &str = "propdev-ledger+jwt";

/// An erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From 1, without gaps.
    pub number: u64,
    /// As this service knows the subject.
    pub id: Uuid,
    /// As the audit log knows the person.
    pub pseudonym: Uuid,
    pub at: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    format: String,
    version: u32,
    pub(super) service: String,
    pub(super) deployment: String,
    pub(super) region: String,
    pub(super) key: Jwk,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    ledger: Header,
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryLine {
    number: u64,
    id: Uuid,
    pseudonym: Uuid,
    at: Timestamp,
    signature: String,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryClaims {
    number: u64,
    id: Uuid,
    pseudonym: Uuid,
    at: Timestamp,
    /// The hash of the line before.
    previous: String,
}

/// Of a line without its end.
pub(super) fn hash(line: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, line))
}

pub(super) fn write_header(identity: &Identity, signer: &Signer) -> Result<String, CustodyError> {
    let ledger = Header {
        format: FORMAT.into(),
        version: VERSION,
        service: identity.service.clone(),
        deployment: identity.deployment.clone(),
        region: identity.region.clone(),
        key: signer.jwk().clone(),
    };
    let signature = signer.sign(PURPOSE, &ledger)?;
    text(&HeaderLine { ledger, signature })
}

pub(super) fn read_header(line: &[u8]) -> Result<(Header, Verifier), &'static str> {
    let line: HeaderLine =
        serde_json::from_slice(line).map_err(|_| "is not the first one of a ledger")?;
    if line.ledger.format != FORMAT || line.ledger.version != VERSION {
        return Err("is of a format that this program does not know");
    }
    let verifier = line.ledger.key.verifier().ok_or("holds no public key")?;
    if verifier.claims::<Header>(PURPOSE, &line.signature).as_ref() != Some(&line.ledger) {
        return Err("is not what was signed");
    }
    Ok((line.ledger, verifier))
}

pub(super) fn write_entry(
    entry: &Entry,
    previous: &str,
    signer: &Signer,
) -> Result<String, CustodyError> {
    let claims = EntryClaims {
        number: entry.number,
        id: entry.id,
        pseudonym: entry.pseudonym,
        at: entry.at,
        previous: previous.to_owned(),
    };
    text(&EntryLine {
        number: entry.number,
        id: entry.id,
        pseudonym: entry.pseudonym,
        at: entry.at,
        signature: signer.sign(PURPOSE, &claims)?,
    })
}

/// The entry of that number, after a line of that hash.
pub(super) fn read_entry(
    line: &[u8],
    number: u64,
    previous: &str,
    verifier: &Verifier,
) -> Result<Entry, &'static str> {
    let line: EntryLine =
        serde_json::from_slice(line).map_err(|_| "is not an entry of a ledger")?;
    if line.number != number {
        return Err("does not bear the next number: a line was dropped or moved");
    }
    let claims: EntryClaims = verifier
        .claims(PURPOSE, &line.signature)
        .ok_or("does not bear the ledger's signature")?;
    if claims.previous != previous {
        return Err("does not follow the line before it, which was changed");
    }
    let entry = Entry {
        number,
        id: line.id,
        pseudonym: line.pseudonym,
        at: line.at,
    };
    let said = (claims.number, claims.id, claims.pseudonym, claims.at);
    if said != (number, entry.id, entry.pseudonym, entry.at) {
        return Err("is not what was signed");
    }
    Ok(entry)
}

fn text(line: &impl Serialize) -> Result<String, CustodyError> {
    let mut text =
        serde_json::to_string(line).map_err(|_| CustodyError::Signing("no JSON is made of it"))?;
    text.push('\n');
    Ok(text)
}
