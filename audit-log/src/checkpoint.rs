//! The tree's root under a signature: a note (C2SP signed-note) whose text is
//! a checkpoint (C2SP tlog-checkpoint). Signed by ring, verified by another
//! library, as an outsider would.

use ring::signature::{Ed25519KeyPair, KeyPair};
use signed_note::{
    Note, Signer, StandardVerifier, Verifier, VerifierList, is_key_name_valid, key_id,
};
use tlog_tiles::{Checkpoint, Hash};

/// The algorithm's byte in key and key id (C2SP signed-note).
const ED25519: u8 = 1;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckpointError {
    #[error("a log's name must not be empty nor hold spaces or a plus sign")]
    Origin,
    #[error("this is no Ed25519 key")]
    Key,
    #[error("this is no verifier key of the form <name>+<id>+<key>")]
    VerifierKey,
    #[error("this is no checkpoint in the form of C2SP tlog-checkpoint")]
    Malformed,
    #[error("the checkpoint is not signed by {0}")]
    Unsigned(String),
}

/// The tree at one size, as a checkpoint tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head {
    pub size: u64,
    pub root: Hash,
}

/// Signs checkpoints under the log's name.
pub struct LogKey {
    origin: String,
    id: u32,
    pair: Ed25519KeyPair,
}

impl LogKey {
    pub fn from_seed(origin: &str, seed: &[u8; 32]) -> Result<Self, CheckpointError> {
        if !is_key_name_valid(origin) {
            return Err(CheckpointError::Origin);
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| CheckpointError::Key)?;
        Ok(Self {
            origin: origin.to_owned(),
            id: key_id(origin, &tagged(&pair)),
            pair,
        })
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn verifier(&self) -> Result<VerifierKey, CheckpointError> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let key = STANDARD.encode(tagged(&self.pair));
        VerifierKey::parse(&format!("{}+{:08x}+{key}", self.origin, self.id))
    }

    pub fn sign(&self, head: Head) -> Result<String, CheckpointError> {
        let text = Checkpoint::new(&self.origin, head.size, head.root, "")
            .map_err(|_| CheckpointError::Origin)?;
        let mut note = Note::new(&text.to_bytes(), &[]).map_err(|_| CheckpointError::Origin)?;
        note.add_sigs(&[self as &dyn Signer])
            .map_err(|_| CheckpointError::Key)?;
        String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::Malformed)
    }
}

fn tagged(pair: &Ed25519KeyPair) -> Vec<u8> {
    let mut key = vec![ED25519];
    key.extend_from_slice(pair.public_key().as_ref());
    key
}

impl Signer for LogKey {
    fn name(&self) -> &str {
        &self.origin
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.pair.sign(message).as_ref().to_vec())
    }
}

/// Verifies checkpoints of one log.
#[derive(Clone)]
pub struct VerifierKey {
    text: String,
    verifier: StandardVerifier,
}

impl VerifierKey {
    /// Reads `<name>+<id>+<key>`, as C2SP signed-note writes verifier keys.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let text = text.trim();
        let verifier = StandardVerifier::new(text).map_err(|_| CheckpointError::VerifierKey)?;
        Ok(Self {
            text: text.to_owned(),
            verifier,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        self.verifier.name()
    }

    /// What the checkpoint says, where this key signed it; others may have too.
    pub fn open(&self, note: &str) -> Result<Head, CheckpointError> {
        let note = Note::from_bytes(note.as_bytes()).map_err(|_| CheckpointError::Malformed)?;
        let known = VerifierList::new(vec![Box::new(self.verifier.clone())]);
        note.verify(&known)
            .map_err(|_| CheckpointError::Unsigned(self.text.clone()))?;
        let checkpoint =
            Checkpoint::from_bytes(note.text()).map_err(|_| CheckpointError::Malformed)?;
        if checkpoint.origin() != self.origin() {
            return Err(CheckpointError::Unsigned(self.text.clone()));
        }
        Ok(Head {
            size: checkpoint.size(),
            root: *checkpoint.hash(),
        })
    }
}

impl std::fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a line is a signature that can stand under a checkpoint.
pub fn is_signature_line(line: &str) -> bool {
    signed_note::Signature::from_bytes(line.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> LogKey {
        LogKey::from_seed("propdev.example/audit", &[7; 32]).expect("a key")
    }

    fn head(size: u64) -> Head {
        let root = tlog_tiles::record_hash(&size.to_be_bytes());
        Head { size, root }
    }

    #[test]
    fn what_is_signed_is_the_form_that_outsiders_read() {
        let note = key().sign(head(3)).expect("signed");
        let lines: Vec<&str> = note.split('\n').collect();
        assert_eq!(lines[0], "propdev.example/audit");
        assert_eq!(lines[1], "3");
        assert_eq!(lines[2], head(3).root.to_string());
        assert_eq!(lines[3], "");
        assert!(lines[4].starts_with("\u{2014} propdev.example/audit "));
        assert!(is_signature_line(lines[4]));
        let verifier = key().verifier().expect("a key");
        assert_eq!(verifier.origin(), "propdev.example/audit");
        assert_eq!(verifier.open(&note), Ok(head(3)));
        let witnessed = format!("{note}\u{2014} witness.example AAAAAAAAAAAAAAAA\n");
        assert_eq!(verifier.open(&witnessed), Ok(head(3)));
    }

    #[test]
    fn another_key_or_name_is_not_believed() {
        let note = key().sign(head(3)).expect("signed");
        for stranger in [
            LogKey::from_seed("propdev.example/audit", &[8; 32]),
            LogKey::from_seed("other.example/audit", &[7; 32]),
        ] {
            let verifier = stranger.and_then(|key| key.verifier()).expect("a key");
            let refused = verifier.open(&note).expect_err("a stranger's");
            assert!(matches!(refused, CheckpointError::Unsigned(_)));
        }
        for name in ["", "a b", "a+b", "a\nb"] {
            let refused = LogKey::from_seed(name, &[7; 32]).err();
            assert_eq!(refused, Some(CheckpointError::Origin), "{name:?}");
        }
        for text in ["", "x", "a+00000000+AQ=="] {
            assert!(VerifierKey::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_change_breaks_the_signature(at: prop::sample::Index, byte: u8) {
            let note = key().sign(head(1_234_567)).expect("signed");
            let verifier = key().verifier().expect("a key");
            let mut edited = note.clone().into_bytes();
            let at = at.index(edited.len());
            prop_assume!(edited[at] != byte);
            edited[at] = byte;
            if let Ok(edited) = String::from_utf8(edited) {
                prop_assert!(verifier.open(&edited).is_err(), "{}", edited);
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "(\\PC|\n)*") {
            let _ = key().verifier().expect("a key").open(&text);
            let _ = VerifierKey::parse(&text);
            let _ = is_signature_line(&text);
        }
    }
}
