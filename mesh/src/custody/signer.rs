//! The ES256 key (RFC 7518 section 3.4) of receipts and of the erasure ledger.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::FutureExt;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{CustodyError, entity::sealed_secret};
use crate::{
    db::Db,
    keyring::{Keyring, WrappedKey},
};

/// The row of `sealed_secrets`.
const NAME: &str = "receipt-signing-key";

/// What a signature is for (RFC 8725 section 3.11): a line of the ledger is no
/// receipt.
pub(super) const RECEIPT_TYPE: &str = "propdev-receipt+jwt";

/// A public key (RFC 7517), P-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwk {
    pub kty: String,
    pub crv: String,
    pub x: String,
    pub y: String,
    pub alg: String,
    #[serde(rename = "use")]
    pub usage: String,
    /// Thumbprint (RFC 7638).
    pub kid: String,
}

impl Jwk {
    /// Of ring's point: 0x04, then x and y of 32 bytes each.
    fn of_point(public: &[u8]) -> Option<Self> {
        let x = URL_SAFE_NO_PAD.encode(public.get(1..33)?);
        let y = URL_SAFE_NO_PAD.encode(public.get(33..65)?);
        Some(Self {
            kid: thumbprint(&x, &y),
            kty: "EC".into(),
            crv: "P-256".into(),
            alg: "ES256".into(),
            usage: "sig".into(),
            x,
            y,
        })
    }

    /// None for a key that is not what its members say.
    pub fn verifier(&self) -> Option<Verifier> {
        let good = self.kty == "EC"
            && self.crv == "P-256"
            && self.alg == "ES256"
            && self.kid == thumbprint(&self.x, &self.y);
        let key = DecodingKey::from_ec_components(&self.x, &self.y).ok()?;
        let mut validation = Validation::new(Algorithm::ES256);
        // Neither receipts nor ledgers expire.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        good.then(|| Verifier {
            kid: self.kid.clone(),
            key,
            validation,
        })
    }
}

/// Verifies what a [`Signer`] signed.
pub struct Verifier {
    kid: String,
    key: DecodingKey,
    validation: Validation,
}

impl Verifier {
    /// The claims, where this key signed them for that purpose.
    pub fn claims<C: DeserializeOwned>(&self, purpose: &str, jws: &str) -> Option<C> {
        let read = jsonwebtoken::decode::<C>(jws, &self.key, &self.validation).ok()?;
        let named = read.header.typ.as_deref() == Some(purpose)
            && read.header.kid.as_deref() == Some(self.kid.as_str());
        named.then_some(read.claims)
    }
}

#[derive(Clone)]
pub struct Signer {
    inner: Arc<Inner>,
}

struct Inner {
    key: EncodingKey,
    jwk: Jwk,
}

impl Signer {
    /// The store's key, made at first start. Replicas that start together
    /// agree on the row that was written first.
    pub(super) async fn open(db: &Db, keyring: &Keyring) -> Result<Self, CustodyError> {
        let find = || sealed_secret::Entity::find_by_id(NAME);
        if find().one(&db.read).await?.is_none() {
            let row = new_row(keyring)?;
            let added: Result<(), CustodyError> = db
                .writer
                .write(move |txn| {
                    async move {
                        sealed_secret::Entity::insert(row)
                            .exec_without_returning(txn)
                            .await?;
                        Ok(())
                    }
                    .boxed()
                })
                .await;
            match added {
                Err(error) if error.is_unique_violation() => {}
                other => other?,
            }
        }
        let row = find()
            .one(&db.read)
            .await?
            .ok_or(CustodyError::Signing("its row is gone"))?;
        let wrapped = WrappedKey {
            epoch: row.epoch,
            sealed: row.wrapped_key,
        };
        let data_key = keyring.unwrap(&wrapped, NAME.as_bytes())?;
        Self::from_pkcs8(&data_key.open(&row.sealed, NAME.as_bytes())?)
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, CustodyError> {
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            pkcs8,
            &SystemRandom::new(),
        )
        .map_err(|_| CustodyError::Signing("it is no P-256 key"))?;
        let jwk = Jwk::of_point(pair.public_key().as_ref())
            .ok_or(CustodyError::Signing("it has no public point"))?;
        Ok(Self {
            inner: Arc::new(Inner {
                key: EncodingKey::from_ec_der(pkcs8),
                jwk,
            }),
        })
    }

    pub fn jwk(&self) -> &Jwk {
        &self.inner.jwk
    }

    /// JWK Set (RFC 7517 section 5).
    pub fn jwks(&self) -> String {
        serde_json::json!({ "keys": [self.jwk()] }).to_string()
    }

    /// A compact JWS whose header names its purpose and this key.
    pub fn sign(&self, purpose: &str, claims: &impl Serialize) -> Result<String, CustodyError> {
        let header = Header {
            typ: Some(purpose.into()),
            kid: Some(self.inner.jwk.kid.clone()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, claims, &self.inner.key)
            .map_err(|_| CustodyError::Signing("it does not sign"))
    }

    /// A key of no store.
    #[cfg(test)]
    pub(super) fn random() -> Self {
        Self::from_pkcs8(&generate().expect("a key")).expect("a key")
    }
}

fn generate() -> Result<Zeroizing<Vec<u8>>, CustodyError> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map(|document| Zeroizing::new(document.as_ref().to_vec()))
        .map_err(|_| CustodyError::Signing("none can be made"))
}

fn new_row(keyring: &Keyring) -> Result<sealed_secret::ActiveModel, CustodyError> {
    let (data_key, wrapped) = keyring.new_data_key(NAME.as_bytes())?;
    Ok(sealed_secret::ActiveModel {
        name: Set(NAME.into()),
        epoch: Set(wrapped.epoch),
        wrapped_key: Set(wrapped.sealed),
        sealed: Set(data_key.seal(&generate()?, NAME.as_bytes())?),
    })
}

/// RFC 7638: the members in the order of their names, without spaces.
fn thumbprint(x: &str, y: &str) -> String {
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_signed_verifies_for_its_purpose_alone() {
        crate::jose::install_crypto();
        let signer = Signer::random();
        let jws = signer.sign(RECEIPT_TYPE, &json!({"a": 1})).expect("signed");
        let verifier = signer.jwk().verifier().expect("a key");
        let claims: Option<Value> = verifier.claims(RECEIPT_TYPE, &jws);
        assert_eq!(claims, Some(json!({"a": 1})));
        assert_eq!(verifier.claims::<Value>("propdev-ledger+jwt", &jws), None);
        let stranger = Signer::random().jwk().verifier().expect("a key");
        assert_eq!(stranger.claims::<Value>(RECEIPT_TYPE, &jws), None);
        let edited = jws.replacen('.', ".e", 1);
        assert_eq!(verifier.claims::<Value>(RECEIPT_TYPE, &edited), None);
    }

    #[test]
    fn the_key_set_is_one_that_libraries_read() {
        crate::jose::install_crypto();
        let signer = Signer::random();
        let set: jsonwebtoken::jwk::JwkSet =
            serde_json::from_str(&signer.jwks()).expect("a JWK Set");
        let key = set.find(&signer.jwk().kid).expect("by its kid");
        assert!(DecodingKey::from_jwk(key).is_ok());
    }

    /// RFC 9449 section 6.1.
    #[test]
    fn a_thumbprint_is_the_rfcs() {
        let x = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs";
        let y = "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA";
        assert_eq!(
            thumbprint(x, y),
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
        );
    }

    #[test]
    fn a_key_of_another_kid_is_none() {
        let mut jwk = Signer::random().jwk().clone();
        jwk.kid = "other".into();
        assert!(jwk.verifier().is_none());
    }
}
