use std::{fs, net::SocketAddr, path::Path, sync::atomic::AtomicUsize};

use axum::routing::get;
use mesh::server::HandshakeLimits;
use reqwest::Certificate as Root;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;

struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a CA").pem();
        Self {
            issuer: rcgen::Issuer::new(params, key),
            pem,
        }
    }

    fn write_leaf(&self, folder: &Path) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let leaf = rcgen::CertificateParams::new(vec!["localhost".into()])
            .and_then(|params| params.signed_by(&key, &self.issuer))
            .expect("a leaf");
        fs::write(folder.join("leaf.pem"), leaf.pem()).expect("written");
        fs::write(folder.join("leaf.key"), key.serialize_pem()).expect("written");
    }
}

fn client(authority: &Authority) -> reqwest::ClientBuilder {
    mesh::jose::install_crypto();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([Root::from_pem(authority.pem.as_bytes()).expect("a root")])
}

fn config(folder: &Path) -> PublicConfig {
    PublicConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        certificate: folder.join("leaf.pem"),
        private_key: folder.join("leaf.key"),
        base_url: "https://localhost".to_owned().try_into().expect("a URL"),
        max_connections: 16.try_into().expect("not zero"),
        max_connections_of_one_address: 16.try_into().expect("not zero"),
        request_client_certificates: true,
        trusted_proxies: vec![],
        client_certificate_header: None,
    }
}

#[tokio::test]
async fn both_versions_are_served_headers_bounded_and_requests_drained() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    authority.write_leaf(folder.path());
    let config = config(folder.path());
    let certificate = Certificate::load(&config).expect("a certificate");
    let listener = TcpListener::bind(config.listen).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let url = format!("https://localhost:{}", address.port());
    let (asked, drained) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (ask, drain) = (asked.clone(), drained.clone());
    let slow = get(move || async move {
        ask.notify_one();
        drain.notified().await;
        "late"
    });
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/slow", slow);
    let shutdown = Shutdown::new();
    let public = Public {
        config,
        certificate,
        bounds: Bounds::default(),
        drain: Duration::from_secs(60),
    };
    let serving = tokio::spawn(public.serve(listener, router, shutdown.clone()));

    let modern = client(&authority).build().expect("a client");
    let answer = modern.get(&url).send().await.expect("an answer");
    assert_eq!(answer.version(), http::Version::HTTP_2);
    let old = client(&authority).http1_only().build().expect("a client");
    let answer = old.get(&url).send().await.expect("an answer");
    assert_eq!(answer.version(), http::Version::HTTP_11);

    let large = "x".repeat(200 * 1024);
    let answer = old
        .get(&url)
        .header("x-large", large)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 431);

    let slow = tokio::spawn(modern.get(format!("{url}/slow")).send());
    asked.notified().await;
    shutdown.cancel();
    // Until nobody new is let in.
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drained.notify_one();
    let answer = slow
        .await
        .expect("joined")
        .expect("an answer after the drain");
    assert_eq!(answer.text().await.expect("a body"), "late");
    serving.await.expect("drained");
}

#[test]
fn a_new_certificate_takes_effect_and_a_broken_one_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    authority.write_leaf(folder.path());
    let certificate = Certificate::load(&config(folder.path())).expect("a certificate");
    assert!(!certificate.reload().expect("read"));
    let before = certificate.server_config();
    fs::write(folder.path().join("leaf.pem"), "broken").expect("written");
    assert!(certificate.reload().is_err());
    assert!(Arc::ptr_eq(&before, &certificate.server_config()));
    authority.write_leaf(folder.path());
    assert!(certificate.reload().expect("read"));
    assert!(!Arc::ptr_eq(&before, &certificate.server_config()));
}

const SHORT: Duration = Duration::from_millis(200);

/// For whoever does not shake hands.
fn short_handshakes() -> Bounds {
    Bounds {
        handshakes: HandshakeLimits {
            timeout: SHORT,
            ..HandshakeLimits::default()
        },
        ..Bounds::default()
    }
}

fn heads_within(head: Duration) -> Bounds {
    Bounds {
        head,
        ..Bounds::default()
    }
}

struct Listening {
    _folder: tempfile::TempDir,
    authority: Authority,
    address: SocketAddr,
    shutdown: Shutdown,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Listening {
    async fn start(router: Router, bounds: Bounds) -> Self {
        mesh::jose::install_crypto();
        let authority = Authority::new();
        let folder = tempfile::tempdir().expect("a folder");
        authority.write_leaf(folder.path());
        let config = config(folder.path());
        let listener = TcpListener::bind(config.listen).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shutdown = Shutdown::new();
        let public = Public {
            certificate: Certificate::load(&config).expect("a certificate"),
            config,
            bounds,
            drain: Duration::from_secs(5),
        };
        tokio::spawn(public.serve(listener, router, shutdown.clone()));
        Self {
            _folder: folder,
            authority,
            address,
            shutdown,
        }
    }

    async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.address)
            .await
            .expect("a connection")
    }

    async fn shake_hands(&self, protocol: &str) -> TlsStream<TcpStream> {
        let root = CertificateDer::from_pem_slice(self.authority.pem.as_bytes());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.expect("a certificate")).expect("a root");
        let mut client = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(client))
            .connect(name, self.dial().await)
            .await
            .expect("a handshake")
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }
}

/// Says `first`, then `drip` over and over, until the server hangs up.
async fn is_hung_up_on(mut stream: impl AsyncRead + AsyncWrite + Unpin, first: &str, drip: &str) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        // Who comes too late even for that is hung up on already.
        if stream.write_all(first.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        let mut answer = [0; 1_024];
        loop {
            tokio::select! {
                read = stream.read(&mut answer) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                },
                () = tokio::time::sleep(Duration::from_millis(20)), if !drip.is_empty() => {
                    if stream.write_all(drip.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    assert!(waited.await.is_ok(), "{first:?} is still waited for");
}

#[tokio::test]
async fn who_says_nothing_or_too_little_is_hung_up_on() {
    // Before the handshake, and within it.
    let listening = Listening::start(Router::new(), short_handshakes()).await;
    is_hung_up_on(listening.dial().await, "", "").await;
    is_hung_up_on(listening.dial().await, "\u{16}\u{3}\u{1}\u{2}", "").await;
    let listening = Listening::start(Router::new(), heads_within(SHORT)).await;
    for protocol in ["http/1.1", "h2"] {
        is_hung_up_on(listening.shake_hands(protocol).await, "", "").await;
    }
    is_hung_up_on(listening.shake_hands("h2").await, "PRI * HTTP/2.0", "").await;
    let head = "GET / HTTP/1.1\r\nhost: localhost\r\nx-drip: ";
    is_hung_up_on(listening.shake_hands("http/1.1").await, head, "a").await;
}

#[tokio::test]
async fn who_has_asked_may_take_the_time_that_an_answer_takes() {
    const HEAD: Duration = Duration::from_secs(1);
    let slow = get(|| async {
        tokio::time::sleep(3 * HEAD).await;
        "late"
    });
    let router = Router::new().route("/", slow);
    let listening = Listening::start(router, heads_within(HEAD)).await;
    let client = client(&listening.authority).build().expect("a client");
    let answer = client.get(listening.url("/")).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.version(), http::Version::HTTP_2);
    assert_eq!(answer.text().await.expect("a body"), "late");
}

#[tokio::test]
async fn streams_at_once_are_bounded() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let counted = get(move || {
        let (now, most) = (now.clone(), most.clone());
        async move {
            let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(at_once, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            now.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let bounds = Bounds {
        streams: 2,
        ..Bounds::default()
    };
    let listening = Listening::start(Router::new().route("/", counted), bounds).await;
    let client = client(&listening.authority).build().expect("a client");
    // The first makes the connection that the others share.
    for count in [1, 10] {
        let asked = (0..count).map(|_| client.get(listening.url("/")).send());
        for answer in futures::future::join_all(asked).await {
            assert_eq!(answer.expect("an answer").status().as_u16(), 200);
        }
    }
    let most = seen.load(Ordering::SeqCst);
    assert!((1..=2).contains(&most), "{most} at once");
}
