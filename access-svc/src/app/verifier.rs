//! Verifies access tokens here rather than believe the edge (RFC 9068 section
//! 4, RFC 8725), against keys, clients and revocations at most two seconds old.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use jsonwebtoken::Validation;
use mesh::{Clock, crypto::sha256, jose::access_token_kid, shutdown::Shutdown};
use moka::sync::Cache;
use tokio::sync::Mutex;

use super::revocations::Revocations;
use crate::{
    clients::{Auth, VerificationKey, VerificationState},
    domain::token::{Bearer, Claims, Presented},
    error::Error,
};

/// Older state than this verifies nothing.
const MOST_STALE: Duration = Duration::from_secs(2);
/// How often the state is asked for while nobody waits.
const REFRESH: Duration = Duration::from_millis(750);
/// How far apart the clocks of auth-svc and this process may be.
const LEEWAY_S: i64 = 30;
/// Tokens whose signature need not be verified again.
const MOST_TOKENS: u64 = 10_000;

pub(crate) struct Verifier {
    auth: Auth,
    issuer: String,
    audience: String,
    clock: Arc<dyn Clock>,
    held: ArcSwapOption<Held>,
    /// At least as new as what is held.
    revocations: Revocations,
    refreshing: Mutex<()>,
    /// Claims of clients' own tokens whose signature was good, by the token's
    /// SHA-256: such a token comes with every call until it expires. All else
    /// about it is looked at each time.
    signed: Cache<[u8; 32], Claims>,
}

struct Held {
    state: Arc<VerificationState>,
    /// When the answer was asked for: it is at least as old as that.
    asked: Instant,
}

impl Verifier {
    pub(crate) fn new(auth: Auth, issuer: String, audience: String, clock: Arc<dyn Clock>) -> Self {
        Self {
            auth,
            issuer,
            audience,
            clock,
            held: ArcSwapOption::empty(),
            revocations: Revocations::default(),
            refreshing: Mutex::new(()),
            signed: Cache::new(MOST_TOKENS),
        }
    }

    /// Keeps the state fresh until shutdown.
    pub(crate) async fn keep_fresh(&self, shutdown: Shutdown) {
        let mut tick = tokio::time::interval(REFRESH);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            // Whoever needs the state meanwhile asks again and tells.
            let _ = self.refresh(Instant::now()).await;
        }
    }

    /// Forgets the revocations of tokens that have expired.
    pub(super) fn forget_expired(&self, now: Timestamp) {
        self.revocations.forget_expired(now);
    }

    pub(crate) async fn verify(&self, presented: &Presented) -> Result<Bearer, Error> {
        let token = presented.token.as_str();
        let kid = access_token_kid(token).ok_or(Error::InvalidToken)?;
        let mut state = self.state(Instant::now() - MOST_STALE).await?;
        if !state.keys.contains_key(&kid) {
            // A key may be younger than what is held; a stranger who invents
            // one must not have auth-svc asked at every try.
            state = self.state(Instant::now() - REFRESH / 3).await?;
        }
        let claims = self.check(token, &kid, &state)?;
        let bound = claims.cnf.as_ref();
        if bound.is_some_and(|cnf| !cnf.is_met_by(&presented.certificate_sha256)) {
            return Err(Error::InvalidToken);
        }
        if !state.clients.contains_key(&claims.client_id) {
            // The signature is good: the client is younger than what is held.
            state = self.state(Instant::now()).await?;
        }
        self.bearer(claims, &state)
    }

    /// The state as it was at that moment or later.
    async fn state(&self, not_before: Instant) -> Result<Arc<VerificationState>, Error> {
        if let Some(held) = self.held.load_full()
            && held.asked >= not_before
        {
            return Ok(held.state.clone());
        }
        self.refresh(not_before).await
    }

    /// Asks once for all who wait.
    async fn refresh(&self, not_before: Instant) -> Result<Arc<VerificationState>, Error> {
        let _one = self.refreshing.lock().await;
        let held = self.held.load_full();
        if let Some(held) = &held
            && held.asked >= not_before
        {
            return Ok(held.state.clone());
        }
        let asked = Instant::now();
        let mut state = held.map(|held| held.state.clone()).unwrap_or_default();
        loop {
            let known = self.revocations.last();
            let update = self.auth.verification_update(state.version, known).await?;
            if let Some(new) = update.state {
                state = Arc::new(new);
            }
            self.revocations
                .add(update.revocations, update.last_revocation);
            if !update.more {
                break;
            }
        }
        self.held.store(Some(Arc::new(Held {
            state: state.clone(),
            asked,
        })));
        Ok(state)
    }

    fn check(&self, token: &str, kid: &str, state: &VerificationState) -> Result<Claims, Error> {
        let key = state.keys.get(kid).ok_or(Error::InvalidToken)?;
        let digest = sha256(token.as_bytes());
        let known = self.signed.get(&digest);
        let is_new = known.is_none();
        let claims = match known {
            Some(claims) => claims,
            None => self.decode(token, key)?,
        };
        let now = self.clock.now().as_second();
        let good = claims.iss == self.issuer
            && claims.aud == self.audience
            && now < claims.exp
            && claims.iat <= now + LEEWAY_S
            && claims.nbf <= now + LEEWAY_S
            && !self.revocations.contains(&claims.jti);
        if !good {
            self.signed.invalidate(&digest);
            return Err(Error::InvalidToken);
        }
        if is_new && claims.amr.is_none() {
            self.signed.insert(digest, claims.clone());
        }
        Ok(claims)
    }

    fn decode(&self, token: &str, key: &VerificationKey) -> Result<Claims, Error> {
        let mut validation = Validation::new(key.algorithm);
        // Times are checked below by this service's own clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.required_spec_claims.clear();
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.key, &validation);
        Ok(decoded.map_err(|_| Error::InvalidToken)?.claims)
    }

    /// The token's claims, cut down to what its client may still do.
    fn bearer(&self, claims: Claims, state: &VerificationState) -> Result<Bearer, Error> {
        let client = state
            .clients
            .get(&claims.client_id)
            .filter(|client| !client.disabled && client.partner == claims.partner)
            .ok_or(Error::InvalidToken)?;
        if claims.amr.is_some() && claims.subject().is_none() {
            return Err(Error::InvalidToken);
        }
        Ok(Bearer {
            subject: claims.subject(),
            scopes: claims
                .scope
                .split(' ')
                .filter(|scope| client.scopes.iter().any(|s| s == scope))
                .map(str::to_owned)
                .collect(),
            sites: claims
                .sites
                .iter()
                .copied()
                .filter(|site| client.sites.contains(site))
                .collect(),
            client_id: claims.client_id,
            partner: claims.partner,
            permissions: client.permissions.clone(),
            jti: claims.jti,
            device: claims.device,
            limits: client.limits,
            signing_secrets: client.signing_secrets.clone(),
        })
    }
}
