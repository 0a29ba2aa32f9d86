//! How a partner calls the edge: tokens with the `oauth2` crate, so that the
//! token endpoint is proven by code written elsewhere; the rest with reqwest.

use std::time::Instant;

use oauth2::{
    AsyncHttpClient, ClientId, ClientSecret, HttpRequest, HttpResponse, RequestTokenError,
    StandardErrorResponse, TokenResponse, TokenUrl,
    basic::{BasicClient, BasicErrorResponseType},
};
use reqwest::Certificate;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};
use std::{future::Future, pin::Pin};

use crate::{Config, Error, config::PartnerConfig};

#[derive(Clone)]
pub(crate) struct EdgeClient {
    http: reqwest::Client,
    base: String,
    pub(crate) model: String,
    pub(crate) dimension: usize,
}

/// One request of a flow and how it went.
#[derive(Serialize)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) duration_us: u64,
    /// The answer, a token left out.
    pub(crate) body: Value,
}

impl EdgeClient {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let ca = Certificate::from_pem(&std::fs::read(&config.edge.ca)?)?;
        Ok(Self {
            http: reqwest::Client::builder()
                .tls_certs_only([ca])
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .build()?,
            base: config.edge.url.trim_end_matches('/').to_owned(),
            model: config.model.clone(),
            dimension: config.dimension,
        })
    }

    /// A token with these extra parameters, and the step taken.
    pub(crate) async fn token(
        &self,
        partner: &PartnerConfig,
        extra: &[(&str, String)],
    ) -> (Option<SecretString>, Step) {
        let path = "/oauth2/token";
        let started = Instant::now();
        let step = |status, body| Step {
            name: "token",
            method: "POST",
            path: path.into(),
            status,
            duration_us: micros(started),
            body,
        };
        let Ok(url) = TokenUrl::new(format!("{}{path}", self.base)) else {
            return (None, step(0, json!({"error": "edge.url is no URL"})));
        };
        let client = BasicClient::new(ClientId::new(partner.client_id.clone()))
            .set_client_secret(ClientSecret::new(
                partner.client_secret.expose_secret().to_owned(),
            ))
            .set_token_uri(url);
        let mut request = client.exchange_client_credentials();
        for (name, value) in extra {
            request = request.add_extra_param(*name, value.clone());
        }
        match request.request_async(&Http(&self.http)).await {
            Ok(token) => {
                let body = json!({
                    "token_type": "Bearer",
                    "expires_in": token.expires_in().map(|d| d.as_secs()),
                    "scope": token.scopes().map(|scopes| {
                        scopes.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(" ")
                    }),
                });
                let secret = token.access_token().secret().clone();
                (Some(secret.into()), step(200, body))
            }
            Err(error) => {
                let (status, body) = refusal(&error);
                (None, step(status, body))
            }
        }
    }

    pub(crate) async fn post(
        &self,
        name: &'static str,
        path: String,
        token: &SecretString,
        body: Option<&Value>,
    ) -> Step {
        let started = Instant::now();
        let mut request = self
            .http
            .post(format!("{}{path}", self.base))
            .bearer_auth(token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let (status, body) = match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                (status, response.json().await.unwrap_or(Value::Null))
            }
            Err(error) => (0, json!({"error": error.without_url().to_string()})),
        };
        Step {
            name,
            method: "POST",
            path,
            status,
            duration_us: micros(started),
            body,
        }
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

type Refusal = RequestTokenError<HttpError, StandardErrorResponse<BasicErrorResponseType>>;

fn refusal(error: &Refusal) -> (u16, Value) {
    match error {
        // The library keeps the error and not the status it came with.
        RequestTokenError::ServerResponse(response) => {
            let status = match response.error() {
                BasicErrorResponseType::InvalidClient => 401,
                _ => 400,
            };
            (status, json!({"error": response.error().as_ref()}))
        }
        RequestTokenError::Parse(_, body) => {
            (0, serde_json::from_slice(body).unwrap_or(Value::Null))
        }
        other => (0, json!({"error": other.to_string()})),
    }
}

#[derive(Debug, thiserror::Error)]
enum HttpError {
    #[error("the edge cannot be reached")]
    Reqwest(#[from] reqwest::Error),
    #[error("the answer is not HTTP")]
    Http(#[from] http::Error),
}

/// The workspace's reqwest under the `oauth2` crate.
struct Http<'a>(&'a reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Http<'_> {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let response = self.0.execute(request.try_into()?).await?;
            let mut builder = http::Response::builder().status(response.status());
            for (name, value) in response.headers() {
                builder = builder.header(name, value);
            }
            Ok(builder.body(response.bytes().await?.to_vec())?)
        })
    }
}
