//! Envelope encryption and keyed hashes over ring: AES-256-GCM with random
//! 96-bit nonces (NIST SP 800-38D section 8.2.2) and HMAC-SHA-256.

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
};
use zeroize::{Zeroize, Zeroizing};

pub const KEY_LEN: usize = 32;

/// Says that something failed and never why: neither a wrong key nor an edited
/// ciphertext is worth telling an attacker apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    #[error("the ciphertext does not open")]
    Open,
    #[error("the cryptographic library failed")]
    Library,
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// A 256-bit secret. Has no `Debug`, no `Serialize`; wiped when dropped.
///
/// ```compile_fail,E0277
/// # let key = mesh::crypto::Key::random().unwrap();
/// println!("{key:?}");
/// ```
/// ```compile_fail,E0277
/// fn sendable<T: serde::Serialize>(_: &T) {}
/// # let key = mesh::crypto::Key::random().unwrap();
/// sendable(&key);
/// ```
///
/// On the heap: what moves is a pointer, where a moved array would leave its
/// bytes behind on a stack.
pub struct Key(Box<Zeroizing<[u8; KEY_LEN]>>);

impl Clone for Key {
    fn clone(&self) -> Self {
        let mut key = Self(Box::default());
        key.0.copy_from_slice(self.expose());
        key
    }
}

impl Key {
    pub fn random() -> Result<Self, CryptoError> {
        let mut key = Self(Box::default());
        fill_random(key.0.as_mut_slice())?;
        Ok(key)
    }

    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Self(Box::default());
        (bytes.len() == KEY_LEN).then(|| key.0.copy_from_slice(bytes))?;
        Some(key)
    }

    /// The secret itself, for a keyring to store.
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// `nonce || ciphertext || tag`, bound to the associated data: 28 bytes
    /// longer than the plaintext.
    pub fn seal(&self, plaintext: &[u8], associated: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut nonce = [0; NONCE_LEN];
        fill_random(&mut nonce)?;
        let mut out = Vec::with_capacity(NONCE_LEN + plaintext.len() + AES_256_GCM.tag_len());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plaintext);
        let tag = leaving_no_schedule(|| {
            self.cipher()?
                .seal_in_place_separate_tag(
                    Nonce::assume_unique_for_key(nonce),
                    Aad::from(associated),
                    &mut out[NONCE_LEN..],
                )
                .map_err(|_| CryptoError::Library)
        })?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// The reverse of [`Key::seal`]; fails closed on any change of ciphertext,
    /// key or associated data.
    pub fn open(
        &self,
        sealed: &[u8],
        associated: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let (nonce, body) = sealed
            .split_at_checked(NONCE_LEN)
            .ok_or(CryptoError::Open)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| CryptoError::Open)?;
        let mut buffer = Zeroizing::new(body.to_vec());
        let length = leaving_no_schedule(|| {
            let plain = self
                .cipher()?
                .open_in_place(nonce, Aad::from(associated), &mut buffer)
                .map_err(|_| CryptoError::Open)?;
            Ok(plain.len())
        })?;
        buffer.truncate(length);
        Ok(buffer)
    }

    /// HMAC-SHA-256 over the parts, each preceded by its length so that no two
    /// lists of parts share an encoding.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        leaving_no_schedule(|| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, self.expose());
            let mut context = hmac::Context::with_key(&key);
            for part in parts {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
            let mut out = [0; 32];
            out.copy_from_slice(context.sign().as_ref());
            out
        })
    }

    fn cipher(&self) -> Result<LessSafeKey, CryptoError> {
        UnboundKey::new(&AES_256_GCM, self.expose())
            .map(LessSafeKey::new)
            .map_err(|_| CryptoError::Library)
    }
}

/// Runs the work and overwrites the stack that it used: a cipher's schedule
/// begins with the key itself, an HMAC's states are as good as one, and ring
/// leaves them where they were.
#[inline(never)]
fn leaving_no_schedule<T>(work: impl FnOnce() -> T) -> T {
    let result = apart(work);
    overwrite_stack();
    result
}

/// In a frame of its own, below which the overwriting begins.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn overwrite_stack() {
    /// What the cipher's frames take at most, in words: unoptimised, many hold
    /// a copy of the schedule.
    const DEPTH: usize = if cfg!(debug_assertions) { 4_096 } else { 512 };
    [0_u64; DEPTH].zeroize();
}

/// HMAC-SHA-256 (RFC 2104) over the parts as if they were one, under a key
/// that others share: for what a standard of others says.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

pub fn fill_random(bytes: &mut [u8]) -> Result<(), CryptoError> {
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_| CryptoError::Library)
}

/// Whether two MACs are equal, in time that depends on their length alone.
pub fn macs_equal(a: &[u8], b: &[u8]) -> bool {
    // Comparing MACs of both under a fresh key hides where they first differ.
    let mut key_bytes = [0; KEY_LEN];
    if fill_random(&mut key_bytes).is_err() {
        return false;
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key_bytes);
    key_bytes.zeroize();
    let tag = hmac::sign(&key, a);
    hmac::verify(&key, b, tag.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_sealed_opens(plain: Vec<u8>, aad: Vec<u8>) {
            let key = Key::random().expect("random");
            let sealed = key.seal(&plain, &aad).expect("sealed");
            prop_assert_eq!(key.open(&sealed, &aad).expect("opens").to_vec(), plain);
        }

        #[test]
        fn any_change_fails_closed(
            plain in proptest::collection::vec(any::<u8>(), 1..64),
            aad: Vec<u8>,
            at: prop::sample::Index,
            bit in 0u8..8,
        ) {
            let key = Key::random().expect("random");
            let sealed = key.seal(&plain, &aad).expect("sealed");
            let mut edited = sealed.clone();
            let position = at.index(edited.len());
            edited[position] ^= 1 << bit;
            prop_assert_eq!(key.open(&edited, &aad).err(), Some(CryptoError::Open));
            let position = at.index(sealed.len());
            prop_assert!(key.open(&sealed[..position], &aad).is_err());
            let mut other = aad.clone();
            other.push(0);
            prop_assert!(key.open(&sealed, &other).is_err());
            let stranger = Key::random().expect("random");
            prop_assert!(stranger.open(&sealed, &aad).is_err());
        }

        #[test]
        fn parts_cannot_be_shifted(a: Vec<u8>, b in proptest::collection::vec(any::<u8>(), 1..16)) {
            let key = Key::random().expect("random");
            let joined: Vec<u8> = a.iter().chain(&b).copied().collect();
            prop_assert_ne!(key.mac(&[&a, &b]), key.mac(&[&joined]));
            prop_assert_ne!(key.mac(&[&a, &b]), key.mac(&[&joined, &[]]));
        }
    }

    #[test]
    fn macs_compare() {
        assert!(macs_equal(b"same", b"same"));
        assert!(!macs_equal(b"same", b"sane"));
        assert!(!macs_equal(b"same", b"same "));
    }
}
