//! A version of the key, as Transit has it: AES-256-GCM, the nonce in front.

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};

pub(crate) struct Version(LessSafeKey);

impl Version {
    pub(crate) fn random() -> Result<Self, &'static str> {
        let bytes = random::<32>()?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| "no key")?;
        Ok(Self(LessSafeKey::new(key)))
    }

    pub(crate) fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>, &'static str> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = plaintext.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut sealed,
            )
            .map_err(|_| "failed")?;
        Ok([nonce.as_slice(), sealed.as_slice()].concat())
    }

    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, &'static str> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or("too short")?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| "too short")?;
        let mut opened = sealed.to_vec();
        let plaintext = self
            .0
            .open_in_place(nonce, Aad::empty(), &mut opened)
            .map_err(|_| "does not open")?;
        Ok(plaintext.to_vec())
    }
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], &'static str> {
    let mut bytes = [0; LENGTH];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "no randomness")?;
    Ok(bytes)
}
