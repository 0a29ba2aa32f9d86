//! Receipts, looked at before they are shown: one that its service's key did
//! not sign is worth nothing.

use std::collections::BTreeMap;

use mesh::custody::{Jwk, Verifier};
use propdev_proto::{
    access::ErasureReceipt,
    mesh::{GetReceiptKeysRequest, custody_service_client::CustodyServiceClient},
};
use serde_json::{Map, Value, json};

use crate::{connection::Session, error::Failure, output::or_dash, services::Storing};

/// What a receipt's signature is for; the same key signs the ledger.
const PURPOSE: &str = "propdev-receipt+jwt";

/// What a receipt's service is called where it is none of ours.
const STRANGER: &str = "an unknown service";

/// One that verified.
pub(crate) struct Receipt {
    service: &'static str,
    claims: Map<String, Value>,
    jws: String,
}

impl Receipt {
    pub(crate) const COLUMNS: &'static [&'static str] = &[
        "SERVICE",
        "LEDGER NUMBER",
        "EPOCH",
        "ERASED",
        "FINAL",
        "WHAT",
        "HOW",
    ];

    pub(crate) fn service(&self) -> &'static str {
        self.service
    }

    pub(crate) fn ledger_number(&self) -> Option<u64> {
        self.claims.get("ledger_number")?.as_u64()
    }

    pub(crate) fn cells(&self) -> Vec<String> {
        let claims = [
            "ledger_number",
            "epoch",
            "erased_at",
            "final_at",
            "categories",
            "method",
        ];
        let cells = claims.map(|name| or_dash(&text(self.claims.get(name))));
        std::iter::once(self.service.to_owned())
            .chain(cells)
            .collect()
    }

    pub(crate) fn as_json(&self) -> Value {
        json!({ "service": self.service, "claims": self.claims, "receipt": self.jws })
    }
}

fn text(claim: Option<&Value>) -> String {
    match claim {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(|item| text(Some(item))).collect();
            items.join(", ")
        }
        Some(other) => other.to_string(),
    }
}

/// The services' keys, each asked for once.
pub(crate) struct ReceiptKeys<'a> {
    session: &'a Session,
    known: BTreeMap<&'static str, Vec<Verifier>>,
}

impl<'a> ReceiptKeys<'a> {
    pub(crate) fn new(session: &'a Session) -> Self {
        Self {
            session,
            known: BTreeMap::new(),
        }
    }

    /// The receipt, or whose it should be and why it counts for nothing: an
    /// `Outcome` where it does not verify, anything else where the keys are
    /// not to be had.
    pub(crate) async fn verify(
        &mut self,
        receipt: &ErasureReceipt,
        pseudonym: &str,
    ) -> Result<Receipt, (&'static str, Failure)> {
        let service = Storing::of(&receipt.service)
            .map(Storing::name)
            .ok_or_else(|| (STRANGER, broken(&receipt.service, "no service signs so")))?;
        let keys = self
            .of(service)
            .await
            .map_err(|failure| (service, failure))?;
        let claims = verified(keys, service, pseudonym, &receipt.jws)
            .map_err(|fault| (service, broken(service, fault)))?;
        Ok(Receipt {
            service,
            claims,
            jws: receipt.jws.clone(),
        })
    }

    async fn of(&mut self, service: &'static str) -> Result<&[Verifier], Failure> {
        if !self.known.contains_key(service) {
            let mut custody = CustodyServiceClient::new(self.session.line(service)?);
            let reply = custody.get_receipt_keys(GetReceiptKeysRequest {}).await;
            let reply = reply.map_err(|status| self.session.refused(status))?;
            let keys = read_keys(&reply.get_ref().jwks)
                .ok_or_else(|| Failure::incomplete("a JWK Set with its keys"))?;
            self.known.insert(service, keys);
        }
        Ok(self
            .known
            .get(service)
            .map(Vec::as_slice)
            .unwrap_or_default())
    }
}

fn broken(service: &str, fault: &str) -> Failure {
    Failure::Outcome {
        message: format!("a receipt of {service} counts for nothing: {fault}"),
        exit_code: Failure::REFUSED,
    }
}

/// Keys of other kinds are passed over (RFC 7517 section 5).
fn read_keys(jwks: &str) -> Option<Vec<Verifier>> {
    let set: Value = serde_json::from_str(jwks).ok()?;
    let keys = set.get("keys")?.as_array()?.iter();
    Some(
        keys.filter_map(|key| Jwk::verifier(&serde_json::from_value(key.clone()).ok()?))
            .collect(),
    )
}

fn verified(
    keys: &[Verifier],
    service: &str,
    pseudonym: &str,
    jws: &str,
) -> Result<Map<String, Value>, &'static str> {
    let claims: Map<String, Value> = keys
        .iter()
        .find_map(|key| key.claims(PURPOSE, jws))
        .ok_or("no key of that service signed it")?;
    let says = |name: &str, what: &str| claims.get(name).and_then(Value::as_str) == Some(what);
    if !says("iss", service) {
        return Err("it names another service");
    }
    if !says("sub", pseudonym) {
        return Err("it is of another erasure");
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use ring::{
        digest::{SHA256, digest},
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
    };

    use super::*;

    const PERSON: &str = "6f0e5a1c-0000-4000-8000-000000000001";

    /// The public set, and a signer of what it is given.
    fn key() -> (String, impl Fn(&str, &Value) -> String) {
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
        let other = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" });
        let set = json!({ "keys": [other, jwk] }).to_string();
        let private = EncodingKey::from_ec_der(pkcs8.as_ref());
        let sign = move |purpose: &str, claims: &Value| {
            let header = Header {
                typ: Some(purpose.into()),
                kid: Some(kid.clone()),
                ..Header::new(Algorithm::ES256)
            };
            jsonwebtoken::encode(&header, claims, &private).expect("signed")
        };
        (set, sign)
    }

    #[test]
    fn only_a_receipt_of_that_service_and_person_counts() {
        let (set, sign) = key();
        let keys = read_keys(&set).expect("keys");
        assert_eq!(keys.len(), 1);
        let claims = json!({ "iss": "biometric-svc", "sub": PERSON, "ledger_number": 7 });
        let good = sign(PURPOSE, &claims);
        let read = verified(&keys, "biometric-svc", PERSON, &good).expect("a receipt");
        assert_eq!(read["ledger_number"], 7);

        assert!(verified(&keys, "access-svc", PERSON, &good).is_err());
        assert!(verified(&keys, "biometric-svc", "another", &good).is_err());
        let line = sign("propdev-ledger+jwt", &claims);
        assert!(verified(&keys, "biometric-svc", PERSON, &line).is_err());
        let (_, stranger) = key();
        let forged = stranger(PURPOSE, &claims);
        assert!(verified(&keys, "biometric-svc", PERSON, &forged).is_err());
        assert!(verified(&keys, "biometric-svc", PERSON, "").is_err());
    }

    #[test]
    fn claims_are_told_in_words() {
        let told = |value: Value| text(Some(&value));
        assert_eq!(told(json!(["a", "b"])), "a, b");
        assert_eq!(told(json!(7)), "7");
        assert_eq!(told(Value::Null), "");
    }
}
