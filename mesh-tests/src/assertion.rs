//! A client's own key pair, to prove itself with (RFC 7523).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mesh::{Clock, SystemClock};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};

/// ES256, made anew for each test.
pub struct ClientKey {
    pub pkcs8: Vec<u8>,
    pub kid: String,
}

impl ClientKey {
    pub fn generate(kid: &str) -> Self {
        let parameters = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(parameters, &SystemRandom::new());
        Self {
            pkcs8: document.expect("a key").as_ref().to_vec(),
            kid: kid.into(),
        }
    }

    /// The JWK Set to register.
    pub fn jwks(&self) -> String {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8, &random)
            .expect("a pair");
        let point = pair.public_key().as_ref();
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        }]})
        .to_string()
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = Header {
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::ES256)
        };
        let key = EncodingKey::from_ec_der(&self.pkcs8);
        jsonwebtoken::encode(&header, claims, &key).expect("an assertion")
    }

    /// A good assertion, with a `jti` of its own.
    pub fn assertion(&self, client_id: &str, audience: &str) -> String {
        let now = SystemClock.now().as_second();
        self.sign(&json!({
            "iss": client_id, "sub": client_id, "aud": audience,
            "iat": now, "exp": now + 60, "jti": uuid::Uuid::new_v4().to_string(),
        }))
    }
}
