//! What Transit is asked and what it answers, as JSON.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::{Zeroize, Zeroizing};

use super::{TransitError, WrappedPair};

#[derive(Serialize)]
pub(super) struct Inputs<'a> {
    pub(super) batch_input: [Input<'a>; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Input<'a> {
    Plaintext(&'a str),
    Ciphertext(&'a str),
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
pub(super) struct Outputs {
    pub(super) batch_results: Vec<Output>,
}

#[derive(Deserialize)]
pub(super) struct Output {
    pub(super) plaintext: Option<String>,
    ciphertext: Option<String>,
    #[serde(default)]
    pub(super) error: String,
}

impl Drop for Output {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}

/// Versions below `min_available_version` are gone for good.
#[derive(Deserialize)]
pub(super) struct KeyState {
    #[serde(default)]
    pub(super) min_decryption_version: u64,
    #[serde(default)]
    pub(super) min_encryption_version: u64,
    #[serde(default)]
    pub(super) min_available_version: u64,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    errors: Vec<String>,
    data: Option<Outputs>,
}

pub(super) fn wrapped(
    operation: &'static str,
    [mut kek, mut lookup]: [Output; 2],
) -> Result<WrappedPair, TransitError> {
    let pair = WrappedPair {
        kek: kek.ciphertext.take().unwrap_or_default(),
        lookup: lookup.ciphertext.take().unwrap_or_default(),
    };
    match pair.versions() {
        Some(_) => Ok(pair),
        None => Err(TransitError::Answer {
            operation,
            detail: "a ciphertext names no version of the key",
        }),
    }
}

/// A request's body, which is wiped when it has been sent.
pub(super) fn body(operation: &'static str, value: &impl Serialize) -> Result<Bytes, TransitError> {
    let mut text = Zeroizing::new(Vec::<u8>::with_capacity(4_096));
    serde_json::to_writer(&mut *text, value).map_err(|_| TransitError::Answer {
        operation,
        detail: "the question cannot be written as JSON",
    })?;
    Ok(Bytes::from_owner(text))
}

pub(super) fn parse<T: DeserializeOwned>(
    operation: &'static str,
    answer: Bytes,
) -> Result<T, TransitError> {
    let parsed = serde_json::from_slice::<Answer<T>>(&answer);
    wipe(answer);
    match parsed {
        Ok(answer) => Ok(answer.data),
        Err(_) => Err(TransitError::Answer {
            operation,
            detail: "it is not the JSON of one",
        }),
    }
}

/// Why Transit refused, in its own words, which quote no key.
pub(super) fn refusal(answer: &[u8]) -> String {
    const LONGEST: usize = 200;
    let said = serde_json::from_slice::<Refusal>(answer)
        .ok()
        .and_then(|refusal| {
            let outputs = refusal.data.map(|data| data.batch_results);
            let failed = outputs.into_iter().flatten().map(|o| o.error.clone());
            refusal
                .errors
                .into_iter()
                .chain(failed)
                .find(|text| !text.is_empty())
        })
        .unwrap_or_else(|| "it does not say why".into());
    said.chars().take(LONGEST).collect()
}

pub(super) fn wipe(answer: Bytes) {
    if let Ok(mut bytes) = answer.try_into_mut() {
        bytes[..].zeroize();
    }
}
