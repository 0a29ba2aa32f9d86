//! How the client proves itself, in one way and never in the query: HTTP Basic
//! or the body (RFC 6749 section 2.3.1), an assertion (RFC 7523), or its
//! certificate (RFC 8705).

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, header};
use propdev_proto::auth::{ClientCredentials, client_credentials::Method};
use secrecy::{ExposeSecret, SecretString};

use super::{error::TokenError, form, parameters::Parameters};
use crate::caller::Caller;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Identifier and secret in the header, each as long as in the body.
const LONGEST_PAIR: usize = 2 * 1024;

/// RFC 7523 section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub(crate) fn read(
    headers: &HeaderMap,
    parameters: &Parameters,
    caller: Option<&Caller>,
) -> Result<ClientCredentials, TokenError> {
    let credentials = claimed(headers, parameters, caller)?;
    Ok(ClientCredentials {
        certificate_chain: caller.map_or_else(Vec::new, |caller| caller.certificates.to_vec()),
        address: caller.map_or_else(String::new, |caller| caller.network().to_string()),
        ..credentials
    })
}

/// The one way in which the client says who it is.
fn claimed(
    headers: &HeaderMap,
    parameters: &Parameters,
    caller: Option<&Caller>,
) -> Result<ClientCredentials, TokenError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(TokenError::invalid_request(
            "The Authorization header is repeated.",
        ));
    }
    let client_id = parameters.client_id.clone();
    let assertion = &parameters.client_assertion;
    let ways = [
        first.is_some(),
        parameters.client_secret.is_some(),
        assertion.is_some() || parameters.client_assertion_type.is_some(),
    ];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        return Err(TokenError::invalid_request(
            "The client authenticates in more than one way, in the header and in the body or \
             twice in the body.",
        ));
    }
    if let Some(value) = first {
        let (in_header, secret) = basic(value.as_bytes()).ok_or_else(TokenError::invalid_client)?;
        if client_id.is_some_and(|other| other != in_header) {
            return Err(TokenError::invalid_request(
                "client_id is not the one in the header.",
            ));
        }
        return Ok(by_secret(Method::ClientSecretBasic, in_header, &secret));
    }
    if let Some(secret) = &parameters.client_secret {
        let client_id = client_id.ok_or_else(TokenError::invalid_client)?;
        return Ok(by_secret(Method::ClientSecretPost, client_id, secret));
    }
    match (assertion, parameters.client_assertion_type.as_deref()) {
        (Some(assertion), Some(JWT_BEARER)) => Ok(ClientCredentials {
            method: Method::PrivateKeyJwt.into(),
            // The assertion names the client; a client_id must agree with it.
            client_id: client_id.unwrap_or_default(),
            client_assertion: assertion.expose_secret().to_owned(),
            ..ClientCredentials::default()
        }),
        (Some(_), None) => Err(TokenError::invalid_request(
            "client_assertion_type is missing.",
        )),
        (None, Some(_)) => Err(TokenError::invalid_request("client_assertion is missing.")),
        (Some(_), Some(_)) => Err(TokenError::invalid_client()),
        (None, None) => match (client_id, caller) {
            (Some(client_id), Some(caller)) if !caller.certificates.is_empty() => {
                Ok(ClientCredentials {
                    method: Method::Tls.into(),
                    client_id,
                    ..ClientCredentials::default()
                })
            }
            _ => Err(TokenError::invalid_client()),
        },
    }
}

fn by_secret(method: Method, client_id: String, secret: &SecretString) -> ClientCredentials {
    ClientCredentials {
        method: method.into(),
        client_id,
        client_secret: secret.expose_secret().to_owned(),
        ..ClientCredentials::default()
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
    if decoded.len() > LONGEST_PAIR {
        return None;
    }
    let colon = decoded.iter().position(|&b| b == b':')?;
    let client_id = form::decode(&decoded[..colon]).ok()?;
    let secret = form::decode(&decoded[colon + 1..]).ok()?;
    Some((client_id, secret.into()))
}
