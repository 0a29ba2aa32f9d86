//! Issuing an access token.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    App,
    authentication::{Authenticated, Credentials},
};
use crate::{
    clients::{Context, Kind},
    domain::{
        audit::{Event, Kind as EventKind},
        client::Client,
        scope::{self, Permission, Scope},
        token::{self, Grant, Means, Subject},
    },
    error::{Error, Unrecognised},
};

/// How old a picture may be, and how far a camera's clock may run ahead.
const EVIDENCE_AGE: SignedDuration = SignedDuration::from_secs(30);

pub(crate) struct Face {
    pub(crate) model: String,
    /// Little-endian float32.
    pub(crate) vector: Zeroizing<Vec<u8>>,
}

pub(crate) struct Plate {
    pub(crate) number: Zeroizing<String>,
    pub(crate) country: String,
}

pub(crate) enum Evidence {
    Face(Face),
    Plate(Plate),
}

pub(crate) struct TokenRequest {
    pub(crate) credentials: Credentials,
    pub(crate) grant_type: String,
    pub(crate) scope: String,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) captured_at: Option<Timestamp>,
    pub(crate) device_id: Option<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) request_id: String,
}

impl TokenRequest {
    fn means(&self) -> &'static str {
        match &self.evidence {
            None => "",
            Some(Evidence::Face(_)) => Means::Face.as_str(),
            Some(Evidence::Plate(_)) => Means::Plate.as_str(),
        }
    }
}

pub(crate) struct Issued {
    pub(crate) token: Zeroizing<String>,
    /// Seconds.
    pub(crate) expires_in: u32,
    pub(crate) scope: String,
}

impl App {
    pub(crate) async fn issue_token(&self, request: TokenRequest) -> Result<Issued, Error> {
        let authenticated = self.authenticate(&request.credentials).await?;
        let client = &authenticated.client;
        let event = |kind| Event {
            client_id: Some(client.id.clone()),
            partner: Some(client.partner),
            means: request.means(),
            device_id: request.device_id.clone(),
            request_id: request.request_id.clone(),
            ..Event::new(kind, self.parts.clock.now())
        };
        match self.issue(&authenticated, &request).await {
            Ok((issued, jti, subject)) => {
                let of_subject = subject.is_some();
                let event = Event {
                    jti: Some(jti),
                    audit_pseudonym: subject.map(|subject| subject.audit_pseudonym),
                    ..event(EventKind::TokenIssued)
                };
                if of_subject {
                    self.record(event).await?;
                } else {
                    self.record_behind(event).await?;
                }
                Ok(issued)
            }
            Err(error) => {
                if let Some(code) = error.oauth_code() {
                    let event = Event {
                        code,
                        cause: error.cause(),
                        ..event(EventKind::TokenRefused)
                    };
                    self.record(event).await?;
                }
                Err(error)
            }
        }
    }

    async fn issue(
        &self,
        authenticated: &Authenticated,
        request: &TokenRequest,
    ) -> Result<(Issued, Uuid, Option<Subject>), Error> {
        let client = &authenticated.client;
        match request.grant_type.as_str() {
            "client_credentials" => {}
            "" => return Err(Error::InvalidRequest("grant_type is required")),
            _ => return Err(Error::UnsupportedGrantType),
        }
        if request
            .resources
            .iter()
            .any(|resource| *resource != self.parts.tokens.audience)
        {
            return Err(Error::InvalidTarget);
        }
        let scopes = allowed_scopes(client, request)?;
        let device = request.device_id.as_deref();
        let context = Context { client, device };
        let now = self.parts.clock.now();
        let subject = match &request.evidence {
            None => {
                if device.is_some() {
                    self.parts.access.search_scope(&context, Kind::Any).await?;
                }
                None
            }
            Some(evidence) => {
                fresh(request.captured_at, now)?;
                Some(self.recognise(&context, evidence).await?)
            }
        };

        let grant = Grant {
            client,
            scopes: &scopes,
            device,
            subject: subject.as_ref(),
            certificate: authenticated.certificate,
        };
        let jti = Uuid::now_v7();
        let (claims, expires_in) = token::claims(&grant, &self.parts.tokens, now, jti);
        let snapshot = self.snapshot().await?;
        let key = snapshot.signing(now).ok_or(Error::Signing)?;
        let issued = Issued {
            token: Zeroizing::new(key.key.sign(&claims)?),
            expires_in,
            scope: scope::join(&scopes),
        };
        Ok((issued, jti, subject))
    }

    async fn recognise(
        &self,
        context: &Context<'_>,
        evidence: &Evidence,
    ) -> Result<Subject, Error> {
        match evidence {
            Evidence::Face(face) => self.recognise_face(context, face).await,
            Evidence::Plate(plate) => {
                let access = &self.parts.access;
                if context.device.is_some() {
                    access.search_scope(context, Kind::Barrier).await?;
                }
                let described = access.describe_plate(context, plate).await?;
                described.ok_or(Error::InvalidGrant(Unrecognised::Unknown))
            }
        }
    }

    async fn recognise_face(&self, context: &Context<'_>, face: &Face) -> Result<Subject, Error> {
        let access = &self.parts.access;
        let sites = match context.device {
            Some(_) => access.search_scope(context, Kind::Door).await?,
            None => context.client.settings.sites.clone(),
        };
        let search = self.may_search(context)?;
        let found = self.parts.biometric.identify(face, &sites).await?;
        let nobody = found.subject.as_ref().err().copied();
        // Asked for an unknown face too: both take the same path.
        let described = access
            .describe_face(context, found.subject.ok(), found.probe_mac)
            .await?;
        described.subject.ok_or_else(|| {
            search.missed();
            Error::InvalidGrant(if described.replayed {
                Unrecognised::Replayed
            } else {
                nobody.unwrap_or(Unrecognised::Unknown)
            })
        })
    }
}

/// What the evidence allows: a face opens doors, a plate barriers.
fn allowed_scopes(client: &Client, request: &TokenRequest) -> Result<Vec<Scope>, Error> {
    let (permission, only) = match &request.evidence {
        None => return scope::grant(&request.scope, &client.settings.scopes),
        Some(Evidence::Face(_)) => (Permission::SubjectFace, Scope::DoorOpen),
        Some(Evidence::Plate(_)) => (Permission::SubjectPlate, Scope::BarrierOpen),
    };
    if !client.settings.permissions.contains(&permission) {
        return Err(Error::UnauthorizedClient);
    }
    let allowed: Vec<Scope> = client
        .settings
        .scopes
        .iter()
        .copied()
        .filter(|scope| *scope == only)
        .collect();
    scope::grant(&request.scope, &allowed)
}

fn fresh(captured_at: Option<Timestamp>, now: Timestamp) -> Result<(), Error> {
    match captured_at {
        Some(time) if now.duration_since(time).abs() > EVIDENCE_AGE => {
            Err(Error::InvalidGrant(Unrecognised::Stale))
        }
        _ => Ok(()),
    }
}

impl Subject {
    pub(crate) fn of(
        means: Means,
        described: propdev_proto::access::SubjectDescription,
        evidence: Option<String>,
    ) -> Self {
        Self {
            pseudonym: described.pseudonym,
            means,
            device_ids: described.device_ids,
            truncated: described.truncated,
            evidence,
            audit_pseudonym: described.audit_pseudonym,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::authentication::Proof, domain::client::Settings};

    fn client(scopes: &[Scope], permissions: &[Permission]) -> Client {
        Client {
            id: "c".into(),
            partner: Uuid::nil(),
            settings: Settings {
                scopes: scopes.to_vec(),
                permissions: permissions.to_vec(),
                ..Settings::default()
            },
            secrets: vec![],
            webhook_secrets: vec![],
            disabled: false,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn request(scope: &str, face: bool) -> TokenRequest {
        TokenRequest {
            credentials: Credentials {
                client_id: "c".into(),
                proof: Proof::Certificate,
                chain: vec![],
                address: String::new(),
            },
            grant_type: "client_credentials".into(),
            scope: scope.into(),
            evidence: face.then(|| {
                Evidence::Face(Face {
                    model: "m".into(),
                    vector: Zeroizing::default(),
                })
            }),
            captured_at: None,
            device_id: None,
            resources: vec![],
            request_id: String::new(),
        }
    }

    #[test]
    fn a_face_gives_a_door_and_nothing_else() {
        let all = client(
            &[Scope::DoorOpen, Scope::BarrierOpen],
            &[Permission::SubjectFace],
        );
        assert_eq!(
            allowed_scopes(&all, &request("", true)).expect("granted"),
            [Scope::DoorOpen]
        );
        assert!(matches!(
            allowed_scopes(&all, &request("door:open barrier:open", true)),
            Err(Error::InvalidScope)
        ));
        let none = client(&[Scope::DoorOpen], &[]);
        assert!(matches!(
            allowed_scopes(&none, &request("", true)),
            Err(Error::UnauthorizedClient)
        ));
        let barriers = client(&[Scope::BarrierOpen], &[Permission::SubjectFace]);
        assert!(matches!(
            allowed_scopes(&barriers, &request("", true)),
            Err(Error::InvalidScope)
        ));
    }

    #[test]
    fn a_stale_picture_is_no_evidence() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().expect("a time");
        assert!(fresh(None, now).is_ok());
        assert!(fresh(Some(now - SignedDuration::from_secs(30)), now).is_ok());
        assert!(fresh(Some(now - SignedDuration::from_secs(31)), now).is_err());
        assert!(fresh(Some(now + SignedDuration::from_secs(31)), now).is_err());
    }
}
