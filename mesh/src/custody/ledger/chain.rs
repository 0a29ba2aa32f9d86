//! A ledger that was verified up to some byte, and what is done with it.

use std::{
    collections::HashMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Entry, LedgerError,
    file::{cut_half, io, open_locked, read_from, same_file},
    line,
    start::{begin, belongs},
    text::{entries_in, split_line, whole_lines},
};
use crate::{
    clock::{from_micros, to_micros},
    custody::{Identity, Signer, config::ErasureConfig, signer::Verifier},
    fault,
};

pub(super) struct Chain {
    path: PathBuf,
    copies: Vec<PathBuf>,
    signer: Signer,
    verifier: Verifier,
    kid: String,
    /// Bytes and lines that were verified.
    length: u64,
    lines: u64,
    /// Hash of the last of them.
    last: String,
    entries: Vec<Entry>,
    /// Where the newest entry of an id stands.
    by_id: HashMap<Uuid, usize>,
}

impl Chain {
    pub(super) fn open(
        config: ErasureConfig,
        identity: &Identity,
        signer: Signer,
    ) -> Result<Self, LedgerError> {
        let path = config.ledger;
        let name = path.file_name().unwrap_or_default();
        let copies: Vec<PathBuf> = config.copies.iter().map(|at| at.join(name)).collect();
        let mut file = open_locked(&path)?;
        for copy in &copies {
            // A lock that is waited for by its own holder never comes.
            if same_file(copy, &file) {
                return Err(LedgerError::CopyOfItself { path: copy.clone() });
            }
        }
        let mut bytes = read_from(&mut file, &path, 0)?;
        if !bytes.contains(&b'\n') {
            begin(&mut file, &path, &copies, identity, &signer)?;
            bytes = read_from(&mut file, &path, 0)?;
        }
        let whole = cut_half(&file, &path, 0, &bytes)?;
        let (first, rest) = split_line(whole);
        let (header, verifier) =
            line::read_header(first).map_err(|detail| LedgerError::Broken {
                path: path.clone(),
                line: 1,
                detail,
            })?;
        belongs(&path, &header, identity)?;
        let mut chain = Self {
            length: first.len() as u64 + 1,
            lines: 1,
            last: line::hash(first),
            kid: header.key.kid,
            path,
            copies,
            signer,
            verifier,
            entries: Vec::new(),
            by_id: HashMap::new(),
        };
        chain.absorb(rest)?;
        for copy in &chain.copies {
            chain.compare(copy, whole)?;
        }
        chain.copy_out(&mut file)?;
        Ok(chain)
    }

    pub(super) fn append(
        &mut self,
        id: Uuid,
        pseudonym: Uuid,
        at: Timestamp,
    ) -> Result<Entry, LedgerError> {
        self.append_unless(id, pseudonym, at, |written, new| written.at == new.at)
    }

    pub(super) fn append_once(
        &mut self,
        id: Uuid,
        pseudonym: Uuid,
        at: Timestamp,
    ) -> Result<Entry, LedgerError> {
        self.append_unless(id, pseudonym, at, |_, _| true)
    }

    fn append_unless(
        &mut self,
        id: Uuid,
        pseudonym: Uuid,
        at: Timestamp,
        is_same: impl Fn(&Entry, &Entry) -> bool,
    ) -> Result<Entry, LedgerError> {
        if self.signer.jwk().kid != self.kid {
            return Err(LedgerError::OtherKey {
                path: self.path.clone(),
                kid: self.kid.clone(),
            });
        }
        let mut file = open_locked(&self.path)?;
        let bytes = self.unread(&mut file)?;
        let whole = cut_half(&file, &self.path, self.length, &bytes)?;
        self.absorb(whole)?;
        let entry = Entry {
            number: self.last_number() + 1,
            id,
            pseudonym,
            // What a caller read back from its database has no more digits.
            at: from_micros(to_micros(at)),
        };
        let written = self
            .of(id)
            .filter(|written| written.pseudonym == entry.pseudonym && is_same(written, &entry));
        if let Some(written) = written.cloned() {
            self.copy_out(&mut file)?;
            return Ok(written);
        }
        let text = line::write_entry(&entry, &self.last, &self.signer).map_err(|_| {
            LedgerError::Unsigned {
                path: self.path.clone(),
            }
        })?;
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all());
        if let Err(source) = written {
            // A line that was not confirmed must not stand before the next one.
            let _ = file.set_len(self.length);
            return Err(io(&self.path)(source));
        }
        self.absorb(text.as_bytes())?;
        fault::point("ledger.before_copies");
        self.copy_out(&mut file)?;
        Ok(entry)
    }

    /// Takes what another replica has appended.
    pub(super) fn refresh(&mut self) -> Result<(), LedgerError> {
        let mut file = File::open(&self.path).map_err(io(&self.path))?;
        let bytes = self.unread(&mut file)?;
        // Half a line here is one that is being written.
        self.absorb(whole_lines(&bytes))
    }

    pub(super) fn last_number(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn after(&self, number: u64) -> &[Entry] {
        let start = usize::try_from(number).unwrap_or(usize::MAX);
        self.entries.get(start..).unwrap_or_default()
    }

    pub(super) fn contains(&self, id: Uuid) -> bool {
        self.by_id.contains_key(&id)
    }

    fn of(&self, id: Uuid) -> Option<&Entry> {
        self.entries.get(*self.by_id.get(&id)?)
    }

    pub(super) fn require(&self, at_least: u64, known_by: String) -> Result<(), LedgerError> {
        if self.last_number() >= at_least {
            return Ok(());
        }
        Err(LedgerError::Short {
            path: self.path.clone(),
            found: self.last_number(),
            known: at_least,
            known_by,
        })
    }

    fn broken(&self, line: u64, detail: &'static str) -> LedgerError {
        LedgerError::Broken {
            path: self.path.clone(),
            line,
            detail,
        }
    }

    fn unread(&self, file: &mut File) -> Result<Vec<u8>, LedgerError> {
        let length = file.metadata().map_err(io(&self.path))?.len();
        if length < self.length {
            return Err(self.broken(self.lines, "is gone: the file has become shorter"));
        }
        read_from(file, &self.path, self.length)
    }

    /// Whole lines that follow what was verified so far.
    fn absorb(&mut self, text: &[u8]) -> Result<(), LedgerError> {
        let mut rest = text;
        while !rest.is_empty() {
            let (first, after) = split_line(rest);
            let (line, number) = (self.lines + 1, self.last_number() + 1);
            let entry = line::read_entry(first, number, &self.last, &self.verifier)
                .map_err(|detail| self.broken(line, detail))?;
            self.by_id.insert(entry.id, self.entries.len());
            self.entries.push(entry);
            self.lines = line;
            self.length += first.len() as u64 + 1;
            self.last = line::hash(first);
            rest = after;
        }
        Ok(())
    }

    /// A copy is the ledger's beginning, or the whole of it.
    fn compare(&self, copy: &Path, ledger: &[u8]) -> Result<(), LedgerError> {
        let mut file = open_locked(copy)?;
        let bytes = read_from(&mut file, copy, 0)?;
        if ledger.starts_with(&bytes) {
            return Ok(());
        }
        if bytes.starts_with(ledger) {
            return self.require(entries_in(&bytes), copy.display().to_string());
        }
        let same = ledger.iter().zip(&bytes).take_while(|(a, b)| a == b);
        let line = 1 + same.filter(|(byte, _)| **byte == b'\n').count() as u64;
        Err(LedgerError::Parted {
            path: self.path.clone(),
            copy: copy.to_owned(),
            line,
        })
    }

    /// Appends to each copy what it lacks.
    fn copy_out(&self, file: &mut File) -> Result<(), LedgerError> {
        for path in &self.copies {
            let mut copy = open_locked(path)?;
            let length = copy.metadata().map_err(io(path))?.len();
            if length > self.length {
                let known = entries_in(&read_from(&mut copy, path, 0)?);
                return self.require(
                    known.max(self.last_number() + 1),
                    path.display().to_string(),
                );
            }
            if length < self.length {
                let missing = read_from(file, &self.path, length)?;
                copy.write_all(&missing)
                    .and_then(|()| copy.sync_all())
                    .map_err(io(path))?;
            }
        }
        Ok(())
    }
}
