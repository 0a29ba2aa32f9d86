//! Tokens of our clients at a partner (RFC 6749 section 4.4): one request for
//! all who wait, kept until shortly before the token expires.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, header};
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};
use url::form_urlencoded::byte_serialize;

use super::settings::Credentials;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A failure is told to those who waited for it; the next asks anew.
const SHARED_FAILURE: Duration = Duration::from_millis(200);
/// RFC 6749 leaves a token's life open where `expires_in` is missing.
const UNTOLD_LIFE: u64 = 60;
const MAX_ANSWER: usize = 64 * 1024;

/// Without `Debug`, and only ever written into one header.
#[derive(Clone)]
pub(crate) struct Token {
    value: Arc<SecretString>,
    good_until: Instant,
}

impl Token {
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let mut value =
            HeaderValue::from_str(&format!("Bearer {}", self.value.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFault {
    #[error("the auth server could not be reached")]
    Unreachable,
    #[error("the auth server did not answer in time")]
    Timeout,
    #[error("the auth server answered {status}{}", .error.as_ref().map(|e| format!(" {e}")).unwrap_or_default())]
    Refused { status: u16, error: Option<String> },
    #[error("the auth server's answer is no bearer token")]
    Malformed,
}

impl TokenFault {
    /// Whether asking again within a command's few seconds may help.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable | Self::Timeout => true,
            Self::Refused { status, .. } => *status >= 500 || matches!(status, 408 | 429),
            Self::Malformed => false,
        }
    }
}

#[derive(Default)]
pub(crate) struct TokenSlot {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    failure: Option<(TokenFault, Instant)>,
}

impl TokenSlot {
    /// A token that is good for a while; the lock makes one request of many.
    pub(crate) async fn get<F>(&self, fetch: impl FnOnce() -> F) -> Result<Token, TokenFault>
    where
        F: Future<Output = Result<Token, TokenFault>>,
    {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if let Some(token) = state.token.as_ref().filter(|token| token.good_until > now) {
            return Ok(token.clone());
        }
        if let Some((fault, until)) = &state.failure
            && *until > now
        {
            return Err(fault.clone());
        }
        match fetch().await {
            Ok(token) => {
                *state = State {
                    token: Some(token.clone()),
                    failure: None,
                };
                Ok(token)
            }
            Err(fault) => {
                let until = Instant::now() + SHARED_FAILURE;
                *state = State {
                    token: None,
                    failure: Some((fault.clone(), until)),
                };
                Err(fault)
            }
        }
    }

    /// Forgets this token, unless another has taken its place already.
    pub(crate) async fn drop_token(&self, refused: &Token) {
        let mut state = self.state.lock().await;
        if state
            .token
            .as_ref()
            .is_some_and(|held| Arc::ptr_eq(&held.value, &refused.value))
        {
            state.token = None;
        }
    }
}

/// The success of RFC 6749 section 5.1. Without `Debug`.
#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    token_type: String,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Asks the partner's auth server as one of our clients.
pub(crate) async fn fetch(
    client: &Client,
    url: &url::Url,
    credentials: &Credentials,
) -> Result<Token, TokenFault> {
    tokio::time::timeout(REQUEST_TIMEOUT, ask(client, url, credentials))
        .await
        .unwrap_or(Err(TokenFault::Timeout))
}

async fn ask(
    client: &Client,
    url: &url::Url,
    credentials: &Credentials,
) -> Result<Token, TokenFault> {
    // Both are form-encoded before they are joined (section 2.3.1).
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let asked = Instant::now();
    let mut response = client
        .post(url.clone())
        .basic_auth(
            encode(&credentials.client_id),
            Some(encode(credentials.client_secret.expose_secret())),
        )
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials")
        .send()
        .await
        .map_err(|_| TokenFault::Unreachable)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|_| TokenFault::Unreachable)?
    {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(TokenFault::Malformed);
        }
        body.extend_from_slice(&chunk);
    }
    if status != StatusCode::OK {
        return Err(TokenFault::Refused {
            status: status.as_u16(),
            error: error_code(&body),
        });
    }
    let granted: Granted = serde_json::from_slice(&body).map_err(|_| TokenFault::Malformed)?;
    let value = granted.access_token;
    let visible = value
        .expose_secret()
        .bytes()
        .all(|b| (0x21..=0x7e).contains(&b));
    if !granted.token_type.eq_ignore_ascii_case("bearer")
        || !visible
        || value.expose_secret().is_empty()
    {
        return Err(TokenFault::Malformed);
    }
    let life = Duration::from_secs(granted.expires_in.unwrap_or(UNTOLD_LIFE).min(86_400));
    Ok(Token {
        value: Arc::new(value),
        good_until: asked + life - margin(life),
    })
}

/// How long before its end a token is renewed.
fn margin(life: Duration) -> Duration {
    (life / 5).min(Duration::from_secs(30))
}

/// The error of section 5.2, if it looks like one: a stranger's text is not
/// passed on.
fn error_code(body: &[u8]) -> Option<String> {
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
    ((1..=40).contains(&refusal.error.len()) && refusal.error.bytes().all(plain))
        .then_some(refusal.error)
}
