//! A server that speaks as much of Transit as we do, and holds to its rules:
//! versions below the least allowed do not decrypt, trimmed ones are gone. For
//! tests.

mod version;

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use self::version::Version;

/// Where the engine is mounted.
pub const MOUNT: &str = "team/transit";

const TOKEN: &str = "a-token-for-tests";

/// A running server with one key, which is there from the start.
pub struct StandIn {
    key: Shared,
    endpoint: String,
    folder: tempfile::TempDir,
}

type Shared = Arc<Mutex<TransitKey>>;

pub struct TransitKey {
    versions: BTreeMap<u64, Version>,
    min_decryption: u64,
    min_encryption: u64,
    min_available: u64,
    /// Calls by operation.
    pub calls: BTreeMap<String, usize>,
    /// An operation that the token's policy forbids.
    pub forbidden: Option<&'static str>,
}

impl StandIn {
    pub async fn start(name: &str) -> Self {
        let key = Arc::new(Mutex::new(TransitKey {
            versions: BTreeMap::from([(1, Version::random().expect("a key"))]),
            min_decryption: 1,
            min_encryption: 0,
            min_available: 0,
            calls: BTreeMap::new(),
            forbidden: None,
        }));
        let app = Router::new()
            .route(&format!("/v1/{MOUNT}/{{operation}}/{name}"), post(crypt))
            .route(&format!("/v1/{MOUNT}/keys/{name}"), get(read))
            .route(
                &format!("/v1/{MOUNT}/keys/{name}/{{operation}}"),
                post(change),
            )
            .with_state(key.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        let folder = tempfile::tempdir().expect("a folder");
        let token = folder.path().join("token");
        fs::write(&token, format!("{TOKEN}\n")).expect("written");
        fs::set_permissions(&token, Permissions::from_mode(0o600)).expect("chmod");
        Self {
            key,
            endpoint: format!("http://{address}"),
            folder,
        }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A file with the one token that is let in.
    pub fn token_path(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    pub fn key(&self) -> MutexGuard<'_, TransitKey> {
        self.key.lock().expect("the key")
    }

    /// Which versions are still there.
    pub fn versions(&self) -> Vec<u64> {
        self.key().versions.keys().copied().collect()
    }
}

impl TransitKey {
    fn latest(&self) -> u64 {
        self.versions.keys().copied().max().unwrap_or_default()
    }

    fn encrypt(&self, plaintext: &str) -> Result<String, &'static str> {
        let version = self.latest();
        let key = self.versions.get(&version).ok_or("no key")?;
        let bytes = STANDARD.decode(plaintext).map_err(|_| "not base64")?;
        let sealed = key.seal(&bytes)?;
        Ok(format!("vault:v{version}:{}", STANDARD.encode(sealed)))
    }

    fn decrypt(&self, ciphertext: &str) -> Result<String, &'static str> {
        let rest = ciphertext.strip_prefix("vault:v").ok_or("no prefix")?;
        let (version, sealed) = rest.split_once(':').ok_or("no version")?;
        let version: u64 = version.parse().map_err(|_| "no number")?;
        if version < self.min_decryption {
            return Err("ciphertext or signature version is disallowed by policy (too old)");
        }
        let key = self.versions.get(&version).ok_or("no such version")?;
        let sealed = STANDARD.decode(sealed).map_err(|_| "not base64")?;
        Ok(STANDARD.encode(key.open(&sealed)?))
    }

    fn one(&self, operation: &str, input: &Value) -> Result<Value, &'static str> {
        let text = |name: &str| input[name].as_str().ok_or("a field is missing");
        match operation {
            "encrypt" => Ok(json!({ "ciphertext": self.encrypt(text("plaintext")?)? })),
            "decrypt" => Ok(json!({ "plaintext": self.decrypt(text("ciphertext")?)? })),
            "rewrap" => {
                let plaintext = self.decrypt(text("ciphertext")?)?;
                Ok(json!({ "ciphertext": self.encrypt(&plaintext)? }))
            }
            _ => Err("unsupported path"),
        }
    }

    fn change(&mut self, operation: &str, body: &Value) -> Result<(), &'static str> {
        let number = |name: &str, before: u64| body[name].as_u64().unwrap_or(before);
        match operation {
            "rotate" => {
                let next = self.latest() + 1;
                self.versions.insert(next, Version::random()?);
            }
            "config" => {
                let decryption = number("min_decryption_version", self.min_decryption);
                let encryption = number("min_encryption_version", self.min_encryption);
                if decryption.max(encryption) > self.latest() {
                    return Err("cannot set min version above the latest");
                }
                if encryption > 0 && encryption < decryption {
                    return Err("min_encryption_version is less than min_decryption_version");
                }
                self.min_decryption = decryption;
                self.min_encryption = encryption;
            }
            "trim" => {
                let available = number("min_available_version", 0);
                if available < self.min_available {
                    return Err("minimum available version cannot be decremented");
                }
                if available > self.min_decryption.min(self.min_encryption) {
                    return Err("minimum available version is above the other minima");
                }
                self.min_available = available;
                self.versions.retain(|version, _| *version >= available);
            }
            _ => return Err("unsupported path"),
        }
        Ok(())
    }

    /// Counts a call and lets it in, or not.
    fn admit(&mut self, headers: &HeaderMap, operation: &str) -> Result<(), Answer> {
        *self.calls.entry(operation.into()).or_default() += 1;
        let token = headers.get("x-vault-token").map(|v| v.as_bytes());
        if token != Some(TOKEN.as_bytes()) || self.forbidden == Some(operation) {
            return Err(refused(StatusCode::FORBIDDEN, "permission denied"));
        }
        Ok(())
    }
}

type Answer = (StatusCode, Json<Value>);

fn refused(status: StatusCode, why: &str) -> Answer {
    (status, Json(json!({ "errors": [why] })))
}

/// Several at once, of which each succeeds or fails alone.
async fn crypt(
    State(key): State<Shared>,
    Path(operation): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Answer, Answer> {
    let mut key = key.lock().expect("the key");
    key.admit(&headers, &operation)?;
    let inputs = body["batch_input"].as_array().cloned().unwrap_or_default();
    let results: Vec<_> = inputs.iter().map(|i| key.one(&operation, i)).collect();
    let status = if results.iter().any(Result::is_err) {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let results: Vec<_> = results
        .into_iter()
        .map(|result| result.unwrap_or_else(|why| json!({ "error": why })))
        .collect();
    let answer = json!({ "data": { "batch_results": results } });
    Ok((status, Json(answer)))
}

async fn read(State(key): State<Shared>, headers: HeaderMap) -> Result<Json<Value>, Answer> {
    let mut key = key.lock().expect("the key");
    key.admit(&headers, "read")?;
    Ok(Json(json!({ "data": {
        "latest_version": key.latest(),
        "min_decryption_version": key.min_decryption,
        "min_encryption_version": key.min_encryption,
        "min_available_version": key.min_available,
    }})))
}

async fn change(
    State(key): State<Shared>,
    Path(operation): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Answer> {
    let mut key = key.lock().expect("the key");
    key.admit(&headers, &operation)?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    key.change(&operation, &body)
        .map_err(|why| refused(StatusCode::BAD_REQUEST, why))?;
    Ok(StatusCode::NO_CONTENT)
}
