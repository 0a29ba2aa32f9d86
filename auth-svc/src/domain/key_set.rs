//! A client's public keys for `private_key_jwt` (RFC 7523): a JWK Set
//! (RFC 7517) as the operator registered it. No URL of it is ever fetched.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};

use crate::error::Error;

const MOST_KEYS: usize = 16;
const LONGEST: usize = 16 * 1024;

#[derive(Clone)]
pub(crate) struct ClientKeys {
    json: String,
    keys: Vec<ClientKey>,
}

#[derive(Clone)]
pub(crate) struct ClientKey {
    pub(crate) kid: Option<String>,
    /// The algorithms this key may be used with: never one that the token picks.
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) key: DecodingKey,
}

impl ClientKeys {
    pub(crate) fn parse(json: &str) -> Result<Self, Error> {
        let fault = |detail| Error::InvalidField {
            field: "jwks",
            detail,
        };
        if json.len() > LONGEST {
            return Err(fault("is longer than 16 KiB"));
        }
        if json.contains("\"d\"") {
            return Err(fault("holds a private key"));
        }
        let set: JwkSet =
            serde_json::from_str(json).map_err(|_| fault("is no JWK Set (RFC 7517)"))?;
        if !(1..=MOST_KEYS).contains(&set.keys.len()) {
            return Err(fault("must hold 1 to 16 keys"));
        }
        let keys: Vec<ClientKey> = set
            .keys
            .iter()
            .map(|jwk| {
                read(jwk).ok_or_else(|| {
                    fault("holds a key that is none of EC P-256, OKP Ed25519 and RSA for signing")
                })
            })
            .collect::<Result<_, _>>()?;
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].iter().any(|other| other.kid == key.kid) {
                return Err(fault("holds two keys of the same kid"));
            }
        }
        Ok(Self {
            json: json.to_owned(),
            keys,
        })
    }

    pub(crate) fn json(&self) -> &str {
        &self.json
    }

    /// The keys that may have signed a JWT with this header.
    pub(crate) fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a ClientKey> {
        self.keys.iter().filter(move |key| {
            let named = match (kid, key.kid.as_deref()) {
                (Some(kid), Some(known)) => kid == known,
                (None, _) | (Some(_), None) => true,
            };
            named && key.algorithms.contains(&algorithm)
        })
    }
}

fn read(jwk: &Jwk) -> Option<ClientKey> {
    if matches!(&jwk.common.public_key_use, Some(used) if *used != PublicKeyUse::Signature) {
        return None;
    }
    let able = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(parameters)
            if parameters.curve == EllipticCurve::P256 =>
        {
            vec![Algorithm::ES256]
        }
        AlgorithmParameters::OctetKeyPair(parameters)
            if parameters.curve == EllipticCurve::Ed25519 =>
        {
            vec![Algorithm::EdDSA]
        }
        AlgorithmParameters::RSA(_) => vec![Algorithm::PS256, Algorithm::RS256],
        _ => return None,
    };
    let algorithms = match jwk.common.key_algorithm {
        None => able,
        Some(named) => {
            let named = match named {
                KeyAlgorithm::ES256 => Algorithm::ES256,
                KeyAlgorithm::EdDSA => Algorithm::EdDSA,
                KeyAlgorithm::PS256 => Algorithm::PS256,
                KeyAlgorithm::RS256 => Algorithm::RS256,
                _ => return None,
            };
            able.contains(&named).then(|| vec![named])?
        }
    };
    Some(ClientKey {
        kid: jwk.common.key_id.clone(),
        algorithms,
        key: DecodingKey::from_jwk(jwk).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    fn ec(more: &str) -> String {
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}"{more}}}"#)
    }

    fn set(keys: &[String]) -> String {
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    #[test]
    fn a_key_is_found_by_kid_and_algorithm() {
        let json = set(&[
            ec(r#","kid":"a","use":"sig","alg":"ES256""#),
            ec(r#","kid":"b""#),
        ]);
        let keys = ClientKeys::parse(&json).expect("a key set");
        let count = |kid, algorithm| keys.candidates(kid, algorithm).count();
        assert_eq!(count(Some("a"), Algorithm::ES256), 1);
        assert_eq!(count(None, Algorithm::ES256), 2);
        assert_eq!(count(Some("c"), Algorithm::ES256), 0);
        assert_eq!(count(Some("a"), Algorithm::RS256), 0);
        assert_eq!(count(Some("a"), Algorithm::HS256), 0);
    }

    #[test]
    fn what_is_no_public_signing_key_is_refused() {
        for json in [
            "".to_owned(),
            "{}".to_owned(),
            set(&[]),
            set(&[ec(r#","d":"x""#)]),
            set(&[ec(r#","use":"enc""#)]),
            set(&[ec(r#","alg":"HS256""#)]),
            set(&[ec(r#","alg":"RS256""#)]),
            set(&[r#"{"kty":"oct","k":"AAAA"}"#.to_owned()]),
            set(&[ec(r#","kid":"a""#), ec(r#","kid":"a""#)]),
            set(&vec![ec(""); 17]),
        ] {
            assert!(ClientKeys::parse(&json).is_err(), "{json}");
        }
    }
}
