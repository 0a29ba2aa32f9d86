//! The log against its signed checkpoints, and against those kept elsewhere.

mod whole;

use std::{
    fs,
    io::BufReader,
    path::{Path, PathBuf},
};

use audit_log::{
    Entry, Finding, Hash, Head, Report, VerifierKey,
    export::{Against, check},
    finding::Findings,
    proof,
};
use clap::Args;
use propdev_proto::access::{GetLogRequest, ProveEntriesRequest};
use serde_json::json;
use uuid::Uuid;

use super::{LogClient, client};
use crate::{
    connection::Session,
    error::Failure,
    input,
    output::{Output, note},
};

#[derive(Args)]
pub(crate) struct Verify {
    /// The log's key as you know it, in a file; without it, the service's own word
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// A checkpoint that was kept elsewhere; may be given several times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,

    /// One opening instead of the whole log: proofs alone, however long the log is
    #[arg(long, value_name = "UUID")]
    opening: Option<Uuid>,

    /// An export in place of the service
    #[arg(long, value_name = "FILE")]
    offline: Option<PathBuf>,
}

/// What a verification found.
struct Outcome {
    what: String,
    size: u64,
    destroyed: u64,
    links_gone: u64,
    checkpoints: Vec<u64>,
    findings: Findings,
}

impl Outcome {
    fn of(what: &str, report: Report) -> Self {
        Self {
            what: what.into(),
            size: report.size,
            destroyed: report.destroyed,
            links_gone: report.links_gone,
            checkpoints: report.checkpoints,
            findings: report.findings,
        }
    }

    fn tell(&self, output: &Output) -> Result<(), Failure> {
        let good = self.findings.is_empty();
        let told = self.findings.told();
        let lines: Vec<String> = told.iter().map(ToString::to_string).collect();
        output.print(
            || {
                Ok(json!({
                    "good": good,
                    "checked": self.what,
                    "size": self.size,
                    "checkpoints": self.checkpoints,
                    "destroyed_by_retention": self.destroyed,
                    "links_gone_by_erasure": self.links_gone,
                    "findings": lines,
                    "more_findings": self.findings.more(),
                }))
            },
            || {
                let mut text = lines.clone();
                if self.findings.more() > 0 {
                    text.push(format!("and {} more", self.findings.more()));
                }
                if good {
                    let checkpoints: Vec<String> =
                        self.checkpoints.iter().map(u64::to_string).collect();
                    text.push(format!(
                        "good: {} of {} entries, signed at {}; {} destroyed by retention, \
                         {} links gone by erasure",
                        self.what,
                        self.size,
                        checkpoints.join(", "),
                        self.destroyed,
                        self.links_gone
                    ));
                }
                text.join("\n")
            },
        )?;
        if good {
            return Ok(());
        }
        Err(Failure::Outcome {
            message: "the log is not what was signed".into(),
            exit_code: Failure::REFUSED,
        })
    }
}

impl Verify {
    /// None when the service is asked.
    pub(super) fn offline(&self, output: &Output) -> Option<Result<(), Failure>> {
        let export = self.offline.as_ref()?;
        Some(self.check_export(export, output))
    }

    fn check_export(&self, export: &Path, output: &Output) -> Result<(), Failure> {
        let fault = |error: String| Failure::Usage(format!("{}: {error}", export.display()));
        let file = fs::File::open(export).map_err(|error| fault(error.to_string()))?;
        let key = self.known_key()?;
        let against = Against {
            key: key.as_ref(),
            checkpoints: self.checkpoint_notes()?,
            opening: self.opening,
        };
        let checked = check(BufReader::new(file), &against).map_err(|e| fault(e.to_string()))?;
        if key.is_none() {
            trusted_on_its_word(&checked.key);
        }
        if let Some(opening) = self.opening
            && checked.of_opening.is_empty()
        {
            return Err(Failure::Outcome {
                message: format!("the export holds nothing of the opening {opening}"),
                exit_code: Failure::NOT_FOUND,
            });
        }
        let what = match (&self.opening, checked.whole) {
            (Some(opening), _) => format!("opening {opening} and the rest of the export"),
            (None, true) => "the whole log".into(),
            (None, false) => format!("a selection of {}", checked.entries),
        };
        Outcome::of(&what, checked.report).tell(output)
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let mut log = client(session)?;
        let state = log.get_log(GetLogRequest {}).await?.into_inner();
        if state.size == 0 {
            return Err(Failure::incomplete(
                "a checkpoint: the log has no entry yet",
            ));
        }
        let key = match self.known_key()? {
            Some(key) => key,
            None => {
                let key = VerifierKey::parse(&state.verifier_key);
                let key = key.map_err(|_| Failure::incomplete("the log's key"))?;
                trusted_on_its_word(&key);
                key
            }
        };
        let newest = open(&key, &state.checkpoint)?;
        let mut kept = vec![];
        for note in self.checkpoint_notes()? {
            kept.push(open(&key, &note)?);
        }
        let outcome = match self.opening {
            Some(opening) => one_opening(&mut log, opening, &kept, newest).await?,
            None => {
                let report = whole::verify(&mut log, &key, kept, newest).await?;
                Outcome::of("the whole log", report)
            }
        };
        outcome.tell(&session.output)
    }

    fn known_key(&self) -> Result<Option<VerifierKey>, Failure> {
        let Some(file) = &self.key else {
            return Ok(None);
        };
        let key = VerifierKey::parse(&input::text(file)?)
            .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
        Ok(Some(key))
    }

    fn checkpoint_notes(&self) -> Result<Vec<String>, Failure> {
        self.checkpoint.iter().map(|f| input::text(f)).collect()
    }
}

fn trusted_on_its_word(key: &VerifierKey) {
    note(&format!(
        "the key is the log's own word; give the one you know by --key: {}",
        key.as_str()
    ));
}

fn open(key: &VerifierKey, note: &str) -> Result<Head, Failure> {
    key.open(note).map_err(|error| Failure::Outcome {
        message: error.to_string(),
        exit_code: Failure::REFUSED,
    })
}

/// The paths from an opening's entries to the signed root, and that this tree
/// goes on from those kept elsewhere.
async fn one_opening(
    log: &mut LogClient,
    opening: Uuid,
    kept: &[Head],
    newest: Head,
) -> Result<Outcome, Failure> {
    let request = ProveEntriesRequest {
        opening_id: opening.to_string(),
        size: newest.size,
        ..ProveEntriesRequest::default()
    };
    let entries = log.prove_entries(request).await?.into_inner().entries;
    if entries.is_empty() {
        return Err(Failure::Outcome {
            message: format!("the entries of the opening {opening} wait for a checkpoint"),
            exit_code: Failure::NOT_FOUND,
        });
    }
    let mut findings = Findings::default();
    for proved in &entries {
        let entry = proved.entry.clone().unwrap_or_default();
        let number = entry.number;
        let of_it =
            Entry::parse(&entry.payload).is_some_and(|entry| entry.opening == Some(opening));
        let path = path(&proved.path)?;
        if !of_it || !proof::is_included(newest, number, &entry.payload, &path) {
            findings.add(Finding::Proof { number });
        }
    }
    let mut checkpoints = vec![newest.size];
    for head in kept {
        let size = head.size;
        if size > newest.size {
            let entries = newest.size;
            findings.add(Finding::Short { size, entries });
            continue;
        }
        let request = ProveEntriesRequest {
            earlier_size: size,
            size: newest.size,
            ..ProveEntriesRequest::default()
        };
        let proved = log.prove_entries(request).await?.into_inner();
        if !proof::follows(newest, *head, &path(&proved.consistency)?) {
            findings.add(Finding::Fork { size });
        }
        checkpoints.push(size);
    }
    Ok(Outcome {
        what: format!("{} entries of opening {opening}", entries.len()),
        size: newest.size,
        destroyed: 0,
        links_gone: 0,
        checkpoints,
        findings,
    })
}

pub(super) fn path(hashes: &[Vec<u8>]) -> Result<Vec<Hash>, Failure> {
    hashes
        .iter()
        .map(|hash| proof::hash(hash).ok_or_else(|| Failure::incomplete("hashes of 32 bytes")))
        .collect()
}
