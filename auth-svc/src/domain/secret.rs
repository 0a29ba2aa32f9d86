//! Client secrets: 256 random bits, shown once, stored as a keyed hash. A
//! secret of that size cannot be guessed, so that a slow hash would slow down
//! nobody but ourselves.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use mesh::crypto::{CryptoError, Key, fill_random, macs_equal};
use zeroize::Zeroizing;

pub(crate) fn generate() -> Result<Zeroizing<String>, CryptoError> {
    let mut bytes = Zeroizing::new([0; 32]);
    fill_random(bytes.as_mut())?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes)))
}

pub(crate) fn hash(key: &Key, client_id: &str, secret: &str) -> [u8; 32] {
    key.mac(&[client_id.as_bytes(), secret.as_bytes()])
}

/// Whether the secret is one of those stored. An unknown client, which has
/// none stored, costs the same work.
pub(crate) fn verify(key: &Key, client_id: &str, secret: &str, stored: &[&[u8]]) -> bool {
    let offered = hash(key, client_id, secret);
    let absent = [0; 32];
    let mut good = false;
    for slot in 0..stored.len().max(2) {
        let candidate = stored.get(slot).copied().unwrap_or(&absent);
        good |= macs_equal(&offered, candidate) && slot < stored.len();
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stored_secret_of_this_client_is_good() {
        let key = Key::random().expect("random");
        let (first, second) = (generate().expect("one"), generate().expect("two"));
        assert_ne!(first, second);
        assert_eq!(first.len(), 43);
        let hashes = [hash(&key, "a", &first), hash(&key, "a", &second)];
        let stored: Vec<&[u8]> = hashes.iter().map(|hash| hash.as_slice()).collect();
        assert!(verify(&key, "a", &first, &stored));
        assert!(verify(&key, "a", &second, &stored));
        assert!(!verify(&key, "b", &first, &stored));
        assert!(!verify(&key, "a", "", &stored));
        assert!(!verify(&key, "a", &first, &[]));
    }
}
