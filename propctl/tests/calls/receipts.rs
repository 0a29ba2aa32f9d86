//! A key that signs receipts as a service does.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};

pub(crate) struct ReceiptKey {
    private: EncodingKey,
    kid: String,
    pub(crate) jwks: String,
}

impl ReceiptKey {
    pub(crate) fn new() -> Self {
        mesh::jose::install_crypto();
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a pair");
        let point = pair.public_key().as_ref();
        let [x, y] = [1..33, 33..65].map(|part| URL_SAFE_NO_PAD.encode(&point[part]));
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()));
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ES256", "use": "sig", "kid": kid,
        });
        Self {
            private: EncodingKey::from_ec_der(pkcs8.as_ref()),
            kid,
            jwks: json!({ "keys": [jwk] }).to_string(),
        }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header {
            typ: Some("propdev-receipt+jwt".into()),
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, claims, &self.private).expect("signed")
    }
}
