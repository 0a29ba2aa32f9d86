//! A server and a client of the mesh over real mTLS: who may call, deadlines,
//! retries, panics.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod ageing;
mod deny_list;
mod waste;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mesh::{
    admin::Readiness,
    client::{MeshChannel, never_sent},
    config::{ServerConfig, TlsConfig},
    context::CallContext,
    policy::Policy,
    server::Server,
    shutdown::Shutdown,
    tls::Credentials,
};
use propdev_proto::access::{
    CreateSiteRequest, CreateSiteResponse, DeleteSiteRequest, DeleteSiteResponse, GetSiteRequest,
    GetSiteResponse, ListSitesRequest, ListSitesResponse, SetFreePassageRequest,
    SetFreePassageResponse, SetLockdownRequest, SetLockdownResponse, UpdateSiteRequest,
    UpdateSiteResponse,
    site_service_client::SiteServiceClient,
    site_service_server::{SiteService, SiteServiceServer},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tokio::{net::TcpListener, sync::Notify};
use tonic::{Code, Request, Response, Status, service::Routes};

/// Sites whose names are orders to the server.
#[derive(Clone, Default)]
struct Obedient {
    calls: Arc<AtomicUsize>,
    deadlines: Arc<std::sync::Mutex<Vec<Duration>>>,
    /// Told when one that sleeps has ended.
    ended: Arc<Notify>,
}

struct Ended(Arc<Notify>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tonic::async_trait]
impl SiteService for Obedient {
    async fn create_site(
        &self,
        request: Request<CreateSiteRequest>,
    ) -> Result<Response<CreateSiteResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match request.into_inner().name.as_str() {
            "panic" => panic!("as told"),
            "sleep" => {
                let _ended = Ended(self.ended.clone());
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            "away" => return Err(Status::unavailable("as told")),
            _ => {}
        }
        Ok(Response::new(CreateSiteResponse::default()))
    }

    async fn list_sites(
        &self,
        _: Request<ListSitesRequest>,
    ) -> Result<Response<ListSitesResponse>, Status> {
        let remaining = CallContext::current().map(|context| context.remaining());
        self.deadlines.lock().unwrap().extend(remaining);
        // The first two tries find it away.
        if self.calls.fetch_add(1, Ordering::SeqCst) < 2 {
            return Err(Status::unavailable("as told"));
        }
        Ok(Response::new(ListSitesResponse::default()))
    }

    async fn set_lockdown(
        &self,
        _: Request<SetLockdownRequest>,
    ) -> Result<Response<SetLockdownResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Err(Status::unavailable("as told"))
    }

    async fn set_free_passage(
        &self,
        _: Request<SetFreePassageRequest>,
    ) -> Result<Response<SetFreePassageResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn get_site(
        &self,
        _: Request<GetSiteRequest>,
    ) -> Result<Response<GetSiteResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn update_site(
        &self,
        _: Request<UpdateSiteRequest>,
    ) -> Result<Response<UpdateSiteResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn delete_site(
        &self,
        _: Request<DeleteSiteRequest>,
    ) -> Result<Response<DeleteSiteResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}

struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        mesh::jose::install_crypto();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.crt"), issuer.pem()).unwrap();
        std::fs::write(folder.path().join("denied"), "").unwrap();
        Self { folder, issuer }
    }

    fn credentials(&self, identity: &str) -> Arc<Credentials> {
        let mut params = CertificateParams::default();
        let uri = format!("spiffe://propdev.example/{identity}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file(identity, "crt"), certificate.pem()).unwrap();
        std::fs::write(self.file(identity, "key"), key.serialize_pem()).unwrap();
        self.load(identity)
    }

    fn file(&self, identity: &str, end: &str) -> std::path::PathBuf {
        let name = format!("{}.{end}", identity.replace('/', "-"));
        self.folder.path().join(name)
    }

    /// What was issued before, as another process would load it.
    fn load(&self, identity: &str) -> Arc<Credentials> {
        Credentials::load(TlsConfig {
            certificate: self.file(identity, "crt"),
            private_key: self.file(identity, "key"),
            trust_bundle: self.folder.path().join("ca.crt"),
            trust_domain: "propdev.example".into(),
            deny_list: Some(self.folder.path().join("denied")),
        })
        .unwrap()
    }
}

struct Running {
    authority: Authority,
    credentials: Arc<Credentials>,
    address: std::net::SocketAddr,
    service: Obedient,
    shutdown: Shutdown,
}

impl Running {
    async fn start() -> Self {
        Self::start_with(60).await
    }

    /// With the seconds that its connections live.
    async fn start_with(max_connection_age_s: u64) -> Self {
        let authority = Authority::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Obedient::default();
        let credentials = authority.credentials("svc/access-svc");
        let server = Server {
            service: "access-svc",
            config: ServerConfig {
                listen: address,
                max_connection_age_s,
                drain_ms: 2_000,
                max_concurrent_calls: 64,
            },
            credentials: credentials.clone(),
            policy: Policy::built_in().unwrap(),
            readiness: Readiness::default(),
            components: vec![],
        };
        let shutdown = Shutdown::new();
        let routes = Routes::new(SiteServiceServer::new(service.clone()));
        tokio::spawn(server.serve(listener, routes, shutdown.clone()));
        Self {
            authority,
            credentials,
            address,
            service,
            shutdown,
        }
    }

    fn client(&self, identity: &str) -> SiteServiceClient<MeshChannel> {
        self.client_of(self.authority.credentials(identity))
    }

    fn client_of(&self, credentials: Arc<Credentials>) -> SiteServiceClient<MeshChannel> {
        self.client_at(self.address, credentials)
    }

    fn client_at(
        &self,
        address: std::net::SocketAddr,
        credentials: Arc<Credentials>,
    ) -> SiteServiceClient<MeshChannel> {
        let channel = mesh::client::connect(
            "access-svc",
            &format!("https://{address}"),
            credentials,
            Policy::built_in().unwrap(),
        );
        SiteServiceClient::new(channel.unwrap())
    }

    fn calls(&self) -> usize {
        self.service.calls.load(Ordering::SeqCst)
    }
}

fn site(name: &str) -> CreateSiteRequest {
    CreateSiteRequest {
        name: name.into(),
        ..CreateSiteRequest::default()
    }
}

#[tokio::test]
async fn a_caller_that_the_contract_does_not_name_is_refused_before_the_handler() {
    let mesh = Running::start().await;
    let refused = mesh
        .client("svc/edge-rest")
        .create_site(site("x"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(
        !refused.message().contains("operator"),
        "the allow-list is nobody's business"
    );
    assert_eq!(mesh.calls(), 0);
    mesh.client("operator/operator/x")
        .create_site(site("x"))
        .await
        .unwrap();
    assert_eq!(mesh.calls(), 1);
}

#[tokio::test]
async fn a_panic_fails_its_call_alone() {
    let mesh = Running::start().await;
    let mut client = mesh.client("operator/operator/x");
    let failed = client.create_site(site("panic")).await.unwrap_err();
    assert_eq!(failed.code(), Code::Internal);
    assert!(!failed.message().contains("as told"));
    client.create_site(site("x")).await.unwrap();
}

#[tokio::test]
async fn what_is_idempotent_is_retried_and_what_is_not_is_not() {
    let mesh = Running::start().await;
    let mut client = mesh.client("operator/operator/x");
    client
        .list_sites(ListSitesRequest::default())
        .await
        .unwrap();
    assert_eq!(mesh.calls(), 3);
    let failed = client.create_site(site("away")).await.unwrap_err();
    assert_eq!((failed.code(), mesh.calls()), (Code::Unavailable, 4));
}

#[tokio::test]
async fn a_deadline_is_inherited_and_shrinks() {
    // Less than the contract's, and enough for two more tries on a busy machine.
    const BUDGET: Duration = Duration::from_secs(4);
    let mesh = Running::start().await;
    let mut client = mesh.client("operator/operator/x");
    let context = CallContext::new(BUDGET, "r".into());
    context
        .scope(client.list_sites(ListSitesRequest::default()))
        .await
        .unwrap();
    let deadlines = mesh.service.deadlines.lock().unwrap().clone();
    assert_eq!(deadlines.len(), 3);
    assert!(
        deadlines.iter().all(|left| *left <= BUDGET),
        "{deadlines:?}"
    );
    assert!(
        deadlines.windows(2).all(|pair| pair[1] < pair[0]),
        "{deadlines:?}"
    );

    let context = CallContext::new(Duration::from_millis(100), "r".into());
    let late = context
        .scope(client.create_site(site("sleep")))
        .await
        .unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_peer_that_is_not_there_was_never_sent_anything() {
    let mesh = Running::start().await;
    let mut client = mesh.client("operator/operator/x");
    mesh.shutdown.cancel();
    while tokio::net::TcpStream::connect(mesh.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let failed = client.create_site(site("x")).await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable);
    assert!(never_sent(&failed));
    assert_eq!(mesh.calls(), 0);
}
