//! How the client proves itself: HTTP Basic or the body, never both and never
//! the query (RFC 6749 section 2.3.1).

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, header};
use propdev_proto::auth::{ClientCredentials, client_credentials::Method};
use secrecy::{ExposeSecret, SecretString};

use super::{error::TokenError, form, parameters::Parameters};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(crate) fn read(
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<ClientCredentials, TokenError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(TokenError::invalid_request(
            "The Authorization header is repeated.",
        ));
    }
    let in_body = parameters.client_secret.is_some() || parameters.client_assertion;
    if let Some(value) = first {
        if in_body {
            return Err(TokenError::invalid_request(
                "The client authenticates in the header and in the body.",
            ));
        }
        let (client_id, secret) = basic(value.as_bytes()).ok_or_else(TokenError::invalid_client)?;
        if parameters
            .client_id
            .as_ref()
            .is_some_and(|other| *other != client_id)
        {
            return Err(TokenError::invalid_request(
                "client_id is not the one in the header.",
            ));
        }
        return Ok(message(Method::ClientSecretBasic, client_id, &secret));
    }
    // An assertion would be another method, which no client is registered for.
    match (&parameters.client_id, &parameters.client_secret) {
        (Some(client_id), Some(secret)) if !parameters.client_assertion => {
            Ok(message(Method::ClientSecretPost, client_id.clone(), secret))
        }
        _ => Err(TokenError::invalid_client()),
    }
}

fn message(method: Method, client_id: String, secret: &SecretString) -> ClientCredentials {
    ClientCredentials {
        method: method.into(),
        client_id,
        client_secret: secret.expose_secret().to_owned(),
    }
}

/// Identifier and secret are form-encoded before they are joined.
fn basic(value: &[u8]) -> Option<(String, SecretString)> {
    let text = std::str::from_utf8(value).ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = BASE64.decode(encoded.trim_matches(' ')).ok()?;
    let colon = decoded.iter().position(|&b| b == b':')?;
    let client_id = form::decode(&decoded[..colon]).ok()?;
    let secret = form::decode(&decoded[colon + 1..]).ok()?;
    Some((client_id, secret.into()))
}
