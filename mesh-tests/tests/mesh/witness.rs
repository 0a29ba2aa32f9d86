//! Checkpoints of the audit log at a witness (C2SP tlog-witness) of the test's
//! own, which checks what it signs.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use ::audit_log::{Hash, Head, VerifierKey, proof};
use base64::{Engine, engine::general_purpose::STANDARD};
use devmesh::operator::Operator;
use mesh_tests::{Database, Mesh};
use propdev_proto::access::{GetLogResponse, SetLockdownRequest};
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    audit_log::{all_flows, state},
    audit_tampering::verify,
    eventually,
};

/// A line as it stands under a checkpoint.
const SIGNATURE: &str = "\u{2014} witness.example AAAAAAAAAAAAAAAA\n";
/// After which a place that failed is tried again, and a little more.
const REST_S: i64 = 31;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_follows_the_log_on_sqlite() {
    a_witness_follows_the_log(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_follows_the_log_on_postgres() {
    a_witness_follows_the_log(Database::Postgres).await;
}

async fn a_witness_follows_the_log(database: Database) {
    let witness = Witness::start().await;
    let section = format!(
        "[[audit.witnesses]]\nurl = {:?}\nca = {:?}\n",
        witness.url, witness.ca
    );
    let mesh = Mesh::start_with(database, |service, text| match service {
        "access-svc" => text + &section,
        _ => text,
    })
    .await;

    // It cannot be reached: the log grows without it.
    all_flows(&mesh).await;
    eventually("the witness is asked", async || {
        witness.seen().turned_away > 0
    })
    .await;
    let earlier = settled(&mesh).await;
    assert!(place_of(&earlier, &witness).is_none());
    assert!(!earlier.checkpoint.contains(SIGNATURE));

    // It has seen a tree already that the log does not know of: a conflict, and
    // then the proof from there.
    let key = VerifierKey::parse(&earlier.verifier_key).expect("a key");
    let head = key.open(&earlier.checkpoint).expect("a checkpoint");
    lock_down(&mesh, true).await;
    witness.seen().begin(key, head);
    witness.is_followed(&mesh).await;
    let answers = witness.seen().answers.clone();
    assert_eq!(answers[..2], [(0, 409), (head.size, 200)], "{answers:?}");

    // From then on it is told from where it is.
    let so_far = answers.len();
    lock_down(&mesh, false).await;
    witness.is_followed(&mesh).await;
    let answers = witness.seen().answers.clone();
    assert!(answers.len() > so_far);
    assert!(answers[2..].iter().all(|(_, status)| *status == 200));

    // It is away for a while.
    let turned_away = witness.seen().turned_away;
    witness.seen().is_up = false;
    lock_down(&mesh, true).await;
    eventually("it is asked in vain", async || {
        witness.seen().turned_away > turned_away
    })
    .await;
    witness.seen().is_up = true;
    witness.is_followed(&mesh).await;
    let answers = witness.seen().answers.clone();
    assert!(answers[2..].iter().all(|(_, status)| *status == 200));

    let (code, report) = verify(&mesh, &[]).await;
    assert_eq!(code, 0, "{report}");
}

async fn lock_down(mesh: &Mesh, lockdown: bool) {
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let request = SetLockdownRequest {
        site_id: mesh.estate.site_id.clone(),
        lockdown,
    };
    operator.sites().set_lockdown(request).await.expect("set");
}

/// The log once nothing waits for a number.
async fn settled(mesh: &Mesh) -> GetLogResponse {
    let mut log = None;
    eventually("all entries have numbers", async || {
        let now = state(mesh).await;
        let is_settled = !now.queued && now.size > 0;
        log = is_settled.then_some(now);
        is_settled
    })
    .await;
    log.expect("a log")
}

fn place_of(log: &GetLogResponse, witness: &Witness) -> Option<u64> {
    let place = log.places.iter().find(|told| told.place == witness.url);
    place.map(|told| told.size)
}

/// A witness that signs what goes on from what it has seen.
struct Witness {
    url: String,
    ca: PathBuf,
    seen: Arc<Mutex<Seen>>,
    _folder: TempDir,
}

#[derive(Default)]
struct Seen {
    /// Else connections are closed as they come.
    is_up: bool,
    turned_away: usize,
    key: Option<VerifierKey>,
    head: Option<Head>,
    /// The old size that was named, and the status of the answer.
    answers: Vec<(u64, u16)>,
}

impl Witness {
    async fn start() -> Self {
        mesh::jose::install_crypto();
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new(vec!["localhost".into()])
            .and_then(|params| params.self_signed(&key))
            .expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .expect("a configuration");
        let folder = tempfile::tempdir().expect("a folder");
        let ca = folder.path().join("witness.pem");
        fs::write(&ca, certificate.pem()).expect("written");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        tokio::spawn(serve(
            listener,
            TlsAcceptor::from(Arc::new(tls)),
            seen.clone(),
        ));
        Self {
            url: format!("https://localhost:{port}/witness"),
            ca,
            seen,
            _folder: folder,
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("a lock")
    }

    /// Waits until it has signed the newest checkpoint, and the log knows.
    async fn is_followed(&self, mesh: &Mesh) {
        eventually("the witness has signed the newest checkpoint", async || {
            // A place that failed rests by the services' clock.
            mesh.clock.advance(REST_S);
            tokio::time::sleep(Duration::from_millis(500)).await;
            let log = state(mesh).await;
            let signed = self.seen().head.map(|head| head.size);
            !log.queued
                && signed == Some(log.size)
                && place_of(&log, self) == signed
                && log.checkpoint.ends_with(SIGNATURE)
        })
        .await;
    }
}

impl Seen {
    fn begin(&mut self, key: VerifierKey, head: Head) {
        self.is_up = true;
        self.key = Some(key);
        self.head = Some(head);
    }

    /// The answer to `add-checkpoint`, in the order of the specification.
    fn judge(&mut self, body: &str) -> (u16, String) {
        let (old, answer) = self.weigh(body);
        self.answers.push((old, answer.0));
        answer
    }

    fn weigh(&mut self, body: &str) -> (u64, (u16, String)) {
        let (proved, note) = body.split_once("\n\n").expect("an empty line");
        let mut lines = proved.lines();
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old: u64 = old.expect("a size").parse().expect("a number");
        let hash = |line: &str| proof::hash(&STANDARD.decode(line).expect("base64"));
        let path: Vec<Hash> = lines.map(|line| hash(line).expect("a hash")).collect();
        let refused = |status| (old, (status, String::new()));
        let key = self.key.as_ref().expect("its key");
        let Ok(head) = key.open(note) else {
            return refused(403);
        };
        let known = self.head.expect("a tree");
        if old > head.size {
            return refused(400);
        }
        if old != known.size {
            return (old, (409, format!("{}\n", known.size)));
        }
        if !proof::follows(head, known, &path) {
            return refused(422);
        }
        self.head = Some(head);
        (old, (200, SIGNATURE.to_owned()))
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, seen: Arc<Mutex<Seen>>) {
    while let Ok((stream, _)) = listener.accept().await {
        {
            let mut seen = seen.lock().expect("a lock");
            if !seen.is_up {
                seen.turned_away += 1;
                continue;
            }
        }
        tokio::spawn(answer(stream, tls.clone(), seen.clone()));
    }
}

/// One request of HTTP/1.1, then the end.
async fn answer(stream: TcpStream, tls: TlsAcceptor, seen: Arc<Mutex<Seen>>) {
    // Whoever has gone meanwhile is no matter.
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    let mut first = String::new();
    if stream.read_line(&mut first).await.is_err() {
        return;
    }
    assert_eq!(first, "POST /witness/add-checkpoint HTTP/1.1\r\n");
    loop {
        let mut line = String::new();
        let read = stream.read_line(&mut line).await;
        if read.is_err() || line == "\r\n" || line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').expect("a header");
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    let body = String::from_utf8(body).expect("text");
    let (status, text) = seen.lock().expect("a lock").judge(&body);
    let response = format!(
        "HTTP/1.1 {status} Told\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    if stream.write_all(response.as_bytes()).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}
