//! Strangers who hold on and hammer: the others are served all the while, and
//! the edge's memory stays bounded. They come from another address than the
//! others do, since an address's own share is all that it can use up.
//! `make test-flood` has them come by the thousand.

use std::{
    fs,
    io::Error,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use mesh_tests::{Database, Mesh, ProcessMesh};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Where strangers come from.
const ELSEWHERE: &str = "127.0.0.2:0";
const FEW: usize = 400;
/// Under an attack, on a machine that attacks itself.
const SERVED_WITHIN: Duration = Duration::from_secs(5);
const CALLS: usize = 40;
/// So many of them may take longer, since the machine stands still at times. An
/// attack that keeps newcomers out makes every tenth late.
const LATE: usize = 2;

fn many() -> usize {
    let asked = std::env::var("FLOOD_CONNECTIONS");
    asked.ok().and_then(|n| n.parse().ok()).unwrap_or(FEW)
}

#[derive(Clone, Copy, Debug)]
enum Attack {
    /// Connections on which no handshake comes.
    HalfOpen,
    /// Heads of requests, a byte at a time.
    SlowHead,
    /// One request each, then nothing.
    Idle,
    /// CVE-2023-44487.
    RapidReset,
    /// CVE-2024-27316 and its like.
    Continuation,
}

impl Attack {
    fn connections(self) -> usize {
        match self {
            Self::HalfOpen | Self::SlowHead | Self::Idle => many(),
            Self::RapidReset | Self::Continuation => 8,
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            Self::SlowHead => "http/1.1",
            _ => "h2",
        }
    }

    /// Until the server hangs up.
    async fn go_on(self, stream: &mut TlsStream<TcpStream>) -> Result<(), Error> {
        match self {
            Self::HalfOpen => {}
            Self::SlowHead => {
                let head = b"POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\nx-slow: ";
                stream.write_all(head).await?;
                loop {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    stream.write_all(b"a").await?;
                }
            }
            Self::Idle => {
                stream.write_all(&opening()).await?;
                stream
                    .write_all(&headers(1, END_HEADERS | END_STREAM))
                    .await?;
                while stream.read(&mut [0; 4_096]).await? > 0 {}
            }
            Self::RapidReset => {
                stream.write_all(&opening()).await?;
                let mut streams = (1..u32::MAX >> 1).step_by(2);
                loop {
                    let hundred: Vec<u8> = streams.by_ref().take(100).flat_map(reset).collect();
                    stream.write_all(&hundred).await?;
                }
            }
            Self::Continuation => {
                stream.write_all(&opening()).await?;
                stream.write_all(&headers(1, END_STREAM)).await?;
                loop {
                    stream.write_all(&continuation(1, 0)).await?;
                }
            }
        }
        Ok(())
    }
}

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short one");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The preface and empty SETTINGS.
fn opening() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes
}

/// HEADERS of `GET https://localhost/`.
fn headers(stream: u32, flags: u8) -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x84, 0x41, 9];
    block.extend(b"localhost");
    frame(1, flags, stream, &block)
}

fn reset(stream: u32) -> Vec<u8> {
    let cancel = 8_u32.to_be_bytes();
    let mut both = headers(stream, END_HEADERS | END_STREAM);
    both.extend(frame(3, 0, stream, &cancel));
    both
}

/// CONTINUATION with 10 KB of fields.
fn continuation(stream: u32, flags: u8) -> Vec<u8> {
    let mut field = vec![0, 1, b'x', 100];
    field.extend([b'a'; 100]);
    frame(9, flags, stream, &field.repeat(100))
}

#[derive(Clone)]
struct Stranger {
    edge: SocketAddr,
    roots: Arc<RootCertStore>,
    /// Attacks that have begun.
    begun: Arc<AtomicUsize>,
}

impl Stranger {
    fn new(layout: &devmesh::layout::Layout) -> Self {
        let pem = fs::read(layout.ca()).expect("the CA");
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(&pem).expect("a certificate");
        roots.add(ca).expect("a root");
        Self {
            edge: layout.addresses.public,
            roots: Arc::new(roots),
            begun: Arc::default(),
        }
    }

    async fn dial(&self) -> Result<TcpStream, Error> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(ELSEWHERE.parse().expect("an address"))?;
        socket.connect(self.edge).await
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
        protocol: &str,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let mut config = ClientConfig::builder()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    async fn once(&self, attack: Attack) -> Result<(), Error> {
        let mut stream = self.dial().await?;
        if matches!(attack, Attack::HalfOpen) {
            self.begun.fetch_add(1, Ordering::Relaxed);
            return stream.read(&mut [0; 1]).await.map(|_| ());
        }
        let mut stream = self.shake_hands(stream, attack.protocol()).await?;
        self.begun.fetch_add(1, Ordering::Relaxed);
        attack.go_on(&mut stream).await
    }

    /// Again whenever the server has hung up, until it is dropped.
    async fn again_and_again(self, attack: Attack) {
        let pause = Duration::from_millis(100).max(Duration::from_micros(250) * many() as u32);
        loop {
            let _ = self.once(attack).await;
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until so many attacks have begun, as long as shaking hands with
    /// them may take.
    async fn begin(&self, attacks: usize) {
        let begun = async {
            while self.begun.load(Ordering::Relaxed) < attacks {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let seconds = 60 + attacks as u64 / 25;
        let waited = tokio::time::timeout(Duration::from_secs(seconds), begun).await;
        assert!(waited.is_ok(), "the attack is not under way");
    }
}

/// Kilobytes of a process's memory.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|text| text.split_whitespace().next());
    number.expect("a number").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_are_served_under_every_attack() {
    mesh::hardening::all_descriptors().expect("descriptors");
    let mesh = ProcessMesh::start(None).await;
    let ids = mesh.processes.ids();
    let edge = ids.iter().find(|(name, _)| *name == "edge-rest");
    let edge = edge.expect("the edge").1;
    let partner = mesh.partner();
    assert_eq!(partner.ask_token(&[]).await.status, 200);
    let before = resident(edge);
    for attack in [
        Attack::HalfOpen,
        Attack::SlowHead,
        Attack::Idle,
        Attack::RapidReset,
        Attack::Continuation,
    ] {
        let stranger = Stranger::new(&mesh.layout);
        let strangers: Vec<_> = (0..attack.connections())
            .map(|_| tokio::spawn(stranger.clone().again_and_again(attack)))
            .collect();
        stranger.begin(attack.connections()).await;
        let mut caller = partner.clone();
        let mut late = Vec::new();
        for call in 0..CALLS {
            if call % 10 == 0 {
                // Whoever comes anew is let in too.
                caller = mesh.partner();
            }
            let started = Instant::now();
            let answer = caller.ask_token(&[]).await;
            let took = started.elapsed();
            assert_eq!(answer.status, 200, "{attack:?}: {answer:?}");
            if took > SERVED_WITHIN {
                late.push(took);
            }
        }
        assert!(late.len() <= LATE, "{attack:?}: {late:?}");
        for one in &strangers {
            one.abort();
        }
        join_all(strangers).await;
    }
    let grown = resident(edge).saturating_sub(before);
    let most = 64 * 1_024 + 128 * many() as u64;
    assert!(
        grown < most,
        "grown by {grown} kB, {most} were expected at most"
    );
    mesh.processes.stop().await.expect("stopped");
}

/// Writes the same over and over; true when the server hangs up, or answers
/// with `refusal`, before it has taken this many bytes.
async fn is_cut_off(
    stream: &mut TlsStream<TcpStream>,
    again: &[u8],
    most: usize,
    refusal: &str,
) -> bool {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let answered = async {
        let mut answer = Vec::new();
        let mut read = [0; 4_096];
        loop {
            match reading.read(&mut read).await {
                Ok(0) | Err(_) => return,
                Ok(count) => answer.extend_from_slice(&read[..count]),
            }
            if !refusal.is_empty() && String::from_utf8_lossy(&answer).contains(refusal) {
                return;
            }
        }
    };
    let written = async {
        for _ in 0..most / again.len() {
            if writing.write_all(again).await.is_err() {
                // What the server said last may still be on its way.
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        biased;
        () = answered => true,
        () = written => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_end_is_cut_off() {
    const MOST: usize = 64 * 1_024 * 1_024;
    let mesh = Mesh::start(Database::Sqlite).await;
    let stranger = Stranger::new(&mesh.layout);
    let connect = async |protocol: &str| {
        let stream = stranger.dial().await.expect("a connection");
        let stream = stranger.shake_hands(stream, protocol).await;
        stream.expect("a handshake")
    };
    let within = Duration::from_secs(60);

    let mut stream = connect("h2").await;
    let first = [opening(), headers(1, END_STREAM)].concat();
    stream.write_all(&first).await.expect("written");
    let again = continuation(1, 0);
    let cut = tokio::time::timeout(within, is_cut_off(&mut stream, &again, MOST, ""));
    assert!(cut.await.expect("in time"), "CONTINUATION without an end");

    let mut stream = connect("http/1.1").await;
    let head = b"GET / HTTP/1.1\r\nhost: localhost\r\n";
    stream.write_all(head).await.expect("written");
    let field = format!("x-large: {}\r\n", "a".repeat(4_000));
    let cut = tokio::time::timeout(
        within,
        is_cut_off(&mut stream, field.as_bytes(), MOST, " 431 "),
    );
    assert!(cut.await.expect("in time"), "a head without an end");

    let mut stream = connect("http/1.1").await;
    let head = b"POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\n\
        content-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head).await.expect("written");
    let chunk = format!("1000\r\n{}\r\n", "a".repeat(4_096));
    let cut = tokio::time::timeout(
        within,
        is_cut_off(&mut stream, chunk.as_bytes(), MOST, " 413 "),
    );
    assert!(cut.await.expect("in time"), "a body without an end");

    assert_eq!(mesh.partner().ask_token(&[]).await.status, 200);
}
