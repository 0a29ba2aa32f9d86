//! ring behind `jsonwebtoken`, which brings no provider over ring of its own.
//! Signs ES256 and EdDSA; verifies RS256 and PS256 besides, which clients may
//! sign their assertions with.

use std::sync::{Arc, LazyLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
};
use moka::sync::Cache;
use ring::{
    digest,
    rand::SystemRandom,
    signature::{
        self as ring_signature, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519,
        EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
        RsaPublicKeyComponents, UnparsedPublicKey,
    },
};
use signature::{Error as SignatureError, Signer, Verifier};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring the process's provider for TLS and for tokens. Idempotent.
pub fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let _ = PROVIDER.install_default();
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// Reading a private key costs as much as a signature: the few in use are
/// kept, by the digest of their encoding.
static PAIRS: LazyLock<Cache<[u8; 32], Arc<Pair>>> = LazyLock::new(|| Cache::new(8));

struct PairSigner(Arc<Pair>);

impl Signer<Vec<u8>> for PairSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        match &*self.0 {
            Pair::Es256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SignatureError::new()),
            Pair::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl JwtSigner for PairSigner {
    fn algorithm(&self) -> Algorithm {
        match &*self.0 {
            Pair::Es256(_) => Algorithm::ES256,
            Pair::EdDsa(_) => Algorithm::EdDSA,
        }
    }
}

enum PublicKey {
    Point(UnparsedPublicKey<Vec<u8>>),
    Rsa {
        parameters: &'static ring_signature::RsaParameters,
        components: RsaPublicKeyComponents<Vec<u8>>,
    },
}

struct RingVerifier {
    algorithm: Algorithm,
    key: PublicKey,
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        match &self.key {
            PublicKey::Point(key) => key.verify(message, signature),
            PublicKey::Rsa {
                parameters,
                components,
            } => components.verify(parameters, message, signature),
        }
        .map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    let mut name = [0; 32];
    name.copy_from_slice(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
    let pair = match PAIRS.get(&name) {
        Some(pair) => pair,
        None => {
            let pair = Arc::new(read_pair(*algorithm, key.as_bytes())?);
            PAIRS.insert(name, pair.clone());
            pair
        }
    };
    let signer = PairSigner(pair);
    if signer.algorithm() == *algorithm {
        Ok(Box::new(signer))
    } else {
        Err(ErrorKind::InvalidAlgorithm.into())
    }
}

fn read_pair(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Pair, Error> {
    match algorithm {
        Algorithm::ES256 => EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            pkcs8,
            &SystemRandom::new(),
        )
        .map(Pair::Es256)
        .map_err(|_| ErrorKind::InvalidEcdsaKey.into()),
        Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8(pkcs8)
            .map(Pair::EdDsa)
            .map_err(|_| ErrorKind::InvalidKeyFormat.into()),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let point = |parameters| -> Result<PublicKey, Error> {
        let bytes = key.try_get_as_bytes()?.to_vec();
        Ok(PublicKey::Point(UnparsedPublicKey::new(parameters, bytes)))
    };
    let rsa = |parameters| match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => Ok(PublicKey::Rsa {
            parameters,
            components: RsaPublicKeyComponents {
                n: n.clone(),
                e: e.clone(),
            },
        }),
        DecodingKeyKind::SecretOrDer(_) => Err(Error::from(ErrorKind::InvalidKeyFormat)),
    };
    let key = match algorithm {
        Algorithm::ES256 => {
            point(&ECDSA_P256_SHA256_FIXED as &dyn ring_signature::VerificationAlgorithm)?
        }
        Algorithm::EdDSA => point(&ED25519)?,
        Algorithm::RS256 => rsa(&RSA_PKCS1_2048_8192_SHA256)?,
        Algorithm::PS256 => rsa(&RSA_PSS_2048_8192_SHA256)?,
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    };
    Ok(Box::new(RingVerifier {
        algorithm: *algorithm,
        key,
    }))
}

/// Longer access tokens are not looked at.
const LONGEST: usize = 16 * 1024;

/// The key id of what looks like an access token (RFC 9068 section 4, RFC
/// 8725): its type is pinned, nothing in it is critical that is not known
/// here, and whatever key it brings along is passed over.
pub fn access_token_kid(token: &str) -> Option<String> {
    if token.len() > LONGEST || token.split('.').count() != 3 {
        return None;
    }
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    // A struct refuses a member that stands twice; a map would not.
    #[derive(serde::Deserialize)]
    struct Header {
        alg: String,
        typ: String,
        kid: String,
        crit: Option<serde_json::Value>,
    }
    let header: Header = serde_json::from_slice(&header).ok()?;
    let typ = header.typ.to_ascii_lowercase();
    let good = matches!(header.alg.as_str(), "ES256" | "EdDSA")
        && (typ == "at+jwt" || typ == "application/at+jwt")
        && header.crit.is_none();
    good.then_some(header.kid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use jsonwebtoken::{Header, Validation};
    use ring::signature::KeyPair;

    use super::*;

    fn es256() -> (EncodingKey, DecodingKey) {
        let random = SystemRandom::new();
        let parameters = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(parameters, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(parameters, document.as_ref(), &random);
        (
            EncodingKey::from_ec_der(document.as_ref()),
            DecodingKey::from_ec_der(pair.expect("a pair").public_key().as_ref()),
        )
    }

    fn eddsa() -> (EncodingKey, DecodingKey) {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a pair");
        (
            EncodingKey::from_ed_der(document.as_ref()),
            DecodingKey::from_ed_der(pair.public_key().as_ref()),
        )
    }

    #[test]
    fn a_token_is_signed_and_verified() {
        install_crypto();
        for (algorithm, (private, public)) in
            [(Algorithm::ES256, es256()), (Algorithm::EdDSA, eddsa())]
        {
            let claims = serde_json::json!({"sub": "x", "exp": 4_000_000_000_u64});
            let token = jsonwebtoken::encode(&Header::new(algorithm), &claims, &private);
            let token = token.expect("a token");
            let mut validation = Validation::new(algorithm);
            validation.validate_aud = false;
            let read = |token: &str| {
                jsonwebtoken::decode::<serde_json::Value>(token, &public, &validation)
            };
            assert!(read(&token).is_ok());
            let mut forged = token.into_bytes();
            let last = forged.len() - 2;
            forged[last] ^= 1;
            assert!(read(&String::from_utf8(forged).expect("text")).is_err());
        }
    }

    #[test]
    fn a_key_signs_with_its_own_algorithm_alone() {
        install_crypto();
        let (private, _) = es256();
        let claims = serde_json::json!({});
        assert!(jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &private).is_ok());
        for other in [Algorithm::EdDSA, Algorithm::HS256, Algorithm::RS256] {
            assert!(jsonwebtoken::encode(&Header::new(other), &claims, &private).is_err());
        }
    }

    fn token(header: &str) -> String {
        format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header))
    }

    #[test]
    fn only_a_header_of_ours_is_access_token_kid() {
        let good = r#"{"alg":"ES256","typ":"at+jwt","kid":"k"}"#;
        assert_eq!(access_token_kid(&token(good)), Some("k".into()));
        for header in [
            r#"{"alg":"none","typ":"at+jwt","kid":"k"}"#,
            r#"{"alg":"HS256","typ":"at+jwt","kid":"k"}"#,
            r#"{"alg":"ES256","typ":"JWT","kid":"k"}"#,
            r#"{"alg":"ES256","typ":"at+jwt"}"#,
            r#"{"alg":"ES256","typ":"at+jwt","kid":"k","crit":["b64"]}"#,
            r#"{"alg":"ES256","alg":"none","typ":"at+jwt","kid":"k"}"#,
            "x",
        ] {
            assert_eq!(access_token_kid(&token(header)), None, "{header}");
        }
        assert_eq!(access_token_kid("a.b"), None);
        assert_eq!(
            access_token_kid(&format!("{}{}", token(good), "A".repeat(LONGEST))),
            None
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*") {
            let _ = access_token_kid(&text);
        }
    }
}
