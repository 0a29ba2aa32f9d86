//! Commands against a partner of the test's own, over real TLS.

mod bounds;
mod commands;
mod guards;

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, StatusCode, header};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use mesh::{
    server::{HandshakeLimits, accept_tls},
    shutdown::Shutdown,
};
use propdev_proto::{
    access::{
        GetEgressSettingsResponse, GetOpeningRequest, GetOpeningResponse, OpenRequest,
        OpenResponse, Partner as PartnerMessage, PartnerClientCredentials,
        RecordCommandResultsRequest, RecordCommandResultsResponse, RecordCredentialOpeningsRequest,
        RecordCredentialOpeningsResponse,
    },
    auth::{
        GetKeySetResponse, IntrospectTokenRequest, IntrospectTokenResponse, IssueTokenRequest,
        IssueTokenResponse, RevokeTokenRequest, RevokeTokenResponse,
    },
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::Barrier,
    time::{Instant, timeout},
};

use super::*;

type Gateway = Box<dyn Fn(u32, &HeaderMap) -> Reply + Send + Sync>;

enum Reply {
    Status(u16),
    /// To another door of the same gateway.
    Redirect,
    Hang,
    /// Once as many are under way as `together` waits for.
    Together,
}

struct Partner {
    gateway: Gateway,
    auth_hangs: AtomicBool,
    connections: AtomicU32,
    together: Barrier,
    under_way: AtomicU32,
    most_under_way: AtomicU32,
    tokens: AtomicU32,
    calls: AtomicU32,
    seen: std::sync::Mutex<Vec<(HeaderMap, Value)>>,
}

async fn token(State(partner): State<Arc<Partner>>, headers: HeaderMap) -> impl IntoResponse {
    // `in:tercom` and `s cret` are form-encoded before they are joined.
    let expected = "Basic aW4lM0F0ZXJjb206cytjcmV0";
    if headers
        .get("authorization")
        .is_none_or(|value| value != expected)
    {
        return (
            StatusCode::UNAUTHORIZED,
            r#"{"error":"invalid_client"}"#.to_owned(),
        );
    }
    if partner.auth_hangs.load(SeqCst) {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let number = partner.tokens.fetch_add(1, SeqCst) + 1;
    let body = format!(r#"{{"access_token":"t{number}","token_type":"bearer","expires_in":60}}"#);
    (StatusCode::OK, body)
}

async fn open(State(partner): State<Arc<Partner>>, headers: HeaderMap, body: String) -> Response {
    let call = partner.calls.fetch_add(1, SeqCst) + 1;
    let body = serde_json::from_str(&body).unwrap_or_default();
    let reply = (partner.gateway)(call, &headers);
    partner.seen.lock().expect("a lock").push((headers, body));
    match reply {
        Reply::Status(status) => StatusCode::from_u16(status)
            .expect("a status")
            .into_response(),
        Reply::Redirect => {
            let elsewhere = [(header::LOCATION, "/v1/doors/door-2/open")];
            (StatusCode::TEMPORARY_REDIRECT, elsewhere).into_response()
        }
        Reply::Hang => std::future::pending().await,
        Reply::Together => {
            let under_way = partner.under_way.fetch_add(1, SeqCst) + 1;
            partner.most_under_way.fetch_max(under_way, SeqCst);
            partner.together.wait().await;
            // Who comes too many is still met here.
            tokio::time::sleep(Duration::from_millis(50)).await;
            partner.under_way.fetch_sub(1, SeqCst);
            StatusCode::OK.into_response()
        }
    }
}

/// A witness that has seen seven entries.
async fn witness(body: String) -> (StatusCode, &'static str) {
    match body.split_once('\n') {
        Some(("old 7", rest)) if rest.ends_with("\nthe note\n") => (StatusCode::OK, "a line\n"),
        Some(("old 7", _)) => (StatusCode::UNPROCESSABLE_ENTITY, ""),
        _ => (StatusCode::CONFLICT, "7\n"),
    }
}

/// Settings as access-svc would give them.
struct Registry {
    port: u16,
    gateway_port: u16,
    ca: String,
    minimal: bool,
    reads: AtomicU32,
}

struct World {
    partner: Arc<Partner>,
    registry: Arc<Registry>,
    egress: Egress,
    _shutdown: Guard,
}

/// Ends the partner with its test.
struct Guard(Shutdown);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

async fn world(
    minimal: bool,
    gateway: impl Fn(u32, &HeaderMap) -> Reply + Send + Sync + 'static,
) -> World {
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(vec!["localhost".into()])
        .and_then(|params| params.self_signed(&key))
        .expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .expect("a configuration");
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = Arc::new(tls);

    let partner = Arc::new(Partner {
        gateway: Box::new(gateway),
        auth_hangs: AtomicBool::new(false),
        connections: AtomicU32::new(0),
        together: Barrier::new(PLACES.into()),
        under_way: AtomicU32::new(0),
        most_under_way: AtomicU32::new(0),
        tokens: AtomicU32::new(0),
        calls: AtomicU32::new(0),
        seen: std::sync::Mutex::default(),
    });
    let router = Router::new()
        .route("/token", post(token))
        .route("/v1/doors/{id}/open", post(open))
        .route("/witness/add-checkpoint", post(witness))
        .with_state(partner.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let shutdown = Shutdown::new();
    let mut connections = accept_tls(
        listener,
        move || tls.clone(),
        "test",
        HandshakeLimits::default(),
        shutdown.clone(),
    );
    let dialled = partner.clone();
    tokio::spawn(async move {
        while let Some((stream, _)) = connections.recv().await {
            dialled.connections.fetch_add(1, SeqCst);
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let _ = Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    let registry = Arc::new(Registry {
        port,
        gateway_port: port,
        ca: certificate.pem(),
        minimal,
        reads: AtomicU32::new(0),
    });
    World {
        partner,
        egress: egress(registry.clone()),
        registry,
        _shutdown: Guard(shutdown),
    }
}

/// In the tests that count how many are under way.
const PLACES: u16 = 3;

fn egress(registry: Arc<Registry>) -> Egress {
    let config = EgressConfig {
        allow_private_addresses_for_development: true,
        ..EgressConfig::default()
    };
    Egress::new(config, registry)
}

fn command(window: Duration) -> Command {
    let now = Instant::now();
    let time = "2026-11-24T06:00:00Z".parse().expect("a time");
    Command {
        partner_id: "0198b6d2-6f5c-7000-8000-000000000001".into(),
        settings_version: 1,
        client: OurClient::Intercom,
        device_id: "door-1".into(),
        command_id: "0198b6d2-6f5c-7000-8000-000000000002".into(),
        opening_id: "0198b6d2-6f5c-7000-8000-000000000003".into(),
        issued_at: time,
        expires_at: time,
        window: Window {
            last_start: now + window,
            give_up: now + window,
        },
    }
}

/// Long enough for a handshake and a token on a busy machine.
const SOON: Duration = Duration::from_secs(2);
const LATE: Duration = Duration::from_secs(10);
/// Of what ends `SOON`; a request for a token may take five seconds by itself.
const AT_ITS_EXPIRY: Duration = Duration::from_secs(4);

/// Where nobody listens, and nobody will.
fn closed_port() -> u16 {
    let listener = loopback_port::bind().expect("a port");
    listener.local_addr().expect("an address").port()
}

fn sent(outcome: Outcome, partner_status: u16, tries: u32) -> Sent {
    Sent {
        outcome,
        partner_status,
        tries,
    }
}

#[tokio::test]
async fn a_probe_tells_which_client_is_refused() {
    let world = world(false, |_, _| Reply::Status(200)).await;
    let [intercom, barrier] = world.egress.probe("p", 1).await.expect("an answer");
    assert_eq!(intercom, "");
    assert_eq!(barrier, "the auth server answered 401 invalid_client");
}

#[async_trait]
impl Inside for Registry {
    async fn egress_settings(&self, id: &str) -> Result<GetEgressSettingsResponse, Status> {
        let reads = self.reads.fetch_add(1, SeqCst) + 1;
        let client = |id: &str, secret: &str| {
            Some(PartnerClientCredentials {
                client_id: id.into(),
                client_secret: secret.into(),
            })
        };
        Ok(GetEgressSettingsResponse {
            partner: Some(PartnerMessage {
                partner_id: id.into(),
                token_url: format!("https://localhost:{}/token", self.port),
                api_base: format!("https://localhost:{}", self.gateway_port),
                minimal: self.minimal,
                ca_pem: self.ca.clone(),
                settings_version: reads.into(),
                ..PartnerMessage::default()
            }),
            intercom: client("in:tercom", "s cret"),
            barrier: client("barrier", "wrong"),
        })
    }

    async fn issue_token(&self, _: IssueTokenRequest) -> Result<IssueTokenResponse, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn introspect_token(
        &self,
        _: IntrospectTokenRequest,
    ) -> Result<IntrospectTokenResponse, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn revoke_token(&self, _: RevokeTokenRequest) -> Result<RevokeTokenResponse, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn report_refused(&self, _: u64) -> Result<(), Status> {
        Ok(())
    }

    async fn key_set(&self) -> Result<GetKeySetResponse, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn open(&self, _: OpenRequest) -> Result<OpenResponse, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn opening(&self, _: GetOpeningRequest) -> Result<GetOpeningResponse, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn record_credential_openings(
        &self,
        _: RecordCredentialOpeningsRequest,
    ) -> Result<RecordCredentialOpeningsResponse, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn record_command_results(
        &self,
        _: RecordCommandResultsRequest,
    ) -> Result<RecordCommandResultsResponse, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}

#[tokio::test]
async fn a_witness_is_asked_and_its_answer_told() {
    use propdev_proto::gateway::{AddCheckpointRequest, add_checkpoint_response::Outcome};
    let world = world(false, |_, _| Reply::Status(204)).await;
    let request = |path: &str, old_size, note: &str| AddCheckpointRequest {
        url: format!("https://localhost:{}{path}", world.registry.port),
        ca_pem: world.registry.ca.clone(),
        old_size,
        consistency: vec![vec![1; 32]],
        checkpoint: note.into(),
    };
    let ask = async |request: AddCheckpointRequest| {
        let answer = world.egress.add_checkpoint(&request).await;
        answer.expect("an answer")
    };
    let answer = ask(request("/witness", 0, "the note\n")).await;
    assert_eq!(answer.outcome(), Outcome::Conflict);
    assert_eq!((answer.known_size, answer.status), (7, 409));
    let answer = ask(request("/witness/", 7, "the note\n")).await;
    assert_eq!(answer.outcome(), Outcome::Accepted);
    assert_eq!(answer.signatures, "a line\n");
    let answer = ask(request("/witness", 7, "another note\n")).await;
    assert_eq!((answer.outcome(), answer.status), (Outcome::Refused, 422));
    let mut strange = request("/witness", 7, "the note\n");
    strange.ca_pem.clear();
    assert_eq!(ask(strange).await.outcome(), Outcome::Unreachable);
    for url in ["http://localhost/witness", "https://u@localhost", "x"] {
        let mut plain = request("/witness", 7, "the note\n");
        plain.url = url.into();
        assert!(world.egress.add_checkpoint(&plain).await.is_err(), "{url}");
    }
}
