//! The key that signs access tokens: ES256 (RFC 7518 section 3.4).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::error::Error;

/// RFC 9068 section 2.1.
const TOKEN_TYPE: &str = "at+jwt";

pub(crate) struct SigningKey {
    kid: String,
    key: EncodingKey,
    public: Vec<u8>,
}

impl SigningKey {
    /// A new private key in PKCS #8.
    pub(crate) fn generate() -> Result<Zeroizing<Vec<u8>>, Error> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map(|document| Zeroizing::new(document.as_ref().to_vec()))
            .map_err(|_| Error::Signing)
    }

    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, Error> {
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            pkcs8,
            &SystemRandom::new(),
        )
        .map_err(|_| Error::Signing)?;
        let public = pair.public_key().as_ref().to_vec();
        Ok(Self {
            kid: thumbprint(&public),
            key: EncodingKey::from_ec_der(pkcs8),
            public,
        })
    }

    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// An uncompressed P-256 point, 65 bytes.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<String, Error> {
        let header = Header {
            typ: Some(TOKEN_TYPE.into()),
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, claims, &self.key).map_err(|_| Error::Signing)
    }

    /// JWK Set (RFC 7517 section 5).
    pub(crate) fn jwks(&self) -> String {
        let (x, y) = coordinates(&self.public);
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
            "kid": self.kid, "x": x, "y": y,
        }]})
        .to_string()
    }
}

/// JWK thumbprint (RFC 7638): the members in this order, without spaces.
fn thumbprint(public: &[u8]) -> String {
    let (x, y) = coordinates(public);
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

/// ring's point is 0x04, then x and y of 32 bytes each.
fn coordinates(public: &[u8]) -> (String, String) {
    (
        URL_SAFE_NO_PAD.encode(&public[1..33]),
        URL_SAFE_NO_PAD.encode(&public[33..65]),
    )
}
