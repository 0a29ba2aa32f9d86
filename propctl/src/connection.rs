//! Channels to the services under the operator's certificate, and which call
//! was made last, so that a failure can name it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use mesh::{
    client::{self, MeshChannel},
    config::TlsConfig,
    context::CallContext,
    policy::Policy,
    tls::Credentials,
};
use tonic::{Status, body::Body};
use tower::Service;

use crate::{
    config::Config,
    error::{CallSite, Failure},
    output::Output,
};

pub(crate) const AUTH: &str = "auth-svc";
pub(crate) const ACCESS: &str = "access-svc";
pub(crate) const BIOMETRIC: &str = "biometric-svc";
pub(crate) const EDGE: &str = "edge-rest";

/// One run of propctl against the services.
pub(crate) struct Session {
    pub(crate) output: Output,
    /// The operator's own, for the whole command.
    pub(crate) limit: Option<Duration>,
    config: Config,
    credentials: Arc<Credentials>,
    policy: Arc<Policy>,
    last: LastCall,
}

type LastCall = Arc<Mutex<Option<Made>>>;

#[derive(Clone)]
struct Made {
    service: &'static str,
    endpoint: Arc<str>,
    path: String,
}

impl Session {
    pub(crate) fn open(
        config: Config,
        output: Output,
        limit: Option<Duration>,
    ) -> Result<Self, Failure> {
        let credentials = Credentials::load(config.tls.clone())
            .map_err(|error| Failure::Usage(format!("[tls] of {}: {error}", config.origin)))?;
        let policy = Policy::built_in()
            .map_err(|error| Failure::Local(format!("the contracts are broken: {error}")))?;
        Ok(Self {
            output,
            limit,
            config,
            credentials,
            policy,
            last: LastCall::default(),
        })
    }

    pub(crate) fn auth(&self) -> Result<Line, Failure> {
        self.line(AUTH)
    }

    pub(crate) fn access(&self) -> Result<Line, Failure> {
        self.line(ACCESS)
    }

    pub(crate) fn biometric(&self) -> Result<Line, Failure> {
        self.line(BIOMETRIC)
    }

    pub(crate) fn endpoint(&self, service: &str) -> Option<&str> {
        let endpoints = &self.config.endpoints;
        match service {
            AUTH => endpoints.auth_svc.as_deref(),
            ACCESS => endpoints.access_svc.as_deref(),
            BIOMETRIC => endpoints.biometric_svc.as_deref(),
            EDGE => endpoints.edge_rest.as_deref(),
            _ => None,
        }
    }

    /// Nothing is dialled until the first call.
    pub(crate) fn line(&self, service: &'static str) -> Result<Line, Failure> {
        self.line_noting(service, self.last.clone())
    }

    /// For calls beside another one, which a failure is not about.
    pub(crate) fn side_line(&self, service: &'static str) -> Result<Line, Failure> {
        self.line_noting(service, LastCall::default())
    }

    fn line_noting(&self, service: &'static str, last: LastCall) -> Result<Line, Failure> {
        let endpoint = self.endpoint(service).ok_or_else(|| {
            Failure::Usage(format!(
                "endpoints.{service} is not configured in {}",
                self.config.origin
            ))
        })?;
        let channel = client::connect(
            service,
            endpoint,
            self.credentials.clone(),
            self.policy.clone(),
        )
        .map_err(|_| {
            Failure::Usage(format!(
                "endpoints.{service} in {} is not https://host:port: {endpoint}",
                self.config.origin
            ))
        })?;
        Ok(Line {
            channel,
            service,
            endpoint: endpoint.into(),
            last,
        })
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Where the operator's certificate and the trust bundle are.
    pub(crate) fn tls(&self) -> &TlsConfig {
        &self.config.tls
    }

    /// The refusal of the call just made, for commands that go on after it.
    pub(crate) fn refused(&self, status: Status) -> Failure {
        let request_id = CallContext::current().map(|context| context.request_id);
        self.locate(status.into(), &request_id.unwrap_or_default())
    }

    /// Adds to a refusal which call it was, of whom, and who may make it.
    pub(crate) fn locate(&self, failure: Failure, request_id: &str) -> Failure {
        let Failure::Call { status, site: None } = failure else {
            return failure;
        };
        let made = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let site = made.map(|made| {
            let rpc = self.policy.get(&made.path);
            let mut wanted: Vec<String> = rpc
                .map(|rpc| rpc.callers.iter().cloned().collect())
                .unwrap_or_default();
            wanted.sort();
            Box::new(CallSite {
                service: made.service,
                endpoint: made.endpoint.to_string(),
                path: made.path,
                caller: self.credentials.id().caller.to_string(),
                wanted,
                idempotent: rpc.is_some_and(|rpc| rpc.idempotent),
                request_id: request_id.into(),
            })
        });
        Failure::Call { status, site }
    }
}

/// A channel that notes each call before it is made.
#[derive(Clone)]
pub(crate) struct Line {
    channel: MeshChannel,
    service: &'static str,
    endpoint: Arc<str>,
    last: LastCall,
}

impl Service<Request<Body>> for Line {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <MeshChannel as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Made {
            service: self.service,
            endpoint: self.endpoint.clone(),
            path: request.uri().path().to_owned(),
        });
        self.channel.call(request)
    }
}
