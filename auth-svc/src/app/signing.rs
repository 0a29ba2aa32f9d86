//! A key that signs access tokens: ES256 (RFC 7518 section 3.4) or EdDSA with
//! Ed25519 (RFC 8037 section 3.1).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{config::SigningAlgorithm, error::Error};

/// RFC 9068 section 2.1.
const TOKEN_TYPE: &str = "at+jwt";

pub(crate) struct SigningKey {
    algorithm: SigningAlgorithm,
    kid: String,
    key: EncodingKey,
    public: Vec<u8>,
}

impl SigningKey {
    /// A new private key in PKCS #8.
    pub(crate) fn generate(algorithm: SigningAlgorithm) -> Result<Zeroizing<Vec<u8>>, Error> {
        let random = SystemRandom::new();
        match algorithm {
            SigningAlgorithm::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            }
            SigningAlgorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
        }
        .map(|document| Zeroizing::new(document.as_ref().to_vec()))
        .map_err(|_| Error::Signing)
    }

    pub(crate) fn from_pkcs8(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> Result<Self, Error> {
        let (key, public) = match algorithm {
            SigningAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    pkcs8,
                    &SystemRandom::new(),
                )
                .map_err(|_| Error::Signing)?;
                let public = pair.public_key().as_ref().to_vec();
                (EncodingKey::from_ec_der(pkcs8), public)
            }
            SigningAlgorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| Error::Signing)?;
                let public = pair.public_key().as_ref().to_vec();
                (EncodingKey::from_ed_der(pkcs8), public)
            }
        };
        Ok(Self {
            algorithm,
            kid: thumbprint(&members(algorithm, &public)),
            key,
            public,
        })
    }

    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// An uncompressed P-256 point, 65 bytes, or an Ed25519 key, 32 bytes.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    /// As a JWS header names it.
    pub(crate) fn algorithm_name(&self) -> &'static str {
        match self.algorithm {
            SigningAlgorithm::Es256 => "ES256",
            SigningAlgorithm::EdDsa => "EdDSA",
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self.algorithm {
            SigningAlgorithm::Es256 => Algorithm::ES256,
            SigningAlgorithm::EdDsa => Algorithm::EdDSA,
        }
    }

    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<String, Error> {
        let header = Header {
            typ: Some(TOKEN_TYPE.into()),
            kid: Some(self.kid.clone()),
            ..Header::new(self.algorithm())
        };
        jsonwebtoken::encode(&header, claims, &self.key).map_err(|_| Error::Signing)
    }

    pub(crate) fn decoding_key(&self) -> DecodingKey {
        match self.algorithm {
            SigningAlgorithm::Es256 => DecodingKey::from_ec_der(&self.public),
            SigningAlgorithm::EdDsa => DecodingKey::from_ed_der(&self.public),
        }
    }

    /// JWK (RFC 7517 section 4).
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = json!({
            "alg": self.algorithm_name(), "use": "sig", "kid": self.kid,
        });
        for (name, value) in members(self.algorithm, &self.public) {
            jwk[name] = value.into();
        }
        jwk
    }
}

/// The members of the public key, in the order of their names.
fn members(algorithm: SigningAlgorithm, public: &[u8]) -> Vec<(&'static str, String)> {
    match algorithm {
        // ring's point is 0x04, then x and y of 32 bytes each.
        SigningAlgorithm::Es256 => vec![
            ("crv", "P-256".into()),
            ("kty", "EC".into()),
            ("x", URL_SAFE_NO_PAD.encode(&public[1..33])),
            ("y", URL_SAFE_NO_PAD.encode(&public[33..65])),
        ],
        SigningAlgorithm::EdDsa => vec![
            ("crv", "Ed25519".into()),
            ("kty", "OKP".into()),
            ("x", URL_SAFE_NO_PAD.encode(public)),
        ],
    }
}

/// JWK thumbprint (RFC 7638, RFC 8037 section 2): these members in this
/// order, without spaces.
fn thumbprint(members: &[(&'static str, String)]) -> String {
    let inside: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":\"{value}\""))
        .collect();
    let canonical = format!("{{{}}}", inside.join(","));
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.3.
    #[test]
    fn a_thumbprint_is_the_rfcs() {
        let public = URL_SAFE_NO_PAD
            .decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
            .expect("base64url");
        let members = members(SigningAlgorithm::EdDsa, &public);
        assert_eq!(
            thumbprint(&members),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn both_algorithms_sign_and_publish() {
        mesh::jose::install_crypto();
        for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
            let pkcs8 = SigningKey::generate(algorithm).expect("a key");
            let key = SigningKey::from_pkcs8(algorithm, &pkcs8).expect("a key");
            let token = key.sign(&json!({"sub": "x"})).expect("a token");
            let header = jsonwebtoken::decode_header(&token).expect("a header");
            assert_eq!(header.typ.as_deref(), Some("at+jwt"));
            assert_eq!(header.kid.as_deref(), Some(key.kid()));
            let jwk = serde_json::from_value(key.jwk()).expect("a JWK");
            let public = jsonwebtoken::DecodingKey::from_jwk(&jwk).expect("a key");
            let mut validation = jsonwebtoken::Validation::new(key.algorithm());
            validation.required_spec_claims.clear();
            assert!(jsonwebtoken::decode::<Value>(&token, &public, &validation).is_ok());
        }
    }
}
