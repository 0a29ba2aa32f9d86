//! Access tokens that nobody issued (RFC 8725). Those that are signed are
//! signed with the server's own key, taken from its store: only what the token
//! says is wrong.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use devmesh::estate::{BARRIER, OTHER_DOOR, PLATE};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mesh::{
    config::KeyringConfig,
    keyring::{Keyring, WrappedKey},
};
use mesh_tests::{Database, Mesh};
use sea_orm::{ConnectionTrait, Database as Connection, Statement};
use serde_json::{Value, json};

struct Key {
    kid: String,
    pkcs8: Vec<u8>,
}

async fn steal_key(mesh: &Mesh) -> Key {
    let folder = mesh.folder.path();
    let config = KeyringConfig {
        managed: false,
        ..KeyringConfig::at(folder.join("keys/auth-svc.json"))
    };
    let keyring = Keyring::open("auth-svc", &config)
        .await
        .expect("the keyring");
    let url = format!("sqlite://{}", folder.join("data/auth-svc.db").display());
    let db = Connection::connect(url).await.expect("the database");
    let query = "SELECT kid, epoch, wrapped_key, sealed FROM signing_keys";
    let query = Statement::from_string(db.get_database_backend(), query);
    let row = db
        .query_one_raw(query)
        .await
        .expect("a query")
        .expect("a key");
    let kid: String = row.try_get("", "kid").expect("a kid");
    let wrapped = WrappedKey {
        epoch: row.try_get("", "epoch").expect("an epoch"),
        sealed: row.try_get("", "wrapped_key").expect("a wrapped key"),
    };
    let sealed: Vec<u8> = row.try_get("", "sealed").expect("a sealed key");
    let key = keyring
        .unwrap(&wrapped, kid.as_bytes())
        .expect("a data key");
    let pkcs8 = key.open(&sealed, kid.as_bytes()).expect("a key").to_vec();
    Key { kid, pkcs8 }
}

impl Key {
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let parameters = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = ring::rand::SystemRandom::new();
        let pair = ring::signature::EcdsaKeyPair::from_pkcs8(parameters, &self.pkcs8, &random);
        let signature = pair
            .expect("a pair")
            .sign(&random, message.as_bytes())
            .expect("a signature");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "at+jwt", "kid": self.kid})
    }
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn with(base: &Value, name: &str, value: Value) -> Value {
    let mut changed = base.clone();
    changed[name] = value;
    changed
}

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    let json = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&json).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_token_must_say_is_checked_though_its_signature_is_good() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let partner = mesh.partner();
    let key = steal_key(&mesh).await;
    let good = claims_of(&partner.token().await);
    let refused = async |token: String, why: &str| {
        let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
        assert_eq!(answer.told(), (401, "invalid_token"), "{why}");
        assert!(!partner.is_active(&token).await, "{why}");
    };
    let whole = key.sign(&key.header(), &good);
    assert_eq!(
        partner.open_by_plate(BARRIER, &whole, PLATE).await.status,
        200
    );

    let now = good["iat"].as_i64().expect("a time");
    for (name, value) in [
        ("exp", json!(now - 1)),
        ("exp", json!("never")),
        ("exp", Value::Null),
        ("iat", Value::Null),
        ("iss", json!("https://other.example")),
        ("iss", Value::Null),
        ("aud", json!("https://other.example")),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("client_id", json!("nobody")),
        ("client_id", json!(mesh.estate.other_client_id)),
        ("client_id", Value::Null),
        ("partner", json!(mesh.estate.other_partner_id)),
        ("partner", Value::Null),
        ("jti", Value::Null),
        ("scope", Value::Null),
        ("sub", Value::Null),
    ] {
        let token = key.sign(&key.header(), &with(&good, name, value.clone()));
        refused(token, &format!("{name} {value}")).await;
    }
    for (name, value) in [
        ("nbf", json!(now + 3_600)),
        ("iat", json!(now + 3_600)),
        ("amr", json!(["pwd"])),
        ("cnf", json!({"x5t#S256": "A".repeat(43)})),
        ("cnf", json!({"jkt": "x"})),
    ] {
        let token = key.sign(&key.header(), &with(&good, name, value.clone()));
        let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
        assert_eq!(answer.told(), (401, "invalid_token"), "{name} {value}");
    }
    for (name, value) in [
        ("typ", json!("JWT")),
        ("typ", json!("dpop+jwt")),
        ("typ", Value::Null),
        ("alg", json!("ES384")),
        ("alg", json!("none")),
        ("kid", json!("../../../etc/passwd")),
        ("kid", json!("' OR 1=1 --")),
        ("kid", json!("unknown")),
        ("kid", Value::Null),
        ("crit", json!(["b64"])),
    ] {
        let token = key.sign(&with(&key.header(), name, value.clone()), &good);
        refused(token, &format!("{name} {value}")).await;
    }
    // A claim or a header member that stands twice has no one meaning.
    let text = good.to_string();
    let twice = format!("{},\"scope\":\"barrier:open\"}}", &text[..text.len() - 1]);
    let header = URL_SAFE_NO_PAD.encode(key.header().to_string());
    let token = sign_raw(&key, &header, &URL_SAFE_NO_PAD.encode(&twice));
    refused(token, "scope twice").await;
    let not_utf8 = URL_SAFE_NO_PAD.encode(b"{\"iss\":\"\xff\"}");
    refused(sign_raw(&key, &header, &not_utf8), "not UTF-8").await;
}

fn sign_raw(key: &Key, header: &str, payload: &str) -> String {
    let parameters = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let random = ring::rand::SystemRandom::new();
    let pair = ring::signature::EcdsaKeyPair::from_pkcs8(parameters, &key.pkcs8, &random);
    let message = format!("{header}.{payload}");
    let signature = pair.expect("a pair").sign(&random, message.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(signature.expect("a signature"));
    format!("{message}.{signature}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_key_and_no_other_algorithm_signs() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let partner = mesh.partner();
    let good = partner.token().await;
    let claims = claims_of(&good);
    let kid = jsonwebtoken::decode_header(&good)
        .expect("a header")
        .kid
        .expect("a kid");
    let jwks: Value = partner.get("/.well-known/jwks.json", "").await.body;
    let public = jwks["keys"][0]["x"].as_str().expect("a key").to_owned();

    let own = mesh_tests::ClientKey::generate("mine");
    let hmac = |secret: &[u8]| {
        let message = format!(
            "{}.{}",
            encode(&json!({"alg": "HS256", "typ": "at+jwt", "kid": kid})),
            encode(&claims)
        );
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let tag = ring::hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let es256 = |header: Header| {
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_der(&own.pkcs8))
            .expect("a token")
    };
    let own_header = |change: &dyn Fn(&mut Header)| {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".into());
        header.kid = Some(kid.clone());
        change(&mut header);
        header
    };
    let own_jwk: Value = serde_json::from_str(&own.jwks()).expect("JSON");
    let own_jwk = serde_json::from_value(own_jwk["keys"][0].clone()).expect("a JWK");
    let nested = {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "cty": "JWT", "kid": kid});
        let payload = URL_SAFE_NO_PAD.encode(format!("\"{good}\""));
        format!(
            "{}.{payload}.{}",
            encode(&header),
            good.split('.').nth(2).expect("a signature")
        )
    };
    for (why, token) in [
        ("HS256 with the public key", hmac(public.as_bytes())),
        (
            "HS256 with the key's bytes",
            hmac(&URL_SAFE_NO_PAD.decode(&public).expect("bytes")),
        ),
        ("HS256 with nothing", hmac(b"")),
        ("another key under the kid", es256(own_header(&|_| ()))),
        (
            "another key by jku",
            es256(own_header(&|h| h.jku = Some(format!("{}/k", partner.edge)))),
        ),
        (
            "another key by x5u",
            es256(own_header(&|h| h.x5u = Some(format!("{}/k", partner.edge)))),
        ),
        ("another key inside", {
            let jwk: jsonwebtoken::jwk::Jwk = own_jwk;
            es256(own_header(&|h| h.jwk = Some(jwk.clone())))
        }),
        (
            "no signature",
            good.rsplit_once('.')
                .map(|(rest, _)| format!("{rest}."))
                .expect("parts"),
        ),
        ("a token in a token", nested),
        ("as much as headers may hold", "x".repeat(30_000)),
    ] {
        let answer = partner.open_by_plate(BARRIER, &token, PLATE).await;
        assert_eq!(answer.told(), (401, "invalid_token"), "{why}");
        assert!(!partner.is_active(&token).await, "{why}");
        // What is no token of ours is revoked without a word.
        let answer = partner
            .post_form("/oauth2/revoke", &[("token", &token)])
            .await;
        assert_eq!(answer.status, 200, "{why}");
    }
    assert_eq!(
        partner.open_by_plate(BARRIER, &good, PLATE).await.status,
        200
    );
    let foreign = partner
        .open_by_face(OTHER_DOOR, &good, &mesh.estate.resident.probe())
        .await;
    assert_eq!(foreign.told(), (404, "device_not_found"));
}
