//! A closed loop of HTTPS requests over connections that are kept alive.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::TlsConnector;

use crate::{
    cpu,
    error::{Error, other},
};

/// Where requests go.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
}

impl Target {
    pub(crate) fn new(address: SocketAddr, ca: &Path) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).map_err(other)? {
            roots.add(certificate.map_err(other)?).map_err(other)?;
        }
        let tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            address,
            tls: Arc::new(tls),
        })
    }
}

/// What one round came to.
#[derive(Clone)]
pub(crate) struct Round {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) elapsed: Duration,
    /// Of the processes measured.
    pub(crate) cpu: Duration,
    /// Of each of them, in the order in which they were named.
    pub(crate) cpu_of_each: Vec<Duration>,
    /// Microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Round {
    /// What all loops counted together.
    pub(crate) fn of(
        loops: Vec<Counted>,
        elapsed: Duration,
        cpu_of_each: Vec<Duration>,
    ) -> Result<Self, Error> {
        let mut all = Counted::new()?;
        for one in loops {
            all.failed += one.failed;
            all.latency.add(&one.latency).map_err(other)?;
        }
        Ok(Self {
            answered: all.latency.len(),
            failed: all.failed,
            elapsed,
            cpu: cpu_of_each.iter().sum(),
            cpu_of_each,
            latency: all.latency,
        })
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// Answers a second of processor time.
    pub(crate) fn per_core(&self) -> f64 {
        self.answered as f64 / self.cpu.as_secs_f64()
    }

    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.answered as f64
    }

    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64
    }

    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.quantile_us(quantile) / 1_000.0
    }
}

/// How hard and how long.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
}

/// Sends what `request` makes, over and over, and counts the CPU of the
/// processes named meanwhile.
pub(crate) async fn run(
    target: &Target,
    shape: Shape,
    processes: &[u32],
    request: impl Fn() -> Request<Full<Bytes>> + Clone + Send + 'static,
) -> Result<Round, Error> {
    let from = Instant::now() + shape.warm_up;
    let until = from + shape.duration;
    let mut loops = Vec::with_capacity(shape.connections);
    for _ in 0..shape.connections {
        let (target, request) = (target.clone(), request.clone());
        loops.push(tokio::spawn(async move {
            ask(&target, from, until, request).await
        }));
    }
    let cpu = cpu_between(processes, from, until).await;
    Round::of(join(loops).await?, shape.duration, cpu)
}

/// CPU that each of the processes uses between two moments.
pub(crate) async fn cpu_between(processes: &[u32], from: Instant, until: Instant) -> Vec<Duration> {
    let used = || processes.iter().map(|id| cpu::used(&[*id]));
    tokio::time::sleep_until(from.into()).await;
    let before: Vec<Duration> = used().collect();
    tokio::time::sleep_until(until.into()).await;
    used()
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before))
        .collect()
}

pub(crate) async fn join(
    loops: Vec<JoinHandle<Result<Counted, Error>>>,
) -> Result<Vec<Counted>, Error> {
    let mut all = Vec::with_capacity(loops.len());
    for one in loops {
        all.push(one.await.map_err(other)??);
    }
    Ok(all)
}

/// What one loop has seen.
pub(crate) struct Counted {
    failed: u64,
    latency: Histogram<u64>,
}

impl Counted {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self {
            failed: 0,
            // Microseconds, to a minute.
            latency: Histogram::new_with_bounds(1, 60_000_000, 3).map_err(other)?,
        })
    }

    pub(crate) fn add(&mut self, good: bool, took: Duration) {
        if good {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.latency.saturating_record(micros);
        } else {
            self.failed += 1;
        }
    }
}

async fn ask(
    target: &Target,
    from: Instant,
    until: Instant,
    request: impl Fn() -> Request<Full<Bytes>>,
) -> Result<Counted, Error> {
    let mut connection = Connection::dial(target).await?;
    let mut counted = Counted::new()?;
    while Instant::now() < until {
        let request = request();
        connection.make_ready().await?;
        let started = Instant::now();
        let good = connection.ask(request).await?;
        let ended = Instant::now();
        if started >= from && ended <= until {
            counted.add(good, ended - started);
        }
    }
    Ok(counted)
}

/// A connection that is kept alive, and dialled anew where it broke.
pub(crate) struct Connection<'a> {
    target: &'a Target,
    sender: http1::SendRequest<Full<Bytes>>,
}

impl<'a> Connection<'a> {
    pub(crate) async fn dial(target: &'a Target) -> Result<Self, Error> {
        let sender = connect(target).await?;
        Ok(Self { target, sender })
    }

    /// So that what is timed afterwards is the request alone.
    pub(crate) async fn make_ready(&mut self) -> Result<(), Error> {
        if self.sender.ready().await.is_err() {
            self.sender = connect(self.target).await?;
        }
        Ok(())
    }

    /// Whether the answer says success.
    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<bool, Error> {
        let answer = async {
            let response = self.sender.send_request(request).await?;
            let status = response.status();
            response.into_body().collect().await?;
            Ok::<_, hyper::Error>(status)
        };
        match answer.await {
            Ok(status) => Ok(status.is_success()),
            Err(_) => {
                self.sender = connect(self.target).await?;
                Ok(false)
            }
        }
    }
}

/// One request and its answer's body.
pub(crate) async fn once(
    target: &Target,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Error> {
    let mut sender = connect(target).await?;
    let response = sender.send_request(request).await.map_err(other)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(other)?;
    Ok((status, body.to_bytes()))
}

async fn connect(target: &Target) -> Result<http1::SendRequest<Full<Bytes>>, Error> {
    let stream = TcpStream::connect(target.address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(other)?;
    let stream = TlsConnector::from(target.tls.clone())
        .connect(name, stream)
        .await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(other)?;
    tokio::spawn(connection);
    Ok(sender)
}

/// A client credentials request with the secret in the header.
pub(crate) fn token_request(
    path: &str,
    client_id: &str,
    client_secret: &str,
    parameters: &str,
) -> Request<Full<Bytes>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let basic = STANDARD.encode(format!("{client_id}:{client_secret}"));
    let body = format!("grant_type=client_credentials&{parameters}");
    Request::post(path)
        .header("host", "localhost")
        .header("authorization", format!("Basic {basic}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(body)))
        .unwrap_or_default()
}
