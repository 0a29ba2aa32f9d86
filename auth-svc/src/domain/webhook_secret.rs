//! Secrets with which a client signs its webhooks (Standard Webhooks): 256
//! random bits, shown once. A signature can only be checked with the value
//! itself, so that it is kept, sealed, where a client secret's hash would do.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use mesh::crypto::{CryptoError, fill_random};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Of a client, live at once.
pub(crate) const MOST: u64 = 2;

/// What is told of a secret: never its value.
#[derive(Clone)]
pub(crate) struct WebhookSecret {
    pub(crate) id: Uuid,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
}

/// What checking signatures needs of a secret.
#[derive(Clone)]
pub(crate) struct SigningSecret {
    pub(crate) value: Zeroizing<Vec<u8>>,
    pub(crate) expires_at: Option<Timestamp>,
}

pub(crate) fn generate() -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let mut value = Zeroizing::new(vec![0; 32]);
    fill_random(&mut value)?;
    Ok(value)
}

/// As Standard Webhooks writes a symmetric secret.
pub(crate) fn written(value: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(64));
    text.push_str("whsec_");
    STANDARD.encode_string(value, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_as_the_standard_says() {
        let (one, two) = (generate().expect("one"), generate().expect("two"));
        assert_ne!(one, two);
        let text = written(&one);
        let encoded = text.strip_prefix("whsec_").expect("the prefix");
        assert_eq!(STANDARD.decode(encoded).expect("base64"), *one);
    }
}
