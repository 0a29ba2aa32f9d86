//! By what a plate, a key or a fob is found: its hash under a key of the epoch.
//! What is hashed lies beside it, sealed under its holder's own key, so that it
//! is hashed anew when the epoch ends: a copy of the past and the keys of today
//! give no plate away by trial.

use std::ops::Range;

use mesh::keyring::{Epoch, Keyring};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::domain::{
    event::{CredentialKind, HoldingKind},
    plate::Plate,
};

/// Stands before a credential's partner and id.
const CREDENTIAL: u8 = 1;
const PARTNER: Range<usize> = 1..17;

/// A plate, a key or a fob, by what makes it one of its kind.
pub(crate) struct Sought {
    kind: HoldingKind,
    bytes: Zeroizing<Vec<u8>>,
}

impl Sought {
    pub(crate) fn plate(plate: &Plate) -> Self {
        Self {
            kind: HoldingKind::Vehicle,
            bytes: plate.lookup_bytes(),
        }
    }

    pub(crate) fn credential(partner: Uuid, kind: CredentialKind, id: &str) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(PARTNER.end + id.len()));
        bytes.push(CREDENTIAL);
        bytes.extend_from_slice(partner.as_bytes());
        bytes.extend_from_slice(id.as_bytes());
        Self {
            kind: kind.into(),
            bytes,
        }
    }

    /// Whose key or fob it is; a vehicle is no partner's.
    pub(super) fn partner(&self) -> Option<Uuid> {
        if self.kind == HoldingKind::Vehicle {
            return None;
        }
        Uuid::from_slice(&self.bytes[PARTNER]).ok()
    }

    /// What a holding seals.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// None for what an older release sealed: the plate or the id alone, whose
    /// first byte is printable.
    pub(super) fn unsealed(kind: HoldingKind, bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        let labelled = bytes.first().is_some_and(u8::is_ascii_control);
        let whole = kind == HoldingKind::Vehicle || bytes.len() > PARTNER.end;
        (labelled && whole).then_some(Self { kind, bytes })
    }

    /// What an older release sealed without its country or partner: among all
    /// there are, the one that has the row's hash.
    pub(super) fn by_trial(
        kind: HoldingKind,
        sealed: &[u8],
        lookup: &[u8],
        epoch: &Epoch,
        partners: &[Uuid],
    ) -> Option<Self> {
        let text = std::str::from_utf8(sealed).ok()?;
        let is_it = |sought: &Self| sought.hash(epoch) == lookup;
        let credential = |kind| {
            partners
                .iter()
                .map(|partner| Self::credential(*partner, kind, text))
                .find(is_it)
        };
        match kind {
            HoldingKind::Vehicle => Plate::in_any_country(text)
                .map(|plate| Self::plate(&plate))
                .find(is_it),
            HoldingKind::Key => credential(CredentialKind::Key),
            HoldingKind::Fob => credential(CredentialKind::Fob),
        }
    }

    pub(super) fn hash(&self, epoch: &Epoch) -> Vec<u8> {
        let (key, bytes) = (&epoch.lookup, self.bytes.as_slice());
        match self.kind {
            HoldingKind::Vehicle => key.mac(&[b"plate", bytes]),
            HoldingKind::Key => key.mac(&[b"key", &bytes[PARTNER], &bytes[PARTNER.end..]]),
            HoldingKind::Fob => key.mac(&[b"fob", &bytes[PARTNER], &bytes[PARTNER.end..]]),
        }
        .to_vec()
    }

    /// Its hashes under every live epoch: during a rotation a row may be under
    /// any of them.
    pub(super) fn hashes(&self, keyring: &Keyring) -> Vec<Vec<u8>> {
        keyring
            .epochs()
            .into_iter()
            // One that ends meanwhile has no rows any more.
            .filter_map(|id| keyring.epoch(id).ok())
            .map(|epoch| self.hash(&epoch))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use mesh::crypto::Key;

    use super::*;

    fn epoch(id: i64) -> Epoch {
        Epoch {
            id,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            kek: Key::random().expect("a key"),
            lookup: Key::random().expect("a key"),
        }
    }

    fn plate(number: &str, country: &str) -> Sought {
        Sought::plate(&Plate::parse(number, country).expect("a plate"))
    }

    #[test]
    fn what_was_sealed_has_the_same_hash() {
        let epoch = epoch(1);
        let partner = Uuid::from_u128(7);
        for (kind, sought) in [
            (HoldingKind::Vehicle, plate("A123BC77", "RU")),
            (
                HoldingKind::Key,
                Sought::credential(partner, CredentialKind::Key, "k-1"),
            ),
            (
                HoldingKind::Fob,
                Sought::credential(partner, CredentialKind::Fob, "k-1"),
            ),
        ] {
            let sealed = Zeroizing::new(sought.bytes().to_vec());
            let again = Sought::unsealed(kind, sealed).expect("labelled");
            assert_eq!(again.hash(&epoch), sought.hash(&epoch));
        }
    }

    #[test]
    fn kinds_partners_countries_and_epochs_are_kept_apart() {
        let (one, two) = (epoch(1), epoch(2));
        let credential =
            |partner, kind| Sought::credential(Uuid::from_u128(partner), kind, "k-1").hash(&one);
        let hashes = [
            credential(1, CredentialKind::Key),
            credential(1, CredentialKind::Fob),
            credential(2, CredentialKind::Key),
            plate("123ABC02", "KZ").hash(&one),
            plate("123ABC02", "DE").hash(&one),
            plate("123ABC02", "DE").hash(&two),
        ];
        let different: std::collections::HashSet<_> = hashes.iter().collect();
        assert_eq!(different.len(), hashes.len());
    }

    #[test]
    fn what_an_older_release_sealed_is_found_by_trial() {
        let epoch = epoch(1);
        let partners = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let key = Sought::credential(partners[1], CredentialKind::Key, "key-1");
        for (kind, sealed, sought) in [
            (HoldingKind::Vehicle, "123ABC02", plate("123ABC02", "KZ")),
            (HoldingKind::Key, "key-1", key),
        ] {
            let old = Zeroizing::new(sealed.as_bytes().to_vec());
            assert!(Sought::unsealed(kind, old).is_none(), "{sealed}");
            let lookup = sought.hash(&epoch);
            let found = Sought::by_trial(kind, sealed.as_bytes(), &lookup, &epoch, &partners)
                .expect("one of them");
            assert_eq!(found.bytes(), sought.bytes());
            let none = Sought::by_trial(kind, sealed.as_bytes(), &[0; 32], &epoch, &partners);
            assert!(none.is_none());
        }
    }
}
