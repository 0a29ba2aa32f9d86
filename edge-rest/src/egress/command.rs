//! One command to a partner's gateway: sent once, and again only when the
//! first try surely did nothing. No try begins after the expiry.
//!
//! A device opens at most once: the Idempotency-Key covers 429 and 503, a
//! refused connection or a 401 did nothing by their nature, and everything
//! else that is no clear answer is an unknown outcome and is not repeated.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use http::{HeaderName, StatusCode, header};
use jiff::Timestamp;
use propdev_proto::gateway::send_command_response::Outcome;
use reqwest::Response;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout_at};
use url::Url;

use super::{partner::Partner, settings::OurClient, token::Token};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

pub(crate) struct Command {
    pub(crate) partner_id: String,
    pub(crate) settings_version: i64,
    pub(crate) client: OurClient,
    pub(crate) device_id: String,
    pub(crate) command_id: String,
    pub(crate) opening_id: String,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) window: Window,
}

/// When a command may be tried, by the monotonic clock.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    /// No try begins after this.
    pub(crate) last_start: Instant,
    /// Nobody waits for an answer beyond this.
    pub(crate) give_up: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) outcome: Outcome,
    /// 0 where the partner gave no answer.
    pub(crate) partner_status: u16,
    pub(crate) tries: u32,
}

impl Sent {
    pub(crate) fn none(outcome: Outcome) -> Self {
        Self {
            outcome,
            partner_status: 0,
            tries: 0,
        }
    }
}

/// What one try leaves to do.
enum Next {
    Done(Outcome),
    /// Surely nothing happened; try again after a pause of at least this.
    Pause(Duration),
    /// The token was refused: once more with another.
    NewToken,
}

impl Command {
    pub(crate) async fn send(&self, partner: &Partner) -> Sent {
        let Some(url) = partner.settings.command_url(self.client, &self.device_id) else {
            return Sent::none(Outcome::Rejected);
        };
        let mut sent = Sent::none(Outcome::Expired);
        let mut pauses = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_millis(500))
            .without_max_times()
            .with_jitter()
            .build();
        let mut token_renewed = false;
        // The place is held across pauses: who waits is a command under way.
        let Ok(Ok(_place)) = timeout_at(self.window.last_start, partner.places.acquire()).await
        else {
            return sent;
        };
        loop {
            match self.attempt(partner, &url, token_renewed, &mut sent).await {
                Next::Done(outcome) => {
                    sent.outcome = outcome;
                    return sent;
                }
                Next::NewToken => token_renewed = true,
                Next::Pause(least) => {
                    let pause = pauses.next().unwrap_or(least).max(least);
                    let until = Instant::now() + pause;
                    if until >= self.window.last_start {
                        return sent;
                    }
                    sleep_until(until).await;
                }
            }
        }
    }

    async fn attempt(
        &self,
        partner: &Partner,
        url: &Url,
        token_renewed: bool,
        sent: &mut Sent,
    ) -> Next {
        if !partner.breaker.permits() {
            return Next::Pause(Duration::ZERO);
        }
        let token = match timeout_at(self.window.last_start, partner.token(self.client)).await {
            Ok(Ok(token)) => token,
            Ok(Err(fault)) => {
                tracing::info!(partner_id = self.partner_id, %fault, "no token");
                return if fault.may_pass() {
                    Next::Pause(Duration::ZERO)
                } else {
                    Next::Done(Outcome::Expired)
                };
            }
            Err(_) => return Next::Done(Outcome::Expired),
        };
        let Some(request) = self.request(partner, url, &token) else {
            return Next::Done(Outcome::Expired);
        };
        if Instant::now() >= self.window.last_start {
            return Next::Done(Outcome::Expired);
        }
        sent.tries += 1;
        match timeout_at(self.window.give_up, request.send()).await {
            Ok(Ok(response)) => {
                partner.breaker.answered();
                sent.partner_status = response.status().as_u16();
                let next = self.judge(partner, &response, token_renewed);
                // Reads what little there is, so that the connection lives on.
                tokio::spawn(discard(response));
                if matches!(next, Next::NewToken) {
                    partner.drop_token(self.client, &token).await;
                }
                next
            }
            Ok(Err(error)) => {
                partner.breaker.failed();
                sent.partner_status = 0;
                if error.is_connect() {
                    tracing::info!(partner_id = self.partner_id, "gateway not reached");
                    Next::Pause(Duration::ZERO)
                } else {
                    Next::Done(Outcome::Unknown)
                }
            }
            Err(_) => {
                partner.breaker.failed();
                sent.partner_status = 0;
                Next::Done(Outcome::Unknown)
            }
        }
    }

    fn request(
        &self,
        partner: &Partner,
        url: &Url,
        token: &Token,
    ) -> Option<reqwest::RequestBuilder> {
        let request = partner
            .client
            .post(url.clone())
            .header(header::AUTHORIZATION, token.authorization()?);
        Some(if partner.settings.minimal {
            request.json(&json!({ "device_id": self.device_id }))
        } else {
            request
                .header(IDEMPOTENCY_KEY, &self.command_id)
                .json(&json!({
                    "device_id": self.device_id,
                    "command_id": self.command_id,
                    "opening_id": self.opening_id,
                    "issued_at": self.issued_at.to_string(),
                    "expires_at": self.expires_at.to_string(),
                }))
        })
    }

    fn judge(&self, partner: &Partner, response: &Response, token_renewed: bool) -> Next {
        let status = response.status();
        let keyed = !partner.settings.minimal;
        match status {
            _ if status.is_success() => Next::Done(Outcome::Delivered),
            StatusCode::UNAUTHORIZED if !token_renewed => Next::NewToken,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE if keyed => {
                Next::Pause(retry_after(response))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Next::Done(Outcome::Rejected)
            }
            // It may have acted before it failed.
            _ if status.is_server_error() => Next::Done(Outcome::Unknown),
            _ => Next::Done(Outcome::Rejected),
        }
    }
}

/// Seconds alone; a date would need the partner's clock to agree with ours.
fn retry_after(response: &Response) -> Duration {
    response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map_or(Duration::ZERO, Duration::from_secs)
        .min(MAX_RETRY_AFTER)
}

async fn discard(mut response: Response) {
    let reading = async {
        let mut left = 16 * 1024_usize;
        while let Ok(Some(chunk)) = response.chunk().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), reading).await;
}
