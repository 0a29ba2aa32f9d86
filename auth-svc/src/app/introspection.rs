//! Telling of a token (RFC 7662) and ending one (RFC 7009).

use jiff::Timestamp;
use jsonwebtoken::Validation;
use mesh::jose::access_token_kid;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{App, audit::encoded, authentication::Credentials};
use crate::{
    domain::{
        audit::{Event, Kind},
        token::Means,
    },
    error::Error,
    store::RevokedToken,
};

/// How far apart the clocks of replicas may be.
const LEEWAY_S: i64 = 30;

/// What a token of ours says, as far as it matters here.
#[derive(Deserialize)]
struct Claims {
    client_id: String,
    partner: Uuid,
    jti: Uuid,
    sub: String,
    scope: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    amr: Option<Vec<String>>,
    evidence: Option<String>,
}

impl App {
    /// The claims of an active token of the client's own partner; none for
    /// every other token, whatever is the matter with it.
    pub(crate) async fn introspect(
        &self,
        credentials: &Credentials,
        token: &str,
    ) -> Result<Option<String>, Error> {
        let authenticated = self.authenticate(credentials).await?;
        let Some((claims, json)) = self.read(token).await? else {
            return Ok(None);
        };
        if claims.partner != authenticated.client.partner {
            return Ok(None);
        }
        // What another replica revoked, disabled or deleted counts from now.
        let snapshot = self.fresh_snapshot().await?;
        let known = snapshot
            .client(&claims.client_id)
            .is_some_and(|client| !client.disabled && client.partner == claims.partner);
        if !known || self.parts.revocations.contains(&claims.jti) {
            return Ok(None);
        }
        if let Some(amr) = claims.amr {
            let by_face = amr.iter().any(|means| means == Means::Face.as_str());
            let standing = self
                .parts
                .access
                .token_is_good(
                    claims.jti,
                    claims.evidence,
                    claims.partner,
                    claims.sub,
                    by_face.then_some(claims.iat),
                )
                .await?;
            if !standing {
                return Ok(None);
            }
        }
        Ok(Some(json.to_string()))
    }

    /// Ends a token of the client itself; says nothing of any other.
    pub(crate) async fn revoke(
        &self,
        credentials: &Credentials,
        token: &str,
        request_id: String,
    ) -> Result<(), Error> {
        let authenticated = self.authenticate(credentials).await?;
        let client = &authenticated.client;
        let Some((claims, _)) = self.read(token).await? else {
            return Ok(());
        };
        if claims.client_id != client.id {
            return Ok(());
        }
        let token = RevokedToken {
            jti: claims.jti,
            client_id: client.id.clone(),
            expires_at: Timestamp::from_second(claims.exp).unwrap_or(Timestamp::MAX),
        };
        let event = Event {
            client_id: Some(client.id.clone()),
            partner: Some(client.partner),
            jti: Some(claims.jti),
            request_id,
            ..Event::new(Kind::TokenRevoked, self.parts.clock.now())
        };
        let revoked = self
            .parts
            .store
            .revoke(token, encoded(&event), event.at)
            .await;
        if matches!(revoked, Err(Error::Limited(_))) {
            self.parts.summaries.rate_limited(&client.id);
        }
        revoked?;
        self.in_force().await;
        Ok(())
    }

    /// The claims of a token that we signed and that has not expired.
    async fn read(&self, token: &str) -> Result<Option<(Claims, Value)>, Error> {
        let Some(kid) = access_token_kid(token) else {
            return Ok(None);
        };
        let snapshot = self.snapshot().await?;
        let now = self.parts.clock.now();
        let Some(stored) = snapshot
            .published(now)
            .find(|stored| kid == stored.key.kid())
        else {
            return Ok(None);
        };
        let mut validation = Validation::new(stored.key.algorithm());
        // Times are looked at below, by this service's own clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_issuer(&[&self.parts.tokens.issuer]);
        validation.set_audience(&[&self.parts.tokens.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "exp"]);
        let key = stored.key.decoding_key();
        // The struct first: unlike a map it refuses a claim that stands twice.
        let Ok(decoded) = jsonwebtoken::decode::<Claims>(token, &key, &validation) else {
            return Ok(None);
        };
        let claims = decoded.claims;
        let Ok(decoded) = jsonwebtoken::decode::<Value>(token, &key, &validation) else {
            return Ok(None);
        };
        let json = decoded.claims;
        let now = now.as_second();
        let in_time = now < claims.exp && claims.iat.max(claims.nbf) <= now + LEEWAY_S;
        let good = in_time && !claims.scope.is_empty();
        Ok(good.then_some((claims, json)))
    }
}
