//! `private_key_jwt` (RFC 7523 section 3): a client proves itself by a JWT of
//! its own, good once and for minutes.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::Deserialize;

use super::key_set::ClientKeys;

/// How far apart the clocks of client and server may be, seconds.
const LEEWAY_S: i64 = 30;
/// An assertion ends at most so long from now, seconds.
const LONGEST_S: i64 = 300;
const LONGEST_JTI: usize = 255;
pub(crate) const LONGEST: usize = 8 * 1024;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    iat: Option<i64>,
    jti: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// What is left to check: that it was not used before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Assertion {
    pub(crate) jti: String,
    /// Unix seconds, after which a repeat is refused for its age.
    pub(crate) refused_from: i64,
}

/// Whom the assertion claims to be of, unverified: to find its keys.
pub(crate) fn claimed_client(assertion: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    if assertion.len() > LONGEST {
        return None;
    }
    jsonwebtoken::dangerous::insecure_decode::<Subject>(assertion)
        .ok()
        .map(|token| token.claims.sub)
}

/// Verifies everything but its being used once. `audiences` are the issuer and
/// the token endpoint; without keys, or with none of that kind, it takes as
/// long.
pub(crate) fn verify(
    assertion: &str,
    client_id: &str,
    keys: Option<&ClientKeys>,
    audiences: &[&str],
    now: Timestamp,
) -> Option<Assertion> {
    if assertion.len() > LONGEST {
        return None;
    }
    let header: Header = jsonwebtoken::decode_header(assertion).ok()?;
    let algorithm = header.alg;
    if !matches!(
        algorithm,
        Algorithm::ES256 | Algorithm::EdDSA | Algorithm::PS256 | Algorithm::RS256
    ) {
        return None;
    }
    // Whatever is critical in it is not known here (RFC 7515 section 4.1.11).
    if header.crit.is_some() {
        return None;
    }
    let mut validation = Validation::new(algorithm);
    // The times, the audience and the rest are checked below, as RFC 7523 words them.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let mut candidates = keys
        .into_iter()
        .flat_map(|keys| keys.candidates(header.kid.as_deref(), algorithm))
        .peekable();
    if candidates.peek().is_none() {
        let _ = jsonwebtoken::decode::<Claims>(assertion, &decoy(algorithm)?, &validation);
        return None;
    }
    let claims = candidates
        .find_map(|key| jsonwebtoken::decode::<Claims>(assertion, &key.key, &validation).ok())?
        .claims;
    let now = now.as_second();
    let audience = match &claims.aud {
        Audience::One(one) => audiences.contains(&one.as_str()),
        // One more audience could replay it to another server.
        Audience::Many(many) => {
            matches!(many.as_slice(), [one] if audiences.contains(&one.as_str()))
        }
    };
    let good = claims.iss == client_id
        && claims.sub == client_id
        && audience
        && now < claims.exp.saturating_add(LEEWAY_S)
        && claims.exp <= now + LONGEST_S + LEEWAY_S
        && claims.nbf.is_none_or(|nbf| nbf <= now + LEEWAY_S)
        && claims.iat.is_none_or(|iat| iat <= now + LEEWAY_S)
        && (1..=LONGEST_JTI).contains(&claims.jti.len());
    good.then(|| Assertion {
        jti: claims.jti,
        refused_from: claims.exp.saturating_add(LEEWAY_S),
    })
}

/// Nobody's key of that kind: what it says of a signature is not looked at.
/// The points are those of RFC 7515 appendix A.3 and RFC 8037 appendix A.2.
fn decoy(algorithm: Algorithm) -> Option<DecodingKey> {
    match algorithm {
        Algorithm::ES256 => DecodingKey::from_ec_components(
            "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        )
        .ok(),
        Algorithm::EdDSA => {
            DecodingKey::from_ed_components("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").ok()
        }
        _ => Some(DecodingKey::from_rsa_raw_components(
            &[0xff; 256],
            &[1, 0, 1],
        )),
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::EncodingKey;
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
    };
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_795_000_000;
    const ISSUER: &str = "https://edge.example";
    const ENDPOINT: &str = "https://edge.example/oauth2/token";

    struct Signer {
        key: EncodingKey,
        keys: ClientKeys,
    }

    fn signer() -> Signer {
        mesh::jose::install_crypto();
        let random = SystemRandom::new();
        let parameters = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(parameters, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(parameters, pkcs8.as_ref(), &random).expect("a pair");
        let point = pair.public_key().as_ref();
        let jwks = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "kid": "k",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        }]});
        Signer {
            key: EncodingKey::from_ec_der(pkcs8.as_ref()),
            keys: ClientKeys::parse(&jwks.to_string()).expect("a key set"),
        }
    }

    fn claims() -> Value {
        json!({"iss": "c", "sub": "c", "aud": ENDPOINT, "exp": NOW + 60, "jti": "j"})
    }

    fn changed(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    impl Signer {
        fn sign(&self, header: &Header, claims: &Value) -> String {
            jsonwebtoken::encode(header, claims, &self.key).expect("signed")
        }

        fn judge(&self, token: &str) -> Option<Assertion> {
            let now = Timestamp::from_second(NOW).expect("a time");
            verify(token, "c", Some(&self.keys), &[ISSUER, ENDPOINT], now)
        }
    }

    #[test]
    fn a_good_assertion_is_good() {
        let signer = signer();
        let mut header = Header::new(Algorithm::ES256);
        let wanted = Some(Assertion {
            jti: "j".into(),
            refused_from: NOW + 90,
        });
        assert_eq!(signer.judge(&signer.sign(&header, &claims())), wanted);
        header.kid = Some("k".into());
        assert_eq!(signer.judge(&signer.sign(&header, &claims())), wanted);
        for aud in [json!(ISSUER), json!([ISSUER])] {
            let token = signer.sign(&header, &changed("aud", aud));
            assert_eq!(signer.judge(&token), wanted);
        }
        assert_eq!(
            claimed_client(&signer.sign(&header, &claims())).as_deref(),
            Some("c")
        );
    }

    #[test]
    fn anything_else_is_refused() {
        let signer = signer();
        let header = Header::new(Algorithm::ES256);
        for (name, value) in [
            ("iss", json!("d")),
            ("sub", json!("d")),
            ("aud", json!("https://other.example")),
            ("aud", json!([ISSUER, "https://other.example"])),
            ("aud", json!([])),
            ("exp", json!(NOW - 31)),
            ("exp", json!(NOW + 331)),
            ("exp", json!(i64::MAX)),
            ("exp", json!("soon")),
            ("nbf", json!(NOW + 31)),
            ("iat", json!(NOW + 31)),
            ("jti", json!("")),
            ("jti", json!("j".repeat(256))),
            ("jti", Value::Null),
        ] {
            let token = signer.sign(&header, &changed(name, value.clone()));
            assert_eq!(signer.judge(&token), None, "{name} {value}");
        }
        let other = Header {
            kid: Some("other".into()),
            ..Header::new(Algorithm::ES256)
        };
        assert_eq!(signer.judge(&signer.sign(&other, &claims())), None);
        let critical = Header {
            crit: Some(vec!["exp".into()]),
            ..Header::new(Algorithm::ES256)
        };
        assert_eq!(signer.judge(&signer.sign(&critical, &claims())), None);
        let stranger = super::tests::signer();
        assert_eq!(signer.judge(&stranger.sign(&header, &claims())), None);
        for text in ["", "a", "a.b.c", "..", &"x".repeat(LONGEST + 1)] {
            assert_eq!(signer.judge(text), None);
        }
        let body = URL_SAFE_NO_PAD.encode(claims().to_string());
        let none = format!("{}.{body}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
        assert_eq!(signer.judge(&none), None);
    }

    /// An assertion of nobody is looked at as if it were somebody's.
    #[test]
    fn there_is_a_decoy_of_every_kind() {
        mesh::jose::install_crypto();
        let now = Timestamp::from_second(NOW).expect("a time");
        for (algorithm, length) in [("ES256", 64), ("EdDSA", 64), ("RS256", 256), ("PS256", 256)] {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm}).to_string());
            let body = URL_SAFE_NO_PAD.encode(claims().to_string());
            let signature = URL_SAFE_NO_PAD.encode(vec![1; length]);
            let token = format!("{header}.{body}.{signature}");
            assert_eq!(verify(&token, "c", None, &[ISSUER, ENDPOINT], now), None);
            let parsed = jsonwebtoken::decode_header(&token).expect("a header");
            let key = decoy(parsed.alg).expect("a decoy");
            let refused = jsonwebtoken::decode::<Value>(&token, &key, &Validation::new(parsed.alg));
            let kind = refused.expect_err("no signature").into_kind();
            assert!(
                matches!(kind, jsonwebtoken::errors::ErrorKind::InvalidSignature),
                "{algorithm}: {kind:?}"
            );
        }
    }
}
