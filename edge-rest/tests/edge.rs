//! The whole edge over real TLS, with the services behind it away: it serves
//! what it can by itself, says clearly what it cannot, and drains.

use std::{fs, path::Path, time::Duration};

use edge_rest::{Config, Listeners};
use mesh::{
    client::{self, MeshChannel},
    config::{self, TlsConfig},
    policy::Policy,
    service::Environment,
    shutdown::Shutdown,
    tls::Credentials,
};
use propdev_proto::gateway::{
    PartnerClient, SendCommandBatchRequest, SendCommandRequest,
    command_service_client::CommandServiceClient, send_command_response::Outcome,
    send_command_result,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tokio::net::TcpListener;

struct World {
    folder: tempfile::TempDir,
    authority: Issuer<'static, KeyPair>,
}

impl World {
    fn new() -> Self {
        mesh::jose::install_crypto();
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a CA").pem();
        fs::write(folder.path().join("ca.pem"), pem).expect("written");
        Self {
            folder,
            authority: Issuer::new(params, key),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn leaf(&self, name: &str, subject: SanType) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![subject];
        let leaf = params.signed_by(&key, &self.authority).expect("a leaf");
        fs::write(self.path().join(format!("{name}.pem")), leaf.pem()).expect("written");
        fs::write(self.path().join(format!("{name}.key")), key.serialize_pem()).expect("written");
    }

    fn service(&self, name: &str) -> TlsConfig {
        let id = format!("spiffe://propdev.test/svc/{name}");
        self.leaf(name, SanType::URI(id.try_into().expect("a URI")));
        TlsConfig {
            certificate: self.path().join(format!("{name}.pem")),
            private_key: self.path().join(format!("{name}.key")),
            trust_bundle: self.path().join("ca.pem"),
            trust_domain: "propdev.test".into(),
            deny_list: None,
        }
    }

    fn config(&self, public_port: u16) -> Config {
        self.leaf(
            "public",
            SanType::DnsName("localhost".try_into().expect("a name")),
        );
        self.service("edge-rest");
        let folder = self.path().display();
        let text = format!(
            r#"
            [public]
            listen = "127.0.0.1:0"
            certificate = "{folder}/public.pem"
            private_key = "{folder}/public.key"
            base_url = "https://localhost:{public_port}"
            [server]
            listen = "127.0.0.1:0"
            [admin]
            listen = "127.0.0.1:0"
            [tls]
            certificate = "{folder}/edge-rest.pem"
            private_key = "{folder}/edge-rest.key"
            trust_bundle = "{folder}/ca.pem"
            trust_domain = "propdev.test"
            [peers.auth-svc]
            endpoint = "https://127.0.0.1:1"
            [peers.access-svc]
            endpoint = "https://127.0.0.1:1"
            "#
        );
        let file = self.path().join("edge.toml");
        fs::write(&file, text).expect("written");
        config::load(&file).expect("a configuration")
    }

    fn channel(&self, caller: &str, port: u16) -> MeshChannel {
        let credentials = Credentials::load(self.service(caller)).expect("credentials");
        let policy = Policy::built_in().expect("a policy");
        let endpoint = format!("https://127.0.0.1:{port}");
        client::connect("edge-rest", &endpoint, credentials, policy).expect("a channel")
    }
}

fn command() -> SendCommandRequest {
    let id = "0198b6d2-6f5c-7000-8000-000000000001";
    SendCommandRequest {
        partner_id: id.into(),
        client: PartnerClient::Intercom.into(),
        device_id: "door-1".into(),
        command_id: id.into(),
        opening_id: id.into(),
        issued_at: Some(Default::default()),
        expires_at: Some(Default::default()),
        ..SendCommandRequest::default()
    }
}

#[tokio::test]
async fn it_serves_alone_and_drains() {
    let world = World::new();
    let bind = async || TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let listeners = Listeners {
        public: bind().await,
        server: bind().await,
        admin: bind().await,
    };
    let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
    let (public, server) = (port(&listeners.public), port(&listeners.server));
    let admin = format!("http://127.0.0.1:{}/readyz", port(&listeners.admin));
    let shutdown = Shutdown::new();
    let environment = Environment::new(shutdown.clone());
    let running = tokio::spawn(edge_rest::run(world.config(public), listeners, environment));

    let root = fs::read(world.path().join("ca.pem")).expect("read");
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&root).expect("a root")])
        .build()
        .expect("a client");
    let url = format!("https://localhost:{public}");
    let metadata: serde_json::Value = client
        .get(format!("{url}/.well-known/oauth-authorization-server"))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(metadata["issuer"], url);
    let ready = client.get(admin).send().await.expect("an answer");
    assert_eq!(ready.status().as_u16(), 200);

    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "a"),
        ("client_secret", "b"),
    ];
    let answer = client
        .post(format!("{url}/oauth2/token"))
        .form(&form)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
    let body: serde_json::Value = answer.json().await.expect("JSON");
    assert_eq!(body["error"], "temporarily_unavailable");
    let answer = client
        .post(format!("{url}/v1/doors/d/open"))
        .bearer_auth("abc")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 503);

    // Who is refused before the end of the body is told so, on a connection that
    // serves on.
    let old = reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .tls_certs_only([reqwest::Certificate::from_pem(&root).expect("a root")])
        .build()
        .expect("a client");
    for _ in 0..16 {
        let request = old.post(format!("{url}/v1/webhooks/commands"));
        let answer = request.body(vec![b' '; 1024 * 1024]).send().await;
        assert_eq!(answer.expect("an answer").status().as_u16(), 401);
    }

    let mut commands = CommandServiceClient::new(world.channel("access-svc", server));
    let answer = commands
        .send_command(command())
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!((answer.outcome(), answer.tries), (Outcome::Expired, 0));
    let mut malformed = command();
    malformed.device_id = "a/b".into();
    let requests = vec![malformed.clone(), command()];
    let status = commands.send_command(malformed).await.expect_err("a fault");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let batch = SendCommandBatchRequest { requests };
    let answers = commands.send_command_batch(batch).await.expect("answers");
    let (mut answers, mut told) = (answers.into_inner(), Vec::new());
    while let Some(answer) = answers.message().await.expect("an answer") {
        told.extend(answer.results.into_iter().map(|one| {
            let outcome = match one.result {
                Some(send_command_result::Result::Sent(sent)) => Ok(sent.outcome()),
                Some(send_command_result::Result::Refusal(refusal)) => Err(refusal.reason),
                None => Err("nothing".to_owned()),
            };
            (one.index, outcome)
        }));
    }
    told.sort_by_key(|(index, _)| *index);
    let wanted = [
        (0, Err("MALFORMED_REQUEST".to_owned())),
        (1, Ok(Outcome::Expired)),
    ];
    assert_eq!(told, wanted);
    let mut stranger = CommandServiceClient::new(world.channel("auth-svc", server));
    let status = stranger
        .send_command(command())
        .await
        .expect_err("a refusal");
    assert_eq!(status.code(), tonic::Code::PermissionDenied);

    shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(15), running)
        .await
        .expect("in time");
    ended.expect("joined").expect("no error");
}
