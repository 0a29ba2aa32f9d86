//! Vault's or OpenBao's Transit engine, which wraps the epochs' keys and
//! nothing else: a start costs one call an epoch.

mod client;
mod error;
mod wire;

use std::{fs, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

pub use self::error::TransitError;
use self::wire::{Input, Inputs, KeyState, Output, Outputs};
use super::{
    file::exposed,
    format::{Pair, WrappedPair, decode},
};
use crate::config::TransitConfig;

/// A key of a Transit engine.
pub(super) struct Transit {
    http: reqwest::Client,
    /// `<endpoint>/v1/<mount>`.
    base: Url,
    key: String,
    token_path: PathBuf,
    allow_group_read: bool,
}

impl Transit {
    pub(super) fn new(
        config: &TransitConfig,
        allow_group_read: bool,
    ) -> Result<Self, TransitError> {
        if config.key.is_empty() || config.mount.is_empty() {
            return Err(TransitError::Name);
        }
        let (mut base, plain) = client::endpoint(&config.endpoint)?;
        base.path_segments_mut()
            .map_err(|()| TransitError::Endpoint)?
            .pop_if_empty()
            .push("v1")
            .extend(config.mount.split('/').filter(|part| !part.is_empty()));
        Ok(Self {
            http: client::build(config.ca_path.as_deref(), plain)?,
            base,
            key: config.key.clone(),
            token_path: config.token_path.clone(),
            allow_group_read,
        })
    }

    pub(super) async fn wrap(&self, pair: &Pair) -> Result<WrappedPair, TransitError> {
        let kek = Zeroizing::new(STANDARD.encode(pair.kek.expose()));
        let lookup = Zeroizing::new(STANDARD.encode(pair.lookup.expose()));
        let inputs = [Input::Plaintext(&kek), Input::Plaintext(&lookup)];
        wire::wrapped("encrypt", self.batch("encrypt", inputs).await?)
    }

    pub(super) async fn unwrap(&self, wrapped: &WrappedPair) -> Result<Pair, TransitError> {
        let inputs = [
            Input::Ciphertext(&wrapped.kek),
            Input::Ciphertext(&wrapped.lookup),
        ];
        let [kek, lookup] = self.batch("decrypt", inputs).await?;
        let key = |output: &Output| {
            let text = output.plaintext.as_deref();
            text.and_then(decode).ok_or(TransitError::Answer {
                operation: "decrypt",
                detail: "a key is not 32 bytes",
            })
        };
        Ok(Pair {
            kek: key(&kek)?,
            lookup: key(&lookup)?,
        })
    }

    /// The same keys under the newest version of the Transit key.
    pub(super) async fn rewrap(&self, pair: &WrappedPair) -> Result<WrappedPair, TransitError> {
        let inputs = [
            Input::Ciphertext(&pair.kek),
            Input::Ciphertext(&pair.lookup),
        ];
        wire::wrapped("rewrap", self.batch("rewrap", inputs).await?)
    }

    /// Gives the Transit key a new version.
    pub(super) async fn rotate(&self) -> Result<(), TransitError> {
        let path = ["keys", self.key.as_str(), "rotate"];
        self.send("rotate", Method::POST, &path, None).await?;
        Ok(())
    }

    /// Destroys the versions of the Transit key that came before this one.
    pub(super) async fn destroy_before(&self, version: u64) -> Result<(), TransitError> {
        let path = ["keys", self.key.as_str()];
        let answer = self.send("read its key", Method::GET, &path, None).await?;
        let state: KeyState = wire::parse("read its key", answer)?;
        if state.min_decryption_version < version || state.min_encryption_version < version {
            // Trimming goes no further than the lesser of the two.
            let least = json!({
                "min_decryption_version": version.max(state.min_decryption_version),
                "min_encryption_version": version.max(state.min_encryption_version),
            });
            self.configure("config", &least).await?;
        }
        if state.min_available_version < version {
            let least = json!({ "min_available_version": version });
            self.configure("trim", &least).await?;
        }
        Ok(())
    }

    async fn configure(
        &self,
        operation: &'static str,
        versions: &Value,
    ) -> Result<(), TransitError> {
        let path = ["keys", self.key.as_str(), operation];
        let body = wire::body(operation, versions)?;
        self.send(operation, Method::POST, &path, Some(body))
            .await?;
        Ok(())
    }

    /// Both keys of an epoch in one call.
    async fn batch(
        &self,
        operation: &'static str,
        inputs: [Input<'_>; 2],
    ) -> Result<[Output; 2], TransitError> {
        let inputs = Inputs {
            batch_input: inputs,
        };
        let body = wire::body(operation, &inputs)?;
        let path = [operation, self.key.as_str()];
        let answer = self
            .send(operation, Method::POST, &path, Some(body))
            .await?;
        let outputs: Outputs = wire::parse(operation, answer)?;
        if let Some(failed) = outputs.batch_results.iter().find(|o| !o.error.is_empty()) {
            return Err(TransitError::Refused {
                operation,
                status: 200,
                detail: failed.error.clone(),
            });
        }
        <[Output; 2]>::try_from(outputs.batch_results).map_err(|_| TransitError::Answer {
            operation,
            detail: "it does not hold two results",
        })
    }

    async fn send(
        &self,
        operation: &'static str,
        method: Method,
        path: &[&str],
        body: Option<Bytes>,
    ) -> Result<Bytes, TransitError> {
        let unreachable = |error| TransitError::Unreachable {
            operation,
            detail: client::reason(error),
        };
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        let mut request = self
            .http
            .request(method, url)
            .header("x-vault-token", self.token()?);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let answer = response.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(answer);
        }
        let detail = wire::refusal(&answer);
        wire::wipe(answer);
        Err(TransitError::Refused {
            operation,
            status: status.as_u16(),
            detail,
        })
    }

    fn token(&self) -> Result<HeaderValue, TransitError> {
        let fault = |source| TransitError::Token {
            path: self.token_path.clone(),
            source,
        };
        let metadata = fs::metadata(&self.token_path).map_err(fault)?;
        if let Some(mode) = exposed(&metadata, self.allow_group_read) {
            return Err(TransitError::TokenExposed {
                path: self.token_path.clone(),
                mode,
            });
        }
        let text = Zeroizing::new(fs::read_to_string(&self.token_path).map_err(fault)?);
        let token = Some(text.trim()).filter(|token| !token.is_empty());
        let mut value = token
            .and_then(|token| HeaderValue::from_str(token).ok())
            .ok_or_else(|| TransitError::NoToken {
                path: self.token_path.clone(),
            })?;
        value.set_sensitive(true);
        Ok(value)
    }
}
