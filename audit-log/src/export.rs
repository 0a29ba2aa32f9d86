//! A log, or some of its entries, as JSON Lines that anybody can check without
//! the service: a header with the key and a checkpoint, then a line an entry.
//! A whole export has the tree's hash of every entry, and the entry where
//! retention has not destroyed it; of a selection each entry brings the path
//! that leads from it to the root.

mod lines;
#[cfg(test)]
mod tests;

use std::io::BufRead;

use lines::{Lines, Ordered};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tlog_tiles::Hash;
use uuid::Uuid;

use crate::{
    CheckpointError, Entry, Finding, Head, Report, Row, SealedLink, TreeError, Verification,
    VerifierKey, finding::Findings, proof::is_included, tree::WIDTH,
};

const VERSION: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("the file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("line {0} is none of an export")]
    Line(u64),
    #[error("this is no export of this form: its version is {0}")]
    Version(u32),
    #[error("the export is of the log {found}; the key is of {wanted}")]
    AnotherLog { found: String, wanted: String },
    #[error(
        "of a selection no earlier checkpoint can be held against its entries: take a whole export"
    )]
    Selection,
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Tree(#[from] TreeError),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub version: u32,
    /// The log's name.
    pub log: String,
    /// Verifier key of its checkpoints.
    pub key: String,
    /// Every entry from the first to the checkpoint's last is there.
    pub whole: bool,
    /// The signed note.
    pub checkpoint: String,
}

impl Header {
    pub fn new(key: &VerifierKey, checkpoint: &str, whole: bool) -> Self {
        Self {
            version: VERSION,
            log: key.origin().to_owned(),
            key: key.as_str().to_owned(),
            whole,
            checkpoint: checkpoint.to_owned(),
        }
    }

    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    number: u64,
    /// To the byte as it is hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<Box<RawValue>>,
    /// Base64, as the tree has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    /// Base64, from the entry up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<Vec<String>>,
}

/// A line of a whole export; no payload where retention has destroyed it.
pub fn whole_line(number: u64, payload: Option<&str>, hash: Hash) -> Option<String> {
    line(number, payload, Some(hash), None)
}

/// A line of a selection.
pub fn proved_line(number: u64, payload: &str, proof: &[Hash]) -> Option<String> {
    line(number, Some(payload), None, Some(proof))
}

/// None for a payload that is not JSON in one line.
fn line(
    number: u64,
    payload: Option<&str>,
    hash: Option<Hash>,
    proof: Option<&[Hash]>,
) -> Option<String> {
    let entry = match payload {
        Some(text) if text.contains('\n') => return None,
        Some(text) => Some(RawValue::from_string(text.to_owned()).ok()?),
        None => None,
    };
    let line = Line {
        number,
        entry,
        hash: hash.map(|hash| hash.to_string()),
        proof: proof.map(|path| path.iter().map(Hash::to_string).collect()),
    };
    serde_json::to_string(&line).ok()
}

/// What was found in an export.
#[derive(Debug)]
pub struct Checked {
    /// The key that its checkpoint was verified with.
    pub key: VerifierKey,
    pub whole: bool,
    pub checkpoint: Head,
    /// Entries that the export holds.
    pub entries: u64,
    /// Numbers of the entries of the opening that was asked for.
    pub of_opening: Vec<u64>,
    pub report: Report,
}

/// What an export is held against.
#[derive(Default)]
pub struct Against<'a> {
    /// The log's key as its reader knows it; else the export's own word.
    pub key: Option<&'a VerifierKey>,
    /// Earlier checkpoints, signed.
    pub checkpoints: Vec<String>,
    pub opening: Option<Uuid>,
}

/// Reads an export and checks whatever it holds.
pub fn check(file: impl BufRead, against: &Against<'_>) -> Result<Checked, ExportError> {
    let mut lines = Lines::new(file);
    let header: Header = lines
        .text()?
        .and_then(|line| serde_json::from_str(&line).ok())
        .ok_or(ExportError::Line(1))?;
    if header.version != VERSION {
        return Err(ExportError::Version(header.version));
    }
    let key = match against.key {
        Some(key) => key.clone(),
        None => VerifierKey::parse(&header.key)?,
    };
    if header.log != key.origin() {
        return Err(ExportError::AnotherLog {
            found: header.log,
            wanted: key.origin().to_owned(),
        });
    }
    let checkpoint = key.open(&header.checkpoint)?;
    let mut heads = vec![checkpoint];
    for earlier in &against.checkpoints {
        heads.push(key.open(earlier)?);
    }
    let mut seen = Seen {
        opening: against.opening,
        entries: 0,
        of_opening: vec![],
    };
    let report = if header.whole {
        whole(lines, checkpoint.size, heads, &mut seen)?
    } else if against.checkpoints.is_empty() {
        selection(lines, checkpoint, &mut seen)?
    } else {
        return Err(ExportError::Selection);
    };
    Ok(Checked {
        key,
        whole: header.whole,
        checkpoint,
        entries: seen.entries,
        of_opening: seen.of_opening,
        report,
    })
}

/// What is counted on the way.
struct Seen {
    opening: Option<Uuid>,
    entries: u64,
    of_opening: Vec<u64>,
}

impl Seen {
    fn see(&mut self, number: u64, payload: &str) {
        self.entries += 1;
        if self.opening.is_some()
            && Entry::parse(payload.as_bytes()).is_some_and(|entry| entry.opening == self.opening)
        {
            self.of_opening.push(number);
        }
    }
}

fn whole(
    lines: Lines<impl BufRead>,
    size: u64,
    heads: Vec<Head>,
    seen: &mut Seen,
) -> Result<Report, ExportError> {
    let mut verification = Verification::new(heads)?;
    let mut lines = Ordered::new(lines);
    let mut told = lines.next()?;
    while verification.next() < size {
        let first = verification.next();
        let end = size.min(first.saturating_add(WIDTH));
        let mut rows = vec![];
        let mut hashes = vec![];
        for number in first..end {
            let Some(line) = told.take_if(|line| line.number == number) else {
                hashes.push(None);
                continue;
            };
            let hash = line.hash.as_deref().map(Hash::parse_hash).transpose();
            hashes.push(hash.map_err(|_| lines.broken())?);
            if let Some(entry) = line.entry {
                seen.see(number, entry.get());
                rows.push(untold_row(number, entry.get()));
            }
            told = lines.next()?;
        }
        verification.add(rows, &hashes)?;
    }
    while let Some(line) = told {
        verification.inserted(line.number);
        told = lines.next()?;
    }
    for number in lines.misplaced() {
        verification.inserted(*number);
    }
    Ok(verification.finish())
}

fn untold_row(number: u64, payload: &str) -> Row {
    Row {
        number,
        payload: payload.as_bytes().to_vec(),
        link: SealedLink::Untold,
        columns: None,
    }
}

fn selection(
    mut lines: Lines<impl BufRead>,
    head: Head,
    seen: &mut Seen,
) -> Result<Report, ExportError> {
    let mut findings = Findings::default();
    while let Some(line) = lines.next()? {
        let (Some(entry), Some(proof)) = (line.entry, line.proof) else {
            return Err(lines.broken());
        };
        let mut path = Vec::with_capacity(proof.len());
        for hash in &proof {
            path.push(Hash::parse_hash(hash).map_err(|_| lines.broken())?);
        }
        seen.see(line.number, entry.get());
        if !is_included(head, line.number, entry.get().as_bytes(), &path) {
            findings.add(Finding::Proof {
                number: line.number,
            });
        }
    }
    Ok(Report {
        size: head.size,
        destroyed: 0,
        links_gone: 0,
        checkpoints: vec![head.size],
        findings,
    })
}
