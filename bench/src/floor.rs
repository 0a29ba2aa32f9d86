//! The bare chain that a token cannot be cheaper than without gathering: an
//! HTTPS edge that passes each form over one mTLS gRPC call to a process that
//! only checks a keyed hash and signs ES256.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use axum_server::tls_rustls::RustlsConfig;
use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mesh::{
    Clock, SystemClock,
    crypto::{Key, macs_equal},
};
use propctl::dev::{self, Names, Validity};
use propdev_proto::auth::{
    ClientCredentials, GetKeySetRequest, GetKeySetResponse, IntrospectTokenRequest,
    IntrospectTokenResponse, IssueTokenRequest, IssueTokenResponse, IssueTokensRequest,
    IssueTokensResponse, ReportRefusedRequest, ReportRefusedResponse, RevokeTokenRequest,
    RevokeTokenResponse,
    token_service_client::TokenServiceClient,
    token_service_server::{TokenService, TokenServiceServer},
};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;
use tonic::{
    Request, Response, Status,
    transport::{
        Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
    },
};

use crate::error::{Error, other};

pub(crate) const PATH: &str = "/oauth2/token";
pub(crate) const CLIENT: &str = "floor-client";
pub(crate) const SECRET: &str = "a-secret-of-the-benchmark-alone";

/// What both halves need, made before they start.
pub(crate) struct Floor {
    pub(crate) folder: PathBuf,
    pub(crate) edge: SocketAddr,
}

impl Floor {
    pub(crate) fn prepare(folder: &Path) -> Result<Self, Error> {
        let port = || Ok::<_, Error>(loopback_port::bind()?.local_addr()?);
        let (edge, auth) = (port()?, port()?);
        let pki = folder.join("pki");
        let validity = Validity::days_from_now(1);
        let names = Names::localhost();
        dev::create_ca(&pki, "floor.example").map_err(other)?;
        for half in ["edge", "auth"] {
            dev::issue_server(&pki, &names, validity, &folder.join(half)).map_err(other)?;
        }
        dev::issue_mesh(
            &pki,
            "svc/edge-rest",
            &names,
            validity,
            &folder.join("client"),
        )
        .map_err(other)?;
        fs::write(folder.join("edge.address"), edge.to_string())?;
        fs::write(folder.join("auth.address"), auth.to_string())?;
        Ok(Self {
            folder: folder.to_owned(),
            edge,
        })
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("pki").join(dev::CA_CERTIFICATE)
    }
}

fn address(folder: &Path, half: &str) -> Result<SocketAddr, Error> {
    let text = fs::read_to_string(folder.join(format!("{half}.address")))?;
    text.parse().map_err(other)
}

fn identity(folder: &Path) -> Result<Identity, Error> {
    let certificate = fs::read(folder.join(dev::CERTIFICATE))?;
    let key = fs::read(folder.join(dev::PRIVATE_KEY))?;
    Ok(Identity::from_pem(certificate, key))
}

fn authority(folder: &Path) -> Result<Certificate, Error> {
    let pem = fs::read(folder.join("pki").join(dev::CA_CERTIFICATE))?;
    Ok(Certificate::from_pem(pem))
}

pub(crate) async fn edge(folder: &Path) -> Result<(), Error> {
    let tls = ClientTlsConfig::new()
        .ca_certificate(authority(folder)?)
        .identity(identity(&folder.join("client"))?)
        .domain_name("localhost");
    let endpoint = format!("https://{}", address(folder, "auth")?);
    let channel = Endpoint::from_shared(endpoint)
        .map_err(other)?
        .tls_config(tls)
        .map_err(other)?
        .tcp_nodelay(true)
        .connect_lazy();
    let router = Router::new()
        .route("/oauth2/token", post(pass))
        .with_state(TokenServiceClient::new(channel));
    let public = folder.join("edge");
    let certificate = public.join(dev::CERTIFICATE);
    let config = RustlsConfig::from_pem_file(certificate, public.join(dev::PRIVATE_KEY)).await?;
    axum_server::bind_rustls(address(folder, "edge")?, config)
        .serve(router.into_make_service())
        .await?;
    Ok(())
}

async fn pass(
    State(mut client): State<TokenServiceClient<Channel>>,
    headers: HeaderMap,
    axum::Form(form): axum::Form<Vec<(String, String)>>,
) -> Result<axum::Json<serde_json::Value>, StatusCode> {
    let (client_id, client_secret) = basic(&headers).ok_or(StatusCode::UNAUTHORIZED)?;
    let find = |name: &str| {
        let found = form.iter().find(|(key, _)| key == name);
        found.map_or_else(String::new, |(_, value)| value.clone())
    };
    let request = IssueTokenRequest {
        credentials: Some(ClientCredentials {
            client_id,
            client_secret,
            ..ClientCredentials::default()
        }),
        grant_type: find("grant_type"),
        scope: find("scope"),
        ..IssueTokenRequest::default()
    };
    let issued = client
        .issue_token(request)
        .await
        .map_err(|_| StatusCode::UNAUTHORIZED)?
        .into_inner();
    Ok(axum::Json(json!({
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": issued.scope,
    })))
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

struct Signer {
    mac_key: Key,
    stored: [u8; 32],
    key: EncodingKey,
}

pub(crate) async fn auth(folder: &Path) -> Result<(), Error> {
    let mac_key = Key::random().map_err(other)?;
    let random = ring::rand::SystemRandom::new();
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(other)?;
    let signer = Signer {
        stored: mac_key.mac(&[CLIENT.as_bytes(), SECRET.as_bytes()]),
        mac_key,
        key: EncodingKey::from_ec_der(pkcs8.as_ref()),
    };
    let tls = ServerTlsConfig::new()
        .identity(identity(&folder.join("auth"))?)
        .client_ca_root(authority(folder)?);
    Server::builder()
        .tls_config(tls)
        .map_err(other)?
        .tcp_nodelay(true)
        .add_service(TokenServiceServer::from_arc(Arc::new(signer)))
        .serve(address(folder, "auth")?)
        .await
        .map_err(other)
}

#[tonic::async_trait]
impl TokenService for Signer {
    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        let request = request.into_inner();
        let credentials = request.credentials.unwrap_or_default();
        let (id, secret) = (credentials.client_id, credentials.client_secret);
        let offered = self.mac_key.mac(&[id.as_bytes(), secret.as_bytes()]);
        if !macs_equal(&offered, &self.stored) {
            return Err(Status::unauthenticated("no"));
        }
        let now = SystemClock.now().as_second();
        let claims = json!({
            "iss": "https://floor.example", "aud": "https://floor.example", "sub": id,
            "client_id": id, "scope": request.scope, "iat": now, "nbf": now, "exp": now + 600,
            "jti": uuid::Uuid::now_v7(),
        });
        let header = Header {
            typ: Some("at+jwt".into()),
            kid: Some("floor".into()),
            ..Header::new(Algorithm::ES256)
        };
        let access_token = jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|_| Status::internal("no signature"))?;
        Ok(Response::new(IssueTokenResponse {
            access_token,
            expires_in: 600,
            scope: request.scope,
        }))
    }

    async fn issue_tokens(
        &self,
        _: Request<IssueTokensRequest>,
    ) -> Result<Response<IssueTokensResponse>, Status> {
        Err(Status::unimplemented("the floor gathers nothing"))
    }

    async fn introspect_token(
        &self,
        _: Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        Err(Status::unimplemented("not of the floor"))
    }

    async fn revoke_token(
        &self,
        _: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        Err(Status::unimplemented("not of the floor"))
    }

    async fn report_refused(
        &self,
        _: Request<ReportRefusedRequest>,
    ) -> Result<Response<ReportRefusedResponse>, Status> {
        Err(Status::unimplemented("not of the floor"))
    }

    async fn get_key_set(
        &self,
        _: Request<GetKeySetRequest>,
    ) -> Result<Response<GetKeySetResponse>, Status> {
        Err(Status::unimplemented("not of the floor"))
    }
}
